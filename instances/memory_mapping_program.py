"""Memory mapping: programs, hardware, and what a plan is. Stated in ``memory_mapping.py``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .core import BoolArray, Instance, IntArray, Solution, int_array

if TYPE_CHECKING:
    import pandas as pd

_LIMIT = 2**53

#: What a buffer is: weights and inputs lie in the slow memory from the start.
KINDS = ("weight", "input", "temp")
WEIGHT, INPUT, TEMP = range(3)


@dataclass(frozen=True, eq=False)
class MappingInstance(Instance):
    """A program, and the two memories of the machine that runs it.

    Times are integer ticks; by the readers, a tick is what the slow memory needs for one byte.

    Attributes:
        compute_times: ``(T,)`` int64 ticks, ``c_t >= 0``, of the instructions in program order.
        access_instructions: ``(A,)`` int64, not decreasing: the instruction of each access.
        access_buffers: ``(A,)`` int64, the buffer that is read or written.
        access_writes: ``(A,)`` int64, 1 for a write; within an instruction reads come first.
        slow_times: ``(A,)`` int64 ticks of the access in the slow memory.
        fast_times: ``(A,)`` int64 ticks in the fast memory, at most those in the slow one.
        sizes: ``(n,)`` int64, units of the fast memory that each buffer takes, at least 1.
        copy_times: ``(n,)`` int64 ticks that the slow memory is busy with copying the buffer.
        kinds: ``(n,)`` int64, 0 weight, 1 input, 2 temp: see :data:`KINDS`.
        results: ``(n,)`` int64, 1 if the buffer has to be in the slow memory at the end.
        pinned: ``(n,)`` int64, 1 if it always lies in the fast memory, outside of ``capacity``.
        capacity: Units of the fast memory.
        tick: Seconds of a tick, for display.
        unit: Bytes of a unit, for display.
        name: Identifier used in result tables.

    Raises:
        ValueError: If the arrays do not describe such a program.
    """

    problem: ClassVar[str] = "memory_mapping"

    compute_times: IntArray
    access_instructions: IntArray
    access_buffers: IntArray
    access_writes: IntArray
    slow_times: IntArray
    fast_times: IntArray
    sizes: IntArray
    copy_times: IntArray
    kinds: IntArray
    results: IntArray
    pinned: IntArray
    capacity: int
    tick: float = 1e-12
    unit: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        self._keep_arrays(("compute_times",), ("at least 1 instruction", "T"))
        accesses = (
            *("access_instructions", "access_buffers", "access_writes"),
            *("slow_times", "fast_times"),
        )
        self._keep_arrays(accesses, ("at least 1 access", "A"))
        buffers = ("sizes", "copy_times", "kinds", "results", "pinned")
        self._keep_arrays(buffers, ("at least 1 buffer", "n"))
        self._check_scalars()
        self._check_ranges()
        self._check_program()

    def _keep_arrays(self, names: tuple[str, ...], expected: tuple[str, str]) -> None:
        shape: tuple[int, ...] | None = None
        for name in names:
            array = int_array(getattr(self, name), name, 1)
            if not array.size:
                raise ValueError(f"{name} (0,), expected {expected[0]}.")
            if shape not in (None, array.shape):
                raise ValueError(f"{name} {array.shape}, expected {shape} as {names[0]}.")
            shape = array.shape
            object.__setattr__(self, name, array)

    def _check_scalars(self) -> None:
        for name in ("capacity", "unit"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise ValueError(f"{name} {value!r}, expected an integer.")
            object.__setattr__(self, name, int(value))
            if not 1 <= value < 2**31:
                raise ValueError(f"{name} {value}, expected 1..2^31 - 1.")
        if isinstance(self.tick, bool) or not isinstance(self.tick, int | float | np.number):
            raise ValueError(f"tick {self.tick!r}, expected a number.")
        object.__setattr__(self, "tick", float(self.tick))
        if not 0 < self.tick < math.inf:
            raise ValueError(f"tick {self.tick}, expected more than 0 seconds.")
        if not isinstance(self.name, str):
            raise ValueError(f"name {self.name!r}, expected a text.")

    def _check_ranges(self) -> None:
        limits = {
            "compute_times": (0, _LIMIT),
            "access_instructions": (0, len(self.compute_times)),
            "access_buffers": (0, len(self.sizes)),
            "access_writes": (0, 2),
            "slow_times": (0, _LIMIT),
            "fast_times": (0, _LIMIT),
            "sizes": (1, 2**31),
            "copy_times": (0, _LIMIT),
            "kinds": (0, 3),
            "results": (0, 2),
            "pinned": (0, 2),
        }
        for name, (low, high) in limits.items():
            array = getattr(self, name)
            for i in np.flatnonzero((array < low) | (array >= high)):
                raise ValueError(f"{name}: {array[i]} at {i}, expected {low}..{high - 1}.")
        for k in np.flatnonzero(self.fast_times > self.slow_times):
            raise ValueError(
                f"access {k}: {self.fast_times[k]} ticks in the fast memory, expected at most the"
                f" {self.slow_times[k]} in the slow one."
            )
        total = sum(sum(a.tolist()) for a in (self.compute_times, self.slow_times, self.copy_times))
        if total >= _LIMIT:
            raise ValueError(f"times sum to {total}, expected below 2^53.")

    def _check_program(self) -> None:
        """Program order; every buffer defined once, before it is used."""
        defined = [-1 if kind == TEMP else -2 for kind in self.kinds.tolist()]
        last: tuple[int, int] = (0, 0)
        seen: set[tuple[int, int]] = set()
        rows = zip(
            self.access_instructions.tolist(),
            self.access_buffers.tolist(),
            self.access_writes.tolist(),
            strict=True,
        )
        for k, (t, b, write) in enumerate(rows):
            if (t, write) < last:
                raise ValueError(f"access {k}: out of order, expected reads, then writes.")
            if (t, b) in seen:
                raise ValueError(f"instruction {t}: buffer {b} twice, expected once.")
            if write and defined[b] != -1:
                kind = KINDS[int(self.kinds[b])]
                raise ValueError(f"instruction {t}: writes {kind} {b} again, expected a new temp.")
            if not write and defined[b] == -1:
                raise ValueError(f"instruction {t}: reads buffer {b} before its definition.")
            if write:
                defined[b] = t
            last = (t, write)
            seen.add((t, b))
        for b, when in enumerate(defined):
            if when == -1:
                raise ValueError(f"buffer {b}: a temp that no instruction writes.")

    @property
    def num_instructions(self) -> int:
        """Number of instructions, T."""
        return len(self.compute_times)

    @property
    def num_accesses(self) -> int:
        """Number of accesses, A, of pinned buffers included."""
        return len(self.access_buffers)

    @property
    def num_buffers(self) -> int:
        """Number of buffers, n."""
        return len(self.sizes)

    @cached_property
    def is_free(self) -> BoolArray:
        """``(A,)`` whether there is something to decide: the buffer is not pinned."""
        free: BoolArray = self.pinned[self.access_buffers] == 0
        return free

    @cached_property
    def definitions(self) -> IntArray:
        """``(n,)`` the instruction that writes each buffer, -1 for weights and inputs."""
        found = np.full(self.num_buffers, -1, dtype=np.int64)
        writes = self.access_writes == 1
        found[self.access_buffers[writes]] = self.access_instructions[writes]
        return int_array(found, "definitions", 1)

    @cached_property
    def slow_total(self) -> int:
        """Time of the program with all but the pinned buffers in the slow memory."""
        return self._total(np.where(self.is_free, self.slow_times, self.fast_times))

    @cached_property
    def fast_total(self) -> int:
        """Time of the program with everything in the fast memory from the start."""
        return self._total(self.fast_times)

    def _total(self, access_times: IntArray) -> int:
        memory = np.zeros(self.num_instructions, dtype=np.int64)
        np.add.at(memory, self.access_instructions, access_times)
        return int(np.maximum(memory, self.compute_times).sum())


@dataclass(frozen=True, eq=False)
class MappingSolution(Solution):
    """A plan: who is served from where, what lies where in the fast memory, and what is copied.

    Attributes:
        fast: ``(A,)`` int64, 1 where the access is served by the fast memory, 0 by the slow one;
            -1 in the middle of an episode where it is not yet decided. 1 for pinned buffers.
        residencies: ``(R, 4)`` int64: buffer, first and last instruction during which it occupies
            the fast memory, offset in units.
        transfers: ``(M, 4)`` int64: residency, instruction, ticks of copying during it, and 0 for
            into the fast memory or 1 for out of it.
    """

    problem: ClassVar[str] = "memory_mapping"

    fast: IntArray
    residencies: IntArray
    transfers: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "fast", int_array(self.fast, "fast", 1))
        for name in ("residencies", "transfers"):
            given = getattr(self, name)
            array = np.asarray(given)
            array = int_array(array.reshape(0, 4) if array.size == 0 else given, name, 2)
            if array.shape[1] != 4:
                raise ValueError(f"{name} {array.shape}, expected 4 columns.")
            object.__setattr__(self, name, array)

    def to_frame(self) -> pd.DataFrame:
        """One row per residency: ``buffer``, ``first``, ``last``, ``offset``."""
        import pandas as pd

        return pd.DataFrame(self.residencies, columns=["buffer", "first", "last", "offset"])


@dataclass(frozen=True)
class Profile:
    """The machine.

    Attributes:
        flops: Floating point operations per second.
        bandwidth: Bytes per second of the slow memory.
        fast_ratio: How many times as fast the fast memory is.
    """

    flops: float = 20e12
    bandwidth: float = 614e9
    fast_ratio: float = 10.0

    def __post_init__(self) -> None:
        for name in ("flops", "bandwidth"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} {value}, expected more than 0 per second.")
        if not 1 <= self.fast_ratio < math.inf:
            raise ValueError(f"fast_ratio {self.fast_ratio}, expected at least 1.")


@dataclass(frozen=True)
class Instruction:
    """One operation of a program.

    Attributes:
        name: Its name.
        op: What it does.
        reads: Names of the buffers that it reads.
        writes: Names of those that it defines.
        flops: Its floating point operations.
    """

    name: str
    op: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    flops: int = 0


@dataclass(frozen=True)
class Program:
    """A program before it meets a machine.

    Attributes:
        instructions: In program order.
        sizes: Bytes of each buffer by name.
        kinds: ``weight``, ``input`` or ``temp`` by name.
        results: Names of the buffers that are results.
        name: Identifier.
    """

    instructions: tuple[Instruction, ...]
    sizes: dict[str, int]
    kinds: dict[str, str]
    results: tuple[str, ...]
    name: str = ""

    #: Names of the buffers that occur in an instruction, in order of first occurrence.
    used: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        names = [b for i in self.instructions for b in (*i.reads, *i.writes)]
        object.__setattr__(self, "used", tuple(dict.fromkeys(names)))

    def peak_live_bytes(self) -> int:
        """The largest sum of sizes that are live together.

        Weights and inputs live from the start to their last use, temps from their definition;
        results to the end.
        """
        end = len(self.instructions)
        first: dict[str, int] = {}
        last = dict.fromkeys(self.used, 0)
        for t, instruction in enumerate(self.instructions):
            for b in (*instruction.reads, *instruction.writes):
                first.setdefault(b, t if self.kinds[b] == "temp" else 0)
                last[b] = t
        change = np.zeros(end + 2, dtype=np.int64)
        for b in self.used:
            change[first[b]] += self.sizes[b]
            change[(end if b in self.results else last[b]) + 1] -= self.sizes[b]
        return int(np.cumsum(change).max())

    def instance(
        self,
        *,
        capacity: float = 0.25,
        profile: Profile | None = None,
        unit: int | None = None,
        size_scale: float = 1.0,
        pin: float = 0.001,
        name: str | None = None,
    ) -> MappingInstance:
        """The program on a machine.

        Args:
            capacity: Of the fast memory: a share of the peak live bytes (a float up to 1), or a
                number of units (an int).
            profile: The machine's speeds.
            unit: Bytes that are allocated together; by default 1024, or a 1024th of a capacity
                that is given as a share.
            size_scale: Factor for all sizes: 0.5 turns float32 into bfloat16.
            pin: Buffers below this share of the capacity are pinned.
            name: Identifier, by default the program's.

        Raises:
            ValueError: If an argument is outside its range, or the program is not one.
        """
        profile = profile or Profile()
        if not 0 < size_scale < math.inf:
            raise ValueError(f"size_scale {size_scale}, expected more than 0.")
        if not 0 <= pin <= 1:
            raise ValueError(f"pin {pin}, expected between 0 and 1.")
        if not self.used:
            raise ValueError(f"{self.name or 'program'}: no access, expected at least 1.")
        sizes = {b: max(1, math.ceil(self.sizes[b] * size_scale)) for b in self.used}
        units, unit = _capacity(capacity, unit, self.peak_live_bytes() * size_scale)
        tiny = [b for b in self.used if sizes[b] < pin * units * unit]
        units -= math.ceil(sum(sizes[b] for b in tiny) / unit)
        if units < 1:
            raise ValueError(f"capacity {capacity}: {units} units left, expected at least 1.")
        return self._mapped(profile, sizes, units, unit, set(tiny), name)

    def _mapped(
        self,
        profile: Profile,
        sizes: dict[str, int],
        units: int,
        unit: int,
        pinned: set[str],
        name: str | None,
    ) -> MappingInstance:
        index = {b: i for i, b in enumerate(self.used)}
        accesses: list[tuple[int, int, int]] = []
        for t, instruction in enumerate(self.instructions):
            accesses += [(t, index[b], 0) for b in dict.fromkeys(instruction.reads)]
            accesses += [(t, index[b], 1) for b in instruction.writes]
        when, which, write = np.array(accesses, dtype=np.int64).T
        bytes_of = np.array([sizes[b] for b in self.used], dtype=np.int64)
        ticks_per_flop = profile.bandwidth / profile.flops
        return MappingInstance(
            compute_times=[math.ceil(i.flops * ticks_per_flop) for i in self.instructions],  # type: ignore[arg-type]
            access_instructions=when,
            access_buffers=which,
            access_writes=write,
            slow_times=bytes_of[which],
            fast_times=np.ceil(bytes_of[which] / profile.fast_ratio).astype(np.int64),
            sizes=-(-bytes_of // unit),
            copy_times=bytes_of,
            kinds=[KINDS.index(self.kinds[b]) for b in self.used],  # type: ignore[arg-type]
            results=[int(b in self.results) for b in self.used],  # type: ignore[arg-type]
            pinned=[int(b in pinned) for b in self.used],  # type: ignore[arg-type]
            capacity=units,
            tick=1.0 / profile.bandwidth,
            unit=unit,
            name=self.name if name is None else name,
        )


def _capacity(capacity: Any, unit: int | None, peak: float) -> tuple[int, int]:
    """Units of the fast memory, and bytes of a unit."""
    if isinstance(capacity, bool) or not isinstance(capacity, int | float):
        raise ValueError(f"capacity {capacity!r}, expected a share up to 1.0, or units.")
    if unit is not None and (isinstance(unit, bool) or not isinstance(unit, int) or unit < 1):
        raise ValueError(f"unit {unit!r}, expected bytes, at least 1.")
    if isinstance(capacity, int):
        if capacity < 1:
            raise ValueError(f"capacity {capacity}, expected at least 1 unit.")
        return capacity, unit or 1024
    if not 0 < capacity <= 1:
        raise ValueError(f"capacity {capacity}, expected a share up to 1.0, or units (an int).")
    total = int(capacity * peak)
    unit = unit or max(1, math.ceil(total / 1024))
    return total // unit, unit
