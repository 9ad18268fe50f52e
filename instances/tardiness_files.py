"""Single-machine instances in files: the layout of OR-Library, CSV, JSON; public benchmarks.

Formats that :func:`read` tells apart by the ending of the file's name:

- ``.json``: the fields of :class:`TardinessInstance`;
- ``.csv``: a header with ``processing_time`` and ``due_date`` and, if wanted, ``weight``,
  ``release_date`` and further columns, which are ignored; one line per job;
- any other: the layout of OR-Library's ``wt40.txt``, integers only: for instance after instance,
  ``n`` processing times, ``n`` weights, ``n`` due dates. As the file does not say what ``n`` is, it
  is an option, or the number in a name like ``wt40.txt``; otherwise the file holds one instance.

The public benchmarks are the files wt40, wt50 and wt100 of OR-Library (``wt40_001`` to
``wt100_125``), the same without weights (``t40_001`` to ``t100_125``), and, for those who have
them, the instances of Shang, T'kindt and Della Croce on which Cetinkaya et al. 2025
(arXiv:2510.24013) compare rules (``paper100_001`` to ``paper500_200``).
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from . import cache as data_cache
from .core import IntArray, Reference, to_json_text
from .tardiness_model import TardinessInstance
from .text import lines, read_json, read_text, write_text

_DATA = files(__package__) / "data"
_FIELDS = ("name", "cv", "law", "scenario")
_NEEDED, _OPTIONAL = ("processing_time", "due_date"), ("weight", "release_date")
_PLURAL = {
    "processing_time": "processing_times",
    "due_date": "due_dates",
    "weight": "weights",
    "release_date": "release_dates",
}


def read(
    path: Path | str, *, index: int | None = None, num_jobs: int | None = None, **fields: Any
) -> TardinessInstance:
    """The instance in a file; see the module for the formats.

    Args:
        path: The file; its stem becomes the name of the instance.
        index: Which instance of a file with several, from 1.
        num_jobs: Number of jobs of each instance in a file in OR-Library's layout.
        **fields: Further fields of the instance: ``cv``, ``law``, ``scenario``, ``name``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such an instance; the message names the file and the place.
    """
    path, ending = Path(path), Path(path).suffix.lower()
    if ending in (".json", ".csv") and (index, num_jobs) != (None, None):
        raise ValueError(f"{path.name}: index or num_jobs, expected for OR-Library's layout only.")
    if ending == ".json":
        return _with(TardinessInstance.from_json(read_json(path), path.name), fields)
    if ending == ".csv":
        return _with(_parse_csv(read_text(path), path.name), {"name": path.stem, **fields})
    instances = parse(read_text(path), path.name, num_jobs)
    if index is None and len(instances) > 1:
        raise ValueError(f"{path.name}: {len(instances)} instances, expected an index from 1.")
    if not 1 <= (index or 1) <= len(instances):
        raise ValueError(f"{path.name}: index {index}, expected 1..{len(instances)}.")
    name = path.stem if index is None else f"{path.stem}_{index:03d}"
    return _with(instances[(index or 1) - 1], {"name": name, **fields})


def parse(text: str, place: str, num_jobs: int | None = None) -> list[TardinessInstance]:
    """The instances in a text of OR-Library's layout; ``place`` names it in error messages."""
    numbers = _integers(text, place)
    if num_jobs is None and (match := re.fullmatch(r"wt(\d+)(\.\w+)?", place)):
        num_jobs = int(match[1])
    if num_jobs is not None and num_jobs < 1:
        raise ValueError(f"{place}: {num_jobs} jobs, expected >= 1.")
    step = 3 if num_jobs is None else 3 * num_jobs
    if not numbers or len(numbers) % step:
        jobs = "" if num_jobs is None else f" for {num_jobs} jobs each"
        raise ValueError(
            f"{place}: {len(numbers)} integers, expected a multiple of {step}{jobs} (processing"
            " times, weights, due dates)."
        )
    blocks = np.array(numbers, dtype=np.int64).reshape(-1, 3, num_jobs or len(numbers) // 3)
    return [_from_block(block, f"{place}, instance {i}") for i, block in enumerate(blocks, start=1)]


def _integers(text: str, place: str) -> list[int]:
    numbers = [number for line in lines(text, place) for number in line.integers()]
    for number in numbers:
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"{place}: {number}, expected integers in 64 bits.")
    return numbers


def _from_block(block: IntArray, place: str) -> TardinessInstance:
    times, weights, due_dates = block
    return _made(place, processing_times=times, due_dates=due_dates, weights=weights)


def _made(place: str, **arrays: Any) -> TardinessInstance:
    try:
        return TardinessInstance(**arrays)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _parse_csv(text: str, place: str) -> TardinessInstance:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(word.strip() for word in row)]
    header = [word.strip().lower() for word in rows[0]]
    for column in _NEEDED:
        if column not in header:
            raise ValueError(f"{place}: no column {column!r}, expected {', '.join(_NEEDED)}.")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise ValueError(
                f"{place}, job line {number}: {len(row)} values, expected {len(header)}."
            )
    columns = [column for column in (*_NEEDED, *_OPTIONAL) if column in header]
    arrays = {}
    for column in columns:
        words = [row[header.index(column)] for row in rows[1:]]
        arrays[_PLURAL[column]] = [
            _integer(word, f"{place}, job line {number}, {column}")
            for number, word in enumerate(words, start=1)
        ]
    return _made(place, **arrays)


def _integer(word: str, place: str) -> int:
    if re.fullmatch(r"\s*[-+]?\d{1,18}\s*", word) is None:
        raise ValueError(f"{place}: {word[:40]!r}, expected an integer.")
    return int(word)


def _with(instance: TardinessInstance, fields: dict[str, Any]) -> TardinessInstance:
    if unknown := sorted(set(fields) - set(_FIELDS)):
        raise ValueError(
            f"unknown option {unknown[0]!r} for tardiness, expected some of:"
            f" {', '.join((*_FIELDS, 'index', 'num_jobs'))}."
        )
    return replace(instance, **fields) if fields else instance


def write(instance: TardinessInstance, path: Path | str) -> None:
    """Write an instance in the format that the ending of the name asks for; see the module.

    Raises:
        ValueError: If the format cannot hold the instance.
    """
    path, ending = Path(path), Path(path).suffix.lower()
    if ending == ".json":
        write_text(path, to_json_text(instance))
        return
    held = "cv and setups" if ending == ".csv" else "cv, setups and release dates"
    extras = instance.cv or instance.setups is not None
    if extras or (ending != ".csv" and instance.release_dates is not None):
        raise ValueError(f"{path.name}: cannot hold {held}, expected a .json name.")
    if ending == ".csv":
        write_text(path, _to_csv(instance))
        return
    match = re.fullmatch(r"wt(\d+)", path.stem)
    if match and int(match[1]) != instance.num_jobs:
        raise ValueError(f"{path.name}: {instance.num_jobs} jobs, expected {match[1]}.")
    write_text(path, to_text([instance]))


def _to_csv(instance: TardinessInstance) -> str:
    columns = [*_NEEDED, "weight"]
    columns += [] if instance.release_dates is None else ["release_date"]
    arrays = [getattr(instance, _PLURAL[column]) for column in columns]
    rows = [",".join(map(str, row)) for row in np.column_stack(arrays).tolist()]
    return "\n".join([",".join(columns), *rows]) + "\n"


def to_text(instances: list[TardinessInstance]) -> str:
    """OR-Library's layout, twenty integers in a line."""
    numbers: list[int] = []
    for instance in instances:
        for values in (instance.processing_times, instance.weights, instance.due_dates):
            numbers += values.tolist()
    return _twenty_a_line(numbers)


def _twenty_a_line(numbers: list[int]) -> str:
    rows = (numbers[i : i + 20] for i in range(0, len(numbers), 20))
    return "".join(" ".join(map(str, row)) + "\n" for row in rows)


def normalise(text: str, place: str) -> str:
    """The integers of a text in OR-Library's layout, twenty in a line, for its SHA-256."""
    return _twenty_a_line(_integers(text, place))


# The public benchmarks.

#: Sizes of the files of OR-Library, and how many instances each of them holds.
_SIZES, _COUNT = (40, 50, 100), 125
#: Sizes of the sets of arXiv:2510.24013 that are read, and how many instances each of them holds.
_PAPER_SIZES, _PAPER_COUNT = (100, 500), 200
_NAME = re.compile(r"(wt|t|paper)(\d+)_(\d{3})")

#: Those whose optimum is 0, which the paper leaves out of its means.
_WITHOUT_TARDINESS = {
    100: {48, *range(81, 91), *range(121, 131), *range(161, 171), 172, *range(174, 178), 180},
    500: {*range(81, 91), *range(121, 131), *range(161, 181)},
}


def _paper_set(num_jobs: int) -> tuple[str, ...]:
    kept = sorted(set(range(1, _PAPER_COUNT + 1)) - _WITHOUT_TARDINESS[num_jobs])
    return tuple(f"paper{num_jobs}_{index:03d}" for index in kept)


#: Sets of benchmarks by name, as names or globs. Those called ``paper`` are what arXiv:2510.24013
#: compares rules on: mean gaps over them are the figures of its table.
SETS = {
    "paper": (*_paper_set(100), *_paper_set(500)),
    "paper100": _paper_set(100),
    "paper500": _paper_set(500),
    "weighted": ("wt40_*", "wt50_*", "wt100_*"),
    "unweighted": ("t40_*", "t50_*", "t100_*"),
}


@cache
def names() -> tuple[str, ...]:
    """The benchmarks; their files are fetched into the cache, or have to be there (``paper``)."""
    counts = [(f"{kind}{n}", _COUNT) for kind in ("wt", "t") for n in _SIZES]
    counts += [(f"paper{n}", _PAPER_COUNT) for n in _PAPER_SIZES]
    return tuple(f"{stem}_{i:03d}" for stem, count in counts for i in range(1, count + 1))


def load(name: str, **fields: Any) -> TardinessInstance:
    """The benchmark instance of that name, e.g. ``"wt40_001"``.

    Args:
        name: One of :func:`names`.
        **fields: Further fields of the instance: ``cv``, ``law``, ``scenario``.

    Raises:
        ValueError: If there is no such benchmark, or it is not in the cache and cannot be fetched.
    """
    match = _NAME.fullmatch(name)
    if match is None or name not in names():
        raise ValueError(f"unknown tardiness benchmark {name!r}.")
    kind, n, index = match[1], int(match[2]), int(match[3]) - 1
    if kind == "paper":
        times, due_dates, _ = _paper(_paper_file(n))
        instance = TardinessInstance(times[index], due_dates[index])
    else:
        (entry,) = (e for e in data_cache.entries("tardiness") if e.file.endswith(f"/wt{n}.txt"))
        instance = _or_library(data_cache.path(entry, normalise), n)[index]
    if kind == "t":
        instance = TardinessInstance(instance.processing_times, instance.due_dates)
    return _with(instance, {"name": name, **fields})


@cache
def _or_library(path: Path, num_jobs: int) -> list[TardinessInstance]:
    return parse(read_text(path), path.name, num_jobs)


def _paper_file(num_jobs: int) -> Path:
    return data_cache.folder() / "tardiness" / f"shang_unweighted_{num_jobs}.npz"


@cache
def _paper(path: Path) -> tuple[IntArray, IntArray, IntArray]:
    """``(200, n)`` processing times and due dates, and ``(200,)`` optima.

    The arrays ``p``, ``d`` and ``opt`` of a NumPy archive, made from the public files of the
    paper, for which nobody states a licence. In the published 500-job file the optima stand in
    another order than the instances, 1, 2, ..., 10 and not 1, 10, 2, ..., 9 in each class; here
    they are paired as they belong together.
    """
    if not path.is_file():
        raise ValueError(
            f"{path.name}: not in {path.parent}; it has no licence to be fetched under, expected it"
            " there with the arrays p, d and opt."
        )
    with np.load(path, allow_pickle=False) as data:
        times, due_dates, optima = (data[key].astype(np.int64) for key in ("p", "d", "opt"))
    return times, due_dates, optima


def best_known(instance: TardinessInstance) -> Reference | None:
    """The proven optimum of a public instance, recognised by its content, whatever its name."""
    if instance.cv or not instance.is_plain:
        return None
    if (row := _optima().get(content_key(instance))) is not None:
        return Reference(row[0], row[0], row[1], row[1])
    n = instance.num_jobs
    if n in _PAPER_SIZES and not instance.is_weighted and _paper_file(n).is_file():
        times, due_dates, optima = _paper(_paper_file(n))
        same = (times == instance.processing_times) & (due_dates == instance.due_dates)
        for index in np.flatnonzero(same.all(axis=1)):
            source = "Shang, T'kindt and Della Croce 2021"
            return Reference(int(optima[index]), int(optima[index]), source, source)
    return None


def as_published(instance: TardinessInstance) -> Reference | None:
    """The value that arXiv:2510.24013 takes for the optimum of an instance of its own.

    Its 500-job optima stand in numeric order, 1, 2, ..., 10, beside the instances in the order 1,
    10, 2, ..., 9 of each class, so most of these are optima of other instances.
    """
    n = instance.num_jobs
    if n not in _PAPER_SIZES or instance.is_weighted or not _paper_file(n).is_file():
        return None
    times, due_dates, optima = _paper(_paper_file(n))
    same = (times == instance.processing_times) & (due_dates == instance.due_dates)
    for index in np.flatnonzero(same.all(axis=1)).tolist():
        value = int((_mispaired(optima) if n == 500 else optima)[index])
        return Reference(None, value, "", "arXiv:2510.24013")
    return None


def _mispaired(optima: IntArray) -> IntArray:
    """Optima in the order of their instances, put back beside them in numeric order."""
    names = sorted(range(1, 11), key=str)  # 1, 10, 2, ..., 9
    classes = optima.reshape(-1, 10)
    numeric = np.empty_like(classes)
    numeric[:, np.array(names) - 1] = classes
    return numeric.reshape(-1)


#: Reference values besides the best known ones.
REFERENCES = {"as_published": as_published}


def content_key(instance: TardinessInstance) -> str:
    """What ``tardiness_optima.csv`` knows an instance by: a hash of its three arrays."""
    rows = (instance.processing_times, instance.due_dates, instance.weights)
    text = "\n".join(" ".join(map(str, row.tolist())) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _optima() -> dict[str, tuple[int, str]]:
    table = (_DATA / "tardiness_optima.csv").read_text(encoding="utf-8").splitlines()
    sources = {
        "wt": "Tanaka, Fujikuma and Araki 2009",
        "t": "gapgym 2026, by Lawler's decomposition",
    }
    return {
        row["key"]: (int(row["optimum"]), sources[row["name"].rstrip("_0123456789")])
        for row in csv.DictReader(table)
    }
