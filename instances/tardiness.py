"""Single-machine scheduling, minimising the total (weighted) tardiness.

Data: jobs ``j = 0..n-1`` with processing times ``p_j``, due dates ``d_j`` and weights ``w_j``;
where asked for, release dates ``r_j`` and setups ``s_ij`` of job ``j`` right after job ``i``
(``s_0j`` if it comes first), all integers in one unit of time.

Constraints: the machine works on one job at a time, without interruption. A solution is a sequence
of all jobs, which determines the completion times, since waiting longer than needed never helps:
``C_k = max(C_{k-1}, r_k) + s_{k-1,k} + p_k`` for the job in position ``k``, from ``C_0 = 0``. A
setup belongs to its job: it does not begin before the release date.

Objective: ``sum_j w_j max(0, C_j - d_j)``, in time units. NP-hard in the ordinary sense without
weights (Du and Leung 1990, doi:10.1287/moor.15.3.483), strongly NP-hard with them (Lawler 1977,
doi:10.1016/S0167-5060(08)70742-8) or with release dates.

A stochastic instance has ``cv > 0``: ``processing_times`` are the means that a dispatcher knows,
:attr:`TardinessInstance.durations` what happens in its ``scenario`` and what the referee uses.
"""

from __future__ import annotations

import heapq
from dataclasses import replace

import numpy as np

from .core import IntArray
from .picture import Box, Picture
from .tardiness_files import (
    REFERENCES,
    SETS,
    best_known,
    load,
    names,
    normalise,
    read,
    write,
)
from .tardiness_generators import GENERATORS, generate, normal, pvw
from .tardiness_model import TardinessInstance, TardinessSolution

__all__ = [
    "GENERATORS",
    "PROBLEMS",
    "REFERENCES",
    "SETS",
    "TardinessInstance",
    "TardinessSolution",
    "best_known",
    "due_date_range",
    "generate",
    "head_bound",
    "load",
    "lower_bound",
    "matching_bound",
    "metrics",
    "names",
    "normal",
    "normalise",
    "objective",
    "picture",
    "pvw",
    "read",
    "spans",
    "tardiness_factor",
    "upper_bound",
    "validate",
    "write",
]

PROBLEMS = {"tardiness": (TardinessInstance, TardinessSolution)}


# The referee.


def validate(instance: TardinessInstance, solution: TardinessSolution) -> None:
    """Check that a solution is a sequence of all jobs.

    Raises:
        ValueError: Naming the first position without a job, or the first job that comes twice.
    """
    sequence, n = solution.sequence, instance.num_jobs
    if sequence.shape != (n,):
        raise ValueError(f"sequence {sequence.shape}, expected {(n,)}.")
    position = np.full(n, -1)
    for k, job in enumerate(sequence.tolist()):
        if not 0 <= job < n:
            raise ValueError(f"position {k}: job {job}, expected 0..{n - 1}.")
        if position[job] >= 0:
            missing = sorted(set(range(n)) - set(sequence.tolist()))
            raise ValueError(
                f"job {job}: in positions {position[job]} and {k}, expected once"
                f" (job {missing[0]} is missing)."
            )
        position[job] = k


def spans(instance: TardinessInstance, sequence: IntArray) -> IntArray:
    """When the jobs of a sequence are worked on, from the definition.

    Args:
        instance: The instance.
        sequence: ``(k,)`` different jobs, the first ones of a complete sequence or all.

    Returns:
        ``(k, 3)``: begin of the setup, begin of the processing, completion, by position.
    """
    end, previous, rows = 0, 0, []
    for job in sequence.tolist():
        begin = end if instance.release_dates is None else max(end, instance.release_dates[job])
        start = begin if instance.setups is None else begin + instance.setups[previous, job]
        end = start + instance.durations[job]
        rows.append((begin, start, end))
        previous = job + 1
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def objective(instance: TardinessInstance, solution: TardinessSolution) -> int:
    """The total weighted tardiness of a sequence, ``sum_j w_j max(0, C_j - d_j)``.

    Raises:
        ValueError: If it is not a sequence of all jobs.
    """
    validate(instance, solution)
    return int(instance.weights[solution.sequence] @ _tardiness(instance, solution.sequence))


def _tardiness(instance: TardinessInstance, sequence: IntArray) -> IntArray:
    """``(k,)`` tardiness ``max(0, C_j - d_j)`` of the jobs, by position."""
    late = spans(instance, sequence)[:, 2] - instance.due_dates[sequence]
    tardiness: IntArray = np.maximum(late, 0)
    return tardiness


def metrics(instance: TardinessInstance, solution: TardinessSolution) -> dict[str, float]:
    """Secondary figures of a sequence, none of them weighted.

    Returns:
        ``num_tardy``: number of jobs that end after their due dates; ``max_tardiness`` and
        ``mean_tardiness``: over all jobs; ``makespan``: completion of the last job.
    """
    late = _tardiness(instance, solution.sequence)
    return {
        "num_tardy": float(np.count_nonzero(late)),
        "max_tardiness": float(late.max()),
        "mean_tardiness": float(late.mean()),
        "makespan": float(spans(instance, solution.sequence)[-1, 2]),
    }


# What kind of instance it is.


def tardiness_factor(instance: TardinessInstance) -> float:
    """``TF = 1 - mean d / P`` with ``P = sum_j p_j``: roughly the share of jobs that are late."""
    return 1.0 - float(instance.due_dates.mean() / instance.processing_times.sum())


def due_date_range(instance: TardinessInstance) -> float:
    """``RDD = (max d - min d) / P`` with ``P = sum_j p_j``, the relative range of due dates."""
    return float(np.ptp(instance.due_dates) / instance.processing_times.sum())


# Bounds. All of them concern the realised durations.

#: Weights are bounded in so many layers at most.
_LAYERS = 64


def lower_bound(instance: TardinessInstance) -> int:
    """The better of :func:`matching_bound` and :func:`head_bound`."""
    return max(matching_bound(instance), head_bound(instance))


def head_bound(instance: TardinessInstance) -> int:
    """The tardiness of the jobs if each had the machine for itself."""
    heads = _least_work(instance)
    if instance.release_dates is not None:
        heads = heads + instance.release_dates
    return int(instance.weights @ np.maximum(heads - instance.due_dates, 0))


def matching_bound(instance: TardinessInstance) -> int:
    """Shortest completion times matched with earliest due dates.

    Without weights: the ``k``-th completion of any sequence is not earlier than that of the SPT
    sequence, ``C_[k]``; and among all matchings of these times with the due dates, the sorted one
    has the least total tardiness, ``sum_k max(0, C_[k] - d_[k])``. With release dates, ``C_[k]``
    are the completions of the preemptive SRPT schedule, which ends ``k`` jobs as early as any
    (Chu 1992, doi:10.1002/1520-6750(199203)39:2<265::AID-NAV3220390209>3.0.CO;2-L). With setups,
    each job takes its shortest one besides its processing time.

    With weights, the instance falls into layers: for thresholds ``0 = l_0 < l_1 < ...`` it is
    ``w_j >= sum_{i: l_i <= w_j} (l_i - l_{i-1})``, so the bounds of the jobs with ``w_j >= l_i``,
    alone on the machine, add up with these factors. Layer by layer, it is the larger of the
    matching and the greatest tardiness of the preemptive EDD schedule. O(n log n) per layer.
    """
    work, total, previous = _least_work(instance), 0, 0
    for level in _levels(instance.weights):
        jobs = np.flatnonzero(instance.weights >= level)
        release = None if instance.release_dates is None else instance.release_dates[jobs]
        bound = _unweighted_bound(work[jobs], instance.due_dates[jobs], release)
        total += (level - previous) * bound
        previous = level
    return total


def _levels(weights: IntArray) -> list[int]:
    """The thresholds of the layers: all weights that occur, or evenly spaced ones of them."""
    levels = np.unique(weights[weights > 0])
    if len(levels) > _LAYERS:
        levels = levels[np.linspace(0, len(levels) - 1, _LAYERS).astype(np.int64)]
    return [int(level) for level in levels]


def _least_work(instance: TardinessInstance) -> IntArray:
    """``(n,)`` processing time plus the shortest setup the job may have, first or after another."""
    if instance.setups is None:
        return instance.durations
    n = instance.num_jobs
    setups = instance.setups.copy()
    setups[np.arange(1, n + 1), np.arange(n)] = setups.max()  # never after itself
    return np.asarray(instance.durations + setups.min(axis=0), dtype=np.int64)


def _unweighted_bound(work: IntArray, due_dates: IntArray, release: IntArray | None) -> int:
    order = np.lexsort((work, due_dates))
    due = due_dates[order]
    if release is None:
        spt, edd = np.cumsum(np.sort(work)), np.cumsum(work[order])
    else:
        spt = np.sort(_preemptive(work, release))
        edd = _preemptive(work[order], release[order], in_order=True)
    matched = int(np.maximum(spt - due, 0).sum())
    return max(matched, int(np.maximum(edd - due, 0).max()))


def _preemptive(work: IntArray, release: IntArray, *, in_order: bool = False) -> IntArray:
    """Completions where the machine turns at once to the job of least remaining work.

    With ``in_order``, it turns to the first job of those that are released and unfinished.
    """
    end, arrivals = np.zeros_like(work), np.argsort(release, kind="stable").tolist()
    waiting: list[tuple[int, int, int]] = []  # heap of (key, job, remaining work)
    time = i = 0
    while i < len(arrivals) or waiting:
        if not waiting:
            time = max(time, int(release[arrivals[i]]))
        while i < len(arrivals) and release[arrivals[i]] <= time:
            job, remaining = arrivals[i], int(work[arrivals[i]])
            heapq.heappush(waiting, (job if in_order else remaining, job, remaining))
            i += 1
        key, job, remaining = heapq.heappop(waiting)
        until = int(release[arrivals[i]]) if i < len(arrivals) else time + remaining
        worked = min(remaining, until - time)
        time, remaining = time + worked, remaining - worked
        end[job] = time
        if remaining:
            heapq.heappush(waiting, (key if in_order else remaining, job, remaining))
    return end


def upper_bound(instance: TardinessInstance) -> int:
    """The cost if all jobs ended at the instance's ``horizon``: no sequence costs more."""
    return int(instance.weights @ np.maximum(instance.horizon - instance.due_dates, 0))


# The picture.

_ON_TIME, _TARDY, _COST, _NEITHER = 0, 3, 7, 9


def picture(instance: TardinessInstance, solution: TardinessSolution) -> Picture:
    """The jobs in a strip below the axis, the due dates below it, and above it what each job costs.

    In the strip, work before the job's due date has another colour than work after it; so have the
    due dates of tardy jobs. Above, the height is the job's weighted tardiness. Setups and the due
    dates of jobs that are not yet in the sequence are grey.
    """
    sequence = solution.sequence[solution.sequence >= 0]
    times, late = spans(instance, sequence), _tardiness(instance, sequence)
    costs = instance.weights[sequence] * late
    strip = max(float(costs.max(initial=0)), 1.0) / 10
    left = np.setdiff1d(np.arange(instance.num_jobs), sequence)
    boxes = [_due_date(instance, job, strip, _NEITHER) for job in left.tolist()]
    for job, (begin, start, end), tardiness, cost in zip(
        sequence.tolist(), times.tolist(), late.tolist(), costs.tolist(), strict=True
    ):
        due, weight = int(instance.due_dates[job]), int(instance.weights[job])
        detail = f"job {job}: [{start}, {end}), due at {due}"
        detail += f", {tardiness} late" if tardiness else ""
        detail += f", weight {weight}" if instance.is_weighted else ""
        if start > begin:
            setup = f"setup of job {job}: [{begin}, {start})"
            boxes.append(Box(begin, -strip, start - begin, strip, _NEITHER, "", setup))
        boxes += _work(job, start, end, due, strip, detail)
        boxes.append(_due_date(instance, job, strip, _TARDY if tardiness else _ON_TIME, detail))
        if cost:
            boxes.append(Box(start, 0, end - start, cost, _COST, "", detail))
    weighted = "weighted tardiness" if instance.is_weighted else "tardiness"
    return Picture(
        title=f"{instance.name or 'tardiness'}: total {weighted} {int(costs.sum())},"
        f" {int(np.count_nonzero(late))} of {instance.num_jobs} jobs tardy",
        x_label="time",
        y_label=weighted,
        boxes=tuple(boxes),
        group_name="punctuality",
    )


def _work(job: int, start: int, end: int, due: int, strip: float, detail: str) -> list[Box]:
    """The processing of a job, up to its due date and from it on."""
    middle = min(max(due, start), end)
    early = Box(start, -strip, middle - start, strip, _ON_TIME, "", detail)
    tardy = Box(middle, -strip, end - middle, strip, _TARDY, "", detail)
    if early.width >= tardy.width:
        early = replace(early, label=str(job))
    else:
        tardy = replace(tardy, label=str(job))
    return [box for box in (early, tardy) if box.width]


def _due_date(
    instance: TardinessInstance, job: int, strip: float, group: int, detail: str = ""
) -> Box:
    """A thin box that ends at the due date."""
    due, width = int(instance.due_dates[job]), instance.horizon / 400
    detail = detail or f"job {job}: not yet in the sequence, due at {due}"
    return Box(due - width, -2 * strip, width, strip, group, "", detail)
