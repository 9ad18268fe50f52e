"""Local searches over sequences of one machine: Numba kernels.

``p``, ``w`` and ``d`` are the jobs' processing times, weights and due dates; ``sequence[k]`` is the
job in position ``k``, and ``C`` a completion time.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numpy as np
from numba import njit

kernel = njit(cache=True, nogil=True, error_model="numpy")

#: Without concern for NaN or -0, maxima are vectorised.
_vectorised = njit(cache=True, nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})

# Moves of positions ``i < j``: exchange the two jobs, move job ``i`` behind ``j``, or ``j`` before
# ``i``.
SWAP, FORWARD, BACKWARD = range(3)

#: More than any cost.
NEVER = 2**62

# ``state`` (4,) of an iterated search: value of the current sequence and of the best one, kicks
# since it was found, and in all.
CURRENT, BEST, WAITING, KICKS = range(4)


@kernel
def cost(sequence, p, w, d):
    """Total weighted tardiness of a sequence."""
    C = total = 0
    for j in sequence:
        C += p[j]
        total += w[j] * max(C - d[j], 0)
    return total


@kernel
def random_below(state, n):
    """A number of ``0..n-1`` by SplitMix64 (doi:10.1145/2714064.2660195); ``state`` (1,) uint64."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.int64((z >> np.uint64(11)) % np.uint64(n))


@_vectorised
def dynasearch(sequence, p, w, d):
    """Apply the best set of swaps and insertions on disjoint intervals; returns what it saves.

    Moves whose intervals of positions are disjoint change no completion time in common, so their
    gains add up, and the best set is found by dynamic programming over prefixes,
    ``F(j) = max(F(j - 1), max_i F(i - 1) + gain(i, j))`` (Congram, Potts and van de Velde 2002,
    doi:10.1287/ijoc.14.1.52.7712; with insertions, Grosso, Della Croce and Tadei 2004,
    doi:10.1016/j.orl.2003.04.001).

    An insertion shifts an interval by the time of one job, so that the sums along the interval are
    kept up to date in O(1). For a swap the same sums bound the gain from above, and only where the
    bound promises something is the interval summed up: O(n^2) but for these. All numbers are
    integers below 2^53, which floats hold exactly.
    """
    n = len(sequence)
    P, W, D, C = np.empty((4, n))
    now = np.zeros(n + 1)  # cost of the positions before
    base = np.zeros(n + 1)  # F of the positions before, less that cost
    forward = np.zeros(n)  # cost of the positions after i up to the last j, p_i earlier
    backward = np.empty(n)  # cost of the positions from i up to the one before j, p_j later
    promise = np.empty(n)  # no move of i and j can bring more
    first = np.full(n + 1, -1, np.int64)  # of the last move of F(j): its other position
    kind = np.zeros(n + 1, np.int64)
    t = 0.0
    for k in range(n):
        j = sequence[k]
        P[k], W[k], D[k] = p[j], w[j], d[j]
        t += P[k]
        C[k] = t
        now[k + 1] = now[k] + W[k] * max(t - D[k], 0.0)
    for j in range(n):
        pj, wj, dj, Cj = P[j], W[j], D[j], C[j]
        total = 0.0
        for i in range(j - 1, -1, -1):
            total += W[i] * max(C[i] + pj - D[i], 0.0)
            backward[i] = total
        for i in range(j):
            late = W[i] * max(Cj - D[i], 0.0)
            early = wj * max(C[i] - P[i] + pj - dj, 0.0)
            later = now[j] - now[i + 1] if pj >= P[i] else 0.0
            swapped = late + early + max(forward[i], later)
            forward[i] += wj * max(Cj - P[i] - dj, 0.0)
            least = min(swapped, min(late + forward[i], early + backward[i]))
            promise[i] = base[i] - least
        value, at, move = base[j] - wj * max(Cj - dj, 0.0), -1, SWAP
        for i in range(j):
            if promise[i] <= value:
                continue
            late = W[i] * max(Cj - D[i], 0.0)
            early = wj * max(C[i] - P[i] + pj - dj, 0.0)
            if base[i] - late - forward[i] > value:
                value, at, move = base[i] - late - forward[i], i, FORWARD
            if base[i] - early - backward[i] > value:
                value, at, move = base[i] - early - backward[i], i, BACKWARD
            rest = base[i] - late - early
            k = i + 1
            while k < j and rest > value:
                rest -= W[k] * max(C[k] + pj - P[i] - D[k], 0.0)
                k += 1
            if rest > value:
                value, at, move = rest, i, SWAP
        base[j + 1], first[j + 1], kind[j + 1] = value, at, move
    j = n
    while j > 0:
        if first[j] < 0:
            j -= 1
        else:
            apply(sequence, first[j], j - 1, kind[j])
            j = first[j]
    return np.int64(base[n] + now[n])


@kernel
def apply(sequence, i, j, move):
    """Make a move of positions ``i < j``."""
    if move == SWAP:
        sequence[i], sequence[j] = sequence[j], sequence[i]
    elif move == FORWARD:
        job = sequence[i]
        for k in range(i, j):
            sequence[k] = sequence[k + 1]
        sequence[j] = job
    else:
        job = sequence[j]
        for k in range(j, i, -1):
            sequence[k] = sequence[k - 1]
        sequence[i] = job


@kernel
def iterate(
    rounds, kicks, swaps, distance, tolerance, patience,
    trial, current, best, p, w, d, random, state,
):  # fmt: skip
    """Go on with an iterated dynasearch: descend, accept or refuse, kick, descend again.

    A kick is a number of random swaps. A local optimum that costs little more than the current
    sequence takes its place; after ``patience`` kicks in vain the search goes back to the best one.

    Args:
        rounds: Of :func:`dynasearch` that may be made, so that the search can be paused.
        kicks: The search is over with the descent after so many.
        swaps: Of a kick.
        distance: Farthest apart that two jobs are swapped.
        tolerance: Share of the best cost by which an accepted sequence may be worse.
        patience: See above.
        trial: ``(n,)`` the sequence that descends.
        current: ``(n,)`` the last local optimum that was accepted.
        best: ``(n,)`` the best one.
        p: Processing times.
        w: Weights.
        d: Due dates.
        random: ``(1,)`` uint64, state of the random numbers.
        state: See the top of the file.

    Returns:
        Whether the search is over.
    """
    n = len(trial)
    for _ in range(rounds):
        if dynasearch(trial, p, w, d) > 0:
            continue
        value = cost(trial, p, w, d)
        state[WAITING] += 1
        if value <= state[CURRENT] + tolerance * state[BEST]:
            current[:] = trial
            state[CURRENT] = value
        if value < state[BEST]:
            best[:] = trial
            state[BEST] = value
            state[WAITING] = 0
        if state[KICKS] >= kicks:
            return True
        if state[WAITING] >= patience:
            current[:] = best
            state[CURRENT] = state[BEST]
            state[WAITING] = 0
        trial[:] = current
        for _ in range(swaps):
            i = random_below(random, n)
            j = min(i + 1 + random_below(random, distance), n - 1)
            trial[i], trial[j] = trial[j], trial[i]
        state[KICKS] += 1
    return False


# Any variant: ``r`` (n,) are release dates, ``s`` (n + 1, n) setups, row 0 of the first job; (0, 0)
# where there are none.


@kernel
def end_of(t, previous, j, p, r, s):
    """When job ``j`` ends after job ``previous`` (-1: none), which ends at ``t``."""
    begin = max(t, r[j])
    if len(s) > 0:
        begin += s[previous + 1, j]
    return begin + p[j]


@kernel
def priority(q, due, weight, lookahead, scale):
    """The score of a job that takes the machine for ``q`` and is due in ``due``; see below."""
    if weight == 0:
        return -np.inf
    if lookahead == 0:
        return -max(q, due) / weight
    return np.log(weight / q) - max(due - q, 0) / scale


@kernel
def complete(sequence, placed, t, total, stop, lookahead, p, w, d, r, s):
    """Fill the positions from ``placed`` on by apparent tardiness cost; O(n) per position.

    The next job has the largest ``ln(w / q) - max(0, d - t - q) / (K mean p)``, where ``q`` is how
    long it takes the machine, waiting and setup included (Vepsalainen and Morton 1987,
    doi:10.1287/mnsc.33.8.1035, with waiting and setups in our way); with ``K = 0``, the smallest
    ``max(q, d - t) / w``, its weighted modified due date.

    Args:
        sequence: ``(n,)`` all jobs; those from ``placed`` on are put into order.
        placed: Number of jobs that stand.
        t: When the last of them ends.
        total: What they cost.
        stop: Costs from here on are of no interest.
        lookahead: ``K``.
        p: Processing times.
        w: Weights.
        d: Due dates.
        r: Release dates.
        s: Setups.

    Returns:
        The cost of the sequence, or ``stop`` where it is not below that.
    """
    n = len(sequence)
    scale = 0.0
    for k in range(placed, n):
        scale += p[sequence[k]]
    scale *= lookahead / max(n - placed, 1)
    for k in range(placed, n):
        previous = sequence[k - 1] if k > 0 else -1
        at, best, ends = k, -np.inf, end_of(t, previous, sequence[k], p, r, s)
        for i in range(k, n):
            j = sequence[i]
            end = end_of(t, previous, j, p, r, s)
            score = priority(end - t, d[j] - t, w[j], lookahead, scale)
            if score > best:
                at, best, ends = i, score, end
        sequence[k], sequence[at] = sequence[at], sequence[k]
        t = ends
        total += w[sequence[k]] * max(t - d[sequence[k]], 0)
        if total >= stop:
            return stop
    return total


@kernel
def extend(branches, lookahead, sequences, placed, times, costs, children, values, p, w, d, r, s):
    """The children of a level of a beam: the first ``placed`` jobs of each sequence and one more.

    Of each sequence, the jobs of the highest :func:`priority` come next, one per child, and each
    child is completed greedily, which is its value. O(n^2) per child.

    Args:
        branches: Children per sequence, at most; there are no more than jobs left.
        lookahead: Of the priority.
        sequences: ``(B, n)`` all jobs.
        placed: How many of them stand.
        times: ``(B,)`` when the last of these ends.
        costs: ``(B,)`` what they cost.
        children: ``(B branches, n)`` filled with complete sequences.
        values: ``(B branches, 3)`` filled with the values of these, and times and costs of the
            first ``placed + 1`` jobs.
        p: Processing times.
        w: Weights.
        d: Due dates.
        r: Release dates.
        s: Setups.
    """
    n = sequences.shape[1]
    score = np.empty(n)
    for b in range(len(sequences)):
        sequence, t = sequences[b], times[b]
        previous = sequence[placed - 1] if placed > 0 else -1
        scale = 0.0
        for k in range(placed, n):
            scale += p[sequence[k]]
        scale *= lookahead / (n - placed)
        for k in range(placed, n):
            j = sequence[k]
            q = end_of(t, previous, j, p, r, s) - t
            score[k] = -priority(q, d[j] - t, w[j], lookahead, scale)
        ranked = np.argsort(score[placed:], kind="mergesort") + placed
        for child in range(branches):
            k, row = ranked[child], b * branches + child
            j = sequence[k]
            children[row] = sequence
            children[row, placed], children[row, k] = j, sequence[placed]
            end = end_of(t, previous, j, p, r, s)
            total = costs[b] + w[j] * max(end - d[j], 0)
            values[row, 1], values[row, 2] = end, total
            values[row, 0] = complete(
                children[row], placed + 1, end, total, NEVER, lookahead, p, w, d, r, s
            )


@kernel
def descend(steps, cursor, sequence, p, w, d, r, s):
    """Make the best swap or insertion of one position after the other, as long as it saves.

    A move is evaluated from its first position to where all is as before, or until it is too
    costly: O(n) at worst, O(n^2) per step.

    Args:
        steps: Positions that may be treated, so that the descent can be paused.
        cursor: ``(2,)`` the next position, and how many were treated since the last improvement.
        sequence: ``(n,)`` jobs; changed.
        p: Processing times.
        w: Weights.
        d: Due dates.
        r: Release dates.
        s: Setups.

    Returns:
        Whether no move improves any more.
    """
    n = len(sequence)
    ends, costs = np.empty(n, np.int64), np.empty(n, np.int64)
    trial = sequence.copy()
    _evaluate(0, sequence, ends, costs, p, w, d, r, s)
    for _ in range(steps):
        if cursor[1] >= n:
            return True
        i = cursor[0]
        cursor[0] = (i + 1) % n
        cursor[1] += 1
        least, at, move = costs[n - 1], -1, SWAP
        for j in range(n):
            low, high = min(i, j), max(i, j)
            for kind in (SWAP, FORWARD, BACKWARD):
                if low == high or (kind != SWAP and high == low + 1):
                    continue  # neighbours: insertions are the swap
                apply(trial, low, high, kind)
                value = _changed(low, high, least, trial, ends, costs, p, w, d, r, s)
                trial[low : high + 1] = sequence[low : high + 1]
                if value < least:
                    least, at, move = value, j, kind
        if at >= 0:
            low, high = min(i, at), max(i, at)
            apply(sequence, low, high, move)
            trial[low : high + 1] = sequence[low : high + 1]
            _evaluate(low, sequence, ends, costs, p, w, d, r, s)
            cursor[1] = 0
    return cursor[1] >= n


@kernel
def _evaluate(first, sequence, ends, costs, p, w, d, r, s):
    """Fill in, from position ``first`` on, when jobs end and what all so far cost."""
    t = ends[first - 1] if first > 0 else 0
    total = costs[first - 1] if first > 0 else 0
    previous = sequence[first - 1] if first > 0 else -1
    for k in range(first, len(sequence)):
        j = sequence[k]
        t = end_of(t, previous, j, p, r, s)
        total += w[j] * max(t - d[j], 0)
        ends[k], costs[k], previous = t, total, j


@kernel
def _changed(low, high, stop, trial, ends, costs, p, w, d, r, s):
    """Cost of a sequence that differs from the evaluated one between two positions.

    Some cost of at least ``stop`` where the cost is not below it.
    """
    n = len(trial)
    t = ends[low - 1] if low > 0 else 0
    total = costs[low - 1] if low > 0 else 0
    previous = trial[low - 1] if low > 0 else -1
    for k in range(low, n):
        j = trial[k]
        t = end_of(t, previous, j, p, r, s)
        total += w[j] * max(t - d[j], 0)
        previous = j
        if total >= stop:
            return total
        if t == ends[k] and (k > high or (k == high and len(s) == 0)):
            return total + costs[n - 1] - costs[k]
    return total
