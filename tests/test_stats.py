import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapgym.experiments import stats


def frame(objectives, instances=None):
    """A table of runs: solver to its objective on each instance."""
    count = len(next(iter(objectives.values())))
    rows = [
        {"instance": f"i{i}", "solver": solver, "seed": 0, "objective": value, "group": ""}
        for solver, values in objectives.items()
        for i, value in zip(instances or range(count), values, strict=True)
    ]
    return pd.DataFrame(rows).assign(gap=lambda table: stats.distances(table))


def test_seeds_of_an_instance_are_averaged_and_a_run_without_a_solution_spoils_them():
    table = pd.DataFrame(
        {
            "instance": ["a", "a", "b", "b"],
            "solver": "x",
            "objective": [1, 2, 3, None],
            "gap": [0.1, 0.3, 0.2, math.nan],
        }
    )
    means = stats.by_instance(table)
    assert means.loc["a", "x"] == pytest.approx(0.2)
    assert math.isnan(means.loc["b", "x"])


def test_the_interquartile_mean_is_that_of_the_middle_half():
    assert stats.iqm(np.array([100.0, 1, 2, 3, 4, -50, 2, 3])) == pytest.approx(2.5)


def test_an_interval_holds_the_statistic_and_shrinks_with_the_number_of_instances():
    rng = np.random.default_rng(0)
    few, many = rng.normal(1, 1, 20), rng.normal(1, 1, 2000)
    (low, high), (lower, higher) = (
        stats.interval(values, [""] * len(values), np.mean) for values in (few, many)
    )
    assert low < few.mean() < high
    assert lower < many.mean() < higher
    assert higher - lower < (high - low) / 3
    # A mean of 2,000 values of deviation 1: 2 x 1.96 / sqrt(2000).
    assert higher - lower == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.15)


def test_strata_keep_their_shares_in_every_resample():
    values = np.array([0.0] * 10 + [1.0] * 30)
    strata = ["easy"] * 10 + ["hard"] * 30
    assert stats.interval(values, strata, np.mean) == (0.75, 0.75)


def test_wins_ties_and_losses_are_counted():
    table = stats.win_tie_loss(frame({"x": [1, 5, 5, None], "y": [2, 5, 4, 7]}))
    assert table.loc["x", "y"] == (1, 1, 2)
    assert table.loc["y", "x"] == (2, 1, 1)


def test_where_nothing_is_tardy_solvers_are_still_told_apart():
    table = frame({"x": [0, 0, 0], "far": [1000, 10, 7], "near": [1, 2, 3], "none": [None] * 3})
    assert stats.ranks(table).mean == {"x": 1.0, "far": 3.0, "near": 2.0, "none": 4.0}
    assert stats.win_tie_loss(table).loc["near", "far"] == (3, 0, 0)


def test_a_solver_that_was_not_run_has_not_lost():
    table = frame({"x": [1, 2, 3, 4], "y": [1, 2, 3, 4]})
    table = table[~((table["solver"] == "y") & table["instance"].isin(["i2", "i3"]))]
    assert stats.win_tie_loss(table).loc["x", "y"] == (0, 2, 0)
    found = stats.ranks(table)
    assert found.instances == 2
    assert found.mean == {"x": 1.5, "y": 1.5}


def test_tuples_are_compared_level_by_level():
    table = frame({"x": [(1, 9)], "y": [(2, 0)]})
    assert stats.win_tie_loss(table).loc["x", "y"] == (1, 0, 0)


def test_the_critical_difference_is_that_of_demsar():
    """Demsar 2006, example of section 3.2.2: four classifiers on 14 data sets, 1.25."""
    assert stats.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    # his table 5(a), q for 2..10 classifiers
    published = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for solvers, q in zip(range(2, 11), published, strict=True):
        scale = math.sqrt(solvers * (solvers + 1) / 6)
        assert stats.critical_difference(solvers, 1) / scale == pytest.approx(q, abs=2e-3)


def test_mean_ranks_share_ties_and_put_runs_without_a_solution_last():
    found = stats.ranks(frame({"x": [1, 3, 5], "y": [2, 3, None], "z": [3, 4, 4]}))
    assert found.mean == pytest.approx({"x": 1.5, "y": 6.5 / 3, "z": 7 / 3})
    assert found.instances == 3
    assert 0 < found.p_value <= 1


def test_equal_solvers_have_no_p_value():
    assert math.isnan(stats.ranks(frame({"x": [1, 2], "y": [1, 2], "z": [1, 2]})).p_value)


def test_holms_correction_of_his_steps():
    raw = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    assert stats.holm(raw) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


def test_a_clear_difference_is_significant_and_none_is_not():
    good = list(range(10, 30))
    table = frame({"x": good, "same": good, "worse": [value * 2 for value in good]})
    p = stats.wilcoxon_holm(table)
    assert p["x", "same"] == 1.0
    assert p["x", "worse"] < 0.001


def test_primal_integral_of_a_hand_made_trail():
    trail = [(1.0, 200), (3.0, 100)]
    # 1 for one second, 0.5 for two, 0 for one
    assert stats.primal_integral(trail, 100, 4.0) == pytest.approx(0.5)
    assert stats.primal_integral([], 100, 4.0) == 1.0
    assert stats.primal_integral([(0.0, (5, 4))], (5, 2), 1.0) == pytest.approx(0.5)
    assert stats.seconds_to(trail, 100, 0.5) == 3.0
    assert stats.seconds_to(trail, 100, 1.0) == 1.0
    assert stats.seconds_to(trail, 90, 0.01) == math.inf


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_the_expected_best_is_the_mean_over_all_choices(values):
    found = stats.expected_best(values)
    for k in range(1, len(values) + 1):
        choices = [min(chosen) for chosen in itertools.combinations(values, k)]
        assert found[k - 1] == pytest.approx(sum(choices) / len(choices))
