"""List scheduling of task graphs: Numba kernels, one schedule at a time.

``g`` is a tuple of arrays, as ``soc_dag_lists.py`` makes it: run times ``w`` (n, m), -1 where a PE
does not support a task; the edges by target and by source, each as where they begin, the other
task, and the number of the edge; and transfer times (E, m, m). ``plan`` is the schedule so far:
PE, start and end of each task; and per PE the number of its intervals, and these in order.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np
from numba import njit

NEVER = 2**60

#: Rules of :func:`pairs`.
MIN_EFT, MAX_MIN, SUFFERAGE, MCT, MET, OLB, ETF, DLS = range(8)


@njit(cache=True, nogil=True)
def empty_plan(n, m):
    """A schedule without tasks."""
    return (
        np.full(n, -1, np.int64),
        np.full(n, -1, np.int64),
        np.full(n, -1, np.int64),
        np.zeros(m, np.int64),
        np.zeros((m, n, 2), np.int64),
    )


@njit(cache=True, nogil=True)
def data_ready(i, p, g, plan):
    """When the data of the scheduled predecessors of task ``i`` are on PE ``p``; O(in-degree)."""
    _, in_first, in_task, in_edge, _, _, _, c = g
    pe, _, end, _, _ = plan
    at = 0
    for k in range(in_first[i], in_first[i + 1]):
        j = in_task[k]
        if pe[j] >= 0:
            at = max(at, end[j] + c[in_edge[k], pe[j], p])
    return at


@njit(cache=True, nogil=True)
def earliest(ready, w, p, insertion, plan):
    """First time from ``ready`` on at which PE ``p`` can run a task of length ``w``."""
    _, _, _, count, intervals = plan
    n = count[p]
    if n == 0:
        return ready
    last = intervals[p, n - 1, 1]
    if not insertion or ready >= last:
        return max(ready, last)
    low, high = 0, n  # skip what ends before: intervals are ordered, and so are their ends
    while low < high:
        middle = (low + high) // 2
        if intervals[p, middle, 1] <= ready:
            low = middle + 1
        else:
            high = middle
    at = ready
    for k in range(low, n):
        if at + w <= intervals[p, k, 0]:
            return at
        at = max(at, intervals[p, k, 1])
    return at


@njit(cache=True, nogil=True)
def place(i, p, at, w, plan):
    """Put task ``i`` on PE ``p``."""
    pe, start, end, count, intervals = plan
    pe[i], start[i], end[i] = p, at, at + w
    k = count[p]
    while k > 0 and (
        intervals[p, k - 1, 0] > at
        or (intervals[p, k - 1, 0] == at and intervals[p, k - 1, 1] > at + w)
    ):
        intervals[p, k] = intervals[p, k - 1]
        k -= 1
    intervals[p, k, 0], intervals[p, k, 1] = at, at + w
    count[p] += 1


@njit(cache=True, nogil=True)
def remove(i, plan):
    """Take task ``i`` out of the schedule."""
    pe, start, end, count, intervals = plan
    p = pe[i]
    k = 0
    while intervals[p, k, 0] != start[i] or intervals[p, k, 1] != end[i]:
        k += 1
    for at in range(k, count[p] - 1):
        intervals[p, at] = intervals[p, at + 1]
    count[p] -= 1
    pe[i] = start[i] = end[i] = -1


@njit(cache=True, nogil=True)
def best_pe(i, g, insertion, plan, extra):
    """The PE of least finish time plus ``extra[p]``, the lowest in ties, and the start there."""
    w = g[0]
    best, best_p, best_at = np.inf, -1, 0
    for p in range(w.shape[1]):
        if w[i, p] >= 0:
            at = earliest(data_ready(i, p, g, plan), w[i, p], p, insertion, plan)
            score = at + w[i, p] + extra[p]
            if score < best:
                best, best_p, best_at = score, p, at
    return best_p, best_at


@njit(cache=True, nogil=True)
def in_order(order, g, insertion):
    """HEFT's second phase: each task of the order goes to the PE of least finish time."""
    w = g[0]
    n, m = w.shape
    plan, nothing = empty_plan(n, m), np.zeros(m)
    for i in order:
        p, at = best_pe(i, g, insertion, plan, nothing)
        place(i, p, at, w[i, p], plan)
    return plan


@njit(cache=True, nogil=True)
def by_priority(priority, position, cost, fixed, g):
    """Ready tasks by priority, each on the PE of least finish plus cost; CPOP and PEFT.

    ``cost`` is (n, m); ``fixed`` (n,) is the PE that a task must go to, or -1. Ties of the
    priority go to the lower ``position``.
    """
    w, _, _, _, out_first, out_task, _, _ = g
    in_first = g[1]
    n, m = w.shape
    plan = empty_plan(n, m)
    waits = in_first[1:] - in_first[:-1]
    ready = waits == 0
    for _ in range(n):
        i = -1
        for j in range(n):
            if ready[j] and (
                i < 0
                or priority[j] > priority[i]
                or (priority[j] == priority[i] and position[j] < position[i])
            ):
                i = j
        ready[i] = False
        p = fixed[i]
        if p >= 0:
            at = earliest(data_ready(i, p, g, plan), w[i, p], p, True, plan)
        else:
            p, at = best_pe(i, g, True, plan, cost[i])
        place(i, p, at, w[i, p], plan)
        for k in range(out_first[i], out_first[i + 1]):
            waits[out_task[k]] -= 1
            if waits[out_task[k]] == 0:
                ready[out_task[k]] = True
    return plan


@njit(cache=True, nogil=True)
def lookahead(order, position, g):
    """HEFT whose PE is the one from which the last of the task's children could finish first.

    Bittencourt, Sakellariou and Madeira 2010 (doi:10.1109/PDP.2010.56): the children are placed
    tentatively, in the order of their ranks, with the data of the predecessors placed so far.
    """
    w, _, _, _, out_first, out_task, _, _ = g
    n, m = w.shape
    plan, nothing = empty_plan(n, m), np.zeros(m)
    for i in order:
        children = out_task[out_first[i] : out_first[i + 1]].copy()
        children = children[np.argsort(position[children])]
        best, best_own, best_p, best_at = NEVER, NEVER, -1, 0
        for p in range(m):
            if w[i, p] < 0:
                continue
            at = earliest(data_ready(i, p, g, plan), w[i, p], p, True, plan)
            place(i, p, at, w[i, p], plan)
            score = 0
            for j in children:
                q, then = best_pe(j, g, True, plan, nothing)
                place(j, q, then, w[j, q], plan)
                score = max(score, then + w[j, q])
            for j in children:
                remove(j, plan)
            remove(i, plan)
            own = at + w[i, p]
            if len(children) == 0:
                score = own
            if score < best or (score == best and own < best_own):
                best, best_own, best_p, best_at = score, own, p, at
        place(i, best_p, best_at, w[i, best_p], plan)
    return plan


@njit(cache=True, nogil=True)
def pairs(rule, level, mean, g):
    """The rules that look at all ready tasks and PEs at once, without insertion.

    MCT, MET and OLB take the ready task of the lowest number; elsewhere ties go to the task that
    became ready first, then to the lower PE. ``level`` is the static
    level, ``mean`` the mean run time of each task.
    """
    w, _, _, _, out_first, out_task, _, _ = g
    n, m = w.shape
    plan = empty_plan(n, m)
    waits = g[1][1:] - g[1][:-1]
    ready = np.zeros(n, np.int64)
    count = 0
    for i in range(n):
        if waits[i] == 0:
            ready[count] = i
            count += 1
    while count > 0:
        best, best_tie, best_k, best_p, best_at = -np.inf, -np.inf, -1, -1, 0
        first = ready[:count].argmin() if rule in (MCT, MET, OLB) else -1
        for k in range(count):
            if first >= 0 and k != first:
                continue
            i = ready[k]
            p, at, score, tie = _choose(rule, i, level, mean, g, plan)
            if score > best or (score == best and tie > best_tie):
                best, best_tie, best_k, best_p, best_at = score, tie, k, p, at
        i = ready[best_k]
        for k in range(best_k, count - 1):
            ready[k] = ready[k + 1]
        count -= 1
        place(i, best_p, best_at, w[i, best_p], plan)
        for k in range(out_first[i], out_first[i + 1]):
            j = out_task[k]
            waits[j] -= 1
            if waits[j] == 0:
                ready[count] = j
                count += 1
    return plan


@njit(cache=True, nogil=True)
def _choose(rule, i, level, mean, g, plan):
    """The PE that a rule wants for a ready task; the start there, the task's score, a tie-break."""
    w, m = g[0], g[0].shape[1]
    _, _, _, count, intervals = plan
    best, best_p, best_at, second, finish = np.inf, -1, 0, np.inf, 0
    for p in range(m):
        if w[i, p] < 0:
            continue
        at = earliest(data_ready(i, p, g, plan), w[i, p], p, False, plan)
        free = intervals[p, count[p] - 1, 1] if count[p] > 0 else 0
        cost = float(at + w[i, p])
        if rule == MET:
            cost = float(w[i, p])
        elif rule == OLB:
            cost = float(free)
        elif rule == ETF:
            cost = float(at)
        elif rule == DLS:
            cost = at + w[i, p] - mean[i]
        if cost < best:
            second, best = best, cost
            best_p, best_at, finish = p, at, at + w[i, p]
        else:
            second = min(second, cost)
    if rule == MAX_MIN:
        return best_p, best_at, best, 0.0
    if rule == SUFFERAGE:
        gap = second - best if second < np.inf else np.inf
        return best_p, best_at, gap, -float(finish)
    if rule == DLS:
        return best_p, best_at, level[i] - best, 0.0
    return best_p, best_at, -best, level[i] if rule == ETF else 0.0
