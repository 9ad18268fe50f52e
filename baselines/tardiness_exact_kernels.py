"""Lawler's decomposition with memory, as a search that can be paused: Numba kernels.

Jobs are numbered in EDD order throughout (due date, then processing time); a subproblem is a list
of such numbers, in order, and the time at which its first job starts. ``p`` and ``d`` are the
processing times and due dates, ``C`` a completion time.

The search is a stack of frames. A frame holds a subproblem whose longest job ``L`` is tried in one
position after the other: for each the jobs after it (the *right* subproblem), then those before it
(the *left* one). Both are contiguous in the list without ``L``, which the frame keeps.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np
from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")

# ``frames`` (n + 1, 12). REST: where in ``rests`` the list without ``L`` begins; UNTRIED: how many
# positions of ``L`` are; AT: the one that is tried, SUM: the tardiness known of it, STAGE: which of
# its subproblems is being solved; BEST, TOTAL: the best position and its value.
SIZE, TIME, LONGEST, REST, UNTRIED, AT, SUM, STAGE, BEST, TOTAL, KEY, KEY2 = range(12)
RIGHT, LEFT = 0, 1
# ``state`` (4,): the number of frames; the value passed on (see ``search``); how many slots of the
# table are in use; how many frames were opened so far.
DEPTH, VALUE, USED, OPENED = range(4)
# ``table`` (2^k, 4): two words that identify a subproblem, its value, and its size and the position
# of its longest job in one number, 0 in an empty slot.
ENTRY_VALUE, ENTRY_SPLIT = 2, 3

_BUCKET = 4
_SPLIT = 2**32


@kernel
def hash_jobs(p, d):
    """``(n, 2)`` random words that depend on a job's processing time and due date alone."""
    words = np.empty((len(p), 2), np.int64)
    for j in range(len(p)):
        for k in range(2):
            words[j, k] = _mix(_mix(p[j] + k * 0x3C6EF372FE94F82B) ^ d[j])
    return words


@kernel
def _mix(word):
    """SplitMix64 (doi:10.1145/2714064.2660195)."""
    z = np.uint64(word) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(z ^ (z >> np.uint64(31)))


@kernel
def _find(table, key, key2):
    """The slot of a subproblem, or -1."""
    first = (key & (len(table) // _BUCKET - 1)) * _BUCKET
    for slot in range(first, first + _BUCKET):
        if table[slot, 0] == key and table[slot, 1] == key2 and table[slot, ENTRY_SPLIT] > 0:
            return slot
    return -1


@kernel
def _store(table, key, key2, value, split):
    """Put a subproblem into the table, if need be in place of the smallest of its bucket.

    Returns 1 if an empty slot was taken, else 0.
    """
    first = (key & (len(table) // _BUCKET - 1)) * _BUCKET
    slot = first
    for other in range(first, first + _BUCKET):
        if table[other, 0] == key and table[other, 1] == key2:
            slot = other
            break
        if table[other, ENTRY_SPLIT] < table[slot, ENTRY_SPLIT]:
            slot = other
    was_empty = table[slot, ENTRY_SPLIT] == 0
    table[slot, 0] = key
    table[slot, 1] = key2
    table[slot, ENTRY_VALUE] = value
    table[slot, ENTRY_SPLIT] = split
    return 1 if was_empty else 0


@kernel
def grow(table, larger):
    """Copy the entries of a table into a larger one; returns their number."""
    used = 0
    for slot in range(len(table)):
        if table[slot, ENTRY_SPLIT] > 0:
            entry = table[slot]
            used += _store(larger, entry[0], entry[1], entry[ENTRY_VALUE], entry[ENTRY_SPLIT])
    return used


@kernel
def _easy(jobs, n, t, p, d):
    """The value of a subproblem that EDD or SPT solves, else -1, and the tardiness of EDD.

    EDD does if at most one job of it is tardy; SPT if every job that came first would be late.
    """
    C, total, tardy, late = t, 0, 0, True
    for k in range(n):
        j = jobs[k]
        C += p[j]
        if d[j] < C:
            total += C - d[j]
            tardy += 1
        if t + p[j] < d[j]:
            late = False
    if tardy <= 1:
        return total, total
    if not late:
        return -1, total
    sorted_p = np.empty(n, np.int64)
    value, C = 0, t
    for k in range(n):
        sorted_p[k] = p[jobs[k]]
        value -= d[jobs[k]]
    sorted_p.sort()
    for k in range(n):
        C += sorted_p[k]
        value += C
    return value, total


@kernel
def _positions(jobs, n, t, total, p, d, rest, choices):
    """The positions that the longest job may take: Lawler 1977 with two eliminations.

    ``C(r)`` is the completion of ``L`` in position ``r`` and ``T(r)`` the total tardiness of EDD
    with ``L`` moved there; ``s`` is its EDD position. Position ``r`` is out if

    - ``C(r) <= d_i + p_i`` for the job ``i`` of a position strictly between ``s`` and ``r``, or
    - ``T(r) >= T(i)`` for some ``s <= i < r``, or ``T(r) > T(r + 1)``

    (doi:10.1016/S0167-5060(08)70742-8, doi:10.1016/0167-6377(82)90022-0). Fills ``rest``, the list
    without ``L``, and ``choices``, the pairs ``r, C(r)`` that are left, in increasing order.

    Args:
        jobs: The subproblem.
        n: Its size.
        t: Its time.
        total: The total tardiness of EDD, ``T(s)``.
        p: Processing times.
        d: Due dates.
        rest: Filled.
        choices: Filled.

    Returns:
        ``L``, the number of choices, the ``r`` of smallest ``T(r)``, and that.
    """
    s = 0
    for k in range(n):
        if p[jobs[k]] >= p[jobs[s]]:
            s = k
    C = t
    for k in range(s):
        rest[k] = jobs[k]
        C += p[jobs[k]]
    longest = jobs[s]
    p_long, d_long = p[longest], d[longest]
    C += p_long
    choices[0, 0] = s
    choices[0, 1] = C
    count, lowest, best, latest = 1, total, s, -1
    for r in range(s + 1, n):
        j = jobs[r]
        rest[r - 1] = j
        tardiness = max(C - d_long, 0)
        C += p[j]
        rise = max(C - d_long, 0) - tardiness + max(C - p_long - d[j], 0) - max(C - d[j], 0)
        if rise < 0 and count > 0 and choices[count - 1, 0] == r - 1:
            count -= 1
        total += rise
        if total < lowest:
            lowest, best = total, r
            if r == s + 1 or latest < C:
                choices[count, 0] = r
                choices[count, 1] = C
                count += 1
        latest = d[j] + p[j] if r == s + 1 else max(latest, d[j] + p[j])
    return longest, count, best, lowest


@kernel
def _key(jobs, n, t, words):
    """The two words that identify a subproblem by what its jobs are, not by their numbers."""
    key, key2 = _mix(t), _mix(~t)
    for k in range(n):
        key += words[jobs[k], 0]
        key2 += words[jobs[k], 1]
    return key, key2


@kernel
def _visit(jobs, n, t, smallest, p, d, words, frames, rests, choices, table, state):
    """The value of a subproblem if it is easy or known; else open a frame for it and return -1."""
    value, total = _easy(jobs, n, t, p, d)
    if value >= 0:
        return value
    key, key2 = _key(jobs, n, t, words)
    if n >= smallest:
        slot = _find(table, key, key2)
        if slot >= 0:
            return table[slot, ENTRY_VALUE]
    depth = state[DEPTH]
    first = 0
    if depth > 0:
        first = frames[depth - 1, REST] + frames[depth - 1, SIZE]
    longest, count, best, lowest = _positions(
        jobs, n, t, total, p, d, rests[first : first + n], choices[first : first + n]
    )
    frame = frames[depth]
    frame[SIZE] = n
    frame[TIME] = t
    frame[LONGEST] = longest
    frame[REST] = first
    frame[UNTRIED] = count
    frame[TOTAL] = lowest
    frame[BEST] = best
    frame[KEY] = key
    frame[KEY2] = key2
    state[DEPTH] = depth + 1
    state[OPENED] += 1
    return -1


@kernel
def begin(jobs, t, p, d, words, frames, rests, choices, table, state):
    """Begin the search of a subproblem; it is over at once where ``state[DEPTH]`` stays 0."""
    state[DEPTH] = 0
    n = len(jobs)
    state[VALUE] = _visit(jobs, n, t, n, p, d, words, frames, rests, choices, table, state)


@kernel
def search(budget, smallest, p, d, words, frames, rests, choices, table, state):
    """Go on with the search until it is over or has opened ``budget`` frames; O(n) per frame.

    Subproblems of fewer than ``smallest`` jobs are not kept in the table, but the first is.
    ``state[VALUE]`` passes values on: that of the subproblem which was just solved, or -1 where the
    frame on top is new.
    """
    last = state[OPENED] + budget
    value = state[VALUE]
    while state[DEPTH] > 0 and state[OPENED] < last:
        frame = frames[state[DEPTH] - 1]
        first, n = frame[REST], frame[SIZE]
        if value >= 0:
            frame[SUM] += value
            if frame[STAGE] == RIGHT and frame[SUM] < frame[TOTAL]:
                frame[STAGE] = LEFT
                jobs = rests[first : first + frame[AT]]
                value = _visit(
                    jobs, frame[AT], frame[TIME], smallest,
                    p, d, words, frames, rests, choices, table, state,
                )  # fmt: skip
                continue
            if frame[STAGE] == LEFT and frame[SUM] < frame[TOTAL]:
                frame[TOTAL] = frame[SUM]
                frame[BEST] = frame[AT]
        if frame[UNTRIED] > 0:
            frame[UNTRIED] -= 1
            r, C = choices[first + frame[UNTRIED]]
            frame[AT] = r
            frame[SUM] = max(C - d[frame[LONGEST]], 0)
            frame[STAGE] = RIGHT
            value = -1
            if frame[SUM] < frame[TOTAL]:
                value = _visit(
                    rests[first + r : first + n - 1], n - 1 - r, C, smallest,
                    p, d, words, frames, rests, choices, table, state,
                )  # fmt: skip
            continue
        value = frame[TOTAL]
        state[DEPTH] -= 1
        if n >= smallest or state[DEPTH] == 0:
            split = n * _SPLIT + frame[BEST]
            state[USED] += _store(table, frame[KEY], frame[KEY2], value, split)
    state[VALUE] = value


@kernel
def recover(todo, pairs, sequence, p, d, words, table):
    """Write down the optimal sequence from what the table says, as far as it does.

    Args:
        todo: ``(n,)`` jobs of subproblems that are not placed yet, the last one on top.
        pairs: ``(n + 2, 2)`` their sizes and times; row 0: how many there are, and how many jobs
            are placed.
        sequence: ``(n,)`` job numbers; filled from the front.
        p: Processing times.
        d: Due dates.
        words: See :func:`hash_jobs`.
        table: The table of the search.

    Returns:
        Whether the sequence is complete; if not, the subproblem on top is not in the table.
    """
    while pairs[0, 0] > 0:
        n, t = pairs[pairs[0, 0]]
        last = 0
        for row in range(1, pairs[0, 0] + 1):
            last += pairs[row, 0]
        jobs = todo[last - n : last].copy()
        value, edd = _easy(jobs, n, t, p, d)
        if value >= 0:
            if value < edd:
                jobs = jobs[np.argsort(p[jobs])]
            placed = pairs[0, 1]
            sequence[placed : placed + n] = jobs
            pairs[0, 1] += n
            pairs[0, 0] -= 1
            continue
        key, key2 = _key(jobs, n, t, words)
        slot = _find(table, key, key2)
        if slot < 0:
            return False
        s = 0
        for k in range(n):
            if p[jobs[k]] >= p[jobs[s]]:
                s = k
        r = table[slot, ENTRY_SPLIT] % _SPLIT
        C = t
        for k in range(r + 1):
            C += p[jobs[k]]
        first = last - n
        todo[first : first + n - 1 - r] = jobs[r + 1 :]
        todo[first + n - 1 - r] = jobs[s]
        k = first + n - r
        for i in range(r + 1):
            if i != s:
                todo[k] = jobs[i]
                k += 1
        pairs[pairs[0, 0]] = n - 1 - r, C
        pairs[pairs[0, 0] + 1] = 1, C - p[jobs[s]]
        pairs[pairs[0, 0] + 2] = r, t
        pairs[0, 0] += 2
    return True
