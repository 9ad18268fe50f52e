"""What a solver is, and what it returns.

A solver is a function ``(instance, *, time_limit, seed, start, on_incumbent, **options)`` that
returns a :class:`Draft`; :func:`solver` turns it into one that returns a :class:`Result`, whose
objective was computed by the referee. Rules, searches, exact methods, CP-SAT and policies are all
solvers of this form.
"""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, overload

from ..instances.core import Instance, Objective, Solution, gap
from ..instances.registry import family_of


class Status(StrEnum):
    """How a run ended."""

    OPTIMAL = "optimal"  # only with a proof
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"  # proven: there is no solution
    UNKNOWN = "unknown"  # no solution found, none excluded
    ERROR = "error"  # the run failed; see metrics or the log


@dataclass(frozen=True)
class Incumbent:
    """A solution's objective and when it was found.

    Attributes:
        seconds: Wall time since the solver was called.
        objective: The referee's value.
    """

    seconds: float
    objective: Objective


@dataclass(frozen=True)
class Draft:
    """What a solver claims, before the referee has looked at it.

    Attributes:
        solution: The best solution found, or ``None``.
        bound: A proven lower bound, or ``None``.
        status: How the run ended.
    """

    solution: Any | None
    bound: Objective | None = None
    status: Status = Status.FEASIBLE


@dataclass(frozen=True)
class Result:
    """A solver's run on an instance.

    Attributes:
        instance: The instance.
        solver: Name of the solver.
        seed: Seed of the run.
        options: The solver's options that were given.
        solution: The best solution, or ``None``.
        objective: The referee's value of ``solution``, or ``None``.
        bound: A proven lower bound, or ``None``.
        status: How the run ended.
        seconds: Wall time.
        metrics: The family's secondary figures.
        incumbents: The improving solutions, in order.
        time_limit: The limit that was set, in seconds, or ``None``.
    """

    instance: Any
    solver: str
    seed: int
    options: Mapping[str, Any]
    solution: Any | None
    objective: Objective | None
    bound: Objective | None
    status: Status
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    incumbents: tuple[Incumbent, ...] = ()
    time_limit: float | None = None

    @property
    def bound_gap(self) -> float:
        """Gap of the objective to the bound that this run proved; NaN without both."""
        if self.objective is None or self.bound is None:
            return math.nan
        return gap(self.objective, self.bound)


#: Called by a solver with each better solution that it finds.
Report = Callable[[Any], None]


class Solver(Protocol):
    """A function made by :func:`solver`."""

    __name__: str
    #: Raised when a change of the solver changes its results; part of the key of stored results.
    version: int

    def __call__(
        self,
        instance: Any,
        *,
        time_limit: float | None = None,
        seed: int = 0,
        start: Any | None = None,
        on_incumbent: Callable[[Incumbent], None] | None = None,
        **options: Any,
    ) -> Result:
        """Solve an instance."""


@overload
def solver(function: Callable[..., Any]) -> Solver: ...


@overload
def solver(
    *, name: str | None = None, version: int = 1
) -> Callable[[Callable[..., Any]], Solver]: ...


def solver(
    function: Callable[..., Any] | None = None, *, name: str | None = None, version: int = 1
) -> Solver | Callable[[Callable[..., Any]], Solver]:
    """Make a solver out of a function that drafts a solution.

    The function takes the instance and, where it wants them, the keywords ``time_limit``, ``seed``,
    ``start`` (a solution to begin from), ``on_incumbent`` (to be called with each better solution)
    and options of its own. It returns a :class:`Draft` or a bare solution. On Ctrl-C the best
    solution reported so far is returned.

    Args:
        function: The drafting function.
        name: Name of the solver; by default the function's.
        version: See :class:`Solver`.
    """
    if function is None:
        return functools.partial(solver, name=name, version=version)
    draft_solution = function
    parameters = inspect.signature(draft_solution).parameters

    @functools.wraps(draft_solution)
    def run(
        instance: Any,
        *,
        time_limit: float | None = None,
        seed: int = 0,
        start: Any | None = None,
        on_incumbent: Callable[[Incumbent], None] | None = None,
        **options: Any,
    ) -> Result:
        title = run.__name__
        _check_arguments(title, instance, time_limit, parameters, options)
        trail = _Trail(instance, on_incumbent)
        common = {
            "time_limit": time_limit,
            "seed": seed,
            "start": start,
            "on_incumbent": trail.report,
        }
        wanted = {key: value for key, value in common.items() if key in parameters}
        try:
            drafted = draft_solution(instance, **wanted, **options)
        except KeyboardInterrupt:
            if trail.best is None:
                raise
            drafted = Draft(trail.best)
        if isinstance(drafted, Result):
            drafted = Draft(drafted.solution, drafted.bound, drafted.status)
        draft = drafted if isinstance(drafted, Draft) else Draft(drafted)
        return trail.finish(draft, title, seed, options, time_limit)

    run.__name__ = name or draft_solution.__name__
    run.version = version  # type: ignore[attr-defined]
    return run  # type: ignore[return-value]


_COMMON = ("time_limit", "seed", "start", "on_incumbent")


def _accepts(parameters: Mapping[str, inspect.Parameter], key: str) -> bool:
    catch_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return key in parameters or catch_all


def _check_arguments(
    title: str,
    instance: Any,
    time_limit: float | None,
    parameters: Mapping[str, inspect.Parameter],
    options: Mapping[str, Any],
) -> None:
    if not isinstance(instance, Instance):
        raise ValueError(f"{title}: {type(instance).__name__}, expected an instance.")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"{title}: time limit {time_limit}, expected more than 0 seconds.")
    known = [key for key in list(parameters)[1:] if key not in _COMMON]
    for key in options:
        if not _accepts(parameters, key):
            listed = ", ".join(known) or "none"
            raise ValueError(f"{title}: unknown option {key!r}, expected some of: {listed}.")


class _Trail:
    """Stamps what a solver reports: the referee's objective, and the time."""

    def __init__(self, instance: Any, on_incumbent: Callable[[Incumbent], None] | None) -> None:
        self.instance = instance
        self.family = family_of(instance)
        self.on_incumbent = on_incumbent
        self.began = time.perf_counter()
        self.best: Solution | None = None
        self.incumbents: list[Incumbent] = []

    def report(self, solution: Any) -> None:
        """Keep a solution if it is the best so far."""
        kind = self.family.PROBLEMS[self.instance.problem][1]
        if not isinstance(solution, kind):
            raise ValueError(f"solution: {type(solution).__name__}, expected {kind.__name__}.")
        self.family.validate(self.instance, solution)
        value = self.family.objective(self.instance, solution)
        if self.best is not None and not value < self.incumbents[-1].objective:  # type: ignore[operator]
            return
        self.best = solution
        self.incumbents.append(Incumbent(time.perf_counter() - self.began, value))
        if self.on_incumbent is not None:
            self.on_incumbent(self.incumbents[-1])

    def finish(
        self,
        draft: Draft,
        title: str,
        seed: int,
        options: Mapping[str, Any],
        time_limit: float | None,
    ) -> Result:
        """The draft as a result, with everything in it recomputed or checked."""
        seconds = time.perf_counter() - self.began
        if draft.solution is not None:
            self.report(draft.solution)
        value = self.incumbents[-1].objective if self.incumbents else None
        status, bound = draft.status, draft.bound
        if value is not None and bound is not None and bound > value:  # type: ignore[operator]
            raise RuntimeError(f"{title}: bound {bound} above the objective {value} it claims.")
        if status is Status.OPTIMAL:
            bound = value
        elif value is not None and bound == value:
            status = Status.OPTIMAL
        if value is None and status in (Status.FEASIBLE, Status.OPTIMAL):
            status = Status.UNKNOWN
        return Result(
            instance=self.instance,
            solver=title,
            seed=seed,
            options=dict(options),
            solution=self.best,
            objective=value,
            bound=bound,
            status=status,
            seconds=seconds,
            metrics=self.family.metrics(self.instance, self.best) if self.best else {},
            incumbents=tuple(self.incumbents),
            time_limit=time_limit,
        )
