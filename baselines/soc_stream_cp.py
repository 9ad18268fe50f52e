"""CP-SAT on job streams: with hindsight on all of it, or again and again on what is there."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import IntArray
from ..instances.soc_dag import (
    SoCStreamInstance,
    SoCStreamSolution,
    lower_bound,
    objective,
)
from . import cp_sat as engine
from .soc_stream_run import Job, Plan, Run, min_eft_plan
from .solver import Draft, Report, Status, solver

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar


@dataclass(frozen=True)
class Variables:
    """The variables of :func:`build_stream_model`, by place in the list of jobs and task.

    Attributes:
        start: Of each task that has not started.
        on: ``(job, task, pe)`` to whether the task runs there.
        end: Of each job.
    """

    start: Mapping[tuple[int, int], IntVar]
    on: Mapping[tuple[int, int, int], IntVar]
    end: tuple[IntVar, ...]

    def pe(self, values: IntArray) -> dict[tuple[int, int], int]:
        """The PE of each task in a solution."""
        return {(x, i): p for (x, i, p), literal in self.on.items() if values[literal.index]}


def build_stream_model(jobs: list[Job], free: list[int], horizon: int) -> tuple[CpModel, Variables]:
    """The tasks of some jobs that have not started, minimising the sum of the jobs' ends.

    Args:
        jobs: The jobs, with what has started.
        free: When each PE is free.
        horizon: Latest end.

    Returns:
        The model and its variables.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    start: dict[tuple[int, int], IntVar] = {}
    end: dict[tuple[int, int], IntVar] = {}
    on: dict[tuple[int, int, int], IntVar] = {}
    on_pe: list[list[cp_model.IntervalVar]] = [[] for _ in free]
    ends = []
    for x, job in enumerate(jobs):
        last = model.new_int_var(int(max(job.end.max(), 0)), horizon, f"job_{x}")
        ends.append(last)
        for i in np.flatnonzero(job.pe < 0).tolist():
            begin = start[x, i] = model.new_int_var(job.release, horizon, f"start_{x}_{i}")
            stop = end[x, i] = model.new_int_var(job.release, horizon, f"end_{x}_{i}")
            model.add(last >= stop)
            ways = np.flatnonzero(job.times[i] >= 0).tolist()
            for p in ways:
                literal = on[x, i, p] = model.new_bool_var(f"on_{x}_{i}_{p}")
                length = int(job.times[i, p])
                on_pe[p].append(
                    model.new_optional_interval_var(begin, length, stop, literal, f"{x}_{i}_{p}")
                )
                if free[p] > job.release:
                    model.add(begin >= free[p]).only_enforce_if(literal)
            model.add_exactly_one(on[x, i, p] for p in ways)
    for intervals in on_pe:
        model.add_no_overlap(intervals)
    for (x, i), begin in start.items():
        job = jobs[x]
        for k, e in job.before(i):
            c, ended = job.graph.communication[e], (x, k) not in end
            if not ended:
                model.add(begin >= end[x, k])
            for q in range(len(free)):
                if (x, i, q) not in on:
                    continue
                if ended:
                    there = int(job.end[k] + c[job.pe[k], q])
                    model.add(begin >= there).only_enforce_if(on[x, i, q])
                    continue
                for p in range(len(free)):
                    if (x, k, p) in on and c[p, q]:
                        both = [on[x, k, p], on[x, i, q]]
                        model.add(begin >= end[x, k] + int(c[p, q])).only_enforce_if(both)
    model.minimize(sum(ends))
    return model, Variables(start, on, tuple(ends))


def _plan_hint(variables: Variables, plan: Plan, jobs: list[Job]) -> Iterator[tuple[IntVar, int]]:
    pe = {key: p for p, queue in enumerate(plan.queues) for key in queue}
    last = [int(job.end.max()) for job in jobs]
    for (x, i), at in plan.start.items():
        yield variables.start[x, i], at
        last[x] = max(last[x], at + int(jobs[x].times[i, pe[x, i]]))
    for (x, i, p), literal in variables.on.items():
        yield literal, int(pe[x, i] == p)
    yield from zip(variables.end, last, strict=True)


def _check(instance: Any, title: str) -> SoCStreamInstance:
    if not isinstance(instance, SoCStreamInstance):
        raise ValueError(f"{title}: {type(instance).__name__}, expected a SoCStreamInstance.")
    return instance


@solver(name="min_eft_plan")
def min_eft_plan_solver(instance: SoCStreamInstance) -> SoCStreamSolution:
    """Follow the plan of least finish times, made anew whenever a job enters the system."""
    return Run(_check(instance, "min_eft_plan"), min_eft_plan).play()


@solver
def rolling_cp_sat(
    instance: SoCStreamInstance,
    *,
    time_limit: float | None,
    seed: int,
    limit: float = 0.05,
) -> SoCStreamSolution:
    """Plan all jobs in the system with CP-SAT whenever one enters, and follow the plan.

    Plans minimise the sum of the expected ends of the jobs that are there; what is to come is not
    known. Each begins from the plan of least finish times and is never worse than that one. Unlike
    a policy of the environment, it commits a task to a PE only when it starts.

    Args:
        instance: The stream.
        time_limit: In seconds, for all plans; afterwards the plans are those of least finish times.
        seed: Seed of the search.
        limit: Of each plan, in CP-SAT's deterministic time, so that results repeat.
    """
    if not limit > 0:
        raise ValueError(f"limit {limit}, expected more than 0.")
    deadline = time.perf_counter() + (math.inf if time_limit is None else time_limit)

    def plan(now: int, jobs: list[Job], free: list[int]) -> Plan:
        greedy = min_eft_plan(now, jobs, free)
        if not greedy.start or time.perf_counter() > deadline:
            return greedy
        return _improved(greedy, now, jobs, free, limit, seed)

    return Run(_check(instance, "rolling_cp_sat"), plan).play()


def _improved(
    greedy: Plan, now: int, jobs: list[Job], free: list[int], limit: float, seed: int
) -> Plan:
    """A plan at least as good, by CP-SAT."""
    pe = {key: p for p, queue in enumerate(greedy.queues) for key in queue}
    ends = [at + int(jobs[x].times[i, pe[x, i]]) for (x, i), at in greedy.start.items()]
    slack = greedy.cost - sum(int(job.end.max()) for job in jobs)
    horizon = max([*ends, now, *(int(job.end.max()) for job in jobs)]) + max(slack, 0)
    model, variables = build_stream_model(_from(now, jobs), free, horizon)
    hint = _plan_hint(variables, greedy, jobs)
    outcome = engine.minimise(model, time_limit=limit, seed=seed, hint=hint, deterministic=True)
    if outcome.values is None:
        return greedy
    cost = sum(int(outcome.values[end.index]) for end in variables.end)
    if cost >= greedy.cost:
        return greedy
    start = {key: int(outcome.values[v.index]) for key, v in variables.start.items()}
    queues: list[list[tuple[int, int]]] = [[] for _ in free]
    chosen = variables.pe(outcome.values)
    for key in sorted(start, key=lambda key: _turn(key, start, jobs, chosen)):
        queues[chosen[key]].append(key)
    return Plan(queues, start, cost)


def _turn(
    key: tuple[int, int],
    start: dict[tuple[int, int], int],
    jobs: list[Job],
    chosen: dict[tuple[int, int], int],
) -> tuple[int, int, int]:
    """When a task comes in the queue of its PE: by start, end and topological order."""
    x, i = key
    order = jobs[x].graph.topological.tolist()
    return start[key], start[key] + int(jobs[x].times[i, chosen[key]]), order.index(i)


def _from(now: int, jobs: list[Job]) -> list[Job]:
    """The jobs, none of whose tasks can start in the past any more."""
    return [
        Job(job.number, job.graph, max(now, job.release), job.times, job.pe, job.end)
        for job in jobs
    ]


@solver
def cp_sat(
    instance: SoCStreamInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: SoCStreamSolution | None,
    on_incumbent: Report,
    workers: int = engine.WORKERS,
    deterministic: bool = False,
    log: bool = False,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """The clairvoyant reference: CP-SAT that knows all arrivals and run times beforehand.

    Jobs enter first come, first served, at most ``capacity`` at once. No policy can know what this
    solver knows; its bound holds for all of them. Streams with losses are refused: there, who
    enters depends on the schedule.

    Args:
        instance: The stream, with admission ``backlog``.
        time_limit: In seconds, or ``None`` to search until the proof; see ``deterministic``.
        seed: Seed of the search.
        start: Schedule to begin from.
        on_incumbent: Called with each better schedule.
        workers: Number of search workers; 0 for one per core.
        deterministic: Solution and bound repeat; slower. The limit then counts the engine's work
            instead of seconds.
        log: Write the search log to the ``gapgym`` logger, at level INFO.
        parameters: Further parameters of CP-SAT by name.
    """
    if _check(instance, "cp_sat").admission != "backlog":
        raise ValueError(f"cp_sat: admission {instance.admission!r}, expected 'backlog'.")
    began = time.perf_counter()
    best = Run(instance, min_eft_plan).play()
    if start is not None:
        on_incumbent(start)  # which checks it
        best = min(best, start, key=lambda schedule: objective(instance, schedule))
    on_incumbent(best)
    value, bound = objective(instance, best), lower_bound(instance)
    jobs = _all_jobs(instance)
    arrivals = int(instance.arrival_times.sum())
    horizon = int(instance.arrival_times.max()) + value  # no job of a better schedule ends later
    model, variables = build_stream_model(jobs, [0] * instance.num_pes, horizon)
    entry = _add_entries(model, instance, variables, horizon)
    limit = time_limit
    if time_limit is not None and not deterministic:
        limit = max(began + time_limit - time.perf_counter(), 0.0)
    outcome = engine.minimise(
        model,
        time_limit=limit,
        seed=seed,
        workers=workers,
        hint=_hint(instance, variables, entry, best),
        deterministic=deterministic,
        log=log,
        parameters=parameters,
        on_solution=lambda values: on_incumbent(_schedule(instance, variables, values)),
    )
    if outcome.values is not None:
        best = _schedule(instance, variables, outcome.values)
    status = Status.OPTIMAL if outcome.status is Status.OPTIMAL else Status.FEASIBLE
    proven = bound if outcome.bound is None else max(bound, outcome.bound - arrivals)
    return Draft(best, proven, status)


def _all_jobs(instance: SoCStreamInstance) -> list[Job]:
    """All jobs, none started, with the run times of the scenario."""
    jobs = []
    for j, k in enumerate(instance.job_profiles.tolist()):
        graph = instance.profiles[k]
        factor = instance.factors[j, : graph.num_tasks, None]
        drawn = np.maximum(np.rint(graph.run_times * factor), 1).astype(np.int64)
        times = np.where(graph.run_times > 0, drawn, graph.run_times)
        none = np.full(graph.num_tasks, -1)
        jobs.append(Job(j, graph, int(instance.arrival_times[j]), times, none, none.copy()))
    return jobs


def _add_entries(
    model: CpModel, instance: SoCStreamInstance, variables: Variables, horizon: int
) -> list[IntVar]:
    """Jobs enter in order, so that at most ``capacity`` are in the system; returns when."""
    entries: list[IntVar] = []
    spans = []
    for x, arrival in enumerate(instance.arrival_times.tolist()):
        entry = model.new_int_var(arrival, horizon, f"entry_{x}")
        stay = model.new_int_var(0, horizon, f"stay_{x}")
        spans.append(model.new_interval_var(entry, stay, variables.end[x], f"job_{x}"))
        if entries:
            model.add(entry >= entries[-1])
        entries.append(entry)
    for (x, _), begin in variables.start.items():
        model.add(begin >= entries[x])
    model.add_cumulative(spans, [1] * len(spans), instance.capacity)
    return entries


def _hint(
    instance: SoCStreamInstance,
    variables: Variables,
    entries: list[IntVar],
    schedule: SoCStreamSolution,
) -> Iterator[tuple[IntVar, int]]:
    for (x, i), variable in variables.start.items():
        yield variable, int(schedule.start[x, i])
    for (x, i, p), literal in variables.on.items():
        yield literal, int(schedule.pe[x, i] == p)
    for x, entry in enumerate(entries):
        yield entry, int(schedule.start[x][schedule.start[x] >= 0].min())


def _schedule(
    instance: SoCStreamInstance, variables: Variables, values: IntArray
) -> SoCStreamSolution:
    shape = (len(instance.arrival_times), instance.most_tasks)
    start, pe = np.full(shape, -1), np.full(shape, -1)
    for key, variable in variables.start.items():
        start[key] = values[variable.index]
    for (x, i), p in variables.pe(values).items():
        pe[x, i] = p
    return SoCStreamSolution(pe=pe, start=start)
