"""The world and the start state that ``pod_packing_rules.py`` works on."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import pod_packing_rules
from .pod_packing_constraints import constraints
from .pod_packing_model import PodPackingInstance

#: The rules, run by Python.
rules: Any = pod_packing_rules


def world_of(instance: PodPackingInstance) -> tuple[Any, ...]:
    """The constraints of an instance as the tuple that the rules take."""
    c = constraints(instance)
    return (
        *(c.requests, instance.spec_of_pod, c.allowed, c.kinds, c.limits, c.domains),
        *(c.num_domains, c.eligible, c.carry, c.match),
    )


def empty_state(instance: PodPackingInstance) -> tuple[Any, ...]:
    """The state of an instance of which no pod runs."""
    c, n, count = constraints(instance), instance.num_nodes, instance.num_pods
    width = max(int(c.num_domains.max(initial=0)), 1)
    return (
        c.capacities.copy(),
        *(np.full(size, -1, dtype=np.int64) for size in (count, n, count, count)),
        *(np.zeros((c.num_terms, width), dtype=np.int64) for _ in range(2)),
    )


def start_state(instance: PodPackingInstance) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The world, and the state in which the pods run where they do now."""
    world, state = world_of(instance), empty_state(instance)
    for i in np.flatnonzero(instance.current >= 0).tolist():
        rules.put(i, int(instance.current[i]), False, world, state)
    return world, state
