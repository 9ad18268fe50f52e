"""The classics of task graphs and job streams on a SoC: rules as scores; all solvers by name.

The columns that the rules of ``soc_dag`` see, one value per ready task and PE, in units of a
positive constant of the instance, from the start of the schedule: ``run_time``; ``start`` and
``finish``, the earliest ones; ``data_ready``; ``available``: when the PE is free; ``tail``: what
must follow the task; ``bound``: ``finish + tail``; ``rank_up``, ``static_level``,
``mean_run_time``; ``optimistic``: PEFT's cost; ``order`` in which tasks became ready.

Solvers of the same name, with their own construction, stand in ``soc_dag_lists.py``: where both
exist, the name means the construction, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..instances.core import FloatArray
from . import soc_dag_lists, soc_stream_cp
from .rules import Columns, Rule, uniform
from .soc_dag_cp import build_model, cp_sat, load_bound
from .soc_dag_search import heft_portfolio, local_search
from .solver import Solver

__all__ = ["RULES", "SOLVERS", "build_model", "load_bound"]


def min_eft(c: Columns) -> FloatArray:
    """Least finish time of all ready tasks and PEs."""
    return -c["finish"]


def etf(c: Columns) -> FloatArray:
    """Least start time, the larger static level in ties."""
    return _tie(-c["start"], c["static_level"])


def dls(c: Columns) -> FloatArray:
    """Largest dynamic level: static level minus start, plus mean run time minus that here."""
    return c["static_level"] - c["start"] + c["mean_run_time"] - c["run_time"]


def rank_eft(c: Columns) -> FloatArray:
    """The ready task of the largest upward rank, where it finishes first."""
    return _tie(c["rank_up"], -c["finish"])


def peft_rule(c: Columns) -> FloatArray:
    """The ready task of the largest upward rank, by finish plus optimistic cost."""
    return _tie(c["rank_up"], -(c["finish"] + c["optimistic"]))


def least_bound(c: Columns) -> FloatArray:
    """The ready task of the largest upward rank, on the PE of the least bound."""
    return _tie(c["rank_up"], -c["bound"])


def _tie(*keys: FloatArray) -> FloatArray:
    """Candidates by the first key, then by the next, as ranks; the largest first."""
    known = [np.nan_to_num(key, nan=-np.inf) for key in keys]
    order = np.lexsort(known[::-1], axis=1)
    rows = np.arange(len(order))[:, None]
    higher = np.zeros(order.shape, dtype=bool)
    for key in known:
        higher[:, 1:] |= key[rows, order][:, 1:] != key[rows, order][:, :-1]
    ranks = np.empty(order.shape)
    ranks[rows, order] = np.cumsum(higher, axis=1)
    return ranks


# Rules of streams. Further columns there: ``waiting``: how many tasks became ready since; of the
# task ``least_run_time``; of its job ``job_work``: what has no PE yet.


def met(c: Columns) -> FloatArray:
    """Minimum execution time: first ready, first served, on the fastest PE, the freest in ties."""
    return _tie(c["waiting"], -c["run_time"], -c["available"])


def stf(c: Columns) -> FloatArray:
    """Shortest task first, on its fastest PE."""
    return _tie(-c["least_run_time"], c["waiting"], -c["run_time"], -c["available"])


def eft(c: Columns) -> FloatArray:
    """Earliest finish time: first ready, first served, where it finishes first."""
    return _tie(c["waiting"], -c["finish"])


def srpt(c: Columns) -> FloatArray:
    """Shortest remaining processing time: the job of least work left, where it finishes first."""
    return _tie(-c["job_work"], c["rank_up"], -c["finish"])


#: Rules never wait.
_BUSY = {"wait": False}

RULES: Mapping[str, Mapping[str, Rule]] = {
    "soc_dag": {
        "random": Rule(uniform, noise=1.0),
        "min_eft": Rule(min_eft),
        "etf": Rule(etf),
        "dls": Rule(dls),
        "rank_eft": Rule(rank_eft),
        "rank_peft": Rule(peft_rule),
        "rank_bound": Rule(least_bound),
    },
    "soc_stream": {
        "random": Rule(uniform, _BUSY, noise=1.0),
        "met": Rule(met, _BUSY),
        "stf": Rule(stf, _BUSY),
        "eft": Rule(eft, _BUSY),
        "min_eft": Rule(min_eft, _BUSY),
        "rank_eft": Rule(rank_eft, _BUSY),
        "srpt": Rule(srpt, _BUSY),
    },
}

SOLVERS: Mapping[str, Mapping[str, Solver]] = {
    "soc_dag": {
        **soc_dag_lists.SOLVERS,
        "heft_portfolio": heft_portfolio,
        "local_search": local_search,
        "cp_sat": cp_sat,
    },
    "soc_stream": {
        "min_eft_plan": soc_stream_cp.min_eft_plan_solver,
        "rolling_cp_sat": soc_stream_cp.rolling_cp_sat,
        "cp_sat": soc_stream_cp.cp_sat,
    },
}
