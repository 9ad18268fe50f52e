"""Grids: from the names of instances, solvers and seeds to the cells of a study."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..agents.play import rule_solver
from ..agents.solvers import find, rule_from_file
from ..baselines import registry as library
from ..baselines.rules import Rule
from ..baselines.solver import Solver
from ..baselines.solver import solver as make_solver
from ..instances.core import Instance
from ..instances.registry import family as family_named
from ..instances.registry import family_of, load_all, load_from
from .fingerprint import fingerprint
from .store import run_key

#: A solver, or a score over named columns, as a function.
Given = Callable[..., Any]


@dataclass(frozen=True)
class Contender:
    """A solver as it takes part in a study.

    Attributes:
        name: In tables.
        text: As it was given.
        is_rule: Whether ``text`` names a score and not a solver.
        options: Passed to the solver.
        content: SHA-256 of the user's file or function; empty where it is neither.
        function: The function, where it was given as one.
        sweep: Name that contenders share which differ in swept options alone; else empty.
    """

    name: str
    text: str
    is_rule: bool
    options: Mapping[str, Any]
    content: str
    function: Given | None = None
    sweep: str = ""

    def solver(self, problem: str) -> Solver:
        """The function that solves instances of a problem."""
        if self.function is not None:
            if self.is_rule:
                return rule_solver(self.name, Rule(self.function))
            made = hasattr(self.function, "version")
            return self.function if made else make_solver(name=self.name)(self.function)  # type: ignore[return-value]
        return rule_from_file(self.text) if self.is_rule else find(problem, self.text)

    @property
    def identity(self) -> str:
        """What the key of stored runs calls it: independent of where a user's file lies."""
        if not self.content:
            return self.text
        if self.text.endswith(".safetensors"):
            return "policy"
        return ("rule:" if self.is_rule else "solver:") + self.text.rpartition(":")[2]


@dataclass(frozen=True)
class Cell:
    """One run of a study, to be made or found.

    Attributes:
        key: See :func:`run_key`.
        label: Name of the instance in tables, which no other instance of the study has.
        instance: The instance.
        contender: The solver that runs.
        solver: Its function.
        content: Hash of the user's code.
        seed: Seed of the run.
        time_limit: In seconds, or ``None``.
        group: The part of the study that the instance belongs to; empty if there are no parts.
    """

    key: str
    label: str
    instance: Any
    contender: Contender
    solver: Solver
    content: str
    seed: int
    time_limit: float | None
    group: str = ""


@dataclass(frozen=True)
class Grid:
    """Instances of a family x solvers x seeds x time limits.

    Attributes:
        family: Name of the family.
        instances: What to solve, in groups by name; a single group may have the name ``""``.
        contenders: Who solves.
        seeds: Seeds of the runs.
        time_limits: Wall time per run in seconds; ``None`` for each solver's own end.
    """

    family: str
    instances: Mapping[str, Sequence[Any]]
    contenders: Sequence[Contender]
    seeds: Sequence[int] = (0,)
    time_limits: Sequence[float | None] = field(default=(None,))


def cells(grids: Sequence[Grid]) -> list[Cell]:
    """The cells of some grids, each once.

    With several time limits, a contender's name in tables carries its own.
    """
    found: dict[tuple[str, str, str], Cell] = {}
    labels = _labels(grids)
    for grid in grids:
        for cell in _of_grid(grid, _labelled(grid, labels)):
            found.setdefault((cell.key, cell.label, cell.contender.name), cell)
    _check_names(list(found.values()))
    return list(found.values())


def _check_names(cells: Sequence[Cell]) -> None:
    """Raise ``ValueError`` if two different runs would have one name in tables."""
    seen: dict[tuple[str, str, int], Cell] = {}
    for cell in cells:
        name = cell.label, cell.contender.name, cell.seed
        if seen.setdefault(name, cell).key != cell.key:
            raise ValueError(
                f"two different solvers {cell.contender.name!r} for {cell.label}, expected"
                " different names (name = ...)."
            )


def _of_grid(grid: Grid, labelled: Sequence[tuple[str, str, Any]]) -> list[Cell]:
    functions: dict[tuple[str, str], tuple[Solver, str]] = {}
    made = []
    for group, label, instance in labelled:
        for contender, limit in itertools.product(grid.contenders, grid.time_limits):
            where = (contender.name, instance.problem)
            if where not in functions:
                solver = contender.solver(instance.problem)
                content = contender.content or _content_of(solver, instance.problem, contender)
                functions[where] = solver, content
            shown = contender
            if len(grid.time_limits) > 1 and limit is not None:
                shown = _at(contender, limit)
            made += [
                _cell(group, label, instance, shown, *functions[where], seed, limit)
                for seed in grid.seeds
            ]
    return made


def _at(contender: Contender, limit: float) -> Contender:
    """The contender under the name that tells its time limit."""
    sweep = f"{contender.sweep}@{limit:g}s" if contender.sweep else ""
    return replace(contender, name=f"{contender.name}@{limit:g}s", sweep=sweep)


def _cell(
    group: str,
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
    return Cell(key, label, instance, contender, solver, content, seed, time_limit, group)


def _content_of(solver: Solver, problem: str, contender: Contender) -> str:
    """Hash of a policy, or of what was registered from Python; empty for the library's solvers."""
    if content := getattr(solver, "content", ""):
        return str(content)
    known = {**library.rules(problem), **library.solvers(problem)}
    return "" if contender.text in known else fingerprint(solver)


# Instances.


def instances_of(family: str, given: Any, **options: Any) -> list[Any]:
    """Instances, names, globs of names and files as instances of a family.

    Args:
        family: Name of the family.
        given: One of them, a list of them, or a string of names separated by commas.
        **options: Options of the reader.

    Raises:
        ValueError: If one is not understood, or there are none.
    """
    module, found = family_named(family), []
    for item in split(given):
        if isinstance(item, Path):
            found.append(load_from(family, str(item), **options))
        else:
            found += load_all(family, [item], **options) if isinstance(item, str) else [item]
    if not found:
        raise ValueError("no instances, expected names, globs of names or files.")
    for item in found:
        if not isinstance(item, Instance):
            raise ValueError(f"{type(item).__name__}, expected an instance or its name.")
        if family_of(item) is not module:
            raise ValueError(f"instance {item.name!r} of {item.problem}, expected {family}.")
    return found


def _labels(grids: Sequence[Grid]) -> dict[tuple[str, str, str], str]:
    """(Family, name, digest) of all instances to labels, of which no two are equal."""
    families = {grid.family for grid in grids}
    unique: dict[tuple[str, str, str], str] = {}
    for grid in grids:
        for item in itertools.chain(*grid.instances.values()):
            name = item.name or f"{item.problem}-{item.digest[:6]}"
            prefix = f"{grid.family}/" if len(families) > 1 else ""
            unique[grid.family, item.name, item.digest] = prefix + name
    taken = Counter(unique.values())
    return {
        key: label if taken[label] == 1 else f"{label}#{key[2][:6]}"
        for key, label in unique.items()
    }


def _labelled(grid: Grid, labels: Mapping[tuple[str, str, str], str]) -> list[tuple[str, str, Any]]:
    """(Group, label, instance) of each instance, once."""
    found: dict[str, tuple[str, str, Any]] = {}
    for group, members in grid.instances.items():
        for item in members:
            label = labels[grid.family, item.name, item.digest]
            found.setdefault(label, (group, label, item))
    return list(found.values())


# Solvers.


def contenders(
    solvers: Sequence[Any], rules: Sequence[Any], options: Mapping[str, Mapping[str, Any]]
) -> list[Contender]:
    """Solvers and rules, as texts or functions, with their options, each under its own name.

    Raises:
        ValueError: If there are none, two have one name, or options are of none of them.
    """
    if not solvers and not rules:
        raise ValueError("no solvers, expected names, file.py:function or rules.")
    found: dict[str, Contender] = {}
    for given, is_rule in [*((s, False) for s in solvers), *((r, True) for r in rules)]:
        text, function = _named(given)
        if is_rule and function is None and ":" not in text:
            raise ValueError(f"rule {text!r}, expected file.py:function or a function.")
        short = text.rpartition(":")[2] if is_rule else text
        name = text if short in found else short
        if name in found:
            raise ValueError(f"two solvers {name!r}, expected different names.")
        found[name] = contender(given, name, options.get(name, {}), is_rule=is_rule)
    if unknown := sorted(set(options) - set(found)):
        listed = ", ".join(found)
        raise ValueError(f"options of {unknown[0]!r}, expected one of the solvers: {listed}.")
    return list(found.values())


def contender(
    given: Any, name: str, options: Mapping[str, Any], *, is_rule: bool = False, sweep: str = ""
) -> Contender:
    """One solver or rule, as a text or a function, under a name.

    Raises:
        ValueError: If it is neither, or an option is not one that a solver may have.
    """
    text, function = _named(given)
    content = _content(text) if function is None else fingerprint(function)
    return Contender(name, text, is_rule, check_options(name, options), content, function, sweep)


def swept(
    given: Any, name: str, options: Mapping[str, Any], sweep: Any, *, is_rule: bool = False
) -> list[Contender]:
    """A contender for each combination of the values of some options.

    Raises:
        ValueError: If the sweep is not a mapping of options to lists of values.
    """
    if not isinstance(sweep, Mapping) or not all(isinstance(v, list) and v for v in sweep.values()):
        raise ValueError(f"sweep of {name}: {sweep!r}, expected a list of values per option.")
    made = []
    for values in itertools.product(*sweep.values()):
        chosen = dict(zip(sweep, values, strict=True))
        label = ",".join(f"{key}={value}" for key, value in chosen.items())
        made.append(
            contender(given, f"{name}[{label}]", {**options, **chosen}, is_rule=is_rule, sweep=name)
        )
    return made


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
    file = text if text.endswith(".safetensors") else text.rpartition(":")[0]
    if not file or not Path(file).is_file():  # find() says what is wrong
        return ""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


# Numbers.


def check_limit(time_limit: float | None) -> None:
    """Raise ``ValueError`` if a time limit is neither ``None`` nor a positive, finite number."""
    if isinstance(time_limit, str | bool | list) or (
        time_limit is not None and not 0 < time_limit < math.inf
    ):
        raise ValueError(f"time limit {time_limit}, expected more than 0 seconds.")


def seed_list(seeds: int | Sequence[int]) -> list[int]:
    """The seeds, or the first so many.

    Raises:
        ValueError: If there are none, or one is negative.
    """
    numbers = list(range(seeds)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not numbers:
        raise ValueError(f"seeds {seeds}, expected at least 1.")
    if wrong := [n for n in numbers if isinstance(n, bool) or not isinstance(n, int)]:
        raise ValueError(f"seed {wrong[0]!r}, expected an integer.")
    if min(numbers) < 0:
        raise ValueError(f"seed {min(numbers)}, expected >= 0.")
    return numbers


def split(texts: Any) -> list[Any]:
    """The parts of a comma-separated string, or the items of a list, each once."""
    if callable(texts) or isinstance(texts, Instance | Path):
        return [texts]
    parts = [part.strip() for part in texts.split(",")] if isinstance(texts, str) else list(texts)
    return list(dict.fromkeys(part for part in parts if part != ""))
