"""Optima of tiny instances by enumeration, sharing nothing with the library but its data."""

import functools


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


def _replace(values, index, value):
    return (*values[:index], value, *values[index + 1 :])
