"""A study: a grid of runs, those of them that are finished, and the gaps of them all."""

from __future__ import annotations

import functools
import importlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..agents.play import rule_solver
from ..agents.solvers import find, rule_from_file
from ..baselines.registry import rules as rules_of
from ..baselines.rules import Rule, uniform
from ..baselines.solver import Solver, Status
from ..baselines.solver import solver as make_solver
from ..instances.core import Family, Objective, gap
from ..instances.registry import family as family_named
from ..instances.text import write_text
from .pool import Outcome, in_processes
from .progress import Progress
from .store import Run, Store, as_objective, machine

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger("gapgym")

#: Imported before the fork where a solver of that name takes part, so that no run pays for it.
_HEAVY = {"cp_sat": "ortools.sat.python.cp_model", "gnn": "torch"}

#: A run is killed so many seconds after twice its time limit.
_PATIENCE = 30.0

#: The columns that every comparison has, before the family's metrics.
COLUMNS = (
    "instance",
    "solver",
    "seed",
    "objective",
    "gap",
    "bound_gap",
    "status",
    "seconds",
    "bound",
    "best_known",
    "best_known_source",
    "best_bound",
    "message",
)


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
    """

    name: str
    text: str
    is_rule: bool
    options: Mapping[str, Any]
    content: str
    function: Callable[..., Any] | None = None

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
        return ("rule:" if self.is_rule else "solver:") + self.text.rpartition(":")[2]


@dataclass(frozen=True)
class Cell:
    """One run of the grid, to be made or found; ``content`` is the hash of the user's code."""

    key: str
    label: str
    instance: Any
    contender: Contender
    solver: Solver
    content: str
    seed: int


class Study:
    """A grid of runs, and those of them that are finished."""

    def __init__(
        self, family: str, cells: Sequence[Cell], time_limit: float | None, workers: int
    ) -> None:
        self.family_name = family
        self.family: Family = family_named(family)
        self.cells = cells
        self.time_limit = time_limit
        self.workers = workers
        self.finished: dict[str, Run] = {}

    def run(self, store: Store | None, progress: Callable[[int], Progress]) -> bool:
        """Make the runs that are missing.

        Returns:
            Whether the user interrupted them.
        """
        todo: dict[str, Cell] = {}
        for cell in self.cells:
            found = store.get(cell.key) if store is not None else None
            if found is not None and self._still_right(found, cell):
                self.finished[cell.key] = found
            else:
                todo.setdefault(cell.key, cell)
        cells = list(todo.values())
        _warm_up(cells)
        calls = [functools.partial(_solve, cell, self.time_limit) for cell in cells]
        with progress(len(cells)) as shown:
            try:
                running = in_processes(calls, self.workers, shown.tick, self._deadline())
                with closing(running) as outcomes:  # type: ignore[type-var]
                    for index, outcome in outcomes:
                        run = self._finish(cells[index], outcome)
                        if store is not None:
                            store.add(run, cells[index].instance)
                        self.finished[run.key] = run
                        shown.advance(f"{run.instance}, {run.solver}")
            except KeyboardInterrupt:
                return True
        return False

    def _deadline(self) -> float | None:
        """Seconds after which a run that does not keep its time limit is killed."""
        return None if self.time_limit is None else 2 * self.time_limit + _PATIENCE

    def _still_right(self, run: Run, cell: Cell) -> bool:
        """Whether a stored run needs no repetition: it did not fail, and the referee agrees."""
        if run.status is Status.ERROR:
            return False
        try:
            value = self._judge(cell.instance, run.solution)
        except ValueError as error:
            _log.warning("%s, %s: stored solution refused (%s)", cell.label, run.solver, error)
            return False
        return value == run.objective

    def _judge(self, instance: Any, plain: Mapping[str, Any] | None) -> Objective | None:
        """The referee's value of a solution that came as plain data."""
        if plain is None:
            return None
        kind = self.family.PROBLEMS[instance.problem][1]
        solution = kind.from_json(plain, "solution")
        self.family.validate(instance, solution)
        return self.family.objective(instance, solution)

    def _finish(self, cell: Cell, outcome: Outcome) -> Run:
        value: Mapping[str, Any] = outcome.value or {}
        message, status = outcome.error, value.get("status", Status.ERROR)
        if outcome.late:
            message += f", limit {self.time_limit:g} s"
        if message and cell.contender.options:
            message += f" (options {dict(cell.contender.options)})"
        objective = None
        try:
            objective = self._judge(cell.instance, value.get("solution"))
        except ValueError as error:
            message, status, value = f"solution refused: {error}", Status.ERROR, {}
        if message:
            _log.info("%s, %s, seed %d: %s", cell.label, cell.contender.name, cell.seed, message)
        reference = self.family.best_known(cell.instance)
        return Run(
            key=cell.key,
            family=self.family_name,
            problem=cell.instance.problem,
            instance=cell.instance.name,
            digest=cell.instance.digest,
            solver=cell.contender.name,
            version=cell.solver.version,
            content=cell.content,
            options=dict(cell.contender.options),
            seed=cell.seed,
            time_limit=self.time_limit,
            objective=objective,
            bound=as_objective(value.get("bound")),
            status=status,
            seconds=value.get("seconds"),
            metrics=value.get("metrics", {}),
            incumbents=value.get("incumbents", ()),
            solution=value.get("solution"),
            message=message,
            best_lower=reference.lower if reference else None,
            best_upper=reference.upper if reference else None,
            best_source=reference.upper_source if reference else "",
            gapgym=version("gapgym"),
            machine="{cores} CPUs, {system}, Python {python}".format(**machine()),
            workers=self.workers,
        )

    def results(self) -> list[tuple[Cell, Run]]:
        """The finished cells, in the order of the grid."""
        return [(c, self.finished[c.key]) for c in self.cells if c.key in self.finished]

    def frame(self) -> pd.DataFrame:
        """The table that :func:`compare` returns."""
        import pandas as pd

        results = self.results()
        references = self._references(results)
        rows = [_row(cell, run, *references[run.digest]) for cell, run in results]
        frame = pd.DataFrame(rows, columns=None if rows else list(COLUMNS))
        for name in ("objective", "bound", "best_known", "best_bound"):
            values = [row[name] for row in rows]
            plain = all(value is None or isinstance(value, int) for value in values)
            frame[name] = pd.Series(values, dtype="Int64" if plain else object)
        return frame

    def _references(
        self, results: Sequence[tuple[Cell, Run]]
    ) -> dict[str, tuple[Objective | None, str, Objective | None]]:
        """Per instance: best known objective, its source, and the best proven bound."""
        by_digest: dict[str, list[tuple[Cell, Run]]] = {}
        for cell, run in results:
            by_digest.setdefault(run.digest, []).append((cell, run))
        return {digest: self._reference(pairs) for digest, pairs in by_digest.items()}

    def _reference(
        self, pairs: Sequence[tuple[Cell, Run]]
    ) -> tuple[Objective | None, str, Objective | None]:
        instance, runs = pairs[0][0].instance, [run for _, run in pairs]
        published = self.family.best_known(instance)
        best = min((run.objective for run in runs if run.objective is not None), default=None)
        known, source = best, "this study" if best is not None else ""
        if published is not None and published.upper is not None:
            known, source = published.upper, published.upper_source
        claims = [self.family.lower_bound(instance), *(run.bound for run in runs)]
        claims += [published.lower] if published is not None else []
        bounds = [claim for claim in claims if claim is not None]
        believed = [bound for bound in bounds if best is None or bound <= best]  # type: ignore[operator]
        if len(believed) < len(bounds):
            _log.warning(
                "%s: a lower bound above the objective %s, which the referee confirmed; not used.",
                instance.name,
                best,
            )
        return known, source, max(believed, default=None)

    def write(self, folder: Path, frame: pd.DataFrame) -> None:
        """Write ``results.csv`` and ``report.html``."""
        from . import report

        write_text(folder / "results.csv", frame.to_csv(index=False))
        if len(frame):
            write_text(folder / "report.html", report.page(self, frame))


def _row(
    cell: Cell, run: Run, known: Objective | None, source: str, bound: Objective | None
) -> dict[str, Any]:
    values = (
        cell.label,
        cell.contender.name,
        run.seed,
        run.objective,
        _gap(run.objective, known),
        _gap(run.objective, bound),
        str(run.status),
        math.nan if run.seconds is None else run.seconds,
        run.bound,
        known,
        source,
        bound,
        run.message,
    )
    return {**dict(zip(COLUMNS, values, strict=True)), **run.metrics}


def _gap(objective: Objective | None, reference: Objective | None) -> float:
    return math.nan if objective is None or reference is None else gap(objective, reference)


def _solve(cell: Cell, time_limit: float | None) -> dict[str, Any]:
    """A run as plain data; called in the child process."""
    result = cell.solver(
        cell.instance, time_limit=time_limit, seed=cell.seed, **cell.contender.options
    )
    solution = result.solution
    return {
        "bound": result.bound,
        "status": result.status,
        "seconds": result.seconds,
        "metrics": dict(result.metrics),
        "incumbents": tuple((i.seconds, i.objective) for i in result.incumbents),
        "solution": None if solution is None else solution.to_json(),
    }


def _warm_up(cells: Sequence[Cell]) -> None:
    """Load what the runs need into this process, so that the forked ones do not pay for it."""
    for module in {_HEAVY[c.contender.text] for c in cells if c.contender.text in _HEAVY}:
        importlib.import_module(module)
    played = [c.instance for c in cells if _is_played(c)]
    for problem in {instance.problem for instance in played}:
        smallest = min((i for i in played if i.problem == problem), key=_size)
        try:
            rule_solver("uniform", Rule(uniform))(smallest)  # loads the compiled simulator
        except Exception:  # then the runs will say what is wrong
            _log.debug("warm-up failed", exc_info=True)


def _size(instance: Any) -> int:
    return sum(value.nbytes for value in vars(instance).values() if hasattr(value, "nbytes"))


def _is_played(cell: Cell) -> bool:
    return cell.contender.is_rule or cell.contender.text in rules_of(cell.instance.problem)
