"""The transition of single-machine dispatching: Numba kernels over ``TardinessSimulator``'s arrays.

In every kernel ``b`` is a row, ``s`` its slot, ``j`` a job.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np

from .kernels import VIEW_FIELDS, array_struct, kernel, part

MASKS = {"all": 0, "emmons": 1, "adjacent": 2}

# The arrays, and what stands in their last axis.
# ``problems`` (S, 8)
NUM_JOBS, MASK, RELEASES, SETUPS, WORK, UPPER_BOUND, ARRIVALS = range(7)
# ``constants`` (S, 3): 1 / unit of time, 1 / unit of weight, unit of the rewards
PER_TIME, PER_WEIGHT, SCALE = range(3)
# ``jobs`` (S, n, 8); HEAD is the time from release to completion at least; ranks are distinct
TIME, DUE, WEIGHT, RELEASE, REALISED, HEAD, EDD, SPT = range(8)
# ``keys`` (S, n, 4): in units, w / p, its logarithm and 1 / w; and 1 / 2 p
WSPT, LOG_WSPT, PER_OWN_WEIGHT, PER_TWO_TIMES = range(4)
# ``firsts`` (S, 3, n): how many jobs dominate a job, and are to precede it; the jobs by arrival
DOMINATED_BY, PRECEDED_BY, ORDER = range(3)
# ``clock`` (B, 9); BEFORE is the time before the last job. The first KNOWN of the waiting jobs have
# arrived (all, unless the row plays arrivals), and the last three are of these
NOW, BEFORE, LAST, COST, COUNT, KNOWN, WORK_LEFT, WEIGHT_LEFT, DUE_LEFT = range(9)
# ``counts`` (B, 4, n), of the known jobs: due earlier, shorter, dominating, to precede the job
EARLIER, SHORTER, DOMINATORS, BLOCKERS = range(4)

#: Number of the minimal columns.
NUM_MINIMAL = 7

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "jobs", "keys", "setups", "after", "firsts"),
    *("slot", "clock", "waiting", "counts", "sequence"),
    *VIEW_FIELDS,
)

TardinessArrays = array_struct("TardinessArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return TardinessArrays(*arrays)


@kernel
def sequence_cost(order, jobs, setups):
    """The cost of a sequence of expected processing times; O(n)."""
    end, cost, last = 0, 0, 0
    for j in order:
        end = max(end, jobs[j, RELEASE]) + setups[min(last, len(setups) - 1), j] + jobs[j, TIME]
        cost += jobs[j, WEIGHT] * max(0, end - jobs[j, DUE])
        last = j + 1
    return cost


@kernel
def count_dominators(jobs, num_jobs, found):
    """How many jobs dominate each job; O(n^2), once per instance."""
    for j in range(num_jobs):
        count = 0
        for i in range(num_jobs):
            count += _dominates(i, j, jobs)
        found[j] = count


@kernel
def begin(a, rows, skip_forced):
    """Reset the given rows to the start of their instances; O(n) per row."""
    world = (a.problems, a.constants, a.jobs, a.keys, a.setups, a.after)
    state = (a.clock, a.waiting, a.counts, a.sequence)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    value, initial_value, num_available = a.value, a.initial_value, a.num_available
    for b in rows:
        s = a.slot[b]
        _clear(b, view)
        _reset(b, s, a.firsts, world, state)
        initial_value[b] = _value(b, s, world, state)
        a.scale[b] = a.constants[s, SCALE]
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        value[b] = _decide(b, s, skip_forced, initial_value[b], world, state, view)
        initial_value[b] = value[b]
        a.done[b] = num_available[b] == 0


@kernel
def advance(a, actions, skip_forced):
    """Play one action in every row; O(n) per decision, and O(columns) per candidate."""
    world = (a.problems, a.constants, a.jobs, a.keys, a.setups, a.after)
    state = (a.clock, a.waiting, a.counts, a.sequence)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, mask, slot, num_available = a.problems, a.action_mask, a.slot, a.num_available
    value, initial_value, infeasible = a.value, a.initial_value, a.infeasible
    reward, scale, done = a.reward, a.scale, a.done
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        j = actions[b]
        s = slot[b]
        before = value[b]
        if 0 <= j < problems[s, NUM_JOBS] and mask[b, j] != 0:
            _clear_job(b, j, view)
            _schedule(b, s, j, world, state, view)
            value[b] = _decide(b, s, skip_forced, initial_value[b], world, state, view)
        else:
            _clear(b, view)
            value[b] = max(np.float64(problems[s, UPPER_BOUND]), before)
            infeasible[b] = 1
        done[b] = num_available[b] == 0
        reward[b] = (before - value[b]) / scale[b]


@part
def _clear(b, view):
    """Take the last decision's candidates out of the view."""
    _, _, _, _, available, num_available = view
    for i in range(num_available[b]):
        _clear_job(b, available[b, i], view)
    num_available[b] = 0


@part
def _clear_job(b, j, view):
    candidates, _, mask, nodes, _, _ = view
    mask[b, j] = 0
    for column in range(candidates.shape[2]):
        candidates[b, j, column] = 0.0
    for kind in range(nodes.shape[2]):
        nodes[b, j, kind] = -1


@part
def _dominates(i, j, jobs):
    """Whether job ``i`` is no longer, due no later and no lighter than ``j`` (ties by number)."""
    shorter, longer = jobs[i, TIME] < jobs[j, TIME], jobs[i, TIME] > jobs[j, TIME]
    earlier, later = jobs[i, DUE] < jobs[j, DUE], jobs[i, DUE] > jobs[j, DUE]
    heavier, lighter = jobs[i, WEIGHT] > jobs[j, WEIGHT], jobs[i, WEIGHT] < jobs[j, WEIGHT]
    return (not (longer | later | lighter)) & (shorter | earlier | heavier | (i < j))


@part
def _reset(b, s, firsts, world, state):
    """Write the initial state of a row."""
    problems, _, jobs, _, _, _ = world
    clock, waiting, counts, sequence = state
    n = problems[s, NUM_JOBS]
    clock[b] = 0
    clock[b, LAST] = -1
    for j in range(n):
        waiting[b, j] = firsts[s, ORDER, j]
        sequence[b, j] = -1
    if problems[s, ARRIVALS]:
        return
    weight = due = 0
    for j in range(n):
        counts[b, EARLIER, j] = jobs[s, j, EDD]
        counts[b, SHORTER, j] = jobs[s, j, SPT]
        counts[b, DOMINATORS, j] = firsts[s, DOMINATED_BY, j]
        counts[b, BLOCKERS, j] = firsts[s, PRECEDED_BY, j]
        weight += jobs[s, j, WEIGHT]
        due += jobs[s, j, DUE]
    clock[b, KNOWN] = n
    clock[b, WORK_LEFT] = problems[s, WORK]
    clock[b, WEIGHT_LEFT] = weight
    clock[b, DUE_LEFT] = due


@part
def _arrive(b, s, count_all, world, state):
    """Let the jobs arrive that are released by now, or, if none waits, wait for the next.

    O(known jobs) per arrival, if all is counted.
    """
    problems, _, jobs, _, _, _ = world
    clock, waiting, counts, _ = state
    waits, known = problems[s, NUM_JOBS] - clock[b, COUNT], clock[b, KNOWN]
    if known == 0:
        clock[b, NOW] = max(clock[b, NOW], jobs[s, waiting[b, 0], RELEASE])
    while known < waits and jobs[s, waiting[b, known], RELEASE] <= clock[b, NOW]:
        j = waiting[b, known]
        clock[b, WORK_LEFT] += jobs[s, j, TIME]
        clock[b, WEIGHT_LEFT] += jobs[s, j, WEIGHT]
        clock[b, DUE_LEFT] += jobs[s, j, DUE]
        counts[b, :, j] = 0
        for i in range(known if count_all else 0):
            k = waiting[b, i]
            due_later, longer = jobs[s, j, EDD] < jobs[s, k, EDD], jobs[s, j, SPT] < jobs[s, k, SPT]
            counts[b, EARLIER, k] += due_later
            counts[b, EARLIER, j] += not due_later
            counts[b, SHORTER, k] += longer
            counts[b, SHORTER, j] += not longer
            counts[b, DOMINATORS, k] += _dominates(j, k, jobs[s])
            counts[b, DOMINATORS, j] += _dominates(k, j, jobs[s])
        known += 1
    clock[b, KNOWN] = known


@part
def _schedule(b, s, j, world, state, view):
    """Let job ``j`` follow the last one, and take it from the waiting jobs."""
    problems, _, jobs, _, setups, after = world
    clock, waiting, counts, sequence = state
    candidates, _, _, _, _, _ = view
    start = max(clock[b, NOW], jobs[s, j, RELEASE])
    if problems[s, SETUPS]:
        start += setups[s, clock[b, LAST] + 1, j]
    end = start + jobs[s, j, REALISED]
    sequence[b, clock[b, COUNT]] = j
    clock[b, BEFORE] = clock[b, NOW]
    clock[b, NOW] = end
    clock[b, LAST] = j
    clock[b, COST] += jobs[s, j, WEIGHT] * max(0, end - jobs[s, j, DUE])
    clock[b, COUNT] += 1
    clock[b, KNOWN] -= 1
    clock[b, WORK_LEFT] -= jobs[s, j, TIME]
    clock[b, WEIGHT_LEFT] -= jobs[s, j, WEIGHT]
    clock[b, DUE_LEFT] -= jobs[s, j, DUE]
    at, count = 0, problems[s, NUM_JOBS] - clock[b, COUNT]
    while waiting[b, at] != j:
        at += 1
    for i in range(at, count):
        waiting[b, i] = waiting[b, i + 1]
    if problems[s, MASK] == 1:
        for i in range(problems[s, NUM_JOBS]):
            counts[b, BLOCKERS, i] -= after[s, j, i]
    if candidates.shape[2] > NUM_MINIMAL:
        for i in range(clock[b, KNOWN]):
            k = waiting[b, i]
            counts[b, EARLIER, k] -= jobs[s, j, EDD] < jobs[s, k, EDD]
            counts[b, SHORTER, k] -= jobs[s, j, SPT] < jobs[s, k, SPT]
            counts[b, DOMINATORS, k] -= _dominates(j, k, jobs[s])


@part
def _value(b, s, world, state):
    """Cost so far, and the tardiness that the waiting jobs cannot avoid."""
    problems, _, jobs, _, _, _ = world
    clock, waiting, _, _ = state
    now, value = clock[b, NOW], clock[b, COST]
    for i in range(problems[s, NUM_JOBS] - clock[b, COUNT]):
        j = waiting[b, i]
        end = max(now, jobs[s, j, RELEASE]) + jobs[s, j, HEAD]
        value += jobs[s, j, WEIGHT] * max(0, end - jobs[s, j, DUE])
    return value


@part
def _decide(b, s, skip_forced, initial_value, world, state, view):
    """Write the next decision, playing forced ones on the way if asked; returns the value."""
    problems, _, _, _, _, _ = world
    clock, _, _, _ = state
    candidates, _, _, _, available, num_available = view
    while clock[b, COUNT] < problems[s, NUM_JOBS]:
        if problems[s, ARRIVALS]:
            _arrive(b, s, candidates.shape[2] > NUM_MINIMAL, world, state)
        count = _find_candidates(b, s, world, state, view)
        if count > 1 or not skip_forced:
            value, late_weight, least = _survey(b, s, initial_value, world, state, view)
            _write_candidates(b, s, world, state, view)
            if candidates.shape[2] > NUM_MINIMAL:
                _write_indices(b, s, late_weight, least, world, state, view)
            return value
        j = available[b, 0]
        _clear_job(b, j, view)
        _schedule(b, s, j, world, state, view)
    num_available[b] = 0
    return clock[b, COST]


@part
def _find_candidates(b, s, world, state, view):
    """List the known jobs that the mask allows; all of them where it would allow none."""
    problems, _, jobs, _, _, _ = world
    clock, waiting, counts, _ = state
    _, _, mask, _, available, num_available = view
    known, kind = clock[b, KNOWN], problems[s, MASK]
    if kind == 0:
        for i in range(known):
            available[b, i] = waiting[b, i]
        num_available[b] = known
        return known
    count = 0
    for i in range(known):
        j = waiting[b, i]
        if kind == 1:
            allowed = counts[b, BLOCKERS, j] == 0
        else:
            allowed = clock[b, LAST] < 0 or not _swap_improves(b, s, j, jobs, clock)
        if allowed:
            available[b, count] = j
            count += 1
        elif mask[b, j]:
            _clear_job(b, j, view)
    if count == 0:
        for i in range(known):
            available[b, i] = waiting[b, i]
        count = known
    num_available[b] = count
    return count


@part
def _swap_improves(b, s, j, jobs, clock):
    """Whether job ``j`` before the last job costs less and ends no later than after it."""
    i, before = clock[b, LAST], clock[b, BEFORE]
    first = clock[b, NOW]
    second = max(first, jobs[s, j, RELEASE]) + jobs[s, j, TIME]
    cost = jobs[s, i, WEIGHT] * max(0, first - jobs[s, i, DUE])
    cost += jobs[s, j, WEIGHT] * max(0, second - jobs[s, j, DUE])
    swapped_first = max(before, jobs[s, j, RELEASE]) + jobs[s, j, TIME]
    swapped_second = max(swapped_first, jobs[s, i, RELEASE]) + jobs[s, i, TIME]
    swapped_cost = jobs[s, j, WEIGHT] * max(0, swapped_first - jobs[s, j, DUE])
    swapped_cost += jobs[s, i, WEIGHT] * max(0, swapped_second - jobs[s, i, DUE])
    return swapped_cost < cost and swapped_second <= second


@part
def _write_candidates(b, s, world, state, view):
    """Columns 0-6; what does not change is written when a job becomes available."""
    problems, constants, jobs, keys, setups, _ = world
    clock, _, _, _ = state
    candidates, _, mask, nodes, available, num_available = view
    now, per_time = clock[b, NOW], constants[s, PER_TIME]
    for i in range(num_available[b]):
        j = available[b, i]
        c = candidates[b, j]
        time, due = jobs[s, j, TIME], jobs[s, j, DUE] - now
        if not mask[b, j]:
            mask[b, j] = 1
            c[0] = time * per_time
            c[1] = jobs[s, j, WEIGHT] * constants[s, PER_WEIGHT]
            if len(c) > NUM_MINIMAL:
                c[8] = keys[s, j, WSPT]
                c[9] = keys[s, j, LOG_WSPT]
            if nodes.shape[2] == 1:
                nodes[b, j, 0] = j
        c[2] = due * per_time
        c[3] = (due - time) * per_time
        c[4] = max(time, due) * per_time
    if problems[s, RELEASES]:
        for i in range(num_available[b]):
            j = available[b, i]
            candidates[b, j, 5] = max(0, jobs[s, j, RELEASE] - now) * per_time
    if problems[s, SETUPS]:
        for i in range(num_available[b]):
            j = available[b, i]
            candidates[b, j, 6] = setups[s, clock[b, LAST] + 1, j] * per_time


@part
def _survey(b, s, initial_value, world, state, view):
    """Write the global columns; O(n).

    Returns the value of the state, and of the known jobs the weight of those that end late whatever
    happens and the least modified due date, seen from now.
    """
    problems, constants, jobs, _, _, _ = world
    clock, waiting, _, _ = state
    _, columns, _, _, _, num_available = view
    n, now, per_time = problems[s, NUM_JOBS], clock[b, NOW], constants[s, PER_TIME]
    known, work, value = clock[b, KNOWN], clock[b, WORK_LEFT], clock[b, COST]
    longest = late = late_weight = 0
    first_due = last_due = jobs[s, waiting[b, 0], DUE]
    modified = np.iinfo(np.int64).max
    for i in range(known):
        j = waiting[b, i]
        time, due, weight = jobs[s, j, TIME], jobs[s, j, DUE], jobs[s, j, WEIGHT]
        longest = max(longest, time)
        first_due = min(first_due, due)
        last_due = max(last_due, due)
        modified = min(modified, max(time, due - now))
        tardiness = max(now, jobs[s, j, RELEASE]) + jobs[s, j, HEAD] - due
        is_late = tardiness > 0
        value += weight * max(0, tardiness)
        late += is_late
        late_weight += weight * is_late
    for i in range(known, n - clock[b, COUNT]):  # those that have not arrived
        j = waiting[b, i]
        end = jobs[s, j, RELEASE] + jobs[s, j, HEAD]
        value += jobs[s, j, WEIGHT] * max(0, end - jobs[s, j, DUE])
    columns[b, 0] = work / known * per_time
    columns[b, 1] = longest * per_time
    columns[b, 2] = now * per_time
    columns[b, 3] = work * per_time
    columns[b, 4] = clock[b, COUNT] / n
    columns[b, 5] = num_available[b]
    columns[b, 6] = (value - initial_value) / constants[s, SCALE]
    columns[b, 7] = late / known
    columns[b, 8] = 1.0 - (clock[b, DUE_LEFT] / known - now) / work
    columns[b, 9] = (last_due - first_due) / work
    return value, late_weight, modified


@part
def _write_indices(b, s, late_weight, least, world, state, view):
    """Columns 7-19; O(1) per candidate."""
    _, constants, jobs, keys, _, _ = world
    clock, _, counts, _ = state
    candidates, _, _, _, available, num_available = view
    now, per_time = clock[b, NOW], constants[s, PER_TIME]
    known, work = clock[b, KNOWN], clock[b, WORK_LEFT]
    per_known = 1.0 / known
    per_mean = known / work  # 1 / mean processing time of the known jobs
    per_weight = 1.0 / max(1, clock[b, WEIGHT_LEFT])
    for i in range(num_available[b]):
        j = available[b, i]
        c = candidates[b, j]
        time, due, weight = jobs[s, j, TIME], jobs[s, j, DUE] - now, jobs[s, j, WEIGHT]
        slack, modified = max(0, due - time), max(time, due)
        tardiness = c[5] + c[6] - c[3]
        waited = max(0, jobs[s, j, RELEASE] - now) + jobs[s, j, HEAD]
        others = late_weight - (weight if waited > due else 0)
        c[7] = max(tardiness, np.float32(0.0))
        c[10] = keys[s, j, LOG_WSPT] - 2.0 * slack * per_mean
        c[11] = keys[s, j, LOG_WSPT] - 0.5 * slack * per_mean
        c[12] = keys[s, j, WSPT] * max(0.0, 1.0 - slack * keys[s, j, PER_TWO_TIMES])
        c[13] = modified * per_time * keys[s, j, PER_OWN_WEIGHT]
        c[14] = (modified - least) * per_time
        c[15] = (due - work) * per_time
        c[16] = time * per_time * (others * per_weight)
        c[17] = counts[b, EARLIER, j] * per_known
        c[18] = counts[b, SHORTER, j] * per_known
        c[19] = counts[b, DOMINATORS, j] * per_known
