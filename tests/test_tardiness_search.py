"""Searches, the dynamic programme over subsets and CP-SAT against enumeration and known optima."""

import numpy as np
import pytest
from brute_force import tardiness_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import tardiness_instances

import gapgym
from gapgym.baselines import Status
from gapgym.baselines.tardiness_cp import cp_sat
from gapgym.baselines.tardiness_search import beam, descent, dynasearch, iterated_dynasearch
from gapgym.baselines.tardiness_subset import subset_dp
from gapgym.instances.tardiness import TardinessInstance, best_known

#: Search to the instances that it takes.
SEARCHES = {
    descent: tardiness_instances(),
    beam: tardiness_instances(),
    dynasearch: tardiness_instances(plain=True),
    iterated_dynasearch: tardiness_instances(plain=True),
}


@settings(max_examples=150)
@given(instance=tardiness_instances())
def test_subsets_are_enumerated_to_the_optimum(instance):
    result = subset_dp(instance)
    assert result.status is Status.OPTIMAL
    assert result.objective == tardiness_optimum(instance)


@settings(max_examples=25)
@given(instance=tardiness_instances(max_jobs=4))
def test_cp_sat_proves_the_optimum_of_every_variant(instance):
    result = cp_sat(instance, time_limit=20, deterministic=True)
    assert result.status is Status.OPTIMAL
    assert result.objective == tardiness_optimum(instance)


@pytest.mark.parametrize("search", SEARCHES, ids=lambda solver: solver.__name__)
@settings(max_examples=50)
@given(data=st.data(), seed=st.integers(0, 9))
def test_searches_are_never_below_the_optimum_and_repeat(search, data, seed):
    instance = data.draw(SEARCHES[search])
    first, second = search(instance, seed=seed), search(instance, seed=seed)
    assert first.objective >= tardiness_optimum(instance)
    assert first.solution == second.solution


@pytest.mark.parametrize("search", [dynasearch, iterated_dynasearch], ids=lambda s: s.__name__)
def test_dynasearch_refuses_what_its_gains_do_not_hold_for(search):
    released = TardinessInstance([2, 3], [1, 1], release_dates=[0, 4])
    with pytest.raises(ValueError, match="release"):
        search(released)


def test_iterated_dynasearch_reaches_the_optimum_of_tiny_instances():
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(100):
        n = int(rng.integers(2, 7))
        p, d, w = rng.integers(1, 9, n), rng.integers(0, 4 * n, n), rng.integers(1, 5, n)
        instance = TardinessInstance(p, d, weights=w)
        missed += iterated_dynasearch(instance, kicks=100).objective > tardiness_optimum(instance)
    assert missed == 0


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("number", range(1, 126, 4))
def test_iterated_dynasearch_reaches_the_weighted_optima_of_the_or_library(number):
    instance = gapgym.load(f"tardiness/wt40_{number:03d}")
    result = iterated_dynasearch(instance, seed=1)
    assert result.objective == best_known(instance).upper
