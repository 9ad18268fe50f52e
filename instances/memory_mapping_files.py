"""Buffers and programs in files, and the public benchmarks.

Formats that :func:`read` tells apart:

- ``.csv``, buffers: the layout of MiniMalloc, one buffer a line under a header with ``id`` (or
  ``buffer``, ``buffer_id``), ``lower`` (``begin``, ``start``), ``upper`` or ``end`` (which is the
  last time that the buffer is live, one less than ``upper``) and ``size``; if wanted ``alignment``,
  ``hint`` (-1 for none) and ``offset``. ``gaps`` in a lifetime are refused. A number before the
  ending of the file's name, as in ``A.1048576.csv``, is the capacity.
- ``.json``: the fields of an instance, as :func:`write` writes them; or a program: ``ins``, a list
  of ``{"name", "op", "ops": operands, "outs": results, "fl": FLOPs}``, ``size``: bytes by buffer,
  ``kind``: ``weight``, ``input`` or ``temp`` by buffer, ``out``: the program's results.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from . import cache as data_cache
from .core import Reference, to_json_text
from .memory_mapping_allocation import AllocationInstance, AllocationSolution
from .memory_mapping_program import KINDS, Instruction, MappingInstance, Profile, Program
from .text import read_json, read_text, write_text

_DATA = files(__package__) / "data"

Either = AllocationInstance | MappingInstance

#: Column of the instance to the names that it may have in a file.
_COLUMNS = {
    "id": ("id", "buffer", "buffer_id"),
    "lower": ("lower", "begin", "start"),
    "upper": ("upper", "end"),
    "size": ("size",),
    "alignment": ("alignment",),
    "hint": ("hint",),
    "offset": ("offset",),
    "gaps": ("gaps",),
}
_NEEDED = ("id", "lower", "upper", "size")
_PROFILE = ("flops", "bandwidth", "fast_ratio")
_PROGRAM_OPTIONS = ("capacity", "unit", "size_scale", "pin", "name", *_PROFILE)


def read(path: Path | str, **options: Any) -> Either:
    """The instance in a file; see the module for the formats.

    Args:
        path: The file; its stem becomes the name of the instance.
        **options: For buffers ``capacity``: bytes (an int), or a multiple of the load (a float),
            and ``name``. For programs ``capacity``: units (an int), or a share of the peak live
            bytes (a float), ``unit``, ``size_scale``, ``pin``, ``flops``, ``bandwidth``,
            ``fast_ratio``, ``name``; see ``Program.instance`` and ``Profile``. For the JSON of an
            instance ``name``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such an instance; the message names the file and the line.
    """
    path, ending = Path(path), Path(path).suffix.lower()
    if ending == ".csv":
        return _read_csv(path, options)
    if ending != ".json":
        raise ValueError(f"{path.name}: suffix {ending!r}, expected .csv (buffers) or .json.")
    data = read_json(path)
    if isinstance(data, Mapping) and "ins" in data:
        _check_options(options, _PROGRAM_OPTIONS, path.name)
        speeds = {key: options.pop(key) for key in _PROFILE if key in options}
        program = parse_program(data, path.name, read_text(path), path.stem)
        mapped: MappingInstance = _placed(
            path.name, lambda: program.instance(profile=Profile(**speeds), **options)
        )
        return mapped
    kinds: dict[Any, type[Either]] = {
        kind.problem: kind for kind in (AllocationInstance, MappingInstance)
    }
    problem = data.get("problem") if isinstance(data, Mapping) else None
    if problem not in kinds:
        raise ValueError(
            f"{path.name}: problem {problem!r}, expected a program ('ins') or one of:"
            f" {', '.join(kinds)}."
        )
    _check_options(options, ("name",), path.name)
    instance = kinds[problem].from_json(data, path.name)
    return replace(instance, **options) if options else instance


def _check_options(options: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(
            f"unknown option {unknown[0]!r} for {place}, expected some of: {', '.join(known)}."
        )


def _placed(place: str, make: Any) -> Any:
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


# Buffers.


def _read_csv(path: Path, options: dict[str, Any]) -> AllocationInstance:
    _check_options(options, ("capacity", "name"), path.name)
    match = re.search(r"\.(\d+)$", path.stem)
    capacity = options.get("capacity", int(match[1]) if match else 0)
    name = options.get("name", path.stem[: match.start()] if match else path.stem)
    return parse_csv(read_text(path), path.name, capacity=capacity, name=name)


def parse_csv(text: str, place: str, *, capacity: float = 0, name: str = "") -> AllocationInstance:
    """The buffers in a text of MiniMalloc's layout; ``place`` names it in error messages."""
    table = _table(text, place)
    _check_table(table, place)
    sizes = _column(table, "size", place)
    lowers = _column(table, "lower", place)
    uppers = _column(table, "upper", place) + (1 if "end" in table[0] else 0)
    for line, lower, upper, size in zip(table[2], lowers, uppers, sizes, strict=True):
        if size < 1:
            raise ValueError(f"{place}, line {line}: size {size}, expected >= 1.")
        if upper <= lower:
            raise ValueError(
                f"{place}, line {line}: lower {lower} and upper {upper}, expected upper > lower."
            )
    extra: dict[str, Any] = {
        field: _column(table, column, place) if column in _found(table[0]) else None
        for field, column in (("alignments", "alignment"), ("hints", "hint"))
    }
    ids = tuple(row[_found(table[0])["id"]].strip() for row in table[1])
    instance = _placed(
        place, lambda: AllocationInstance(lowers, uppers, sizes, ids=ids, name=name, **extra)
    )
    if isinstance(capacity, float):
        capacity = round(capacity * instance.load)
    if isinstance(capacity, int) and capacity > 0:
        for line, size in zip(table[2], sizes.tolist(), strict=True):
            if size > capacity:
                raise ValueError(
                    f"{place}, line {line}: size {size}, expected at most the capacity {capacity}."
                )
    made: AllocationInstance = _placed(place, lambda: replace(instance, capacity=capacity))
    return made


_Table = tuple[list[str], list[list[str]], list[int]]  # header, rows, their lines


def _table(text: str, place: str) -> _Table:
    reader = csv.reader(io.StringIO(text))
    rows, numbers = [], []
    try:
        for row in reader:
            if any(word.strip() for word in row):
                rows.append(row)
                numbers.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{place}, line {reader.line_num}: {error}, expected CSV.") from None
    return [word.strip().lower() for word in rows[0]], rows[1:], numbers[1:]


def _found(header: list[str]) -> dict[str, int]:
    """Column of the instance to its place in the file."""
    known = (
        (column, header.index(n)) for column, ns in _COLUMNS.items() for n in ns if n in header
    )
    return dict(known)


def _check_table(table: _Table, place: str) -> None:
    header, rows, numbers = table
    found = _found(header)
    for column in _NEEDED:
        if column not in found:
            raise ValueError(
                f"{place}, line 1: no column {column!r}, expected {', '.join(_NEEDED)}."
            )
    if not rows:
        raise ValueError(f"{place}: no buffers, expected at least 1.")
    seen: dict[str, int] = {}
    for row, line in zip(rows, numbers, strict=True):
        if len(row) != len(header):
            raise ValueError(f"{place}, line {line}: {len(row)} values, expected {len(header)}.")
        name = row[found["id"]].strip()
        if name in seen:
            raise ValueError(f"{place}, line {line}: id {name!r} as in line {seen[name]}, expected"
                             " another.")  # fmt: skip
        seen[name] = line
        if "gaps" in found and row[found["gaps"]].strip():
            raise ValueError(f"{place}, line {line}: gaps in a lifetime, expected none.")


def _column(table: _Table, column: str, place: str) -> Any:
    header, rows, numbers = table
    at = _found(header)[column]
    values = []
    for row, line in zip(rows, numbers, strict=True):
        word = row[at].strip()
        if re.fullmatch(r"[-+]?\d{1,15}", word) is None:
            raise ValueError(
                f"{place}, line {line}: {word[:40]!r} as {column}, expected an integer."
            )
        values.append(int(word))
    return np.array(values, dtype=np.int64)


def read_offsets(path: Path | str) -> AllocationSolution:
    """The packing in the ``offset`` column of a CSV file, as MiniMalloc writes it.

    Raises:
        ValueError: If it is not such a file.
    """
    path = Path(path)
    table = _table(read_text(path), path.name)
    _check_table(table, path.name)
    if "offset" not in _found(table[0]):
        raise ValueError(f"{path.name}, line 1: no column 'offset'.")
    return AllocationSolution(_column(table, "offset", path.name))


def to_csv(instance: AllocationInstance, solution: AllocationSolution | None = None) -> str:
    """MiniMalloc's layout, with the offsets of a solution if one is given."""
    ids = instance.ids or tuple(map(str, range(instance.num_buffers)))
    columns: dict[str, Any] = {
        "id": ids,
        "lower": instance.lowers.tolist(),
        "upper": instance.uppers.tolist(),
        "size": instance.sizes.tolist(),
    }
    if instance.alignments is not None:
        columns["alignment"] = instance.alignments.tolist()
    if instance.hints is not None:
        columns["hint"] = instance.hints.tolist()
    if solution is not None:
        columns["offset"] = solution.offsets.tolist()
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue()


def write(instance: Either, path: Path | str) -> None:
    """Write an instance as CSV or JSON, as the ending of the name asks for; see the module.

    Raises:
        ValueError: If the format cannot hold the instance.
    """
    path, ending = Path(path), Path(path).suffix.lower()
    if ending == ".json":
        write_text(path, to_json_text(instance))
        return
    if ending != ".csv" or not isinstance(instance, AllocationInstance):
        raise ValueError(f"{path.name}: cannot hold {instance.problem}, expected a .json name.")
    match = re.search(r"\.(\d+)$", path.stem)
    if instance.capacity != (int(match[1]) if match else 0):
        stem = path.stem[: match.start()] if match else path.stem
        number = f".{instance.capacity}" if instance.capacity else ""
        raise ValueError(f"{path.name}: no capacity, expected the name {stem}{number}.csv.")
    write_text(path, to_csv(instance))


def normalise(text: str, place: str) -> str:
    """The lines of a text without white space at their ends, for its SHA-256."""
    return "".join(f"{line.strip()}\n" for line in text.splitlines() if line.strip())


# Programs.


def parse_program(data: Mapping[str, Any], place: str, text: str = "", name: str = "") -> Program:
    """A program from its JSON; see the module.

    Args:
        data: The JSON.
        place: What to call it in error messages.
        text: The text that it was read from, to name lines.
        name: Name of the program.

    Raises:
        ValueError: If it is no program; the message names the instruction, and its line.
    """
    sizes, kinds, results = (data.get(key) for key in ("size", "kind", "out"))
    listed = data.get("ins")
    if not isinstance(listed, list) or not isinstance(sizes, dict) or not isinstance(kinds, dict):
        raise ValueError(f"{place}: expected a list 'ins', and objects 'size' and 'kind'.")
    if not isinstance(results, list):
        raise ValueError(f"{place}: expected a list 'out'.")
    instructions = []
    known = {b for b, kind in kinds.items() if kind != "temp"}
    for t, entry in enumerate(listed):
        where = f"{_line(entry, place, text)}instruction {t}"
        instruction = _instruction(entry, where)
        _check_buffers(instruction, where, sizes, kinds, known)
        instructions.append(instruction)
    for b in results:
        if b not in known:
            raise ValueError(f"{place}: result {b!r}, expected a buffer that is defined.")
    return Program(tuple(instructions), dict(sizes), dict(kinds), tuple(results), name)


def _line(entry: Any, place: str, text: str) -> str:
    """``"file, line 3, "`` where an instruction's name stands first."""
    name = entry.get("name") if isinstance(entry, dict) else None
    at = text.find(json.dumps(name)) if isinstance(name, str) else -1
    return f"{place}, line {text.count(chr(10), 0, at) + 1}, " if at >= 0 else f"{place}, "


def _instruction(entry: Any, where: str) -> Instruction:
    keys = {"name": str, "op": str, "ops": list, "outs": list, "fl": int}
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: {type(entry).__name__}, expected an object.")
    for key, kind in keys.items():
        if not isinstance(entry.get(key), kind) or isinstance(entry.get(key), bool):
            raise ValueError(f"{where}: {key} {entry.get(key)!r}, expected {kind.__name__}.")
    if entry["fl"] < 0:
        raise ValueError(f"{where}: fl {entry['fl']}, expected >= 0.")
    return Instruction(
        entry["name"], entry["op"], tuple(entry["ops"]), tuple(entry["outs"]), entry["fl"]
    )


def _check_buffers(
    instruction: Instruction,
    where: str,
    sizes: Mapping[str, Any],
    kinds: Mapping[str, Any],
    known: set[str],
) -> None:
    """Buffers are described, defined once, and defined before they are read."""
    for b in (*instruction.reads, *instruction.writes):
        if not isinstance(b, str) or b not in sizes or b not in kinds:
            raise ValueError(f"{where}: buffer {b!r}, expected one that 'size' and 'kind' know.")
        if isinstance(sizes[b], bool) or not isinstance(sizes[b], int) or sizes[b] < 1:
            raise ValueError(f"{where}: buffer {b!r} of size {sizes[b]!r}, expected >= 1.")
        if kinds[b] not in KINDS:
            raise ValueError(f"{where}: buffer {b!r} of kind {kinds[b]!r}, expected {KINDS}.")
    for b in instruction.reads:
        if b not in known:
            raise ValueError(f"{where}: reads {b!r} before its definition.")
    for b in instruction.writes:
        if b in known:
            raise ValueError(f"{where}: defines {b!r} again, expected a new buffer.")
        known.add(b)


def program_text(program: Program) -> str:
    """The JSON of a program, one instruction a line, which :func:`read` maps on a machine."""
    rows = [
        json.dumps({"name": i.name, "op": i.op, "ops": i.reads, "outs": i.writes, "fl": i.flops})
        for i in program.instructions
    ]
    parts = [
        '"ins": [\n' + ",\n".join(rows) + "\n]",
        f'"size": {json.dumps({b: program.sizes[b] for b in program.used})}',
        f'"kind": {json.dumps({b: program.kinds[b] for b in program.used})}',
        f'"out": {json.dumps(list(program.results))}',
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


# The public benchmarks.

_FILES = {
    **{letter: f"minimalloc/{letter}.1048576.csv" for letter in "ABCDEFGHIJK"},
    "resnet50": "idealloc/somas/resnet50.csv",
    "pangu_2.6B": "idealloc/somas/pangu_2.6B.csv",
    "G_1": "idealloc/iopddl/G_1.csv",
    "S_1": "idealloc/iopddl/S_1.csv",
    "Y_1": "idealloc/iopddl/Y_1.csv",
}

#: Sets of benchmarks by name: the challenging ones of MiniMalloc, and the large ones.
SETS = {"minimalloc": tuple("ABCDEFGHIJK"), "large": ("pangu_2.6B", "S_1", "Y_1")}


def names() -> tuple[str, ...]:
    """The benchmarks, all of buffers; their files are fetched into the cache."""
    return tuple(_FILES)


def load(name: str, **options: Any) -> AllocationInstance:
    """The benchmark of that name, e.g. ``"A"``.

    Args:
        name: One of :func:`names`.
        **options: ``capacity``, as for :func:`read`.

    Raises:
        ValueError: If there is no such benchmark, or it is not in the cache and cannot be fetched.
    """
    if name not in _FILES:
        raise ValueError(f"unknown memory_mapping benchmark {name!r}.")
    wanted = f"memory_mapping/{_FILES[name]}"
    (entry,) = (e for e in data_cache.entries("memory_mapping") if e.file == wanted)
    path = data_cache.path(entry, normalise)
    return _read_csv(path, {"name": name, **options})


def best_known(instance: Either) -> Reference | None:
    """Published bounds of a public instance, recognised by its content, whatever its name."""
    if not isinstance(instance, AllocationInstance) or instance.alignments is not None:
        return None
    row = _published().get(content_key(instance))
    if row is None:
        return None
    return Reference(instance.load, int(row["peak"]), "the load", row["source"])


def content_key(instance: AllocationInstance) -> str:
    """What ``memory_allocation_best.csv`` knows an instance by: a hash of its three arrays."""
    rows = (instance.lowers, instance.uppers, instance.sizes)
    text = "\n".join(" ".join(map(str, row.tolist())) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _published() -> dict[str, dict[str, str]]:
    table = (_DATA / "memory_allocation_best.csv").read_text(encoding="utf-8").splitlines()
    return {row["key"]: row for row in csv.DictReader(table)}
