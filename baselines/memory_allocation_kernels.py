"""Numba kernels of static allocation: fitting in an order, the skyline, and its randomisation.

Buffers stand in the order of their starts, ``p`` is a place in it; ``first`` and ``last`` are the
sections of time in which they are live. No kernel keeps a relation of pairs: conflicts are found
through ``ends``, the last end among each block of places.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np
from numba import njit

BLOCK = 32


@njit(cache=True, nogil=True)
def block_ends(last):
    """The last end among each block of places."""
    ends = np.zeros(len(last) // BLOCK + 1, dtype=np.int64)
    for p in range(len(last)):
        ends[p // BLOCK] = max(ends[p // BLOCK], last[p])
    return ends


@njit(cache=True, nogil=True)
def placed_neighbours(p, first, last, following, ends, offsets, found):
    """Write the placed buffers that conflict with ``p`` into ``found``; returns their number."""
    count = 0
    for q in range(p + 1, following[p]):
        if offsets[q] >= 0:
            found[count] = q
            count += 1
    block = p // BLOCK
    for q in range(block * BLOCK, p):
        if offsets[q] >= 0 and last[q] > first[p]:
            found[count] = q
            count += 1
    for earlier in range(block):
        if ends[earlier] > first[p]:
            for q in range(earlier * BLOCK, (earlier + 1) * BLOCK):
                if offsets[q] >= 0 and last[q] > first[p]:
                    found[count] = q
                    count += 1
    return count


@njit(cache=True, nogil=True)
def fit(order, first, last, following, size, alignment, best_fit):
    """Place the buffers in an order, each into the lowest gap that holds it, or the smallest one.

    O(conflicts log conflicts) in all.
    """
    n = len(order)
    ends = block_ends(last)
    offsets = np.full(n, -1, dtype=np.int64)
    found = np.empty(n, dtype=np.int64)
    keys = np.empty(n, dtype=np.int64)
    for p in order:
        count = placed_neighbours(p, first, last, following, ends, offsets, found)
        for k in range(count):
            keys[k] = offsets[found[k]]
        ranks = np.argsort(keys[:count])
        top, spot, tightest = np.int64(0), np.int64(-1), np.int64(2**62)
        for k in ranks:
            q = found[k]
            start = (top + alignment[p] - 1) // alignment[p] * alignment[p]
            room = offsets[q] - start
            if room >= size[p] and room < tightest:
                spot, tightest = start, room
                if not best_fit:
                    break
            top = max(top, offsets[q] + size[q])
        if spot < 0:
            spot = (top + alignment[p] - 1) // alignment[p] * alignment[p]
        offsets[p] = spot
    return offsets


# The skyline: a tree over the sections that knows the highest top of any range.


@njit(cache=True, nogil=True)
def _tree_max(tree, width, a, b):
    """The highest top of the sections ``a..b - 1``; O(log K).

    ``tree[0]`` holds the maxima, ``tree[1]`` what was assigned to a whole node: tops only rise, so
    an assignment of a range is a maximum over it, and needs not be passed down.
    """
    found = np.int64(0)
    left, right = a + width, b + width - 1
    node = left
    while node > 1:
        node //= 2
        found = max(found, tree[1, node])
    node = right
    while node > 1:
        node //= 2
        found = max(found, tree[1, node])
    right += 1
    while left < right:
        if left % 2:
            found = max(found, tree[0, left])
            left += 1
        if right % 2:
            right -= 1
            found = max(found, tree[0, right])
        left //= 2
        right //= 2
    return found


@njit(cache=True, nogil=True)
def _tree_raise(tree, width, a, b, top):
    """Raise the sections ``a..b - 1`` to a top that is the highest of them; O(log K)."""
    left, right = a + width, b + width
    while left < right:
        if left % 2:
            tree[0, left] = max(tree[0, left], top)
            tree[1, left] = max(tree[1, left], top)
            left += 1
        if right % 2:
            right -= 1
            tree[0, right] = max(tree[0, right], top)
            tree[1, right] = max(tree[1, right], top)
        left //= 2
        right //= 2
    for start in (a + width, b + width - 1):
        node = start
        while node > 1:
            node //= 2
            tree[0, node] = max(tree[0, node], tree[0, 2 * node], tree[0, 2 * node + 1])


@njit(cache=True, nogil=True)
def skyline(first, last, size, alignment, rank, num_sections, limit):
    """Always place the buffer of the lowest floor; ties by ``rank``, the lowest first.

    Floors only rise, so a heap of old ones is enough: one that has risen goes back into it. Stops,
    and returns an empty array, when the peak exceeds ``limit``.
    """
    n = len(size)
    width = 1
    while width < num_sections:
        width *= 2
    tree = np.zeros((2, 2 * width), dtype=np.int64)
    offsets = np.full(n, -1, dtype=np.int64)
    by_rank = np.argsort(rank)
    place = np.empty(n, dtype=np.int64)  # rank to place
    for k in range(n):
        place[k] = by_rank[k]
    floors = np.zeros(n, dtype=np.int64)  # heap of floors and ranks
    ranks = np.arange(n)
    count = n
    while count:
        floor, k = floors[0], ranks[0]
        p = place[k]
        now = _tree_max(tree, width, first[p], last[p])
        now = (now + alignment[p] - 1) // alignment[p] * alignment[p]
        if now > floor:
            _sift_down(floors, ranks, count, now, k)
            continue
        offsets[p] = floor
        if floor + size[p] > limit:
            return np.empty(0, dtype=np.int64)
        _tree_raise(tree, width, first[p], last[p], floor + size[p])
        count -= 1
        if count:
            _sift_down(floors, ranks, count, floors[count], ranks[count])
    return offsets


@njit(cache=True, nogil=True)
def _sift_down(floors, ranks, count, floor, rank):
    """Put an entry at the top of the heap and let it sink."""
    node = 0
    while True:
        child = 2 * node + 1
        if child >= count:
            break
        if child + 1 < count and (
            floors[child + 1] < floors[child]
            or (floors[child + 1] == floors[child] and ranks[child + 1] < ranks[child])
        ):
            child += 1
        if floors[child] > floor or (floors[child] == floor and ranks[child] > rank):
            break
        floors[node] = floors[child]
        ranks[node] = ranks[child]
        node = child
    floors[node] = floor
    ranks[node] = rank
