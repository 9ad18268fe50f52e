"""CP-SAT for pod packing: equal pods are counted, and the levels are settled one by one.

Variables, for groups ``g`` of equal pods and nodes ``j``: ``z_gj`` pods of the group on the node;
``s_gj <= min(z_gj, now)`` of them that stay where they run; ``r_g`` running pods that end on some
node. Pods of tier ``k`` that run: ``Y_k = sum z``; disruption: ``D_k = sum evict_cost (n_g - r_g) +
move_cost (r_g - sum_j s_gj)``, with ``n_g`` pods of the group that run now. In the order of the
objective, each level is minimised and frozen at what was found, with the best placement so far as
hint; a level at its trivial bound takes no search.

Capacities, host ports, budgets and static filters are linear; required terms between pods hold for
new pods only, those on a node beyond ``s_gj`` (see ``_Terms``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import IntArray, Objective
from ..instances.pod_packing import (
    PodPackingInstance,
    PodPackingSolution,
    lower_bound,
    most_placed,
    validate,
    value_of,
)
from ..instances.pod_packing_constraints import AFFINITY, ANTI, Constraints, constraints
from . import cp_sat as engine
from .pod_packing_groups import Groups, assign, counts, groups
from .pod_packing_repair import search
from .solver import Draft, Report, Status, solver

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar

#: Share of the time limit for ruin and repair, before the engine starts.
_SEARCH = 0.25

#: Rounds of ruin and repair where the result has to be the same whatever the time.
_ROUNDS = 20

#: Rounds of ruin and repair at most.
_MOST_ROUNDS = 2000


@dataclass(frozen=True)
class Variables:
    """What :func:`build_model` made.

    Attributes:
        groups: The groups of equal pods.
        on: ``(g, j)`` to the number of pods; a missing one is 0.
        stay: ``(g, j)`` to the number of pods that stay; a missing one is 0.
        kept: ``g`` to the number of running pods that end on a node, where some run.
        levels: The objective's levels, as expressions to be minimised in order.
    """

    groups: Groups
    on: Mapping[tuple[int, int], IntVar]
    stay: Mapping[tuple[int, int], IntVar]
    kept: Mapping[int, IntVar]
    levels: tuple[Any, ...]

    def placement(self, instance: PodPackingInstance, values: IntArray) -> IntArray:
        """The placement that values of the variables stand for."""
        table = np.zeros((len(self.groups.members), instance.num_nodes), dtype=np.int64)
        for (g, j), variable in self.on.items():
            table[g, j] = values[variable.index]
        return assign(instance, self.groups, table)

    def hint(self, instance: PodPackingInstance, nodes: IntArray) -> Iterator[tuple[IntVar, int]]:
        """Values of a placement."""
        table = counts(self.groups, nodes, instance.num_nodes)
        for key, variable in self.on.items():
            yield variable, int(table[key])
        stays = np.minimum(table, self.groups.current)
        for key, variable in self.stay.items():
            yield variable, int(stays[key])
        for g, variable in self.kept.items():
            pods = self.groups.members[g]
            running = instance.current[pods] >= 0
            yield variable, int(np.count_nonzero(running & (nodes[pods] >= 0)))


def build_model(instance: PodPackingInstance) -> tuple[CpModel, Variables]:
    """The model without an objective; its levels stand in the variables.

    Returns:
        The model, to which constraints may be added, and its variables.
    """
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    c, found = constraints(instance), groups(instance)
    on, stay = _placements(model, instance, c, found)
    kept = _kept(model, found, on, stay)
    _add_capacities(model, c, found, on)
    _add_budgets(model, instance, c, found, stay)
    if c.num_terms:
        _Terms(model, instance, c, found, on, stay).add()
    levels = _levels(instance, found, on, stay, kept)
    return model, Variables(found, on, stay, kept, levels)


Table = dict[tuple[int, int], Any]


def _placements(
    model: CpModel, instance: PodPackingInstance, c: Constraints, found: Groups
) -> tuple[Table, Table]:
    """``z`` and ``s``, with the static filters and protection."""
    on, stay = {}, {}
    for g, pods in enumerate(found.members):
        spec, size = instance.spec_of_pod[pods[0]], len(pods)
        protected = bool(instance.protected[pods[0]])
        fits = (c.requests[pods[0]] <= c.capacities).all(axis=1)
        for j in range(instance.num_nodes):
            now = int(found.current[g, j])
            if protected:
                if now:
                    on[g, j] = model.new_int_var(now, now, f"z{g},{j}")
                    stay[g, j] = model.new_int_var(now, now, f"s{g},{j}")
                continue
            allowed = bool(c.allowed[spec, j] and fits[j])
            if not allowed and not now:
                continue
            on[g, j] = model.new_int_var(0, size if allowed else now, f"z{g},{j}")
            if now:
                stay[g, j] = model.new_int_var(0, now, f"s{g},{j}")
                model.add(stay[g, j] <= on[g, j])
                if not allowed:
                    model.add(stay[g, j] == on[g, j])
        if not protected:
            model.add(sum(on[g, j] for j in range(instance.num_nodes) if (g, j) in on) <= size)
    return on, stay


def _kept(model: CpModel, found: Groups, on: Table, stay: Table) -> dict[int, Any]:
    """``r``: at least those that stay and those for whom no pending pod could stand in."""
    by_group = _by_group(on), _by_group(stay)
    kept = {}
    for g, running in enumerate(found.current.sum(axis=1).tolist()):
        if not running:
            continue
        placed = sum(by_group[0].get(g, []))
        kept[g] = model.new_int_var(0, running, f"r{g}")
        model.add(kept[g] >= sum(by_group[1].get(g, [])))
        model.add(kept[g] <= placed)
        model.add(placed - kept[g] <= int(found.pending[g]))
    return kept


def _by_group(table: Table) -> dict[int, list[Any]]:
    rows: dict[int, list[Any]] = {}
    for (g, _), variable in table.items():
        rows.setdefault(g, []).append(variable)
    return rows


def _add_capacities(model: CpModel, c: Constraints, found: Groups, on: Table) -> None:
    columns: dict[int, list[tuple[int, Any]]] = {}
    for (g, j), variable in on.items():
        columns.setdefault(j, []).append((g, variable))
    first = [int(pods[0]) for pods in found.members]
    most = found.sizes
    for j, terms in columns.items():
        for k in range(c.capacities.shape[1]):
            weights = [int(c.requests[first[g], k]) for g, _ in terms]
            total = sum(w * int(most[g]) for w, (g, _) in zip(weights, terms, strict=True))
            if total > c.capacities[j, k]:
                load = sum(w * v for w, (_, v) in zip(weights, terms, strict=True) if w)
                model.add(load <= int(c.capacities[j, k]))


def _add_budgets(
    model: CpModel, instance: PodPackingInstance, c: Constraints, found: Groups, stay: Table
) -> None:
    """No more pods of a budget leave their nodes than it allows."""
    for m, allowed in enumerate(c.budgets.tolist()):
        members = [
            g
            for g, pods in enumerate(found.members)
            if c.in_budget[instance.spec_of_pod[pods[0]], m]
        ]
        running = int(found.current[members].sum())
        if running > allowed:
            stays = [v for (g, _), v in stay.items() if g in set(members)]
            model.add(running - sum(stays) <= allowed)


class _Terms:
    """Required terms between pods, as the referee judges them.

    A pod of a group is *new* on a node if it is beyond the ``s_gj`` that stay. For each group, term
    and domain where it matters, a literal says that new pods of the group are there.
    """

    def __init__(
        self,
        model: CpModel,
        instance: PodPackingInstance,
        c: Constraints,
        found: Groups,
        on: Table,
        stay: Table,
    ) -> None:
        self.model, self.instance, self.c, self.found = model, instance, c, found
        self.on, self.stay = on, stay
        specs = [int(instance.spec_of_pod[pods[0]]) for pods in found.members]
        self.carry, self.match = c.carry[specs], c.match[specs]
        self.sizes = found.sizes.tolist()

    def add(self) -> None:
        """Add the constraints of all terms."""
        for t, kind in enumerate(self.c.kinds.tolist()):
            domains = range(int(self.c.num_domains[t]))
            if kind != ANTI:
                self._forbid_outside(t)
            if kind == ANTI:
                for d in domains:
                    self._exclude(t, d)
            elif kind == AFFINITY:
                self._attract(t, domains)
            else:
                for d in domains:
                    self._spread(t, d)

    def _nodes(self, t: int, d: int) -> list[int]:
        return np.flatnonzero(self.c.domains[t] == d).tolist()

    def _pods(self, g: int, nodes: list[int]) -> Any:
        return sum(self.on[g, j] for j in nodes if (g, j) in self.on)

    def _staying(self, g: int, nodes: list[int]) -> Any:
        return sum(self.stay[g, j] for j in nodes if (g, j) in self.stay)

    def _total(self, chosen: Any, nodes: list[int]) -> Any:
        return sum(self._pods(g, nodes) for g in np.flatnonzero(chosen).tolist())

    def _literal(self, g: int, nodes: list[int]) -> Any:
        """True where new pods of the group are on one of the nodes."""
        new = self._pods(g, nodes) - self._staying(g, nodes)
        literal = self.model.new_bool_var("")
        self.model.add(new <= self.sizes[g] * literal)
        return literal

    def _forbid_outside(self, t: int) -> None:
        """A pod that carries the term does not come to a node without the label."""
        nodes = self._nodes(t, -1)
        for g in np.flatnonzero(self.carry[:, t]).tolist():
            self.model.add(self._pods(g, nodes) == self._staying(g, nodes))

    def _exclude(self, t: int, d: int) -> None:
        nodes = self._nodes(t, d)
        carry, match = self.carry[:, t], self.match[:, t]
        matched, carried = self._total(match, nodes), self._total(carry, nodes)
        for g in np.flatnonzero(carry | match).tolist():
            literal = self._literal(g, nodes)
            if carry[g]:
                self.model.add(matched <= int(match[g])).only_enforce_if(literal)
            if match[g]:
                self.model.add(carried <= int(carry[g])).only_enforce_if(literal)

    def _attract(self, t: int, domains: range) -> None:
        """Each domain with new pods that carry the term has another selected pod, or is the seed.

        The seed is where the first pod comes that the term selects: one that carries it and selects
        itself. There is none if a selected pod stays anywhere.
        """
        carry, match = self.carry[:, t], self.match[:, t]
        seeds = [self.model.new_bool_var("") for _ in domains]
        if seeds:
            self.model.add(sum(seeds) <= 1)
        everywhere = [j for d in domains for j in self._nodes(t, d)]
        residents = sum(self._staying(g, everywhere) for g in np.flatnonzero(match).tolist())
        for d, seed in zip(domains, seeds, strict=True):
            self.model.add(residents == 0).only_enforce_if(seed)
            nodes = self._nodes(t, d)
            support = self._total(match & ~carry, nodes) + sum(
                self._staying(g, nodes) for g in np.flatnonzero(match & carry).tolist()
            )
            own = np.flatnonzero(carry & match).tolist()
            firsts = sum(self._pods(g, nodes) - self._staying(g, nodes) for g in own)
            self.model.add(firsts >= 1).only_enforce_if(seed)
            for g in np.flatnonzero(carry).tolist():
                literal = self._literal(g, nodes)
                self.model.add(support + seed >= 1).only_enforce_if(literal)

    def _spread(self, t: int, d: int) -> None:
        """New pods that carry the term come only where the skew stays small."""
        carry, match = self.carry[:, t], self.match[:, t]
        here = self._total(match, self._nodes(t, d))
        eligible = sorted({int(self.c.domains[t, j]) for j in np.flatnonzero(self.c.eligible[t])})
        others = [self._total(match, self._nodes(t, other)) for other in eligible if other != d]
        for g in np.flatnonzero(carry).tolist():
            literal = self._literal(g, self._nodes(t, d))
            for other in others:
                skew = here - other
                self.model.add(skew <= int(self.c.limits[t])).only_enforce_if(literal)


def _levels(
    instance: PodPackingInstance,
    found: Groups,
    on: Table,
    stay: Table,
    kept: Mapping[int, Any],
) -> tuple[Any, ...]:
    tiers = instance.num_tiers
    tier_of_group = [int(instance.tier_of_pod[pods[0]]) for pods in found.members]
    placed: list[list[Any]] = [[] for _ in range(tiers)]
    disruption: list[list[Any]] = [[] for _ in range(tiers)]
    for (g, _), variable in on.items():
        placed[tier_of_group[g]].append(variable)
    stays = _by_group(stay)
    running = found.current.sum(axis=1).tolist()
    evict, move = instance.evict_cost, instance.move_cost
    for g, variable in kept.items():
        cost = evict * (running[g] - variable) + move * (variable - sum(stays.get(g, [])))
        disruption[tier_of_group[g]].append(cost)
    y = [-sum(p) for p in placed]
    d = [sum(p) for p in disruption]
    if instance.objective == "place_first":
        return (*y, *d)
    if instance.objective == "tiered":
        return tuple(level for pair in zip(y, d, strict=True) for level in pair)
    counts_ = instance.pods_per_tier.tolist()
    pending = sum(w * (n + p) for w, n, p in zip(instance.tier_weights, counts_, y, strict=True))
    return (pending + sum(d),)


@solver
def cp_sat(
    instance: PodPackingInstance,
    *,
    time_limit: float | None = None,
    seed: int = 0,
    start: PodPackingSolution | None = None,
    on_incumbent: Report,
    workers: int = engine.WORKERS,
    deterministic: bool = False,
    improve: bool = True,
    place_one: bool = False,
    log: bool = False,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """Settle level after level of the objective, exactly; see the module.

    The start is greedy repair, improved by ruin and repair for a quarter of the time. A level takes
    half of the time that is left, the last one all of it. Where a level is not proven, what was
    found is kept, and the bound is what was proven of the first such level.

    Args:
        instance: The cluster.
        time_limit: Seconds.
        seed: Seed of both searches.
        start: Where to begin.
        on_incumbent: Called with every better placement.
        workers: Workers of the engine; 0 for one per core.
        deterministic: Same seed and limit, same result; see ``minimise``.
        improve: Whether the start is sought by repair; without it, it is where the pods run.
        place_one: Whether a pending pod at least has to be placed, as in arXiv:2511.08373; where
            that cannot be, the status is infeasible, and ``optimal`` means among such placements.
        log: Log the search.
        parameters: Parameters of CP-SAT.
    """
    began = time.perf_counter()
    if place_one:  # what is found on the way need not place one
        on_incumbent = _ignore
    best = _start(instance, time_limit, seed, start, on_incumbent, improve, deterministic)
    model, variables = build_model(instance)
    if place_one and (instance.current < 0).any():
        _place_one(model, variables)
        if not ((best >= 0) & (instance.current < 0)).any():
            best = None
    run = _Levels(instance, model, variables, best, on_incumbent)
    options: dict[str, Any] = {
        "seed": seed,
        "workers": workers,
        "deterministic": deterministic,
        "log": log,
        "parameters": parameters,
    }
    used = 0.0 if deterministic else time.perf_counter() - began
    draft = run.solve(None if time_limit is None else time_limit - used, options)
    return replace(draft, bound=None) if place_one else draft


def _ignore(solution: Any) -> None:
    """Report nothing."""


def _start(
    instance: PodPackingInstance,
    time_limit: float | None,
    seed: int,
    start: PodPackingSolution | None,
    report: Report,
    improve: bool,
    deterministic: bool,
) -> Any:
    if not improve:
        nodes = instance.current if start is None else start.nodes
        report(PodPackingSolution(nodes))
        return nodes
    fixed = deterministic or time_limit is None
    rounds = _ROUNDS if fixed else _MOST_ROUNDS
    ends = np.inf if fixed else time.perf_counter() + _SEARCH * (time_limit or 0.0)
    nodes = search(instance, ends, rounds, seed, start, report)
    if start is not None and _less(value_of(instance, start.nodes), value_of(instance, nodes)):
        validate(instance, start)
        return start.nodes
    return nodes


def _less(first: Objective, second: Objective) -> bool:
    found: Any = first
    return bool(found < second)


def _place_one(model: CpModel, variables: Variables) -> None:
    """At least one pod that is pending now ends on a node."""
    found = variables.groups
    by_group = _by_group(dict(variables.on))
    new = [
        sum(by_group[g]) - variables.kept.get(g, 0)
        for g in np.flatnonzero(found.pending).tolist()
        if g in by_group
    ]
    model.add(sum(new) >= 1)


class _Levels:
    """The levels of the objective, one after the other."""

    def __init__(
        self,
        instance: PodPackingInstance,
        model: CpModel,
        variables: Variables,
        best: IntArray | None,
        report: Report,
    ) -> None:
        self.instance, self.model, self.variables = instance, model, variables
        self.best, self.report = best, report
        self.trivial = _as_levels(lower_bound(instance))

    def solve(self, time_limit: float | None, options: dict[str, Any]) -> Draft:
        """Minimise and freeze each level."""
        ends = None if time_limit is None else time.perf_counter() + time_limit
        levels, bound = self.variables.levels, list(self.trivial)
        proven = True
        deterministic = options["deterministic"]
        for at, level in enumerate(levels):
            last = at == len(levels) - 1
            if deterministic:
                limit = None if time_limit is None else time_limit / len(levels)
            else:
                limit = None if ends is None else ends - time.perf_counter()
                limit = limit if limit is None or last else limit / 2
            if limit is not None and limit <= 0:
                proven = False
                break
            floor = self._floor(at)
            status, value, found = self._level(level, floor, limit, options)
            if status is Status.INFEASIBLE:
                return Draft(None, None, Status.INFEASIBLE)
            if value is None:  # nothing is known of this level, nor of those below
                proven = False
                break
            if proven:
                bound[at] = value if status is Status.OPTIMAL else max(found, floor)
                proven = status is Status.OPTIMAL
            if not isinstance(level, int):
                self.model.add(level <= value if status is not Status.OPTIMAL else level == value)
        status = Status.OPTIMAL if proven and self.best is not None else Status.FEASIBLE
        solution = None if self.best is None else PodPackingSolution(self.best)
        if solution is None:
            status = Status.UNKNOWN
        return Draft(solution, _as_objective(self.instance, bound), status)

    def _floor(self, at: int) -> int:
        """What a level cannot fall below, whatever the levels above are."""
        instance = self.instance
        if instance.objective == "weighted":
            return int(self.trivial[0])
        tiers = instance.num_tiers
        tiered = instance.objective == "tiered"
        tier = at // 2 if tiered else at
        if (tiered and at % 2) or (not tiered and at >= tiers):
            return 0
        if self.best is not None:
            above = _as_levels(value_of(instance, self.best))
            step = 2 if tiered else 1
            if list(above[:at:step]) == [-y for y in most_placed(instance)[:tier]]:
                return int(self.trivial[at])
        return -int(instance.pods_per_tier[tier])

    def _level(
        self, level: Any, floor: int, limit: float | None, options: dict[str, Any]
    ) -> tuple[Status, int | None, int]:
        """Status, value of the best placement and proven bound of one level."""
        if isinstance(level, int):  # nobody of the tier can change
            return Status.OPTIMAL, level, level
        value = None if self.best is None else self._value(level)
        if value is not None and value <= floor:
            return Status.OPTIMAL, value, value
        self.model.minimize(level)
        hint = None
        if self.best is not None:
            hint = list(self.variables.hint(self.instance, self.best))
        outcome = engine.minimise(self.model, time_limit=limit, hint=hint, **options)
        if outcome.status is Status.INFEASIBLE and self.best is None:
            return Status.INFEASIBLE, None, floor
        if outcome.values is not None:
            nodes = self.variables.placement(self.instance, outcome.values)
            before = self.best
            self.best = nodes
            found = self._value(level)
            if value is not None and before is not None and found > value:
                self.best, found = before, value
            elif before is None or _less(
                value_of(self.instance, nodes), value_of(self.instance, before)
            ):
                self.report(PodPackingSolution(nodes))
            value = found
        bound = floor if outcome.bound is None else outcome.bound
        return outcome.status, value, bound

    def _value(self, level: Any) -> int:
        """The value of a level for the best placement."""
        levels = _as_levels(value_of(self.instance, self._placement()))
        at = next(i for i, other in enumerate(self.variables.levels) if other is level)
        return int(levels[at])

    def _placement(self) -> IntArray:
        if self.best is None:
            raise RuntimeError("no placement yet")
        return self.best


def _as_levels(value: Objective) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _as_objective(instance: PodPackingInstance, levels: list[int]) -> Objective:
    return levels[0] if instance.objective == "weighted" else tuple(levels)
