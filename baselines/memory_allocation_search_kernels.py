"""Depth-first search for a packing that fits a capacity: a Numba kernel with a stack of its own.

The search is over canonical packings: buffers come in the order of their offsets (ties by a given
preorder), each at the lowest address above those that were placed before and conflict with it. Any
packing can be lowered to one of these. A choice is given up when

- a section of time cannot hold what is left: its floor, which is the top of what is placed there,
  the lowest floor of the buffers that are left there, and the offset reached, whichever is highest,
  plus their sizes exceed the capacity (section inference);
- another buffer would fit below the chosen one whole, which leaves a hole for nothing (dominance).

When no buffer that is left crosses a moment, the parts before and after it are searched one by one.
These ideas are those of MiniMalloc (Moffitt 2023, doi:10.1145/3623278.3624752).
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np
from numba import njit

# ``buffers`` (n, 6), by place in the order of starts; NEXT is the first place whose buffer starts
# at LAST or later, RANK the place in the preorder
FIRST, LAST, SIZE, ALIGNMENT, NEXT, RANK = range(6)
# ``spots`` (n, 2): the floor of each buffer, and whether it is placed (then the floor is its place)
FLOOR, PLACED = range(2)
# ``sections`` (K, 3): the floor, what is left to place, and how many of these cross its beginning
BASE, LEFT, CROSSING = range(3)
# ``counters`` (3): length of the trail, nodes that are left, nodes that were visited
LENGTH, NODES, VISITED = range(3)

# ``frames`` (D, 8): the part [BEGIN, END) of a search, the floor and rank of its last choice, the
# choice, the length of the trail before it, and up to which section its cuts are searched
BEGIN, END, AT_FLOOR, AT_RANK, LID, CHOICE, MARK, CUT = range(8)

FOUND, NONE, LIMIT = 1, 0, -1

#: What an entry of the trail restores.
_FLOOR, _BASE, _PLACEMENT = range(3)

_FAR = 2**62


@njit(cache=True, nogil=True)
def _push(trail, counters, kind, index, old):
    at = counters[LENGTH]
    trail[at, 0], trail[at, 1], trail[at, 2] = kind, index, old
    counters[LENGTH] = at + 1


@njit(cache=True, nogil=True)
def _restore(buffers, spots, sections, trail, counters, mark):
    """Take back what was done since the trail had the length ``mark``."""
    while counters[LENGTH] > mark:
        counters[LENGTH] -= 1
        at = counters[LENGTH]
        kind, index = trail[at, 0], trail[at, 1]
        if kind == _FLOOR:
            spots[index, FLOOR] = trail[at, 2]
        elif kind == _BASE:
            sections[index, BASE] = trail[at, 2]
        else:
            spots[index, PLACED] = 0
            for k in range(buffers[index, FIRST], buffers[index, LAST]):
                sections[k, LEFT] += buffers[index, SIZE]
            for k in range(buffers[index, FIRST] + 1, buffers[index, LAST]):
                sections[k, CROSSING] += 1


@njit(cache=True, nogil=True)
def _placed(buffers, spots, sections, trail, counters, starts, members, capacity, part, best):
    """Place a buffer on its floor; whether every section of the part can still hold what is left.

    What was done is on the trail even if not.
    """
    begin, end, low = part
    first, last, size = buffers[best, FIRST], buffers[best, LAST], buffers[best, SIZE]
    offset = spots[best, FLOOR]
    top = offset + size
    spots[best, PLACED] = 1
    _push(trail, counters, _PLACEMENT, best, 0)
    for k in range(first, last):
        sections[k, LEFT] -= size
        _push(trail, counters, _BASE, k, sections[k, BASE])
        sections[k, BASE] = top
    for k in range(first + 1, last):
        sections[k, CROSSING] -= 1
    reach_from, reach_to = first, last
    for p in range(low, buffers[best, NEXT]):
        if spots[p, PLACED] or buffers[p, LAST] <= first or spots[p, FLOOR] >= top:
            continue
        alignment = buffers[p, ALIGNMENT]
        _push(trail, counters, _FLOOR, p, spots[p, FLOOR])
        spots[p, FLOOR] = (top + alignment - 1) // alignment * alignment
        reach_from = min(reach_from, buffers[p, FIRST])
        reach_to = max(reach_to, buffers[p, LAST])
    for k in range(reach_from, reach_to):
        if sections[k, LEFT] == 0:
            continue
        lowest, base = np.int64(_FAR), sections[k, BASE]
        for at in range(starts[k], starts[k + 1]):
            p = members[at]
            if not spots[p, PLACED]:
                lowest = min(lowest, spots[p, FLOOR])
                if lowest <= base:
                    break
        if base < lowest:
            _push(trail, counters, _BASE, k, sections[k, BASE])
            sections[k, BASE] = lowest
        if sections[k, BASE] + sections[k, LEFT] > capacity:
            return False
    for k in range(begin, end):
        if sections[k, LEFT] and max(offset, sections[k, BASE]) + sections[k, LEFT] > capacity:
            return False
    return top <= capacity


@njit(cache=True, nogil=True)
def _next_choice(buffers, spots, low, high, frame):
    """The next choice of a search in the order of floors and ranks, or -1."""
    last_floor, last_rank = frame[AT_FLOOR], frame[AT_RANK]
    best, best_floor, best_rank = -1, frame[LID], np.int64(0)
    for p in range(low, high):
        floor, rank = spots[p, FLOOR], buffers[p, RANK]
        if spots[p, PLACED] or floor < last_floor or (floor == last_floor and rank <= last_rank):
            continue
        if floor < best_floor or (floor == best_floor and best >= 0 and rank < best_rank):
            best, best_floor, best_rank = p, floor, rank
    return best


@njit(cache=True, nogil=True)
def _open(frames, depth, begin, end, floor, rank):
    """Write the frame of a search that has not begun."""
    frame = frames[depth]
    frame[BEGIN], frame[END], frame[AT_FLOOR], frame[AT_RANK] = begin, end, floor, rank
    frame[LID] = -1
    frame[CHOICE] = -1


@njit(cache=True, nogil=True)
def _enter(buffers, spots, sections, place_at, counters, capacity, frame):
    """Begin a search: LIMIT, FOUND if nothing is left to place, or NONE yet.

    All choices are below the lid: higher ones would let another buffer fit below them, or leave too
    little above them for some section.
    """
    if counters[NODES] <= 0:
        return LIMIT
    counters[NODES] -= 1
    counters[VISITED] += 1
    lid, left = np.int64(_FAR), 0
    for p in range(place_at[frame[BEGIN]], place_at[frame[END]]):
        if not spots[p, PLACED]:
            left += 1
            lid = min(lid, spots[p, FLOOR] + buffers[p, SIZE])
    most = np.int64(0)
    for k in range(frame[BEGIN], frame[END]):
        most = max(most, sections[k, LEFT])
    frame[LID] = min(lid, capacity - most + 1)
    return NONE if left else FOUND


@njit(cache=True, nogil=True)
def _next_part(buffers, sections, frames, depth):
    """Open the next part that the choice of a frame left to search; whether there was one."""
    frame = frames[depth]
    cut, end, choice = frame[CUT], frame[END], frame[CHOICE]
    if cut == end:
        return False
    first, last = buffers[choice, FIRST], buffers[choice, LAST]
    following = end
    for k in range(max(first, cut) + 1, last):
        if sections[k, CROSSING] == 0:
            following = k
            break
    if cut == frame[BEGIN] and following == end:  # no cut: the order goes on
        _open(frames, depth + 1, cut, end, frame[AT_FLOOR], frame[AT_RANK])
    else:
        _open(frames, depth + 1, cut, following, 0, -1)
    frame[CUT] = following
    return True


@njit(cache=True, nogil=True)
def search(buffers, spots, sections, trail, frames, counters, starts, members, place_at, capacity):
    """Place all buffers.

    Args:
        buffers: See the module.
        spots: See the module.
        sections: See the module.
        trail: ``(M, 3)`` what to restore: kind, index, old value.
        frames: See the module.
        counters: See the module.
        starts: ``(K + 1,)`` where the members of each section begin.
        members: Places of the buffers that are live in each section.
        place_at: ``(K + 1,)`` the first place whose buffer starts in each section or later.
        capacity: That must not be exceeded.

    Returns:
        FOUND, with all of them placed; NONE, if there is no way; LIMIT, if the nodes are used up.
    """
    depth, result = 0, NONE
    _open(frames, 0, 0, len(sections), 0, -1)
    result = _enter(buffers, spots, sections, place_at, counters, capacity, frames[0])
    while True:
        # ``result`` is that of the frame above, or NONE where this one has to choose again.
        frame = frames[depth]
        if result == LIMIT:
            return LIMIT
        if result == FOUND:
            if frame[CHOICE] >= 0 and _next_part(buffers, sections, frames, depth):
                depth += 1
                result = _enter(
                    buffers, spots, sections, place_at, counters, capacity, frames[depth]
                )
                continue
            if depth == 0:
                return FOUND
            depth -= 1
            continue
        if frame[CHOICE] >= 0:
            _restore(buffers, spots, sections, trail, counters, frame[MARK])
            frame[CHOICE] = -1
        low, high = place_at[frame[BEGIN]], place_at[frame[END]]
        best = _next_choice(buffers, spots, low, high, frame)
        if best < 0:
            if depth == 0:
                return NONE
            depth -= 1
            continue
        frame[CHOICE], frame[MARK], frame[CUT] = best, counters[LENGTH], frame[BEGIN]
        frame[AT_FLOOR], frame[AT_RANK] = spots[best, FLOOR], buffers[best, RANK]
        part = (frame[BEGIN], frame[END], low)
        if _placed(
            buffers, spots, sections, trail, counters, starts, members, capacity, part, best
        ):
            result = FOUND  # of the choice itself; its parts come next
