"""The transition of packing pods one by one: kernels over ``PodPackingSimulator``'s arrays.

In every kernel ``b`` is a row, ``s`` its slot, ``i`` a pod, ``j`` a node. Action 0 leaves the pod
pending, action ``1 + j`` chooses node ``j``. The filters and the choice of victims are those of
``instances/pod_packing_rules.py``, compiled here.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from ..instances import pod_packing_rules
from .kernels import VIEW_FIELDS, array_struct, called_part, kernel, part

_rules = pod_packing_rules.compiled(part)
_allows, _put, _take = _rules.allows, _rules.put, _rules.take
_find_victims = pod_packing_rules.compiled(called_part).find_victims

# The arrays, and what stands in their last axis.
# ``problems`` (S, 9)
NUM_NODES, NUM_PODS, NUM_WAITING, EVICT_COST, MOVE_COST, UPPER_BOUND = range(6)
NUM_BUDGETS, NUM_TERMS, NUM_WORKLOADS = range(6, 9)
# ``pods`` (S, P, 8)
PRIORITY, TIER, WORKLOAD, CURRENT, MOVABLE, IMPORTANCE, COST = range(7)
# ``constants`` (S, 8): 1 / mean node's cpu and memory, rewards' unit, 1 / tiers, columns of cpu and
# memory, 1 / all cpu, 1 / all memory
PER_CPU, PER_MEMORY, SCALE, PER_TIERS, CPU, MEMORY, PER_ALL_CPU, PER_ALL_MEMORY = range(8)
# ``clock`` (B, 8)
FIRST, LAST, POD, COST_NOW, PLACED, OFFERS, FREE_CPU, FREE_MEMORY = range(8)

#: How often a pod that was evicted is offered again.
RETRIES = 2

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "pods", "requests", "spec_of_pod", "allowed", "kinds", "limits"),
    *("domains", "num_domains", "eligible", "carry", "match", "capacities", "per_capacity"),
    *("waiting", "in_budget", "budgets", "workload_sizes"),
    *("start_free", "start_node", "start_head", "start_after", "start_before"),
    *("start_matched", "start_carried", "start_peers"),
    *("slot", "clock", "free", "node_of", "head", "after", "before", "matched", "carried"),
    *("peers", "queue", "tries", "left", "scratch", "victims", "placed"),
    *VIEW_FIELDS,
)

PodPackingArrays = array_struct("PodPackingArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return PodPackingArrays(*arrays)


@kernel
def begin(a, rows, preempt, skip_forced):
    """Reset the given rows; O(P + N R + W N) per row."""
    data = (a.problems, a.constants, a.pods, a.capacities, a.per_capacity, a.waiting)
    world = (
        *(a.requests, a.spec_of_pod, a.allowed, a.kinds, a.limits, a.domains),
        *(a.num_domains, a.eligible, a.carry, a.match),
    )
    state = (a.free, a.node_of, a.head, a.after, a.before, a.matched, a.carried)
    start = (
        *(a.start_free, a.start_node, a.start_head, a.start_after, a.start_before),
        *(a.start_matched, a.start_carried, a.start_peers),
    )
    budget = (a.in_budget, a.left, a.scratch, a.victims)
    row = (a.clock, a.peers, a.queue, a.tries, a.placed, a.workload_sizes)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    budgets, value, initial_value, num_available = (
        a.budgets,
        a.value,
        a.initial_value,
        a.num_available,
    )
    slot, scale, reward, infeasible, done = a.slot, a.scale, a.reward, a.infeasible, a.done
    for b in rows:
        s = slot[b]
        _clear(b, view)
        _reset(b, s, budgets, data, start, state, row, budget)
        scale[b] = data[1][s, SCALE]
        reward[b] = 0.0
        infeasible[b] = 0
        _decide(b, s, preempt, skip_forced, data, world, state, budget, row, view)
        value[b] = row[0][b, COST_NOW]
        initial_value[b] = value[b]
        done[b] = num_available[b] == 0


@kernel
def advance(a, actions, preempt, skip_forced):
    """Play one action in every row; O(N (R + columns)) per decision."""
    data = (a.problems, a.constants, a.pods, a.capacities, a.per_capacity, a.waiting)
    world = (
        *(a.requests, a.spec_of_pod, a.allowed, a.kinds, a.limits, a.domains),
        *(a.num_domains, a.eligible, a.carry, a.match),
    )
    state = (a.free, a.node_of, a.head, a.after, a.before, a.matched, a.carried)
    budget = (a.in_budget, a.left, a.scratch, a.victims)
    row = (a.clock, a.peers, a.queue, a.tries, a.placed, a.workload_sizes)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    problems, mask, slot, num_available = a.problems, a.action_mask, a.slot, a.num_available
    clock, value, infeasible = a.clock, a.value, a.infeasible
    reward, scale, done = a.reward, a.scale, a.done
    for b in range(len(actions)):
        reward[b] = 0.0
        if done[b]:
            continue
        action = actions[b]
        s = slot[b]
        before = value[b]
        if 0 <= action <= problems[s, NUM_NODES] and mask[b, action] != 0:
            _play(b, s, action, data, world, state, budget, row)
            _decide(b, s, preempt, skip_forced, data, world, state, budget, row, view)
            value[b] = clock[b, COST_NOW]
        else:
            _clear(b, view)
            value[b] = max(float(problems[s, UPPER_BOUND]), before)
            infeasible[b] = 1
        done[b] = num_available[b] == 0
        reward[b] = (before - value[b]) / scale[b]


@part
def _clear(b, view):
    """Take the last decision's candidates out of the view."""
    candidates, _, mask, nodes, available, num_available = view
    for at in range(num_available[b]):
        action = available[b, at]
        mask[b, action] = 0
        for column in range(candidates.shape[2]):
            candidates[b, action, column] = 0.0
        for kind in range(nodes.shape[2]):
            nodes[b, action, kind] = -1
    num_available[b] = 0


@part
def _reset(b, s, budgets, data, start, state, row, budget):
    problems, _, pods, _, _, waiting = data
    free, node_of, head, after, before, matched, carried = state
    clock, peers, queue, tries, placed, _ = row
    _, left, _, _ = budget
    start_free, start_node, start_head, start_after, start_before = start[:5]
    start_matched, start_carried, start_peers = start[5:]
    n, count, waits = problems[s, NUM_NODES], problems[s, NUM_PODS], problems[s, NUM_WAITING]
    for j in range(n):
        head[b, j] = start_head[s, j]
        for k in range(free.shape[2]):
            free[b, j, k] = start_free[s, j, k]
    for k in range(placed.shape[1]):
        placed[b, k, 0] = placed[b, k, 1] = 0
    running = 0
    for i in range(count):
        node_of[b, i] = start_node[s, i]
        after[b, i] = start_after[s, i]
        before[b, i] = start_before[s, i]
        tries[b, i] = 0
        if start_node[s, i] >= 0:
            placed[b, pods[s, i, TIER], 0] += 1
            running += 1
    for w in range(problems[s, NUM_WORKLOADS]):
        for j in range(n):
            peers[b, w, j] = start_peers[s, w, j]
    for t in range(problems[s, NUM_TERMS]):
        for g in range(matched.shape[2]):
            matched[b, t, g] = start_matched[s, t, g]
            carried[b, t, g] = start_carried[s, t, g]
    for m in range(problems[s, NUM_BUDGETS]):
        left[b, m] = budgets[s, m]
    for at in range(waits):
        queue[b, at] = waiting[s, at]
    clock[b, FIRST] = 0
    clock[b, LAST] = waits
    clock[b, COST_NOW] = 0
    clock[b, PLACED] = running
    clock[b, OFFERS] = 0
    cpu, memory = int(data[1][s, CPU]), int(data[1][s, MEMORY])
    clock[b, FREE_CPU] = clock[b, FREE_MEMORY] = 0
    for j in range(n):
        clock[b, FREE_CPU] += free[b, j, cpu]
        clock[b, FREE_MEMORY] += free[b, j, memory]


@part
def _slice(b, s, problems, world, state):
    """The world and the state of one row, as the rules take them."""
    requests, spec_of_pod, allowed, kinds, limits, domains, num_domains, eligible = world[:8]
    carry, match = world[8:]
    free, node_of, head, after, before, matched, carried = state
    return (
        (
            *(
                requests[s],
                spec_of_pod[s],
                allowed[s],
                kinds[s, : problems[s, NUM_TERMS]],
                limits[s],
                domains[s],
            ),
            *(num_domains[s], eligible[s], carry[s], match[s]),
        ),
        (free[b], node_of[b], head[b], after[b], before[b], matched[b], carried[b]),
    )


@part
def _arrive(b, s, i, j, data, world, state, row):
    """Let pod ``i`` run on node ``j``."""
    _, constants, pods, _, _, _ = data
    clock, peers, _, _, placed, _ = row
    here, now = _slice(b, s, data[0], world, state)
    current = pods[s, i, CURRENT]
    _put(i, j, current != j, here, now)
    if current >= 0 and current != j:
        clock[b, COST_NOW] += data[0][s, MOVE_COST]
        placed[b, pods[s, i, TIER], 1] += data[0][s, MOVE_COST]
    clock[b, PLACED] += 1
    placed[b, pods[s, i, TIER], 0] += 1
    if pods[s, i, WORKLOAD] >= 0:
        peers[b, pods[s, i, WORKLOAD], j] += 1
    clock[b, FREE_CPU] -= world[0][s, i, int(constants[s, CPU])]
    clock[b, FREE_MEMORY] -= world[0][s, i, int(constants[s, MEMORY])]


@part
def _leave(b, s, i, data, world, state, row):
    """Take pod ``i`` from its node."""
    _, constants, pods, _, _, _ = data
    clock, peers, _, _, placed, _ = row
    here, now = _slice(b, s, data[0], world, state)
    j, current = now[1][i], pods[s, i, CURRENT]
    _take(i, current != j, here, now)
    if current >= 0 and current != j:
        clock[b, COST_NOW] -= data[0][s, MOVE_COST]
        placed[b, pods[s, i, TIER], 1] -= data[0][s, MOVE_COST]
    clock[b, PLACED] -= 1
    placed[b, pods[s, i, TIER], 0] -= 1
    if pods[s, i, WORKLOAD] >= 0:
        peers[b, pods[s, i, WORKLOAD], j] -= 1
    clock[b, FREE_CPU] += world[0][s, i, int(constants[s, CPU])]
    clock[b, FREE_MEMORY] += world[0][s, i, int(constants[s, MEMORY])]


@part
def _give_up(b, s, i, data, row):
    """Pod ``i`` stays pending for good."""
    problems, _, pods, _, _, _ = data
    clock, _, _, _, placed, _ = row
    clock[b, COST_NOW] += pods[s, i, COST]
    if pods[s, i, CURRENT] >= 0:
        clock[b, COST_NOW] += problems[s, EVICT_COST]
        placed[b, pods[s, i, TIER], 1] += problems[s, EVICT_COST]


@called_part
def _play(b, s, action, data, world, state, budget, row):
    """Place the offered pod, evicting others if it must, or leave it pending."""
    problems, _, pods, _, _, _ = data
    clock, _, queue, tries, _, _ = row
    i = clock[b, POD]
    clock[b, FIRST] += 1
    clock[b, OFFERS] += 1
    tries[b, i] += 1
    if action == 0:
        _give_up(b, s, i, data, row)
        return
    j = action - 1
    here, now = _slice(b, s, data[0], world, state)
    if not _allows(i, j, here, now):
        in_budget, left, scratch, victims = budget
        pod, num_budgets = pods[s], problems[s, NUM_BUDGETS]
        count, _ = _find_victims(
            i, j, pod[:, PRIORITY], pod[:, IMPORTANCE], pod[:, MOVABLE], pod[:, CURRENT],
            (in_budget[s], left[b, :num_budgets], scratch[b]), here, now, victims[b],
        )  # fmt: skip
        for at in range(count):
            q = victims[b, at]
            _leave(b, s, q, data, world, state, row)
            for m in range(problems[s, NUM_BUDGETS]):
                left[b, m] -= in_budget[s, here[1][q], m]
            if tries[b, q] <= RETRIES:
                queue[b, clock[b, LAST]] = q
                clock[b, LAST] += 1
            else:
                _give_up(b, s, q, data, row)
    _arrive(b, s, i, j, data, world, state, row)


@part
def _decide(b, s, preempt, skip_forced, data, world, state, budget, row, view):
    """Offer the next pod of the queue, playing forced decisions on the way if asked."""
    clock, _, queue, _, _, _ = row
    available = view[4]
    while True:
        _clear(b, view)
        if clock[b, FIRST] == clock[b, LAST]:
            return
        i = queue[b, clock[b, FIRST]]
        clock[b, POD] = i
        count = _find_candidates(b, s, i, preempt, data, world, state, budget, view)
        if count > 1 or not skip_forced:
            _write_globals(b, s, i, count, data, world, state, row, view)
            _write_candidates(b, s, i, data, world, state, row, view)
            return
        _play(b, s, available[b, 0], data, world, state, budget, row)


@part
def _find_candidates(b, s, i, preempt, data, world, state, budget, view):
    """List what may be chosen: always to leave the pod pending, and the nodes."""
    problems, _, pods, _, _, _ = data
    _, _, mask, _, available, num_available = view
    here, now = _slice(b, s, data[0], world, state)
    available[b, 0] = 0
    mask[b, 0] = 1
    count = 1
    for j in range(problems[s, NUM_NODES]):
        good = 1 if _allows(i, j, here, now) else 0
        if good == 0 and preempt:
            if problems[s, NUM_TERMS] > 0:
                in_budget, left, scratch, victims = budget
                pod, num_budgets = pods[s], problems[s, NUM_BUDGETS]
                found, _ = _find_victims(
                    i, j, pod[:, PRIORITY], pod[:, IMPORTANCE], pod[:, MOVABLE], pod[:, CURRENT],
                    (in_budget[s], left[b, :num_budgets], scratch[b]), here, now, victims[b],
                )  # fmt: skip
                good = 2 if found > 0 else 0
            elif _has_room(i, j, pods[s], here, now):
                good = 2
        if good:
            available[b, count] = 1 + j
            mask[b, 1 + j] = good
            count += 1
    num_available[b] = count
    return count


@part
def _has_room(i, j, pods, here, now):
    """Whether pod ``i`` would fit node ``j`` without the pods of lower priority."""
    requests, spec_of_pod, allowed = here[0], here[1], here[2]
    free, head, after = now[0], now[2], now[3]
    if not allowed[spec_of_pod[i], j]:
        return False
    for k in range(requests.shape[1]):
        room = free[j, k]
        q = head[j]
        while q >= 0 and room < requests[i, k]:
            if pods[q, PRIORITY] < pods[i, PRIORITY] and pods[q, MOVABLE]:
                room += requests[q, k]
            q = after[q]
        if room < requests[i, k]:
            return False
    return True


@part
def _write_candidates(b, s, i, data, world, state, row, view):
    """The columns of the candidates; O(1) each."""
    _, constants, pods, _, per_capacity, _ = data
    candidates, _, mask, nodes, available, num_available = view
    free, requests = state[0], world[0]
    _, peers, _, _, _, sizes = row
    cpu, memory = int(constants[s, CPU]), int(constants[s, MEMORY])
    cpu_request, memory_request = requests[s, i, cpu], requests[s, i, memory]
    w = pods[s, i, WORKLOAD]
    per_peer = 1.0 / max(1, sizes[s, max(w, 0)])
    candidates[b, 0, 0] = 1.0
    if nodes.shape[2]:
        nodes[b, 0, 0] = -1
        nodes[b, 0, 1] = _first_pod_node(candidates) + i
    for at in range(1, num_available[b]):
        action = available[b, at]
        j = action - 1
        c = candidates[b, action]
        per_cpu, per_memory = per_capacity[s, j, cpu], per_capacity[s, j, memory]
        cpu_left = (free[b, j, cpu] - cpu_request) * per_cpu
        memory_left = (free[b, j, memory] - memory_request) * per_memory
        c[1] = cpu_left
        c[2] = memory_left
        c[3] = min(cpu_left, memory_left)
        c[4] = abs(cpu_left - memory_left)
        c[5] = free[b, j, cpu] * per_cpu * (cpu_request * per_cpu) + free[
            b, j, memory
        ] * per_memory * (memory_request * per_memory)
        if w >= 0:
            c[6] = peers[b, w, j] * per_peer
        if mask[b, action] == 2:
            mask[b, action] = 1
            c[7] = 1.0
        if pods[s, i, CURRENT] == j:
            c[8] = 1.0
        if nodes.shape[2]:
            nodes[b, action, 0] = j
            nodes[b, action, 1] = _first_pod_node(candidates) + i


@part
def _first_pod_node(candidates):
    """Where the pods' nodes begin in the graph: after the (padded) cluster nodes."""
    return candidates.shape[1] - 1


@part
def _write_globals(b, s, i, count, data, world, state, row, view):
    """What is known of the offered pod and of the cluster."""
    problems, constants, pods, _, _, _ = data
    clock, _, _, tries, _, sizes = row
    _, columns, _, _, _, _ = view
    requests = world[0]
    total, w = problems[s, NUM_PODS], pods[s, i, WORKLOAD]
    columns[b, 0] = requests[s, i, int(constants[s, CPU])] * constants[s, PER_CPU]
    columns[b, 1] = requests[s, i, int(constants[s, MEMORY])] * constants[s, PER_MEMORY]
    columns[b, 2] = pods[s, i, TIER] * constants[s, PER_TIERS]
    columns[b, 3] = (sizes[s, w] if w >= 0 else 1) / total
    columns[b, 4] = tries[b, i]
    columns[b, 5] = clock[b, FREE_CPU] * constants[s, PER_ALL_CPU]
    columns[b, 6] = clock[b, FREE_MEMORY] * constants[s, PER_ALL_MEMORY]
    columns[b, 7] = (clock[b, LAST] - clock[b, FIRST]) / total
    columns[b, 8] = clock[b, PLACED] / total
    columns[b, 9] = clock[b, COST_NOW] / constants[s, SCALE]
    columns[b, 10] = count
