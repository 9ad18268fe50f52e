"""Numba kernels of the searches of VM rescheduling.

They work on flat arrays: ``cores, memory`` ``(P, 2)`` free amounts, ``vms`` ``(V, 4)`` cores,
memory, double, movable, and ``place`` ``(V,)``: ``2 p + node``, ``2 p`` for a double.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators
# Numba has its own generators behind NumPy's old names.
# ruff: noqa: NPY002

import numpy as np
from numba import njit

CORES, MEMORY, DOUBLE, MOVABLE = range(4)


@njit(cache=True, nogil=True)
def usable(f0, f1, sizes):
    """``sum_t w_t X_t S_t`` of a PM."""
    total = 0
    for t in range(len(sizes)):
        x = sizes[t, 0]
        if sizes[t, 1]:
            total += sizes[t, 2] * x * min(f0 // (x // 2), f1 // (x // 2))
        else:
            total += sizes[t, 2] * x * (f0 // x + f1 // x)
    return total


@njit(cache=True, nogil=True)
def potential(f0, f1, sizes, convex):
    """Slots of the first size, and ``convex`` times the squared leftovers of the nodes."""
    x = sizes[0, 0] // 2 if sizes[0, 1] else sizes[0, 0]
    a, b = (f0 % x) / x, (f1 % x) / x
    return usable(f0, f1, sizes) / (sizes[0, 0] * sizes[0, 2]) + convex * (a * a + b * b)


@njit(cache=True, nogil=True)
def shift(v, place, sign, cores, memory, vms):
    """Give (+1) or take (-1) what a VM uses in a place."""
    p = place // 2
    for node in range(2):
        if vms[v, DOUBLE] or node == place % 2:
            cores[p, node] += sign * vms[v, CORES]
            memory[p, node] += sign * vms[v, MEMORY]


@njit(cache=True, nogil=True)
def fits(v, place, cores, memory, vms, pms, home):
    """Whether a VM has room in a place of an active PM; sets aside."""
    p = place // 2
    if not pms[p, 0] or (vms[v, DOUBLE] and place % 2):
        return False
    if pms[p, 1] >= 0 and pms[p, 1] != pms[home // 2, 1]:
        return False
    for node in range(2):
        if (vms[v, DOUBLE] or node == place % 2) and (
            cores[p, node] < vms[v, CORES] or memory[p, node] < vms[v, MEMORY]
        ):
            return False
    return True


@njit(cache=True, nogil=True)
def apart(v, p, place, pms, sets):
    """Whether the VMs in the sets of ``v`` are elsewhere."""
    sets_from, sets_of, members_from, members, levels = sets
    for i in range(sets_from[v], sets_from[v + 1]):
        one = sets_of[i]
        for j in range(members_from[one], members_from[one + 1]):
            u = members[j]
            if u == v:
                continue
            near = place[u] // 2
            if near == p or (levels[one] and pms[near, 2] == pms[p, 2]):
                return False
    return True


@njit(cache=True, nogil=True)
def arrival(v, to, cores, memory, vms, sizes, convex):
    """Rise of the potential of a place's PM if a VM arrives."""
    p = to // 2
    before = potential(cores[p, 0], cores[p, 1], sizes, convex)
    shift(v, to, -1, cores, memory, vms)
    after = potential(cores[p, 0], cores[p, 1], sizes, convex)
    shift(v, to, 1, cores, memory, vms)
    return after - before


@njit(cache=True, nogil=True)
def rank(v, cores, memory, place, vms, pms, sizes, convex, places, rises):
    """The best places for a VM of some kind, sets and its own place aside; O(P)."""
    places[:], rises[:] = -1, -np.inf
    for to in range(2 * len(pms)):
        if not fits(v, to, cores, memory, vms, pms, place[v]):
            continue
        rise = arrival(v, to, cores, memory, vms, sizes, convex)
        i = len(places)
        while i > 0 and rise > rises[i - 1]:
            i -= 1
        if i < len(places):
            for j in range(len(places) - 1, i, -1):
                places[j], rises[j] = places[j - 1], rises[j - 1]
            places[i], rises[i] = to, rise


@njit(cache=True, nogil=True)
def greedy(cores, memory, place, vms, pms, sets, sizes, kind_of, convex, mnl, budget, moves):
    """The move with the largest rise of the potential, again and again; returns their number.

    Per move O(K P + V), for K kinds of VMs: of each kind the best places are known.
    """
    K, count, spent = kind_of.max() + 1 if len(kind_of) else 0, 0, 0
    places, rises = np.zeros((K, 8), dtype=np.int64), np.zeros((K, 8))
    known = np.zeros(K, dtype=np.bool_)
    while count < mnl:
        known[:] = False
        best, chosen, target = 1e-9, -1, -1
        for v in range(len(vms)):
            moved = vms[v, MEMORY] * (1 + vms[v, DOUBLE])
            if not vms[v, MOVABLE] or (budget >= 0 and spent + moved > budget):
                continue
            k, old = kind_of[v], place[v]
            if not known[k]:
                rank(v, cores, memory, place, vms, pms, sizes, convex, places[k], rises[k])
                known[k] = True
            q = old // 2
            was = potential(cores[q, 0], cores[q, 1], sizes, convex)
            shift(v, old, 1, cores, memory, vms)
            left = potential(cores[q, 0], cores[q, 1], sizes, convex) - was
            other = old if vms[v, DOUBLE] else old ^ 1
            if other != old and fits(v, other, cores, memory, vms, pms, old):
                rise = left + arrival(v, other, cores, memory, vms, sizes, convex)
                if rise > best and apart(v, q, place, pms, sets):
                    best, chosen, target = rise, v, other
            shift(v, old, -1, cores, memory, vms)
            for i in range(places.shape[1]):
                to = places[k, i]
                if to < 0 or left + rises[k, i] <= best:
                    break
                if to // 2 != q and apart(v, to // 2, place, pms, sets):
                    best, chosen, target = left + rises[k, i], v, to
                    break
        if chosen < 0:
            break
        shift(chosen, place[chosen], 1, cores, memory, vms)
        shift(chosen, target, -1, cores, memory, vms)
        place[chosen] = target
        moves[count, 0], moves[count, 1] = chosen, target
        spent += vms[chosen, MEMORY] * (1 + vms[chosen, DOUBLE])
        count += 1
    return count


@njit(cache=True, nogil=True)
def anneal(cores, memory, place, home, vms, pms, sets, sizes, limits, steps, heat, state):
    """Simulated annealing on final places, with at most ``mnl`` VMs away from home.

    Energy: minus the potential, and a little for each VM away. ``heat`` is the first and the last
    temperature of all, and how far along this call is: from, to. ``state``: best places so far, and
    in its last entry the usable cores there.
    """
    movable, mnl, budget, seed = limits
    np.random.seed(seed)
    convex, fee = 0.3, 0.02
    best = state[-1]
    away = np.zeros(mnl + 1, dtype=np.int64)
    where = np.full(len(vms), -1)
    count = spent = 0
    now = 0
    for v in range(len(vms)):
        if place[v] != home[v]:
            away[count], where[v] = v, count
            count += 1
            spent += vms[v, MEMORY] * (1 + vms[v, DOUBLE])
    for p in range(len(pms)):
        if pms[p, 0]:
            now += usable(cores[p, 0], cores[p, 1], sizes)
    for step in range(steps):
        done = heat[2] + (heat[3] - heat[2]) * step / steps
        temperature = heat[0] * (heat[1] / heat[0]) ** done
        if count and np.random.random() < 0.3:
            v = away[np.random.randint(count)]
        else:
            v = movable[np.random.randint(len(movable))]
        to = np.random.randint(2 * len(pms))
        if where[v] >= 0 and np.random.random() < 0.5:
            to = home[v]
        if vms[v, DOUBLE]:
            to -= to % 2
        old = place[v]
        if to == old or (where[v] < 0 and count >= mnl):
            continue
        moved = vms[v, MEMORY] * (1 + vms[v, DOUBLE])
        if where[v] < 0 and budget >= 0 and spent + moved > budget:
            continue
        q, p = old // 2, to // 2
        f = potential(cores[q, 0], cores[q, 1], sizes, convex)
        g = usable(cores[q, 0], cores[q, 1], sizes)
        if p != q:
            f += potential(cores[p, 0], cores[p, 1], sizes, convex)
            g += usable(cores[p, 0], cores[p, 1], sizes)
        shift(v, old, 1, cores, memory, vms)
        if not fits(v, to, cores, memory, vms, pms, old) or not apart(v, p, place, pms, sets):
            shift(v, old, -1, cores, memory, vms)
            continue
        shift(v, to, -1, cores, memory, vms)
        f -= potential(cores[q, 0], cores[q, 1], sizes, convex)
        g -= usable(cores[q, 0], cores[q, 1], sizes)
        if p != q:
            f -= potential(cores[p, 0], cores[p, 1], sizes, convex)
            g -= usable(cores[p, 0], cores[p, 1], sizes)
        if to == home[v]:
            f -= fee
        elif where[v] < 0:
            f += fee
        if f > 0 and np.random.random() >= np.exp(-f / temperature):
            shift(v, to, 1, cores, memory, vms)
            shift(v, old, -1, cores, memory, vms)
            continue
        place[v] = to
        now -= g
        if to == home[v]:
            count -= 1
            spent -= moved
            last = away[count]
            away[where[v]], where[last] = last, where[v]
            where[v] = -1
        elif where[v] < 0:
            away[count], where[v] = v, count
            count += 1
            spent += moved
        if now > best:
            best = now
            state[:-1] = place
    state[-1] = best
