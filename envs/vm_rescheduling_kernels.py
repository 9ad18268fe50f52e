"""The transition of VM rescheduling: kernels over ``VMReschedulingSimulator``'s arrays.

In every kernel ``b`` is a row, ``s`` its slot, ``v`` a VM, ``p`` a PM, ``g`` a group of VMs. A
*place* is ``2 p + node``, and ``2 p`` for a VM on both nodes. A *kind* is a size of VMs, within one
cluster if VMs stay there. A group holds one VM, or all those of a kind in one place.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from typing import Any

import numpy as np
from numba import njit

from .kernels import VIEW_FIELDS, array_struct, kernel

# The arrays, and what stands in their last axis.
# ``problems`` (S, 14)
NUM_VMS, NUM_PMS, NUM_GROUPS, NUM_KINDS, NUM_SIZES, MNL, UPPER, BUDGET = range(8)
GOAL_COST, HAS_GOAL, DELAYED, NODE_SIZE, LOCAL, GROUPED = range(8, 14)
# ``constants`` (S, 4): 1 / unit of cores, 1 / unit of memory, unit of the rewards, 1 / slot
PER_CORE, PER_MEMORY, SCALE, PER_SLOT = range(4)
# ``pms`` (S, P, 3)
ACTIVE, CLUSTER, RACK = range(3)
# ``vms`` (S, V, 8): place at the beginning; whether it is there after the delay; what groups it
CORES, MEMORY, DOUBLE, CAN_MOVE, PLACE, PRESENT, KIND, ALIKE = range(8)
# ``kinds`` (S, K, 4): as the VMs of that kind; the cluster, -1 for any
KIND_CLUSTER = 3
# ``progress`` (B, 6): moves made; chosen group or -1; cost as planned, and after the delay; memory
# moved; groups that are not in use
MOVES, CHOSEN, COST, LATE_COST, SPENT, UNUSED = range(6)

#: Weight of the convex term in the potential of a node.
CONVEX = 0.5

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "sizes", "pms", "vms", "kinds", "first_cores", "first_memory"),
    *("late_first_cores", "late_first_memory", "sets_from", "sets_of", "members_from", "members"),
    "levels",
    *("slot", "cores", "memory", "place", "late_cores", "late_memory", "late_place", "moves"),
    *("progress", "fits", "best", "best_pm", "head", "size", "next_vm", "next_group", "on_pm"),
    *("unused", "at"),
    *VIEW_FIELDS,
)

#: A part that is called, not inlined: all of them inlined would take minutes to compile.
call: Any = njit(  # type: ignore[call-overload]
    cache=True, nogil=True, error_model="numpy", _nrt=False
)

VMArrays = array_struct("VMArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return VMArrays(*arrays)


@kernel
def begin(a, rows, skip_forced):
    """Reset the given rows to the snapshot; O(V + K P)."""
    world = (a.problems, a.constants, a.sizes, a.pms, a.vms, a.kinds)
    sets = (a.sets_from, a.sets_of, a.members_from, a.members, a.levels)
    now = (a.cores, a.memory, a.place)
    late = (a.late_cores, a.late_memory, a.late_place)
    groups = (a.head, a.size, a.next_vm, a.next_group, a.on_pm, a.unused, a.at, a.progress)
    search = (a.fits, a.best, a.best_pm)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, progress, vms = a.problems, a.progress, a.vms
    for b in rows:
        s = a.slot[b]
        a.candidates[b] = 0.0
        a.action_mask[b] = 0
        a.candidate_nodes[b] = -1
        a.num_available[b] = 0
        V, P, K = problems[s, NUM_VMS], problems[s, NUM_PMS], problems[s, NUM_KINDS]
        a.cores[b] = a.first_cores[s]
        a.memory[b] = a.first_memory[s]
        a.late_cores[b] = a.late_first_cores[s]
        a.late_memory[b] = a.late_first_memory[s]
        for v in range(V):
            a.place[b, v] = a.late_place[b, v] = vms[s, v, PLACE]
        progress[b, MOVES] = progress[b, SPENT] = progress[b, COST] = progress[b, LATE_COST] = 0
        progress[b, CHOSEN] = -1
        for p in range(P):
            if a.pms[s, p, ACTIVE]:
                progress[b, COST] += _pm_cost(s, a.cores[b, p, 0], a.cores[b, p, 1], world)
                progress[b, LATE_COST] += _pm_cost(
                    s, a.late_cores[b, p, 0], a.late_cores[b, p, 1], world
                )
        for k in range(K):
            _scan(b, s, k, world, now, search)
        _group_all(b, s, world, groups)
        for p in range(P):
            _write_groups(b, s, p, world, now, groups, view)
        a.moves[b] = 0
        a.value[b] = a.initial_value[b] = _charged(b, s, world, progress)
        a.scale[b] = a.constants[s, SCALE]
        a.reward[b] = 0.0
        a.infeasible[b] = 0
        _decide(b, s, skip_forced, world, sets, now, late, groups, search, view, progress, a.moves)
        a.value[b] = _charged(b, s, world, progress)
        if skip_forced:
            a.initial_value[b] = a.value[b]
        a.done[b] = a.num_available[b] == 0


@kernel
def advance(a, actions, skip_forced):
    """Choose a VM or its place in every row; O(groups + P) per decision."""
    world = (a.problems, a.constants, a.sizes, a.pms, a.vms, a.kinds)
    sets = (a.sets_from, a.sets_of, a.members_from, a.members, a.levels)
    now = (a.cores, a.memory, a.place)
    late = (a.late_cores, a.late_memory, a.late_place)
    groups = (a.head, a.size, a.next_vm, a.next_group, a.on_pm, a.unused, a.at, a.progress)
    search = (a.fits, a.best, a.best_pm)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, progress, mask, slot = a.problems, a.progress, a.action_mask, a.slot
    value, num_available, reward, scale = a.value, a.num_available, a.reward, a.scale
    infeasible, done, moves = a.infeasible, a.done, a.moves
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        action, s, before = actions[b], slot[b], value[b]
        last = 1 + problems[s, NUM_GROUPS] + 2 * problems[s, NUM_PMS]
        feasible = 0 <= action < last and mask[b, action] != 0
        _clear(b, s, world, view)
        if feasible:
            ended = _play(
                b, s, action, world, sets, now, late, groups, search, view, progress, moves
            )
            if not ended:
                _decide(
                    b, s, skip_forced, world, sets, now, late, groups, search, view, progress, moves
                )
            value[b] = _charged(b, s, world, progress)
        else:
            value[b] = max(np.float64(problems[s, UPPER]), before)
            infeasible[b] = 1
        done[b] = num_available[b] == 0
        reward[b] = (before - value[b]) / scale[b]


@call
def _charged(b, s, world, progress):
    """The objective of the cluster as it is after the delay, and of the moves so far."""
    problems = world[0]
    cost = progress[b, LATE_COST]
    if problems[s, HAS_GOAL]:
        missing = max(0, cost - problems[s, GOAL_COST])
        return np.float64((problems[s, MNL] + 1) * missing + progress[b, MOVES])
    return np.float64(cost)


@call
def _usable(s, f0, f1, world):
    """``sum_t w_t X_t S_t`` of a PM with ``f0`` and ``f1`` free cores; O(sizes)."""
    problems, sizes = world[0], world[2]
    usable = 0
    for t in range(problems[s, NUM_SIZES]):
        x = sizes[s, t, 0]
        if sizes[s, t, 1]:
            usable += sizes[s, t, 2] * x * min(f0 // (x // 2), f1 // (x // 2))
        else:
            usable += sizes[s, t, 2] * x * (f0 // x + f1 // x)
    return usable


@call
def _pm_cost(s, f0, f1, world):
    """Unusable free cores of a PM."""
    problems, sizes = world[0], world[2]
    weight = 0
    for t in range(problems[s, NUM_SIZES]):
        weight += sizes[s, t, 2]
    return weight * (f0 + f1) - _usable(s, f0, f1, world)


@call
def _potential(s, f0, f1, world):
    """Slots of a PM, and a convex term that prefers uneven leftovers."""
    problems, constants = world[0], world[1]
    x = problems[s, NODE_SIZE]
    a, b = (f0 % x) / x, (f1 % x) / x
    return _usable(s, f0, f1, world) * constants[s, PER_SLOT] + CONVEX * (a * a + b * b)


@call
def _taken(double, node, c):
    """Cores on both nodes of a VM with ``c`` cores on each node that it uses."""
    on0 = c if double or node == 0 else 0
    on1 = c if double or node == 1 else 0
    return on0, on1


@call
def _kind_fits(b, s, k, p, node, world, now):
    """Whether a VM of a kind has room in a place, sets and its own place aside."""
    pms, kinds = world[3], world[5]
    cores, memory = now[0], now[1]
    if not pms[s, p, ACTIVE]:
        return False
    if kinds[s, k, KIND_CLUSTER] >= 0 and kinds[s, k, KIND_CLUSTER] != pms[s, p, CLUSTER]:
        return False
    c, m = kinds[s, k, CORES], kinds[s, k, MEMORY]
    if kinds[s, k, DOUBLE]:
        return (
            node == 0
            and cores[b, p, 0] >= c
            and cores[b, p, 1] >= c
            and memory[b, p, 0] >= m
            and memory[b, p, 1] >= m
        )
    return cores[b, p, node] >= c and memory[b, p, node] >= m


@call
def _scan_pm(b, s, k, p, sign, world, now, search):
    """Count the places of a PM for a kind, and keep the best rise of the potential."""
    fits, best, best_pm = search
    cores, kinds = now[0], world[5]
    for node in range(2):
        if _kind_fits(b, s, k, p, node, world, now):
            fits[b, k] += sign
            if sign > 0:
                f0, f1 = cores[b, p, 0], cores[b, p, 1]
                on0, on1 = _taken(kinds[s, k, DOUBLE], node, kinds[s, k, CORES])
                rise = _potential(s, f0 - on0, f1 - on1, world) - _potential(s, f0, f1, world)
                if best_pm[b, k] < 0 or rise > best[b, k]:
                    best[b, k] = rise
                    best_pm[b, k] = p


@call
def _scan(b, s, k, world, now, search):
    """Look at all places for a kind; O(P)."""
    fits, best, best_pm = search
    fits[b, k] = 0
    best[b, k] = 0.0
    best_pm[b, k] = -1
    for p in range(world[0][s, NUM_PMS]):
        _scan_pm(b, s, k, p, 1, world, now, search)


@call
def _group_all(b, s, world, groups):
    """Put every VM that may move into a group."""
    problems, vms = world[0], world[4]
    head, size, next_vm, next_group, on_pm, unused, _, progress = groups
    for g in range(problems[s, NUM_GROUPS]):
        head[b, g] = next_group[b, g] = -1
        size[b, g] = 0
        unused[b, g] = problems[s, NUM_GROUPS] - 1 - g
    progress[b, UNUSED] = problems[s, NUM_GROUPS]
    for p in range(problems[s, NUM_PMS]):
        on_pm[b, p] = -1
    for i in range(problems[s, NUM_VMS]):
        v = problems[s, NUM_VMS] - 1 - i
        next_vm[b, v] = -1
        if vms[s, v, CAN_MOVE]:
            _join(b, s, v, vms[s, v, PLACE], world, groups)


@call
def _join(b, s, v, place, world, groups):
    """Add a VM to the group of its like in a place, or begin one."""
    problems, vms = world[0], world[4]
    head, size, next_vm, next_group, on_pm, unused, at, progress = groups
    p, found = place // 2, -1
    if problems[s, GROUPED]:
        g = on_pm[b, p]
        while g >= 0 and found < 0:
            u = head[b, g]
            if vms[s, u, ALIKE] == vms[s, v, ALIKE] and at[b, g] == place:
                found = g
            g = next_group[b, g]
    if found < 0:
        if problems[s, GROUPED]:
            progress[b, UNUSED] -= 1
            found = unused[b, progress[b, UNUSED]]
        else:
            found = v
        at[b, found] = place
        next_group[b, found] = on_pm[b, p]
        on_pm[b, p] = found
    next_vm[b, v] = head[b, found]
    head[b, found] = v
    size[b, found] += 1
    return found


@call
def _leave(b, s, g, world, groups, view):
    """Take the first VM out of a group; returns it."""
    problems = world[0]
    candidates, nodes = view[0], view[3]
    head, size, next_vm, next_group, on_pm, unused, at, progress = groups
    v = head[b, g]
    head[b, g] = next_vm[b, v]
    next_vm[b, v] = -1
    size[b, g] -= 1
    if size[b, g] == 0:
        p = at[b, g] // 2
        if on_pm[b, p] == g:
            on_pm[b, p] = next_group[b, g]
        else:
            before = on_pm[b, p]
            while next_group[b, before] != g:
                before = next_group[b, before]
            next_group[b, before] = next_group[b, g]
        next_group[b, g] = -1
        if problems[s, GROUPED]:
            unused[b, progress[b, UNUSED]] = g
            progress[b, UNUSED] += 1
        for column in range(candidates.shape[2]):
            candidates[b, 1 + g, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, 1 + g, kind] = -1
    return v


@call
def _clear(b, s, world, view):
    """Take the last decision's candidates out; the rows of the groups stay as they are."""
    candidates, _, mask, nodes, available, num_available = view
    first = 1 + world[0][s, NUM_GROUPS]
    for i in range(num_available[b]):
        action = available[b, i]
        mask[b, action] = 0
        if action == 0 or action >= first:
            for column in range(candidates.shape[2]):
                candidates[b, action, column] = 0.0
            for kind in range(nodes.shape[2]):
                nodes[b, action, kind] = -1
    num_available[b] = 0


@call
def _play(b, s, action, world, sets, now, late, groups, search, view, progress, moves):
    """Stop, choose a group, or move its first VM; returns whether the episode has ended."""
    problems = world[0]
    if action == 0:
        return True
    if progress[b, CHOSEN] < 0:
        progress[b, CHOSEN] = action - 1
        return False
    place = action - 1 - problems[s, NUM_GROUPS]
    g = progress[b, CHOSEN]
    progress[b, CHOSEN] = -1
    _migrate(b, s, g, place, world, sets, now, late, groups, search, view, progress, moves)
    return progress[b, MOVES] >= problems[s, MNL]


@call
def _migrate(b, s, g, place, world, sets, now, late, groups, search, view, progress, moves):
    """Move the first VM of a group; O(K) and what is on the two PMs."""
    problems, vms = world[0], world[4]
    best_pm = search[2]
    v = _leave(b, s, g, world, groups, view)
    old, new = now[2][b, v] // 2, place // 2
    K = problems[s, NUM_KINDS]
    for k in range(K):
        for i in range(1 if old == new else 2):
            _scan_pm(b, s, k, old if i == 0 else new, -1, world, now, search)
    progress[b, COST] += _shift(b, s, v, place, world, now)
    for k in range(K):
        again = best_pm[b, k] == old or best_pm[b, k] == new
        if again:
            _scan(b, s, k, world, now, search)
        else:
            for i in range(1 if old == new else 2):
                _scan_pm(b, s, k, old if i == 0 else new, 1, world, now, search)
    if problems[s, DELAYED]:
        if vms[s, v, PRESENT] and _allowed(b, s, v, place, 1, world, sets, late):
            progress[b, LATE_COST] += _shift(b, s, v, place, world, late)
    else:
        progress[b, LATE_COST] = progress[b, COST]
    i = progress[b, MOVES]
    moves[b, i, 0] = v
    moves[b, i, 1] = new
    moves[b, i, 2] = -1 if vms[s, v, DOUBLE] else place % 2
    progress[b, MOVES] += 1
    progress[b, SPENT] += vms[s, v, MEMORY] * (1 + vms[s, v, DOUBLE])
    _join(b, s, v, place, world, groups)
    for i in range(1 if old == new else 2):
        _write_groups(b, s, old if i == 0 else new, world, now, groups, view)


@call
def _shift(b, s, v, place, world, cluster):
    """Move a VM in a cluster; returns by how much its cost rises."""
    vms = world[4]
    cores, memory, places = cluster
    c, m, double = vms[s, v, CORES], vms[s, v, MEMORY], vms[s, v, DOUBLE]
    rise = 0
    for i in range(2):
        at, sign = (places[b, v], 1) if i == 0 else (place, -1)
        p = at // 2
        rise -= _pm_cost(s, cores[b, p, 0], cores[b, p, 1], world)
        for node in range(2):
            if double or node == at % 2:
                cores[b, p, node] += sign * c
                memory[b, p, node] += sign * m
        rise += _pm_cost(s, cores[b, p, 0], cores[b, p, 1], world)
    places[b, v] = place
    return rise


@call
def _allowed(b, s, v, place, delayed, world, sets, cluster):
    """Whether a VM may go to a place."""
    problems, pms, vms = world[0], world[3], world[4]
    cores, memory, places = cluster
    p = place // 2
    if place == places[b, v] or not pms[s, p, ACTIVE]:
        return False
    if problems[s, LOCAL] and pms[s, p, CLUSTER] != pms[s, places[b, v] // 2, CLUSTER]:
        return False
    double = vms[s, v, DOUBLE]
    if double and place % 2:
        return False
    for node in range(2):
        if (double or node == place % 2) and (
            cores[b, p, node] < vms[s, v, CORES] or memory[b, p, node] < vms[s, v, MEMORY]
        ):
            return False
    return _apart(b, s, v, p, delayed, world, sets, places)


@call
def _apart(b, s, v, p, delayed, world, sets, places):
    """Whether the VMs in the sets of ``v`` are elsewhere; O(its sets)."""
    pms, vms = world[3], world[4]
    sets_from, sets_of, members_from, members, levels = sets
    for i in range(sets_from[s, v], sets_from[s, v + 1]):
        one = sets_of[s, i]
        for j in range(members_from[s, one], members_from[s, one + 1]):
            u = members[s, j]
            if u == v or (delayed and not vms[s, u, PRESENT]):
                continue
            near = places[b, u] // 2
            if near == p or (levels[s, one] and pms[s, near, RACK] == pms[s, p, RACK]):
                return False
    return True


@call
def _has_place(b, s, v, world, sets, now, search):
    """Whether there is any place for a VM; O(1), and O(P) for one in anti-affinity sets."""
    problems, vms = world[0], world[4]
    fits, places = search[0], now[2]
    k, place = vms[s, v, KIND], places[b, v]
    count = fits[b, k]
    if count and _kind_fits(b, s, k, place // 2, place % 2, world, now):
        count -= 1
    if count == 0 or sets[0][s, v] == sets[0][s, v + 1]:
        return count > 0
    for other in range(2 * problems[s, NUM_PMS]):
        if _allowed(b, s, v, other, 0, world, sets, now):
            return True
    return False


@call
def _decide(b, s, skip_forced, world, sets, now, late, groups, search, view, progress, moves):
    """Write the next decision, playing forced ones on the way if asked."""
    candidates, available, num_available = view[0], view[4], view[5]
    while True:
        if progress[b, CHOSEN] < 0:
            _offer_groups(b, s, world, sets, now, groups, search, view, progress)
        else:
            _offer_places(b, s, world, sets, now, groups, view, progress)
        if not skip_forced or num_available[b] > 1:
            break
        action = available[b, 0]
        _clear(b, s, world, view)
        if _play(b, s, action, world, sets, now, late, groups, search, view, progress, moves):
            return
    _write_globals(b, s, world, view, progress, groups)
    candidates[b, 0, 0] = 1.0 if progress[b, CHOSEN] < 0 else 0.0


@call
def _offer_groups(b, s, world, sets, now, groups, search, view, progress):
    """To stop, or a group with a VM that may move; O(groups)."""
    problems, vms = world[0], world[4]
    candidates, _, mask, _, available, num_available = view
    head = groups[0]
    best = search[1]
    available[b, 0] = 0
    mask[b, 0] = 1
    count = 1
    reached = problems[s, HAS_GOAL] and progress[b, COST] <= problems[s, GOAL_COST]
    for g in range(0 if reached else problems[s, NUM_GROUPS]):
        v = head[b, g]
        if v < 0:
            continue
        candidates[b, 1 + g, 3] = candidates[b, 1 + g, 2] + best[b, vms[s, v, KIND]]
        if not _has_place(b, s, v, world, sets, now, search):
            continue
        if problems[s, BUDGET] >= 0:
            moved = vms[s, v, MEMORY] * (1 + vms[s, v, DOUBLE])
            if progress[b, SPENT] + moved > problems[s, BUDGET]:
                continue
        mask[b, 1 + g] = 1
        available[b, count] = 1 + g
        count += 1
    num_available[b] = count


@call
def _write_groups(b, s, p, world, now, groups, view):
    """The columns of the groups on a PM; O(its groups)."""
    problems, constants, vms = world[0], world[1], world[4]
    candidates, nodes = view[0], view[3]
    head, size, _, next_group, on_pm, _, at, _ = groups
    cores = now[0]
    f0, f1 = cores[b, p, 0], cores[b, p, 1]
    usable, potential = _usable(s, f0, f1, world), _potential(s, f0, f1, world)
    g = on_pm[b, p]
    while g >= 0:
        v, place = head[b, g], at[b, g]
        double, c = vms[s, v, DOUBLE], vms[s, v, CORES]
        on0, on1 = _taken(double, place % 2, c)
        row = candidates[b, 1 + g]
        gain = _usable(s, f0 + on0, f1 + on1, world) - usable
        row[1] = gain * constants[s, PER_SLOT]
        row[2] = _potential(s, f0 + on0, f1 + on1, world) - potential
        row[4] = c * constants[s, PER_CORE]
        row[5] = vms[s, v, MEMORY] * constants[s, PER_MEMORY]
        row[6] = double
        free = min(f0, f1) if double else (f0 if place % 2 == 0 else f1)
        row[7] = free * constants[s, PER_CORE]
        row[8] = (free % problems[s, NODE_SIZE]) * constants[s, PER_CORE]
        row[9] = size[b, g]
        if nodes.shape[2] == 2:
            nodes[b, 1 + g, 0] = v
            nodes[b, 1 + g, 1] = problems[s, NUM_VMS] + place  # the VMs come first
        g = next_group[b, g]


@call
def _offer_places(b, s, world, sets, now, groups, view, progress):
    """The places where the chosen VM may go, with the exact gain of the whole move; O(P)."""
    problems, constants, vms = world[0], world[1], world[4]
    candidates, _, mask, nodes, available, num_available = view
    cores, places = now[0], now[2]
    v = groups[0][b, progress[b, CHOSEN]]
    double, c, old = vms[s, v, DOUBLE], vms[s, v, CORES], places[b, v]
    q, first, count = old // 2, 1 + problems[s, NUM_GROUPS], 0
    on0, on1 = _taken(double, old % 2, c)
    e0, e1 = cores[b, q, 0] + on0, cores[b, q, 1] + on1
    was_usable = _usable(s, cores[b, q, 0], cores[b, q, 1], world)
    was = _potential(s, cores[b, q, 0], cores[b, q, 1], world)
    left_usable = _usable(s, e0, e1, world) - was_usable
    left = _potential(s, e0, e1, world) - was
    for place in range(2 * problems[s, NUM_PMS]):
        if not _allowed(b, s, v, place, 0, world, sets, now):
            continue
        p = place // 2
        f0, f1 = cores[b, p, 0], cores[b, p, 1]
        to0, to1 = _taken(double, place % 2, c)
        if p == q:
            gain = _usable(s, e0 - to0, e1 - to1, world) - was_usable
            rise = _potential(s, e0 - to0, e1 - to1, world) - was
        else:
            gain = left_usable + _usable(s, f0 - to0, f1 - to1, world)
            gain -= _usable(s, f0, f1, world)
            rise = left + _potential(s, f0 - to0, f1 - to1, world)
            rise -= _potential(s, f0, f1, world)
        row = candidates[b, first + place]
        row[1] = gain * constants[s, PER_SLOT]
        row[2] = row[3] = rise
        row[4] = c * constants[s, PER_CORE]
        row[5] = vms[s, v, MEMORY] * constants[s, PER_MEMORY]
        row[6] = double
        free = min(f0, f1) if double else (f0 if place % 2 == 0 else f1)
        row[7] = free * constants[s, PER_CORE]
        row[8] = (free % problems[s, NODE_SIZE]) * constants[s, PER_CORE]
        row[9] = 0.0
        if nodes.shape[2] == 2:
            nodes[b, first + place, 0] = v
            nodes[b, first + place, 1] = problems[s, NUM_VMS] + place  # the VMs come first
        mask[b, first + place] = 1
        available[b, count] = first + place
        count += 1
    num_available[b] = count


@call
def _write_globals(b, s, world, view, progress, groups):
    """The global columns, of the cluster as it was seen: nothing tells what the delay does."""
    problems, constants, vms = world[0], world[1], world[4]
    columns, num_available = view[1], view[5]
    g = progress[b, CHOSEN]
    columns[b, 0] = g >= 0
    columns[b, 1] = (problems[s, MNL] - progress[b, MOVES]) / problems[s, MNL]
    columns[b, 2] = num_available[b]
    columns[b, 3] = progress[b, COST] * constants[s, PER_SLOT]
    missing = max(0, progress[b, COST] - problems[s, GOAL_COST]) if problems[s, HAS_GOAL] else 0
    columns[b, 4] = missing * constants[s, PER_SLOT]
    columns[b, 5] = columns[b, 6] = 0.0
    if g >= 0:
        v = groups[0][b, g]
        columns[b, 5] = vms[s, v, CORES] * constants[s, PER_CORE]
        columns[b, 6] = vms[s, v, DOUBLE]
