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


def soc_dag_optimum(instance):
    """The least makespan over all orders and PEs, each task appended as early as it can be.

    Branch and bound on the makespan so far; shares nothing with the library but its data.
    """
    times, edges = instance.run_times.tolist(), instance.edges.tolist()
    data, bandwidth = instance.data.tolist(), instance.bandwidth.tolist()
    latency, n, m = instance.latency.tolist(), len(times), len(times[0])
    before = [[] for _ in range(n)]
    for (i, j), volume in zip(edges, data, strict=True):
        before[j].append((i, volume))

    def transfer(volume, p, q):
        if p == q:
            return 0
        exact = volume / bandwidth[p][q]
        return latency[p][q] + (int(exact) if instance.rounding == "floor" else -int(-exact // 1))

    best = [sum(max(row) for row in times) + sum(transfer(v, p, q) for v in data
            for p in range(m) for q in range(m)) + 1]  # fmt: skip

    def extend(pe, end, free):
        if max(end.values(), default=0) >= best[0]:
            return
        if len(end) == n:
            best[0] = max(end.values())
            return
        for i in range(n):
            if i in end or any(j not in end for j, _ in before[i]):
                continue
            for p in range(m):
                if times[i][p] < 0:
                    continue
                there = [end[j] + transfer(volume, pe[j], p) for j, volume in before[i]]
                finish = max([free[p], *there]) + times[i][p]
                extend({**pe, i: p}, {**end, i: finish}, _replace(free, p, finish))

    extend({}, {}, (0,) * m)
    return best[0]


def allocation_optimum(instance):
    """The least peak over all offsets, one unit of bytes at a time."""
    n = instance.num_buffers
    lows, highs, sizes = (a.tolist() for a in (instance.lowers, instance.uppers, instance.sizes))
    steps = [1] * n if instance.alignments is None else instance.alignments.tolist()

    def fits(peak, offsets):
        i = len(offsets)
        if i == n:
            return True
        for offset in range(0, peak - sizes[i] + 1, steps[i]):
            apart = all(
                highs[j] <= lows[i]
                or highs[i] <= lows[j]
                or offsets[j] + sizes[j] <= offset
                or offset + sizes[i] <= offsets[j]
                for j in range(i)
            )
            if apart and fits(peak, [*offsets, offset]):
                return True
        return False

    peak = max(sizes)
    while not fits(peak, []):
        peak += 1
    return peak


def _replace(values, index, value):
    return (*values[:index], value, *values[index + 1 :])


def flexible_job_shop_optimum(instance, latest):
    """The least objective over all machines and integer starts with all ends up to ``latest``."""
    n = instance.num_jobs
    plans = [list(_job_plans(instance, j, latest)) for j in range(n)]
    best = None
    for combination in itertools.product(*plans):
        done = [plan[-1][2] for plan in combination]
        value = _flexible_cost(instance, done)
        if (best is None or value < best) and _machines_agree(instance, combination):
            best = value
    return best


def _flexible_cost(instance, done):
    if instance.objective == "makespan":
        return max(done)
    base = instance.release_dates if instance.objective == "flow_time" else instance.due_dates
    pairs = zip(instance.weights.tolist(), done, base.tolist(), strict=True)
    return sum(weight * max(0, end - since) for weight, end, since in pairs)


def _job_plans(instance, j, latest, plan=()):
    """Lists of ``[machine, start, end]`` of a job, no operation within a downtime."""
    k = len(plan)
    if k == instance.num_operations[j]:
        yield plan
        return
    ready = plan[-1][2] if plan else int(instance.release_dates[j])
    starts = [ready] if plan and instance.buffer == "no-wait" else range(ready, latest + 1)
    for machine, time in enumerate(instance.times[j, k].tolist()):
        for start in starts if time >= 0 else ():
            ticks = set(range(start, start + time))
            down = (
                ticks & set(range(begin, end))
                for at, begin, end in instance.downtimes.tolist()
                if at == machine
            )
            if start + time <= latest and not any(down):
                yield from _job_plans(instance, j, latest, (*plan, [machine, start, start + time]))


def _machines_agree(instance, plans):
    """Whether every tick of a machine holds one job at most, and setups fit between jobs."""
    on = {}
    for j, plan in enumerate(plans):
        for k, (machine, start, end) in enumerate(plan):
            if instance.buffer == "blocking" and k + 1 < len(plan):
                end = plan[k + 1][1]
            on.setdefault(machine, []).append((start, end, j))
    for machine, visits in on.items():
        ticks = [tick for start, end, _ in visits for tick in range(start, end)]
        if len(ticks) != len(set(ticks)):
            return False
        if instance.setups is not None:
            for before, after in itertools.pairwise([(0, 0, -1), *sorted(visits)]):
                if after[0] - before[1] < instance.setups[machine, before[2] + 1, after[2]]:
                    return False
    return True


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
