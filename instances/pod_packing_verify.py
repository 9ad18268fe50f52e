"""The check of a plan: it is replayed stage by stage, and the referee judges every stage."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .pod_packing_model import PodPackingInstance, PodPackingSolution
from .pod_packing_referee import _label_match, objective, placed_per_tier, validate

Plain = dict[str, Any]


def verify(instance: PodPackingInstance, made: Plain) -> PodPackingSolution:
    """Replay a plan and check every stage: filters, capacities, budgets, and what it promises.

    Args:
        instance: The cluster as it is.
        made: The plan.

    Returns:
        Where the pods end.

    Raises:
        ValueError: Naming the stage and the first thing that is wrong.
    """
    if not isinstance(made, dict) or made.get("kind") != "PlacementPlan":
        raise ValueError("plan: not of kind PlacementPlan.")
    digest = made.get("cluster", {}).get("digest")
    if digest != instance.digest:
        raise ValueError(
            f"plan: made for another cluster or another state of it (digest {str(digest)[:12]},"
            f" expected {instance.digest[:12]})."
        )
    replay = _Replay(instance)
    for number, stage in enumerate(_list(made, "stages", "plan"), start=1):
        place = f"stage {number}"
        replay.play(stage, place)
    solution = PodPackingSolution(np.array(replay.nodes))
    value = objective(instance, solution)
    promised = made.get("value")
    if promised != (list(value) if isinstance(value, tuple) else value):
        raise ValueError(f"plan: promises {promised}, leads to {value}.")
    running = made.get("after", {}).get("running")
    if running != placed_per_tier(instance, solution.nodes):
        raise ValueError(f"plan: promises {running} running pods by priority, which differ.")
    return solution


def _list(data: Any, key: str, place: str) -> list[Plain]:
    found = data.get(key) if isinstance(data, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{place}: {key} {type(found).__name__}, expected a list of objects.")
    return found


class _Replay:
    def __init__(self, instance: PodPackingInstance) -> None:
        self.instance = instance
        self.nodes: list[int] = instance.current.tolist()
        self.pod = {name: i for i, name in enumerate(instance.pod_names)}
        self.node = {name: j for j, name in enumerate(instance.node_names)}
        specs = [json.loads(text) for text in instance.pod_specs]
        self.budgets = [
            (budget, self._covered(budget, specs)) for budget in map(json.loads, instance.budgets)
        ]

    def _covered(self, budget: Plain, specs: list[Plain]) -> list[int]:
        """The running pods of a budget, which the plan may take from it."""
        kinds = [
            spec.get("namespace", "") == budget.get("namespace", "")
            and _label_match(budget.get("selector"), spec.get("labels", {}))
            for spec in specs
        ]
        return [
            i
            for i, c in enumerate(self.instance.spec_of_pod.tolist())
            if kinds[c] and self.instance.current[i] >= 0
        ]

    def play(self, stage: Plain, place: str) -> None:
        """Evict, then place, then let the referee look."""
        for item in _list(stage, "evictions", place):
            i = self._pod_of(item, place)
            if self.nodes[i] < 0 or self.nodes[i] != self.instance.current[i]:
                self._fail(place, i, "evicted where it does not run")
            self.nodes[i] = -1
        self._check_budgets(place)
        for item in _list(stage, "bindings", place):
            self._bind(self._pod_of(item, place), item.get("target", {}).get("name"), place)
        for item in _list(stage, "quotas", place):
            self._fill(item, place)
        try:
            validate(self.instance, PodPackingSolution(np.array(self.nodes)))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None

    def _fail(self, place: str, pod: int, message: str) -> None:
        raise ValueError(f"{place}: {self.instance.pod_names[pod]}: {message}.")

    def _pod_of(self, item: Plain, place: str) -> int:
        metadata = item.get("metadata") or {}
        name = f"{metadata.get('namespace')}/{metadata.get('name')}"
        if not metadata.get("namespace"):
            name = str(metadata.get("name"))
        if name not in self.pod:
            raise ValueError(f"{place}: pod {name!r}, which is not in the cluster.")
        return self.pod[name]

    def _bind(self, i: int, node: Any, place: str) -> None:
        if node not in self.node:
            self._fail(place, i, f"to the node {node!r}, which is not in the cluster")
        if self.nodes[i] >= 0:
            self._fail(place, i, "placed while it runs")
        self.nodes[i] = self.node[node]

    def _fill(self, quota: Plain, place: str) -> None:
        names = quota.get("standInFor")
        if not isinstance(names, list) or len(names) != quota.get("count"):
            raise ValueError(f"{place}: quota of {quota.get('count')} for {names!r}.")
        for name in names:
            if name not in self.pod:
                raise ValueError(f"{place}: pod {name!r}, which is not in the cluster.")
            i = self.pod[name]
            w = int(self.instance.workloads[i])
            if w < 0 or self.instance.workload_names[w] != quota.get("workload"):
                self._fail(place, i, f"not of the workload {quota.get('workload')!r}")
            self._bind(i, quota.get("node"), place)

    def _check_budgets(self, place: str) -> None:
        for budget, covered in self.budgets:
            out = sum(self.nodes[i] < 0 for i in covered)
            if out > budget.get("allowed", 0):
                raise ValueError(
                    f"{place}: {out} pods of the budget {budget.get('name')} are out at once,"
                    f" {budget.get('allowed', 0)} allowed."
                )
