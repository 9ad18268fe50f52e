"""Relaxations of weighted tardiness in which jobs may be repeated: Numba kernels.

Job after job is done until all the time is used up, though some jobs may be left out and others be
repeated. A multiplier ``mu_j`` pays for each visit of job ``j``, so that ``sum_j mu_j`` plus the
cost of the cheapest such path, ``f_j(t) - mu_j`` for each job and when it ends, is a lower bound.

So that neighbours can be told apart, a state keeps its best value and the best one by another
neighbour: ``value[.., 0]`` and ``value[.., 1]``, with the neighbours ``by[.., 0]`` and
``by[.., 1]``. Whoever has the first neighbour takes the second value.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np
from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")

_NEVER = np.inf
_NONE = -1


# The chain: a state is a time, at which a job ends; no job follows itself. ``f`` (P + 1, n) are
# costs, ``alive`` (P + 1, n) says which jobs may end at a time. A pass takes O(n P).


@kernel
def chain_forward(alive, p, f, mu, value, by):
    """The cheapest paths from the beginning to each time, by the last job; returns the cheapest."""
    value[:] = _NEVER
    by[:] = _NONE
    value[0, 0] = 0.0
    for t in range(1, len(alive)):
        for j in range(len(p)):
            if alive[t, j]:
                s = t - p[j]
                v = value[s, 1 if by[s, 0] == j else 0] + f[t, j] - mu[j]
                if v < value[t, 0]:
                    value[t, 1], by[t, 1] = value[t, 0], by[t, 0]
                    value[t, 0], by[t, 0] = v, j
                elif v < value[t, 1]:
                    value[t, 1], by[t, 1] = v, j
    return value[len(alive) - 1, 0]


@kernel
def chain_backward(alive, p, f, mu, value, by):
    """The cheapest paths from each time to the end, by the first job."""
    last = len(alive) - 1
    value[:] = _NEVER
    by[:] = _NONE
    value[last, 0] = 0.0
    for t in range(last - 1, -1, -1):
        for j in range(len(p)):
            end = t + p[j]
            if end <= last and alive[end, j]:
                v = value[end, 1 if by[end, 0] == j else 0] + f[end, j] - mu[j]
                if v < value[t, 0]:
                    value[t, 1], by[t, 1] = value[t, 0], by[t, 0]
                    value[t, 0], by[t, 0] = v, j
                elif v < value[t, 1]:
                    value[t, 1], by[t, 1] = v, j


@kernel
def chain_path(p, by, path):
    """Write the jobs of the cheapest path into ``path``, the last one first; returns how many."""
    t, after, count = len(by) - 1, _NONE, 0
    while t > 0:
        j = by[t, 1 if by[t, 0] == after else 0]
        path[count] = after = j
        count += 1
        t -= p[j]
    return count


@kernel
def chain_prune(limit, alive, p, f, mu, value, by, value2, by2):
    """Drop what lies only on paths of more than ``limit``; returns how much is left."""
    left = 0
    for t in range(1, len(alive)):
        for j in range(len(p)):
            if alive[t, j]:
                s = t - p[j]
                before = value[s, 1 if by[s, 0] == j else 0]
                after = value2[t, 1 if by2[t, 0] == j else 0]
                alive[t, j] = before + f[t, j] - mu[j] + after <= limit
                left += alive[t, j]
    return left


@kernel
def _forbidden(i, j, t, p, f, known):
    """Whether ``j`` need not follow ``i``, which ends at ``t``.

    Because of what is known, or because the two would be better off exchanged, or as well off if
    ``i`` has the higher number. Of the optimal sequences that respect what is known, the
    lexicographically smallest has no such neighbours.
    """
    if i == j or known[j, i]:
        return True
    end, begin = t + p[j], t - p[i]
    now = f[t, i] + f[end, j]
    then = f[begin + p[j], j] + f[end, i]
    return then < now or (then == now and i > j and not known[i, j])


@kernel
def build(limit, known, alive, number, p, f, mu, value, by, value2, by2, sources):
    """The arcs between pairs of job and end that may lie on a path of at most ``limit``.

    Args:
        limit: See above.
        known: ``(n, n)`` whether a job is to precede another.
        alive: See above.
        number: ``(P + 1, n)`` number of the node of each pair; 0 is the beginning, and the end
            comes last.
        p: Processing times.
        f: Costs.
        mu: Multipliers.
        value: Of :func:`chain_forward`.
        by: Likewise.
        value2: Of :func:`chain_backward`.
        by2: Likewise.
        sources: ``(a,)`` filled with the sources of the arcs, by target; or empty.

    Returns:
        ``(v + 1,)`` where the arcs into each node begin in ``sources``, and how many there are.
    """
    last, n = len(alive) - 1, len(p)
    nodes = 2 + alive.sum()
    first = np.zeros(nodes + 1, np.int64)
    fill = len(sources) > 0
    arcs = 0
    for end in range(1, last + 1):
        for j in range(n):
            if not alive[end, j]:
                continue
            first[number[end, j]] = arcs
            t = end - p[j]
            if t == 0:
                if fill:
                    sources[arcs] = 0
                arcs += 1
                continue
            left = limit - f[end, j] + mu[j] - value2[end, 1 if by2[end, 0] == j else 0]
            for i in range(n):
                if not alive[t, i] or _forbidden(i, j, t, p, f, known):
                    continue
                s = t - p[i]
                if value[s, 1 if by[s, 0] == i else 0] + f[t, i] - mu[i] <= left:
                    if fill:
                        sources[arcs] = number[t, i]
                    arcs += 1
    first[nodes - 1] = arcs
    for j in range(n):
        if alive[last, j]:
            if fill:
                sources[arcs] = number[last, j]
            arcs += 1
    first[nodes] = arcs
    return first


# A graph: a node is a job that ends at a time, perhaps after certain jobs; any three in a row
# differ. ``job`` (v,) is n at the beginning and n + 1 at the end, ``cost`` (v,) does not count
# multipliers, and the arcs into node ``u`` come from ``sources[first[u] : first[u + 1]]``. Nodes
# are in the order of ``time`` (v,); ``mu`` (n + 2,) is 0 for the two. A pass takes O(a), a arcs.


@kernel
def graph_forward(job, time, cost, first, sources, mu, value, by):
    """As :func:`chain_forward`, and returns the same; ``by`` (v, 2) are nodes."""
    value[0] = 0.0, _NEVER
    by[0] = _NONE
    for u in range(1, len(job)):
        best, second, one, two = _NEVER, _NEVER, _NONE, _NONE
        j = job[u]
        for arc in range(first[u], first[u + 1]):
            s = sources[arc]
            v = value[s, 0]
            if v >= second:
                continue
            if by[s, 0] >= 0 and job[by[s, 0]] == j:
                v = value[s, 1]
            if v < best:
                if one >= 0 and job[one] != job[s]:
                    second, two = best, one
                best, one = v, s
            elif v < second and job[one] != job[s]:
                second, two = v, s
        own = cost[u] - mu[j]
        value[u, 0], value[u, 1] = best + own, second + own
        by[u, 0], by[u, 1] = one, two
    return value[len(job) - 1, 0]


@kernel
def graph_backward(job, time, cost, first, sources, mu, value, by):
    """As :func:`chain_backward`; ``by`` (v, 2) are jobs."""
    last = len(job) - 1
    value[:] = _NEVER
    by[:] = _NONE
    value[last, 0] = 0.0
    for u in range(last, 0, -1):
        j = job[u]
        own = cost[u] - mu[j]
        for arc in range(first[u], first[u + 1]):
            s = sources[arc]
            v = own + (value[u, 1] if by[u, 0] == job[s] else value[u, 0])
            if v < value[s, 0]:
                if by[s, 0] != j:
                    value[s, 1], by[s, 1] = value[s, 0], by[s, 0]
                value[s, 0], by[s, 0] = v, j
            elif v < value[s, 1] and by[s, 0] != j:
                value[s, 1], by[s, 1] = v, j


@kernel
def graph_path(job, by, path):
    """As :func:`chain_path`."""
    u, after, count = by[len(job) - 1, 0], _NONE, 0
    while u > 0:
        before = by[u, 0]
        if before > 0 and job[before] == after:
            before = by[u, 1]
        path[count] = after = job[u]
        count += 1
        u = before
    return count


@kernel
def graph_prune(limit, job, time, cost, first, sources, mu, value, by, value2, by2):
    """Drop the arcs on which every path costs more than ``limit``, and nodes without arcs.

    Returns:
        The smaller graph, or one without nodes where no path is left.
    """
    last = len(job) - 1
    keep = np.zeros(len(sources), np.bool_)
    used = np.zeros(len(job), np.bool_)
    used[last] = True
    arcs = 0
    for u in range(last, 0, -1):
        if not used[u]:
            continue
        j = job[u]
        own = cost[u] - mu[j]
        for arc in range(first[u], first[u + 1]):
            s = sources[arc]
            before = value[s, 1] if by[s, 0] >= 0 and job[by[s, 0]] == j else value[s, 0]
            after = value2[u, 1] if by2[u, 0] == job[s] else value2[u, 0]
            if before + own + after <= limit:
                keep[arc] = used[s] = True
                arcs += 1
    return _compact(arcs, keep, used, job, time, cost, first, sources)


@kernel
def _compact(arcs, keep, used, job, time, cost, first, sources):
    """The graph of the nodes and arcs that are kept; without nodes if the beginning is not."""
    nodes = used.sum() if used[0] else 0
    if nodes == 0:
        arcs = 0
    job2, time2 = np.empty(nodes, job.dtype), np.empty(nodes, time.dtype)
    cost2 = np.empty(nodes, cost.dtype)
    first2 = np.zeros(nodes + 1, first.dtype)
    sources2 = np.empty(arcs, sources.dtype)
    if nodes == 0:
        return job2, time2, cost2, first2, sources2
    number = np.full(len(job), _NONE, np.int64)
    u2 = arc2 = 0
    for u in range(len(job)):
        if not used[u]:
            continue
        number[u] = u2
        job2[u2], time2[u2], cost2[u2], first2[u2] = job[u], time[u], cost[u], arc2
        u2 += 1
        for arc in range(first[u], first[u + 1]):
            if keep[arc]:
                sources2[arc2] = number[sources[arc]]
                arc2 += 1
    first2[nodes] = arc2
    return job2, time2, cost2, first2, sources2


@kernel
def split(m, known, job, time, cost, first, sources):
    """The graph in which every path visits job ``m`` once: nodes before it and after it part.

    Node ``u`` becomes ``(u, 0)`` and ``(u, 1)``, numbered ``2 u`` and ``2 u + 1``, as far as they
    lie on a path and agree with what is known.
    """
    nodes = len(job)
    reached = np.zeros(2 * nodes, np.bool_)
    reached[0] = True
    for u in range(1, nodes):
        j = job[u]
        for arc in range(first[u], first[u + 1]):
            s = sources[arc]
            if j == m:
                reached[2 * u + 1] |= reached[2 * s]
                continue
            reached[2 * u] |= reached[2 * s]
            reached[2 * u + 1] |= reached[2 * s + 1]
        if j < len(known) and j != m:
            reached[2 * u] &= not known[m, j]
            reached[2 * u + 1] &= not known[j, m]
    useful = np.zeros(2 * nodes, np.bool_)
    useful[2 * nodes - 1] = reached[2 * nodes - 1]
    arcs = 0
    for u in range(nodes - 1, 0, -1):
        for half in range(2):
            if not useful[2 * u + half]:
                continue
            for arc in range(first[u], first[u + 1]):
                source = 2 * sources[arc] + half - (job[u] == m)
                if reached[source]:
                    useful[source] = True
                    arcs += 1
    count = useful.sum()
    job2, time2 = np.empty(count, job.dtype), np.empty(count, time.dtype)
    cost2 = np.empty(count, cost.dtype)
    first2 = np.zeros(count + 1, first.dtype)
    sources2 = np.empty(arcs, sources.dtype)
    number = np.full(2 * nodes, _NONE, np.int64)
    u2 = arc2 = 0
    for u in range(nodes):
        for half in range(2):
            if not useful[2 * u + half]:
                continue
            number[2 * u + half] = u2
            job2[u2], time2[u2], cost2[u2], first2[u2] = job[u], time[u], cost[u], arc2
            u2 += 1
            for arc in range(first[u], first[u + 1]):
                source = 2 * sources[arc] + half - (job[u] == m)
                if reached[source]:
                    sources2[arc2] = number[source]
                    arc2 += 1
    first2[count] = arc2
    return job2, time2, cost2, first2, sources2


@kernel
def shared(known, job, time, cost, first, sources):
    """``(n,)`` how many nodes a split would part at most: those that are open to both halves."""
    n = len(known)
    low, high = np.full(n, time[-1]), np.zeros(n, np.int64)
    for u in range(1, len(job) - 1):
        low[job[u]] = min(low[job[u]], time[u])
        high[job[u]] = max(high[job[u]], time[u])
    count = np.zeros(n, np.int64)
    for u in range(1, len(job) - 1):
        j = job[u]
        for m in range(n):
            inside = low[m] < time[u] < high[m]
            count[m] += inside and j != m and not (known[j, m] or known[m, j])
    return count
