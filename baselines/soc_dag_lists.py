"""List schedulers of task graphs, by the definitions of their papers.

Letters: ``w_ip`` run times, means over the PEs that support a task; ``c_ij`` transfers, means over
all pairs of different PEs. Ranks are compared to six decimals, so that equal ones are equal however
they were summed up; ties go to the task that comes first topologically, then to the lower PE.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..instances.core import FloatArray, IntArray
from ..instances.soc_dag import (
    SoCDagInstance,
    SoCDagSolution,
    SoCStreamInstance,
    heft_example,
)
from . import soc_dag_kernels as kernels
from .solver import Result, Solver, solver

Schedule = Callable[..., SoCDagSolution]


@dataclass(frozen=True)
class Tables:
    """What the list schedulers look at.

    Attributes:
        arrays: The tuple ``g`` of the kernels.
        position: ``(n,)`` place of each task in the topological order.
        mean: ``(n,)`` mean run times.
        transfer: ``(E,)`` mean transfer times.
        rank_up: ``(n,)`` upward rank: ``mean w_i + max_j (mean c_ij + rank_j)``.
        level: ``(n,)`` static level: the same without transfers.
    """

    arrays: tuple[Any, ...]
    position: IntArray
    mean: FloatArray
    transfer: FloatArray
    rank_up: FloatArray
    level: FloatArray


def check(instance: Any, title: str) -> SoCDagInstance:
    """The instance, if it is a single graph.

    Raises:
        ValueError: If not; the message says which solvers apply.
    """
    if not isinstance(instance, SoCDagInstance):
        kind = "a stream" if isinstance(instance, SoCStreamInstance) else type(instance).__name__
        raise ValueError(
            f"{title}: {kind}, expected a SoCDagInstance (for streams: see 'gapgym list soc_dag')."
        )
    return instance


def tables(instance: SoCDagInstance) -> Tables:
    """The tables of an instance; O(E m^2)."""
    n, m = instance.run_times.shape
    source, target = instance.edges[:, 0], instance.edges[:, 1]
    position = np.empty(n, dtype=np.int64)
    position[instance.topological] = np.arange(n)
    by_target, by_source = np.argsort(target, kind="stable"), np.argsort(source, kind="stable")
    arrays = (
        instance.run_times,
        _firsts(target, n),
        source[by_target],
        by_target,
        _firsts(source, n),
        target[by_source],
        by_source,
        instance.communication,
    )
    supported = instance.run_times >= 0
    mean = np.where(supported, instance.run_times, 0).sum(axis=1) / supported.sum(axis=1)
    transfer = instance.communication.sum(axis=(1, 2)) / max(m * (m - 1), 1)
    rank_up, level = np.zeros(n), np.zeros(n)
    steps = np.lexsort((target, -position[source])).tolist()  # sources from the last one on
    pairs, times = instance.edges.tolist(), transfer.tolist()
    up, flat, means = [0.0] * n, [0.0] * n, mean.tolist()
    for e in steps:  # when the edges of a source are read, its targets are final
        i, j = pairs[e]
        up[i] = max(up[i], times[e] + up[j] + means[j])
        flat[i] = max(flat[i], flat[j] + means[j])
    rank_up, level = np.round(np.array(up) + mean, 6), np.round(np.array(flat) + mean, 6)
    return Tables(arrays, position, mean, transfer, rank_up, level)


def _firsts(tasks: IntArray, n: int) -> IntArray:
    counts = np.bincount(tasks, minlength=n)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def solution_of(plan: tuple[Any, ...]) -> SoCDagSolution:
    """The schedule of a kernel."""
    return SoCDagSolution(pe=plan[0], start=plan[1])


def _order(t: Tables, rank: FloatArray) -> IntArray:
    """The tasks by decreasing rank, topologically where ranks are equal."""
    return np.lexsort((t.position, -rank))


def heft(instance: SoCDagInstance, *, insertion: bool = True) -> SoCDagSolution:
    """Heterogeneous earliest finish time (Topcuoglu et al. 2002, doi:10.1109/71.993206).

    By decreasing upward rank, each task to the PE where it finishes first.

    Args:
        instance: The graph.
        insertion: Whether gaps between tasks are used.
    """
    t = tables(check(instance, "heft"))
    return solution_of(kernels.in_order(_order(t, t.rank_up), t.arrays, insertion))


def cpop(instance: SoCDagInstance) -> SoCDagSolution:
    """Critical path on a processor (Topcuoglu et al. 2002, doi:10.1109/71.993206).

    Priority: upward plus downward rank. The tasks of the path of highest priority go to the PE on
    which that path takes least time (those that it does not support, and all others: to the PE
    where they finish first).
    """
    t = tables(check(instance, "cpop"))
    n, m = instance.run_times.shape
    down = [0.0] * n
    order, means = instance.topological.tolist(), t.mean.tolist()
    after: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for (i, j), c in zip(instance.edges.tolist(), t.transfer.tolist(), strict=True):
        after[i].append((j, c))
    for i in order:
        for j, c in after[i]:
            down[j] = max(down[j], down[i] + means[i] + c)
    priority = np.round(t.rank_up + np.array(down), 5)
    entries = [i for i in order if t.arrays[1][i] == t.arrays[1][i + 1]]
    at = max(entries, key=lambda i: priority[i])
    path = [at]
    while after[at]:
        at = max((j for j, _ in after[at]), key=lambda j: priority[j])
        path.append(at)
    on_path = instance.run_times[path]
    least = np.lexsort(
        (np.arange(m), np.maximum(on_path, 0).sum(axis=0), (on_path < 0).sum(axis=0))
    )
    chosen = int(least[0])
    fixed = np.full(n, -1, dtype=np.int64)
    fixed[path] = np.where(on_path[:, chosen] >= 0, chosen, -1)
    plan = kernels.by_priority(priority, t.position, np.zeros((n, m)), fixed, t.arrays)
    return solution_of(plan)


def optimistic_costs(instance: SoCDagInstance, t: Tables) -> FloatArray:
    """PEFT's table ``OCT_ip = max_j min_q (OCT_jq + w_jq + (mean c_ij if p != q))``."""
    n, m = instance.run_times.shape
    cost = np.zeros((n, m))
    w = np.where(instance.run_times >= 0, instance.run_times, np.inf)
    away = 1.0 - np.eye(m)
    _, _, _, _, first, task, edge, _ = t.arrays
    for i in instance.topological[::-1].tolist():
        for k in range(first[i], first[i + 1]):
            j = task[k]
            then = (cost[j] + w[j] + t.transfer[edge[k]] * away).min(axis=1)
            np.maximum(cost[i], then, out=cost[i])
    return cost


def peft(instance: SoCDagInstance) -> SoCDagSolution:
    """Predict earliest finish time (Arabnejad and Barbosa 2014, doi:10.1109/TPDS.2013.57).

    Of the ready tasks the one of the largest mean optimistic cost, to the PE of least finish plus
    optimistic cost.
    """
    t = tables(check(instance, "peft"))
    cost = optimistic_costs(instance, t)
    fixed = np.full(instance.num_tasks, -1, dtype=np.int64)
    priority = np.round(cost.mean(axis=1), 6)
    return solution_of(kernels.by_priority(priority, t.position, cost, fixed, t.arrays))


def lookahead_heft(instance: SoCDagInstance) -> SoCDagSolution:
    """HEFT that looks at a task's children (Bittencourt et al. 2010, doi:10.1109/PDP.2010.56)."""
    t = tables(check(instance, "lookahead_heft"))
    order = _order(t, t.rank_up)
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    return solution_of(kernels.lookahead(order, position, t.arrays))


def _pairs(name: str, rule: int, doc: str) -> Schedule:
    def schedule(instance: SoCDagInstance) -> SoCDagSolution:
        t = tables(check(instance, name))
        return solution_of(kernels.pairs(rule, t.level, t.mean, t.arrays))

    schedule.__name__ = schedule.__qualname__ = name
    schedule.__doc__ = doc
    return schedule


#: Rules on ready tasks and PEs. Maheswaran et al. 1999 (doi:10.1006/jpdc.1999.1581) survey those
#: from ``min_eft`` to ``olb``, here with the arrival of data.
_PAIR_RULES: Mapping[str, tuple[int, str]] = {
    "min_eft": (kernels.MIN_EFT, "The ready task and PE of least finish time (Min-Min)."),
    "max_min": (kernels.MAX_MIN, "The ready task whose least finish time is largest."),
    "sufferage": (kernels.SUFFERAGE, "The ready task that loses most on its second-best PE."),
    "mct": (
        kernels.MCT,
        "Minimum completion time: ready tasks by number, each where it ends first.",
    ),
    "met": (kernels.MET, "Minimum execution time: ready tasks by number, each on its fastest PE."),
    "olb": (
        kernels.OLB,
        "Opportunistic load balancing: ready tasks by number, to the PE free first.",
    ),
    "etf": (kernels.ETF, "Earliest task first: least start (Hwang 1989, doi:10.1137/0218016)."),
    "dls": (kernels.DLS, "Dynamic level scheduling (Sih and Lee 1993, doi:10.1109/71.207593)."),
}

SCHEDULERS: Mapping[str, Schedule] = {
    "heft": heft,
    "cpop": cpop,
    "peft": peft,
    "lookahead_heft": lookahead_heft,
    **{name: _pairs(name, *what) for name, what in _PAIR_RULES.items()},
}


def _warm(name: str, schedule: Schedule) -> Solver:
    """A solver that loads its compiled kernel before the clock runs: the first time takes long."""
    timed = solver(name=name)(schedule)
    load = functools.cache(lambda: schedule(heft_example()))

    @functools.wraps(timed)
    def run(instance: Any, **arguments: Any) -> Result:
        load()
        return timed(instance, **arguments)

    return run  # type: ignore[return-value]


#: ``min_min`` is the name of ``min_eft`` in the literature on independent tasks.
SOLVERS: Mapping[str, Solver] = {
    **{name: _warm(name, schedule) for name, schedule in SCHEDULERS.items()},
    "min_min": _warm("min_min", SCHEDULERS["min_eft"]),
}
