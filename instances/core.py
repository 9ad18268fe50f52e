"""What every problem family shares: instances, solutions, references and the gap.

An *instance* is frozen data, checked once in its constructor; a *solution* is frozen arrays. Each
family module (``instances/<family>.py``) offers the functions of :class:`Family`, so that code
that loops over families needs no ``if``. ``validate`` and ``objective`` are the **referee**: they
are written from the definition of the problem and see only the instance and the solution.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from .picture import Picture

if TYPE_CHECKING:
    import pandas as pd

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Everything is minimised; a tuple is compared left to right.
Objective = int | tuple[int, ...]


class Record:
    """Frozen dataclass of arrays and scalars, with JSON in and out.

    Subclasses are ``@dataclass(frozen=True, eq=False)``; two records are equal when their
    :attr:`digest` is, so they can be kept in sets and used as keys.
    """

    #: Which problem the record belongs to, e.g. ``"job_shop"``; the key of the solver registry.
    problem: ClassVar[str]
    name: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) over everything but the name."""
        digest = hashlib.sha256(type(self).__name__.encode())
        for field in fields(self):  # type: ignore[arg-type]
            if field.name == "name":
                continue
            value = getattr(self, field.name)
            digest.update(field.name.encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.dtype.str}{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
            else:
                digest.update(repr(value).encode())
        return digest.hexdigest()

    @classmethod
    def trusted(cls, **values: Any) -> Self:
        """A record of arrays that our own simulators made: no copy, no check."""
        record = object.__new__(cls)
        record.__dict__.update(values)
        for value in values.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        return record

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``{"problem": ..., field: value, ...}``, arrays as nested lists."""
        plain: dict[str, Any] = {"problem": self.problem}
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            plain[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return plain

    @classmethod
    def from_json(cls, data: Any, where: str = "JSON") -> Self:
        """The record that :meth:`to_json` wrote.

        Args:
            data: A mapping with the fields of the class; fields with a default may be left out.
            where: What to call the data in an error message, e.g. the file's name.

        Raises:
            ValueError: If a field is missing, unknown or refused by the constructor.
        """
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: {type(data).__name__}, expected an object with {names}.")
        given = {key: value for key, value in data.items() if key != "problem"}
        problem = data.get("problem", cls.problem)
        if problem != cls.problem:
            raise ValueError(f"{where}: problem {problem!r}, expected {cls.problem!r}.")
        if unknown := sorted(set(given) - set(names)):
            raise ValueError(f"{where}: unknown field {unknown[0]!r}, expected some of: {names}.")
        try:
            return cls(**given)
        except TypeError as error:
            raise ValueError(f"{where}: {error}, expected the fields {names}.") from None
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None


class Instance(Record):
    """The data of one problem to solve."""


class Solution(Record):
    """A complete answer to an instance, or, in the middle of an episode, a partial one."""

    name = ""

    def to_frame(self) -> pd.DataFrame:
        """The solution as a table, one row per decision."""
        raise TypeError(f"{type(self).__name__} has no table form.")


@dataclass(frozen=True)
class Reference:
    """Best known bounds of a public instance, each with its source.

    Attributes:
        lower: Best proven lower bound, or ``None``.
        upper: Objective of the best published solution, or ``None``.
        lower_source: Who proved ``lower``, e.g. ``"OptalCP 2026"``.
        upper_source: Who published ``upper``.
    """

    lower: Objective | None
    upper: Objective | None
    lower_source: str = ""
    upper_source: str = ""


class Family(Protocol):
    """What a module ``instances/<family>.py`` offers (modules are its instances)."""

    #: Problem name to (instance class, solution class).
    PROBLEMS: Mapping[str, tuple[type[Any], type[Any]]]
    #: Generator name to generator; ``"uniform-20x15"`` is parsed by :func:`named_generator`.
    GENERATORS: Mapping[str, Callable[..., Any]]

    def names(self) -> Sequence[str]:
        """Names of the public benchmark instances that ``load`` knows."""

    def load(self, name: str) -> Any:
        """The public benchmark instance of that name."""

    def read(self, path: Path | str, **options: Any) -> Any:
        """The instance in a file."""

    def write(self, instance: Any, path: Path | str) -> None:
        """Write an instance so that ``read`` returns an equal one."""

    def normalise(self, text: str, place: str) -> str:
        """A public file's text in the form that the cache keeps, whatever its white space."""

    def generate(self, *args: Any, seed: Any, **options: Any) -> Any:
        """A random instance."""

    def validate(self, instance: Any, solution: Any) -> None:
        """Raise ``ValueError`` naming the first violated constraint."""

    def objective(self, instance: Any, solution: Any) -> Objective:
        """The objective of a solution, from scratch."""

    def lower_bound(self, instance: Any) -> Objective:
        """A proven bound that needs no search."""

    def upper_bound(self, instance: Any) -> Objective:
        """No sensible solution costs more; what an infeasible episode is charged."""

    def metrics(self, instance: Any, solution: Any) -> dict[str, float]:
        """Rates and secondary figures of a solution."""

    def best_known(self, instance: Any) -> Reference | None:
        """Published bounds of a public instance, recognised by its content."""

    def picture(self, instance: Any, solution: Any) -> Picture:
        """What the solution looks like."""


def gap(objective: Objective, reference: Objective) -> float:
    """Relative distance of an objective to a reference value.

    ``(objective - reference) / |reference|``; 0 if equal; NaN where the reference is 0. Tuples are
    compared at the first level that differs.

    Raises:
        ValueError: If one is a tuple and the other is not, or their lengths differ.
    """
    ours, theirs = _levels(objective), _levels(reference)
    if len(ours) != len(theirs):
        raise ValueError(f"objective {objective} and reference {reference}: expected one form.")
    for a, b in zip(ours, theirs, strict=True):
        if a != b:
            return (a - b) / abs(b) if b else math.nan
    return 0.0


def gap_level(objective: Objective, reference: Objective) -> int | None:
    """Index of the level at which :func:`gap` is measured; ``None`` if the two are equal."""
    pairs = zip(_levels(objective), _levels(reference), strict=True)
    return next((level for level, (a, b) in enumerate(pairs) if a != b), None)


def _levels(value: Objective) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def int_array(values: Any, what: str, ndim: int) -> IntArray:
    """A read-only, contiguous int64 copy of ``values``.

    Raises:
        ValueError: If the values are not integers or not ``ndim``-dimensional.
    """
    try:
        array = np.asarray(values)
    except ValueError:  # ragged nested lists
        array = np.empty(0, dtype=object)
    if array.size == 0 and array.dtype != object:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != ndim:
        kind = "ragged or not numeric" if array.dtype == object else f"{array.dtype} {array.shape}"
        raise ValueError(f"{what}: {kind}, expected integers in {ndim} dimension(s).")
    if array.dtype == np.uint64 and array.max(initial=0) >= 2**63:  # would wrap around
        raise ValueError(f"{what}: {array.max()}, expected integers in 64 bits, signed.")
    array = np.array(array, dtype=np.int64, order="C")
    array.flags.writeable = False
    return array


def to_json_text(record: Record) -> str:
    """The JSON text of a record, one field per line."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.to_json().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"
