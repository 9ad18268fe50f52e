"""A stream of jobs as decisions: which ready task goes to which PE, while time goes on.

Time moves from event to event. Where tasks are ready that have no PE yet, time stands until each
has one, or, with ``wait``, the policy lets the next event pass first. A task that has a PE keeps
it: it starts when the PE is free, first in, first out among those whose data are there (one whose
data are on their way does not block the others), as in DS3 and SoCRATES.

The value of a state is the integral of the number of jobs within (in the system, or waiting
outside) so far, plus the penalties of lost ones: it ends at the objective.

A policy sees expected run times. What runs longer than expected is expected to end now.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.soc_dag import SoCStreamInstance, SoCStreamSolution, path_bound, upper_bound
from . import soc_stream_kernels as kernels
from .env import SchedulingEnv
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .soc_dag_common import graph_of, mean_run_times, unit, width
from .soc_stream_kernels import ARRIVAL, PROFILE, RUN_TIME, TAIL
from .vector import SchedulingVectorEnv

#: What the classic rules need.
MINIMAL_COLUMNS = (
    *("run_time", "start", "finish", "data_ready", "available", "tail", "bound", "rank_up"),
    *("job_work", "least_run_time", "waiting", "is_wait"),
)

#: What a learner needs besides.
FULL_COLUMNS = (
    *MINIMAL_COLUMNS,
    *("mean_run_time", "job_age", "queued", "finish_gap", "job_tasks"),
)

GLOBAL_COLUMNS = (
    *("num_ready", "num_candidates", "seated", "outside", "busy", "backlog", "work", "lost"),
)


class SoCStreamSimulator(Simulator):
    """Job streams side by side; see :class:`SoCStreamEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded ``jobs`` (arrivals), ``profiles``, ``tasks`` (of the largest profile),
            ``pes``, ``edges`` (of all profiles), ``capacity``, ``ready`` (tasks of one job).
        wait: Whether letting the next event pass is a candidate.
        columns: ``full`` or ``minimal``.
        **common: See :class:`Simulator`.

    Raises:
        ValueError: If an option is not one of these.
    """

    family = "soc_dag"
    problem = "soc_stream"
    default_instance = "stream-2x4x2x3-s0"
    speed_instances = ("stream-5x10x3x50", "stream-5x30x16x50")
    # The earliest finish of all, rarely waiting.
    prior: ClassVar[Mapping[str, float]] = {"finish": -4.0, "is_wait": -8.0}
    training_instances = ("stream-3x8x3x15", "stream-3x10x4x15", "stream-5x10x3x15")
    fields = kernels.FIELDS
    global_columns = GLOBAL_COLUMNS
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "task": (
            *("exists", "blocked", "ready", "assigned", "running", "done"),
            *("mean_run_time", "rank_up", "waits", "job_age"),
        ),
        "pe": ("busy", "queued", "backlog"),
    }
    edge_types = (
        ("task", "precedes", "task"),
        ("task", "is_on", "pe"),
    )
    candidate_node_types = ("task", "pe")
    static_graph = False

    def __init__(
        self,
        num_rows: int,
        size: Mapping[str, int],
        *,
        wait: bool = True,
        columns: str = "full",
        **common: Any,
    ) -> None:
        if not isinstance(wait, bool):
            raise ValueError(f"wait {wait!r}, expected True or False.")
        if columns not in ("full", "minimal"):
            raise ValueError(f"columns {columns!r}, expected 'full' or 'minimal'.")
        self.wait = wait
        self.candidate_columns = FULL_COLUMNS if columns == "full" else MINIMAL_COLUMNS
        super().__init__(num_rows, size, **common)

    @classmethod
    def measure(cls, instance: SoCStreamInstance) -> dict[str, int]:
        """The sizes that the class names."""
        return {
            "jobs": _most_jobs(instance),
            "profiles": instance.num_profiles,
            "tasks": instance.most_tasks,
            "pes": instance.num_pes,
            "edges": len(instance.edges),
            "capacity": instance.capacity,
            "ready": max(width(profile) for profile in instance.profiles),
        }

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """A candidate per place for a ready task and PE, and one to wait."""
        places, tasks = size["capacity"] * size["ready"], size["capacity"] * size["tasks"]
        nodes = {"task": tasks, "pe": size["pes"]}
        return Shape(places * size["pes"] + 1, nodes, size["capacity"] * size["edges"] + tasks)

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        z, slots, rows = self.size, self.num_slots, self.num_rows
        j, k, n, m = z["jobs"], z["profiles"], z["tasks"], z["pes"]
        x, e = z["capacity"], z["edges"]
        data: Arrays = {
            "problems": np.zeros((slots, 9), "i8"),
            "constants": np.ones((slots, 2), "f8"),
            "jobs": np.zeros((slots, j, 2), "i8"),
            "factors": np.ones((slots, j, n), "f8"),
            "num_tasks": np.zeros((slots, k), "i8"),
            "pairs": np.zeros((slots, k, n, m, 2), "i8"),
            "keys": np.zeros((slots, k, n, 2), "f4"),
            "least": np.zeros((slots, k, n), "i8"),
            "blockers": np.zeros((slots, k, n), "i8"),
            "first_out": np.zeros((slots, k, n + 1), "i8"),
            "targets": np.zeros((slots, e), "i8"),
            "transfers": np.zeros((slots, e, m, m), "i8"),
        }
        state: Arrays = {
            "clock": np.zeros((rows, 10), "i8"),
            "seats": np.zeros((rows, x, 4), "i8"),
            "tasks": np.zeros((rows, x, n, 2), "i8"),
            "data_at": np.zeros((rows, x, n, m), "i8"),
            "pes": np.zeros((rows, m, 8), "i8"),
            "queue": np.zeros((rows, m, x * n, 2), "i8"),
            "places": np.full((rows, x * z["ready"], 3), -1, "i8"),
            "pe": np.full((rows, j, n), -1, "i8"),
            "start": np.full((rows, j, n), -1, "i8"),
            "finish": np.full((rows, j, n), -1, "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: SoCStreamInstance) -> None:
        """Write an instance into a slot; O(J n + E m^2)."""
        d, count = self.data, len(instance.arrival_times)
        scale = unit(np.concatenate([mean_run_times(graph) for graph in instance.profiles]))
        alone = np.array([path_bound(graph) for graph in instance.profiles])
        reward = float(alone @ instance.mix) / float(instance.mix.sum()) * instance.capacity
        d["problems"][slot] = (
            count,
            instance.num_pes,
            instance.capacity,
            instance.admission == "loss",
            instance.penalty,
            self.wait,
            upper_bound(instance),
            instance.cv > 0,
            instance.horizon,
        )
        d["constants"][slot] = 1.0 / scale, max(reward, 1.0)
        d["jobs"][slot, :count, ARRIVAL] = instance.arrival_times
        d["jobs"][slot, :count, PROFILE] = instance.job_profiles
        d["factors"][slot, :count, : instance.most_tasks] = instance.factors
        self._write_profiles(slot, instance, scale)

    def _write_profiles(self, slot: int, instance: SoCStreamInstance, scale: float) -> None:
        d, m, at = self.data, instance.num_pes, 0
        for k, profile in enumerate(instance.profiles):
            graph, w, n = graph_of(profile), profile.run_times, profile.num_tasks
            e = len(profile.edges)
            d["num_tasks"][slot, k] = n
            d["pairs"][slot, k, :n, :m, RUN_TIME] = w
            d["pairs"][slot, k, :n, :m, TAIL] = np.where(w >= 0, graph.levels - w, 0)
            d["keys"][slot, k, :n, 0] = graph.rank_up / scale
            d["keys"][slot, k, :n, 1] = mean_run_times(profile) / scale
            d["least"][slot, k, :n] = np.where(w >= 0, w, np.iinfo(np.int64).max).min(axis=1)
            d["blockers"][slot, k, :n] = graph.blockers
            d["first_out"][slot, k, : n + 1] = at + graph.first_out
            d["targets"][slot, at : at + e] = profile.edges[graph.edges, 1]
            d["transfers"][slot, at : at + e, :m, :m] = profile.communication[graph.edges]
            at += e

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.skip_forced)
        self._write_graph(rows)

    def advance(self, actions: IntArray) -> None:
        """Assign one task in every row, or wait."""
        kernels.advance(self.arrays, actions, self.skip_forced)
        self._write_graph(np.arange(self.num_rows))

    def _write_graph(self, rows: IntArray) -> None:
        """Nodes (task ``i`` of seat ``x`` at ``x n + i``, then PEs) and edges, if asked for."""
        if self.graph:
            arrays = (self.view[name] for name in ("nodes", "node_type", "edges", "edge_type"))
            kernels.write_graph(self.arrays, rows, *arrays)

    def solutions(self, rows: IntArray) -> list[SoCStreamSolution]:
        """The realised schedules of the rows; -1 for what has not started."""
        found = []
        for row in rows:
            instance = self.instance(row)
            shape = np.s_[row, : len(instance.arrival_times), : instance.most_tasks]
            start = self.state["start"][shape].copy()
            pe = np.where(start >= 0, self.state["pe"][shape], -1)
            found.append(SoCStreamSolution.trusted(pe=pe, start=start))
        return found

    def guide(self, solution: SoCStreamSolution, row: int) -> int:
        """A ready task whose predecessors on its PE, in the schedule, have started; else wait.

        So every PE runs its tasks in the order of the schedule, each no later than there.
        """
        instance, state = self.instance(row), self.state
        n, m = instance.most_tasks, instance.num_pes
        places, seats = state["places"][row], state["seats"][row]
        mask, started = self.view["action_mask"][row], state["start"][row]
        order = _positions(instance, solution)
        waiting = (solution.start >= 0) & (started[: len(order), :n] < 0)
        first = {}
        for p in range(m):
            on = waiting & (solution.pe == p)
            first[p] = int(order[on].min()) if on.any() else -1
        for r in np.flatnonzero(places[:, 0] >= 0).tolist():
            j, i = int(seats[places[r, 0], kernels.JOB]), int(places[r, 1])
            p = int(solution.pe[j, i])
            if p < 0 or not mask[1 + r * m + p]:
                raise NotExpressible(
                    f"the schedule has task {i} of job {j} on PE {p}, expected one that supports it"
                    " (was the job lost there?)."
                )
            if first[p] == order[j, i]:
                return int(1 + r * m + p)
        if mask[0]:
            return 0
        raise NotExpressible("the schedule waits, expected wait=True, and an event to come.")


def _most_jobs(instance: SoCStreamInstance) -> int:
    """Number of arrivals; of a random process, one that other scenarios hardly exceed."""
    count = len(instance.arrival_times)
    if instance.arrivals != "exponential":
        return count
    mean = instance.horizon * math.expm1(1.0 / instance.mean_gap)  # gaps are cut to whole ticks
    return max(count, instance.prefill + math.ceil(mean + 6.0 * math.sqrt(mean) + 6.0))


def _positions(instance: SoCStreamInstance, solution: SoCStreamSolution) -> IntArray:
    """``(J, n)`` when each task comes, by start, end, job and topological order."""
    end = np.full(solution.start.shape, -1, dtype=np.int64)
    topological = np.zeros(solution.start.shape, dtype=np.int64)
    for j, k in enumerate(instance.job_profiles.tolist()):
        graph = instance.profiles[k]
        n = graph.num_tasks
        topological[j, graph.topological] = np.arange(n)
        pe = np.maximum(solution.pe[j, :n], 0)
        expected = graph.run_times[np.arange(n), pe]
        drawn = np.maximum(np.rint(expected * instance.factors[j, :n]), 1).astype(np.int64)
        end[j, :n] = solution.start[j, :n] + np.where(expected > 0, drawn, 0)
    job = np.indices(end.shape)[0]
    keys = (topological, job, end, solution.start)
    rank = np.lexsort(tuple(key.ravel() for key in keys))
    position = np.empty(rank.size, dtype=np.int64)
    position[rank] = np.arange(rank.size)
    return position.reshape(end.shape)


class SoCStreamEnv(SchedulingEnv):
    """Assign the tasks of arriving jobs to heterogeneous PEs, as they become ready.

    ## Action Space
    ``Discrete(1 + capacity * ready * pes)``: action 0 waits for the next event; ``1 + r m + p``
    assigns the ready task in place ``r`` to PE ``p``, where ``m`` is the instance's number of PEs.
    ``ready`` is the largest number of tasks of one job that can be ready at once.

    ## Observation Space
    A ``Dict``; times are divided by a power of two near the mean run time, and seen from now.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (A, F) float32 | a row per action, columns as named below; 0 if unavailable |
    | ``globals`` | (G,) float32 | as named below |
    | ``action_mask`` | (A,) int8 | 1 for a ready task and a PE that supports it; and to wait |

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type``: the tasks
    of the jobs in the system and the PEs, precedence, and which task is assigned to which PE; and
    ``candidate_nodes`` (A, 2): the task and the PE of each candidate, -1 if unavailable.

    Candidate columns: ``run_time``, expected; ``start`` and ``finish`` behind all that the PE has;
    ``data_ready``: when the data are there; ``available``: when the PE is free; ``tail``: what must
    follow in the job, transfers included; ``bound``: ``finish + tail``; ``rank_up``: HEFT's upward
    rank; ``job_work``: least run times of the job's tasks that have no PE yet; ``least_run_time``
    of the task; ``waiting``: how many tasks became ready since, itself included; ``is_wait``: 1 for
    action 0. With ``columns="full"`` also ``mean_run_time``; ``job_age`` since the arrival;
    ``queued``: tasks in the PE's queue; ``finish_gap``: ``finish`` minus the task's best one;
    ``job_tasks``: tasks of the job that have not ended.

    Global columns: ``num_ready``; ``num_candidates``; ``seated``: share of the capacity in use;
    ``outside``: jobs that wait outside; ``busy``: share of PEs; ``backlog``: mean time until PEs
    are free; ``work`` without a PE, per PE; ``lost``: share of the jobs so far.

    ## Rewards
    Minus the integral of the number of jobs within since the last decision, and minus the penalties
    of jobs lost, divided by ``scale``: capacity times the mean bound of a job alone. The return is
    ``-(objective - initial_value) / scale``.

    ## Starting State
    The first decision after time 0. Instances are drawn by the environment's seed if several are
    given; the scenario of an instance (arrivals, profiles, run times) is the same for all policies.

    ## Episode End
    Terminates when all jobs that arrived have left. An action outside the mask terminates the
    episode at the cost ``upper_bound``, with the reason in ``info["infeasible"]``. ``info`` then
    holds ``objective``, ``solution``, ``gap``, ``instance``.

    ## Arguments
    ``instance``: what to schedule (see :class:`SchedulingEnv`); ``observation``: ``"candidates"``
    or ``"graph"``; ``limits``: padded sizes as the simulator names them; ``wait``: whether waiting
    is an action (default ``True``; rules play without); ``columns``: ``"full"`` or ``"minimal"``;
    ``skip_forced``: play decisions with one candidate.

    With ``wait`` and without losses or noise, any feasible schedule is replayed at no greater cost.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {"assign": SoCStreamSimulator}


class SoCStreamVectorEnv(SchedulingVectorEnv):
    """Many :class:`SoCStreamEnv` in one simulator."""

    simulators = SoCStreamEnv.simulators


__all__ = [
    "FULL_COLUMNS",
    "GLOBAL_COLUMNS",
    "MINIMAL_COLUMNS",
    "SoCStreamEnv",
    "SoCStreamSimulator",
    "SoCStreamVectorEnv",
]
