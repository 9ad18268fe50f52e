"""Rules as solvers: a score, a simulator, and the one loop that plays them."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..baselines.rules import Rule, uniform
from ..baselines.solver import Draft, Result, Solver, solver
from ..envs import rollout
from ..envs.registry import simulator_of
from ..instances.registry import load_from

#: Rows that are played side by side; more do not run faster.
_BATCH = 64

#: The same under a time limit, which is looked at only between batches and steps.
_BATCH_IN_TIME = 8

#: Noise of a randomised rule, in units of its score, where the user gives none.
_NOISE = 0.2


def rule_solver(name: str, rule: Rule) -> Solver:
    """A solver that plays a rule once, or, with ``samples``, many noisy copies of it.

    Its options are ``samples`` (best of so many episodes, the first one without noise), ``noise``
    (scale of the Gumbel noise), ``mode`` of the environment (the first one by default) and those of
    the simulator, e.g. ``schedule``.
    """

    def play(
        instance: Any,
        *,
        time_limit: float | None = None,
        seed: int = 0,
        on_incumbent: Callable[[Any], None],
        samples: int = 1,
        noise: float | None = None,
        mode: str = "",
        **options: Any,
    ) -> Draft:
        simulator_class = simulator_of(instance.problem, mode)
        _check(name, samples, noise, options, simulator_class.options())
        if noise is None:
            noise = rule.noise or (_NOISE if samples > 1 else 0.0)
        deadline = None if time_limit is None else time.perf_counter() + time_limit
        rng, rows = np.random.default_rng(seed), min(_BATCH, samples)
        if time_limit is not None:
            rows = min(rows, _BATCH_IN_TIME)
        simulator = rollout.make(simulator_class, instance, rows, {**rule.options, **options})
        best: tuple[float, Any] = (np.inf, None)
        for played in range(0, samples, rows):
            scales = np.full(rows, noise)
            if played == 0 and rule.noise == 0:
                scales[0] = 0.0  # the rule as it is
            late = None if best[1] is None else deadline  # the first episodes always end
            if not rollout.play(simulator, rule.score, noise=scales, rng=rng, deadline=late):
                break
            costs = simulator.view["value"][: samples - played]
            row = int(np.argmin(costs))
            if costs[row] < best[0]:
                best = (float(costs[row]), simulator.solution(row))
                on_incumbent(best[1])
        return Draft(best[1])

    timed = solver(name=name, version=rule.version)(play)

    @functools.wraps(timed)
    def run(instance: Any, **arguments: Any) -> Result:
        _warm_up(getattr(instance, "problem", ""))
        return timed(instance, **arguments)

    return run  # type: ignore[return-value]


@functools.cache
def _warm_up(problem: str) -> None:
    """Load the compiled simulator before the clock runs: the first time it takes seconds."""
    if problem:
        simulator_class = simulator_of(problem)
        instance = load_from(simulator_class.family, simulator_class.default_instance)
        rollout.play(rollout.make(simulator_class, instance, 1, {}), uniform)


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
            listed = ", ".join(("samples", "noise", "mode", *known))
            raise ValueError(f"{name}: unknown option {key!r}, expected some of: {listed}.")
