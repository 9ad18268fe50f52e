"""Random clusters. Named generators carry the number of PMs: ``shuffle-279``, ``large-1176-s3``.

Sizes of VMs are drawn with the shares that the public snapshots have
(``bytedance/DRL-based-VM-Rescheduling``, Apache-2.0), until the cores of all PMs are used as far as
the load says.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .core import IntArray
from .vm_rescheduling_drift import best_fit
from .vm_rescheduling_model import HOST, RACK, VMReschedulingInstance

Seed = int | np.random.Generator
Mix = tuple[tuple[int, int, float], ...]

#: Share of the cores that VMs take: low, middle and high load.
LOADS = {"low": 0.35, "middle": 0.65, "high": 0.943}

#: Cores on each node, 1 if on both nodes, and the share of the VMs, in percent.
MEDIUM = (
    *((4, 0, 43.0), (2, 0, 17.0), (8, 0, 16.0), (16, 0, 8.0), (32, 0, 3.0)),
    *((32, 1, 6.0), (4, 1, 3.0), (8, 1, 2.0), (16, 1, 2.0), (44, 1, 0.2)),
)
LARGE = (
    *((2, 0, 22.0), (16, 0, 17.0), (4, 0, 15.0), (8, 0, 14.0), (32, 0, 5.0)),
    *((16, 1, 11.0), (32, 1, 6.0), (44, 1, 5.0), (8, 1, 3.5), (4, 1, 2.0)),
)

#: Cores and MB of the nodes of the snapshots.
_NODE = (44, 184_388)
#: VMs of at least so many cores per node are placed first, or they find no room.
_BIG = 32
#: Probability that a VM goes to any place with room, and not where it fits best: it makes clusters
#: as fragmented as those of the paper (a fragment rate of about 0.55).
_SPREAD = 0.85
#: Share of the VMs that may migrate at once, as the publishers of the snapshots say: 2 to 3 %.
_MOVABLE_SHARE, _FEWEST_MOVES = 0.024, 4
_ATTEMPTS = 100
_FLEETS = 20


class Fleet(NamedTuple):
    """What is to be placed: PMs, and VMs with the arrays of the instance."""

    pms: dict[str, Any]
    cores: IntArray
    memory: IntArray
    node: IntArray


def shuffle(
    instance: VMReschedulingInstance, *, seed: Seed, spread: float = _SPREAD, **fields: Any
) -> VMReschedulingInstance:
    """The same VMs in other places.

    VMs of 32 cores per node and more are placed first, then the others, each in random order: with
    probability ``spread`` at a random place with room, else where fewest cores are free. On the
    public Medium snapshot the default gives fragment rates between 0.5 and 0.67; in the instances
    of the paper it is 0.555 on average.

    Args:
        instance: The cluster; one without anti-affinity sets, whose PMs are all active.
        seed: Seed or generator.
        spread: Probability of a random place.
        **fields: Fields of the instance to change, e.g. ``mnl``.

    Raises:
        ValueError: If the cluster has sets, or no attempt finds a place for every VM.
    """
    if len(instance.set_members) or not instance.pm_active.all():
        raise ValueError(
            f"{instance.name or 'instance'}: anti-affinity sets or PMs that are not active,"
            " expected none to shuffle."
        )
    if not 0 <= spread <= 1:
        raise ValueError(f"spread {spread}, expected between 0 and 1.")
    rng = np.random.default_rng(seed)
    found = _placed(instance, rng, spread)
    if found is None:
        raise _no_place(instance)
    pm, node = found
    suffix = "" if isinstance(seed, np.random.Generator) else f"_{seed}"
    name = f"{instance.name or 'cluster'}_shuffle{suffix}"
    return replace(instance, vm_pm=pm, vm_node=node, **{"name": name, **fields})


def _no_place(instance: VMReschedulingInstance) -> ValueError:
    return ValueError(
        f"{instance.num_vms} VMs on {instance.num_pms} PMs: no place for all of them,"
        " expected less load."
    )


def _placed(
    instance: VMReschedulingInstance, rng: np.random.Generator, spread: float
) -> tuple[IntArray, IntArray] | None:
    """PM and node of every VM, if some attempt finds a place for each."""
    for attempt in range(_ATTEMPTS):
        order = rng.permutation(instance.num_vms)
        big = instance.vm_cores[order] >= _BIG
        found = _try(instance, rng, np.concatenate([order[big], order[~big]]), spread)
        if found is not None:
            return found
        if attempt >= _ATTEMPTS // 2:
            spread *= 0.9  # more best fits leave more room
    return None


def _try(
    instance: VMReschedulingInstance, rng: np.random.Generator, order: IntArray, spread: float
) -> tuple[IntArray, IntArray] | None:
    cores, memory = instance.pm_cores.copy(), instance.pm_memory.copy()
    pms, nodes = np.zeros_like(instance.vm_pm), np.zeros_like(instance.vm_node)
    for vm, anywhere in zip(
        order.tolist(), (rng.random(len(order)) < spread).tolist(), strict=True
    ):
        c, m = int(instance.vm_cores[vm]), int(instance.vm_memory[vm])
        double = instance.vm_node[vm] < 0
        if anywhere:
            fits = (cores >= c) & (memory >= m)
            places = np.flatnonzero(fits.all(axis=1) if double else fits)
            if not places.size:
                return None
            place = int(places[rng.integers(places.size)])
            pm, node = (place, -1) if double else divmod(place, 2)
        else:
            pm, node = best_fit(instance, cores, memory, vm)
            if pm < 0:
                return None
        where = (pm, slice(None)) if double else (pm, node)
        cores[where] -= c
        memory[where] -= m
        pms[vm], nodes[vm] = pm, node
    return pms, nodes


def medium(
    num_pms: int, *, seed: Seed, load: str | float = "high", spread: float = _SPREAD, **options: Any
) -> VMReschedulingInstance:
    """VMs as in the public Medium snapshot, placed as :func:`shuffle` does.

    Args:
        num_pms: Number of PMs, >= 1.
        seed: Seed or generator.
        load: ``"low"``, ``"middle"``, ``"high"`` or the share of the cores that VMs take.
        spread: See :func:`shuffle`.
        **options: See :func:`generate`.

    Raises:
        ValueError: If an argument is outside its range.
    """
    return _shuffled("shuffle", num_pms, seed, MEDIUM, (2,), load, spread, options)


def large(
    num_pms: int, *, seed: Seed, load: str | float = 0.82, spread: float = _SPREAD, **options: Any
) -> VMReschedulingInstance:
    """VMs as in the public Large snapshot; arguments as for :func:`medium`."""
    return _shuffled("large", num_pms, seed, LARGE, (4,), load, spread, options)


def memory(
    num_pms: int, *, seed: Seed, load: str | float = 0.8, spread: float = _SPREAD, **options: Any
) -> VMReschedulingInstance:
    """VMs of 2, 4 and 8 GB per core, so that memory binds; arguments as for :func:`medium`."""
    return _shuffled("memory", num_pms, seed, MEDIUM, (2, 4, 8), load, spread, options)


def affinity(
    num_pms: int, *, seed: Seed, load: str | float = 0.9, spread: float = _SPREAD, **options: Any
) -> VMReschedulingInstance:
    """As :func:`medium`, with anti-affinity sets, and 6 % of the VMs not movable."""
    given = {"sets": 0.144, "rack_sets": 0.007, "fixed": 0.06, **options}
    return _shuffled("affinity", num_pms, seed, MEDIUM, (2,), load, spread, given)


def churn(
    num_pms: int, *, seed: Seed, load: str | float = "high", rounds: float = 2.0, **options: Any
) -> VMReschedulingInstance:
    """A cluster that has been in use: VMs have come and gone, each placed by best fit.

    It begins with VMs as in the Medium snapshot, placed by best fit, largest first. Each lives for
    a lognormal time (sigma 1.5, heavy-tailed); when one is deleted, new ones come until the load is
    reached again or one finds no room.

    Args:
        num_pms: Number of PMs, >= 1.
        seed: Seed or generator.
        load: As for :func:`medium`.
        rounds: Deletions, as a multiple of the number of VMs.
        **options: See :func:`generate`.

    Raises:
        ValueError: If an argument is outside its range.
    """
    if not 0 <= rounds <= 100:
        raise ValueError(f"rounds {rounds}, expected between 0 and 100.")
    rng = np.random.default_rng(seed)
    fleet = _fleet(rng, num_pms, MEDIUM, (2,), load)
    used = _after_churn(rng, fleet, rounds)
    return _finish("churn", rng, seed, fleet.pms, used, options)


def _shuffled(
    kind: str,
    num_pms: int,
    seed: Seed,
    mix: Mix,
    gb_per_core: tuple[int, ...],
    load: str | float,
    spread: float,
    options: dict[str, Any],
) -> VMReschedulingInstance:
    if not 0 <= spread <= 1:
        raise ValueError(f"spread {spread}, expected between 0 and 1.")
    rng = np.random.default_rng(seed)
    for _ in range(_FLEETS):  # few PMs may be too few for the first VMs that are drawn
        fleet = _fleet(rng, num_pms, mix, gb_per_core, load)
        found = _placed(_bare(fleet), rng, spread)
        if found is not None:
            pm, node = found
            vms = {"vm_cores": fleet.cores, "vm_memory": fleet.memory, "vm_pm": pm, "vm_node": node}
            return _finish(kind, rng, seed, fleet.pms, vms, options)
    raise _no_place(_bare(fleet))


def _bare(fleet: Fleet) -> VMReschedulingInstance:
    """The VMs before they are placed: all on the first PM, which is not checked."""
    return VMReschedulingInstance.trusted(
        **{key: value.copy() for key, value in fleet.pms.items()},
        vm_cores=fleet.cores.copy(),
        vm_memory=fleet.memory.copy(),
        vm_pm=np.zeros_like(fleet.cores),
        vm_node=fleet.node.copy(),
        name="",
    )


def _fleet(
    rng: np.random.Generator,
    num_pms: int,
    mix: Mix,
    gb_per_core: tuple[int, ...],
    load: str | float,
) -> Fleet:
    """PMs, and VMs drawn until their cores reach the load."""
    if isinstance(num_pms, bool) or num_pms < 1:
        raise ValueError(f"{num_pms} PMs, expected >= 1.")
    if isinstance(load, str):
        if load not in LOADS:
            raise ValueError(f"load {load!r}, expected a number or one of: {', '.join(LOADS)}.")
        load = LOADS[load]
    if not 0 <= load <= 0.97:
        raise ValueError(f"load {load}, expected between 0 and 0.97.")
    pms = {
        "pm_cores": np.full((num_pms, 2), _NODE[0]),
        "pm_memory": np.full((num_pms, 2), _NODE[1]),
        "pm_active": np.ones(num_pms, dtype=np.int64),
        "pm_cluster": (np.arange(num_pms) >= 0.85 * num_pms).astype(np.int64),
        "pm_rack": np.sort(rng.integers(max(1, round(num_pms / 28)), size=num_pms)),
    }
    kinds = np.array([kind[:2] for kind in mix])
    shares = np.array([kind[2] for kind in mix])
    wanted, cores_left = [], round(load * num_pms * 2 * _NODE[0])
    while True:
        drawn = kinds[rng.choice(len(kinds), size=256, p=shares / shares.sum())]
        ends = np.cumsum(drawn[:, 0] * (1 + drawn[:, 1]))
        count = int(np.searchsorted(ends, cores_left, side="right"))
        wanted.append(drawn[:count])
        if count < len(drawn):
            break
        cores_left -= int(ends[-1])
    chosen = np.concatenate(wanted)
    gb = rng.choice(gb_per_core, size=len(chosen))
    memory = np.minimum(1024 * gb * chosen[:, 0], _NODE[1])
    return Fleet(pms, chosen[:, 0], memory, np.where(chosen[:, 1] > 0, -1, 0))


def _after_churn(rng: np.random.Generator, fleet: Fleet, rounds: float) -> dict[str, IntArray]:
    """The VMs that are there in the end, and their places."""
    bare = _bare(fleet)
    cores, memory = bare.pm_cores.copy(), bare.pm_memory.copy()
    alive: list[tuple[float, int, int, int, int]] = []  # (end, number, size as of VM, PM, node)
    target = int((fleet.cores * np.where(fleet.node < 0, 2, 1)).sum())
    used = number = 0

    def create(vm: int, now: float) -> bool:
        nonlocal used, number
        pm, node = best_fit(bare, cores, memory, vm)
        if pm < 0:
            return False
        where = (pm, slice(None)) if node < 0 else (pm, node)
        cores[where] -= fleet.cores[vm]
        memory[where] -= fleet.memory[vm]
        used += int(fleet.cores[vm]) * (2 if node < 0 else 1)
        number += 1
        end = now + float(rng.lognormal(0.0, 1.5))
        heapq.heappush(alive, (end, number, vm, pm, node))
        return True

    for vm in np.argsort(-fleet.cores, kind="stable").tolist():
        create(vm, 0.0)
    for _ in range(round(rounds * len(fleet.cores))):
        if not alive:
            break
        now, _, vm, pm, node = heapq.heappop(alive)
        where = (pm, slice(None)) if node < 0 else (pm, node)
        cores[where] += fleet.cores[vm]
        memory[where] += fleet.memory[vm]
        used -= int(fleet.cores[vm]) * (2 if node < 0 else 1)
        while used < target and create(int(rng.integers(len(fleet.cores))), now):
            pass
    kept = sorted((number, vm, pm, node) for _, number, vm, pm, node in alive)
    rows = np.array(kept, dtype=np.int64).reshape(-1, 4)
    return {
        "vm_cores": fleet.cores[rows[:, 1]],
        "vm_memory": fleet.memory[rows[:, 1]],
        "vm_pm": rows[:, 2],
        "vm_node": rows[:, 3],
    }


def _finish(
    kind: str,
    rng: np.random.Generator,
    seed: Seed,
    pms: dict[str, Any],
    vms: dict[str, Any],
    options: dict[str, Any],
) -> VMReschedulingInstance:
    """The instance with the options that all kinds share; see :func:`generate`."""
    sets, rack_sets = options.pop("sets", 0.0), options.pop("rack_sets", 0.0)
    fixed = options.pop("fixed", 0.0)
    for what, value in (("sets", sets), ("rack_sets", rack_sets), ("fixed", fixed)):
        if not 0 <= value <= 1:
            raise ValueError(f"{what} {value}, expected between 0 and 1.")
    if unknown := sorted(set(options) - set(FIELDS)):
        raise ValueError(
            f"unknown option {unknown[0]!r} for {kind}, expected some of: sets, rack_sets, fixed,"
            f" {', '.join(FIELDS)}."
        )
    count, num_pms = len(vms["vm_cores"]), len(pms["pm_cores"])
    suffix = "" if isinstance(seed, np.random.Generator) else f"-s{seed}"
    fields: dict[str, Any] = {
        "name": f"{kind}-{num_pms}{suffix}",
        "mnl": max(_FEWEST_MOVES, round(_MOVABLE_SHARE * count)),
    }
    if fixed:
        fields["vm_movable"] = (rng.random(count) >= fixed).astype(np.int64)
    if sets or rack_sets:
        fields |= _sets(rng, vms["vm_pm"], pms["pm_rack"], sets, rack_sets)
    return VMReschedulingInstance(**pms, **vms, **{**fields, **options})


#: Fields that generators and readers take.
FIELDS = (
    *("mnl", "sizes", "cluster_local", "memory_budget", "goal", "delay", "churn", "scenario"),
    "name",
)


def _sets(
    rng: np.random.Generator, vm_pm: IntArray, pm_rack: IntArray, hosts: float, racks: float
) -> dict[str, IntArray]:
    """Anti-affinity sets of VMs that are apart: of 2 to 5 on hosts, of 5 to 10 in racks."""
    levels: list[int] = []
    members: list[tuple[int, int]] = []
    for level, share, low, high in ((HOST, hosts, 2, 5), (RACK, racks, 5, 10)):
        place = vm_pm if level == HOST else pm_rack[vm_pm]
        for _ in range(round(share * len(vm_pm))):
            drawn = rng.permutation(len(vm_pm))[: 4 * high]
            _, first = np.unique(place[drawn], return_index=True)
            chosen = drawn[np.sort(first)][: int(rng.integers(low, high + 1))]
            if len(chosen) > 1:
                members += [(len(levels), int(vm)) for vm in np.sort(chosen)]
                levels.append(level)
    pairs = np.array(members, dtype=np.int64).reshape(-1, 2)
    return {"set_level": np.array(levels, dtype=np.int64), "set_members": pairs}


GENERATORS: dict[str, Callable[..., VMReschedulingInstance]] = {
    "shuffle": medium,
    "large": large,
    "memory": memory,
    "affinity": affinity,
    "churn": churn,
}


def generate(
    num_pms: int = 8, *, seed: Seed, kind: str = "shuffle", **options: Any
) -> VMReschedulingInstance:
    """A random cluster of PMs with two nodes of 44 cores and 184,388 MB.

    Args:
        num_pms: Number of PMs, >= 1.
        seed: Seed or generator.
        kind: One of :data:`GENERATORS`.
        **options: Those of the generator; for all kinds: ``sets`` and ``rack_sets`` (anti-affinity
            sets of hosts and racks per VM), ``fixed`` (share of the VMs that are not movable), and
            the fields ``mnl`` (by default 2.4 % of the VMs, at least 4), ``sizes``,
            ``cluster_local``, ``memory_budget``, ``goal``, ``delay``, ``churn``, ``scenario`` and
            ``name`` of the instance.

    Raises:
        ValueError: If there is no such kind, or the generator refuses its arguments.
    """
    if kind not in GENERATORS:
        raise ValueError(f"unknown kind {kind!r}, expected one of: {', '.join(GENERATORS)}.")
    return GENERATORS[kind](num_pms, seed=seed, **options)
