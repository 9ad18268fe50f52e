"""From a placement to a staged plan that Kubernetes' own API can carry out, and its check.

A plan has stages. In each, pods are evicted first and then others are placed: pending pods by name
(``bindings``), and replicas of a workload, which come back under new names, by number (``quotas``:
so many of the workload to the node). A *move* is an eviction and a placement. Stages are such that
a moved pod finds its place free before it leaves; where moves wait for each other in a circle, one
pod is evicted a stage before it is placed.

A plan holds the digest of the cluster that it was made for, and is refused for any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .core import IntArray
from .pod_packing_constraints import constraints
from .pod_packing_model import PodPackingInstance, PodPackingSolution
from .pod_packing_referee import disruption_per_tier, objective, placed_per_tier, validate
from .pod_packing_state import rules, start_state
from .pod_packing_verify import verify
from .text import read_json, read_text, write_text

__all__ = ["plan", "plan_table", "read_plan", "verify", "write_plan"]

Plain = dict[str, Any]

_VERSION = "gapgym/v1"


def plan(
    instance: PodPackingInstance,
    solution: PodPackingSolution,
    certificate: Mapping[str, Any] | None = None,
) -> Plain:
    """The stages that lead from where the pods run to where a placement has them.

    Args:
        instance: The cluster.
        solution: A placement that the referee accepts.
        certificate: What the solver says about its quality: status, bound.

    Raises:
        ValueError: If the placement is infeasible, or a budget does not let it come about.
    """
    validate(instance, solution)
    target = solution.nodes
    stages = [_stage(instance, target, *changes) for changes in _Stager(instance, target).run()]
    value = objective(instance, solution)
    return {
        "apiVersion": _VERSION,
        "kind": "PlacementPlan",
        "cluster": {"name": instance.name, "digest": instance.digest},
        "objective": instance.objective,
        "priorities": instance.tiers.tolist(),
        "before": _figures(instance, instance.current),
        "after": _figures(instance, solution.nodes),
        "value": list(value) if isinstance(value, tuple) else value,
        "certificate": dict(certificate or {}),
        "notUnderstood": list(instance.notes),
        "stages": stages,
    }


def _figures(instance: PodPackingInstance, nodes: IntArray) -> Plain:
    now = instance.current
    return {
        "running": placed_per_tier(instance, nodes),
        "pending": int(np.count_nonzero(nodes < 0)),
        "disruption": disruption_per_tier(instance, nodes),
        "evicted": int(np.count_nonzero((now >= 0) & (nodes < 0))),
        "moved": int(np.count_nonzero((now >= 0) & (nodes >= 0) & (nodes != now))),
    }


class _Stager:
    """Which pods leave and which come, stage by stage."""

    def __init__(self, instance: PodPackingInstance, target: IntArray) -> None:
        self.instance, self.target = instance, target
        self.world, self.state = start_state(instance)
        current = instance.current
        movers = np.flatnonzero((current >= 0) & (target != current))
        self.leaving = set(movers.tolist())
        self.coming = set(np.flatnonzero((target >= 0) & (target != current)).tolist())
        c = constraints(instance)
        self.covered = c.in_budget[instance.spec_of_pod]
        self.left = c.budgets.copy()
        self.out: set[int] = set()  # disrupted and not yet placed again

    def run(self) -> list[tuple[list[int], list[int]]]:
        """The stages, as evicted and placed pods."""
        stages = []
        while self.leaving or self.coming:
            evicted, placed = self._next()
            if not evicted and not placed:
                evicted, placed = self._cut()
            stages.append((sorted(evicted), sorted(placed)))
        return stages

    def _next(self) -> tuple[list[int], list[int]]:
        """All that are to end pending, and all moves whose places are free before the stage."""
        ending = [i for i in sorted(self.leaving) if self.target[i] < 0]
        evicted = [i for i in ending if self._evict(i)]
        placed: list[int] = []
        held: list[int] = []
        for i in sorted(self.coming, key=lambda i: (int(self.instance.tier_of_pod[i]), i)):
            if not rules.allows(i, int(self.target[i]), self.world, self.state):
                continue
            if i in self.leaving:
                if not self._evict(i):
                    continue
                self._hold(i, -1)  # what it leaves is free from the next stage on
                held.append(i)
                evicted.append(i)
            self._place(i)
            placed.append(i)
        for i in held:
            self._hold(i, 1)
        for i in placed:
            if i in self.out:  # it runs again
                self.left[self.covered[i]] += 1
                self.out.discard(i)
        return evicted, placed

    def _hold(self, i: int, sign: int) -> None:
        free, requests = self.state[0], self.world[0]
        free[int(self.instance.current[i])] += sign * requests[i]

    def _may_go(self, i: int) -> bool:
        return bool((self.left[self.covered[i]] > 0).all())

    def _evict(self, i: int) -> bool:
        if not self._may_go(i):
            return False
        self.left[self.covered[i]] -= 1
        rules.take(i, False, self.world, self.state)
        self.leaving.discard(i)
        if self.target[i] >= 0:
            self.out.add(i)
        return True

    def _place(self, i: int) -> None:
        rules.put(i, int(self.target[i]), True, self.world, self.state)
        self.coming.discard(i)

    def _cut(self) -> tuple[list[int], list[int]]:
        """Evict one pod before its place is free: the least important one that may go."""
        for i in sorted(self.leaving, key=lambda i: (-int(self.instance.tier_of_pod[i]), i)):
            if self._evict(i):
                return [i], []
        stuck = sorted(self.leaving or self.coming)
        name = self.instance.pod_names[stuck[0]]
        reason = "its disruption budget is used up" if self.leaving else "its place does not free"
        raise ValueError(f"plan: {name} cannot get where it should be: {reason}.")


def _stage(
    instance: PodPackingInstance, target: IntArray, evicted: list[int], placed: list[int]
) -> Plain:
    bindings: list[Plain] = []
    quotas: dict[tuple[int, int], list[int]] = {}
    for i in placed:
        node, workload = int(target[i]), int(instance.workloads[i])
        if instance.current[i] < 0 or workload < 0:
            bindings.append(_binding(instance, i, node))
        else:
            quotas.setdefault((workload, node), []).append(i)
    return {
        "evictions": [_eviction(instance, i) for i in evicted],
        "bindings": bindings,
        "quotas": [
            {
                "workload": instance.workload_names[workload],
                "node": instance.node_names[node],
                "count": len(pods),
                "standInFor": [instance.pod_names[i] for i in pods],
            }
            for (workload, node), pods in quotas.items()
        ],
    }


def _eviction(instance: PodPackingInstance, pod: int) -> Plain:
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": _metadata(instance, pod),
        "from": instance.node_names[instance.current[pod]],
    }


def _binding(instance: PodPackingInstance, pod: int, node: int) -> Plain:
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": _metadata(instance, pod),
        "target": {"apiVersion": "v1", "kind": "Node", "name": instance.node_names[node]},
    }


def _metadata(instance: PodPackingInstance, pod: int) -> Plain:
    space, _, name = instance.pod_names[pod].rpartition("/")
    return {"name": name, "namespace": space}


def plan_table(instance: PodPackingInstance, solution: PodPackingSolution) -> list[list[str]]:
    """Before and after by priority, for a reader: a head line, a line per tier, one of totals."""
    before = placed_per_tier(instance, instance.current)
    after = placed_per_tier(instance, solution.nodes)
    now, then = instance.current, solution.nodes
    rows = [["priority", "pods", "running before", "running after", "moved", "evicted"]]
    for k in range(instance.num_tiers):
        members = (instance.tier_of_pod == k) & (now >= 0)
        moved = int(np.count_nonzero(members & (then >= 0) & (then != now)))
        evicted = int(np.count_nonzero(members & (then < 0)))
        figures = (instance.pods_per_tier[k], before[k], after[k], moved, evicted)
        rows.append([str(instance.tiers[k]), *(str(int(f)) for f in figures)])
    totals = [sum(int(row[c]) for row in rows[1:]) for c in range(1, 6)]
    rows.append(["all", *(str(t) for t in totals)])
    return rows


def write_plan(made: Plain, path: Path | str) -> None:
    """Write a plan as JSON or YAML, as the ending of the name says.

    Raises:
        ValueError: If it is another ending.
    """
    path = Path(path)
    if path.suffix == ".json":
        write_text(path, json.dumps(made, indent=1) + "\n")
    elif path.suffix in (".yaml", ".yml"):
        import yaml

        write_text(path, yaml.safe_dump(made, sort_keys=False))
    else:
        raise ValueError(f"{path.name}: ending {path.suffix!r}, expected .yaml, .yml or .json.")


def read_plan(path: Path | str) -> Plain:
    """A plan that :func:`write_plan` wrote.

    Raises:
        ValueError: If the file holds none.
    """
    from .pod_packing_files import load_yaml

    path = Path(path)
    try:
        if path.suffix in (".yaml", ".yml"):
            documents = load_yaml(read_text(path), path.name)
        else:
            documents = [read_json(path)]
    except RecursionError:
        raise ValueError(f"{path.name}: nested too deeply, expected a plan.") from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ValueError(f"{path.name}: expected one plan.")
    found: Plain = documents[0]
    return found
