"""Memory mapping as decisions: drop, no copy or copy, access by access in program order.

A game inspired by that of Wang et al. 2023 (arXiv:2305.07440), of which no implementation is
public; the rules here are our own. Every access of a buffer that is not pinned is one decision:

- *drop*, always allowed: the slow memory serves it. If only the fast memory holds the buffer, it is
  copied out before, in what is idle since its definition, and the rest makes an instruction longer.
- *no copy*: the fast memory serves it. A write takes the smallest gap that is free until the first
  read; a read keeps the buffer where it lies.
- *copy*: the fast memory serves the read of a buffer that is not there. It is copied in during the
  instructions before, the last ones first, in what is idle, but not before its last access; it
  takes the smallest gap that is free from its first transfer on.

When an instruction is over, buffers that nobody reads any more are let go, results are copied out.
The idle time of instructions that are over is known, so that no copy has to be taken back: there
are no dead ends. The value of a state is the time of the program if everything that is not decided
is dropped, and not counting what the fast memory holds alone and may yet have to copy out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.memory_mapping import MappingInstance, MappingSolution, upper_bound
from . import memory_mapping_kernels as kernels
from .env import SchedulingEnv
from .memory_mapping_kernels import DROP
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .vector import SchedulingVectorEnv

CANDIDATE_COLUMNS = (
    *("drop", "no_copy", "copy", "gain", "saving", "size", "span", "next_use", "uses_left"),
    *("copy_time", "is_write", "resident", "unsaved", "result", "temp", "memory_excess"),
)

GLOBAL_COLUMNS = ("progress", "position", "duration", "idle_before", "residencies", "copies")

#: Sizes of the fast memory are padded to words of 64 units, at least so many.
_WORDS = 16


class MemoryMappingSimulator(Simulator):
    """Programs side by side; see :class:`MemoryMappingEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded ``instructions``, ``accesses``, ``buffers`` and ``words`` (of 64 units).
        **common: See :class:`Simulator`.
    """

    family = "memory_mapping"
    problem = "memory_mapping"
    default_instance = "conv_chain-6-s0"
    speed_instances = ("resnet-8", "transformer-20", "inception-12")
    # From the fast memory wherever it can be.
    prior: ClassVar[Mapping[str, float]] = {"drop": -3.0}
    training_instances = ("conv_chain-8", "resnet-3", "transformer-3", "inception-3", "unet-3")
    fields = kernels.FIELDS
    candidate_columns = CANDIDATE_COLUMNS
    global_columns = GLOBAL_COLUMNS
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "instruction": ("compute", "slow", "position"),
        "buffer": ("size", "copy_time", "is_temp", "is_result", "pinned"),
    }
    edge_types = (
        ("buffer", "read_by", "instruction"),
        ("instruction", "writes", "buffer"),
        ("instruction", "before", "instruction"),
    )
    candidate_node_types = ("instruction", "buffer")

    @classmethod
    def measure(cls, instance: MappingInstance) -> dict[str, int]:
        """``instructions``, ``accesses``, ``buffers`` and ``words``."""
        words = -(-instance.capacity // 64)
        return {
            "instructions": instance.num_instructions,
            "accesses": instance.num_accesses,
            "buffers": instance.num_buffers,
            "words": max(_WORDS, 2 ** math.ceil(math.log2(words))),
        }

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """Three candidates; nodes for instructions and buffers."""
        edges = size["accesses"] + max(size["instructions"] - 1, 0)
        return Shape(3, {"instruction": size["instructions"], "buffer": size["buffers"]}, edges)

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        length, count, n = (self.size[what] for what in ("instructions", "accesses", "buffers"))
        slots, rows, words = self.num_slots, self.num_rows, self.size["words"]
        data: Arrays = {
            "problems": np.zeros((slots, 6), "i8"),
            "constants": np.ones((slots, 2), "f8"),
            "instructions": np.zeros((slots, length, 4), "i8"),
            "accesses": np.zeros((slots, count, 8), "i8"),
            "buffers": np.zeros((slots, n, 4), "i8"),
        }
        state: Arrays = {
            "clock": np.zeros((rows, 4), "i8"),
            "ledger": np.zeros((rows, length, 4), "i8"),
            "places": np.zeros((rows, n, 5), "i8"),
            "stays": np.zeros((rows, count, 4), "i8"),
            "moves": np.zeros((rows, length + 2 * count, 4), "i8"),
            "served": np.full((rows, count), -1, "i1"),
            "units": np.zeros((rows, length, words), "u8"),
            "plan": np.zeros((rows, 3), "i8"),
            "row": np.zeros((rows, words), "u8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: MappingInstance) -> None:
        """Write an instance into a slot; O(T + A + n)."""
        d, free = self.data, instance.is_free
        when, which = instance.access_instructions, instance.access_buffers
        n, length, count = instance.num_buffers, instance.num_instructions, int(free.sum())
        scale = max(instance.slow_total, 1)
        d["problems"][slot] = (
            *(length, count, n, instance.capacity, instance.slow_total),
            upper_bound(instance),
        )
        d["constants"][slot] = 1.0 / _unit(instance), scale
        table = d["instructions"][slot]
        table[:] = 0
        table[:length, kernels.COMPUTE] = instance.compute_times
        np.add.at(table[:, kernels.SLOW], when[free], instance.slow_times[free])
        np.add.at(table[:, kernels.FAST], when[~free], instance.fast_times[~free])
        following, left = _next_uses(which[free], n)
        d["accesses"][slot, :count, :7] = np.column_stack(
            [
                *(when[free], which[free], instance.access_writes[free]),
                *(instance.slow_times[free], instance.fast_times[free], following, left),
            ]
        )
        d["buffers"][slot, :n] = np.column_stack(
            [instance.sizes, instance.copy_times, instance.results, instance.kinds == 2]
        )
        if self.graph:
            self._write_graph(slot, instance)

    def _write_graph(self, slot: int, instance: MappingInstance) -> None:
        d, first = self.data, self.size["instructions"]
        length, n, unit = instance.num_instructions, instance.num_buffers, _unit(instance)
        nodes, kinds = d["nodes"][slot], d["node_type"][slot]
        nodes[:], kinds[:] = 0.0, -1
        kinds[:length], kinds[first : first + n] = 0, 1
        table = d["instructions"][slot, :length]
        nodes[:length, 0] = table[:, kernels.COMPUTE] / unit
        nodes[:length, 1] = table[:, kernels.SLOW] / unit
        nodes[:length, 2] = np.arange(length) / length
        nodes[first : first + n, :5] = np.column_stack(
            [
                *(instance.sizes / instance.capacity, instance.copy_times / unit),
                *(instance.kinds == 2, instance.results, instance.pinned),
            ]
        )
        edges, edge_kinds = d["edges"][slot], d["edge_type"][slot]
        edges[:], edge_kinds[:] = -1, -1
        count, writes = instance.num_accesses, instance.access_writes == 1
        when, which = instance.access_instructions, first + instance.access_buffers
        edges[:count, 0] = np.where(writes, when, which)
        edges[:count, 1] = np.where(writes, which, when)
        edge_kinds[:count] = writes
        following = slice(count, count + length - 1)
        edges[following, 0], edges[following, 1] = np.arange(length - 1), np.arange(1, length)
        edge_kinds[following] = 2

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Decide one access in every row."""
        kernels.advance(self.arrays, actions, self.skip_forced)

    def solutions(self, rows: IntArray) -> list[MappingSolution]:
        """The plans of the rows; -1 for accesses that are not decided."""
        made = []
        for row in rows.tolist():
            instance, clock = self.instance(row), self.state["clock"][row]
            fast = np.ones(instance.num_accesses, dtype=np.int64)
            fast[instance.is_free] = self.state["served"][row, : int(instance.is_free.sum())]
            stays = self.state["stays"][row, : clock[kernels.STAYS]].copy()
            moves = self.state["moves"][row, : clock[kernels.MOVES]].copy()
            made.append(MappingSolution.trusted(fast=fast, residencies=stays, transfers=moves))
        return made

    def guide(self, solution: MappingSolution, row: int) -> int:
        """What serves the next access as it is served in the plan."""
        instance, view = self.instance(row), self.view
        k = int(np.flatnonzero(instance.is_free)[self.state["clock"][row, kernels.NEXT_ACCESS]])
        if not solution.fast[k]:
            return DROP
        if view["num_available"][row] < 2:
            raise NotExpressible(f"the plan serves access {k} from the fast memory.")
        return int(view["available"][row, 1])


def _unit(instance: MappingInstance) -> float:
    """A power of two near the mean time of an instruction, so that columns are exact in float32."""
    mean = instance.slow_total / instance.num_instructions
    return float(2.0 ** round(math.log2(mean))) if mean > 0 else 1.0


def _next_uses(which: IntArray, num_buffers: int) -> tuple[IntArray, IntArray]:
    """For each access the next one of its buffer, or -1, and how many there are."""
    following, left = np.full(len(which), -1), np.zeros(len(which), dtype=np.int64)
    last = [-1] * num_buffers
    for k in range(len(which) - 1, -1, -1):
        after = last[which[k]]
        following[k] = after
        left[k] = 0 if after < 0 else left[after] + 1
        last[which[k]] = k
    return following.astype(np.int64), left


class MemoryMappingEnv(SchedulingEnv):
    """Decide for every access of a program which memory serves it; see the module for the rules.

    ## Action Space
    ``Discrete(3)``: 0 drop, 1 no copy, 2 copy. At most one of the last two is allowed.

    ## Observation Space
    A ``Dict``; times are divided by a power of two near the mean time of an instruction, sizes by
    the capacity, spans of instructions by their number.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (3, F) float32 | a row per action, columns as named below; 0 if not allowed |
    | ``globals`` | (G,) float32 | as named below |
    | ``action_mask`` | (3,) int8 | 1 for the actions that are allowed |

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type`` (static: a
    node per instruction and per buffer, linked by reads and writes, instructions to the next one)
    and ``candidate_nodes`` (3, 2): the instruction and the buffer, -1 if not allowed.

    Candidate columns: ``drop``, ``no_copy``, ``copy``: 1 for that action; ``gain``: by how much it
    shortens the instruction now; ``saving``: time in the slow memory minus that in the fast one;
    ``size`` of the buffer; ``span`` of instructions for which it would newly lie in the fast
    memory; ``next_use``: instructions until its next access, 0 if there is none; ``uses_left``
    after this; ``copy_time``, if the action copies; ``is_write``; ``resident``: it lies in the fast
    memory; ``unsaved``: and only there; ``result``; ``temp``; ``memory_excess``: by how much the
    memories keep the instruction longer than computing, with this access dropped. Global columns:
    ``progress``: share of accesses decided; ``position``: share of instructions; ``duration`` of
    the instruction; ``idle_before``: what the slow memory has left in the one before;
    ``residencies`` so far, divided by the accesses; ``copies`` in the instruction.

    ## Rewards
    Minus the rise of the value, divided by ``scale``, the time with all in the slow memory: the
    return is the share of it that is saved, ``(slow_total - time) / slow_total``.

    ## Starting State
    Nothing is decided. Instances are drawn by the environment's seed if several are given.

    ## Episode End
    Terminates when all accesses are decided. An action outside the mask terminates the episode at
    the cost ``upper_bound``, or the value if that is more, with the reason in
    ``info["infeasible"]``. ``info`` then holds ``objective``, ``solution``, ``gap``, ``instance``.

    ## Arguments
    ``instance``: what to map (see :class:`SchedulingEnv`); ``observation``: ``"candidates"`` or
    ``"graph"``; ``limits``: padded ``instructions``, ``accesses``, ``buffers``, ``words``;
    ``skip_forced``: drop by itself where nothing else is allowed.

    A plan that these rules can make is replayed exactly. Others, with other addresses or copies,
    are not expressible where an access that they serve from the fast memory cannot be, and may
    take longer. No claim is made that an optimal plan can be made.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {"game": MemoryMappingSimulator}


class MemoryMappingVectorEnv(SchedulingVectorEnv):
    """Many :class:`MemoryMappingEnv` in one simulator."""

    simulators = MemoryMappingEnv.simulators


__all__ = [
    "CANDIDATE_COLUMNS",
    "GLOBAL_COLUMNS",
    "MemoryMappingEnv",
    "MemoryMappingSimulator",
    "MemoryMappingVectorEnv",
]
