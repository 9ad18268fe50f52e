"""A study: a grid of runs, those of them that are finished, and the gaps of them all."""

from __future__ import annotations

import functools
import importlib
import json
import logging
import math
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..agents.play import rule_solver
from ..agents.solvers import PolicySolver
from ..baselines.registry import rules as rules_of
from ..baselines.rules import Rule, uniform
from ..baselines.solver import Status
from ..instances.core import Objective, gap
from ..instances.registry import family_of
from ..instances.registry import references as references_of
from ..instances.text import write_text
from . import stats, tables
from .grid import Cell
from .pool import Outcome, executor_named
from .progress import Progress
from .store import Run, Store, as_objective, machine

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger("gapgym")

#: Imported before the fork where a solver of that name takes part, so that no run pays for it.
_HEAVY = {"cp_sat": "ortools.sat.python.cp_model"}

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
    "cpu_seconds",
    "time_limit",
    "primal_integral",
    "group",
    "bound",
    "best_known",
    "best_known_source",
    "best_bound",
    "message",
)


class Study:
    """A grid of runs, and those of them that are finished.

    Args:
        cells: The runs, see :func:`grid.cells`.
        workers: Number of runs at the same time.
        executor: How they are spread, see :mod:`pool`.
        memory_limit: Bytes that a run may use (executor ``"process"``), or ``None``.
        references: Names of further reference values, see :func:`references`.

    Raises:
        ValueError: If an argument is not understood.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        *,
        workers: int = 1,
        executor: str = "process",
        memory_limit: int | None = None,
        references: Sequence[str] = (),
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers {workers}, expected at least 1.")
        for name in references:
            for instance in {cell.instance.problem: cell.instance for cell in cells}.values():
                if name not in (known := references_of(instance)):
                    listed = ", ".join(known)
                    raise ValueError(f"reference {name!r}, expected one of: {listed}.")
        self._execute = executor_named(executor)
        self.cells = cells
        self.workers = workers
        self.memory_limit = memory_limit
        self.references = references
        self.finished: dict[str, Run] = {}

    def look_up(self, store: Store, *, retry: bool) -> list[Cell]:
        """Take the finished runs from a store, and return the cells that are to be run.

        Args:
            store: Where runs are kept.
            retry: Whether a run that failed counts as missing.
        """
        todo: dict[str, Cell] = {}
        for cell in self.cells:
            found = store.get(cell.key)
            if found is not None and self._counts(found, cell, retry):
                self.finished[cell.key] = found
            else:
                todo.setdefault(cell.key, cell)
        return list(todo.values())

    def _counts(self, run: Run, cell: Cell, retry: bool) -> bool:
        """Whether a stored run needs no repetition."""
        if run.status is Status.ERROR:
            return not retry
        return self._still_right(run, cell)

    def run(
        self, store: Store | None, progress: Callable[[int], Progress], *, retry: bool = True
    ) -> bool:
        """Make the runs that are missing.

        Args:
            store: Where runs are kept and looked up, or ``None``.
            progress: Made for a number of runs, and told of each.
            retry: Whether to run again what has failed.

        Returns:
            Whether the user interrupted them.
        """
        missing = list({cell.key: cell for cell in self.cells}.values())
        cells = missing if store is None else self.look_up(store, retry=retry)
        with _single_threads():
            _warm_up(cells)
            return self._make(cells, store, progress)

    def _make(
        self, cells: Sequence[Cell], store: Store | None, progress: Callable[[int], Progress]
    ) -> bool:
        calls = [functools.partial(solve_cell, cell) for cell in cells]
        deadlines = [_deadline(cell.time_limit) for cell in cells]
        with progress(len(cells)) as shown:
            try:
                running = self._execute(
                    calls,
                    self.workers,
                    tick=shown.tick,
                    deadlines=deadlines,
                    memory_limit=self.memory_limit,
                )
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

    def _still_right(self, run: Run, cell: Cell) -> bool:
        """Whether the referee agrees with a stored run."""
        try:
            value = _judge(cell.instance, run.solution)
        except ValueError as error:
            _log.warning("%s, %s: stored solution refused (%s)", cell.label, run.solver, error)
            return False
        return value == run.objective

    def _finish(self, cell: Cell, outcome: Outcome) -> Run:
        value: Mapping[str, Any] = outcome.value or {}
        message, status = outcome.error, value.get("status", Status.ERROR)
        if outcome.late:
            message += f", limit {cell.time_limit:g} s"
        if message and cell.contender.options:
            message += f" (options {dict(cell.contender.options)})"
        objective, family = None, family_of(cell.instance)
        try:
            json.dumps([value.get(name) for name in ("bound", "metrics", "incumbents", "solution")])
            objective = _judge(cell.instance, value.get("solution"))
        except TypeError as error:
            message, status, value = f"result refused: {error}", Status.ERROR, {}
        except ValueError as error:
            message, status, value = f"solution refused: {error}", Status.ERROR, {}
        if message:
            _log.info("%s, %s, seed %d: %s", cell.label, cell.contender.name, cell.seed, message)
        reference = family.best_known(cell.instance)
        return Run(
            key=cell.key,
            family=family.__name__.rpartition(".")[2],  # type: ignore[attr-defined]
            problem=cell.instance.problem,
            instance=cell.instance.name,
            digest=cell.instance.digest,
            solver=cell.contender.name,
            version=cell.solver.version,
            content=cell.content,
            options=dict(cell.contender.options),
            seed=cell.seed,
            time_limit=cell.time_limit,
            objective=objective,
            bound=as_objective(value.get("bound")),
            status=status,
            seconds=value.get("seconds"),
            cpu_seconds=value.get("cpu_seconds"),
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
        known = self._references(results)
        rows = [
            {**_row(cell, run, *known[run.digest]), **self._other_gaps(cell, run), **run.metrics}
            for cell, run in results
        ]
        frame = pd.DataFrame(rows, columns=None if rows else list(COLUMNS))
        for name in ("objective", "bound", "best_known", "best_bound"):
            values = [row[name] for row in rows]
            plain = all(value is None or isinstance(value, int) for value in values)
            frame[name] = pd.Series(values, dtype="Int64" if plain else object)
        frame.attrs["note"] = tables.note(cell.instance for cell in self.cells)
        return frame

    def _other_gaps(self, cell: Cell, run: Run) -> dict[str, float]:
        """Gaps to the further reference values that the study names."""
        gaps = {}
        for name in self.references:
            found = references_of(cell.instance)[name](cell.instance)
            gaps[f"gap_{name}"] = _gap(run.objective, None if found is None else found.upper)
        return gaps

    def _references(
        self, results: Sequence[tuple[Cell, Run]]
    ) -> dict[str, tuple[Objective | None, str, Objective | None]]:
        """Per instance: best known objective, its source, and the best proven bound."""
        by_digest: dict[str, list[tuple[Cell, Run]]] = {}
        for cell, run in results:
            by_digest.setdefault(run.digest, []).append((cell, run))
        return {digest: _reference(pairs) for digest, pairs in by_digest.items()}

    def write(self, folder: Path, frame: pd.DataFrame, question: str = "") -> None:
        """Write ``results.csv`` and ``report.html``, headed by the question, if there is one."""
        from . import report

        write_text(folder / "results.csv", frame.to_csv(index=False))
        if len(frame):
            write_text(folder / "report.html", report.page(self, frame, question))


def _reference(
    pairs: Sequence[tuple[Cell, Run]],
) -> tuple[Objective | None, str, Objective | None]:
    instance, runs = pairs[0][0].instance, [run for _, run in pairs]
    family = family_of(instance)
    published = family.best_known(instance)
    best = min((run.objective for run in runs if run.objective is not None), default=None)
    known, source = best, "this study" if best is not None else ""
    if published is not None and published.upper is not None:
        known, source = published.upper, published.upper_source
    claims = [family.lower_bound(instance), *(run.bound for run in runs)]
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
        math.nan if run.cpu_seconds is None else run.cpu_seconds,
        math.nan if run.time_limit is None else run.time_limit,
        _integral(run, known),
        cell.group,
        run.bound,
        known,
        source,
        bound,
        run.message,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _integral(run: Run, known: Objective | None) -> float:
    """The primal integral over the time limit; NaN without one, or for a run that failed."""
    if run.time_limit is None or known is None or run.status is Status.ERROR:
        return math.nan
    return stats.primal_integral(run.incumbents, known, run.time_limit)


def _gap(objective: Objective | None, reference: Objective | None) -> float:
    return math.nan if objective is None or reference is None else gap(objective, reference)


def _deadline(time_limit: float | None) -> float | None:
    """Seconds after which a run that does not keep its time limit is killed."""
    return None if time_limit is None else 2 * time_limit + _PATIENCE


def _judge(instance: Any, plain: Mapping[str, Any] | None) -> Objective | None:
    """The referee's value of a solution that came as plain data."""
    if plain is None:
        return None
    family = family_of(instance)
    solution = family.PROBLEMS[instance.problem][1].from_json(plain, "solution")
    family.validate(instance, solution)
    return family.objective(instance, solution)


def solve_cell(cell: Cell) -> dict[str, Any]:
    """A run as plain data; called wherever the executor runs it."""
    began = _cpu_seconds()
    result = cell.solver(
        cell.instance, time_limit=cell.time_limit, seed=cell.seed, **cell.contender.options
    )
    solution = result.solution
    return {
        "bound": result.bound,
        "status": result.status,
        "seconds": result.seconds,
        "cpu_seconds": _cpu_seconds() - began,
        "metrics": dict(result.metrics),
        "incumbents": tuple((i.seconds, i.objective) for i in result.incumbents),
        "solution": None if solution is None else solution.to_json(),
    }


def _cpu_seconds() -> float:
    """CPU time of this process, all threads together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def _single_threads() -> Iterator[None]:
    """Let linear algebra run in one thread here and in forked processes: one run, one core."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def _warm_up(cells: Sequence[Cell]) -> None:
    """Load what the runs need into this process, so that the forked ones do not pay for it."""
    for module in {_HEAVY[c.contender.text] for c in cells if c.contender.text in _HEAVY}:
        importlib.import_module(module)
    for solver, problem in {(c.solver, c.instance.problem): None for c in cells}:
        if isinstance(solver, PolicySolver):
            solver.warm_up(problem)
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
