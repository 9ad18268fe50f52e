"""Exact methods against enumeration, against each other and against proven optima."""

import csv
import itertools
import re

import numpy as np
import pytest
from brute_force import tardiness_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import stochastic_tardiness_instances, tardiness_instances

import gapgym
from gapgym.baselines import Status, tardiness_exact
from gapgym.baselines.tardiness_exact import Decomposition, exact, lagrangian, value_oracle
from gapgym.baselines.tardiness_precedence import precedence, respecting
from gapgym.baselines.tardiness_search import Deadline
from gapgym.baselines.tardiness_sublimation import Proof
from gapgym.baselines.tardiness_subset import subset_dp
from gapgym.instances.tardiness import TardinessInstance, best_known, generate, lower_bound, pvw
from gapgym.instances.tardiness_generators import weighted

PERMUTATIONS = {n: np.array(list(itertools.permutations(range(n)))) for n in range(1, 8)}


def costs(p, d, w=1):
    """``(n!,)`` total weighted tardiness of every sequence, in the order of PERMUTATIONS."""
    order = PERMUTATIONS[len(p)]
    late = np.maximum(np.cumsum(p[order], axis=1) - d[order], 0)
    return (np.broadcast_to(w, p.shape)[order] * late).sum(axis=1)


def tiny_jobs(seed, count):
    """Times, due dates and weights of few jobs, many of them equal."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n = int(rng.integers(1, 8))
        p = rng.integers(1, rng.choice([2, 3, 5, 10]), n)
        few, many = rng.integers(0, 4, n) * p.sum() // 4, rng.integers(-2, p.sum() + 2, n)
        yield p, few if rng.random() < 0.5 else many, rng.integers(0, rng.choice([2, 3, 6]), n)


def proven(result):
    assert result.status is Status.OPTIMAL
    assert result.bound == result.objective
    return result.objective


@settings(max_examples=150)
@given(instance=tardiness_instances() | stochastic_tardiness_instances())
def test_every_variant_is_solved_to_the_optimum(instance):
    expected = tardiness_optimum(instance)
    assert proven(exact(instance)) == expected
    assert proven(subset_dp(instance)) == expected


# Without weights.


def test_equal_times_and_due_dates_are_no_trap():
    """Thousands of instances whose longest job is not unique."""
    for p, d, _ in tiny_jobs(1, 2000):
        optimum = costs(p, d).min()
        assert value_oracle(p, d) == optimum, (p, d)
        assert proven(exact(TardinessInstance(p, d))) == optimum, (p, d)


def test_equal_weights_scale_and_jobs_without_weight_go_last():
    for p, d, w in tiny_jobs(2, 200):
        instance = TardinessInstance(p, d, 3 * (w > 0))
        assert proven(exact(instance)) == costs(p, d, 3 * (w > 0)).min()


@pytest.mark.parametrize("num_jobs", [30, 80])
def test_a_table_too_small_for_all_subproblems_costs_time_only(monkeypatch, num_jobs):
    instance = pvw(num_jobs, seed=3, tf=0.6, rdd=0.2)
    expected = proven(exact(instance))
    monkeypatch.setattr(tardiness_exact, "_SMALL_TABLE", 16)
    monkeypatch.setattr(tardiness_exact, "_LARGE_TABLE", 16)
    assert proven(exact(instance)) == expected


def test_a_search_in_small_slices_finds_the_same(monkeypatch):
    instance = pvw(60, seed=4, tf=0.4, rdd=0.2)
    expected = exact(instance)
    monkeypatch.setattr(tardiness_exact, "_SLICE", 0)
    search = Decomposition(instance.durations, instance.due_dates)
    pauses = sum(1 for _ in search.run(np.arange(60)))
    assert pauses > 100
    assert search.value == expected.objective
    assert search.sequence().tolist() == expected.solution.sequence.tolist()


@settings(max_examples=50)
@given(instance=tardiness_instances(plain=True, weighted=False), time=st.integers(0, 20))
def test_the_oracle_knows_the_value_from_any_time_on(instance, time):
    later = TardinessInstance(instance.processing_times, instance.due_dates - time)
    value = value_oracle(instance.processing_times, instance.due_dates, time)
    assert value == tardiness_optimum(later)


def test_the_oracle_is_the_best_first_job_plus_the_oracle_of_the_rest():
    rng = np.random.default_rng(5)
    for n in [2, 9, 14] * 20:
        p, d = rng.integers(1, 12, n), rng.integers(-5, 6 * n, n)
        time = int(rng.integers(-10, 40))
        after = [
            max(time + p[j] - d[j], 0)
            + value_oracle(np.delete(p, j), np.delete(d, j), time + int(p[j]))
            for j in range(n)
        ]
        assert value_oracle(p, d, time) == min(after)


def test_the_oracle_of_no_job_is_zero_and_wrong_jobs_are_refused():
    none = np.empty(0, dtype=np.int64)
    assert value_oracle(none, none, 5) == 0
    with pytest.raises(ValueError, match=re.escape("2 processing times and 1 due dates")):
        value_oracle(np.array([1, 2]), np.array([1]))
    with pytest.raises(ValueError, match="job 1: processing time 0, expected >= 1"):
        value_oracle(np.array([1, 0]), np.array([1, 1]))
    with pytest.raises(ValueError, match="due_dates: float64"):
        value_oracle(np.array([1, 2]), np.array([1.5, 2]))


# With weights.


def test_sublimation_agrees_with_enumeration():
    for p, d, w in tiny_jobs(3, 1000):
        assert proven(exact(TardinessInstance(p, d, w))) == costs(p, d, w).min(), (p, d, w)


def test_sublimation_agrees_with_subsets_on_more_jobs():
    for seed in range(12):
        instance = weighted(15, seed=seed, tf=(0.2, 0.4, 0.6, 0.8)[seed % 4])
        assert proven(exact(instance)) == proven(subset_dp(instance))


def test_a_proof_begun_above_the_optimum_finds_it():
    """Who drops too much would here prove what is not optimal."""
    for p, d, w in tiny_jobs(6, 600):
        value = int(costs(p, d, w + 1).min())
        if value > 0:
            proof = Proof(p, w + 1, d, value + 1)
            assert proof.run(Deadline(None))
            assert proof.best == value


@pytest.mark.parametrize("seed", range(6))
def test_a_proof_begun_far_above_the_optimum_finds_it(seed):
    instance = weighted(18, seed=seed, tf=(0.4, 0.6, 0.8)[seed % 3])
    value, found = proven(subset_dp(instance)), []
    arrays = (instance.durations, instance.weights, instance.due_dates)
    proof = Proof(*arrays, value + value // 10 + 1, found.append)
    assert proof.run(Deadline(None))
    assert proof.best == value
    assert sorted(found[-1].tolist()) == list(range(18))


def test_numbers_that_floats_would_round_are_bounded_but_not_proven():
    base = weighted(12, seed=1, tf=0.6, rdd=0.4)
    p, d, w = base.processing_times, base.due_dates, base.weights
    result = exact(TardinessInstance(p * 10**5, d * 10**5, w * 10**5))
    assert result.status is Status.FEASIBLE
    assert result.objective == exact(base).objective * 10**10
    assert 0 < result.bound < result.objective


# Limits.


@given(instance=tardiness_instances(plain=True))
def test_the_lagrangian_bound_is_a_bound(instance):
    result = lagrangian(instance)
    assert result.bound <= exact(instance).objective <= result.objective


def test_the_lagrangian_bound_is_close_to_the_optimum_of_larger_instances():
    for seed in range(4):
        instance = generate(30, seed=seed, kind="weighted", tf=0.6, rdd=0.4)
        result, optimum = lagrangian(instance), exact(instance).objective
        assert lower_bound(instance) < result.bound <= optimum
        assert result.bound >= 0.97 * optimum


def test_the_lagrangian_bound_refuses_setups():
    with pytest.raises(ValueError, match="lagrangian: release dates or setups, expected none"):
        lagrangian(TardinessInstance([1, 2], [1, 2], release_dates=[0, 3]))


def test_too_many_jobs_are_refused_with_what_can_do():
    many = generate(21, seed=0)
    p, d = many.processing_times, many.due_dates
    with pytest.raises(ValueError, match=r"^subset_dp: 21 jobs, expected 20 at most"):
        subset_dp(many)
    with pytest.raises(ValueError, match=r"^exact: 21 jobs with release dates, expected 20 at"):
        exact(TardinessInstance(p, d, release_dates=range(21)))
    with pytest.raises(ValueError, match=r"^exact: 21 jobs with setups.*cp_sat, beam and descent"):
        exact(TardinessInstance(p, d, setups=np.ones((22, 21), dtype=np.int64)))


def hard(kind):
    """An instance that takes more than a moment."""
    if kind == "plain":
        return pvw(500, seed=1, tf=0.6, rdd=0.2)
    if kind == "weighted":
        return weighted(150, seed=1, tf=0.4, rdd=0.4)
    rng = np.random.default_rng(0)
    p = rng.integers(1, 100, 20)
    return TardinessInstance(p, rng.integers(0, 900, 20), setups=rng.integers(0, 60, (21, 20)))


@pytest.mark.parametrize("kind", ["plain", "weighted", "setups"])
def test_out_of_time_exact_returns_its_best_and_a_bound(kind):
    instance = hard(kind)
    result = exact(instance, time_limit=0.05)
    assert result.status is Status.FEASIBLE
    assert lower_bound(instance) <= result.bound < result.objective


@pytest.mark.parametrize("kind", ["plain", "weighted", "setups"])
def test_interrupted_exact_returns_its_best(kind):
    def interrupt(incumbent):
        raise KeyboardInterrupt

    result = exact(hard(kind), on_incumbent=interrupt)
    assert result.status is Status.FEASIBLE
    assert result.objective == result.incumbents[-1].objective


# Precedence.


def test_some_optimal_sequence_respects_the_precedence_relation():
    for p, d, w in tiny_jobs(7, 2000):
        known = precedence(TardinessInstance(p, d, w))
        assert not (known & known.T).any()
        assert (known @ known <= known).all()
        position = np.argsort(PERMUTATIONS[len(p)], axis=1)
        respected = np.ones(len(position), dtype=bool)
        for i, j in np.argwhere(known):
            respected &= position[:, i] < position[:, j]
        everything = costs(p, d, w)
        assert everything[respected].min() == everything.min(), (p, d, w)


@given(instance=tardiness_instances(plain=True, max_jobs=7), data=st.data())
def test_a_sequence_made_to_respect_a_relation_does(instance, data):
    known = precedence(instance)
    jobs = np.array(data.draw(st.permutations(range(instance.num_jobs))))
    result = respecting(jobs, known)
    position = np.argsort(result)
    assert all(position[i] < position[j] for i, j in np.argwhere(known))
    assert respecting(result, known).tolist() == result.tolist()


def test_the_precedence_relation_decides_most_pairs_of_usual_instances():
    """Some 80 % without weights for these factors, as far as we have seen."""
    known = [precedence(pvw(40, seed=seed, tf=0.6, rdd=0.6)) for seed in range(5)]
    assert 0.6 < np.mean(known) / (39 / 80) < 0.95


# Proven optima.


def benchmark(folder, num_jobs):
    """Instances of the OR-Library file and their optima, with and without weights."""
    numbers = (folder / "tardiness" / f"wt{num_jobs}.txt").read_text().split()
    values = np.array(numbers, dtype=np.int64).reshape(125, 3, num_jobs)
    with open(folder / "tardiness" / "optima.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["n"]) == num_jobs]
    for (p, w, d), row in zip(values, rows, strict=True):
        yield p, w, d, int(row["wT_opt"]), int(row["T_opt_unweighted"])


@pytest.mark.data
@pytest.mark.parametrize("num_jobs", [40, 50, 100])
def test_unweighted_optima_of_the_or_library_are_proven(data_folder, num_jobs):
    for p, _, d, _, optimum in benchmark(data_folder, num_jobs):
        assert proven(exact(TardinessInstance(p, d))) == optimum


@pytest.mark.data
def test_weighted_optima_of_forty_jobs_are_proven(data_folder):
    for p, w, d, optimum, _ in benchmark(data_folder, 40):
        assert proven(exact(TardinessInstance(p, d, w))) == optimum


@pytest.mark.data
@pytest.mark.slow
def test_weighted_optima_of_fifty_jobs_are_proven(data_folder):
    for p, w, d, optimum, _ in benchmark(data_folder, 50):
        assert proven(exact(TardinessInstance(p, d, w))) == optimum


@pytest.mark.data
@pytest.mark.slow
def test_weighted_optima_of_a_hundred_jobs_are_proven_or_bounded(data_folder):
    for p, w, d, optimum, _ in list(benchmark(data_folder, 100))[::6]:
        result = exact(TardinessInstance(p, d, w), time_limit=30)
        assert result.objective == optimum
        assert 0.95 * optimum <= result.bound <= optimum


@pytest.mark.data
@pytest.mark.slow
def test_proofs_of_forty_jobs_begun_above_the_optimum_find_it(data_folder):
    for p, w, d, optimum, _ in benchmark(data_folder, 40):
        proof = Proof(p, w, d, optimum + 1)
        assert proof.run(Deadline(None))
        assert proof.best == optimum


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("num_jobs", [200, 250, 300])
def test_unweighted_optima_of_more_jobs_are_proven(data_folder, num_jobs):
    for p, _, d, _, optimum in benchmark(data_folder, num_jobs):
        assert proven(exact(TardinessInstance(p, d))) == optimum


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize(("num_jobs", "step"), [(100, 1), (500, 7)])
def test_the_optima_of_the_papers_sets_are_proven(num_jobs, step):
    for number in range(1, 201, step):
        instance = gapgym.load(f"tardiness/paper{num_jobs}_{number:03d}")
        assert proven(exact(instance)) == best_known(instance).upper
