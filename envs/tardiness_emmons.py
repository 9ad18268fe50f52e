"""Emmons' precedence relations of single-machine total tardiness, as a Numba kernel.

Emmons 1969 (doi:10.1287/opre.17.4.701): for jobs ``i``, ``j`` with ``p_i <= p_j`` (if equal,
``d_i <= d_j``), let ``B_j`` and ``A_j`` be the jobs that are known to precede and to follow ``j``,
and ``P(.)`` the sum of processing times. Some optimal sequence that respects what is known has

- ``i`` before ``j`` if ``d_i <= max(P(B_j) + p_j, d_j)``;
- ``j`` before ``i`` if ``d_i > max(P(B_j) + p_j, d_j)`` and ``d_i + p_i >= P(N - A_j)``;
- ``i`` before ``j``, of whatever lengths, if ``d_j >= P(N - A_i)``.

They are applied again and again, with the transitive closure, until nothing new is found.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np

from .kernels import kernel, part


@kernel
def emmons(p, d, order, after):
    """Find a transitive precedence relation that some optimal sequence respects.

    Args:
        p: ``(n,)`` processing times, positive.
        d: ``(n,)`` due dates.
        order: ``(n,)`` the jobs by processing time, then due date.
        after: ``(n, n)`` int8, zero; ``after[i, j]`` becomes 1 if ``i`` is to precede ``j``. O(n^3)
            in all, besides O(n^2) per round.
    """
    n, total = len(p), p.sum()
    before_work = np.zeros(n, np.int64)  # P(B_j)
    after_work = np.zeros(n, np.int64)  # P(A_j)
    found = True
    while found:
        found = False
        for at in range(n):
            j = order[at]
            for earlier in range(at):
                i = order[earlier]
                if after[i, j] or after[j, i]:
                    continue
                limit = max(before_work[j] + p[j], d[j])
                if d[i] <= limit or d[j] >= total - after_work[i]:
                    _add(i, j, p, after, before_work, after_work)
                    found = True
                elif d[i] + p[i] >= total - after_work[j] or d[i] >= total - after_work[j]:
                    _add(j, i, p, after, before_work, after_work)
                    found = True


@part
def _add(i, j, p, after, before_work, after_work):
    """Let ``i`` precede ``j``, with all that precedes ``i`` and all that follows ``j``."""
    n = len(p)
    for h in range(n):
        if (h == i or after[h, i]) and not after[h, j]:
            for k in range(n):
                if (k == j or after[j, k]) and not after[h, k]:
                    after[h, k] = 1
                    after_work[h] += p[k]
                    before_work[k] += p[h]
