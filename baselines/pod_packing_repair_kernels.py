"""Repair of a placement as Numba kernels: direct placement, move, swap, ejection, and ruin.

In every kernel ``i``, ``q``, ``r`` are pods, ``j`` a node. ``world`` and ``state`` are those of
``instances/pod_packing_rules.py``. A *plan* is the tuple ``(pods, in_budget, left)``: see the
columns of ``pods``; ``left`` counts the disruptions that each budget still allows.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators
# Explicit loops compile to faster code than generators.
# ruff: noqa: SIM110

from __future__ import annotations

import numpy as np

from ..instances import pod_packing_rules
from .pod_packing_scores import jit

rules = pod_packing_rules.compiled(jit)
_allows, _put, _take = rules.allows, rules.put, rules.take

# ``pods`` (P, 6); MOVABLE: not protected, and no other pod rests on it
TIER, CURRENT, MOVABLE, SIZE, COST, GROUP = range(6)

#: The objectives.
PLACE_FIRST, TIERED, WEIGHTED = range(3)

#: Scaled size of a pod that fills a mean node.
FULL = 1_000_000


@jit
def may_leave(q, plan, world, state):
    """Whether a pod may leave its node: it is movable, and its budgets allow it."""
    pods, in_budget, left = plan
    if not pods[q, MOVABLE]:
        return False
    if state[1][q] == pods[q, CURRENT]:
        for m in range(len(left)):
            if in_budget[world[1][q], m] and left[m] <= 0:
                return False
    return True


@jit
def leave(q, plan, world, state):
    """Take a pod from its node."""
    pods, in_budget, left = plan
    here = state[1][q] == pods[q, CURRENT]
    _take(q, not here, world, state)
    if here:
        for m in range(len(left)):
            left[m] -= in_budget[world[1][q], m]


@jit
def arrive(i, j, plan, world, state):
    """Put a pod on a node."""
    pods, in_budget, left = plan
    here = j == pods[i, CURRENT]
    _put(i, j, not here, world, state)
    if here:
        for m in range(len(left)):
            left[m] += in_budget[world[1][i], m]


@jit
def best_node(i, avoid, per_capacity, plan, world, state):
    """The node where a pod fits best: its own one, else where the least is left; -1 if none."""
    pods, free, requests = plan[0], state[0], world[0]
    best, best_left = -1, 1e18
    for j in range(len(free)):
        if j == avoid or not _allows(i, j, world, state):
            continue
        if j == pods[i, CURRENT]:
            return j
        left = 0.0
        for k in range(2):
            left += (free[j, k] - requests[i, k]) * per_capacity[j, k]
        if left < best_left:
            best, best_left = j, left
    return best


@jit
def _room_without(i, j, q, world, state):
    """Whether pod ``i`` would have room on node ``j`` without pod ``q``."""
    requests, free = world[0], state[0]
    for k in range(requests.shape[1]):
        if requests[i, k] > free[j, k] + requests[q, k]:
            return False
    return True


@jit
def _disturbs(q, tier, mode, pods, node_of):
    """Whether moving ``q`` for a pod of a tier makes an earlier level of ``tiered`` worse."""
    return mode == TIERED and pods[q, TIER] < tier and node_of[q] == pods[q, CURRENT]


@jit
def by_move(i, mode, tries, per_capacity, plan, world, state):
    """Place pod ``i`` where one pod moves to another node; O(P + tries N)."""
    pods, allowed, spec = plan[0], world[2], world[1]
    head, after, node_of = state[2], state[3], state[1]
    for j in range(len(head)):
        if not allowed[spec[i], j]:
            continue
        q = head[j]
        while q >= 0:
            following = after[q]
            if (
                _room_without(i, j, q, world, state)
                and may_leave(q, plan, world, state)
                and not _disturbs(q, pods[i, TIER], mode, pods, node_of)
            ):
                leave(q, plan, world, state)
                if _allows(i, j, world, state):
                    tries -= 1
                    arrive(i, j, plan, world, state)
                    place = best_node(q, j, per_capacity, plan, world, state)
                    if place >= 0:
                        arrive(q, place, plan, world, state)
                        return True
                    leave(i, plan, world, state)
                arrive(q, j, plan, world, state)
                if tries <= 0:
                    return False
            q = following
    return False


@jit
def by_swap(i, mode, checks, plan, world, state):
    """Place pod ``i`` on a node where a larger pod is exchanged for a smaller one of another.

    At most ``checks`` pairs are looked at.
    """
    pods, allowed, spec, requests = plan[0], world[2], world[1], world[0]
    free, node_of, head, after, _, _, _ = state
    n, tier = len(head), pods[i, TIER]
    for j in range(n):
        if not allowed[spec[i], j]:
            continue
        q = head[j]
        while q >= 0:
            following = after[q]
            useful = may_leave(q, plan, world, state) and _room_without(i, j, q, world, state)
            if useful and not _disturbs(q, tier, mode, pods, node_of):
                for other in range(n):
                    if other == j or not allowed[spec[q], other]:
                        continue
                    r = head[other]
                    while r >= 0:
                        behind = after[r]
                        checks -= 1
                        fine = allowed[spec[r], j]
                        for k in range(requests.shape[1]):
                            fine = (
                                fine
                                and requests[q, k] <= free[other, k] + requests[r, k]
                                and requests[i, k] + requests[r, k] <= free[j, k] + requests[q, k]
                            )
                        if (
                            fine
                            and not _disturbs(r, tier, mode, pods, node_of)
                            and _exchange(i, q, r, j, other, plan, world, state)
                        ):
                            return True
                        r = behind
                    if checks <= 0:
                        return False
            q = following
    return False


@jit
def _exchange(i, q, r, j, other, plan, world, state):
    """``q`` from ``j`` to ``other``, ``r`` the other way, ``i`` to ``j``; or nothing at all."""
    leave(q, plan, world, state)
    if not may_leave(r, plan, world, state):
        arrive(q, j, plan, world, state)
        return False
    leave(r, plan, world, state)
    if _allows(q, other, world, state):
        arrive(q, other, plan, world, state)
        if _allows(r, j, world, state):
            arrive(r, j, plan, world, state)
            if _allows(i, j, world, state):
                arrive(i, j, plan, world, state)
                return True
            leave(r, plan, world, state)
        leave(q, plan, world, state)
    arrive(r, other, plan, world, state)
    arrive(q, j, plan, world, state)
    return False


@jit
def by_ejection(i, mode, plan, world, state, victims):
    """Place pod ``i`` where pods of lower priority leave.

    Of all nodes, that one whose victims, taken from the lowest priority up until the pod fits,
    cost least.
    """
    costs, head = plan[0][:, COST], state[2]
    best, best_cost = -1, 2**62
    for j in range(len(head)):
        count = _eject(i, j, plan, world, state, victims)
        if count < 0:
            continue
        cost = 0
        for at in range(count):
            cost += costs[victims[at]]
        for at in range(count - 1, -1, -1):
            arrive(victims[at], j, plan, world, state)
        if cost < best_cost:
            best, best_cost = j, cost
    if best < 0 or (mode == WEIGHTED and best_cost >= costs[i]):
        return False
    _eject(i, best, plan, world, state, victims)
    arrive(i, best, plan, world, state)
    return True


@jit
def _eject(i, j, plan, world, state, victims):
    """Let pods leave node ``j`` until ``i`` may come; nothing changes if that does not help."""
    pods = plan[0]
    head, after = state[2], state[3]
    if not world[2][world[1][i], j]:
        return -1
    count = 0
    while not _allows(i, j, world, state):
        worst, q = -1, head[j]
        while q >= 0:
            if pods[q, TIER] > pods[i, TIER] and may_leave(q, plan, world, state):
                alone = _room_without(i, j, q, world, state)
                if worst < 0 or _is_better_victim(q, worst, alone, i, j, pods, world, state):
                    worst = q
            q = after[q]
        if worst < 0:
            for at in range(count - 1, -1, -1):
                arrive(victims[at], j, plan, world, state)
            return -1
        leave(worst, plan, world, state)
        victims[count] = worst
        count += 1
    return count


@jit
def _is_better_victim(q, worst, alone, i, j, pods, world, state):
    """Lower priority first; then one that suffices alone; then the smaller if both do."""
    if pods[q, TIER] != pods[worst, TIER]:
        return pods[q, TIER] > pods[worst, TIER]
    before = _room_without(i, j, worst, world, state)
    if alone != before:
        return alone
    smaller = pods[q, SIZE] < pods[worst, SIZE]
    return smaller if alone else not smaller


@jit
def repair(order, mode, checks, per_capacity, plan, world, state):
    """Place pending pods by direct placement, move, swap or ejection until no more is found.

    Args:
        order: ``(P,)`` pods in the order in which they are tried.
        mode: The objective; with ``TIERED`` higher tiers are not disturbed for lower ones.
        checks: Pairs that a swap may look at.
        per_capacity: ``(N, 2)`` 1 / capacity of two resources.
        plan: See the module; changed.
        world: See the module.
        state: See the module; changed.
    """
    node_of = state[1]
    count = len(node_of)
    victims = np.empty(count, np.int64)
    groups, changes, tries = plan[0][:, GROUP], 1, max(checks // 500, 1)
    failed = np.zeros(groups.max() + 1, np.int64)  # when an equal pod found no place
    while True:
        improved = False
        for at in range(count):
            i = order[at]
            if node_of[i] >= 0 or failed[groups[i]] == changes:
                continue
            j = best_node(i, -1, per_capacity, plan, world, state)
            if j >= 0:
                arrive(i, j, plan, world, state)
            elif not (
                by_move(i, mode, tries, per_capacity, plan, world, state)
                or by_swap(i, mode, checks, plan, world, state)
                or by_ejection(i, mode, plan, world, state, victims)
            ):
                failed[groups[i]] = changes
                continue
            changes += 1
            improved = True
        if not improved:
            return


@jit
def go_home(plan, world, state):
    """Let pods return to where they ran, where there is room; repeated until none does."""
    pods, node_of = plan[0], state[1]
    changed = True
    while changed:
        changed = False
        for i in range(len(node_of)):
            j, now = pods[i, CURRENT], node_of[i]
            if j < 0 or now < 0 or now == j or not pods[i, MOVABLE]:
                continue
            leave(i, plan, world, state)
            if _allows(i, j, world, state):
                arrive(i, j, plan, world, state)
                changed = True
            else:
                arrive(i, now, plan, world, state)


@jit
def value(plan, state, num_tiers, evict_cost, move_cost, mode, found):
    """The objective of a state: ``(2 K,)`` minus the placed pods and the disruption by tier.

    With ``WEIGHTED`` a single number, the other entries 0.
    """
    pods, node_of = plan[0], state[1]
    found[:] = 0
    for i in range(len(node_of)):
        tier = pods[i, TIER]
        placed = 2 * tier if mode == TIERED else tier
        disruption = placed + 1 if mode == TIERED else num_tiers + tier
        if mode == WEIGHTED:
            placed = disruption = 0
            if node_of[i] < 0:
                found[0] += pods[i, COST]
        elif node_of[i] >= 0:
            found[placed] -= 1
        if pods[i, CURRENT] >= 0 and node_of[i] != pods[i, CURRENT]:
            found[disruption] += evict_cost if node_of[i] < 0 else move_cost


@jit
def is_less(a, b):
    """Whether an objective is better than another."""
    for k in range(len(a)):
        if a[k] != b[k]:
            return a[k] < b[k]
    return False


@jit
def seed_random(seed):
    """Seed Numba's stream."""
    np.random.seed(seed)  # noqa: NPY002


@jit
def restore(nodes, plan, world, state):
    """Bring a state back to where ``nodes`` has the pods."""
    node_of = state[1]
    for i in range(len(nodes)):
        if node_of[i] >= 0 and node_of[i] != nodes[i]:
            leave(i, plan, world, state)
    for i in range(len(nodes)):
        if nodes[i] >= 0 and node_of[i] < 0:
            arrive(i, nodes[i], plan, world, state)


@jit
def ruin_and_repair(rounds, order, settings, per_capacity, plan, world, state, best):
    """Empty two to four nodes of what may leave, place it anew in random order, repair, and keep.

    Args:
        rounds: Number of rounds.
        order: ``(P,)`` pods by tier; changed within the tiers.
        settings: ``(num_tiers, evict_cost, move_cost, mode, checks)``.
        per_capacity: See ``repair``.
        plan: See the module; changed.
        world: See the module.
        state: See the module; left at the best placement.
        best: ``(2 K,)`` value of the state; changed.

    Returns:
        Whether something better was found.
    """
    num_tiers, evict_cost, move_cost, mode, checks = settings
    pods, node_of, head, after = plan[0], state[1], state[2], state[3]
    count, n = len(node_of), len(head)
    kept, found, removed = (
        node_of.copy(),
        np.empty(2 * num_tiers, np.int64),
        np.empty(count, np.int64),
    )
    key, improved = np.empty(count, np.float64), False
    for _ in range(rounds):
        num_removed = 0
        for _ in range(2 + int(np.random.random() * 3)):  # noqa: NPY002
            q = head[int(np.random.random() * n)]  # noqa: NPY002
            while q >= 0:
                following = after[q]
                if may_leave(q, plan, world, state):
                    leave(q, plan, world, state)
                    removed[num_removed] = q
                    num_removed += 1
                q = following
        waits = num_removed
        for i in range(count):  # pending ones join
            if node_of[i] < 0 and not _contains(removed[:num_removed], i):
                removed[waits] = i
                waits += 1
        for at in range(waits):
            i = removed[at]
            noise = 0.5 + np.random.random()  # noqa: NPY002
            key[at] = pods[i, TIER] * 1e9 - pods[i, SIZE] * noise
        for i in removed[:waits][np.argsort(key[:waits])]:
            j = _random_best(i, per_capacity, plan, world, state)
            if j >= 0:
                arrive(i, j, plan, world, state)
        repair(order, mode, checks, per_capacity, plan, world, state)
        go_home(plan, world, state)
        value(plan, state, num_tiers, evict_cost, move_cost, mode, found)
        if is_less(best, found):
            restore(kept, plan, world, state)
            continue
        improved = improved or is_less(found, best)
        best[:] = found
        kept[:] = node_of
    return improved


@jit
def _contains(values, wanted):
    for value_ in values:
        if value_ == wanted:
            return True
    return False


@jit
def _random_best(i, per_capacity, plan, world, state):
    """Where a pod fits best, by a randomly weighted measure of what would be left."""
    free, requests = state[0], world[0]
    weight = np.random.random()  # noqa: NPY002
    best, best_left = -1, 1e18
    for j in range(len(free)):
        if not _allows(i, j, world, state):
            continue
        first = (free[j, 0] - requests[i, 0]) * per_capacity[j, 0]
        second = (free[j, 1] - requests[i, 1]) * per_capacity[j, 1]
        left = weight * (first + second) + (1 - weight) * abs(first - second)
        if left < best_left:
            best, best_left = j, left
    return best
