"""Task graphs as decisions: which ready task goes to which PE; and streams of them.

``SoCDag-v0`` builds one schedule. A task is ready when its predecessors are scheduled; it starts at
the earliest time after the arrival of its data at which the PE is free:

- ``append`` (default): behind what the PE has. With free choice of the order, every semi-active
  schedule can be made (by scheduling in order of start), and so an optimal one.
- ``insertion``: in the first gap that is long enough; the same holds.

The value of a state is the largest of the root bound, of ``end_i + tail_i`` over the scheduled
tasks, of ``min_p (earliest start + w_ip + tail_ip)`` over the ready ones (tails are aware of
transfers), and of the area: a lower bound on the final makespan that never falls and ends at it.

``SoCStream-v0`` is in ``soc_stream.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.soc_dag import SoCDagInstance, SoCDagSolution, lower_bound, upper_bound
from . import soc_dag_kernels as kernels
from .env import SchedulingEnv
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .soc_dag_common import Graph, graph_of, mean_run_times, unit, width
from .soc_dag_kernels import RUN_TIME, TAIL
from .vector import SchedulingVectorEnv

PLACEMENTS = ("append", "insertion")

#: What the classic rules need.
MINIMAL_COLUMNS = ("run_time", "start", "finish", "data_ready", "available", "tail", "bound")

#: What a learner needs besides.
FULL_COLUMNS = (
    *MINIMAL_COLUMNS,
    "rank_up",
    "mean_run_time",
    "static_level",
    "optimistic",
    "order",
    "finish_gap",
)

GLOBAL_COLUMNS = (
    "progress",
    "num_ready",
    "num_candidates",
    "makespan",
    "value",
    "value_rise",
    "first_available",
    "mean_available",
    "work_left",
)


class SoCDagSimulator(Simulator):
    """Task graphs side by side; see :class:`SoCDagEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded ``tasks``, ``pes``, ``edges``, and ``ready``: most tasks ready at once.
        placement: ``append`` or ``insertion``.
        columns: ``full`` or ``minimal``.
        **common: See :class:`Simulator`.

    Raises:
        ValueError: If an option is not one of these.
    """

    family = problem = "soc_dag"
    default_instance = "layered-8x3-s0"
    speed_instances = ("layered-50x4", "layered-200x8", "layered-1000x8")
    # HEFT's order and choice of the PE.
    prior: ClassVar[Mapping[str, float]] = {"rank_up": 2.0, "finish_gap": -4.0}
    training_instances = (
        *("layered-10x3", "layered-15x4", "layered-20x4", "layered-30x3", "layered-30x4"),
        *("gaussian-5x4", "fft-4x4", "out_tree-15x4", "in_tree-15x4", "fork_join-10x4"),
    )
    fields = kernels.FIELDS
    global_columns = GLOBAL_COLUMNS
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "task": (
            *("mean_run_time", "least_run_time", "most_run_time", "rank_up", "rank_down"),
            *("level", "in_degree", "out_degree"),
        ),
        "pe": ("mean_run_time", "share_supported", "share_fastest", "mean_transfer"),
    }
    edge_types = (("task", "precedes", "task"), ("task", "runs_on", "pe"))
    candidate_node_types = ("task", "pe")

    def __init__(
        self,
        num_rows: int,
        size: Mapping[str, int],
        *,
        placement: str = "append",
        columns: str = "full",
        **common: Any,
    ) -> None:
        if placement not in PLACEMENTS:
            raise ValueError(f"placement {placement!r}, expected one of: {', '.join(PLACEMENTS)}.")
        if columns not in ("full", "minimal"):
            raise ValueError(f"columns {columns!r}, expected 'full' or 'minimal'.")
        self.placement = placement
        self.candidate_columns = FULL_COLUMNS if columns == "full" else MINIMAL_COLUMNS
        super().__init__(num_rows, size, **common)

    @classmethod
    def measure(cls, instance: SoCDagInstance) -> dict[str, int]:
        """``tasks``, ``pes``, ``edges`` and ``ready``."""
        n, m = instance.run_times.shape
        return {"tasks": n, "pes": m, "edges": len(instance.edges), "ready": width(instance)}

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """A candidate per place for a ready task and PE; a node per task and per PE."""
        nodes = {"task": size["tasks"], "pe": size["pes"]}
        edges = size["edges"] + size["tasks"] * size["pes"]
        return Shape(size["ready"] * size["pes"], nodes, edges)

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        n, m, e = self.size["tasks"], self.size["pes"], self.size["edges"]
        ready, slots, rows = self.size["ready"], self.num_slots, self.num_rows
        gaps = (rows, m, n, 2) if self.placement == "insertion" else (rows, m, 1, 2)
        data: Arrays = {
            "problems": np.zeros((slots, 8), "i8"),
            "constants": np.ones((slots, 2), "f8"),
            "pairs": np.zeros((slots, n, m, 2), "i8"),
            "keys": np.zeros((slots, n, 4), "f4"),
            "optimistic": np.zeros((slots, n, m), "f4"),
            "blockers": np.zeros((slots, n), "i8"),
            "first_out": np.zeros((slots, n + 1), "i8"),
            "targets": np.zeros((slots, e), "i8"),
            "transfers": np.zeros((slots, e, m, m), "i8"),
        }
        state: Arrays = {
            "progress": np.zeros((rows, 8), "i8"),
            "pes": np.zeros((rows, m, 2), "i8"),
            "ready_at": np.zeros((rows, n, m), "i8"),
            "waits": np.zeros((rows, n), "i8"),
            "places": np.full((rows, ready), -1, "i8"),
            "order": np.zeros((rows, ready), "i8"),
            "bounds": np.zeros((rows, ready, m), "i8"),
            "timeline": np.zeros(gaps, "i8"),
            "pe": np.full((rows, n), -1, "i8"),
            "start": np.full((rows, n), -1, "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: SoCDagInstance) -> None:
        """Write an instance into a slot; O(E m^2)."""
        d, graph = self.data, graph_of(instance)
        (n, m), e = instance.run_times.shape, len(instance.edges)
        mean = mean_run_times(instance)
        scale = unit(mean)
        root, w = lower_bound(instance), instance.run_times
        least = np.where(w >= 0, w, np.iinfo(np.int64).max).min(axis=1)
        insertion = self.placement == "insertion"
        d["problems"][slot, :6] = n, m, insertion, upper_bound(instance), least.sum(), root
        d["constants"][slot] = 1.0 / scale, max(root, 1)
        d["pairs"][slot, :n, :m, RUN_TIME] = w
        d["pairs"][slot, :n, :m, TAIL] = np.where(w >= 0, graph.levels - w, 0)
        keys = np.stack([graph.rank_up, mean, graph.static_level], axis=1) / scale
        d["keys"][slot, :n, :3] = keys
        d["optimistic"][slot, :n, :m] = graph.optimistic / scale
        d["blockers"][slot, :n] = graph.blockers
        d["first_out"][slot, : n + 1] = graph.first_out
        d["targets"][slot, :e] = instance.edges[graph.edges, 1]
        d["transfers"][slot, :e, :m, :m] = instance.communication[graph.edges]
        if self.graph:
            self._write_graph(slot, instance, graph, scale)

    def _write_graph(self, slot: int, instance: SoCDagInstance, graph: Graph, scale: float) -> None:
        """Nodes (task ``i`` at ``i``, then PEs) and edges."""
        d, first_pe = self.data, self.size["tasks"]
        (n, m), w = instance.run_times.shape, instance.run_times
        supported = w >= 0
        nodes, kinds = d["nodes"][slot], d["node_type"][slot]
        nodes[:], kinds[:] = 0.0, -1
        kinds[:n], kinds[first_pe : first_pe + m] = 0, 1
        least = np.where(supported, w, np.iinfo(np.int64).max).min(axis=1)
        times = (mean_run_times(instance), least, w.max(axis=1), graph.rank_up, graph.rank_down)
        nodes[:n, :5] = np.stack(times, axis=1) / scale
        nodes[:n, 5] = graph.levels.min(axis=1) / scale
        nodes[:n, 6] = graph.blockers
        nodes[:n, 7] = np.diff(graph.first_out)
        pes = slice(first_pe, first_pe + m)
        counts = np.maximum(supported.sum(axis=0), 1)
        nodes[pes, 0] = np.where(supported, w, 0).sum(axis=0) / counts / scale
        nodes[pes, 1] = supported.mean(axis=0)
        nodes[pes, 2] = (w == least[:, None]).mean(axis=0)
        if m > 1 and len(instance.edges):
            transfer = instance.communication.mean(axis=0).sum(axis=1) / (m - 1)
            nodes[pes, 3] = transfer / scale
        task, pe = np.nonzero(supported)
        runs_on = np.stack([task, first_pe + pe], axis=1)
        edges, edge_kinds = d["edges"][slot], d["edge_type"][slot]
        edges[:], edge_kinds[:] = -1, -1
        e, count = len(instance.edges), len(instance.edges) + len(runs_on)
        edges[:count] = np.concatenate([instance.edges, runs_on])
        edge_kinds[:e], edge_kinds[e:count] = 0, 1

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Schedule one task in every row."""
        kernels.advance(self.arrays, actions, self.skip_forced)

    def solutions(self, rows: IntArray) -> list[SoCDagSolution]:
        """The schedules of the rows; -1 for what is not scheduled."""
        found = []
        for row in rows:
            n = self.instance(row).num_tasks
            pe, start = self.state["pe"][row, :n].copy(), self.state["start"][row, :n].copy()
            found.append(SoCDagSolution.trusted(pe=pe, start=start))
        return found

    def guide(self, solution: SoCDagSolution, row: int) -> int:
        """The task that starts first in the schedule, on its PE there."""
        instance = self.instance(row)
        left = np.flatnonzero(self.state["start"][row, : instance.num_tasks] < 0)
        position = np.empty(instance.num_tasks, dtype=np.int64)
        position[instance.topological] = np.arange(instance.num_tasks)
        pe, start = solution.pe[left], solution.start[left]
        end = start + instance.run_times[left, pe]
        i = int(left[np.lexsort((position[left], end, start))[0]])
        place = np.flatnonzero(self.state["places"][row] == i)
        action = int(place[0]) * instance.num_pes + int(solution.pe[i]) if place.size else -1
        if action < 0 or not self.view["action_mask"][row, action]:
            ready = sorted(self.state["places"][row][self.state["places"][row] >= 0].tolist())
            raise NotExpressible(
                f"the schedule starts task {i} on PE {solution.pe[i]} next, expected one of the"
                f" ready tasks {ready} on a PE that supports it."
            )
        return action


class SoCDagEnv(SchedulingEnv):
    """Schedule a task graph on heterogeneous PEs, one task at a time.

    ## Action Space
    ``Discrete(ready * pes)``: the ready task in place ``a // m`` runs on PE ``a % m``, where ``m``
    is the instance's number of PEs, at the earliest time that ``placement`` gives. A ready task
    keeps its place until it is scheduled; ``ready`` is the largest number of tasks that can be
    ready at once (the graph's width), so that no task is ever left out.

    ## Observation Space
    A ``Dict``; times are divided by a power of two near the mean run time.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (A, F) float32 | a row per action, columns as named below; 0 if unavailable |
    | ``globals`` | (G,) float32 | as named below |
    | ``action_mask`` | (A,) int8 | 1 for a ready task and a PE that supports it |

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type`` (static:
    tasks and PEs; precedence, and which PEs support which tasks) and ``candidate_nodes`` (A, 2):
    the task and the PE of each candidate, -1 if unavailable.

    Candidate columns: ``run_time``; ``start`` and ``finish``: earliest ones on this PE;
    ``data_ready``: when the data are there; ``available``: when the PE is free behind all it has;
    ``tail``: what must follow the task, transfers included; ``bound``: ``finish + tail``. With
    ``columns="full"`` also ``rank_up``: HEFT's upward rank; ``mean_run_time`` of the task;
    ``static_level``: upward rank without transfers; ``optimistic``: PEFT's optimistic cost;
    ``order``: how many tasks became ready before it; ``finish_gap``: ``finish`` minus the task's
    best one. Times count from the start of the schedule.

    Global columns: ``progress``: share of tasks scheduled; ``num_ready`` tasks;
    ``num_candidates``; ``makespan`` so far; ``value``; ``value_rise`` since the start, by
    ``scale``; ``first_available`` and ``mean_available`` of the PEs; ``work_left`` per PE.

    ## Rewards
    Minus the rise of the value (see the module), divided by the root bound ``scale``: the return is
    ``-(makespan - initial_value) / scale``, the relative gap to the root bound.

    ## Starting State
    Nothing is scheduled. Instances are drawn by the environment's seed if several are given.

    ## Episode End
    Terminates when all tasks are scheduled. An action outside the mask terminates the episode at
    the cost ``upper_bound`` (all slowest run times and transfers), with the reason in
    ``info["infeasible"]``. ``info`` then holds ``objective``, ``solution``, ``gap``, ``instance``.

    ## Arguments
    ``instance``: what to schedule (see :class:`SchedulingEnv`); ``observation``: ``"candidates"``
    or ``"graph"``; ``limits``: padded ``tasks``, ``pes``, ``edges``, ``ready``; ``placement``:
    ``"append"`` (default) or ``"insertion"``; ``columns``: ``"full"`` or ``"minimal"``;
    ``skip_forced``: play decisions with one candidate.

    Any semi-active schedule is replayed exactly, any other feasible one at no greater makespan.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {"build": SoCDagSimulator}


class SoCDagVectorEnv(SchedulingVectorEnv):
    """Many :class:`SoCDagEnv` in one simulator."""

    simulators = SoCDagEnv.simulators


__all__ = [
    "FULL_COLUMNS",
    "GLOBAL_COLUMNS",
    "MINIMAL_COLUMNS",
    "SoCDagEnv",
    "SoCDagSimulator",
    "SoCDagVectorEnv",
]
