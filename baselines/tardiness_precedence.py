"""Precedence relations that some optimal sequence respects, for models without release or setup.

For jobs ``i``, ``j`` let ``B_j`` and ``A_j`` be the jobs known to precede and to follow ``j``, and
``P(.)`` the sum of processing times. Emmons 1969 (doi:10.1287/opre.17.4.701), with the weights of
Rinnooy Kan, Lageweg and Lenstra 1975 (doi:10.1287/opre.23.5.908) where they allow it:

- ``i`` before ``j`` if ``p_i <= p_j``, ``w_i >= w_j`` and ``d_i <= max(P(B_j) + p_j, d_j)``;
- ``i`` before ``j`` if ``w_i >= w_j``, ``d_i <= d_j`` and ``d_j + p_j >= P(N - A_i)``;
- ``i`` before ``j`` if ``d_j >= P(N - A_i)``, or ``w_j = 0``.

They are applied again and again, with the transitive closure, until nothing new is found.
"""

from __future__ import annotations

import numpy as np

from ..instances.core import BoolArray, IntArray
from ..instances.tardiness import TardinessInstance


def precedence(instance: TardinessInstance) -> BoolArray:
    """``(n, n)`` whether job ``i`` is to precede job ``j``: a transitive relation. O(n^3).

    Args:
        instance: An instance without release dates and setups.
    """
    p, d, w = instance.durations, instance.due_dates, instance.weights
    heavier = w[:, None] >= w
    rank = np.argsort(np.lexsort((-w, d, p)))
    twins = (p[:, None] == p) & (w[:, None] == w)
    shorter = (p[:, None] <= p) & heavier & (~twins | (rank[:, None] < rank))
    earlier = heavier & (d[:, None] <= d)
    known = np.zeros((len(p), len(p)), dtype=np.bool_)
    while True:
        first = p @ known + p  # the earliest end of a job
        last = (p.sum() - known @ p)[:, None]  # the latest
        found = shorter & (d[:, None] <= np.maximum(first, d))
        found |= earlier & (d + p >= last)
        found |= (d >= last) | (w == 0)
        found &= ~(known | known.T | np.eye(len(p), dtype=np.bool_))
        if not found.any():
            return known
        for i, j in np.argwhere(found).tolist():
            if not (known[i, j] or known[j, i]):
                _add(known, i, j)


def _add(known: BoolArray, i: int, j: int) -> None:
    """Let ``i`` precede ``j``, with all that precedes ``i`` and all that follows ``j``."""
    before, after = known[:, i].copy(), known[j].copy()
    before[i] = after[j] = True
    known |= before[:, None] & after


def respecting(sequence: IntArray, known: BoolArray) -> IntArray:
    """The sequence that respects a relation and otherwise keeps to a given one, job by job."""
    waiting = known.sum(axis=0)
    left, result = sequence.tolist(), []
    while left:
        job = next(job for job in left if not waiting[job])
        left.remove(job)
        result.append(job)
        waiting = waiting - known[job]
    return np.array(result, dtype=np.int64)
