"""The Gymnasium shell of many episodes at once, for ``gym.make_vec``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from ..instances.core import BoolArray, IntArray
from .env import check_reset_options, observation_space, source_of, wants_graph
from .simulator import Simulator, simulator_for

_OBSERVED = ("candidates", "globals", "action_mask")


class SchedulingVectorEnv(gym.vector.VectorEnv[dict[str, Any], IntArray, npt.NDArray[Any]]):
    """B episodes of a simulator as one Gymnasium vector environment.

    It behaves as Gymnasium's ``SyncVectorEnv`` of the single environment does, row by row: seeded
    with ``s``, row ``i`` draws its instances as an environment seeded with ``s + i``.

    Args:
        num_envs: Number of episodes, B.
        instance: As for :class:`SchedulingEnv`.
        mode: As for :class:`SchedulingEnv`.
        observation: ``"candidates"`` or ``"graph"``.
        limits: As for :class:`SchedulingEnv`.
        autoreset_mode: ``SAME_STEP`` (default): an episode that ends begins anew in the same step,
            its last observation and info are in ``infos["final_obs"]`` and ``["final_info"]``;
            ``NEXT_STEP``: it begins with the next step, whose action is ignored; ``DISABLED``: it
            stays ended until ``reset(options={"reset_mask": ...})``.
        copy: Whether observations are the caller's own; with ``False`` they are views that the next
            step overwrites.
        render_mode: Must be ``None``: the episodes of a batch are not drawn.
        max_episode_steps: Must be ``None``: episodes end by themselves.
        **options: Options of the simulator.

    The objectives in ``final_info`` are the simulator's own, which the referee confirms for every
    family in the tests; the single environment asks the referee each time.
    """

    #: Mode to simulator; the first mode is the default.
    simulators: ClassVar[Mapping[str, type[Simulator]]]

    def __init__(
        self,
        num_envs: int = 1,
        instance: Any = None,
        *,
        mode: str | None = None,
        observation: str = "candidates",
        limits: Mapping[str, int] | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        copy: bool = True,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **options: Any,
    ) -> None:
        for what, value in (("render_mode", render_mode), ("max_episode_steps", max_episode_steps)):
            if value is not None:
                raise ValueError(f"{what} {value!r} of a vector environment, expected None.")
        self.num_envs = num_envs
        self.render_mode = None
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode, "render_modes": []}
        self._copy = copy
        simulator_class = simulator_for(self.simulators, mode)
        self._source = source_of(simulator_class, instance)
        size = self._source.limits(simulator_class.measure, limits)
        graph = wants_graph(observation)
        slots = max(num_envs, len(self._source))
        self.simulator = simulator_class(num_envs, size, num_slots=slots, graph=graph, **options)
        self.single_observation_space = observation_space(self.simulator)
        self.single_action_space = gym.spaces.Discrete(self.simulator.shape.candidates)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators = [seeding.np_random(None)[0] for _ in range(num_envs)]
        self._ended = np.zeros(num_envs, dtype=np.bool_)  # NEXT_STEP: to be reset next
        self._every = np.ones(num_envs, dtype=np.bool_)
        self._truncated = np.zeros(num_envs, dtype=np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start episodes.

        Args:
            seed: Seed of row 0 (row ``i`` gets ``seed + i``), or one seed per row.
            options: ``{"instance": ...}`` plays that instance (or a list: one per row) in every
                row that is reset; ``{"reset_mask": (B,) bool}`` resets only those rows.
        """
        options = check_reset_options(options, ("instance", "reset_mask"))
        mask = options.get("reset_mask")
        chosen = self._every if mask is None else np.asarray(mask, dtype=np.bool_)
        if chosen.shape != (self.num_envs,):
            raise ValueError(f"reset_mask {chosen.shape}, expected ({self.num_envs},).")
        seeds = self._seeds(seed)
        for row in np.flatnonzero(chosen).tolist():
            if seeds[row] is not None:
                self._generators[row] = seeding.np_random(seeds[row])[0]
        self._begin(np.flatnonzero(chosen), options.get("instance"))
        self._ended[chosen] = False
        observation = self._observe()
        return observation, self._masks(observation, chosen)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> Sequence[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + row for row in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"seed: {len(seed)} seeds, expected {self.num_envs}.")
        return seed

    def _begin(self, rows: IntArray, instance: Any = None) -> None:
        source, generators = self._source, self._generators
        each = instance if isinstance(instance, list | tuple) else [instance] * self.num_envs
        if len(each) != self.num_envs:
            raise ValueError(f"instance: {len(each)} instances, expected {self.num_envs}.")
        instances = [source.draw(generators[row], each[row]) for row in rows]
        self.simulator.load(rows, instances)
        self.simulator.begin(rows)

    def step(
        self, actions: IntArray
    ) -> tuple[dict[str, Any], npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]:
        """Choose a candidate in every row."""
        simulator, view = self.simulator, self.simulator.view
        if simulator.state["slot"][0] < 0:
            raise gym.error.ResetNeeded("step before reset.")
        simulator.step(actions)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and self._ended.any():
            self._begin(np.flatnonzero(self._ended))  # their action was ignored: they had ended
        rewards = view["reward"].copy()
        terminated = view["done"].copy()
        ended = np.logical_and(terminated, np.logical_not(self._ended))
        infos: dict[str, Any] = {}
        if ended.any():
            infos = self._end(np.flatnonzero(ended), ended)
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            self._ended = terminated.copy()
        observation = self._observe()
        return (
            observation,
            rewards,
            terminated,
            self._truncated.copy(),
            {
                **infos,
                **self._masks(observation, self._every),
            },
        )

    def _end(self, rows: IntArray, ended: BoolArray) -> dict[str, Any]:
        info = self._final_info(rows, ended)
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            return info
        last = self._rows_of_view(rows)
        final = np.full(self.num_envs, None, dtype=object)
        for row, *arrays in zip(rows.tolist(), *last.values(), strict=True):
            final[row] = dict(zip(last, arrays, strict=True))
        self._begin(rows)
        mask = np.zeros((self.num_envs, *last["action_mask"].shape[1:]), np.int8)
        info |= {"action_mask": mask, "_action_mask": ended}
        return {
            "final_obs": final,
            "_final_obs": ended,
            "final_info": info,
            "_final_info": ended,
        }

    def _final_info(self, rows: IntArray, ended: BoolArray) -> dict[str, Any]:
        simulator, n = self.simulator, self.num_envs
        found = simulator.objectives(rows)
        objective, gaps = np.full(n, None if found.dtype == object else 0, found.dtype), np.zeros(n)
        solution, instance = np.full(n, None, dtype=object), np.full(n, None, dtype=object)
        objective[rows] = found
        gaps[rows] = simulator.gaps(rows)
        for row, made in zip(rows.tolist(), simulator.solutions(rows), strict=True):
            solution[row] = made
            instance[row] = simulator.instance(row)
        info: dict[str, Any] = {
            "objective": objective,
            "solution": solution,
            "gap": gaps,
            "instance": instance,
        }
        info |= {f"_{name}": ended for name in list(info)}
        codes = simulator.view["infeasible"]
        if (codes[rows] > 0).any():
            reasons = np.full(n, None, dtype=object)
            failed = np.logical_and(ended, codes > 0)
            reasons[failed] = [simulator.infeasibilities[code] for code in codes[failed]]
            info |= {"infeasible": reasons, "_infeasible": failed}
        return info

    def _rows_of_view(self, rows: IntArray) -> dict[str, npt.NDArray[Any]]:
        view = self.simulator.view
        last = {name: view[name][rows] for name in _OBSERVED}
        if self.simulator.graph:
            last |= self.simulator.graph_arrays(rows)
            last["candidate_nodes"] = view["candidate_nodes"][rows]
        return last

    def _observe(self) -> dict[str, Any]:
        view = self.simulator.view
        names = (*_OBSERVED, "candidate_nodes") if self.simulator.graph else _OBSERVED
        observed = {name: view[name].copy() if self._copy else view[name] for name in names}
        if self.simulator.graph:
            observed |= self.simulator.graph_arrays(slice(None))
        return observed

    def _masks(self, observation: dict[str, Any], rows: BoolArray) -> dict[str, Any]:
        return {"action_mask": observation["action_mask"].copy(), "_action_mask": rows.copy()}

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """``(B, A)`` the action masks, under the name that sb3-contrib asks for."""
        return self.simulator.view["action_mask"].astype(np.bool_)

    def solutions(self) -> list[Any]:
        """The solutions of all rows, complete or partial."""
        return self.simulator.solutions(np.arange(self.num_envs))
