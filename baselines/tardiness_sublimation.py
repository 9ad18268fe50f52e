"""Weighted tardiness by successive sublimation: relaxations that approach the problem.

Tanaka, Fujikuma and Araki 2009 (doi:10.1007/s10951-008-0093-5): a Lagrangian relaxation in which
jobs may be repeated is solved by dynamic programming over time, first with any two neighbours
different, then with any three in a row; what cannot lie on a path better than the best known
sequence is dropped. Then, job by job, the path is made to visit a job exactly once, which at most
doubles the graph, of which in turn more can be dropped; until nothing is left, and the sequence is
proven optimal. The relaxations stand in ``tardiness_sublimation_kernels.py``.

Differences: the graph is explicit and loses arcs as well as nodes; a job's visits are told apart by
parting nodes; precedence relations (``tardiness_precedence.py``) cut windows, arcs and halves; the
next job is one that parts few nodes; multipliers follow a deflected subgradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from ..instances.core import BoolArray, FloatArray, IntArray
from ..instances.tardiness import TardinessInstance, TardinessSolution, lower_bound
from . import tardiness_sublimation_kernels as kernels
from .solver import Draft, Report, Status
from .tardiness_precedence import precedence
from .tardiness_search import Deadline, first_sequence, iterated

#: Kicks of the search for a good sequence.
_KICKS = 300
#: Pairs of job and end, at most, and arcs of a graph: a few gigabytes altogether.
_MOST_PAIRS, _MOST_ARCS = 3 * 10**7, 6 * 10**7
#: Costs are integers, so that paths above the limit by less are kept: rounding does no harm.
_MARGIN = 0.1
#: Number of sums along a path times what they may reach: below it, rounding errs by less than the
#: margin.
_EXACT = 1e14

# When a relaxation is left: after so many steps, of the chain, of the graph at first, and of the
# graph later on; and so many steps after the bound rose by this share of the gap.
_CHAIN_STEPS, _FIRST_STEPS, _STEPS = 100, 150, 0
_PATIENCE, _RISE = 20, 0.01
#: Steps between prunings, at least.
_PAUSE = 10


def sublimate(
    instance: TardinessInstance,
    deadline: Deadline,
    seed: int,
    start: TardinessSolution | None,
    on_incumbent: Report,
    *,
    root: bool = False,
) -> Draft:
    """A proven optimum of an instance without release dates and setups, or a bound.

    Args:
        instance: The instance.
        deadline: When to stop.
        seed: Seed of the search for a good sequence.
        start: Sequence to begin from, or ``None``.
        on_incumbent: Called with each better sequence.
        root: Whether to stop before any job is made to be visited exactly once.
    """
    best, bound = first_sequence(instance, start, on_incumbent), lower_bound(instance)
    for value, found in iterated(instance, best, np.random.default_rng(seed), _KICKS):
        on_incumbent(TardinessSolution(found))
        if value == bound or deadline.passed:
            return Draft(None, bound)
    counted, rest = np.flatnonzero(instance.weights > 0), np.flatnonzero(instance.weights == 0)

    def report(sequence: IntArray) -> None:
        on_incumbent(TardinessSolution(np.concatenate([counted[sequence], rest])))

    p, w, d = instance.durations, instance.weights, instance.due_dates
    proof = Proof(p[counted], w[counted], d[counted], value, report)
    if proof.run(deadline, root=root):
        return Draft(None, proof.best, Status.OPTIMAL)
    return Draft(None, max(bound, min(proof.bound, proof.best)))


class _Multipliers:
    """The multipliers, and how they move.

    Attributes:
        mu: ``(n,)`` where the relaxation is evaluated.
        bound: Its highest value so far.
        off: ``(n,)`` how far each job's visits were off 1, lately.
        stalled: Steps since the bound rose by a fair share.
    """

    def __init__(self, n: int, largest: float) -> None:
        self.mu = np.zeros(n)
        self.bound = -math.inf
        self.off = np.zeros(n)
        self.stalled = 0
        self._largest = largest
        self._mark = -math.inf
        self._best = self.mu
        self._direction = np.zeros(n)
        self._scale, self._vain = 1.0, 0

    def note(self, value: float, target: int) -> bool:
        """Take the relaxation's value at ``mu``; whether it is the highest so far."""
        self.stalled += 1
        self._vain += 1
        if value <= self.bound:
            return False
        self.bound, self._best, self._vain = value, self.mu, 0
        if value > self._mark + _RISE * (target - self._mark):
            self._mark, self.stalled = value, 0
        return True

    def move(self, visits: IntArray, target: int) -> None:
        """Follow the subgradient, deflected by the last direction, towards a value of the target.

        The steps become shorter as they are in vain. They go on from where they are: going back to
        the best multipliers gets stuck.
        """
        off = 1.0 - visits
        self.off = 0.9 * self.off + 0.1 * np.abs(off)
        self._direction = off + 0.7 * self._direction
        if self._vain >= 20:
            self._scale, self._vain = 0.8 * self._scale, 0
        length = max(float(self._direction @ self._direction), 1.0)
        step = self._scale * max(target - self.bound, 1.0) / length
        self.mu = np.clip(self.mu + step * self._direction, -self._largest, self._largest)

    def restart(self) -> None:
        """Return to the best multipliers, for another relaxation."""
        self.mu, self.stalled, self._vain = self._best, 0, 0
        self._mark = self.bound
        self._direction = np.zeros_like(self.mu)
        self._scale = min(1.5 * self._scale, 1.0)


class _Relaxation(Protocol):
    """Paths whose jobs may be repeated."""

    def evaluate(self, mu: FloatArray) -> float:
        """Cost of the cheapest path."""

    def path(self) -> IntArray:
        """The jobs of that path, in order."""

    def prune(self, limit: float, mu: FloatArray) -> bool:
        """Drop what lies only on paths of more than ``limit``; whether anything is left."""


class _Chain:
    """Paths in which any two neighbours differ: see the kernels.

    Attributes:
        alive: ``(P + 1, n)`` which jobs may end at a time.
        cost: ``(P + 1, n)`` what that costs.
    """

    def __init__(self, p: IntArray, w: IntArray, d: IntArray, known: BoolArray) -> None:
        end = int(p.sum())
        times = np.arange(end + 1)[:, None]
        self.cost = w * np.maximum(times - d, 0.0)
        self.alive = (times >= p @ known + p) & (times <= end - known @ p)
        self._p = p
        self._value, self._value2 = np.empty((2, end + 1, 2))
        self._by, self._by2 = np.empty((2, end + 1, 2), dtype=np.int64)

    def evaluate(self, mu: FloatArray) -> float:
        """See :class:`_Relaxation`."""
        arrays = (self.alive, self._p, self.cost, mu, self._value, self._by)
        return float(kernels.chain_forward(*arrays))

    def path(self) -> IntArray:
        """See :class:`_Relaxation`."""
        path = np.empty(len(self._by), dtype=np.int64)
        return path[: kernels.chain_path(self._p, self._by, path)][::-1]

    def prune(self, limit: float, mu: FloatArray) -> bool:
        """See :class:`_Relaxation`."""
        network = (self.alive, self._p, self.cost, mu)
        kernels.chain_backward(*network, self._value2, self._by2)
        passes = (self._value, self._by, self._value2, self._by2)
        return bool(kernels.chain_prune(limit, *network, *passes))

    def graph(self, limit: float, mu: FloatArray, known: BoolArray) -> _Graph | None:
        """What is left as a graph, or ``None`` if that is too large; after :meth:`prune`."""
        alive, n = self.alive, len(self._p)
        number = np.cumsum(alive.ravel()).reshape(alive.shape)
        arrays = (number, self._p, self.cost, mu, self._value, self._by, self._value2, self._by2)
        first = kernels.build(limit, known, alive, *arrays, np.empty(0, dtype=np.int32))
        if first[-1] > _MOST_ARCS:
            return None
        sources = np.empty(first[-1], dtype=np.int32)
        kernels.build(limit, known, alive, *arrays, sources)
        time, job = np.nonzero(alive)
        nodes = _Nodes(
            np.concatenate([[n], job, [n + 1]]),
            np.concatenate([[0], time, [len(alive) - 1]]),
            np.concatenate([[0.0], self.cost[alive], [0.0]]),
            first,
            sources,
        )
        return _Graph(nodes, known)


class _Nodes(NamedTuple):
    """The arrays of a graph, see the kernels."""

    job: IntArray
    time: IntArray
    cost: FloatArray
    first: IntArray
    sources: IntArray


class _Graph:
    """Paths in which any three in a row differ, and some jobs are visited exactly once.

    Attributes:
        nodes: The graph.
    """

    def __init__(self, nodes: _Nodes, known: BoolArray) -> None:
        self._known = known
        self._parted = np.zeros(len(known), dtype=np.bool_)
        self._resize(nodes)

    def _resize(self, nodes: tuple[IntArray, ...] | _Nodes) -> None:
        self.nodes = _Nodes(*nodes)
        self._value, self._value2 = np.empty((2, len(self.nodes.job), 2))
        self._by, self._by2 = np.empty((2, len(self.nodes.job), 2), dtype=np.int32)

    def evaluate(self, mu: FloatArray) -> float:
        """See :class:`_Relaxation`."""
        if not len(self.nodes.job):
            return math.inf
        self._mu = np.append(mu, [0.0, 0.0])
        return float(kernels.graph_forward(*self.nodes, self._mu, self._value, self._by))

    def path(self) -> IntArray:
        """See :class:`_Relaxation`."""
        path = np.empty(self.nodes.time[-1], dtype=np.int64)
        return path[: kernels.graph_path(self.nodes.job, self._by, path)][::-1]

    def prune(self, limit: float, mu: FloatArray) -> bool:
        """See :class:`_Relaxation`."""
        kernels.graph_backward(*self.nodes, self._mu, self._value2, self._by2)
        passes = (self._value, self._by, self._value2, self._by2)
        self._resize(kernels.graph_prune(limit, *self.nodes, self._mu, *passes))
        return len(self.nodes.job) > 0

    def part(self, off: FloatArray) -> bool:
        """Have paths visit one more job exactly once; whether there was one.

        That job has the best ratio of how far its visits were ``off`` to how many nodes it parts.
        """
        if self._parted.all() or 2 * len(self.nodes.sources) > _MOST_ARCS:
            return False
        share = kernels.shared(self._known, *self.nodes) / max(len(self.nodes.job), 1)
        score = np.where(self._parted, -1.0, (off + 0.02) / (share + 0.05))
        job = int(score.argmax())
        self._parted[job] = True
        self._resize(kernels.split(job, self._known, *self.nodes))
        return True


class Proof:
    """The attempt to show that no sequence costs less than a given value.

    Args:
        p: ``(n,)`` processing times.
        w: ``(n,)`` weights, positive.
        d: ``(n,)`` due dates.
        best: The value.
        report: Called with better sequences that are found.

    Attributes:
        best: That value, or less where a path turned out to be a better sequence.
    """

    def __init__(
        self,
        p: IntArray,
        w: IntArray,
        d: IntArray,
        best: int,
        report: Callable[[IntArray], None] = lambda sequence: None,
    ) -> None:
        self.best = best
        self._jobs = p, w, d
        self._report = report
        longest = 2 * int(p.sum()) // max(int(np.sort(p)[:2].sum()), 2) + 2  # path, in jobs
        largest = (_EXACT / longest - best) / longest
        highest = int((w * np.maximum(p.sum() - d, 0)).max())
        self._fits = highest <= largest and int(p.sum() + 1) * len(p) <= _MOST_PAIRS
        self._multipliers = _Multipliers(len(p), largest)

    @property
    def bound(self) -> int:
        """A lower bound; where everything is dropped, it may exceed the value."""
        value = self._multipliers.bound
        return 0 if math.isinf(value) else math.ceil(value - _MARGIN)

    def run(self, deadline: Deadline, *, root: bool = False) -> bool:
        """Whether the value is proven to be the optimum; with ``root`` by relaxations alone."""
        if not self._fits:
            return False
        p, w, d = self._jobs
        known = precedence(TardinessInstance(p, d, w))
        chain = _Chain(p, w, d, known)
        graph: _Graph | None = None
        while graph is None:
            mark = self._multipliers.bound
            if self._climb(chain, deadline, _CHAIN_STEPS):
                return True
            rise = self._multipliers.bound - mark
            if deadline.passed or rise < _RISE * (self.best - self._multipliers.bound):
                return False
            graph = self._graph(chain, known)
        del chain
        steps = _FIRST_STEPS
        while not deadline.passed:
            if self._climb(graph, deadline, steps):
                return True
            if root or deadline.passed or not graph.part(self._multipliers.off):
                return False
            self._multipliers.restart()
            steps = _STEPS
        return False

    def _graph(self, chain: _Chain, known: BoolArray) -> _Graph | None:
        """What is left of the chain at the best multipliers, or ``None`` if it is too much."""
        self._multipliers.restart()
        mu = self._multipliers.mu
        chain.evaluate(mu)
        limit = self._limit - mu.sum()
        chain.prune(limit, mu)
        return chain.graph(limit, mu, known)

    @property
    def _limit(self) -> float:
        """Paths that cost more are of no interest."""
        return self.best - 1 + _MARGIN

    def _climb(self, relaxation: _Relaxation, deadline: Deadline, least: int) -> bool:
        """Raise the bound until it stalls; whether no path below the value is left.

        Args:
            relaxation: The relaxation.
            deadline: When to stop.
            least: Number of steps after which to look whether it stalls.
        """
        multipliers, step, pruned = self._multipliers, 0, -_PAUSE
        while (step < least or multipliers.stalled < _PATIENCE) and not deadline.passed:
            mu = multipliers.mu
            value = relaxation.evaluate(mu) + mu.sum()
            if value > self._limit:
                return True
            path = relaxation.path()
            if multipliers.note(value, self.best) and step >= pruned + _PAUSE:
                if not relaxation.prune(self._limit - mu.sum(), mu):
                    return True
                pruned = step
            visits = np.bincount(path, minlength=len(mu))
            if (visits == 1).all():
                self._improve(path)
                continue
            multipliers.move(visits, self.best)
            step += 1
        return False

    def _improve(self, sequence: IntArray) -> None:
        """Take a path that is a sequence, and costs less than the best."""
        p, w, d = self._jobs
        late = np.maximum(np.cumsum(p[sequence]) - d[sequence], 0)
        self.best = int(w[sequence] @ late)
        self._report(sequence)
