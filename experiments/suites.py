"""Suites: small sets of instances on which solvers compare as they do on the full set.

An instance is a point: the gap of each solver there, as its rank among the solver's gaps on all
instances. A suite is a set of points that is distributed like all of them: its energy distance to
the full set (Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018) is minimised greedily, then by
exchanges. ``dev`` and ``test`` have no instance in common; ``smoke`` is a part of ``dev``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..instances.core import FloatArray, IntArray
from . import stats

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Suite:
    """A set of instances.

    Attributes:
        name: ``smoke``, ``dev`` or ``test``.
        instances: Their names.
        agreement: Kendall's tau between the solvers' mean ranks here and on the full set.
    """

    name: str
    instances: tuple[str, ...]
    agreement: float


def choose(frame: pd.DataFrame, smoke: int, dev: int, test: int) -> list[Suite]:
    """Three suites of a study's instances.

    Args:
        frame: Table of runs, see ``compare``.
        smoke: Number of instances in ``smoke``.
        dev: In ``dev``.
        test: In ``test``.

    Raises:
        ValueError: If there are too few instances or solvers.
    """
    table = stats.objectives(frame)
    table = table[table.notna().all(axis=1)]
    scores = stats.by_instance(frame.assign(distance=stats.distances(frame)), "distance")
    scores = scores.loc[table.index].fillna(np.inf)
    count, solvers = scores.shape
    if dev + test > count or not 1 <= smoke <= dev or test < 1:
        raise ValueError(
            f"suites of {smoke}, {dev} and {test} instances out of {count}, expected smoke <= dev"
            " and dev + test together at most all."
        )
    if solvers < 3:
        raise ValueError(f"{solvers} solvers, expected at least 3 to tell instances apart.")
    points = _points(scores.to_numpy())
    everyone = np.arange(count)
    in_dev = represent(points, everyone, dev)
    in_test = represent(points, np.setdiff1d(everyone, in_dev), test)
    in_smoke = represent(points, in_dev, smoke)
    names = list(scores.index)
    ranks = stats.ranks_within(table)
    return [
        Suite(name, tuple(names[i] for i in chosen), _agreement(ranks, chosen))
        for name, chosen in (("smoke", in_smoke), ("dev", in_dev), ("test", in_test))
    ]


def _points(scores: FloatArray) -> FloatArray:
    """``(n, solvers)`` ranks within each solver, in [0, 1]; equals share theirs."""
    from scipy.stats import rankdata

    ranks: FloatArray = (rankdata(scores, axis=0) - 0.5) / len(scores)
    return ranks


def represent(points: FloatArray, allowed: IntArray, size: int) -> IntArray:
    """Numbers of so many allowed points that are distributed like all points.

    Args:
        points: ``(n, d)``.
        allowed: Which may be chosen.
        size: How many.

    Returns:
        ``(size,)`` in ascending order.
    """
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    to_all = distance.mean(axis=1)
    chosen: list[int] = []
    for _ in range(size):
        rest = [i for i in allowed.tolist() if i not in chosen]
        chosen.append(min(rest, key=lambda i: _energy(distance, to_all, [*chosen, i])))
    return np.sort(_exchange(distance, to_all, chosen, allowed))


def _energy(distance: FloatArray, to_all: FloatArray, chosen: Sequence[int]) -> float:
    """Energy distance to the full set, without the term that does not depend on the choice."""
    return float(2 * to_all[chosen].mean() - distance[np.ix_(chosen, chosen)].mean())


def _exchange(
    distance: FloatArray, to_all: FloatArray, chosen: list[int], allowed: IntArray
) -> IntArray:
    """Exchange members for others as long as that helps."""
    best, improved = _energy(distance, to_all, chosen), True
    while improved:
        improved = False
        for place in range(len(chosen)):
            for other in allowed.tolist():
                if other in chosen:
                    continue
                tried = [*chosen[:place], other, *chosen[place + 1 :]]
                value = _energy(distance, to_all, tried)
                if value < best - 1e-12:
                    best, chosen, improved = value, tried, True
    return np.array(chosen, dtype=np.int64)


def _agreement(ranks: FloatArray, chosen: IntArray) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(ranks[chosen].mean(axis=0), ranks.mean(axis=0)).statistic)
