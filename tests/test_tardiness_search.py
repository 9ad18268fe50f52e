"""Searches, the dynamic programme over subsets and CP-SAT against enumeration and known optima."""

import functools
import itertools

import numpy as np
import pytest
from brute_force import tardiness_cost, tardiness_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import tardiness_instances

import gapgym
from gapgym.baselines import Status
from gapgym.baselines import cp_sat as engine
from gapgym.baselines import tardiness_search_kernels as kernels
from gapgym.baselines.tardiness_cp import MODELS, build_model, choose_model, cp_sat
from gapgym.baselines.tardiness_search import beam, descent, dynasearch, iterated_dynasearch
from gapgym.instances.tardiness import (
    TardinessInstance,
    TardinessSolution,
    best_known,
    generate,
    objective,
    pvw,
)

#: Search to the instances that it takes.
SEARCHES = {
    descent: tardiness_instances(),
    beam: tardiness_instances(),
    dynasearch: tardiness_instances(plain=True),
    iterated_dynasearch: tardiness_instances(plain=True),
}


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


# Dynasearch.


def neighbours(sequence):
    """All sequences that one swap or insertion makes, with the first and last position changed."""
    n = len(sequence)
    for i, j in itertools.combinations(range(n), 2):
        swapped = list(sequence)
        swapped[i], swapped[j] = swapped[j], swapped[i]
        yield swapped, i, j
        between = list(sequence[i + 1 : j])
        yield [*sequence[:i], *between, sequence[j], sequence[i], *sequence[j + 1 :]], i, j
        yield [*sequence[:i], sequence[j], sequence[i], *between, *sequence[j + 1 :]], i, j


def best_set_of_moves(instance, sequence):
    """What the best set of moves on disjoint intervals saves, by trying all."""
    cost = functools.partial(tardiness_cost, instance)

    @functools.cache
    def saved(current, first):
        gains = [0]
        for moved, i, j in neighbours(current):
            if i >= first:
                gain = cost(current) - cost(moved)
                gains.append(gain + saved(tuple(moved), j + 1))
        return max(gains)

    return saved(tuple(sequence), 0)


@settings(max_examples=60)
@given(instance=tardiness_instances(plain=True, max_jobs=6), data=st.data())
def test_a_round_of_dynasearch_makes_the_best_set_of_moves(instance, data):
    start = data.draw(st.permutations(range(instance.num_jobs)))
    sequence = np.array(start)
    jobs = (instance.durations, instance.weights, instance.due_dates)
    saved = kernels.dynasearch(sequence, *jobs)
    assert saved == best_set_of_moves(instance, start)
    assert tardiness_cost(instance, start) - tardiness_cost(instance, sequence) == saved
    assert kernels.cost(sequence, *jobs) == tardiness_cost(instance, sequence)


@pytest.mark.parametrize("search", [descent, dynasearch], ids=lambda s: s.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_descents_end_where_no_move_improves(search, seed):
    instance = pvw(18, seed=seed, tf=0.4, max_weight=5)
    assert is_local_optimum(instance, search(instance).solution.sequence)


@settings(max_examples=50)
@given(instance=tardiness_instances(max_jobs=7), data=st.data())
def test_descent_ends_where_no_move_improves_with_releases_and_setups(instance, data):
    start = TardinessSolution(data.draw(st.permutations(range(instance.num_jobs))))
    result = descent(instance, start=start)
    assert result.objective <= objective(instance, start)
    assert is_local_optimum(instance, result.solution.sequence)


def is_local_optimum(instance, sequence):
    value = tardiness_cost(instance, sequence.tolist())
    moved = (tardiness_cost(instance, order) for order, *_ in neighbours(sequence.tolist()))
    return all(other >= value for other in moved)


def test_kicks_and_restarts_help_on_the_whole():
    instances = [pvw(100, seed=seed, tf=0.6, rdd=0.4, max_weight=9) for seed in range(4)]

    def total(search, **options):
        return sum(search(instance, **options).objective for instance in instances)

    assert total(descent, kicks=100) < total(descent)
    few = total(iterated_dynasearch, kicks=2)
    assert total(iterated_dynasearch, kicks=200) < few
    assert total(iterated_dynasearch, kicks=2, restarts=30) < few


def test_searches_begin_at_the_given_sequence_and_keep_the_time_limit():
    instance = pvw(300, seed=2, tf=0.4, rdd=0.4, max_weight=9)
    start = TardinessSolution(np.arange(300))
    for search in SEARCHES:
        result = search(instance, start=start, time_limit=1e-6)
        assert result.incumbents[0].objective == objective(instance, start)
        assert result.seconds < 60


@pytest.mark.parametrize(
    ("search", "options", "message"),
    [
        (iterated_dynasearch, {"kicks": -1}, "iterated_dynasearch: kicks -1, expected an integer"),
        (iterated_dynasearch, {"restarts": 0.5}, "restarts 0.5, expected an integer >= 0"),
        (descent, {"kicks": True}, "descent: kicks True, expected an integer >= 0"),
        (beam, {"width": 0}, "beam: width 0, expected an integer >= 1"),
        (beam, {"branches": 0}, "beam: branches 0, expected an integer >= 1"),
    ],
)
def test_wrong_options_are_refused(search, options, message):
    with pytest.raises(ValueError, match=message):
        search(generate(5, seed=0), **options)


# Beam.


@settings(max_examples=60)
@given(instance=tardiness_instances(max_jobs=5))
def test_a_beam_wide_enough_is_exact(instance):
    assert beam(instance, width=200, branches=5).objective == tardiness_optimum(instance)


def test_a_wider_beam_is_better_on_the_whole():
    instances = [pvw(40, seed=seed, tf=0.4, rdd=0.2, max_weight=9) for seed in range(8)]
    narrow, wide = (sum(beam(i, width=k).objective for i in instances) for k in (1, 20))
    assert wide < narrow


# CP-SAT.


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=20)
@given(data=st.data())
def test_every_model_proves_the_optimum(model, data):
    plain = model in ("positional", "ordering")
    instance = data.draw(
        tardiness_instances(max_jobs=5, plain=plain, weighted=model != "positional")
    )
    result = cp_sat(instance, model=model, workers=1)
    assert result.status is Status.OPTIMAL
    assert result.objective == tardiness_optimum(instance)


@pytest.mark.parametrize("model", MODELS[1:])
@settings(max_examples=20)
@given(data=st.data())
def test_hints_are_complete_solutions_of_the_model(model, data):
    plain = model in ("positional", "ordering")
    instance = data.draw(tardiness_instances(plain=plain, weighted=model != "positional"))
    n = instance.num_jobs
    solution = TardinessSolution(data.draw(st.permutations(range(n))))
    built, variables = build_model(instance, model=model, known=np.zeros((n, n), dtype=bool))
    hint = {variable.index: value for variable, value in variables.hint(solution)}
    assert len(hint) == len(built.proto.variables)
    for variable, value in variables.hint(solution):
        built.add(variable == value)
    outcome = engine.minimise(built, workers=1)
    assert outcome.bound == objective(instance, solution)
    assert variables.solution(outcome.values) == solution


def test_a_constraint_of_the_user_holds():
    instance = pvw(8, seed=3, tf=0.6, rdd=0.4)
    free = np.zeros((8, 8), dtype=bool)
    built, variables = build_model(instance, model="ordering", known=free)
    for job in range(1, 8):
        built.add(variables.before[0, job] == 0)  # job 0 comes last
    outcome = engine.minimise(built, workers=1)
    expected = min(
        tardiness_cost(instance, (*order, 0)) for order in itertools.permutations(range(1, 8))
    )
    assert outcome.bound == expected
    assert variables.solution(outcome.values).sequence[-1] == 0


def test_the_model_suits_the_instance():
    assert choose_model(pvw(20, seed=0, tf=0.6, rdd=0.2)) == "positional"
    assert choose_model(pvw(20, seed=0, tf=0.4, rdd=0.8)) == "ordering"
    assert choose_model(pvw(20, seed=0, tf=0.4, rdd=0.2, max_weight=5)) == "ordering"
    assert choose_model(pvw(200, seed=0, tf=0.4, rdd=0.8)) == "positional"
    assert choose_model(pvw(200, seed=0, tf=0.4, max_weight=5)) == "intervals"
    assert choose_model(TardinessInstance([1, 2], [1, 1], release_dates=[0, 1])) == "intervals"


def test_models_that_do_not_apply_are_refused():
    released = TardinessInstance([1, 2], [1, 1], release_dates=[0, 1])
    with pytest.raises(ValueError, match="model 'ordering' with release dates or setups"):
        cp_sat(released, model="ordering")
    with pytest.raises(ValueError, match="model 'positional' with weights that differ"):
        build_model(TardinessInstance([1, 2], [1, 1], [1, 2]), model="positional")
    with pytest.raises(ValueError, match="model 'time', expected one of: auto, positional"):
        cp_sat(released, model="time")


@pytest.mark.parametrize(("tf", "rdd"), [(0.6, 0.2), (0.6, 0.6)])
def test_cp_sat_proves_twenty_jobs_without_weights(tf, rdd):
    instance = pvw(20, seed=1, tf=tf, rdd=rdd)
    result = cp_sat(instance, workers=1, time_limit=120)
    assert result.status is Status.OPTIMAL
    assert result.objective == gapgym.solve(instance, "exact").objective
