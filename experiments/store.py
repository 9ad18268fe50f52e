"""The results of studies in one SQLite file: one committed row per run.

A run is identified by :func:`run_key`: what was solved, by what, and under which limits. A study
that is started again finds its finished runs by their keys and does not repeat them. Only the
process that owns the study writes; each run is one transaction, so that a killed study loses
nothing that was finished. The instances are kept beside the runs, so that every stored solution
can be judged by the referee again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..baselines.solver import Status
from ..instances.core import Objective
from ..instances.registry import family

#: Written into the file's header ("gapg"), so that a foreign database is recognised.
_APPLICATION = 0x67617067
#: Raised when the tables change; a file of an older version is brought up to date, one of a newer
#: version is refused.
SCHEMA = 2
#: What turns a version into the next one.
_UPDATES = {1: "ALTER TABLE runs ADD COLUMN cpu_seconds REAL"}

_TABLES = """
CREATE TABLE instances (
    digest TEXT PRIMARY KEY, family TEXT NOT NULL, problem TEXT NOT NULL, name TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE runs (
    key TEXT PRIMARY KEY, family TEXT NOT NULL, problem TEXT NOT NULL, instance TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES instances (digest), solver TEXT NOT NULL,
    version INTEGER NOT NULL, content TEXT NOT NULL, options TEXT NOT NULL, seed INTEGER NOT NULL,
    time_limit REAL, objective TEXT, bound TEXT, status TEXT NOT NULL, seconds REAL,
    cpu_seconds REAL,
    metrics TEXT NOT NULL, incumbents TEXT NOT NULL, solution BLOB, message TEXT NOT NULL,
    best_lower TEXT, best_upper TEXT, best_source TEXT NOT NULL, gapgym TEXT NOT NULL,
    machine TEXT NOT NULL, workers INTEGER NOT NULL, finished TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Run:
    """One finished run of a study.

    Attributes:
        key: See :func:`run_key`.
        family: Family of the instance.
        problem: Problem of the instance.
        instance: Name of the instance.
        digest: Content hash of the instance.
        solver: Name of the solver in tables.
        version: The solver's version.
        content: SHA-256 of the user's file that holds the solver or rule; empty for others.
        options: The solver's options.
        seed: Seed of the run.
        time_limit: Limit in seconds, or ``None``.
        objective: The referee's value, or ``None``.
        bound: The lower bound that the run proved, or ``None``.
        status: How the run ended.
        seconds: Wall time, or ``None`` where the run died.
        cpu_seconds: CPU time of all threads together, or ``None`` where the run died.
        metrics: The family's secondary figures.
        incumbents: ``(seconds, objective)`` of the improving solutions.
        solution: The solution as plain data (``Solution.to_json``), or ``None``.
        message: What went wrong, where the status is ``error``.
        best_lower: Best published lower bound, or ``None``.
        best_upper: Best published objective, or ``None``.
        best_source: Who published ``best_upper``.
        gapgym: Version of gapgym.
        machine: Number of CPUs and platform.
        workers: How many runs shared the machine.
        finished: Time of the end, UTC, ISO 8601.
    """

    key: str
    family: str
    problem: str
    instance: str
    digest: str
    solver: str
    version: int
    content: str
    options: Mapping[str, Any]
    seed: int
    time_limit: float | None
    objective: Objective | None
    bound: Objective | None
    status: Status
    seconds: float | None
    cpu_seconds: float | None
    metrics: Mapping[str, float]
    incumbents: tuple[tuple[float, Objective], ...]
    solution: Mapping[str, Any] | None
    message: str
    best_lower: Objective | None
    best_upper: Objective | None
    best_source: str
    gapgym: str
    machine: str
    workers: int
    finished: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


_COLUMNS = tuple(column.name for column in fields(Run))
_JSON_COLUMNS = (
    "options",
    "objective",
    "bound",
    "metrics",
    "incumbents",
    "best_lower",
    "best_upper",
)


def run_key(
    digest: str,
    solver: str,
    options: Mapping[str, Any],
    seed: int,
    time_limit: float | None,
    version: int,
    content: str = "",
) -> str:
    """SHA-256 (hexadecimal) of what decides a run's result.

    Args:
        digest: Content hash of the instance.
        solver: Name of the solver; for a user's file the name of the function, since the file may
            lie anywhere.
        options: The solver's options; must be JSON data.
        seed: Seed of the run.
        time_limit: Limit in seconds, or ``None``.
        version: The solver's version.
        content: Hash of a user's file.
    """
    limit = None if time_limit is None else float(time_limit)
    parts = [digest, solver, options, seed, limit, version, content]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def machine() -> dict[str, Any]:
    """What runs and measurements ran on: processor, cores, system and Python."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


class Store:
    """A results file, created if it does not exist.

    Use it as a context manager, or call :meth:`close`.

    Raises:
        ValueError: If the file is no results store, of a newer version, or cannot be opened.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            # Another study on the same file holds it for milliseconds at a time.
            self._database = sqlite3.connect(self.path, timeout=60)
        except sqlite3.Error as error:
            raise ValueError(f"{self.path}: {error}, expected a results store.") from None
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def _prepare(self) -> None:
        with self._errors(), self._database as database:
            database.execute("BEGIN IMMEDIATE")
            (application,) = database.execute("PRAGMA application_id").fetchone()
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if application == 0 and tables == 0:
                for statement in filter(str.strip, _TABLES.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {_APPLICATION}")
                database.execute(f"PRAGMA user_version = {SCHEMA}")
            elif application != _APPLICATION:
                raise ValueError(
                    f"{self.path}: another program's database, expected a results store."
                )
            elif not 1 <= schema <= SCHEMA:
                raise ValueError(
                    f"{self.path}: results of version {schema}, expected at most {SCHEMA}."
                )
            for older in range(max(schema, 1) if application else SCHEMA, SCHEMA):
                database.execute(_UPDATES[older])
                database.execute(f"PRAGMA user_version = {older + 1}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" not in str(error):
                raise ValueError(f"{self.path}: {error}, expected a results store.") from None
            raise ValueError(
                f"{self.path}: {error}, expected room for results; those before are kept."
            ) from None
        except sqlite3.Error as error:
            raise ValueError(f"{self.path}: {error}, expected a results store.") from None

    def add(self, run: Run, instance: Any) -> None:
        """Keep a run and its instance, in one transaction; an older run of that key is replaced."""
        values = [_encode(name, getattr(run, name)) for name in _COLUMNS]
        data = _pack(instance.to_json())
        marks = ", ".join("?" * len(_COLUMNS))
        with self._errors(), self._database as database:
            database.execute(
                "INSERT OR IGNORE INTO instances VALUES (?, ?, ?, ?, ?)",
                (run.digest, run.family, run.problem, run.instance, data),
            )
            database.execute(
                f"INSERT OR REPLACE INTO runs ({', '.join(_COLUMNS)}) VALUES ({marks})", values
            )

    def take(self, other: Store) -> int:
        """Copy the runs of another store that are missing here, or have failed here and not there.

        Returns:
            How many were copied.
        """
        taken = 0
        for run in other.runs():
            mine = self.get(run.key)
            if mine is None or (mine.status is Status.ERROR and run.status is not Status.ERROR):
                self.add(run, other.instance(run.digest))
                taken += 1
        return taken

    def get(self, key: str) -> Run | None:
        """The run of that key, or ``None``."""
        found = self._select("WHERE key = ?", (key,))
        return found[0] if found else None

    def runs(self) -> list[Run]:
        """All runs, in the order of their end."""
        return self._select("ORDER BY rowid", ())

    def instance(self, digest: str) -> Any:
        """The instance of that digest.

        Raises:
            ValueError: If there is none, or its content is not that of the digest.
        """
        with self._errors():
            row = self._database.execute(
                "SELECT family, problem, name, data FROM instances WHERE digest = ?", (digest,)
            ).fetchone()
        if row is None:
            raise ValueError(f"{self.path}: no instance with digest {digest}.")
        family_name, problem, name, data = row
        kind = family(family_name).PROBLEMS[problem][0]
        found = kind.from_json(_unpack(data), f"{self.path}, instance {name!r}")
        if found.digest != digest:
            raise ValueError(
                f"{self.path}, instance {name!r}: digest {found.digest}, expected {digest}."
            )
        return found

    def _select(self, condition: str, values: tuple[Any, ...]) -> list[Run]:
        with self._errors():
            query = f"SELECT {', '.join(_COLUMNS)} FROM runs {condition}"
            rows = self._database.execute(query, values).fetchall()
        return [self._run(row) for row in rows]

    def _run(self, row: tuple[Any, ...]) -> Run:
        try:
            decoded = {name: _decode(name, v) for name, v in zip(_COLUMNS, row, strict=True)}
        except (ValueError, TypeError, zlib.error) as error:
            raise ValueError(
                f"{self.path}, run {row[0]}: {error}, expected a stored run."
            ) from None
        return Run(**decoded)


def _encode(name: str, value: Any) -> Any:
    if name == "solution":
        return None if value is None else _pack(value)
    if name in _JSON_COLUMNS:
        return None if value is None else json.dumps(value)
    return str(value) if name == "status" else value


def _decode(name: str, value: Any) -> Any:
    if name == "status":
        return Status(value)
    if value is None or name not in (*_JSON_COLUMNS, "solution"):
        return value
    if name == "solution":
        return _unpack(value)
    plain = json.loads(value)
    if name == "incumbents":
        return tuple((seconds, as_objective(objective)) for seconds, objective in plain)
    return as_objective(plain)


def as_objective(value: Any) -> Any:
    """An objective as it was before JSON: lists are tuples."""
    return tuple(value) if isinstance(value, list) else value


def _pack(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode())


def _unpack(data: bytes) -> Any:
    return json.loads(zlib.decompress(data))
