"""Statistics of comparisons: averages with intervals, ranks, tests, profiles.

All start from the table of runs that ``compare`` returns. An instance counts once: the runs of its
seeds are averaged first. A run without a solution is worse than any with one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..instances.core import FloatArray, gap

if TYPE_CHECKING:
    import pandas as pd

Statistic = Callable[[FloatArray], float]

#: Resamples of a bootstrap.
_RESAMPLES = 2000


def by_instance(frame: pd.DataFrame, column: str = "gap") -> pd.DataFrame:
    """One row per instance, one column per solver: the mean of a column over the seeds.

    NaN where no run of the solver has the value, and where one of them has no solution.
    """
    lacking = frame["objective"].isna()
    values = frame[column].astype(float).where(~lacking, np.inf)
    means = frame.assign(value=values).pivot_table(
        index="instance", columns="solver", values="value", aggfunc="mean", sort=False
    )
    means = means.reindex(columns=list(frame["solver"].unique()))
    return means.replace(np.inf, np.nan)


def iqm(values: FloatArray) -> float:
    """The interquartile mean: that of the middle half, robust and yet of many values.

    Recommended for comparisons of learned policies by Agarwal et al. 2021 (arXiv:2108.13264).
    """
    from scipy.stats import trim_mean

    return float(trim_mean(values, 0.25)) if len(values) else math.nan


def interval(
    values: FloatArray,
    strata: Sequence[Any],
    statistic: Statistic = iqm,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """A percentile bootstrap interval of a statistic of instances.

    Instances are drawn with replacement within each stratum (e.g. a size), so that no resample has
    another mix of strata than the study.

    Args:
        values: ``(n,)`` one per instance, no NaN.
        strata: ``(n,)`` what each instance is one of.
        statistic: Of the values.
        level: Probability mass of the interval.
        seed: Seed of the resamples.
    """
    if not len(values):
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    _, kinds = np.unique(np.asarray(strata, dtype=str), return_inverse=True)
    members = [np.flatnonzero(kinds == kind) for kind in range(kinds.max() + 1)]
    found = [
        statistic(values[np.concatenate([rng.choice(group, len(group)) for group in members])])
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def objectives(frame: pd.DataFrame) -> pd.DataFrame:
    """Instances x solvers: tuples of the objective's levels, averaged over seeds.

    ``inf`` where a run has no solution, which is worse than any; ``None`` where the solver was not
    run on the instance.
    """
    import pandas as pd

    found: dict[str, dict[str, Any]] = {}
    for (name, solver), runs in frame.groupby(["instance", "solver"], sort=False):
        values = runs["objective"].tolist()
        levels = [value if isinstance(value, tuple) else (value,) for value in values]
        lacking = any(_missing(value) for value in values)
        mean = (math.inf,) if lacking else tuple(np.mean(np.array(levels, float), axis=0).tolist())
        found.setdefault(str(solver), {})[str(name)] = mean
    order = [str(solver) for solver in frame["solver"].unique()]
    table = pd.DataFrame({solver: pd.Series(found[solver], dtype=object) for solver in order})
    table = table.reindex(index=[str(name) for name in frame["instance"].unique()])
    return table.astype(object).where(table.notna(), None)


def win_tie_loss(frame: pd.DataFrame) -> pd.DataFrame:
    """How often the solver of a row beats, equals and loses to that of a column.

    The cells are triples, over the instances on which both were run; instances on which neither has
    a solution are ties.
    """
    import pandas as pd

    table = objectives(frame)
    cells: dict[str, list[tuple[int, int, int]]] = {}
    for other in table.columns:
        cells[other] = []
        for solver in table.columns:
            pairs = _both(table, solver, other)
            cells[other].append(
                (
                    sum(a < b for a, b in pairs),
                    sum(a == b for a, b in pairs),
                    sum(a > b for a, b in pairs),
                )
            )
    return pd.DataFrame(cells, index=list(table.columns))


def _both(table: pd.DataFrame, one: str, other: str) -> list[tuple[Any, Any]]:
    """The objectives of two solvers on the instances on which both were run."""
    pairs = zip(table[one], table[other], strict=True)
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def ranks_within(table: pd.DataFrame) -> FloatArray:
    """``(instances, solvers)`` ranks within each instance, 1 is best, equals share theirs.

    Args:
        table: See :func:`objectives`; no solver may lack an instance.
    """
    from scipy.stats import rankdata

    rows = []
    for values in table.itertuples(index=False):
        order = {value: place for place, value in enumerate(sorted(set(values)))}
        rows.append(rankdata([order[value] for value in values]))
    return np.array(rows).reshape(table.shape)


def distances(frame: pd.DataFrame) -> FloatArray:
    """Per run, how much its objective exceeds the study's best one of the instance, relatively.

    Infinite where that one is 0 and the run's is not; NaN without a solution. Of objectives that
    are tuples the first level that differs is compared, so that a difference at an earlier level
    counts like one at a later level.
    """
    best: dict[Any, Any] = {}
    for name, value in zip(frame["instance"], frame["objective"], strict=True):
        if not _missing(value):
            best[name] = min(best.get(name, value), value)
    found = [
        math.nan if _missing(value) else _excess(value, best[name])
        for name, value in zip(frame["instance"], frame["objective"], strict=True)
    ]
    return np.array(found, dtype=float)


def _excess(value: Any, best: Any) -> float:
    found = gap(value, best)
    return math.inf if math.isnan(found) else found


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True)
class Ranks:
    """The Friedman test and Nemenyi's critical difference (Demsar 2006, JMLR 7:1-30).

    Attributes:
        mean: Mean rank of each solver over the instances, 1 is best.
        p_value: Of the hypothesis that all solvers are equal; NaN for fewer than three solvers.
        critical_difference: Two solvers whose mean ranks differ by less are not told apart at 5 %.
        instances: Number of instances, of those on which all solvers were run.
    """

    mean: dict[str, float]
    p_value: float
    critical_difference: float
    instances: int


def ranks(frame: pd.DataFrame) -> Ranks:
    """Ranks of the solvers of a study, on the instances on which all were run."""
    from scipy.stats import friedmanchisquare

    table = objectives(frame)
    table = table[table.notna().all(axis=1)]
    ranked = ranks_within(table)
    count, solvers = ranked.shape
    p_value = math.nan
    if solvers > 2 and count > 1 and not (ranked == ranked[:, :1]).all():
        p_value = float(friedmanchisquare(*ranked.T).pvalue)
    means = [math.nan] * solvers if count == 0 else ranked.mean(axis=0).tolist()
    names = dict(zip(table.columns, means, strict=True))
    return Ranks(names, p_value, critical_difference(solvers, count), count)


def critical_difference(solvers: int, instances: int, level: float = 0.05) -> float:
    """Nemenyi's: ``q sqrt(k (k + 1) / 6 N)``; NaN for fewer than two solvers."""
    from scipy.stats import studentized_range

    if solvers < 2 or instances < 1:
        return math.nan
    q = studentized_range.ppf(1 - level, solvers, math.inf) / math.sqrt(2)
    return float(q * math.sqrt(solvers * (solvers + 1) / (6 * instances)))


def wilcoxon_holm(frame: pd.DataFrame) -> dict[tuple[str, str], float]:
    """p-values of Wilcoxon's signed-rank tests of all pairs of solvers, corrected by Holm.

    Of the relative differences ``(a - b) / max(|a|, |b|)`` of two solvers' objectives, at the first
    level that differs, over the instances on which both have a solution.
    """
    from scipy.stats import wilcoxon

    table, raw = objectives(frame), {}
    for first, second in itertools.combinations(table.columns, 2):
        pairs = [(a, b) for a, b in _both(table, first, second) if math.inf not in (*a, *b)]
        differences = np.array([_relative(a, b) for a, b in pairs])
        raw[first, second] = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    return holm(raw)


def _relative(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    a, b = next(((a, b) for a, b in zip(one, other, strict=True) if a != b), (0.0, 0.0))
    return 0.0 if a == b else (a - b) / max(abs(a), abs(b))


def holm(raw: dict[Any, float]) -> dict[Any, float]:
    """p-values adjusted for their number (Holm 1979): none of them is smaller than before."""
    adjusted, largest = {}, 0.0
    for at, key in enumerate(sorted(raw, key=lambda name: raw[name])):
        largest = max(largest, min(1.0, (len(raw) - at) * raw[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in raw}


# Trails.


def seconds_to(incumbents: Sequence[tuple[float, Any]], reference: Any, tolerance: float) -> float:
    """When a run first had a solution within a gap to a reference; infinite if it never had.

    Args:
        incumbents: ``(seconds, objective)`` of the improving solutions.
        reference: Best known objective.
        tolerance: The gap, 0.01 for one per cent.
    """
    for seconds, objective in incumbents:
        if _excess(objective, reference) <= tolerance:
            return seconds
    return math.inf


def primal_integral(incumbents: Sequence[tuple[float, Any]], reference: Any, end: float) -> float:
    """Mean over time of the primal gap (Berthold 2013, doi:10.1016/j.orl.2013.08.007).

    The primal gap is 1 before the first solution, then ``|z - z*| / max(|z|, |z*|)``. 0 is
    perfect, 1 the worst.

    Args:
        incumbents: ``(seconds, objective)`` of the improving solutions.
        reference: Best known objective ``z*``.
        end: Seconds that count.
    """
    if end <= 0:
        return math.nan
    area, since, now = 0.0, 0.0, 1.0
    for seconds, objective in incumbents:
        at = min(seconds, end)
        area += now * (at - since)
        since, now = at, _primal_gap(objective, reference)
    return (area + now * (end - since)) / end


def _primal_gap(objective: Any, reference: Any) -> float:
    """At the first level that differs, where objectives are tuples."""
    pairs = [(objective, reference)]
    if isinstance(objective, tuple):
        pairs = list(zip(objective, reference, strict=True))
    z, best = next(((a, b) for a, b in pairs if a != b), (0, 0))
    if z <= best:
        return 0.0
    return 1.0 if z * best <= 0 else min(1.0, abs(z - best) / max(abs(z), abs(best)))


def expected_best(values: Sequence[float]) -> FloatArray:
    """Expected least value of ``k`` settings drawn without replacement, for ``k = 1, 2, ..., n``.

    What a tuning budget of ``k`` settings buys (Dodge et al. 2019, arXiv:1909.03004).
    """
    ordered, n = np.sort(np.asarray(values, dtype=float)), len(values)
    return np.array(
        [
            sum(ordered[i] * math.comb(n - 1 - i, k - 1) for i in range(n - k + 1))
            / math.comb(n, k)
            for k in range(1, n + 1)
        ]
    )
