"""The data of single-machine tardiness. The problem is stated in ``tardiness.py``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import noise
from .core import Instance, IntArray, Solution, int_array

if TYPE_CHECKING:
    import pandas as pd

#: Times and costs stay below it, so that sums of int64 do not wrap and floats hold them exactly.
_LIMIT = 2**53


@dataclass(frozen=True, eq=False)
class TardinessInstance(Instance):
    """Jobs for one machine, with due dates.

    Attributes:
        processing_times: ``(n,)`` int64, ``p_j >= 1``, in time units (means, if ``cv > 0``).
        due_dates: ``(n,)`` int64, ``d_j``; may be negative (the job is late from the beginning).
        weights: ``(n,)`` int64, ``w_j >= 0``; 1 by default.
        release_dates: ``(n,)`` int64, ``r_j >= 0``, before which neither the job nor its setup can
            start; ``None`` if all are 0.
        setups: ``(n + 1, n)`` int64, ``s_ij >= 0``: row 0 holds the setup of job ``j`` if it comes
            first, row ``i + 1`` its setup right after job ``i``; a job does not follow itself, so
            the entries ``[i + 1, i]`` are kept as 0. ``None`` if all are 0.
        name: Identifier used in result tables, e.g. ``"wt40_001"``.
        cv: Coefficient of variation of the durations; 0 for a deterministic instance.
        law: Law of the durations, ``"lognormal"`` or ``"uniform"``.
        scenario: Seed of the realised durations.

    Raises:
        ValueError: If the arrays do not describe such jobs.
    """

    problem: ClassVar[str] = "tardiness"

    processing_times: IntArray
    due_dates: IntArray
    weights: IntArray = None  # type: ignore[assignment]  # stands for ones
    release_dates: IntArray | None = None
    setups: IntArray | None = None
    name: str = ""
    cv: float = 0.0
    law: str = "lognormal"
    scenario: int = 0

    def __post_init__(self) -> None:
        times = int_array(self.processing_times, "processing_times", 1)
        if not times.size:
            raise ValueError("processing_times (0,), expected at least 1 job.")
        self._keep("processing_times", times)
        self._keep("due_dates", self._per_job("due_dates", self.due_dates))
        weights = np.ones_like(times) if self.weights is None else self.weights
        self._keep("weights", self._per_job("weights", weights))
        if self.release_dates is not None:
            releases = self._per_job("release_dates", self.release_dates)
            self._keep("release_dates", releases if releases.any() else None)
        if self.setups is not None:
            self._keep("setups", _setups(self.setups, len(times)))
        self._check_jobs()
        self._check_scalars()
        noise.check_law(self.cv, self.law)

    def _keep(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def _per_job(self, field: str, values: Any) -> IntArray:
        array = int_array(values, field, 1)
        if len(array) != self.num_jobs:
            raise ValueError(
                f"{field}: {len(array)} values, expected {self.num_jobs} (one per job)."
            )
        return array

    def _check_jobs(self) -> None:
        for field, what, least in (
            ("processing_times", "processing time", 1),
            ("weights", "weight", 0),
            ("release_dates", "release date", 0),
        ):
            values = getattr(self, field)
            for j in np.flatnonzero(values < least) if values is not None else ():
                raise ValueError(f"job {j}: {what} {values[j]}, expected >= {least}.")
        for j in np.flatnonzero((self.due_dates <= -_LIMIT) | (self.due_dates >= _LIMIT)):
            raise ValueError(f"job {j}: due date {self.due_dates[j]}, expected within 2^53.")
        end = self._latest_end(self.processing_times)
        if end >= _LIMIT:
            raise ValueError(f"the last job may end at {end}, expected below 2^53.")
        weights = self.weights.tolist()
        cost = sum(
            w * max(1, end - d) for w, d in zip(weights, self.due_dates.tolist(), strict=True)
        )
        if cost >= _LIMIT:
            raise ValueError(f"the cost may reach {cost}, expected below 2^53.")

    def _latest_end(self, durations: IntArray) -> int:
        """When the last job ends at the latest; of Python integers, which do not wrap around."""
        end: int = sum(durations.tolist())
        if self.release_dates is not None:
            end += int(self.release_dates.max())
        if self.setups is not None:
            end += sum(self.setups.max(axis=0).tolist())
        return end

    def _check_scalars(self) -> None:
        """Plain Python scalars, so that equal instances have equal digests."""
        if isinstance(self.scenario, bool) or not isinstance(self.scenario, int | np.integer):
            raise ValueError(f"scenario {self.scenario!r}, expected an integer.")
        self._keep("scenario", int(self.scenario))
        if isinstance(self.cv, bool) or not isinstance(self.cv, int | float | np.number):
            raise ValueError(f"cv {self.cv!r}, expected a number.")
        self._keep("cv", float(self.cv))
        if not isinstance(self.name, str):
            raise ValueError(f"name {self.name!r}, expected a text.")

    @property
    def num_jobs(self) -> int:
        """Number of jobs, n."""
        return len(self.processing_times)

    @property
    def is_weighted(self) -> bool:
        """Whether some weight differs from 1."""
        return bool((self.weights != 1).any())

    @property
    def is_plain(self) -> bool:
        """Whether there are neither release dates nor setups: ``1 || sum w_j T_j``."""
        return self.release_dates is None and self.setups is None

    @cached_property
    def durations(self) -> IntArray:
        """``(n,)`` int64, the realised processing times; the given ones unless ``cv > 0``."""
        if self.cv == 0:
            return self.processing_times
        jobs = np.arange(self.num_jobs)
        return noise.durations(self.processing_times, self.cv, self.law, self.scenario, jobs)

    @cached_property
    def horizon(self) -> int:
        """When every sequence has ended: all work and the longest setups after the last release."""
        return self._latest_end(self.durations)


def _setups(values: Any, num_jobs: int) -> IntArray | None:
    setups = int_array(values, "setups", 2)
    if setups.shape != (num_jobs + 1, num_jobs):
        raise ValueError(f"setups {setups.shape}, expected {(num_jobs + 1, num_jobs)} (n + 1, n).")
    setups.flags.writeable = True
    jobs = np.arange(num_jobs)
    setups[jobs + 1, jobs] = 0
    setups.flags.writeable = False
    for i, j in np.argwhere(setups < 0):
        after = f"after job {i - 1}" if i else "as the first job"
        raise ValueError(f"job {j}: setup {setups[i, j]} {after}, expected >= 0.")
    return setups if setups.any() else None


@dataclass(frozen=True, eq=False)
class TardinessSolution(Solution):
    """A sequence of the jobs, which determines when each of them ends.

    Attributes:
        sequence: ``(n,)`` int64, ``sequence[k]`` is the job in position ``k``; in the middle of an
            episode the positions that are not yet filled are -1, at the end.
    """

    problem: ClassVar[str] = "tardiness"

    sequence: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "sequence", int_array(self.sequence, "sequence", 1))

    def to_frame(self) -> pd.DataFrame:
        """One row per position that is filled: ``position``, ``job``."""
        import pandas as pd

        position = np.flatnonzero(self.sequence >= 0)
        return pd.DataFrame({"position": position, "job": self.sequence[position]})
