"""The transition of repacking a cluster: kernels over ``PodRepackSimulator``'s arrays.

In every kernel ``b`` is a row, ``s`` its slot, ``i`` a pod, ``j`` a node. In the first phase action
0 stops and ``1 + i`` chooses pod ``i``; in the second, 0 evicts it and ``1 + j`` puts it on node
``j``.
"""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from ..instances import pod_packing_rules
from .kernels import VIEW_FIELDS, array_struct, called_part, kernel, part

_rules = pod_packing_rules.compiled(part)
_allows, _put, _take = _rules.allows, _rules.put, _rules.take

# The arrays, and what stands in their last axis; see ``pod_packing_kernels.py``.
NUM_NODES, NUM_PODS, NUM_WAITING, EVICT_COST, MOVE_COST, UPPER_BOUND = range(6)
NUM_BUDGETS, NUM_TERMS, NUM_WORKLOADS = range(6, 9)
PRIORITY, TIER, WORKLOAD, CURRENT, MOVABLE, IMPORTANCE, COST = range(7)
PER_CPU, PER_MEMORY, SCALE, PER_TIERS, CPU, MEMORY, PER_ALL_CPU, PER_ALL_MEMORY = range(8)
# ``clock`` (B, 8); CHOSEN is -1 in the first phase
CHOSEN, MOVES_LEFT, COST_NOW, PENDING, FREE_CPU, FREE_MEMORY, MOVES, STOPPED = range(8)

#: The arrays of the struct, in order.
FIELDS = (
    *("problems", "constants", "pods", "requests", "spec_of_pod", "allowed", "kinds", "limits"),
    *("domains", "num_domains", "eligible", "carry", "match", "capacities", "per_capacity"),
    *("in_budget", "budgets", "start_free", "start_node", "start_head", "start_after"),
    *("start_before", "start_matched", "start_carried"),
    *("slot", "clock", "free", "node_of", "head", "after", "before", "matched", "carried"),
    *("left", "placed", "fits", "num_fits"),
    *VIEW_FIELDS,
)

PodRepackArrays = array_struct("PodRepackArrays", __name__, FIELDS)


@kernel
def pack(arrays):
    """The struct of the arrays named in ``FIELDS``."""
    return PodRepackArrays(*arrays)


@kernel
def begin(a, rows, moves, skip_forced):
    """Reset the given rows; O(P N R) per row."""
    data = (a.problems, a.constants, a.pods, a.per_capacity, a.in_budget)
    world = (
        *(a.requests, a.spec_of_pod, a.allowed, a.kinds, a.limits, a.domains),
        *(a.num_domains, a.eligible, a.carry, a.match),
    )
    state = (a.free, a.node_of, a.head, a.after, a.before, a.matched, a.carried)
    start = (
        *(a.start_free, a.start_node, a.start_head, a.start_after, a.start_before),
        *(a.start_matched, a.start_carried),
    )
    row = (a.clock, a.left, a.placed, a.fits, a.num_fits)
    view = (a.candidates, a.globals, a.action_mask, a.candidate_nodes, a.available, a.num_available)
    value, initial_value, num_available = a.value, a.initial_value, a.num_available
    budgets, slot, scale, done = a.budgets, a.slot, a.scale, a.done
    reward, infeasible = a.reward, a.infeasible
    for b in rows:
        s = slot[b]
        _clear(b, view)
        _reset(b, s, moves, budgets, data, world, start, state, row)
        scale[b] = data[1][s, SCALE]
        reward[b] = 0.0
        infeasible[b] = 0
        _decide(b, s, skip_forced, data, world, state, row, view)
        value[b] = row[0][b, COST_NOW]
        initial_value[b] = value[b]
        done[b] = num_available[b] == 0


@kernel
def advance(a, actions, skip_forced):
    """Play one action in every row; O(P (R + columns)) per decision, O(P N) with terms."""
    data = (a.problems, a.constants, a.pods, a.per_capacity, a.in_budget)
    world = (
        *(a.requests, a.spec_of_pod, a.allowed, a.kinds, a.limits, a.domains),
        *(a.num_domains, a.eligible, a.carry, a.match),
    )
    state = (a.free, a.node_of, a.head, a.after, a.before, a.matched, a.carried)
    row = (a.clock, a.left, a.placed, a.fits, a.num_fits)
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
        if 0 <= action < mask.shape[1] and mask[b, action] != 0:
            _play(b, s, action, data, world, state, row)
            _decide(b, s, skip_forced, data, world, state, row, view)
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
def _reset(b, s, moves, budgets, data, world, start, state, row):
    problems, constants, pods, _, _ = data
    free, node_of, head, after, before, matched, carried = state
    start_free, start_node, start_head, start_after, start_before = start[:5]
    start_matched, start_carried = start[5:]
    clock, left, placed, _, _ = row
    n, count = problems[s, NUM_NODES], problems[s, NUM_PODS]
    for j in range(n):
        head[b, j] = start_head[s, j]
        for k in range(free.shape[2]):
            free[b, j, k] = start_free[s, j, k]
    for k in range(placed.shape[1]):
        placed[b, k, 0] = placed[b, k, 1] = 0
    cost = pending = 0
    for i in range(count):
        node_of[b, i] = start_node[s, i]
        after[b, i] = start_after[s, i]
        before[b, i] = start_before[s, i]
        if start_node[s, i] >= 0:
            placed[b, pods[s, i, TIER], 0] += 1
        else:
            pending += 1
            cost += pods[s, i, COST]
    for t in range(problems[s, NUM_TERMS]):
        for g in range(matched.shape[2]):
            matched[b, t, g] = start_matched[s, t, g]
            carried[b, t, g] = start_carried[s, t, g]
    for m in range(problems[s, NUM_BUDGETS]):
        left[b, m] = budgets[s, m]
    clock[b, CHOSEN] = -1
    clock[b, MOVES] = moves if moves > 0 else 2 * count
    clock[b, MOVES_LEFT] = clock[b, MOVES]
    clock[b, COST_NOW] = cost
    clock[b, PENDING] = pending
    clock[b, STOPPED] = 0
    clock[b, FREE_CPU] = clock[b, FREE_MEMORY] = 0
    for j in range(n):
        clock[b, FREE_CPU] += free[b, j, int(constants[s, CPU])]
        clock[b, FREE_MEMORY] += free[b, j, int(constants[s, MEMORY])]
    _find_all_fits(b, s, problems, world, state, row, data)


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


@called_part
def _find_all_fits(b, s, problems, world, state, row, data):
    """Where each pod could go; a pod that runs does not stand in its own way."""
    _, _, _, fits, num_fits = row
    pods = data[2]
    here, now = _slice(b, s, data[0], world, state)
    for i in range(problems[s, NUM_PODS]):
        q = now[1][i]
        num_fits[b, i] = 0
        if q >= 0:
            if not pods[s, i, MOVABLE]:
                continue
            _take(i, pods[s, i, CURRENT] != q, here, now)
        for j in range(problems[s, NUM_NODES]):
            fits[b, i, j] = j != q and _allows(i, j, here, now)
            num_fits[b, i] += fits[b, i, j]
        if q >= 0:
            _put(i, q, pods[s, i, CURRENT] != q, here, now)


@part
def _find_fits(b, s, j, problems, world, state, row, data):
    """The same for one node whose pods have changed, where there are no terms."""
    _, _, _, fits, num_fits = row
    pods = data[2]
    here, now = _slice(b, s, data[0], world, state)
    for i in range(problems[s, NUM_PODS]):
        q = now[1][i]
        if q >= 0 and not pods[s, i, MOVABLE]:
            continue
        good = j != q and _allows(i, j, here, now)
        num_fits[b, i] += int(good) - fits[b, i, j]
        fits[b, i, j] = good


@part
def _may_leave(b, s, i, data, state, world, row):
    """Whether a running pod may leave its node: not protected, and its budgets allow it."""
    problems, _, pods, _, in_budget = data
    left = row[1]
    if not pods[s, i, MOVABLE]:
        return False
    if state[1][b, i] == pods[s, i, CURRENT]:
        for m in range(problems[s, NUM_BUDGETS]):
            if in_budget[s, world[1][s, i], m] and left[b, m] <= 0:
                return False
    return True


@called_part
def _play(b, s, action, data, world, state, row):
    problems, constants, pods, _, in_budget = data
    clock, left, placed, _, _ = row
    if clock[b, CHOSEN] < 0:
        if action == 0:
            clock[b, STOPPED] = 1
        else:
            clock[b, CHOSEN] = action - 1
        return
    i = clock[b, CHOSEN]
    clock[b, CHOSEN] = -1
    clock[b, MOVES_LEFT] -= 1
    here, now = _slice(b, s, data[0], world, state)
    q, j, current, tier = now[1][i], action - 1, pods[s, i, CURRENT], pods[s, i, TIER]
    cpu, memory = int(constants[s, CPU]), int(constants[s, MEMORY])
    for step in range(2):
        place = q if step == 0 else j
        sign = -1 if step == 0 else 1
        if place < 0:  # pending
            cost = pods[s, i, COST]
            if current >= 0:
                cost += problems[s, EVICT_COST]
                placed[b, tier, 1] += sign * problems[s, EVICT_COST]
            clock[b, COST_NOW] += sign * cost
            clock[b, PENDING] += sign
            continue
        if step == 0:
            _take(i, current != place, here, now)
        else:
            _put(i, place, current != place, here, now)
        placed[b, tier, 0] += sign
        clock[b, FREE_CPU] -= sign * here[0][i, cpu]
        clock[b, FREE_MEMORY] -= sign * here[0][i, memory]
        if current >= 0 and current != place:
            clock[b, COST_NOW] += sign * problems[s, MOVE_COST]
            placed[b, tier, 1] += sign * problems[s, MOVE_COST]
        if current == place:
            for m in range(problems[s, NUM_BUDGETS]):
                left[b, m] += sign * in_budget[s, here[1][i], m]
    if problems[s, NUM_TERMS] > 0:
        _find_all_fits(b, s, problems, world, state, row, data)
        return
    if q >= 0:
        _find_fits(b, s, q, problems, world, state, row, data)
    if j >= 0:
        _find_fits(b, s, j, problems, world, state, row, data)


@part
def _decide(b, s, skip_forced, data, world, state, row, view):
    """Write the next decision, playing forced ones on the way if asked."""
    clock = row[0]
    _, _, _, _, available, num_available = view
    while True:
        _clear(b, view)
        if clock[b, STOPPED] or clock[b, MOVES_LEFT] == 0:
            return
        if clock[b, CHOSEN] < 0:
            count = _find_pods(b, s, data, world, state, row, view)
        else:
            count = _find_targets(b, s, data, world, state, row, view)
        num_available[b] = count
        if count > 1 or not skip_forced:
            if clock[b, CHOSEN] < 0:
                _write_pods(b, s, data, world, state, row, view)
            else:
                _write_targets(b, s, data, world, state, row, view)
            _write_globals(b, s, count, data, world, row, view)
            return
        _play(b, s, available[b, 0], data, world, state, row)


@part
def _find_pods(b, s, data, world, state, row, view):
    _, _, mask, _, available, _ = view
    num_fits = row[4]
    available[b, 0] = 0
    mask[b, 0] = 1
    count = 1
    for i in range(data[0][s, NUM_PODS]):
        if state[1][b, i] < 0:
            good = num_fits[b, i] > 0
        else:
            good = _may_leave(b, s, i, data, state, world, row)
        if good:
            available[b, count] = 1 + i
            mask[b, 1 + i] = 1
            count += 1
    return count


@part
def _find_targets(b, s, data, world, state, row, view):
    _, _, mask, _, available, _ = view
    clock, _, _, fits, _ = row
    i, count = clock[b, CHOSEN], 0
    if state[1][b, i] >= 0:
        available[b, 0] = 0
        mask[b, 0] = 1
        count = 1
    for j in range(data[0][s, NUM_NODES]):
        if fits[b, i, j]:
            available[b, count] = 1 + j
            mask[b, 1 + j] = 1
            count += 1
    return count


@part
def _write_pod(b, s, i, c, data, world, state, row):
    """The columns of a pod."""
    problems, constants, pods, _, _ = data
    requests, num_fits = world[0], row[4]
    c[2] = requests[s, i, int(constants[s, CPU])] * constants[s, PER_CPU]
    c[3] = requests[s, i, int(constants[s, MEMORY])] * constants[s, PER_MEMORY]
    c[4] = pods[s, i, TIER] * constants[s, PER_TIERS]
    pending, current = state[1][b, i] < 0, pods[s, i, CURRENT]
    if pending:
        c[5] = 1.0
    if current >= 0 and state[1][b, i] != current:
        c[6] = 1.0
    c[7] = num_fits[b, i] / problems[s, NUM_NODES]


@part
def _write_pods(b, s, data, world, state, row, view):
    _, constants, pods, _, _ = data
    candidates, _, _, nodes, available, num_available = view
    candidates[b, 0, 0] = 1.0
    for at in range(1, num_available[b]):
        action = available[b, at]
        i = action - 1
        c = candidates[b, action]
        _write_pod(b, s, i, c, data, world, state, row)
        if state[1][b, i] < 0:
            c[8] = pods[s, i, COST] / constants[s, SCALE]
        if nodes.shape[2]:
            nodes[b, action, 0] = state[1][b, i]
            nodes[b, action, 1] = state[0].shape[1] + i


@part
def _write_targets(b, s, data, world, state, row, view):
    problems, constants, pods, per_capacity, _ = data
    candidates, _, _, nodes, available, num_available = view
    free, requests = state[0], world[0]
    i = row[0][b, CHOSEN]
    cpu, memory = int(constants[s, CPU]), int(constants[s, MEMORY])
    q, current = state[1][b, i], pods[s, i, CURRENT]
    pending = pods[s, i, COST] + (problems[s, EVICT_COST] if current >= 0 else 0)
    now = pending if q < 0 else (problems[s, MOVE_COST] if current >= 0 and q != current else 0)
    for at in range(num_available[b]):
        action = available[b, at]
        j = action - 1
        c = candidates[b, action]
        _write_pod(b, s, i, c, data, world, state, row)
        if nodes.shape[2]:
            nodes[b, action, 0] = j
            nodes[b, action, 1] = state[0].shape[1] + i
        if j < 0:
            c[1] = 1.0
            c[8] = (now - pending) / constants[s, SCALE]
            continue
        then = problems[s, MOVE_COST] if current >= 0 and j != current else 0
        c[8] = (now - then) / constants[s, SCALE]
        c[9] = (free[b, j, cpu] - requests[s, i, cpu]) * per_capacity[s, j, cpu]
        c[10] = (free[b, j, memory] - requests[s, i, memory]) * per_capacity[s, j, memory]
        c[11] = min(c[9], c[10])
        if j == current:
            c[12] = 1.0


@part
def _write_globals(b, s, count, data, world, row, view):
    problems, constants, pods, _, _ = data
    clock, columns, i = row[0], view[1], row[0][b, CHOSEN]
    requests = world[0]
    columns[b, 0] = i >= 0
    columns[b, 1] = clock[b, MOVES_LEFT] / clock[b, MOVES]
    columns[b, 2] = clock[b, FREE_CPU] * constants[s, PER_ALL_CPU]
    columns[b, 3] = clock[b, FREE_MEMORY] * constants[s, PER_ALL_MEMORY]
    columns[b, 4] = clock[b, PENDING] / problems[s, NUM_PODS]
    columns[b, 5] = clock[b, COST_NOW] / constants[s, SCALE]
    columns[b, 6] = requests[s, i, int(constants[s, CPU])] * constants[s, PER_CPU] if i >= 0 else 0
    columns[b, 7] = (
        requests[s, i, int(constants[s, MEMORY])] * constants[s, PER_MEMORY] if i >= 0 else 0
    )
    columns[b, 8] = pods[s, i, TIER] * constants[s, PER_TIERS] if i >= 0 else 0
    columns[b, 9] = count
