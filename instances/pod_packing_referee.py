"""The referee of pod packing: it reads the specifications by itself and shares no code.

Judged is where the pods end. A pod that stays on its node may stay whatever its filters say now
(``IgnoredDuringExecution``); a *new* pod, one that ends on a node where it does not run now, must
pass them there. Required anti-affinity and host ports concern pairs of pods on a domain or a node,
one of which is new. Hard spreading: where a new pod with the constraint ends, the selected pods of
its domain exceed those of the least filled eligible domain by at most maxSkew. Required affinity:
there is an order in which the new pods can come, each to a domain with a selected pod, or, if it
selects itself, as the first one anywhere.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .core import IntArray
from .pod_packing_model import PodPackingInstance, PodPackingSolution

Plain = dict[str, Any]


def validate(instance: PodPackingInstance, solution: PodPackingSolution) -> None:
    """Check where the pods end.

    Raises:
        ValueError: Naming the first pod or node of which a constraint is violated.
    """
    nodes = solution.nodes
    if nodes.shape != (instance.num_pods,):
        raise ValueError(f"nodes {nodes.shape}, expected {(instance.num_pods,)} (one per pod).")
    for i in np.flatnonzero((nodes < -1) | (nodes >= instance.num_nodes)):
        raise ValueError(
            f"{instance.pod_names[i]}: node {nodes[i]}, expected -1..{instance.num_nodes - 1}."
        )
    for i in np.flatnonzero((instance.protected == 1) & (nodes != instance.current)):
        raise ValueError(
            f"{instance.pod_names[i]}: protected, expected to stay on"
            f" {instance.node_names[instance.current[i]]}."
        )
    _check_capacity(instance, nodes)
    _Judge(instance, nodes).check()


def _check_capacity(instance: PodPackingInstance, nodes: IntArray) -> None:
    for k, resource in enumerate(instance.resources):
        used = [0] * instance.num_nodes
        for node, amount in zip(nodes.tolist(), instance.requests[:, k].tolist(), strict=True):
            if node >= 0:
                used[node] += amount
        for j, (amount, capacity) in enumerate(
            zip(used, instance.capacities[:, k].tolist(), strict=True)
        ):
            if amount > capacity:
                raise ValueError(
                    f"{instance.node_names[j]}: {amount} of {resource} requested,"
                    f" {capacity} allocatable."
                )


class _Judge:
    """The constraints of the new pods, from their specifications."""

    def __init__(self, instance: PodPackingInstance, nodes: IntArray) -> None:
        self.instance = instance
        self.nodes: list[int] = nodes.tolist()
        specs = [json.loads(text) for text in instance.pod_specs]
        self.pods: list[Plain] = [specs[c] for c in instance.spec_of_pod.tolist()]
        self.hosts: list[Plain] = [json.loads(text) for text in instance.node_specs]
        self.current: list[int] = instance.current.tolist()
        self.new = [n >= 0 and n != c for n, c in zip(self.nodes, self.current, strict=True)]
        self.running = [i for i, n in enumerate(self.nodes) if n >= 0]

    def check(self) -> None:
        """Raise ``ValueError`` for the first violation."""
        seen: set[tuple[int, int]] = set()
        for i in self.running:
            key = (int(self.instance.spec_of_pod[i]), self.nodes[i])
            if self.new[i] and key not in seen:
                self._check_node(i)
                seen.add(key)
        self._check_ports()
        self._check_anti_affinity()
        self._check_affinity()
        self._check_spread()

    def _fail(self, pod: int, message: str) -> None:
        node = self.instance.node_names[self.nodes[pod]]
        raise ValueError(f"{self.instance.pod_names[pod]} on {node}: {message}.")

    def _check_node(self, i: int) -> None:
        """The filters that see only the pod and its node."""
        pod, node = self.pods[i], self.hosts[self.nodes[i]]
        name, labels = self.instance.node_names[self.nodes[i]], node.get("labels", {})
        if pod.get("nodeName", name) != name:
            self._fail(i, f"bound to the node {pod['nodeName']!r}")
        for key, value in pod.get("nodeSelector", {}).items():
            if labels.get(key) != value:
                self._fail(i, f"node selector {key}={value}, the node has {labels.get(key)!r}")
        key = "requiredDuringSchedulingIgnoredDuringExecution"
        required = pod.get("nodeAffinity", {}).get(key)
        if required is not None:
            terms = required.get("nodeSelectorTerms", [])
            if not any(_term_holds(term, name, labels) for term in terms):
                self._fail(i, "no term of its required node affinity matches")
        given = pod.get("tolerations", [])
        cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "value": ""}
        if node.get("unschedulable") and not any(_forgives(t, cordon) for t in given):
            self._fail(i, "the node is unschedulable")
        for taint in node.get("taints", []):
            hard = taint.get("effect") in ("NoSchedule", "NoExecute")
            if hard and not any(_forgives(t, taint) for t in given):
                self._fail(i, f"taint {taint.get('key')} is not tolerated")

    def _check_ports(self) -> None:
        taken: dict[tuple[int, str, int], list[tuple[str, int]]] = {}
        for i in self.running:
            for port in self.pods[i].get("hostPorts", []):
                place = (self.nodes[i], port.get("protocol") or "TCP", port["hostPort"])
                address = port.get("hostIP") or "0.0.0.0"
                for other_address, other in taken.get(place, []):
                    both = address == other_address or "0.0.0.0" in (address, other_address)
                    if both and (self.new[i] or self.new[other]):
                        self._fail(i, f"host port {port['hostPort']} is taken by another pod")
                taken.setdefault(place, []).append((address, i))

    def _domain(self, node: int, key: str) -> str | None:
        found: str | None = self.hosts[node].get("labels", {}).get(key)
        return found

    def _selected(self, owner: Plain, term: Plain) -> list[int]:
        """The running pods that a term of a pod selects."""
        spaces = term.get("namespaces") or [owner.get("namespace", "")]
        selector = term.get("labelSelector")
        known: dict[int, bool] = {}
        found = []
        for i in self.running:
            c = int(self.instance.spec_of_pod[i])
            if c not in known:
                pod = self.pods[i]
                known[c] = pod.get("namespace", "") in spaces and _label_match(
                    selector, pod.get("labels", {})
                )
            if known[c]:
                found.append(i)
        return found

    def _carriers(self, field: str) -> list[tuple[Plain, list[int]]]:
        """Each distinct term of a field, with the running pods that carry it."""
        by_text: dict[str, tuple[Plain, list[int]]] = {}
        for i in self.running:
            for term in self.pods[i].get(field, []):
                text = json.dumps([self.pods[i].get("namespace", ""), term], sort_keys=True)
                by_text.setdefault(text, (term, []))[1].append(i)
        return list(by_text.values())

    def _check_anti_affinity(self) -> None:
        for term, carriers in self._carriers("podAntiAffinity"):
            selected = self._selected(self.pods[carriers[0]], term)
            by_domain: dict[str | None, list[int]] = {}
            for i in selected:
                domain = self._domain(self.nodes[i], term["topologyKey"])
                by_domain.setdefault(domain, []).append(i)
            for i in carriers:
                domain = self._domain(self.nodes[i], term["topologyKey"])
                if domain is None:
                    continue
                for other in by_domain.get(domain, []):
                    if other != i and (self.new[i] or self.new[other]):
                        pod = self.instance.pod_names[other]
                        self._fail(i, f"its anti-affinity excludes {pod} on {domain}")

    def _check_affinity(self) -> None:
        for term, carriers in self._carriers("podAffinity"):
            new = [i for i in carriers if self.new[i]]
            selected = self._selected(self.pods[carriers[0]], term)
            support = {
                self._domain(self.nodes[i], term["topologyKey"])
                for i in selected
                if i not in set(new)
            }
            key = term["topologyKey"]
            residents = any(
                not self.new[i] and self._domain(self.nodes[i], key) is not None for i in selected
            )
            chosen = set(selected)
            homes = {i: self._domain(self.nodes[i], key) for i in new}
            first = {home for i, home in homes.items() if i in chosen}  # where one selects itself
            alone: set[str | None] = set()
            for i, domain in homes.items():
                if domain is None:
                    self._fail(i, f"required affinity, the node has no {key}")
                if domain not in support:
                    alone.add(domain)
                    if domain not in first or residents or len(alone) > 1:
                        self._fail(i, f"no pod that its affinity requires on {domain}")

    def _check_spread(self) -> None:
        for term, carriers in self._carriers("topologySpreadConstraints"):
            key, counts = term["topologyKey"], dict[str | None, int]()
            for i in self._selected(self.pods[carriers[0]], term):
                domain = self._domain(self.nodes[i], key)
                counts[domain] = counts.get(domain, 0) + 1
            for i in carriers:
                if not self.new[i]:
                    continue
                domain = self._domain(self.nodes[i], key)
                if domain is None:
                    self._fail(i, f"hard spread, the node has no {key}")
                least = min(counts.get(d, 0) for d in self._eligible(self.pods[i], key))
                skew = counts.get(domain, 0) - least
                if skew > term["maxSkew"]:
                    self._fail(i, f"skew {skew} over {key}, expected <= {term['maxSkew']}")

    def _eligible(self, pod: Plain, key: str) -> set[str]:
        """The domains of the nodes that the pod's node affinity admits."""
        found = set()
        for j, host in enumerate(self.hosts):
            labels = host.get("labels", {})
            if key not in labels or any(
                labels.get(k) != v for k, v in pod.get("nodeSelector", {}).items()
            ):
                continue
            required = pod.get("nodeAffinity", {}).get(
                "requiredDuringSchedulingIgnoredDuringExecution"
            )
            name = self.instance.node_names[j]
            if pod.get("nodeName", name) == name and (
                required is None
                or any(_term_holds(t, name, labels) for t in required.get("nodeSelectorTerms", []))
            ):
                found.add(labels[key])
        return found


def _term_holds(term: Plain, name: str, labels: Plain) -> bool:
    wanted = [(e, labels) for e in term.get("matchExpressions") or []]
    wanted += [(e, {"metadata.name": name}) for e in term.get("matchFields") or []]
    return bool(wanted) and all(_expression_holds(e, values) for e, values in wanted)


def _expression_holds(expression: Plain, labels: Plain) -> bool:
    present, value = expression["key"] in labels, labels.get(expression["key"])
    values = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return present and value in values
        case "NotIn":
            return not present or value not in values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
        case "Gt" | "Lt" as operator if present and len(values) == 1:
            try:
                distance = int(str(value)) - int(str(values[0]))
            except ValueError:
                return False
            return distance > 0 if operator == "Gt" else distance < 0
    return False


def _label_match(selector: Plain | None, labels: Plain) -> bool:
    if selector is None:
        return False
    equal = all(labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items())
    rest = selector.get("matchExpressions") or []
    return equal and all(_expression_holds(e, labels) for e in rest)


def _forgives(toleration: Plain, taint: Plain) -> bool:
    key, effect = toleration.get("key") or "", toleration.get("effect") or ""
    exists = toleration.get("operator") == "Exists"
    if effect not in ("", taint.get("effect")):
        return False
    if key == "":
        return exists
    same_value = (toleration.get("value") or "") == (taint.get("value") or "")
    return key == taint.get("key") and (exists or same_value)


# The objective.


def placed_per_tier(instance: PodPackingInstance, nodes: IntArray) -> list[int]:
    """Number of pods that end on a node, by priority, the highest first."""
    placed = dict.fromkeys(sorted(set(instance.priorities.tolist()), reverse=True), 0)
    for node, priority in zip(nodes.tolist(), instance.priorities.tolist(), strict=True):
        placed[priority] += node >= 0
    return list(placed.values())


def disruption_per_tier(instance: PodPackingInstance, nodes: IntArray) -> list[int]:
    """Cost of the running pods that are moved or evicted, by priority, the highest first."""
    cost = dict.fromkeys(sorted(set(instance.priorities.tolist()), reverse=True), 0)
    for node, now, priority in zip(
        nodes.tolist(), instance.current.tolist(), instance.priorities.tolist(), strict=True
    ):
        if now >= 0 and node != now:
            cost[priority] += instance.evict_cost if node < 0 else instance.move_cost
    return list(cost.values())


def objective(instance: PodPackingInstance, solution: PodPackingSolution) -> int | tuple[int, ...]:
    """The value of a placement, to be minimised; see ``pod_packing.py`` for the three forms.

    Raises:
        ValueError: If the placement violates a constraint.
    """
    validate(instance, solution)
    return value_of(instance, solution.nodes)


def value_of(instance: PodPackingInstance, nodes: IntArray) -> int | tuple[int, ...]:
    """The objective of where the pods end, without a check."""
    placed = placed_per_tier(instance, nodes)
    disruption = disruption_per_tier(instance, nodes)
    if instance.objective == "place_first":
        return (*(-y for y in placed), *disruption)
    if instance.objective == "tiered":
        return tuple(v for y, d in zip(placed, disruption, strict=True) for v in (-y, d))
    counts = placed_per_tier(instance, np.zeros(instance.num_pods, dtype=np.int64))
    pending = sum(
        w * (n - y) for w, n, y in zip(instance.tier_weights, counts, placed, strict=True)
    )
    return pending + sum(disruption)
