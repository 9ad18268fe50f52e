"""VM rescheduling: the heuristics on the public snapshots and on generated clusters."""

import pytest
from brute_force import vm_optimum
from hypothesis import given, settings
from strategies import vm_clusters

import gapgym
from gapgym.baselines import Status
from gapgym.baselines.cp_sat import minimise
from gapgym.baselines.vm_rescheduling_cp import build_model, cp_sat
from gapgym.instances.vm_rescheduling import generate, objective


@pytest.mark.data
@pytest.mark.parametrize(("mnl", "greedy", "annealed"), [(25, 22, 22), (50, 27, 33)])
def test_the_medium_snapshot_gives_the_measured_slots(data_folder, mnl, greedy, annealed):
    one = gapgym.load("vm_rescheduling/medium", mnl=mnl)
    assert gapgym.solve(one, "filter_score").metrics["slots"] == 17
    assert gapgym.solve(one, "potential_greedy").metrics["slots"] >= greedy
    assert gapgym.solve(one, "annealing").metrics["slots"] >= annealed


@pytest.mark.parametrize("seed", range(3))
def test_the_ladder_holds(seed):
    one = generate(60, seed=seed)
    names = ("random", "filter_score", "potential_greedy", "annealing")
    rates = [gapgym.solve(one, name).metrics["fragment_rate"] for name in names]
    assert rates[0] >= rates[1]
    assert rates[1:] == sorted(rates[1:], reverse=True)


@settings(max_examples=60)
@given(cluster=vm_clusters())
def test_the_bound_of_cp_sat_is_below_every_plan(cluster):
    result = cp_sat(cluster, time_limit=5, workers=1)
    best = vm_optimum(cluster)
    assert result.bound <= best <= result.objective
    if result.status is Status.OPTIMAL:
        assert result.objective == best


@settings(max_examples=60)
@given(cluster=vm_clusters())
def test_a_plan_is_a_complete_hint_of_no_other_cost(cluster):
    """With all variables at the hint, the model's only solution costs what the plan does."""
    plan = gapgym.solve(cluster, "annealing", time_limit=1).solution
    model, variables = build_model(cluster)
    outcome = minimise(
        model,
        hint=variables.hint(cluster, plan),
        workers=1,
        parameters={"fix_variables_to_their_hinted_value": True},
    )
    assert outcome.status is Status.OPTIMAL
    assert outcome.bound <= objective(cluster, plan)  # a VM that moved twice counts once
    if cluster.goal is None:
        assert outcome.bound == objective(cluster, plan)


def test_most_small_clusters_are_solved_to_the_proof():
    results = [cp_sat(generate(10, seed=s, mnl=4), time_limit=20, workers=8) for s in range(8)]
    assert sum(result.status is Status.OPTIMAL for result in results) >= 6


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_the_optimum_of_the_medium_snapshot_is_proven():
    """24 slots at 25 migrations, as in the research on this snapshot."""
    result = gapgym.solve(gapgym.load("vm_rescheduling/medium", mnl=25), "cp_sat", time_limit=300)
    assert result.metrics["slots"] == 24
    assert result.status is Status.OPTIMAL
