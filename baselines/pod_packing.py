"""The classics of pod packing: placement rules as scores; all solvers by name.

The rules see the columns of ``PodPacking-v0``, one value per node with the offered pod on it:
``leave`` (1 for leaving the pod pending), ``cpu_left`` and ``memory_left`` (free shares),
``imbalance`` (their difference), ``dot_product`` of request and what is free. A pod is left pending
only where no node is offered. The pods come in the order of the queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps

import numpy as np

from ..instances.core import FloatArray
from .pod_packing_cp import cp_sat
from .pod_packing_fgd import fgd
from .pod_packing_kube import (
    kube_default,
    kube_no_preemption,
    most_allocated,
    pending_after_default,
    requested_to_capacity_ratio,
)
from .pod_packing_repair import greedy_repair, lns
from .rules import Columns, Rule, Score, uniform
from .solver import Solver

__all__ = ["RULES", "SOLVERS", "pending_after_default"]

#: Leaving a pod pending scores less than every node.
_LAST = 1e6


def _placing(score: Callable[[Columns], FloatArray]) -> Score:
    """A score that leaves a pod pending only where no node is offered."""

    @wraps(score)
    def placed(c: Columns) -> FloatArray:
        return np.where(c["leave"] > 0, -_LAST, score(c))

    return placed


def first_fit(c: Columns) -> FloatArray:
    """The first node that the pod fits."""
    return np.zeros_like(c["leave"])


def best_fit(c: Columns) -> FloatArray:
    """The node where the least cpu and memory are left, in shares."""
    return -(c["cpu_left"] + c["memory_left"])


def worst_fit(c: Columns) -> FloatArray:
    """The node where most is left: LeastAllocated without its rounding."""
    return c["cpu_left"] + c["memory_left"]


def balanced(c: Columns) -> FloatArray:
    """The node where cpu and memory are left most evenly."""
    return -c["imbalance"]


def dot_product(c: Columns) -> FloatArray:
    """The largest dot product of request and free shares (Panigrahy et al. 2011)."""
    return c["dot_product"]


RULES: Mapping[str, Mapping[str, Rule]] = {
    "pod_packing": {
        "random": Rule(uniform, noise=1.0),
        "first_fit": Rule(_placing(first_fit)),
        "best_fit": Rule(_placing(best_fit)),
        "worst_fit": Rule(_placing(worst_fit)),
        "balanced": Rule(_placing(balanced)),
        "dot_product": Rule(_placing(dot_product)),
    }
}

SOLVERS: Mapping[str, Mapping[str, Solver]] = {
    "pod_packing": {
        "kube_default": kube_default,
        "kube_no_preemption": kube_no_preemption,
        "most_allocated": most_allocated,
        "requested_to_capacity_ratio": requested_to_capacity_ratio,
        "fgd": fgd,
        "greedy_repair": greedy_repair,
        "lns": lns,
        "cp_sat": cp_sat,
    }
}
