"""Random clusters: the paper's, reproduced from its seeds, and heterogeneous ones."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .core import IntArray
from .pod_packing_model import PodPackingInstance, canonical

Seed = int | np.random.Generator


# The paper's generator.


def _stream(seed: int, label: str) -> random.Random:
    """A stream of the paper's generator: BLAKE2b of the seed and a label, as a seed of Python's."""
    digest = hashlib.blake2b(seed.to_bytes(16, "big"), digest_size=16)
    digest.update(b"\0" + label.encode())
    return random.Random(int.from_bytes(digest.digest(), "big"))


def generate_paper(
    num_nodes: int = 4,
    num_pods: int = 16,
    num_priorities: int = 4,
    usage: float = 0.95,
    *,
    seed: Seed,
    objective: str = "place_first",
    **fields: Any,
) -> PodPackingInstance:
    """An instance of Christensen, Giallorenzo and Mauro (arXiv:2511.08373), seed for seed.

    ReplicaSets of ``U{1..4}`` replicas, until there are ``num_pods``; each with cpu
    ``U{100..1000}`` milli, memory ``U{10^8..10^9}`` bytes and priority ``U{1..K}``. All nodes are
    equal, and so large that all pods together take the share ``usage``:
    ``max(largest pod, ceil(ceil(sum / usage) / N))``. (Their repository, file
    ``test_generator.py`` at commit 3e69aa3.)

    Args:
        num_nodes: N.
        num_pods: P.
        num_priorities: K.
        usage: Share of the capacity that all pods together request; from 2 on, in percent.
        seed: A seed of 16 bytes at most, as published, or a generator that draws one.
        objective: Name of the objective.
        **fields: Further fields of the instance, e.g. ``evict_cost``.

    Raises:
        ValueError: If a size or the usage is not positive.
    """
    if min(num_nodes, num_pods, num_priorities) < 1:
        sizes = (num_nodes, num_pods, num_priorities)
        raise ValueError(f"paper: sizes {sizes}, expected at least 1 each.")
    share = usage / 100 if usage >= 2 else float(usage)
    if not share > 0:
        raise ValueError(f"paper: usage {usage}, expected more than 0.")
    if isinstance(seed, np.random.Generator):
        seed = int(seed.integers(2**62))
    if not 0 <= seed < 2**128:
        raise ValueError(f"paper: seed {seed}, expected 0 .. 2^128 - 1.")
    replica_counts, cpu, memory, levels = (
        _stream(seed, label) for label in ("rs-sizes", "rs-cpu", "rs-mem", "base")
    )
    rows: list[tuple[int, int, int, int]] = []
    workload = 0
    while len(rows) < num_pods:
        replicas = replica_counts.randint(1, min(4, num_pods - len(rows)))
        pod = (
            cpu.randint(100, 1000),
            memory.randint(100_000_000, 1_000_000_000),
            levels.randint(1, num_priorities),
            workload,
        )
        rows += [pod] * replicas
        workload += 1
    pods = np.array(rows, dtype=np.int64)
    node = [_node_size(pods[:, k].tolist(), share, num_nodes) for k in range(2)]
    most = max(30, 3 * num_pods)
    percent = round(100 * share)
    return PodPackingInstance(
        **{
            "capacities": np.tile(np.array([*node, most]), (num_nodes, 1)),
            "requests": np.column_stack([pods[:, :2], np.ones(num_pods, dtype=np.int64)]),
            "priorities": pods[:, 2],
            "workloads": pods[:, 3],
            "batches": pods[:, 3],
            "objective": objective,
            "name": f"paper-{num_nodes}x{num_pods}x{num_priorities}x{percent}-s{seed}",
            **fields,
        }
    )


def _node_size(requests: list[int], share: float, num_nodes: int) -> int:
    return max(*requests, math.ceil(math.ceil(sum(requests) / share) / num_nodes), 1)


# Heterogeneous clusters.

#: (cpu milli, memory bytes, share) of the kinds of nodes: general, compute- and memory-heavy.
_KINDS = ((4000, 16 * 2**30, 0.5), (8000, 16 * 2**30, 0.25), (4000, 32 * 2**30, 0.25))


def mixed(
    num_nodes: int = 6,
    num_pods: int = 30,
    *,
    seed: Seed,
    num_priorities: int = 3,
    usage: float = 0.95,
    running: float = 0.0,
    constrained: bool = True,
    objective: str = "place_first",
    **fields: Any,
) -> PodPackingInstance:
    """A cluster of unequal nodes, with Kubernetes' constraints.

    Nodes are of three kinds, drawn with shares 1/2, 1/4, 1/4 and numbered over three zones; every
    fifth is tainted. Workloads have ``U{1..6}`` replicas, cpu and memory log-uniform over a factor
    of 16, scaled so that all pods together take the share ``usage`` of the scarcer resource, and a
    priority ``U{1..K} x 100``; a third of them tolerates the taint. With ``constrained``, of each
    twelve workloads two keep their replicas on different nodes, two spread hard over zones (with
    maxSkew 1), two select a kind of nodes, one needs a host port, three have a budget of one
    disruption.

    Args:
        num_nodes: N.
        num_pods: P.
        seed: Seed or generator.
        num_priorities: K.
        usage: See above.
        running: Share of the pods that run already, first fit in random order.
        constrained: Whether there are constraints besides capacity and taints.
        objective: Name of the objective.
        **fields: Further fields of the instance.
    """
    if min(num_nodes, num_pods, num_priorities) < 1 or not usage > 0:
        raise ValueError(
            f"mixed: {num_nodes} nodes, {num_pods} pods, {num_priorities} priorities, usage"
            f" {usage}, expected at least 1 each and a positive usage."
        )
    rng = np.random.default_rng(seed)
    kinds = rng.choice(len(_KINDS), size=num_nodes, p=[k[2] for k in _KINDS])
    capacities = np.array([[*_KINDS[k][:2], 110] for k in kinds], dtype=np.int64)
    node_specs = [_node_spec(j, int(k)) for j, k in enumerate(kinds)]
    sizes = _replicas(num_pods, rng)
    requests = _requests(len(sizes), sizes, capacities, usage, rng)
    specs, budgets = _workload_specs(len(sizes), set(kinds.tolist()), constrained, rng)
    workloads = np.repeat(np.arange(len(sizes)), sizes)
    priorities = 100 * rng.integers(1, num_priorities + 1, size=len(sizes))[workloads]
    pods = np.ones(num_pods, dtype=np.int64)
    stem = int(seed) if not isinstance(seed, np.random.Generator) else None
    instance = PodPackingInstance(
        **{
            "capacities": capacities,
            "requests": np.column_stack([requests[workloads], pods]),
            "priorities": priorities,
            "workloads": workloads,
            "batches": workloads,
            "pod_specs": tuple(specs),
            "spec_of_pod": workloads,
            "node_specs": tuple(node_specs),
            "budgets": tuple(budgets),
            "objective": objective,
            "name": "" if stem is None else f"mixed-{num_nodes}x{num_pods}-s{stem}",
            **fields,
        }
    )
    return _started(instance, running, rng) if running else instance


def _node_spec(node: int, kind: int) -> str:
    spec: dict[str, Any] = {
        "labels": {
            "kubernetes.io/hostname": f"node-{node}",
            "topology.kubernetes.io/zone": f"zone-{node % 3}",
            "kind": f"kind-{kind}",
        }
    }
    if node % 5 == 4:
        spec["taints"] = [{"key": "dedicated", "value": "batch", "effect": "NoSchedule"}]
    return canonical(spec)


def _replicas(num_pods: int, rng: np.random.Generator) -> IntArray:
    sizes: list[int] = []
    while sum(sizes) < num_pods:
        sizes.append(int(rng.integers(1, min(6, num_pods - sum(sizes)) + 1)))
    return np.array(sizes, dtype=np.int64)


def _requests(
    count: int, sizes: IntArray, capacities: IntArray, usage: float, rng: np.random.Generator
) -> IntArray:
    drawn = 2.0 ** rng.uniform(0, 4, size=(count, 2))
    total = (drawn * sizes[:, None]).sum(axis=0)
    available = capacities[:, :2].sum(axis=0) * usage
    scaled = np.floor(drawn * (available / total)).astype(np.int64)
    return np.asarray(np.clip(scaled, 1, capacities[:, :2].min(axis=0)), dtype=np.int64)


def _workload_specs(
    count: int, kinds: set[int], constrained: bool, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    specs, budgets = [], []
    for w in range(count):
        labels = {"app": f"app-{w}"}
        spec: dict[str, Any] = {"namespace": "default", "labels": labels}
        selector = {"matchLabels": labels}
        if rng.random() < 1 / 3:
            spec["tolerations"] = [{"key": "dedicated", "operator": "Exists"}]
        term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
        if constrained and w % 6 == 1:
            spec["podAntiAffinity"] = [term]
        if constrained and w % 6 == 3:
            spread = {**term, "topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1}
            spec["topologySpreadConstraints"] = [spread]
        if constrained and w % 6 == 5:
            spec["nodeSelector"] = {"kind": f"kind-{rng.choice(sorted(kinds))}"}
        if constrained and w % 12 == 2:
            spec["hostPorts"] = [{"protocol": "TCP", "hostPort": 8000 + w // 12 % 4}]
        if constrained and w % 4 == 0:
            name = f"pdb-{w}"
            budget = {"name": name, "namespace": "default", "selector": selector, "allowed": 1}
            budgets.append(canonical(budget))
        specs.append(canonical(spec))
    return specs, budgets


def _started(
    instance: PodPackingInstance, share: float, rng: np.random.Generator
) -> PodPackingInstance:
    """The instance with a share of its pods running, first fit in random order."""
    from .pod_packing_state import rules, start_state

    world, state = start_state(instance)
    wanted = round(min(max(share, 0.0), 1.0) * instance.num_pods)
    for i in rng.permutation(instance.num_pods)[:wanted].tolist():
        for j in rng.permutation(instance.num_nodes).tolist():
            if rules.allows(i, j, world, state):
                rules.put(i, j, True, world, state)
                break
    return replace(instance, current=state[1].copy())


def crowded(
    num_nodes: int = 6, num_pods: int = 30, *, seed: Seed, **options: Any
) -> PodPackingInstance:
    """A :func:`mixed` cluster where pods run, first fit in random order; some found no room."""
    made = mixed(num_nodes, num_pods, seed=seed, **{"usage": 1.0, "running": 1.0, **options})
    named = made.name.replace("mixed", "crowded")
    return made if "name" in options else replace(made, name=named)


GENERATORS: Mapping[str, Callable[..., PodPackingInstance]] = {
    "crowded": crowded,
    "mixed": mixed,
    "paper": generate_paper,
}


def generate(
    num_nodes: int = 6, num_pods: int = 30, *, seed: Seed, **options: Any
) -> PodPackingInstance:
    """A cluster of unequal nodes; see :func:`mixed`."""
    return mixed(num_nodes, num_pods, seed=seed, **options)
