"""The transition of the job shop: Numba kernels over the arrays of ``JobShopSimulator``.

In every kernel ``b`` is a row, ``s`` its slot, ``j`` a job, ``k`` one of its operations, ``m`` a
machine.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np

from .kernels import VIEW_FIELDS, array_struct, kernel, part

SCHEDULES = {"active": 0, "delta": 0, "non-delay": 1, "semi-active": 2}

# The arrays, and what stands in their last axis: one operation, job or machine is one cache line.
# ``shops`` (S, 8)
NUM_JOBS, NUM_MACHINES, NUM_OPERATIONS, SCHEDULE, STOCHASTIC, UPPER_BOUND = range(6)
# ``operations`` (S, n, K + 1, 4); the entry after the last one of a job holds its total work
MACHINE, TIME, BEFORE, REALISED = range(4)
# ``orders`` (S, N, 4): (job, operation) of machine after machine, by head, and again by tail
BY_HEAD, BY_TAIL = 0, 2
# ``jobs`` (B, n, 8), of the next operation; SEEN is as much of READY as a policy may know
OPERATION, NEXT_MACHINE, NEXT_TIME, WORK, READY, SEEN, START, LENGTH = range(8)
# ``machines`` (B, m, 8), besides READY and SEEN; the last three are places in ``orders``
VALUE, LOAD, QUEUE, HEAD_AT = 0, 1, 2, 3
TAIL_AT, LAST = 6, 7
# ``progress`` (B, 3)
REMAINING, MAKESPAN, UNFINISHED = range(3)
# ``tails`` (B, n): work of the job after its next operation, -1 after its last


#: The arrays of the struct, in order.
FIELDS = (
    *("shops", "operations", "orders", "firsts", "loads", "unit", "log_ratio"),
    *("slot", "jobs", "machines", "tails", "progress", "start"),
    *VIEW_FIELDS,
)

JobShopArrays = array_struct("JobShopArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return JobShopArrays(*arrays)


@kernel
def begin(a, rows, delta, skip_forced):
    """Reset the given rows to the start of their instances; O(n + m) per row."""
    world = (a.shops, a.operations, a.orders)
    state = (a.jobs, a.machines, a.tails, a.progress, a.start)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available)
    firsts, loads, units, log_ratio, slot = a.firsts, a.loads, a.unit, a.log_ratio, a.slot
    value, initial_value, num_available, done = a.value, a.initial_value, a.num_available, a.done
    for b in rows:
        s = slot[b]
        _clear(b, num_available[b], view)
        bound = _reset(b, s, firsts, loads, world, state)
        a.scale[b] = bound if bound > 0 else 1.0
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        count, bound, now = _decide(b, s, bound, delta, skip_forced, world, state, a.available)
        initial_value[b] = bound
        _write_view(
            b, s, count, bound, now, initial_value[b], units[s], log_ratio[s], world, state, view
        )
        num_available[b] = count
        value[b] = bound
        done[b] = count == 0


@kernel
def advance(a, actions, delta, skip_forced):
    """Play one action in every row; O(n + m) per decision, and O(columns) per candidate."""
    world = (a.shops, a.operations, a.orders)
    state = (a.jobs, a.machines, a.tails, a.progress, a.start)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available)
    shops, mask, units, log_ratio, slot = a.shops, a.action_mask, a.unit, a.log_ratio, a.slot
    value, initial_value, num_available, done = a.value, a.initial_value, a.num_available, a.done
    reward, scale, infeasible, available = a.reward, a.scale, a.infeasible, a.available
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        j, s, before, count = actions[b], slot[b], value[b], 0
        feasible = 0 <= j < shops[s, NUM_JOBS] and mask[b, j] != 0
        _clear(b, num_available[b], view)
        if feasible:
            bound = max(np.int64(before), _dispatch(b, s, j, world, state))
            count, bound, now = _decide(b, s, bound, delta, skip_forced, world, state, available)
            _write_view(
                b, s, count, bound, now, initial_value[b], units[s], log_ratio[s],
                world, state, view,
            )  # fmt: skip
            value[b] = bound
        else:
            value[b] = max(np.float64(shops[s, UPPER_BOUND]), before)
            infeasible[b] = 1
        num_available[b] = count
        done[b] = count == 0
        reward[b] = (before - value[b]) / scale[b]


@part
def _clear(b, count, view):
    """Take the last decision's candidates out of the view."""
    candidates, _, mask, nodes, available = view
    for i in range(count):
        j = available[b, i]
        mask[b, j] = 0
        for column in range(candidates.shape[2]):
            candidates[b, j, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, j, kind] = -1


@part
def _reset(b, s, firsts, loads, world, state):
    """Write the initial state of a row; returns its root bound."""
    shops, operations, _ = world
    jobs, machines, tails, progress, start = state
    num_jobs, num_machines = shops[s, NUM_JOBS], shops[s, NUM_MACHINES]
    progress[b, REMAINING] = shops[s, NUM_OPERATIONS]
    progress[b, MAKESPAN] = 0
    progress[b, UNFINISHED] = num_jobs
    for m in range(num_machines):
        machines[b, m, READY] = 0
        machines[b, m, SEEN] = 0
        machines[b, m, LOAD] = loads[s, m]
        machines[b, m, QUEUE] = 0
        machines[b, m, HEAD_AT] = firsts[s, m]
        machines[b, m, TAIL_AT] = firsts[s, m]
        machines[b, m, LAST] = firsts[s, m + 1]
    bound = 0
    tails[b, :] = -1
    for j in range(num_jobs):
        length = 0
        while length < start.shape[2] and operations[s, j, length, MACHINE] >= 0:
            length += 1
        start[b, j, :] = -1
        work = operations[s, j, length, BEFORE]
        jobs[b, j, OPERATION] = 0
        jobs[b, j, NEXT_MACHINE] = operations[s, j, 0, MACHINE]
        jobs[b, j, NEXT_TIME] = operations[s, j, 0, TIME]
        jobs[b, j, WORK] = work
        jobs[b, j, READY] = 0
        jobs[b, j, SEEN] = 0
        jobs[b, j, LENGTH] = length
        tails[b, j] = work - operations[s, j, 0, TIME]
        machines[b, operations[s, j, 0, MACHINE], QUEUE] += 1
        bound = max(bound, work)
    for m in range(num_machines):
        bound = max(bound, _revalue(b, s, m, world, state))
    return bound


@part
def _dispatch(b, s, j, world, state):
    """Append job ``j``'s next operation to its machine; returns the machine's new bound."""
    shops, operations, _ = world
    jobs, machines, tails, progress, start = state
    k, m, expected = jobs[b, j, OPERATION], jobs[b, j, NEXT_MACHINE], jobs[b, j, NEXT_TIME]
    begin = max(jobs[b, j, READY], machines[b, m, READY])
    end = begin + (operations[s, j, k, REALISED] if shops[s, STOCHASTIC] else expected)
    start[b, j, k] = begin
    jobs[b, j, READY] = end
    jobs[b, j, SEEN] = begin + expected
    jobs[b, j, WORK] -= expected
    machines[b, m, READY] = end
    machines[b, m, SEEN] = begin + expected
    machines[b, m, LOAD] -= expected
    machines[b, m, QUEUE] -= 1
    progress[b, REMAINING] -= 1
    progress[b, MAKESPAN] = max(progress[b, MAKESPAN], end)
    k += 1
    jobs[b, j, OPERATION] = k
    if k < jobs[b, j, LENGTH]:
        jobs[b, j, NEXT_MACHINE] = operations[s, j, k, MACHINE]
        jobs[b, j, NEXT_TIME] = operations[s, j, k, TIME]
        tails[b, j] -= operations[s, j, k, TIME]
        machines[b, operations[s, j, k, MACHINE], QUEUE] += 1
    else:
        jobs[b, j, NEXT_MACHINE] = -1
        tails[b, j] = -1
        progress[b, UNFINISHED] -= 1
    return _revalue(b, s, m, world, state)


@part
def _revalue(b, s, m, world, state):
    """Machine ``m``'s bound: max(ready, min head) + load + min tail; O(1) amortised."""
    _, operations, orders = world
    jobs, machines, _, _, _ = state
    last, seen = machines[b, m, LAST], machines[b, m, SEEN]
    head_at = _unscheduled(b, s, machines[b, m, HEAD_AT], last, BY_HEAD, orders, jobs)
    tail_at = _unscheduled(b, s, machines[b, m, TAIL_AT], last, BY_TAIL, orders, jobs)
    machines[b, m, HEAD_AT], machines[b, m, TAIL_AT] = head_at, tail_at
    value = seen
    if head_at < last:
        head = operations[s, orders[s, head_at, BY_HEAD], orders[s, head_at, BY_HEAD + 1], BEFORE]
        j, k = orders[s, tail_at, BY_TAIL], orders[s, tail_at, BY_TAIL + 1]
        value = max(seen, head) + machines[b, m, LOAD] + _tail(b, s, j, k, operations, jobs)
    machines[b, m, VALUE] = value
    return value


@part
def _unscheduled(b, s, at, last, order, orders, jobs):
    """The first place from ``at`` on whose operation is not scheduled."""
    while at < last and orders[s, at, order + 1] < jobs[b, orders[s, at, order], OPERATION]:
        at += 1
    return at


@part
def _tail(b, s, j, k, operations, jobs):
    """Work of job ``j`` after its operation ``k``."""
    return operations[s, j, jobs[b, j, LENGTH], BEFORE] - operations[s, j, k + 1, BEFORE]


@part
def _decide(b, s, bound, delta, skip_forced, world, state, available):
    """Find the next decision, playing forced ones on the way if asked.

    Returns the number of candidates, the value of the state, and the time of the decision; at the
    end 0, the makespan, and the makespan again.
    """
    progress = state[3]
    while progress[b, REMAINING] > 0:
        count, chains, now = _find_candidates(b, s, delta, world, state, available)
        bound = max(bound, chains)
        if count > 1 or not skip_forced:
            if world[0][s, STOCHASTIC]:
                bound = _look(b, s, now, world, state)
            return count, bound, now
        bound = max(bound, _dispatch(b, s, available[b, 0], world, state))
    return 0, progress[b, MAKESPAN], progress[b, MAKESPAN]


@part
def _find_candidates(b, s, delta, world, state, available):
    """List the available jobs; returns their number, the longest chain, the earliest start."""
    shops, _, _ = world
    jobs, machines, _, _, _ = state
    num_jobs, schedule = shops[s, NUM_JOBS], shops[s, SCHEDULE]
    chains = 0
    now = best_start = best_end = np.iinfo(np.int64).max
    machine = -1
    for j in range(num_jobs):
        m = jobs[b, j, NEXT_MACHINE]
        if m < 0:
            continue
        start = max(jobs[b, j, READY], machines[b, m, READY])
        end = start + jobs[b, j, NEXT_TIME]
        jobs[b, j, START] = start
        chains = max(chains, start + jobs[b, j, WORK])
        now = min(now, start)
        if end < best_end or (end == best_end and start < best_start):
            best_start, best_end, machine = start, end, m
    count = 0
    if schedule == 0:
        now = best_start
        for j in range(num_jobs):
            if jobs[b, j, NEXT_MACHINE] == machine:
                now = min(now, jobs[b, j, START])
        latest = now + delta * (best_end - now)
        for j in range(num_jobs):
            if jobs[b, j, NEXT_MACHINE] == machine:
                start = jobs[b, j, START]
                end = start + jobs[b, j, NEXT_TIME]
                if start == now or (start <= latest and (start < best_end or end == best_end)):
                    available[b, count] = j
                    count += 1
    else:
        for j in range(num_jobs):
            if jobs[b, j, NEXT_MACHINE] >= 0 and (schedule == 2 or jobs[b, j, START] == now):
                available[b, count] = j
                count += 1
    return count, chains, now


@part
def _look(b, s, now, world, state):
    """What can be known at time ``now`` of a stochastic shop; returns the value of the state."""
    shops, _, _ = world
    jobs, machines, _, _, _ = state
    value = 0
    for m in range(shops[s, NUM_MACHINES]):
        if machines[b, m, READY] <= now:
            machines[b, m, SEEN] = machines[b, m, READY]
        else:  # still working: not before the next tick
            machines[b, m, SEEN] = max(machines[b, m, SEEN], now + 1)
        value = max(value, _revalue(b, s, m, world, state))
    for j in range(shops[s, NUM_JOBS]):
        if jobs[b, j, READY] <= now:
            jobs[b, j, SEEN] = jobs[b, j, READY]
        else:
            jobs[b, j, SEEN] = max(jobs[b, j, SEEN], now + 1)
        ready = jobs[b, j, SEEN]
        if jobs[b, j, NEXT_MACHINE] >= 0:
            ready = max(ready, machines[b, jobs[b, j, NEXT_MACHINE], SEEN])
        value = max(value, ready + jobs[b, j, WORK])
    return value


@part
def _write_view(b, s, count, bound, now, initial_value, unit, log_ratio, world, state, view):
    """Columns, mask and globals of the decision at time ``now``."""
    shops, operations, _ = world
    jobs, _, _, progress, start = state
    candidates, columns, mask, nodes, available = view
    per_unit, width = 1.0 / unit, start.shape[2]
    for i in range(count):
        j = available[b, i]
        k = jobs[b, j, OPERATION]
        mask[b, j] = 1
        candidates[b, j, 0] = jobs[b, j, NEXT_TIME] * per_unit
        candidates[b, j, 1] = jobs[b, j, WORK] * per_unit
        candidates[b, j, 2] = operations[s, j, k, BEFORE] * per_unit
        candidates[b, j, 3] = jobs[b, j, LENGTH] - k
        candidates[b, j, 4] = (jobs[b, j, READY] - now) * per_unit
        candidates[b, j, 5] = (jobs[b, j, START] - now) * per_unit
        if nodes.shape[2] == 2:
            nodes[b, j, 0] = j * width + k
            nodes[b, j, 1] = start.shape[1] * width + jobs[b, j, NEXT_MACHINE]
    columns[b, 0] = 1.0 - progress[b, REMAINING] / shops[s, NUM_OPERATIONS]
    columns[b, 1] = progress[b, UNFINISHED] / shops[s, NUM_JOBS]
    columns[b, 2] = count
    columns[b, 3] = log_ratio
    columns[b, 4] = (bound - initial_value) * per_unit
    columns[b, 5] = (bound - now) * per_unit
    if candidates.shape[2] > 6:
        _write_bounds(b, s, count, bound, now, per_unit, world, state, candidates, available)
        _write_ahead(b, s, count, bound, per_unit, world, state, candidates, available)


@part
def _write_bounds(b, s, count, bound, now, per_unit, world, state, candidates, available):
    """Columns 6-16: the machine, the bound, the rivals; O(candidates + n) per candidate."""
    jobs, machines, tails, progress, _ = state
    earliest_end = np.iinfo(np.int64).max
    for i in range(count):
        j = available[b, i]
        earliest_end = min(earliest_end, jobs[b, j, START] + jobs[b, j, NEXT_TIME])
    for i in range(count):
        j = available[b, i]
        m, time, work = jobs[b, j, NEXT_MACHINE], jobs[b, j, NEXT_TIME], jobs[b, j, WORK]
        start, tail, load = jobs[b, j, START], tails[b, j], machines[b, m, LOAD]
        end = start + time
        longest = rivals = longer = 0  # the rivals for the machine, by their work remaining
        for h in range(count):
            other = available[b, h]
            if other != j and jobs[b, other, NEXT_MACHINE] == m:
                rivals += 1
                longer += jobs[b, other, WORK] > work
                longest = max(longest, jobs[b, other, WORK])
        if not rivals:
            longest = tail
        above = 0
        for other in range(tails.shape[1]):
            above += tails[b, other] > tail
        other_tail = _other_tail(b, s, m, j, world, state)
        c = candidates[b, j]
        c[6] = (machines[b, m, READY] - now) * per_unit
        c[7] = (end - earliest_end) * per_unit
        c[8] = (bound - start - work) * per_unit
        c[9] = (end + longest - bound) * per_unit
        c[10] = (end + load - time + other_tail - bound) * per_unit
        c[11] = load * per_unit
        c[12] = (bound - machines[b, m, VALUE]) * per_unit
        c[13] = machines[b, m, QUEUE]
        c[14] = time / work if work > 0 else 1.0
        c[15] = above / progress[b, UNFINISHED]
        c[16] = longer / rivals if rivals else 0.0


@part
def _other_tail(b, s, m, j, world, state):
    """Smallest tail among the machine's unscheduled operations other than job ``j``'s next."""
    _, operations, orders = world
    jobs, machines, _, _, _ = state
    k, last, at = jobs[b, j, OPERATION], machines[b, m, LAST], machines[b, m, TAIL_AT]
    if orders[s, at, BY_TAIL] == j and orders[s, at, BY_TAIL + 1] == k:
        at = _unscheduled(b, s, at + 1, last, BY_TAIL, orders, jobs)
    if at < last:
        j, k = orders[s, at, BY_TAIL], orders[s, at, BY_TAIL + 1]
    return _tail(b, s, j, k, operations, jobs)


@part
def _write_ahead(b, s, count, bound, per_unit, world, state, candidates, available):
    """Columns 17-34: the jobs' ways after this operation; O(its operations) per candidate."""
    _, operations, _ = world
    jobs, machines, _, _, _ = state
    for i in range(count):
        j = available[b, i]
        k = jobs[b, j, OPERATION] + 1
        last = jobs[b, j, LENGTH]
        arrival = jobs[b, j, START] + jobs[b, j, NEXT_TIME]
        c = candidates[b, j]
        at = 17
        for later in range(k, min(k + 3, last)):
            m, time = operations[s, j, later, MACHINE], operations[s, j, later, TIME]
            c[at] = time * per_unit
            c[at + 1] = (machines[b, m, SEEN] - arrival) * per_unit
            c[at + 2] = machines[b, m, QUEUE]
            c[at + 3] = machines[b, m, LOAD] * per_unit
            c[at + 4] = (bound - machines[b, m, VALUE]) * per_unit
            if later == k:
                c[32] = machines[b, m, QUEUE] == 0 and machines[b, m, SEEN] <= arrival
            arrival += time
            at += 5
        if k < last:
            bottleneck = k
            highest = machines[b, operations[s, j, k, MACHINE], VALUE]
            for later in range(k + 1, last):
                value = machines[b, operations[s, j, later, MACHINE], VALUE]
                if value > highest:
                    highest, bottleneck = value, later
            c[33] = (bound - highest) * per_unit
            c[34] = (operations[s, j, bottleneck, BEFORE] - operations[s, j, k, BEFORE]) * per_unit
