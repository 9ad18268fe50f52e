"""Labels of the dynamic programming over subsets of jobs: Numba kernels.

``p``, ``w``, ``d``, ``r`` and ``s`` are the jobs' times, weights, due dates, release dates and
setups; ``(0, 0)`` where there are no setups.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np
from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")

# ``labels`` (k, 4): the jobs as bits, the last of them plus 1 (0: none), its end, and their cost.
SET, LAST, END, COST = range(4)


@kernel
def _child(label, j, shortest, p, w, d, r, s):
    """End and cost after one more job, and a lower bound of the cost of all jobs."""
    end = max(label[END], r[j])
    if len(s) > 0:
        end += s[label[LAST], j]
    end += p[j]
    cost = label[COST] + w[j] * max(end - d[j], 0)
    bound = cost
    for k in range(len(p)):
        if k != j and not label[SET] >> k & 1:
            bound += w[k] * max(max(end, r[k]) + shortest[k] + p[k] - d[k], 0)
    return end, cost, bound


@kernel
def count(labels, stop, shortest, p, w, d, r, s):
    """How many children of labels may cost less than ``stop`` in the end, and the least bound."""
    children, least = 0, stop
    for label in labels:
        for j in range(len(p)):
            if not label[SET] >> j & 1:
                bound = _child(label, j, shortest, p, w, d, r, s)[2]
                children += bound < stop
                least = min(least, bound)
    return children, least


@kernel
def grow(labels, stop, shortest, children, origins, p, w, d, r, s):
    """Fill in these children, and the label and the job that each came from; O(n^2) per label."""
    row = 0
    for parent in range(len(labels)):
        label = labels[parent]
        for j in range(len(p)):
            if label[SET] >> j & 1:
                continue
            end, cost, bound = _child(label, j, shortest, p, w, d, r, s)
            if bound < stop:
                children[row, SET] = label[SET] | (1 << j)
                children[row, LAST] = j + 1
                children[row, END] = end
                children[row, COST] = cost
                origins[row] = parent, j
                row += 1


@kernel
def undominated(keys, labels):
    """Which labels, sorted by key, end and cost, no other of the same key dominates."""
    kept = np.zeros(len(labels), np.bool_)
    best = np.int64(0)
    for row in range(len(labels)):
        if row == 0 or keys[row] != keys[row - 1] or labels[row, COST] < best:
            kept[row] = True
            best = labels[row, COST]
    return kept
