"""Dynamic programming over subsets of jobs, for every variant of single-machine tardiness.

A label stands for the best ways to do a subset of the jobs first: when the machine is free again,
and what the jobs cost (Held and Karp 1962, doi:10.1137/0110015). With release dates, a dearer way
may end earlier, and with setups the last job counts; so a subset has several labels, none of them
dominated. A label that cannot lead to less than the best sequence known is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..instances.core import IntArray
from ..instances.tardiness import TardinessInstance, TardinessSolution, lower_bound, objective
from . import tardiness_subset_kernels as kernels
from .solver import Draft, Report, Status, solver
from .tardiness_search import Deadline, beam, descent, first_sequence, jobs_of

#: Jobs that subsets are enumerated of, at most.
MOST_JOBS = 20
#: Labels per number of jobs, at most: a gigabyte.
_MOST_LABELS = 2 * 10**7


@solver
def subset_dp(
    instance: TardinessInstance,
    *,
    time_limit: float | None,
    start: TardinessSolution | None,
    on_incumbent: Report,
) -> Draft:
    """Dynamic programming over subsets of at most 20 jobs, with all that an instance may have.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` until the proof; then the best sequence so far is
            returned, with a lower bound.
        start: Sequence to begin from; by default a constructed one.
        on_incumbent: Called with each better sequence.

    Raises:
        ValueError: If there are more jobs.
    """
    if instance.num_jobs > MOST_JOBS:
        raise ValueError(
            f"subset_dp: {instance.num_jobs} jobs, expected {MOST_JOBS} at most (subsets are many)."
        )
    return enumerate_subsets(instance, Deadline(time_limit), start, on_incumbent)


@dataclass(frozen=True)
class _Level:
    """Labels of subsets of one size.

    Attributes:
        parent: ``(k,)`` the label of the level before that each came from.
        job: ``(k,)`` the job that came last.
    """

    parent: IntArray
    job: IntArray


def enumerate_subsets(
    instance: TardinessInstance,
    deadline: Deadline,
    start: TardinessSolution | None,
    on_incumbent: Report,
) -> Draft:
    """See :func:`subset_dp`."""
    best, stop = _good_sequence(instance, deadline, start, on_incumbent)
    bound = lower_bound(instance)
    jobs, shortest = jobs_of(instance), _shortest_setups(instance)
    labels, levels = np.zeros((1, 4), dtype=np.int64), []
    for _ in range(instance.num_jobs):
        if stop <= bound:
            break
        count, least = kernels.count(labels, stop, shortest, *jobs)
        bound = max(bound, int(least))
        if count > _MOST_LABELS or deadline.passed:
            return Draft(best, min(bound, stop))
        grown = np.empty((count, 4), dtype=np.int64)
        origin = np.empty((count, 2), dtype=np.int64)
        kernels.grow(labels, stop, shortest, grown, origin, *jobs)
        key = grown[:, kernels.SET]
        if instance.setups is not None:
            key = key * len(shortest) + origin[:, 1]
        order = np.lexsort((grown[:, kernels.COST], grown[:, kernels.END], key))
        kept = order[kernels.undominated(key[order], grown[order])]
        labels = grown[kept]
        levels.append(_Level(origin[kept, 0], origin[kept, 1]))
    if stop > bound and len(labels):
        best = _traced(levels, int(labels[:, kernels.COST].argmin()))
    return Draft(best, status=Status.OPTIMAL)


def _good_sequence(
    instance: TardinessInstance,
    deadline: Deadline,
    start: TardinessSolution | None,
    on_incumbent: Report,
) -> tuple[TardinessSolution, int]:
    """A sequence by beam and descent from the given one, and what it costs."""
    best = TardinessSolution(first_sequence(instance, start, on_incumbent))
    for search in (beam, descent):
        if not deadline.passed:
            best = search(instance, start=best, time_limit=deadline.limit).solution or best
            on_incumbent(best)
    return best, objective(instance, best)


def _shortest_setups(instance: TardinessInstance) -> IntArray:
    """``(n,)`` the shortest setup that a job may have."""
    n = instance.num_jobs
    if instance.setups is None:
        return np.zeros(n, dtype=np.int64)
    setups = instance.setups.copy()
    setups[np.arange(1, n + 1), np.arange(n)] = setups.max()  # never after itself
    return np.asarray(setups.min(axis=0), dtype=np.int64)


def _traced(levels: list[_Level], label: int) -> TardinessSolution:
    """The sequence of a label of the last level."""
    sequence = []
    for level in reversed(levels):
        sequence.append(int(level.job[label]))
        label = int(level.parent[label])
    return TardinessSolution(np.array(sequence[::-1], dtype=np.int64))
