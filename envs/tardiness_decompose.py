"""Single-machine tardiness as decisions: to which place of its list the longest job goes.

Lawler's decomposition (see ``tardiness_decompose_kernels.py``) as an episode. The state is a stack
of open lists, each in EDD order and with the time at which it begins. A decision puts the longest
job of the last list to one of the places that Lawler's rules leave, which splits the list into the
jobs before and behind it; the part before comes next. A list closes by itself, at its optimum, if
in EDD order at most one of its jobs is tardy, or if all are late wherever they come (then by
processing time). At every decision some place leads to an optimal sequence of the list.

The value of a state is the tardiness of the jobs whose places are fixed, plus ``max(0, t + p_j -
d_j)`` for each job of an open list that begins at ``t``: a lower bound on the final cost that never
falls and ends at the cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.tardiness import TardinessInstance, TardinessSolution, upper_bound
from . import tardiness_decompose_kernels as kernels
from .simulator import Arrays, NotExpressible, Shape
from .tardiness_common import (
    SingleMachineSimulator,
    by_due_date,
    graph_shape,
    scale,
    unit,
)
from .tardiness_decompose_kernels import DUE, NUMBER, OPEN, TIME

MINIMAL_COLUMNS = (
    "shift",
    "jobs_before",
    "jobs_behind",
    "completion",
    "work_behind",
    "tardiness",
    "edd_gap",
    "edd_before",
    "edd_behind",
    "bound_before",
    "bound_behind",
)

FULL_COLUMNS = (*MINIMAL_COLUMNS, "mdd_before", "mdd_behind", "mdd_gap")

GLOBAL_COLUMNS = (
    "progress",
    "open_lists",
    "num_candidates",
    "jobs_in_list",
    "elapsed",
    "work",
    "processing_time",
    "due_date",
    "edd_place",
    "tardy_share",
    "tightness",
    "due_date_range",
    "value_rise",
)


class TardinessDecomposeSimulator(SingleMachineSimulator):
    """Decompositions side by side; see ``TardinessEnv`` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded ``jobs``.
        columns: ``full`` or ``minimal``.
        **common: See :class:`Simulator`.

    Raises:
        ValueError: If an option is not one of these.
    """

    fields = kernels.FIELDS
    global_columns = GLOBAL_COLUMNS
    candidate_node_types = ("job", "job")

    def __init__(
        self, num_rows: int, size: Mapping[str, int], *, columns: str = "full", **common: Any
    ) -> None:
        if columns not in ("full", "minimal"):
            raise ValueError(f"columns {columns!r}, expected 'full' or 'minimal'.")
        self.candidate_columns = FULL_COLUMNS if columns == "full" else MINIMAL_COLUMNS
        super().__init__(num_rows, size, **common)

    @classmethod
    def measure(cls, instance: TardinessInstance) -> dict[str, int]:
        """``jobs``."""
        return {"jobs": instance.num_jobs}

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """One candidate per place of the longest list, one node per job."""
        return graph_shape(size["jobs"], size["jobs"])

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        n, slots, rows = self.size["jobs"], self.num_slots, self.num_rows
        data: Arrays = {
            "problems": np.zeros((slots, 2), "i8"),
            "constants": np.ones((slots, 2), "f8"),
            "jobs": np.zeros((slots, n, 3), "i8"),
        }
        state: Arrays = {
            "order": np.zeros((rows, n), "i8"),
            "stack": np.zeros((rows, n + 1, 3), "i8"),
            "progress": np.zeros((rows, 2), "i8"),
            "places": np.zeros((rows, 5, n), "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: TardinessInstance) -> None:
        """Write an instance into a slot; O(n log n)."""
        _check(instance)
        d, n = self.data, instance.num_jobs
        edd = by_due_date(instance)
        jobs = d["jobs"][slot]
        jobs[:n, TIME] = instance.processing_times[edd]
        jobs[:n, DUE] = instance.due_dates[edd]
        jobs[:n, NUMBER] = edd
        d["problems"][slot] = n, upper_bound(instance)
        late = np.maximum(np.cumsum(jobs[:n, TIME]) - jobs[:n, DUE], 0)
        per_time = 1.0 / unit(instance.processing_times)
        d["constants"][slot] = per_time, scale(instance, int(late.sum()))
        self.write_common(slot, instance)

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Put one job to its place in every row."""
        kernels.advance(self.arrays, actions, self.skip_forced)

    def solutions(self, rows: IntArray) -> list[TardinessSolution]:
        """The sequences of the rows; the open lists stand in EDD order."""
        found = []
        for row in rows:
            order = self.state["order"][row, : self.instance(row).num_jobs]
            number = self.data["jobs"][self.state["slot"][row], :, NUMBER]
            found.append(TardinessSolution.trusted(sequence=number[order]))
        return found

    def guide(self, solution: TardinessSolution, row: int) -> int:
        """The place at which the list costs least, as far as is known without a search.

        The two sides are taken in the order of the solution, in EDD order or by modified due date,
        whichever costs least. The place is followed as long as it costs no more than the list in
        the best of these orders, so that the replayed sequence is never worse than the solution.
        """
        jobs = self.data["jobs"][self.state["slot"][row]]
        first, end, start = self.state["stack"][row, self.state["progress"][row, OPEN] - 1]
        position = np.argsort(solution.sequence)[jobs[:, NUMBER]]  # of the jobs by due date
        members = self.state["order"][row, first:end]
        times = jobs[members, TIME]
        longest = len(times) - 1 - int(np.argmax(times[::-1]))
        job, others = members[longest], np.delete(members, longest)
        places = self.view["available"][row, : self.view["num_available"][row]]
        costs = []
        for r in places:
            middle = start + jobs[others[:r], TIME].sum() + jobs[job, TIME]
            cost = _least_known(jobs, others[:r], position, start)
            cost += max(0, int(middle - jobs[job, DUE]))
            costs.append(cost + _least_known(jobs, others[r:], position, middle))
        known = _least_known(jobs, members, position, start)
        if min(costs) > known:
            raise NotExpressible(
                f"the list costs {known} in one of its orders, expected at least {min(costs)}: job"
                f" {jobs[job, NUMBER]} in one of its places {places.tolist()}."
            )
        own = int(np.count_nonzero(position[others] < position[job]))
        best = [int(r) for r, cost in zip(places, costs, strict=True) if cost == min(costs)]
        return own if own in best else best[0]


def _least_known(jobs: IntArray, members: IntArray, position: IntArray, start: int) -> int:
    """The least cost of a list from ``start`` on: as in the solution, EDD, by modified due date."""
    orders = members, members[np.argsort(position[members])], _by_modified(jobs, members, start)
    return min(_cost(jobs, order, start) for order in orders)


def _cost(jobs: IntArray, order: IntArray, start: int) -> int:
    ends = start + np.cumsum(jobs[order, TIME])
    return int(np.maximum(ends - jobs[order, DUE], 0).sum())


def _by_modified(jobs: IntArray, members: IntArray, start: int) -> IntArray:
    """The jobs by ``max(t + p, d)`` at the time ``t`` of the choice, then by processing time."""
    left, order, now = members.copy(), np.empty_like(members), start
    for k in range(len(members)):
        times = jobs[left, TIME]
        chosen = np.lexsort((times, np.maximum(now + times, jobs[left, DUE])))[0]
        order[k] = left[chosen]
        now += times[chosen]
        left = np.delete(left, chosen)
    return order


def _check(instance: TardinessInstance) -> None:
    """Raise ``ValueError`` where the decomposition does not hold."""
    found = ["weights"] * instance.is_weighted
    found += ["release dates"] * (instance.release_dates is not None)
    found += ["setups"] * (instance.setups is not None)
    found += ["stochastic durations"] * (instance.cv > 0)
    if found:
        raise ValueError(
            f"{instance.name or 'instance'}: {' and '.join(found)}, expected none: the longest job"
            " splits a list only where total tardiness alone is minimised."
        )
