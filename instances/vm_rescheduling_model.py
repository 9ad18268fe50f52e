"""The data of VM rescheduling. The problem is stated in ``vm_rescheduling.py``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .core import BoolArray, Instance, IntArray, Solution, int_array

if TYPE_CHECKING:
    import pandas as pd

#: Cores, megabytes and weights stay below it, so that sums of int64 do not wrap.
_LIMIT = 2**31

#: The usual size: slots of 16 cores on one NUMA node.
SIXTEEN = ((16, 0, 1),)

#: Levels of anti-affinity.
HOST, RACK = 0, 1


@dataclass(frozen=True, eq=False)
class VMReschedulingInstance(Instance):
    """Physical machines (PMs) of two NUMA nodes each, and the virtual machines (VMs) on them.

    Attributes:
        pm_cores: ``(P, 2)`` int64, cores of the nodes.
        pm_memory: ``(P, 2)`` int64, memory of the nodes, in MB.
        vm_cores: ``(V,)`` int64, cores that the VM takes on each node that it uses, >= 1.
        vm_memory: ``(V,)`` int64, memory that it takes on each node that it uses, in MB, >= 0.
        vm_pm: ``(V,)`` int64, the PM that it is on.
        vm_node: ``(V,)`` int64, 0 or 1 for a VM on one node, -1 for one on both (a double).
        mnl: Migration number limit, >= 1.
        sizes: ``(T, 3)`` int64, what counts as a slot: cores in total, 1 if half of them stand on
            each node of a PM (else 0), weight; by default 16 cores on one node, with weight 1.
        vm_movable: ``(V,)`` 0 or 1; 1 by default.
        pm_active: ``(P,)`` 0 or 1; 1 by default. A PM that is not active neither gives nor takes
            VMs, and its free cores do not count.
        pm_cluster: ``(P,)`` int64 >= 0, cluster of the PM; 0 by default.
        pm_rack: ``(P,)`` int64 >= 0, rack of the PM; by default each has its own.
        set_level: ``(K,)`` int64, level of each anti-affinity set: 0, its VMs are on different PMs;
            1, in different racks.
        set_members: ``(M, 2)`` int64, pairs of a set and a VM in it.
        name: Identifier used in result tables, e.g. ``"medium"``.
        cluster_local: Whether a VM stays in its cluster.
        memory_budget: MB that may be moved at most, each move counting the VM's memory; or
            ``None``.
        goal: Fragment rate to be reached in as few moves as possible, or ``None`` to lower the rate
            as far as ``mnl`` moves allow.
        delay: Seconds until the plan is carried out, on a cluster that has changed meanwhile.
        churn: VMs that are created, and VMs that are deleted, per minute of the delay on average.
        scenario: Seed of what happens during the delay.
        pm_names: Names of the PMs, or ``()``.
        vm_names: Names of the VMs, or ``()``.

    Raises:
        ValueError: If the arrays do not describe such a cluster, naming the first PM or VM that is
            wrong: nodes are not overfull and anti-affinity is kept from the beginning.
    """

    problem: ClassVar[str] = "vm_rescheduling"

    pm_cores: IntArray
    pm_memory: IntArray
    vm_cores: IntArray
    vm_memory: IntArray
    vm_pm: IntArray
    vm_node: IntArray
    mnl: int = 50
    sizes: IntArray = SIXTEEN  # type: ignore[assignment]
    vm_movable: IntArray = None  # type: ignore[assignment]  # stands for ones
    pm_active: IntArray = None  # type: ignore[assignment]  # stands for ones
    pm_cluster: IntArray = None  # type: ignore[assignment]  # stands for zeros
    pm_rack: IntArray = None  # type: ignore[assignment]  # stands for 0, 1, ...
    set_level: IntArray = None  # type: ignore[assignment]  # stands for no set
    set_members: IntArray = None  # type: ignore[assignment]
    name: str = ""
    cluster_local: bool = False
    memory_budget: int | None = None
    goal: float | None = None
    delay: float = 0.0
    churn: float = 30.0
    scenario: int = 0
    pm_names: tuple[str, ...] = ()
    vm_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._keep("pm_cores", int_array(self.pm_cores, "pm_cores", 2))
        if self.pm_cores.shape[1:] != (2,) or not len(self.pm_cores):
            raise ValueError(f"pm_cores {self.pm_cores.shape}, expected (P, 2) with P >= 1.")
        self._keep("vm_cores", int_array(self.vm_cores, "vm_cores", 1))
        self._keep_names()
        self._keep_arrays()
        self._check_pms()
        self._check_vms()
        self._check_sizes()
        self._check_scalars()
        self._check_room()
        self._check_sets()

    def _keep(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def _keep_names(self) -> None:
        for field, count in (("pm_names", self.num_pms), ("vm_names", self.num_vms)):
            names = tuple(getattr(self, field))
            self._keep(field, names)
            if names and len(names) != count:
                raise ValueError(f"{field}: {len(names)} names, expected {count}.")
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ValueError(f"{field[:2]} {twice!r}: twice, expected each name once.")

    def _keep_arrays(self) -> None:
        P, V = self.num_pms, self.num_vms
        defaults: dict[str, tuple[Any, tuple[int, ...]]] = {
            "pm_memory": (None, (P, 2)),
            "vm_memory": (None, (V,)),
            "vm_pm": (None, (V,)),
            "vm_node": (None, (V,)),
            "vm_movable": (np.ones(V, np.int64), (V,)),
            "pm_active": (np.ones(P, np.int64), (P,)),
            "pm_cluster": (np.zeros(P, np.int64), (P,)),
            "pm_rack": (np.arange(P), (P,)),
        }
        for field, (default, shape) in defaults.items():
            given = getattr(self, field)
            array = int_array(default if given is None else given, field, len(shape))
            if array.shape != shape:
                raise ValueError(f"{field} {array.shape}, expected {shape}.")
            self._keep(field, array)
        self._keep("sizes", int_array(self.sizes, "sizes", 2))
        level = () if self.set_level is None else self.set_level
        self._keep("set_level", int_array(level, "set_level", 1))
        members = np.array(() if self.set_members is None else self.set_members)
        members = members.reshape(0, 2).astype(np.int64) if not members.size else members
        self._keep("set_members", int_array(members, "set_members", 2))

    def pm_name(self, pm: int | np.integer[Any]) -> str:
        """What messages call a PM."""
        return f"PM {self.pm_names[pm]}" if self.pm_names else f"PM {pm}"

    def vm_name(self, vm: int | np.integer[Any]) -> str:
        """What messages call a VM."""
        return f"VM {self.vm_names[vm]}" if self.vm_names else f"VM {vm}"

    def _check_pms(self) -> None:
        for field, what in (("pm_cores", "cores"), ("pm_memory", "MB")):
            values = getattr(self, field)
            for pm, node in np.argwhere((values < 0) | (values >= _LIMIT)):
                raise ValueError(
                    f"{self.pm_name(pm)}, node {node}: {values[pm, node]} {what}, expected >= 0"
                    " and below 2^31."
                )
        for field, high in (("pm_active", 1), ("pm_cluster", _LIMIT), ("pm_rack", _LIMIT)):
            values = getattr(self, field)
            for pm in np.flatnonzero((values < 0) | (values > high)):
                raise ValueError(
                    f"{self.pm_name(pm)}: {field[3:]} {values[pm]}, expected 0..{high}."
                )

    def _check_vms(self) -> None:
        for field, what, low, high in (
            ("vm_cores", "cores", 1, _LIMIT),
            ("vm_memory", "MB", 0, _LIMIT),
            ("vm_pm", "on PM", 0, self.num_pms - 1),
            ("vm_node", "on node", -1, 1),
            ("vm_movable", "movable", 0, 1),
        ):
            values = getattr(self, field)
            for vm in np.flatnonzero((values < low) | (values > high)):
                found = f"{values[vm]} {what}" if low <= 1 < high else f"{what} {values[vm]}"
                found = found if field in ("vm_cores", "vm_memory") else f"{what} {values[vm]}"
                raise ValueError(f"{self.vm_name(vm)}: {found}, expected {low}..{high}.")

    def _check_sizes(self) -> None:
        sizes = self.sizes
        if sizes.shape[1:] != (3,) or not len(sizes):
            raise ValueError(f"sizes {sizes.shape}, expected (T, 3): cores, double or not, weight.")
        for cores, double, weight in sizes.tolist():
            if double not in (0, 1) or not 1 <= weight < 2**20:
                raise ValueError(
                    f"size [{cores}, {double}, {weight}]: expected double 0 or 1 and weight >= 1."
                )
            if not 1 <= cores < _LIMIT or (double and cores % 2):
                halves = "an even number, half on each node," if double else "a number"
                raise ValueError(f"size of {cores} cores, expected {halves} >= 1.")

    def _check_scalars(self) -> None:
        """Plain Python scalars, so that equal instances have equal digests."""
        self._keep("mnl", _whole(self.mnl, "mnl", 1))
        self._keep("scenario", _whole(self.scenario, "scenario", -(2**62)))
        if self.memory_budget is not None:
            self._keep("memory_budget", _whole(self.memory_budget, "memory_budget", 0))
        if not isinstance(self.cluster_local, bool | int | np.bool_):
            raise ValueError(f"cluster_local {self.cluster_local!r}, expected true or false.")
        self._keep("cluster_local", bool(self.cluster_local))
        if self.goal is not None:
            self._keep("goal", _real(self.goal, "goal", 1.0))
        self._keep("delay", _real(self.delay, "delay", 1e6))
        self._keep("churn", _real(self.churn, "churn", 1e4))
        if not isinstance(self.name, str):
            raise ValueError(f"name {self.name!r}, expected a text.")

    def _check_room(self) -> None:
        for free, what in ((self.free_cores, "cores"), (self.free_memory, "MB")):
            for pm, node in np.argwhere(free < 0):
                room = int((self.pm_cores if what == "cores" else self.pm_memory)[pm, node])
                raise ValueError(
                    f"{self.pm_name(pm)}, node {node}: {room - free[pm, node]} {what} used by its"
                    f" VMs, expected at most {room}."
                )

    def _check_sets(self) -> None:
        level, members = self.set_level, self.set_members
        if members.shape[1:] != (2,):
            raise ValueError(f"set_members {members.shape}, expected (M, 2): set, VM.")
        for one in np.flatnonzero((level != HOST) & (level != RACK)):
            raise ValueError(f"set {one}: level {level[one]}, expected 0 (host) or 1 (rack).")
        seen: dict[tuple[int, int], int] = {}
        for one, vm in members.tolist():
            if not 0 <= one < len(level) or not 0 <= vm < self.num_vms:
                raise ValueError(
                    f"set {one} with VM {vm}: expected sets 0..{len(level) - 1} and VMs"
                    f" 0..{self.num_vms - 1}."
                )
            pm = int(self.vm_pm[vm])
            place = pm if level[one] == HOST else int(self.pm_rack[pm])
            if (other := seen.setdefault((one, place), vm)) != vm:
                where = self.pm_name(pm) if level[one] == HOST else f"rack {place}"
                raise ValueError(
                    f"{self.vm_name(other)} and {self.vm_name(vm)} of set {one}: both in {where},"
                    " expected apart."
                )

    @property
    def num_pms(self) -> int:
        """Number of physical machines, P."""
        return len(self.pm_cores)

    @property
    def num_vms(self) -> int:
        """Number of virtual machines, V."""
        return len(self.vm_cores)

    @cached_property
    def uses(self) -> BoolArray:
        """``(V, 2)`` whether the VM uses each node of its PM."""
        return np.stack([self.vm_node != 1, self.vm_node != 0], axis=1)

    @cached_property
    def is_double(self) -> BoolArray:
        """``(V,)`` whether the VM stands on both nodes."""
        return np.asarray(self.vm_node < 0)

    @cached_property
    def free_cores(self) -> IntArray:
        """``(P, 2)`` cores that no VM takes, at the beginning."""
        return self._free(self.pm_cores, self.vm_cores)

    @cached_property
    def free_memory(self) -> IntArray:
        """``(P, 2)`` MB that no VM takes, at the beginning."""
        return self._free(self.pm_memory, self.vm_memory)

    def _free(self, capacity: IntArray, demand: IntArray) -> IntArray:
        free = capacity.copy()
        for node in (0, 1):
            used = self.uses[:, node]
            np.subtract.at(free[:, node], self.vm_pm[used], demand[used])
        free.flags.writeable = False
        return free

    @cached_property
    def moved_memory(self) -> IntArray:
        """``(V,)`` MB that a move of the VM transfers: on both nodes together."""
        return np.asarray(self.vm_memory * self.uses.sum(axis=1), dtype=np.int64)

    @cached_property
    def can_move(self) -> BoolArray:
        """``(V,)`` whether the VM may be moved at all: movable, and on an active PM."""
        return np.asarray((self.vm_movable > 0) & (self.pm_active[self.vm_pm] > 0))

    @cached_property
    def total_free(self) -> int:
        """Free cores of the active PMs, F, which no move changes."""
        return int(self.free_cores[self.pm_active > 0].sum())

    @cached_property
    def total_weight(self) -> int:
        """Sum of the weights of the sizes."""
        return int(self.sizes[:, 2].sum())

    @cached_property
    def goal_cost(self) -> int:
        """Unusable free cores at which the goal is reached; -1 without a goal."""
        if self.goal is None:
            return -1
        return math.floor(self.goal * self.total_weight * self.total_free + 1e-9)

    @cached_property
    def sets_of(self) -> dict[int, list[int]]:
        """VM to its anti-affinity sets, for those that have any."""
        found: dict[int, list[int]] = {}
        for one, vm in self.set_members.tolist():
            found.setdefault(vm, []).append(one)
        return found

    @cached_property
    def members_of(self) -> list[list[int]]:
        """The VMs of each anti-affinity set."""
        found: list[list[int]] = [[] for _ in self.set_level]
        for one, vm in self.set_members.tolist():
            found[one].append(vm)
        return found


def _whole(value: Any, what: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{what} {value!r}, expected an integer.")
    if not least <= value < 2**62:
        raise ValueError(f"{what} {value}, expected >= {least}.")
    return int(value)


def _real(value: Any, what: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{what} {value!r}, expected a number.")
    if not 0 <= value <= most:
        raise ValueError(f"{what} {value}, expected between 0 and {most:g}.")
    return float(value)


@dataclass(frozen=True, eq=False)
class VMReschedulingSolution(Solution):
    """A plan: migrations, one after the other.

    Attributes:
        moves: ``(M, 3)`` int64, the VM, the PM that it goes to, and the node there: 0, 1, or -1 for
            a VM on both nodes.
    """

    problem: ClassVar[str] = "vm_rescheduling"

    moves: IntArray

    def __post_init__(self) -> None:
        moves = np.array(self.moves) if isinstance(self.moves, list | tuple) else self.moves
        if isinstance(moves, np.ndarray) and not moves.size and moves.ndim == 1:
            moves = np.zeros((0, 3), dtype=np.int64)
        moves = int_array(moves, "moves", 2)
        if moves.shape[1:] != (3,):
            raise ValueError(f"moves {moves.shape}, expected (M, 3): VM, PM, node.")
        object.__setattr__(self, "moves", moves)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        yield from self.moves.tolist()

    def to_frame(self) -> pd.DataFrame:
        """One row per move: ``vm``, ``pm``, ``node``."""
        import pandas as pd

        return pd.DataFrame(self.moves, columns=["vm", "pm", "node"])
