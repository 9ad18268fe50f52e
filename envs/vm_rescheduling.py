"""VM rescheduling as decisions: which VM migrates next, and where to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.vm_rescheduling import (
    VMReschedulingInstance,
    VMReschedulingSolution,
    drifted,
    upper_bound,
)
from . import vm_rescheduling_kernels as kernels
from .env import SchedulingEnv
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .vector import SchedulingVectorEnv
from .vm_rescheduling_kernels import CHOSEN, MOVES

CANDIDATE_COLUMNS = (
    *("stop", "gain", "potential", "best_potential", "cores", "memory", "is_double"),
    *("free_cores", "leftover", "group_size"),
)
GLOBAL_COLUMNS = (
    *("phase", "moves_left", "num_candidates", "cost_now", "missing"),
    *("chosen_cores", "chosen_is_double"),
)


def _rounded(count: int, step: int) -> int:
    """The next multiple of a step, or of a sixteenth to an eighth of the count if that is more."""
    step = max(step, 2 ** (count.bit_length() - 4) if count >= 16 else 1)
    return -(-count // step) * step


class VMReschedulingSimulator(Simulator):
    """Clusters side by side; see :class:`VMReschedulingEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded sizes, as :meth:`measure` names them.
        **common: See :class:`Simulator`.
    """

    family = problem = "vm_rescheduling"
    default_instance = "shuffle-8-s0"
    speed_instances = ("shuffle-279", "large-1176")
    # The move that raises the potential most: potential_greedy of the classics.
    prior: ClassVar[Mapping[str, float]] = {"best_potential": 10.0}
    training_instances = ("shuffle-8", "shuffle-16", "shuffle-40", "large-16", "affinity-16")
    fields = kernels.FIELDS
    candidate_columns = CANDIDATE_COLUMNS
    global_columns = GLOBAL_COLUMNS
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "vm": ("cores", "memory", "is_double", "can_move"),
        "place": ("cores", "memory", "free_cores", "free_memory", "active"),
    }
    edge_types = (("vm", "starts_in", "place"), ("place", "beside", "place"))
    candidate_node_types = ("vm", "place")

    #: Whether identical VMs in one place are one candidate.
    grouped: ClassVar[bool] = False

    @classmethod
    def measure(cls, instance: VMReschedulingInstance) -> dict[str, int]:
        """``vms``, ``pms``, ``kinds`` of VMs, ``sizes`` of slots, ``sets``, members, moves.

        Rounded up, but for the PMs, so that draws of a generator, which differ in them, fit the
        sizes of a few of them.
        """
        return {
            "vms": _rounded(instance.num_vms, 64),
            "pms": instance.num_pms,
            "kinds": _rounded(len(_kinds(instance)[0]), 32),
            "sizes": len(instance.sizes),
            "sets": _rounded(len(instance.set_level), 8),
            "members": _rounded(len(instance.set_members), 32),
            "moves": _rounded(instance.mnl, 16),
        }

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """To stop, a candidate per VM or group, one per place; a node per VM and place."""
        groups, places = size.get("groups", size["vms"]), 2 * size["pms"]
        nodes = {"vm": size["vms"], "place": places}
        return Shape(1 + groups + places, nodes, edges=2 * size["vms"] + places)

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        n, slots, rows = self.size, self.num_slots, self.num_rows
        V, P, K = n["vms"], n["pms"], n["kinds"]
        G = n.get("groups", V)
        data: Arrays = {
            "problems": np.zeros((slots, 14), "i8"),
            "constants": np.ones((slots, 4), "f8"),
            "sizes": np.zeros((slots, n["sizes"], 3), "i8"),
            "pms": np.zeros((slots, P, 3), "i8"),
            "vms": np.zeros((slots, V, 8), "i8"),
            "kinds": np.zeros((slots, K, 4), "i8"),
            "sets_from": np.zeros((slots, V + 1), "i8"),
            "sets_of": np.zeros((slots, n["members"]), "i8"),
            "members_from": np.zeros((slots, n["sets"] + 1), "i8"),
            "members": np.zeros((slots, n["members"]), "i8"),
            "levels": np.zeros((slots, n["sets"]), "i8"),
        }
        for name in ("first_cores", "first_memory", "late_first_cores", "late_first_memory"):
            data[name] = np.zeros((slots, P, 2), "i8")
        state: Arrays = {
            name: np.zeros((rows, P, 2), "i8")
            for name in ("cores", "memory", "late_cores", "late_memory")
        }
        state |= {
            "place": np.zeros((rows, V), "i8"),
            "late_place": np.zeros((rows, V), "i8"),
            "moves": np.zeros((rows, n["moves"], 3), "i8"),
            "progress": np.zeros((rows, 6), "i8"),
            "fits": np.zeros((rows, K), "i8"),
            "best": np.zeros((rows, K), "f8"),
            "best_pm": np.zeros((rows, K), "i8"),
            "next_vm": np.zeros((rows, V), "i8"),
            "on_pm": np.zeros((rows, P), "i8"),
        }
        for name in ("head", "size", "next_group", "unused", "at"):
            state[name] = np.zeros((rows, G), "i8")
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: VMReschedulingInstance) -> None:
        """Write an instance into a slot; O(V + P)."""
        d, V, P = self.data, instance.num_vms, instance.num_pms
        kinds, kind_of = _kinds(instance)
        late = drifted(instance) if instance.delay else None
        first = {"cores": instance.free_cores, "memory": instance.free_memory}
        after = first if late is None else {"cores": late.free_cores, "memory": late.free_memory}
        for what in ("cores", "memory"):
            d[f"first_{what}"][slot] = d[f"late_first_{what}"][slot] = 0
            d[f"first_{what}"][slot, :P] = first[what]
            d[f"late_first_{what}"][slot, :P] = after[what]
        d["sizes"][slot, : len(instance.sizes)] = instance.sizes
        d["pms"][slot] = 0
        d["pms"][slot, :P] = np.stack(
            [instance.pm_active, instance.pm_cluster, instance.pm_rack], axis=1
        )
        d["kinds"][slot, : len(kinds)] = kinds
        d["vms"][slot, :V] = np.stack(
            [
                instance.vm_cores,
                instance.vm_memory,
                instance.is_double,
                instance.can_move,
                2 * instance.vm_pm + np.maximum(instance.vm_node, 0),
                np.ones(V) if late is None else late.present,
                kind_of,
                _alike(instance, kind_of),
            ],
            axis=1,
        )
        _write_sets(d, slot, instance)
        self._write_numbers(slot, instance, len(kinds))
        if self.graph:
            _write_graph(d, slot, instance)

    def _write_numbers(self, slot: int, instance: VMReschedulingInstance, kinds: int) -> None:
        x, double, weight = instance.sizes[0].tolist()
        upper = upper_bound(instance)
        self.data["problems"][slot] = (
            instance.num_vms,
            instance.num_pms,
            self.num_groups(instance),
            kinds,
            len(instance.sizes),
            instance.mnl,
            upper,
            -1 if instance.memory_budget is None else instance.memory_budget,
            instance.goal_cost,
            instance.goal is not None,
            instance.delay > 0,
            x // 2 if double else x,
            instance.cluster_local,
            self.grouped,
        )
        units = _unit(instance.vm_cores), _unit(instance.vm_memory)
        self.data["constants"][slot] = (
            1 / units[0],
            1 / units[1],
            max(1.0, float(upper)),
            1 / (x * weight),
        )

    @classmethod
    def num_groups(cls, instance: VMReschedulingInstance) -> int:
        """How many groups there may be: one per VM."""
        return instance.num_vms

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Choose a VM or its place in every row."""
        kernels.advance(self.arrays, actions, self.skip_forced)

    def solutions(self, rows: IntArray) -> list[VMReschedulingSolution]:
        """The plans of the rows so far."""
        counts = self.state["progress"][:, MOVES]
        return [
            VMReschedulingSolution.trusted(moves=self.state["moves"][row, : counts[row]].copy())
            for row in rows
        ]

    def guide(self, solution: VMReschedulingSolution, row: int) -> int:
        """The next move of the plan; stop at its end, or where the goal is reached."""
        progress, mask = self.state["progress"][row], self.view["action_mask"][row]
        done, chosen = int(progress[MOVES]), int(progress[CHOSEN])
        if chosen < 0 and (done == len(solution.moves) or mask[1:].max(initial=0) == 0):
            return 0
        if done == len(solution.moves):
            raise NotExpressible("a VM is to move, expected the end of the plan.")
        vm, pm, node = solution.moves[done].tolist()
        group = self._group_of(row, self._stand_in(solution, row, vm))
        if chosen >= 0:
            action = 1 + self.num_groups(self.instance(row)) + 2 * pm + max(node, 0)
            if chosen != group or not mask[action]:
                raise NotExpressible(f"VM {vm} to PM {pm}, expected a place for the chosen VM.")
            return int(action)
        if not mask[1 + group]:
            raise NotExpressible(f"VM {vm}, expected one that may move.")
        return 1 + group

    def _stand_in(self, solution: VMReschedulingSolution, row: int, vm: int) -> int:
        """The VM that plays the part of a VM of the plan: itself."""
        return vm

    def _group_of(self, row: int, vm: int) -> int:
        return vm


class GroupedSimulator(VMReschedulingSimulator):
    """The same, where identical VMs in one place are one candidate; see the base class."""

    grouped = True

    @classmethod
    def measure(cls, instance: VMReschedulingInstance) -> dict[str, int]:
        """As without groups, and ``groups``."""
        return {**super().measure(instance), "groups": _rounded(cls.num_groups(instance), 64)}

    @classmethod
    def num_groups(cls, instance: VMReschedulingInstance) -> int:
        """Groups at the beginning, and one more per move."""
        movable = instance.can_move
        alike = _alike(instance, _kinds(instance)[1])[movable]
        places = (2 * instance.vm_pm + np.maximum(instance.vm_node, 0))[movable]
        count = len(np.unique(np.stack([alike, places], axis=1), axis=0)) if movable.any() else 0
        return int(min(movable.sum(), count + instance.mnl))

    def _stand_in(self, solution: VMReschedulingSolution, row: int, vm: int) -> int:
        """A VM like that of the plan, where that would be by now."""
        place = 2 * self.instance(row).vm_pm + np.maximum(self.instance(row).vm_node, 0)
        done = int(self.state["progress"][row, MOVES])
        for other, pm, node in solution.moves[:done].tolist():
            place[other] = 2 * pm + max(node, 0)
        vms = self.data["vms"][self.state["slot"][row]]
        here = self.state["place"][row, : len(place)] == place[vm]
        alike = vms[: len(place), kernels.ALIKE] == vms[vm, kernels.ALIKE]
        found = np.flatnonzero(here & alike & (vms[: len(place), kernels.CAN_MOVE] > 0))
        if not found.size:
            raise NotExpressible(f"VM {vm}: none like it there, expected one.")
        return int(found[0])

    def _group_of(self, row: int, vm: int) -> int:
        state = self.state
        alike = self.data["vms"][state["slot"][row], :, kernels.ALIKE]
        heads = state["head"][row]
        same = (heads >= 0) & (alike[heads] == alike[vm])
        return int(np.flatnonzero(same & (state["at"][row] == state["place"][row, vm]))[0])


def _unit(values: IntArray) -> float:
    """A power of two near the mean, so that columns are exact in float32."""
    mean = float(values.mean()) if len(values) else 0.0
    return float(2.0 ** np.round(np.log2(mean))) if mean > 0 else 1.0


def _kinds(instance: VMReschedulingInstance) -> tuple[IntArray, IntArray]:
    """``(K, 4)`` cores, memory, double and cluster of the kinds of VMs; ``(V,)`` kind of each."""
    cluster = instance.pm_cluster[instance.vm_pm]
    columns = [
        instance.vm_cores,
        instance.vm_memory,
        instance.is_double.astype(np.int64),
        cluster if instance.cluster_local else np.full_like(cluster, -1),
    ]
    kinds, kind_of = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return kinds, kind_of.reshape(-1).astype(np.int64)


def _alike(instance: VMReschedulingInstance, kind_of: IntArray) -> IntArray:
    """``(V,)`` equal for VMs of a kind without anti-affinity; others are like no other."""
    alike = kind_of.copy()
    alone = np.array(sorted(instance.sets_of), dtype=np.int64)
    alike[alone] = kind_of.max(initial=0) + 1 + np.arange(len(alone))
    return alike


def _write_sets(data: Arrays, slot: int, instance: VMReschedulingInstance) -> None:
    """The sets of each VM, and the VMs of each set, one after the other."""
    pairs = instance.set_members
    by_vm, by_set = pairs[np.argsort(pairs[:, 1], kind="stable")], pairs
    by_set = pairs[np.argsort(pairs[:, 0], kind="stable")]
    V, count = instance.num_vms, len(instance.set_level)
    data["sets_of"][slot, : len(pairs)] = by_vm[:, 0]
    data["members"][slot, : len(pairs)] = by_set[:, 1]
    data["sets_from"][slot, : V + 1] = np.searchsorted(by_vm[:, 1], np.arange(V + 1))
    data["members_from"][slot, : count + 1] = np.searchsorted(by_set[:, 0], np.arange(count + 1))
    data["levels"][slot, :count] = instance.set_level


def _write_graph(data: Arrays, slot: int, instance: VMReschedulingInstance) -> None:
    """VMs, then places, as they are at the beginning; candidates say where VMs are now."""
    V, P = instance.num_vms, instance.num_pms
    cores, memory = _unit(instance.vm_cores), _unit(instance.vm_memory)
    nodes, kinds = data["nodes"][slot], data["node_type"][slot]
    nodes[:], kinds[:] = 0.0, -1
    kinds[:V], kinds[V : V + 2 * P] = 0, 1
    nodes[:V, 0] = instance.vm_cores / cores
    nodes[:V, 1] = instance.vm_memory / memory
    nodes[:V, 2], nodes[:V, 3] = instance.is_double, instance.can_move
    places = nodes[V : V + 2 * P]
    places[:, 0] = instance.pm_cores.reshape(-1) / cores
    places[:, 1] = instance.pm_memory.reshape(-1) / memory
    places[:, 2] = instance.free_cores.reshape(-1) / cores
    places[:, 3] = instance.free_memory.reshape(-1) / memory
    places[:, 4] = np.repeat(instance.pm_active, 2)
    edges, edge_kinds = data["edges"][slot], data["edge_type"][slot]
    edges[:], edge_kinds[:] = -1, -1
    vm, node = np.nonzero(instance.uses)
    end = len(vm)
    edges[:end, 0], edges[:end, 1] = vm, V + 2 * instance.vm_pm[vm] + node
    edge_kinds[:end] = 0
    numbers = np.arange(2 * P)
    edges[end : end + 2 * P, 0], edges[end : end + 2 * P, 1] = V + numbers, V + (numbers ^ 1)
    edge_kinds[end : end + 2 * P] = 1


class VMReschedulingEnv(SchedulingEnv):
    """Migrate VMs one after the other: first which, or to stop, then to which place.

    A place is a node of a PM, or both for a VM on both. In the mode ``vms`` (default) every VM is a
    candidate; in ``grouped``, identical VMs in one place, without anti-affinity sets, are one.

    ## Action Space
    ``Discrete(1 + groups + 2 pms)``, with as many groups as VMs in the mode ``vms``. When a VM is
    to be chosen, 0 stops and ``1 + g`` chooses VM ``g``, or a VM of group ``g``. Then
    ``1 + groups + 2 p + k`` moves it to node ``k`` of PM ``p``, with ``k = 0`` for a VM on both
    nodes. The mask is exact in both decisions: a VM is offered if there is a place for it now.

    ## Observation Space
    A ``Dict``; cores and memory are divided by powers of two near their means per VM, costs by what
    one slot of the first size is worth.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (A, F) float32 | a row per action, columns as named below |
    | ``globals`` | (G,) float32 | as named below |
    | ``action_mask`` | (A,) int8 | 1 for the actions that may be chosen |

    Rows of VMs keep their columns while a place is chosen; only the mask says what is available.

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type`` (static: a
    node per VM and per place, as at the beginning) and ``candidate_nodes`` (A, 2): the VM, and
    where it is or goes to now.

    Candidate columns: ``stop``: 1 for action 0; ``gain``: slots that the VM's departure, or the
    whole move, makes; ``potential``: rise of a potential by it, which counts slots and, by 1/2, the
    square of each node's share of a slot that is left over; ``best_potential``: for a VM, the rise
    with the best place that has room, its own place and anti-affinity aside; for a place, equal to
    ``potential``; ``cores``, ``memory`` per node and ``is_double`` of the VM; ``free_cores`` of the
    place where it is or would go, and ``leftover``: those beyond whole slots; ``group_size``.
    Global columns: ``phase``: 1 if a VM is chosen; ``moves_left``: share; ``num_candidates``;
    ``cost_now``: unusable cores; ``missing`` to the goal, 0 without one; ``chosen_cores``,
    ``chosen_is_double``. They speak of the cluster as it was when the plan began: nothing tells
    what happens during a delay.

    ## Rewards
    Minus the rise of the objective, divided by ``scale``, ``upper_bound`` (or 1): without a goal
    the return is the fall of the fragment rate. The value of a state is the objective if the plan
    ended there, with a delay that on the cluster as it will be.

    ## Starting State
    The snapshot. Instances are drawn by the environment's seed if several are given.

    ## Episode End
    Terminates when the policy stops or has made ``mnl`` moves; if the goal is reached, to stop is
    all that is left. An action outside the mask terminates the episode at the cost ``upper_bound``
    (no free core is usable), or the cost at that moment if it is more, with the reason in
    ``info["infeasible"]``. ``info`` then holds ``objective``, ``solution``, ``gap``, ``instance``.

    ## Arguments
    ``instance``: the cluster (see :class:`SchedulingEnv`), which also says the migration limit, the
    goal and the delay; ``mode``; ``observation``: ``"candidates"`` or ``"graph"``; ``limits``:
    padded ``vms``, ``pms``, ``kinds`` (of VMs), ``sizes`` (of slots), ``sets``, ``members``,
    ``moves`` and, in the mode ``grouped``, ``groups``; ``skip_forced``: play decisions with one
    candidate.

    Any plan is replayed exactly in the mode ``vms``, up to the move that reaches the goal; in the
    mode ``grouped`` by VMs that are like those of the plan.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {
        "vms": VMReschedulingSimulator,
        "grouped": GroupedSimulator,
    }


class VMReschedulingVectorEnv(SchedulingVectorEnv):
    """Many clusters at once; see :class:`VMReschedulingEnv`."""

    simulators = VMReschedulingEnv.simulators
