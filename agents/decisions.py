"""Decisions as a policy sees them: ragged lists of candidates in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..envs.simulator import Simulator
from ..instances.core import IntArray
from . import decisions_kernels as kernels

Arrays = dict[str, npt.NDArray[Any]]


@dataclass
class Decisions:
    """M decisions with C candidates together.

    Attributes:
        candidates: ``(C, F)`` columns of the candidates, decision after decision.
        globals: ``(M, G)`` global columns.
        nodes: ``(C, K)`` nodes of the candidates within their graphs, -1 for none.
        actions: ``(C,)`` what a candidate is to the simulator.
        segments: ``(C,)`` the decision that a candidate belongs to.
        offsets: ``(M + 1,)`` where the decisions begin, and the end.
        graphs: ``(M,)`` the graph that a decision's nodes belong to.
    """

    candidates: Tensor
    globals: Tensor
    nodes: Tensor
    actions: IntArray
    segments: Tensor
    offsets: IntArray
    graphs: IntArray

    @property
    def count(self) -> int:
        """Number of decisions, M."""
        return len(self.offsets) - 1

    def to(self, device: torch.device | str) -> Decisions:
        """The same with tensors on a device."""
        return Decisions(
            self.candidates.to(device),
            self.globals.to(device),
            self.nodes.to(device),
            self.actions,
            self.segments.to(device),
            self.offsets,
            self.graphs,
        )


def gather(simulator: Simulator, rows: IntArray) -> Decisions:
    """The current decisions of some rows; a row's graph has the row's number."""
    view = simulator.view
    counts = view["num_available"][rows]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    total, kinds = int(offsets[-1]), view["candidate_nodes"].shape[2]
    candidates = np.empty((total, view["candidates"].shape[2]), dtype=np.float32)
    columns = np.empty((len(rows), view["globals"].shape[1]), dtype=np.float32)
    nodes = np.empty((total, kinds), dtype=np.int64)
    actions, segments = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
    names = ("candidates", "globals", "candidate_nodes", "available", "num_available")
    kernels.gather(
        rows,
        offsets,
        tuple(view[name] for name in names),
        (candidates, columns, nodes, actions, segments),
    )
    return Decisions(
        torch.from_numpy(candidates),
        torch.from_numpy(columns),
        torch.from_numpy(nodes),
        actions,
        torch.from_numpy(segments),
        offsets,
        rows.copy(),
    )


def joined(parts: Sequence[Decisions]) -> Decisions:
    """Several batches of decisions in one; the graphs keep their numbers."""
    firsts = np.cumsum([0, *(part.count for part in parts)])
    ends = np.cumsum([0, *(int(part.offsets[-1]) for part in parts)])
    segments = [part.segments + int(first) for part, first in zip(parts, firsts, strict=False)]
    offsets = [part.offsets[:-1] + end for part, end in zip(parts, ends, strict=False)]
    return Decisions(
        torch.cat([part.candidates for part in parts]),
        torch.cat([part.globals for part in parts]),
        torch.cat([part.nodes for part in parts]),
        np.concatenate([part.actions for part in parts]),
        torch.cat(segments),
        np.concatenate([*offsets, ends[-1:]]),
        np.concatenate([part.graphs for part in parts]),
    )
