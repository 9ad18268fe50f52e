"""The data of Kubernetes pod packing. The problem is stated in ``pod_packing.py``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .core import BoolArray, Instance, IntArray, Solution, int_array

if TYPE_CHECKING:
    import pandas as pd

#: The objectives by name; see ``pod_packing.py``.
OBJECTIVES = ("place_first", "tiered", "weighted")

#: Requests and capacities stay below it, so that the sums of a cluster do not wrap.
_LIMIT = 2**60

#: Weighted objectives stay below it, so that floats hold them exactly.
_LIMIT_COST = 2**53


def canonical(data: Any) -> str:
    """Plain data as JSON text, the same for equal data."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, eq=False)
class PodPackingInstance(Instance):
    """Nodes, pods, and where the pods run now.

    Attributes:
        capacities: ``(N, R)`` int64, what a node has to allocate of each resource.
        requests: ``(P, R)`` int64, what a pod requests.
        priorities: ``(P,)`` int64, larger is more important.
        current: ``(P,)`` int64, the node a pod runs on, -1 if it is pending; all -1 by default.
        resources: Names of the resources: ``cpu`` in milli, ``memory`` in bytes, ``pods``, which
            every pod requests 1 of, and others.
        workloads: ``(P,)`` int64, index of the pod's ReplicaSet or other controller, -1 without.
        batches: ``(P,)`` int64, pods of a lower batch arrive earlier; within a batch in the order
            of their priorities, then of their numbers.
        protected: ``(P,)`` int64, 1 where a running pod may be neither moved nor evicted.
        started: ``(P,)`` int64, when a running pod started; only the order matters.
        scoring: ``(P, 2)`` int64, cpu and memory with kube-scheduler's defaults for containers
            that request none; the requests by default.
        pod_specs: Distinct constraints, canonical JSON in Kubernetes' own terms (see
            ``pod_packing_constraints.py``); by default one without any.
        spec_of_pod: ``(P,)`` int64, index of the pod's constraints.
        node_specs: Labels, taints, images and ``unschedulable`` of each node, canonical JSON.
        budgets: PodDisruptionBudgets, canonical JSON: ``name``, ``namespace``, ``selector``,
            ``allowed``.
        pod_names: ``namespace/name`` of each pod.
        node_names: Name of each node.
        workload_names: ``Kind namespace/name`` of each workload.
        objective: ``place_first``, ``tiered`` or ``weighted``.
        evict_cost: Disruption of a running pod that ends pending.
        move_cost: Disruption of a running pod that ends on another node.
        weights: For ``weighted``: cost of a pending pod by tier, the highest priority first; by
            default so large that a pod outweighs all that is less important.
        notes: What a reader found and did not understand.
        name: Identifier used in result tables.

    Raises:
        ValueError: If the arrays do not describe a cluster, a node is overfull, or a pod is larger
            than every node.
    """

    problem: ClassVar[str] = "pod_packing"

    capacities: IntArray
    requests: IntArray
    priorities: IntArray
    current: IntArray = None  # type: ignore[assignment]  # stands for all pending
    resources: tuple[str, ...] = ("cpu", "memory", "pods")
    workloads: IntArray = None  # type: ignore[assignment]  # stands for none
    batches: IntArray = None  # type: ignore[assignment]  # stands for one
    protected: IntArray = None  # type: ignore[assignment]  # stands for none
    started: IntArray = None  # type: ignore[assignment]  # stands for the order of the pods
    scoring: IntArray = None  # type: ignore[assignment]  # stands for the requests
    pod_specs: tuple[str, ...] = ("{}",)
    spec_of_pod: IntArray = None  # type: ignore[assignment]  # stands for the only one
    node_specs: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    pod_names: tuple[str, ...] = ()
    node_names: tuple[str, ...] = ()
    workload_names: tuple[str, ...] = ()
    objective: str = "place_first"
    evict_cost: int = 2
    move_cost: int = 1
    weights: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        capacities = int_array(self.capacities, "capacities", 2)
        requests = int_array(self.requests, "requests", 2)
        self._keep("capacities", capacities)
        self._keep("requests", requests)
        self._keep("priorities", int_array(self.priorities, "priorities", 1))
        self._fill()
        self._check_shapes()
        self._check_texts()
        self._check_values()
        self._check_placement()
        self._check_objective()

    def _keep(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def _fill(self) -> None:
        """Put defaults for what was not given, and plain types for the rest."""
        n, count = len(self.capacities), len(self.requests)
        defaults = {
            "current": np.full(count, -1),
            "workloads": np.full(count, -1),
            "batches": np.zeros(count),
            "protected": np.zeros(count),
            "started": np.arange(count),
            "spec_of_pod": np.zeros(count),
        }
        for field, default in defaults.items():
            given = getattr(self, field)
            value = default.astype(np.int64) if given is None else given
            self._keep(field, int_array(value, field, 1))
        names = {
            "resources": self.resources,
            "pod_specs": self.pod_specs,
            "budgets": self.budgets,
            "notes": self.notes,
            "node_specs": self.node_specs or ("{}",) * n,
            "node_names": self.node_names or tuple(f"node-{j}" for j in range(n)),
            "pod_names": self.pod_names or tuple(f"default/pod-{i}" for i in range(count)),
            "workload_names": self.workload_names
            or tuple(
                f"ReplicaSet default/rs-{w}" for w in range(self.workloads.max(initial=-1) + 1)
            ),
        }
        for field, value in names.items():
            self._keep(field, _texts(value, field))
        self._keep("weights", tuple(self.weights))
        scoring = self._cpu_and_memory() if self.scoring is None else self.scoring
        self._keep("scoring", int_array(scoring, "scoring", 2))

    def _cpu_and_memory(self) -> IntArray:
        scoring = np.zeros((len(self.requests), 2), dtype=np.int64)
        for k, name in enumerate(("cpu", "memory")):
            if name in self.resources and self.requests.shape[1] == len(self.resources):
                scoring[:, k] = self.requests[:, self.resources.index(name)]
        return scoring

    def _check_shapes(self) -> None:
        n, count, width = self.num_nodes, self.num_pods, len(self.resources)
        if not n or not count:
            raise ValueError(f"{n} nodes and {count} pods, expected at least 1 of each.")
        for field, rows, columns in (
            ("capacities", n, width),
            ("requests", count, width),
            ("scoring", count, 2),
        ):
            shape = getattr(self, field).shape
            if shape != (rows, columns):
                raise ValueError(f"{field} {shape}, expected {(rows, columns)}.")
        for field in (
            *("priorities", "current", "workloads", "batches", "protected", "started"),
            *("spec_of_pod", "pod_names"),
        ):
            length = len(getattr(self, field))
            if length != count:
                raise ValueError(f"{field}: {length} values, expected {count} (one per pod).")
        for field in ("node_names", "node_specs"):
            length = len(getattr(self, field))
            if length != n:
                raise ValueError(f"{field}: {length} values, expected {n} (one per node).")

    def _check_texts(self) -> None:
        for field in ("resources", "node_names", "pod_names", "workload_names"):
            _check_distinct(getattr(self, field), field)
        if "pods" not in self.resources:
            raise ValueError(f"resources {self.resources}, expected 'pods' among them.")
        if not isinstance(self.name, str):
            raise ValueError(f"name {self.name!r}, expected a text.")
        for field in ("pod_specs", "node_specs", "budgets"):
            for index, text in enumerate(getattr(self, field)):
                _check_json(text, f"{field} {index}")

    def _check_values(self) -> None:
        for field, names in (("capacities", self.node_names), ("requests", self.pod_names)):
            values = getattr(self, field)
            for row, k in np.argwhere((values < 0) | (values >= _LIMIT)):
                raise ValueError(
                    f"{names[row]}: {field} {values[row, k]} of {self.resources[k]}, expected"
                    " 0 .. 2^60."
                )
        pods = self.requests[:, self.resources.index("pods")]
        for i in np.flatnonzero(pods != 1):
            raise ValueError(f"{self.pod_names[i]}: {pods[i]} of 'pods', expected 1.")
        for field, low, high in (
            ("current", -1, self.num_nodes),
            ("workloads", -1, len(self.workload_names)),
            ("spec_of_pod", 0, len(self.pod_specs)),
            ("protected", 0, 2),
        ):
            values = getattr(self, field)
            for i in np.flatnonzero((values < low) | (values >= high)):
                raise ValueError(
                    f"{self.pod_names[i]}: {field} {values[i]}, expected {low}..{high - 1}."
                )

    def _check_placement(self) -> None:
        used = np.zeros_like(self.capacities)
        running = self.current >= 0
        np.add.at(used, self.current[running], self.requests[running])
        for j, k in np.argwhere(used > self.capacities):
            raise ValueError(
                f"{self.node_names[j]}: {used[j, k]} of {self.resources[k]} requested by the pods"
                f" on it, {self.capacities[j, k]} allocatable."
            )
        largest = self.capacities.max(axis=0)
        for i, k in np.argwhere(self.requests > largest):
            raise ValueError(
                f"{self.pod_names[i]}: {self.requests[i, k]} of {self.resources[k]} requested,"
                f" no node has more than {largest[k]}."
            )
        for i in np.flatnonzero((self.protected == 1) & ~running):
            raise ValueError(f"{self.pod_names[i]}: protected and pending, expected it to run.")

    def _check_objective(self) -> None:
        if self.objective not in OBJECTIVES:
            listed = ", ".join(OBJECTIVES)
            raise ValueError(f"objective {self.objective!r}, expected one of: {listed}.")
        for field in ("evict_cost", "move_cost"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise ValueError(f"{field} {value!r}, expected an integer >= 0.")
            self._keep(field, int(value))
        if self.weights and (
            len(self.weights) != self.num_tiers
            or any(isinstance(w, bool) or not isinstance(w, int) or w < 0 for w in self.weights)
        ):
            raise ValueError(
                f"weights {self.weights}, expected {self.num_tiers} integers >= 0 (one per tier)."
            )
        if self.objective == "weighted":
            counts = self.pods_per_tier.tolist()
            total = sum(w * n for w, n in zip(self.tier_weights, counts, strict=True))
            if total >= _LIMIT_COST:
                raise ValueError(
                    f"weights of {self.num_tiers} tiers reach {total}, expected below 2^53: give"
                    " smaller weights, or use objective 'place_first'."
                )

    @property
    def num_nodes(self) -> int:
        """Number of nodes, N."""
        return len(self.capacities)

    @property
    def num_pods(self) -> int:
        """Number of pods, P, running and pending."""
        return len(self.requests)

    @cached_property
    def tiers(self) -> IntArray:
        """``(K,)`` the distinct priorities, the highest first."""
        return np.unique(self.priorities)[::-1].copy()

    @property
    def num_tiers(self) -> int:
        """Number of distinct priorities, K."""
        return len(self.tiers)

    @cached_property
    def tier_of_pod(self) -> IntArray:
        """``(P,)`` the pod's tier, 0 for the highest priority."""
        return np.searchsorted(-self.tiers, -self.priorities).astype(np.int64)

    @cached_property
    def pods_per_tier(self) -> IntArray:
        """``(K,)`` number of pods."""
        return np.bincount(self.tier_of_pod, minlength=self.num_tiers).astype(np.int64)

    @cached_property
    def tier_weights(self) -> tuple[int, ...]:
        """Cost of a pending pod by tier: those given, or ones that outweigh all below.

        ``W_k = 1 + sum_{l > k} n_l W_l + `` the largest possible disruption.
        """
        if self.weights:
            return self.weights
        running = int(np.count_nonzero(self.current >= 0))
        below, found = running * max(self.evict_cost, self.move_cost), []
        for count in self.pods_per_tier[::-1].tolist():
            found.append(below + 1)
            below += count * found[-1]
        return tuple(found[::-1])

    @cached_property
    def arrival(self) -> IntArray:
        """``(P,)`` the pods in the order of the queue, running ones included."""
        return np.lexsort((-self.priorities, self.batches)).astype(np.int64)

    @cached_property
    def running(self) -> BoolArray:
        """``(P,)`` whether the pod runs."""
        return np.asarray(self.current >= 0)


def _texts(values: Iterable[Any], field: str) -> tuple[str, ...]:
    values = tuple(values)
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{field}: {type(value).__name__}, expected texts.")
    return values


def _check_distinct(names: tuple[str, ...], field: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{field}: {name!r} twice, expected different names.")
        seen.add(name)


def _check_json(text: str, place: str) -> None:
    if text == "{}":
        return
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ValueError(f"{place}: {text[:40]!r}, expected the JSON text of an object.")


@dataclass(frozen=True, eq=False)
class PodPackingSolution(Solution):
    """Where the pods are to run.

    Attributes:
        nodes: ``(P,)`` int64, the node of each pod, -1 if it is to stay or become pending.
    """

    problem: ClassVar[str] = "pod_packing"

    nodes: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", int_array(self.nodes, "nodes", 1))

    def to_frame(self) -> pd.DataFrame:
        """One row per pod: ``pod``, ``node`` (-1: pending)."""
        import pandas as pd

        return pd.DataFrame({"pod": np.arange(len(self.nodes)), "node": self.nodes})
