"""kube-scheduler's scores, in its own integer arithmetic: every division truncates.

Plain scalar code over small arrays, compiled by Numba where it is used. The formulas are those of
``pkg/scheduler/framework/plugins``; a score lies between 0 and 100.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import math

from numba import njit

#: Scoring strategies of NodeResourcesFit.
LEAST, MOST, RATIO = range(3)

#: Releases of BalancedAllocation and spreading: up to 1.23, up to 1.32, up to 1.35, from 1.36 on.
V1_23, V1_32, V1_33, V1_36 = 123, 132, 133, 136

jit = njit(cache=True, nogil=True, error_model="numpy")


@jit
def fit_score(strategy, requested, capacity, weights, shape):
    """NodeResourcesFit: the weighted mean over resources, of LeastAllocated and so on.

    Args:
        strategy: ``LEAST``, ``MOST`` or ``RATIO`` (RequestedToCapacityRatio).
        requested: ``(D,)`` requests on the node with the pod.
        capacity: ``(D,)`` allocatable; a resource with 0 is skipped.
        weights: ``(D,)``.
        shape: ``(M, 2)`` points of the broken line, with scores up to 100; for ``RATIO``.
    """
    total = weight = 0
    for d in range(len(requested)):
        r, a = requested[d], capacity[d]
        if a == 0:
            continue
        if strategy == LEAST:
            score = 0 if r > a else (a - r) * 100 // a
        elif strategy == MOST:
            score = min(r, a) * 100 // a
        else:
            score = broken_line(100 if r > a else r * 100 // a, shape)
            if score == 0:
                continue
        total += score * weights[d]
        weight += weights[d]
    if weight == 0:
        return 0
    if strategy == RATIO:
        return math.floor(total / weight + 0.5)  # rounds half up
    return total // weight


@jit
def broken_line(x, shape):
    """A piecewise linear function through points, constant outside; truncates towards zero."""
    if x <= shape[0, 0]:
        return shape[0, 1]
    for m in range(1, len(shape)):
        if x <= shape[m, 0]:
            x0, y0, x1, y1 = shape[m - 1, 0], shape[m - 1, 1], shape[m, 0], shape[m, 1]
            rise = (y1 - y0) * (x - x0)
            step = rise // (x1 - x0) if rise >= 0 else -(-rise // (x1 - x0))
            return y0 + step
    return shape[len(shape) - 1, 1]


@jit
def _evenness(requested, extra, capacity):
    """``int((1 - std) * 100)`` of the resources' shares, each at most 1."""
    count, total, squares = 0, 0.0, 0.0
    first = second = 0.0
    for d in range(len(requested)):
        if capacity[d] == 0:
            continue
        share = min((requested[d] + extra[d]) / capacity[d], 1.0)
        if count == 0:
            first = share
        elif count == 1:
            second = share
        total += share
        count += 1
    if count == 2:
        std = abs((first - second) / 2)
    elif count > 2:
        mean = total / count
        for d in range(len(requested)):
            if capacity[d] != 0:
                share = min((requested[d] + extra[d]) / capacity[d], 1.0)
                squares += (share - mean) * (share - mean)
        std = math.sqrt(squares / count)
    else:
        std = 0.0
    return int((1.0 - std) * 100.0)


@jit
def balance_score(version, requested, pod, capacity):
    """NodeResourcesBalancedAllocation.

    Args:
        version: From ``V1_36`` on, 75 means as even with the pod as without.
        requested: ``(D,)`` requests on the node without the pod.
        pod: ``(D,)`` the pod's requests.
        capacity: ``(D,)`` allocatable.
    """
    score = _evenness(requested, pod, capacity)
    if version < V1_36:
        return score
    before = _evenness(requested, pod * 0, capacity)
    change = 50 + score - before
    return 50 + (change // 2 if change >= 0 else -(-change // 2))


@jit
def normalise(scores, reverse):
    """DefaultNormalizeScore, in place: ``100 s / max``; reversed, 100 minus that."""
    largest = 0
    for at in range(len(scores)):
        largest = max(largest, scores[at])
    for at in range(len(scores)):
        if largest == 0:
            scores[at] = 100 if reverse else scores[at]
            continue
        score = 100 * scores[at] // largest
        scores[at] = 100 - score if reverse else score


@jit
def spread_term(count, weight, max_skew):
    """What a constraint adds to a node's raw PodTopologySpread score."""
    return count * weight + (max_skew - 1)


@jit
def spread_weight(size):
    """Weight of a constraint with so many domains among the candidates."""
    return math.log(size + 2)


@jit
def spread_round(raw, version):
    """The raw score as an integer: truncated up to 1.23, rounded later."""
    return int(raw) if version <= V1_23 else math.floor(raw + 0.5)


@jit
def spread_normalise(scores, ignored):
    """PodTopologySpread, in place: the least raw score becomes 100; ignored nodes get 0."""
    least, most = 2**62, 0
    for at in range(len(scores)):
        if not ignored[at]:
            least = min(least, scores[at])
            most = max(most, scores[at])
    for at in range(len(scores)):
        if ignored[at]:
            scores[at] = 0
        elif most == 0:
            scores[at] = 100
        else:
            scores[at] = 100 * (most + least - scores[at]) // most


@jit
def num_nodes_to_find(num_nodes, percentage):
    """How many feasible nodes end the search; 0 percent: adaptive, ``max(5, 50 - n / 125)``."""
    if num_nodes < 100 or percentage >= 100:
        return num_nodes
    if percentage == 0:
        percentage = max(50 - num_nodes // 125, 5)
    return max(num_nodes * percentage // 100, 100)
