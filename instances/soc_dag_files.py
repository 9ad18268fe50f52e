"""Task graphs and streams in files: formats of the field, our own JSON, and public benchmarks.

Formats that :func:`read` recognises:

- *JSON* of our own: the fields of :class:`SoCDagInstance` or :class:`SoCStreamInstance`;
- *WfFormat* 1.4, 1.5 and 1.6 (WfCommons, doi:10.1016/j.future.2021.09.043): see
  ``soc_dag_workflows.py``; the platform is an option;
- *STG* (Kasahara and Tobita, ``.stg``): see there too;
- *DS3 and SoCRATES* job tables (``job_name``, ``add_new_tasks``, ``comm_vol``); the option ``soc``
  names the table of PEs: see ``soc_dag_tables.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import cache as data_cache
from .core import to_json_text
from .soc_dag_model import SoCDagInstance
from .soc_dag_tables import is_job_table, read_job, read_soc, with_soc
from .soc_dag_workflows import parse_stg, parse_workflow
from .soc_stream_model import SoCStreamInstance
from .text import read_json, read_text, write_text

if TYPE_CHECKING:
    import networkx as nx

Anything = SoCDagInstance | SoCStreamInstance

_FAMILY = "soc_dag"
_SOCRATES_PES = "soc_dag/socrates_raw/DASH.SoC.Top.txt"


def read(path: Path | str, **options: Any) -> Anything:
    """The task graph or stream in a file; see the module for the formats.

    Args:
        path: The file.
        **options: ``name``; of job tables ``soc``, the file of the PEs; of workflows and STG the
            platform: ``speeds``, ``bandwidth``, ``tick`` (see ``soc_dag_workflows.py``).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such thing; the message names the task or the line.
    """
    path = Path(path)
    text = read_text(path)
    if text.lstrip()[:1] in "{[":
        found = _from_json(path, options)
    elif is_job_table(text):
        found = _from_table(path, options)
    else:
        found = _graph(path.name, lambda: parse_stg(text, path.name, **_without_name(options)))
    return replace(found, name=options.get("name", found.name or path.stem))


def _from_json(path: Path, options: Mapping[str, Any]) -> Anything:
    data = read_json(path)
    if isinstance(data, Mapping) and "workflow" in data:
        rest = _without_name(options)
        return _graph(path.name, lambda: parse_workflow(data, path.name, **rest))
    if unknown := sorted(_without_name(options)):
        raise ValueError(f"{path.name}: option {unknown[0]!r}, expected at most 'name'.")
    if isinstance(data, Mapping) and data.get("problem") == SoCStreamInstance.problem:
        return SoCStreamInstance.from_json(data, path.name)
    return SoCDagInstance.from_json(data, path.name)


def _from_table(path: Path, options: Mapping[str, Any]) -> SoCDagInstance:
    rest = _without_name(options)
    soc = rest.pop("soc", None)
    if rest:
        raise ValueError(f"{path.name}: option {sorted(rest)[0]!r}, expected at most name, soc.")
    if not isinstance(soc, str | Path):
        raise ValueError(f"{path.name}: a job table, expected the option soc=FILE with its PEs.")
    table = Path(soc) if Path(soc).exists() else path.parent / soc
    return with_soc(read_job(path), read_soc(table), path.name)


def _without_name(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "name"}


def _graph(place: str, parse: Any) -> SoCDagInstance:
    try:
        found: SoCDagInstance = parse()
    except TypeError as error:  # an option that the reader lacks, or of another kind
        raise ValueError(f"{place}: {error}.") from None
    return found


def write(instance: Anything, path: Path | str) -> None:
    """Write an instance as JSON of our own."""
    write_text(path, to_json_text(instance))


def heft_example() -> SoCDagInstance:
    """The worked example of the HEFT paper: 10 tasks on 3 PEs, where HEFT takes 80.

    Figure 1 (transfer costs) and table 1 (run times) of doi:10.1109/71.993206.
    """
    run_times = (
        *((14, 16, 9), (13, 19, 18), (11, 13, 19), (13, 8, 17), (12, 13, 10)),
        *((13, 16, 9), (7, 15, 11), (5, 11, 14), (18, 12, 20), (21, 7, 16)),
    )
    edges = (
        *((0, 1, 18), (0, 2, 12), (0, 3, 9), (0, 4, 11), (0, 5, 14), (1, 7, 19), (1, 8, 16)),
        *((2, 6, 23), (3, 7, 27), (3, 8, 23), (4, 8, 13), (5, 7, 15), (6, 9, 17), (7, 9, 11)),
        (8, 9, 13),
    )
    return SoCDagInstance(
        run_times=np.array(run_times),
        edges=np.array(edges)[:, :2],
        data=np.array(edges)[:, 2],
        bandwidth=1,  # type: ignore[arg-type]
        name="heft_example",
    )


# The public benchmarks.


@cache
def _files() -> dict[str, data_cache.Entry]:
    """Name to entry: ``top_1`` .. ``top_10``, the synthetic jobs of SoCRATES."""
    found = {}
    for entry in data_cache.entries(_FAMILY):
        file = entry.file.rpartition("/")[2]
        if file.startswith("job_Top"):
            found[int(file[len("job_Top") : -len(".txt")] or 1)] = entry
    return {f"top_{number}": found[number] for number in sorted(found)}


@cache
def names() -> tuple[str, ...]:
    """``heft_example``, which needs no file, and ``top_1`` .. ``top_10`` of SoCRATES."""
    return ("heft_example", *_files())


def load(name: str, **options: Any) -> Anything:
    """The benchmark of that name.

    Args:
        name: One of :func:`names`.
        **options: As for :func:`read`; the jobs come with their own PEs.

    Raises:
        ValueError: If there is no such benchmark, or it is not in the cache and cannot be fetched.
    """
    if name == "heft_example":
        if options:
            raise ValueError(f"{name}: option {min(options)!r}, expected none.")
        return heft_example()
    if name not in _files():
        raise ValueError(f"unknown soc_dag benchmark {name!r}.")
    entry = _files()[name]
    path = data_cache.path(entry, normalise)
    soc = next(e for e in data_cache.entries(_FAMILY) if e.file == _SOCRATES_PES)
    options = {"soc": data_cache.path(soc, normalise), **options}
    return read(path, **{"name": name, **options})


def normalise(text: str, place: str) -> str:
    """The text as the cache keeps it: lines without white space at their ends."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


# networkx.


def from_networkx(graph: nx.DiGraph[Any], **fields: Any) -> SoCDagInstance:
    """A task graph from a directed graph; tasks are numbered in the order of its nodes.

    Args:
        graph: Node attribute ``run_times``: ticks per PE, -1 where it is not supported; edge
            attribute ``data``: volume, by default 0.
        **fields: Further fields of the instance: ``bandwidth`` (by default 1), ``latency``, ...

    Raises:
        ValueError: If an attribute is missing, or the class refuses the graph.
    """
    number = {node: i for i, node in enumerate(graph.nodes)}
    for node, attributes in graph.nodes(data=True):
        if "run_times" not in attributes:
            raise ValueError(f"node {node!r}: no attribute 'run_times', expected ticks per PE.")
    pairs = [(number[a], number[b]) for a, b in graph.edges]
    return SoCDagInstance(
        run_times=[list(times) for _, times in graph.nodes(data="run_times")],  # type: ignore[arg-type]
        edges=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        data=np.array([volume for _, _, volume in graph.edges(data="data", default=0)], dtype=int),
        **{"bandwidth": 1, **fields},
    )


def to_networkx(instance: SoCDagInstance) -> nx.DiGraph[Any]:
    """The graph that :func:`from_networkx` reads; PEs are attributes of the graph."""
    import networkx as nx

    graph: nx.DiGraph[Any] = nx.DiGraph(
        name=instance.name,
        bandwidth=instance.bandwidth,
        latency=instance.latency,
        rounding=instance.rounding,
    )
    for i, times in enumerate(instance.run_times.tolist()):
        graph.add_node(i, run_times=times)
    for (i, j), volume in zip(instance.edges.tolist(), instance.data.tolist(), strict=True):
        graph.add_edge(i, j, data=volume)
    return graph
