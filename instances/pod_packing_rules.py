"""Rules of a cluster's state that simulators and solvers both need: filters and kube's victims.

Plain scalar code over arrays, so that Numba can compile it where it is used (and Python can run
it). A state consists of ``free (N, R)``, ``node_of (P,)``, per node a linked list of its pods
(``head (N,)``, ``after (P,)``, ``before (P,)``), and per term and domain how many pods of the
cluster it selects (``matched (T, G)``) and how many carry it (``carried (T, G)``; of a spread, only
pods that are new where they are).

After a change here, delete the caches of the kernels that compiled it (``__pycache__/*.nbi``):
Numba looks only at the files that the kernels stand in.

A *world* is the tuple ``(requests, spec_of_pod, allowed, kinds, limits, domains, num_domains,
eligible, carry, match)``; see ``pod_packing_constraints.py``. A *state* is ``(free, node_of, head,
after, before, matched, carried)``.
"""

from types import FunctionType, SimpleNamespace

# Compiled by Numba, which infers the types.
# mypy: allow-untyped-defs, allow-untyped-calls
# Explicit loops compile to faster code than generators.
# ruff: noqa: SIM110

ANTI, AFFINITY, SPREAD = 0, 1, 2


def fits(i, j, requests, free):
    """Whether pod ``i`` fits what is free on node ``j``; O(R)."""
    for k in range(requests.shape[1]):
        if requests[i, k] > free[j, k]:
            return False
    return True


def terms_allow(c, j, world, state):
    """Whether the terms let a pod of specification ``c`` come to node ``j``; O(T G)."""
    _, _, _, kinds, limits, domains, num_domains, eligible, carry, match = world
    _, _, _, _, _, matched, carried = state
    for t in range(len(kinds)):
        carries, matches = carry[c, t], match[c, t]
        if not carries and not matches:
            continue
        g = domains[t, j]
        if kinds[t] == ANTI:
            if g >= 0 and ((carries and matched[t, g] > 0) or (matches and carried[t, g] > 0)):
                return False
        elif kinds[t] == AFFINITY:
            if not carries:
                continue
            if g < 0:
                return False
            if matched[t, g] == 0:
                total = 0
                for other in range(num_domains[t]):
                    total += matched[t, other]
                if total > 0 or not matches:
                    return False
        else:
            if g < 0:
                if carries:
                    return False
                continue
            if not carries and carried[t, g] == 0:
                continue
            count = matched[t, g] + (1 if matches else 0)
            least = count
            for node in range(domains.shape[1]):
                other = domains[t, node]
                if eligible[t, node] and other != g and matched[t, other] < least:
                    least = matched[t, other]
            if count - least > limits[t]:
                return False
    return True


def allows(i, j, world, state):
    """Whether pod ``i`` passes all filters on node ``j``."""
    requests, spec_of_pod, allowed, _, _, _, _, _, _, _ = world
    free, _, _, _, _, _, _ = state
    c = spec_of_pod[i]
    return allowed[c, j] and fits(i, j, requests, free) and terms_allow(c, j, world, state)


def is_held(c, world):
    """Whether other pods may rest on a pod of this specification, so that it must not go.

    A required affinity or a hard spread selects it: without it, a pod that has come because of it
    would be where it may not be.
    """
    _, _, _, kinds, _, _, _, _, _, match = world
    for t in range(len(kinds)):
        if match[c, t] and kinds[t] != ANTI:
            return True
    return False


def put(i, j, is_new, world, state):
    """Let pod ``i`` run on node ``j``; O(R + T)."""
    requests, _, _, _, _, _, _, _, _, _ = world
    free, node_of, head, after, before, _, _ = state
    for k in range(requests.shape[1]):
        free[j, k] -= requests[i, k]
    node_of[i] = j
    after[i] = head[j]
    before[i] = -1
    if head[j] >= 0:
        before[head[j]] = i
    head[j] = i
    _count(i, j, 1, is_new, world, state)


def take(i, is_new, world, state):
    """Take pod ``i`` from its node; O(R + T)."""
    requests, _, _, _, _, _, _, _, _, _ = world
    free, node_of, head, after, before, _, _ = state
    j = node_of[i]
    for k in range(requests.shape[1]):
        free[j, k] += requests[i, k]
    node_of[i] = -1
    if before[i] >= 0:
        after[before[i]] = after[i]
    else:
        head[j] = after[i]
    if after[i] >= 0:
        before[after[i]] = before[i]
    _count(i, j, -1, is_new, world, state)


def _count(i, j, sign, is_new, world, state):
    _, spec_of_pod, _, kinds, _, domains, _, _, carry, match = world
    _, _, _, _, _, matched, carried = state
    c = spec_of_pod[i]
    for t in range(len(kinds)):
        g = domains[t, j]
        if g < 0:
            continue
        if match[c, t]:
            matched[t, g] += sign
        if carry[c, t] and (is_new or kinds[t] == ANTI):
            carried[t, g] += sign


def find_victims(i, j, priorities, importance, movable, current, budget, world, state, victims):
    """Whom kube-scheduler's preemption would evict from node ``j`` for pod ``i``.

    All pods of lower priority are taken away; if the pod passes the filters then, they are put back
    in the order of their importance, those first whose going would violate a budget, as long as the
    pod still passes. (``dryRunPreemption`` and ``selectVictimsOnNode`` of ``default_preemption``.)

    Args:
        i: The pod that is to come.
        j: The node.
        priorities: ``(P,)`` priorities.
        importance: ``(P,)`` rank: lower is more important (higher priority, then earlier start).
        movable: ``(P,)`` whether a pod may be evicted at all.
        current: ``(P,)`` where a pod ran at first; elsewhere it is new.
        budget: ``(in_budget (C, M), left (M,), scratch (M,))``.
        world: See the module.
        state: See the module; changed and put back.
        victims: ``(P,)`` scratch; the victims are left in its first places, by importance.

    Returns:
        Number of victims, -1 if the pod cannot come, and how many of them violate a budget.
    """
    _, spec_of_pod, allowed, _, _, _, _, _, _, _ = world
    _, _, head, after, _, _, _ = state
    in_budget, left, scratch = budget
    if not allowed[spec_of_pod[i], j]:
        return -1, 0
    count, q = 0, head[j]
    while q >= 0:
        if priorities[q] < priorities[i] and movable[q]:
            at = count
            while at > 0 and importance[victims[at - 1]] > importance[q]:
                victims[at] = victims[at - 1]
                at -= 1
            victims[at] = q
            count += 1
        q = after[q]
    for at in range(count):
        take(victims[at], victims[at] >= 0 and current[victims[at]] != j, world, state)
    if not allows(i, j, world, state):
        for at in range(count - 1, -1, -1):
            put(victims[at], j, current[victims[at]] != j, world, state)
        return -1, 0
    for m in range(len(left)):
        scratch[m] = left[m]
    kept, violations = 0, 0
    for at in range(count):  # violating ones are coded as -1 - pod
        q = victims[at]
        violates = False
        for m in range(len(left)):
            if in_budget[spec_of_pod[q], m]:
                scratch[m] -= 1
                violates = violates or scratch[m] < 0
        if violates:
            victims[at] = -1 - q
    for wave in range(2):
        for at in range(count):
            coded = victims[at]
            if (coded < 0) != (wave == 0) or coded == len(victims):
                continue
            q = -1 - coded if coded < 0 else coded
            put(q, j, current[q] != j, world, state)
            if allows(i, j, world, state):
                victims[at] = len(victims)  # stays
            else:
                take(q, current[q] != j, world, state)
                violations += coded < 0
    for at in range(count):
        coded = victims[at]
        if coded == len(victims):
            continue
        victims[kept] = -1 - coded if coded < 0 else coded
        kept += 1
    for at in range(kept):
        put(victims[at], j, current[victims[at]] != j, world, state)
    return kept, violations


#: The rules, each after those that it calls.
_ORDER = (fits, terms_allow, allows, is_held, _count, put, take, find_victims)


def compiled(jit):
    """The rules compiled by ``jit``, as attributes: they call each other compiled."""
    scope = {"ANTI": ANTI, "AFFINITY": AFFINITY, "SPREAD": SPREAD, "__name__": __name__}
    for rule in _ORDER:
        made = FunctionType(rule.__code__, scope, rule.__name__)
        made.__doc__, made.__module__, made.__qualname__ = rule.__doc__, __name__, rule.__name__
        scope[rule.__name__] = jit(made)
    return SimpleNamespace(**{rule.__name__: scope[rule.__name__] for rule in _ORDER})
