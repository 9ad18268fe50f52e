"""Schedules of flexible job shops by construction: list scheduling, and whole jobs one by one.

With unlimited buffers an operation is appended to a machine at a time (parallel list scheduling),
with blocking or without wait a whole job, whose operations then follow one another at once: a
schedule without waits blocks nothing. O(N n m) and O(N m) per schedule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..instances.core import IntArray
from ..instances.job_shop_flexible import objective
from ..instances.job_shop_flexible_model import FlexibleJobShopInstance, FlexibleJobShopSolution


class _Machines:
    """When machines become free, after appending operations."""

    def __init__(self, instance: FlexibleJobShopInstance) -> None:
        self.instance = instance
        self.free = [0] * instance.num_machines
        self.last = [-1] * instance.num_machines
        self.down: list[list[tuple[int, int]]] = [[] for _ in self.free]
        for machine, begin, end in instance.downtimes.tolist():
            self.down[machine].append((begin, end))

    def earliest(self, job: int, machine: int, time: int, ready: int) -> int:
        """The earliest start of an operation at or after ``ready``, appended to a machine."""
        begin = self.free[machine]
        if self.instance.setups is not None:
            begin += int(self.instance.setups[machine, self.last[machine] + 1, job])
        begin = max(begin, ready)
        for down, up in self.down[machine]:
            if begin < up and down < begin + time:
                begin = up
        return begin

    def append(self, job: int, machine: int, end: int) -> None:
        """Let a job's operation on a machine end then."""
        self.free[machine], self.last[machine] = end, job


#: Smallest first: (job, operation, start, end) of the operation that could be scheduled next.
_Key = Callable[[int, int, int, int], tuple[float, ...]]


def constructed(
    instance: FlexibleJobShopInstance, start: FlexibleJobShopSolution | None = None
) -> FlexibleJobShopSolution:
    """The best of the constructed schedules and the given one."""
    found = [start] if start is not None else []
    found += _by_operation(instance) if instance.buffer == "unlimited" else _by_job(instance)
    return min(found, key=lambda schedule: objective(instance, schedule))


def _by_operation(instance: FlexibleJobShopInstance) -> list[FlexibleJobShopSolution]:
    shortest = instance.shortest
    rest = shortest.sum(axis=1, keepdims=True) - np.cumsum(shortest, axis=1) + shortest
    due = instance.due_dates if instance.due_dates is not None else instance.release_dates
    weight = np.maximum(instance.weights, 0.5)
    keys: list[_Key] = [
        lambda j, k, begin, end: (end, -rest[j, k]),
        lambda j, k, begin, end: (begin, -rest[j, k]),
        lambda j, k, begin, end: (begin, (end - begin) / max(1, rest[j, k])),
        lambda j, k, begin, end: (begin, rest[j, k] / weight[j]),
        lambda j, k, begin, end: (begin, due[j]),
        lambda j, k, begin, end: (begin, due[j] - rest[j, k] - begin),
        lambda j, k, begin, end: (due[j], begin),
    ]
    return [_list_schedule(instance, key) for key in keys]


def _list_schedule(instance: FlexibleJobShopInstance, key: _Key) -> FlexibleJobShopSolution:
    machines, times = _Machines(instance), instance.times.tolist()
    start = np.full(instance.exists.shape, -1, dtype=np.int64)
    on = start.copy()
    ready = instance.release_dates.tolist()
    done = [0] * instance.num_jobs
    lengths = instance.num_operations.tolist()
    while open_jobs := [j for j, k in enumerate(done) if k < lengths[j]]:
        options = []
        for j in open_jobs:
            end, begin, machine = _fastest(machines, j, times[j][done[j]], ready[j])
            options.append((key(j, done[j], begin, end), j, begin, end, machine))
        _, j, begin, end, machine = min(options)
        start[j, done[j]], on[j, done[j]] = begin, machine
        machines.append(j, machine, end)
        ready[j] = end
        done[j] += 1
    return FlexibleJobShopSolution(start, on)


def _fastest(machines: _Machines, job: int, times: list[int], ready: int) -> tuple[int, int, int]:
    """End, start and machine of an operation where it can end first."""
    options = []
    for machine, time in enumerate(times):
        if time >= 0:
            begin = machines.earliest(job, machine, time, ready)
            options.append((begin + time, begin, machine))
    return min(options)


def _by_job(instance: FlexibleJobShopInstance) -> list[FlexibleJobShopSolution]:
    work = instance.shortest.sum(axis=1)
    due = instance.due_dates if instance.due_dates is not None else instance.release_dates
    weight = np.maximum(instance.weights, 0.5)
    keys = [-work, work / weight, due, due - work, instance.release_dates]
    return [_job_schedule(instance, np.argsort(key, kind="stable")) for key in keys]


def _job_schedule(instance: FlexibleJobShopInstance, order: IntArray) -> FlexibleJobShopSolution:
    """Append whole jobs in an order, each as early as its operations follow without a wait."""
    machines, times = _Machines(instance), instance.times.tolist()
    start = np.full(instance.exists.shape, -1, dtype=np.int64)
    on = start.copy()
    for j in order.tolist():
        length = int(instance.num_operations[j])
        chosen: list[int] = []
        ready = int(instance.release_dates[j])
        for k in range(length):
            ready, _, machine = _fastest(machines, j, times[j][k], ready)
            chosen.append(machine)
        begins = _without_wait(machines, j, [times[j][k][m] for k, m in enumerate(chosen)], chosen)
        for k, (begin, machine) in enumerate(zip(begins, chosen, strict=True)):
            start[j, k], on[j, k] = begin, machine
            machines.append(j, machine, begin + times[j][k][machine])
    return FlexibleJobShopSolution(start, on)


def _without_wait(machines: _Machines, job: int, times: list[int], chosen: list[int]) -> list[int]:
    """Earliest starts at which every operation begins where its predecessor ends."""
    first = int(machines.instance.release_dates[job])
    while True:
        begins, at, delay = [], first, 0
        for time, machine in zip(times, chosen, strict=True):
            delay = machines.earliest(job, machine, time, at) - at
            if delay:
                break
            begins.append(at)
            at += time
        if not delay:
            return begins
        first += delay
