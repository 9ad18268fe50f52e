"""A cluster without its names: what remains can be shown to others.

Kept are numbers, structure, effects, operators, and the well-known keys of topologies. Replaced,
the same by the same everywhere, are the names of pods, nodes, workloads, namespaces, budgets,
images, resources other than cpu, memory, pods and storage, and all labels, taints and their values.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from .pod_packing_model import PodPackingInstance, canonical

_KEPT_RESOURCES = re.compile(r"cpu|memory|pods|ephemeral-storage|hugepages-\w+")
_KEPT_KEYS = ("kubernetes.io/", "topology.kubernetes.io/", "node.kubernetes.io/")


def anonymise(instance: PodPackingInstance) -> PodPackingInstance:
    """The same cluster under other names; the notes are dropped."""
    names = _Names()
    nodes = tuple(names.of("node", name) for name in instance.node_names)
    return replace(
        instance,
        node_names=nodes,
        pod_names=tuple(_pair(name, "pod", names) for name in instance.pod_names),
        workload_names=tuple(_workload(name, names) for name in instance.workload_names),
        pod_specs=tuple(canonical(_mapped(json.loads(s), names)) for s in instance.pod_specs),
        node_specs=tuple(canonical(_mapped(json.loads(s), names)) for s in instance.node_specs),
        budgets=tuple(canonical(_mapped(json.loads(s), names)) for s in instance.budgets),
        resources=tuple(
            r if _KEPT_RESOURCES.fullmatch(r) else names.of("resource", r)
            for r in instance.resources
        ),
        notes=(),
        name="cluster",
    )


class _Names:
    """New names, by kind and order of appearance."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def of(self, kind: str, name: str) -> str:
        if (kind, name) not in self._known:
            count = self._counts.get(kind, 0)
            self._counts[kind] = count + 1
            self._known[kind, name] = f"{kind}-{count}"
        return self._known[kind, name]

    def key(self, name: str) -> str:
        return name if name.startswith(_KEPT_KEYS) else self.of("key", name)

    def value(self, text: str) -> str:
        """A label's value; numbers stay, since Gt and Lt compare them."""
        return text if re.fullmatch(r"-?\d+", text) else self.of("value", text)


def _pair(name: str, kind: str, names: _Names) -> str:
    space, slash, rest = name.partition("/")
    return f"{names.of('ns', space)}/{names.of(kind, rest)}" if slash else names.of(kind, space)


def _workload(name: str, names: _Names) -> str:
    kind, _, rest = name.partition(" ")
    return f"{kind} {_pair(rest, 'workload', names)}"


def _mapped(data: Any, names: _Names) -> Any:
    """A specification with its names replaced, by the field that they stand in."""
    if isinstance(data, list):
        return [_mapped(item, names) for item in data]
    if not isinstance(data, dict):
        return data
    return {key: _field(key, value, names) for key, value in data.items()}


def _field(key: str, value: Any, names: _Names) -> Any:
    if key in ("labels", "matchLabels", "nodeSelector"):
        return {names.key(k): names.value(v) for k, v in value.items()}
    if key == "matchFields":
        return [{**e, "values": [names.of("node", v) for v in e.get("values", [])]} for e in value]
    if key == "images":
        if isinstance(value, dict):
            return {names.of("image", k): v for k, v in value.items()}
        return [names.of("image", v) for v in value]
    if key in ("namespace", "name", "nodeName"):
        kind = {"namespace": "ns", "name": "budget", "nodeName": "node"}[key]
        return names.of(kind, value)
    if key == "namespaces":
        return [names.of("ns", v) for v in value]
    if key in ("key", "topologyKey"):
        return names.key(value) if value else value
    if key == "value":
        return names.value(value)
    if key == "values":
        return [names.value(v) for v in value]
    return _mapped(value, names)
