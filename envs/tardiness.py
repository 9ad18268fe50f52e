"""Single-machine tardiness as decisions: which job comes next.

The value of a state is its cost so far plus the tardiness that the waiting jobs cannot avoid,
``sum_j w_j max(0, max(t, r_j) + least setup + p_j - d_j)`` at time ``t``: a lower bound on the
final cost that never falls and ends at the cost. The machine waits for a job that is chosen before
its release.

The *mask* decides which of the waiting jobs are candidates:

- ``all``: every one. All sequences can be made.
- ``emmons``: those whose predecessors by Emmons' theorems (see ``tardiness_emmons.py``) are all
  scheduled; some optimal sequence respects them. For total tardiness alone: without weights,
  release dates, setups and noise; at most 1,000 jobs, since it keeps a relation of all pairs.
- ``adjacent``: those that would not better have come before the last job, which means that the
  exchange of the two strictly lowers their cost and does not delay what follows. No optimal
  sequence contains such a pair, so every optimum stays. Where no job would remain (the sequence so
  far is not the beginning of an optimum) all do. Without setups and noise.

With ``arrivals``, a job becomes known at its release. Only the jobs that have arrived are
candidates; the machine never waits for a job that is still to come, and if none is there, the next
decision is taken when the next one arrives. No column and no reward tells of a job to come; but the
units of columns and rewards, and the number of jobs, are those of the whole instance.

With stochastic durations, decisions are taken when the last job has ended: the clock shows realised
times, the waiting jobs their expected ones, and the value is the same formula, but no bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.tardiness import TardinessInstance, TardinessSolution, upper_bound
from . import tardiness_kernels as kernels
from .env import SchedulingEnv
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .tardiness_common import (
    SingleMachineSimulator,
    by_due_date,
    by_time,
    graph_shape,
    scale,
    unit,
)
from .tardiness_decompose import TardinessDecomposeSimulator
from .tardiness_emmons import emmons
from .tardiness_improve import TardinessImproveSimulator
from .tardiness_kernels import (
    DUE,
    EDD,
    HEAD,
    MASKS,
    REALISED,
    RELEASE,
    SPT,
    TIME,
    WEIGHT,
)
from .vector import SchedulingVectorEnv

#: What the classic rules need.
MINIMAL_COLUMNS = (
    "processing_time",
    "weight",
    "due_date",
    "slack",
    "modified_due_date",
    "ready",
    "setup",
)

#: What a learner needs besides.
FULL_COLUMNS = (
    *MINIMAL_COLUMNS,
    "tardiness",
    "wspt",
    "log_wspt",
    "atc_half",
    "atc_two",
    "covert",
    "weighted_due_date",
    "due_date_gap",
    "last_slack",
    "delay",
    "earlier",
    "shorter",
    "dominators",
)

GLOBAL_COLUMNS = (
    "mean_processing_time",
    "max_processing_time",
    "elapsed",
    "remaining",
    "progress",
    "num_candidates",
    "value_rise",
    "tardy_share",
    "tightness",
    "due_date_range",
)

#: Number of jobs up to which the mask ``emmons`` is offered.
_MOST_RELATED = 1000


class TardinessSimulator(SingleMachineSimulator):
    """Single machines side by side; see :class:`TardinessEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded ``jobs`` and ``setup_rows`` (1 without setups, else one more than jobs).
        mask: ``all``, ``emmons`` or ``adjacent``.
        arrivals: Whether a job is unknown before its release; with the mask ``all`` alone.
        columns: ``full`` or ``minimal``.
        **common: See :class:`Simulator`.

    Raises:
        ValueError: If an option is not one of these.
    """

    prior: ClassVar[Mapping[str, float]] = {"weighted_due_date": -4.0}  # the rule WMDD
    training_instances = (
        *("pvw-20", "pvw-40", "pvw-60", "pvw-100"),
        *("weighted-20", "weighted-40", "weighted-60", "weighted-100"),
    )
    fields = kernels.FIELDS
    global_columns = GLOBAL_COLUMNS
    candidate_node_types = ("job",)

    def __init__(
        self,
        num_rows: int,
        size: Mapping[str, int],
        *,
        mask: str = "all",
        arrivals: bool = False,
        columns: str = "full",
        **common: Any,
    ) -> None:
        if mask not in MASKS:
            raise ValueError(f"mask {mask!r}, expected one of: {', '.join(MASKS)}.")
        if arrivals and mask != "all":
            raise ValueError(f"mask {mask!r} with arrivals, expected mask 'all'.")
        if columns not in ("full", "minimal"):
            raise ValueError(f"columns {columns!r}, expected 'full' or 'minimal'.")
        if mask == "emmons" and size["jobs"] > _MOST_RELATED:
            raise ValueError(
                f"mask 'emmons' with up to {size['jobs']} jobs, expected at most {_MOST_RELATED}."
            )
        if arrivals and common.get("graph"):
            raise ValueError("arrivals with a graph, which holds all jobs; expected candidates.")
        self.mask, self.arrivals = mask, arrivals
        self.candidate_columns = FULL_COLUMNS if columns == "full" else MINIMAL_COLUMNS
        super().__init__(num_rows, size, **common)

    @classmethod
    def measure(cls, instance: TardinessInstance) -> dict[str, int]:
        """``jobs`` and ``setup_rows``."""
        rows = 1 if instance.setups is None else len(instance.setups)
        return {"jobs": instance.num_jobs, "setup_rows": rows}

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """One candidate and one node per job."""
        return graph_shape(size["jobs"], size["jobs"])

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        n, slots, rows = self.size["jobs"], self.num_slots, self.num_rows
        related = n if self.mask == "emmons" else 1
        data: Arrays = {
            "problems": np.zeros((slots, 8), "i8"),
            "constants": np.ones((slots, 3), "f8"),
            "jobs": np.zeros((slots, n, 8), "i8"),
            "keys": np.zeros((slots, n, 4), "f8"),
            "setups": np.zeros((slots, self.size["setup_rows"], n), "i8"),
            "after": np.zeros((slots, related, related), "i1"),
            "firsts": np.zeros((slots, 3, n), "i4"),
        }
        state: Arrays = {
            "clock": np.zeros((rows, 9), "i8"),
            "waiting": np.zeros((rows, n), "i4"),
            "counts": np.zeros((rows, 4, n), "i4"),
            "sequence": np.full((rows, n), -1, "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: TardinessInstance) -> None:
        """Write an instance into a slot; O(n^2) with the full columns, else O(n log n)."""
        _check_mask(self.mask, instance)
        d, n = self.data, instance.num_jobs
        p, due = instance.processing_times, instance.due_dates
        weights, setups = instance.weights, instance.setups
        edd, spt = by_due_date(instance), by_time(instance)
        jobs = d["jobs"][slot]
        jobs[:n, TIME], jobs[:n, DUE], jobs[:n, WEIGHT] = p, due, weights
        jobs[:n, RELEASE] = 0 if instance.release_dates is None else instance.release_dates
        jobs[:n, REALISED] = instance.durations
        jobs[:n, HEAD] = p + _least_setups(setups, n)
        jobs[edd, EDD] = jobs[spt, SPT] = np.arange(n)
        d["setups"][slot] = 0
        if setups is not None:
            d["setups"][slot, : n + 1, :n] = setups
        d["problems"][slot, :7] = (
            n,
            MASKS[self.mask],
            instance.release_dates is not None,
            setups is not None,
            p.sum(),
            upper_bound(instance),
            self.arrivals,
        )
        self._write_units(slot, instance, edd)
        self._write_relations(slot, instance, spt)
        self.write_common(slot, instance)

    def _write_units(self, slot: int, instance: TardinessInstance, edd: IntArray) -> None:
        """Units of times, weights and rewards, and the columns that they scale."""
        d, n = self.data, instance.num_jobs
        p, weights = instance.processing_times, instance.weights
        time, weight = unit(p), unit(weights)
        edd_cost = kernels.sequence_cost(edd, d["jobs"][slot], d["setups"][slot])
        d["constants"][slot] = 1.0 / time, 1.0 / weight, scale(instance, edd_cost)
        heavy = np.maximum(weights, 0.5) / weight
        keys = d["keys"][slot]
        keys[:n, 0] = weights / weight / (p / time)
        keys[:n, 1] = np.log(heavy / (p / time))
        keys[:n, 2] = 1.0 / heavy
        keys[:n, 3] = 0.5 / p

    def _write_relations(self, slot: int, instance: TardinessInstance, spt: IntArray) -> None:
        """How many jobs dominate each job and are to precede it, and the order of their arrival."""
        firsts, n = self.data["firsts"][slot], instance.num_jobs
        firsts[kernels.ORDER, :n] = np.arange(n)
        if self.arrivals and instance.release_dates is not None:
            firsts[kernels.ORDER, :n] = np.argsort(instance.release_dates, kind="stable")
        if self.candidate_columns is FULL_COLUMNS:
            kernels.count_dominators(self.data["jobs"][slot], n, firsts[kernels.DOMINATED_BY])
        if self.mask == "emmons":
            after = np.zeros((n, n), "i1")
            emmons(instance.processing_times, instance.due_dates, spt, after)
            self.data["after"][slot, :n, :n] = after
            firsts[kernels.PRECEDED_BY, :n] = after.sum(axis=0)

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Let one job follow in every row."""
        kernels.advance(self.arrays, actions, self.skip_forced)

    def solutions(self, rows: IntArray) -> list[TardinessSolution]:
        """The sequences of the rows; -1 for positions that are not filled."""
        sequences = self.state["sequence"][rows]
        return [
            TardinessSolution.trusted(sequence=sequence[: self.instance(row).num_jobs].copy())
            for sequence, row in zip(sequences, rows, strict=True)
        ]

    def guide(self, solution: TardinessSolution, row: int) -> int:
        """The job in the next position of the sequence."""
        job = int(solution.sequence[self.state["clock"][row, kernels.COUNT]])
        view = self.view
        available = view["available"][row, : view["num_available"][row]]
        if job not in available:
            raise NotExpressible(
                f"the sequence has job {job} next, expected one of the jobs {available.tolist()}."
            )
        return job


def _check_mask(mask: str, instance: TardinessInstance) -> None:
    """Raise ``ValueError`` where the mask could exclude every optimum."""
    found = []
    if mask == "emmons":
        found += ["weights"] * instance.is_weighted
        found += ["release dates"] * (instance.release_dates is not None)
    if mask in ("emmons", "adjacent"):
        found += ["setups"] * (instance.setups is not None)
        found += ["stochastic durations"] * (instance.cv > 0)
    if found:
        raise ValueError(
            f"{instance.name or 'instance'}: {' and '.join(found)} with mask {mask!r}, which holds"
            " without; expected mask 'all'."
        )


def _least_setups(setups: IntArray | None, n: int) -> IntArray:
    """The shortest setup of each job, first or after another job."""
    if setups is None:
        return np.zeros(n, dtype=np.int64)
    others = setups.copy()
    others[np.arange(1, n + 1), np.arange(n)] = np.iinfo(np.int64).max
    return np.asarray(others.min(axis=0), dtype=np.int64)


class TardinessEnv(SchedulingEnv):
    """Sequence jobs on one machine, in one of three modes.

    ``dispatch`` (default) appends job after job, ``decompose`` puts the longest job of a list to a
    place that Lawler's theorem allows, ``improve`` moves the jobs of a complete sequence. The modes
    are described in the modules ``tardiness``, ``tardiness_decompose``, ``tardiness_improve``.

    ## Action Space
    | mode | space | action |
    |---|---|---|
    | ``dispatch`` | ``Discrete(jobs)`` | job ``a`` comes next |
    | ``decompose`` | ``Discrete(jobs)`` | the longest job of the list goes to its place ``a`` |
    | ``improve`` | ``Discrete(2 jobs + 1)`` | stop, choose a job, swap it or insert it |

    In ``improve``, action 0 stops, and ``1 + 2 j`` chooses job ``j`` to move. Then ``1 + 2 j``
    swaps it with job ``j``, and ``2 + 2 j`` lets it take the place of job ``j``; those in between
    make way.

    ## Observation Space
    A ``Dict``; times are divided by a power of two near the mean processing time, weights by one
    near the mean weight, costs, where it is said, by ``scale``.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (A, F) float32 | a row per action, columns as named below; 0 if unavailable |
    | ``globals`` | (G,) float32 | as named below |
    | ``action_mask`` | (A,) int8 | 1 for the actions that may be chosen |

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type`` (static: a
    node per job, linked to the next four by due date and by processing time) and
    ``candidate_nodes`` (A, K), -1 if unavailable: the job (``dispatch``); the longest job and the
    one in its new place (``decompose``); the job of the action and the one that was chosen before
    (``improve``).

    Candidate columns of ``dispatch``, of each waiting job, at the time ``t`` when the last one
    ended: ``processing_time`` ``p``; ``weight`` ``w``; ``due_date`` ``d - t``; ``slack`` ``d - t -
    p``;
    ``modified_due_date`` ``max(p, d - t)``; ``ready``: time until its release; ``setup`` after the
    last job. With ``columns="full"`` also ``tardiness`` if it came next; ``wspt``: ``w / p``;
    ``log_wspt``; ``atc_half``, ``atc_two``: logarithm of the ATC index, ``ln(w / p) - max(slack,
    0) / (K mean p)`` for K = 1/2 and 2; ``covert``: ``w / p max(0, 1 - max(slack, 0) / 2 p)``;
    ``weighted_due_date``: the modified one divided by ``w``; ``due_date_gap``: its distance to the
    least modified one; ``last_slack``: slack if the job came last; ``delay``: ``p`` times the share
    of the waiting weight, of other jobs, that is late whatever happens; ``earlier``, ``shorter``,
    ``dominators``: how many of the waiting jobs are due earlier, are shorter, are neither longer
    nor due later nor lighter, each divided by their number. In logarithms and where ``w`` divides,
    a weight of 0 counts as 1/2. Global columns: ``mean_processing_time`` and
    ``max_processing_time`` of the waiting jobs; ``elapsed``: ``t``; ``remaining`` work;
    ``progress``: share of jobs scheduled; ``num_candidates``; ``value_rise`` since the start, by
    ``scale``; ``tardy_share``: share of the waiting jobs that are late whatever happens;
    ``tightness`` and ``due_date_range``: TF and RDD of the waiting jobs.

    Candidate columns of ``decompose``, of each place: ``shift`` from the place in EDD order,
    ``jobs_before``, ``jobs_behind``: numbers divided by that of all jobs; ``completion`` of the job
    since the list began; ``work_behind``; its ``tardiness``; ``edd_before``, ``edd_behind``: cost
    of the two parts in EDD order; ``edd_gap``: cost of the list with the others in EDD order, above
    the least one; ``bound_before``, ``bound_behind``: what the parts cost at least. With
    ``columns="full"`` also ``mdd_before``, ``mdd_behind``, ``mdd_gap``: the same by modified due
    dates, 0 if there is no choice. Global columns: ``progress``: share of jobs in closed lists;
    ``open_lists``; ``num_candidates``; ``jobs_in_list``: share; ``elapsed``: when the list begins;
    its ``work``; ``processing_time`` and ``due_date`` of its longest job, since it began;
    ``edd_place`` of that job, divided by the jobs in the list; ``tardy_share`` of the list in EDD
    order; its ``tightness`` and ``due_date_range``; ``value_rise``.

    Candidate columns of ``improve``: ``stop``: 1 for action 0; ``gain``, by ``scale``: what the
    move lowers the cost by, and, where the job is chosen, the largest gain of its insertions;
    ``distance`` to the new position, divided by the number of jobs; ``is_insertion``; of the
    action's job ``processing_time``, ``weight``, ``slack``: due date minus completion,
    ``tardiness``, ``cost`` by ``scale``, ``position``: share of jobs before it. Global columns:
    ``phase``: 1 if a job is chosen; ``moves_left``: share; ``num_candidates``; ``cost_now`` and
    ``cost_fall`` since the start, by ``scale``; ``tardy_share``; ``chosen_processing_time``,
    ``chosen_weight``, ``chosen_slack``, ``chosen_position``.

    ## Rewards
    Minus the rise of the value, divided by ``scale``, the cost of the EDD sequence (or the time
    unit times the weight unit, if that is more): the return is ``-(cost - initial_value) / scale``.
    The value is a lower bound on the final cost in ``dispatch`` and ``decompose``, the cost of the
    sequence in ``improve``.

    ## Starting State
    No job is scheduled (``dispatch``), all are in one list (``decompose``), all are in EDD order
    (``improve``). Instances are drawn by the environment's seed if several are given.

    ## Episode End
    Terminates when all jobs have their places; in ``improve``, after the last move or when the
    policy stops. An action outside the mask terminates the episode at the cost ``upper_bound`` (all
    jobs end last), with the reason in ``info["infeasible"]``. ``info`` then holds ``objective``,
    ``solution``, ``gap``, ``instance``.

    ## Arguments
    ``instance``: what to schedule (see :class:`SchedulingEnv`); ``mode``; ``observation``:
    ``"candidates"`` or ``"graph"``; ``limits``: padded ``jobs`` (and ``setup_rows`` in
    ``dispatch``); ``skip_forced``: play decisions with one candidate. In ``dispatch``: ``mask``:
    ``"all"`` (default), ``"emmons"``, ``"adjacent"``, and ``arrivals``: jobs are unknown before
    their release; in ``dispatch`` and ``decompose``:
    ``columns``: ``"full"`` or ``"minimal"``; in ``improve``: ``moves``, by default the number of
    jobs.

    With ``arrivals``, columns that speak of the waiting jobs speak of those that have arrived.

    Weights are refused by ``decompose``, release dates, setups and stochastic durations by
    ``decompose`` and ``improve``. Any sequence is replayed exactly by ``dispatch`` with the mask
    ``"all"`` and without arrivals, and by ``improve`` with the default of ``moves``. By
    ``decompose`` it is replayed at no greater cost, and is not expressible where every allowed
    place costs more.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {
        "dispatch": TardinessSimulator,
        "decompose": TardinessDecomposeSimulator,
        "improve": TardinessImproveSimulator,
    }


class TardinessVectorEnv(SchedulingVectorEnv):
    """Many :class:`TardinessEnv` in one simulator."""

    simulators = TardinessEnv.simulators


__all__ = [
    "FULL_COLUMNS",
    "GLOBAL_COLUMNS",
    "MINIMAL_COLUMNS",
    "TardinessDecomposeSimulator",
    "TardinessEnv",
    "TardinessImproveSimulator",
    "TardinessSimulator",
    "TardinessVectorEnv",
]
