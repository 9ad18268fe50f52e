"""Rules as solvers: a score, a simulator, and the one loop that plays them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..baselines.rules import Rule
from ..baselines.solver import Draft, Solver, solver
from ..envs import rollout
from ..envs.registry import simulator_of
from ..envs.simulator import Simulator

#: Rows that are played side by side; more do not run faster.
_BATCH = 64

#: Noise of a randomised rule, in units of its score, where the user gives none.
_NOISE = 0.2


def rule_solver(name: str, rule: Rule) -> Solver:
    """A solver that plays a rule once, or, with ``samples``, many noisy copies of it.

    Its options are ``samples`` (best of so many episodes, the first one without noise), ``noise``
    (scale of the Gumbel noise) and those of the simulator, e.g. ``schedule``.
    """

    def play(
        instance: Any,
        *,
        time_limit: float | None = None,
        seed: int = 0,
        on_incumbent: Callable[[Any], None],
        samples: int = 1,
        noise: float | None = None,
        **options: Any,
    ) -> Draft:
        deadline = None if time_limit is None else time.perf_counter() + time_limit
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise ValueError(f"{name}: samples {samples!r}, expected an integer >= 1.")
        if noise is None:
            noise = rule.noise or (_NOISE if samples > 1 else 0.0)
        if not noise >= 0:
            raise ValueError(f"{name}: noise {noise}, expected >= 0.")
        plain = rule.noise == 0 and noise > 0 and samples > 1  # one copy goes without noise
        simulator_class, rng = simulator_of(instance.problem), np.random.default_rng(seed)
        best: tuple[float, Any] = (np.inf, None)
        played = 0
        while played < samples:
            rows = min(_BATCH, samples - played)
            simulator = _make(name, simulator_class, instance, rows, {**rule.options, **options})
            scales = np.full(rows, noise)
            scales[0] = 0.0 if plain and played == 0 else noise
            if not rollout.play(simulator, rule.score, noise=scales, rng=rng, deadline=deadline):
                break
            costs = [simulator.cost(row) for row in range(rows)]
            row = int(np.argmin(costs))
            if costs[row] < best[0]:
                best = (costs[row], simulator.solution(row))
                on_incumbent(best[1])
            played += rows
        return Draft(best[1])

    return solver(name=name, version=rule.version)(play)


def _make(
    name: str,
    simulator_class: type[Simulator],
    instance: Any,
    rows: int,
    options: dict[str, Any],
) -> Simulator:
    try:
        return rollout.make(simulator_class, instance, rows, options)
    except TypeError as error:  # an option that the simulator does not have
        raise ValueError(f"{name}: {error}") from None
