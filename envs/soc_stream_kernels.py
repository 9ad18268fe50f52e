"""The transition of a job stream: Numba kernels over the arrays of ``SoCStreamSimulator``.

In every kernel ``b`` is a row, ``s`` its slot, ``x`` a seat of a job in the system, ``k`` its
profile, ``i`` a task, ``p`` a PE, ``r`` a place for a ready task; action ``1 + r m + p``, and 0
waits. Time moves from event to event: jobs arrive, then others leave, then idle PEs start what they
have; then ready tasks, if there are any, are assigned to PEs one by one while time stands.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np

from .kernels import VIEW_FIELDS, array_struct, kernel, part

# The arrays, and what stands in their last axis.
# ``problems`` (S, 9)
NUM_JOBS, NUM_PES, CAPACITY, LOSS, PENALTY, WAIT = range(6)
UPPER_BOUND, STOCHASTIC, HORIZON = range(6, 9)
# ``constants`` (S, 2): 1 / unit of time, unit of the rewards
PER_UNIT, SCALE = range(2)
# ``jobs`` (S, J, 2)
ARRIVAL, PROFILE = range(2)
# ``pairs`` (S, K, n, m, 2): expected run time (-1: unsupported) and tail
RUN_TIME, TAIL = range(2)
# ``keys`` (S, K, n, 2) f4, in units of time: upward rank, mean run time
RANK_UP, MEAN_RUN_TIME = range(2)
# ``clock`` (B, 10); WITHIN counts jobs in the system and waiting outside
NOW, NEXT_JOB, FIRST_OUTSIDE, SEATED, WITHIN, LOST, NUM_READY, OPENED, STRIDE, DONE = range(10)
# ``seats`` (B, X, 4): job, tasks left, work left (least run times), profile
JOB, LEFT, WORK, KIND = range(4)
# ``tasks`` (B, X, n, 2): predecessors left, PE it is assigned to
WAITS, ON = range(2)
# ``pes`` (B, m, 8): task that runs (seat, task; -1: idle), its start, its realised end; how many
# are queued, and when the PE is expected to be free behind them
SEAT, TASK, SINCE, END, QUEUED, FREE = range(6)
# ``queue`` (B, m, X n, 2): seat and task, first in first out
# ``places`` (B, R, 3): seat (-1: none), task, how many became ready before

NEVER = 2**60

#: Number of the minimal columns.
NUM_MINIMAL = 12

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "jobs", "factors", "num_tasks", "pairs", "keys", "least"),
    *("blockers", "first_out", "targets", "transfers"),
    *("slot", "clock", "seats", "tasks", "data_at", "pes", "queue", "places", "pe", "start"),
    *("finish",),
    *VIEW_FIELDS,
)

SoCStreamArrays = array_struct("SoCStreamArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return SoCStreamArrays(*arrays)


@kernel
def begin(a, rows, skip_forced):
    """Reset the given rows to the start of their instances."""
    world = (a.problems, a.constants, a.jobs, a.factors, a.num_tasks, a.pairs, a.keys, a.least)
    graph = (a.blockers, a.first_out, a.targets, a.transfers)
    state = (a.clock, a.seats, a.tasks, a.data_at, a.pes, a.queue, a.places)
    plan = (a.pe, a.start, a.finish)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    for b in rows:
        s = a.slot[b]
        _clear_all(b, state, view)
        clock, seats, _, _, pes, _, places = state
        clock[b, :] = 0
        clock[b, STRIDE] = a.problems[s, NUM_PES]
        seats[b, :, JOB] = -1
        pes[b, :, SEAT] = -1
        pes[b, :, QUEUED] = 0
        pes[b, :, FREE] = 0
        places[b, :, 0] = -1
        a.pe[b, :, :] = -1
        a.start[b, :, :] = -1
        a.scale[b] = a.constants[s, SCALE]
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        value = _continue(b, s, 0, False, skip_forced, world, graph, state, plan, view)
        a.value[b] = a.initial_value[b] = value
        a.done[b] = a.num_available[b] == 0


@kernel
def advance(a, actions, skip_forced):
    """Play one action in every row, and the events until the next decision."""
    world = (a.problems, a.constants, a.jobs, a.factors, a.num_tasks, a.pairs, a.keys, a.least)
    graph = (a.blockers, a.first_out, a.targets, a.transfers)
    state = (a.clock, a.seats, a.tasks, a.data_at, a.pes, a.queue, a.places)
    plan = (a.pe, a.start, a.finish)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    mask, slot, value, reward, done = a.action_mask, a.slot, a.value, a.reward, a.done
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        action, s, before = actions[b], slot[b], value[b]
        if 0 <= action < mask.shape[1] and mask[b, action] != 0:
            waits = action == 0
            if not waits:
                _assign(b, s, action, world, state, plan, view)
            value[b] = _continue(
                b, s, np.int64(before), waits, skip_forced, world, graph, state, plan, view
            )
        else:
            _clear_all(b, state, view)
            a.num_available[b] = 0
            value[b] = max(np.float64(a.problems[s, UPPER_BOUND]), before)
            a.infeasible[b] = 1
        done[b] = a.num_available[b] == 0
        reward[b] = (before - value[b]) / a.scale[b]


@part
def _clear_all(b, state, view):
    """Take all candidates out of the view."""
    places, mask = state[6], view[2]
    for r in range(places.shape[1]):
        if places[b, r, 0] >= 0:
            _clear_place(b, r, state, view)
    mask[b, 0] = 0
    view[0][b, 0, :] = 0.0
    view[1][b, :] = 0.0


@part
def _clear_place(b, r, state, view):
    clock, places = state[0], state[6]
    candidates, _, mask, nodes, _, _ = view
    places[b, r, 0] = -1
    for a in range(1 + r * clock[b, STRIDE], 1 + (r + 1) * clock[b, STRIDE]):
        mask[b, a] = 0
        for column in range(candidates.shape[2]):
            candidates[b, a, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, a, kind] = -1


@part
def _continue(b, s, value, waits, skip_forced, world, graph, state, plan, view):
    """Play events until there is a decision, or the end; returns the value.

    ``waits``: let at least one event pass.
    """
    clock = state[0]
    mask, available, num_available = view[2], view[4], view[5]
    mask[b, 0] = 0
    num_available[b] = 0
    while True:
        if clock[b, NUM_READY] > 0 and not waits:
            _start_all(b, s, world, state, plan)
            count = _list(b, s, world, state, view)
            if count != 1 or not skip_forced:
                _write_columns(b, s, world, state, view)
                _write_globals(b, s, value, world, state, view)
                return value
            action = available[b, 0]
            num_available[b] = 0
            if action == 0:
                waits = True
                mask[b, 0] = 0
            else:
                _assign(b, s, action, world, state, plan, view)
            continue
        _start_all(b, s, world, state, plan)
        time = _next_event(b, s, world, state)
        if time == NEVER:
            view[1][b, :] = 0.0
            view[0][b, 0, :] = 0.0
            return value
        value += clock[b, WITHIN] * (time - clock[b, NOW])
        clock[b, NOW] = time
        waits = False
        value += _happen(b, s, world, graph, state, plan, view)


@part
def _next_event(b, s, world, state):
    """When the next task ends, job arrives, or data arrive that an idle PE waits for.

    The horizon is an event too: whether one may wait must not tell whether jobs are to come.
    """
    problems, _, jobs, _, _, _, _, _ = world
    clock, _, _, data_at, pes, queue, _ = state
    time = NEVER
    if clock[b, NOW] < problems[s, HORIZON]:
        time = problems[s, HORIZON]
    if clock[b, NEXT_JOB] < problems[s, NUM_JOBS]:
        time = min(time, jobs[s, clock[b, NEXT_JOB], ARRIVAL])
    for p in range(problems[s, NUM_PES]):
        if pes[b, p, SEAT] >= 0:
            time = min(time, pes[b, p, END])
        else:
            for q in range(pes[b, p, QUEUED]):
                x, i = queue[b, p, q, 0], queue[b, p, q, 1]
                time = min(time, data_at[b, x, i, p])
    return time


@part
def _happen(b, s, world, graph, state, plan, view):
    """What happens now: jobs arrive, tasks end, other jobs leave; returns the penalties."""
    problems, _, jobs, _, _, _, _, _ = world
    clock, seats, _, _, pes, _, _ = state
    now, penalties = clock[b, NOW], 0
    while clock[b, NEXT_JOB] < problems[s, NUM_JOBS] and (
        jobs[s, clock[b, NEXT_JOB], ARRIVAL] <= now
    ):
        j = clock[b, NEXT_JOB]
        clock[b, NEXT_JOB] += 1
        if clock[b, SEATED] < problems[s, CAPACITY]:
            clock[b, FIRST_OUTSIDE] = j + 1
            clock[b, WITHIN] += 1
            _seat(b, s, j, world, graph, state, view)
        elif problems[s, LOSS]:
            clock[b, FIRST_OUTSIDE] = j + 1
            clock[b, LOST] += 1
            penalties += problems[s, PENALTY]
        else:
            clock[b, WITHIN] += 1
    for p in range(problems[s, NUM_PES]):
        if pes[b, p, SEAT] >= 0 and pes[b, p, END] == now:
            x, i = pes[b, p, SEAT], pes[b, p, TASK]
            pes[b, p, SEAT] = -1
            _finish(b, s, x, i, p, world, graph, state, view)
            if seats[b, x, LEFT] == 0:
                seats[b, x, JOB] = -1
                clock[b, SEATED] -= 1
                clock[b, WITHIN] -= 1
                clock[b, DONE] += 1
    while clock[b, FIRST_OUTSIDE] < clock[b, NEXT_JOB] and clock[b, SEATED] < problems[s, CAPACITY]:
        _seat(b, s, clock[b, FIRST_OUTSIDE], world, graph, state, view)
        clock[b, FIRST_OUTSIDE] += 1
    return penalties


@part
def _finish(b, s, x, i, p, world, graph, state, view):
    """A task has ended: its data are on their way, and successors may be ready."""
    problems = world[0]
    _, first_out, targets, transfers = graph
    clock, seats, tasks, data_at, _, _, _ = state
    k, now = seats[b, x, KIND], clock[b, NOW]
    seats[b, x, LEFT] -= 1
    for e in range(first_out[s, k, i], first_out[s, k, i + 1]):
        j = targets[s, e]
        for q in range(problems[s, NUM_PES]):
            data_at[b, x, j, q] = max(data_at[b, x, j, q], now + transfers[s, e, p, q])
        tasks[b, x, j, WAITS] -= 1
        if tasks[b, x, j, WAITS] == 0:
            _open(b, s, x, j, world, state, view)


@part
def _seat(b, s, j, world, graph, state, view):
    """A job enters the system."""
    _, _, jobs, _, num_tasks, _, _, least = world
    blockers = graph[0]
    clock, seats, tasks, data_at, _, _, _ = state
    x, k = 0, jobs[s, j, PROFILE]
    while seats[b, x, JOB] >= 0:
        x += 1
    clock[b, SEATED] += 1
    seats[b, x, JOB], seats[b, x, KIND], seats[b, x, LEFT] = j, k, num_tasks[s, k]
    seats[b, x, WORK] = 0
    for i in range(num_tasks[s, k]):
        tasks[b, x, i, WAITS] = blockers[s, k, i]
        tasks[b, x, i, ON] = -1
        seats[b, x, WORK] += least[s, k, i]
        for p in range(data_at.shape[3]):
            data_at[b, x, i, p] = clock[b, NOW]
    for i in range(num_tasks[s, k]):
        if blockers[s, k, i] == 0:
            _open(b, s, x, i, world, state, view)


@part
def _open(b, s, x, i, world, state, view):
    """Give a task that has become ready a place, and write what stays as it is."""
    problems, constants, _, _, _, pairs, keys, _ = world
    clock, seats, _, data_at, _, _, places = state
    candidates, _, mask, nodes, _, _ = view
    m, per_unit, k = problems[s, NUM_PES], constants[s, PER_UNIT], seats[b, x, KIND]
    r = 0
    while places[b, r, 0] >= 0:
        r += 1
    places[b, r, 0], places[b, r, 1], places[b, r, 2] = x, i, clock[b, OPENED]
    clock[b, OPENED] += 1
    clock[b, NUM_READY] += 1
    fastest = NEVER
    for p in range(m):
        w = pairs[s, k, i, p, RUN_TIME]
        if w >= 0:
            fastest = min(fastest, w)
    for p in range(m):
        w = pairs[s, k, i, p, RUN_TIME]
        if w < 0:
            continue
        a = 1 + r * m + p
        mask[b, a] = 1
        c = candidates[b, a]
        c[0] = w * per_unit
        c[5] = pairs[s, k, i, p, TAIL] * per_unit
        c[7] = keys[s, k, i, RANK_UP]
        c[9] = fastest * per_unit
        if candidates.shape[2] > NUM_MINIMAL:
            c[12] = keys[s, k, i, MEAN_RUN_TIME]
        if nodes.shape[2] == 2:
            nodes[b, a, 0] = x * data_at.shape[2] + i
            nodes[b, a, 1] = data_at.shape[1] * data_at.shape[2] + p


@part
def _assign(b, s, action, world, state, plan, view):
    """A ready task joins the queue of a PE."""
    problems, _, _, _, _, _, _, least = world
    clock, seats, tasks, _, pes, queue, places = state
    pe = plan[0]
    m = problems[s, NUM_PES]
    r, p = (action - 1) // m, (action - 1) % m
    x, i = places[b, r, 0], places[b, r, 1]
    tasks[b, x, i, ON] = p
    pe[b, seats[b, x, JOB], i] = p
    seats[b, x, WORK] -= least[s, seats[b, x, KIND], i]
    queue[b, p, pes[b, p, QUEUED], 0] = x
    queue[b, p, pes[b, p, QUEUED], 1] = i
    pes[b, p, QUEUED] += 1
    clock[b, NUM_READY] -= 1
    _clear_place(b, r, state, view)


@part
def _start_all(b, s, world, state, plan):
    """Idle PEs start the first of their queues whose data are there."""
    problems, _, _, factors, _, pairs, _, _ = world
    clock, seats, _, data_at, pes, queue, _ = state
    _, start, finish = plan
    now = clock[b, NOW]
    for p in range(problems[s, NUM_PES]):
        if pes[b, p, SEAT] >= 0:
            continue
        count = pes[b, p, QUEUED]
        for q in range(count):
            x, i = queue[b, p, q, 0], queue[b, p, q, 1]
            if data_at[b, x, i, p] > now:
                continue
            j = seats[b, x, JOB]
            w = pairs[s, seats[b, x, KIND], i, p, RUN_TIME]
            if problems[s, STOCHASTIC] and w > 0:
                w = max(1, np.int64(np.rint(w * factors[s, j, i])))
            pes[b, p, SEAT], pes[b, p, TASK] = x, i
            pes[b, p, SINCE], pes[b, p, END] = now, now + w
            start[b, j, i] = now
            finish[b, j, i] = now + w
            for at in range(q, count - 1):
                queue[b, p, at, 0] = queue[b, p, at + 1, 0]
                queue[b, p, at, 1] = queue[b, p, at + 1, 1]
            pes[b, p, QUEUED] -= 1
            break


@part
def _list(b, s, world, state, view):
    """List the candidates; waiting is one where an event is to come."""
    problems = world[0]
    clock, _, _, _, _, _, places = state
    _, _, mask, _, available, num_available = view
    m, count, left, r = problems[s, NUM_PES], 0, clock[b, NUM_READY], 0
    while left > 0:
        if places[b, r, 0] >= 0:
            left -= 1
            for a in range(1 + r * m, 1 + (r + 1) * m):
                available[b, count] = a
                count += mask[b, a]
        r += 1
    if problems[s, WAIT]:
        mask[b, 0] = _next_event(b, s, world, state) < NEVER
        if mask[b, 0]:
            available[b, count] = 0
            count += 1
    num_available[b] = count
    return count


@part
def _write_columns(b, s, world, state, view):
    """The columns that change with time; O(ready tasks x m + queued tasks)."""
    problems, constants, jobs, _, _, pairs, _, _ = world
    clock, seats, _, data_at, pes, queue, places = state
    candidates, _, mask, _, _, _ = view
    m, now, per_unit = problems[s, NUM_PES], clock[b, NOW], constants[s, PER_UNIT]
    full = candidates.shape[2] > NUM_MINIMAL
    for p in range(m):
        free = now
        if pes[b, p, SEAT] >= 0:
            x, i = pes[b, p, SEAT], pes[b, p, TASK]
            expected = pairs[s, seats[b, x, KIND], i, p, RUN_TIME]
            free = max(now, pes[b, p, SINCE] + expected)
        for q in range(pes[b, p, QUEUED]):
            x, i = queue[b, p, q, 0], queue[b, p, q, 1]
            work = pairs[s, seats[b, x, KIND], i, p, RUN_TIME]
            free = max(free, data_at[b, x, i, p]) + work
        pes[b, p, FREE] = free
    left, r = clock[b, NUM_READY], 0
    while left > 0:
        x, i = places[b, r, 0], places[b, r, 1]
        if x >= 0:
            left -= 1
            k = seats[b, x, KIND]
            age = (now - jobs[s, seats[b, x, JOB], ARRIVAL]) * per_unit
            work = seats[b, x, WORK] * per_unit
            earliest = NEVER
            for p in range(m):
                a = 1 + r * m + p
                if not mask[b, a]:
                    continue
                there = data_at[b, x, i, p]
                at, w = max(there, pes[b, p, FREE]), pairs[s, k, i, p, RUN_TIME]
                earliest = min(earliest, at + w)
                c = candidates[b, a]
                c[1] = (at - now) * per_unit
                c[2] = (at + w - now) * per_unit
                c[3] = max(there - now, 0) * per_unit
                c[4] = (pes[b, p, FREE] - now) * per_unit
                c[6] = (at + w + pairs[s, k, i, p, TAIL] - now) * per_unit
                c[8] = work
                c[10] = clock[b, OPENED] - places[b, r, 2]
                if full:
                    c[13] = age
                    c[14] = pes[b, p, QUEUED]
                    c[16] = seats[b, x, LEFT]
            if full:
                for p in range(m):
                    a = 1 + r * m + p
                    if mask[b, a]:
                        candidates[b, a, 15] = candidates[b, a, 2] - (earliest - now) * per_unit
        r += 1
    candidates[b, 0, :] = 0.0
    if problems[s, WAIT] and mask[b, 0]:
        candidates[b, 0, 11] = 1.0


@part
def _write_globals(b, s, value, world, state, view):
    problems, constants, _, _, _, _, _, _ = world
    clock, seats, _, _, pes, _, _ = state
    columns, num_available = view[1], view[5]
    m, now, per_unit = problems[s, NUM_PES], clock[b, NOW], constants[s, PER_UNIT]
    busy, backlog, work = 0, 0, 0
    for p in range(m):
        busy += pes[b, p, SEAT] >= 0
        backlog += pes[b, p, FREE] - now
    for x in range(seats.shape[1]):
        if seats[b, x, JOB] >= 0:
            work += seats[b, x, WORK]
    columns[b, 0] = clock[b, NUM_READY]
    columns[b, 1] = num_available[b]
    columns[b, 2] = clock[b, SEATED] / problems[s, CAPACITY]
    columns[b, 3] = clock[b, WITHIN] - clock[b, SEATED]
    columns[b, 4] = busy / m
    columns[b, 5] = backlog * per_unit / m
    columns[b, 6] = work * per_unit / m
    columns[b, 7] = clock[b, LOST] / max(clock[b, NEXT_JOB], 1)


@kernel
def write_graph(a, rows, nodes, kinds, edges, edge_kinds):
    """The graph of what is in the system: tasks by seat, PEs; O(seats x (n + E)) per row."""
    num_seats, n, m = a.data_at.shape[1], a.data_at.shape[2], a.data_at.shape[3]
    for b in rows:
        s = a.slot[b]
        per_unit, now = a.constants[s, PER_UNIT], a.clock[b, NOW]
        nodes[b], kinds[b], edges[b], edge_kinds[b] = 0.0, -1, -1, -1
        count = 0
        for x in range(num_seats):
            j = a.seats[b, x, JOB]
            if j < 0:
                continue
            k = a.seats[b, x, KIND]
            for i in range(a.num_tasks[s, k]):
                at = x * n + i
                kinds[b, at] = 0
                row = nodes[b, at]
                row[0] = 1.0
                if a.finish[b, j, i] >= 0 and a.finish[b, j, i] <= now and a.start[b, j, i] >= 0:
                    running = False
                    for p in range(m):
                        running |= a.pes[b, p, SEAT] == x and a.pes[b, p, TASK] == i
                    row[4 if running else 5] = 1.0
                elif a.start[b, j, i] >= 0:
                    row[4] = 1.0
                elif a.tasks[b, x, i, ON] >= 0:
                    row[3] = 1.0
                elif a.tasks[b, x, i, WAITS] == 0:
                    row[2] = 1.0
                else:
                    row[1] = 1.0
                row[6] = a.keys[s, k, i, MEAN_RUN_TIME]
                row[7] = a.keys[s, k, i, RANK_UP]
                row[8] = a.tasks[b, x, i, WAITS]
                row[9] = (now - a.jobs[s, j, ARRIVAL]) * per_unit
                for e in range(a.first_out[s, k, i], a.first_out[s, k, i + 1]):
                    edges[b, count, 0], edges[b, count, 1] = at, x * n + a.targets[s, e]
                    edge_kinds[b, count] = 0
                    count += 1
                if a.tasks[b, x, i, ON] >= 0:
                    edges[b, count, 0] = at
                    edges[b, count, 1] = num_seats * n + a.tasks[b, x, i, ON]
                    edge_kinds[b, count] = 1
                    count += 1
        for p in range(a.problems[s, NUM_PES]):
            at = num_seats * n + p
            kinds[b, at] = 1
            nodes[b, at, 0] = a.pes[b, p, SEAT] >= 0
            nodes[b, at, 1] = a.pes[b, p, QUEUED]
            nodes[b, at, 2] = max(a.pes[b, p, FREE] - now, 0) * per_unit
