"""The transition of Lawler's decomposition: kernels over ``TardinessDecomposeSimulator``'s arrays.

In every kernel ``b`` is a row and ``s`` its slot. Jobs are numbered by due date (EDD), so that a
list in EDD order is ascending. An open list is a *segment*: the positions ``first..end-1`` of the
final sequence, filled with its jobs in EDD order. Putting the longest job to place ``r`` of its
segment is then a rotation, which leaves an open segment on either side.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np

from .kernels import VIEW_FIELDS, array_struct, kernel, part

# The arrays, and what stands in their last axis.
# ``problems`` (S, 2)
NUM_JOBS, UPPER_BOUND = range(2)
# ``constants`` (S, 2): 1 / unit of time, unit of the rewards
PER_TIME, SCALE = range(2)
# ``jobs`` (S, n, 3), by due date; NUMBER is that of the instance
TIME, DUE, NUMBER = range(3)
# ``stack`` (B, n + 1, 3), of open segments; the last one is decided next; START is its first time
FIRST, END, START = range(3)
# ``progress`` (B, 2): number of open segments, number of jobs in them
OPEN, OPEN_JOBS = range(2)
# ``places`` (B, 5, n), of the places of the longest job in the segment: the cost of the segment,
# with the others in EDD order; of the jobs before it; its completion; the cost by modified due
# dates; and room for a list of jobs
TOTAL, BEFORE, COMPLETION, ESTIMATE, LIST = range(5)

#: Number of the minimal columns.
NUM_MINIMAL = 11

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "jobs"),
    *("slot", "order", "stack", "progress", "places"),
    *VIEW_FIELDS,
)

DecomposeArrays = array_struct("DecomposeArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return DecomposeArrays(*arrays)


@kernel
def begin(a, rows, skip_forced):
    """Reset the given rows: all jobs are one open segment."""
    world = (a.problems, a.constants, a.jobs)
    state = (a.order, a.stack, a.progress, a.places)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, jobs, order, stack, progress = a.problems, a.jobs, a.order, a.stack, a.progress
    value, initial_value = a.value, a.initial_value
    for b in rows:
        s = a.slot[b]
        _clear(b, view)
        n = problems[s, NUM_JOBS]
        for k in range(n):
            order[b, k] = k
        stack[b, 0, FIRST], stack[b, 0, END], stack[b, 0, START] = 0, n, 0
        progress[b, OPEN], progress[b, OPEN_JOBS] = 1, n
        initial_value[b] = _bound(b, s, 0, n, 0, jobs, order)
        a.scale[b] = a.constants[s, SCALE]
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        root = initial_value[b]
        value[b] = _decide(b, s, root, root, skip_forced, world, state, view)
        initial_value[b] = value[b]
        a.done[b] = a.num_available[b] == 0


@kernel
def advance(a, actions, skip_forced):
    """Put the longest job of the open segment to a place in every row; O(its jobs) and more.

    The columns cost O(its jobs) per candidate; those about modified due dates O(its jobs^2), and
    only where there is a choice.
    """
    world = (a.problems, a.constants, a.jobs)
    state = (a.order, a.stack, a.progress, a.places)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, mask, slot, num_available = a.problems, a.action_mask, a.slot, a.num_available
    value, initial_value, infeasible = a.value, a.initial_value, a.infeasible
    reward, scale, done = a.reward, a.scale, a.done
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        r = actions[b]
        s = slot[b]
        before = value[b]
        feasible = 0 <= r < problems[s, NUM_JOBS] and mask[b, r] != 0
        _clear(b, view)
        if feasible:
            rise = _place(b, s, r, world, state)
            value[b] = _decide(
                b, s, before + rise, initial_value[b], skip_forced, world, state, view
            )
        else:
            value[b] = max(np.float64(problems[s, UPPER_BOUND]), before)
            infeasible[b] = 1
        done[b] = num_available[b] == 0
        reward[b] = (before - value[b]) / scale[b]


@part
def _clear(b, view):
    """Take the last decision's candidates out of the view."""
    candidates, _, mask, nodes, available, num_available = view
    for i in range(num_available[b]):
        r = available[b, i]
        mask[b, r] = 0
        for column in range(candidates.shape[2]):
            candidates[b, r, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, r, kind] = -1
    num_available[b] = 0


@part
def _bound(b, s, first, end, start, jobs, order):
    """The tardiness of the jobs in positions ``first..end-1`` if each began at ``start``."""
    bound = 0
    for at in range(first, end):
        k = order[b, at]
        bound += max(0, start + jobs[s, k, TIME] - jobs[s, k, DUE])
    return bound


@part
def _cost(b, s, first, end, start, jobs, order):
    """The tardiness of the jobs in positions ``first..end-1``, from ``start`` on in this order."""
    cost = 0
    for at in range(first, end):
        k = order[b, at]
        start += jobs[s, k, TIME]
        cost += max(0, start - jobs[s, k, DUE])
    return cost


@part
def _longest(b, s, first, end, jobs, order):
    """Position of the longest job of a segment; of equally long ones, the one due last."""
    found = first
    for at in range(first + 1, end):
        if jobs[s, order[b, at], TIME] >= jobs[s, order[b, found], TIME]:
            found = at
    return found


@part
def _place(b, s, r, world, state):
    """Put the longest job of the open segment to its place ``r``; returns the rise of the value."""
    _, _, jobs = world
    order, stack, progress, _ = state
    depth = progress[b, OPEN] - 1
    first, end, start = stack[b, depth, FIRST], stack[b, depth, END], stack[b, depth, START]
    at = _longest(b, s, first, end, jobs, order)
    longest = order[b, at]
    for position in range(at, first + r):
        order[b, position] = order[b, position + 1]
    order[b, first + r] = longest
    middle = start
    for position in range(first, first + r + 1):
        middle += jobs[s, order[b, position], TIME]
    due, time = jobs[s, longest, DUE], jobs[s, longest, TIME]
    rise = max(0, middle - due) - max(0, start + time - due)
    rise += _bound(b, s, first + r + 1, end, middle, jobs, order)
    rise -= _bound(b, s, first + r + 1, end, start, jobs, order)
    progress[b, OPEN_JOBS] -= 1
    if first + r + 1 < end:
        stack[b, depth, FIRST], stack[b, depth, START] = first + r + 1, middle
        depth += 1
    if r > 0:
        stack[b, depth, FIRST], stack[b, depth, END] = first, first + r
        stack[b, depth, START] = start
        depth += 1
    progress[b, OPEN] = depth
    return rise


@part
def _close(b, s, world, state):
    """Close the open segment if its optimum is plain; returns the rise of the value, or -1.

    In EDD order, with at most one tardy job: no order has a smaller largest tardiness. By
    processing time, where every job is late wherever it comes: the completion times count.
    """
    _, _, jobs = world
    order, stack, progress, _ = state
    depth = progress[b, OPEN] - 1
    first, end, start = stack[b, depth, FIRST], stack[b, depth, END], stack[b, depth, START]
    now, late, tardy = start, 0, 0
    for at in range(first, end):
        time, due = jobs[s, order[b, at], TIME], jobs[s, order[b, at], DUE]
        now += time
        tardy += now > due
        late += start + time >= due
    if tardy > 1 and late < end - first:
        return -1
    if tardy > 1:
        for at in range(first + 1, end):  # insertion sort
            k, to = order[b, at], at
            while to > first and jobs[s, order[b, to - 1], TIME] > jobs[s, k, TIME]:
                order[b, to] = order[b, to - 1]
                to -= 1
            order[b, to] = k
    progress[b, OPEN] = depth
    progress[b, OPEN_JOBS] -= end - first
    bound = _bound(b, s, first, end, start, jobs, order)
    return _cost(b, s, first, end, start, jobs, order) - bound


@part
def _decide(b, s, value, initial_value, skip_forced, world, state, view):
    """Write the next decision, closing segments on the way; returns the value of the state.

    The first segment of an episode is not closed, so that every episode has a decision.
    """
    problems, constants, jobs = world
    order, stack, progress, _ = state
    candidates, _, _, _, available, num_available = view
    while progress[b, OPEN] > 0:
        if progress[b, OPEN_JOBS] < problems[s, NUM_JOBS]:
            rise = _close(b, s, world, state)
            if rise >= 0:
                value += rise
                continue
        depth = progress[b, OPEN] - 1
        first, end = stack[b, depth, FIRST], stack[b, depth, END]
        start = stack[b, depth, START]
        at = _longest(b, s, first, end, jobs, order)
        count = _find_places(b, s, first, end, start, at, world, state, view)
        if count > 1 or not skip_forced:
            num_available[b] = count
            _write_places(
                b,
                s,
                first,
                end,
                start,
                at,
                constants[s, PER_TIME],
                1.0 / problems[s, NUM_JOBS],
                world,
                state,
                view,
            )
            if candidates.shape[2] > NUM_MINIMAL and count > 1:
                _write_estimates(
                    b, s, first, end, start, at, constants[s, PER_TIME], world, state, view
                )
            rise = (value - initial_value) / constants[s, SCALE]
            _write_globals(b, s, first, end, start, at, rise, world, state, view)
            return value
        value += _place(b, s, available[b, 0], world, state)
    return value


@part
def _find_places(b, s, first, end, start, at, world, state, view):
    """List the places of the longest job that Lawler's rules leave; O(jobs of the segment).

    Lawler 1977 (doi:10.1016/S0167-5060(08)70742-8): some optimal sequence has the longest job in
    a place ``r`` from its own in EDD order on, the jobs that EDD puts up to ``r`` before it and
    the others behind it. With ``C(r)`` its completion and ``T(r)`` the cost of EDD with it in
    place ``r``, not every optimum is lost without the places for which

    - ``C(r) <= d_i + p_i`` for a job ``i`` in between, due before place ``r``, or
    - ``T(r) >= T(i)`` for an earlier place ``i``, or ``T(r) > T(r + 1)``

    (Potts and Van Wassenhove 1982, doi:10.1016/0167-6377(82)90035-9, state these and others; the
    two suffice, as in the program of Shang, T'kindt and Della Croce, vtkindt/1-dj-Sum-Tj).
    """
    _, _, jobs = world
    order, _, _, places = state
    _, _, _, _, available, _ = view
    longest = order[b, at]
    time, due = jobs[s, longest, TIME], jobs[s, longest, DUE]
    now, before = start, 0
    for position in range(first, at):
        k = order[b, position]
        now += jobs[s, k, TIME]
        before += max(0, now - jobs[s, k, DUE])
    now += time
    total = before + max(0, now - due)
    total += _cost(b, s, at + 1, end, now, jobs, order)
    places[b, TOTAL, at - first] = total
    places[b, BEFORE, at - first] = before
    places[b, COMPLETION, at - first] = now
    for position in range(at + 1, end):
        k, r = order[b, position], position - first
        end_of_longest = now
        now += jobs[s, k, TIME]
        moved = max(0, now - time - jobs[s, k, DUE])
        before += moved
        total += moved - max(0, now - jobs[s, k, DUE])
        total += max(0, now - due) - max(0, end_of_longest - due)
        places[b, TOTAL, r] = total
        places[b, BEFORE, r] = before
        places[b, COMPLETION, r] = now
    count = 0
    least, latest = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for r in range(at - first, end - first):
        total = places[b, TOTAL, r]
        if (
            total < least
            and places[b, COMPLETION, r] > latest
            and (first + r + 1 == end or total <= places[b, TOTAL, r + 1])
        ):
            available[b, count] = r
            count += 1
        least = min(least, total)
        if r > at - first:
            k = order[b, first + r]
            latest = max(latest, jobs[s, k, DUE] + jobs[s, k, TIME])
    return count


@part
def _write_places(b, s, first, end, start, at, per_time, per_job, world, state, view):
    """Columns 0-10; O(jobs of the segment) per candidate."""
    _, _, jobs = world
    order, _, _, places = state
    candidates, _, mask, nodes, available, num_available = view
    longest, last = order[b, at], end - first - 1
    least = places[b, TOTAL, available[b, num_available[b] - 1]]
    work = places[b, COMPLETION, last] - start
    for i in range(num_available[b]):
        r = available[b, i]
        c = candidates[b, r]
        completion, before = places[b, COMPLETION, r], places[b, BEFORE, r]
        tardiness = max(0, completion - jobs[s, longest, DUE])
        bound = _bound(b, s, first, first + r + 1, start, jobs, order)
        if first + r >= at:
            bound -= max(0, start + jobs[s, longest, TIME] - jobs[s, longest, DUE])
        c[0] = (first + r - at) * per_job
        c[1] = r * per_job
        c[2] = (last - r) * per_job
        c[3] = (completion - start) * per_time
        c[4] = (work - completion + start) * per_time
        c[5] = tardiness * per_time
        c[6] = (places[b, TOTAL, r] - least) * per_time
        c[7] = before * per_time
        c[8] = (places[b, TOTAL, r] - before - tardiness) * per_time
        c[9] = bound * per_time
        c[10] = _bound(b, s, first + r + 1, end, completion, jobs, order) * per_time
        mask[b, r] = 1
        if nodes.shape[2] == 2:
            nodes[b, r, 0] = jobs[s, longest, NUMBER]
            nodes[b, r, 1] = jobs[s, order[b, first + r], NUMBER]


@part
def _write_estimates(b, s, first, end, start, at, per_time, world, state, view):
    """Columns 11-13: both sides by modified due dates; O(jobs of the segment^2) per candidate."""
    _, _, jobs = world
    order, _, _, places = state
    candidates, _, _, _, available, num_available = view
    due, least = jobs[s, order[b, at], DUE], np.iinfo(np.int64).max
    for i in range(num_available[b]):
        r = available[b, i]
        count = 0
        for position in range(first, first + r + 1):
            if position != at:
                places[b, LIST, count] = order[b, position]
                count += 1
        left = _mdd_cost(b, s, count, start, jobs, places)
        count = 0
        for position in range(first + r + 1, end):
            places[b, LIST, count] = order[b, position]
            count += 1
        right = _mdd_cost(b, s, count, places[b, COMPLETION, r], jobs, places)
        estimate = left + right + max(0, places[b, COMPLETION, r] - due)
        places[b, ESTIMATE, r] = estimate
        least = min(least, estimate)
        candidates[b, r, 11] = left * per_time
        candidates[b, r, 12] = right * per_time
    for i in range(num_available[b]):
        r = available[b, i]
        candidates[b, r, 13] = (places[b, ESTIMATE, r] - least) * per_time


@part
def _mdd_cost(b, s, count, now, jobs, places):
    """The cost of the first ``count`` jobs of the list, by modified due date, then length."""
    cost = 0
    while count:
        chosen, key, shortest = 0, np.iinfo(np.int64).max, 0
        for i in range(count):
            k = places[b, LIST, i]
            time = jobs[s, k, TIME]
            modified = max(now + time, jobs[s, k, DUE])
            if modified < key or (modified == key and time < shortest):
                chosen, key, shortest = i, modified, time
        now += shortest
        cost += max(0, now - jobs[s, places[b, LIST, chosen], DUE])
        count -= 1
        for i in range(chosen, count):
            places[b, LIST, i] = places[b, LIST, i + 1]
    return cost


@part
def _write_globals(b, s, first, end, start, at, rise, world, state, view):
    """The global columns; O(jobs of the segment)."""
    problems, constants, jobs = world
    order, _, progress, _ = state
    _, columns, _, _, _, num_available = view
    n, size, per_time = problems[s, NUM_JOBS], end - first, constants[s, PER_TIME]
    longest = order[b, at]
    work = due = tardy = 0
    for position in range(first, end):
        k = order[b, position]
        work += jobs[s, k, TIME]
        due += jobs[s, k, DUE]
        tardy += start + work > jobs[s, k, DUE]
    first_due, last_due = jobs[s, order[b, first], DUE], jobs[s, order[b, end - 1], DUE]
    columns[b, 0] = 1.0 - progress[b, OPEN_JOBS] / n
    columns[b, 1] = progress[b, OPEN]
    columns[b, 2] = num_available[b]
    columns[b, 3] = size / n
    columns[b, 4] = start * per_time
    columns[b, 5] = work * per_time
    columns[b, 6] = jobs[s, longest, TIME] * per_time
    columns[b, 7] = (jobs[s, longest, DUE] - start) * per_time
    columns[b, 8] = (at - first) / size
    columns[b, 9] = tardy / size
    columns[b, 10] = 1.0 - (due / size - start) / work
    columns[b, 11] = (last_due - first_due) / work
    columns[b, 12] = rise
