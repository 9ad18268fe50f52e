"""Heuristics of VM rescheduling: that of production, greedy and annealing.

Where a solver thinks of final places only, :func:`ordered` makes a plan of them: any pending move
for which there is room is next. Moves that wait for each other in a circle are left out, since a
plan has no room for detours beyond its limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..instances.core import BoolArray, IntArray
from ..instances.vm_rescheduling import (
    VMReschedulingInstance,
    VMReschedulingSolution,
    objective,
)
from . import vm_rescheduling_kernels as kernels
from .solver import Draft, Report, solver

#: Proposals of the annealing between two looks at the clock.
_CHUNK = 200_000
#: Proposals by default, at most.
_STEPS = 5_000_000
#: First and last temperature of the annealing, in slots.
_HOT, _COLD = 0.3, 0.02
#: Weights of the convex term that the greedy tries.
_CONVEX = (0.0, 0.3, 0.6)
#: The largest VMs, in cores, that the production heuristic moves.
_MOST_CORES = 16


class Arrays(NamedTuple):
    """An instance as the kernels see it; ``cores, memory, place`` may be changed."""

    cores: IntArray
    memory: IntArray
    place: IntArray
    vms: IntArray
    pms: IntArray
    sets: tuple[IntArray, IntArray, IntArray, IntArray, IntArray]
    sizes: IntArray


def arrays_of(instance: VMReschedulingInstance) -> Arrays:
    """The arrays of an instance at its beginning."""
    pairs, V = instance.set_members, instance.num_vms
    by_vm = pairs[np.argsort(pairs[:, 1], kind="stable")]
    by_set = pairs[np.argsort(pairs[:, 0], kind="stable")]
    cluster = instance.pm_cluster if instance.cluster_local else np.full(instance.num_pms, -1)
    return Arrays(
        instance.free_cores.copy(),
        instance.free_memory.copy(),
        2 * instance.vm_pm + np.maximum(instance.vm_node, 0),
        np.stack(
            [instance.vm_cores, instance.vm_memory, instance.is_double, instance.can_move], axis=1
        ).astype(np.int64),
        np.stack([instance.pm_active, cluster, instance.pm_rack], axis=1),
        (
            np.searchsorted(by_vm[:, 1], np.arange(V + 1)),
            by_vm[:, 0].copy(),
            np.searchsorted(by_set[:, 0], np.arange(len(instance.set_level) + 1)),
            by_set[:, 1].copy(),
            np.array(instance.set_level),
        ),
        np.array(instance.sizes),
    )


def plan(instance: VMReschedulingInstance, moves: list[tuple[int, int]]) -> VMReschedulingSolution:
    """The plan of moves (VM, place), cut where it is best: with a goal, moves cost."""
    rows = [(v, to // 2, -1 if instance.is_double[v] else to % 2) for v, to in moves]
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    whole = VMReschedulingSolution(table)
    if instance.goal is None:
        return whole
    cuts = [VMReschedulingSolution(table[:end]) for end in range(len(rows) + 1)]
    return min(cuts, key=by_cost(instance))


def ordered(instance: VMReschedulingInstance, places: IntArray) -> VMReschedulingSolution:
    """A plan that leads to final places, without the moves that find no room."""
    a = arrays_of(instance)
    pending = np.flatnonzero(places != a.place).tolist()
    moves: list[tuple[int, int]] = []
    progress = True
    while progress:
        progress = False
        for v in list(pending):
            to, old = int(places[v]), int(a.place[v])
            room = kernels.fits(v, to, a.cores, a.memory, a.vms, a.pms, old)
            if room and kernels.apart(v, to // 2, a.place, a.pms, a.sets):
                kernels.shift(v, old, 1, a.cores, a.memory, a.vms)
                kernels.shift(v, to, -1, a.cores, a.memory, a.vms)
                a.place[v] = to
                moves.append((v, to))
                pending.remove(v)
                progress = True
    return plan(instance, moves)


@solver
def filter_score(instance: VMReschedulingInstance) -> VMReschedulingSolution:
    """Filter and score, the heuristic of production (named HA in arXiv:2505.17359).

    Of the VMs of 16 cores or fewer, take the one whose departure leaves its PM the least leftovers
    (cores beyond whole slots) compared with before; put it on another PM, where its arrival lowers
    the leftovers most; stop when the two together gain nothing.
    """
    a = arrays_of(instance)
    x = int(instance.sizes[0, 0]) // (2 if instance.sizes[0, 1] else 1)
    small = instance.vm_cores * np.where(instance.is_double, 2, 1) <= max(_MOST_CORES, x)
    moves: list[tuple[int, int]] = []
    spent = 0
    while len(moves) < instance.mnl:
        allowed = small & instance.can_move
        if instance.memory_budget is not None:
            allowed &= spent + instance.moved_memory <= instance.memory_budget
        found = _filtered(instance, a, x, allowed)
        if found is None:
            break
        v, to = found
        kernels.shift(v, int(a.place[v]), 1, a.cores, a.memory, a.vms)
        kernels.shift(v, to, -1, a.cores, a.memory, a.vms)
        a.place[v] = to
        spent += int(instance.moved_memory[v])
        moves.append((v, to))
    return plan(instance, moves)


def _filtered(
    instance: VMReschedulingInstance, a: Arrays, x: int, allowed: BoolArray
) -> tuple[int, int] | None:
    """The VM that leaves best, and where it arrives best; ``None`` if that gains nothing."""
    if not allowed.any():
        return None
    uses = np.stack([(a.place % 2 == 0), (a.place % 2 == 1) | instance.is_double], axis=1)
    free = a.cores[a.place // 2]
    taken = uses * instance.vm_cores[:, None]
    leaves = (free % x - (free + taken) % x).sum(axis=1)
    v = int(np.argmax(np.where(allowed, leaves, np.iinfo(np.int64).min)))
    c, old = int(instance.vm_cores[v]), int(a.place[v])
    arrives = a.cores % x - (a.cores - c) % x
    if instance.is_double[v]:
        arrives = np.stack([arrives.sum(axis=1), np.zeros(len(arrives), np.int64)], axis=1)
    order = np.argsort(-arrives.reshape(-1), kind="stable")
    for to in order.tolist():
        if leaves[v] + arrives.reshape(-1)[to] <= 0:
            return None
        if (
            to // 2 != old // 2
            and kernels.fits(v, to, a.cores, a.memory, a.vms, a.pms, old)
            and kernels.apart(v, to // 2, a.place, a.pms, a.sets)
        ):
            return v, to
    return None


@solver
def potential_greedy(
    instance: VMReschedulingInstance, *, convex: float | None = None
) -> VMReschedulingSolution:
    """The move that raises the potential most, again and again.

    The potential counts the slots, and ``convex`` times the square of each node's share of a slot
    that is left over. It prefers uneven leftovers, so it makes moves that gain only together. By
    default the best of the plans with 0, 0.3 and 0.6.
    """
    if convex is not None and not 0 <= convex < 10:
        raise ValueError(f"potential_greedy: convex {convex}, expected between 0 and 10.")
    weights = _CONVEX if convex is None else (float(convex),)
    return min((_greedy(instance, weight) for weight in weights), key=by_cost(instance))


def by_cost(instance: VMReschedulingInstance) -> Callable[[VMReschedulingSolution], int]:
    """The objective of plans on the snapshot, whatever the delay makes of it."""
    return lambda found: objective(replace(instance, delay=0.0), found)


def _greedy(instance: VMReschedulingInstance, convex: float) -> VMReschedulingSolution:
    a = arrays_of(instance)
    found = np.zeros((instance.mnl, 2), dtype=np.int64)
    budget = -1 if instance.memory_budget is None else instance.memory_budget
    cluster = a.pms[a.place // 2, 1]
    alike = np.concatenate([a.vms[:, :3], cluster[:, None]], axis=1)
    kind_of = np.unique(alike, axis=0, return_inverse=True)[1].reshape(-1)
    count = kernels.greedy(*a, kind_of, convex, instance.mnl, budget, found)
    return plan(instance, [(int(v), int(to)) for v, to in found[:count]])


@solver
def annealing(
    instance: VMReschedulingInstance,
    *,
    time_limit: float | None = None,
    seed: int = 0,
    on_incumbent: Report,
    proposals: int | None = None,
) -> Draft:
    """Simulated annealing on the final places of at most ``mnl`` VMs, then an order of the moves.

    Under a time limit the temperature falls with time, and with ``proposals`` (by default 10,000
    per VM, at most 5 million), whichever ends first. It begins from the snapshot; the plan of the
    greedy is a candidate.
    """
    if proposals is None:
        proposals = min(_STEPS, 10_000 * max(1, instance.num_vms))
    if isinstance(proposals, bool) or not isinstance(proposals, int) or proposals < 1:
        raise ValueError(f"annealing: proposals {proposals!r}, expected an integer >= 1.")
    began = time.perf_counter()
    best = potential_greedy(instance).solution
    on_incumbent(best)
    movable = np.flatnonzero(instance.can_move)
    if not movable.size:
        return Draft(best)
    a = arrays_of(instance)
    home = a.place.copy()
    state = np.append(home, -1)
    budget = -1 if instance.memory_budget is None else instance.memory_budget
    part, number = 0.0, 0
    while part < 1.0:
        until = min(1.0, (number + 1) * _CHUNK / proposals)
        if time_limit is not None:
            until = max(until, min(1.0, (time.perf_counter() - began) / time_limit))
        heat = (_HOT, _COLD, part, until)
        limits = (movable, instance.mnl, budget, (seed * 7919 + number) % 2**32)
        steps = min(_CHUNK, max(1, proposals - number * _CHUNK))
        kernels.anneal(
            a.cores, a.memory, a.place, home, a.vms, a.pms, a.sets, a.sizes, limits, steps, heat,
            state,
        )  # fmt: skip
        part, number = until, number + 1
    found = ordered(instance, state[:-1])
    on_incumbent(found)
    return Draft(None)


@solver(name="random")
def random_moves(instance: VMReschedulingInstance, *, seed: int = 0) -> VMReschedulingSolution:
    """Moves of random VMs to random places with room, up to the limit."""
    a, rng = arrays_of(instance), np.random.default_rng(seed)
    moves: list[tuple[int, int]] = []
    movable, spent = np.flatnonzero(instance.can_move), 0
    for _ in range(20 * instance.mnl if movable.size else 0):
        v, to = int(rng.choice(movable)), int(rng.integers(2 * instance.num_pms))
        to -= to % 2 if instance.is_double[v] else 0
        cost = int(instance.moved_memory[v])
        if instance.memory_budget is not None and spent + cost > instance.memory_budget:
            continue
        if (
            to != a.place[v]
            and kernels.fits(v, to, a.cores, a.memory, a.vms, a.pms, int(a.place[v]))
            and kernels.apart(v, to // 2, a.place, a.pms, a.sets)
        ):
            kernels.shift(v, int(a.place[v]), 1, a.cores, a.memory, a.vms)
            kernels.shift(v, to, -1, a.cores, a.memory, a.vms)
            a.place[v] = to
            spent += cost
            moves.append((v, to))
        if len(moves) == instance.mnl:
            break
    return plan(instance, moves)
