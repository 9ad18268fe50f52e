"""Studies as TOML files: what is compared, and how the comparison is told.

```toml
question = "How far from optimal are dispatching rules?"
references = ["as_published"]   # optional: further columns of gaps
workers = 2                     # runs at the same time
executor = "process"            # or "serial", "ray"
memory_limit = 4.0              # GiB per run

[[grid]]                        # one or more
family = "tardiness"
instances = ["paper100"]        # names, globs, sets, files; or groups of them by name:
# instances = { "100 jobs" = ["paper100"], "500 jobs" = ["paper500"] }
set = { cv = 0.1 }              # options of the reader
seeds = 3                       # so many, or a list
time_limit = 10                 # seconds, or a list of them
solvers = [
  "edd",
  { solver = "atc", name = "ATC", options = { k = 2.0 } },
  { solver = "atc", sweep = { k = [0.5, 1.0, 2.0] } },
  { rule = "my_rule.py:score" },
]
```

Files are looked for beside the study's file.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import grid
from .study import Study

#: Folder of the studies that come with the library.
STUDIES = Path(__file__).parent / "studies"

_STUDY = {
    "question": str,
    "references": list,
    "workers": int,
    "executor": str,
    "memory_limit": (int, float),
    "grid": list,
}
_GRID = {
    "family": str,
    "instances": (list, dict),
    "set": dict,
    "seeds": (int, list),
    "time_limit": (int, float, list),
    "solvers": list,
}
_SOLVER = {"solver": str, "rule": str, "name": str, "options": dict, "sweep": dict}


@dataclass(frozen=True)
class Spec:
    """A study's file.

    Attributes:
        name: Name of the file without suffix.
        question: What the study asks; may be empty.
        study: Its grid, nothing of which has run.
    """

    name: str
    question: str
    study: Study


def find(text: str) -> Path:
    """The file of a study: a path, or the name of one that comes with the library.

    Raises:
        ValueError: If there is neither.
    """
    if text in (shipped := [path.stem for path in sorted(STUDIES.glob("*.toml"))]):
        return STUDIES / f"{text}.toml"
    if Path(text).is_file():
        return Path(text)
    raise ValueError(f"no study {text!r}, expected a TOML file or one of: {', '.join(shipped)}.")


def read(path: Path, *, workers: int | None = None, executor: str | None = None) -> Spec:
    """The study that a TOML file describes.

    Args:
        path: The file.
        workers: Overrules the file's.
        executor: Overrules the file's.

    Raises:
        ValueError: If the file is not understood; the message names the file and the key.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path.name}: {error}, expected TOML.") from None
    try:
        _check(data, _STUDY, "", required=("grid",))
        if not data["grid"]:
            raise ValueError("no grid, expected at least one.")
        with contextlib.chdir(path.parent):
            cells = grid.cells([_grid(part, f"grid {i}") for i, part in enumerate(data["grid"])])
            study = Study(
                cells,
                workers=workers or data.get("workers", 1),
                executor=executor or data.get("executor", "process"),
                memory_limit=_bytes(data.get("memory_limit")),
                references=data.get("references", []),
            )
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    return Spec(path.stem, data.get("question", ""), study)


def _bytes(gibibytes: float | None) -> int | None:
    if gibibytes is not None and not 0 < gibibytes < 2**20:
        raise ValueError(f"memory_limit {gibibytes}, expected more than 0 GiB.")
    return None if gibibytes is None else int(gibibytes * 2**30)


def _grid(data: Any, place: str) -> grid.Grid:
    _check(data, _GRID, place, required=("family", "instances", "solvers"))
    family, options = data["family"], data.get("set", {})
    groups = data["instances"]
    if not isinstance(groups, Mapping):
        groups = {"": groups}
    instances = {
        name: grid.instances_of(family, group, **options) for name, group in groups.items()
    }
    limits = data.get("time_limit")
    time_limits = limits if isinstance(limits, list) else [limits]
    for limit in time_limits:
        grid.check_limit(limit)
    contenders = [c for item in data["solvers"] for c in _contenders(item, place)]
    names = [contender.name for contender in contenders]
    if not contenders or not time_limits:
        raise ValueError(f"{place}: no solvers or no time limit, expected at least one.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{place}: two solvers {twice!r}, expected different names.")
    return grid.Grid(
        family, instances, contenders, grid.seed_list(data.get("seeds", 1)), time_limits
    )


def _contenders(item: Any, place: str) -> list[grid.Contender]:
    entry: Any = {"solver": item} if isinstance(item, str) else item
    _check(entry, _SOLVER, f"{place}, solvers")
    is_rule = "rule" in entry
    if is_rule == ("solver" in entry):
        raise ValueError(f"{place}, solvers: {entry}, expected either 'solver' or 'rule'.")
    text = entry["rule" if is_rule else "solver"]
    if is_rule and ":" not in text:
        raise ValueError(f"{place}, solvers: rule {text!r}, expected file.py:function.")
    name, options = entry.get("name", text.rpartition(":")[2]), entry.get("options", {})
    if "sweep" in entry:
        return grid.swept(text, name, options, entry["sweep"], is_rule=is_rule)
    return [grid.contender(text, name, options, is_rule=is_rule)]


def _check(data: Any, known: Mapping[str, Any], place: str, required: Sequence[str] = ()) -> None:
    """Raise ``ValueError`` if a table has an unknown, missing or mistyped key."""
    prefix = f"{place}: " if place else ""
    if not isinstance(data, Mapping):
        raise ValueError(f"{prefix}{data!r}, expected a table with {', '.join(known)}.")
    for key, value in data.items():
        if key not in known:
            raise ValueError(f"{prefix}unknown key {key!r}, expected some of: {', '.join(known)}.")
        kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
        if not isinstance(value, kinds) or isinstance(value, bool):
            listed = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{prefix}{key} = {value!r}, expected {listed}.")
    for key in required:
        if key not in data:
            raise ValueError(f"{prefix}no {key!r}, expected it.")
