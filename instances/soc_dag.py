"""Scheduling task graphs on a heterogeneous SoC: single graphs (here) and job streams.

The family holds two problems, ``soc_dag`` and ``soc_stream`` (see ``soc_stream.py``); the functions
of this module take the instances of both.

Data of ``soc_dag``: tasks ``i = 0..n-1`` of an acyclic graph and processing elements (PEs) ``p =
0..m-1``; task ``i`` takes ``w_ip`` ticks on ``p``, or is not supported there. Run times are
unrelated. Where an edge joins tasks on two PEs, its data ``d_ij`` take ``c_ij(p, q) = L_pq + d_ij /
B_pq`` ticks, rounded; on one PE they take none. Transfers do not compete with each other.

Constraints: a task runs on one PE that supports it, without interruption; it starts when the data
of all its predecessors are there; a PE runs one task at a time (of two tasks on one PE, one ends
before the other starts, also where one takes no time).

Objective: the makespan ``max_i (start_i + w_i,pe(i))``, in ticks. Strongly NP-hard already for
identical PEs without communication (Ullman 1975, doi:10.1016/S0022-0000(75)80008-0). The model is
that of HEFT (Topcuoglu, Hariri and Wu 2002, doi:10.1109/71.993206); the SoC simulators DS3 (Arda et
al. 2020, arXiv 2003.09016) and SoCRATES (Sung and Ryu 2021, arXiv 2104.14354) use the same one with
``floor`` rounding.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from . import soc_stream as stream
from .core import IntArray, Reference
from .picture import Box, Picture
from .soc_dag_bounds import (
    area_bound,
    bottom_levels,
    interval_bound,
    min_path_bound,
    path_bound,
    tail_levels,
)
from .soc_dag_files import (
    from_networkx,
    heft_example,
    load,
    names,
    normalise,
    read,
    to_networkx,
    write,
)
from .soc_dag_generators import GENERATORS, generate
from .soc_dag_model import SoCDagInstance, SoCDagSolution
from .soc_stream_model import SoCStreamInstance, SoCStreamSolution

__all__ = [
    "GENERATORS",
    "PROBLEMS",
    "SoCDagInstance",
    "SoCDagSolution",
    "SoCStreamInstance",
    "SoCStreamSolution",
    "area_bound",
    "best_known",
    "bottom_levels",
    "from_networkx",
    "generate",
    "heft_example",
    "interval_bound",
    "load",
    "lower_bound",
    "metrics",
    "min_path_bound",
    "names",
    "normalise",
    "objective",
    "path_bound",
    "picture",
    "read",
    "tail_levels",
    "to_networkx",
    "upper_bound",
    "validate",
    "write",
]

PROBLEMS: dict[str, tuple[type[Any], type[Any]]] = {
    "soc_dag": (SoCDagInstance, SoCDagSolution),
    "soc_stream": (SoCStreamInstance, SoCStreamSolution),
}

Anything = SoCDagInstance | SoCStreamInstance
AnySolution = SoCDagSolution | SoCStreamSolution


# The referee of ``soc_dag``; that of streams is in its module.


def validate(instance: Anything, solution: AnySolution) -> None:
    """Check a complete schedule.

    The order of the checks is: shape, every task on a PE that supports it, starts, data of the
    predecessors, one task at a time on each PE.

    Raises:
        ValueError: Naming the first violated constraint.
    """
    if isinstance(instance, SoCStreamInstance):
        return stream.validate(instance, _of_stream(solution))
    schedule = _of_dag(solution)
    n, m = instance.run_times.shape
    for what, array in (("pe", schedule.pe), ("start", schedule.start)):
        if array.shape != (n,):
            raise ValueError(f"{what} {array.shape}, expected ({n},).")
    pe, start = schedule.pe.tolist(), schedule.start.tolist()
    for i in range(n):
        if not 0 <= pe[i] < m:
            raise ValueError(f"task {i}: PE {pe[i]}, expected 0..{m - 1}.")
        if instance.run_times[i, pe[i]] < 0:
            raise ValueError(f"task {i}: on PE {pe[i]}, which does not support it.")
        if not 0 <= start[i] < 2**53:
            raise ValueError(f"task {i}: start {start[i]}, expected 0..2^53 - 1.")
    end = [start[i] + int(instance.run_times[i, pe[i]]) for i in range(n)]
    for e, (i, j) in enumerate(instance.edges.tolist()):
        there = end[i] + _transfer(instance, e, pe[i], pe[j])
        if start[j] < there:
            raise ValueError(
                f"task {j}: starts at {start[j]} on PE {pe[j]}, expected at or after {there}, when"
                f" the data of task {i} (end {end[i]}, PE {pe[i]}) are there."
            )
    order = sorted(range(n), key=lambda i: (pe[i], start[i], end[i]))
    for i, j in pairwise(order):
        if pe[i] == pe[j] and start[j] < end[i]:
            raise ValueError(
                f"PE {pe[i]}: tasks {i} [{start[i]}, {end[i]}) and {j} [{start[j]}, {end[j]})"
                " overlap."
            )
    return None


def _transfer(instance: SoCDagInstance, e: int, p: int, q: int) -> int:
    """Ticks that the data of an edge take from PE ``p`` to ``q``, from the raw data."""
    if p == q:
        return 0
    volume, bandwidth = int(instance.data[e]), int(instance.bandwidth[p, q])
    whole, rest = divmod(volume, bandwidth)
    return int(instance.latency[p, q]) + whole + (rest > 0 and instance.rounding == "ceil")


def _of_dag(solution: AnySolution) -> SoCDagSolution:
    if not isinstance(solution, SoCDagSolution):
        raise ValueError(f"{type(solution).__name__}, expected a SoCDagSolution.")
    return solution


def _of_stream(solution: AnySolution) -> SoCStreamSolution:
    if not isinstance(solution, SoCStreamSolution):
        raise ValueError(f"{type(solution).__name__}, expected a SoCStreamSolution.")
    return solution


def objective(instance: Anything, solution: AnySolution) -> int:
    """The makespan of a schedule, or, of a stream, the total latency with penalties; in ticks.

    Raises:
        ValueError: If the schedule has another shape than the instance.
    """
    if isinstance(instance, SoCStreamInstance):
        return stream.objective(instance, _of_stream(solution))
    schedule = _of_dag(solution)
    if schedule.pe.shape != (instance.num_tasks,) or schedule.start.shape != schedule.pe.shape:
        raise ValueError(
            f"pe {schedule.pe.shape} and start {schedule.start.shape}, expected"
            f" ({instance.num_tasks},)."
        )
    return int((schedule.start + _run_times(instance, schedule)).max())


def _run_times(instance: SoCDagInstance, schedule: SoCDagSolution) -> IntArray:
    chosen: IntArray = instance.run_times[np.arange(instance.num_tasks), schedule.pe]
    return chosen


def metrics(instance: Anything, solution: AnySolution) -> dict[str, float]:
    """Secondary figures of a schedule; for streams, see ``soc_stream.metrics``.

    Returns:
        ``slr``: makespan divided by the longest path of least run times (0 if that is 0);
        ``speedup``: least time on one PE (where none supports all tasks: the sum of the least run
        times) divided by the makespan; ``efficiency``: speed-up by PEs; ``utilisation``: share of
        PE time until the makespan that is spent working.
    """
    if isinstance(instance, SoCStreamInstance):
        return stream.metrics(instance, _of_stream(solution))
    makespan, m = objective(instance, solution), instance.num_pes
    path = min_path_bound(instance)
    w = instance.run_times
    alone = w.sum(axis=0)[(w >= 0).all(axis=0)]
    least = np.where(w >= 0, w, np.iinfo(np.int64).max).min(axis=1)
    sequential = int(alone.min()) if alone.size else int(least.sum())
    busy = int(_run_times(instance, _of_dag(solution)).sum())
    speedup = sequential / makespan if makespan else 0.0
    return {
        "slr": makespan / path if path else 0.0,
        "speedup": speedup,
        "efficiency": speedup / m,
        "utilisation": busy / (makespan * m) if makespan else 0.0,
    }


# Bounds.


def lower_bound(instance: Anything) -> int:
    """The best of the communication-aware path and the interval bound; of streams, see there."""
    if isinstance(instance, SoCStreamInstance):
        return stream.lower_bound(instance)
    return max(path_bound(instance), interval_bound(instance))


def upper_bound(instance: Anything) -> int:
    """The sum of all slowest run times and transfers; of streams, see there.

    While a schedule that does not idle without need is not finished, a task runs or a transfer is
    on its way.
    """
    if isinstance(instance, SoCStreamInstance):
        return stream.upper_bound(instance)
    slowest = np.maximum(instance.run_times, 0).max(axis=1)
    return int(slowest.sum() + instance.communication.max(axis=(1, 2), initial=0).sum())


def best_known(instance: Anything) -> Reference | None:
    """Published bounds: none are restated here; CP-SAT proves the small public instances."""
    return None


# The picture.


def picture(instance: Anything, solution: AnySolution) -> Picture:
    """A Gantt chart, one lane per PE, with the transfers in lanes below; of streams, see there."""
    if isinstance(instance, SoCStreamInstance):
        return stream.picture(instance, _of_stream(solution))
    schedule = _of_dag(solution)
    boxes = [
        _task_box(instance, i, int(schedule.pe[i]), int(schedule.start[i]))
        for i in np.flatnonzero(schedule.start >= 0).tolist()
    ]
    end = max((box.x + box.width for box in boxes), default=0)
    bound = lower_bound(instance)
    m = instance.num_pes
    return Picture(
        title=f"{instance.name or 'SoC'}: makespan {end:g}",
        x_label=f"time ({instance.tick})" if instance.tick else "time",
        y_label="PE",
        boxes=(*boxes, *_transfer_boxes(instance, schedule)),
        lanes=(*(f"PE {p}" for p in range(m)), *(f"to PE {p}" for p in range(m))),
        marks=((bound, f"lower bound {bound}"),),
        group_name="task",
    )


def _task_box(instance: SoCDagInstance, i: int, p: int, begin: int) -> Box:
    length = int(instance.run_times[i, p])
    return Box(
        x=begin,
        y=p,
        width=length,
        group=i,
        label=str(i),
        detail=f"task {i} on PE {p}: [{begin}, {begin + length})",
    )


def _transfer_boxes(instance: SoCDagInstance, schedule: SoCDagSolution) -> list[Box]:
    boxes = []
    for e, (i, j) in enumerate(instance.edges.tolist()):
        p, q = int(schedule.pe[i]), int(schedule.pe[j])
        if p < 0 or q < 0 or not (length := _transfer(instance, e, p, q)):
            continue
        begin = int(schedule.start[i] + instance.run_times[i, p])
        boxes.append(
            Box(
                x=begin,
                y=instance.num_pes + q,
                width=length,
                group=i,
                label=f"{i}>{j}",
                detail=f"data of task {i} for task {j}: [{begin}, {begin + length})",
            )
        )
    return boxes
