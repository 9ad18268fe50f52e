"""Single-machine tardiness as decisions: which move improves a complete sequence.

The episode begins with the jobs in EDD order. A move takes two decisions: which job moves, and how:
it swaps places with another job, or takes the place of another job, which makes way with all that
stands in between. The episode ends when the policy stops or has made its last move.

The value of a state is the cost of its sequence, so the reward of a move is its gain, and the
columns show the exact gain of every move: a move changes the completions between the two places
only, those by one amount. For total weighted tardiness, without release dates, setups and noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.tardiness import (
    TardinessInstance,
    TardinessSolution,
    upper_bound,
)
from . import tardiness_improve_kernels as kernels
from .simulator import Arrays, NotExpressible, Shape
from .tardiness_common import (
    SingleMachineSimulator,
    by_due_date,
    graph_shape,
    scale,
    unit,
)
from .tardiness_improve_kernels import CHOSEN, DUE, MOVES_LEFT, TIME, WEIGHT

CANDIDATE_COLUMNS = (
    "stop",
    "gain",
    "distance",
    "is_insertion",
    "processing_time",
    "weight",
    "slack",
    "tardiness",
    "cost",
    "position",
)

GLOBAL_COLUMNS = (
    "phase",
    "moves_left",
    "num_candidates",
    "cost_now",
    "cost_fall",
    "tardy_share",
    "chosen_processing_time",
    "chosen_weight",
    "chosen_slack",
    "chosen_position",
)


class TardinessImproveSimulator(SingleMachineSimulator):
    """Sequences side by side; see ``TardinessEnv`` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded ``jobs``.
        moves: Moves until an episode ends; by default as many as there are jobs.
        **common: See :class:`Simulator`.

    Raises:
        ValueError: If ``moves`` is not a positive integer.
    """

    fields = kernels.FIELDS
    candidate_columns = CANDIDATE_COLUMNS
    global_columns = GLOBAL_COLUMNS
    candidate_node_types = ("job", "job")

    def __init__(
        self, num_rows: int, size: Mapping[str, int], *, moves: int | None = None, **common: Any
    ) -> None:
        if moves is not None and (
            isinstance(moves, bool) or not isinstance(moves, int) or moves < 1
        ):
            raise ValueError(f"moves {moves!r}, expected an integer >= 1.")
        self.moves = moves
        super().__init__(num_rows, size, **common)

    @classmethod
    def measure(cls, instance: TardinessInstance) -> dict[str, int]:
        """``jobs``."""
        return {"jobs": instance.num_jobs}

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """Two candidates per job and one to stop; one node per job."""
        return graph_shape(2 * size["jobs"] + 1, size["jobs"])

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        n, slots, rows = self.size["jobs"], self.num_slots, self.num_rows
        data: Arrays = {
            "problems": np.zeros((slots, 4), "i8"),
            "constants": np.ones((slots, 3), "f8"),
            "jobs": np.zeros((slots, n, 3), "i8"),
            "first": np.zeros((slots, n), "i8"),
        }
        state: Arrays = {
            "order": np.zeros((rows, n), "i8"),
            "ends": np.zeros((rows, n), "i8"),
            "place": np.zeros((rows, n), "i8"),
            "progress": np.zeros((rows, 3), "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: TardinessInstance) -> None:
        """Write an instance into a slot; O(n log n)."""
        _check(instance)
        d, n = self.data, instance.num_jobs
        jobs, edd = d["jobs"][slot], by_due_date(instance)
        jobs[:n, TIME] = instance.processing_times
        jobs[:n, DUE] = instance.due_dates
        jobs[:n, WEIGHT] = instance.weights
        d["first"][slot, :n] = edd
        d["problems"][slot, :3] = n, self.moves or n, upper_bound(instance)
        late = np.maximum(np.cumsum(jobs[edd, TIME]) - jobs[edd, DUE], 0)
        d["constants"][slot] = (
            1.0 / unit(instance.processing_times),
            1.0 / unit(instance.weights),
            scale(instance, int(jobs[edd, WEIGHT] @ late)),
        )
        self.write_common(slot, instance)

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Choose a job or its move in every row."""
        kernels.advance(self.arrays, actions, self.skip_forced)

    def solutions(self, rows: IntArray) -> list[TardinessSolution]:
        """The sequences of the rows, always complete."""
        return [
            TardinessSolution.trusted(
                sequence=self.state["order"][row, : self.instance(row).num_jobs].copy()
            )
            for row in rows
        ]

    def guide(self, solution: TardinessSolution, row: int) -> int:
        """Insert the job that belongs to the first position that differs; stop if none does."""
        order = self.state["order"][row, : self.instance(row).num_jobs]
        target, progress = solution.sequence, self.state["progress"][row]
        needed = _insertions(order.tolist(), target.tolist())
        chosen = int(progress[CHOSEN])
        if not needed and chosen < 0:
            return 0
        if len(needed) > progress[MOVES_LEFT]:
            raise NotExpressible(
                f"{len(needed)} insertions to the sequence, expected at most"
                f" {progress[MOVES_LEFT]} (see moves)."
            )
        if chosen < 0:
            return 1 + 2 * needed[0]
        if not needed or chosen != needed[0]:
            raise NotExpressible(f"job {chosen} is to move, expected one of the jobs {needed[:1]}.")
        to = int(np.flatnonzero(order != target)[0])
        adjacent = order[to + 1] == chosen
        return (1 if adjacent else 2) + 2 * int(order[to])


def _insertions(order: list[int], target: list[int]) -> list[int]:
    """The jobs that are inserted, from the first position on, to turn one order into another."""
    found = []
    for position, job in enumerate(target):
        if order[position] != job:
            order.remove(job)
            order.insert(position, job)
            found.append(job)
    return found


def _check(instance: TardinessInstance) -> None:
    """Raise ``ValueError`` where the gains would not be exact."""
    found = ["release dates"] * (instance.release_dates is not None)
    found += ["setups"] * (instance.setups is not None)
    found += ["stochastic durations"] * (instance.cv > 0)
    if found:
        raise ValueError(
            f"{instance.name or 'instance'}: {' and '.join(found)}, expected none: a move must not"
            " change what stands before and behind it."
        )
