"""Greedy repair and ruin-and-repair: placing pending pods by moving others."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..instances.core import IntArray, Objective
from ..instances.pod_packing import (
    PodPackingInstance,
    PodPackingSolution,
    lower_bound,
    pod_costs,
    value_of,
)
from ..instances.pod_packing_constraints import constraints
from ..instances.pod_packing_state import start_state
from . import pod_packing_repair_kernels as kernels
from .pod_packing_groups import group_of_pod, settled
from .pod_packing_kube import movable, schedule
from .solver import Draft, Report, Status, solver

_MODES = {
    "place_first": kernels.PLACE_FIRST,
    "tiered": kernels.TIERED,
    "weighted": kernels.WEIGHTED,
}

#: Pairs that a swap may look at: in the repair, and in a round of ruin and repair.
_CHECKS, _CHECKS_IN_ROUND = 200_000, 20_000

#: From so many pods on, a repair looks at a tenth of the pairs.
_MANY_PODS = 4096

#: Rounds between looks at the clock.
_ROUNDS = 4


class Repair:
    """A placement under repair.

    Args:
        instance: The cluster.
        nodes: Where to begin; where the pods run now by default.
    """

    def __init__(self, instance: PodPackingInstance, nodes: IntArray | None = None) -> None:
        self.instance = instance
        c = constraints(instance)
        self.world, self.state = start_state(instance)
        columns = [k for k, r in enumerate(instance.resources) if r != "pods"][:2]
        columns = (columns * 2)[:2] or [0, 0]
        capacity = np.maximum(c.capacities[:, columns], 1)
        self.per_capacity = np.ascontiguousarray(1.0 / capacity)
        size = (instance.requests[:, columns] / capacity.mean(axis=0)).sum(axis=1)
        pods = np.column_stack(
            [
                *(instance.tier_of_pod, instance.current, movable(instance, self.world)),
                (size * kernels.FULL).astype(np.int64),
                np.array(pod_costs(instance), dtype=np.int64)[instance.tier_of_pod],
                group_of_pod(instance),
            ]
        ).astype(np.int64)
        self.plan = (pods, c.in_budget, c.budgets.copy())
        self.order = np.lexsort((pods[:, kernels.SIZE], instance.tier_of_pod)).astype(np.int64)
        self.mode = _MODES[instance.objective]
        if nodes is not None:
            kernels.restore(nodes, self.plan, self.world, self.state)

    def repair(self) -> None:
        """Direct placement, move, swap and ejection, until nothing is found; then home."""
        checks = _CHECKS if self.instance.num_pods < _MANY_PODS else _CHECKS // 10
        kernels.repair(
            self.order, self.mode, checks, self.per_capacity, self.plan, self.world, self.state
        )
        kernels.go_home(self.plan, self.world, self.state)

    def search(self, rounds: int) -> bool:
        """Rounds of ruin and repair; whether they found something better."""
        instance = self.instance
        settings = (
            *(instance.num_tiers, instance.evict_cost, instance.move_cost, self.mode),
            _CHECKS_IN_ROUND,
        )
        best = np.zeros(2 * instance.num_tiers, dtype=np.int64)
        kernels.value(self.plan, self.state, *settings[:4], best)
        found: bool = kernels.ruin_and_repair(
            rounds, self.order, settings, self.per_capacity, self.plan, self.world, self.state, best
        )
        return found

    @property
    def nodes(self) -> IntArray:
        """Where the pods are, equal ones exchanged so that more of them stay."""
        return settled(self.instance, self.state[1].copy())


def _without_held(instance: PodPackingInstance, nodes: IntArray) -> IntArray:
    """A start that lets running pods stay which must not be moved."""
    held = (movable(instance, start_state(instance)[0]) == 0) & instance.running
    return np.where(held, instance.current, nodes)


@solver
def greedy_repair(
    instance: PodPackingInstance, *, start: PodPackingSolution | None = None
) -> Draft:
    """Place pending pods, the most important first, small before large.

    Directly where little is left; else where one pod moves to another node; else where two pods of
    different nodes are exchanged; else where pods of lower priority are evicted, which are then
    tried themselves. Under ``tiered`` no running pod is disturbed for one of a lower tier.
    """
    return _draft(instance, _repaired(instance, start).nodes)


def _repaired(instance: PodPackingInstance, start: PodPackingSolution | None) -> Repair:
    made = Repair(instance, None if start is None else start.nodes)
    made.repair()
    return made


def _draft(instance: PodPackingInstance, nodes: IntArray) -> Draft:
    bound = lower_bound(instance)
    done = value_of(instance, nodes) == bound
    status = Status.OPTIMAL if done else Status.FEASIBLE
    return Draft(PodPackingSolution(nodes), bound, status)


@solver
def lns(
    instance: PodPackingInstance,
    *,
    time_limit: float | None = None,
    seed: int = 0,
    start: PodPackingSolution | None = None,
    on_incumbent: Report,
    rounds: int = 2000,
) -> Draft:
    """Greedy repair, then ruin and repair: two to four nodes are emptied and filled anew.

    Args:
        instance: The cluster.
        time_limit: Seconds.
        seed: Seed of the ruins.
        start: Where to begin; by default the better of where the pods run and of what the default
            scheduler makes of it, both repaired.
        on_incumbent: Called with every better placement.
        rounds: Number of rounds at most.
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 0:
        raise ValueError(f"lns: rounds {rounds!r}, expected an integer >= 0.")
    ends = np.inf if time_limit is None else time.perf_counter() + time_limit
    return _draft(instance, search(instance, ends, rounds, seed, start, on_incumbent))


def search(
    instance: PodPackingInstance,
    ends: float,
    rounds: int,
    seed: int,
    start: PodPackingSolution | None,
    report: Report,
) -> IntArray:
    """The best placement that ruin and repair finds until ``ends`` (``time.perf_counter``)."""
    made, best = _first(instance, start, seed)
    value, bound = value_of(instance, best), lower_bound(instance)
    report(PodPackingSolution(best))
    kernels.seed_random(seed % 2**32)
    left = rounds
    while left > 0 and time.perf_counter() < ends and value != bound:
        improved = made.search(min(left, _ROUNDS))
        left -= _ROUNDS
        if improved:
            nodes = made.nodes
            found = value_of(instance, nodes)
            if _less(found, value):
                best, value = nodes, found
                report(PodPackingSolution(best))
    return best


def _first(
    instance: PodPackingInstance, start: PodPackingSolution | None, seed: int
) -> tuple[Repair, IntArray]:
    made = _repaired(instance, start)
    best = made.nodes
    if start is None and not constraints(instance).num_terms and not instance.budgets:
        nodes = schedule(instance, seed=seed, preemption=not instance.running.any())
        other = Repair(instance, nodes)
        other.repair()
        if _less(value_of(instance, other.nodes), value_of(instance, best)):
            return other, other.nodes
    return made, best


def _less(first: Objective, second: Objective) -> bool:
    found: Any = first
    return bool(found < second)
