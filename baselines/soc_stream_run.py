"""A stream of jobs played event by event, in plain Python, for planners that look at all of it.

This is the second witness beside the simulator: a plan says in which order each PE takes its tasks;
a task starts when its turn has come, its data are there and its PE is free. A planner sees what has
happened and the expected run times, never the scenario.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..instances.core import IntArray
from ..instances.soc_dag import SoCDagInstance, SoCStreamInstance, SoCStreamSolution


@dataclass
class Job:
    """A job in the system, as a planner sees it.

    Attributes:
        number: Of the job.
        graph: Its task graph.
        release: No task starts before, in ticks.
        times: ``(n, m)`` run times to plan with; -1 where a PE does not support a task.
        pe: ``(n,)`` PE of each task that has started, -1 for the others.
        end: ``(n,)`` their ends; of those that run, the expected ones.
    """

    number: int
    graph: SoCDagInstance
    release: int
    times: IntArray
    pe: IntArray
    end: IntArray

    def before(self, i: int) -> list[tuple[int, int]]:
        """The predecessors of a task, each with the number of its edge."""
        return self._before[i]

    def __post_init__(self) -> None:
        self._before: list[list[tuple[int, int]]] = [[] for _ in range(self.graph.num_tasks)]
        for e, (i, j) in enumerate(self.graph.edges.tolist()):
            self._before[j].append((i, e))


@dataclass
class Plan:
    """What each PE does next.

    Attributes:
        queues: Per PE the (place in the list of jobs, task) in order.
        start: Planned start of each of them.
        cost: Sum of the planned ends of all jobs.
    """

    queues: list[list[tuple[int, int]]]
    start: dict[tuple[int, int], int]
    cost: int


#: From the time, the jobs in the system, and when each PE is expected to be free.
Planner = Callable[[int, list[Job], list[int]], Plan]


def min_eft_plan(now: int, jobs: list[Job], free: list[int]) -> Plan:
    """Again and again the task and PE of least expected finish, of those whose turn may come."""
    free, queues = list(free), [[] for _ in free]  # type: ignore[var-annotated]
    pes, ends = [job.pe.copy() for job in jobs], [job.end.copy() for job in jobs]
    start: dict[tuple[int, int], int] = {}
    left = [(x, i) for x, job in enumerate(jobs) for i in np.flatnonzero(job.pe < 0).tolist()]
    while left:
        best = (math.inf, 0, 0, 0, 0)
        for x, i in left:
            job = jobs[x]
            if any(pes[x][k] < 0 for k, _ in job.before(i)):
                continue
            for p in np.flatnonzero(job.times[i] >= 0).tolist():
                at = max(now, job.release, free[p])
                for k, e in job.before(i):
                    there = ends[x][k] + job.graph.communication[e, pes[x][k], p]
                    at = max(at, int(there))
                best = min(best, (at + int(job.times[i, p]), x, i, p, at))
        finish, x, i, p, at = best
        pes[x][i], ends[x][i], free[p] = p, finish, int(finish)
        queues[p].append((x, i))
        start[x, i] = at
        left.remove((x, i))
    return Plan(queues, start, sum(int(end.max()) for end in ends))


@dataclass
class Run:
    """The stream so far; :meth:`play` plays it to its end."""

    instance: SoCStreamInstance
    planner: Planner
    jobs: list[Job] = field(default_factory=list)
    outside: list[int] = field(default_factory=list)

    def play(self) -> SoCStreamSolution:
        """The realised schedule."""
        instance = self.instance
        shape = (len(instance.arrival_times), instance.most_tasks)
        self.start, self.pe = np.full(shape, -1), np.full(shape, -1)
        self.running: list[tuple[Job, int, int] | None] = [None] * instance.num_pes
        self.queues: list[list[tuple[Job, int]]] = [[] for _ in self.running]
        arrivals, arrived, now = instance.arrival_times.tolist(), 0, 0
        while True:
            entered = False
            while arrived < len(arrivals) and arrivals[arrived] <= now:
                if len(self.jobs) < instance.capacity:
                    entered = self._enter(arrived, now)
                elif instance.admission == "backlog":
                    self.outside.append(arrived)
                arrived += 1
            self._finish(now)
            while self.outside and len(self.jobs) < instance.capacity:
                entered = self._enter(self.outside.pop(0), now)
            if entered:
                self._plan(now)
            self._start(now)
            coming = [run[2] for run in self.running if run is not None]
            coming += self._data_to_come(now)
            coming += arrivals[arrived : arrived + 1]
            if not coming:
                return SoCStreamSolution(pe=self.pe, start=self.start)
            now = min(coming)

    def _enter(self, number: int, now: int) -> bool:
        graph = self.instance.profiles[self.instance.job_profiles[number]]
        none = np.full(graph.num_tasks, -1)
        self.jobs.append(Job(number, graph, now, graph.run_times, none, none.copy()))
        return True

    def _plan(self, now: int) -> None:
        free = [now] * len(self.running)
        for p, run in enumerate(self.running):
            if run is not None:
                job, i, _ = run
                expected = int(self.start[job.number, i]) + int(job.times[i, p])
                free[p] = job.end[i] = max(now, expected)
        plan = self.planner(now, self.jobs, free)
        self.queues = [[(self.jobs[x], i) for x, i in queue] for queue in plan.queues]

    def _finish(self, now: int) -> None:
        for p, run in enumerate(self.running):
            if run is not None and run[2] <= now:
                job, i, end = run
                job.end[i] = end
                self.running[p] = None
        busy = {(run[0].number, run[1]) for run in self.running if run is not None}
        for job in list(self.jobs):
            ran = (job.pe >= 0).all()
            if ran and not any(number == job.number for number, _ in busy):
                self.jobs.remove(job)

    def _data_at(self, job: Job, i: int, p: int) -> float:
        """When the data of a task are on a PE; infinite before its predecessors have ended."""
        busy = {(run[0].number, run[1]) for run in self.running if run is not None}
        at = float(job.release)
        for k, e in job.before(i):
            if job.pe[k] < 0 or (job.number, k) in busy:
                return math.inf
            at = max(at, float(job.end[k] + job.graph.communication[e, job.pe[k], p]))
        return at

    def _start(self, now: int) -> None:
        for p, queue in enumerate(self.queues):
            if self.running[p] is None and queue and self._data_at(*queue[0], p) <= now:
                job, i = queue.pop(0)
                expected = int(job.times[i, p])
                factor = float(self.instance.factors[job.number, i])
                took = max(1, int(np.rint(expected * factor))) if expected else 0
                self.start[job.number, i], self.pe[job.number, i] = now, p
                job.pe[i], job.end[i] = p, now + took
                self.running[p] = (job, i, now + took)

    def _data_to_come(self, now: int) -> list[int]:
        found = []
        for p, queue in enumerate(self.queues):
            if self.running[p] is None and queue:
                at = self._data_at(*queue[0], p)
                if now < at < math.inf:
                    found.append(int(at))
        return found
