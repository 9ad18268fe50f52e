"""The text tables of the SoC simulators DS3 and SoCRATES: PEs of a chip, and tasks of a job.

A SoC table has blocks that begin with ``add_new_resource`` (two forms: named attributes, or
positions), each a cluster of ``capacity`` equal PEs with the run times of the kernels that it
supports, and ``comm_band a b B`` per pair of clusters, both ways; a pair that is not listed has
bandwidth 1. A kernel listed twice has its first run time, as in DS3. Memory (``MEM``) runs nothing
and is left out. Frequencies, powers and positions on the chip are not read: the model has none.

A job table has ``job_name``, ``add_new_tasks n``, per task ``kernel number predecessors...``, and
``comm_vol i j volume``. Transfer times are cut to whole ticks of 1 us.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .soc_dag_model import SoCDagInstance
from .text import Line, lines, read_text

#: Lines of a cluster that say nothing about run times.
_IGNORED = (
    *("opp", "trip_freq", "DTPM_trip_freq", "power_profile", "PG_profile", "mesh_information"),
    "comm_band_self",
)


@dataclass(frozen=True)
class Cluster:
    """Equal PEs: how many, and the run time of each kernel that they support."""

    number: int
    capacity: int
    run_times: dict[str, int]


@dataclass(frozen=True)
class Soc:
    """The clusters of a chip, and bandwidths by pairs of their numbers."""

    clusters: tuple[Cluster, ...]
    bandwidth: dict[tuple[int, int], int]


@dataclass(frozen=True)
class Job:
    """The tasks of a job, by number their kernels; and the volumes of their edges."""

    name: str
    kernels: tuple[str, ...]
    volumes: dict[tuple[int, int], int]


def is_job_table(text: str) -> bool:
    """Whether a text is a job table rather than another format."""
    words = [row.text.split()[0] for row in lines(text, "")]
    return "add_new_tasks" in words or "job_name" in words or "add_new_resource" in words


def read_soc(path: Path | str) -> Soc:
    """The SoC table in a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such table; the message names the line.
    """
    place = Path(path).name
    clusters: list[Cluster] = []
    bandwidth: dict[tuple[int, int], int] = {}
    types: list[str] = []
    for row in lines(read_text(path), place):
        words = row.text.split()
        if words[0] == "add_new_resource":
            kind, cluster = _cluster(row, words[1:])
            types.append(kind)
            clusters.append(cluster)
        elif words[0] == "comm_band":
            a, b, band = _numbers(row, words[1:], 3)
            bandwidth[a, b] = bandwidth[b, a] = band
        elif words[0] not in _IGNORED:
            if not clusters:
                raise ValueError(f"{row.place}: {words[0]!r}, expected add_new_resource first.")
            time = _number(row, words[1] if len(words) > 1 else "nothing")
            clusters[-1].run_times.setdefault(words[0], time)
    kept = [c for c, kind in zip(clusters, types, strict=True) if kind != "MEM"]
    if not kept:
        raise ValueError(f"{place}: no add_new_resource, expected a table of PEs.")
    return Soc(tuple(kept), bandwidth)


def _cluster(row: Line, words: list[str]) -> tuple[str, Cluster]:
    """The type and the (still empty) cluster of an ``add_new_resource`` line, of either form."""
    if "resource_ID" in words:
        named = dict(zip(words[::2], words[1::2], strict=False))
        try:
            texts = [named["resource_ID"], named["capacity"]]
        except KeyError as error:
            raise ValueError(f"{row.place}: no {error}, expected type, ID and capacity.") from None
        kind = words[1]  # whose keyword one public table misspells
    elif len(words) >= 4:
        kind, texts = words[0], words[2:4]
    else:
        raise ValueError(f"{row.place}: {len(words)} words, expected type, name, ID, capacity, ...")
    number, capacity = _numbers(row, texts, 2)
    if not 1 <= capacity <= 10**4:
        raise ValueError(f"{row.place}: capacity {capacity}, expected 1..10,000.")
    return kind, Cluster(number, capacity, {})


def _numbers(row: Line, words: list[str], count: int) -> list[int]:
    if len(words) < count:
        raise ValueError(f"{row.place}: {len(words)} numbers, expected {count}.")
    return [_number(row, word) for word in words[:count]]


def _number(row: Line, word: str) -> int:
    """A number >= 0 without fractions (``16`` or ``16.0``)."""
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value < 2**53 or value != int(value):
        raise ValueError(f"{row.place}: {word[:40]!r}, expected an integer >= 0.")
    return int(value)


def read_job(path: Path | str) -> Job:
    """The job table in a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such table; the message names the line.
    """
    place = Path(path).name
    name, count, marked = "", None, {"HEAD", "TAIL", "earliest_start"}
    kernels: dict[int, str] = {}
    before: list[tuple[Line, int, int]] = []
    volumes: dict[tuple[int, int], int] = {}
    for row in lines(read_text(path), place):
        first, *rest = row.text.split()
        if first == "job_name":
            name = rest[0] if rest else ""
        elif first == "add_new_tasks":
            (count,) = _numbers(row, rest, 1)
        elif first == "add_new_resource":
            raise ValueError(f"{row.place}: a table of PEs, expected one of a job's tasks.")
        elif first == "comm_vol":
            i, j, volume = _numbers(row, rest, 3)
            volumes[i, j] = volume
        elif rest and rest[0] not in marked:
            task, *others = _numbers(row, rest, len(rest))
            if task in kernels:
                raise ValueError(f"{row.place}: task {task} again, expected each number once.")
            kernels[task] = first
            before += [(row, other, task) for other in others]
    if count is None or sorted(kernels) != list(range(count)):
        expected = "add_new_tasks n" if count is None else f"those numbered 0..{count - 1}"
        raise ValueError(f"{place}: {len(kernels)} tasks, expected {expected} (truncated?).")
    edges = {(i, j): 0 for _, i, j in before}
    for row, i, _ in before:
        if i >= count:
            raise ValueError(f"{row.place}: predecessor {i}, expected 0..{count - 1}.")
    for pair in volumes:
        if pair not in edges:
            raise ValueError(f"{place}: comm_vol of {pair[0]} and {pair[1]}, which no edge joins.")
    return Job(name, tuple(kernels[i] for i in range(count)), {**edges, **volumes})


def with_soc(job: Job, soc: Soc, place: str) -> SoCDagInstance:
    """A job on a chip.

    Raises:
        ValueError: If a kernel is supported nowhere, or the job is no task graph.
    """
    pes = [cluster for cluster in soc.clusters for _ in range(cluster.capacity)]
    for i, kernel in enumerate(job.kernels):
        if not any(kernel in cluster.run_times for cluster in soc.clusters):
            raise ValueError(f"{place}: task {i} ({kernel}): no PE supports it, expected one.")
    run_times = [[pe.run_times.get(kernel, -1) for pe in pes] for kernel in job.kernels]
    bandwidth = [[max(soc.bandwidth.get((a.number, b.number), 1), 1) for b in pes] for a in pes]
    edges = sorted(job.volumes)
    try:
        return SoCDagInstance(
            run_times=np.array(run_times),
            edges=np.array(edges, dtype=np.int64).reshape(-1, 2),
            data=np.array([job.volumes[pair] for pair in edges], dtype=np.int64),
            bandwidth=np.array(bandwidth),
            tick="1 us",
            name=job.name,
        )
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
