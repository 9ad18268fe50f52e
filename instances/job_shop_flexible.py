"""Flexible job shop scheduling, with dates, weights, setups, downtimes and limited buffers.

Data: jobs ``j`` with operations ``k = 0..K_j-1`` in a fixed order; operation ``(j, k)`` runs on one
of its eligible machines, for ``p_jkm`` ticks (Brandimarte 1993, doi:10.1007/BF02023073).

Constraints:

- no operation starts before its job's release, or before its predecessor has ended;
- a machine works on one operation at a time, without interruption, and is set up between two
  (``setups``), which it does while the job is elsewhere; the setup goes on during a downtime;
- no operation runs on a machine during its downtimes;
- ``buffer="no-wait"``: an operation starts when its predecessor ends; ``buffer="blocking"``: a job
  stays on its machine until its next operation starts, after the last one it leaves at once. Jobs
  that wait for one another's machines may swap (Mascis and Pacciarelli 2002,
  doi:10.1016/S0377-2217(01)00338-1). A blocked job may stand on a machine that is down.

Objective: see ``job_shop_objectives.py``. Strongly NP-hard in each of its forms.
"""

from __future__ import annotations

import numpy as np

from .core import IntArray
from .job_shop_flexible_model import FlexibleJobShopInstance, FlexibleJobShopSolution
from .job_shop_objectives import LIMIT, cost, name_of
from .picture import Box, Picture

# The referee.


def validate(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> None:
    """Check a complete schedule.

    Raises:
        ValueError: Naming the first violated constraint.
    """
    _check_shape(instance, solution)
    start, machine, exists = solution.start, solution.machine, instance.exists
    for j, k in np.argwhere(exists & (start < 0)):
        raise ValueError(f"operation ({j}, {k}): start {start[j, k]}, expected >= 0.")
    for j, k in np.argwhere(start >= LIMIT):
        raise ValueError(f"operation ({j}, {k}): start {start[j, k]}, expected below 2^53.")
    for j, k in np.argwhere(~exists & ((start != -1) | (machine != -1))):
        raise ValueError(f"operation ({j}, {k}): does not exist, expected start and machine -1.")
    for j, k in np.argwhere(exists & ((machine < 0) | (machine >= instance.num_machines))):
        raise ValueError(
            f"operation ({j}, {k}): machine {machine[j, k]},"
            f" expected 0..{instance.num_machines - 1}."
        )
    for j, k in np.argwhere(exists):
        if instance.times[j, k, machine[j, k]] < 0:
            eligible = np.flatnonzero(instance.times[j, k] >= 0).tolist()
            raise ValueError(
                f"operation ({j}, {k}): machine {machine[j, k]}, expected one of {eligible}."
            )
    _check_jobs(instance, solution)
    _check_machines(instance, solution)
    _check_downtimes(instance, solution)


def _check_shape(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> None:
    for what, array in (("start", solution.start), ("machine", solution.machine)):
        if array.shape != instance.exists.shape:
            raise ValueError(f"{what} {array.shape}, expected {instance.exists.shape}.")


def ends(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> IntArray:
    """``(n, K)`` end of each scheduled operation; -1 where there is none."""
    found = np.full(solution.start.shape, -1, dtype=np.int64)
    job, operation = np.nonzero(solution.start >= 0)
    machine = solution.machine[job, operation]
    found[job, operation] = solution.start[job, operation] + instance.times[job, operation, machine]
    return found


def _check_jobs(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> None:
    start, end = solution.start, ends(instance, solution)
    for j in np.flatnonzero(start[:, 0] < instance.release_dates):
        raise ValueError(
            f"operation ({j}, 0): starts at {start[j, 0]}, expected at or after the release"
            f" {instance.release_dates[j]}."
        )
    later = instance.exists[:, 1:]
    for j, k in np.argwhere(later & (start[:, 1:] < end[:, :-1])):
        raise ValueError(
            f"operation ({j}, {k + 1}): starts at {start[j, k + 1]}, expected at or after the end"
            f" {end[j, k]} of operation ({j}, {k})."
        )
    if instance.buffer == "no-wait":
        for j, k in np.argwhere(later & (start[:, 1:] != end[:, :-1])):
            raise ValueError(
                f"operation ({j}, {k + 1}): starts at {start[j, k + 1]}, expected at the end"
                f" {end[j, k]} of operation ({j}, {k}): no wait."
            )


def _check_machines(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> None:
    """One job at a time on each machine, from its start until it leaves, and setups between."""
    start, leave = solution.start, ends(instance, solution)
    if instance.buffer == "blocking":
        later = instance.exists[:, 1:]
        leave[:, :-1][later] = start[:, 1:][later]
    for machine in range(instance.num_machines):
        on = np.argwhere(solution.machine == machine).tolist()
        on.sort(key=lambda o: (start[o[0], o[1]], leave[o[0], o[1]], o))
        last, free = -1, 0
        for i, (j, k) in enumerate(on):
            begin = int(start[j, k])
            if begin < free:
                h, g = on[i - 1]
                raise ValueError(
                    f"machine {machine}: operations ({h}, {g}) [{start[h, g]}, {leave[h, g]}) and"
                    f" ({j}, {k}) [{begin}, {leave[j, k]}) overlap."
                )
            if instance.setups is not None:
                setup = int(instance.setups[machine, last + 1, j])
                if begin < free + setup:
                    raise ValueError(
                        f"machine {machine}: operation ({j}, {k}) starts at {begin}, expected at or"
                        f" after {free} plus its setup {setup}."
                    )
            last, free = j, int(leave[j, k])


def _check_downtimes(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> None:
    start, end = solution.start, ends(instance, solution)
    for machine, down, up in instance.downtimes.tolist():
        clash = (solution.machine == machine) & (start < up) & (down < end)
        for j, k in np.argwhere(clash):
            raise ValueError(
                f"machine {machine}: operation ({j}, {k}) [{start[j, k]}, {end[j, k]}) runs in the"
                f" downtime [{down}, {up})."
            )


def completions(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> IntArray:
    """``(n,)`` when each job's last operation ends."""
    last: IntArray = ends(instance, solution)[
        np.arange(instance.num_jobs), instance.num_operations - 1
    ]
    return last


def objective(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> int:
    """The instance's objective of a schedule.

    Raises:
        ValueError: If the schedule has another shape than the instance.
    """
    _check_shape(instance, solution)
    done = completions(instance, solution)
    jobs = (instance.release_dates, instance.due_dates, instance.weights)
    return cost(instance.objective, done, *jobs)


def metrics(
    instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution
) -> dict[str, float]:
    """Secondary figures of a schedule.

    Returns:
        ``makespan``; ``utilisation``: share of machine time until then that is spent working;
        ``mean_flow_time``; and, with due dates, ``tardy_jobs`` and ``mean_tardiness``.
    """
    done, end = completions(instance, solution), ends(instance, solution)
    makespan, busy = int(done.max()), int((end - solution.start)[instance.exists].sum())
    figures = {
        "makespan": float(makespan),
        "utilisation": busy / (makespan * instance.num_machines) if makespan else 0.0,
        "mean_flow_time": float((done - instance.release_dates).mean()),
    }
    if instance.due_dates is not None:
        late = np.maximum(done - instance.due_dates, 0)
        figures |= {
            "tardy_jobs": float((late > 0).sum()),
            "mean_tardiness": float(late.mean()),
        }
    return figures


# Bounds.


def heads(instance: FlexibleJobShopInstance) -> IntArray:
    """``(n, K)`` earliest start of each operation, were every machine free."""
    before = np.cumsum(instance.shortest, axis=1) - instance.shortest
    earliest: IntArray = before + instance.release_dates[:, None]
    return earliest


def tails(instance: FlexibleJobShopInstance) -> IntArray:
    """``(n, K)`` least work of the job after each operation."""
    total = instance.shortest.sum(axis=1, keepdims=True)
    after: IntArray = total - np.cumsum(instance.shortest, axis=1)
    return after


def lower_bound(instance: FlexibleJobShopInstance) -> int:
    """Every job at its fastest; for the makespan also every set of machines at full load.

    A set of machines has to do the operations that are eligible on no others: ``min head +
    load / |machines| + min tail``.
    """
    earliest = heads(instance)[:, 0] + instance.shortest.sum(axis=1)
    jobs = (instance.release_dates, instance.due_dates, instance.weights)
    best = cost(instance.objective, earliest, *jobs)
    if instance.objective != "makespan":
        return best
    head, tail, eligible = heads(instance), tails(instance), instance.times >= 0
    sets = np.unique(eligible[instance.exists], axis=0)
    for machines in np.unique(np.concatenate([sets, [eligible.any(axis=(0, 1))]]), axis=0):
        on = instance.exists & ~(eligible & ~machines).any(axis=2)
        load = -(-int(instance.shortest[on].sum()) // int(machines.sum()))
        best = max(best, int(head[on].min()) + load + int(tail[on].min()))
    return best


def upper_bound(instance: FlexibleJobShopInstance) -> int:
    """The objective if every job ended at the horizon, which no sensible schedule exceeds."""
    late = np.full(instance.num_jobs, instance.horizon)
    jobs = (instance.release_dates, instance.due_dates, instance.weights)
    return cost(instance.objective, late, *jobs)


# The picture.


def picture(instance: FlexibleJobShopInstance, solution: FlexibleJobShopSolution) -> Picture:
    """A Gantt chart: a lane per machine, a box per scheduled operation and per downtime."""
    start, end = solution.start, ends(instance, solution)
    boxes = [
        Box(
            x=int(start[j, k]),
            y=int(solution.machine[j, k]),
            width=int(end[j, k] - start[j, k]),
            group=j,
            label=str(j),
            detail=f"job {j}, operation {k}: [{start[j, k]}, {end[j, k]})",
        )
        for j, k in np.argwhere(start >= 0).tolist()
    ]
    last = max((box.x + box.width for box in boxes), default=0)
    title = f"makespan {last:g}"
    if (solution.start[instance.exists] >= 0).all() and instance.objective != "makespan":
        title = f"{name_of(instance.objective)} {objective(instance, solution)}"
    boxes += down_boxes(instance.downtimes, last, instance.num_jobs)
    bound = lower_bound(instance)
    return Picture(
        title=f"{instance.name or 'flexible job shop'}: {title}",
        x_label="time",
        y_label="machine",
        boxes=tuple(boxes),
        lanes=tuple(str(machine) for machine in range(instance.num_machines)),
        marks=((bound, f"lower bound {bound}"),) if instance.objective == "makespan" else (),
        group_name="job",
    )


def down_boxes(downtimes: IntArray, last: float, group: int) -> list[Box]:
    """Boxes for the downtimes that begin before the end of the picture."""
    return [
        Box(x=b, y=m, width=e - b, group=group, label="down", detail=f"downtime [{b}, {e})")
        for m, b, e in downtimes.tolist()
        if b < last
    ]
