"""The transition of improving a sequence: kernels over ``TardinessImproveSimulator``'s arrays.

In every kernel ``b`` is a row, ``s`` its slot, ``j`` a job, ``k`` and ``q`` positions.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np

from .kernels import VIEW_FIELDS, array_struct, kernel, part

# The arrays, and what stands in their last axis.
# ``problems`` (S, 4)
NUM_JOBS, MOVES, UPPER_BOUND = range(3)
# ``constants`` (S, 3): 1 / unit of time, 1 / unit of weight, unit of the rewards
PER_TIME, PER_WEIGHT, SCALE = range(3)
# ``jobs`` (S, n, 3)
TIME, DUE, WEIGHT = range(3)
# ``progress`` (B, 3): moves that are left; the job that is to move, -1 before the choice; the cost
MOVES_LEFT, CHOSEN, COST = range(3)

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "jobs", "first"),
    *("slot", "order", "ends", "place", "progress"),
    *VIEW_FIELDS,
)

ImproveArrays = array_struct("ImproveArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return ImproveArrays(*arrays)


@kernel
def begin(a, rows, skip_forced):
    """Reset the given rows to the first sequence of their instances; O(n^2) for the gains."""
    world = (a.problems, a.constants, a.jobs)
    state = (a.order, a.ends, a.place, a.progress)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, order, progress, initial_value = a.problems, a.order, a.progress, a.initial_value
    for b in rows:
        s = a.slot[b]
        _clear(b, view)
        n = problems[s, NUM_JOBS]
        for k in range(n):
            order[b, k] = a.first[s, k]
        progress[b, MOVES_LEFT] = problems[s, MOVES]
        progress[b, CHOSEN] = -1
        progress[b, COST] = 0
        progress[b, COST] = _timed(b, s, 0, n - 1, world, state)
        a.value[b] = initial_value[b] = progress[b, COST]
        a.scale[b] = a.constants[s, SCALE]
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        _decide(b, s, skip_forced, initial_value[b], world, state, view)
        a.done[b] = a.num_available[b] == 0


@kernel
def advance(a, actions, skip_forced):
    """Choose a job or its move in every row; O(n^2) per decision for the exact gains."""
    world = (a.problems, a.constants, a.jobs)
    state = (a.order, a.ends, a.place, a.progress)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, progress, mask, slot = a.problems, a.progress, a.action_mask, a.slot
    value, initial_value, num_available = a.value, a.initial_value, a.num_available
    reward, scale, infeasible, done = a.reward, a.scale, a.infeasible, a.done
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        action = actions[b]
        s = slot[b]
        before = value[b]
        feasible = 0 <= action < 2 * problems[s, NUM_JOBS] + 1 and mask[b, action] != 0
        _clear(b, view)
        if feasible:
            _play(b, s, action, world, state)
            _decide(b, s, skip_forced, initial_value[b], world, state, view)
            value[b] = progress[b, COST]
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
        action = available[b, i]
        mask[b, action] = 0
        for column in range(candidates.shape[2]):
            candidates[b, action, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, action, kind] = -1
    num_available[b] = 0


@part
def _timed(b, s, first, last, world, state):
    """Write places and completions of the positions ``first..last``; returns their cost."""
    _, _, jobs = world
    order, ends, place, _ = state
    end = ends[b, first - 1] if first > 0 else 0
    cost = 0
    for k in range(first, last + 1):
        j = order[b, k]
        end += jobs[s, j, TIME]
        ends[b, k] = end
        place[b, j] = k
        cost += jobs[s, j, WEIGHT] * max(0, end - jobs[s, j, DUE])
    return cost


@part
def _play(b, s, action, world, state):
    """Stop (0), choose a job (odd), swap the chosen one (odd) or insert it (even)."""
    _, _, jobs = world
    order, ends, place, progress = state
    if action == 0:
        progress[b, MOVES_LEFT] = 0
        return
    j, chosen = (action - 1) // 2, progress[b, CHOSEN]
    if chosen < 0:
        progress[b, CHOSEN] = j
        return
    k, q = place[b, chosen], place[b, j]
    first, last = min(k, q), max(k, q)
    before = 0
    for position in range(first, last + 1):
        before += _cost(s, order[b, position], ends[b, position], jobs)
    if action % 2:
        order[b, k], order[b, q] = j, chosen
    else:
        step = 1 if q > k else -1
        while k != q:
            order[b, k] = order[b, k + step]
            k += step
        order[b, q] = chosen
    progress[b, COST] += _timed(b, s, first, last, world, state) - before
    progress[b, CHOSEN] = -1
    progress[b, MOVES_LEFT] -= 1


@part
def _cost(s, j, end, jobs):
    """Weighted tardiness of job ``j`` if it ends then."""
    return jobs[s, j, WEIGHT] * max(0, end - jobs[s, j, DUE])


@part
def _decide(b, s, skip_forced, initial_value, world, state, view):
    """Write the next decision, playing forced ones on the way if asked."""
    problems, constants, _ = world
    _, _, _, progress = state
    n = problems[s, NUM_JOBS]
    while progress[b, MOVES_LEFT] > 0:
        if progress[b, CHOSEN] < 0:
            forced = n == 1
            action = 0
        else:
            forced = n == 2
            action = 1 + 2 * (1 - progress[b, CHOSEN])
        if forced and skip_forced:
            _play(b, s, action, world, state)
            continue
        per_time, per_weight = constants[s, PER_TIME], constants[s, PER_WEIGHT]
        per_cost = 1.0 / constants[s, SCALE]
        if progress[b, CHOSEN] < 0:
            _write_jobs(b, s, n, per_time, per_weight, per_cost, world, state, view)
        else:
            _write_moves(
                b, s, n, progress[b, CHOSEN], per_time, per_weight, per_cost, world, state, view
            )
        _write_globals(b, s, initial_value, world, state, view)
        return


@part
def _write_jobs(b, s, n, per_time, per_weight, per_cost, world, state, view):
    """The candidates of the first phase: to stop, or the job that moves; O(n^2)."""
    _, _, jobs = world
    order, ends, place, _ = state
    candidates, _, mask, nodes, available, num_available = view
    available[b, 0] = 0
    mask[b, 0] = 1
    candidates[b, 0, 0] = 1.0
    num_available[b] = 1
    if n == 1:
        return
    for j in range(n):
        k = place[b, j]
        _write_job(
            b, s, n, j, k, per_time, per_weight, per_cost, candidates[b, 1 + 2 * j], world, state
        )
        best, gain = np.iinfo(np.int64).min, _cost(s, j, ends[b, k], jobs)
        time = jobs[s, j, TIME]
        for q in range(k + 1, n):  # what stands behind moves ahead
            gain += _cost(s, order[b, q], ends[b, q], jobs)
            gain -= _cost(s, order[b, q], ends[b, q] - time, jobs)
            best = max(best, gain - _cost(s, j, ends[b, q], jobs))
        gain = _cost(s, j, ends[b, k], jobs)
        for step in range(k):
            q = k - 1 - step
            gain += _cost(s, order[b, q], ends[b, q], jobs)
            gain -= _cost(s, order[b, q], ends[b, q] + time, jobs)
            end = ends[b, q] - jobs[s, order[b, q], TIME] + time
            best = max(best, gain - _cost(s, j, end, jobs))
        candidates[b, 1 + 2 * j, 1] = best * per_cost
        mask[b, 1 + 2 * j] = 1
        available[b, 1 + j] = 1 + 2 * j
        if nodes.shape[2] == 2:
            nodes[b, 1 + 2 * j, 0] = j
    num_available[b] = 1 + n


@part
def _write_job(b, s, n, j, k, per_time, per_weight, per_cost, c, world, state):
    """Columns 4-9, of job ``j`` in position ``k``."""
    _, _, jobs = world
    _, ends, _, _ = state
    late = ends[b, k] - jobs[s, j, DUE]
    c[4] = jobs[s, j, TIME] * per_time
    c[5] = jobs[s, j, WEIGHT] * per_weight
    c[6] = -late * per_time
    c[7] = max(0, late) * per_time
    c[8] = _cost(s, j, ends[b, k], jobs) * per_cost
    c[9] = k / n


@part
def _write_moves(b, s, n, chosen, per_time, per_weight, per_cost, world, state, view):
    """The candidates of the second phase: swaps and insertions of the chosen job; O(n^2).

    An insertion next to the chosen job is the swap of the two, and not offered a second time.
    """
    _, _, jobs = world
    order, ends, place, _ = state
    candidates, _, mask, _, available, num_available = view
    k, time = place[b, chosen], jobs[s, chosen, TIME]
    shifted = 0  # by how much the jobs between lose when they make room for an insertion
    for step in range(1, n - k):
        q = k + step
        shifted += _cost(s, order[b, q], ends[b, q] - time, jobs)
        shifted -= _cost(s, order[b, q], ends[b, q], jobs)
        loss = shifted + _cost(s, chosen, ends[b, q], jobs)
        _write_move(b, s, k, q, chosen, loss, per_cost, n, world, state, view)
    shifted = 0
    for step in range(1, k + 1):
        q = k - step
        shifted += _cost(s, order[b, q], ends[b, q] + time, jobs)
        shifted -= _cost(s, order[b, q], ends[b, q], jobs)
        end = ends[b, q] - jobs[s, order[b, q], TIME] + time
        loss = shifted + _cost(s, chosen, end, jobs)
        _write_move(b, s, k, q, chosen, loss, per_cost, n, world, state, view)
    count = 0
    for action in range(1, 2 * n + 1):
        if mask[b, action]:
            j = (action - 1) // 2
            q = place[b, j]
            _write_job(
                b, s, n, j, q, per_time, per_weight, per_cost, candidates[b, action], world, state
            )
            available[b, count] = action
            count += 1
    num_available[b] = count


@part
def _write_move(b, s, k, q, chosen, loss, per_cost, n, world, state, view):
    """Columns 1-3 of the swap and of the insertion of the chosen job to position ``q``.

    ``loss`` is what the insertion costs more than before, but for the chosen job's cost before.
    """
    _, _, jobs = world
    order, ends, _, _ = state
    candidates, _, mask, nodes, _, _ = view
    j = order[b, q]
    swap, insertion = 1 + 2 * j, 2 + 2 * j
    before = _cost(s, chosen, ends[b, k], jobs)
    first, last = min(k, q), max(k, q)
    one, other = order[b, first], order[b, last]  # the later one comes first
    shift = jobs[s, other, TIME] - jobs[s, one, TIME]
    gain = _cost(s, one, ends[b, first], jobs) - _cost(s, one, ends[b, last], jobs)
    gain += _cost(s, other, ends[b, last], jobs) - _cost(s, other, ends[b, first] + shift, jobs)
    for position in range(first + 1, last):
        gain += _cost(s, order[b, position], ends[b, position], jobs)
        gain -= _cost(s, order[b, position], ends[b, position] + shift, jobs)
    candidates[b, swap, 1] = gain * per_cost
    candidates[b, swap, 2] = (q - k) / n
    mask[b, swap] = 1
    if last - first > 1:
        candidates[b, insertion, 1] = (before - loss) * per_cost
        candidates[b, insertion, 2] = (q - k) / n
        candidates[b, insertion, 3] = 1.0
        mask[b, insertion] = 1
    if nodes.shape[2] == 2:
        nodes[b, swap, 0], nodes[b, swap, 1] = j, chosen
        if last - first > 1:
            nodes[b, insertion, 0], nodes[b, insertion, 1] = j, chosen


@part
def _write_globals(b, s, initial_value, world, state, view):
    """The global columns; O(n)."""
    problems, constants, jobs = world
    order, ends, place, progress = state
    _, columns, _, _, _, num_available = view
    n, chosen = problems[s, NUM_JOBS], progress[b, CHOSEN]
    tardy = 0
    for k in range(n):
        tardy += ends[b, k] > jobs[s, order[b, k], DUE]
    columns[b, 0] = chosen >= 0
    columns[b, 1] = progress[b, MOVES_LEFT] / problems[s, MOVES]
    columns[b, 2] = num_available[b]
    columns[b, 3] = progress[b, COST] / constants[s, SCALE]
    columns[b, 4] = (initial_value - progress[b, COST]) / constants[s, SCALE]
    columns[b, 5] = tardy / n
    for column in range(6, 10):
        columns[b, column] = 0.0
    if chosen >= 0:
        k = place[b, chosen]
        columns[b, 6] = jobs[s, chosen, TIME] * constants[s, PER_TIME]
        columns[b, 7] = jobs[s, chosen, WEIGHT] * constants[s, PER_WEIGHT]
        columns[b, 8] = (jobs[s, chosen, DUE] - ends[b, k]) * constants[s, PER_TIME]
        columns[b, 9] = k / n
