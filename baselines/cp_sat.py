"""OR-Tools CP-SAT behind one function: limits, workers, seed, hints, status and bound.

Families build a model of integers that minimises (``build_model``) and hand it to
:func:`minimise`; nobody else calls the engine. It is imported when it is first needed.
"""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import IntArray
from .solver import Status

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, CpSolver, IntVar

_logger = logging.getLogger("gapgym")

#: The portfolio proves bounds only from about eight workers on, even where there are fewer cores.
WORKERS = 8

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Outcome:
    """How a run of CP-SAT ended.

    Attributes:
        status: ``optimal`` and ``infeasible`` are proofs; without an objective a solution is
            ``feasible``.
        bound: A proven lower bound of the objective, or ``None``.
        values: Value of every variable in the best solution, by ``variable.index``, or ``None``.
    """

    status: Status
    bound: int | None
    values: IntArray | None


def minimise(
    model: CpModel,
    *,
    time_limit: float | None = None,
    seed: int = 0,
    workers: int = WORKERS,
    hint: Iterable[tuple[IntVar, int]] | None = None,
    deterministic: bool = False,
    log: bool = False,
    parameters: Mapping[str, Any] = _NONE,
    on_solution: Callable[[IntArray], None] | None = None,
) -> Outcome:
    """Solve a model. Ctrl-C ends the search early, with the best solution so far.

    Args:
        model: The model; if it has an objective, one with integer coefficients to be minimised.
        time_limit: Wall time in seconds, or ``None`` until a proof; where ``deterministic``, in
            CP-SAT's deterministic time, which counts work (a unit may take half a minute).
        seed: Seed of the search.
        workers: Number of search workers; 0 for one per core.
        hint: Values to try first, ideally a complete solution. Replaces the hints of the model.
        deterministic: Same model, seed and limit, same outcome, by one worker whatever ``workers``
            says; slower. (``use_objective_lb_search`` does not apply.)
        log: Write the search log to the ``gapgym`` logger, at level INFO.
        parameters: Further parameters of CP-SAT by name, e.g.
            ``{"use_objective_lb_search": True}``; they have the last word.
        on_solution: Called with the values, as in :class:`Outcome`, of every improving solution.
            What it raises ends the search and is raised again.

    Raises:
        ValueError: If a parameter is unknown, or the model is invalid or not a minimisation of
            integers.
    """
    from ortools.sat.python import cp_model

    _check_objective(model)
    engine = cp_model.CpSolver()
    _set_limits(engine, time_limit, seed, workers, deterministic)
    if log:
        engine.parameters.log_search_progress = True
        engine.parameters.log_to_stdout = False
        engine.log_callback = _logger.info
    for name, value in parameters.items():
        _set_parameter(engine, name, value)
    if hint is not None:
        model.clear_hints()  # type: ignore[no-untyped-call]
        for variable, value in hint:
            model.add_hint(variable, value)
    if on_solution is None:
        engine.solve(model)
    else:
        listener = _listener(on_solution)
        engine.solve(model, listener)
        if listener.error is not None:
            raise listener.error
    return _outcome(model, engine)


def _check_objective(model: CpModel) -> None:
    proto: Any = model.proto
    if not model.has_objective():
        return
    # Asking for the field itself would create it. OR-Tools before 9.15 hands out protobufs.
    known = getattr(proto, "has_floating_point_objective", None)
    if known() if known else proto.HasField("floating_point_objective"):
        raise ValueError("CP-SAT model: objective with fractions, expected integer coefficients.")
    if proto.objective.scaling_factor < 0:
        raise ValueError("CP-SAT model: maximises, expected a minimisation.")


def _set_limits(
    engine: CpSolver, time_limit: float | None, seed: int, workers: int, deterministic: bool
) -> None:
    if workers < 0:
        raise ValueError(f"workers {workers}, expected >= 1, or 0 for one per core.")
    engine.parameters.num_workers = workers
    engine.parameters.random_seed = seed % 2**31
    if deterministic:
        # One worker takes the turns of all: with several, equally good solutions race.
        engine.parameters.interleave_search = True
        engine.parameters.num_workers = 1
        if time_limit is not None:
            engine.parameters.max_deterministic_time = time_limit
    elif time_limit is not None:
        engine.parameters.max_time_in_seconds = time_limit


def _set_parameter(engine: CpSolver, name: str, value: Any) -> None:
    all_parameters = engine.parameters
    names = [key for key in dir(all_parameters) if key.islower() and not key.startswith("_")]
    known = [key for key in names if not callable(getattr(all_parameters, key))]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f" (close: {', '.join(close)})" if close else ""
        raise ValueError(f"unknown CP-SAT parameter {name!r}{hint}, expected one of SatParameters.")
    try:
        if isinstance(value, list | tuple):
            getattr(all_parameters, name).extend(value)
        else:
            setattr(all_parameters, name, value)
    except (TypeError, ValueError, AttributeError):
        kind = type(value).__name__
        raise ValueError(f"CP-SAT parameter {name!r}: {kind}, expected another type.") from None


def _listener(on_solution: Callable[[IntArray], None]) -> Any:
    """A solution callback of CP-SAT that hands on the values and keeps what is raised."""
    from ortools.sat.python import cp_model

    class Listener(cp_model.CpSolverSolutionCallback):
        error: BaseException | None = None

        def on_solution_callback(self) -> None:
            if self.error is not None:
                return
            try:
                on_solution(np.array(self.response_proto.solution, dtype=np.int64))
            except BaseException as error:  # must not unwind through the engine's threads
                self.error = error
                self.stop_search()

    return Listener()


def _outcome(model: CpModel, engine: CpSolver) -> Outcome:
    from ortools.sat.python import cp_model

    response = engine.response_proto
    code = response.status
    if code == cp_model.MODEL_INVALID:
        raise ValueError(f"CP-SAT model: {model.validate() or engine.solution_info()}")
    if code == cp_model.INFEASIBLE:
        return Outcome(Status.INFEASIBLE, None, None)
    optimal = code == cp_model.OPTIMAL
    bound = _bound(engine.best_objective_bound, optimal) if model.has_objective() else None
    if code == cp_model.UNKNOWN:
        return Outcome(Status.UNKNOWN, bound, None)
    values = np.array(response.solution, dtype=np.int64)
    proven = optimal and model.has_objective()
    return Outcome(Status.OPTIMAL if proven else Status.FEASIBLE, bound, values)


def _bound(reported: float, optimal: bool) -> int | None:
    """The reported bound as an integer that is certainly proven.

    A run that is stopped before its presolve ends reports 0, whatever the objective's range is.
    """
    if not math.isfinite(reported) or (reported == 0 and not optimal):
        return None
    return math.ceil(reported - max(1e-6, 1e-12 * abs(reported)))
