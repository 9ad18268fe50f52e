"""Kubernetes pod packing: which pods run on which nodes of a cluster.

Data: nodes ``j`` with capacities ``cap_jd`` of resources ``d`` (cpu, memory, number of pods, ...);
pods ``i`` with requests ``req_id``, priorities, and the node that each runs on now, if any.

Constraints: ``sum_i req_id x_ij <= cap_jd``, a pod on at most one node, and Kubernetes' filters:
taints and tolerations, node selectors and affinity, host ports, required affinity between pods,
hard topology spreading. Protected pods stay. Vector bin packing with choice, strongly NP-hard.

Objective, minimised: let ``Y_k`` be the number of pods of tier ``k`` (the ``k``-th highest
priority) that run, and ``D_k`` the disruption of the pods of the tier that run now: 2 for each that
is evicted, 1 for each that is moved.

- ``place_first``: ``(-Y_1, ..., -Y_K, D_1, ..., D_K)``, compared left to right;
- ``tiered``: ``(-Y_1, D_1, ..., -Y_K, D_K)``, the order of Christensen, Giallorenzo and Mauro
  (arXiv:2511.08373), which forbids to disturb important pods for less important ones. Their code
  charges 1 for an eviction and 2 for a move: ``evict_cost=1, move_cost=2``;
- ``weighted``: ``sum_k W_k (n_k - Y_k) + sum_k D_k``.

Fixed deviations from Kubernetes: requests count, not usage; volumes, devices and races do not
exist; a placement is refused if it makes the skew of a new pod too large, be the pod that comes one
that carries the constraint or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .core import FloatArray, IntArray, Objective
from .picture import Box, Picture
from .pod_packing_anonymous import anonymise
from .pod_packing_files import SETS, best_known, load, names, normalise, read, write
from .pod_packing_generators import GENERATORS, generate, generate_paper
from .pod_packing_model import OBJECTIVES, PodPackingInstance, PodPackingSolution
from .pod_packing_plan import plan, plan_table, read_plan, verify, write_plan
from .pod_packing_referee import (
    disruption_per_tier,
    objective,
    placed_per_tier,
    validate,
    value_of,
)

__all__ = [
    "GENERATORS",
    "OBJECTIVES",
    "PROBLEMS",
    "SETS",
    "PodPackingInstance",
    "PodPackingSolution",
    "anonymise",
    "best_known",
    "generate",
    "generate_paper",
    "load",
    "lower_bound",
    "metrics",
    "most_placed",
    "names",
    "normalise",
    "objective",
    "picture",
    "plan",
    "plan_solver",
    "plan_table",
    "pod_costs",
    "read",
    "read_plan",
    "scalar",
    "upper_bound",
    "validate",
    "value_of",
    "verify",
    "write",
    "write_plan",
]

PROBLEMS = {"pod_packing": (PodPackingInstance, PodPackingSolution)}


# Bounds.


def most_placed(instance: PodPackingInstance) -> list[int]:
    """A bound on ``Y_k`` where the tiers above attain theirs, from the totals of the resources.

    Of the pods of the first ``k`` tiers, no more run than the smallest requests that fit the sum of
    all capacities, resource by resource.
    """
    total = instance.capacities.sum(axis=0)
    found: list[int] = []
    for tier in range(instance.num_tiers):
        requests = np.sort(instance.requests[instance.tier_of_pod <= tier], axis=0)
        fitting = (np.cumsum(requests, axis=0) <= total).sum(axis=0)
        count = int(instance.pods_per_tier[tier])
        found.append(min(count, int(fitting.min()) - sum(found)))
    return found


def lower_bound(instance: PodPackingInstance) -> Objective:
    """The value if :func:`most_placed` pods ran, without disruption."""
    placed = most_placed(instance)
    if instance.objective == "weighted":
        weights = instance.tier_weights
        if list(weights) != sorted(weights, reverse=True):
            return 0
        return _pending_cost(instance, weights, placed)
    if instance.objective == "place_first":
        return (*(-y for y in placed), *(0 for _ in placed))
    return tuple(v for y in placed for v in (-y, 0))


def upper_bound(instance: PodPackingInstance) -> Objective:
    """The value if only the protected pods ran."""
    nodes = np.where(instance.protected == 1, instance.current, -1)
    if instance.objective != "weighted":
        return value_of(instance, nodes)
    dearest = max(instance.evict_cost, instance.move_cost)
    running = int(np.count_nonzero(instance.running & (instance.protected == 0)))
    placed = placed_per_tier(instance, nodes)
    return _pending_cost(instance, instance.tier_weights, placed) + dearest * running


def _pending_cost(instance: PodPackingInstance, costs: Sequence[int], placed: list[int]) -> int:
    """``sum_k c_k (n_k - Y_k)``."""
    counts = instance.pods_per_tier.tolist()
    return int(sum(c * (n - y) for c, n, y in zip(costs, counts, placed, strict=True)))


# A number for the objective.

#: Cost of a pending pod of the lowest tier, and how much dearer each tier above it is.
_POD_COST, _DEARER, _MOST_DEARER = 10, 10, 8


def pod_costs(instance: PodPackingInstance) -> tuple[int, ...]:
    """Cost of a pending pod by tier in :func:`scalar`: the weights, or 10, 100, ... from below.

    With more than 9 tiers, the first ones all have the largest cost.
    """
    if instance.objective == "weighted":
        return instance.tier_weights
    tiers = instance.num_tiers
    return tuple(_POD_COST * _DEARER ** min(tiers - 1 - k, _MOST_DEARER) for k in range(tiers))


def scalar(instance: PodPackingInstance, value: Objective) -> int:
    """An objective as one number, the cost of environments: pending pods and disruption.

    ``sum_k c_k (n_k - Y_k) + sum_k D_k`` with :func:`pod_costs` ``c``. It orders most placements as
    the tuple does, not all: comparisons use the tuple.
    """
    if not isinstance(value, tuple):
        return value
    tiers = instance.num_tiers
    tiered = instance.objective == "tiered"
    placed = [-y for y in (value[::2] if tiered else value[:tiers])]
    disruption = value[1::2] if tiered else value[tiers:]
    return _pending_cost(instance, pod_costs(instance), placed) + sum(disruption)


#: Groups of equal pods times nodes up to which an exact model is built.
_LARGEST_MODEL = 20_000

#: Pods up to which a search is tried.
_LARGEST_SEARCH = 4096


def plan_solver(instance: PodPackingInstance) -> str:
    """Name of the solver that suits an instance's size."""
    if instance.num_pods > _LARGEST_SEARCH:
        return "greedy_repair"
    kinds = np.unique(np.column_stack([instance.requests, instance.tier_of_pod]), axis=0)
    return "cp_sat" if len(kinds) * instance.num_nodes <= _LARGEST_MODEL else "lns"


# Secondary figures.


def metrics(instance: PodPackingInstance, solution: PodPackingSolution) -> dict[str, Any]:
    """Secondary figures of a placement.

    Returns:
        ``placed_per_priority``: pods that run, the highest priority first; ``pending``;
        ``evictions`` and ``moves``; ``cpu_allocated`` and ``memory_allocated``: shares;
        ``nodes_used``; ``imbalance``: standard deviation of the nodes' cpu shares.
    """
    nodes, now = solution.nodes, instance.current
    used = np.zeros_like(instance.capacities)
    placed = nodes >= 0
    np.add.at(used, nodes[placed], instance.requests[placed])
    figures: dict[str, Any] = {
        "placed_per_priority": placed_per_tier(instance, nodes),
        "pending": float(np.count_nonzero(~placed)),
        "evictions": float(np.count_nonzero((now >= 0) & ~placed)),
        "moves": float(np.count_nonzero((now >= 0) & placed & (nodes != now))),
    }
    for name in ("cpu", "memory"):
        if name in instance.resources:
            k = instance.resources.index(name)
            total = float(instance.capacities[:, k].sum())
            figures[f"{name}_allocated"] = float(used[:, k].sum()) / total if total else 0.0
    figures["nodes_used"] = float(np.count_nonzero(used.any(axis=1)))
    if "cpu" in instance.resources:
        k = instance.resources.index("cpu")
        capacity = np.maximum(instance.capacities[:, k], 1)
        figures["imbalance"] = float((used[:, k] / capacity).std())
    return figures


# The picture.


def picture(instance: PodPackingInstance, solution: PodPackingSolution) -> Picture:
    """The nodes as bars, stacked of their pods by priority, and the pending pods in a last lane.

    The width of a pod is its share of the node's scarcer resource of cpu and memory, so that a bar
    that is full shows a node where little fits; of a pending pod, its share of the largest node.
    """
    share = _shares(instance, solution.nodes)
    boxes: list[Box] = []
    ends = np.zeros(instance.num_nodes + 1)
    for i in np.lexsort((instance.tier_of_pod,)).tolist():
        node = int(solution.nodes[i])
        lane = node if node >= 0 else instance.num_nodes
        tier = int(instance.tier_of_pod[i])
        boxes.append(Box(ends[lane], lane, share[i], 1.0, tier, str(i), _detail(instance, i, node)))
        ends[lane] += share[i]
    pending = int(np.count_nonzero(solution.nodes < 0))
    placed = placed_per_tier(instance, solution.nodes)
    return Picture(
        title=f"{instance.name or 'pod packing'}: {placed} pods run by priority,"
        f" {pending} pending, disruption {sum(disruption_per_tier(instance, solution.nodes))}",
        x_label="share of the node's scarcer resource",
        y_label="node",
        boxes=tuple(boxes),
        lanes=(*instance.node_names, "pending"),
        group_name="tier",
    )


def _shares(instance: PodPackingInstance, nodes: IntArray) -> FloatArray:
    """``(P,)`` share of the node that each pod takes, of the resource that the node lacks more."""
    kept = [instance.resources.index(r) for r in ("cpu", "memory") if r in instance.resources]
    kept = kept or [instance.resources.index("pods")]
    capacity = np.maximum(instance.capacities[:, kept], 1).astype(float)
    requests = instance.requests[:, kept]
    used = np.zeros_like(capacity)
    np.add.at(used, nodes[nodes >= 0], requests[nodes >= 0])
    scarce = np.argmax(used / capacity, axis=1)
    shares: FloatArray = (requests / capacity.max(axis=0)).max(axis=1)
    for i in np.flatnonzero(nodes >= 0):
        k = scarce[nodes[i]]
        shares[i] = requests[i, k] / capacity[nodes[i], k]
    return shares


def _detail(instance: PodPackingInstance, pod: int, node: int) -> str:
    wants: Mapping[str, int] = dict(
        zip(instance.resources, instance.requests[pod].tolist(), strict=True)
    )
    text = ", ".join(f"{amount} {name}" for name, amount in wants.items() if name != "pods")
    now = int(instance.current[pod])
    moved = f", now on {instance.node_names[now]}" if now >= 0 and now != node else ""
    return f"{instance.pod_names[pod]}: {text}, priority {int(instance.priorities[pod])}{moved}"
