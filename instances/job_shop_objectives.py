"""What jobs of a shop may carry besides their operations, and what may be minimised.

Job ``j`` has a release date ``r_j``, perhaps a due date ``d_j``, and a weight ``w_j``; with its
completion ``C_j`` the objectives are

- ``makespan``: ``max_j C_j``;
- ``weighted_tardiness``: ``sum_j w_j max(0, C_j - d_j)``;
- ``flow_time``: ``sum_j w_j (C_j - r_j)``.

All are in ticks (times weights), and none gets better when a job ends later.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .core import IntArray, int_array

OBJECTIVES = ("makespan", "weighted_tardiness", "flow_time")

#: Times and costs stay below this, so that they are exact as floats.
LIMIT = 2**53


def cost(objective: str, ends: IntArray, releases: IntArray, due: Any, weights: IntArray) -> int:
    """The objective of completion times.

    Args:
        objective: One of :data:`OBJECTIVES`.
        ends: ``(n,)`` completion times.
        releases: ``(n,)`` release dates.
        due: ``(n,)`` due dates; needed for the tardiness only.
        weights: ``(n,)`` weights.
    """
    if objective == "makespan":
        return int(ends.max())
    late = ends - releases if objective == "flow_time" else np.maximum(ends - due, 0)
    return int((weights * late).sum())


def name_of(objective: str) -> str:
    """The objective in words."""
    return objective.replace("_", " ")


def check_choice(field: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless a field has one of its values."""
    if value not in choices:
        raise ValueError(f"{field} {value!r}, expected one of: {', '.join(choices)}.")


def per_job(values: Any, field: str, num_jobs: int, default: int, lowest: int) -> IntArray:
    """``(n,)`` integers of a field, or its default in every place.

    Raises:
        ValueError: If the shape is another, or a value is out of range.
    """
    if values is None:
        values = np.full(num_jobs, default, dtype=np.int64)
    array = int_array(values, field, 1)
    if array.shape != (num_jobs,):
        raise ValueError(f"{field} {array.shape}, expected ({num_jobs},).")
    for j in np.flatnonzero((array < lowest) | (array >= LIMIT)):
        raise ValueError(f"job {j}: {field} {array[j]}, expected {lowest}..2^53 - 1.")
    return array


def due_dates(values: Any, releases: IntArray, objective: str) -> IntArray | None:
    """``(n,)`` due dates, none before its release.

    Raises:
        ValueError: If one is, or the tardiness is to be minimised without due dates.
    """
    if values is None:
        if objective == "weighted_tardiness":
            raise ValueError("objective 'weighted_tardiness' without due_dates, expected them.")
        return None
    due = per_job(values, "due_dates", len(releases), 0, 0)
    for j in np.flatnonzero(due < releases):
        raise ValueError(f"job {j}: due date {due[j]}, expected at or after release {releases[j]}.")
    return due


def check_downtimes(values: Any, num_machines: int) -> IntArray:
    """``(D, 3)`` rows ``(machine, begin, end)``, sorted.

    Raises:
        ValueError: If a row is out of range, or two rows of a machine overlap.
    """
    if values is None or np.size(values) == 0:
        values = np.zeros((0, 3), dtype=np.int64)
    rows = int_array(values, "downtimes", 2)
    if rows.shape[1] != 3:
        raise ValueError(f"downtimes {rows.shape}, expected rows (machine, begin, end).")
    for machine, begin, end in rows.tolist():
        if not 0 <= machine < num_machines:
            raise ValueError(f"downtime of machine {machine}, expected 0..{num_machines - 1}.")
        if not 0 <= begin < end < LIMIT:
            raise ValueError(
                f"machine {machine}: downtime [{begin}, {end}), expected 0 <= begin < end."
            )
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    for (machine, begin, end), (other, later, last) in pairwise(rows):
        if machine == other and later < end:
            raise ValueError(
                f"machine {machine}: downtimes [{begin}, {end}) and [{later}, {last}) overlap."
            )
    return int_array(rows, "downtimes", 2)


def check_size(horizon: int, objective: str, weights: IntArray) -> None:
    """Raise ``ValueError`` where times or costs could leave the exact range."""
    if horizon >= LIMIT:
        raise ValueError(f"times up to {horizon}, expected below 2^53.")
    if objective != "makespan" and horizon * sum(weights.tolist()) >= LIMIT:
        raise ValueError(
            f"costs up to {horizon * sum(weights.tolist())} (times {horizon} by the sum of the"
            " weights), expected below 2^53."
        )
