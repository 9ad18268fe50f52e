"""Flexible job shops in files: the FJSP text format of the field, and our own JSON.

*FJSP* (Brandimarte 1993): a line ``n m`` (perhaps with a third number, the mean count of eligible
machines), then one line per job: the number of operations, and for each of them the number of its
eligible machines with that many pairs ``machine time``. Machines are counted from 0 where a machine
0 occurs, else from 1. Lines that start with ``#`` are comments. The text holds eligible machines
and times only; JSON holds every field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .core import to_json_text
from .job_shop_flexible_model import FlexibleJobShopInstance
from .text import Line, lines, read_json, read_text, write_text

#: Fields that a file's reader may be given; they replace those of the file.
OPTIONS = tuple(
    field.name
    for field in dataclass_fields(FlexibleJobShopInstance)
    if field.name not in ("times", "num_operations")
)


def read(path: Path | str, **options: Any) -> FlexibleJobShopInstance:
    """The flexible job shop in a file.

    Args:
        path: The file; its stem becomes the name of the instance.
        **options: Further fields of the instance, e.g. ``buffer="blocking"``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a flexible job shop; the message names the file and the line.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        shop = FlexibleJobShopInstance.from_json(read_json(path), path.name)
        return with_fields(shop, {"name": shop.name or path.stem, **options})
    return with_fields(parse(read_text(path), path.name), {"name": path.stem, **options})


def with_fields(
    instance: FlexibleJobShopInstance, options: dict[str, Any]
) -> FlexibleJobShopInstance:
    """The instance with other fields.

    Raises:
        ValueError: If a field is unknown or refused.
    """
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise ValueError(
            f"unknown option {unknown[0]!r} for flexible_job_shop, expected some of:"
            f" {', '.join(OPTIONS)}."
        )
    return replace(instance, **options) if options else instance


def looks_flexible(text: str) -> bool:
    """Whether a text reads as FJSP and not as a shop in the standard or the ragged format."""
    rows = list(lines(text, "text"))
    try:
        sizes, jobs = rows[0].integers(), [row.integers() for row in rows[1:]]
    except (ValueError, IndexError):
        return False
    standard = len(sizes) == 2 and all(
        len(job) == 2 * sizes[1] or job[-2:] == [-1, -1] for job in jobs
    )
    if standard or len(sizes) not in (2, 3) or len(jobs) != sizes[0]:
        return False
    try:
        for row in rows[1:]:
            _parse_job(row)
    except ValueError:
        return False
    return True


def parse(text: str, place: str) -> FlexibleJobShopInstance:
    """The flexible job shop in a text; ``place`` names it in error messages."""
    rows = list(lines(text, place))
    if not rows:
        raise ValueError(f"{place}: only comments, expected a line 'n m'.")
    num_jobs, num_machines = _sizes(rows[0])
    if len(rows) - 1 != num_jobs:
        raise ValueError(
            f"{place}: {len(rows) - 1} lines of operations, expected {num_jobs} (one per job)."
        )
    jobs = [_parse_job(row) for row in rows[1:]]
    used = {machine for job in jobs for operation in job for machine, _ in operation}
    first = 0 if 0 in used else 1
    shifted = [
        [_eligible(operation, first, num_machines, row) for operation in job]
        for job, row in zip(jobs, rows[1:], strict=True)
    ]
    try:
        return FlexibleJobShopInstance.from_lists(shifted, num_machines)
    except ValueError as error:  # the sum of the times
        raise ValueError(f"{place}: {error}") from None


def _sizes(row: Line) -> tuple[int, int]:
    words = row.text.split()
    if len(words) not in (2, 3):
        raise ValueError(f"{row.place}: {len(words)} numbers, expected 'n m', perhaps with a mean.")
    numbers = Line(row.place, " ".join(words[:2])).integers()
    if min(numbers) < 1:
        raise ValueError(
            f"{row.place}: {numbers[0]} jobs and {numbers[1]} machines, expected >= 1."
        )
    return numbers[0], numbers[1]


def _parse_job(row: Line) -> list[list[tuple[int, int]]]:
    """The pairs ``(machine, time)`` of each operation of a job."""
    numbers = row.integers()
    rest = iter(numbers[1:])
    if numbers[0] < 1:
        raise ValueError(f"{row.place}: {numbers[0]} operations, expected at least 1.")
    job = []
    for k in range(numbers[0]):
        count = _next(rest, row, f"the number of machines of operation {k}")
        if count < 1:
            raise ValueError(f"{row.place}: operation {k} has no eligible machine, expected >= 1.")
        job.append(
            [
                (_next(rest, row, f"a machine of operation {k}"), _next(rest, row, "its time"))
                for _ in range(count)
            ]
        )
    if left := len(list(rest)):
        raise ValueError(f"{row.place}: {left} numbers after the last operation, expected none.")
    return job


def _next(numbers: Iterator[int], row: Line, what: str) -> int:
    for number in numbers:
        return number
    raise ValueError(f"{row.place}: ends too early, expected {what}.")


def _eligible(
    operation: list[tuple[int, int]], first: int, num_machines: int, row: Line
) -> dict[int, int]:
    eligible: dict[int, int] = {}
    for machine, time in operation:
        if not first <= machine < first + num_machines:
            last = first + num_machines - 1
            raise ValueError(f"{row.place}: machine {machine}, expected {first}..{last}.")
        if not 0 <= time < 2**53:
            raise ValueError(f"{row.place}: processing time {time}, expected 0..2^53 - 1.")
        if machine - first in eligible:
            raise ValueError(f"{row.place}: machine {machine} twice in one operation.")
        eligible[machine - first] = time
    return eligible


def write(instance: FlexibleJobShopInstance, path: Path | str) -> None:
    """Write a flexible job shop: JSON if the name ends in ``.json``, else FJSP text.

    Raises:
        ValueError: If it has more than eligible machines and times, which the text cannot hold.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        write_text(path, to_json_text(instance))
        return
    plain = FlexibleJobShopInstance(instance.times, instance.num_operations)
    if plain != instance:
        raise ValueError(
            f"{path.name}: text holds eligible machines and times only, expected a .json name."
        )
    write_text(path, to_text(instance))


def to_text(instance: FlexibleJobShopInstance) -> str:
    """The FJSP format, machines counted from 0 unless machine 0 is never used."""
    eligible = instance.times >= 0
    first = 0 if eligible[:, :, 0].any() else 1
    rows = [f"{instance.num_jobs} {instance.num_machines}"]
    for j, length in enumerate(instance.num_operations.tolist()):
        numbers = [length]
        for k in range(length):
            machines = np.flatnonzero(eligible[j, k]).tolist()
            numbers.append(len(machines))
            for machine in machines:
                numbers += [machine + first, int(instance.times[j, k, machine])]
        rows.append(" ".join(map(str, numbers)))
    return "\n".join(rows) + "\n"
