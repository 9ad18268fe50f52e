"""CP-SAT for single-machine tardiness: three models, and which suits an instance.

- *positional* (equal weights): which job stands in which position. No big constants: the tardiness
  of a position is at least its completion minus the due date that stands there. Best where the due
  dates are close together.
- *ordering*: which of two jobs goes first, transitively. Best otherwise.
- *intervals*: starts of the jobs, which do not overlap; with release dates and setups, where it is
  the only one. Its bounds are weak.

The first two take over what is known of some optimal sequence (``tardiness_precedence.py``), the
largest single lever. Weights make all of them slow: ``exact`` is the solver for those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..instances.core import BoolArray, IntArray
from ..instances.tardiness import (
    TardinessInstance,
    TardinessSolution,
    due_date_range,
    lower_bound,
    objective,
    spans,
)
from . import cp_sat as engine
from .solver import Draft, Report, Status, solver
from .tardiness_precedence import precedence, respecting
from .tardiness_search import Deadline, descent, dynasearch

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar

MODELS = ("auto", "positional", "ordering", "intervals")

#: Due dates are close together below this share of all work.
_NARROW = 0.3
#: The ordering model has a clause for every three jobs; beyond so many jobs that is too many.
_MOST_ORDERED = 120


class Variables(Protocol):
    """The variables of a model."""

    def solution(self, values: IntArray) -> TardinessSolution:
        """The sequence that values of the variables, by index, stand for."""

    def hint(self, solution: TardinessSolution) -> Iterator[tuple[IntVar, int]]:
        """The value of every variable in a sequence."""


@dataclass(frozen=True)
class Positional:
    """The variables of the positional model.

    Attributes:
        instance: The instance.
        place: ``(job, position)`` to whether the job stands there; what is impossible is missing.
        completion: When the job of each position ends.
        tardiness: How late that is, at least.
    """

    instance: TardinessInstance
    place: Mapping[tuple[int, int], IntVar]
    completion: tuple[IntVar, ...]
    tardiness: tuple[IntVar, ...]

    def solution(self, values: IntArray) -> TardinessSolution:
        """See :class:`Variables`."""
        sequence = np.empty(self.instance.num_jobs, dtype=np.int64)
        for (job, position), variable in self.place.items():
            if values[variable.index]:
                sequence[position] = job
        return TardinessSolution(sequence)

    def hint(self, solution: TardinessSolution) -> Iterator[tuple[IntVar, int]]:
        """See :class:`Variables`."""
        sequence = solution.sequence.tolist()
        for (job, position), variable in self.place.items():
            yield variable, int(sequence[position] == job)
        ends = _ends(self.instance, solution)
        for position, job in enumerate(sequence):
            yield self.completion[position], int(ends[job])
            yield self.tardiness[position], _late(self.instance, ends, job)


@dataclass(frozen=True)
class Ordering:
    """The variables of the ordering model.

    Attributes:
        instance: The instance.
        known: ``(n, n)`` the order of pairs that has no variable.
        before: ``(i, j)``, ``i < j``, to whether job ``i`` precedes job ``j``.
        tardiness: How late each job is, at least.
    """

    instance: TardinessInstance
    known: BoolArray
    before: Mapping[tuple[int, int], IntVar]
    tardiness: tuple[IntVar, ...]

    def literal(self, i: int, j: int) -> Any:
        """Whether ``i`` precedes ``j``: a literal, or a plain truth value."""
        if (i, j) in self.before:
            return self.before[i, j]
        return ~self.before[j, i] if (j, i) in self.before else bool(self.known[i, j])

    def solution(self, values: IntArray) -> TardinessSolution:
        """See :class:`Variables`."""
        before = self.known.copy()
        for (i, j), variable in self.before.items():
            before[i, j] = values[variable.index]
            before[j, i] = not before[i, j]
        return TardinessSolution(np.argsort(before.sum(axis=0), kind="stable"))

    def hint(self, solution: TardinessSolution) -> Iterator[tuple[IntVar, int]]:
        """See :class:`Variables`."""
        position = np.argsort(solution.sequence)
        for (i, j), variable in self.before.items():
            yield variable, int(position[i] < position[j])
        ends = _ends(self.instance, solution)
        for job, variable in enumerate(self.tardiness):
            yield variable, _late(self.instance, ends, job)


@dataclass(frozen=True)
class Intervals:
    """The variables of the interval model.

    Attributes:
        instance: The instance.
        start: When each job is begun, after its setup.
        follows: With setups, ``(i, j)`` to whether job ``j`` comes right after job ``i``; the
            number ``n`` stands for the beginning and the end. Else empty.
        tardiness: How late each job is, at least.
    """

    instance: TardinessInstance
    start: tuple[IntVar, ...]
    follows: Mapping[tuple[int, int], IntVar]
    tardiness: tuple[IntVar, ...]

    def solution(self, values: IntArray) -> TardinessSolution:
        """See :class:`Variables`."""
        start = np.array([values[variable.index] for variable in self.start])
        return TardinessSolution(np.argsort(start))

    def hint(self, solution: TardinessSolution) -> Iterator[tuple[IntVar, int]]:
        """See :class:`Variables`."""
        sequence, n = solution.sequence.tolist(), self.instance.num_jobs
        starts = spans(self.instance, solution.sequence)[:, 1]
        for job, start in zip(sequence, starts.tolist(), strict=True):
            yield self.start[job], start
        pairs = set(zip([n, *sequence], [*sequence, n], strict=True))
        for pair, variable in self.follows.items():
            yield variable, int(pair in pairs)
        ends = _ends(self.instance, solution)
        for job, variable in enumerate(self.tardiness):
            yield variable, _late(self.instance, ends, job)


def _ends(instance: TardinessInstance, solution: TardinessSolution) -> IntArray:
    """``(n,)`` completion of each job."""
    ends = np.empty(instance.num_jobs, dtype=np.int64)
    ends[solution.sequence] = spans(instance, solution.sequence)[:, 2]
    return ends


def _late(instance: TardinessInstance, ends: IntArray, job: int) -> int:
    return max(0, int(ends[job] - instance.due_dates[job]))


def choose_model(instance: TardinessInstance) -> str:
    """The model that suits an instance: of :data:`MODELS`, what ``"auto"`` means."""
    if not instance.is_plain:
        return "intervals"
    equal, small = _equal_weights(instance), instance.num_jobs <= _MOST_ORDERED
    if equal and (due_date_range(instance) < _NARROW or not small):
        return "positional"
    return "ordering" if small else "intervals"


def _equal_weights(instance: TardinessInstance) -> bool:
    return bool((instance.weights == instance.weights[0]).all())


def build_model(
    instance: TardinessInstance,
    *,
    model: str = "auto",
    known: BoolArray | None = None,
    at_most: int | None = None,
) -> tuple[CpModel, Variables]:
    """Single-machine tardiness as a model of CP-SAT.

    Of a stochastic instance it models what happens in the scenario (``instance.durations``), which
    no dispatcher can know: the clairvoyant reference.

    Args:
        instance: The instance.
        model: One of :data:`MODELS`.
        known: ``(n, n)`` precedence relation that the sequence shall respect, transitive; by
            default :func:`gapgym.baselines.tardiness_precedence.precedence` where the model can use
            it. It keeps an optimum of the problem, though maybe none that respects constraints of
            your own: for those, give zeros.
        at_most: Limit of the objective, or ``None``.

    Returns:
        The model, which minimises the total weighted tardiness, and its variables.

    Raises:
        ValueError: If the model is unknown or does not apply.
    """
    from ortools.sat.python import cp_model

    model = _checked_model(instance, model)
    if known is None:
        known = _known(instance, model)
    made = cp_model.CpModel()
    if model == "positional":
        variables: Positional | Ordering | Intervals = _positional(made, instance, known)
    elif model == "ordering":
        variables = _ordering(made, instance, known)
    else:
        variables = _intervals(made, instance)
    weights = instance.weights.tolist()
    cost: Any = sum(w * late for w, late in zip(weights, variables.tardiness, strict=True))
    if at_most is not None:
        made.add(cost <= at_most)
    made.minimize(cost)
    return made, variables


def _checked_model(instance: TardinessInstance, model: str) -> str:
    """The model that a name stands for, if it applies."""
    if model not in MODELS:
        raise ValueError(f"model {model!r}, expected one of: {', '.join(MODELS)}.")
    model = choose_model(instance) if model == "auto" else model
    if model != "intervals" and not instance.is_plain:
        raise ValueError(f"model {model!r} with release dates or setups, expected 'intervals'.")
    if model == "positional" and not _equal_weights(instance):
        raise ValueError("model 'positional' with weights that differ, expected 'ordering'.")
    return model


def _known(instance: TardinessInstance, model: str) -> BoolArray:
    n = instance.num_jobs
    return np.zeros((n, n), dtype=np.bool_) if model == "intervals" else precedence(instance)


def _most_late(instance: TardinessInstance, job: int) -> int:
    return max(0, instance.horizon - int(instance.due_dates[job]))


def _positional(model: CpModel, instance: TardinessInstance, known: BoolArray) -> Positional:
    n, p, d = instance.num_jobs, instance.durations.tolist(), instance.due_dates.tolist()
    first, last = known.sum(axis=0).tolist(), (n - 1 - known.sum(axis=1)).tolist()
    place = {
        (j, k): model.new_bool_var(f"place_{j}_{k}")
        for j in range(n)
        for k in range(first[j], last[j] + 1)
    }
    for j in range(n):
        model.add_exactly_one([place[j, k] for k in range(first[j], last[j] + 1)])
    shortest = np.cumsum(np.sort(instance.durations)).tolist()
    longest = np.cumsum(np.sort(instance.durations)[::-1]).tolist()
    most = max(_most_late(instance, j) for j in range(n))
    completion, tardiness = [], []
    before: Any = 0
    for k in range(n):
        here = [j for j in range(n) if (j, k) in place]
        model.add_exactly_one([place[j, k] for j in here])
        completion.append(model.new_int_var(shortest[k], longest[k], f"completion_{k}"))
        model.add(completion[k] == before + sum(p[j] * place[j, k] for j in here))
        before = completion[k]
        tardiness.append(model.new_int_var(0, most, f"tardiness_{k}"))
        model.add(tardiness[k] >= completion[k] - sum(d[j] * place[j, k] for j in here))
    position = [sum(k * place[j, k] for k in range(first[j], last[j] + 1)) for j in range(n)]
    direct = known & ~(known.astype(np.int64) @ known.astype(np.int64)).astype(np.bool_)
    for i, j in np.argwhere(direct).tolist():
        model.add(position[i] + 1 <= position[j])
    return Positional(instance, place, tuple(completion), tuple(tardiness))


def _ordering(model: CpModel, instance: TardinessInstance, known: BoolArray) -> Ordering:
    n, p, d = instance.num_jobs, instance.durations.tolist(), instance.due_dates.tolist()
    before = {
        (i, j): model.new_bool_var(f"before_{i}_{j}")
        for i in range(n)
        for j in range(i + 1, n)
        if not (known[i, j] or known[j, i])
    }
    tardiness = tuple(
        model.new_int_var(0, _most_late(instance, j), f"tardiness_{j}") for j in range(n)
    )
    variables = Ordering(instance, known, before, tardiness)
    literal = [[variables.literal(i, j) for j in range(n)] for i in range(n)]
    for j in range(n):
        work = sum(p[i] * literal[i][j] for i in range(n) if i != j)
        model.add(tardiness[j] >= p[j] + work - d[j])
    for i in range(n):
        for j in range(i + 1, n):
            for k in range(j + 1, n):
                # Not i, j, k in a circle, one way or the other.
                _forbid(model, literal[i][j], literal[j][k], literal[k][i])
                _forbid(model, literal[i][k], literal[k][j], literal[j][i])
    return variables


def _forbid(model: CpModel, *literals: Any) -> None:
    """At least one of the literals is false."""
    if not any(literal is False for literal in literals):
        model.add_bool_or([~literal for literal in literals if literal is not True])


def _intervals(model: CpModel, instance: TardinessInstance) -> Intervals:
    n, p, d = instance.num_jobs, instance.durations.tolist(), instance.due_dates.tolist()
    release = [0] * n if instance.release_dates is None else instance.release_dates.tolist()
    start, tardiness, intervals = [], [], []
    for j in range(n):
        start.append(model.new_int_var(release[j], instance.horizon - p[j], f"start_{j}"))
        tardiness.append(model.new_int_var(0, _most_late(instance, j), f"tardiness_{j}"))
        intervals.append(model.new_fixed_size_interval_var(start[j], p[j], f"job_{j}"))
        model.add(tardiness[j] >= start[j] + p[j] - d[j])
    model.add_no_overlap(intervals)
    follows = {}
    if instance.setups is not None:
        follows = {
            (i, j): model.new_bool_var(f"follows_{i}_{j}")
            for i in range(n + 1)
            for j in range(n + 1)
            if i != j
        }
        model.add_circuit([(i, j, arc) for (i, j), arc in follows.items()])
        for (i, j), arc in follows.items():
            if j == n:
                continue
            setup = int(instance.setups[0 if i == n else i + 1, j])
            model.add(start[j] >= release[j] + setup).only_enforce_if(arc)
            if i < n:
                model.add(start[j] >= start[i] + p[i] + setup).only_enforce_if(arc)
    return Intervals(instance, tuple(start), follows, tuple(tardiness))


@solver
def cp_sat(
    instance: TardinessInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: TardinessSolution | None,
    on_incumbent: Report,
    model: str = "auto",
    workers: int = engine.WORKERS,
    deterministic: bool = False,
    log: bool = False,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """CP-SAT on :func:`build_model`, from a local optimum below ``start``.

    On a stochastic instance this is the clairvoyant reference, see :func:`build_model`.

    Args:
        instance: The instance.
        time_limit: In seconds, or ``None`` to search until the proof; see ``deterministic``.
        seed: Seed of the search.
        start: Sequence to begin from; by default a constructed one.
        on_incumbent: Called with each better sequence.
        model: One of :data:`MODELS`.
        workers: Number of search workers; 0 for one per core.
        deterministic: Solution and bound repeat; slower. The limit then counts the engine's work
            instead of seconds.
        log: Write the search log to the ``gapgym`` logger, at level INFO.
        parameters: Further parameters of CP-SAT by name.
    """
    model = _checked_model(instance, model)
    deadline = Deadline(None if deterministic else time_limit)
    if start is not None:
        on_incumbent(start)  # which checks it
    bound = lower_bound(instance)
    best = _local_optimum(instance, deadline, start)
    on_incumbent(best)
    if objective(instance, best) == bound:
        return Draft(best, bound, Status.OPTIMAL)
    known = _known(instance, model)
    first = TardinessSolution(respecting(best.sequence, known))
    if deadline.passed:
        return Draft(best, bound)
    at_most = objective(instance, first)
    built, variables = build_model(instance, model=model, known=known, at_most=at_most)
    if deadline.passed:
        return Draft(best, bound)
    level = {} if model == "intervals" else {"linearization_level": 2}
    outcome = engine.minimise(
        built,
        time_limit=time_limit if deterministic else deadline.limit,
        seed=seed,
        workers=workers,
        hint=variables.hint(first),
        deterministic=deterministic,
        log=log,
        parameters={**level, **parameters},
        on_solution=lambda values: on_incumbent(variables.solution(values)),
    )
    found = best if outcome.values is None else variables.solution(outcome.values)
    best = min(found, best, key=lambda solution: objective(instance, solution))
    status = Status.OPTIMAL if outcome.status is Status.OPTIMAL else Status.FEASIBLE
    return Draft(best, max(bound, outcome.bound or 0), status)


def _local_optimum(
    instance: TardinessInstance, deadline: Deadline, start: TardinessSolution | None
) -> TardinessSolution:
    """What descent makes of a sequence."""
    search = dynasearch if instance.is_plain else descent
    solution = search(instance, time_limit=deadline.limit, start=start).solution
    assert isinstance(solution, TardinessSolution)
    return solution
