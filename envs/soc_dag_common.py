"""What the simulators of single graphs and of streams share: ranks, units, adjacency."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..instances.core import FloatArray, IntArray
from ..instances.soc_dag import SoCDagInstance, bottom_levels
from . import soc_dag_kernels as kernels


@dataclass(frozen=True)
class Graph:
    """A task graph as the kernels want it: edges by task, and what rules look at.

    Attributes:
        first_out: ``(n + 1,)`` where the edges of each task begin.
        edges: ``(E,)`` numbers of the edges, by task.
        blockers: ``(n,)`` number of predecessors.
        levels: ``(n, m)`` as ``bottom_levels``.
        rank_up: ``(n,)`` HEFT's upward rank: mean run times and mean transfers.
        rank_down: ``(n,)`` HEFT's downward rank.
        static_level: ``(n,)`` the same without transfers.
        optimistic: ``(n, m)`` PEFT's optimistic cost table (doi:10.1109/TPDS.2013.57).
    """

    first_out: IntArray
    edges: IntArray
    blockers: IntArray
    levels: IntArray
    rank_up: FloatArray
    rank_down: FloatArray
    static_level: FloatArray
    optimistic: FloatArray


def graph_of(instance: SoCDagInstance) -> Graph:
    """The graph of an instance; O(E m^2)."""
    n, m = instance.run_times.shape
    sources, targets = instance.edges[:, 0], instance.edges[:, 1]
    edges = np.argsort(sources, kind="stable")
    first_out = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=n))])
    w = np.where(instance.run_times >= 0, instance.run_times, np.inf)
    mean = mean_run_times(instance)
    transfer = instance.communication.sum(axis=(1, 2)) / max(m * (m - 1), 1)
    away = 1.0 - np.eye(m)
    up, down, level = np.zeros(n), np.zeros(n), np.zeros(n)
    optimistic = np.zeros((n, m))
    for i in instance.topological[::-1].tolist():
        for e in edges[first_out[i] : first_out[i + 1]].tolist():
            j = int(targets[e])
            up[i] = max(up[i], transfer[e] + up[j])
            level[i] = max(level[i], level[j])
            least = (optimistic[j] + w[j] + transfer[e] * away).min(axis=1)
            np.maximum(optimistic[i], least, out=optimistic[i])
        up[i] += mean[i]
        level[i] += mean[i]
    for i in instance.topological.tolist():
        for e in edges[first_out[i] : first_out[i + 1]].tolist():
            down[targets[e]] = max(down[targets[e]], down[i] + mean[i] + transfer[e])
    blockers = np.bincount(targets, minlength=n)
    levels = bottom_levels(instance)
    return Graph(first_out, edges, blockers, levels, up, down, level, optimistic)


def mean_run_times(instance: SoCDagInstance) -> FloatArray:
    """``(n,)`` mean run time of each task over the PEs that support it."""
    supported = instance.run_times >= 0
    total = np.where(supported, instance.run_times, 0).sum(axis=1)
    mean: FloatArray = total / supported.sum(axis=1)
    return mean


def unit(times: FloatArray) -> float:
    """A power of two near the mean time, so that columns are exact in float32."""
    mean = float(times.mean())
    return 2.0 ** round(math.log2(mean)) if mean > 0 else 1.0


def width(instance: SoCDagInstance) -> int:
    """Most tasks that can be ready at once: the largest antichain."""
    sources, targets = instance.edges[:, 0], instance.edges[:, 1]
    at = np.argsort(sources, kind="stable")
    counts = np.bincount(sources, minlength=instance.num_tasks)
    first_out = np.concatenate([[0], np.cumsum(counts)])
    n = instance.num_tasks
    return int(kernels.width(n, first_out, targets[at], instance.topological.copy()))
