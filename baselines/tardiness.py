"""The classics of single-machine tardiness: dispatching rules as scores; all solvers by name.

The columns that the rules see, one value per job, in units of a positive constant of the instance:

- ``processing_time``: ``p``, the expected one;
- ``setup``: that of the job if it came next;
- ``due_date``: minus the time of the decision;
- ``ready``: release date minus the time of the decision, at least 0;
- ``weight``: as it is.

And of the decision: ``remaining``, the work of the unscheduled jobs, and
``mean_processing_time`` of them.

A rule decides among the released jobs; if there are none, among those released first, as of then. A
setup counts as part of its job's processing. Ties go to the job of the lowest number, except where
a rule says otherwise. Letters: ``p``, ``d``, ``w`` as usual, ``t`` the time. Koulamas 1994
(doi:10.1287/opre.42.6.1025) surveys the rules for total tardiness.

The same rules, built in another way (``tardiness_rules.py``), are the solvers of these names; the
scores are for environments, and a test compares the two. MDDC has no score: it adds a ratio of
times to a time, so it depends on the unit, which the columns do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps

import numpy as np

from ..instances.core import FloatArray
from . import tardiness_rules
from .registry import Oracle
from .rules import Columns, Rule, Score, uniform
from .solver import Solver
from .tardiness_cp import cp_sat
from .tardiness_exact import exact, lagrangian, least_cost
from .tardiness_search import beam, descent, dynasearch, iterated_dynasearch

#: Stands for a weight of 0 in a ratio or a logarithm.
_NO_WEIGHT = 1e-9

#: What a job that is released too late to come next scores, minus; far below all others.
_TOO_LATE = 1e12


@dataclass(frozen=True)
class Jobs:
    """The candidates at a decision, ``(B, A)``, NaN where there is none; see the module.

    Attributes:
        p: Processing times, with the setups; NaN also where the job is released too late.
        d: Due dates, minus the time.
        w: Weights.
        mean: ``(B, 1)`` mean processing time of the unscheduled jobs.
        work: ``(B, 1)`` their sum.
    """

    p: FloatArray
    d: FloatArray
    w: FloatArray
    mean: FloatArray
    work: FloatArray

    @property
    def slack(self) -> FloatArray:
        """``max(0, d - p)``, what is left if the job starts now."""
        return np.maximum(self.d - self.p, 0.0)


def _score(priority: Callable[[Jobs], FloatArray]) -> Score:
    """The score of columns that a priority of jobs gives, the largest first."""

    @wraps(priority)
    def score(c: Columns) -> FloatArray:
        ready = c["ready"]
        wait = np.nan_to_num(ready, nan=np.inf).min(axis=1, keepdims=True)
        wait = np.where(np.isinf(wait), 0.0, wait)  # no candidate: the episode has ended
        late, work = ready > wait, c["remaining"]
        jobs = Jobs(
            p=np.where(late, np.nan, c["processing_time"] + c["setup"]),
            d=c["due_date"] - wait,
            w=c["weight"],
            mean=work / _count(work, c["mean_processing_time"]),
            work=work,
        )
        return np.where(late, -_TOO_LATE, priority(jobs))

    return score


def _count(work: FloatArray, mean: FloatArray) -> FloatArray:
    """Number of unscheduled jobs: with it the mean, rounded in its column, is exact again."""
    return np.maximum(np.rint(work / np.where(mean > 0, mean, 1.0)), 1.0)


def _tie(score: FloatArray, key: FloatArray) -> FloatArray:
    """The score, a hair higher for those of the largest score whose key is the largest."""
    best = np.nan_to_num(score, nan=-np.inf).max(axis=1, keepdims=True)
    tied = np.where(score == best, key, -np.inf)
    return np.where(
        (score == best) & (tied == tied.max(axis=1, keepdims=True)),
        np.nextafter(score, np.inf),
        score,
    )


def edd(jobs: Jobs) -> FloatArray:
    """Earliest due date (Jackson 1955): optimal if one job at most is tardy."""
    return -jobs.d


def spt(jobs: Jobs) -> FloatArray:
    """Shortest processing time: optimal if all jobs are tardy in any sequence."""
    return -jobs.p


def wspt(jobs: Jobs) -> FloatArray:
    """Largest ``w / p`` (Smith 1956, doi:10.1002/nav.3800030106)."""
    return jobs.w / jobs.p


def mst(jobs: Jobs) -> FloatArray:
    """Minimum slack time, ``d - p - t``."""
    return -(jobs.d - jobs.p)


def mdd(jobs: Jobs) -> FloatArray:
    """Smallest modified due date ``max(p + t, d)`` (Baker and Bertrand 1982)."""
    return -np.maximum(jobs.p, jobs.d)


def wmdd(jobs: Jobs) -> FloatArray:
    """Smallest ``max(p, d - t) / w``.

    Kanet and Li 2004 (doi:10.1023/B:JOSH.0000036858.59787.c2).
    """
    return -np.maximum(jobs.p, jobs.d) / np.maximum(jobs.w, _NO_WEIGHT)


def psk(jobs: Jobs) -> FloatArray:
    """The rule of Panwalkar, Smith and Koulamas 1993 (doi:10.1016/0377-2217(93)90244-E).

    MDD, where the shorter job goes first in a tie: that gives their sequences' costs on all sets
    that we compared.
    """
    return _tie(mdd(jobs), -jobs.p)


def atc(jobs: Jobs) -> FloatArray:
    """Apparent tardiness cost, ``ln(w / p) - max(0, d - p - t) / (2 mean p)``.

    Vepsalainen and Morton 1987 (doi:10.1287/mnsc.33.8.1035), with the mean over the unscheduled
    jobs; the logarithm keeps what an exponential would round to 0.
    """
    return np.log(np.maximum(jobs.w, _NO_WEIGHT) / jobs.p) - jobs.slack / (2.0 * jobs.mean)


def covert(jobs: Jobs) -> FloatArray:
    """Cost over time, ``w / p max(0, 1 - max(0, d - p - t) / (2 p))`` (Carroll 1965).

    In ties, which are frequent at 0, the earlier due.
    """
    urgency = np.maximum(1.0 - jobs.slack / (2.0 * jobs.p), 0.0)
    return _tie(jobs.w / jobs.p * urgency, -jobs.d)


def montagne(jobs: Jobs) -> FloatArray:
    """Largest ``w (P - d) / p`` with ``P`` the end of all work (Montagne 1969)."""
    return jobs.w * (jobs.work - jobs.d) / jobs.p


RULES: Mapping[str, Mapping[str, Rule]] = {
    "tardiness": {
        "random": Rule(uniform, noise=1.0),
        "edd": Rule(_score(edd)),
        "spt": Rule(_score(spt)),
        "wspt": Rule(_score(wspt)),
        "mst": Rule(_score(mst)),
        "mdd": Rule(_score(mdd)),
        "wmdd": Rule(_score(wmdd)),
        "psk": Rule(_score(psk)),
        "atc": Rule(_score(atc)),
        "covert": Rule(_score(covert)),
        "montagne": Rule(_score(montagne)),
    }
}

SOLVERS: Mapping[str, Mapping[str, Solver]] = {
    "tardiness": {
        **tardiness_rules.SOLVERS,
        "descent": descent,
        "dynasearch": dynasearch,
        "iterated_dynasearch": iterated_dynasearch,
        "beam": beam,
        "cp_sat": cp_sat,
        "lagrangian": lagrangian,
        "exact": exact,
    }
}

ORACLES: Mapping[str, Oracle] = {"tardiness": least_cost}
