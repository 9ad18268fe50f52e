"""The default scheduler of Kubernetes, by release, offline.

Requests count, not usage; pods come in the order of their batches, within a batch the highest
priority first; what is evicted comes again at the end of the queue. Score plug-ins:
NodeResourcesFit (LeastAllocated, or as asked), NodeResourcesBalancedAllocation, PodTopologySpread
with the system's defaults (pods of one workload over host names and zones), TaintToleration,
NodeAffinity, ImageLocality; preferred affinity between pods and soft constraints of a pod's own are
not scored. Preemption is that of DefaultPreemption. Pods on which a required affinity or a hard
spread rests are never victims, and a placement that would break the spread of a pod that is there
already is refused; both differ from Kubernetes (see ``instances/pod_packing.py``).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from ..instances.core import BoolArray, IntArray
from ..instances.pod_packing import PodPackingInstance, PodPackingSolution
from ..instances.pod_packing_constraints import constraints
from ..instances.pod_packing_state import rules, start_state
from . import pod_packing_kube_kernels as kernels
from .pod_packing_scores import LEAST, MOST, RATIO, V1_23, V1_32, V1_33, V1_36
from .solver import solver

#: Releases that are told apart.
VERSIONS = {"1.23": V1_23, "1.32": V1_32, "1.33": V1_33, "1.36": V1_36}

STRATEGIES = {"LeastAllocated": LEAST, "MostAllocated": MOST, "RequestedToCapacityRatio": RATIO}

_ZONE = "topology.kubernetes.io/zone"


def schedule(
    instance: PodPackingInstance,
    *,
    version: str = "1.32",
    seed: int = 0,
    preemption: bool = True,
    tie: str = "random",
    percentage: int = 0,
    strategy: str = "LeastAllocated",
    spreading: bool = True,
    shape: tuple[tuple[int, int], ...] = ((0, 0), (100, 10)),
) -> IntArray:
    """Where the default scheduler puts the pods.

    Args:
        instance: The cluster; pods that run stay until they are preempted.
        version: One of ``VERSIONS``; a release that is not listed behaves like the last one before.
        seed: Seed of the ties, and of where preemption begins to look.
        preemption: Whether pods may evict less important ones.
        tie: ``random`` among the best nodes, as Kubernetes does, or the ``first``.
        percentage: percentageOfNodesToScore; 0 adapts to the number of nodes.
        strategy: One of ``STRATEGIES``.
        spreading: Whether the system's default spreading is on.
        shape: Points (utilisation, score up to 10) of RequestedToCapacityRatio.

    Returns:
        ``(P,)`` the node of each pod, -1 if it is pending.

    Raises:
        ValueError: If an option is none of the above.
    """
    settings = _settings(version, strategy, tie, preemption, percentage, spreading)
    c = constraints(instance)
    world, state = start_state(instance)
    columns = np.array([_column(instance, name) for name in ("cpu", "memory")])
    static = (
        c.preferred,
        c.disliked,
        c.images,
        _zones(instance),
        _own_spread(instance),
        c.never_preempts,
    )
    pods = np.column_stack(
        [
            *(instance.priorities, instance.tier_of_pod, instance.workloads, instance.current),
            movable(instance, world),
        ]
    ).astype(np.int64)
    started = np.unique(instance.started, return_inverse=True)[1].reshape(-1).astype(np.int64)
    scored = (instance.scoring, c.capacities, columns, started)
    budget = (c.in_budget, c.budgets.copy(), np.zeros_like(c.budgets))
    points = np.array([(x, 10 * y) for x, y in shape], dtype=np.int64)
    kernels.schedule(
        *(instance.arrival, instance.batches, pods, world, state, static, scored, budget),
        *(settings, points, seed % 2**32),
    )
    nodes: IntArray = state[1]
    return nodes


def _settings(
    version: str, strategy: str, tie: str, preemption: bool, percentage: int, spreading: bool
) -> IntArray:
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy {strategy!r}, expected one of: {', '.join(STRATEGIES)}.")
    if tie not in ("random", "first"):
        raise ValueError(f"tie {tie!r}, expected 'random' or 'first'.")
    if not 0 <= percentage <= 100:
        raise ValueError(f"percentage {percentage}, expected 0..100.")
    flags = (preemption, tie == "random", percentage, spreading)
    return np.array([release(version), STRATEGIES[strategy], *flags], dtype=np.int64)


def release(version: str | float) -> int:
    """The generation of scores that a release has, e.g. of ``"1.34"`` that of ``"1.33"``.

    Raises:
        ValueError: If it is no release from 1.23 on.
    """
    major, _, minor = str(version).partition(".")
    if major != "1" or not minor.isdigit() or int(minor) < 22:
        raise ValueError(f"version {version!r}, expected 1.23 or later, e.g. '1.32' or '1.36'.")
    known = [code for code in VERSIONS.values() if code <= 100 + int(minor)]
    return max(known, default=V1_23)


def _column(instance: PodPackingInstance, name: str) -> int:
    names = instance.resources
    return names.index(name) if name in names else names.index("pods")


def _zones(instance: PodPackingInstance) -> IntArray:
    """``(N,)`` the zone of each node, -1 without."""
    known: dict[str, int] = {}
    found = []
    for text in instance.node_specs:
        zone = json.loads(text).get("labels", {}).get(_ZONE)
        found.append(-1 if zone is None else known.setdefault(zone, len(known)))
    return np.array(found, dtype=np.int64)


def _own_spread(instance: PodPackingInstance) -> BoolArray:
    """``(C,)`` whether a pod has constraints of its own, which replace the defaults."""
    own = ["topologySpreadConstraints" in json.loads(text) for text in instance.pod_specs]
    return np.array(own, dtype=np.bool_)


def movable(instance: PodPackingInstance, world: tuple[Any, ...]) -> IntArray:
    """``(P,)`` 1 where a pod may be evicted: not protected, and no other rests on it."""
    held = np.array([rules.is_held(s, world) for s in range(len(instance.pod_specs))])
    free = (instance.protected == 0) & ~held[instance.spec_of_pod]
    return np.asarray(free, dtype=np.int64)


def pending_after_default(
    instance: PodPackingInstance, version: str = "1.32", *, seed: int = 0
) -> PodPackingInstance:
    """The cluster after the default scheduler, without preemption, has placed what it could.

    That is where the experiments of arXiv:2511.08373 hand over to a solver.
    """
    nodes = schedule(instance, version=version, seed=seed, preemption=False)
    name = f"{instance.name}-default-{version}-{seed}" if instance.name else ""
    return replace(instance, current=nodes, name=name)


@solver
def kube_default(
    instance: PodPackingInstance,
    *,
    seed: int = 0,
    version: str = "1.32",
    preemption: bool = True,
    tie: str = "random",
    percentage: int = 0,
    strategy: str = "LeastAllocated",
    spreading: bool = True,
) -> PodPackingSolution:
    """The default scheduler; see :func:`schedule` for the options."""
    options = {"version": version, "preemption": preemption, "tie": tie, "strategy": strategy}
    return _solution(instance, seed, {**options, "percentage": percentage, "spreading": spreading})


@solver
def kube_no_preemption(
    instance: PodPackingInstance,
    *,
    seed: int = 0,
    version: str = "1.32",
) -> PodPackingSolution:
    """The default scheduler without preemption."""
    return _solution(instance, seed, {"version": version, "preemption": False})


@solver
def most_allocated(
    instance: PodPackingInstance, *, seed: int = 0, version: str = "1.32", preemption: bool = True
) -> PodPackingSolution:
    """The default scheduler with the strategy MostAllocated."""
    options = {"strategy": "MostAllocated", "version": version, "preemption": preemption}
    return _solution(instance, seed, options)


@solver
def requested_to_capacity_ratio(
    instance: PodPackingInstance, *, seed: int = 0, version: str = "1.32", preemption: bool = True
) -> PodPackingSolution:
    """The default scheduler with the strategy RequestedToCapacityRatio, packing."""
    strategy = "RequestedToCapacityRatio"
    options = {"strategy": strategy, "version": version, "preemption": preemption}
    return _solution(instance, seed, options)


def _solution(
    instance: PodPackingInstance, seed: int, options: dict[str, Any]
) -> PodPackingSolution:
    return PodPackingSolution(schedule(instance, seed=seed, **options))
