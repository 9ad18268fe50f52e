"""The transition of a single task graph: Numba kernels over the arrays of ``SoCDagSimulator``.

In every kernel ``b`` is a row, ``s`` its slot, ``i`` a task, ``p`` a PE, ``r`` a place for a ready
task (it keeps its place until it is scheduled, so that nothing moves); action ``r m + p``.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np

from .kernels import VIEW_FIELDS, array_struct, kernel, part

# The arrays, and what stands in their last axis.
# ``problems`` (S, 8)
NUM_TASKS, NUM_PES, INSERTION, UPPER_BOUND, LEAST_WORK, ROOT_BOUND = range(6)
# ``constants`` (S, 2): 1 / unit of time, unit of the rewards
PER_UNIT, SCALE = range(2)
# ``keys`` (S, n, 4) f8, in units of time
RANK_UP, MEAN_RUN_TIME, STATIC_LEVEL = range(3)
# ``pairs`` (S, n, M, 2) i8: run time (-1: unsupported) and tail
RUN_TIME, TAIL = range(2)
# ``progress`` (B, 8)
REMAINING, MAKESPAN, WORK_LEFT, NUM_READY, OPENED, BUSY, STRIDE = range(7)
# ``pes`` (B, M, 2)
AVAILABLE, COUNT = range(2)

#: Stands for "not supported" among bounds.
NEVER = 2**60

#: Number of the minimal columns.
NUM_MINIMAL = 7

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "pairs", "keys", "optimistic", "blockers", "first_out"),
    *("targets", "transfers"),
    *("slot", "progress", "pes", "ready_at", "waits", "places", "order", "bounds", "timeline"),
    *("pe", "start"),
    *VIEW_FIELDS,
)

SoCDagArrays = array_struct("SoCDagArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return SoCDagArrays(*arrays)


@kernel
def width(num_tasks, first_out, targets, order):
    """Most tasks of which none precedes another; exact, O(n^3 / 64) at worst.

    Dilworth's theorem with a maximum matching in the transitive closure (Fulkerson 1956).
    """
    words = (num_tasks + 63) // 64
    after = np.zeros((num_tasks, words), np.uint64)
    one = np.uint64(1)
    for at in range(num_tasks - 1, -1, -1):
        i = order[at]
        for e in range(first_out[i], first_out[i + 1]):
            j = targets[e]
            after[i, j >> 6] |= one << np.uint64(j & 63)
            for word in range(words):
                after[i, word] |= after[j, word]
    mate_of = np.full(num_tasks, -1)  # of each task, the one matched to come before it
    mate = np.full(num_tasks, -1)
    parent = np.full(num_tasks, -1)
    queue = np.zeros(num_tasks, np.int64)
    unseen = np.zeros(words, np.uint64)
    matched = 0
    for root in range(num_tasks):
        unseen[:] = ~np.uint64(0)
        queue[0], head, tail, end = root, 0, 1, -1
        while head < tail and end < 0:
            i = queue[head]
            head += 1
            for word in range(words):
                fresh = after[i, word] & unseen[word]
                unseen[word] &= ~fresh
                bit = 0
                while fresh != 0 and end < 0:
                    while (fresh & one) == 0:
                        fresh >>= one
                        bit += 1
                    j = word * 64 + bit
                    parent[j] = i
                    if mate_of[j] < 0:
                        end = j
                    else:
                        queue[tail] = mate_of[j]
                        tail += 1
                    fresh >>= one
                    bit += 1
        if end >= 0:
            matched += 1
            while end >= 0:
                i = parent[end]
                end_before = mate[i]
                mate_of[end] = i
                mate[i] = end
                end = end_before if i != root else -1
    return num_tasks - matched


@kernel
def begin(a, rows, skip_forced):
    """Reset the given rows to the start of their instances; O(n m) per row."""
    world = (a.problems, a.constants, a.pairs, a.keys, a.optimistic)
    graph = (a.first_out, a.targets, a.transfers)
    state = (a.progress, a.pes, a.ready_at, a.waits, a.places, a.order, a.bounds, a.timeline)
    plan = (a.pe, a.start)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    for b in rows:
        s = a.slot[b]
        _clear_all(b, state, view)
        a.value[b] = _reset(b, s, a.blockers, world, state, plan, view)
        a.scale[b] = a.constants[s, SCALE]
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        value = _decide(b, s, a.value[b], skip_forced, world, graph, state, plan, view)
        a.value[b] = a.initial_value[b] = value
        _write_globals(b, s, value, value, world, state, view)
        a.done[b] = a.num_available[b] == 0


@kernel
def advance(a, actions, skip_forced):
    """Play one action in every row; O(ready tasks x M + successors x M) per decision."""
    world = (a.problems, a.constants, a.pairs, a.keys, a.optimistic)
    graph = (a.first_out, a.targets, a.transfers)
    state = (a.progress, a.pes, a.ready_at, a.waits, a.places, a.order, a.bounds, a.timeline)
    plan = (a.pe, a.start)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    mask, slot, value, reward, done, scale = (
        a.action_mask, a.slot, a.value, a.reward, a.done, a.scale,
    )  # fmt: skip
    num_available, initial_value = a.num_available, a.initial_value
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        action, s, before = actions[b], slot[b], value[b]
        if 0 <= action < mask.shape[1] and mask[b, action] != 0:
            after = _schedule(b, s, action, np.int64(before), world, graph, state, plan, view)
            after = _decide(b, s, after, skip_forced, world, graph, state, plan, view)
            value[b] = after
            _write_globals(b, s, after, initial_value[b], world, state, view)
        else:
            _clear_all(b, state, view)
            num_available[b] = 0
            value[b] = max(np.float64(a.problems[s, UPPER_BOUND]), before)
            a.infeasible[b] = 1
        done[b] = num_available[b] == 0
        reward[b] = (before - value[b]) / scale[b]


@part
def _clear_all(b, state, view):
    """Take all candidates out of the view."""
    places = state[4]
    for r in range(places.shape[1]):
        if places[b, r] >= 0:
            _clear_place(b, r, state, view)
    view[1][b, :] = 0.0


@part
def _clear_place(b, r, state, view):
    places, stride = state[4], state[0][b, STRIDE]
    candidates, _, mask, nodes, _, _ = view
    places[b, r] = -1
    for a in range(r * stride, (r + 1) * stride):
        mask[b, a] = 0
        for column in range(candidates.shape[2]):
            candidates[b, a, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, a, kind] = -1


@part
def _reset(b, s, blockers, world, state, plan, view):
    """Write the initial state of a row; returns its root bound."""
    problems = world[0]
    progress, pes, ready_at, waits, places, _, _, _ = state
    pe, start = plan
    n, m = problems[s, NUM_TASKS], problems[s, NUM_PES]
    progress[b, REMAINING] = n
    progress[b, STRIDE] = m
    progress[b, MAKESPAN] = progress[b, NUM_READY] = progress[b, OPENED] = progress[b, BUSY] = 0
    progress[b, WORK_LEFT] = problems[s, LEAST_WORK]
    for p in range(m):
        pes[b, p, AVAILABLE] = pes[b, p, COUNT] = 0
    for r in range(places.shape[1]):
        places[b, r] = -1
    pe[b, :] = -1
    start[b, :] = -1
    bound = problems[s, ROOT_BOUND]
    for i in range(n):
        waits[b, i] = blockers[s, i]
        for p in range(m):
            ready_at[b, i, p] = 0
    for i in range(n):
        if waits[b, i] == 0:
            bound = _open(b, s, i, bound, world, state, view)
    return bound


@part
def _open(b, s, i, bound, world, state, view):
    """Give a task that has become ready a place; returns the bound that it implies."""
    problems, _, pairs, keys, optimistic = world
    progress, _, ready_at, _, places, order, bounds, _ = state
    candidates, _, mask, nodes, _, _ = view
    m, per_unit = problems[s, NUM_PES], world[1][s, PER_UNIT]
    r = 0
    while places[b, r] >= 0:
        r += 1
    places[b, r] = i
    order[b, r] = progress[b, OPENED]
    progress[b, OPENED] += 1
    progress[b, NUM_READY] += 1
    full = candidates.shape[2] > NUM_MINIMAL
    for p in range(m):
        w = pairs[s, i, p, RUN_TIME]
        bounds[b, r, p] = NEVER
        if w < 0:
            continue
        a = r * m + p
        mask[b, a] = 1
        c = candidates[b, a]
        c[0] = w * per_unit
        c[3] = ready_at[b, i, p] * per_unit
        c[5] = pairs[s, i, p, TAIL] * per_unit
        if full:
            c[7] = keys[s, i, RANK_UP]
            c[8] = keys[s, i, MEAN_RUN_TIME]
            c[9] = keys[s, i, STATIC_LEVEL]
            c[10] = optimistic[s, i, p]
            c[11] = order[b, r]
        if nodes.shape[2] == 2:
            nodes[b, a, 0] = i
            nodes[b, a, 1] = ready_at.shape[1] + p
        _time(b, s, r, p, world, state, view)
    return max(bound, _settle(b, s, r, world, state, view))


@part
def _time(b, s, r, p, world, state, view):
    """Write what depends on when a PE is free: columns 1, 2, 4 and 6, and the bound."""
    problems, constants, pairs, _, _ = world
    _, pes, ready_at, _, places, _, bounds, timeline = state
    candidates, _, _, _, _, _ = view
    i, per_unit = places[b, r], constants[s, PER_UNIT]
    w = pairs[s, i, p, RUN_TIME]
    at = max(ready_at[b, i, p], pes[b, p, AVAILABLE])
    if problems[s, INSERTION]:
        at = _earliest(ready_at[b, i, p], w, pes[b, p, COUNT], timeline[b, p])
    bound = at + w + pairs[s, i, p, TAIL]
    bounds[b, r, p] = bound
    c = candidates[b, r * problems[s, NUM_PES] + p]
    c[1] = at * per_unit
    c[2] = (at + w) * per_unit
    c[4] = pes[b, p, AVAILABLE] * per_unit
    c[6] = bound * per_unit


@part
def _earliest(ready, w, count, timeline):
    """First time from ``ready`` on at which a task of length ``w`` fits between those there."""
    at = ready
    for k in range(count):
        if at + w <= timeline[k, 0]:
            break
        at = max(at, timeline[k, 1])
    return at


@part
def _settle(b, s, r, world, state, view):
    """The least bound among the PEs of a ready task; writes the gaps of its finish times."""
    problems = world[0]
    bounds = state[6]
    candidates, _, mask, _, _, _ = view
    m, least = problems[s, NUM_PES], NEVER
    first = r * m
    for p in range(m):
        least = min(least, bounds[b, r, p])
    if candidates.shape[2] > NUM_MINIMAL:
        best = np.float32(np.inf)
        for a in range(first, first + m):
            if mask[b, a]:
                best = min(best, candidates[b, a, 2])
        for a in range(first, first + m):
            if mask[b, a]:
                candidates[b, a, 12] = candidates[b, a, 2] - best
    return least


@part
def _schedule(b, s, action, bound, world, graph, state, plan, view):
    """Place a ready task on a PE and open its successors; returns the bound."""
    problems, _, pairs, _, _ = world
    first_out, targets, transfers = graph
    progress, pes, ready_at, waits, places, _, _, timeline = state
    pe, start = plan
    m = problems[s, NUM_PES]
    r, p = action // m, action % m
    i = places[b, r]
    w = pairs[s, i, p, RUN_TIME]
    if problems[s, INSERTION]:
        at = _earliest(ready_at[b, i, p], w, pes[b, p, COUNT], timeline[b, p])
        _insert(b, p, at, at + w, pes, timeline)
    else:
        at = max(ready_at[b, i, p], pes[b, p, AVAILABLE])
    end = at + w
    pe[b, i] = p
    start[b, i] = at
    progress[b, BUSY] += w if problems[s, INSERTION] else end - pes[b, p, AVAILABLE]
    pes[b, p, AVAILABLE] = max(pes[b, p, AVAILABLE], end)
    progress[b, MAKESPAN] = max(progress[b, MAKESPAN], end)
    progress[b, REMAINING] -= 1
    progress[b, NUM_READY] -= 1
    least = NEVER
    for q in range(m):
        if pairs[s, i, q, RUN_TIME] >= 0:
            least = min(least, pairs[s, i, q, RUN_TIME])
    progress[b, WORK_LEFT] -= least
    bound = max(bound, end + pairs[s, i, p, TAIL])
    bound = max(bound, -(-(progress[b, BUSY] + progress[b, WORK_LEFT]) // m))
    _clear_place(b, r, state, view)
    left = progress[b, NUM_READY]
    k = 0
    while left > 0:
        j = places[b, k]
        if j >= 0:
            left -= 1
            if pairs[s, j, p, RUN_TIME] >= 0:
                _time(b, s, k, p, world, state, view)
                bound = max(bound, _settle(b, s, k, world, state, view))
        k += 1
    for e in range(first_out[s, i], first_out[s, i + 1]):
        j = targets[s, e]
        for q in range(m):
            ready_at[b, j, q] = max(ready_at[b, j, q], end + transfers[s, e, p, q])
        waits[b, j] -= 1
        if waits[b, j] == 0:
            bound = _open(b, s, j, bound, world, state, view)
    return bound


@part
def _insert(b, p, at, end, pes, timeline):
    """Put an interval into the timeline of a PE, which is ordered by start and end."""
    k = pes[b, p, COUNT]
    while k > 0 and (
        timeline[b, p, k - 1, 0] > at
        or (timeline[b, p, k - 1, 0] == at and timeline[b, p, k - 1, 1] > end)
    ):
        timeline[b, p, k, 0] = timeline[b, p, k - 1, 0]
        timeline[b, p, k, 1] = timeline[b, p, k - 1, 1]
        k -= 1
    timeline[b, p, k, 0] = at
    timeline[b, p, k, 1] = end
    pes[b, p, COUNT] += 1


@part
def _decide(b, s, bound, skip_forced, world, graph, state, plan, view):
    """List the candidates, playing forced decisions on the way if asked; returns the bound."""
    problems = world[0]
    progress, _, _, _, places, _, _, _ = state
    _, _, mask, _, available, num_available = view
    m = problems[s, NUM_PES]
    while True:
        count, left, r = 0, progress[b, NUM_READY], 0
        while left > 0:
            if places[b, r] >= 0:
                left -= 1
                first = r * m
                for a in range(first, first + m):
                    available[b, count] = a
                    count += mask[b, a]
            r += 1
        if count != 1 or not skip_forced:
            break
        bound = _schedule(b, s, available[b, 0], bound, world, graph, state, plan, view)
    num_available[b] = count
    return bound


@part
def _write_globals(b, s, value, initial_value, world, state, view):
    problems, constants, _, _, _ = world
    progress, pes, _, _, _, _, _, _ = state
    columns, num_available = view[1], view[5]
    n, m, per_unit = problems[s, NUM_TASKS], problems[s, NUM_PES], constants[s, PER_UNIT]
    first, total = pes[b, 0, AVAILABLE], 0
    for p in range(m):
        first = min(first, pes[b, p, AVAILABLE])
        total += pes[b, p, AVAILABLE]
    columns[b, 0] = (n - progress[b, REMAINING]) / n
    columns[b, 1] = progress[b, NUM_READY]
    columns[b, 2] = num_available[b]
    columns[b, 3] = progress[b, MAKESPAN] * per_unit
    columns[b, 4] = value * per_unit
    columns[b, 5] = (value - initial_value) / constants[s, SCALE]
    columns[b, 6] = first * per_unit
    columns[b, 7] = total * per_unit / m
    columns[b, 8] = progress[b, WORK_LEFT] * per_unit / m
