"""Searches for single-machine tardiness: beam, descent, dynasearch and iterated dynasearch.

All of them construct their own first sequences, from the definition of the problem: they know
neither the simulator nor the rules in ``tardiness.py``. Of a stochastic instance they solve what
happens in the scenario (``instance.durations``), which no dispatcher can know.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..instances.core import IntArray
from ..instances.tardiness import TardinessInstance, TardinessSolution, lower_bound, objective
from . import tardiness_search_kernels as kernels
from .solver import Draft, Report, solver

#: Lookahead ``K`` of the constructions by apparent tardiness cost; 0 is the modified due date.
LOOKAHEADS = (0.0, 0.5, 1.0, 2.0, 4.0)

#: Pairs of positions that a kernel may look at before it returns: some ten milliseconds.
_SLICE = 10**7

# Of an iterated dynasearch; chosen on random instances of 200 jobs.
#: Swaps of a kick per job, and at least.
_SWAPS, _FEWEST_SWAPS = 0.06, 6
#: How far apart jobs are swapped, as a share of the sequence.
_DISTANCE = 0.7
#: Insertions of a kick of :func:`descent`.
_KICK_MOVES = 3
#: How much worse than the best a local optimum may be, and for how many kicks in vain.
_TOLERANCE, _PATIENCE = 1e-3, 10


class Jobs(NamedTuple):
    """The arrays of an instance as the kernels take them.

    Attributes:
        p: ``(n,)`` realised durations.
        w: ``(n,)`` weights.
        d: ``(n,)`` due dates.
        r: ``(n,)`` release dates.
        s: ``(n + 1, n)`` setups, or ``(0, 0)``.
    """

    p: IntArray
    w: IntArray
    d: IntArray
    r: IntArray
    s: IntArray


def jobs_of(instance: TardinessInstance) -> Jobs:
    """The arrays of an instance, without ``None``; all read-only, which is a type to Numba."""
    release, setups = instance.release_dates, instance.setups
    arrays = (
        instance.durations,
        instance.weights,
        instance.due_dates,
        np.zeros(instance.num_jobs, dtype=np.int64) if release is None else release,
        np.zeros((0, 0), dtype=np.int64) if setups is None else setups,
    )
    views = [array.view() for array in arrays]
    for view in views:
        view.flags.writeable = False
    return Jobs(*views)


def require_plain(instance: TardinessInstance, title: str, instead: str) -> None:
    """Raise ``ValueError`` if there are release dates or setups."""
    if instance.release_dates is not None:
        raise ValueError(f"{title}: release dates, expected none; {instead} can do with them.")
    if instance.setups is not None:
        raise ValueError(f"{title}: setups, expected none; {instead} can do with them.")


def constructed(instance: TardinessInstance) -> TardinessSolution:
    """The best sequence by apparent tardiness cost with one of :data:`LOOKAHEADS`. O(n^2)."""
    return TardinessSolution(_best_construction(instance)[1])


def _best_construction(instance: TardinessInstance) -> tuple[float, IntArray]:
    """The lookahead that gives the best sequence, and that sequence."""
    best, least = (0.0, np.arange(instance.num_jobs)), kernels.NEVER
    for lookahead in LOOKAHEADS:
        sequence = np.argsort(instance.due_dates, kind="stable")
        value = kernels.complete(sequence, 0, 0, 0, least, lookahead, *jobs_of(instance))
        if value < least:
            best, least = (lookahead, sequence), value
    return best


class Deadline:
    """When a solver has to stop."""

    def __init__(self, time_limit: float | None) -> None:
        self._began = time.perf_counter()
        self._limit = math.inf if time_limit is None else time_limit

    @property
    def spent(self) -> float:
        """Seconds since the solver began."""
        return time.perf_counter() - self._began

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self.spent >= self._limit

    @property
    def limit(self) -> float | None:
        """The time limit of whom the solver calls: what is left, a moment at least."""
        return None if math.isinf(self._limit) else max(self._limit - self.spent, 1e-3)


def first_sequence(
    instance: TardinessInstance, start: TardinessSolution | None, on_incumbent: Report
) -> IntArray:
    """A copy of the given sequence, or else a constructed one; reported, which checks it."""
    solution = constructed(instance) if start is None else start
    on_incumbent(solution)
    return solution.sequence.copy()


@solver
def dynasearch(
    instance: TardinessInstance,
    *,
    time_limit: float | None,
    start: TardinessSolution | None,
    on_incumbent: Report,
) -> Draft:
    """Descent by the best sets of swaps and insertions on disjoint intervals of the sequence.

    Of the exponentially many sets of a round, dynamic programming finds the best one in O(n^2) in
    practice, see ``tardiness_search_kernels.dynasearch``. Weights, but no release dates or setups.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` until no set improves.
        start: Sequence to begin from; by default a constructed one.
        on_incumbent: Called with each better sequence.
    """
    require_plain(instance, "dynasearch", "descent")
    deadline = Deadline(time_limit)
    p, w, d, *_ = jobs_of(instance)
    sequence = first_sequence(instance, start, on_incumbent)
    while not deadline.passed and kernels.dynasearch(sequence, p, w, d) > 0:
        on_incumbent(TardinessSolution(sequence))
    return Draft(TardinessSolution(sequence), lower_bound(instance))


@solver
def iterated_dynasearch(
    instance: TardinessInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: TardinessSolution | None,
    on_incumbent: Report,
    kicks: int = 1000,
    restarts: int = 0,
) -> Draft:
    """Dynasearch from local optimum to local optimum, each shaken by random swaps.

    The search of Grosso, Della Croce and Tadei 2004 (doi:10.1016/j.orl.2003.04.001), except that
    swaps reach half the sequence at most and local optima that are not worse are accepted; see
    ``tardiness_search_kernels.iterate``. Weights, but no release dates or setups.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` until all kicks are made.
        seed: Seed of the swaps.
        start: Sequence to begin from; by default a constructed one.
        on_incumbent: Called with each better sequence.
        kicks: Number of kicks after each start.
        restarts: Further starts, from random sequences.
    """
    require_plain(instance, "iterated_dynasearch", "descent")
    check_count("iterated_dynasearch", "kicks", kicks)
    check_count("iterated_dynasearch", "restarts", restarts)
    deadline = Deadline(time_limit)
    bound = lower_bound(instance)
    sequence = first_sequence(instance, start, on_incumbent)
    best = objective(instance, TardinessSolution(sequence))
    rng = np.random.default_rng(seed)
    for again in range(restarts + 1):
        if again:
            sequence = rng.permutation(instance.num_jobs)
        for value, found in iterated(instance, sequence, rng, kicks):
            if value < best:
                best, solution = value, TardinessSolution(found)
                on_incumbent(solution)
            if best == bound or deadline.passed:
                return Draft(None, bound)
    return Draft(None, bound)


def iterated(
    instance: TardinessInstance, sequence: IntArray, rng: np.random.Generator, kicks: int
) -> Iterator[tuple[int, IntArray]]:
    """An iterated dynasearch in slices: value and sequence of its best so far after each.

    Args:
        instance: An instance without release dates and setups.
        sequence: ``(n,)`` the first sequence.
        rng: Source of the kicks' seed.
        kicks: How many.
    """
    p, w, d, *_ = jobs_of(instance)
    n = len(sequence)
    swaps, distance = max(int(_SWAPS * n), _FEWEST_SWAPS), max(int(_DISTANCE * n), 1)
    trial, current, best = sequence.copy(), sequence.copy(), sequence.copy()
    random = rng.integers(2**63, size=1, dtype=np.uint64)
    state = np.array([kernels.NEVER, kernels.NEVER, 0, 0])
    rounds, over = max(_SLICE // n**2, 1), False
    while not over:
        over = kernels.iterate(
            rounds, kicks, swaps, distance, _TOLERANCE, _PATIENCE,
            trial, current, best, p, w, d, random, state,
        )  # fmt: skip
        yield int(state[kernels.BEST]), best


@solver
def descent(
    instance: TardinessInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: TardinessSolution | None,
    on_incumbent: Report,
    kicks: int = 0,
) -> Draft:
    """Descent by single swaps and insertions; release dates and setups are welcome.

    Position by position, the best move of its job is made, as long as one improves. O(n^3) at
    worst for all positions, less where times soon are as before.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` until no move improves.
        seed: Seed of the kicks.
        start: Sequence to begin from; by default a constructed one.
        on_incumbent: Called with each better sequence.
        kicks: How often to shake the best sequence by three random insertions and descend again.
    """
    check_count("descent", "kicks", kicks)
    deadline, bound = Deadline(time_limit), lower_bound(instance)
    best = first_sequence(instance, start, on_incumbent)
    least = objective(instance, TardinessSolution(best))
    rng, trial, n = np.random.default_rng(seed), best.copy(), len(best)
    for kick in range(kicks + 1):
        if kick:
            trial = best.copy()
            for i, j in np.sort(rng.integers(n, size=(_KICK_MOVES, 2))):
                kernels.apply(trial, i, j, kernels.FORWARD)
        over, cursor = False, np.array([0, 0])
        while not over and not deadline.passed:
            over = kernels.descend(max(_SLICE // n**2, 1), cursor, trial, *jobs_of(instance))
            value = objective(instance, TardinessSolution(trial))
            if value < least:
                best, least = trial.copy(), value
                on_incumbent(TardinessSolution(best))
        if least == bound or deadline.passed:
            break
    return Draft(None, bound)


@solver
def beam(
    instance: TardinessInstance,
    *,
    time_limit: float | None,
    start: TardinessSolution | None,
    on_incumbent: Report,
    width: int = 10,
    branches: int = 5,
) -> Draft:
    """Filtered beam search; release dates and setups are welcome.

    Ow and Morton 1988 (doi:10.1080/00207548808947840): position by position, the jobs of the
    highest priority extend each sequence of the beam, each is completed greedily by the same
    priority, and those of the least cost stay, of equal sets of jobs the cheaper one. The priority
    is the construction's that is best on its own. O(n^3) times width times branches.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None``.
        start: A sequence to beat.
        on_incumbent: Called with each better sequence.
        width: Number of sequences that stay.
        branches: Number of jobs that extend each.
    """
    check_count("beam", "width", width, least=1)
    check_count("beam", "branches", branches, least=1)
    deadline, bound = Deadline(time_limit), lower_bound(instance)
    if start is not None:
        on_incumbent(start)
    jobs, n = jobs_of(instance), instance.num_jobs
    lookahead, sequence = _best_construction(instance)
    on_incumbent(TardinessSolution(sequence))
    words = np.random.default_rng(0).integers(2**62, size=n)
    level, values = sequence[None], np.zeros((1, 3), dtype=np.int64)
    for placed in range(n):
        if deadline.passed:
            break
        count = min(branches, n - placed)
        children = np.empty((len(level) * count, n), dtype=np.int64)
        values_of = np.empty((len(children), 3), dtype=np.int64)
        kernels.extend(
            count, lookahead, level, placed, values[:, 1], values[:, 2], children, values_of, *jobs
        )
        on_incumbent(TardinessSolution(children[values_of[:, 0].argmin()]))
        ordered = instance.setups is not None
        kept = _kept(children[:, : placed + 1], values_of, words, width, ordered)
        level, values = children[kept], values_of[kept]
    return Draft(None, bound)


def _kept(
    sequences: IntArray, values: IntArray, words: IntArray, width: int, ordered: bool
) -> IntArray:
    """Those of least value, among the cheapest of each set of jobs, end and, if it counts, last."""
    signs = words[sequences].sum(axis=1) ^ values[:, 1]
    if ordered:
        signs = signs + words[sequences[:, -1]]
    cheapest = np.argsort(values[:, 2], kind="stable")
    _, first = np.unique(signs[cheapest], return_index=True)
    single = cheapest[first]
    return np.asarray(single[np.lexsort((single, values[single, 0]))[:width]], dtype=np.int64)


def check_count(title: str, name: str, value: int, least: int = 0) -> None:
    """Raise ``ValueError`` unless an option is an integer and large enough."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{title}: {name} {value!r}, expected an integer >= {least}.")
