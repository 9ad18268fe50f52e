"""VM rescheduling: few migrations that make the free cores of a cluster usable again.

Data: physical machines (PMs) of two NUMA nodes with cores and memory each, and virtual machines
(VMs) on them. A VM takes cores and memory on one node, or the same amounts on both nodes of its PM
(a *double*). At most ``mnl`` migrations, the migration number limit, are made one after the other.

Constraints: a migration takes a VM to another place, a PM and a node of it (or both, for a double),
where at that moment cores and memory suffice; a change of the node within a PM is a migration too,
and a VM may migrate several times. VMs that are not movable, and those on PMs that are not active,
stay; PMs that are not active take none. VMs of an anti-affinity set are always on different PMs, or
in different racks. If asked for, VMs stay in their clusters, and the memory of all migrations
together has a budget.

Objective: free cores that no slot of the wanted size ``X`` can use, ``F - X S``, with ``F`` free
cores in all and ``S`` slots. ``F`` never changes. A slot on one node needs ``X`` free cores there,
``S = sum_pk floor(f_pk / X)``; one over both nodes needs half of them on each,
``S = sum_p min_k floor(f_pk / (X / 2))``; memory does not count. Of several sizes with weights it
is ``sum_t w_t (F - X_t S_t)``. Divided by ``F sum_t w_t`` it is the *fragment rate* (0 where no
core is free). The problem is that of VMR2L (Ding et al., EuroSys 2025, arXiv:2505.17359).

With a ``goal``, a fragment rate, the objective is ``(mnl + 1) max(0, F - X S - G) + moves``, where
``G`` is what the goal allows: to come near it counts first, then to need few moves.

With a ``delay``, the plan is made for the cluster as it is, and carried out on what has become of
it (``vm_rescheduling_drift.py``): moves that have become impossible are skipped, and counted in
``metrics``. The objective is then that of the cluster after the plan. Strongly NP-hard, since
deciding whether one more slot can be had is bin packing.
"""

from __future__ import annotations

import numpy as np

from .core import IntArray, Reference
from .picture import Picture
from .vm_rescheduling_drift import Drifted, drifted
from .vm_rescheduling_files import load, names, normalise, read, write
from .vm_rescheduling_generators import GENERATORS, generate, shuffle
from .vm_rescheduling_model import HOST, VMReschedulingInstance, VMReschedulingSolution
from .vm_rescheduling_picture import picture as _picture

__all__ = [
    "GENERATORS",
    "PROBLEMS",
    "Drifted",
    "VMReschedulingInstance",
    "VMReschedulingSolution",
    "best_known",
    "drifted",
    "fragment_rate",
    "generate",
    "load",
    "lower_bound",
    "metrics",
    "names",
    "normalise",
    "objective",
    "picture",
    "read",
    "shuffle",
    "slots",
    "unusable",
    "upper_bound",
    "validate",
    "write",
]

PROBLEMS = {"vm_rescheduling": (VMReschedulingInstance, VMReschedulingSolution)}


# The referee.


def slots(free: IntArray, cores: int, double: bool) -> int:
    """Slots of a size: how many such VMs the free cores could take.

    Args:
        free: ``(P, 2)`` free cores of the nodes.
        cores: Cores of the size, in total.
        double: Whether half of them stand on each node of a PM.
    """
    if double:
        return int((free // (cores // 2)).min(axis=1).sum())
    return int((free // cores).sum())


def unusable(instance: VMReschedulingInstance, free: IntArray) -> int:
    """``sum_t w_t (F - X_t S_t)`` for free cores ``(P, 2)`` of the nodes."""
    free = free[instance.pm_active > 0]
    total = int(free.sum())
    return sum(
        int(weight * (total - cores * slots(free, cores, bool(double))))
        for cores, double, weight in instance.sizes.tolist()
    )


class _Cluster:
    """A cluster while a plan is carried out, by definition: sums over the VMs of a node."""

    def __init__(self, instance: VMReschedulingInstance, late: Drifted | None = None) -> None:
        self.instance = instance
        self.pm = instance.vm_pm.tolist()
        self.node = instance.vm_node.tolist()
        self.cores = np.array(instance.free_cores if late is None else late.free_cores)
        self.memory = np.array(instance.free_memory if late is None else late.free_memory)
        self.present = [True] * instance.num_vms if late is None else late.present.tolist()

    def problem(self, vm: int, pm: int, node: int) -> str:
        """Why a VM cannot go to a place, or ``""``."""
        instance = self.instance
        if not 0 <= vm < instance.num_vms:
            return f"VM {vm}, expected 0..{instance.num_vms - 1}."
        who = instance.vm_name(vm)
        if not 0 <= pm < instance.num_pms:
            return f"{who} to PM {pm}, expected 0..{instance.num_pms - 1}."
        where = instance.pm_name(pm)
        double = bool(instance.vm_node[vm] < 0)
        if node not in ((-1,) if double else (0, 1)):
            expected = "-1 (it takes both nodes)" if double else "0 or 1"
            return f"{who} to node {node} of {where}, expected {expected}."
        if not self.present[vm]:
            return f"{who}: deleted, expected it to be there."
        if not instance.can_move[vm]:
            return f"{who}: not movable, expected to stay."
        if not instance.pm_active[pm]:
            return f"{who} to {where}: not active, expected an active PM."
        if (pm, node) == (self.pm[vm], self.node[vm]):
            return f"{who} to {where}, node {node}: it is there, expected another place."
        old, new = instance.pm_cluster[[self.pm[vm], pm]]
        if instance.cluster_local and old != new:
            return f"{who} from cluster {old} to {new}, expected to stay in its cluster."
        return self._room(vm, pm, node) or self._apart(vm, pm)

    def _room(self, vm: int, pm: int, node: int) -> str:
        instance = self.instance
        for free, demand, what in (
            (self.cores, instance.vm_cores, "cores"),
            (self.memory, instance.vm_memory, "MB"),
        ):
            for k in (0, 1) if node < 0 else (node,):
                if free[pm, k] < demand[vm]:
                    return (
                        f"{instance.vm_name(vm)} to {instance.pm_name(pm)}, node {k}:"
                        f" {free[pm, k]} {what} free, expected at least {demand[vm]}."
                    )
        return ""

    def _apart(self, vm: int, pm: int) -> str:
        instance, rack = self.instance, self.instance.pm_rack
        for one in instance.sets_of.get(vm, ()):
            for other in instance.members_of[one]:
                if other == vm or not self.present[other]:
                    continue
                near = self.pm[other]
                same = near == pm if instance.set_level[one] == HOST else rack[near] == rack[pm]
                if same:
                    place = "the PM" if instance.set_level[one] == HOST else "the rack"
                    return (
                        f"{instance.vm_name(vm)} to {instance.pm_name(pm)}: {place} of"
                        f" {instance.vm_name(other)}, expected apart (set {one})."
                    )
        return ""

    def move(self, vm: int, pm: int, node: int) -> None:
        """Carry out a migration."""
        instance = self.instance
        for place, k_of, sign in ((self.pm[vm], self.node[vm], 1), (pm, node, -1)):
            for k in (0, 1) if k_of < 0 else (k_of,):
                self.cores[place, k] += sign * instance.vm_cores[vm]
                self.memory[place, k] += sign * instance.vm_memory[vm]
        self.pm[vm], self.node[vm] = pm, node


def validate(instance: VMReschedulingInstance, solution: VMReschedulingSolution) -> None:
    """Carry out a plan move by move, checking the cluster in between.

    Raises:
        ValueError: Naming the first move that is not possible.
    """
    if len(solution.moves) > instance.mnl:
        raise ValueError(f"{len(solution.moves)} moves, expected at most {instance.mnl} (mnl).")
    cluster, memory = _Cluster(instance), 0
    for i, (vm, pm, node) in enumerate(solution):
        if problem := cluster.problem(vm, pm, node):
            raise ValueError(f"move {i}: {problem}")
        cluster.move(vm, pm, node)
        memory += int(instance.moved_memory[vm])
        if instance.memory_budget is not None and memory > instance.memory_budget:
            raise ValueError(
                f"move {i}: {memory} MB moved, expected at most {instance.memory_budget}"
                " (memory_budget)."
            )


def _outcome(
    instance: VMReschedulingInstance, solution: VMReschedulingSolution
) -> tuple[IntArray, int]:
    """Free cores after the plan has been carried out, and how many moves were skipped as stale."""
    cluster = _Cluster(instance, drifted(instance) if instance.delay else None)
    stale = 0
    for vm, pm, node in solution:
        if cluster.problem(vm, pm, node):
            stale += 1
        else:
            cluster.move(vm, pm, node)
    return cluster.cores, stale


def _charged(instance: VMReschedulingInstance, cost: int, moves: int) -> int:
    """The objective of unusable cores and a number of moves."""
    if instance.goal is None:
        return cost
    return (instance.mnl + 1) * max(0, cost - instance.goal_cost) + moves


def objective(instance: VMReschedulingInstance, solution: VMReschedulingSolution) -> int:
    """Unusable free cores after a plan; with a goal, what is missing to it, and moves.

    Raises:
        ValueError: If the plan is not valid; see :func:`validate`.
    """
    validate(instance, solution)
    free, _ = _outcome(instance, solution)
    return _charged(instance, unusable(instance, free), len(solution.moves))


def fragment_rate(instance: VMReschedulingInstance, free: IntArray) -> float:
    """Share of the free cores ``(P, 2)`` that no slot can use; 0 where no core is free."""
    total = int(free[instance.pm_active > 0].sum()) * instance.total_weight
    return unusable(instance, free) / total if total else 0.0


def metrics(instance: VMReschedulingInstance, solution: VMReschedulingSolution) -> dict[str, float]:
    """Rates and counts of a plan.

    Returns:
        ``fragment_rate`` at the end; ``slots`` at the end, of all sizes, ``w_t`` times each;
        ``slots_gained`` since the beginning (of the delayed cluster, if there is a delay);
        ``moves``; ``memory_moved_gb``; ``stale``: moves that the delay made impossible.
    """
    late = drifted(instance) if instance.delay else None
    start = instance.free_cores if late is None else late.free_cores
    free, stale = _outcome(instance, solution)
    end = _weighted_slots(instance, free)
    return {
        "fragment_rate": fragment_rate(instance, free),
        "slots": float(end),
        "slots_gained": float(end - _weighted_slots(instance, start)),
        "moves": float(len(solution.moves)),
        "memory_moved_gb": float(instance.moved_memory[solution.moves[:, 0]].sum() / 1024),
        "stale": float(stale),
    }


def _weighted_slots(instance: VMReschedulingInstance, free: IntArray) -> int:
    free = free[instance.pm_active > 0]
    return sum(int(w * slots(free, x, bool(double))) for x, double, w in instance.sizes.tolist())


# Bounds.


def lower_bound(instance: VMReschedulingInstance) -> int:
    """What no plan can go below, by counting what a move can gain at best.

    A VM of ``c`` cores per node that leaves a node raises its slots of ``X`` cores by
    ``ceil(c / X)`` at most and lowers those where it arrives by ``floor(c / X)`` at least: a gain
    of one slot per node that it uses, and none where ``X`` divides ``c``. The slots over both nodes
    of a PM gain in the same way, with half of ``X``; there a VM on one node may arrive at no loss,
    which gives ``ceil(c / (X / 2))``. The ``mnl`` moves gain so much each; and ``F`` free cores
    never make more than ``floor(F / X)`` slots.
    """
    late = drifted(instance) if instance.delay else None
    free = instance.free_cores if late is None else late.free_cores
    now = unusable(instance, free)
    total = int(free[instance.pm_active > 0].sum())
    floor = sum(int(w * (total % x)) for x, _, w in instance.sizes.tolist())
    gain = int(_best_gains(instance).max(initial=0))
    if instance.goal is None:
        return max(floor, now - instance.mnl * gain)
    missing, least = max(0, now - instance.goal_cost), max(0, floor - instance.goal_cost)
    moves = min(instance.mnl, -(-max(0, missing - least) // gain)) if gain else 0
    return _charged(instance, instance.goal_cost + max(least, missing - moves * gain), moves)


def _best_gains(instance: VMReschedulingInstance) -> IntArray:
    """``(V,)`` unusable cores that one move of each VM can make usable at best."""
    c, double = instance.vm_cores, instance.is_double
    gains = np.zeros_like(c)
    for x, over_both, weight in instance.sizes.tolist():
        if over_both:
            half = x // 2
            slots_gained = np.where(double, c % half > 0, -(-c // half))
        else:
            slots_gained = np.where(c % x > 0, np.where(double, 2, 1), 0)
        gains += weight * x * slots_gained
    return np.where(instance.can_move, gains, 0)


def upper_bound(instance: VMReschedulingInstance) -> int:
    """The cost where no free core is usable: no plan costs more."""
    free: IntArray = (drifted(instance) if instance.delay else instance).free_cores
    total = int(free[instance.pm_active > 0].sum())
    return _charged(instance, total * instance.total_weight, instance.mnl)


def best_known(instance: VMReschedulingInstance) -> Reference | None:
    """Nobody has published proven optima of public snapshots."""
    return None


def picture(instance: VMReschedulingInstance, solution: VMReschedulingSolution) -> Picture:
    """Occupancy of the nodes that the plan touches, before and after, with the moves as arrows."""
    free, _ = _outcome(instance, solution)
    return _picture(instance, solution, fragment_rate(instance, free))
