"""CP-SAT on single task graphs, and the bound of the R||Cmax relaxation."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import IntArray
from ..instances.soc_dag import (
    SoCDagInstance,
    SoCDagSolution,
    lower_bound,
    objective,
    path_bound,
)
from . import cp_sat as engine
from .soc_dag_lists import check
from .soc_dag_search import constructed, improved, warm_up
from .solver import Draft, Report, Status, solver

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar

#: Moves of the annealing that makes the horizon and the hint.
_MOVES = 100_000


@dataclass(frozen=True)
class Variables:
    """The variables of :func:`build_model`.

    Attributes:
        instance: The instance.
        start: Of each task.
        on: ``(task, pe)`` to whether the task runs there; what is not supported is missing.
        makespan: At least the end of every task; minimised.
    """

    instance: SoCDagInstance
    start: tuple[IntVar, ...]
    on: Mapping[tuple[int, int], IntVar]
    makespan: IntVar

    def schedule(self, values: IntArray) -> SoCDagSolution:
        """The schedule that values of the variables, by index, stand for."""
        pe = np.full(len(self.start), -1, dtype=np.int64)
        for (i, p), literal in self.on.items():
            if values[literal.index]:
                pe[i] = p
        return SoCDagSolution(pe=pe, start=np.array([values[s.index] for s in self.start]))

    def hint(self, schedule: SoCDagSolution) -> Iterator[tuple[IntVar, int]]:
        """The value of every variable in a schedule."""
        for i, variable in enumerate(self.start):
            yield variable, int(schedule.start[i])
        for (i, p), literal in self.on.items():
            yield literal, int(schedule.pe[i] == p)
        yield self.makespan, objective(self.instance, schedule)


def build_model(
    instance: SoCDagInstance, *, horizon: int | None = None, area: bool | None = None
) -> tuple[CpModel, Variables]:
    """The graph as a model of CP-SAT: a start per task, a literal and an interval per task and PE.

    Args:
        instance: The graph.
        horizon: Latest end, in ticks; by default the makespan of the best list schedule. For
            constraints of your own, the instance's ``upper_bound`` leaves more room.
        area: Whether to state that no PE works longer than the makespan; by default where that
            bound (:func:`load_bound`) is above that of the paths.

    Returns:
        The model, which minimises the makespan, and its variables.
    """
    from ortools.sat.python import cp_model

    check(instance, "cp_sat")
    if horizon is None:
        horizon = objective(instance, constructed(instance))
    model = cp_model.CpModel()
    (n, m), w = instance.run_times.shape, instance.run_times
    bound = min(lower_bound(instance), horizon)
    makespan = model.new_int_var(bound, horizon, "makespan")
    start = tuple(model.new_int_var(0, horizon, f"start_{i}") for i in range(n))
    end = [model.new_int_var(0, horizon, f"end_{i}") for i in range(n)]
    on: dict[tuple[int, int], IntVar] = {}
    on_pe: list[list[cp_model.IntervalVar]] = [[] for _ in range(m)]
    for i in range(n):
        for p in np.flatnonzero(w[i] >= 0).tolist():
            literal = on[i, p] = model.new_bool_var(f"on_{i}_{p}")
            interval = model.new_optional_interval_var(
                start[i], int(w[i, p]), end[i], literal, f"run_{i}_{p}"
            )
            on_pe[p].append(interval)
        model.add_exactly_one(on[i, p] for p in range(m) if (i, p) in on)
        model.add(makespan >= end[i])
    for intervals in on_pe:
        model.add_no_overlap(intervals)
    _add_transfers(model, instance, start, end, on)
    if area if area is not None else load_bound(instance) > path_bound(instance):
        for p in range(m):
            work = [int(w[i, p]) * on[i, p] for i in range(n) if (i, p) in on]
            model.add(sum(work) <= makespan)
    model.minimize(makespan)
    return model, Variables(instance, start, on, makespan)


def _add_transfers(
    model: CpModel,
    instance: SoCDagInstance,
    start: tuple[IntVar, ...],
    end: list[IntVar],
    on: Mapping[tuple[int, int], IntVar],
) -> None:
    """``start_j >= end_i + c_ij(p, q)`` where ``i`` is on ``p`` and ``j`` on ``q``.

    Where the transfer to ``q`` takes as long from everywhere else, one constraint for each ``q``
    says it: "``j`` on ``q`` and ``i`` not".
    """
    m = instance.num_pes
    for e, (i, j) in enumerate(instance.edges.tolist()):
        c = instance.communication[e]
        model.add(start[j] >= end[i])
        sources = [p for p in range(m) if (i, p) in on]
        for q in range(m):
            if (j, q) not in on:
                continue
            times = {int(c[p, q]) for p in sources if p != q}
            if len(times) == 1 and (time_ := times.pop()):
                literals = [on[j, q], *([~on[i, q]] if (i, q) in on else [])]
                model.add(start[j] >= end[i] + time_).only_enforce_if(literals)
            elif len(times) > 1:
                for p in sources:
                    if p != q and c[p, q]:
                        both = [on[i, p], on[j, q]]
                        model.add(start[j] >= end[i] + int(c[p, q])).only_enforce_if(both)


def load_bound(instance: SoCDagInstance) -> int:
    """The linear relaxation of unrelated machines: least ``C`` with ``sum_i w_ip x_ip <= C``.

    Tasks may be divided among PEs, and nothing else counts (Lawler and Labetoulle 1978,
    doi:10.1145/322092.322101, without preemption's rules); rounded up.
    """
    from ortools.linear_solver import pywraplp

    linear = pywraplp.Solver.CreateSolver("GLOP")
    most = linear.NumVar(0.0, linear.infinity(), "most")
    loads: list[list[Any]] = [[most] for _ in range(instance.num_pes)]
    loaded = [linear.Constraint(0.0, linear.infinity()) for _ in loads]
    for constraint in loaded:
        constraint.SetCoefficient(most, 1.0)
    for times in instance.run_times.tolist():
        whole = linear.Constraint(1.0, 1.0)
        for p, time_ in enumerate(times):
            if time_ >= 0:
                share = linear.NumVar(0.0, 1.0, "")
                whole.SetCoefficient(share, 1.0)
                loaded[p].SetCoefficient(share, -float(time_))
    linear.Objective().SetCoefficient(most, 1.0)
    linear.Objective().SetMinimization()
    if linear.Solve() != pywraplp.Solver.OPTIMAL:
        return 0
    value = float(linear.Objective().Value())
    return max(math.ceil(value - 1e-6 * max(1.0, value)), 0)


@solver
def cp_sat(
    instance: SoCDagInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: SoCDagSolution | None,
    on_incumbent: Report,
    workers: int = engine.WORKERS,
    deterministic: bool = False,
    log: bool = False,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """CP-SAT on :func:`build_model`, from the best list schedule after annealing, or ``start``.

    Args:
        instance: The graph.
        time_limit: In seconds, or ``None`` to search until the proof; see ``deterministic``.
        seed: Seed of the search.
        start: Schedule to begin from.
        on_incumbent: Called with each better schedule.
        workers: Number of search workers; 0 for one per core.
        deterministic: Solution and bound repeat; slower. The limit then counts the engine's work
            instead of seconds.
        log: Write the search log to the ``gapgym`` logger, at level INFO.
        parameters: Further parameters of CP-SAT by name.
    """
    check(instance, "cp_sat")
    warm_up()
    began = time.perf_counter()
    best = constructed(instance)
    if start is not None:
        on_incumbent(start)  # which checks it
        best = min(best, start, key=lambda schedule: objective(instance, schedule))
    on_incumbent(best)
    deadline = began + (math.inf if time_limit is None or deterministic else time_limit)
    early = began + (math.inf if time_limit is None or deterministic else 0.15 * time_limit)
    best = improved(instance, best, seed=seed, moves=_MOVES, deadline=early)
    on_incumbent(best)
    bound, value = lower_bound(instance), objective(instance, best)
    if value > bound:
        bound = max(bound, load_bound(instance))
    if value == bound:
        return Draft(best, bound, Status.OPTIMAL)
    if time.perf_counter() >= deadline:
        return Draft(best, bound)
    model, variables = build_model(instance, horizon=value)
    if math.isfinite(deadline):
        time_limit = max(deadline - time.perf_counter(), 0.0)
    outcome = engine.minimise(
        model,
        time_limit=time_limit,
        seed=seed,
        workers=workers,
        hint=variables.hint(best),
        deterministic=deterministic,
        log=log,
        parameters=parameters,
        on_solution=lambda values: on_incumbent(variables.schedule(values)),
    )
    if outcome.values is not None:
        best = variables.schedule(outcome.values)
    status = Status.OPTIMAL if outcome.status is Status.OPTIMAL else Status.FEASIBLE
    return Draft(best, max(bound, outcome.bound or 0), status)
