"""The classics of the job shop: dispatching rules as scores, tabu search, and CP-SAT.

The columns that the rules see, one value per job, in units of a positive constant of the instance:

- ``processing_time``: ``p``, of the job's next operation;
- ``work_done``, ``work_remaining``: of the job before that operation, and from it on;
- ``operations_remaining``: how many, the next one included;
- ``job_ready``: when the job becomes ready, minus the time of the decision;
- ``wait``: earliest start of the operation, minus the smallest one among the available jobs.

Rules are surveyed by Haupt 1989 (doi:10.1007/BF01721162), their ratios to the work remaining by
Sels, Gheysen and Vanhoucke 2012 (doi:10.1080/00207543.2011.611539). By the rules that divide by
times, operations that take no time go first; where the machine would have to wait for one, last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import FloatArray, IntArray
from ..instances.job_shop import (
    JobShopInstance,
    JobShopSolution,
    heads,
    lower_bound,
    objective,
    tails,
)
from . import cp_sat as engine
from .job_shop_tabu import constructed, tabu
from .rules import Columns, Rule, uniform
from .solver import Draft, Report, Solver, Status, solver

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar

# Rules.

_NON_DELAY = {"schedule": "non-delay"}

#: Stands for a time of 0 in a logarithm; far below the shortest processing time in any unit.
_NO_TIME = 1e-20


def fifo(c: Columns) -> FloatArray:
    """First in, first out: the job that has been ready for longest."""
    return -c["job_ready"]


def spt(c: Columns) -> FloatArray:
    """Shortest processing time."""
    return -c["processing_time"]


def lpt(c: Columns) -> FloatArray:
    """Longest processing time."""
    return c["processing_time"]


def mwkr(c: Columns) -> FloatArray:
    """Most work remaining."""
    return c["work_remaining"]


def lwkr(c: Columns) -> FloatArray:
    """Least work remaining."""
    return -c["work_remaining"]


def mopnr(c: Columns) -> FloatArray:
    """Most operations remaining."""
    return c["operations_remaining"]


def fdd_mwkr(c: Columns) -> FloatArray:
    """Smallest ratio of flow due date, ``work_done + p``, to work remaining."""
    p = c["processing_time"]
    return -_log_ratio(np.where(p == 0, 0.0, c["work_done"] + p), c["work_remaining"])


def spt_mwkr(c: Columns) -> FloatArray:
    """Smallest ratio of processing time to work remaining."""
    return -_log_ratio(c["processing_time"], c["work_remaining"])


def active_wait(c: Columns) -> FloatArray:
    """Smallest ``ln p - ln work_remaining + 2 wait / p``: short, urgent, without idling long."""
    p = np.maximum(c["processing_time"], _NO_TIME)
    return -_log_ratio(p, c["work_remaining"]) - 2.0 * c["wait"] / p


def _log_ratio(times: FloatArray, work: FloatArray) -> FloatArray:
    """``ln(times / work)``: the order of the ratio, on a scale on which noise means the same."""
    return np.log(np.maximum(times, _NO_TIME) / np.where(work == 0, 1.0, work))


RULES: Mapping[str, Mapping[str, Rule]] = {
    "job_shop": {
        "random": Rule(uniform, _NON_DELAY, noise=1.0),
        "fifo": Rule(fifo, _NON_DELAY),
        "spt": Rule(spt, _NON_DELAY),
        "lpt": Rule(lpt, _NON_DELAY),
        "mwkr": Rule(mwkr, _NON_DELAY),
        "lwkr": Rule(lwkr, _NON_DELAY),
        "mopnr": Rule(mopnr, _NON_DELAY),
        "fdd_mwkr": Rule(fdd_mwkr, _NON_DELAY),
        "spt_mwkr": Rule(spt_mwkr, _NON_DELAY),
        "active_wait": Rule(active_wait),  # active; non-delay where durations are stochastic
    }
}


# CP-SAT.


@dataclass(frozen=True)
class Variables:
    """The variables of :func:`build_model`.

    Attributes:
        start: ``(job, operation)`` to the start of the operation, in ticks.
        makespan: At least the end of every operation; minimised.
    """

    start: Mapping[tuple[int, int], IntVar]
    makespan: IntVar

    def schedule(self, values: IntArray, instance: JobShopInstance) -> JobShopSolution:
        """The schedule that values of the variables, by index, stand for."""
        start = np.full(instance.machines.shape, -1, dtype=np.int64)
        for operation, variable in self.start.items():
            start[operation] = values[variable.index]
        return JobShopSolution(start)

    def hint(self, solution: JobShopSolution, makespan: int) -> Iterator[tuple[IntVar, int]]:
        """The value of every variable in a schedule."""
        for operation, variable in self.start.items():
            yield variable, int(solution.start[operation])
        yield self.makespan, makespan


def build_model(
    instance: JobShopInstance, *, horizon: int | None = None
) -> tuple[CpModel, Variables]:
    """The job shop as a model of CP-SAT: one start variable and one interval per operation.

    Of a stochastic instance it models what happens in the scenario (``instance.durations``), which
    no dispatcher can know: the clairvoyant reference.

    Args:
        instance: The instance.
        horizon: Latest end, in ticks; by default the makespan of the best schedule of
            ``job_shop_construct``. Constraints of your own may need more, such as the instance's
            ``upper_bound``.

    Returns:
        The model, which minimises the makespan, and its variables.
    """
    from ortools.sat.python import cp_model

    if horizon is None:
        horizon = _constructed(instance)[1]
    model = cp_model.CpModel()
    makespan = model.new_int_var(lower_bound(instance), horizon, "makespan")
    earliest, after, p = heads(instance), tails(instance), instance.durations
    on_machine: dict[int, list[cp_model.IntervalVar]] = {}
    start: dict[tuple[int, int], IntVar] = {}
    for j, length in enumerate(instance.num_operations.tolist()):
        ends: Any = 0
        for k in range(length):
            duration = int(p[j, k])
            latest = horizon - int(after[j, k]) - duration
            variable = model.new_int_var(int(earliest[j, k]), latest, f"start_{j}_{k}")
            if k > 0:
                model.add(variable >= ends)
            interval = model.new_fixed_size_interval_var(variable, duration, f"operation_{j}_{k}")
            on_machine.setdefault(int(instance.machines[j, k]), []).append(interval)
            start[j, k], ends = variable, variable + duration
        model.add(makespan >= ends)
    for intervals in on_machine.values():
        model.add_no_overlap(intervals)
    model.minimize(makespan)
    return model, Variables(start, makespan)


@solver
def cp_sat(
    instance: JobShopInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: JobShopSolution | None,
    on_incumbent: Report,
    workers: int = engine.WORKERS,
    deterministic: bool = False,
    log: bool = False,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """CP-SAT on :func:`build_model`, from the better of ``start`` and a constructed schedule.

    On a stochastic instance this is the clairvoyant reference, see :func:`build_model`.

    Args:
        instance: The instance.
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
    began = time.perf_counter()
    if start is not None:
        on_incumbent(start)  # which checks it
    bound = lower_bound(instance)
    best, makespan = _constructed(instance, start)
    on_incumbent(best)
    if makespan == bound:
        return Draft(best, bound, Status.OPTIMAL)
    deadline = began + (math.inf if time_limit is None or deterministic else time_limit)
    if time.perf_counter() >= deadline:
        return Draft(best, bound)
    model, variables = build_model(instance, horizon=makespan)
    if math.isfinite(deadline):
        time_limit = max(deadline - time.perf_counter(), 0.0)
    outcome = engine.minimise(
        model,
        time_limit=time_limit,
        seed=seed,
        workers=workers,
        hint=variables.hint(best, makespan),
        deterministic=deterministic,
        log=log,
        parameters=parameters,
        on_solution=lambda values: on_incumbent(variables.schedule(values, instance)),
    )
    if outcome.values is not None:
        best = variables.schedule(outcome.values, instance)
    status = Status.OPTIMAL if outcome.status is Status.OPTIMAL else Status.FEASIBLE
    return Draft(best, max(bound, outcome.bound or 0), status)


def _constructed(
    instance: JobShopInstance, start: JobShopSolution | None = None
) -> tuple[JobShopSolution, int]:
    """The best of the constructed schedules and the given one, and its makespan."""
    best = constructed(instance, start)
    return best, objective(instance, best)


SOLVERS: Mapping[str, Mapping[str, Solver]] = {"job_shop": {"cp_sat": cp_sat, "tabu": tabu}}
