"""A stream of jobs on a heterogeneous SoC: the referee, bounds and picture of ``soc_stream``.

Jobs ``j = 0..J-1`` arrive at given times; each is a task graph of one of the profiles, with the
constraints of ``soc_dag``, on PEs that all jobs share. At most ``capacity`` jobs are in the system
at once; one that finds it full waits outside, first come first served (``backlog``), or is lost
(``loss``). A job leaves with its last task; of what happens at one time, jobs arrive before
others leave. No task of a job starts before the job is in the system.

Objective: the sum of the latencies, from arrival to the end of the last task, of all jobs that are
not lost, plus ``penalty`` ticks for each lost one. It is the integral over time of the number of
jobs in the system or waiting outside (Little 1961, doi:10.1287/opre.9.3.383), plus the penalties.
All jobs that have arrived are completed: what happens after the horizon counts too.

In the simulators DS3 (arXiv 2003.09016) and SoCRATES (arXiv 2104.14354) tasks are assigned to PEs
when they become ready, and latency is counted over the jobs completed by the horizon; see the
metrics. Deviation from SoCRATES: attempts to enter come at times that do not depend on who was
lost, so that all policies meet the same stream (there, one tick passes after a lost attempt).
"""

from __future__ import annotations

import heapq

import numpy as np

from .core import IntArray
from .picture import Box, Picture
from .soc_dag_bounds import bottom_levels
from .soc_dag_model import SoCDagInstance
from .soc_stream_model import SoCStreamInstance, SoCStreamSolution


def run_time(instance: SoCStreamInstance, job: int, task: int, pe: int) -> int:
    """What a task of a job takes on a PE in the scenario, in ticks; -1 if it cannot run there."""
    first = int(instance.firsts[instance.job_profiles[job]])
    expected = int(instance.run_times[first + task, pe])
    if expected <= 0:
        return expected
    return max(1, int(np.rint(expected * float(instance.factors[job, task]))))


def validate(instance: SoCStreamInstance, solution: SoCStreamSolution) -> None:
    """Check a complete realised schedule.

    The order of the checks is: shape, per job (all or no tasks, PEs, data of predecessors), who is
    admitted and when, one task at a time on each PE.

    Raises:
        ValueError: Naming the first violated constraint.
    """
    shape = (len(instance.arrival_times), instance.most_tasks)
    for what, array in (("pe", solution.pe), ("start", solution.start)):
        if array.shape != shape:
            raise ValueError(f"{what} {array.shape}, expected {shape}.")
    ends = np.full(shape, -1, dtype=np.int64)
    for j, k in enumerate(instance.job_profiles.tolist()):
        _validate_job(instance, solution, j, instance.profiles[k], ends)
    _validate_admission(instance, solution, ends)
    _validate_pes(solution, ends)


def _validate_job(
    instance: SoCStreamInstance,
    solution: SoCStreamSolution,
    j: int,
    graph: SoCDagInstance,
    ends: IntArray,
) -> None:
    n, m = graph.num_tasks, graph.num_pes
    pe, start = solution.pe[j].tolist(), solution.start[j].tolist()
    for i in range(n, len(pe)):
        if pe[i] != -1 or start[i] != -1:
            raise ValueError(f"job {j}: task {i} does not exist, expected PE and start -1.")
    if set(pe) == set(start) == {-1}:
        return  # lost, if that is right
    for i in range(n):
        if not 0 <= pe[i] < m:
            raise ValueError(f"job {j}, task {i}: PE {pe[i]}, expected 0..{m - 1}.")
        if not 0 <= start[i] < 2**53:
            raise ValueError(f"job {j}, task {i}: start {start[i]}, expected 0..2^53 - 1.")
        duration = run_time(instance, j, i, pe[i])
        if duration < 0:
            raise ValueError(f"job {j}, task {i}: on PE {pe[i]}, which does not support it.")
        ends[j, i] = start[i] + duration
    for e, (i, s) in enumerate(graph.edges.tolist()):
        there = int(ends[j, i])
        if pe[i] != pe[s]:
            volume, bandwidth = int(graph.data[e]), int(graph.bandwidth[pe[i], pe[s]])
            there += int(graph.latency[pe[i], pe[s]]) + volume // bandwidth
            there += volume % bandwidth > 0 and graph.rounding == "ceil"
        if start[s] < there:
            raise ValueError(
                f"job {j}, task {s}: starts at {start[s]}, expected at or after {there}, when the"
                f" data of task {i} are there."
            )


def _validate_admission(
    instance: SoCStreamInstance, solution: SoCStreamSolution, ends: IntArray
) -> None:
    inside: list[int] = []  # heap of the times when the jobs in the system leave
    entry = 0
    for j, arrival in enumerate(instance.arrival_times.tolist()):
        while inside and inside[0] < arrival:
            heapq.heappop(inside)
        full = len(inside) >= instance.capacity
        lost = bool((solution.start[j] == -1).all())
        if lost != (full and instance.admission == "loss"):
            state = f"{len(inside)} of {instance.capacity} jobs in the system at {arrival}"
            expected = "not to be scheduled" if lost is False else "to be scheduled"
            raise ValueError(f"job {j}: {state}, expected it {expected}.")
        if lost:
            continue
        entry = max(entry, arrival)
        if full:
            entry = max(entry, heapq.heappop(inside))
        first = int(solution.start[j][solution.start[j] >= 0].min())
        if first < entry:
            raise ValueError(
                f"job {j}: a task starts at {first}, expected at or after {entry}, when the job"
                " enters the system."
            )
        heapq.heappush(inside, int(ends[j].max()))


def _validate_pes(solution: SoCStreamSolution, ends: IntArray) -> None:
    job, task = np.nonzero(ends >= 0)
    pe, start, end = solution.pe[job, task], solution.start[job, task], ends[job, task]
    order = np.lexsort((end, start, pe))
    job, task, pe, start, end = (array[order] for array in (job, task, pe, start, end))
    for i in np.flatnonzero((pe[1:] == pe[:-1]) & (start[1:] < end[:-1])):
        raise ValueError(
            f"PE {pe[i]}: tasks ({job[i]}, {task[i]}) [{start[i]}, {end[i]}) and ({job[i + 1]},"
            f" {task[i + 1]}) [{start[i + 1]}, {end[i + 1]}) overlap."
        )


def completions(instance: SoCStreamInstance, solution: SoCStreamSolution) -> IntArray:
    """``(J,)`` when each job ends, in ticks; -1 for lost ones.

    Raises:
        ValueError: If the schedule has another shape than the instance.
    """
    shape = (len(instance.arrival_times), instance.most_tasks)
    if solution.start.shape != shape or solution.pe.shape != shape:
        raise ValueError(
            f"pe {solution.pe.shape} and start {solution.start.shape}, expected {shape}."
        )
    done = np.full(shape[0], -1, dtype=np.int64)
    for j, i in np.argwhere(solution.start >= 0).tolist():
        end = int(solution.start[j, i]) + run_time(instance, j, i, int(solution.pe[j, i]))
        done[j] = max(done[j], end)
    return done


def objective(instance: SoCStreamInstance, solution: SoCStreamSolution) -> int:
    """Sum of the latencies, plus ``penalty`` for each lost job; in ticks.

    Raises:
        ValueError: If the schedule has another shape than the instance.
    """
    done = completions(instance, solution)
    served = done >= 0
    latency = int((done - instance.arrival_times)[served].sum())
    return latency + instance.penalty * int(np.count_nonzero(~served))


def metrics(instance: SoCStreamInstance, solution: SoCStreamSolution) -> dict[str, float]:
    """Secondary figures of a realised schedule.

    Returns:
        Over the jobs completed by the horizon, as the simulators report it:
        ``completed_by_horizon`` and ``latency_by_horizon``, their mean latency (0 if there are
        none). Over all jobs: ``mean_latency``, ``p50_latency``, ``p95_latency``, ``p99_latency``;
        ``slowdown``: mean of latency divided by the job's own bound; ``block_rate``: share of jobs
        that were lost; ``throughput``: completed jobs per 1,000 ticks until the last completion;
        ``mean_jobs``: in the system or waiting, over that time; ``utilisation``: share of PE time.
    """
    done, arrival = completions(instance, solution), instance.arrival_times
    served = done >= 0
    latency = (done - arrival)[served]
    timely = done[served] <= instance.horizon
    span = int(done.max(initial=0))
    busy = sum(
        run_time(instance, j, i, int(solution.pe[j, i]))
        for j, i in np.argwhere(solution.start >= 0).tolist()
    )
    bounds = np.maximum(job_bounds(instance)[served], 1)
    quantiles = np.percentile(latency, (50, 95, 99)) if latency.size else np.zeros(3)
    return {
        "completed_by_horizon": float(np.count_nonzero(timely)),
        "latency_by_horizon": float(latency[timely].mean()) if timely.any() else 0.0,
        "mean_latency": float(latency.mean()) if latency.size else 0.0,
        "p50_latency": float(quantiles[0]),
        "p95_latency": float(quantiles[1]),
        "p99_latency": float(quantiles[2]),
        "slowdown": float((latency / bounds).mean()) if latency.size else 0.0,
        "block_rate": float(np.mean(~served)),
        "throughput": 1000.0 * latency.size / span if span else 0.0,
        "mean_jobs": float(latency.sum()) / span if span else 0.0,
        "utilisation": busy / (span * instance.num_pes) if span else 0.0,
    }


# Bounds. They concern the realised run times.


def job_bounds(instance: SoCStreamInstance) -> IntArray:
    """``(J,)`` the path bound of each job alone, in ticks."""
    w = instance.run_times
    known: dict[int, int] = {}
    bounds = np.zeros(len(instance.arrival_times), dtype=np.int64)
    for j, k in enumerate(instance.job_profiles.tolist()):
        if instance.cv > 0 or k not in known:
            graph = instance.profiles[k]
            factor = instance.factors[j, : graph.num_tasks, None]
            drawn = np.maximum(np.rint(graph.run_times * factor), 1).astype(np.int64)
            w = np.where(graph.run_times > 0, drawn, graph.run_times)
            known[k] = int(bottom_levels(graph, w).min(axis=1).max())
        bounds[j] = known[k]
    return bounds


def lower_bound(instance: SoCStreamInstance) -> int:
    """The sum of the jobs' own bounds; with losses, of these or the penalty, whichever is less."""
    bounds = job_bounds(instance)
    if instance.admission == "loss":
        bounds = np.minimum(bounds, instance.penalty)
    return int(bounds.sum())


def upper_bound(instance: SoCStreamInstance) -> int:
    """All jobs leave when all slowest run times and transfers have followed the last arrival.

    Or the horizon, if that is later. From then on, while jobs are in a system that does not idle
    without need, a task runs or a transfer is on its way. With losses, the penalties of all jobs
    are added.
    """
    last, total = max(int(instance.arrival_times.max()), instance.horizon), 0
    for j, k in enumerate(instance.job_profiles.tolist()):
        graph = instance.profiles[k]
        slowest = np.maximum(graph.run_times, 0).max(axis=1)
        drawn = np.maximum(np.rint(slowest * instance.factors[j, : graph.num_tasks]), 1)
        total += int(np.where(slowest > 0, drawn, 0).sum())
        total += int(graph.communication.max(axis=(1, 2), initial=0).sum())
    longest = int((last + total - instance.arrival_times).sum())
    lost = instance.penalty * len(instance.arrival_times)
    return longest + (lost if instance.admission == "loss" else 0)


# The picture.


def picture(instance: SoCStreamInstance, solution: SoCStreamSolution) -> Picture:
    """A Gantt chart: one lane per PE, and one per place for jobs in the system or waiting."""
    boxes, spans = [], []
    for j in np.flatnonzero((solution.start >= 0).any(axis=1)).tolist():
        end = 0
        for i in np.flatnonzero(solution.start[j] >= 0).tolist():
            p, begin = int(solution.pe[j, i]), int(solution.start[j, i])
            length = run_time(instance, j, i, p)
            detail = f"job {j}, task {i} on PE {p}: [{begin}, {begin + length})"
            boxes.append(Box(begin, p, length, 1.0, j, str(j), detail))
            end = max(end, begin + length)
        spans.append((int(instance.arrival_times[j]), end, j))
    free: list[int] = []  # when each place is free again
    for arrival, end, j in spans:
        place = next((s for s, time in enumerate(free) if time <= arrival), len(free))
        free[place : place + 1] = [end]
        detail = f"job {j}: arrival {arrival}, end {end}, latency {end - arrival}"
        lane = instance.num_pes + place
        boxes.append(Box(arrival, lane, end - arrival, 1.0, j, str(j), detail))
    total = sum(end - arrival for arrival, end, _ in spans)
    lanes = [f"PE {p}" for p in range(instance.num_pes)]
    return Picture(
        title=f"{instance.name or 'SoC stream'}: {len(spans)} jobs, total latency {total}",
        x_label=f"time ({instance.tick})" if instance.tick else "time",
        y_label="PE, then jobs in the system",
        boxes=tuple(boxes),
        lanes=(*lanes, *(f"job place {s}" for s in range(len(free)))),
        marks=((instance.horizon, "horizon"),),
        group_name="job",
    )
