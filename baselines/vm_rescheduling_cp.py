"""VM rescheduling by CP-SAT: how many VMs of each kind leave and enter each place.

VMs that need the same and may go to the same places are interchangeable: counts per kind and place
say all that the objective asks for, in some thousand integers where one binary per VM and node
would be millions. A VM of an anti-affinity set is a kind of its own.

The model knows final places alone, not what must fit while the moves are made, and so it is a
relaxation: its bound holds for every plan, and what it finds is put into an order by ``ordered``,
which leaves out moves that wait for each other in a circle.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import IntArray
from ..instances.vm_rescheduling import (
    VMReschedulingInstance,
    VMReschedulingSolution,
    lower_bound,
)
from ..instances.vm_rescheduling_model import HOST
from . import cp_sat as engine
from .solver import Draft, Report, solver
from .vm_rescheduling_search import annealing, by_cost, ordered

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntVar, LinearExpr

#: Share of the time limit, and seconds at most, that the annealing before has.
_EARLY, _EARLY_SECONDS = 0.2, 10.0


@dataclass(frozen=True)
class Kinds:
    """Movable VMs that are interchangeable.

    Attributes:
        members: The VMs of each kind.
        places: The places of each kind, ``2 pm + node``, or ``2 pm`` for a double: those that its
            VMs may go to.
    """

    members: list[list[int]]
    places: list[list[int]]


def kinds_of(instance: VMReschedulingInstance) -> Kinds:
    """The movable VMs by what they need, where they may go and which sets they are in."""
    groups: dict[tuple[int, ...], list[int]] = {}
    cluster = instance.pm_cluster[instance.vm_pm]
    for v in np.flatnonzero(instance.can_move).tolist():
        alone = v if v in instance.sets_of else -1
        home = int(cluster[v]) if instance.cluster_local else -1
        needs = int(instance.vm_cores[v]), int(instance.vm_memory[v]), int(instance.is_double[v])
        groups.setdefault((*needs, home, alone), []).append(v)
    active = np.flatnonzero(instance.pm_active > 0)
    places = []
    for _, _, double, home, _ in groups:
        pms = active if home < 0 else active[instance.pm_cluster[active] == home]
        nodes = (0,) if double else (0, 1)
        places.append([2 * pm + k for pm in pms.tolist() for k in nodes])
    return Kinds(list(groups.values()), places)


@dataclass(frozen=True)
class Variables:
    """The variables of :func:`build_model`.

    Attributes:
        kinds: What VMs are interchangeable.
        enter: (Kind, place) to the number of VMs that come.
        leave: (Kind, place) to the number of VMs that go.
        slots: (Size, PM, node) to the slots there; node 0 for slots over both.
        missing: What is missing to the goal, or ``None``.
    """

    kinds: Kinds
    enter: Mapping[tuple[int, int], IntVar]
    leave: Mapping[tuple[int, int], IntVar]
    slots: Mapping[tuple[int, int, int], IntVar]
    missing: IntVar | None

    def places(self, instance: VMReschedulingInstance, values: IntArray) -> IntArray:
        """``(V,)`` final places: VMs of a kind that leave take the places where some come."""
        place = _home(instance)
        waiting: list[list[int]] = [[] for _ in self.kinds.members]
        for (kind, source), variable in self.leave.items():
            there = [v for v in self.kinds.members[kind] if place[v] == source]
            waiting[kind] += there[: int(values[variable.index])]
        for (kind, target), variable in self.enter.items():
            for _ in range(int(values[variable.index])):
                place[waiting[kind].pop()] = target
        return place

    def hint(
        self, instance: VMReschedulingInstance, plan: VMReschedulingSolution
    ) -> list[tuple[IntVar, int]]:
        """The values of all variables for a plan."""
        now, then = _home(instance), _home(instance)
        for v, pm, node in plan.moves.tolist():
            then[v] = 2 * pm + max(node, 0)
        values: list[tuple[IntVar, int]] = []
        for kind, members in enumerate(self.kinds.members):
            before, after = np.bincount(now[members]), np.bincount(then[members])
            for table, more, less in ((self.enter, after, before), (self.leave, before, after)):
                values += [
                    (variable, max(0, _at(more, place) - _at(less, place)))
                    for (k, place), variable in table.items()
                    if k == kind
                ]
        free = _free_after(instance, then)
        slots = {key: _slots(instance, free, *key) for key in self.slots}
        values += [(variable, slots[key]) for key, variable in self.slots.items()]
        if self.missing is not None:
            cost = sum(w for *_, w in instance.sizes.tolist()) * instance.total_free
            cost -= sum(_worth(instance, size) * count for (size, *_), count in slots.items())
            values.append((self.missing, max(0, cost - instance.goal_cost)))
        return values


def build_model(instance: VMReschedulingInstance) -> tuple[CpModel, Variables]:
    """The model: flows of VMs between places, and the slots that they leave."""
    from ortools.sat.python import cp_model

    model, kinds, home = cp_model.CpModel(), kinds_of(instance), _home(instance)
    enter: dict[tuple[int, int], IntVar] = {}
    leave: dict[tuple[int, int], IntVar] = {}
    most = instance.mnl
    for kind, (members, places) in enumerate(zip(kinds.members, kinds.places, strict=True)):
        here = np.bincount(home[members])
        for place in places:
            enter[kind, place] = model.new_int_var(0, min(most, len(members)), "")
            if count := _at(here, place):
                leave[kind, place] = model.new_int_var(0, min(most, count), "")
        model.add(
            sum(enter[kind, place] for place in places)
            == sum(leave[kind, place] for place in places if (kind, place) in leave)
        )
    model.add(sum(leave.values()) <= most)
    if instance.memory_budget is not None:
        moved = [instance.moved_memory[kinds.members[k][0]] * x for (k, _), x in leave.items()]
        model.add(sum(moved) <= instance.memory_budget)
    free = _add_rooms(model, instance, kinds, enter, leave)
    _add_sets(model, instance, kinds, enter, leave, home)
    slots = _add_slots(model, instance, free)
    missing = _add_objective(model, instance, slots, leave)
    return model, Variables(kinds, enter, leave, slots, missing)


def _add_rooms(
    model: CpModel,
    instance: VMReschedulingInstance,
    kinds: Kinds,
    enter: Mapping[tuple[int, int], IntVar],
    leave: Mapping[tuple[int, int], IntVar],
) -> dict[tuple[int, int], LinearExpr | int]:
    """Cores and memory suffice at the end; (PM, node) to the free cores there."""
    cores: dict[tuple[int, int], list[Any]] = {}
    memory: dict[tuple[int, int], list[Any]] = {}
    for table, sign in ((enter, -1), (leave, 1)):
        for (kind, place), variable in table.items():
            v = kinds.members[kind][0]
            for k in (0, 1) if instance.is_double[v] else (place % 2,):
                at = place // 2, k
                cores.setdefault(at, []).append(sign * int(instance.vm_cores[v]) * variable)
                memory.setdefault(at, []).append(sign * int(instance.vm_memory[v]) * variable)
    free: dict[tuple[int, int], LinearExpr | int] = {}
    for pm in np.flatnonzero(instance.pm_active > 0).tolist():
        for k in (0, 1):
            changes = cores.get((pm, k), [])
            free[pm, k] = int(instance.free_cores[pm, k]) + sum(changes)
            if changes:
                model.add(free[pm, k] >= 0)
                model.add(int(instance.free_memory[pm, k]) + sum(memory[pm, k]) >= 0)
    return free


def _add_sets(
    model: CpModel,
    instance: VMReschedulingInstance,
    kinds: Kinds,
    enter: Mapping[tuple[int, int], IntVar],
    leave: Mapping[tuple[int, int], IntVar],
    home: IntArray,
) -> None:
    """VMs of a set end on different PMs, or in different racks."""
    kind_of = {members[0]: kind for kind, members in enumerate(kinds.members)}
    for one, level in enumerate(instance.set_level.tolist()):
        within: dict[int, list[Any]] = {}
        for v in instance.set_members[instance.set_members[:, 0] == one, 1].tolist():
            own = home[v] // 2
            within.setdefault(own if level == HOST else int(instance.pm_rack[own]), []).append(1)
            if v not in kind_of:
                continue
            kind = kind_of[v]
            for place in kinds.places[kind]:
                pm = place // 2
                where = pm if level == HOST else int(instance.pm_rack[pm])
                within.setdefault(where, []).append(enter[kind, place])
                if (kind, place) in leave:
                    within[where].append(-leave[kind, place])
        for terms in within.values():
            if len(terms) > 1:
                model.add(sum(terms) <= 1)


def _add_slots(
    model: CpModel,
    instance: VMReschedulingInstance,
    free: Mapping[tuple[int, int], LinearExpr | int],
) -> dict[tuple[int, int, int], IntVar]:
    slots: dict[tuple[int, int, int], IntVar] = {}
    for size, (cores, double, _) in enumerate(instance.sizes.tolist()):
        unit = cores // 2 if double else cores
        for (pm, k), left in free.items():
            if double and k:
                continue
            most = int(instance.pm_cores[pm, k]) // unit
            slots[size, pm, k] = count = model.new_int_var(0, most, "")
            model.add(unit * count <= left)
            if double:
                model.add(unit * count <= free[pm, 1])
    return slots


def _add_objective(
    model: CpModel,
    instance: VMReschedulingInstance,
    slots: Mapping[tuple[int, int, int], IntVar],
    leave: Mapping[tuple[int, int], IntVar],
) -> IntVar | None:
    """Minimise the cost, or what is missing to the goal and then the moves."""
    total = instance.total_weight * instance.total_free
    cost = total - sum(_worth(instance, size) * count for (size, *_), count in slots.items())
    if instance.goal is None:
        model.minimize(cost)
        return None
    missing = model.new_int_var(0, max(0, total), "")
    model.add(missing >= cost - instance.goal_cost)
    model.minimize((instance.mnl + 1) * missing + sum(leave.values()))
    return missing


def _worth(instance: VMReschedulingInstance, size: int) -> int:
    """Weighted cores of a slot."""
    return int(instance.sizes[size, 0] * instance.sizes[size, 2])


def _home(instance: VMReschedulingInstance) -> IntArray:
    """``(V,)`` place of each VM at the beginning."""
    place: IntArray = 2 * instance.vm_pm + np.maximum(instance.vm_node, 0)
    return place


def _at(counts: IntArray, place: int) -> int:
    return int(counts[place]) if place < len(counts) else 0


def _free_after(instance: VMReschedulingInstance, then: IntArray) -> IntArray:
    free, now = instance.free_cores.copy(), _home(instance)
    for v in np.flatnonzero(then != now).tolist():
        for place, sign in ((now[v], 1), (then[v], -1)):
            nodes = [0, 1] if instance.is_double[v] else [place % 2]
            free[place // 2, nodes] += sign * instance.vm_cores[v]
    return free


def _slots(instance: VMReschedulingInstance, free: IntArray, size: int, pm: int, k: int) -> int:
    cores, double, _ = instance.sizes[size].tolist()
    return int(free[pm].min() // (cores // 2) if double else free[pm, k] // cores)


@solver
def cp_sat(
    instance: VMReschedulingInstance,
    *,
    time_limit: float | None,
    seed: int,
    start: VMReschedulingSolution | None,
    on_incumbent: Report,
    workers: int = engine.WORKERS,
    deterministic: bool = False,
    log: bool = False,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """CP-SAT on :func:`build_model`, from the better of annealing and ``start``.

    With a delay the plan is made for the snapshot, and the bound is the family's own: what the
    cluster will have become is not known to the model.

    Args:
        instance: The cluster.
        time_limit: In seconds, or ``None`` to search until the proof; see ``deterministic``.
        seed: Seed of the search.
        start: Plan to begin from.
        on_incumbent: Called with each better plan.
        workers: Number of search workers; 0 for one per core.
        deterministic: Plan and bound repeat; slower. The limit then counts the engine's work
            instead of seconds.
        log: Write the search log to the ``gapgym`` logger, at level INFO.
        parameters: Further parameters of CP-SAT by name.
    """
    began = time.perf_counter()
    timed = time_limit is not None and not deterministic
    early = min(_EARLY_SECONDS, _EARLY * time_limit) if timed and time_limit else None
    best = annealing(instance, time_limit=early, seed=seed).solution
    assert best is not None  # to stay is a plan, too
    if start is not None:
        on_incumbent(start)  # which checks it
        best = min(best, start, key=by_cost(instance))
    on_incumbent(best)
    model, variables = build_model(instance)
    left = time_limit
    if timed and time_limit is not None:
        left = max(0.01, time_limit - (time.perf_counter() - began))
    outcome = engine.minimise(
        model,
        time_limit=left,
        seed=seed,
        workers=workers,
        hint=variables.hint(instance, best),
        deterministic=deterministic,
        log=log,
        parameters=parameters,
        on_solution=lambda values: on_incumbent(
            ordered(instance, variables.places(instance, values))
        ),
    )
    if outcome.values is not None:
        found = ordered(instance, variables.places(instance, outcome.values))
        best = min(best, found, key=by_cost(instance))
    bound = lower_bound(instance)
    if not instance.delay and outcome.bound is not None:
        bound = max(bound, outcome.bound)
    return Draft(best, math.ceil(bound))
