"""The classics of static allocation: greedy fits, the skyline, depth-first search, CP-SAT.

``greedy`` places buffers in an order, each into a gap: the *first* one, which is the lowest, or the
*best* one, which is the smallest that holds it. XLA's ``GlobalDecreasingSizeBestFit`` is the order
by size with the best fit, as are TFLite's and Pisarchyk and Lee's (arXiv:2001.03288) greedy by
size; greedy by breadth takes the moments by the bytes that are live, and at each the buffers by
size.

``skyline`` always places the buffer of the lowest floor, and among these the one of the largest
area of lifetime x size; repeated with noise in the areas it keeps the best packing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import FloatArray, IntArray
from ..instances.memory_mapping import AllocationInstance, AllocationSolution
from . import cp_sat as engine
from . import memory_allocation_kernels as kernels
from . import memory_allocation_search_kernels as tree
from .rules import Columns, Rule, uniform
from .solver import Draft, Report, Solver, Status, solver

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar

# Rules.


def lowest_floor(c: Columns) -> FloatArray:
    """The lowest floor; of several, the largest area."""
    floor, area = c["floor"], c["area"]
    largest = np.nan_to_num(area, nan=0.0).max(axis=1, keepdims=True)
    score: FloatArray = -floor + 1e-6 * area / np.maximum(largest, 1e-9)
    return score


def lowest_bound(c: Columns) -> FloatArray:
    """What raises the bound on the peak least; then the lowest floor."""
    rise = np.maximum(c["bound"] - c["value_rise"], 0.0)
    return -rise - 1e-3 * c["floor"]


RULES: Mapping[str, Rule] = {
    "random": Rule(uniform, noise=1.0),
    "lowest_floor": Rule(lowest_floor),
    "lowest_bound": Rule(lowest_bound),
}


# What the kernels see.


@dataclass(frozen=True)
class _Table:
    """The buffers in the order of their starts.

    Attributes:
        instance: The instance.
        order: ``(n,)`` place to buffer.
        first: First section of each place.
        last: The one after its last.
        following: The first place that starts at ``last`` or later.
        sizes: In bytes.
        alignments: Of the offsets.
        areas: Lifetime times size.
        num_sections: Number of sections.
    """

    instance: AllocationInstance
    order: IntArray
    first: IntArray
    last: IntArray
    following: IntArray
    sizes: IntArray
    alignments: IntArray
    areas: FloatArray
    num_sections: int

    @classmethod
    def of(cls, instance: AllocationInstance) -> _Table:
        """The table of an instance; O(n log n)."""
        times, first, last = instance.sections
        order = np.lexsort((last, first)).astype(np.int64)
        aligned = instance.alignments
        lengths = (instance.uppers - instance.lowers).astype(np.float64)
        return cls(
            instance,
            order,
            first[order],
            last[order],
            np.searchsorted(first[order], last[order]).astype(np.int64),
            instance.sizes[order],
            np.ones_like(order) if aligned is None else aligned[order],
            (lengths * instance.sizes)[order],
            len(times) - 1,
        )

    def solution(self, offsets: IntArray) -> AllocationSolution:
        """The packing from the offsets by place."""
        placed = np.empty_like(offsets)
        placed[self.order] = offsets
        return AllocationSolution(placed)

    def peak(self, offsets: IntArray) -> int:
        """The highest end."""
        return int((offsets + self.sizes).max())


def _ranks(*keys: Any) -> IntArray:
    """Rank of each place by the keys, the largest first; ties by place."""
    order = np.lexsort(tuple(-np.asarray(key) for key in reversed(keys)))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


# Greedy fits.


def _breadth(table: _Table) -> IntArray:
    """The fullest section of each buffer, as a key."""
    fullest = np.zeros(len(table.order), dtype=np.int64)
    left = np.ones(len(table.order), dtype=bool)
    live = table.instance.live_bytes
    for rank, k in enumerate(np.argsort(-live, kind="stable").tolist()):
        now = left & (table.first <= k) & (k < table.last)
        fullest[now] = len(live) - rank
        left &= ~now
        if not left.any():
            break
    return fullest


#: Order of the greedy fits to its keys, the largest first.
_ORDERS: Mapping[str, Callable[[_Table], tuple[Any, ...]]] = {
    "size": lambda t: (t.sizes, t.areas),
    "area": lambda t: (t.areas, t.sizes),
    "duration": lambda t: (t.areas / t.sizes, t.sizes),
    "start": lambda t: (-t.first, t.sizes),
    "breadth": lambda t: (_breadth(t), t.sizes),
    "conflicts": lambda t: (_conflicts(t), t.sizes),
}


def _conflicts(table: _Table) -> IntArray:
    ended = np.searchsorted(np.sort(table.last), table.first, side="right")
    return np.asarray(table.following - ended, dtype=np.int64)


def _fitted(instance: AllocationInstance, order: str, fit: str) -> AllocationSolution:
    if order not in _ORDERS:
        raise ValueError(f"greedy: order {order!r}, expected one of: {', '.join(_ORDERS)}.")
    if fit not in ("first", "best"):
        raise ValueError(f"greedy: fit {fit!r}, expected 'first' or 'best'.")
    table = _Table.of(instance)
    sequence = np.argsort(_ranks(*_ORDERS[order](table))).astype(np.int64)
    offsets = kernels.fit(
        sequence, table.first, table.last, table.following, table.sizes, table.alignments,
        fit == "best",
    )  # fmt: skip
    return table.solution(offsets)


@solver
def greedy(
    instance: AllocationInstance, *, order: str = "size", fit: str = "first"
) -> AllocationSolution:
    """Place the buffers in an order, each into a gap; see the module.

    Args:
        instance: The instance.
        order: ``size``, ``area``, ``duration``, ``start``, ``breadth`` or ``conflicts``.
        fit: ``first`` or ``best``.
    """
    return _fitted(instance, order, fit)


@solver
def xla_best_fit(instance: AllocationInstance) -> AllocationSolution:
    """By size, into the smallest gap: XLA's ``GlobalDecreasingSizeBestFit``."""
    return _fitted(instance, "size", "best")


@solver
def greedy_by_size(instance: AllocationInstance) -> AllocationSolution:
    """By size, into the lowest gap."""
    return _fitted(instance, "size", "first")


@solver
def greedy_by_breadth(instance: AllocationInstance) -> AllocationSolution:
    """By the fullest moment, then by size, into the smallest gap (arXiv:2001.03288)."""
    return _fitted(instance, "breadth", "best")


# The skyline.

#: Scales of the noise in the logarithm of the areas, in turn.
_NOISE = (0.1, 0.3, 1.0)


@solver
def skyline(
    instance: AllocationInstance,
    *,
    time_limit: float | None,
    seed: int,
    on_incumbent: Report,
    restarts: int = 0,
) -> Draft:
    """The skyline, once, or so many times more with noise; see the module.

    Args:
        instance: The instance.
        time_limit: In seconds, for the restarts.
        seed: Of the noise.
        on_incumbent: Called with each better packing.
        restarts: How often to repeat it with noise.
    """
    if isinstance(restarts, bool) or not isinstance(restarts, int) or restarts < 0:
        raise ValueError(f"skyline: restarts {restarts!r}, expected an integer >= 0.")
    deadline = _deadline(time_limit)
    table = _Table.of(instance)
    offsets = _skylines(table, np.random.default_rng(seed), restarts, deadline, on_incumbent)
    return Draft(table.solution(offsets), instance.load)


def _deadline(time_limit: float | None) -> float:
    return math.inf if time_limit is None else time.perf_counter() + time_limit


def _skylines(
    table: _Table, rng: np.random.Generator, restarts: int, deadline: float, report: Report
) -> IntArray:
    """The offsets, by place, of the best of one exact and several noisy skylines."""
    best: IntArray = np.empty(0, dtype=np.int64)
    limit = 2**62
    for attempt in range(restarts + 1):
        noise = _NOISE[attempt % len(_NOISE)] * rng.standard_normal(len(table.order))
        areas = table.areas * np.exp(noise) if attempt else table.areas
        if attempt and (time.perf_counter() > deadline or limit < table.instance.load):
            break
        found = kernels.skyline(
            table.first, table.last, table.sizes, table.alignments, _ranks(areas),
            table.num_sections, limit,
        )  # fmt: skip
        if found.size:
            best, limit = found, table.peak(found) - 1
            report(table.solution(best))
    return best


# Depth-first search.

#: Nodes of the shortest run.
_NODES = 1000
#: More buffers are left to the skyline: each run of the search keeps n x sections numbers.
_MOST_SEARCHED = 3000


class _Tree:
    """The arrays of the search kernel, and its runs."""

    def __init__(self, table: _Table) -> None:
        n, sections = len(table.order), table.num_sections
        self.table = table
        self.buffers = np.zeros((n, 6), dtype=np.int64)
        columns = (table.first, table.last, table.sizes, table.alignments, table.following)
        self.buffers[:, :5] = np.column_stack(columns)
        self.sections = np.zeros((sections, 3), dtype=np.int64)
        self.sections[:, tree.LEFT] = table.instance.live_bytes
        change = np.zeros(sections + 1, dtype=np.int64)
        inner = table.last - table.first > 1
        np.add.at(change, table.first[inner] + 1, 1)
        np.subtract.at(change, table.last[inner], 1)
        self.sections[:, tree.CROSSING] = np.cumsum(change)[:-1]
        spans = table.last - table.first
        places = np.repeat(np.arange(n), spans)
        within = np.arange(len(places)) - np.repeat(np.cumsum(spans) - spans, spans)
        section = np.repeat(table.first, spans) + within
        order = np.lexsort((places, section))
        self.members = places[order].astype(np.int64)
        self.starts = np.searchsorted(section[order], np.arange(sections + 1)).astype(np.int64)
        self.place_at = np.searchsorted(table.first, np.arange(sections + 1)).astype(np.int64)
        self.trail = np.zeros((n * (n + 1) + 3 * n * sections, 3), dtype=np.int64)
        self.frames = np.zeros((2 * n + 4, 8), dtype=np.int64)
        live = table.instance.live_bytes
        pairs = zip(table.first, table.last, strict=True)
        self.fullest = np.array([live[a:b].max() for a, b in pairs], dtype=np.float64)

    def orders(self) -> list[tuple[FloatArray, ...]]:
        """Keys of the preorders: width in sections, area, fullest section and size.

        The first three are MiniMalloc's.
        """
        width = (self.table.last - self.table.first).astype(np.float64)
        area, size = self.table.areas, self.table.sizes.astype(np.float64)
        return [
            (width, area, self.fullest),
            (self.fullest, area, width),
            (self.fullest, width, area),
            (area, width, self.fullest),
            (width, size, self.fullest),
            (area,),
        ]

    def run(self, keys: tuple[FloatArray, ...], capacity: int, nodes: int) -> tuple[int, IntArray]:
        """One search: FOUND, NONE or LIMIT, and the offsets by place."""
        self.buffers[:, tree.RANK] = _ranks(*keys)
        spots = np.zeros((len(self.buffers), 2), dtype=np.int64)
        counters = np.array([0, nodes, 0], dtype=np.int64)
        result = tree.search(
            self.buffers, spots, self.sections.copy(), self.trail, self.frames, counters,
            self.starts, self.members, self.place_at, capacity,
        )  # fmt: skip
        return int(result), spots[:, tree.FLOOR].copy()


def _luby(i: int) -> int:
    """The ``i``-th number, from 1, of 1 1 2 1 1 2 4 ... (doi:10.1016/0020-0190(93)90029-9)."""
    while (i + 1) & i:
        i -= (1 << (i.bit_length() - 1)) - 1
    return (i + 1) // 2


@solver
def search(
    instance: AllocationInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: AllocationSolution | None,
    on_incumbent: Report,
    restarts: int = 2000,
) -> Draft:
    """Skylines, then a depth-first search for a packing that fits; see its kernel.

    It first looks for one at the capacity, if there is one and the skyline does not fit, then at
    the load, then half-way between the best bound and the best packing. Each run has a limit of
    nodes, which follows Luby's sequence, and one of six preorders, from the second round on with
    noise; a run that ends without a packing before its limit proves that there is none.

    Args:
        instance: The instance; of more than 3,000 buffers, only noisy skylines are tried.
        time_limit: In seconds.
        seed: Of the noise.
        start: A packing to begin from.
        on_incumbent: Called with each better packing.
        restarts: Number of runs, if no time limit comes first.
    """
    if isinstance(restarts, bool) or not isinstance(restarts, int) or restarts < 0:
        raise ValueError(f"search: restarts {restarts!r}, expected an integer >= 0.")
    deadline, rng = _deadline(time_limit), np.random.default_rng(seed)
    if start is not None:
        on_incumbent(start)
    table = _Table.of(instance)
    small = instance.num_buffers <= _MOST_SEARCHED
    offsets = _skylines(table, rng, 20, deadline, on_incumbent)
    best, peak = table.solution(offsets), table.peak(offsets)
    if start is not None and int((start.offsets + instance.sizes).max()) < peak:
        best, peak = start, int((start.offsets + instance.sizes).max())
    low = instance.load
    if not small or peak == low:
        return Draft(best, low)
    runs = _Tree(table)
    orders, attempt, target = runs.orders(), 0, _first_target(instance, low, peak)
    while low < peak and attempt < restarts and time.perf_counter() < deadline:
        scale = _SCALES[attempt // len(orders) % len(_SCALES)] if attempt >= len(orders) else 0.0
        keys = tuple(
            key * np.exp(scale * rng.standard_normal(len(key)))
            for key in orders[attempt % len(orders)]
        )
        attempt += 1
        nodes = _NODES * _luby((attempt - 1) // len(orders) + 1)
        result, offsets = runs.run(keys, target, nodes)
        if result == tree.FOUND:
            best, peak = table.solution(offsets), table.peak(offsets)
            on_incumbent(best)
        elif result == tree.NONE:
            low = target + 1
        if result != tree.LIMIT or target >= peak:
            target = low if result == tree.FOUND else (low + peak) // 2
        elif not instance.capacity and attempt % (4 * len(orders)) == 0:
            target = (target + peak) // 2 if target < peak - 1 else low
    return Draft(best, low)


#: Scales of the noise in the logarithm of the keys, in turn.
_SCALES = (0.02, 0.1, 0.05, 0.2)


def _first_target(instance: AllocationInstance, low: int, peak: int) -> int:
    if instance.capacity and low < instance.capacity < peak:
        return instance.capacity
    return low


# CP-SAT.

#: Larger models, by pairs of a buffer and a maximal live set, are not built.
_LARGEST_MODEL = 500_000


@dataclass(frozen=True)
class Variables:
    """The variables of :func:`build_model`.

    Attributes:
        offsets: Of each buffer, in units of ``unit`` bytes.
        peak: At least the end of every buffer, in the same units.
        unit: Bytes that divide all sizes and alignments.
    """

    offsets: tuple[IntVar, ...]
    peak: IntVar
    unit: int

    def solution(self, values: IntArray) -> AllocationSolution:
        """The packing that values of the variables, by index, stand for."""
        found = [int(values[offset.index]) * self.unit for offset in self.offsets]
        return AllocationSolution(np.array(found, dtype=np.int64))

    def hint(self, solution: AllocationSolution, peak: int) -> Iterator[tuple[IntVar, int]]:
        """The value of every variable in a packing of this peak."""
        for variable, offset in zip(self.offsets, solution.offsets.tolist(), strict=True):
            yield variable, offset // self.unit
        yield self.peak, -(-peak // self.unit)


def maximal_live_sets(instance: AllocationInstance) -> list[IntArray]:
    """The sets of buffers that are live together and in no larger such set.

    One stands at each end that follows a start: what is live there is lost afterwards.
    """
    _, first, last = instance.sections
    ends = np.unique(last)
    sets = []
    previous = 0
    for end in ends.tolist():
        if ((first >= previous) & (first < end)).any():
            sets.append(np.flatnonzero((first < end) & (end <= last)))
            previous = end
    return sets


def build_model(
    instance: AllocationInstance,
    *,
    peak: int | None = None,
    minimise: bool = True,
    form: str = "1d",
) -> tuple[CpModel, Variables]:
    """Static allocation as a model of CP-SAT.

    Args:
        instance: The instance.
        peak: Highest peak, in bytes; by default ``upper_bound`` of the instance.
        minimise: Whether to minimise the peak, or only to ask for one.
        form: ``"1d"``: addresses do not overlap within each maximal live set; ``"2d"``: rectangles
            of time x addresses do not overlap.

    Returns:
        The model and its variables.
    """
    from ortools.sat.python import cp_model

    from ..instances.memory_mapping import upper_bound

    if form not in ("1d", "2d"):
        raise ValueError(f"form {form!r}, expected '1d' or '2d'.")
    aligned = instance.alignments
    sizes = instance.sizes if aligned is None else np.append(instance.sizes, aligned)
    unit = int(np.gcd.reduce(sizes))
    limit = (upper_bound(instance) if peak is None else peak) // unit
    model = cp_model.CpModel()
    highest = model.new_int_var(-(-instance.load // unit), limit, "peak")
    offsets, intervals = [], []
    for i, size in enumerate((instance.sizes // unit).tolist()):
        step = 1 if aligned is None else int(aligned[i]) // unit
        if step > 1:
            multiple = model.new_int_var(0, max(limit - size, 0) // step, f"multiple_{i}")
            offset = model.new_int_var(0, max(limit - size, 0), f"offset_{i}")
            model.add(offset == step * multiple)
        else:
            offset = model.new_int_var(0, max(limit - size, 0), f"offset_{i}")
        model.add(highest >= offset + size)
        offsets.append(offset)
        intervals.append(model.new_fixed_size_interval_var(offset, size, f"space_{i}"))
    if form == "1d":
        for together in maximal_live_sets(instance):
            if len(together) > 1:
                model.add_no_overlap([intervals[i] for i in together.tolist()])
    else:
        _, first, last = instance.sections
        times = [
            model.new_fixed_size_interval_var(a, b - a, f"time_{i}")
            for i, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True))
        ]
        model.add_no_overlap_2d(times, intervals)
    if minimise:
        model.minimize(highest)
    return model, Variables(tuple(offsets), highest, unit)


@solver
def cp_sat(
    instance: AllocationInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: AllocationSolution | None,
    on_incumbent: Report,
    workers: int = engine.WORKERS,
    deterministic: bool = False,
    log: bool = False,
    form: str = "1d",
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """CP-SAT on :func:`build_model`, from the skyline: first at the capacity or load, then beyond.

    Args:
        instance: The instance; if its model is too large, the skyline is all there is.
        time_limit: In seconds, or ``None`` to search until the proof; see ``deterministic``.
        seed: Seed of the search.
        start: Packing to begin from.
        on_incumbent: Called with each better packing.
        workers: Number of search workers; 0 for one per core.
        deterministic: Solution and bound repeat; slower. The limit then counts the engine's work
            instead of seconds.
        log: Write the search log to the ``gapgym`` logger, at level INFO.
        form: See :func:`build_model`.
        parameters: Further parameters of CP-SAT by name.
    """
    began = time.perf_counter()
    table = _Table.of(instance)
    offsets = _skylines(table, np.random.default_rng(seed), 5, math.inf, on_incumbent)
    best, peak = table.solution(offsets), table.peak(offsets)
    if start is not None:
        on_incumbent(start)
        if (given := int((start.offsets + instance.sizes).max())) < peak:
            best, peak = start, given
    size = sum(len(together) for together in _some_sets(instance))
    if peak == instance.load or size > _LARGEST_MODEL:
        return Draft(best, instance.load)
    bound = instance.load
    for share, minimise in ((0.7, False), (1.0, True)):
        limit = time_limit
        if time_limit is not None and not deterministic:
            limit = share * max(time_limit - (time.perf_counter() - began), 0.01)
        elif time_limit is not None:
            limit = share * time_limit
        target = peak if minimise else _first_target(instance, bound, peak)
        model, variables = build_model(instance, peak=target, minimise=minimise, form=form)
        outcome = engine.minimise(
            model,
            time_limit=limit,
            seed=seed,
            workers=workers,
            hint=variables.hint(best, peak) if minimise else None,
            deterministic=deterministic,
            log=log,
            parameters=parameters,
            on_solution=partial(_report, on_incumbent, variables),
        )
        if outcome.values is not None:
            best = variables.solution(outcome.values)
            peak = min(peak, int((best.offsets + instance.sizes).max()))
            on_incumbent(best)
        if outcome.bound is not None and minimise:
            bound = max(bound, min(outcome.bound * variables.unit, peak))
        if outcome.status is Status.OPTIMAL or peak == instance.load:
            return Draft(best, peak)
    return Draft(best, bound)


def _report(report: Report, variables: Variables, values: IntArray) -> None:
    report(variables.solution(values))


def _some_sets(instance: AllocationInstance) -> Iterator[IntArray]:
    """The maximal live sets, or one that is far too large where finding them takes long."""
    if instance.num_buffers > 5000:
        yield np.zeros(_LARGEST_MODEL + 1, dtype=np.int64)
    else:
        yield from maximal_live_sets(instance)


SOLVERS: Mapping[str, Solver] = {
    "greedy": greedy,
    "greedy_by_size": greedy_by_size,
    "greedy_by_breadth": greedy_by_breadth,
    "xla_best_fit": xla_best_fit,
    "skyline": skyline,
    "search": search,
    "cp_sat": cp_sat,
}
