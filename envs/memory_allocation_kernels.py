"""The transition of static allocation: Numba kernels over ``MemoryAllocationSimulator``'s arrays.

In every kernel ``b`` is a row, ``s`` its slot, ``p`` a buffer by its place in the order of starts.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np

from .kernels import VIEW_FIELDS, array_struct, kernel, part

# The arrays, and what stands in their last axis.
# ``problems`` (S, 4)
NUM_BUFFERS, NUM_SECTIONS, LOAD, UPPER_BOUND = range(4)
# ``constants`` (S, 2): 1 / unit of the sizes, unit of the rewards
PER_BYTE, SCALE = range(2)
# ``buffers`` (S, n, 6): by place; NEXT is the first place whose buffer starts at LAST or later
FIRST, LAST, SIZE, ALIGNMENT, NUMBER, NEXT = range(6)
# ``counters`` (B, 4)
PLACED, SLACK, PEAK = range(3)
# ``skyline`` (B, K, 2): of each section, the top of its highest buffer, and the unplaced bytes
TOP, LEFT = range(2)
# ``spots`` (B, n, 4): of each buffer, its floor; of the sections that it spans, the most unplaced
# bytes, the highest bound, and one with the most unplaced bytes
FLOOR, MOST, BOUND, WHERE = range(4)

#: So many places share one entry of ``ends``, the last section in which one of them is live.
BLOCK = 16

#: Columns that only depend on the instance stand first.
NUM_STATIC = 4

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "buffers", "place_of", "ends", "static", "live", "spans"),
    *("slot", "counters", "skyline", "spots", "offsets", "waiting"),
    *VIEW_FIELDS,
)

AllocationArrays = array_struct("AllocationArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return AllocationArrays(*arrays)


@kernel
def begin(a, rows, skip_forced):
    """Reset the given rows; O(n + K) per row."""
    world = (a.problems, a.constants, a.buffers, a.place_of, a.ends, a.static, a.live, a.spans)
    state = (a.counters, a.skyline, a.spots, a.offsets, a.waiting)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    for b in rows:
        s = a.slot[b]
        _clear(b, view)
        _reset(b, s, world, state, view)
        value = np.float64(a.problems[s, LOAD])
        a.scale[b] = a.constants[s, SCALE]
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        if skip_forced and a.problems[s, NUM_BUFFERS] == 1:
            value = _place(b, s, 0, value, world, state, view)
        a.value[b] = value
        a.initial_value[b] = value
        _write_globals(b, s, value, world, state, view)
        a.done[b] = a.num_available[b] == 0


@kernel
def advance(a, actions, skip_forced):
    """Play one action in every row; O(conflicts + sections) of the buffer that is placed."""
    world = (a.problems, a.constants, a.buffers, a.place_of, a.ends, a.static, a.live, a.spans)
    state = (a.counters, a.skyline, a.spots, a.offsets, a.waiting)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, mask, slot, num_available = a.problems, a.action_mask, a.slot, a.num_available
    values, reward, scale, done = a.value, a.reward, a.scale, a.done
    infeasible, place_of = a.infeasible, a.place_of
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        i, s, before = actions[b], slot[b], values[b]
        n = problems[s, NUM_BUFFERS]
        if 0 <= i < n and mask[b, i] != 0:
            value = _place(b, s, place_of[s, i], before, world, state, view)
            if skip_forced and num_available[b] == 1:
                value = _place(b, s, place_of[s, view[4][b, 0]], value, world, state, view)
            _write_globals(b, s, value, world, state, view)
        else:
            _clear(b, view)
            value = max(np.float64(problems[s, UPPER_BOUND]), before)
            infeasible[b] = 1
        values[b] = value
        done[b] = num_available[b] == 0
        reward[b] = (before - value) / scale[b]


@part
def _clear(b, view):
    """Take all candidates out of the view."""
    candidates, _, mask, nodes, available, num_available = view
    for k in range(num_available[b]):
        i = available[b, k]
        mask[b, i] = 0
        for column in range(candidates.shape[2]):
            candidates[b, i, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, i, kind] = -1
    num_available[b] = 0


@part
def _reset(b, s, world, state, view):
    """Nothing is placed: every floor is 0, and every buffer is a candidate."""
    problems, constants, buffers, _, _, static, live, spans = world
    counters, skyline, spots, offsets, waiting = state
    candidates, _, mask, nodes, available, num_available = view
    n, sections = problems[s, NUM_BUFFERS], problems[s, NUM_SECTIONS]
    for k in range(sections):
        skyline[b, k, TOP] = 0
        skyline[b, k, LEFT] = live[s, k]
    counters[b, PLACED] = counters[b, PEAK] = 0
    per_byte, load = constants[s, PER_BYTE], problems[s, LOAD]
    for p in range(n):
        i = buffers[s, p, NUMBER]
        offsets[b, i] = -1
        most = spans[s, p, 0]
        spots[b, p, FLOOR] = 0
        spots[b, p, MOST] = most
        spots[b, p, BOUND] = most
        spots[b, p, WHERE] = spans[s, p, 1]
        available[b, i] = i
        waiting[b, i] = i
        mask[b, i] = 1
        for column in range(NUM_STATIC):
            candidates[b, i, column] = static[s, p, column]
        _write_moving(b, p, i, per_byte, load, buffers[s], spots, candidates)
        if nodes.shape[2]:
            nodes[b, i, 0] = i
    num_available[b] = n


@part
def _write_moving(b, p, i, per_byte, load, buffers, spots, candidates):
    """The columns that change when a buffer with which this one conflicts is placed."""
    floor, most, bound = spots[b, p, FLOOR], spots[b, p, MOST], spots[b, p, BOUND]
    c = candidates[b, i]
    c[4] = floor * per_byte
    c[5] = (floor + buffers[p, SIZE]) * per_byte
    c[6] = (floor + most - load) * per_byte
    c[7] = (bound - load) * per_byte


@part
def _place(b, s, p, value, world, state, view):
    """Put a buffer on its floor; returns the new value."""
    problems, constants, buffers, _, ends, _, _, _ = world
    counters, skyline, spots, offsets, waiting = state
    candidates, _, mask, nodes, available, num_available = view
    first, last = buffers[s, p, FIRST], buffers[s, p, LAST]
    size, number = buffers[s, p, SIZE], buffers[s, p, NUMBER]
    floor = spots[b, p, FLOOR]
    top, highest = floor + size, np.int64(0)
    for k in range(first, last):
        skyline[b, k, TOP] = top
        left = skyline[b, k, LEFT] - size
        skyline[b, k, LEFT] = left
        highest = max(highest, left)
    highest += top
    offsets[b, number] = floor
    counters[b, PLACED] += 1
    counters[b, PEAK] = max(counters[b, PEAK], top)
    mask[b, number] = 0
    for column in range(candidates.shape[2]):
        candidates[b, number, column] = 0.0
    for kind in range(nodes.shape[2]):
        nodes[b, number, kind] = -1
    # The last one in the list takes the place of the one that leaves it.
    count = num_available[b] - 1
    at, moved = waiting[b, number], available[b, count]
    available[b, at] = moved
    waiting[b, moved] = at
    num_available[b] = count
    per_byte, load = constants[s, PER_BYTE], problems[s, LOAD]
    for q in range(p + 1, buffers[s, p, NEXT]):
        i = buffers[s, q, NUMBER]
        if mask[b, i]:
            _raise(
                b, q, i, first, last, top, per_byte, load, buffers[s], skyline, spots, candidates
            )
    block = p // BLOCK
    for q in range(block * BLOCK, p):
        i = buffers[s, q, NUMBER]
        if mask[b, i] and buffers[s, q, LAST] > first:
            _raise(
                b, q, i, first, last, top, per_byte, load, buffers[s], skyline, spots, candidates
            )
    for earlier in range(block):
        if ends[s, earlier] > first:
            for q in range(earlier * BLOCK, (earlier + 1) * BLOCK):
                i = buffers[s, q, NUMBER]
                if mask[b, i] and buffers[s, q, LAST] > first:
                    _raise(
                        b, q, i, first, last, top, per_byte, load, buffers[s], skyline, spots,
                        candidates,
                    )  # fmt: skip
    return max(value, np.float64(highest))


@part
def _raise(b, q, i, first, last, top, per_byte, load, buffers, skyline, spots, candidates):
    """A buffer with which ``q`` conflicts was placed in the sections ``first..last - 1``."""
    alignment = buffers[q, ALIGNMENT]
    if alignment > 1:
        top = (top + alignment - 1) // alignment * alignment
    spots[b, q, FLOOR] = max(spots[b, q, FLOOR], top)
    begin, end = buffers[q, FIRST], buffers[q, LAST]
    where = spots[b, q, WHERE]
    if first <= where < last:  # elsewhere nothing has changed, and here there is only less
        most = np.int64(-1)
        for k in range(begin, end):
            if skyline[b, k, LEFT] > most:
                most, where = skyline[b, k, LEFT], k
        spots[b, q, MOST] = most
        spots[b, q, WHERE] = where
    bound = spots[b, q, BOUND]
    for k in range(max(begin, first), min(end, last)):
        bound = max(bound, skyline[b, k, TOP] + skyline[b, k, LEFT])
    spots[b, q, BOUND] = bound
    _write_moving(b, q, i, per_byte, load, buffers, spots, candidates)


@part
def _write_globals(b, s, value, world, state, view):
    """The global columns; O(1)."""
    problems, constants, _, _, _, _, _, _ = world
    counters, _, _, _, _ = state
    _, columns, _, _, _, num_available = view
    columns[b, 0] = counters[b, PLACED] / problems[s, NUM_BUFFERS]
    columns[b, 1] = num_available[b]
    columns[b, 2] = (value - problems[s, LOAD]) * constants[s, PER_BYTE]
    columns[b, 3] = counters[b, PEAK] * constants[s, PER_BYTE]
    columns[b, 4] = constants[s, 2]
