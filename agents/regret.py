"""What a decision costs against the best one: rewards and labels from an oracle of states.

An *oracle* knows the least objective of all solutions that a state can still become (see
``baselines/registry.py``). With it every decision has an exact regret, and the set of optimal
actions of a state is known, not only the one that some solution happens to take.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from ..baselines.registry import Oracle, oracle
from ..envs.env import SchedulingEnv
from ..envs.simulator import Simulator


class RegretReward(gym.Wrapper[dict[str, Any], np.int64, dict[str, Any], np.int64]):
    """Rewards each decision with minus its regret: 0 if an optimal solution is still in reach.

    The reward is ``-(V(s') - V(s)) / scale`` with ``V`` the oracle's value, so the return is
    ``-(cost - optimum) / scale``: the ranking of policies is that of the wrapped environment.

    Args:
        env: An environment whose partial solutions the oracle understands, e.g.
            ``gym.make("gapgym/Tardiness-v0")`` in its mode ``dispatch``.
        values: The oracle; by default the problem's own.

    Raises:
        ValueError: If the problem has none.
    """

    def __init__(
        self, env: gym.Env[dict[str, Any], np.int64], values: Oracle | None = None
    ) -> None:
        super().__init__(env)
        base = env.unwrapped
        if not isinstance(base, SchedulingEnv):
            raise ValueError(f"{type(base).__name__}, expected an environment of gapgym.")
        self._base = base
        self._values = oracle(base.simulator.problem) if values is None else values
        self._value = 0.0

    def reset(self, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; ``info["optimum"]`` is the least cost that it can end with."""
        observation, info = self.env.reset(**arguments)
        self._value = float(self._values(self._base.instance, self._base.solution()))
        return observation, {**info, "optimum": self._value}

    def step(self, action: np.int64) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Choose a candidate."""
        observation, _, terminated, truncated, info = self.env.step(action)
        if terminated:
            value = self._base.cost
        else:
            value = float(self._values(self._base.instance, self._base.solution()))
        reward, self._value = (self._value - value) / self._base.scale, value
        return observation, reward, terminated, truncated, info


def optimal_actions(simulator: Simulator, row: int, values: Oracle | None = None) -> list[int]:
    """The available actions of a row after which an optimal completion is still in reach.

    Args:
        simulator: Left as it was.
        row: One whose episode runs.
        values: The oracle; by default the problem's own.

    Raises:
        ValueError: If the problem has no oracle.
    """
    values = oracle(simulator.problem) if values is None else values
    instance, rows = simulator.instance(row), np.arange(simulator.num_rows)
    saved, costs = simulator.save(rows), {}
    count = simulator.view["num_available"][row]
    for action in simulator.view["available"][row, :count].tolist():
        simulator.step(np.full(simulator.num_rows, action))
        ended = not simulator.live()[row]
        costs[action] = (
            simulator.cost(row) if ended else float(values(instance, simulator.solution(row)))
        )
        simulator.restore(rows, saved)
    best = min(costs.values())
    return sorted(action for action, cost in costs.items() if cost == best)
