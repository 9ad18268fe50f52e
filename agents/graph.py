"""Instance graphs as a network sees them: those of many rows side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..envs.simulator import Simulator
from ..instances.core import IntArray


@dataclass
class Graphs:
    """The graphs of several rows as one, without padding.

    Attributes:
        features: ``(N, F_n)`` node columns; a type that has fewer is filled with 0.
        types: ``(N,)`` node types.
        edges: ``(2, E)`` source and target.
        relations: ``(E,)`` edge types; reversed edges have types of their own.
        places: ``(N,)`` where the nodes stand among ``count * stride`` padded ones.
        stride: Number of padded nodes of a graph.
        count: Number of graphs.
        graph_of_row: ``(rows of the simulator,)`` number of a row's graph, -1 for none.
    """

    features: Tensor
    types: Tensor
    edges: Tensor
    relations: Tensor
    places: Tensor
    stride: int
    count: int
    graph_of_row: IntArray

    def to(self, device: torch.device | str) -> Graphs:
        """The same with tensors on a device."""
        names = ("features", "types", "edges", "relations", "places")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def graphs_of(simulator: Simulator, rows: IntArray) -> Graphs:
    """The graphs of some rows; rows that play one instance share its graph, if it is static."""
    keys = simulator.state["slot"][rows] if simulator.static_graph else rows
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    arrays = simulator.graph_arrays(rows[first])
    is_node, is_edge = arrays["node_type"] >= 0, arrays["edge_type"] >= 0
    number = np.cumsum(is_node.ravel()).reshape(is_node.shape) - 1  # of a node, without padding
    graph, _ = np.nonzero(is_edge)
    source, target = arrays["edges"][is_edge].T
    edges = np.stack([number[graph, source], number[graph, target]])
    relations = arrays["edge_type"][is_edge].astype(np.int64)
    graph_of_row = np.full(simulator.num_rows, -1, dtype=np.int64)
    graph_of_row[rows] = which
    return Graphs(
        features=torch.from_numpy(arrays["nodes"][is_node]),
        types=torch.from_numpy(arrays["node_type"][is_node].astype(np.int64)),
        edges=torch.from_numpy(np.concatenate([edges, edges[::-1]], axis=1)),
        relations=torch.from_numpy(
            np.concatenate([relations, relations + len(simulator.edge_types)])
        ),
        places=torch.from_numpy(np.flatnonzero(is_node.ravel())),
        stride=is_node.shape[1],
        count=len(first),
        graph_of_row=graph_of_row,
    )
