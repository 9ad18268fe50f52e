"""Comparisons: from arguments to a grid of instances, solvers and seeds, and to its table."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..baselines import registry as library
from ..baselines.solver import Solver
from ..instances.core import Instance
from ..instances.registry import family as family_named
from ..instances.registry import family_of, load_all, load_from
from . import tables
from .fingerprint import fingerprint
from .progress import Progress, bar, silent
from .store import Store, run_key
from .study import Cell, Contender, Study

if TYPE_CHECKING:
    import pandas as pd

#: A solver, or a score over named columns, as a function.
Given = Callable[..., Any]


def compare(
    family: str,
    instances: str | Path | Sequence[Any],
    solvers: str | Given | Sequence[str | Given] = (),
    *,
    rules: str | Given | Sequence[str | Given] = (),
    time_limit: float | None = None,
    seeds: int | Sequence[int] = 1,
    workers: int = 1,
    executor: str = "process",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    out: Path | str | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Run every solver on every instance with every seed, and compare the objectives.

    Each run has a process of its own; one that fails or is killed becomes a row with the status
    ``error``, and so does one that is killed long after its time limit (twice the limit and half a
    minute). With ``out``, every finished run is kept at once, and a study that is started again
    does only what is missing or has failed. Ctrl-C ends the running ones and returns what is
    finished, with ``frame.attrs["interrupted"]`` true. ``frame.attrs["note"]`` says so where
    durations are random and the bounds clairvoyant.

    Args:
        family: Name of the family, e.g. ``"job_shop"``.
        instances: Instances, names, globs of names (``"la*"``) and files, or one string of them
            separated by commas.
        solvers: Names, ``"file.py:function"`` and functions, or one string of names separated by
            commas. A function goes by its ``__name__``; results are stored under its code.
        rules: Rules in files, ``"file.py:function"``, or functions: one score over named columns
            each.
        time_limit: Wall time per run, in seconds; ``None`` for each solver's own end.
        seeds: The seeds, or their number: 3 stands for 0, 1, 2.
        workers: Number of runs at the same time.
        executor: ``"process"``; no other is available in this version.
        options: Solver name to options of that solver.
        out: Folder for ``results.sqlite``, ``results.csv`` and ``report.html``.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        One row per run with ``instance, solver, seed, objective, gap, bound_gap, status, seconds``,
        then ``bound`` (proven by this run), ``best_known``, ``best_known_source``, ``best_bound``,
        ``message`` (why a run failed) and the family's metrics. All objectives were computed by the
        referee. ``gap`` is the relative distance to ``best_known``: the best published objective,
        or, where nothing is published, the best of this study. ``bound_gap`` is the one to
        ``best_bound``, the best *proven* lower bound: the largest of the published bound, the
        family's own and those that the solvers of this study proved for the instance.

    Raises:
        ValueError: If an instance, a solver or an argument is not understood; nothing was run or
            written then.
    """
    study = _plan(family, instances, solvers, rules, time_limit, seeds, workers, executor, options)
    folder = None if out is None else _prepared(Path(out))
    with nullcontext() if folder is None else Store(folder / "results.sqlite") as store:
        interrupted = study.run(store, bar if progress is None else _bar(progress))
    frame = study.frame()
    frame.attrs["interrupted"] = interrupted
    frame.attrs["note"] = tables.note(cell.instance for cell in study.cells)
    if folder is not None:
        study.write(folder, frame)
    return frame


def _bar(wanted: bool) -> Callable[[int], Progress]:
    return functools.partial(bar, force=True) if wanted else silent


# From arguments to a grid.


def _plan(
    family: str,
    instances: str | Path | Sequence[Any],
    solvers: str | Given | Sequence[str | Given],
    rules: str | Given | Sequence[str | Given],
    time_limit: float | None,
    seeds: int | Sequence[int],
    workers: int,
    executor: str,
    options: Mapping[str, Mapping[str, Any]] | None,
) -> Study:
    family_named(family)
    _check(time_limit, workers, executor)
    labelled = _labelled(_instances(family, instances))
    contenders = _contenders(_split(solvers), _split(rules), options or {})
    numbers = _seeds(seeds)
    cells = []
    functions: dict[tuple[str, str], tuple[Solver, str]] = {}
    for label, instance in labelled:
        for contender in contenders:
            where = (contender.name, instance.problem)
            if where not in functions:
                solver = contender.solver(instance.problem)
                content = contender.content or _registered_content(instance.problem, contender)
                functions[where] = solver, content
            cells += [
                _cell(label, instance, contender, *functions[where], seed, time_limit)
                for seed in numbers
            ]
    return Study(family, cells, time_limit, workers)


def _cell(
    label: str,
    instance: Any,
    contender: Contender,
    solver: Solver,
    content: str,
    seed: int,
    time_limit: float | None,
) -> Cell:
    key = run_key(
        instance.digest,
        contender.identity,
        contender.options,
        seed,
        time_limit,
        solver.version,
        content,
    )
    return Cell(key, label, instance, contender, solver, content, seed)


def _registered_content(problem: str, contender: Contender) -> str:
    """Hash of a solver that was registered from Python; empty for those of the library."""
    known = {**library.rules(problem), **library.solvers(problem)}
    return "" if contender.text in known else fingerprint(contender.solver(problem))


def _check(time_limit: float | None, workers: int, executor: str) -> None:
    if executor == "ray":
        raise ValueError(
            "executor 'ray': Ray is not available in this version, expected 'process'."
        )
    if executor != "process":
        raise ValueError(f"unknown executor {executor!r}, expected 'process'.")
    if workers < 1:
        raise ValueError(f"workers {workers}, expected at least 1.")
    if time_limit is not None and not 0 < time_limit < math.inf:
        raise ValueError(f"time limit {time_limit}, expected more than 0 seconds.")


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not numbers:
        raise ValueError(f"seeds {seeds}, expected at least 1.")
    if min(numbers) < 0:
        raise ValueError(f"seed {min(numbers)}, expected >= 0.")
    return numbers


def _split(texts: Any) -> list[Any]:
    """The parts of a comma-separated string, or the items of a list, each once."""
    if callable(texts) or isinstance(texts, Instance | Path):
        return [texts]
    parts = [part.strip() for part in texts.split(",")] if isinstance(texts, str) else list(texts)
    return list(dict.fromkeys(part for part in parts if part != ""))


def _instances(family: str, given: str | Path | Sequence[Any]) -> list[Any]:
    module, found = family_named(family), []
    for item in _split(given):
        if isinstance(item, Path):
            found.append(load_from(family, str(item)))
        else:
            found += load_all(family, [item]) if isinstance(item, str) else [item]
    if not found:
        raise ValueError("no instances, expected names, globs of names or files.")
    for item in found:
        if not isinstance(item, Instance):
            raise ValueError(f"{type(item).__name__}, expected an instance or its name.")
        if family_of(item) is not module:
            raise ValueError(f"instance {item.name!r} of {item.problem}, expected {family}.")
    return found


def _labelled(instances: Sequence[Any]) -> list[tuple[str, Any]]:
    """Each instance once, with a name that no other has."""
    unique = list({(item.name, item.digest): item for item in instances}.values())
    names = [item.name or f"{item.problem}-{item.digest[:6]}" for item in unique]
    return [
        (name if names.count(name) == 1 else f"{name}#{item.digest[:6]}", item)
        for name, item in zip(names, unique, strict=True)
    ]


def _contenders(
    solvers: Sequence[Any], rules: Sequence[Any], options: Mapping[str, Mapping[str, Any]]
) -> list[Contender]:
    if not solvers and not rules:
        raise ValueError("no solvers, expected names, file.py:function or rules.")
    contenders: dict[str, Contender] = {}
    for given, is_rule in [*((s, False) for s in solvers), *((r, True) for r in rules)]:
        text, function = _named(given)
        if is_rule and function is None and ":" not in text:
            raise ValueError(f"rule {text!r}, expected file.py:function or a function.")
        short = text.rpartition(":")[2] if is_rule else text
        name = text if short in contenders else short
        if name in contenders:
            raise ValueError(f"two solvers {name!r}, expected different names.")
        chosen = check_options(name, options.get(name, {}))
        content = _content(text) if function is None else fingerprint(function)
        contenders[name] = Contender(name, text, is_rule, chosen, content, function)
    if unknown := sorted(set(options) - set(contenders)):
        listed = ", ".join(contenders)
        raise ValueError(f"options of {unknown[0]!r}, expected one of the solvers: {listed}.")
    return list(contenders.values())


def _named(given: Any) -> tuple[str, Given | None]:
    """The name of a solver or rule, and the function if it was given as one."""
    if isinstance(given, str):
        return given, None
    if not callable(given):
        raise ValueError(f"{type(given).__name__}, expected a solver's name or a function.")
    return getattr(given, "__name__", type(given).__name__), given


def check_options(solver: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, if they are JSON data and none stands for an argument of every solver.

    Raises:
        ValueError: If not.
    """
    for name in ("instance", "solver", "time_limit", "seed", "start", "on_incumbent"):
        if name in options:
            raise ValueError(f"{solver}: {name!r} is no option of the solver, expected others.")
    try:
        json.dumps(options)
    except TypeError as error:
        raise ValueError(f"options of {solver}: {error}, expected JSON data.") from None
    return options


def _content(text: str) -> str:
    file = text.rpartition(":")[0]
    if not file or not Path(file).is_file():  # find() says what is wrong
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _prepared(folder: Path) -> Path:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: a file, expected a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
