"""Optima of tiny instances by enumeration, sharing nothing with the library but its data."""

import functools
import itertools


def job_shop_optimum(instance):
    """The least makespan over all orders of operations, each started as early as it can be.

    Some optimal schedule starts its operations in an order in which each is appended to its machine
    (and, of operations that start together, those that take no time first): all are tried here.
    """
    durations = instance.durations.tolist()
    machines = instance.machines.tolist()
    lengths = instance.num_operations.tolist()

    @functools.cache
    def best(done, job_ready, machine_ready):
        rest = [j for j, length in enumerate(lengths) if done[j] < length]
        if not rest:
            return max(job_ready)
        values = []
        for j in rest:
            m = machines[j][done[j]]
            end = max(job_ready[j], machine_ready[m]) + durations[j][done[j]]
            values.append(
                best(
                    _replace(done, j, done[j] + 1),
                    _replace(job_ready, j, end),
                    _replace(machine_ready, m, end),
                )
            )
        return min(values)

    zeros = (0,) * len(lengths)
    return best(zeros, zeros, (0,) * instance.num_machines)


def tardiness_cost(instance, sequence):
    """The total weighted tardiness of a sequence, job by job."""
    release = instance.release_dates
    setups = instance.setups
    time = cost = row = 0
    for j in sequence:
        if release is not None:
            time = max(time, int(release[j]))
        if setups is not None:
            time += int(setups[row][j])
        time += int(instance.durations[j])
        cost += int(instance.weights[j]) * max(0, time - int(instance.due_dates[j]))
        row = j + 1
    return cost


def tardiness_optimum(instance):
    """The least total weighted tardiness over all sequences."""
    jobs = range(instance.num_jobs)
    return min(tardiness_cost(instance, order) for order in itertools.permutations(jobs))


def vm_cost(instance, free):
    """Unusable free cores, node by node."""
    cost = 0
    for (a, b), active in zip(free, instance.pm_active.tolist(), strict=True):
        for cores, double, weight in instance.sizes.tolist() if active else ():
            usable = 2 * min(a // (cores // 2), b // (cores // 2)) * (cores // 2) if double else 0
            usable = usable if double else a // cores * cores + b // cores * cores
            cost += weight * (a + b - usable)
    return cost


def vm_moves(instance, places, spent):
    """All migrations that are possible where the VMs are at ``places`` (PM, node)."""
    free = vm_free(instance, places)
    for vm, (old, was) in enumerate(places):
        c, m = int(instance.vm_cores[vm]), int(instance.vm_memory[vm])
        total = m * (2 if was < 0 else 1)
        budget = instance.memory_budget
        if not instance.vm_movable[vm] or not instance.pm_active[old]:
            continue
        if budget is not None and spent + total > budget:
            continue
        for pm in range(instance.num_pms):
            for node in (-1,) if was < 0 else (0, 1):
                nodes = (0, 1) if node < 0 else (node,)
                if (
                    (pm, node) != (old, was)
                    and instance.pm_active[pm]
                    and all(free[pm][k] >= c and free[pm][2 + k] >= m for k in nodes)
                    and not (
                        instance.cluster_local
                        and instance.pm_cluster[pm] != instance.pm_cluster[old]
                    )
                    and all(_apart(instance, places, vm, pm, one) for one in _sets(instance, vm))
                ):
                    yield vm, pm, node, total


def vm_free(instance, places):
    """Free cores and free memory of the nodes, ``[c0, c1, m0, m1]`` per PM."""
    free = [
        [*cores, *memory]
        for cores, memory in zip(
            instance.pm_cores.tolist(), instance.pm_memory.tolist(), strict=True
        )
    ]
    for vm, (pm, node) in enumerate(places):
        for k in (0, 1) if node < 0 else (node,):
            free[pm][k] -= int(instance.vm_cores[vm])
            free[pm][2 + k] -= int(instance.vm_memory[vm])
    return free


def _sets(instance, vm):
    return [one for one, member in instance.set_members.tolist() if member == vm]


def _apart(instance, places, vm, pm, one):
    racks = instance.pm_rack
    for other_set, other in instance.set_members.tolist():
        if other_set == one and other != vm:
            near = places[other][0]
            if near == pm or (instance.set_level[one] and racks[near] == racks[pm]):
                return False
    return True


def vm_optimum(instance):
    """The least objective over all plans of at most ``mnl`` moves, without a delay."""
    best = None
    start = tuple(zip(instance.vm_pm.tolist(), instance.vm_node.tolist(), strict=True))
    level = {(start, 0)}
    for moves in range(instance.mnl + 1):
        for places, _ in level:
            cost = vm_cost(instance, [row[:2] for row in vm_free(instance, places)])
            if instance.goal is not None:
                allowed = instance.goal * sum(instance.sizes[:, 2]) * instance.total_free
                cost = (instance.mnl + 1) * max(0, cost - int(allowed + 1e-9)) + moves
            best = cost if best is None else min(best, cost)
        level = {
            (_replace(places, vm, (pm, node)), spent + total)
            for places, spent in level
            for vm, pm, node, total in vm_moves(instance, places, spent)
        }
    return best


def _replace(values, index, value):
    return (*values[:index], value, *values[index + 1 :])
