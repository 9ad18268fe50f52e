"""Clusters in files: the public snapshot JSON, CSV, JSON of our own; the public snapshots.

Formats that :func:`read` tells apart:

- ``.json`` with ``cluster_list``: a snapshot of ``bytedance/DRL-based-VM-Rescheduling``. Free cores
  and memory are computed from the list of VMs: what the file states of free memory is stale. A VM
  is on the nodes in its own ``numa`` list, whatever its type says. Which sizes count, and how much,
  are the types with a ``weight``. An entry of ``deployment_set``, empty in the public files, is
  read as ``{"level": "host" or "rack", "instances": [...]}``.
- other ``.json``: the fields of :class:`VMReschedulingInstance`;
- ``.csv``: two files, ``NAME.pms.csv`` and ``NAME.vms.csv``; :func:`read` takes either. Columns of
  the PMs: ``pm_id, cpu0, cpu1, mem_mb0, mem_mb1`` and, if wanted, ``cluster, rack, status``; of the
  VMs: ``vm_id, pm_id, numa`` (``0``, ``1`` or ``01``), ``cpu, mem_mb`` (of all nodes together) and,
  if wanted, ``migratable``. Others are ignored.

The public snapshots are ``medium`` (279 PMs, 2,089 VMs) and ``large`` (1,176 PMs, 4,546 VMs);
``medium_shuffle_00`` to ``medium_shuffle_19`` are the former with its VMs in other places.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import cache as data_cache
from .core import to_json_text
from .text import read_json, read_text, write_text
from .vm_rescheduling_generators import FIELDS, shuffle
from .vm_rescheduling_model import HOST, RACK, VMReschedulingInstance

_FILES = {"medium": "medium_279pm_2089vm.json", "large": "large_1176pm_4546vm.json"}
_SHUFFLES = 20
_PM_COLUMNS = ("pm_id", "cpu0", "cpu1", "mem_mb0", "mem_mb1")
_VM_COLUMNS = ("vm_id", "pm_id", "numa", "cpu", "mem_mb")


def read(path: Path | str, **fields: Any) -> VMReschedulingInstance:
    """The cluster in a file; see the module for the formats.

    Args:
        path: The file; its stem becomes the name of the instance.
        **fields: Further fields of the instance: ``mnl``, ``sizes``, ``cluster_local``,
            ``memory_budget``, ``goal``, ``delay``, ``churn``, ``scenario``, ``name``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a cluster; the message names the file, and the PM or VM.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        instance = _read_csv(path)
    else:
        data = read_json(path)
        if isinstance(data, Mapping) and "cluster_list" in data:
            instance = _snapshot(data, path.name, path.stem)
        else:
            instance = VMReschedulingInstance.from_json(data, path.name)
    return _with(instance, fields)


def write(instance: VMReschedulingInstance, path: Path | str) -> None:
    """Write a cluster as JSON.

    Raises:
        ValueError: If the name does not end in ``.json``.
    """
    if Path(path).suffix.lower() != ".json":
        raise ValueError(f"{Path(path).name}: expected a .json name.")
    write_text(path, to_json_text(instance))


def _with(instance: VMReschedulingInstance, fields: dict[str, Any]) -> VMReschedulingInstance:
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise ValueError(
            f"unknown option {unknown[0]!r} for vm_rescheduling, expected some of:"
            f" {', '.join(FIELDS)}."
        )
    return replace(instance, **fields) if fields else instance


# The snapshot JSON.


class _Reader:
    """The arrays of a snapshot, PM by PM and VM by VM."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.pms: dict[str, int] = {}
        self.vms: dict[str, int] = {}
        self.arrays: dict[str, list[Any]] = {
            "pm_cores": [],
            "pm_memory": [],
            "pm_active": [],
            "pm_cluster": [],
            "pm_rack": [],
            "vm_cores": [],
            "vm_memory": [],
            "vm_pm": [],
            "vm_node": [],
            "vm_movable": [],
            "set_level": [],
            "set_members": [],
        }

    def refuse(self, what: str) -> ValueError:
        return ValueError(f"{self.place}: {what}")

    def pm(self, name: str, capacity: list[Any], cluster: int, rack: Any, status: str) -> None:
        if name in self.pms:
            raise self.refuse(f"PM {name}: twice, expected each PM once.")
        self.pms[name] = len(self.pms)
        numbers = [self.number(value, f"PM {name}") for value in capacity]
        self.arrays["pm_cores"].append(numbers[:2])
        self.arrays["pm_memory"].append(numbers[2:])
        self.arrays["pm_active"].append(int(status.upper() == "ACTIVE"))
        self.arrays["pm_cluster"].append(cluster)
        self.arrays["pm_rack"].append(self.number(rack, f"PM {name}, rack"))

    def vm(
        self, name: str, pm: str, nodes: list[int], cores: Any, memory: Any, movable: bool
    ) -> None:
        if name in self.vms:
            raise self.refuse(f"VM {name}: twice, expected each VM once.")
        if pm not in self.pms:
            raise self.refuse(f"VM {name}: on PM {pm!r}, which is not in the file.")
        if sorted(nodes) not in ([0], [1], [0, 1]):
            raise self.refuse(f"VM {name}: on nodes {nodes}, expected [0], [1] or [0, 1].")
        self.vms[name] = len(self.vms)
        self.arrays["vm_pm"].append(self.pms[pm])
        self.arrays["vm_node"].append(nodes[0] if len(nodes) == 1 else -1)
        self.arrays["vm_cores"].append(self.number(cores, f"VM {name}"))
        self.arrays["vm_memory"].append(self.number(memory, f"VM {name}"))
        self.arrays["vm_movable"].append(int(movable))

    def number(self, value: Any, what: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self.refuse(f"{what}: {value!r}, expected an integer.")
        return int(value)

    def instance(self, name: str, **fields: Any) -> VMReschedulingInstance:
        arrays = {key: np.array(value) if value else None for key, value in self.arrays.items()}
        for key, ndim in (("vm_cores", 1), ("vm_memory", 1), ("vm_pm", 1), ("vm_node", 1)):
            if arrays[key] is None:
                arrays[key] = np.zeros((0,) * ndim, dtype=np.int64)
        if not self.pms:
            raise self.refuse("no PM, expected at least one.")
        try:
            return VMReschedulingInstance(
                **arrays,  # type: ignore[arg-type]
                name=name,
                pm_names=tuple(self.pms),
                vm_names=tuple(self.vms),
                **fields,
            )
        except ValueError as error:
            raise self.refuse(str(error)) from None


def _snapshot(data: Mapping[str, Any], place: str, name: str) -> VMReschedulingInstance:
    reader = _Reader(place)
    try:
        clusters = data["cluster_list"]
        for number, cluster in enumerate(clusters):
            _add_pms(reader, cluster, number)
        for cluster in clusters:
            for vm in cluster["vm_instance"]:
                _add_vm(reader, vm)
        for cluster in clusters:
            for one in (cluster.get("other_requirement") or {}).get("deployment_set") or ():
                _add_set(reader, one)
        fields = _sizes_of(data.get("vm_type_list") or (), reader)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise reader.refuse(f"{what}, expected a snapshot (see cluster_list).") from None
    return reader.instance(name, **fields)


def _add_pms(reader: _Reader, cluster: Mapping[str, Any], number: int) -> None:
    for pm in cluster["host_info"]:
        nodes = sorted(pm["numa"], key=lambda node: node["node"])
        if [node["node"] for node in nodes] != [0, 1]:
            found = [node["node"] for node in nodes]
            raise reader.refuse(f"PM {pm['node_id']}: nodes {found}, expected [0, 1].")
        capacity = [node["total_cpu"] for node in nodes]
        capacity += [node["memory_huge_total_mb"] for node in nodes]
        reader.pm(pm["node_id"], capacity, number, pm["rack_id"], str(pm["status"]))


def _add_vm(reader: _Reader, vm: Mapping[str, Any]) -> None:
    name, parts = vm["instance_id"], vm["numa"]
    demands = {(part["cpu"], part["mem_mb"]) for part in parts}
    if len(demands) != 1:
        raise reader.refuse(f"VM {name}: demands {sorted(demands)}, expected one for all nodes.")
    ((cores, memory),) = demands
    nodes = [part["node"] for part in parts]
    reader.vm(name, vm["host_id"], nodes, cores, memory, bool(vm["allow_migration"]))


def _add_set(reader: _Reader, one: Mapping[str, Any]) -> None:
    levels = {"host": HOST, "rack": RACK}
    if one["level"] not in levels:
        raise reader.refuse(f"deployment set at level {one['level']!r}, expected host or rack.")
    for vm in one["instances"]:
        if vm not in reader.vms:
            raise reader.refuse(f"deployment set with VM {vm!r}, which is not in the file.")
        number = len(reader.arrays["set_level"])
        reader.arrays["set_members"].append((number, reader.vms[vm]))
    reader.arrays["set_level"].append(levels[one["level"]])


def _sizes_of(types: Any, reader: _Reader) -> dict[str, Any]:
    """The sizes that have a weight; weights with fractions in thousandths."""
    weighted = [kind for kind in types if kind["weight"] > 0]
    if not weighted:
        return {}
    whole = all(kind["weight"] == kind["weight"] // 1 for kind in weighted)
    sizes = [
        (
            reader.number(kind["request_cpu"], f"type {kind['vm_type']}"),
            int(kind["numa"] == 2),
            int(kind["weight"]) if whole else max(1, round(1000 * kind["weight"])),
        )
        for kind in weighted
    ]
    return {"sizes": np.array(sizes)}


# CSV.


def _read_csv(path: Path) -> VMReschedulingInstance:
    match = re.fullmatch(r"(.+)\.(pms|vms)\.csv", path.name, re.IGNORECASE)
    if match is None:
        raise ValueError(f"{path.name}: expected the name NAME.pms.csv or NAME.vms.csv.")
    pms_path, vms_path = (path.with_name(f"{match[1]}.{kind}.csv") for kind in ("pms", "vms"))
    reader = _Reader(pms_path.name)
    clusters: dict[str, int] = {}
    for line, row in _rows(pms_path, _PM_COLUMNS):
        capacity = [_integer(row[key], f"{line}, {key}") for key in _PM_COLUMNS[1:]]
        cluster = clusters.setdefault(row.get("cluster", ""), len(clusters))
        rack = _integer(row["rack"], f"{line}, rack") if row.get("rack") else len(reader.pms)
        reader.pm(row["pm_id"], capacity, cluster, rack, row.get("status") or "ACTIVE")
    reader.place = vms_path.name
    for line, row in _rows(vms_path, _VM_COLUMNS):
        nodes = {"0": [0], "1": [1], "01": [0, 1]}.get(row["numa"])
        if nodes is None:
            raise ValueError(f"{line}, VM {row['vm_id']}: numa {row['numa']!r}, expected 0, 1, 01.")
        cores, memory = (_integer(row[key], f"{line}, {key}") for key in ("cpu", "mem_mb"))
        if cores % len(nodes) or memory % len(nodes):
            raise ValueError(
                f"{line}, VM {row['vm_id']}: {cores} cores and {memory} MB, expected even numbers,"
                " half on each node."
            )
        movable = _integer(row.get("migratable") or "1", f"{line}, migratable")
        share = (cores // len(nodes), memory // len(nodes))
        reader.vm(row["vm_id"], row["pm_id"], nodes, *share, movable != 0)
    return reader.instance(match[1])


def _rows(path: Path, needed: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    """The place and the columns of each line."""
    lines = csv.reader(io.StringIO(read_text(path)))
    rows = [[word.strip() for word in row] for row in lines]
    header = [word.lower() for word in rows[0]]
    for column in needed:
        if column not in header:
            raise ValueError(f"{path.name}: no column {column!r}, expected {', '.join(needed)}.")
    found = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        if len(row) != len(header):
            raise ValueError(
                f"{path.name}, line {number}: {len(row)} values, expected {len(header)}."
            )
        found.append((f"{path.name}, line {number}", dict(zip(header, row, strict=True))))
    return found


def _integer(word: str, place: str) -> int:
    if re.fullmatch(r"[-+]?\d{1,18}", word) is None:
        raise ValueError(f"{place}: {word[:40]!r}, expected an integer.")
    return int(word)


# The public snapshots.


def names() -> tuple[str, ...]:
    """The public snapshots, and shuffles of the smaller one."""
    return (*_FILES, *(f"medium_shuffle_{seed:02d}" for seed in range(_SHUFFLES)))


def load(name: str, **fields: Any) -> VMReschedulingInstance:
    """The public snapshot of that name; ``medium_shuffle_07`` is ``shuffle(medium, seed=7)``.

    Args:
        name: One of :func:`names`.
        **fields: Further fields of the instance, as for :func:`read`.

    Raises:
        ValueError: If there is no such snapshot, or it is not in the cache and cannot be fetched.
    """
    if name not in names():
        raise ValueError(f"unknown vm_rescheduling snapshot {name!r}.")
    stem, _, seed = name.partition("_shuffle_")
    (entry,) = (e for e in data_cache.entries("vm_rescheduling") if e.file.endswith(_FILES[stem]))
    instance = _public(data_cache.path(entry, normalise), stem)
    if seed:
        instance = shuffle(instance, seed=int(seed))
    return _with(instance, {"name": name, **fields})


@cache
def _public(path: Path, name: str) -> VMReschedulingInstance:
    return replace(read(path), name=name)


def normalise(text: str, place: str) -> str:
    """A snapshot as it was published, which is JSON.

    Raises:
        ValueError: If it is not.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}, line {error.lineno}: {error.msg}, expected JSON.") from None
    return text
