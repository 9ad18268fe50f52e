"""Annealing of a task graph's order and PEs: Numba kernels.

A schedule is an order of the tasks, each behind its predecessors, and a PE for each: tasks are
appended to their PEs in that order, which makes every semi-active schedule. ``g`` is as in
``soc_dag_kernels.py``.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def evaluate(order, pe, g, end, free):
    """The makespan; writes the ends of the tasks; O(n + E)."""
    w, in_first, in_task, in_edge, _, _, _, c = g
    free[:] = 0
    makespan = 0
    for i in order:
        p = pe[i]
        at = free[p]
        for k in range(in_first[i], in_first[i + 1]):
            j = in_task[k]
            at = max(at, end[j] + c[in_edge[k], pe[j], p])
        at += w[i, p]
        end[i] = free[p] = at
        makespan = max(makespan, at)
    return makespan


@njit(cache=True, nogil=True)
def anneal(order, pe, g, draws, rng, temperature, cooling, target, best_order, best_pe):
    """Simulated annealing by ``draws`` random moves; returns the best makespan.

    A move gives a task another PE, or another place in the order between its last predecessor and
    its first successor, or both. ``order`` and ``pe`` are changed; the best ones are copied out.
    """
    w, in_first, in_task, _, out_first, out_task, _, _ = g
    n, m = w.shape
    end, free, at = np.zeros(n, np.int64), np.zeros(m, np.int64), np.zeros(n, np.int64)
    for k in range(n):
        at[order[k]] = k
    now = evaluate(order, pe, g, end, free)
    best = now
    best_order[:], best_pe[:] = order, pe
    for _ in range(draws):
        if best <= target:
            break
        i = rng.integers(0, n)
        kind = rng.integers(0, 3)
        p, k = pe[i], at[i]
        q, new = p, k
        if kind != 1:
            q = rng.integers(0, m)
            if w[i, q] < 0:
                continue
        if kind != 0:
            low, high = 0, n - 1
            for e in range(in_first[i], in_first[i + 1]):
                low = max(low, at[in_task[e]] + 1)
            for e in range(out_first[i], out_first[i + 1]):
                high = min(high, at[out_task[e]] - 1)
            new = low + rng.integers(0, high - low + 1)
        if q == p and new == k:
            continue
        pe[i] = q
        _move(order, at, k, new)
        after = evaluate(order, pe, g, end, free)
        if after <= now or rng.random() < math.exp((now - after) / temperature):
            now = after
            if now < best:
                best = now
                best_order[:], best_pe[:] = order, pe
        else:
            _move(order, at, new, k)
            pe[i] = p
        temperature *= cooling
    return best


@njit(cache=True, nogil=True)
def _move(order, at, old, new):
    """Take the task at place ``old`` to place ``new``; those in between make way."""
    i = order[old]
    step = 1 if new > old else -1
    k = old
    while k != new:
        order[k] = order[k + step]
        at[order[k]] = k
        k += step
    order[new] = i
    at[i] = new
