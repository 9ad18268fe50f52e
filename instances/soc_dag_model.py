"""The data of a heterogeneous SoC: task graphs, and their schedules. See ``soc_dag.py``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .core import Instance, IntArray, Solution, int_array

if TYPE_CHECKING:
    import pandas as pd

#: How the time of a transfer, data / bandwidth, becomes ticks.
ROUNDINGS = ("floor", "ceil")


@dataclass(frozen=True, eq=False)
class SoCDagInstance(Instance):
    """A task graph and the processing elements (PEs) that it may run on.

    Attributes:
        run_times: ``(n, m)`` int64, ``w_ip >= 0`` ticks of task ``i`` on PE ``p``; -1 where the PE
            does not support the task. Every task has a PE.
        edges: ``(E, 2)`` int64, pairs of a task and its successor; distinct, without cycles.
        data: ``(E,)`` int64, what the successor needs from the task, in units of volume.
        bandwidth: ``(m, m)`` int64, ``B_pq >= 1`` units of volume per tick from PE ``p`` to ``q``;
            or one number for all pairs. The diagonal does not matter, and is stored as 1.
        latency: ``(m, m)`` int64, ``L_pq >= 0`` ticks before a transfer; or one number.
        rounding: ``"floor"`` (as the simulators DS3 and SoCRATES do) or ``"ceil"``.
        tick: What a tick stands for, e.g. ``"1 us"``.
        name: Identifier used in result tables.

    Raises:
        ValueError: If the arrays do not describe a task graph on PEs.
    """

    problem: ClassVar[str] = "soc_dag"

    run_times: IntArray
    edges: IntArray
    data: IntArray
    bandwidth: IntArray
    latency: IntArray = 0  # type: ignore[assignment]
    rounding: str = "floor"
    tick: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        run_times = int_array(self.run_times, "run_times", 2)
        edges = self.edges if np.size(self.edges) else np.zeros((0, 2), dtype=np.int64)
        arrays = {
            "run_times": run_times,
            "edges": int_array(edges, "edges", 2),
            "data": int_array(self.data, "data", 1),
            "bandwidth": pe_matrix(self.bandwidth, "bandwidth", run_times.shape[1], 1),
            "latency": pe_matrix(self.latency, "latency", run_times.shape[1], 0),
        }
        for field, array in arrays.items():
            object.__setattr__(self, field, array)
        check_texts(self, ("rounding", "tick", "name"))
        if self.rounding not in ROUNDINGS:
            raise ValueError(
                f"rounding {self.rounding!r}, expected one of: {', '.join(ROUNDINGS)}."
            )
        check_graph(run_times, self.edges, self.data)
        check_total(self)

    @property
    def num_tasks(self) -> int:
        """Number of tasks, n."""
        return len(self.run_times)

    @property
    def num_pes(self) -> int:
        """Number of processing elements, m."""
        return int(self.run_times.shape[1])

    @cached_property
    def communication(self) -> IntArray:
        """``(E, m, m)`` int64, ticks from the end of an edge's task on ``p`` to its data at ``q``.

        0 on one PE, else ``L_pq + data / B_pq``, rounded.
        """
        return transfer_times(self.data, self.bandwidth, self.latency, self.rounding)

    @cached_property
    def topological(self) -> IntArray:
        """``(n,)`` the tasks, each behind its predecessors."""
        return int_array(topological_order(self.num_tasks, self.edges), "order", 1)


@dataclass(frozen=True, eq=False)
class SoCDagSolution(Solution):
    """A schedule of a task graph.

    Attributes:
        pe: ``(n,)`` int64, the PE of each task; -1 where there is none yet.
        start: ``(n,)`` int64, its start in ticks; -1 where there is none yet.
    """

    problem: ClassVar[str] = "soc_dag"

    pe: IntArray
    start: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "pe", int_array(self.pe, "pe", 1))
        object.__setattr__(self, "start", int_array(self.start, "start", 1))

    def to_frame(self) -> pd.DataFrame:
        """One row per scheduled task: ``task``, ``pe``, ``start``."""
        import pandas as pd

        task = np.flatnonzero(self.start >= 0)
        return pd.DataFrame({"task": task, "pe": self.pe[task], "start": self.start[task]})


# Checks and derived data that graphs and streams share.


def pe_matrix(values: Any, what: str, num_pes: int, lowest: int) -> IntArray:
    """``(m, m)`` numbers of pairs of PEs, from a matrix or one number; the diagonal is ``lowest``.

    Raises:
        ValueError: If they are not integers, of another shape, or below ``lowest``.
    """
    if np.ndim(values) == 0:
        values = np.full((num_pes, num_pes), values)
    matrix = np.array(int_array(values, what, 2))
    if matrix.shape != (num_pes, num_pes):
        raise ValueError(f"{what} {matrix.shape}, expected ({num_pes}, {num_pes}), as many as PEs.")
    np.fill_diagonal(matrix, lowest)
    for p, q in np.argwhere(matrix < lowest):
        raise ValueError(f"{what} from PE {p} to {q}: {matrix[p, q]}, expected >= {lowest}.")
    return int_array(matrix, what, 2)


def check_texts(record: Any, fields: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless the fields are texts."""
    for field in fields:
        if not isinstance(getattr(record, field), str):
            raise ValueError(f"{field} {getattr(record, field)!r}, expected a text.")


def check_graph(run_times: IntArray, edges: IntArray, data: IntArray) -> None:
    """Raise ``ValueError`` naming the task that makes this no task graph on PEs."""
    if run_times.size == 0:
        raise ValueError(f"run_times {run_times.shape}, expected (n, m) with n, m >= 1.")
    n = len(run_times)
    for i, p in np.argwhere(run_times < -1):
        raise ValueError(
            f"task {i}: run time {run_times[i, p]} on PE {p}, expected >= 0, or -1 (unsupported)."
        )
    for i in np.flatnonzero((run_times < 0).all(axis=1)):
        raise ValueError(f"task {i}: no PE supports it, expected at least one run time >= 0.")
    if edges.shape[1] != 2 or len(edges) != len(data):
        raise ValueError(f"edges {edges.shape} and data {data.shape}, expected (E, 2) and (E,).")
    for e in np.flatnonzero(((edges < 0) | (edges >= n)).any(axis=1)):
        raise ValueError(f"edge {e}: tasks {edges[e].tolist()}, expected two of 0..{n - 1}.")
    for e in np.flatnonzero(data < 0):
        i, j = edges[e]
        raise ValueError(f"task {i}: data {data[e]} for task {j}, expected >= 0.")
    code = edges[:, 0] * n + edges[:, 1]
    for e in np.flatnonzero(np.bincount(code, minlength=1)[code] > 1) if len(code) else ():
        raise ValueError(f"task {edges[e, 0]}: two edges to task {edges[e, 1]}, expected one.")
    topological_order(n, edges)


def check_total(instance: Any) -> None:
    """Raise ``ValueError`` where times could add up to more than floats hold exactly."""
    slowest = instance.communication.astype(np.float64).max(axis=(1, 2), initial=0.0)
    total = float(np.maximum(instance.run_times, 0).astype(np.float64).sum()) + float(slowest.sum())
    if total >= 2.0**53:
        raise ValueError(f"run times and transfers sum to {total:.3g} ticks, expected below 2^53.")


def transfer_times(
    data: IntArray, bandwidth: IntArray, latency: IntArray, rounding: str
) -> IntArray:
    """``(E, m, m)`` ticks that data take between PEs; 0 on the diagonal."""
    volume = data[:, None, None]
    times = volume // bandwidth if rounding == "floor" else -(-volume // bandwidth)
    times = times + latency
    pes = np.arange(len(bandwidth))
    times[:, pes, pes] = 0
    times.flags.writeable = False
    return times


def successors(num_tasks: int, edges: IntArray) -> list[list[tuple[int, int]]]:
    """For each task its (successor, number of the edge)."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(num_tasks)]
    for e, (i, j) in enumerate(edges.tolist()):
        found[i].append((j, e))
    return found


def topological_order(num_tasks: int, edges: IntArray) -> list[int]:
    """The tasks, each behind its predecessors, the lowest number first where there is a choice.

    Raises:
        ValueError: If there is a cycle; the message names it.
    """
    after = successors(num_tasks, edges)
    waiting = np.bincount(edges[:, 1], minlength=num_tasks).tolist()
    order = [i for i in range(num_tasks) if waiting[i] == 0]
    for i in order:  # grows while it is read
        for j, _ in after[i]:
            waiting[j] -= 1
            if waiting[j] == 0:
                order.append(j)
    if len(order) < num_tasks:
        raise ValueError(_cycle(after, {i for i in range(num_tasks) if waiting[i] > 0}))
    return order


def _cycle(after: list[list[tuple[int, int]]], stuck: set[int]) -> str:
    """Which cycle keeps these tasks, none of which can come first, from being ordered."""
    before = {j: i for i in sorted(stuck, reverse=True) for j, _ in after[i] if j in stuck}
    path, at = [], min(before)
    while at not in path:
        path.append(at)
        at = before[at]
    loop = [*path[path.index(at) :], at][::-1]
    return f"task {loop[0]}: on a cycle ({' -> '.join(map(str, loop))}), expected none."
