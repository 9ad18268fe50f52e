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
