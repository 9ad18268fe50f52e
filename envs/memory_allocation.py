"""Static allocation as decisions: which buffer comes next to the skyline.

A buffer that is chosen goes to its *floor*, the lowest aligned address above all placed buffers
with which it conflicts. Some order leads to an optimal packing: place the buffers of any packing by
their offsets, and none comes higher than it was. The value of a state is ``max_k (H_k + R_k)`` over
the sections ``k`` of time, with ``H_k`` the top of the highest placed buffer and ``R_k`` the bytes
of those that are not placed: a lower bound on the peak that begins at the load, never falls and
ends at the peak.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.memory_mapping import AllocationInstance, AllocationSolution, upper_bound
from . import memory_allocation_kernels as kernels
from .env import SchedulingEnv
from .memory_allocation_kernels import ALIGNMENT, BLOCK, FIRST, LAST, NEXT, NUMBER, SIZE
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .vector import SchedulingVectorEnv

CANDIDATE_COLUMNS = (
    "size",
    "length",
    "area",
    "conflicts",
    "floor",
    "top",
    "bound",
    "tightness",
)

GLOBAL_COLUMNS = ("progress", "num_candidates", "value_rise", "peak", "load_share")


class MemoryAllocationSimulator(Simulator):
    """Memories side by side; see :class:`MemoryAllocationEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded ``buffers``; there are fewer than twice as many sections of time.
        **common: See :class:`Simulator`.
    """

    family = "memory_mapping"
    problem = "memory_allocation"
    default_instance = "guillotine-20-s0"
    speed_instances = ("guillotine-50", "guillotine-450", "lifetimes-450")
    # The skyline: the lowest floor, of several the largest area.
    prior: ClassVar[Mapping[str, float]] = {"floor": -6.0, "area": 0.2}
    training_instances = ("guillotine-20", "guillotine-40", "lifetimes-20", "lifetimes-40")
    fields = kernels.FIELDS
    candidate_columns = CANDIDATE_COLUMNS
    global_columns = GLOBAL_COLUMNS
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "buffer": ("size", "length", "area", "conflicts"),
        "section": ("live_bytes", "duration"),
    }
    edge_types = (
        ("buffer", "begins_with", "section"),
        ("buffer", "ends_with", "section"),
        ("section", "before", "section"),
    )
    candidate_node_types = ("buffer",)

    @classmethod
    def measure(cls, instance: AllocationInstance) -> dict[str, int]:
        """``buffers``."""
        return {"buffers": instance.num_buffers}

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """One candidate per buffer; nodes for buffers and sections."""
        n = size["buffers"]
        return Shape(n, {"buffer": n, "section": 2 * n}, edges=4 * n)

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        n, sections = self.size["buffers"], 2 * self.size["buffers"]
        slots, rows = self.num_slots, self.num_rows
        data: Arrays = {
            "problems": np.zeros((slots, 4), "i8"),
            "constants": np.ones((slots, 3), "f8"),
            "buffers": np.zeros((slots, n, 6), "i8"),
            "place_of": np.zeros((slots, n), "i8"),
            "ends": np.zeros((slots, n // BLOCK + 1), "i8"),
            "static": np.zeros((slots, n, kernels.NUM_STATIC), "f4"),
            "live": np.zeros((slots, sections), "i8"),
            "spans": np.zeros((slots, n, 2), "i8"),
        }
        state: Arrays = {
            "counters": np.zeros((rows, 4), "i8"),
            "skyline": np.zeros((rows, sections, 2), "i8"),
            "spots": np.zeros((rows, n, 4), "i8"),
            "offsets": np.full((rows, n), -1, "i8"),
            "waiting": np.zeros((rows, n), "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: AllocationInstance) -> None:
        """Write an instance into a slot; O(n log n + sections of all lifetimes)."""
        d, n = self.data, instance.num_buffers
        times, first, last = instance.sections
        order = np.lexsort((np.arange(n), last, first))
        d["problems"][slot] = n, len(times) - 1, instance.load, upper_bound(instance)
        unit = _unit(instance.sizes)
        share = instance.load / instance.capacity if instance.capacity else 0.0
        d["constants"][slot] = 1.0 / unit, instance.load, share
        table = d["buffers"][slot]
        table[:n, FIRST], table[:n, LAST] = first[order], last[order]
        table[:n, SIZE], table[:n, NUMBER] = instance.sizes[order], order
        table[:n, ALIGNMENT] = 1 if instance.alignments is None else instance.alignments[order]
        table[:n, NEXT] = np.searchsorted(first[order], last[order])
        d["place_of"][slot, order] = np.arange(n)
        ends = d["ends"][slot]
        ends[:] = 0
        np.maximum.at(ends, np.arange(n) // BLOCK, last[order])
        static = _static_columns(instance)
        d["static"][slot, :n] = static[order]
        live = instance.live_bytes
        d["live"][slot, : len(live)] = live
        for p, (begin, end) in enumerate(zip(first[order], last[order], strict=True)):
            where = begin + int(np.argmax(live[begin:end]))
            d["spans"][slot, p] = live[where], where
        if self.graph:
            self._write_graph(slot, instance, static)

    def _write_graph(self, slot: int, instance: AllocationInstance, static: Any) -> None:
        d, n, padded = self.data, instance.num_buffers, self.size["buffers"]
        times, first, last = instance.sections
        sections = len(times) - 1
        nodes, kinds = d["nodes"][slot], d["node_type"][slot]
        nodes[:], kinds[:] = 0.0, -1
        kinds[:n], kinds[padded : padded + sections] = 0, 1
        nodes[:n, :4] = static
        nodes[padded : padded + sections, 0] = instance.live_bytes / instance.load
        nodes[padded : padded + sections, 1] = np.diff(times) / (times[-1] - times[0])
        edges, edge_kinds = d["edges"][slot], d["edge_type"][slot]
        edges[:], edge_kinds[:] = -1, -1
        edges[: 2 * n : 2, 0] = edges[1 : 2 * n : 2, 0] = np.arange(n)
        edges[: 2 * n : 2, 1], edges[1 : 2 * n : 2, 1] = padded + first, padded + last - 1
        edge_kinds[: 2 * n : 2], edge_kinds[1 : 2 * n : 2] = 0, 1
        following = slice(2 * n, 2 * n + sections - 1)
        edges[following, 0] = padded + np.arange(sections - 1)
        edges[following, 1] = padded + np.arange(1, sections)
        edge_kinds[following] = 2

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Place one buffer in every row."""
        kernels.advance(self.arrays, actions, self.skip_forced)

    def solutions(self, rows: IntArray) -> list[AllocationSolution]:
        """The offsets of the rows; -1 for buffers that are not placed."""
        return [
            AllocationSolution.trusted(
                offsets=self.state["offsets"][row, : self.instance(row).num_buffers].copy()
            )
            for row in rows.tolist()
        ]

    def guide(self, solution: AllocationSolution, row: int) -> int:
        """The buffer of the lowest offset among those that are not placed."""
        available = self.view["available"][row, : self.view["num_available"][row]]
        if solution.offsets.shape != (self.instance(row).num_buffers,):
            raise NotExpressible(f"offsets {solution.offsets.shape}, expected one per buffer.")
        offsets = solution.offsets[available]
        lowest = available[offsets == offsets.min()]
        return int(lowest.min())


def _unit(sizes: IntArray) -> float:
    """A power of two near the mean size, so that columns are exact in float32."""
    return float(2.0 ** round(math.log2(float(sizes.mean()))))


def _static_columns(instance: AllocationInstance) -> Any:
    """``(n, 4)`` size, length, area and number of conflicts, in units of the instance."""
    n = instance.num_buffers
    lengths = instance.uppers - instance.lowers
    size, length = instance.sizes / _unit(instance.sizes), lengths / _unit(lengths)
    ended = np.searchsorted(np.sort(instance.uppers), instance.lowers, side="right")
    begun = np.searchsorted(np.sort(instance.lowers), instance.uppers, side="left")
    return np.column_stack([size, length, size * length, (begun - ended - 1) / n])


class MemoryAllocationEnv(SchedulingEnv):
    """Pack buffers with fixed lifetimes into one memory, one after the other.

    ## Action Space
    ``Discrete(buffers)``: buffer ``a`` goes to its floor, the lowest address (a multiple of its
    alignment) above all placed buffers that are live at a time when it is.

    ## Observation Space
    A ``Dict``; sizes and addresses are divided by a power of two near the mean size, lengths by one
    near the mean lifetime.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (A, F) float32 | a row per buffer, columns as named below; 0 if placed |
    | ``globals`` | (G,) float32 | as named below |
    | ``action_mask`` | (A,) int8 | 1 for the buffers that are not placed |

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type`` (static: a
    node per buffer and per section of time, a buffer linked to the first and the last section in
    which it is live, sections to the next one) and ``candidate_nodes`` (A, 1), the buffer, -1 if
    placed.

    Candidate columns: ``size``; ``length`` of the lifetime; ``area``, their product; ``conflicts``:
    number of buffers with which it is live together, divided by that of all; ``floor``; ``top``:
    where it would end; ``bound``: how far the sections that it spans would rise above the load if
    it came next, with all that is left on top; ``tightness``: the same as it is now. Global
    columns: ``progress``: share of buffers placed; ``num_candidates``; ``value_rise`` above the
    load; ``peak`` so far; ``load_share`` of the capacity, 0 without one.

    ## Rewards
    Minus the rise of the value ``max_k (H_k + R_k)``, a lower bound on the peak, divided by
    ``scale``, the load: the return is minus the fragmentation, ``-(peak - load) / load``.

    ## Starting State
    Nothing is placed. Instances are drawn by the environment's seed if several are given.

    ## Episode End
    Terminates when all buffers are placed. A buffer outside the mask terminates the episode at the
    cost ``upper_bound`` (nothing shares an address), with the reason in ``info["infeasible"]``.
    ``info`` then holds ``objective``, ``solution``, ``gap``, ``instance``. A peak above the
    capacity is feasible; the metric ``fits`` tells.

    ## Arguments
    ``instance``: what to pack (see :class:`SchedulingEnv`); ``observation``: ``"candidates"`` or
    ``"graph"``; ``limits``: padded ``buffers``; ``skip_forced``: the
    last buffer places itself.

    Any packing is replayed, by its offsets, at no greater peak.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {"skyline": MemoryAllocationSimulator}


class MemoryAllocationVectorEnv(SchedulingVectorEnv):
    """Many :class:`MemoryAllocationEnv` in one simulator."""

    simulators = MemoryAllocationEnv.simulators


__all__ = [
    "CANDIDATE_COLUMNS",
    "GLOBAL_COLUMNS",
    "MemoryAllocationEnv",
    "MemoryAllocationSimulator",
    "MemoryAllocationVectorEnv",
]
