"""Pod packing's solvers against enumeration and against each other."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from strategies import pod_packings

import gapgym
from gapgym.baselines import Status
from gapgym.baselines.pod_packing import pending_after_default
from gapgym.baselines.pod_packing_cp import build_model
from gapgym.baselines.pod_packing_groups import settled
from gapgym.instances.pod_packing import (
    PodPackingInstance,
    PodPackingSolution,
    generate_paper,
    objective,
    validate,
    value_of,
)


def optimum(instance, *, budgets):
    """The best placement over all, those that take too many pods of a budget left out."""
    best = None
    for nodes in itertools.product(range(-1, instance.num_nodes), repeat=instance.num_pods):
        if budgets and any(out > allowed for out, allowed in taken(instance, nodes)):
            continue
        try:
            value = objective(instance, PodPackingSolution(list(nodes)))
        except ValueError:
            continue
        best = value if best is None else min(best, value)
    return best


def taken(instance, nodes):
    """Per budget: pods that leave their nodes, and how many may."""
    specs = [json.loads(text)["labels"] for text in instance.pod_specs]
    for text in instance.budgets:
        budget = json.loads(text)
        labels = budget["selector"]["matchLabels"]
        out = sum(
            now >= 0 and now != then and specs[c] == labels
            for now, then, c in zip(instance.current, nodes, instance.spec_of_pod, strict=True)
        )
        yield out, budget["allowed"]


@settings(max_examples=60)
@given(instance=pod_packings(max_workloads=3, max_replicas=2))
def test_cp_sat_proves_what_enumeration_finds(instance):
    result = gapgym.solve(instance, "cp_sat", time_limit=20, deterministic=True)
    assert result.status is Status.OPTIMAL
    assert result.objective == result.bound == optimum(instance, budgets=True)


@settings(max_examples=60)
@given(instance=pod_packings(max_workloads=3, max_replicas=2))
def test_repair_never_undercuts_the_optimum_and_respects_budgets(instance):
    best = optimum(instance, budgets=False)
    for name in ("greedy_repair", "lns", "kube_default", "fgd"):
        result = gapgym.solve(instance, name, **({"rounds": 30} if name == "lns" else {}))
        validate(instance, result.solution)
        assert result.objective >= best
        if name in ("greedy_repair", "lns"):
            nodes = result.solution.nodes
            assert all(out <= allowed for out, allowed in taken(instance, nodes))


@given(instance=pod_packings())
def test_exchanging_equal_pods_never_makes_a_placement_worse(instance):
    nodes = gapgym.solve(instance, "kube_default").solution.nodes
    better = settled(instance, nodes)
    assert value_of(instance, better) <= value_of(instance, nodes)


@pytest.mark.data
def test_the_papers_optima_are_found_and_proven(data_folder):
    goldens = json.loads((data_folder / "pod_packing/paper_goldens.json").read_text())
    proven = [g for g in goldens if g["place_first_optimum_high_to_low"]]
    assert len(proven) >= 5
    for golden in proven:
        n, p, k, u = (
            int(part.strip("abcdefghijklmnopqrstuvwxyz")) for part in golden["combo"].split("_")
        )
        instance = generate_paper(n, p, k, u / 100, seed=golden["seed"])
        result = gapgym.solve(instance, "cp_sat", time_limit=30, workers=2)
        placed = result.metrics["placed_per_priority"]
        expected = golden["place_first_optimum_high_to_low"]
        assert placed == expected[: len(placed)]


def test_place_first_is_never_below_its_start_nor_below_tiered_where_proven():
    for seed in range(4):
        start = pending_after_default(generate_paper(4, 16, 4, 0.95, seed=seed), seed=seed)
        repaired = gapgym.solve(start, "greedy_repair")
        first = gapgym.solve(start, "cp_sat", time_limit=10, workers=2)
        tiered = gapgym.solve(
            replace(start, objective="tiered"), "cp_sat", time_limit=10, workers=2
        )
        assert first.objective <= repaired.objective
        if first.status is Status.OPTIMAL and tiered.status is Status.OPTIMAL:
            placed = [r.metrics["placed_per_priority"] for r in (first, tiered)]
            assert placed[0] >= placed[1]


def test_repair_moves_swaps_and_evicts_where_only_that_helps():
    move = PodPackingInstance(
        capacities=[[4, 4, 9], [4, 4, 9]],
        requests=[[1, 1, 1], [3, 3, 1], [4, 4, 1]],
        priorities=[0, 0, 0],
        current=[0, 1, -1],
    )
    assert gapgym.solve(move, "greedy_repair").objective == (-3, 1)
    swap = PodPackingInstance(
        capacities=[[6, 6, 9], [7, 7, 9]],
        requests=[[4, 4, 1], [2, 2, 1], [2, 2, 1], [3, 3, 1], [2, 2, 1]],
        priorities=[0] * 5,
        current=[0, 1, 1, 1, -1],
    )
    assert gapgym.solve(swap, "greedy_repair").objective[0] == -5
    evict = PodPackingInstance(
        capacities=[[4, 4, 9]],
        requests=[[2, 2, 1], [1, 1, 1], [3, 3, 1]],
        priorities=[0, 1, 2],
        current=[0, 0, -1],
    )
    assert gapgym.solve(evict, "greedy_repair").objective == (-1, -1, 0, 0, 0, 2)


def test_a_pending_pod_has_to_be_placed_if_asked():
    full = PodPackingInstance(
        capacities=[[4, 4, 9]],
        requests=[[4, 4, 1], [4, 4, 1]],
        priorities=[1, 0],
        current=[0, -1],
        protected=[1, 0],
    )
    assert gapgym.solve(full, "cp_sat", place_one=True).status is Status.INFEASIBLE
    assert gapgym.solve(full, "cp_sat").status is Status.OPTIMAL


def test_the_model_can_be_extended_by_a_user():
    from gapgym.baselines import cp_sat as engine

    instance = generate_paper(3, 9, 1, 0.9, seed=5)
    model, variables = build_model(instance)
    model.add(sum(v for (_, j), v in variables.on.items() if j == 0) == 0)
    model.minimize(variables.levels[0])
    outcome = engine.minimise(model, time_limit=10, workers=2)
    nodes = variables.placement(instance, outcome.values)
    validate(instance, PodPackingSolution(nodes))
    assert 0 not in nodes
