"""kube-scheduler's cycle as Numba kernels: queue, filters, scores, ties, preemption.

In every kernel ``i`` is a pod, ``j`` a node. ``world`` and ``state`` are those of
``instances/pod_packing_rules.py``; the scores are those of ``pod_packing_scores.py``.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np

from ..instances import pod_packing_rules
from . import pod_packing_scores as scores
from .pod_packing_scores import jit

rules = pod_packing_rules.compiled(jit)
_allows, _put, _take, _find_victims = rules.allows, rules.put, rules.take, rules.find_victims
_fit_score, _balance_score, _normalise = scores.fit_score, scores.balance_score, scores.normalise
_spread_term, _spread_weight = scores.spread_term, scores.spread_weight
_spread_round, _spread_normalise = scores.spread_round, scores.spread_normalise
_num_nodes_to_find = scores.num_nodes_to_find
_V1_33 = scores.V1_33

# ``settings``: version, strategy, preemption, random ties, percentage of nodes, spreading
VERSION, STRATEGY, PREEMPTION, RANDOM_TIES, PERCENTAGE, SPREADING = range(6)
# ``pods`` (P, 5); MOVABLE: not protected, and nobody rests on it
PRIORITY, TIER, WORKLOAD, CURRENT, MOVABLE = range(5)

#: Weights of the plug-ins (``apis/config/v1/default_plugins.go``).
_FIT, _BALANCE, _SPREAD, _TAINT, _AFFINITY, _IMAGE = 1, 1, 2, 3, 2, 1

#: System-default spreading: maxSkew over host names and over zones.
_HOST_SKEW, _ZONE_SKEW = 3, 5

#: Preemption dries at least so many nodes, and a tenth of them.
_LEAST_CANDIDATES, _CANDIDATES_PERCENT = 100, 10


@jit
def _less(a, b, key, stamp):
    """Whether pod ``a`` leaves the queue before ``b``: higher priority, then earlier."""
    if key[a] != key[b]:
        return key[a] > key[b]
    return stamp[a] < stamp[b]


@jit
def _push(heap, size, i, key, stamp):
    at = size
    heap[at] = i
    while at > 0:
        above = (at - 1) // 2
        if not _less(heap[at], heap[above], key, stamp):
            break
        heap[at], heap[above] = heap[above], heap[at]
        at = above
    return size + 1


@jit
def _pop(heap, size, key, stamp):
    first = heap[0]
    size -= 1
    heap[0] = heap[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and _less(heap[below + 1], heap[below], key, stamp):
            below += 1
        if not _less(heap[below], heap[at], key, stamp):
            break
        heap[at], heap[below] = heap[below], heap[at]
        at = below
    return first, size


@jit
def schedule(arrival, batches, pods, world, state, static, scored, budget, settings, shape, seed):
    """Schedule the pending pods in the order of their arrival, batch by batch.

    Args:
        arrival: ``(P,)`` all pods in the order of their arrival; those that run are skipped.
        batches: ``(P,)`` the batch of each pod; one is through before the next one comes.
        pods: ``(P, 5)``; see the columns above.
        world: See the module.
        state: See the module; changed.
        static: ``(preferred, disliked, images (C, N), zones (N,), own_spread (C,), never (C,))``.
        scored: ``(requests (P, 2), used (N, 2), plain columns of cpu and memory (2,))``.
        budget: See ``find_victims``.
        settings: See above.
        shape: Broken line of RequestedToCapacityRatio.
        seed: Seed of the ties.

    Returns:
        Number of pods that were evicted.
    """
    np.random.seed(seed)  # noqa: NPY002 - Numba's own stream
    node_of = state[1]
    count, n = len(node_of), len(state[2])
    started = np.empty(count, np.int64)
    for i in range(count):
        started[i] = pods[i, TIER] * 2**40 + scored[3][i]
    key, stamp = pods[:, PRIORITY].copy(), np.zeros(count, np.int64)
    heap, parked = np.empty(count, np.int64), np.empty(count, np.int64)
    size = num_parked = first_node = clock = evicted = 0
    used = np.zeros((n, 2), np.int64)
    peers = _count_peers(pods, node_of, n)
    for i in range(count):
        if node_of[i] >= 0:
            used[node_of[i], 0] += scored[0][i, 0]
            used[node_of[i], 1] += scored[0][i, 1]
    victims, feasible = np.empty(count + 1, np.int64), np.empty(n, np.int64)
    at = 0
    while at < count or size > 0:
        if size == 0:
            batch = batches[arrival[at]]
            while at < count and batches[arrival[at]] == batch:
                i = arrival[at]
                if node_of[i] < 0:
                    clock += 1
                    stamp[i] = clock
                    size = _push(heap, size, i, key, stamp)
                at += 1
            continue
        i, size = _pop(heap, size, key, stamp)
        found, first_node = _find_nodes(i, first_node, world, state, settings, feasible)
        j = -1
        if found > 0:
            j = _choose(
                i,
                feasible[:found],
                pods,
                world,
                state,
                static,
                scored,
                used,
                peers,
                settings,
                shape,
            )
        elif settings[PREEMPTION] and not static[5][world[1][i]]:
            j, num_victims = _preempt(i, pods, started, world, state, budget, victims)
            for k in range(num_victims):
                q = victims[k]
                _take(q, pods[q, CURRENT] != j, world, state)
                _move(q, j, -1, pods, scored, used, peers)
                for m in range(len(budget[1])):
                    budget[1][m] -= budget[0][world[1][q], m]
                clock += 1
                stamp[q] = clock
                size = _push(heap, size, q, key, stamp)
                evicted += 1
            if j >= 0:  # deletions wake those that found no node
                for k in range(num_parked):
                    size = _push(heap, size, parked[k], key, stamp)
                num_parked = 0
        if j < 0:
            parked[num_parked] = i
            num_parked += 1
            continue
        _put(i, j, pods[i, CURRENT] != j, world, state)
        _move(i, j, 1, pods, scored, used, peers)
        clock += 1
        started[i] = pods[i, TIER] * 2**40 + 2**32 + clock
    return evicted


@jit
def _count_peers(pods, node_of, n):
    """``(W, N)`` pods of each workload on each node."""
    num_workloads = 0
    for i in range(len(node_of)):
        num_workloads = max(num_workloads, pods[i, WORKLOAD] + 1)
    peers = np.zeros((num_workloads, n), np.int32)
    for i in range(len(node_of)):
        if node_of[i] >= 0 and pods[i, WORKLOAD] >= 0:
            peers[pods[i, WORKLOAD], node_of[i]] += 1
    return peers


@jit
def _move(i, j, sign, pods, scored, used, peers):
    """Keep what the scores count, when a pod comes or goes."""
    used[j, 0] += sign * scored[0][i, 0]
    used[j, 1] += sign * scored[0][i, 1]
    if pods[i, WORKLOAD] >= 0:
        peers[pods[i, WORKLOAD], j] += sign


@jit
def _find_nodes(i, first, world, state, settings, feasible):
    """Nodes that pass all filters, from where the last search ended, until there are enough."""
    n, found, seen = len(feasible), 0, 0
    enough = _num_nodes_to_find(n, settings[PERCENTAGE])
    while seen < n and found < enough:
        j = (first + seen) % n
        if _allows(i, j, world, state):
            feasible[found] = j
            found += 1
        seen += 1
    return found, (first + seen) % n


@jit
def _choose(i, nodes, pods, world, state, static, scored, used, peers, settings, shape):
    """The node of the largest total score; a single one is taken without."""
    if len(nodes) == 1:
        return nodes[0]
    total = _totals(i, nodes, pods, world, state, static, scored, used, peers, settings, shape)
    best, ties = 0, 1
    for at in range(1, len(nodes)):
        if total[at] > total[best]:
            best, ties = at, 1
        elif total[at] == total[best]:
            ties += 1
            if settings[RANDOM_TIES] and np.random.random() * ties < 1.0:  # noqa: NPY002
                best = at
    return nodes[best]


@jit
def _totals(i, nodes, pods, world, state, static, scored, used, peers, settings, shape):
    """``(n,)`` weighted sums of the plug-ins' scores."""
    requests, spec_of_pod, free, c = world[0], world[1], state[0], world[1][i]
    preferred, disliked, images, _, _, _ = static
    capacities, columns = scored[1], scored[2]
    total, raw = np.zeros(len(nodes), np.int64), np.zeros(len(nodes), np.int64)
    weights = np.ones(2, np.int64)
    asked, plain = np.zeros(2, np.int64), np.zeros(2, np.int64)
    pod, capacity = np.zeros(2, np.int64), np.zeros(2, np.int64)
    best_effort = True
    for d in range(2):
        pod[d] = requests[i, columns[d]]
        best_effort = best_effort and pod[d] == 0
    balances = not (best_effort and settings[VERSION] >= _V1_33)
    for at in range(len(nodes)):
        j = nodes[at]
        for d in range(2):
            capacity[d] = capacities[j, columns[d]]
            asked[d] = used[j, d] + scored[0][i, d]
            plain[d] = capacity[d] - free[j, columns[d]]
        total[at] += _FIT * _fit_score(settings[STRATEGY], asked, capacity, weights, shape)
        if balances:
            total[at] += _BALANCE * _balance_score(settings[VERSION], plain, pod, capacity)
        total[at] += _IMAGE * images[c, j]
    for kind in range(2):
        table = preferred if kind == 0 else disliked
        for at in range(len(nodes)):
            raw[at] = table[c, nodes[at]]
        _normalise(raw, kind == 1)
        for at in range(len(nodes)):
            total[at] += (_AFFINITY if kind == 0 else _TAINT) * raw[at]
    if settings[SPREADING] and pods[i, WORKLOAD] >= 0 and not static[4][spec_of_pod[i]]:
        _spread(nodes, peers[pods[i, WORKLOAD]], static[3], settings[VERSION], raw)
        for at in range(len(nodes)):
            total[at] += _SPREAD * raw[at]
    return total


@jit
def _spread(nodes, here, zones, version, raw):
    """System-default spreading of a workload over host names and zones."""
    host_weight = _spread_weight(len(nodes))
    num_zones = 0
    for j in range(len(zones)):
        num_zones = max(num_zones, zones[j] + 1)
    in_zone, seen = np.zeros(num_zones, np.int64), np.zeros(num_zones, np.bool_)
    for at in range(len(nodes)):
        if zones[nodes[at]] >= 0:
            seen[zones[nodes[at]]] = True
    for j in range(len(zones)):
        if zones[j] >= 0:
            in_zone[zones[j]] += here[j]
    zone_weight = _spread_weight(seen.sum())
    for at in range(len(nodes)):
        j = nodes[at]
        score = _spread_term(here[j], host_weight, _HOST_SKEW)
        if zones[j] >= 0:
            score += _spread_term(in_zone[zones[j]], zone_weight, _ZONE_SKEW)
        raw[at] = _spread_round(score, version)
    _spread_normalise(raw, np.zeros(len(nodes), np.bool_))


@jit
def _preempt(i, pods, started, world, state, budget, victims):
    """The node whose victims hurt least, and these in the first places of ``victims``.

    Fewest budget violations; lowest of the highest priorities; lowest sum of priorities, each plus
    2^31; fewest victims; latest start of the earliest among those of the highest priority; first.
    """
    n = len(state[2])
    wanted = min(max(n * _CANDIDATES_PERCENT // 100, _LEAST_CANDIDATES), n)
    offset = int(np.random.random() * n)  # noqa: NPY002
    best, best_key = -1, np.zeros(5, np.int64)
    key, found, harmless = np.zeros(5, np.int64), 0, 0
    for step in range(n):
        j = (offset + step) % n
        count, violations = _find_victims(
            i, j, pods[:, PRIORITY], started, pods[:, MOVABLE], pods[:, CURRENT], budget, world,
            state, victims,
        )  # fmt: skip
        if count < 0:
            continue
        _harm(victims[:count], violations, pods, started, key)
        if best < 0 or _is_less(key, best_key):
            best = j
            best_key[:] = key
        found += 1
        harmless += violations == 0
        if found >= wanted and harmless > 0:
            break
    if best < 0:
        return -1, 0
    count, _ = _find_victims(
        i, best, pods[:, PRIORITY], started, pods[:, MOVABLE], pods[:, CURRENT], budget, world,
        state, victims,
    )  # fmt: skip
    return best, count


@jit
def _harm(victims, violations, pods, started, key):
    """What nodes are compared by, smaller is better."""
    key[0] = violations
    key[1] = -(2**31)
    key[2] = 0
    key[3] = len(victims)
    key[4] = 0
    if len(victims) == 0:
        return
    key[1] = pods[victims[0], PRIORITY]  # the victims are sorted
    earliest = 2**62
    for q in victims:
        key[2] += pods[q, PRIORITY] + 2**31
        if pods[q, PRIORITY] == key[1]:
            earliest = min(earliest, started[q] % 2**40)
    key[4] = -earliest


@jit
def _is_less(a, b):
    for k in range(len(a)):
        if a[k] != b[k]:
            return a[k] < b[k]
    return False
