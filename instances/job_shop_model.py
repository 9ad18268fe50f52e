"""The data of a job shop: instance and solution. The problem is stated in ``job_shop.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import noise
from .core import Instance, IntArray, Solution, int_array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class JobShopInstance(Instance):
    """A job shop.

    Attributes:
        machines: ``(n, K)`` int64, the machine of operation ``k`` of job ``j``, in
            ``0..num_machines-1``; -1 after the last operation of a shorter job.
        processing_times: ``(n, K)`` int64, ``p_jk >= 0`` ticks (means, if ``cv > 0``); 0 after the
            last operation of a shorter job.
        num_machines: Number of machines; by default the highest one used plus 1.
        name: Identifier used in result tables, e.g. ``"ta01"``.
        cv: Coefficient of variation of the durations; 0 for a deterministic shop.
        law: Law of the durations, ``"lognormal"`` or ``"uniform"``.
        scenario: Seed of the realised durations.

    Raises:
        ValueError: If the arrays do not describe a job shop.
    """

    problem: ClassVar[str] = "job_shop"

    machines: IntArray
    processing_times: IntArray
    num_machines: int = -1
    name: str = ""
    cv: float = 0.0
    law: str = "lognormal"
    scenario: int = 0

    def __post_init__(self) -> None:
        machines = int_array(self.machines, "machines", 2)
        times = int_array(self.processing_times, "processing_times", 2)
        if machines.shape != times.shape or machines.size == 0:
            raise ValueError(
                f"machines {machines.shape} and processing_times {times.shape}: expected two (n, K)"
                " arrays with n, K >= 1."
            )
        object.__setattr__(self, "machines", machines)
        object.__setattr__(self, "processing_times", times)
        self._normalise_scalars()
        if self.num_machines == -1:
            object.__setattr__(self, "num_machines", int(machines.max()) + 1)
        if not 1 <= self.num_machines < 2**31:
            raise ValueError(f"num_machines {self.num_machines}, expected 1..2^31 - 1.")
        self._check_operations()
        noise.check_law(self.cv, self.law)

    def _normalise_scalars(self) -> None:
        """Plain Python scalars, so that equal shops have equal digests."""
        for field in ("num_machines", "scenario"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise ValueError(f"{field} {value!r}, expected an integer.")
            object.__setattr__(self, field, int(value))
        if isinstance(self.cv, bool) or not isinstance(self.cv, int | float | np.number):
            raise ValueError(f"cv {self.cv!r}, expected a number.")
        object.__setattr__(self, "cv", float(self.cv))
        if not isinstance(self.name, str):
            raise ValueError(f"name {self.name!r}, expected a text.")

    def _check_operations(self) -> None:
        machines, times = self.machines, self.processing_times
        padded = machines == -1
        for j, k in np.argwhere((machines < -1) | (machines >= self.num_machines)):
            raise ValueError(
                f"job {j}: operation {k} on machine {machines[j, k]},"
                f" expected 0..{self.num_machines - 1}."
            )
        for j, k in np.argwhere(times < 0):
            raise ValueError(f"job {j}: processing time {times[j, k]}, expected >= 0.")
        for j, k in np.argwhere(padded[:, :-1] & ~padded[:, 1:]):
            raise ValueError(f"job {j}: operation {k + 1} after the end (-1) of the job.")
        for j in np.flatnonzero(padded[:, 0]):
            raise ValueError(f"job {j}: no operations, expected at least 1.")
        for j, k in np.argwhere(padded & (times != 0)):
            raise ValueError(f"job {j}: processing time {times[j, k]} after the end of the job.")
        if times.sum(dtype=np.float64) >= 2.0**53:  # where a sum of int64 may have wrapped around
            total = sum(times.ravel().tolist())
            raise ValueError(f"processing times sum to {total}, expected below 2^53.")

    @classmethod
    def from_lists(
        cls, jobs: Sequence[Sequence[tuple[int, int]]], name: str = "", **fields: Any
    ) -> JobShopInstance:
        """A shop from one list of ``(machine, processing time)`` pairs per job.

        Args:
            jobs: For each job its operations in processing order.
            name: Identifier used in result tables.
            **fields: Further fields of the class.

        Raises:
            ValueError: If an entry is not a pair of integers or refused by the class.
        """
        length = max((len(job) for job in jobs), default=0)
        machines = np.full((len(jobs), length), -1, dtype=np.int64)
        times = np.zeros((len(jobs), length), dtype=np.int64)
        for j, job in enumerate(jobs):
            for k, operation in enumerate(job):
                pair = int_array(operation, f"job {j}, operation {k}", 1)
                if pair.shape != (2,):
                    raise ValueError(
                        f"job {j}: operation {k} is {operation}, expected (machine, time)."
                    )
                if pair[0] < 0:
                    raise ValueError(f"job {j}: operation {k} on machine {pair[0]}, expected >= 0.")
                machines[j, k], times[j, k] = pair
        return cls(machines, times, name=name, **fields)

    @property
    def num_jobs(self) -> int:
        """Number of jobs, n."""
        return len(self.machines)

    @cached_property
    def num_operations(self) -> IntArray:
        """``(n,)`` number of operations of each job, ``K_j``."""
        return int_array(np.count_nonzero(self.machines >= 0, axis=1), "lengths", 1)

    @cached_property
    def durations(self) -> IntArray:
        """``(n, K)`` int64, the realised processing times; the given ones unless ``cv > 0``."""
        if self.cv == 0:
            return self.processing_times
        job, operation = np.ogrid[: self.num_jobs, : self.machines.shape[1]]
        drawn = noise.durations(
            self.processing_times, self.cv, self.law, self.scenario, job, operation
        )
        return int_array(drawn, "durations", 2)


@dataclass(frozen=True, eq=False)
class JobShopSolution(Solution):
    """A schedule.

    Attributes:
        start: ``(n, K)`` int64, start of each operation in ticks; -1 where there is none, or, in
            the middle of an episode, not yet.
    """

    problem: ClassVar[str] = "job_shop"

    start: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", int_array(self.start, "start", 2))

    def to_frame(self) -> pd.DataFrame:
        """One row per scheduled operation: ``job``, ``operation``, ``start``."""
        import pandas as pd

        job, operation = np.nonzero(self.start >= 0)
        columns = {"job": job, "operation": operation, "start": self.start[job, operation]}
        return pd.DataFrame(columns)
