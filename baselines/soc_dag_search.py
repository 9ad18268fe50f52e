"""Searches for schedules of task graphs: perturbed ranks, and annealing of orders and PEs."""

from __future__ import annotations

import functools
import math
import time

import numpy as np

from ..instances.core import IntArray
from ..instances.soc_dag import (
    SoCDagInstance,
    SoCDagSolution,
    heft_example,
    lower_bound,
    objective,
)
from . import soc_dag_kernels as kernels
from . import soc_dag_search_kernels as search
from .soc_dag_lists import SCHEDULERS, Tables, check, solution_of, tables
from .solver import Draft, Report, solver

#: Lookahead costs O(n d^2 m^2) for d children: beyond so many tasks it is not among the starts.
_MOST_LOOKAHEAD = 300

#: Moves between two looks at the clock.
_CHUNK = 20_000


@functools.cache
def warm_up() -> None:
    """Load the compiled kernels before a clock runs: the first time it takes seconds."""
    example = heft_example()
    improved(example, constructed(example), seed=0, moves=1)
    _perturbed(tables(example), 0.1, np.random.default_rng(0))


def constructed(instance: SoCDagInstance) -> SoCDagSolution:
    """The best schedule of the list schedulers."""
    names = [name for name in SCHEDULERS if name not in ("olb", "etf", "max_min")]
    if instance.num_tasks > _MOST_LOOKAHEAD:
        names.remove("lookahead_heft")
    found = [SCHEDULERS[name](instance) for name in names]
    return min(found, key=lambda schedule: objective(instance, schedule))


def _perturbed(t: Tables, spread: float, rng: np.random.Generator) -> SoCDagSolution:
    """HEFT with insertion, its ranks times random factors, over the ready tasks."""
    n, m = t.arrays[0].shape
    rank = t.rank_up * (1.0 + spread * rng.uniform(-1.0, 1.0, size=n))
    fixed = np.full(n, -1, dtype=np.int64)
    plan = kernels.by_priority(rank, t.position, np.zeros((n, m)), fixed, t.arrays)
    return solution_of(plan)


@solver
def heft_portfolio(
    instance: SoCDagInstance,
    *,
    time_limit: float | None,
    seed: int,
    on_incumbent: Report,
    samples: int = 16,
    spread: float = 0.2,
) -> Draft:
    """The best of HEFT and of ``samples - 1`` HEFTs with perturbed ranks.

    Args:
        instance: The graph.
        time_limit: In seconds.
        seed: Seed of the perturbations.
        on_incumbent: Called with each better schedule.
        samples: Number of schedules.
        spread: Ranks are multiplied by factors uniform on ``1 - spread .. 1 + spread``.
    """
    t = tables(check(instance, "heft_portfolio"))
    warm_up()
    if samples < 1 or not 0.0 <= spread < 1.0:
        raise ValueError(f"samples {samples}, spread {spread}, expected >= 1 and 0..1.")
    deadline = time.perf_counter() + (math.inf if time_limit is None else time_limit)
    rng = np.random.default_rng(seed)
    best = SCHEDULERS["heft"](instance)
    on_incumbent(best)
    for _ in range(samples - 1):
        if time.perf_counter() > deadline:
            break
        found = _perturbed(t, spread, rng)
        if objective(instance, found) < objective(instance, best):
            best = found
            on_incumbent(best)
    return Draft(best)


def improved(
    instance: SoCDagInstance,
    start: SoCDagSolution,
    *,
    seed: int,
    moves: int,
    deadline: float = math.inf,
    on_incumbent: Report | None = None,
) -> SoCDagSolution:
    """A schedule at least as good as ``start``, by annealing.

    Args:
        instance: The graph.
        start: Where to begin.
        seed: Seed of the moves.
        moves: How many to try, in rounds that begin warm and end cold.
        deadline: ``time.perf_counter()`` value at which to stop.
        on_incumbent: Called with each better schedule.
    """
    t = tables(instance)
    n, bound, rng = instance.num_tasks, lower_bound(instance), np.random.default_rng(seed)
    ends = start.start + instance.run_times[np.arange(n), start.pe]
    order = np.lexsort((t.position, ends, start.start))
    pe = start.pe.copy()
    end, free = np.zeros(n, dtype=np.int64), np.zeros(instance.num_pes, dtype=np.int64)
    best_order, best_pe = order.copy(), pe.copy()
    best = search.evaluate(order, pe, t.arrays, end, free)
    for k in range(math.ceil(moves / _CHUNK)):
        if best <= bound or time.perf_counter() > deadline:
            break
        order, pe = best_order.copy(), best_pe.copy()
        found_order, found_pe = order.copy(), pe.copy()
        warm = max(best * (0.1, 0.02, 0.01)[k % 3], 1e-3)
        cooling = 0.01 ** (1.0 / _CHUNK)
        found = search.anneal(
            order, pe, t.arrays, _CHUNK, rng, warm, cooling, bound,
            found_order, found_pe,
        )  # fmt: skip
        if found < best:
            best, best_order, best_pe = found, found_order, found_pe
            if on_incumbent is not None:
                on_incumbent(_decoded(best_order, best_pe, t))
    return _decoded(best_order, best_pe, t)


def _decoded(order: IntArray, pe: IntArray, t: Tables) -> SoCDagSolution:
    n, m = t.arrays[0].shape
    end, free = np.zeros(n, dtype=np.int64), np.zeros(m, dtype=np.int64)
    search.evaluate(order, pe, t.arrays, end, free)
    return SoCDagSolution(pe=pe, start=end - t.arrays[0][np.arange(n), pe])


@solver
def local_search(
    instance: SoCDagInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: SoCDagSolution | None,
    on_incumbent: Report,
    moves: int = 200_000,
) -> Draft:
    """Annealing of the order of tasks and their PEs, from the best list schedule.

    Args:
        instance: The graph.
        time_limit: In seconds; with one, the search goes on until then, whatever ``moves`` says.
        seed: Seed of the moves.
        start: Schedule to begin from, if it is better.
        on_incumbent: Called with each better schedule.
        moves: How many to try without a limit.
    """
    check(instance, "local_search")
    warm_up()
    began = time.perf_counter()
    best = constructed(instance)
    if start is not None:
        on_incumbent(start)  # which checks it
        best = min(best, start, key=lambda schedule: objective(instance, schedule))
    on_incumbent(best)
    deadline = began + (math.inf if time_limit is None else time_limit)
    best = improved(
        instance, best, seed=seed, moves=moves, deadline=deadline, on_incumbent=on_incumbent
    )
    return Draft(best, lower_bound(instance))
