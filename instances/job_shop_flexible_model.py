"""The data of a flexible job shop; the problem is stated in ``job_shop_flexible.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .core import BoolArray, Instance, IntArray, Solution, int_array
from .job_shop_model import JobShopInstance
from .job_shop_objectives import (
    OBJECTIVES,
    check_choice,
    check_downtimes,
    check_size,
    due_dates,
    per_job,
)

if TYPE_CHECKING:
    import pandas as pd

#: What happens to a job between two operations.
BUFFERS = ("unlimited", "blocking", "no-wait")


@dataclass(frozen=True, eq=False)
class FlexibleJobShopInstance(Instance):
    """A flexible job shop, perhaps with dates, weights, setups and downtimes.

    Attributes:
        times: ``(n, K, m)`` int64, ticks that operation ``k`` of job ``j`` takes on machine ``m``;
            -1 where the machine is not eligible, and after the last operation of a shorter job.
        num_operations: ``(n,)`` int64, number of operations of each job, ``K_j >= 1``.
        name: Identifier used in result tables, e.g. ``"mk01"``.
        release_dates: ``(n,)`` int64, ``r_j >= 0``; 0 by default.
        due_dates: ``(n,)`` int64, ``d_j >= r_j``, or ``None``.
        weights: ``(n,)`` int64, ``w_j >= 0``; 1 by default.
        setups: ``(m, n + 1, n)`` int64 or ``None``; ``setups[m, i + 1, j]`` ticks lie between an
            operation of job ``i`` and the next one on machine ``m``, of job ``j``; row 0 is for the
            machine's first operation, from time 0 on. Those between operations of one job are 0
            unless the buffer is unlimited.
        downtimes: ``(D, 3)`` int64, rows ``(machine, begin, end)``: no operation runs in
            ``[begin, end)``.
        objective: ``"makespan"``, ``"weighted_tardiness"`` or ``"flow_time"``.
        buffer: ``"unlimited"``: jobs wait beside the machines; ``"blocking"``: on the machine,
            until the next one takes them, swaps allowed; ``"no-wait"``: nowhere.

    Raises:
        ValueError: If the fields do not describe a flexible job shop.
    """

    problem: ClassVar[str] = "flexible_job_shop"

    times: IntArray
    num_operations: IntArray
    name: str = ""
    release_dates: IntArray = None  # type: ignore[assignment]
    due_dates: IntArray | None = None
    weights: IntArray = None  # type: ignore[assignment]
    setups: IntArray | None = None
    downtimes: IntArray = None  # type: ignore[assignment]
    objective: str = "makespan"
    buffer: str = "unlimited"

    def __post_init__(self) -> None:
        times = int_array(self.times, "times", 3)
        if times.size == 0:
            raise ValueError(f"times {times.shape}, expected (n, K, m) with n, K, m >= 1.")
        n, _, m = times.shape
        if not isinstance(self.name, str):
            raise ValueError(f"name {self.name!r}, expected a text.")
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice("buffer", self.buffer, BUFFERS)
        releases = per_job(self.release_dates, "release_dates", n, 0, 0)
        fields = {
            "times": times,
            "num_operations": per_job(self.num_operations, "num_operations", n, 1, 1),
            "release_dates": releases,
            "due_dates": due_dates(self.due_dates, releases, self.objective),
            "weights": per_job(self.weights, "weights", n, 1, 0),
            "downtimes": check_downtimes(self.downtimes, m),
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)
        self._check_operations()
        if self.setups is not None:
            object.__setattr__(self, "setups", self._checked_setups())
        check_size(self.horizon, self.objective, self.weights)

    def _check_operations(self) -> None:
        times, lengths = self.times, self.num_operations
        for j in np.flatnonzero(lengths > times.shape[1]):
            raise ValueError(
                f"job {j}: {lengths[j]} operations, expected at most {times.shape[1]} (see times)."
            )
        for j, k, m in np.argwhere(times < -1):
            raise ValueError(
                f"operation ({j}, {k}): time {times[j, k, m]} on machine {m}, expected >= 0, or -1"
                " where the machine is not eligible."
            )
        eligible = (times >= 0).any(axis=2)
        for j, k in np.argwhere(self.exists & ~eligible):
            raise ValueError(f"operation ({j}, {k}): no eligible machine, expected at least 1.")
        for j, k in np.argwhere(~self.exists & eligible):
            raise ValueError(f"operation ({j}, {k}): after the end of the job, expected times -1.")

    def _checked_setups(self) -> IntArray:
        n, _, m = self.times.shape
        setups = int_array(self.setups, "setups", 3)
        if setups.shape != (m, n + 1, n):
            raise ValueError(f"setups {setups.shape}, expected {(m, n + 1, n)}.")
        for machine, i, j in np.argwhere(setups < 0):
            raise ValueError(
                f"machine {machine}: setup {setups[machine, i, j]} of job {j}, expected >= 0."
            )
        for j, k, machine in np.argwhere(self.times == 0):  # whose place among others is unclear
            raise ValueError(
                f"operation ({j}, {k}): time 0 on machine {machine} with setups, expected >= 1."
            )
        own = setups[:, np.arange(n) + 1, np.arange(n)]
        if self.buffer != "unlimited":  # where could the job be meanwhile?
            for machine, j in np.argwhere(own > 0):
                raise ValueError(
                    f"machine {machine}: setup {own[machine, j]} between operations of job {j} with"
                    f" buffer {self.buffer!r}, expected 0."
                )
        return setups

    @classmethod
    def from_lists(
        cls,
        jobs: Sequence[Sequence[Mapping[int, int]]],
        num_machines: int | None = None,
        **fields: Any,
    ) -> FlexibleJobShopInstance:
        """A shop from one list of ``{machine: time}`` per job.

        Args:
            jobs: For each job its operations in processing order.
            num_machines: By default the highest machine plus 1.
            **fields: Further fields of the class.

        Raises:
            ValueError: If the class refuses them.
        """
        length = max((len(job) for job in jobs), default=0)
        used = [machine for job in jobs for operation in job for machine in operation]
        width = max(used, default=0) + 1 if num_machines is None else num_machines
        times = np.full((len(jobs), length, width), -1, dtype=np.int64)
        for j, job in enumerate(jobs):
            for k, operation in enumerate(job):
                for machine, time in operation.items():
                    if not 0 <= machine < width:
                        raise ValueError(
                            f"operation ({j}, {k}): machine {machine}, expected 0..{width - 1}."
                        )
                    times[j, k, machine] = time
        return cls(times, [len(job) for job in jobs], **fields)  # type: ignore[arg-type]

    @classmethod
    def of(cls, shop: JobShopInstance, **fields: Any) -> FlexibleJobShopInstance:
        """A classic shop in this form: one eligible machine per operation.

        Raises:
            ValueError: If its durations are stochastic, or a field is refused.
        """
        if shop.cv:
            raise ValueError(f"{shop.name or 'shop'}: stochastic (cv {shop.cv}), expected cv 0.")
        times = np.full((*shop.machines.shape, shop.num_machines), -1, dtype=np.int64)
        job, operation = np.nonzero(shop.machines >= 0)
        at = job, operation, shop.machines[job, operation]
        times[at] = shop.processing_times[job, operation]
        return cls(times, shop.num_operations, **{"name": shop.name, **fields})

    @property
    def num_jobs(self) -> int:
        """Number of jobs, n."""
        return len(self.times)

    @property
    def num_machines(self) -> int:
        """Number of machines, m."""
        return int(self.times.shape[2])

    @cached_property
    def exists(self) -> BoolArray:
        """``(n, K)`` whether a job has an operation ``k``."""
        found: BoolArray = np.arange(self.times.shape[1]) < self.num_operations[:, None]
        return found

    @cached_property
    def shortest(self) -> IntArray:
        """``(n, K)`` time of each operation on its fastest machine; 0 after the last one."""
        times = np.where(self.times >= 0, self.times, np.iinfo(np.int64).max).min(axis=2)
        return int_array(np.where(self.exists, times, 0), "shortest", 2)

    @cached_property
    def horizon(self) -> int:
        """No schedule without needless idle time ends later.

        After the last release and the last downtime, some operation runs or some setup is made.
        """
        begin = max(int(self.release_dates.max()), int(self.downtimes[:, 2].max(initial=0)))
        longest = np.where(self.exists, self.times.max(axis=2), 0)
        work: int = sum(longest.ravel().tolist())
        if self.setups is not None:
            longest_setup = self.setups.max(axis=(0, 1)).tolist()
            counts = self.num_operations.tolist()
            work += sum(k * s for k, s in zip(counts, longest_setup, strict=True))
        return begin + work


@dataclass(frozen=True, eq=False)
class FlexibleJobShopSolution(Solution):
    """A schedule of a flexible job shop.

    Attributes:
        start: ``(n, K)`` int64, start of each operation in ticks; -1 where there is none, or, in
            the middle of an episode, not yet.
        machine: ``(n, K)`` int64, the machine that it runs on; -1 likewise.
    """

    problem: ClassVar[str] = "flexible_job_shop"

    start: IntArray
    machine: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", int_array(self.start, "start", 2))
        object.__setattr__(self, "machine", int_array(self.machine, "machine", 2))

    def to_frame(self) -> pd.DataFrame:
        """One row per scheduled operation: ``job``, ``operation``, ``machine``, ``start``."""
        import pandas as pd

        job, operation = np.nonzero(self.start >= 0)
        at = job, operation
        columns = {"machine": self.machine[at], "start": self.start[at]}
        return pd.DataFrame({"job": job, "operation": operation, **columns})
