"""Rules that give a whole sequence: the list rules, and those that rearrange.

The list rules are those of ``tardiness.py``, built here from the definition by a kernel that knows
no simulator: the second witness, and quick for 10,000 jobs. Rules that rearrange a sequence see the
expected processing times; EDDC and Wilkerson and Irwin's rule see nothing else but due dates.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from ..instances.core import IntArray
from ..instances.tardiness import TardinessInstance, TardinessSolution, tardiness_factor
from . import tardiness_kernels as kernels
from .solver import Solver, solver

_CODES = {
    "edd": kernels.EDD,
    "spt": kernels.SPT,
    "wspt": kernels.WSPT,
    "mst": kernels.MST,
    "mdd": kernels.MDD,
    "wmdd": kernels.WMDD,
    "psk": kernels.PSK,
    "covert": kernels.COVERT,
    "montagne": kernels.MONTAGNE,
}

#: Reach of the rules that look ahead, in processing times.
_LOOK_AHEAD = 2.0


def _arrays(instance: TardinessInstance) -> tuple[IntArray, ...]:
    """``p, d, w, r, s`` as the kernels take them."""
    n = instance.num_jobs
    none = np.empty(0, dtype=np.int64), np.empty((0, n), dtype=np.int64)
    release = none[0] if instance.release_dates is None else instance.release_dates
    setups = none[1] if instance.setups is None else instance.setups
    arrays = (instance.processing_times, instance.due_dates, instance.weights, release, setups)
    return tuple(_read_only(array) for array in arrays)


def _read_only(array: IntArray) -> IntArray:
    """A view that cannot be written to: for Numba, those are another type."""
    view = array.view()
    view.flags.writeable = False
    return view


def _dispatched(instance: TardinessInstance, code: int, look_ahead: float) -> TardinessSolution:
    if not look_ahead > 0:
        raise ValueError(f"look_ahead {look_ahead}, expected > 0.")
    p, d, w, r, s = _arrays(instance)
    durations = _read_only(instance.durations)
    sequence = kernels.dispatch(code, float(look_ahead), p, d, w, durations, r, s)
    return TardinessSolution(sequence)


def _list_rule(name: str, code: int) -> Solver:
    def construct(instance: TardinessInstance) -> TardinessSolution:
        return _dispatched(instance, code, _LOOK_AHEAD)

    construct.__doc__ = f"The rule ``{name}``, see ``tardiness.py``, built by a kernel; O(n^2)."
    return solver(name=name)(construct)


@solver
def mddc(instance: TardinessInstance) -> TardinessSolution:
    """MDD challenger (Cetinkaya et al. 2025, arXiv:2510.24013), found by a language model.

    The smallest ``max(1.1 p + t, d) (1 + theta) + p / (t + mean p)`` with ``theta = rho^2 / (1 +
    rho^2)`` and ``rho = p / (t + max p)``, over the unscheduled jobs. In ties, the earlier due, as
    in the authors' program.
    """
    return _dispatched(instance, kernels.MDDC, _LOOK_AHEAD)


@solver
def atc(instance: TardinessInstance, *, look_ahead: float = _LOOK_AHEAD) -> TardinessSolution:
    """Apparent tardiness cost, see ``tardiness.py``, with ``look_ahead`` instead of 2."""
    return _dispatched(instance, kernels.ATC, look_ahead)


@solver
def au(instance: TardinessInstance, *, look_ahead: float | None = None) -> TardinessSolution:
    """Apparent urgency (Morton, Rachamadugu and Vepsalainen 1984): ATC with the mean of all jobs.

    Args:
        instance: The instance.
        look_ahead: By default 0.5 where the tardiness factor is below 0.3, 0.9 below 0.5, and else
            2, as in Crauwels, Potts and Van Wassenhove 1998 (doi:10.1287/ijoc.10.3.341).
    """
    if look_ahead is None:
        factor = tardiness_factor(instance)
        look_ahead = 0.5 if factor < 0.3 else 0.9 if factor < 0.5 else 2.0
    return _dispatched(instance, kernels.AU, look_ahead)


# Rules that rearrange.


@solver
def eddc(instance: TardinessInstance) -> TardinessSolution:
    """EDD challenger (Cetinkaya et al. 2025, arXiv:2510.24013), as run by its authors' program.

    From the SPT sequence (ties: earlier due), job after job moves forward past longer neighbours
    that are due later and not yet due where they begin. The pseudo-code that they print begins with
    the EDD sequence, which it does not change.
    """
    p, d, _, _, _ = _arrays(instance)
    sequence = np.lexsort((d, p))
    kernels.insert_early(sequence, p, d)
    return TardinessSolution(sequence)


@solver
def wi(instance: TardinessInstance) -> TardinessSolution:
    """Pairwise comparison with steps back (Wilkerson and Irwin 1971, AIIE Transactions 3).

    From the EDD sequence (ties: shorter first) neighbours are interchanged until every pair that
    begins at ``t`` is in EDD order, if ``t + max p <= max d`` of the two, and else in SPT order.
    """
    p, d, _, _, _ = _arrays(instance)
    sequence = np.lexsort((p, d))
    kernels.interchange(sequence, p, d, len(p) ** 2)
    return TardinessSolution(sequence)


@solver
def nbr(instance: TardinessInstance, *, time_limit: float | None = None) -> TardinessSolution:
    """Net benefit of relocation, after Holsenback and Russell 1992 (JORS 43).

    From the EDD sequence, position by position from the last to the first: while the job there is
    tardy, the earlier job moves to this position that saves most. The authors' conditions under
    which a move need not be tried are left out; weights count. O(n^2) for each move.
    """
    p, d, w, r, s = _arrays(instance)
    sequence = np.argsort(d, kind="stable")
    deadline = _deadline(time_limit)
    for k in range(len(p) - 1, 0, -1):
        last = k if instance.is_plain else len(p) - 1
        while kernels.completion(sequence, k, p, r, s) > d[sequence[k]]:
            if time.perf_counter() > deadline or not kernels.relocate(
                sequence, k, last, p, d, w, r, s
            ):
                break
    return TardinessSolution(sequence)


def _augmented(name: str, code: int) -> Solver:
    """A list rule, augmented (Bean and Hall, as used in arXiv:2510.24013); O(n^3).

    After each job that the rule appends, the earlier job moves to the end that saves most. After
    ``time_limit`` the rule goes on alone.
    """

    def construct(
        instance: TardinessInstance, *, time_limit: float | None = None
    ) -> TardinessSolution:
        p, d, w, r, s = _arrays(instance)
        left, deadline = np.arange(len(p)), _deadline(time_limit)
        sequence = np.full(len(p), -1, dtype=np.int64)
        t = previous = 0
        for k in range(len(p)):
            i = kernels.choose(code, _LOOK_AHEAD, left, previous, t, p, d, w, r, s)
            sequence[k] = left[i]
            left = np.delete(left, i)
            if time.perf_counter() < deadline:
                kernels.relocate(sequence, k, k, p, d, w, r, s)
            previous = int(sequence[k]) + 1
            t = kernels.completion(sequence, k, p, r, s)
        return TardinessSolution(sequence)

    construct.__doc__ = f"``{name}``: see :func:`_augmented`."
    return solver(name=name)(construct)


def _deadline(time_limit: float | None) -> float:
    return np.inf if time_limit is None else time.perf_counter() + time_limit


SOLVERS: Mapping[str, Solver] = {
    **{name: _list_rule(name, code) for name, code in _CODES.items()},
    "mddc": mddc,
    "atc": atc,
    "au": au,
    "eddc": eddc,
    "wi": wi,
    "nbr": nbr,
    "aug_mdd": _augmented("aug_mdd", kernels.MDD),
    "aug_mddc": _augmented("aug_mddc", kernels.MDDC),
}
