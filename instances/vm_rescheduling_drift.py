"""What becomes of a cluster while a plan for it is computed: VMs are deleted and created.

Both happen ``churn`` times a minute on average (Poisson). Whichever VM it is, a deletion takes any
of those that are there with equal probability, and a creation repeats the size of any of the first
ones, and goes where fewest cores are free (best fit), or nowhere if there is no room. The cluster
after a longer delay has seen what that after a shorter one has, and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from . import noise
from .core import BoolArray, IntArray
from .vm_rescheduling_model import VMReschedulingInstance

#: Events are drawn in blocks of so many.
_BLOCK = 256


@dataclass(frozen=True)
class Drifted:
    """A cluster after the delay.

    Attributes:
        free_cores: ``(P, 2)`` free cores.
        free_memory: ``(P, 2)`` free MB.
        present: ``(V,)`` whether each VM of the snapshot is still there.
        created: Number of VMs that have been created and are there or were.
        deleted: Number of VMs that have been deleted.
    """

    free_cores: IntArray
    free_memory: IntArray
    present: BoolArray
    created: int
    deleted: int


@lru_cache(maxsize=64)
def drifted(instance: VMReschedulingInstance) -> Drifted:
    """The cluster when the plan is carried out, without the plan."""
    places = list(zip(instance.vm_pm.tolist(), instance.vm_node.tolist(), strict=True))
    alive = [(vm, *place) for vm, place in enumerate(places)]  # (size as of VM, PM, node)
    original = list(range(instance.num_vms))  # of the alive ones, -1 for created ones
    cores, memory = instance.free_cores.copy(), instance.free_memory.copy()
    present = np.ones(instance.num_vms, dtype=np.bool_)
    created = deleted = 0
    for kind, choice in _events(instance):
        if kind < 0.5 and alive:
            gone = int(choice * len(alive))
            alive[gone], alive[-1] = alive[-1], alive[gone]
            original[gone], original[-1] = original[-1], original[gone]
            vm, pm, node = alive.pop()
            if (first := original.pop()) >= 0:
                present[first] = False
            _take(instance, cores, memory, vm, pm, node, 1)
            deleted += 1
        elif kind >= 0.5 and instance.num_vms:
            vm = int(choice * instance.num_vms)
            pm, node = best_fit(instance, cores, memory, vm)
            if pm >= 0:
                _take(instance, cores, memory, vm, pm, node, -1)
                alive.append((vm, pm, node))
                original.append(-1)
                created += 1
    return Drifted(cores, memory, present, created, deleted)


def _events(instance: VMReschedulingInstance) -> list[tuple[float, float]]:
    """Kind and choice, both in (0, 1), of what happens within the delay."""
    rate = 2.0 * instance.churn / 60.0
    events: list[tuple[float, float]] = []
    time, k = 0.0, 0
    while rate > 0:
        keys = np.arange(k, k + _BLOCK)
        waits = -np.log(noise.uniforms(instance.scenario, keys, 0)) / rate
        times = time + np.cumsum(waits)
        within = int(np.searchsorted(times, instance.delay))
        kinds = noise.uniforms(instance.scenario, keys, 1)[:within].tolist()
        choices = noise.uniforms(instance.scenario, keys, 2)[:within].tolist()
        events += list(zip(kinds, choices, strict=True))
        if within < _BLOCK:
            break
        time, k = float(times[-1]), k + _BLOCK
    return events


def best_fit(
    instance: VMReschedulingInstance, cores: IntArray, memory: IntArray, vm: int
) -> tuple[int, int]:
    """The place with room for such a VM where fewest cores are free; (-1, -1) if there is none."""
    fits = (cores >= instance.vm_cores[vm]) & (memory >= instance.vm_memory[vm])
    fits &= instance.pm_active[:, None] > 0
    if instance.vm_node[vm] < 0:
        both = np.flatnonzero(fits.all(axis=1))
        if not both.size:
            return -1, -1
        return int(both[np.argmin(cores[both].sum(axis=1))]), -1
    if not fits.any():
        return -1, -1
    pm, node = divmod(int(np.argmin(np.where(fits, cores, np.iinfo(np.int64).max))), 2)
    return pm, node


def _take(
    instance: VMReschedulingInstance,
    cores: IntArray,
    memory: IntArray,
    vm: int,
    pm: int,
    node: int,
    sign: int,
) -> None:
    for k in (0, 1) if node < 0 else (node,):
        cores[pm, k] += sign * instance.vm_cores[vm]
        memory[pm, k] += sign * instance.vm_memory[vm]
