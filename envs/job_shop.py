"""Job shop scheduling as decisions: dispatch the next operation of a job, until all are scheduled.

The *schedule class* decides which jobs are candidates. Let ``est_j`` and ``ect_j`` be the earliest
start and completion of job ``j``'s next operation, and ``m*`` the machine of the smallest ``ect``:

- ``active`` (Giffler and Thompson 1960, doi:10.1287/opre.8.4.487): the jobs on ``m*`` that can
  start before ``c* = min ect``, or take no time and start at it. Generates every active schedule,
  and so an optimal one. Choosing a job that starts later than another *is* the decision to wait.
- ``delta``: of these, the jobs with ``est_j <= t0 + delta (c* - t0)``, ``t0`` the smallest ``est``
  on ``m*``. ``delta = 1`` is ``active``; smaller values may exclude every optimum.
- ``non-delay``: the jobs with the smallest ``est`` of all; no machine waits while it could work.
  May exclude every optimum.
- ``semi-active``: every unfinished job; contains an optimum among many repetitions.

The value of a state is the larger of the makespan so far, the jobs' chains ``est_j + work
remaining`` and the machines' ``max(ready, min head) + load + min tail``: a lower bound on the final
makespan that never falls and ends at the makespan.

A stochastic shop is played in ``non-delay`` order, whose decisions follow the clock: what is not
finished at the time of a decision is shown by its expectation, and nothing that a policy sees
depends on the future. Its value is the same formula with what is known, and not a bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.job_shop import JobShopInstance, JobShopSolution, upper_bound
from . import job_shop_kernels as kernels
from .env import SchedulingEnv
from .job_shop_kernels import (
    BEFORE,
    BY_HEAD,
    BY_TAIL,
    MACHINE,
    NEXT_MACHINE,
    NEXT_TIME,
    OPERATION,
    REALISED,
    SCHEDULE,
    SCHEDULES,
    START,
    TIME,
)
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .vector import SchedulingVectorEnv

#: What the classic rules need.
MINIMAL_COLUMNS = (
    "processing_time",
    "work_remaining",
    "work_done",
    "operations_remaining",
    "job_ready",
    "wait",
)

_AHEAD = tuple(
    f"next{i}_{what}" for i in (1, 2, 3) for what in ("time", "ready", "queue", "load", "slack")
)

#: What a learner needs besides (a prototype's ablations chose them).
FULL_COLUMNS = (
    *MINIMAL_COLUMNS,
    "machine_ready",
    "completion",
    "slack",
    "rival_rise",
    "machine_rise",
    "machine_load",
    "machine_slack",
    "queue",
    "share",
    "tail_rank",
    "rival_rank",
    *_AHEAD,
    "starves",
    "bottleneck_slack",
    "bottleneck_work",
)

GLOBAL_COLUMNS = (
    "progress",
    "jobs_unfinished",
    "num_candidates",
    "log_jobs_per_machine",
    "bound_rise",
    "time_left",
)


class JobShopSimulator(Simulator):
    """Job shops side by side; see :class:`JobShopEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded ``jobs``, ``machines`` and ``operations`` (of the longest job).
        schedule: Schedule class; ``None`` for ``active``, or ``non-delay`` where durations are
            stochastic.
        delta: Where between ``t0`` (0) and ``c*`` (1) the class ``delta`` cuts.
        columns: ``full`` or ``minimal``.
        **common: See :class:`Simulator`.

    Raises:
        ValueError: If an option is not one of these.
    """

    family = problem = "job_shop"
    default_instance = "uniform-6x6-s0"
    speed_instances = ("uniform-10x10", "uniform-20x20", "uniform-100x20", "uniform-1000x100")
    # Short, urgent, without idling long: the rule active_wait of the classics.
    prior: ClassVar[Mapping[str, float]] = {
        "log processing_time": -5.0,
        "log work_remaining": 5.0,
        "wait / processing_time": -10.0,
    }
    training_instances = (
        *("uniform-10x10", "uniform-15x10", "uniform-15x15", "uniform-20x10", "uniform-20x15"),
        *("uniform-30x10", "uniform-30x15", "uniform-40x10", "uniform-20x20"),
        *("two_set-15x15", "two_set-20x15", "two_set-30x15"),
    )
    fields = kernels.FIELDS
    global_columns = GLOBAL_COLUMNS
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "operation": ("processing_time", "work_before", "work_after", "position", "machine_load"),
        "machine": ("load", "min_head", "min_tail", "num_operations"),
    }
    edge_types = (("operation", "precedes", "operation"), ("operation", "uses", "machine"))
    candidate_node_types = ("operation", "machine")

    def __init__(
        self,
        num_rows: int,
        size: Mapping[str, int],
        *,
        schedule: str | None = None,
        delta: float = 1.0,
        columns: str = "full",
        **common: Any,
    ) -> None:
        if schedule is not None and schedule not in SCHEDULES:
            raise ValueError(f"schedule {schedule!r}, expected one of: {', '.join(SCHEDULES)}.")
        if not 0.0 <= delta <= 1.0:
            raise ValueError(f"delta {delta}, expected between 0 and 1.")
        if delta != 1.0 and schedule != "delta":
            raise ValueError(f"delta {delta} with schedule {schedule!r}, expected 'delta'.")
        if columns not in ("full", "minimal"):
            raise ValueError(f"columns {columns!r}, expected 'full' or 'minimal'.")
        self.schedule = schedule
        self.delta = float(delta)
        self.candidate_columns = FULL_COLUMNS if columns == "full" else MINIMAL_COLUMNS
        super().__init__(num_rows, size, **common)

    @classmethod
    def measure(cls, instance: JobShopInstance) -> dict[str, int]:
        """``jobs``, ``machines`` and ``operations`` (of the longest job)."""
        jobs, operations = instance.machines.shape
        return {"jobs": jobs, "machines": instance.num_machines, "operations": operations}

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """One candidate per job; a node per operation and per machine."""
        total = size["jobs"] * size["operations"]
        nodes = {"operation": total, "machine": size["machines"]}
        return Shape(size["jobs"], nodes, edges=2 * total)

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        n, m, k = self.size["jobs"], self.size["machines"], self.size["operations"]
        slots, rows = self.num_slots, self.num_rows
        data: Arrays = {
            "shops": np.zeros((slots, 8), "i8"),
            "operations": np.zeros((slots, n, k + 1, 4), "i8"),
            "orders": np.zeros((slots, n * k, 4), "i4"),
            "firsts": np.zeros((slots, m + 1), "i8"),
            "loads": np.zeros((slots, m), "i8"),
            "unit": np.ones(slots, "f8"),
            "log_ratio": np.zeros(slots, "f8"),
        }
        state: Arrays = {
            "jobs": np.zeros((rows, n, 8), "i8"),
            "machines": np.zeros((rows, m, 8), "i8"),
            "tails": np.zeros((rows, n), "i8"),
            "progress": np.zeros((rows, 3), "i8"),
            "start": np.full((rows, n, k), -1, "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: JobShopInstance) -> None:
        """Write an instance into a slot; O(N log N)."""
        n, k = instance.machines.shape
        d, machines, times = self.data, instance.machines, instance.processing_times
        stochastic = instance.cv > 0
        schedule = self.schedule or ("non-delay" if stochastic else "active")
        if stochastic and schedule != "non-delay":
            raise ValueError(
                f"{instance.name or 'instance'}: stochastic durations (cv {instance.cv}) with"
                f" schedule {schedule!r}, which looks ahead; expected 'non-delay'."
            )
        d["shops"][slot, :6] = (
            n,
            instance.num_machines,
            instance.num_operations.sum(),
            SCHEDULES[schedule],
            stochastic,
            upper_bound(instance),
        )
        operations = d["operations"][slot]
        operations[:n, :, MACHINE] = -1
        operations[:n, :k, MACHINE] = machines
        operations[:n, :k, TIME] = times
        np.cumsum(times, axis=1, out=operations[:n, 1 : k + 1, BEFORE])
        if stochastic:
            operations[:n, :k, REALISED] = instance.durations
        d["unit"][slot] = _unit(times, instance.num_operations)
        d["log_ratio"][slot] = math.log(n / instance.num_machines)
        self._write_machines(slot, instance)

    def _write_machines(self, slot: int, instance: JobShopInstance) -> None:
        """Loads, and each machine's operations ordered by head and by tail."""
        d, num_machines = self.data, instance.num_machines
        job, operation = np.nonzero(instance.machines >= 0)
        machine = instance.machines[job, operation]
        before = d["operations"][slot, :, :, BEFORE]
        head = before[job, operation]
        tail = before[job, instance.num_operations[job]] - before[job, operation + 1]
        for order, key in ((BY_HEAD, head), (BY_TAIL, tail)):
            at = np.lexsort((key, machine))
            d["orders"][slot, : len(job), order] = job[at]
            d["orders"][slot, : len(job), order + 1] = operation[at]
        d["firsts"][slot, 0] = 0
        counts = np.bincount(machine, minlength=num_machines)
        np.cumsum(counts, out=d["firsts"][slot, 1 : num_machines + 1])
        times = instance.processing_times[job, operation].astype(np.float64)
        d["loads"][slot, :num_machines] = np.bincount(machine, times, minlength=num_machines)
        if self.graph:
            self._write_graph(slot, instance, head, tail)

    def _write_graph(
        self, slot: int, instance: JobShopInstance, head: IntArray, tail: IntArray
    ) -> None:
        """Nodes (operation ``k`` of job ``j`` at ``j * K + k``, then machines) and edges."""
        d, width = self.data, self.size["operations"]
        unit, loads = d["unit"][slot], d["loads"][slot]
        first_machine = self.size["jobs"] * width
        job, operation = np.nonzero(instance.machines >= 0)
        machine = instance.machines[job, operation]
        code = job * width + operation
        nodes, kinds = d["nodes"][slot], d["node_type"][slot]
        nodes[:], kinds[:] = 0.0, -1
        kinds[code] = 0
        kinds[first_machine : first_machine + instance.num_machines] = 1
        nodes[code, 0] = instance.processing_times[job, operation] / unit
        nodes[code, 1] = head / unit
        nodes[code, 2] = tail / unit
        nodes[code, 3] = operation / instance.num_operations[job]
        nodes[code, 4] = loads[machine] / unit
        least = np.full((2, instance.num_machines), np.iinfo(np.int64).max)
        np.minimum.at(least[0], machine, head)
        np.minimum.at(least[1], machine, tail)
        used = np.unique(machine)
        nodes[first_machine + used, 0] = loads[used] / unit
        nodes[first_machine + used, 1:3] = least[:, used].T / unit
        nodes[first_machine + used, 3] = np.bincount(machine)[used]
        follows = code[operation > 0]
        precedes = np.stack([follows - 1, follows], axis=1)
        uses = np.stack([code, first_machine + machine], axis=1)
        edges, edge_kinds = d["edges"][slot], d["edge_type"][slot]
        edges[:], edge_kinds[:] = -1, -1
        count = len(precedes) + len(uses)
        edges[:count] = np.concatenate([precedes, uses])
        edge_kinds[: len(precedes)] = 0
        edge_kinds[len(precedes) : count] = 1

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.delta, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Dispatch one job in every row."""
        kernels.advance(self.arrays, actions, self.delta, self.skip_forced)

    def solutions(self, rows: IntArray) -> list[JobShopSolution]:
        """The schedules of the rows; -1 for what is not scheduled."""
        found = []
        starts = self.state["start"][rows]
        for start, row in zip(starts, rows, strict=True):
            n, k = self.instance(row).machines.shape
            found.append(JobShopSolution.trusted(start=np.ascontiguousarray(start[:n, :k])))
        return found

    def guide(self, solution: JobShopSolution, row: int) -> int:
        """The candidate that the schedule starts first.

        In an active shop, where the machine's first operation of the schedule cannot start before
        ``c*``, the operation that completes at ``c*`` fits in front of it: the replayed schedule
        is never worse.
        """
        view, jobs = self.view, self.state["jobs"][row]
        candidates = view["available"][row, : view["num_available"][row]]
        instance = self.instance(row)
        waiting = instance.machines >= 0
        waiting &= np.arange(waiting.shape[1]) >= jobs[: len(waiting), OPERATION, None]
        first = []  # of each machine, the operation that the schedule starts first
        for machine in np.unique(jobs[candidates, NEXT_MACHINE]):
            job, operation = np.nonzero(waiting & (instance.machines == machine))
            start = solution.start[job, operation]
            end = start + instance.durations[job, operation]
            at = np.lexsort((operation, end, start))[0]
            first.append((int(start[at]), int(end[at]), int(job[at]), int(operation[at])))
        for _, _, j, k in sorted(first):
            if j in candidates and k == jobs[j, OPERATION]:
                return j
        start_of_first, _, j, k = min(first)
        if self.data["shops"][self.state["slot"][row], SCHEDULE] == SCHEDULES["active"]:
            ends = jobs[candidates, START] + jobs[candidates, NEXT_TIME]
            conflict = jobs[: instance.num_jobs, NEXT_MACHINE] == jobs[candidates[0], NEXT_MACHINE]
            earliest = (jobs[: len(conflict), START] + jobs[: len(conflict), NEXT_TIME])[conflict]
            if ends.min() == earliest.min() <= start_of_first:
                return int(candidates[np.argmin(ends)])
        raise NotExpressible(
            f"the schedule starts operation {k} of job {j} next, expected one of the jobs"
            f" {candidates.tolist()}."
        )


def _unit(times: IntArray, lengths: IntArray) -> float:
    """A power of two near the mean processing time, so that columns are exact in float32."""
    mean = float(times.sum()) / float(lengths.sum())
    return 2.0 ** round(math.log2(mean)) if mean > 0 else 1.0


class JobShopEnv(SchedulingEnv):
    """Build a job shop schedule one operation at a time.

    ## Action Space
    ``Discrete(jobs)``: dispatch the next operation of job ``a`` to its machine, at the earliest
    time after what is already there. The jobs that may be chosen depend on ``schedule``.

    ## Observation Space
    A ``Dict``; times are divided by a power of two near the mean processing time.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (jobs, F) float32 | a row per job, columns as named below; 0 if unavailable |
    | ``globals`` | (G,) float32 | ``progress``, ``jobs_unfinished``, ``num_candidates``, ... |
    | ``action_mask`` | (jobs,) int8 | 1 for the jobs that may be chosen |

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type`` (static:
    operations and machines, precedence and use) and ``candidate_nodes`` (jobs, 2): the operation
    and the machine of each candidate, -1 if unavailable.

    Candidate columns (``env.unwrapped.candidate_columns``), of the job's next operation:
    ``processing_time``; ``work_remaining`` of the job from here on; ``work_done`` before;
    ``operations_remaining``; ``job_ready``: when the job is ready, seen from now; ``wait``: its
    earliest start minus the smallest one among the candidates. With ``columns="full"`` also
    ``machine_ready``, seen from now; ``completion`` beyond the earliest one; ``slack`` of the job's
    chain to the bound; ``rival_rise`` and ``machine_rise``: by how much the bound would be exceeded
    by the rivals' chains and by the machine if this job went first (negative: slack);
    ``machine_load`` not yet scheduled; ``machine_slack`` to the bound; ``queue``: jobs whose next
    operation is on the machine; ``share``: processing time per work remaining; ``tail_rank``:
    share of unfinished jobs with a longer tail; ``rival_rank``: share of rivals with more work;
    ``next1_..next3_`` ``time``, ``ready`` (machine ready minus the arrival there), ``queue``,
    ``load`` and ``slack`` of the machines one to three operations ahead; ``starves``: the next
    machine would stand idle with no queue; ``bottleneck_slack`` and ``bottleneck_work``: the least
    slack among the machines still to visit, and the work until there.

    Global columns: ``progress``: share of operations scheduled; ``jobs_unfinished``: share;
    ``num_candidates``; ``log_jobs_per_machine``; ``bound_rise`` since the start; ``time_left``
    until the bound.

    ## Rewards
    Minus the rise of the value (see the module), divided by the root bound ``scale``: the return is
    ``-(makespan - initial_value) / scale``, the relative gap to the root bound.

    ## Starting State
    Nothing is scheduled. Instances are drawn by the environment's seed if several are given.

    ## Episode End
    Terminates when all operations are scheduled. An action outside the mask terminates the episode
    at the cost ``upper_bound`` (the sum of all durations), with the reason in
    ``info["infeasible"]``. ``info`` then holds ``objective``, ``solution``, ``gap``, ``instance``.

    ## Arguments
    ``instance``: what to schedule (see :class:`SchedulingEnv`); ``observation``: ``"candidates"``
    or ``"graph"``; ``limits``: padded ``jobs``, ``machines``, ``operations``; ``schedule``:
    ``"active"`` (default), ``"delta"`` with ``delta``, ``"non-delay"``, ``"semi-active"``;
    ``columns``: ``"full"`` or ``"minimal"``; ``skip_forced``: play decisions with one candidate.

    Any active schedule can be replayed exactly with ``schedule="active"``; any other feasible one
    at no greater makespan.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {"dispatch": JobShopSimulator}


class JobShopVectorEnv(SchedulingVectorEnv):
    """Many :class:`JobShopEnv` in one simulator."""

    simulators = JobShopEnv.simulators


__all__ = [
    "FULL_COLUMNS",
    "GLOBAL_COLUMNS",
    "MINIMAL_COLUMNS",
    "JobShopEnv",
    "JobShopSimulator",
    "JobShopVectorEnv",
]
