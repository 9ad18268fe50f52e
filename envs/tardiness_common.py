"""What the modes of the tardiness environment share: units, rewards, gaps and the graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ..instances.core import IntArray
from ..instances.tardiness import TardinessInstance
from .simulator import Arrays, Shape, Simulator

#: A job node is linked to so many jobs that follow it by due date, and by processing time.
_NEIGHBOURS = 4


def graph_shape(candidates: int, num_jobs: int) -> Shape:
    """The padded shapes with one node per job."""
    return Shape(candidates, {"job": num_jobs}, edges=2 * _NEIGHBOURS * num_jobs)


def by_due_date(instance: TardinessInstance) -> IntArray:
    """The jobs by due date, then processing time, then number (EDD)."""
    return np.lexsort((instance.processing_times, instance.due_dates))


def by_time(instance: TardinessInstance) -> IntArray:
    """The jobs by processing time, then due date, then number (SPT)."""
    return np.lexsort((instance.due_dates, instance.processing_times))


def unit(values: IntArray) -> float:
    """A power of two near the mean, so that columns are exact in float32."""
    mean = float(values.mean())
    return 2.0 ** round(math.log2(mean)) if mean > 0 else 1.0


def scale(instance: TardinessInstance, edd_cost: int) -> float:
    """Unit of the rewards: the cost of the EDD sequence, or one time unit of a job if it is less.

    With it, the return is near the relative gap to a plan that anyone would make, and stays bounded
    where no job has to be late.
    """
    return max(float(edd_cost), unit(instance.processing_times) * unit(instance.weights))


class SingleMachineSimulator(Simulator):
    """The base of the simulators of all modes.

    The graph has one node per job. Nodes and edges are the same in all modes, and static.
    """

    family = problem = "tardiness"
    default_instance = "pvw-20-s0"
    speed_instances = ("pvw-20", "pvw-100", "pvw-500")
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "job": ("processing_time", "weight", "due_date", "release_date", "edd_rank", "spt_rank"),
    }
    edge_types = (("job", "due_before", "job"), ("job", "shorter_than", "job"))

    def write_common(self, slot: int, instance: TardinessInstance) -> None:
        """The graph, if it is asked for."""
        if self.graph:
            write_graph(self.data, slot, instance)


def write_graph(data: Arrays, slot: int, instance: TardinessInstance) -> None:
    """Jobs, and the next few of each by due date and by processing time; O(n log n)."""
    n, time = instance.num_jobs, unit(instance.processing_times)
    releases = instance.release_dates
    orders = by_due_date(instance), by_time(instance)
    nodes, kinds = data["nodes"][slot], data["node_type"][slot]
    nodes[:], kinds[:] = 0.0, -1
    kinds[:n] = 0
    nodes[:n, 0] = instance.processing_times / time
    nodes[:n, 1] = instance.weights / unit(instance.weights)
    nodes[:n, 2] = instance.due_dates / time
    nodes[:n, 3] = 0.0 if releases is None else releases / time
    edges, edge_kinds = data["edges"][slot], data["edge_type"][slot]
    edges[:], edge_kinds[:] = -1, -1
    at = 0
    for kind, order in enumerate(orders):
        nodes[order, 4 + kind] = np.arange(n) / n
        for step in range(1, min(_NEIGHBOURS, n - 1) + 1):
            edges[at : at + n - step, 0] = order[:-step]
            edges[at : at + n - step, 1] = order[step:]
            edge_kinds[at : at + n - step] = kind
            at += n - step
