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
# ``progress`` (B, 2)
REMAINING, MAKESPAN = range(2)


#: The arrays of the struct, in order.
FIELDS = (
    *("shops", "operations", "orders", "firsts", "loads", "unit", "log_ratio"),
    *("slot", "jobs", "machines", "progress", "start"),
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
    shops, operations, orders, firsts, loads = a.shops, a.operations, a.orders, a.firsts, a.loads
    jobs, machines, progress, start = a.jobs, a.machines, a.progress, a.start
    candidates, columns, mask, nodes = a.candidates, a.globals, a.action_mask, a.candidate_nodes
    available, num_available, units, log_ratio = a.available, a.num_available, a.unit, a.log_ratio
    value, initial_value, done, slot = a.value, a.initial_value, a.done, a.slot
    for b in rows:
        s = slot[b]
        _clear(b, candidates, mask, nodes, available, num_available)
        start[b] = -1
        progress[b, REMAINING] = shops[s, NUM_OPERATIONS]
        progress[b, MAKESPAN] = 0
        bound = _reset(b, s, shops, operations, orders, firsts, loads, jobs, machines)
        initial_value[b] = bound
        a.scale[b] = bound if bound > 0 else 1.0
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        bound, now = _decide(
            b,
            s,
            bound,
            delta,
            skip_forced,
            shops,
            operations,
            orders,
            jobs,
            machines,
            progress,
            start,
            available,
            num_available,
        )
        value[b] = bound
        done[b] = num_available[b] == 0
        if not done[b]:
            _write_view(
                b,
                s,
                bound,
                now,
                initial_value[b],
                units[s],
                log_ratio[s],
                shops,
                operations,
                orders,
                jobs,
                machines,
                progress,
                candidates,
                columns,
                mask,
                nodes,
                available,
                num_available,
            )


@kernel
def advance(a, actions, delta, skip_forced):
    """Play one action in every row; O(n + m) per decision, and O(columns) per candidate."""
    shops, operations, orders = a.shops, a.operations, a.orders
    jobs, machines, progress, start = a.jobs, a.machines, a.progress, a.start
    candidates, columns, mask, nodes = a.candidates, a.globals, a.action_mask, a.candidate_nodes
    available, num_available, units, log_ratio = a.available, a.num_available, a.unit, a.log_ratio
    value, initial_value, done, slot = a.value, a.initial_value, a.done, a.slot
    reward, scale, infeasible = a.reward, a.scale, a.infeasible
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        j = actions[b]
        s = slot[b]
        before = value[b]
        feasible = 0 <= j < shops[s, NUM_JOBS] and mask[b, j] != 0
        _clear(b, candidates, mask, nodes, available, num_available)
        if feasible:
            bound = _dispatch(b, s, j, shops, operations, orders, jobs, machines, progress, start)
            bound, now = _decide(
                b,
                s,
                max(np.int64(before), bound),
                delta,
                skip_forced,
                shops,
                operations,
                orders,
                jobs,
                machines,
                progress,
                start,
                available,
                num_available,
            )
            value[b] = bound
            if num_available[b] > 0:
                _write_view(
                    b,
                    s,
                    bound,
                    now,
                    initial_value[b],
                    units[s],
                    log_ratio[s],
                    shops,
                    operations,
                    orders,
                    jobs,
                    machines,
                    progress,
                    candidates,
                    columns,
                    mask,
                    nodes,
                    available,
                    num_available,
                )
        else:
            value[b] = max(np.float64(shops[s, UPPER_BOUND]), before)
            infeasible[b] = 1
        done[b] = num_available[b] == 0
        reward[b] = (before - value[b]) / scale[b]


@part
def _clear(b, candidates, mask, nodes, available, num_available):
    """Take the last decision's candidates out of the view."""
    for i in range(num_available[b]):
        j = available[b, i]
        mask[b, j] = 0
        for column in range(candidates.shape[2]):
            candidates[b, j, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, j, kind] = -1
    num_available[b] = 0


@part
def _reset(b, s, shops, operations, orders, firsts, loads, jobs, machines):
    """Write the initial state of a row; returns its root bound."""
    for m in range(shops[s, NUM_MACHINES]):
        machines[b, m, READY] = 0
        machines[b, m, SEEN] = 0
        machines[b, m, LOAD] = loads[s, m]
        machines[b, m, QUEUE] = 0
        machines[b, m, HEAD_AT] = firsts[s, m]
        machines[b, m, TAIL_AT] = firsts[s, m]
        machines[b, m, LAST] = firsts[s, m + 1]
    bound = 0
    for j in range(shops[s, NUM_JOBS]):
        length = 1
        while length < operations.shape[2] - 1 and operations[s, j, length, MACHINE] >= 0:
            length += 1
        work = operations[s, j, length, BEFORE]
        jobs[b, j, OPERATION] = 0
        jobs[b, j, NEXT_MACHINE] = operations[s, j, 0, MACHINE]
        jobs[b, j, NEXT_TIME] = operations[s, j, 0, TIME]
        jobs[b, j, WORK] = work
        jobs[b, j, READY] = 0
        jobs[b, j, SEEN] = 0
        jobs[b, j, LENGTH] = length
        machines[b, operations[s, j, 0, MACHINE], QUEUE] += 1
        bound = max(bound, work)
    for m in range(shops[s, NUM_MACHINES]):
        _revalue(b, s, m, operations, orders, jobs, machines)
        bound = max(bound, machines[b, m, VALUE])
    return bound


@part
def _dispatch(b, s, j, shops, operations, orders, jobs, machines, progress, start):
    """Append job ``j``'s next operation to its machine; returns the machine's new bound."""
    k = jobs[b, j, OPERATION]
    m = jobs[b, j, NEXT_MACHINE]
    expected = jobs[b, j, NEXT_TIME]
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
        machines[b, operations[s, j, k, MACHINE], QUEUE] += 1
    else:
        jobs[b, j, NEXT_MACHINE] = -1
    _revalue(b, s, m, operations, orders, jobs, machines)
    return machines[b, m, VALUE]


@part
def _revalue(b, s, m, operations, orders, jobs, machines):
    """Machine ``m``'s bound: max(ready, min head) + load + min tail; O(1) amortised."""
    last = machines[b, m, LAST]
    at = _unscheduled(b, s, machines[b, m, HEAD_AT], last, BY_HEAD, orders, jobs)
    machines[b, m, HEAD_AT] = at
    if at == last:
        machines[b, m, VALUE] = machines[b, m, SEEN]
        return
    head = operations[s, orders[s, at, BY_HEAD], orders[s, at, BY_HEAD + 1], BEFORE]
    at = _unscheduled(b, s, machines[b, m, TAIL_AT], last, BY_TAIL, orders, jobs)
    machines[b, m, TAIL_AT] = at
    j, k = orders[s, at, BY_TAIL], orders[s, at, BY_TAIL + 1]
    tail = _tail(b, s, j, k, operations, jobs)
    machines[b, m, VALUE] = max(machines[b, m, SEEN], head) + machines[b, m, LOAD] + tail


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
def _decide(
    b,
    s,
    bound,
    delta,
    skip_forced,
    shops,
    operations,
    orders,
    jobs,
    machines,
    progress,
    start,
    available,
    num_available,
):
    """Find the next decision, playing forced ones on the way if asked.

    Returns the value of the state and the time of the decision; at the end, the makespan.
    """
    while progress[b, REMAINING] > 0:
        count, chains, now = _find_candidates(b, s, delta, shops, jobs, machines, available)
        bound = max(bound, chains)
        if count > 1 or not skip_forced:
            if shops[s, STOCHASTIC]:
                bound = _look(b, s, now, shops, operations, orders, jobs, machines)
            num_available[b] = count
            return bound, now
        machine_bound = _dispatch(
            b, s, available[b, 0], shops, operations, orders, jobs, machines, progress, start
        )
        bound = max(bound, machine_bound)
    return progress[b, MAKESPAN], progress[b, MAKESPAN]


@part
def _find_candidates(b, s, delta, shops, jobs, machines, available):
    """List the available jobs; returns their number, the longest chain, the earliest start."""
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
def _look(b, s, now, shops, operations, orders, jobs, machines):
    """What can be known at time ``now`` of a stochastic shop; returns the value of the state."""
    value = 0
    for m in range(shops[s, NUM_MACHINES]):
        if machines[b, m, READY] <= now:
            machines[b, m, SEEN] = machines[b, m, READY]
        else:  # still working: not before the next tick
            machines[b, m, SEEN] = max(machines[b, m, SEEN], now + 1)
        _revalue(b, s, m, operations, orders, jobs, machines)
        value = max(value, machines[b, m, VALUE])
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
def _write_view(
    b,
    s,
    bound,
    now,
    initial_value,
    unit,
    log_ratio,
    shops,
    operations,
    orders,
    jobs,
    machines,
    progress,
    candidates,
    columns,
    mask,
    nodes,
    available,
    num_available,
):
    """Columns, mask and globals of the decision at time ``now``."""
    num_jobs, count, per_unit = shops[s, NUM_JOBS], num_available[b], 1.0 / unit
    width = operations.shape[2] - 1
    unfinished = 0
    for j in range(num_jobs):
        unfinished += jobs[b, j, NEXT_MACHINE] >= 0
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
            nodes[b, j, 1] = jobs.shape[1] * width + jobs[b, j, NEXT_MACHINE]
    columns[b, 0] = 1.0 - progress[b, REMAINING] / shops[s, NUM_OPERATIONS]
    columns[b, 1] = unfinished / num_jobs
    columns[b, 2] = count
    columns[b, 3] = log_ratio
    columns[b, 4] = (bound - initial_value) * per_unit
    columns[b, 5] = (bound - now) * per_unit
    if candidates.shape[2] > 6:
        _write_bounds(
            b,
            s,
            count,
            num_jobs,
            unfinished,
            bound,
            now,
            per_unit,
            operations,
            orders,
            jobs,
            machines,
            available,
            candidates,
        )
        _write_ahead(
            b, s, count, bound, per_unit, operations, jobs, machines, available, candidates
        )


@part
def _write_bounds(
    b,
    s,
    count,
    num_jobs,
    unfinished,
    bound,
    now,
    per_unit,
    operations,
    orders,
    jobs,
    machines,
    available,
    candidates,
):
    """Columns 6-16: the machine, the bound, the rivals; O(candidates + n) per candidate."""
    earliest_end = np.iinfo(np.int64).max
    for i in range(count):
        j = available[b, i]
        earliest_end = min(earliest_end, jobs[b, j, START] + jobs[b, j, NEXT_TIME])
    for i in range(count):
        j = available[b, i]
        m, time, work = jobs[b, j, NEXT_MACHINE], jobs[b, j, NEXT_TIME], jobs[b, j, WORK]
        start, tail, load = jobs[b, j, START], work - time, machines[b, m, LOAD]
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
        for other in range(num_jobs):
            if jobs[b, other, NEXT_MACHINE] >= 0:
                above += jobs[b, other, WORK] - jobs[b, other, NEXT_TIME] > tail
        other_tail = _other_tail(b, s, m, j, operations, orders, jobs, machines)
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
        c[15] = above / unfinished
        c[16] = longer / rivals if rivals else 0.0


@part
def _other_tail(b, s, m, j, operations, orders, jobs, machines):
    """Smallest tail among the machine's unscheduled operations other than job ``j``'s next."""
    k, last, at = jobs[b, j, OPERATION], machines[b, m, LAST], machines[b, m, TAIL_AT]
    if orders[s, at, BY_TAIL] == j and orders[s, at, BY_TAIL + 1] == k:
        at = _unscheduled(b, s, at + 1, last, BY_TAIL, orders, jobs)
    if at < last:
        j, k = orders[s, at, BY_TAIL], orders[s, at, BY_TAIL + 1]
    return _tail(b, s, j, k, operations, jobs)


@part
def _write_ahead(b, s, count, bound, per_unit, operations, jobs, machines, available, candidates):
    """Columns 17-34: the jobs' ways after this operation; O(its operations) per candidate."""
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
