"""What simulators and solvers need to know of a cluster, as arrays: the static filters and more.

The constraints stand in the instance in Kubernetes' own terms. A pod's specification may hold
``namespace``, ``labels``, ``nodeName``, ``nodeSelector``, ``nodeAffinity``, ``tolerations``,
``podAffinity`` and ``podAntiAffinity`` (lists of required terms), ``topologySpreadConstraints``
(hard ones), ``hostPorts`` (``protocol``, ``hostIP``, ``hostPort``), ``preemptionPolicy``,
``images`` and ``containers``; a node's ``labels``, ``taints``, ``unschedulable``, ``images``.

Host ports become resources, one piece each per node. Required terms and hard spreading become
*terms*: which pods carry them, which pods they select, and the domain of each node. The referee
uses none of this: it reads the specifications by itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .core import BoolArray, IntArray
from .pod_packing_model import PodPackingInstance, canonical

#: Kinds of terms.
ANTI, AFFINITY, SPREAD = range(3)

Spec = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Constraints:
    """An instance's constraints as arrays; C counts its distinct pod specifications.

    Attributes:
        capacities: ``(N, R + H)`` capacities, with a column per host port in use.
        requests: ``(P, R + H)`` requests.
        allowed: ``(C, N)`` whether a pod may be placed on a node: nodeName, ``unschedulable``,
            taints, node selector and required node affinity.
        preferred: ``(C, N)`` sum of the weights of the matching preferred node affinity terms.
        disliked: ``(C, N)`` number of PreferNoSchedule taints that are not tolerated.
        images: ``(C, N)`` score of the images on the node, 0 to 100.
        kinds: ``(T,)`` ``ANTI``, ``AFFINITY`` or ``SPREAD``.
        limits: ``(T,)`` maxSkew of a spread.
        domains: ``(T, N)`` domain of the node, -1 if it lacks the label.
        num_domains: ``(T,)`` number of domains.
        eligible: ``(T, N)`` whether the node's domain counts for the minimum of a spread.
        carry: ``(C, T)`` whether a pod has the term.
        match: ``(C, T)`` whether the term selects the pod.
        never_preempts: ``(C,)`` preemptionPolicy Never.
        in_budget: ``(C, M)`` whether a PodDisruptionBudget covers the pod.
        budgets: ``(M,)`` disruptions that each budget allows.
    """

    capacities: IntArray
    requests: IntArray
    allowed: BoolArray
    preferred: IntArray
    disliked: IntArray
    images: IntArray
    kinds: IntArray
    limits: IntArray
    domains: IntArray
    num_domains: IntArray
    eligible: BoolArray
    carry: BoolArray
    match: BoolArray
    never_preempts: BoolArray
    in_budget: BoolArray
    budgets: IntArray

    @property
    def num_terms(self) -> int:
        """Number of terms, T."""
        return len(self.kinds)


def constraints(instance: PodPackingInstance) -> Constraints:
    """The constraints of an instance; computed once."""
    return _kept(instance)


@lru_cache(maxsize=64)
def _kept(instance: PodPackingInstance) -> Constraints:
    pods = [json.loads(text) for text in instance.pod_specs]
    nodes = [
        {"name": name, **json.loads(text)}
        for name, text in zip(instance.node_names, instance.node_specs, strict=True)
    ]
    capacities, requests = _with_ports(instance, pods)
    affine = _per_static(pods, nodes, _affine, ("nodeName", "nodeSelector", "nodeAffinity"))
    tolerated = _per_static(pods, nodes, _tolerated, ("tolerations",))
    return Constraints(
        capacities=capacities,
        requests=requests,
        allowed=(affine * tolerated).astype(np.bool_),
        preferred=_per_static(pods, nodes, _preference, ("nodeAffinity",)),
        disliked=_per_static(pods, nodes, _dislike, ("tolerations",)),
        images=_images(pods, nodes),
        never_preempts=np.array([p.get("preemptionPolicy") == "Never" for p in pods], np.bool_),
        **_terms(pods, nodes, affine.astype(np.bool_)),
        **_budgets([json.loads(text) for text in instance.budgets], pods),
    )


# Matching, as in k8s.io/apimachinery/pkg/labels and component-helpers.


def selects(selector: Spec | None, labels: Spec) -> bool:
    """Whether a label selector selects; an empty one selects all, none (``None``) nothing."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(fulfils(e, labels) for e in selector.get("matchExpressions") or [])


def fulfils(expression: Spec, labels: Spec) -> bool:
    """Whether labels fulfil one expression: In, NotIn, Exists, DoesNotExist, Gt, Lt."""
    key, operator = expression.get("key", ""), expression.get("operator", "")
    values, value = expression.get("values") or [], labels.get(key)
    if operator == "In":
        return value in values if value is not None else False
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    try:
        found, bound = int(str(value)), int(str(values[0]))
    except (ValueError, IndexError):
        return False
    return found > bound if operator == "Gt" else found < bound


def tolerates(tolerations: list[Spec], taint: Spec) -> bool:
    """Whether one of the tolerations tolerates the taint."""
    for t in tolerations:
        if t.get("effect") and t["effect"] != taint.get("effect"):
            continue
        if t.get("key") and t["key"] != taint.get("key"):
            continue
        if t.get("operator") == "Exists":
            return True
        if t.get("key") and (t.get("value") or "") == (taint.get("value") or ""):
            return True
    return False


def _matches_term(term: Spec, node: Spec) -> bool:
    """Whether a node matches a node selector term; an empty one matches none."""
    labels, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not labels and not fields:
        return False
    return all(fulfils(e, node.get("labels") or {}) for e in labels) and all(
        fulfils(e, {"metadata.name": node["name"]}) for e in fields
    )


def _affine(pod: Spec, node: Spec) -> int:
    """Whether the pod's node name, node selector and required node affinity allow the node."""
    if pod.get("nodeName") and pod["nodeName"] != node["name"]:
        return 0
    labels = node.get("labels") or {}
    if any(labels.get(key) != value for key, value in (pod.get("nodeSelector") or {}).items()):
        return 0
    affinity = pod.get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return 1
    return int(any(_matches_term(t, node) for t in required.get("nodeSelectorTerms") or []))


_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def _tolerated(pod: Spec, node: Spec) -> int:
    """Whether the pod tolerates the node's taints, and that it is cordoned."""
    tolerations = pod.get("tolerations") or []
    if node.get("unschedulable") and not tolerates(tolerations, _CORDON):
        return 0
    hard = [t for t in node.get("taints") or [] if t.get("effect") in ("NoSchedule", "NoExecute")]
    return int(all(tolerates(tolerations, t) for t in hard))


def _preference(pod: Spec, node: Spec) -> int:
    affinity = pod.get("nodeAffinity") or {}
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return sum(
        int(p.get("weight", 0)) for p in preferred if _matches_term(p.get("preference") or {}, node)
    )


def _dislike(pod: Spec, node: Spec) -> int:
    """Untolerated PreferNoSchedule taints; only tolerations of that effect, or of all, count."""
    tolerations = [
        t
        for t in pod.get("tolerations") or []
        if not t.get("effect") or t["effect"] == "PreferNoSchedule"
    ]
    soft = [t for t in node.get("taints") or [] if t.get("effect") == "PreferNoSchedule"]
    return sum(not tolerates(tolerations, t) for t in soft)


def _per_static(pods: list[Spec], nodes: list[Spec], judge: Any, keys: tuple[str, ...]) -> IntArray:
    """``(C, N)`` of a function of pod and node, evaluated once per distinct part of the pods."""
    table, rows = np.zeros((len(pods), len(nodes)), dtype=np.int64), {}
    for c, pod in enumerate(pods):
        part = {key: pod[key] for key in keys if pod.get(key)}
        text = canonical(part)
        if text not in rows:
            rows[text] = [judge(part, node) for node in nodes]
        table[c] = rows[text]
    return table


# Images.

_MIB = 1024 * 1024


def image_score(total: int, num_containers: int) -> int:
    """ImageLocality: bytes of images that are there, from 23 MiB up to 1000 MiB per container."""
    low, high = 23 * _MIB, 1000 * _MIB * max(num_containers, 1)
    return 100 * (min(max(total, low), high) - low) // (high - low)


def _images(pods: list[Spec], nodes: list[Spec]) -> IntArray:
    """``(C, N)``: an image counts with its size times the share of the nodes that have it."""
    held = [node.get("images") or {} for node in nodes]
    score = np.zeros((len(pods), len(nodes)), dtype=np.int64)
    if not any(held):
        return score
    spread: dict[str, int] = {}
    for images in held:
        for name in images:
            spread[name] = spread.get(name, 0) + 1
    for c, pod in enumerate(pods):
        for j, images in enumerate(held):
            total = sum(
                int(images[name] * (spread[name] / len(nodes)))
                for name in pod.get("images") or []
                if name in images
            )
            score[c, j] = image_score(total, int(pod.get("containers", 1)))
    return score


# Host ports as resources.


def _with_ports(instance: PodPackingInstance, pods: list[Spec]) -> tuple[IntArray, IntArray]:
    """Capacities and requests with one column per (protocol, port, address) in use.

    A pod with the wildcard address takes a piece of every address of its port.
    """
    used: dict[tuple[str, int], set[str]] = {}
    for pod in pods:
        for protocol, port, address in _ports(pod):
            used.setdefault((protocol, port), {_ANY}).add(address)
    columns = [(key, address) for key in sorted(used) for address in sorted(used[key])]
    if not columns:
        return instance.capacities, instance.requests
    taken = np.zeros((len(pods), len(columns)), dtype=np.int64)
    for c, pod in enumerate(pods):
        for protocol, port, address in _ports(pod):
            for k, (key, other) in enumerate(columns):
                if key == (protocol, port) and address in (_ANY, other):
                    taken[c, k] = 1
    ones = np.ones((instance.num_nodes, len(columns)), dtype=np.int64)
    requests = taken[instance.spec_of_pod].copy()
    _check_shared(instance, requests)
    return np.hstack([instance.capacities, ones]), np.hstack([instance.requests, requests])


_ANY = "0.0.0.0"


def _ports(pod: Spec) -> list[tuple[str, int, str]]:
    return [
        (p.get("protocol") or "TCP", int(p["hostPort"]), p.get("hostIP") or _ANY)
        for p in pod.get("hostPorts") or []
    ]


def _check_shared(instance: PodPackingInstance, requests: IntArray) -> None:
    used = np.zeros((instance.num_nodes, requests.shape[1]), dtype=np.int64)
    running = instance.running
    np.add.at(used, instance.current[running], requests[running])
    for j, _ in np.argwhere(used > 1):
        raise ValueError(f"{instance.node_names[j]}: two pods on it use one host port.")


# Terms.


def _terms(pods: list[Spec], nodes: list[Spec], affine: BoolArray) -> dict[str, Any]:
    """The required terms and hard spreads of all specifications, equal ones joined."""
    found: dict[str, list[int]] = {}
    for c, pod in enumerate(pods):
        for kind, term in _carried(pod):
            term = {"kind": kind, "namespace": pod.get("namespace", ""), **term}
            if kind == SPREAD:
                term["eligible"] = np.flatnonzero(affine[c]).tolist()
            found.setdefault(canonical(term), []).append(c)
    terms, n = [json.loads(text) for text in found], len(nodes)
    shape = (len(pods), len(terms))
    carry, match = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    domains = np.full((len(terms), n), -1, dtype=np.int64)
    eligible = np.ones((len(terms), n), np.bool_)
    sizes = np.zeros(len(terms), dtype=np.int64)
    for t, (term, carriers) in enumerate(zip(terms, found.values(), strict=True)):
        carry[carriers, t] = True
        match[:, t] = [term_selects(term, pod) for pod in pods]
        names: dict[str, int] = {}
        for j, node in enumerate(nodes):
            value = (node.get("labels") or {}).get(term["topologyKey"])
            if value is not None:
                domains[t, j] = names.setdefault(value, len(names))
        sizes[t] = len(names)
        if term["kind"] == SPREAD:
            eligible[t] = np.isin(np.arange(n), term["eligible"]) & (domains[t] >= 0)
    return {
        "kinds": np.array([t["kind"] for t in terms], dtype=np.int64),
        "limits": np.array([t.get("maxSkew", 0) for t in terms], dtype=np.int64),
        "domains": domains,
        "num_domains": sizes,
        "eligible": eligible,
        "carry": carry,
        "match": match,
    }


def _carried(pod: Spec) -> list[tuple[int, Spec]]:
    terms = [(ANTI, t) for t in pod.get("podAntiAffinity") or []]
    terms += [(AFFINITY, t) for t in pod.get("podAffinity") or []]
    return terms + [(SPREAD, t) for t in pod.get("topologySpreadConstraints") or []]


def term_selects(term: Spec, pod: Spec) -> bool:
    """Whether a term selects a pod: by its namespaces, else its own one, and its selector."""
    namespaces = term.get("namespaces") or [term["namespace"]]
    if pod.get("namespace", "") not in namespaces:
        return False
    return selects(term.get("labelSelector"), pod.get("labels") or {})


def _budgets(budgets: list[Spec], pods: list[Spec]) -> dict[str, Any]:
    """PodDisruptionBudgets select by namespace and label selector."""
    covered = [
        [
            pod.get("namespace", "") == budget.get("namespace", "")
            and selects(budget.get("selector"), pod.get("labels") or {})
            for budget in budgets
        ]
        for pod in pods
    ]
    return {
        "in_budget": np.array(covered, np.bool_).reshape(len(pods), len(budgets)),
        "budgets": np.array([b.get("allowed", 0) for b in budgets], dtype=np.int64),
    }
