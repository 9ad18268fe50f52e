"""What both environments of pod packing share: the instance as arrays, and the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import FloatArray, IntArray, Objective, gap
from ..instances.pod_packing import (
    PodPackingInstance,
    PodPackingSolution,
    lower_bound,
    pod_costs,
    scalar,
    upper_bound,
)
from ..instances.pod_packing_constraints import constraints
from ..instances.pod_packing_state import rules, start_state, world_of
from .simulator import Arrays, Shape, Simulator

#: Columns of the arrays ``pods`` of both kernels' modules.
PRIORITY, TIER, WORKLOAD, CURRENT, MOVABLE, IMPORTANCE, COST = range(7)

_WORLD = (
    *("requests", "spec_of_pod", "allowed", "kinds", "limits", "domains"),
    *("num_domains", "eligible", "carry", "match"),
)
_START = ("free", "node", "head", "after", "before", "matched", "carried")


class PodSimulator(Simulator):
    """The base of both simulators."""

    family = problem = "pod_packing"
    default_instance = "mixed-4x16-s0"
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "node": ("cpu", "memory", "pods", "tainted"),
        "pod": ("cpu", "memory", "tier", "running"),
        "workload": ("share",),
    }
    edge_types = (
        ("pod", "belongs_to", "workload"),
        ("workload", "consists_of", "pod"),
        ("pod", "runs_on", "node"),
    )
    candidate_node_types = ("node", "pod")

    @classmethod
    def measure(cls, instance: PodPackingInstance) -> dict[str, int]:
        """Sizes of the arrays: ``nodes``, ``pods``, ``resources``, ``tiers``, ``workloads``, ...

        All but the first two are rounded up generously, so that draws of a generator, which differ
        in them, fit the sizes of a few of them.
        """
        c, p = constraints(instance), instance.num_pods
        plain = instance.capacities.shape[1]
        return {
            "nodes": instance.num_nodes,
            "pods": p,
            "resources": plain + _rounded(c.capacities.shape[1] - plain, 8),
            "tiers": _rounded(instance.num_tiers, 4),
            "workloads": max(len(instance.workload_names), p),
            "specs": max(len(instance.pod_specs), p),
            "terms": _rounded(c.num_terms, p),
            "domains": _rounded(int(c.num_domains.max(initial=0)), instance.num_nodes),
            "budgets": _rounded(len(c.budgets), p),
        }

    @staticmethod
    def graph_shape(candidates: int, size: Mapping[str, int]) -> Shape:
        """The padded shapes with a node per cluster node, pod and workload."""
        nodes = {"node": size["nodes"], "pod": size["pods"], "workload": size["workloads"]}
        return Shape(candidates, nodes, edges=3 * size["pods"])

    def allocate_common(self) -> tuple[Arrays, Arrays]:
        """The arrays of the instance and of where the pods are."""
        z, slots, rows = self.size, self.num_slots, self.num_rows
        n, p, r, c = z["nodes"], z["pods"], z["resources"], z["specs"]
        t, g, w, m = z["terms"], z["domains"], z["workloads"], z["budgets"]
        data: Arrays = {
            "problems": np.zeros((slots, 9), "i8"),
            "constants": np.ones((slots, 8), "f8"),
            "pods": np.zeros((slots, p, 8), "i8"),
            "requests": np.zeros((slots, p, r), "i8"),
            "spec_of_pod": np.zeros((slots, p), "i8"),
            "allowed": np.zeros((slots, c, n), "?"),
            "kinds": np.zeros((slots, t), "i8"),
            "limits": np.zeros((slots, t), "i8"),
            "domains": np.full((slots, t, n), -1, "i8"),
            "num_domains": np.zeros((slots, t), "i8"),
            "eligible": np.zeros((slots, t, n), "?"),
            "carry": np.zeros((slots, c, t), "?"),
            "match": np.zeros((slots, c, t), "?"),
            "capacities": np.zeros((slots, n, r), "i8"),
            "per_capacity": np.zeros((slots, n, r), "f8"),
            "waiting": np.zeros((slots, p), "i8"),
            "in_budget": np.zeros((slots, c, m), "?"),
            "budgets": np.zeros((slots, m), "i8"),
            "workload_sizes": np.zeros((slots, max(w, 1)), "i8"),
            "start_peers": np.zeros((slots, w, n), "i4"),
        }
        places = {
            "free": (n, r),
            "node": (p,),
            "head": (n,),
            "after": (p,),
            "before": (p,),
            "matched": (t, g),
            "carried": (t, g),
        }
        data |= {f"start_{key}": np.zeros((slots, *shape), "i8") for key, shape in places.items()}
        state: Arrays = {
            ("node_of" if key == "node" else key): np.zeros((rows, *shape), "i8")
            for key, shape in places.items()
        }
        state |= {
            "clock": np.zeros((rows, 8), "i8"),
            "peers": np.zeros((rows, w, n), "i4"),
            "left": np.zeros((rows, m), "i8"),
            "placed": np.zeros((rows, z["tiers"], 2), "i8"),
        }
        return data, state

    def write_common(self, slot: int, instance: PodPackingInstance) -> None:
        """Write an instance into a slot; padding included."""
        d, c = self.data, constraints(instance)
        n, p = instance.num_nodes, instance.num_pods
        for name, values in zip(_WORLD, world_of(instance), strict=True):
            _fill(d[name][slot], values, -1 if name == "domains" else 0)
        world, state = start_state(instance)
        for name, values in zip(_START, state, strict=True):
            shown = values[:, : d["start_matched"].shape[2]] if name in _START[5:] else values
            _fill(d[f"start_{name}"][slot], shown, 0)
        _fill(d["capacities"][slot], c.capacities, 0)
        _fill(d["per_capacity"][slot], 1.0 / np.maximum(c.capacities, 1), 0)
        _fill(d["in_budget"][slot], c.in_budget, 0)
        _fill(d["budgets"][slot], c.budgets, 0)
        sizes = np.bincount(instance.workloads + 1, minlength=len(instance.workload_names) + 1)[1:]
        _fill(d["workload_sizes"][slot], sizes, 0)
        peers = d["start_peers"][slot]
        peers[:] = 0
        running = np.flatnonzero(instance.running & (instance.workloads >= 0))
        np.add.at(peers, (instance.workloads[running], instance.current[running]), 1)
        pods = d["pods"][slot]
        pods[:] = 0
        pods[:p, PRIORITY], pods[:p, TIER] = instance.priorities, instance.tier_of_pod
        pods[:p, WORKLOAD], pods[:p, CURRENT] = instance.workloads, instance.current
        held = np.array([rules.is_held(s, world) for s in range(len(instance.pod_specs))])
        pods[:p, MOVABLE] = (instance.protected == 0) & ~held[instance.spec_of_pod]
        pods[:p, IMPORTANCE] = importance(instance)
        pods[:p, COST] = np.array(pod_costs(instance))[instance.tier_of_pod]
        waits = instance.arrival[instance.current[instance.arrival] < 0]
        _fill(d["waiting"][slot], waits, 0)
        worst = scalar(instance, upper_bound(instance))
        d["problems"][slot] = (
            *(n, p, len(waits), instance.evict_cost, instance.move_cost, worst),
            *(len(c.budgets), c.num_terms, len(instance.workload_names)),
        )
        d["constants"][slot] = self._constants(instance)
        if self.graph:
            self._write_graph(slot, instance)

    def _constants(self, instance: PodPackingInstance) -> FloatArray:
        cpu, memory = resource_columns(instance)
        capacities = instance.capacities
        mean = np.maximum(capacities.mean(axis=0), 1)
        total = np.maximum(capacities.sum(axis=0), 1)
        costs = np.array(pod_costs(instance))
        unit = float((costs * instance.pods_per_tier).sum()) or 1.0
        return np.array(
            [
                *(1 / mean[cpu], 1 / mean[memory], unit, 1 / instance.num_tiers, cpu, memory),
                *(1 / total[cpu], 1 / total[memory]),
            ]
        )

    def _write_graph(self, slot: int, instance: PodPackingInstance) -> None:
        """Nodes, pods and workloads; O(N + P)."""
        d, z = self.data, self.size
        nodes, kinds = d["nodes"][slot], d["node_type"][slot]
        edges, edge_kinds = d["edges"][slot], d["edge_type"][slot]
        nodes[:], kinds[:], edges[:], edge_kinds[:] = 0.0, -1, -1, -1
        n, p, w = instance.num_nodes, instance.num_pods, len(instance.workload_names)
        first_pod, first_workload = z["nodes"], z["nodes"] + z["pods"]
        cpu, memory = resource_columns(instance)
        kept = [cpu, memory]
        mean = np.maximum(instance.capacities[:, kept].mean(axis=0), 1)
        pod_column = instance.resources.index("pods")
        kinds[:n] = 0
        nodes[:n, :2] = instance.capacities[:, kept] / mean
        nodes[:n, 2] = instance.capacities[:, pod_column] / p
        nodes[:n, 3] = ~constraints(instance).allowed.any(axis=0)
        pods = slice(first_pod, first_pod + p)
        kinds[pods] = 1
        nodes[pods, :2] = instance.requests[:, kept] / mean
        nodes[pods, 2] = instance.tier_of_pod / instance.num_tiers
        nodes[pods, 3] = instance.running
        kinds[first_workload : first_workload + w] = 2
        sizes = np.bincount(instance.workloads + 1, minlength=w + 1)[1:]
        nodes[first_workload : first_workload + w, 0] = sizes / p
        owned = np.flatnonzero(instance.workloads >= 0)
        links = np.column_stack([first_pod + owned, first_workload + instance.workloads[owned]])
        run = np.flatnonzero(instance.running)
        places = np.column_stack([first_pod + run, instance.current[run]])
        rows = np.concatenate([links, links[:, ::-1], places])
        edges[: len(rows)] = rows
        edge_kinds[: len(rows)] = np.repeat([0, 1, 2], [len(links), len(links), len(places)])

    def solutions(self, rows: IntArray) -> list[PodPackingSolution]:
        """Where the pods are."""
        nodes = self.state["node_of"][rows]
        return [
            PodPackingSolution.trusted(nodes=found[: self.instance(row).num_pods].copy())
            for found, row in zip(nodes, rows, strict=True)
        ]

    def objectives(self, rows: IntArray) -> npt.NDArray[Any]:
        """The objectives of the rows, from the counts by tier."""
        found = np.empty(len(rows), dtype=object)
        codes = self.view["infeasible"]
        for at, row in enumerate(rows.tolist()):
            instance = self.instance(row)
            found[at] = upper_bound(instance) if codes[row] else self._objective(row, instance)
            if instance.objective == "weighted":
                found[at] = int(self.view["value"][row])
        return found

    def _objective(self, row: int, instance: PodPackingInstance) -> Objective:
        counts = self.state["placed"][row, : instance.num_tiers].tolist()
        if instance.objective == "tiered":
            return tuple(v for y, d in counts for v in (-y, d))
        return (*(-y for y, _ in counts), *(d for _, d in counts))

    def gaps(self, rows: IntArray) -> FloatArray:
        """Gaps of the rows' objectives to the lower bounds."""
        pairs = zip(self.objectives(rows), rows.tolist(), strict=True)
        return np.array([gap(value, lower_bound(self.instance(row))) for value, row in pairs])


def _rounded(count: int, step: int) -> int:
    return -(-count // step) * step


def importance(instance: PodPackingInstance) -> IntArray:
    """``(P,)`` rank of the pods: higher priority first, then earlier start, then number."""
    order = np.lexsort((instance.started, -instance.priorities))
    rank = np.empty(instance.num_pods, dtype=np.int64)
    rank[order] = np.arange(instance.num_pods)
    return rank


def resource_columns(instance: PodPackingInstance) -> tuple[int, int]:
    """Indices of cpu and memory; of the number of pods where one is missing."""
    names = instance.resources
    first, second = (
        names.index(r) if r in names else names.index("pods") for r in ("cpu", "memory")
    )
    return first, second


def _fill(target: npt.NDArray[Any], values: npt.NDArray[Any], padding: int) -> None:
    target[...] = padding
    target[tuple(slice(length) for length in values.shape)] = values
