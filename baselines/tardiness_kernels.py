"""Sequences of single-machine jobs by the rules of the field: Numba kernels.

In every kernel ``j`` is a job, ``k`` a position, ``p``, ``d``, ``w``, ``r`` are the jobs'
processing times, due dates, weights and release dates, ``s[i + 1, j]`` is the setup of ``j`` after
``i`` (row 0: as the first job); ``r`` and ``s`` are empty where the instance has none.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import math

import numpy as np
from numba import njit

EDD, SPT, WSPT, MST, MDD, WMDD, PSK, MDDC, ATC, AU, COVERT, MONTAGNE = range(12)

#: Stands for a weight of 0 in a ratio or a logarithm.
NO_WEIGHT = 1e-9


@njit(cache=True, nogil=True)
def _priority(rule, look_ahead, p, d, w, t, mean, longest, work):
    """The priority of a job at time ``t``; the largest goes first.

    ``mean`` is that of the processing times that the rule scales by, ``longest`` and ``work`` are
    the longest one and the sum of those of the unscheduled jobs.
    """
    if rule == EDD:
        return -d
    if rule == SPT:
        return -p
    if rule == WSPT:
        return w / p
    if rule == MST:
        return -(d - p)
    if rule in (MDD, PSK):
        return -max(p + t, d)
    if rule == WMDD:
        return -max(p, d - t) / max(w, NO_WEIGHT)
    if rule == MDDC:
        ratio = min(p / (t + longest), 1.0)
        square = ratio * ratio
        inflated = max(1.1 * p + t, d) * (1.0 + square / (1.0 + square))
        return -(inflated + p / (t + mean))
    slack = max(d - p - t, 0.0)
    if rule in (ATC, AU):
        return math.log(max(w, NO_WEIGHT) / p) - slack / (look_ahead * mean)
    if rule == COVERT:
        return w / p * max(1.0 - slack / (look_ahead * p), 0.0)
    return w * (work - (d - t)) / p


@njit(cache=True, nogil=True)
def _wins_tie(rule, p, d, other_p, other_d):
    """Whether a job goes before one of the same priority and a lower number."""
    if rule == PSK:
        return p < other_p
    return rule in (MDDC, COVERT) and d < other_d


@njit(cache=True, nogil=True)
def choose(rule, look_ahead, left, previous, t, p, d, w, r, s):
    """Which of the jobs ``left`` (in ascending order) goes next, as an index into them; O(n).

    ``previous`` is the row of ``s`` that holds the setups. If no job is released, the rule decides
    as of the first release. A setup counts as part of its job's processing.
    """
    now, work, longest = t, 0, 0
    if r.size:
        first = r[left[0]]
        for j in left:
            first = min(first, r[j])
        now = max(now, first)
    for j in left:
        work += p[j]
        longest = max(longest, p[j])
    mean = p.sum() / len(p) if rule == AU else work / len(left)
    best, highest, best_length = -1, -np.inf, 0.0
    for i in range(len(left)):
        j = left[i]
        if r.size and r[j] > now:
            continue
        length = float(p[j])
        if s.size:
            length += s[previous, j]
        value = _priority(
            rule, look_ahead, length, float(d[j]), float(w[j]), float(now), mean, float(longest),
            float(work),
        )  # fmt: skip
        if best < 0 or value > highest:
            best, highest, best_length = i, value, length
        elif value == highest and _wins_tie(rule, length, d[j], best_length, d[left[best]]):
            best, best_length = i, length
    return best


@njit(cache=True, nogil=True)
def dispatch(rule, look_ahead, p, d, w, durations, r, s):
    """The sequence in which the job of highest priority always goes next; O(n^2)."""
    n = len(p)
    sequence, left, t, previous = np.empty(n, np.int64), np.arange(n), 0, 0
    for k in range(n):
        best = choose(rule, look_ahead, left[: n - k], previous, t, p, d, w, r, s)
        j = left[best]
        for i in range(best, n - k - 1):
            left[i] = left[i + 1]
        t = _end(t, previous, j, durations, r, s)
        sequence[k], previous = j, j + 1
    return sequence


@njit(cache=True, nogil=True)
def _end(t, previous, j, p, r, s):
    """When job ``j`` ends if the machine is free from ``t`` on."""
    if r.size:
        t = max(t, r[j])
    if s.size:
        t += s[previous, j]
    return t + p[j]


@njit(cache=True, nogil=True)
def _moved(sequence, i, k, last, begin, p, d, w, r, s):
    """Cost of the positions ``i..last`` from time ``begin`` on, once ``i`` has moved to ``k``."""
    t, previous, cost = begin, sequence[i - 1] + 1 if i else 0, 0
    for q in range(i, last + 1):
        j = sequence[q + 1] if q < k else sequence[i] if q == k else sequence[q]
        t = _end(t, previous, j, p, r, s)
        cost += w[j] * max(t - d[j], 0)
        previous = j + 1
    return cost


@njit(cache=True, nogil=True)
def relocate(sequence, k, last, p, d, w, r, s):
    """Move the earlier job to position ``k`` that saves most until position ``last``; O(k last).

    Returns whether a move saves anything; the sequence is changed in place.
    """
    begin = np.empty(last + 2, np.int64)
    cost, tardy = np.zeros(last + 2, np.int64), np.zeros(last + 2, np.int64)  # from a position on
    begin[0] = previous = 0
    for q in range(last + 1):
        begin[q + 1] = _end(begin[q], previous, sequence[q], p, r, s)
        previous = sequence[q] + 1
    for q in range(last, -1, -1):
        j = sequence[q]
        late = max(begin[q + 1] - d[j], 0)
        cost[q] = cost[q + 1] + w[j] * late
        tardy[q] = tardy[q + 1] + (w[j] if late else 0)
    best, most = -1, 0
    for i in range(k):
        j = sequence[i]
        if not r.size and not s.size:  # tardy jobs gain p at most, and job j's loss is known
            loss = w[j] * (max(begin[k + 1] - d[j], 0) - max(begin[i + 1] - d[j], 0))
            if p[j] * tardy[i + 1] - loss <= most:
                continue
        saved = cost[i] - _moved(sequence, i, k, last, begin[i], p, d, w, r, s)
        if saved > most:
            best, most = i, saved
    if best < 0:
        return False
    job = sequence[best]
    for q in range(best, k):
        sequence[q] = sequence[q + 1]
    sequence[k] = job
    return True


@njit(cache=True, nogil=True)
def completion(sequence, k, p, r, s):
    """When the job in position ``k`` ends."""
    t = previous = 0
    for q in range(k + 1):
        t = _end(t, previous, sequence[q], p, r, s)
        previous = sequence[q] + 1
    return t


@njit(cache=True, nogil=True)
def insert_early(sequence, p, d):
    """The insertion pass of EDDC over a sequence, in place; O(n^2).

    From every position backwards: of two neighbours the later one goes first if it is due earlier
    and the other one is not yet due where it begins.
    """
    before = p[sequence[0]]  # the work before position j, whose i jobs stay the same below
    for i in range(1, len(sequence)):
        work, length = before, p[sequence[i]]
        for j in range(i, 0, -1):
            job, other = sequence[j], sequence[j - 1]
            if d[job] >= d[other]:
                break
            if d[other] > work:
                sequence[j - 1], sequence[j] = job, other
            work -= p[other]
        before += length


@njit(cache=True, nogil=True)
def _first_of_two(i, j, t, p, d):
    """Whether ``i`` goes before ``j`` at ``t``: by due date if one may be in time, else by p."""
    if t + max(p[i], p[j]) <= max(d[i], d[j]):
        return d[i] <= d[j]
    return p[i] <= p[j]


@njit(cache=True, nogil=True)
def interchange(sequence, p, d, patience):
    """Interchange neighbours, in place, until all stand as :func:`_first_of_two` asks.

    From front to back, with a step back after each interchange; at most ``patience`` of them.
    """
    k = t = 0  # position, and when its job begins
    while k < len(sequence) - 1:
        job, other = sequence[k], sequence[k + 1]
        if patience <= 0 or _first_of_two(job, other, t, p, d):
            k, t = k + 1, t + p[job]
            continue
        sequence[k], sequence[k + 1] = other, job
        patience -= 1
        if k:
            k, t = k - 1, t - p[sequence[k - 1]]
