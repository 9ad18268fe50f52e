"""Job shops in files: the text formats of the field, our own JSON, and the public benchmarks.

Formats that :func:`read` recognises by their content (lines that start with ``#`` are comments):

- *standard*: a line ``n m``, then one line per job with ``m`` pairs ``machine time``, machines
  counted from 0;
- *ragged* (Da Col and Teppan 2022): the same, but each job ends with ``-1 -1`` and may have any
  number of operations;
- *Taillard*: a line with ``n m`` (and perhaps seeds and bounds), the word ``Times``, an ``n x m``
  matrix, the word ``Machines``, an ``n x m`` matrix with machines counted from 1;
- *JSON*: the fields of :class:`JobShopInstance`.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from . import cache as data_cache
from .core import Reference, to_json_text
from .job_shop_model import JobShopInstance
from .text import Line, lines, read_json, read_text, write_text

_DATA = files(__package__) / "data"


def read(path: Path | str, **fields: Any) -> JobShopInstance:
    """The job shop in a file; see the module for the formats.

    Args:
        path: The file; its stem becomes the name of the instance.
        **fields: Further fields of the instance: ``cv``, ``law``, ``scenario``, ``name``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a job shop; the message names the file and the line.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        shop = JobShopInstance.from_json(read_json(path), path.name)
        return _with(shop, {"name": shop.name or path.stem, **fields})
    return _with(parse(read_text(path), path.name), {"name": path.stem, **fields})


def parse(text: str, place: str) -> JobShopInstance:
    """The job shop in a text; ``place`` names it in error messages."""
    rows = list(lines(text, place))
    if not rows:
        raise ValueError(f"{place}: only comments, expected a line 'n m'.")
    words = [row.text.lower() for row in rows]
    if any(word.startswith("times") for word in words):
        return _parse_taillard(rows, words, place)
    return _parse_standard(rows, place)


def _parse_standard(rows: list[Line], place: str) -> JobShopInstance:
    num_jobs, num_machines = _sizes(rows[0], exact=True)
    if len(rows) - 1 != num_jobs:
        raise ValueError(
            f"{place}: {len(rows) - 1} lines of operations, expected {num_jobs} (one per job)."
        )
    jobs = [_parse_job(row, num_machines) for row in rows[1:]]
    return _from_pairs(jobs, rows[1:], num_machines)


def _parse_job(row: Line, num_machines: int) -> list[tuple[int, int]]:
    numbers = row.integers()
    if numbers[-2:] == [-1, -1]:  # ragged: any number of pairs
        numbers = numbers[:-2]
        if len(numbers) % 2 or not numbers:
            raise ValueError(
                f"{row.place}: {len(numbers)} numbers before -1 -1, expected pairs (machine time)."
            )
    elif len(numbers) != 2 * num_machines:
        raise ValueError(
            f"{row.place}: {len(numbers)} numbers, expected {2 * num_machines}"
            f" ({num_machines} machine-time pairs)."
        )
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _from_pairs(
    jobs: list[list[tuple[int, int]]], rows: list[Line], num_machines: int
) -> JobShopInstance:
    for job, row in zip(jobs, rows, strict=True):
        for machine, time in job:
            if not 0 <= machine < num_machines:
                raise ValueError(f"{row.place}: machine {machine}, expected 0..{num_machines - 1}.")
            if not 0 <= time < 2**53:
                raise ValueError(f"{row.place}: processing time {time}, expected 0..2^53 - 1.")
    try:
        return JobShopInstance.from_lists(jobs, num_machines=num_machines)
    except ValueError as error:  # the sum of the times
        raise ValueError(f"{rows[0].place.partition(',')[0]}: {error}") from None


def _parse_taillard(rows: list[Line], words: list[str], place: str) -> JobShopInstance:
    times_at = next(i for i, word in enumerate(words) if word.startswith("times"))
    machines_at = next((i for i, word in enumerate(words) if word.startswith("machines")), None)
    if machines_at is None or machines_at < times_at:
        raise ValueError(f"{place}: 'Times' without 'Machines' after it, expected both matrices.")
    size_rows = [row for row in rows[:times_at] if re.fullmatch(r"[-\d\s]+", row.text)]
    if not size_rows:
        raise ValueError(f"{rows[0].place}: no line of numbers before 'Times', expected 'n m'.")
    num_jobs, num_machines = _sizes(size_rows[0], exact=False)
    time_rows, machine_rows = rows[times_at + 1 : machines_at], rows[machines_at + 1 :]
    for what, block in (("Times", time_rows), ("Machines", machine_rows)):
        if len(block) != num_jobs:
            raise ValueError(f"{place}: {len(block)} lines under {what!r}, expected {num_jobs}.")
    jobs = []
    for time_row, machine_row in zip(time_rows, machine_rows, strict=True):
        times, machines = time_row.integers(), machine_row.integers()
        for row, numbers in ((time_row, times), (machine_row, machines)):
            if len(numbers) != num_machines:
                raise ValueError(f"{row.place}: {len(numbers)} numbers, expected {num_machines}.")
        for machine in machines:
            if not 1 <= machine <= num_machines:
                raise ValueError(
                    f"{machine_row.place}: machine {machine}, expected 1..{num_machines}."
                )
        jobs.append([(machine - 1, time) for machine, time in zip(machines, times, strict=True)])
    return _from_pairs(jobs, time_rows, num_machines)


def _sizes(row: Line, exact: bool) -> tuple[int, int]:
    numbers = row.integers()
    if len(numbers) < 2 or (exact and len(numbers) != 2):
        raise ValueError(f"{row.place}: {len(numbers)} numbers, expected 2 (jobs and machines).")
    if min(numbers[:2]) < 1:
        raise ValueError(
            f"{row.place}: {numbers[0]} jobs and {numbers[1]} machines, expected >= 1."
        )
    return numbers[0], numbers[1]


def _with(instance: JobShopInstance, fields: dict[str, Any]) -> JobShopInstance:
    known = ("name", "cv", "law", "scenario")
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(
            f"unknown option {unknown[0]!r} for job_shop, expected some of: {', '.join(known)}."
        )
    return replace(instance, **fields) if fields else instance


def write(instance: JobShopInstance, path: Path | str) -> None:
    """Write a job shop: JSON if the name ends in ``.json``, else standard or ragged text.

    Raises:
        ValueError: If a stochastic shop is to be written as text, which cannot say so.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        write_text(path, to_json_text(instance))
    elif instance.cv:
        raise ValueError(f"{path.name}: text cannot hold cv {instance.cv}, expected a .json name.")
    else:
        write_text(path, to_text(instance))


def to_text(instance: JobShopInstance) -> str:
    """The standard format; the ragged one where a job does not have ``num_machines`` operations."""
    rows = [f"{instance.num_jobs} {instance.num_machines}"]
    ragged = bool((instance.num_operations != instance.num_machines).any())
    for j, length in enumerate(instance.num_operations):
        pairs = np.stack([instance.machines[j], instance.processing_times[j]], axis=1)[:length]
        rows.append(" ".join(map(str, pairs.ravel().tolist())) + (" -1 -1" if ragged else ""))
    return "\n".join(rows) + "\n"


# The public benchmarks.


@cache
def names() -> tuple[str, ...]:
    """The 242 classic shops, which come with the package, and the larger ones in the cache."""
    return (*_classic(), *_cached_files())


@cache
def _classic() -> dict[str, JobShopInstance]:
    """All classic shops, from one compressed file (about 40 ms once)."""
    with (_DATA / "job_shop_classic.npz").open("rb") as file:
        data = dict(np.load(file, allow_pickle=False))
    ends = np.cumsum(data["sizes"].astype(np.int64).prod(axis=1))
    machines = np.split(data["machines"].astype(np.int64), ends[:-1])
    times = np.split(data["processing_times"].astype(np.int64), ends[:-1])
    shops = zip(data["names"].tolist(), data["sizes"].tolist(), machines, times, strict=True)
    return {
        name: JobShopInstance(m.reshape(size), p.reshape(size), name=name)
        for name, size, m, p in shops
    }


@cache
def _cached_files() -> dict[str, data_cache.Entry]:
    entries = data_cache.entries("job_shop")
    return {Path(entry.file).stem: entry for entry in entries}


def load(name: str, **fields: Any) -> JobShopInstance:
    """The benchmark shop of that name, e.g. ``"ta21"``.

    Args:
        name: One of :func:`names`.
        **fields: Further fields of the instance: ``cv``, ``law``, ``scenario``.

    Raises:
        ValueError: If there is no such benchmark, or it is not in the cache and cannot be fetched.
    """
    if name in _classic():
        return _with(_classic()[name], fields)
    if name not in _cached_files():
        raise ValueError(f"unknown job_shop benchmark {name!r}.")
    return read(data_cache.path(_cached_files()[name], normalise), **{"name": name, **fields})


def normalise(text: str, place: str) -> str:
    """The text of a shop as :func:`write` would write it, so that its SHA-256 can be compared."""
    return to_text(parse(text, place))


def best_known(instance: JobShopInstance) -> Reference | None:
    """Published bounds, recognised by the instance's content, not by its name alone.

    Sources are the proof or the solution's first publisher and the year; the bounds are those of
    August 2026 (abz8 is 667: the 665 that circulates lies below its proven bound).
    """
    row = _bounds().get(instance.name)
    if row is None or instance.cv:
        return None
    if instance.name in _classic():
        same = instance == _classic()[instance.name]
    else:
        entry = _cached_files()[instance.name]
        same = hashlib.sha256(to_text(instance).encode()).hexdigest() == entry.sha256
    return row if same else None


@cache
def _bounds() -> dict[str, Reference]:
    table = (_DATA / "job_shop_bounds.csv").read_text(encoding="utf-8").splitlines()
    return {
        row["name"]: Reference(
            int(row["lower"]), int(row["upper"]), row["lower_source"], row["upper_source"]
        )
        for row in csv.DictReader(table)
    }
