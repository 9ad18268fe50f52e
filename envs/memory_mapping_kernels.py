"""The transition of memory mapping: Numba kernels over ``MemoryMappingSimulator``'s arrays.

In every kernel ``r`` is a row, ``s`` its slot, ``t`` an instruction, ``k`` an access among those
that are decided (of buffers that are not pinned), ``b`` a buffer.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators
# mypy: disable-error-code="assignment, call-arg"

import numpy as np
from numba import types
from numba.extending import intrinsic

from .kernels import VIEW_FIELDS, array_struct, kernel, part

# The arrays, and what stands in their last axis.
# ``problems`` (S, 6)
NUM_INSTRUCTIONS, NUM_ACCESSES, NUM_BUFFERS, CAPACITY, SLOW_TOTAL, UPPER_BOUND = range(6)
# ``constants`` (S, 2): 1 / unit of times, unit of the rewards
PER_TICK, SCALE = range(2)
# ``instructions`` (S, T, 4): compute, slow accesses and fast accesses before anything is decided
COMPUTE, SLOW, FAST = range(3)
# ``accesses`` (S, A, 8): the next access of the buffer is NEXT, -1 if there is none
TIME, BUFFER, WRITE, SLOW_TIME, FAST_TIME, NEXT, LEFT = range(7)
# ``buffers`` (S, n, 4)
SIZE, COPY, RESULT, TEMP = range(4)
# ``clock`` (B, 4): the next access, and how many residencies and transfers there are
NEXT_ACCESS, STAYS, MOVES, CLOSED = range(4)
# ``ledger`` (B, T, 4): slow accesses, fast accesses, copies, and the time they take together
IS_SLOW, IS_FAST, COPIES, TAKEN = range(4)
# ``places`` (B, n, 6): the residency or -1, whether the slow memory holds it, first instruction in
# which it may be copied in, last instruction of its residency with an access, and its definition
STAY, SAVED, READY, USED, BORN = range(5)
# ``stays`` (B, A, 4) and ``moves`` (B, M, 4): as in the solution
OWNER, BEGIN, END, OFFSET = range(4)

#: Actions.
DROP, NO_COPY, COPY_IN = range(3)

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "instructions", "accesses", "buffers"),
    *("slot", "clock", "ledger", "places", "stays", "moves", "served", "units", "plan", "row"),
    *VIEW_FIELDS,
)

MappingArrays = array_struct("MappingArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return MappingArrays(*arrays)


@intrinsic
def _trailing_zeros(typing_context, word):
    """Number of zero bits below the lowest one of a word, 64 if there is none."""

    def generate(context, builder, signature, arguments):
        is_zero_undefined = context.get_constant(types.boolean, False)
        return builder.cttz(arguments[0], is_zero_undefined)

    return types.uint64(types.uint64), generate


@kernel
def begin(a, rows, skip_forced):
    """Reset the given rows; O(T + A + n) per row."""
    world = (a.problems, a.constants, a.instructions, a.accesses, a.buffers)
    state = (a.clock, a.ledger, a.places, a.stays, a.moves, a.served, a.units, a.plan, a.row)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    for r in rows:
        s = a.slot[r]
        _clear(r, view)
        _reset(r, s, world, state)
        a.scale[r] = a.constants[s, SCALE]
        a.reward[r] = 0.0
        a.infeasible[r] = 0
        value = np.float64(a.problems[s, SLOW_TOTAL])
        value += _decide(r, s, skip_forced, world, state, view)
        a.value[r] = value
        a.initial_value[r] = value
        a.done[r] = a.num_available[r] == 0


@kernel
def advance(a, actions, skip_forced):
    """Play one action in every row; O(instructions x words) of the residency that is made."""
    world = (a.problems, a.constants, a.instructions, a.accesses, a.buffers)
    state = (a.clock, a.ledger, a.places, a.stays, a.moves, a.served, a.units, a.plan, a.row)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, mask, slot, num_available = a.problems, a.action_mask, a.slot, a.num_available
    values, reward, scale, done = a.value, a.reward, a.scale, a.done
    for r in range(len(actions)):
        reward[r] = 0.0
        if done[r]:
            continue
        action, s, before = actions[r], slot[r], values[r]
        if 0 <= action < 3 and mask[r, action] != 0:
            _clear(r, view)
            value = before + _play(r, s, action, world, state)
            value += _decide(r, s, skip_forced, world, state, view)
        else:
            _clear(r, view)
            value = max(np.float64(problems[s, UPPER_BOUND]), before)
            a.infeasible[r] = 1
        values[r] = value
        done[r] = num_available[r] == 0
        reward[r] = (before - value) / scale[r]


@part
def _clear(r, view):
    """Take the last decision's candidates out of the view."""
    candidates, _, mask, nodes, _, num_available = view
    for action in range(3):
        mask[r, action] = 0
        for column in range(candidates.shape[2]):
            candidates[r, action, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[r, action, kind] = -1
    num_available[r] = 0


@part
def _reset(r, s, world, state):
    """Everything is in the slow memory, or will be."""
    problems, _, instructions, _, buffers = world
    clock, ledger, places, _, _, served, units, _, _ = state
    for t in range(problems[s, NUM_INSTRUCTIONS]):
        ledger[r, t, IS_SLOW] = instructions[s, t, SLOW]
        ledger[r, t, IS_FAST] = instructions[s, t, FAST]
        ledger[r, t, COPIES] = 0
        ledger[r, t, TAKEN] = _taken(instructions[s, t, COMPUTE], ledger[r, t])
        for word in range(units.shape[2]):
            units[r, t, word] = 0
    for k in range(problems[s, NUM_ACCESSES]):
        served[r, k] = -1
    for b in range(problems[s, NUM_BUFFERS]):
        places[r, b, STAY] = -1
        places[r, b, SAVED] = 1 - buffers[s, b, TEMP]
        places[r, b, READY] = 0
        places[r, b, USED] = -1
        places[r, b, BORN] = -1
    clock[r, NEXT_ACCESS] = clock[r, STAYS] = clock[r, MOVES] = clock[r, CLOSED] = 0


@part
def _taken(compute, ledger):
    """Ticks of an instruction."""
    return max(compute, ledger[IS_SLOW] + max(ledger[IS_FAST], ledger[COPIES]))


@part
def _retake(r, s, t, world, state):
    """Bring the time of an instruction up to date; returns by how much it rises."""
    _, _, instructions, _, _ = world
    _, ledger, _, _, _, _, _, _, _ = state
    taken = _taken(instructions[s, t, COMPUTE], ledger[r, t])
    rise = taken - ledger[r, t, TAKEN]
    ledger[r, t, TAKEN] = taken
    return rise


# Units of the fast memory: a bit for each, in words of 64, by instruction.


@part
def _fill(r, first, last, offset, size, value, units):
    """Set or clear the bits of a rectangle."""
    low, high = offset // 64, (offset + size - 1) // 64
    for word in range(low, high + 1):
        begin, end = max(offset - 64 * word, 0), min(offset + size - 64 * word, 64)
        bits = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - (end - begin))
        bits <<= np.uint64(begin)
        if value:
            for t in range(first, last + 1):
                units[r, t, word] |= bits
        else:
            for t in range(first, last + 1):
                units[r, t, word] &= ~bits


@part
def _is_free(r, first, last, offset, size, units):
    """Whether no bit of a rectangle is set."""
    low, high = offset // 64, (offset + size - 1) // 64
    for word in range(low, high + 1):
        begin, end = max(offset - 64 * word, 0), min(offset + size - 64 * word, 64)
        bits = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - (end - begin))
        bits <<= np.uint64(begin)
        for t in range(first, last + 1):
            if units[r, t, word] & bits:
                return False
    return True


@part
def _best_fit(r, first, last, size, capacity, units, row):
    """Offset of the smallest gap that holds ``size`` units throughout, -1 if there is none."""
    words = (capacity + 63) // 64
    for word in range(words):
        row[r, word] = units[r, first, word]
    for t in range(first + 1, last + 1):
        for word in range(words):
            row[r, word] |= units[r, t, word]
    best, smallest = np.int64(-1), np.int64(2**62)
    at = np.int64(0)
    while at + size <= capacity:
        begin = min(_next_bit(r, at, words, capacity, False, row), capacity)
        if begin + size > capacity:
            break
        end = min(_next_bit(r, begin, words, capacity, True, row), capacity)
        if size <= end - begin < smallest:
            best, smallest = begin, end - begin
            if smallest == size:
                break
        at = end
    return best


@part
def _next_bit(r, at, words, capacity, is_set, row):
    """The first unit from ``at`` on whose bit is set, or not set."""
    word = at // 64
    found = capacity
    flip = np.uint64(0) if is_set else np.uint64(0xFFFFFFFFFFFFFFFF)
    if word < words:
        bits = (row[r, word] ^ flip) >> np.uint64(at % 64)
        if bits:
            found = at + np.int64(_trailing_zeros(bits))
        else:
            word += 1
            while word < words and row[r, word] ^ flip == np.uint64(0):
                word += 1
            if word < words:
                found = 64 * word + np.int64(_trailing_zeros(row[r, word] ^ flip))
    return found


# Decisions.


@part
def _idle(r, t, ledger):
    """Ticks of the slow memory that are left in an instruction without making it longer."""
    return ledger[r, t, TAKEN] - ledger[r, t, IS_SLOW] - ledger[r, t, COPIES]


@part
def _move(r, stay, t, ticks, way, state):
    """Write a transfer."""
    clock, ledger, _, _, moves, _, _, _, _ = state
    at = clock[r, MOVES]
    moves[r, at, 0], moves[r, at, 1], moves[r, at, 2], moves[r, at, 3] = stay, t, ticks, way
    clock[r, MOVES] = at + 1
    ledger[r, t, COPIES] += ticks


@part
def _save(r, s, b, last, world, state):
    """Copy a temp out of the fast memory, by instruction ``last``; returns what that costs.

    It takes what is idle from its definition on, and makes ``last`` longer for the rest.
    """
    _, _, _, _, buffers = world
    _, ledger, places, _, _, _, _, _, _ = state
    stay, left = places[r, b, STAY], buffers[s, b, COPY]
    first = places[r, b, BORN]
    cost, end = np.int64(0), first
    for t in range(first, last + 1):
        ticks = min(left, _idle(r, t, ledger))
        if t == last:
            ticks = left
        if ticks > 0:
            _move(r, stay, t, ticks, 1, state)
            left -= ticks
            end = t
            if t == last:
                cost += _retake(r, s, t, world, state)
        if left == 0:
            break
    places[r, b, SAVED] = 1
    places[r, b, READY] = end + 1
    return end, cost


@part
def _leave(r, s, b, keep, world, state):
    """End a residency with instruction ``keep``, or later if it is in use later."""
    _, _, _, _, buffers = world
    _, _, places, stays, _, _, units, _, _ = state
    stay = places[r, b, STAY]
    last = max(keep, places[r, b, USED])
    if last < stays[r, stay, END]:
        _fill(
            r, last + 1, stays[r, stay, END], stays[r, stay, OFFSET], buffers[s, b, SIZE], False,
            units,
        )  # fmt: skip
        stays[r, stay, END] = last
    places[r, b, STAY] = -1


@part
def _settle(r, s, b, world, state):
    """A buffer is read no more: save it if it is a result, and let it go."""
    _, _, _, _, buffers = world
    _, _, places, _, _, _, _, _, _ = state
    cost, keep = np.int64(0), np.int64(-1)
    if places[r, b, STAY] >= 0:
        if buffers[s, b, RESULT] and not places[r, b, SAVED]:
            keep, cost = _save(r, s, b, places[r, b, USED], world, state)
        _leave(r, s, b, keep, world, state)
    return cost


@part
def _play(r, s, action, world, state):
    """Play a legal action; returns by how much the time rises."""
    problems, _, _, accesses, buffers = world
    clock, ledger, places, stays, _, served, units, plan, _ = state
    k = clock[r, NEXT_ACCESS]
    t, b = accesses[s, k, TIME], accesses[s, k, BUFFER]
    rise = np.int64(0)
    if action == DROP:
        served[r, k] = 0
        if accesses[s, k, WRITE]:
            places[r, b, SAVED] = 1
        elif places[r, b, STAY] >= 0:
            keep = np.int64(-1)
            if not places[r, b, SAVED]:
                last = min(stays[r, places[r, b, STAY], END], t - 1)
                keep, cost = _save(r, s, b, last, world, state)
                rise += cost
            _leave(r, s, b, keep, world, state)
        places[r, b, READY] = max(places[r, b, READY], t + 1)
    else:
        served[r, k] = 1
        size, first, last, offset = buffers[s, b, SIZE], plan[r, 0], plan[r, 1], plan[r, 2]
        ledger[r, t, IS_SLOW] -= accesses[s, k, SLOW_TIME]
        ledger[r, t, IS_FAST] += accesses[s, k, FAST_TIME]
        rise += _retake(r, s, t, world, state)
        if first <= last:
            _fill(r, first, last, offset, size, True, units)
        if places[r, b, STAY] < 0:
            stay = clock[r, STAYS]
            clock[r, STAYS] = stay + 1
            stays[r, stay, OWNER], stays[r, stay, OFFSET] = b, offset
            stays[r, stay, BEGIN], stays[r, stay, END] = first, last
            places[r, b, STAY] = stay
            if action == COPY_IN:
                left = buffers[s, b, COPY]
                q = t - 1
                while left > 0:
                    ticks = min(left, _idle(r, q, ledger))
                    if ticks > 0:
                        _move(r, stay, q, ticks, 0, state)
                        left -= ticks
                    q -= 1
            else:
                places[r, b, BORN] = t
        else:
            stay = places[r, b, STAY]
            stays[r, stay, END] = max(stays[r, stay, END], last)
        places[r, b, USED] = t
    # What ends with this instruction is settled when it is over: until then it may change.
    k += 1
    clock[r, NEXT_ACCESS] = k
    if k == problems[s, NUM_ACCESSES] or accesses[s, k, TIME] > t:
        for other in range(clock[r, CLOSED], k):
            if accesses[s, other, NEXT] < 0:
                rise += _settle(r, s, accesses[s, other, BUFFER], world, state)
        clock[r, CLOSED] = k
    return rise


@part
def _plan(r, s, world, state):
    """Which action besides dropping is possible, and the rectangle that it fills; or -1."""
    problems, _, _, accesses, buffers = world
    clock, ledger, places, stays, _, _, units, plan, row = state
    k = clock[r, NEXT_ACCESS]
    t, b = accesses[s, k, TIME], accesses[s, k, BUFFER]
    size, capacity = buffers[s, b, SIZE], problems[s, CAPACITY]
    stay = places[r, b, STAY]
    action = np.int64(-1)
    if accesses[s, k, WRITE]:
        last = t
        if accesses[s, k, NEXT] >= 0:
            last = accesses[s, accesses[s, k, NEXT], TIME]
        offset = _best_fit(r, t, last, size, capacity, units, row)
        if offset >= 0:
            plan[r, 0], plan[r, 1], plan[r, 2] = t, last, offset
            action = NO_COPY
    elif stay >= 0:
        end, offset = stays[r, stay, END], stays[r, stay, OFFSET]
        if end >= t or _is_free(r, end + 1, t, offset, size, units):
            plan[r, 0], plan[r, 1], plan[r, 2] = end + 1, t, offset
            action = NO_COPY
    elif places[r, b, SAVED] and size <= capacity:
        left, q = buffers[s, b, COPY], t
        while left > 0 and q > places[r, b, READY]:
            q -= 1
            left -= _idle(r, q, ledger)
        if left <= 0:
            offset = _best_fit(r, q, t, size, capacity, units, row)
            if offset >= 0:
                plan[r, 0], plan[r, 1], plan[r, 2] = q, t, offset
                action = COPY_IN
    return action


@part
def _decide(r, s, skip_forced, world, state, view):
    """Write the next decision, playing forced ones on the way if asked; returns the rise."""
    problems, _, _, _, _ = world
    clock, _, _, _, _, _, _, _, _ = state
    _, _, _, _, available, num_available = view
    rise = np.int64(0)
    while clock[r, NEXT_ACCESS] < problems[s, NUM_ACCESSES]:
        action = _plan(r, s, world, state)
        if action >= 0 or not skip_forced:
            available[r, 0] = DROP
            num_available[r] = 1
            if action >= 0:
                available[r, 1] = action
                num_available[r] = 2
            _write(r, s, action, world, state, view)
            break
        rise += _play(r, s, DROP, world, state)
    return rise


@part
def _write(r, s, action, world, state, view):
    """The columns of the decision; O(copies of the span)."""
    problems, constants, instructions, accesses, buffers = world
    clock, ledger, places, _, _, _, _, plan, _ = state
    candidates, columns, mask, nodes, _, _ = view
    k = clock[r, NEXT_ACCESS]
    t, b = accesses[s, k, TIME], accesses[s, k, BUFFER]
    per_tick, per_unit = constants[s, PER_TICK], 1.0 / problems[s, CAPACITY]
    slow, fast = accesses[s, k, SLOW_TIME], accesses[s, k, FAST_TIME]
    compute, taken = instructions[s, t, COMPUTE], ledger[r, t, TAKEN]
    is_slow = ledger[r, t, IS_SLOW] - slow
    is_fast = ledger[r, t, IS_FAST] + fast
    served = max(compute, is_slow + max(is_fast, ledger[r, t, COPIES]))
    following = accesses[s, k, NEXT]
    wait = accesses[s, following, TIME] - t if following >= 0 else 0
    held = places[r, b, STAY] >= 0
    dirty = held and not places[r, b, SAVED]
    num = problems[s, NUM_INSTRUCTIONS]
    for choice in range(2):
        chosen = DROP if choice == 0 else action
        if chosen < 0:
            continue
        c = candidates[r, chosen]
        mask[r, chosen] = 1
        c[0] = chosen == DROP
        c[1] = chosen == NO_COPY
        c[2] = chosen == COPY_IN
        c[3] = (taken - served) * per_tick if chosen != DROP else 0.0
        c[4] = (slow - fast) * per_tick
        c[5] = buffers[s, b, SIZE] * per_unit
        c[6] = (plan[r, 1] - plan[r, 0] + 1) / num if chosen != DROP else 0.0
        c[7] = wait / num
        c[8] = accesses[s, k, LEFT]
        copies = chosen == COPY_IN or (chosen == DROP and dirty)
        c[9] = buffers[s, b, COPY] * per_tick if copies else 0.0
        c[10] = accesses[s, k, WRITE]
        c[11] = held
        c[12] = dirty
        c[13] = buffers[s, b, RESULT]
        c[14] = buffers[s, b, TEMP]
        c[15] = max(0, is_slow + slow + is_fast - fast - compute) * per_tick
        if nodes.shape[2]:
            nodes[r, chosen, 0] = t
            nodes[r, chosen, 1] = ledger.shape[1] + b
    columns[r, 0] = k / problems[s, NUM_ACCESSES]
    columns[r, 1] = t / num
    columns[r, 2] = taken * per_tick
    columns[r, 3] = (_idle(r, t - 1, ledger) if t > 0 else 0) * per_tick
    columns[r, 4] = clock[r, STAYS] / problems[s, NUM_ACCESSES]
    columns[r, 5] = ledger[r, t, COPIES] * per_tick
