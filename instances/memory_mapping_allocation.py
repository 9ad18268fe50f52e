"""Static memory allocation: data, referee and bounds. Stated in ``memory_mapping.py``."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .core import Instance, IntArray, Solution, int_array

if TYPE_CHECKING:
    import pandas as pd

#: Sums of sizes and times stay below it, so that int64 does not wrap and floats are exact.
_LIMIT = 2**53


@dataclass(frozen=True, eq=False)
class AllocationInstance(Instance):
    """Buffers with fixed lifetimes that share one memory.

    Attributes:
        lowers: ``(n,)`` int64, time from which each buffer is live.
        uppers: ``(n,)`` int64, time from which it is no longer live; ``upper > lower``.
        sizes: ``(n,)`` int64, bytes, at least 1.
        alignments: ``(n,)`` int64, of which the offsets are multiples; ``None`` if all are 1.
        capacity: Bytes that the memory has, or 0 if it is only asked how many are needed. A larger
            peak is allowed, but does not ``fit``.
        ids: Names of the buffers in their file; empty if they are ``0..n-1``.
        hints: ``(n,)`` int64, proposed offsets, -1 for none; ``None`` if there are none.
        name: Identifier used in result tables, e.g. ``"A"``.

    Raises:
        ValueError: If the arrays do not describe such buffers.
    """

    problem: ClassVar[str] = "memory_allocation"

    lowers: IntArray
    uppers: IntArray
    sizes: IntArray
    alignments: IntArray | None = None
    capacity: int = 0
    ids: tuple[str, ...] = ()
    hints: IntArray | None = None
    name: str = ""

    def __post_init__(self) -> None:
        sizes = int_array(self.sizes, "sizes", 1)
        if not sizes.size:
            raise ValueError("sizes (0,), expected at least 1 buffer.")
        object.__setattr__(self, "sizes", sizes)
        for field in ("lowers", "uppers", "alignments", "hints"):
            given = getattr(self, field)
            if given is None and field in ("alignments", "hints"):
                continue
            array = int_array(given, field, 1)
            if array.shape != sizes.shape:
                raise ValueError(f"{field} {array.shape}, expected {sizes.shape} as sizes.")
            object.__setattr__(self, field, array)
        self._check_scalars()
        self._check_buffers()
        if self.alignments is not None and (self.alignments == 1).all():
            object.__setattr__(self, "alignments", None)
        if self.hints is not None and (self.hints == -1).all():
            object.__setattr__(self, "hints", None)

    def _check_scalars(self) -> None:
        if isinstance(self.capacity, bool) or not isinstance(self.capacity, int | np.integer):
            raise ValueError(f"capacity {self.capacity!r}, expected an integer.")
        object.__setattr__(self, "capacity", int(self.capacity))
        if not 0 <= self.capacity < _LIMIT:
            raise ValueError(f"capacity {self.capacity}, expected 0..2^53 - 1.")
        if not isinstance(self.name, str):
            raise ValueError(f"name {self.name!r}, expected a text.")
        if isinstance(self.ids, str) or not all(isinstance(text, str) for text in self.ids):
            raise ValueError(f"ids {type(self.ids).__name__}, expected texts.")
        ids = tuple(self.ids)
        n = len(self.sizes)
        if ids and len(ids) != n:
            raise ValueError(f"ids ({len(ids)},), expected ({n},) as sizes.")
        seen: dict[str, int] = {}
        for i, text in enumerate(ids):
            if text in seen:
                raise ValueError(f"buffer {i}: id {text!r} as buffer {seen[text]}, expected once.")
            seen[text] = i
        plain = all(text == str(i) for i, text in enumerate(ids))
        object.__setattr__(self, "ids", () if plain else ids)

    def _check_buffers(self) -> None:
        for i in np.flatnonzero(self.sizes < 1):
            raise ValueError(f"buffer {self.label(i)}: size {self.sizes[i]}, expected >= 1.")
        for i in np.flatnonzero(self.uppers <= self.lowers):
            raise ValueError(
                f"buffer {self.label(i)}: lifetime [{self.lowers[i]}, {self.uppers[i]}), expected"
                " upper > lower."
            )
        if self.alignments is not None:
            for i in np.flatnonzero(self.alignments < 1):
                found = self.alignments[i]
                raise ValueError(f"buffer {self.label(i)}: alignment {found}, expected >= 1.")
        if self.capacity:
            for i in np.flatnonzero(self.sizes > self.capacity):
                raise ValueError(
                    f"buffer {self.label(i)}: size {self.sizes[i]}, expected at most the capacity"
                    f" {self.capacity}."
                )
        total = sum(self.sizes.tolist())
        total += sum(self.alignments.tolist()) if self.alignments is not None else 0
        if total >= _LIMIT or np.abs(self.lowers).max() >= _LIMIT or self.uppers.max() >= _LIMIT:
            raise ValueError("sizes or times: too large, expected sums below 2^53.")

    def label(self, buffer: Any) -> str:
        """The name of a buffer in its file, or its number."""
        return self.ids[int(buffer)] if self.ids else str(int(buffer))

    @property
    def num_buffers(self) -> int:
        """Number of buffers, n."""
        return len(self.sizes)

    @cached_property
    def sections(self) -> tuple[IntArray, IntArray, IntArray]:
        """The time intervals between which the set of live buffers changes.

        Returns:
            ``times`` (K + 1,): section ``k`` is ``[times[k], times[k + 1])``; ``first`` (n,) and
            ``last`` (n,): buffer ``i`` is live in the sections ``first[i]..last[i] - 1``.
        """
        times = np.unique(np.concatenate([self.lowers, self.uppers]))
        first = np.searchsorted(times, self.lowers)
        last = np.searchsorted(times, self.uppers)
        return times, first.astype(np.int64), last.astype(np.int64)

    @cached_property
    def live_bytes(self) -> IntArray:
        """``(K,)`` sum of the sizes of the buffers that are live in each section."""
        times, first, last = self.sections
        change = np.zeros(len(times), dtype=np.int64)
        np.add.at(change, first, self.sizes)
        np.subtract.at(change, last, self.sizes)
        live: IntArray = np.cumsum(change)[:-1]
        return live

    @cached_property
    def load(self) -> int:
        """The largest sum of sizes of buffers that are live together: no peak is lower."""
        return int(self.live_bytes.max())

    @cached_property
    def num_conflicts(self) -> int:
        """How many pairs of buffers are live together."""
        starts, ends = np.sort(self.lowers), np.sort(self.uppers)
        ended_before = np.searchsorted(ends, starts, side="right")  # upper <= lower: no conflict
        n = self.num_buffers
        return n * (n - 1) // 2 - int(ended_before.sum())


@dataclass(frozen=True, eq=False)
class AllocationSolution(Solution):
    """An address for each buffer.

    Attributes:
        offsets: ``(n,)`` int64, first byte of each buffer; -1 in the middle of an episode where it
            has none yet.
    """

    problem: ClassVar[str] = "memory_allocation"

    offsets: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", int_array(self.offsets, "offsets", 1))

    def to_frame(self) -> pd.DataFrame:
        """One row per buffer that has an address: ``buffer``, ``offset``."""
        import pandas as pd

        buffer = np.flatnonzero(self.offsets >= 0)
        return pd.DataFrame({"buffer": buffer, "offset": self.offsets[buffer]})


# The referee.


def validate(instance: AllocationInstance, solution: AllocationSolution) -> None:
    """Check that buffers that are live together do not overlap.

    A sweep over time keeps the live buffers sorted by address: as long as they are disjoint, a new
    one can only overlap its neighbours. O(n log n) comparisons.

    Raises:
        ValueError: Naming the first violated constraint.
    """
    offsets, n = solution.offsets, instance.num_buffers
    if offsets.shape != (n,):
        raise ValueError(f"offsets {offsets.shape}, expected {(n,)}.")
    for wrong in np.flatnonzero(offsets < 0):
        raise ValueError(f"buffer {instance.label(wrong)}: offset {offsets[wrong]}, expected >= 0.")
    if instance.alignments is not None:
        for wrong in np.flatnonzero(offsets % instance.alignments):
            raise ValueError(
                f"buffer {instance.label(wrong)}: offset {offsets[wrong]}, expected a multiple of"
                f" {instance.alignments[wrong]}."
            )
    starts, sizes = offsets.tolist(), instance.sizes.tolist()
    events = [(time, 1, i) for i, time in enumerate(instance.lowers.tolist())]
    events += [(time, 0, i) for i, time in enumerate(instance.uppers.tolist())]
    live: list[tuple[int, int]] = []  # (offset, buffer), by offset
    for _, begins, i in sorted(events):
        place = bisect.bisect_left(live, (starts[i], i))
        if not begins:
            del live[place]
            continue
        for _, j in live[max(place - 1, 0) : place + 1]:
            if starts[i] < starts[j] + sizes[j] and starts[j] < starts[i] + sizes[i]:
                raise ValueError(_overlap(instance, starts, min(i, j), max(i, j)))
        live.insert(place, (starts[i], i))


def _overlap(instance: AllocationInstance, starts: list[int], i: int, j: int) -> str:
    first, second = (
        f"{instance.label(b)} [{starts[b]}, {starts[b] + int(instance.sizes[b])})" for b in (i, j)
    )
    time = max(int(instance.lowers[i]), int(instance.lowers[j]))
    return f"time {time}: buffers {first} and {second} overlap."


def objective(instance: AllocationInstance, solution: AllocationSolution) -> int:
    """The peak: bytes from address 0 to the end of the highest buffer.

    Raises:
        ValueError: If buffers overlap, or one is misplaced.
    """
    validate(instance, solution)
    return int((solution.offsets + instance.sizes).max())


def lower_bound(instance: AllocationInstance) -> int:
    """The load: the largest sum of sizes of buffers that are live together."""
    return instance.load


def upper_bound(instance: AllocationInstance) -> int:
    """The peak if no two buffers shared an address."""
    waste = 0 if instance.alignments is None else int((instance.alignments - 1).sum())
    return int(instance.sizes.sum()) + waste


def metrics(instance: AllocationInstance, solution: AllocationSolution) -> dict[str, float]:
    """Rates of a packing.

    Returns:
        ``fragmentation``: (peak - load) / load (the word of doi:10.48550/arXiv.2504.04874);
        ``utilisation``: share of the area below the peak that holds live buffers; ``fits``: 1 if
        the peak is at most the capacity, 0 if not; left out without a capacity.
    """
    peak = int((solution.offsets + instance.sizes).max())
    area = float(((instance.uppers - instance.lowers) * instance.sizes.astype(float)).sum())
    span = float(instance.uppers.max() - instance.lowers.min())
    found = {
        "fragmentation": (peak - instance.load) / instance.load,
        "utilisation": area / (span * peak),
    }
    if instance.capacity:
        found["fits"] = float(peak <= instance.capacity)
    return found
