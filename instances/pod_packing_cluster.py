"""From Kubernetes objects, as ``kubectl get -o json`` prints them, to an instance.

Understood are Node, Pod, PodDisruptionBudget, PriorityClass and, in manifests, the workloads that
stand for pods: Deployment, ReplicaSet, StatefulSet, Job, ReplicationController. Kept is what
scheduling needs, nothing else. What a pod asks for and this reader does not understand is counted
in the instance's ``notes``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .pod_packing_model import PodPackingInstance, canonical
from .pod_packing_quantity import milli, units

Plain = dict[str, Any]

#: Priorities of the built-in classes (``pkg/apis/scheduling``).
_BUILT_IN = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}

#: Kinds that stand for pods, with the field that holds their number.
_WORKLOADS = {
    "Deployment": "replicas",
    "ReplicaSet": "replicas",
    "StatefulSet": "replicas",
    "ReplicationController": "replicas",
    "Job": "parallelism",
}

#: Kinds that are read, or of which everything that matters stands in the pods.
_KNOWN_KINDS = {
    *("Node", "Pod", "PodDisruptionBudget", "PriorityClass", "Service", "DaemonSet"),
    *("EndpointSlice", "Endpoints", "CronJob", "Namespace", "ConfigMap", "ServiceAccount"),
    *_WORKLOADS,
}

#: What kube-scheduler's scores count for a container that requests none.
_NONZERO = {"cpu": 100, "memory": 200 * 1024 * 1024}

#: Pod fields that do not matter for where a pod may run, or that are read.
_UNDERSTOOD = {
    *("containers", "initContainers", "overhead", "resources", "nodeName", "nodeSelector"),
    *("affinity", "tolerations", "topologySpreadConstraints", "priority", "priorityClassName"),
    *("preemptionPolicy", "schedulingGates", "schedulerName", "volumes", "restartPolicy"),
    *("terminationGracePeriodSeconds", "activeDeadlineSeconds", "dnsPolicy", "dnsConfig"),
    *("serviceAccountName", "serviceAccount", "automountServiceAccountToken", "hostNetwork"),
    *("hostPID", "hostIPC", "hostUsers", "shareProcessNamespace", "securityContext"),
    *("imagePullSecrets", "hostname", "subdomain", "setHostnameAsFQDN", "hostAliases"),
    *("ephemeralContainers", "readinessGates", "enableServiceLinks", "os", "hostnameOverride"),
}

#: Fields of a spread constraint that newer releases have, and that are not understood.
_SPREAD_FIELDS = {"maxSkew", "topologyKey", "whenUnsatisfiable", "labelSelector"}


@dataclass
class _Notes:
    """What was not understood: how often, and where first."""

    first: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, where: str) -> None:
        self.first.setdefault(what, where)
        self.counts[what] += 1

    def texts(self) -> tuple[str, ...]:
        return tuple(
            f"{what}: {self.counts[what]} object(s), first {where}"
            for what, where in sorted(self.first.items())
        )


@dataclass(frozen=True)
class _Pod:
    """A pod on its way into the arrays."""

    name: str
    spec: Plain
    requests: Mapping[str, int]
    scoring: tuple[int, int]
    priority: int
    node: str | None
    workload: str | None
    protected: bool
    started: str


def from_objects(
    objects: Sequence[Any],
    name: str = "",
    *,
    protect_namespaces: Sequence[str] = ("kube-system",),
    leave_out: bool = False,
    **fields: Any,
) -> PodPackingInstance:
    """The cluster that Kubernetes objects describe.

    Pods that ended are no part of it; gated ones and, with ``leave_out``, pending ones that are
    larger than every node are left out and noted; terminating ones, DaemonSets' pods, mirror pods,
    pods without a controller, critical ones and those that must not be evicted are protected.

    Args:
        objects: Plain objects; lists of kind ``List`` are opened.
        name: Name of the instance.
        protect_namespaces: Namespaces whose running pods stay where they are.
        leave_out: See above; without it such a pod is an error.
        **fields: Further fields of the instance, e.g. ``objective``.

    Raises:
        ValueError: Naming the object that is not understood or contradicts another.
    """
    notes = _Notes()
    if isinstance(protect_namespaces, str):
        protect_namespaces = tuple(protect_namespaces.split(","))
    by_kind: dict[str, list[Plain]] = {}
    for item in _flat(objects):
        kind = item["kind"]
        by_kind.setdefault(kind, []).append(item)
        if kind not in _KNOWN_KINDS:
            notes.add(f"kind {kind} ignored", _name_of(item))
    if not by_kind.get("Node"):
        raise ValueError("no object of kind Node, expected at least one.")
    classes = _priority_classes(by_kind.get("PriorityClass", []))
    expanded = _expanded(by_kind, notes)
    found = [
        pod
        for item in [*by_kind.get("Pod", []), *expanded]
        if (pod := _pod(item, classes, tuple(protect_namespaces), notes)) is not None
    ]
    if not found:
        raise ValueError("no pod that runs or waits, expected at least one.")
    return _instance(by_kind, found, notes, name, leave_out, fields)


def _flat(objects: Sequence[Any]) -> list[Plain]:
    flat: list[Plain] = []
    stack = list(reversed(objects))
    while stack:
        item = stack.pop()
        if item is None:
            continue
        if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
            raise ValueError(f"{str(item)[:60]!r}, expected a Kubernetes object with a kind.")
        if isinstance(item.get("items"), list):
            kind = item["kind"].removesuffix("List")
            entries = item["items"]
            stack += reversed(
                [{"kind": kind, **e} if isinstance(e, dict) and kind else e for e in entries]
            )
            continue
        _part(item, "metadata", item["kind"])
        if not isinstance(item.get("metadata", {}).get("name"), str):
            raise ValueError(f"{item['kind']}: no metadata.name, expected a text.")
        flat.append(item)
    return flat


def _name_of(item: Plain) -> str:
    metadata = item["metadata"]
    space = metadata.get("namespace")
    return f"{space}/{metadata['name']}" if space else str(metadata["name"])


def _part(item: Plain, key: str, place: str) -> Plain:
    """A sub-object, empty if it is missing."""
    part = item.get(key)
    if part is None:
        return {}
    if not isinstance(part, dict):
        raise ValueError(f"{place}: {key} is {type(part).__name__}, expected an object.")
    return part


def _items(item: Plain, key: str, place: str) -> list[Plain]:
    """A list of sub-objects, empty if it is missing."""
    part = item.get(key)
    if part is None:
        return []
    if not isinstance(part, list) or not all(isinstance(e, dict) for e in part):
        raise ValueError(f"{place}: {key} is {type(part).__name__}, expected a list of objects.")
    return part


def _priority_classes(items: Sequence[Plain]) -> dict[str, tuple[int, str]]:
    """Name to value and preemption policy; the global default under the empty name."""
    classes = {name: (value, "") for name, value in _BUILT_IN.items()}
    for item in items:
        place = f"PriorityClass {item['metadata']['name']}"
        value = _integer(item.get("value"), f"{place}: value")
        policy = str(item.get("preemptionPolicy") or "")
        classes[item["metadata"]["name"]] = (value, policy)
        if item.get("globalDefault"):
            classes[""] = (value, policy)
    return classes


def _integer(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{place} {value!r}, expected an integer.")
    return value


def _expanded(by_kind: Mapping[str, list[Plain]], notes: _Notes) -> list[Plain]:
    """The pods that workloads without a uid (manifests, not dumps) stand for."""
    pods: list[Plain] = []
    for kind, count_field in _WORKLOADS.items():
        for item in by_kind.get(kind, []):
            metadata = item["metadata"]
            if metadata.get("uid"):
                continue
            place = f"{kind} {_name_of(item)}"
            spec = _part(item, "spec", place)
            count = spec.get(count_field)
            count = 1 if count is None else _integer(count, f"{place}: {count_field}")
            if not 0 <= count <= 100_000:
                raise ValueError(f"{place}: {count} {count_field}, expected 0..100000.")
            template = _part(spec, "template", place)
            labels = _part(_part(template, "metadata", place), "labels", place)
            owner = {"kind": kind, "name": metadata["name"], "controller": True}
            space = metadata.get("namespace", "default")
            pods += [
                {
                    "kind": "Pod",
                    "metadata": {
                        "name": f"{metadata['name']}-{index}",
                        "namespace": space,
                        "labels": labels,
                        "ownerReferences": [owner],
                    },
                    "spec": _part(template, "spec", place),
                }
                for index in range(count)
            ]
    for item in by_kind.get("DaemonSet", []):
        if not item["metadata"].get("uid"):
            notes.add("DaemonSet manifest not expanded", _name_of(item))
    return pods


# Pods.


def _pod(
    item: Plain, classes: Mapping[str, tuple[int, str]], protect: tuple[str, ...], notes: _Notes
) -> _Pod | None:
    metadata, name = item["metadata"], _name_of(item)
    if "/" not in name:
        name = f"default/{name}"
    place = f"pod {name}"
    spec, status = _part(item, "spec", place), _part(item, "status", place)
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    node = spec.get("nodeName") or None
    if node is None and spec.get("schedulingGates"):
        notes.add("scheduling gate: pod left out", name)
        return None
    if node is None and metadata.get("deletionTimestamp"):
        return None
    priority, policy = _priority(spec, classes, place)
    owner = _owner(metadata, name, place)
    requests = _requests(spec, place)
    kept = _constraints(metadata, spec, policy, name, notes)
    return _Pod(
        name=name,
        spec=kept,
        requests=requests,
        scoring=_scoring(spec, place),
        priority=priority,
        node=node,
        workload=owner,
        protected=node is not None and _is_protected(metadata, priority, owner, protect, name),
        started=str(status.get("startTime") or metadata.get("creationTimestamp") or ""),
    )


def _priority(spec: Plain, classes: Mapping[str, tuple[int, str]], place: str) -> tuple[int, str]:
    given = spec.get("priorityClassName") or ""
    policy = str(spec.get("preemptionPolicy") or "")
    if spec.get("priority") is not None:
        return _integer(spec["priority"], f"{place}: priority"), policy
    if given not in classes:
        if given:
            raise ValueError(f"{place}: priority class {given!r}, expected one of the file.")
        return 0, policy
    value, of_class = classes[given]
    return value, policy or of_class


def _owner(metadata: Plain, name: str, place: str) -> str | None:
    for reference in _items(metadata, "ownerReferences", place):
        if reference.get("controller"):
            space = name.partition("/")[0]
            return f"{reference.get('kind')} {space}/{reference.get('name')}"
    return None


def _is_protected(
    metadata: Plain, priority: int, owner: str | None, protect: tuple[str, ...], name: str
) -> bool:
    notes = metadata.get("annotations") or {}
    return (
        bool(metadata.get("deletionTimestamp"))
        or owner is None
        or owner.startswith(("DaemonSet ", "Node "))
        or "kubernetes.io/config.mirror" in notes
        or notes.get("cluster-autoscaler.kubernetes.io/safe-to-evict") == "false"
        or priority >= _BUILT_IN["system-cluster-critical"]
        or name.partition("/")[0] in protect
    )


def _amounts(part: Plain, place: str) -> dict[str, int]:
    """Requests as integers: cpu in milli, the others in their units."""
    amounts = {}
    for resource, value in part.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{place}: {resource} {value!r}, expected a quantity.")
        try:
            amount = milli(str(value)) if resource == "cpu" else units(str(value))
        except ValueError as error:
            raise ValueError(f"{place}: {resource}: {error}") from None
        if amount < 0:
            raise ValueError(f"{place}: {resource} {value}, expected >= 0.")
        amounts[resource] = amount
    return amounts


def _container_requests(container: Plain, place: str) -> dict[str, int]:
    """A container's requests; a limit without a request is one."""
    place = f"{place}, container {container.get('name', '?')}"
    resources = _part(container, "resources", place)
    limits = _amounts(_part(resources, "limits", place), place)
    return {**limits, **_amounts(_part(resources, "requests", place), place)}


def _added(*parts: Mapping[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for resource, amount in part.items():
            total[resource] = total.get(resource, 0) + amount
    return total


def _requests(spec: Plain, place: str) -> dict[str, int]:
    """``max(containers and sidecars, each init container with the sidecars before it)``, overhead.

    Pod-level resources replace the sum (``component-helpers/resource/helpers.go``).
    """
    total = _added(*(_container_requests(c, place) for c in _items(spec, "containers", place)))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in _items(spec, "initContainers", place):
        own = _container_requests(container, place)
        if container.get("restartPolicy") == "Always":
            sidecars = _added(sidecars, own)
            own = sidecars
        else:
            own = _added(sidecars, own)
        peak = {r: max(peak.get(r, 0), own.get(r, 0)) for r in {*peak, *own}}
    total = _added(total, sidecars)
    total = {r: max(total.get(r, 0), peak.get(r, 0)) for r in {*total, *peak}}
    pod_level = _part(_part(spec, "resources", place), "requests", place)
    total |= _amounts(pod_level, place)
    return _added(total, _amounts(_part(spec, "overhead", place), place))


def _scoring(spec: Plain, place: str) -> tuple[int, int]:
    """Cpu and memory as scores count them: a container that requests none counts a default."""
    found = []
    for resource in ("cpu", "memory"):
        total = 0
        for container in _items(spec, "containers", place):
            given = _container_requests(container, place)
            total += given.get(resource, _NONZERO[resource])
        peak = 0
        for container in _items(spec, "initContainers", place):
            given = _container_requests(container, place)
            peak = max(peak, given.get(resource, _NONZERO[resource]))
        overhead = _amounts(_part(spec, "overhead", place), place).get(resource, 0)
        found.append(max(total, peak) + overhead)
    return found[0], found[1]


_HARD = "requiredDuringSchedulingIgnoredDuringExecution"
_SOFT = "preferredDuringSchedulingIgnoredDuringExecution"


def _constraints(metadata: Plain, spec: Plain, policy: str, name: str, notes: _Notes) -> Plain:
    """What ``pod_packing_constraints.py`` reads; the rest is noted."""
    place = f"pod {name}"
    for key in spec:
        if key not in _UNDERSTOOD:
            notes.add(f"pod field {key} ignored", name)
    kept: Plain = {
        "namespace": name.partition("/")[0],
        "labels": _texts(_part(metadata, "labels", place), f"{place}: labels"),
        "tolerations": _items(spec, "tolerations", place),
        "nodeSelector": _texts(_part(spec, "nodeSelector", place), f"{place}: nodeSelector"),
    }
    affinity = _part(spec, "affinity", place)
    if node_affinity := _part(affinity, "nodeAffinity", place):
        kept["nodeAffinity"] = node_affinity
    for key in ("podAffinity", "podAntiAffinity"):
        part = _part(affinity, key, place)
        kept[key] = [_pod_term(t, name, notes) for t in _items(part, _HARD, place)]
        if part.get(_SOFT):
            notes.add(f"preferred {key} not scored", name)
    kept["topologySpreadConstraints"] = _spreads(spec, place, name, notes)
    kept["hostPorts"] = _host_ports(spec, place)
    kept["images"] = sorted(
        {str(c["image"]) for c in _items(spec, "containers", place) if "image" in c}
    )
    kept["containers"] = len(_items(spec, "containers", place))
    if policy == "Never":
        kept["preemptionPolicy"] = policy
    for volume in _items(spec, "volumes", place):
        for key in ("persistentVolumeClaim", "hostPath", "csi", "ephemeral"):
            if key in volume:
                notes.add(f"volume of kind {key} not checked", name)
    if spec.get("schedulerName") not in (None, "", "default-scheduler"):
        notes.add(f"scheduler {spec['schedulerName']} taken for the default one", name)
    return {key: value for key, value in kept.items() if value}


def _texts(part: Plain, place: str) -> dict[str, str]:
    for key, value in part.items():
        if not isinstance(value, str):
            raise ValueError(f"{place}: {key} is {value!r}, expected a text.")
    return part


def _pod_term(term: Plain, name: str, notes: _Notes) -> Plain:
    for key in sorted(set(term) - {"labelSelector", "topologyKey", "namespaces"}):
        notes.add(f"pod affinity field {key} ignored", name)
    if not isinstance(term.get("topologyKey"), str):
        raise ValueError(f"pod {name}: topologyKey {term.get('topologyKey')!r}, expected a text.")
    return {k: term[k] for k in ("labelSelector", "topologyKey", "namespaces") if term.get(k)}


def _spreads(spec: Plain, place: str, name: str, notes: _Notes) -> list[Plain]:
    found = []
    for constraint in _items(spec, "topologySpreadConstraints", place):
        if constraint.get("whenUnsatisfiable") == "ScheduleAnyway":
            notes.add("soft topologySpreadConstraints not scored", name)
            continue
        for key in sorted(set(constraint) - _SPREAD_FIELDS):
            notes.add(f"topology spread field {key} ignored", name)
        if not isinstance(constraint.get("topologyKey"), str):
            raise ValueError(f"{place}: topologySpreadConstraints without a topologyKey.")
        skew = _integer(constraint.get("maxSkew"), f"{place}: maxSkew")
        kept = {k: constraint[k] for k in ("topologyKey", "labelSelector") if constraint.get(k)}
        found.append({**kept, "maxSkew": skew})
    return found


def _host_ports(spec: Plain, place: str) -> list[Plain]:
    found = []
    for container in _items(spec, "containers", place):
        for port in _items(container, "ports", place):
            number = port.get("hostPort")
            if spec.get("hostNetwork") and not number:
                number = port.get("containerPort")
            if number:
                kept = {"protocol": port.get("protocol") or "TCP", "hostPort": number}
                _integer(number, f"{place}: hostPort")
                found.append({**kept, **({"hostIP": port["hostIP"]} if port.get("hostIP") else {})})
    return found


# The arrays.


def _instance(
    by_kind: Mapping[str, list[Plain]],
    pods: list[_Pod],
    notes: _Notes,
    name: str,
    leave_out: bool,
    fields: Mapping[str, Any],
) -> PodPackingInstance:
    hosts = by_kind["Node"]
    node_names = [str(n["metadata"]["name"]) for n in hosts]
    index = {n: j for j, n in enumerate(node_names)}
    allocatable = [_allocatable(n) for n in hosts]
    extra = sorted({r for p in pods for r, a in p.requests.items() if a} - {"cpu", "memory"})
    resources = ("cpu", "memory", "pods", *(r for r in extra if r != "pods"))
    capacities = [[a.get(r, 0) for r in resources] for a in allocatable]
    if leave_out:
        pods = _small_enough(pods, resources, capacities, notes)
    for p in pods:
        if p.node is not None and p.node not in index:
            raise ValueError(f"pod {p.name}: on node {p.node!r}, which is not in the file.")
    budgets = [_budget(item) for item in by_kind.get("PodDisruptionBudget", [])]
    specs, spec_of_pod = _distinct([p.spec for p in pods], budgets)
    workloads = {w: k for k, w in enumerate(dict.fromkeys(p.workload for p in pods if p.workload))}
    started = np.argsort(np.argsort([p.started for p in pods], kind="stable"), kind="stable")
    values: Plain = {
        "capacities": np.array(capacities, dtype=object).astype(np.int64),
        "requests": np.array([_row(p.requests, resources) for p in pods], dtype=np.int64),
        "priorities": [p.priority for p in pods],
        "current": [-1 if p.node is None else index[p.node] for p in pods],
        "resources": resources,
        "workloads": [workloads.get(p.workload or "", -1) for p in pods],
        "protected": [int(p.protected) for p in pods],
        "started": started,
        "scoring": np.array([p.scoring for p in pods], dtype=np.int64),
        "pod_specs": specs,
        "spec_of_pod": spec_of_pod,
        "node_specs": [_node_spec(n, notes) for n in hosts],
        "budgets": [canonical(b) for b in budgets],
        "pod_names": [p.name for p in pods],
        "node_names": node_names,
        "workload_names": tuple(workloads),
        "name": name,
    }
    return PodPackingInstance(**{**values, "notes": notes.texts(), **fields})


def _row(requests: Mapping[str, int], resources: Sequence[str]) -> list[int]:
    return [1 if r == "pods" else requests.get(r, 0) for r in resources]


def _small_enough(
    pods: list[_Pod], resources: Sequence[str], capacities: list[list[int]], notes: _Notes
) -> list[_Pod]:
    largest = [max(column) for column in zip(*capacities, strict=True)]
    kept = []
    for p in pods:
        row = _row(p.requests, resources)
        if p.node is None and any(a > b for a, b in zip(row, largest, strict=True)):
            notes.add("larger than every node: pod left out", p.name)
        else:
            kept.append(p)
    return kept


def _allocatable(node: Plain) -> dict[str, int]:
    place = f"node {node['metadata']['name']}"
    status = _part(node, "status", place)
    given = _part(status, "allocatable", place) or _part(status, "capacity", place)
    if not given:
        raise ValueError(f"{place}: no status.allocatable, expected cpu, memory and pods.")
    return {"pods": 110, **_amounts(given, place)}


def _node_spec(node: Plain, notes: _Notes) -> str:
    name = str(node["metadata"]["name"])
    place = f"node {name}"
    spec, status = _part(node, "spec", place), _part(node, "status", place)
    kept: Plain = {
        "labels": _texts(_part(node["metadata"], "labels", place), f"{place}: labels"),
        "taints": [
            {k: t[k] for k in ("key", "value", "effect") if t.get(k)}
            for t in _items(spec, "taints", place)
        ],
    }
    if spec.get("unschedulable"):
        kept["unschedulable"] = True
    kept["images"] = {
        str(label): int(image.get("sizeBytes") or 0)
        for image in _items(status, "images", place)
        for label in image.get("names") or []
    }
    for condition in _items(status, "conditions", place):
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            notes.add("node not ready: only its taints count", name)
    return canonical({key: value for key, value in kept.items() if value})


def _budget(item: Plain) -> Plain:
    place = f"PodDisruptionBudget {_name_of(item)}"
    allowed = _part(item, "status", place).get("disruptionsAllowed", 0)
    return {
        "name": item["metadata"]["name"],
        "namespace": item["metadata"].get("namespace", "default"),
        "selector": _part(item, "spec", place).get("selector"),
        "allowed": _integer(allowed, f"{place}: disruptionsAllowed"),
    }


def _distinct(specs: list[Plain], budgets: list[Plain]) -> tuple[tuple[str, ...], list[int]]:
    """The distinct specifications, with only those labels that some selector looks at."""
    used = {key for b in budgets for key in _selector_keys(b["selector"])}
    for spec in specs:
        for kind in ("podAffinity", "podAntiAffinity", "topologySpreadConstraints"):
            for term in spec.get(kind, []):
                used.update(_selector_keys(term.get("labelSelector")))
    index: dict[str, int] = {}
    order = []
    for spec in specs:
        labels = {k: v for k, v in spec.get("labels", {}).items() if k in used}
        rest = {k: v for k, v in spec.items() if k != "labels"}
        text = canonical({**rest, "labels": labels} if labels else rest)
        order.append(index.setdefault(text, len(index)))
    return tuple(index), order


def _selector_keys(selector: Plain | None) -> set[str]:
    if not selector:
        return set()
    keys = {str(e.get("key")) for e in selector.get("matchExpressions") or []}
    return keys | set(selector.get("matchLabels") or {})
