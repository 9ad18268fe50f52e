"""The exact method against enumeration and the proven optima of public instances."""

import numpy as np
import pytest
from brute_force import tardiness_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import tardiness_instances

import gapgym
from gapgym.baselines import Status
from gapgym.baselines.tardiness_exact import exact, value_oracle
from gapgym.instances.tardiness import TardinessInstance, best_known


@settings(max_examples=150)
@given(instance=tardiness_instances())
def test_every_variant_is_solved_to_the_optimum(instance):
    result = exact(instance)
    assert result.status is Status.OPTIMAL
    assert result.objective == tardiness_optimum(instance)


def test_equal_times_and_due_dates_are_no_trap():
    """Thousands of instances whose longest job is not unique."""
    rng = np.random.default_rng(0)
    for _ in range(1500):
        n = int(rng.integers(1, 7))
        instance = TardinessInstance(rng.integers(1, 4, n), rng.integers(0, 3 * n, n))
        optimum = tardiness_optimum(instance)
        assert value_oracle(instance.processing_times, instance.due_dates) == optimum
        assert exact(instance).objective == optimum


@settings(max_examples=50)
@given(instance=tardiness_instances(plain=True, weighted=False), time=st.integers(0, 20))
def test_the_oracle_knows_the_value_from_any_time_on(instance, time):
    later = TardinessInstance(instance.processing_times, instance.due_dates - time)
    value = value_oracle(instance.processing_times, instance.due_dates, time)
    assert value == tardiness_optimum(later)


def test_too_many_jobs_with_weights_are_refused():
    weighted = TardinessInstance(np.full(40, 3), np.arange(40), weights=np.arange(40) % 3 + 1)
    with pytest.raises(ValueError, match="exact: 40 jobs with weights, expected"):
        exact(weighted)


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("name", ["t40", "t50", "t100"])
def test_unweighted_optima_of_the_or_library_are_proven(name):
    for number in range(1, 126):
        instance = gapgym.load(f"tardiness/{name}_{number:03d}")
        result = exact(instance)
        assert result.status is Status.OPTIMAL
        assert result.objective == best_known(instance).upper


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_the_papers_500_jobs_are_proven():
    for number in range(1, 201, 25):
        instance = gapgym.load(f"tardiness/paper500_{number:03d}")
        result = exact(instance)
        assert result.status is Status.OPTIMAL
        assert result.objective == best_known(instance).upper
