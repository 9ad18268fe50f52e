"""CP-SAT on the flexible job shop, with all of its features."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import IntArray
from ..instances.job_shop_flexible import completions, ends, heads, lower_bound, objective, tails
from ..instances.job_shop_flexible_model import FlexibleJobShopInstance, FlexibleJobShopSolution
from . import cp_sat as engine
from .job_shop_flexible_construct import constructed
from .rules import Rule
from .solver import Draft, Report, Solver, Status, solver

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar

Operation = tuple[int, int]


@dataclass(frozen=True)
class Variables:
    """The variables of :func:`build_model`.

    Attributes:
        start: ``(job, operation)`` to the start of the operation, in ticks.
        chosen: ``(job, operation, machine)`` to whether the operation runs there.
        stay: ``(job, operation)`` to how long the job stays on its machine, where it may block it.
        follows: ``(machine, operation before, operation after)`` to whether they follow each
            other; ``None`` stands for the beginning and the end; ``(machine, None, None)`` for an
            empty machine. Only with setups.
        late: Makespan, or tardiness of each job by its index.
    """

    start: dict[Operation, IntVar] = field(default_factory=dict)
    chosen: dict[tuple[int, int, int], IntVar] = field(default_factory=dict)
    stay: dict[Operation, IntVar] = field(default_factory=dict)
    follows: dict[tuple[int, Operation | None, Operation | None], IntVar] = field(
        default_factory=dict
    )
    late: dict[int, IntVar] = field(default_factory=dict)

    def schedule(
        self, values: IntArray, instance: FlexibleJobShopInstance
    ) -> FlexibleJobShopSolution:
        """The schedule that values of the variables, by index, stand for."""
        start = np.full(instance.exists.shape, -1, dtype=np.int64)
        machine = start.copy()
        for operation, variable in self.start.items():
            start[operation] = values[variable.index]
        for (j, k, m), literal in self.chosen.items():
            if values[literal.index]:
                machine[j, k] = m
        return FlexibleJobShopSolution(start, machine)

    def hint(
        self, instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution
    ) -> Iterator[tuple[IntVar, int]]:
        """The value of every variable in a schedule."""
        start, machine = solution.start, solution.machine
        for operation, variable in self.start.items():
            yield variable, int(start[operation])
        for (j, k, m), variable in self.chosen.items():
            yield variable, int(machine[j, k] == m)
        for (j, k), variable in self.stay.items():
            yield variable, int(start[j, k + 1] - start[j, k])
        pairs = set()
        for m in range(instance.num_machines):
            on = [(j, k) for j, k in np.argwhere(machine == m).tolist()]
            on.sort(key=lambda operation: int(start[operation]))
            pairs |= {(m, a, b) for a, b in zip([None, *on], [*on, None], strict=True)}
        for arc, variable in self.follows.items():
            yield variable, int(arc in pairs)
        done = completions(instance, solution)
        for j, variable in self.late.items():
            if instance.due_dates is None or instance.objective == "makespan":
                yield variable, int(done.max())
            else:
                yield variable, max(0, int(done[j] - instance.due_dates[j]))


def build_model(
    instance: FlexibleJobShopInstance, *, horizon: int | None = None
) -> tuple[CpModel, Variables]:
    """The flexible job shop as a model of CP-SAT.

    One start per operation, and one optional interval per eligible machine. Where jobs block, the
    interval ends when the next operation starts, so that jobs may swap; without waits, that is when
    the operation ends. Setups make a circuit of every machine's operations; downtimes are fixed
    intervals, which may cover a blocked job but not a running operation.

    Args:
        instance: The instance.
        horizon: Latest end, in ticks; by default the instance's, or, for the makespan, that of the
            best constructed schedule.

    Returns:
        The model, which minimises the objective, and its variables.
    """
    from ortools.sat.python import cp_model

    if horizon is None:
        horizon = instance.horizon
        if instance.objective == "makespan":
            horizon = objective(instance, constructed(instance))
    model, variables = cp_model.CpModel(), Variables()
    _add_operations(model, variables, instance, horizon)
    for machine in range(instance.num_machines):
        _add_machine(model, variables, instance, machine)
        if instance.setups is not None:
            _add_setups(model, variables, instance, machine)
    _add_objective(model, variables, instance, horizon)
    return model, variables


def _duration(variables: Variables, instance: FlexibleJobShopInstance, j: int, k: int) -> Any:
    machines = np.flatnonzero(instance.times[j, k] >= 0).tolist()
    if len(machines) == 1:
        return int(instance.times[j, k, machines[0]])
    return sum(int(instance.times[j, k, m]) * variables.chosen[j, k, m] for m in machines)


def _end(variables: Variables, instance: FlexibleJobShopInstance, j: int, k: int) -> Any:
    return variables.start[j, k] + _duration(variables, instance, j, k)


def _leave(variables: Variables, instance: FlexibleJobShopInstance, j: int, k: int) -> Any:
    """When a job leaves the machine of its operation."""
    if (j, k) in variables.stay:
        return variables.start[j, k + 1]
    return _end(variables, instance, j, k)


def _add_operations(
    model: CpModel, variables: Variables, instance: FlexibleJobShopInstance, horizon: int
) -> None:
    earliest, after, shortest = heads(instance), tails(instance), instance.shortest
    for j, k in np.argwhere(instance.exists).tolist():
        latest = horizon - int(after[j, k] + shortest[j, k])
        variables.start[j, k] = model.new_int_var(int(earliest[j, k]), latest, f"start_{j}_{k}")
        literals = []
        for m in np.flatnonzero(instance.times[j, k] >= 0).tolist():
            variables.chosen[j, k, m] = model.new_bool_var(f"chosen_{j}_{k}_{m}")
            literals.append(variables.chosen[j, k, m])
        model.add_exactly_one(literals)
        if k > 0:
            end, begin = _end(variables, instance, j, k - 1), variables.start[j, k]
            model.add(begin == end if instance.buffer == "no-wait" else begin >= end)
            if instance.buffer == "blocking":
                stay = model.new_int_var(int(shortest[j, k - 1]), horizon, f"stay_{j}_{k - 1}")
                model.add(stay == begin - variables.start[j, k - 1])
                variables.stay[j, k - 1] = stay
        if k == int(instance.num_operations[j]) - 1:
            model.add(_end(variables, instance, j, k) <= horizon)


def _add_machine(
    model: CpModel, variables: Variables, instance: FlexibleJobShopInstance, machine: int
) -> None:
    runs, stays = [], []
    for (j, k, m), literal in variables.chosen.items():
        if m == machine:
            start, time = variables.start[j, k], int(instance.times[j, k, m])
            name = f"operation_{j}_{k}_{m}"
            run = model.new_optional_fixed_size_interval_var(start, time, literal, name)
            runs.append(run)
            if (j, k) in variables.stay:
                stay, leave = variables.stay[j, k], variables.start[j, k + 1]
                run = model.new_optional_interval_var(start, stay, leave, literal, f"stay_{name}")
            stays.append(run)
    down = [
        model.new_fixed_size_interval_var(begin, end - begin, f"down_{machine}_{begin}")
        for m, begin, end in instance.downtimes.tolist()
        if m == machine
    ]
    if variables.stay:
        model.add_no_overlap(stays)
        if down:
            model.add_no_overlap(runs + down)
    else:
        model.add_no_overlap(runs + down)


def _add_setups(
    model: CpModel, variables: Variables, instance: FlexibleJobShopInstance, machine: int
) -> None:
    assert instance.setups is not None
    setups = instance.setups[machine].tolist()
    on = {(j, k): x for (j, k, m), x in variables.chosen.items() if m == machine}
    node = {operation: i for i, operation in enumerate(on, start=1)}
    arcs: list[Any] = []

    def arc(a: Operation | None, b: Operation | None) -> Any:
        literal = model.new_bool_var(f"follows_{machine}_{a}_{b}")
        variables.follows[machine, a, b] = literal
        arcs.append((node[a] if a else 0, node[b] if b else 0, literal))
        return literal

    arc(None, None)
    for b, literal in on.items():
        arcs.append((node[b], node[b], literal.negated()))
        arc(b, None)
        first = arc(None, b)
        model.add(variables.start[b] >= setups[0][b[0]]).only_enforce_if(first)
        for a in on:
            if a != b and not (a[0] == b[0] and a[1] > b[1]):
                ready = _leave(variables, instance, *a) + setups[a[0] + 1][b[0]]
                model.add(variables.start[b] >= ready).only_enforce_if(arc(a, b))
    model.add_circuit(arcs)


def _add_objective(
    model: CpModel, variables: Variables, instance: FlexibleJobShopInstance, horizon: int
) -> None:
    last = [
        _end(variables, instance, j, length - 1)
        for j, length in enumerate(instance.num_operations.tolist())
    ]
    weights, releases = instance.weights.tolist(), instance.release_dates.tolist()
    if instance.objective == "makespan":
        makespan = model.new_int_var(min(lower_bound(instance), horizon), horizon, "makespan")
        variables.late[0] = makespan
        for end in last:
            model.add(makespan >= end)
        model.minimize(makespan)
    elif instance.objective == "flow_time":
        terms = zip(weights, last, releases, strict=True)
        model.minimize(sum(w * (end - r) for w, end, r in terms))
    else:
        assert instance.due_dates is not None
        for j, (end, due) in enumerate(zip(last, instance.due_dates.tolist(), strict=True)):
            variables.late[j] = model.new_int_var(0, max(0, horizon - due), f"tardiness_{j}")
            model.add(variables.late[j] >= end - due)
        model.minimize(sum(w * variables.late[j] for j, w in enumerate(weights)))


@solver
def cp_sat(
    instance: FlexibleJobShopInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: FlexibleJobShopSolution | None,
    on_incumbent: Report,
    workers: int = engine.WORKERS,
    deterministic: bool = False,
    log: bool = False,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """CP-SAT on :func:`build_model`, from the better of ``start`` and a constructed schedule.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` to search until the proof; see ``deterministic``.
        seed: Seed of the search.
        start: Schedule to begin from.
        on_incumbent: Called with each better schedule.
        workers: Number of search workers; 0 for one per core.
        deterministic: See :func:`gapgym.baselines.cp_sat.minimise`.
        log: Log the search.
        parameters: Further parameters of CP-SAT.

    Returns:
        The best schedule, optimal if its objective meets the bound.
    """
    begin = time.perf_counter()
    best, bound = constructed(instance, start), lower_bound(instance)
    on_incumbent(best)
    if objective(instance, best) == bound:
        return Draft(best, bound, Status.OPTIMAL)
    latest = int(ends(instance, best).max())
    if instance.objective != "makespan":
        latest = max(latest, instance.horizon)
    model, variables = build_model(instance, horizon=latest)
    if time_limit is not None and not deterministic:
        time_limit = max(time_limit - (time.perf_counter() - begin), 0.01)
    outcome = engine.minimise(
        model,
        time_limit=time_limit,
        seed=seed,
        workers=workers,
        hint=variables.hint(instance, best),
        deterministic=deterministic,
        log=log,
        parameters=parameters,
        on_solution=lambda values: on_incumbent(variables.schedule(values, instance)),
    )
    if outcome.values is not None:
        found = variables.schedule(outcome.values, instance)
        best = min(best, found, key=lambda schedule: objective(instance, schedule))
    bound = max(bound, outcome.bound if outcome.bound is not None else bound)
    proven = outcome.status is Status.OPTIMAL or objective(instance, best) == bound
    return Draft(best, bound, Status.OPTIMAL if proven else Status.FEASIBLE)


@solver
def construct(instance: FlexibleJobShopInstance, *, start: FlexibleJobShopSolution | None) -> Draft:
    """The best of several schedules by construction; see ``job_shop_flexible_construct``."""
    return Draft(constructed(instance, start))


SOLVERS: Mapping[str, Mapping[str, Solver]] = {
    "flexible_job_shop": {"cp_sat": cp_sat, "construct": construct}
}

RULES: Mapping[str, Mapping[str, Rule]] = {"flexible_job_shop": {}}
