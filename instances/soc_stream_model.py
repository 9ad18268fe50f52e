"""The data of a stream of jobs on a SoC: instance and realised schedule. See ``soc_stream.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import noise
from .core import FloatArray, Instance, IntArray, Solution, int_array
from .soc_dag_model import (
    ROUNDINGS,
    SoCDagInstance,
    check_graph,
    check_texts,
    check_total,
    pe_matrix,
    transfer_times,
)

if TYPE_CHECKING:
    import pandas as pd

ARRIVALS = ("exponential", "regular", "trace")
ADMISSIONS = ("backlog", "loss")

#: A stream of more jobs is refused.
_MOST_ARRIVALS = 1_000_000


@dataclass(frozen=True, eq=False)
class SoCStreamInstance(Instance):
    """Jobs that arrive over time, each a task graph of one of K profiles.

    Attributes:
        firsts: ``(K + 1,)`` int64, the tasks of profile ``k`` are ``firsts[k]..firsts[k + 1] - 1``.
        run_times: ``(T, m)`` int64 expected ticks of all profiles' tasks, as in
            :class:`SoCDagInstance`.
        edges: ``(E, 2)`` int64, edges within the profiles, by numbers of all profiles' tasks.
        data: ``(E,)`` int64 volumes.
        bandwidth: As in :class:`SoCDagInstance`.
        latency: As in :class:`SoCDagInstance`.
        mix: ``(K,)`` int64 weights with which profiles are drawn; empty for equal ones.
        arrivals: ``"exponential"`` (gaps are the integer part of an exponential time of mean
            ``mean_gap``), ``"regular"`` (every ``mean_gap`` ticks) or ``"trace"``.
        mean_gap: Mean time between arrivals, in ticks, at least 1; not used by a trace.
        trace: ``(J, 2)`` int64, time and profile of each arrival, by time; empty without a trace.
        horizon: Jobs arrive before this time, in ticks; the first one always does.
        capacity: Number of jobs that may be in the system at once.
        admission: What happens to a job that finds the system full: ``"backlog"``: it waits
            outside, first come first served; ``"loss"``: it is lost.
        penalty: What a lost job costs, in ticks; -1 for the sum of the slowest run times and
            transfers of the longest profile: longer than any job takes alone.
        prefill: Number of jobs that arrive at time 0 besides, at most ``capacity``.
        cv: Coefficient of variation of the run times; 0 if they are as expected.
        law: Law of the run times, ``"lognormal"`` or ``"uniform"``.
        scenario: Seed of arrivals, profiles and run times.
        rounding: As in :class:`SoCDagInstance`.
        tick: As in :class:`SoCDagInstance`.
        name: Identifier used in result tables.

    Raises:
        ValueError: If the fields do not describe a stream.
    """

    problem: ClassVar[str] = "soc_stream"

    firsts: IntArray
    run_times: IntArray
    edges: IntArray
    data: IntArray
    bandwidth: IntArray
    latency: IntArray = 0  # type: ignore[assignment]
    mix: IntArray = ()  # type: ignore[assignment]
    arrivals: str = "exponential"
    mean_gap: float = 25.0
    trace: IntArray = ()  # type: ignore[assignment]
    horizon: int = 5000
    capacity: int = 3
    admission: str = "backlog"
    penalty: int = -1
    prefill: int = 0
    cv: float = 0.0
    law: str = "lognormal"
    scenario: int = 0
    rounding: str = "floor"
    tick: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        self._normalise_arrays()
        self._normalise_scalars()
        check_graph(self.run_times, self.edges, self.data)
        self._check_profiles()
        check_total(self)
        self._check_arrivals()
        if self.penalty == -1:
            object.__setattr__(self, "penalty", self._slowest_job())

    def _normalise_arrays(self) -> None:
        run_times = int_array(self.run_times, "run_times", 2)
        m = run_times.shape[1]
        none = np.zeros((0, 2), dtype=np.int64)
        mix = self.mix if np.size(self.mix) else np.ones(max(np.size(self.firsts) - 1, 0), int)
        arrays = {
            "firsts": int_array(self.firsts, "firsts", 1),
            "run_times": run_times,
            "edges": int_array(self.edges if np.size(self.edges) else none, "edges", 2),
            "data": int_array(self.data, "data", 1),
            "bandwidth": pe_matrix(self.bandwidth, "bandwidth", m, 1),
            "latency": pe_matrix(self.latency, "latency", m, 0),
            "mix": int_array(mix, "mix", 1),
            "trace": int_array(self.trace if np.size(self.trace) else none, "trace", 2),
        }
        for field, array in arrays.items():
            object.__setattr__(self, field, array)

    def _normalise_scalars(self) -> None:
        """Plain Python scalars, so that equal streams have equal digests."""
        lowest = {"horizon": 1, "capacity": 1, "penalty": -1, "prefill": 0, "scenario": 0}
        for field, least in lowest.items():
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise ValueError(f"{field} {value!r}, expected an integer.")
            if not least <= value < 2**53:
                raise ValueError(f"{field} {value}, expected {least}..2^53 - 1.")
            object.__setattr__(self, field, int(value))
        for field in ("mean_gap", "cv"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise ValueError(f"{field} {value!r}, expected a number.")
            object.__setattr__(self, field, float(value))
        check_texts(self, ("arrivals", "admission", "law", "rounding", "tick", "name"))
        noise.check_law(self.cv, self.law)
        choices = {"arrivals": ARRIVALS, "admission": ADMISSIONS, "rounding": ROUNDINGS}
        for field, known in choices.items():
            if getattr(self, field) not in known:
                raise ValueError(
                    f"{field} {getattr(self, field)!r}, expected one of: {', '.join(known)}."
                )
        if self.prefill > self.capacity:
            raise ValueError(f"prefill {self.prefill}, expected at most capacity {self.capacity}.")

    def _check_profiles(self) -> None:
        firsts, mix = self.firsts, self.mix
        total = len(self.run_times)
        if len(firsts) < 2 or firsts[0] != 0 or firsts[-1] != total or (np.diff(firsts) < 1).any():
            raise ValueError(f"firsts {firsts.tolist()}, expected 0 < ... < {total} (all tasks).")
        if mix.shape != (len(firsts) - 1,) or (mix < 0).any() or not 0 < mix.sum() < 2**53:
            raise ValueError(
                f"mix {mix.tolist()}, expected weights >= 0 of {len(firsts) - 1} profiles."
            )
        profile = np.searchsorted(firsts, self.edges, side="right") - 1
        for e in np.flatnonzero(profile[:, 0] != profile[:, 1]):
            i, j = self.edges[e]
            raise ValueError(
                f"task {i}: an edge to task {j} of profile {profile[e, 1]}, expected one within"
                f" profile {profile[e, 0]}."
            )

    def _check_arrivals(self) -> None:
        if self.arrivals == "trace":
            trace, last = self.trace, len(self.firsts) - 2
            if not len(trace) or trace.shape[1] != 2:
                raise ValueError(f"trace {trace.shape}, expected (J, 2): time and profile.")
            for k in np.flatnonzero(np.diff(trace[:, 0], prepend=0) < 0):
                raise ValueError(f"trace: arrival {k} at {trace[k, 0]}, expected in order of time.")
            for k in np.flatnonzero((trace[:, 1] < 0) | (trace[:, 1] > last)):
                raise ValueError(
                    f"trace: arrival {k} of profile {trace[k, 1]}, expected 0..{last}."
                )
            if trace[-1, 0] >= 2**53:
                raise ValueError(f"trace: arrival at {trace[-1, 0]}, expected below 2^53.")
            return
        if len(self.trace):
            raise ValueError(f"a trace with arrivals {self.arrivals!r}, expected 'trace'.")
        if not 1.0 <= self.mean_gap < 2**53:
            raise ValueError(f"mean_gap {self.mean_gap}, expected 1..2^53.")
        if self.horizon / self.mean_gap > _MOST_ARRIVALS:
            raise ValueError(
                f"horizon {self.horizon} at a mean gap of {self.mean_gap:g}, expected at most"
                f" {_MOST_ARRIVALS} jobs."
            )

    def _slowest_job(self) -> int:
        slow = np.maximum(self.run_times, 0).max(axis=1)
        total = np.add.reduceat(slow, self.firsts[:-1])
        profile = np.searchsorted(self.firsts, self.edges[:, 0], side="right") - 1
        np.add.at(total, profile, self.communication.max(axis=(1, 2), initial=0))
        return int(total.max())

    @classmethod
    def from_profiles(cls, profiles: Sequence[SoCDagInstance], **fields: Any) -> SoCStreamInstance:
        """A stream of jobs whose task graphs, all on the same PEs, are given.

        Args:
            profiles: At least one task graph.
            **fields: Further fields of the class.

        Raises:
            ValueError: If the graphs differ in their PEs, or the class refuses a field.
        """
        if not profiles:
            raise ValueError("profiles: none, expected at least one task graph.")
        first = profiles[0]
        for profile in profiles:
            if (profile.num_pes, profile.rounding) != (first.num_pes, first.rounding) or not (
                np.array_equal(profile.bandwidth, first.bandwidth)
                and np.array_equal(profile.latency, first.latency)
            ):
                raise ValueError(
                    f"profile {profile.name or '?'}: other PEs than {first.name or '?'}, expected"
                    " the same numbers, bandwidths, latencies and rounding."
                )
        firsts = np.cumsum([0, *(profile.num_tasks for profile in profiles)])
        shifted = [p.edges + at for p, at in zip(profiles, firsts[:-1], strict=True)]
        return cls(
            firsts=firsts,
            run_times=np.concatenate([p.run_times for p in profiles]),
            edges=np.concatenate(shifted),
            data=np.concatenate([p.data for p in profiles]),
            bandwidth=first.bandwidth,
            latency=first.latency,
            **{"rounding": first.rounding, "tick": first.tick, **fields},
        )

    @property
    def num_profiles(self) -> int:
        """Number of profiles, K."""
        return len(self.firsts) - 1

    @property
    def num_pes(self) -> int:
        """Number of processing elements, m."""
        return int(self.run_times.shape[1])

    @cached_property
    def most_tasks(self) -> int:
        """Number of tasks of the largest profile."""
        return int(np.diff(self.firsts).max())

    @cached_property
    def communication(self) -> IntArray:
        """``(E, m, m)`` as in :class:`SoCDagInstance`."""
        return transfer_times(self.data, self.bandwidth, self.latency, self.rounding)

    @cached_property
    def profiles(self) -> tuple[SoCDagInstance, ...]:
        """The profiles as task graphs of their own."""
        return tuple(self._profile(k) for k in range(self.num_profiles))

    def _profile(self, k: int) -> SoCDagInstance:
        first, last = self.firsts[k], self.firsts[k + 1]
        mine = (self.edges[:, 0] >= first) & (self.edges[:, 0] < last)
        return SoCDagInstance(
            run_times=self.run_times[first:last],
            edges=self.edges[mine] - first,
            data=self.data[mine],
            bandwidth=self.bandwidth,
            latency=self.latency,
            rounding=self.rounding,
            tick=self.tick,
            name=f"{self.name}-profile{k}",
        )

    # What happens in the scenario.

    @cached_property
    def arrival_times(self) -> IntArray:
        """``(J,)`` int64, when the jobs arrive, in ticks; those of the prefill first."""
        if self.arrivals == "trace":
            times = self.trace[:, 0]
        elif self.arrivals == "regular":
            count = max(int(np.ceil(self.horizon / self.mean_gap)) - 1, 1)
            times = np.floor(self.mean_gap * np.arange(1, count + 1)).astype(np.int64)
        else:
            times = self._exponential_times()
        times = np.concatenate([times[:1], times[1:][times[1:] < self.horizon]])
        return int_array(np.concatenate([np.zeros(self.prefill, np.int64), times]), "times", 1)

    def _exponential_times(self) -> IntArray:
        """Times of arrivals until past the horizon; the gap of arrival ``k`` has the key ``k``."""
        count = 16 + int(1.5 * self.horizon / self.mean_gap)
        while True:
            drawn = noise.uniforms(self.scenario, np.arange(count), 0)
            times = np.cumsum(np.floor(-self.mean_gap * np.log(drawn)).astype(np.int64))
            if times[-1] >= self.horizon:
                return times
            count *= 2

    @cached_property
    def job_profiles(self) -> IntArray:
        """``(J,)`` int64, the profile of each job."""
        count = len(self.arrival_times) - self.prefill
        share = np.cumsum(self.mix) / self.mix.sum()
        jobs = np.arange(self.prefill + count)
        drawn = np.searchsorted(share, noise.uniforms(self.scenario, jobs, 1), side="right")
        if self.arrivals == "trace":
            drawn[self.prefill :] = self.trace[:count, 1]
        return int_array(drawn, "profiles", 1)

    @cached_property
    def factors(self) -> FloatArray:
        """``(J, most_tasks)`` by what the run times of each job's tasks differ from the expected.

        The run time of task ``i`` of job ``j`` on ``p`` is ``max(1, round(w_ip f_ji))``; 0 stays 0.
        """
        jobs, tasks = np.ogrid[: len(self.arrival_times), : self.most_tasks]
        if self.cv == 0:
            return np.ones((len(self.arrival_times), self.most_tasks))
        return noise.factors(self.cv, self.law, self.scenario, jobs, tasks)


@dataclass(frozen=True, eq=False)
class SoCStreamSolution(Solution):
    """The realised schedule of a stream.

    Attributes:
        pe: ``(J, most_tasks)`` int64, the PE of each task of each job; -1 where there is none: the
            job is lost or has fewer tasks, or, in the middle of an episode, not yet.
        start: ``(J, most_tasks)`` int64, its start in ticks; -1 where there is none.
    """

    problem: ClassVar[str] = "soc_stream"

    pe: IntArray
    start: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "pe", int_array(self.pe, "pe", 2))
        object.__setattr__(self, "start", int_array(self.start, "start", 2))

    def to_frame(self) -> pd.DataFrame:
        """One row per scheduled task: ``job``, ``task``, ``pe``, ``start``."""
        import pandas as pd

        job, task = np.nonzero(self.start >= 0)
        columns = {"job": job, "task": task, "pe": self.pe[job, task]}
        return pd.DataFrame({**columns, "start": self.start[job, task]})
