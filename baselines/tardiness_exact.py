"""Exact optima of single-machine tardiness.

Without weights, release dates and setups: the decomposition of Lawler 1977
(doi:10.1016/S0167-5060(08)70742-8), with eliminations and a memory of solved subproblems (branch
and memorize: Shang, T'kindt and Della Croce 2021, doi:10.1016/j.ejor.2020.08.014). The longest job,
put into some position of the EDD sequence, parts the others into those before and those after it;
few positions need be tried. With weights: ``tardiness_sublimation.py``; with release dates or
setups, for few jobs: ``tardiness_subset.py``.

Of a stochastic instance the scenario is solved (``instance.durations``): the clairvoyant reference.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from ..instances.core import IntArray, int_array
from ..instances.tardiness import TardinessInstance, TardinessSolution, lower_bound
from . import tardiness_exact_kernels as kernels
from .solver import Draft, Report, Status, solver
from .tardiness_search import Deadline, first_sequence, iterated
from .tardiness_sublimation import sublimate
from .tardiness_subset import MOST_JOBS, enumerate_subsets

#: Entries of a table at first and, of 32 bytes each, at most.
_SMALL_TABLE, _LARGE_TABLE = 2**12, 2**22
#: Subproblems of fewer jobs are solved again rather than kept.
_SMALLEST = 6
#: Jobs in the frames that are opened before the search is paused: some ten milliseconds.
_SLICE = 10**7
#: A search that takes longer, in seconds, is worth a better first sequence, by so many kicks.
_LONG, _KICKS = 0.2, 100


@solver
def exact(
    instance: TardinessInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: TardinessSolution | None,
    on_incumbent: Report,
) -> Draft:
    """A proven optimum, by the method that suits the instance; see the module.

    Without weights, up to some 500 jobs; with weights, up to some 100, and beyond with a bound
    that may leave a gap; with release dates or setups, up to 20.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` until the proof; then the best sequence so far is
            returned, with a lower bound.
        seed: Seed of the search for good sequences.
        start: Sequence to begin from; by default a constructed one.
        on_incumbent: Called with each better sequence.

    Raises:
        ValueError: If there are release dates or setups, and too many jobs.
    """
    deadline = Deadline(time_limit)
    if not instance.is_plain:
        if instance.num_jobs > MOST_JOBS:
            what = "setups" if instance.setups is not None else "release dates"
            raise ValueError(
                f"exact: {instance.num_jobs} jobs with {what}, expected {MOST_JOBS} at most;"
                " cp_sat, beam and descent can do with more."
            )
        return enumerate_subsets(instance, deadline, start, on_incumbent)
    if len(np.unique(instance.weights[instance.weights > 0])) > 1:
        return sublimate(instance, deadline, seed, start, on_incumbent)
    return _decompose(instance, deadline, seed, start, on_incumbent)


@solver
def lagrangian(
    instance: TardinessInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: TardinessSolution | None,
    on_incumbent: Report,
) -> Draft:
    """The Lagrangian bound, and the sequence of a search: the first steps of ``exact``.

    That every job comes once is relaxed; on paths over time, any three jobs in a row differ
    (Tanaka, Fujikuma and Araki 2009, doi:10.1007/s10951-008-0093-5). Often enough for a proof.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` until the bound stalls.
        seed: Seed of the search for good sequences.
        start: Sequence to begin from; by default a constructed one.
        on_incumbent: Called with each better sequence.

    Raises:
        ValueError: If there are release dates or setups.
    """
    if not instance.is_plain:
        raise ValueError(
            "lagrangian: release dates or setups, expected none; cp_sat gives a bound with them."
        )
    return sublimate(instance, Deadline(time_limit), seed, start, on_incumbent, root=True)


def _decompose(
    instance: TardinessInstance,
    deadline: Deadline,
    seed: int,
    start: TardinessSolution | None,
    on_incumbent: Report,
) -> Draft:
    """Lawler's decomposition; jobs without weight go last."""
    counted = np.flatnonzero(instance.weights > 0)
    search = Decomposition(instance.durations[counted], instance.due_dates[counted])
    sequence = first_sequence(instance, start, on_incumbent)
    improved = False
    for _ in search.run(np.arange(len(counted))):
        if deadline.passed:
            return Draft(None, lower_bound(instance))
        if not improved and deadline.spent > _LONG:
            improved = True
            for _, found in iterated(instance, sequence, np.random.default_rng(seed), _KICKS):
                on_incumbent(TardinessSolution(found))
                if deadline.passed:
                    break
    rest = np.flatnonzero(instance.weights == 0)
    best = np.concatenate([counted[search.sequence()], rest])
    return Draft(TardinessSolution(best), status=Status.OPTIMAL)


def value_oracle(processing_times: IntArray, due_dates: IntArray, time: int = 0) -> int:
    """The least total tardiness of jobs that one machine begins at a time.

    What was solved before is remembered, per thread, by the jobs' data: asking for the states along
    an episode costs little more than asking for the first.

    Args:
        processing_times: ``(n,)`` integers >= 1.
        due_dates: ``(n,)`` integers.
        time: When the first job starts.

    Raises:
        ValueError: If the arrays are not such integers.
    """
    p = int_array(processing_times, "processing_times", 1)
    d = int_array(due_dates, "due_dates", 1)
    if p.shape != d.shape:
        raise ValueError(f"{len(p)} processing times and {len(d)} due dates, expected as many.")
    for j in np.flatnonzero(p < 1):
        raise ValueError(f"job {j}: processing time {p[j]}, expected >= 1.")
    if not hasattr(_memory, "table"):
        _memory.table = Table()
    search = Decomposition(p, d, _memory.table)
    for _ in search.run(np.arange(len(p)), int(time)):
        pass  # whoever wants to pause uses the class
    return search.value


_memory = threading.local()


def least_cost(instance: TardinessInstance, partial: TardinessSolution) -> int:
    """The least cost of all sequences that begin as a partial one does: an oracle of states.

    Args:
        instance: Without weights, release dates and setups; durations are the realised ones.
        partial: -1 from the first position on that is not filled.

    Raises:
        ValueError: If the instance is of another kind, or the filled positions do not come first.
    """
    if not instance.is_plain or instance.is_weighted:
        raise ValueError(
            f"{instance.name or 'instance'}: weights, release dates or setups, expected none of"
            " them: only total tardiness has an oracle."
        )
    filled = np.flatnonzero(partial.sequence >= 0)
    done = partial.sequence[filled]
    if not np.array_equal(filled, np.arange(len(filled))):
        raise ValueError("a sequence with a gap, expected its first positions to be filled.")
    p, d = instance.durations, instance.due_dates
    ends = np.cumsum(p[done])
    rest = np.setdiff1d(np.arange(instance.num_jobs), done)
    cost = int(np.maximum(ends - d[done], 0).sum())
    return cost + value_oracle(p[rest], d[rest], int(ends[-1]) if len(ends) else 0)


class Table:
    """Values of subproblems, by 128 random bits of their jobs' data: see the kernels.

    Attributes:
        slots: ``(2^k, 4)``; replaced by a larger array as it fills up, as long as it is small.
        used: How many slots are.
    """

    def __init__(self) -> None:
        self.slots = np.zeros((_SMALL_TABLE, 4), dtype=np.int64)
        self.used = 0

    def make_room(self) -> None:
        """Make the table larger if it is half full, and may be."""
        if 2 * self.used > len(self.slots) and len(self.slots) < _LARGE_TABLE:
            larger = np.zeros((4 * len(self.slots), 4), dtype=np.int64)
            self.used = kernels.grow(self.slots, larger)
            self.slots = larger


class Decomposition:
    """The search for the least total tardiness of some jobs, or of any of them at any time.

    Attributes:
        table: What is known.
    """

    def __init__(self, p: IntArray, d: IntArray, table: Table | None = None) -> None:
        n = len(p)
        self.table = Table() if table is None else table
        self._edd = np.lexsort((p, d))
        self._jobs = p[self._edd], d[self._edd], kernels.hash_jobs(p[self._edd], d[self._edd])
        size = n * (n + 1) // 2
        self._frames = np.empty((n + 1, 12), dtype=np.int64)
        self._rests = np.empty(size, dtype=np.int64)
        self._choices = np.empty((size, 2), dtype=np.int64)
        self._state = np.zeros(4, dtype=np.int64)
        self._time = 0

    @property
    def value(self) -> int:
        """The least total tardiness of the subproblem that was solved last."""
        return int(self._state[kernels.VALUE])

    def run(self, jobs: IntArray, time: int = 0) -> Iterator[None]:
        """Solve a subproblem; yields every now and then, to be given up there.

        Args:
            jobs: ``(k,)`` places in the EDD sequence, in order.
            time: When the first job starts.
        """
        self._time = time
        arrays = self._frames, self._rests, self._choices
        slots, state = self.table.slots, self._state
        kernels.begin(jobs, time, *self._jobs, *arrays, slots, state)
        state[kernels.USED] = self.table.used
        while state[kernels.DEPTH] > 0:
            frames = min(_SLICE // len(self._edd), len(self.table.slots) // 4)
            kernels.search(frames + 1, _SMALLEST, *self._jobs, *arrays, self.table.slots, state)
            self.table.used = int(state[kernels.USED])
            self.table.make_room()
            state[kernels.USED] = self.table.used
            yield

    def sequence(self) -> IntArray:
        """An optimal sequence of all jobs, once they have been solved together."""
        n = len(self._edd)
        todo, sequence = np.arange(n), np.empty(n, dtype=np.int64)
        stack = np.zeros((2 * n + 3, 2), dtype=np.int64)
        stack[0], stack[1] = (1, 0), (n, self._time)
        while not kernels.recover(todo, stack, sequence, *self._jobs, self.table.slots):
            count = int(stack[0, 0])
            end = int(stack[1 : count + 1, 0].sum())
            size, time = stack[count].tolist()
            for _ in self.run(todo[end - size : end].copy(), time):
                pass
        return np.asarray(self._edd[sequence], dtype=np.int64)
