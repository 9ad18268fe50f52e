"""Schedules of a job shop built operation by operation, from the definition.

This construction knows no simulator: it is the second witness for what the rules in
``job_shop.py`` do there, and the source of CP-SAT's horizon and hints. Both schedules cost
``O(N n)`` for ``N`` operations of ``n`` jobs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..instances.core import FloatArray, IntArray
from ..instances.job_shop import JobShopInstance, JobShopSolution, tails

_NEVER = 2**60  # later than any time: durations sum to less than 2^53

#: Jobs that may come next, by their earliest starts, earliest ends and machines.
_Candidates = Callable[[IntArray, IntArray, IntArray], IntArray]
#: Priority of jobs, smallest first, by their earliest starts, and of their operations.
_Key = Callable[[IntArray, IntArray, IntArray], FloatArray]


def active_wait(instance: JobShopInstance) -> JobShopSolution:
    """The active schedule of smallest ``ln p - ln r + 2 w / p`` first.

    ``p`` is the duration of the operation, ``r`` the work remaining of its job, ``w`` how much
    later than its earliest competitor it could start. An operation that takes no time goes first if
    it need not wait, and last otherwise.
    """
    p = np.maximum(instance.durations, 1e-20)
    log_ratio = np.log(p / _work_remaining(instance))

    def key(jobs: IntArray, operations: IntArray, earliest: IntArray) -> FloatArray:
        wait: FloatArray = 2.0 * (earliest - earliest.min()) / p[jobs, operations]
        return log_ratio[jobs, operations] + wait

    return _schedule(instance, _conflict, key)


def spt_mwkr(instance: JobShopInstance) -> JobShopSolution:
    """The non-delay schedule of smallest ``p / r`` first (letters as for :func:`active_wait`)."""
    ratio: FloatArray = instance.durations / _work_remaining(instance)
    return _schedule(instance, _earliest, lambda jobs, operations, _: ratio[jobs, operations])


def _work_remaining(instance: JobShopInstance) -> IntArray:
    """``(n, K)`` work of the job from the operation on; 1 where there is none, to divide by."""
    work: IntArray = np.maximum(instance.durations + tails(instance), 1)
    return work


def _conflict(earliest: IntArray, ends: IntArray, machines: IntArray) -> IntArray:
    """The conflict set of Giffler and Thompson 1960 (doi:10.1287/opre.8.4.487).

    On the machine of the operation that could end first, at ``c``: the operations that could start
    before ``c``, and those that could end at ``c``, which take no time if they start there.
    """
    first = ends.argmin()
    c = ends[first]
    return np.flatnonzero((machines == machines[first]) & ((earliest < c) | (ends == c)))


def _earliest(earliest: IntArray, ends: IntArray, machines: IntArray) -> IntArray:
    """The jobs that could start first: a machine is never idle while an operation waits for it."""
    return np.flatnonzero(earliest == earliest.min())


def _schedule(instance: JobShopInstance, candidates: _Candidates, key: _Key) -> JobShopSolution:
    """Append operations to their machines, one by one, each at its earliest start."""
    n, length = instance.machines.shape
    routing = np.column_stack([instance.machines, np.full(n, -1)])
    p = np.column_stack([instance.durations, np.zeros(n, dtype=np.int64)])
    start = np.full((n, length), -1, dtype=np.int64)
    machine_ready = np.zeros(instance.num_machines, dtype=np.int64)
    operation = np.zeros(n, dtype=np.int64)
    machine, earliest = routing[:, 0].copy(), np.zeros(n, dtype=np.int64)
    end = p[:, 0].copy()
    for _ in range(int(instance.num_operations.sum())):
        jobs = candidates(earliest, end, machine)
        if len(jobs) > 1:
            job = int(jobs[key(jobs, operation[jobs], earliest[jobs]).argmin()])
        else:
            job = int(jobs[0])
        used, free, k = machine[job], end[job], operation[job]
        start[job, k] = earliest[job]
        machine_ready[used] = free
        operation[job] = k + 1
        machine[job] = routing[job, k + 1]
        waiting = machine == used
        earliest[waiting] = np.maximum(earliest[waiting], free)
        end[waiting] = earliest[waiting] + p[waiting, operation[waiting]]
        finished = machine[job] < 0
        earliest[job] = _NEVER if finished else max(free, machine_ready[machine[job]])
        end[job] = earliest[job] + p[job, k + 1]
    return JobShopSolution(start)
