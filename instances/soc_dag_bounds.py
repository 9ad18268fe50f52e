"""Lower bounds of the makespan of a task graph. All of them are valid for any schedule."""

from __future__ import annotations

import numpy as np

from .core import IntArray
from .soc_dag_model import SoCDagInstance, successors

#: Stands for "not supported" among times, which sum to less than 2^53.
NEVER = 2**60


def least_run_times(instance: SoCDagInstance) -> IntArray:
    """``(n,)`` least run time of each task."""
    w = instance.run_times
    least: IntArray = np.where(w >= 0, w, NEVER).min(axis=1)
    return least


def tail_levels(instance: SoCDagInstance, run_times: IntArray | None = None) -> IntArray:
    """``(n, m)`` what must follow the end of task ``i`` on PE ``p``, transfers included.

    ``tail_ip = max_j min_q (c_ij(p, q) + w_jq + tail_jq)`` over the successors ``j``; O(E m^2).

    Args:
        instance: The instance.
        run_times: ``(n, m)`` to be used instead of those of the instance.
    """
    w = instance.run_times if run_times is None else run_times
    tail = np.zeros(w.shape, dtype=np.int64)
    level = np.full(w.shape, NEVER)
    after, c = successors(len(w), instance.edges), instance.communication
    for i in instance.topological[::-1].tolist():
        for j, e in after[i]:
            np.maximum(tail[i], (c[e] + level[j]).min(axis=1), out=tail[i])
        level[i] = np.where(w[i] >= 0, w[i] + tail[i], NEVER)
    return tail


def bottom_levels(instance: SoCDagInstance, run_times: IntArray | None = None) -> IntArray:
    """``(n, m)`` ``w_ip + tail_ip``; ``NEVER`` where ``p`` does not support ``i``."""
    w = instance.run_times if run_times is None else run_times
    return np.where(w >= 0, w + tail_levels(instance, w), NEVER)


def head_levels(instance: SoCDagInstance) -> IntArray:
    """``(n, m)`` earliest start of task ``i`` on PE ``p`` if PEs were never busy; O(E m^2)."""
    w, c = instance.run_times, instance.communication
    head = np.zeros(w.shape, dtype=np.int64)
    after = successors(len(w), instance.edges)
    for i in instance.topological.tolist():
        end = np.where(w[i] >= 0, head[i] + w[i], NEVER)
        for j, e in after[i]:
            np.maximum(head[j], (end[:, None] + c[e]).min(axis=0), out=head[j])
    return head


def min_path_bound(instance: SoCDagInstance) -> int:
    """The longest path of least run times, without transfers."""
    least, level = least_run_times(instance), np.zeros(instance.num_tasks, dtype=np.int64)
    after = successors(instance.num_tasks, instance.edges)
    for i in instance.topological[::-1].tolist():
        level[i] = least[i] + max((level[j] for j, _ in after[i]), default=0)
    return int(level.max())


def path_bound(instance: SoCDagInstance) -> int:
    """The longest path with transfers, ``max_i min_p (w_ip + tail_ip)``."""
    return int(bottom_levels(instance).min(axis=1).max())


def area_bound(instance: SoCDagInstance) -> int:
    """All least run times, spread evenly over the PEs; rounded up."""
    return -(-int(least_run_times(instance).sum()) // instance.num_pes)


def interval_bound(instance: SoCDagInstance) -> int:
    """``max_a (a + area(S) + b)``: the tasks ``S`` of heads ``>= a``, whose least tail is ``b``.

    With ``a = 0`` it contains :func:`area_bound`.
    """
    w, m = least_run_times(instance), instance.num_pes
    supported = instance.run_times >= 0
    head = np.where(supported, head_levels(instance), NEVER).min(axis=1)
    tail = np.where(supported, tail_levels(instance), NEVER).min(axis=1)
    order = np.argsort(-head, kind="stable")
    area = -(-np.cumsum(w[order]) // m)
    return int((head[order] + area + np.minimum.accumulate(tail[order])).max())
