"""Reading and writing clusters, and the public benchmarks.

A file is one of

- a dump of ``kubectl get nodes,pods,pdb,rs,deploy,sts,svc,priorityclasses -A -o json``;
- manifests in YAML, several in a file or in the files of a folder;
- an instance that ``write`` wrote (JSON with ``"problem": "pod_packing"``).

Benchmarks are the instances of arXiv:2511.08373, ``paper_<nodes>x<pods>x<priorities>x<usage in
percent>_<00-99>``, made from the published seeds, and slices of the trace of Weng et al.
(USENIX ATC 2023), ``openb_<nodes>_<0-9>``. Both need files in the cache folder.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import cache as data_cache
from .core import Reference, to_json_text
from .pod_packing_anonymous import anonymise
from .pod_packing_cluster import from_objects
from .pod_packing_generators import generate_paper
from .pod_packing_model import PodPackingInstance, canonical
from .text import read_json, read_text, write_text

_YAML = (".yaml", ".yml")
_FIELDS = ("objective", "evict_cost", "move_cost", "weights", "name")


def read(path: Path | str, *, anonymous: bool = False, **options: Any) -> PodPackingInstance:
    """The cluster in a file or in a folder of manifests; see the module.

    Args:
        path: The file or folder; its stem becomes the name of the instance.
        anonymous: Whether to replace all names and labels; see :func:`anonymise`.
        **options: ``protect_namespaces``, ``leave_out`` (see ``from_objects``), and fields of the
            instance: ``objective``, ``evict_cost``, ``move_cost``, ``weights``, ``name``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not understood; the message names the file and the object.
    """
    path = Path(path)
    known = (*_FIELDS, "protect_namespaces", "leave_out")
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(
            f"unknown option {unknown[0]!r} for pod_packing, expected some of:"
            f" {', '.join((*known, 'anonymous'))}."
        )
    if isinstance(options.get("weights"), list):
        options["weights"] = tuple(options["weights"])
    found = _read(path, options)
    return anonymise(found) if anonymous else found


def _read(path: Path, options: dict[str, Any]) -> PodPackingInstance:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (*_YAML, ".json"))
        if not files:
            raise ValueError(f"{path}: no .yaml, .yml or .json file in this folder.")
        objects = [item for file in files for item in _objects(file)]
    else:
        objects = _objects(path)
    if len(objects) == 1 and isinstance(objects[0], dict) and "problem" in objects[0]:
        instance = PodPackingInstance.from_json(objects[0], path.name)
        fields = {key: value for key, value in options.items() if key in _FIELDS}
        return replace(instance, **fields) if fields else instance
    try:
        return from_objects(objects, **{"name": path.stem, **options})
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _objects(path: Path) -> list[Any]:
    try:
        if path.suffix in _YAML:
            return load_yaml(read_text(path), path.name)
        return [read_json(path)]
    except RecursionError:
        raise ValueError(f"{path.name}: nested too deeply, expected Kubernetes objects.") from None


def load_yaml(text: str, place: str) -> list[Any]:
    """The documents of a YAML text, plain data only; an alias, which can explode, is refused.

    Raises:
        ValueError: If the text is not such YAML; the message names the line.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
                found = "an alias" if depth <= _DEEPEST else "nested too deeply"
                mark = event.start_mark
                line = f", line {mark.line + 1}" if mark is not None else ""
                raise ValueError(f"{place}{line}: {found}, expected plain YAML.")
        return list(yaml.load_all(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"{place}{line}: {problem}, expected YAML.") from None


#: Kubernetes objects are nested some ten levels deep.
_DEEPEST = 100


def write(instance: PodPackingInstance, path: Path | str) -> None:
    """Write an instance as JSON.

    Raises:
        ValueError: If the name has another ending.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise ValueError(f"{path.name}: ending {path.suffix!r}, expected .json.")
    write_text(path, to_json_text(instance))


def normalise(text: str, place: str) -> str:
    """A public file's text with one kind of line ends."""
    return "\n".join(text.splitlines()) + "\n"


# The public benchmarks.

#: (nodes, pods per node, priorities, usages in percent) of the paper's table.
_PAPER = [
    (n, n * per_node, k, u)
    for k in (1, 2, 4)
    for per_node in (4, 8)
    for n in (4, 8, 16, 32)
    for u in (90, 95, 100, 105)
    if (n, per_node, u) != (32, 8, 90)
]
_PAPER_COUNT = 100
_OPENB_NODES, _OPENB_COUNT = (16, 64, 256), 10
_NAME = re.compile(r"paper_(\d+)x(\d+)x(\d+)x(\d+)_(\d\d)|openb_(\d+)_(\d)")

#: Sets of benchmarks by name.
SETS: dict[str, tuple[str, ...]] = {
    f"paper{k}": tuple(
        f"paper_{n}x{p}x{kk}x{u}_{i:02d}"
        for n, p, kk, u in _PAPER
        if kk == k
        for i in range(_PAPER_COUNT)
    )
    for k in (1, 2, 4)
}


@cache
def names() -> tuple[str, ...]:
    """The benchmarks; the files that they need have to be in the cache folder."""
    paper = (f"paper_{n}x{p}x{k}x{u}" for n, p, k, u in _PAPER)
    openb = (f"openb_{n}_{i}" for n in _OPENB_NODES for i in range(_OPENB_COUNT))
    return (*(f"{stem}_{i:02d}" for stem in paper for i in range(_PAPER_COUNT)), *openb)


def load(name: str, **fields: Any) -> PodPackingInstance:
    """The benchmark instance of that name.

    Args:
        name: One of :func:`names`.
        **fields: Further fields of the instance: ``objective``, ``evict_cost``, ...

    Raises:
        ValueError: If there is no such benchmark, or its file is not in the cache folder.
    """
    match = _NAME.fullmatch(name)
    if match is None or name not in names():
        raise ValueError(f"unknown pod_packing benchmark {name!r}.")
    if unknown := sorted(set(fields) - set(_FIELDS)):
        listed = ", ".join(_FIELDS)
        raise ValueError(
            f"unknown option {unknown[0]!r} for pod_packing, expected some of: {listed}."
        )
    if match[6]:
        return _openb(int(match[6]), int(match[7]), **{"name": name, **fields})
    n, p, k, u, index = (int(match[group]) for group in range(1, 6))
    seed = paper_seeds(n, p, k, u)[index]
    return generate_paper(n, p, k, u / 100, seed=seed, **{"name": name, **fields})


def paper_seeds(num_nodes: int, num_pods: int, num_priorities: int, usage: int) -> list[int]:
    """The 100 published seeds of a combination; ``usage`` in percent.

    Raises:
        ValueError: If the file with the seeds is not in the cache folder.
    """
    table = _seeds(_cached("paper_seeds.json"))
    key = f"nodes{num_nodes}_pods{num_pods}_prio{num_priorities}_util{usage:03d}"
    return table[key if usage < 100 else "seeds_100"]


@cache
def _seeds(path: Path) -> dict[str, list[int]]:
    table: dict[str, list[int]] = json.loads(read_text(path))
    return table


def _cached(file: str) -> Path:
    path = data_cache.folder() / "pod_packing" / file
    if not path.is_file():
        raise ValueError(
            f"{file}: not in {path.parent}, expected it there (see $GAPGYM_DATA); it cannot be"
            " fetched in this form."
        )
    return path


@cache
def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(read_text(path))))


def _openb(num_nodes: int, index: int, **fields: Any) -> PodPackingInstance:
    """A slice of the trace: random nodes, and arrivals from a random moment until they are full.

    Pods are taken in the order of their arrival until the scarcest resource is requested to 105 %.
    GPUs count in thousandths and are pooled per node. Priorities: LS and Guaranteed 3, Burstable 2,
    BE 1.
    """
    rng = np.random.default_rng((20230, num_nodes, index))
    nodes = _rows(_cached("openb_node_list_all_node.csv"))
    pods = _rows(_cached("openb_pod_list_default.csv"))
    chosen = [nodes[j] for j in np.sort(rng.choice(len(nodes), num_nodes, replace=False))]
    capacities = np.array(
        [
            [int(n["cpu_milli"]), int(n["memory_mib"]) << 20, 110, 1000 * int(n["gpu"])]
            for n in chosen
        ]
    )
    models = {n["model"] for n in chosen}
    available, largest = 1.05 * capacities.sum(axis=0), capacities.max(axis=0)
    rows: list[list[int]] = []
    specs: list[str] = []
    levels: list[int] = []
    taken: list[str] = []
    total = np.zeros(4)
    for pod in _from(pods, int(rng.integers(len(pods)))):
        gpu = int(pod["num_gpu"]) * int(pod["gpu_milli"])
        row = np.array([int(pod["cpu_milli"]), int(pod["memory_mib"]) << 20, 1, gpu])
        wanted = [m for m in pod["gpu_spec"].split("|") if m]
        if (row > largest).any() or (wanted and not models & set(wanted)):
            continue
        total = total + row
        if (total > available).any():
            break
        rows.append(row.tolist())
        specs.append(_gpu_spec(wanted))
        levels.append({"BE": 1, "Burstable": 2}.get(pod["qos"], 3))
        taken.append(f"openb/{pod['name']}")
    kinds = tuple(dict.fromkeys(specs))
    return PodPackingInstance(
        **{
            "capacities": capacities,
            "requests": np.array(rows),
            "priorities": levels,
            "batches": np.arange(len(rows)),
            "resources": ("cpu", "memory", "pods", "gpu_milli"),
            "pod_specs": kinds,
            "spec_of_pod": [kinds.index(s) for s in specs],
            "node_specs": [canonical({"labels": {"model": n["model"]}}) for n in chosen],
            "pod_names": taken,
            "node_names": [n["sn"] for n in chosen],
            **fields,
        }
    )


def _from(pods: list[dict[str, str]], first: int) -> Iterator[dict[str, str]]:
    """The pods from one on, around the end, once each."""
    yield from pods[first:]
    yield from pods[:first]


def _gpu_spec(models: list[str]) -> str:
    if not models:
        return "{}"
    expression = {"key": "model", "operator": "In", "values": models}
    term = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return canonical({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}})


def best_known(instance: PodPackingInstance) -> Reference | None:
    """Nothing: the paper publishes counts of outcomes, no objectives."""
    return None
