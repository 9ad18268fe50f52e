"""Job shop scheduling, minimising the makespan.

Data: jobs ``j = 0..n-1`` with operations ``k = 0..K_j-1`` in a fixed order, each on one machine
``m_jk`` for ``p_jk >= 0`` ticks. Jobs may differ in length and may visit a machine more than once.

Constraints: an operation starts when its predecessor in the job has ended; a machine works on one
operation at a time and does not interrupt it, so that of two operations on one machine one ends
before the other starts (also where one takes no time).

Objective: the makespan ``C_max = max_jk (start_jk + p_jk)``, in ticks. Strongly NP-hard for three
machines (Garey, Johnson and Sethi 1976, doi:10.1287/moor.1.2.117).

A stochastic instance has ``cv > 0``: ``processing_times`` are the means that a dispatcher knows,
:attr:`JobShopInstance.durations` what happens in its ``scenario``; the solution is the realised
schedule, judged by the realised durations.
"""

from __future__ import annotations

import heapq

import numpy as np

from .core import IntArray
from .job_shop_files import best_known, load, names, normalise, read, write
from .job_shop_generators import GENERATORS, generate, taillard, two_set, uniform
from .job_shop_model import JobShopInstance, JobShopSolution
from .picture import Box, Picture

__all__ = [
    "GENERATORS",
    "PROBLEMS",
    "JobShopInstance",
    "JobShopSolution",
    "best_known",
    "generate",
    "heads",
    "jackson_bound",
    "job_bound",
    "load",
    "lower_bound",
    "machine_bound",
    "metrics",
    "names",
    "normalise",
    "objective",
    "picture",
    "read",
    "taillard",
    "tails",
    "two_set",
    "uniform",
    "upper_bound",
    "validate",
    "write",
]

PROBLEMS = {"job_shop": (JobShopInstance, JobShopSolution)}


# The referee.


def validate(instance: JobShopInstance, solution: JobShopSolution) -> None:
    """Check a complete schedule.

    The order of the checks is: shape, every operation scheduled, nothing scheduled that does not
    exist, precedence in each job, one operation at a time on each machine.

    Raises:
        ValueError: Naming the first violated constraint.
    """
    start, machines, durations = solution.start, instance.machines, instance.durations
    if start.shape != machines.shape:
        raise ValueError(f"start {start.shape}, expected {machines.shape}.")
    exists = machines >= 0
    for j, k in np.argwhere(exists & (start < 0)):
        raise ValueError(f"operation ({j}, {k}): start {start[j, k]}, expected >= 0.")
    for j, k in np.argwhere(start >= 2**53):
        raise ValueError(f"operation ({j}, {k}): start {start[j, k]}, expected below 2^53.")
    for j, k in np.argwhere(~exists & (start != -1)):
        raise ValueError(f"operation ({j}, {k}): does not exist, expected start -1.")
    end = start + durations
    for j, k in np.argwhere(exists[:, 1:] & (start[:, 1:] < end[:, :-1])):
        raise ValueError(
            f"operation ({j}, {k + 1}): starts at {start[j, k + 1]}, expected at or after the end"
            f" {end[j, k]} of operation ({j}, {k})."
        )
    job, operation = np.nonzero(exists)
    order = np.lexsort((end[exists], start[exists], machines[exists]))
    job, operation = job[order], operation[order]
    machine, starts, ends = machines[job, operation], start[job, operation], end[job, operation]
    for i in np.flatnonzero((machine[1:] == machine[:-1]) & (starts[1:] < ends[:-1])):
        raise ValueError(
            f"machine {machine[i]}: operations ({job[i]}, {operation[i]}) [{starts[i]}, {ends[i]})"
            f" and ({job[i + 1]}, {operation[i + 1]}) [{starts[i + 1]}, {ends[i + 1]}) overlap."
        )


def objective(instance: JobShopInstance, solution: JobShopSolution) -> int:
    """The makespan of a schedule, ``max_jk (start_jk + p_jk)``, in ticks.

    Raises:
        ValueError: If the schedule has another shape than the instance.
    """
    if solution.start.shape != instance.machines.shape:
        raise ValueError(f"start {solution.start.shape}, expected {instance.machines.shape}.")
    return int((solution.start + instance.durations)[instance.machines >= 0].max())


def metrics(instance: JobShopInstance, solution: JobShopSolution) -> dict[str, float]:
    """Secondary figures of a schedule.

    Returns:
        ``utilisation``: share of machine time until the makespan that is spent working;
        ``mean_flow_time``: mean completion time of the jobs, in ticks.
    """
    makespan = objective(instance, solution)
    ends = (solution.start + instance.durations).max(axis=1)
    busy = int(instance.durations.sum())
    return {
        "utilisation": busy / (makespan * instance.num_machines) if makespan else 0.0,
        "mean_flow_time": float(ends.mean()),
    }


# Bounds. All of them concern the realised durations.


def heads(instance: JobShopInstance) -> IntArray:
    """``(n, K)`` work of the job before each operation: its earliest start, in ticks."""
    before: IntArray = np.cumsum(instance.durations, axis=1) - instance.durations
    return before


def tails(instance: JobShopInstance) -> IntArray:
    """``(n, K)`` work of the job after each operation, in ticks."""
    total = instance.durations.sum(axis=1, keepdims=True)
    after: IntArray = total - np.cumsum(instance.durations, axis=1)
    return after


def job_bound(instance: JobShopInstance) -> int:
    """Length of the longest job."""
    return int(instance.durations.sum(axis=1).max())


def machine_bound(instance: JobShopInstance) -> int:
    """``max_m (min head + load + min tail)`` over the machines."""
    head, tail, best = heads(instance), tails(instance), 0
    for machine in range(instance.num_machines):
        on = instance.machines == machine
        if on.any():
            load = instance.durations[on].sum()
            best = max(best, int(head[on].min() + load + tail[on].min()))
    return best


def jackson_bound(instance: JobShopInstance) -> int:
    """``max_m`` of Jackson's preemptive schedule of one machine with heads and tails.

    Carlier 1982 (doi:10.1016/S0377-2217(82)80007-6); O(N log N) in all.
    """
    head, tail, best = heads(instance), tails(instance), 0
    for machine in range(instance.num_machines):
        on = instance.machines == machine
        triples = np.stack([head[on], instance.durations[on], tail[on]], axis=1)
        best = max(best, _jackson([(h, p, t) for h, p, t in triples.tolist()]))
    return best


def _jackson(operations: list[tuple[int, int, int]]) -> int:
    """Makespan with tails of the preemptive schedule that always works on the longest tail."""
    operations.sort()
    waiting: list[list[int]] = []  # heap of [-tail, remaining time]
    time = best = i = 0
    while i < len(operations) or waiting:
        if not waiting:
            time = max(time, operations[i][0])
        while i < len(operations) and operations[i][0] <= time:
            heapq.heappush(waiting, [-operations[i][2], operations[i][1]])
            i += 1
        tail, remaining = waiting[0]
        until = operations[i][0] if i < len(operations) else time + remaining
        work = min(remaining, until - time)
        time += work
        if work == remaining:
            heapq.heappop(waiting)
            best = max(best, time - tail)
        else:
            waiting[0][1] -= work
    return best


def lower_bound(instance: JobShopInstance) -> int:
    """The best of :func:`job_bound`, :func:`machine_bound` and :func:`jackson_bound`."""
    return max(job_bound(instance), jackson_bound(instance))


def upper_bound(instance: JobShopInstance) -> int:
    """The sum of all durations: no schedule without needless idle time is longer."""
    return int(instance.durations.sum())


# The picture.


def picture(instance: JobShopInstance, solution: JobShopSolution) -> Picture:
    """A Gantt chart: one lane per machine, one box per scheduled operation."""
    start, boxes = solution.start, []
    for j, k in np.argwhere((instance.machines >= 0) & (start >= 0)).tolist():
        begin, length = int(start[j, k]), int(instance.durations[j, k])
        boxes.append(
            Box(
                x=begin,
                y=int(instance.machines[j, k]),
                width=length,
                group=j,
                label=str(j),
                detail=f"job {j}, operation {k}: [{begin}, {begin + length})",
            )
        )
    end = max((box.x + box.width for box in boxes), default=0)
    bound = lower_bound(instance)
    return Picture(
        title=f"{instance.name or 'job shop'}: makespan {end:g}",
        x_label="time",
        y_label="machine",
        boxes=tuple(boxes),
        lanes=tuple(str(machine) for machine in range(instance.num_machines)),
        marks=((bound, f"lower bound {bound}"),),
        group_name="job",
    )
