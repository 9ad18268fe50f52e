"""Rules as solvers: a score, a simulator, and the one loop that plays them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..baselines.rules import Rule
from ..baselines.solver import Draft, Solver, solver
from ..envs import rollout
from ..envs.registry import simulator_of

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
        simulator_class = simulator_of(instance.problem)
        _check(name, samples, noise, options, simulator_class.options())
        if noise is None:
            noise = rule.noise or (_NOISE if samples > 1 else 0.0)
        deadline = None if time_limit is None else time.perf_counter() + time_limit
        rng, rows = np.random.default_rng(seed), min(_BATCH, samples)
        simulator = rollout.make(simulator_class, instance, rows, {**rule.options, **options})
        best: tuple[float, Any] = (np.inf, None)
        for played in range(0, samples, rows):
            scales = np.full(rows, noise)
            if played == 0 and rule.noise == 0:
                scales[0] = 0.0  # the rule as it is
            if not rollout.play(simulator, rule.score, noise=scales, rng=rng, deadline=deadline):
                break
            costs = simulator.view["value"][: samples - played]
            row = int(np.argmin(costs))
            if costs[row] < best[0]:
                best = (float(costs[row]), simulator.solution(row))
                on_incumbent(best[1])
        return Draft(best[1])

    return solver(name=name, version=rule.version)(play)


def _check(
    name: str,
    samples: int,
    noise: float | None,
    options: Mapping[str, Any],
    known: tuple[str, ...],
) -> None:
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ValueError(f"{name}: samples {samples!r}, expected an integer >= 1.")
    if noise is not None and not noise >= 0:
        raise ValueError(f"{name}: noise {noise}, expected >= 0.")
    for key in options:
        if key not in known:
            listed = ", ".join(("samples", "noise", *known))
            raise ValueError(f"{name}: unknown option {key!r}, expected some of: {listed}.")
