"""Tabu search with path relinking for the job shop.

Walks of tabu search (Nowicki and Smutnicki 1996, doi:10.1287/mnsc.42.6.797) in the neighbourhood N7
begin between two elite schedules and feed the elite in turn, as in TS/PR of Peng, Lü and Cheng 2015
(doi:10.1016/j.cor.2014.08.006) and i-TSAB of Nowicki and Smutnicki 2005
(doi:10.1007/s10951-005-6364-5). The walk itself stands in ``job_shop_tabu_kernels.py``.

Differences from TS/PR: the tabu list holds pairs of operations instead of sequences; the schedules
between two others come from weighted means of their start times, which keep every order that both
agree on and never close a cycle, instead of exchanges that need repair; one schedule of the elite
is replaced at a time.

The theory of the moves needs positive durations. With ``z`` operations that take no time, all
durations are therefore multiplied by ``z + 1``, and those that are 0 become 1. Starts and makespan
of the shop are those of the scaled one divided by ``z + 1``, rounded down.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

import numpy as np

from ..instances.core import BoolArray, FloatArray, IntArray
from ..instances.job_shop import JobShopInstance, JobShopSolution, lower_bound, objective
from . import job_shop_construct
from . import job_shop_tabu_kernels as kernels
from .solver import Draft, Report, Status, solver

_logger = logging.getLogger("gapgym")

#: The kernel returns about this often, for limits, reports and Ctrl-C.
_SLICE_SECONDS = 0.02
#: Entries of the tabu list per direction; where there are more pairs, some share an entry.
_MOST_ENTRIES = 2**23
#: A walk begins at the best of so many schedules between two elite ones, which lie there.
_CANDIDATES, _BETWEEN = 5, (0.3, 0.7)
#: Two schedules count as one up to this mean displacement of their operations on the machines.
_SAME = 0.02
#: The first walk has this many times the patience of a later one.
_FIRST = 4
#: The elite is renewed after this many walks per member that did not change it.
_VAIN = 3


@solver
def tabu(
    instance: JobShopInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: JobShopSolution | None,
    on_incumbent: Report,
    iterations: int | None = None,
    patience: int | None = None,
    population: int = 15,
    stagnation: int = 8000,
) -> Draft:
    """Tabu search with path relinking, from the best of ``start`` and constructed schedules.

    Of a stochastic instance it sees the scenario: a clairvoyant reference, as ``cp_sat`` is. What
    was evaluated, and how fast, goes to the ``gapgym`` logger at level DEBUG.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` for the other limits. Counts the seconds in which the
            kernels are compiled, once per installation.
        seed: Seed of the search.
        start: Schedule to begin from.
        on_incumbent: Called with better schedules.
        iterations: Number of moves after which to end. Without time limit, same seed and
            iterations, same schedule.
        patience: Number of walks without a better schedule after which to end; by default
            ``20 + N^2 / 10`` for ``N`` operations.
        population: Number of elite schedules.
        stagnation: Number of moves without improvement after which a walk ends.

    Raises:
        ValueError: If an option is out of range, or the times too long to be scaled.
    """
    began = time.perf_counter()
    options = {"iterations": iterations, "patience": patience, "stagnation": stagnation}
    for name, value in options.items():
        if value is not None and value < 1:
            raise ValueError(f"tabu: {name} {value}, expected >= 1.")
    if population < 2:
        raise ValueError(f"tabu: population {population}, expected >= 2.")
    if start is not None:
        on_incumbent(start)  # which checks it
    bound = lower_bound(instance)
    best = constructed(instance, start)
    on_incumbent(best)
    if objective(instance, best) == bound:
        return Draft(best, bound, Status.OPTIMAL)
    search = TabuSearch(instance, seed=seed, population=population, stagnation=stagnation)
    limits = Limits(
        deadline=math.inf if time_limit is None else began + time_limit,
        iterations=math.inf if iterations is None else iterations,
        patience=20 + search.walk.size**2 // 10 if patience is None else patience,
    )
    search.run(best, limits, on_incumbent)
    return Draft(search.solution(), bound)


def constructed(instance: JobShopInstance, start: JobShopSolution | None) -> JobShopSolution:
    """The best of the given schedule, if any, and the constructed ones."""
    schedules = [job_shop_construct.active_wait(instance), job_shop_construct.spt_mwkr(instance)]
    if start is not None:
        schedules.insert(0, start)
    return min(schedules, key=lambda schedule: objective(instance, schedule))


# The search over walks.


@dataclass(frozen=True)
class Limits:
    """When a search ends, at the latest.

    Attributes:
        deadline: In seconds of ``time.perf_counter``.
        iterations: Number of moves.
        patience: Number of walks without a better schedule.
    """

    deadline: float = math.inf
    iterations: float = math.inf
    patience: float = math.inf


@dataclass(frozen=True)
class _Elite:
    """A schedule of the elite.

    Attributes:
        makespan: Its makespan in the scaled shop.
        order: ``(N,)`` the operations, each after its predecessors in its job and on its machine.
        place: ``(N,)`` place of each operation on its machine.
    """

    makespan: int
    order: IntArray
    place: IntArray

    def resembles(self, other: _Elite) -> bool:
        """Whether the schedules are the same but for trifles."""
        return bool(np.abs(self.place - other.place).mean() <= _SAME)


class TabuSearch:
    """Walks between elite schedules, and what they found.

    Attributes:
        walk: The walk, and its counters.
    """

    def __init__(
        self, instance: JobShopInstance, *, seed: int, population: int, stagnation: int
    ) -> None:
        self.walk = Walk(instance, seed)
        self._rng = np.random.default_rng([seed % 2**32, 1])
        self._population = population
        self._stagnation = stagnation
        self._limits = Limits()
        self._elite: list[_Elite] = []
        self._in_vain = 0
        self._slice = 1
        self._best = self.walk.order.copy()
        self._makespan = 0

    def solution(self) -> JobShopSolution:
        """The best schedule found."""
        return self.walk.schedule(self._best)

    def run(self, start: JobShopSolution, limits: Limits, on_better: Report) -> None:
        """Search from a schedule until a limit, or until the lower bound is reached.

        Args:
            start: A valid schedule.
            limits: When to end.
            on_better: Called with better schedules than ``start``, at most once per slice of time.
        """
        began, walk = time.perf_counter(), self.walk
        self._limits, self._on_better = limits, on_better
        self._best = walk.order_of(start)
        self._makespan = walk.load(self._best)
        self._elite = [self._walk_from(self._best, _FIRST * self._stagnation)]
        while not self._finished():
            self._fill()
            self._relink()
            self._elite = [min(self._elite, key=lambda elite: elite.makespan)]
        seconds = time.perf_counter() - began
        _logger.debug(
            "tabu: %d moves made, %d evaluated in %.2f s, %.2f million/s.",
            walk.iterations,
            walk.evaluated,
            seconds,
            walk.evaluated / seconds / 1e6,
        )

    def _finished(self) -> bool:
        return (
            self._makespan <= self.walk.target
            or self.walk.iterations >= self._limits.iterations
            or self._in_vain >= self._limits.patience
            or time.perf_counter() >= self._limits.deadline
        )

    def _fill(self) -> None:
        """Complete the elite by walks from random schedules."""
        while len(self._elite) < self._population and not self._finished():
            self._elite.append(self._walk_from(self._random_order(), self._stagnation))

    def _random_order(self) -> IntArray:
        keys = self._rng.random(self.walk.size)
        shuffled: IntArray = np.argsort(keys[np.lexsort((keys, self.walk.job))], kind="stable")
        return shuffled

    def _relink(self) -> None:
        """Walk from between two of the elite again and again, until that changes it no more."""
        vain = 0
        while vain < _VAIN * self._population and not self._finished():
            one, other = self._rng.choice(len(self._elite), 2, replace=False)
            order = self._between(self._elite[one], self._elite[other])
            vain = 0 if self._admit(self._walk_from(order, self._stagnation)) else vain + 1

    def _between(self, one: _Elite, other: _Elite) -> IntArray:
        """The best of some schedules on paths from one to another."""
        orders = []
        for _ in range(_CANDIDATES):
            share = self._rng.uniform(*_BETWEEN)
            times = (1 - share) * self._times(one) + share * self._times(other)
            orders.append(np.argsort(times, kind="stable"))
        return min(orders, key=self.walk.load)

    def _times(self, elite: _Elite) -> FloatArray:
        """Start times of a schedule as long as its makespan, all equally early or late."""
        self.walk.load(elite.order)
        return self.walk.starts(self._rng.random()) / elite.makespan

    def _admit(self, new: _Elite) -> bool:
        """Let a schedule replace one that it resembles, or else the worst, if it is better."""
        elite = self._elite
        rivals = [i for i, old in enumerate(elite) if new.resembles(old)]
        if rivals:
            replaced = min(rivals, key=lambda i: elite[i].makespan)
        else:
            replaced = max(range(len(elite)), key=lambda i: elite[i].makespan)
        better = new.makespan < elite[replaced].makespan
        if better:
            elite[replaced] = new
        return better

    def _walk_from(self, order: IntArray, stagnation: int) -> _Elite:
        """Walk until the walk or the search ends; returns the best schedule on the way."""
        walk = self.walk
        walk.load(order)
        walk.begin(stagnation)
        before, reason = self._makespan, kernels.PAUSED
        while reason == kernels.PAUSED and not self._finished():
            reason = self._advance()
            if walk.best < self._makespan:
                self._makespan, self._best = walk.best, walk.best_order.copy()
                self._on_better(walk.schedule(self._best))
        self._in_vain = 0 if self._makespan < before else self._in_vain + 1
        return _Elite(walk.best, walk.best_order.copy(), walk.places())

    def _advance(self) -> int:
        """A slice of the walk; the next one will take about the time it should."""
        left = self._limits.iterations - self.walk.iterations
        began = time.perf_counter()
        reason = self.walk.advance(int(min(self._slice, left)))
        seconds = time.perf_counter() - began
        if reason == kernels.PAUSED:
            factor = min(_SLICE_SECONDS / max(seconds, 1e-9), 4.0)
            self._slice = max(int(self._slice * factor), 1)
        return reason


# One walk.


class Walk:
    """A job shop as the kernels need it, the schedule at which a walk is, and the best on its way.

    Attributes:
        size: Number of operations, ``N``; they are numbered along the jobs.
        scale: Scaled ticks in a tick of the shop.
        job: ``(N,)`` job of each operation.
        order: ``(N,)`` the operations, each after its predecessors in its job and on its machine.
        best_order: The same of the best schedule since the walk began.
        target: A makespan that is certainly optimal, in scaled ticks as all times here.
    """

    def __init__(self, instance: JobShopInstance, seed: int) -> None:
        self._exists = exists = instance.machines >= 0
        self._machine = instance.machines[exists]
        self._durations = instance.durations[exists]
        self.scale, times = _positive(self._durations)
        self.job = np.nonzero(exists)[0]
        self.size = size = len(times)
        self.target = (lower_bound(instance) + 1) * self.scale - 1
        self.order, self.best_order = np.arange(size), np.arange(size)
        self.operations = _graph(exists, times)
        self._final = np.flatnonzero(self.operations[:size, kernels.JOB_SUCC] == size)
        machines, on_machine = np.unique(self._machine, return_counts=True)
        width = min(int(on_machine.max()), max(_MOST_ENTRIES // size, 1))
        self._local = _places(self._machine, self.order) % width
        self._tabu = np.zeros((size, 2, width), np.int64)
        self._path = np.zeros((5, size), np.int64)
        self._moves = np.zeros((4 * size, 4), np.int64)
        self._scratch = np.zeros((2, size + 1), np.int64)
        self._last_on = np.zeros(instance.num_machines, np.int64)
        self._rng = np.random.default_rng(seed % 2**32).integers(1, 2**63, 1).astype(np.uint64)
        self._state = np.zeros(16, np.int64)
        tenure = 10 + instance.num_jobs / len(machines)
        self._state[kernels.TENURE] = round(0.6 * tenure)
        self._state[kernels.SPREAD] = round(0.4 * tenure)
        self._state[kernels.TARGET] = self.target

    @property
    def makespan(self) -> int:
        """Makespan of ``order``."""
        return int(self._state[kernels.MAKESPAN])

    @property
    def best(self) -> int:
        """Makespan of ``best_order``."""
        return int(self._state[kernels.BEST])

    @property
    def iterations(self) -> int:
        """Number of moves made, by all walks."""
        return int(self._state[kernels.ITERATION])

    @property
    def evaluated(self) -> int:
        """Number of moves evaluated, by all walks."""
        return int(self._state[kernels.EVALUATED])

    def load(self, order: IntArray) -> int:
        """Go to the schedule in which the machines follow ``order``; returns its makespan."""
        self.order[:] = order
        kernels.set_order(self.operations, self._machine, self._last_on, self.order, self._state)
        return self.makespan

    def begin(self, stagnation: int) -> None:
        """Begin a walk that ends after so many moves without improvement."""
        self._state[kernels.CUTOFF] = stagnation
        kernels.begin(self.order, self.best_order, self._state)

    def advance(self, iterations: int) -> int:
        """Walk on; returns one of the kernels' reasons to stop."""
        reason: int = kernels.search(
            self.operations,
            self.order,
            self.best_order,
            self._final,
            self._local,
            self._tabu,
            self._path,
            self._moves,
            self._scratch,
            self._state,
            self._rng,
            iterations,
        )
        return reason

    def moves(self) -> IntArray:
        """The moves on a random critical path, as the walk sees them.

        Returns:
            ``(k, 4)`` rows ``u, v, forward, estimate``: ``u`` goes right after ``v`` if ``forward``
            is 1, else ``v`` right before ``u``; then the longest path through what was moved.
        """
        count = kernels.estimate_moves(
            self.operations, self._final, self._path, self._moves, self._state, self._rng
        )
        moves = self._moves[:count].copy()
        for column in (kernels.LEFT, kernels.RIGHT):
            moves[:, column] = self._path[kernels.OPERATION, moves[:, column]]
        return moves

    def starts(self, early: float = 1.0) -> FloatArray:
        """``(N,)`` start times between the latest (``early = 0``) and the earliest (1)."""
        operations = self.operations[: self.size]
        earliest = operations[:, kernels.END] - operations[:, kernels.TIME]
        latest = self.makespan - operations[:, kernels.TAIL]
        starts: FloatArray = early * earliest + (1 - early) * latest
        return starts

    def places(self) -> IntArray:
        """``(N,)`` place of each operation on its machine in ``best_order``."""
        return _places(self._machine, self.best_order)

    def order_of(self, schedule: JobShopSolution) -> IntArray:
        """The order of a valid schedule; operations that take no time precede others."""
        starts = schedule.start[self._exists]
        order: IntArray = np.lexsort((self.operations[: self.size, kernels.TIME], starts))
        return order

    def schedule(self, order: IntArray) -> JobShopSolution:
        """The schedule of an order, everything as early as possible, in ticks of the shop."""
        start = np.full(self._exists.shape, -1, np.int64)
        start[self._exists] = kernels.start_times(order, self.job, self._machine, self._durations)
        return JobShopSolution(start)


def _positive(durations: IntArray) -> tuple[int, IntArray]:
    """The factor of the scaled durations, and these."""
    zeros = int(np.count_nonzero(durations == 0))
    total = int(durations.sum()) * (zeros + 1) + zeros
    if total >= 2**62:
        raise ValueError(
            f"tabu: processing times sum to {total} if scaled for {zeros} of 0, expected below"
            " 2^62."
        )
    return zeros + 1, np.maximum(durations * (zeros + 1), 1)


def _graph(exists: BoolArray, times: IntArray) -> IntArray:
    """``operations`` of the kernels, before the machines have an order."""
    size = len(times)
    number = np.full((exists.shape[0], exists.shape[1] + 2), size)
    number[:, 1:-1][exists] = np.arange(size)
    operations = np.zeros((size + 1, 8), np.int64)
    operations[:, kernels.JOB_PRED : kernels.MACHINE_SUCC + 1] = size
    operations[:size, kernels.TIME] = times
    operations[:size, kernels.JOB_PRED] = number[:, :-2][exists]
    operations[:size, kernels.JOB_SUCC] = number[:, 2:][exists]
    return operations


def _places(machine: IntArray, order: IntArray) -> IntArray:
    """``(N,)`` place of each operation on its machine, from 0, if machines follow ``order``."""
    by_machine = order[np.argsort(machine[order], kind="stable")]
    sorted_machines = machine[by_machine]
    place = np.empty(len(order), np.int64)
    first = np.searchsorted(sorted_machines, sorted_machines)
    place[by_machine] = np.arange(len(order)) - first
    return place
