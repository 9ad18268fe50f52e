"""Fragmentation gradient descent (Weng et al., USENIX ATC 2023), for any resources."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..instances import pod_packing_rules
from ..instances.pod_packing import PodPackingInstance, PodPackingSolution
from ..instances.pod_packing_state import start_state
from .pod_packing_groups import groups
from .pod_packing_scores import jit
from .solver import solver

_rules: Any = pod_packing_rules.compiled(jit)  # type: ignore[no-untyped-call]
_allows, _put = _rules.allows, _rules.put


@solver
def fgd(instance: PodPackingInstance) -> PodPackingSolution:
    """Each pod, in the order of arrival, goes where the node's fragmentation rises least.

    The fragmentation of a node is ``F_j = sum_g f_g u_gj`` over the groups ``g`` of equal pods:
    ``f_g`` is the share of all pods that are in it, ``u_gj`` the free capacity of the node, summed
    over the resources in mean nodes, if such a pod does not fit, else 0. The paper counts GPUs.
    """
    world, state = start_state(instance)
    found = groups(instance)
    typical = np.array([instance.requests[m[0]] for m in found.members])
    shares = found.sizes / instance.num_pods
    mean = np.maximum(instance.capacities.mean(axis=0), 1)
    counted = np.array([float(r != "pods") for r in instance.resources]) / mean
    waiting = instance.arrival[instance.current[instance.arrival] < 0]
    _descend(waiting, typical, shares, counted, world, state)
    return PodPackingSolution(state[1])


@jit
def _descend(waiting, typical, shares, counted, world, state):  # type: ignore[no-untyped-def]
    """Place the pods one by one; O(N G R) each."""
    requests, free = world[0], state[0]
    width = typical.shape[1]
    before, after = np.empty(width, np.int64), np.empty(width, np.int64)
    for i in waiting:
        best, least = -1, 1e18
        for j in range(len(free)):
            if not _allows(i, j, world, state):
                continue
            for k in range(width):
                before[k] = free[j, k]
                after[k] = free[j, k] - requests[i, k]
            rise = _fragmentation(after, typical, shares, counted)
            rise -= _fragmentation(before, typical, shares, counted)
            if rise < least:
                best, least = j, rise
        if best >= 0:
            _put(i, best, True, world, state)


@jit
def _fragmentation(free, typical, shares, counted):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(len(free)):
        total += free[k] * counted[k]
    unusable = 0.0
    for g in range(len(typical)):
        for k in range(len(free)):
            if typical[g, k] > free[k]:
                unusable += shares[g]
                break
    return unusable * total
