"""Tabu search on the disjunctive graph of a job shop, as a walk that can be paused: Numba kernels.

An operation is a number ``x`` in ``0..N-1``, rising along its job; ``N`` stands for none. ``p`` is
its duration, which must be positive, ``e`` its earliest end, ``t`` its tail: the longest path from
its start to the end of the schedule. ``JP``, ``JS``, ``MP``, ``MS`` are its predecessor and
successor in its job and on its machine. So ``e[x] = max(e[JP], e[MP]) + p[x]`` and ``t[x] =
max(t[JS], t[MS]) + p[x]``, and ``e[x] + t[x] - p[x]`` is the length of the longest path through it.

A *critical path* is cut into *blocks*: its maximal runs of operations that follow each other on one
machine. In a shorter schedule some operation of a block comes before its first or after its last
one, where the first block of the path has no before and the last one no after.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np
from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")
part = njit(  # type: ignore[call-overload]
    cache=True, nogil=True, error_model="numpy", _nrt=False
)

# ``operations`` (N + 1, 8): one operation is one cache line. PLACE is its place in ``order``, a
# topological order of the graph. The last row, of no operation, has e = t = p = 0.
END, TAIL, TIME, JOB_PRED, JOB_SUCC, MACHINE_PRED, MACHINE_SUCC, PLACE = range(8)
# ``path`` (5, N), filled from the right: the operations of a critical path; of each, ``e[JP]``,
# ``p`` and ``t[JS]``; and room for one number.
OPERATION, READY, DURATION, REST, ROOM = range(5)
# ``moves`` (4 N, 4): what stands at LEFT on the path goes right after what stands at RIGHT (FORWARD
# = 1), or what stands at RIGHT right before what stands at LEFT (FORWARD = 0).
LEFT, RIGHT, FORWARD, ESTIMATE = range(4)
# ``tabu`` (N, 2, W): ``tabu[x, AFTER, local[y]]`` is the last iteration in which no move may put
# ``x`` after ``y``; BEFORE likewise. ``local`` numbers the operations of each machine, modulo W.
AFTER, BEFORE = range(2)
# ``state`` (16,), of the walk: makespan now, best one so far; number of the iteration, that of the
# best; moves evaluated; hash of the machines' orders, one from the past, when to replace that, how
# often it came back; what the walk is told: tenure, up to how much longer, how many iterations
# without improvement, and which makespan to stop at.
MAKESPAN, BEST, ITERATION, IMPROVED, EVALUATED, HASH, PAST, REPLACE_AT, RETURNS = range(9)
TENURE, SPREAD, CUTOFF, TARGET = range(9, 13)

#: Why the walk stopped.
PAUSED, STAGNANT, SOLVED, STUCK = range(4)

_FAR = np.iinfo(np.int64).max
_MOST_RETURNS = 8  # more of them do not lengthen the tenure
_LONGEST_CYCLE = 256


@kernel
def set_order(operations, machine, last_on, order, state):
    """Let the machines follow ``order``, in which every job's operations rise; O(N)."""
    n = len(order)
    last_on[:] = n
    code = 0
    for i in range(n):
        x = order[i]
        before = last_on[machine[x]]
        operations[x, PLACE] = i
        operations[x, MACHINE_PRED] = before
        operations[x, MACHINE_SUCC] = n
        if before < n:
            operations[before, MACHINE_SUCC] = x
        code ^= _arc(before, x, n)
        last_on[machine[x]] = x
    _set_ends(operations, order, 0)
    _set_tails(operations, order, n - 1)
    longest = 0
    for x in range(n):
        longest = max(longest, operations[x, END])
    state[MAKESPAN] = longest
    state[HASH] = code


@kernel
def start_times(order, job, machine, p):
    """Earliest starts, for durations ``p`` that may be 0, if machines follow ``order``; O(N)."""
    job_ready = np.zeros(job.max() + 1, np.int64)
    machine_ready = np.zeros(machine.max() + 1, np.int64)
    start = np.empty(len(order), np.int64)
    for x in order:
        start[x] = max(job_ready[job[x]], machine_ready[machine[x]])
        job_ready[job[x]] = machine_ready[machine[x]] = start[x] + p[x]
    return start


@kernel
def begin(order, best_order, state):
    """Begin a walk at ``order``, which is set."""
    best_order[:] = order
    state[BEST] = state[MAKESPAN]
    state[IMPROVED] = state[ITERATION]
    state[REPLACE_AT] = state[ITERATION] + 1
    state[PAST] = state[HASH]
    state[RETURNS] = 0


@kernel
def search(
    operations, order, best_order, final, local, tabu, path, moves, scratch, state, rng, iterations
):
    """Walk on for at most ``iterations`` moves; returns why it stopped.

    Each move is the one of least estimate among those that are not tabu, or promise a new best
    (aspiration); if there is none, a random one. O(N + b^2) with blocks of ``b`` operations.
    """
    for _ in range(iterations):
        if state[BEST] <= state[TARGET]:
            return SOLVED
        if state[ITERATION] - state[IMPROVED] >= state[CUTOFF]:
            return STAGNANT
        state[ITERATION] += 1
        first = _trace(operations, final, state[MAKESPAN], path, rng)
        count = _list_moves(operations, path, first, moves)
        if count == 0:
            return STUCK
        state[EVALUATED] += count
        chosen = _choose(operations, local, tabu, path, moves, count, state, rng)
        u, v = path[OPERATION, moves[chosen, LEFT]], path[OPERATION, moves[chosen, RIGHT]]
        until = state[ITERATION] + _tenure(state, rng)
        if moves[chosen, FORWARD]:
            _forbid_forward(operations, local, tabu, u, v, until)
            _move_forward(operations, order, scratch, state, u, v)
        else:
            _forbid_backward(operations, local, tabu, u, v, until)
            _move_backward(operations, order, scratch, state, u, v)
        longest = 0
        for x in final:
            longest = max(longest, operations[x, END])
        state[MAKESPAN] = longest
        if longest < state[BEST]:
            state[BEST] = longest
            state[IMPROVED] = state[ITERATION]
            best_order[:] = order
        _watch(state)
    return PAUSED


@kernel
def estimate_moves(operations, final, path, moves, state, rng):
    """List and estimate all moves on a random critical path; returns their number."""
    first = _trace(operations, final, state[MAKESPAN], path, rng)
    count = _list_moves(operations, path, first, moves)
    for k in range(count):
        moves[k, ESTIMATE] = _estimate(operations, path, moves[k], _FAR)
    return count


@part
def _random(rng, n):
    """A number in ``0..n-1``: xorshift (doi:10.18637/jss.v008.i14)."""
    z = rng[0]
    z ^= z << np.uint64(13)
    z ^= z >> np.uint64(7)
    z ^= z << np.uint64(17)
    rng[0] = z
    return np.int64((z >> np.uint64(33)) % np.uint64(n))


@part
def _arc(x, y, n):
    """A random word for ``MP[y] = x``: the words of all arcs together are the hash."""
    z = np.uint64(x * (n + 1) + y + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.int64(z ^ (z >> np.uint64(27)))


@part
def _set_ends(operations, order, first):
    """Earliest ends from a place in the order on."""
    for i in range(first, len(order)):
        x = order[i]
        by_job = operations[operations[x, JOB_PRED], END]
        by_machine = operations[operations[x, MACHINE_PRED], END]
        operations[x, END] = max(by_job, by_machine) + operations[x, TIME]


@part
def _set_tails(operations, order, last):
    """Tails from a place in the order back."""
    for i in range(last, -1, -1):
        x = order[i]
        by_job = operations[operations[x, JOB_SUCC], TAIL]
        by_machine = operations[operations[x, MACHINE_SUCC], TAIL]
        operations[x, TAIL] = max(by_job, by_machine) + operations[x, TIME]


# The neighbourhood.


@part
def _trace(operations, final, makespan, path, rng):
    """Write a random critical path; returns where in ``path`` it begins."""
    none = len(operations) - 1
    x, ties = none, 0
    for last in final:
        if operations[last, END] == makespan:
            ties += 1
            if ties == 1 or _random(rng, ties) == 0:
                x = last
    at = none
    while x != none:
        at -= 1
        before, previous = operations[x, JOB_PRED], operations[x, MACHINE_PRED]
        path[OPERATION, at] = x
        path[READY, at] = operations[before, END]
        path[DURATION, at] = operations[x, TIME]
        path[REST, at] = operations[operations[x, JOB_SUCC], TAIL]
        start = operations[x, END] - operations[x, TIME]
        by_machine = operations[previous, END] == start
        if by_machine and operations[before, END] == start and before != previous:
            by_machine = _random(rng, 2) == 0
        x = previous if by_machine else before
    return at


@part
def _list_moves(operations, path, first, moves):
    """List the moves on a critical path that cannot close a cycle; returns their number.

    N7 of Zhang, Li, Guan and Rao 2007 (doi:10.1016/j.cor.2005.12.002): in each block, any operation
    goes to the end or the beginning (N6 of Balas and Vazacopoulos 1998,
    doi:10.1287/mnsc.44.2.262), and the last or first one to any place inside.
    """
    end = len(operations) - 1
    count, a = 0, first
    while a < end:
        b = a
        while (
            b + 1 < end and operations[path[OPERATION, b], MACHINE_SUCC] == path[OPERATION, b + 1]
        ):
            b += 1
        is_first, is_last = a == first, b == end - 1
        if not is_last:
            for i in range(a, b):
                count = _add_forward(operations, path, i, b, moves, count)
            for i in range(a if is_first else a + 1, b - 1):
                count = _add_backward(operations, path, i, b, moves, count)
        if not is_first:
            # Two operations have one exchange.
            for j in range(a + 1 if b > a + 1 or is_last else a + 2, b + 1):
                count = _add_backward(operations, path, a, j, moves, count)
            for j in range(a + 2, b + 1 if is_last else b):
                count = _add_forward(operations, path, a, j, moves, count)
        a = b + 1
    return count


@part
def _add_forward(operations, path, i, j, moves, count):
    """Add the move of ``u`` at ``i`` right after ``v`` at ``j``, unless it may close a cycle.

    It does if a path leads from ``JS[u]`` to ``v``. Then ``t[JS[u]] > t[v]``, or ``JS[u] = v``.
    """
    v = path[OPERATION, j]
    if path[REST, i] > operations[v, TAIL] or operations[v, JOB_PRED] == path[OPERATION, i]:
        return count
    moves[count, LEFT], moves[count, RIGHT], moves[count, FORWARD] = i, j, 1
    return count + 1


@part
def _add_backward(operations, path, i, j, moves, count):
    """Add the move of ``v`` at ``j`` right before ``u`` at ``i``; see ``_add_forward``."""
    u = path[OPERATION, i]
    if path[READY, j] > operations[u, END] or operations[u, JOB_SUCC] == path[OPERATION, j]:
        return count
    moves[count, LEFT], moves[count, RIGHT], moves[count, FORWARD] = i, j, 0
    return count + 1


@part
def _estimate(operations, path, move, limit):
    """Estimate the longest path through what a move moves; O(its operations).

    The procedure of Balas and Vazacopoulos 1998 (doi:10.1287/mnsc.44.2.262), which takes the ends
    and tails of job neighbours as they were. For two operations it is the one of Taillard 1994
    (doi:10.1287/ijoc.6.2.108), exact and thus a lower bound of the new makespan. What exceeds
    ``limit`` need not be exact.
    """
    i, j = move[LEFT], move[RIGHT]
    end = operations[operations[path[OPERATION, i], MACHINE_PRED], END]
    tail = operations[operations[path[OPERATION, j], MACHINE_SUCC], TAIL]
    if move[FORWARD]:
        for k in range(i + 1, j + 1):
            end = max(path[READY, k], end) + path[DURATION, k]
            path[ROOM, k] = end
        tail = max(path[REST, i], tail) + path[DURATION, i]
        longest = max(path[READY, i], end) + tail
        for k in range(j, i, -1):
            if longest > limit:
                break
            tail = max(path[REST, k], tail)
            longest = max(longest, path[ROOM, k] + tail)
            tail += path[DURATION, k]
    else:
        for k in range(j - 1, i - 1, -1):
            tail = max(path[REST, k], tail) + path[DURATION, k]
            path[ROOM, k] = tail
        end = max(path[READY, j], end) + path[DURATION, j]
        longest = end + max(path[REST, j], tail)
        for k in range(i, j):
            if longest > limit:
                break
            end = max(path[READY, k], end)
            longest = max(longest, end + path[ROOM, k])
            end += path[DURATION, k]
    return longest


# The memory.


@part
def _choose(operations, local, tabu, path, moves, count, state, rng):
    """The move to make."""
    best, ties, chosen = _FAR, 0, -1
    for k in range(count):
        limit = best
        if _is_tabu(local, tabu, path, moves[k], state[ITERATION]):
            limit = min(best, state[BEST] - 1)
        value = _estimate(operations, path, moves[k], limit)
        if value > limit:
            continue
        if value < best:
            best, ties = value, 0
        ties += 1
        if ties == 1 or _random(rng, ties) == 0:
            chosen = k
    return chosen if chosen >= 0 else _random(rng, count)


@part
def _is_tabu(local, tabu, path, move, now):
    """Whether a move restores an order that is forbidden still."""
    if move[FORWARD]:
        u = path[OPERATION, move[LEFT]]
        for k in range(move[LEFT] + 1, move[RIGHT] + 1):
            if tabu[u, AFTER, local[path[OPERATION, k]]] >= now:
                return True
    else:
        v = path[OPERATION, move[RIGHT]]
        for k in range(move[LEFT], move[RIGHT]):
            if tabu[v, BEFORE, local[path[OPERATION, k]]] >= now:
                return True
    return False


@part
def _forbid_forward(operations, local, tabu, u, v, until):
    """Forbid what puts ``u`` before one of the operations up to ``v`` again."""
    x = u
    while x != v:
        x = operations[x, MACHINE_SUCC]
        tabu[u, BEFORE, local[x]] = until
        tabu[x, AFTER, local[u]] = until


@part
def _forbid_backward(operations, local, tabu, u, v, until):
    """Forbid what puts ``v`` after one of the operations from ``u`` on again."""
    x = v
    while x != u:
        x = operations[x, MACHINE_PRED]
        tabu[v, AFTER, local[x]] = until
        tabu[x, BEFORE, local[v]] = until


@part
def _tenure(state, rng):
    """For how long a move is forbidden: random, and longer where the walk goes in circles."""
    longer = state[RETURNS] * (1 + state[TENURE] // 4)
    return state[TENURE] + _random(rng, state[SPREAD] + 1) + longer


@part
def _watch(state):
    """Count how often a solution comes back.

    One is remembered at a time, the next for twice as long: Brent's way to detect a cycle of
    unknown length (doi:10.1007/BF01933190). As the tenure is random, long ones need no detection.
    """
    if state[HASH] == state[PAST]:
        state[RETURNS] = min(state[RETURNS] + 1, _MOST_RETURNS)
    if state[ITERATION] >= state[REPLACE_AT]:
        age = state[ITERATION] - state[IMPROVED]
        state[REPLACE_AT] += min(age + 1, _LONGEST_CYCLE)
        state[PAST] = state[HASH]
        state[RETURNS] //= 2


# Moves.


@part
def _move_forward(operations, order, scratch, state, u, v):
    """Put ``u`` right after ``v``; O(N).

    In the order, ``u`` and what comes after it now go behind the rest of the stretch from ``u`` to
    ``v`` (Nowicki and Smutnicki 2005, doi:10.1007/s10951-005-6364-5).
    """
    none = len(order)
    before, behind = operations[u, MACHINE_PRED], operations[u, MACHINE_SUCC]
    after = operations[v, MACHINE_SUCC]
    state[HASH] ^= _arc(before, u, none) ^ _arc(u, behind, none)
    state[HASH] ^= _arc(before, behind, none) ^ _arc(v, u, none)
    if after != none:
        state[HASH] ^= _arc(v, after, none) ^ _arc(u, after, none)
    _link(operations, before, behind, none)
    _link(operations, v, u, none)
    _link(operations, u, after, none)
    first, last = operations[u, PLACE], operations[v, PLACE]
    mark, held, stamp = scratch[0], scratch[1], state[ITERATION]
    mark[u], held[0] = stamp, u
    count, at = 1, first
    for i in range(first + 1, last + 1):
        x = order[i]
        if mark[operations[x, JOB_PRED]] == stamp or mark[operations[x, MACHINE_PRED]] == stamp:
            mark[x], held[count] = stamp, x
            count += 1
        else:
            order[at], operations[x, PLACE] = x, at
            at += 1
    for i in range(count):
        order[at + i], operations[held[i], PLACE] = held[i], at + i
    _set_ends(operations, order, first)
    _set_tails(operations, order, last)


@part
def _move_backward(operations, order, scratch, state, u, v):
    """Put ``v`` right before ``u``: the mirror image of ``_move_forward``."""
    none = len(order)
    before, ahead = operations[u, MACHINE_PRED], operations[v, MACHINE_PRED]
    after = operations[v, MACHINE_SUCC]
    state[HASH] ^= _arc(before, u, none) ^ _arc(ahead, v, none)
    state[HASH] ^= _arc(before, v, none) ^ _arc(v, u, none)
    if after != none:
        state[HASH] ^= _arc(v, after, none) ^ _arc(ahead, after, none)
    _link(operations, ahead, after, none)
    _link(operations, before, v, none)
    _link(operations, v, u, none)
    first, last = operations[u, PLACE], operations[v, PLACE]
    mark, held, stamp = scratch[0], scratch[1], state[ITERATION]
    mark[v], held[0] = stamp, v
    count, at = 1, last
    for i in range(last - 1, first - 1, -1):
        x = order[i]
        if mark[operations[x, JOB_SUCC]] == stamp or mark[operations[x, MACHINE_SUCC]] == stamp:
            mark[x], held[count] = stamp, x
            count += 1
        else:
            order[at], operations[x, PLACE] = x, at
            at -= 1
    for i in range(count):
        order[at - i], operations[held[i], PLACE] = held[i], at - i
    _set_ends(operations, order, first)
    _set_tails(operations, order, last)


@part
def _link(operations, x, y, none):
    """Let ``y`` follow ``x`` on their machine."""
    if x != none:
        operations[x, MACHINE_SUCC] = y
    if y != none:
        operations[y, MACHINE_PRED] = x
