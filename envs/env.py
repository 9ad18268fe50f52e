"""The Gymnasium shell of one episode; all that is specific to a family is in its simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ..instances.registry import family_of
from .simulator import Simulator, simulator_for
from .source import InstanceSource

RENDER_MODES = ("ansi", "rgb_array", "html")


def source_of(simulator_class: type[Simulator], instance: Any) -> InstanceSource:
    """The instances that an environment of this simulator draws from."""
    given = simulator_class.default_instance if instance is None else instance
    return InstanceSource(simulator_class.family, given)


def check_reset_options(options: dict[str, Any] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """The options of ``reset``.

    Raises:
        ValueError: If one is unknown.
    """
    for key in options or {}:
        if key not in known:
            raise ValueError(
                f"reset: unknown option {key!r}, expected some of: {', '.join(known)}."
            )
    return options or {}


def observation_space(simulator: Simulator) -> gym.spaces.Dict:
    """The space of one row's observation; bounds are finite, since Gymnasium warns otherwise."""
    shape, largest = simulator.shape, float(np.finfo(np.float32).max)
    candidates = (shape.candidates, len(simulator.candidate_columns))

    def floats(*size: int) -> gym.spaces.Box:
        return gym.spaces.Box(-largest, largest, size, np.float32)

    def integers(high: int, dtype: Any, *size: int) -> gym.spaces.Box:
        return gym.spaces.Box(-1, high, size, dtype)

    spaces: dict[str, gym.Space[Any]] = {
        "candidates": floats(*candidates),
        "globals": floats(len(simulator.global_columns)),
        "action_mask": gym.spaces.Box(0, 1, (shape.candidates,), np.int8),
    }
    if simulator.graph:
        nodes = sum(shape.nodes.values())
        width = max(len(columns) for columns in simulator.node_columns.values())
        kinds = len(simulator.candidate_node_types)
        spaces["nodes"] = floats(nodes, width)
        spaces["node_type"] = integers(len(simulator.node_columns) - 1, np.int8, nodes)
        spaces["edges"] = integers(nodes - 1, np.int32, shape.edges, 2)
        spaces["edge_type"] = integers(len(simulator.edge_types) - 1, np.int8, shape.edges)
        spaces["candidate_nodes"] = integers(nodes - 1, np.int32, shape.candidates, kinds)
    return gym.spaces.Dict(spaces)


def wants_graph(observation: str) -> bool:
    """Whether ``observation`` asks for the graph.

    Raises:
        ValueError: If it is neither ``"candidates"`` nor ``"graph"``.
    """
    if observation not in ("candidates", "graph"):
        raise ValueError(f"observation {observation!r}, expected 'candidates' or 'graph'.")
    return observation == "graph"


class SchedulingEnv(gym.Env[dict[str, Any], np.int64]):
    """One episode of a simulator as a Gymnasium environment.

    Args:
        instance: An instance, a name or file, a named generator such as ``"uniform-20x15"``, a
            function ``f(rng) -> instance``, or a list of these, of which one is drawn per episode;
            ``None`` for a small default.
        mode: Kind of decision, where the environment has several; the first by default.
        observation: ``"candidates"``, or ``"graph"`` for nodes and edges as well.
        limits: Padded sizes by name, as the simulator's ``measure`` gives them; by default the
            largest among the given instances, or among 16 draws of a generator.
        render_mode: ``"ansi"``, ``"rgb_array"`` or ``"html"``.
        **options: Options of the simulator.

    Raises:
        ValueError: If an argument is none of the above.
    """

    #: Mode to simulator; the first mode is the default.
    simulators: ClassVar[Mapping[str, type[Simulator]]]
    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        instance: Any = None,
        *,
        mode: str | None = None,
        observation: str = "candidates",
        limits: Mapping[str, int] | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode {render_mode!r}, expected one of: {RENDER_MODES}.")
        self.render_mode = render_mode
        simulator_class = simulator_for(self.simulators, mode)
        self._source = source_of(simulator_class, instance)
        size = self._source.limits(simulator_class.measure, limits)
        graph = wants_graph(observation)
        slots = max(8, len(self._source))
        self.simulator = simulator_class(1, size, num_slots=slots, graph=graph, **options)
        self.observation_space = observation_space(self.simulator)
        self.action_space = gym.spaces.Discrete(self.simulator.shape.candidates)
        self._bind()

    def _bind(self) -> None:
        """Keep views of the simulator's only row: looking them up costs a fifth of a step."""
        self._action = np.zeros(1, dtype=np.int64)
        view = self.simulator.view
        self._candidates, self._globals = view["candidates"][0], view["globals"][0]
        self._mask, self._candidate_nodes = view["action_mask"][0], view["candidate_nodes"][0]
        self._reward, self._done = view["reward"], view["done"]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()  # copies of views would be arrays of their own

    @property
    def candidate_columns(self) -> tuple[str, ...]:
        """Names of the columns of ``observation["candidates"]``."""
        return self.simulator.candidate_columns

    @property
    def global_columns(self) -> tuple[str, ...]:
        """Names of the entries of ``observation["globals"]``."""
        return self.simulator.global_columns

    @property
    def instance(self) -> Any:
        """The instance of the current episode."""
        return self.simulator.instance(0)

    @property
    def initial_value(self) -> float:
        """Value of the initial state; the return is ``-(cost - initial_value) / scale``."""
        return float(self.simulator.view["initial_value"][0])

    @property
    def scale(self) -> float:
        """Unit of the rewards, greater than 0."""
        return float(self.simulator.view["scale"][0])

    @property
    def cost(self) -> float:
        """Value of the current state; at the end of the episode, the objective as a number."""
        return self.simulator.cost(0)

    def solution(self) -> Any:
        """The solution so far; complete when the episode has ended."""
        return self.simulator.solution(0)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """``(A,)`` the action mask, under the name that sb3-contrib asks for."""
        masks: npt.NDArray[np.bool_] = self._mask.astype(np.bool_)
        return masks

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the draws of instances.
            options: ``{"instance": ...}`` plays that instance (or name, or file).
        """
        super().reset(seed=seed)
        chosen = check_reset_options(options, ("instance",)).get("instance")
        source = self._source
        instance = source.draw(self.np_random, chosen)
        self.simulator.load((0,), (instance,))
        self.simulator.begin((0,))
        observation = self._observe()
        return observation, {"action_mask": observation["action_mask"].copy()}

    def step(
        self, action: np.int64 | int
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Choose a candidate."""
        if self.simulator.state["slot"][0] < 0:
            raise gym.error.ResetNeeded("step before reset.")
        self._action[0] = action
        self.simulator.advance(self._action)
        observation = self._observe()
        info: dict[str, Any] = {"action_mask": observation["action_mask"].copy()}
        done = bool(self._done[0])
        if done:
            info |= self._final_info()
        return observation, float(self._reward[0]), done, False, info

    def _observe(self) -> dict[str, Any]:
        observation = {
            "candidates": self._candidates.copy(),
            "globals": self._globals.copy(),
            "action_mask": self._mask.copy(),
        }
        if self.simulator.graph:
            graph = self.simulator.graph_arrays(slice(0, 1))
            observation |= {name: array[0] for name, array in graph.items()}
            observation["candidate_nodes"] = self._candidate_nodes.copy()
        return observation

    def _final_info(self) -> dict[str, Any]:
        simulator, instance = self.simulator, self.instance
        solution = simulator.solution(0)
        if code := int(simulator.view["infeasible"][0]):
            objective = simulator.objectives(np.zeros(1, dtype=np.int64))[0]
            reason = {"infeasible": simulator.infeasibilities[code]}
        else:
            family, reason = family_of(instance), {}
            family.validate(instance, solution)
            objective = family.objective(instance, solution)
        return {
            "objective": objective,
            "solution": solution,
            "gap": float(simulator.gaps(np.zeros(1, dtype=np.int64))[0]),
            "instance": instance,
            **reason,
        }

    def render(self) -> Any:
        """The current solution as text, as a picture or as an interactive page."""
        if self.render_mode is None:
            return None
        from . import render

        instance = self.instance
        picture = family_of(instance).picture(instance, self.solution())
        return getattr(render, self.render_mode)(picture)
