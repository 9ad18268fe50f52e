import gymnasium as gym
import numpy as np
import pytest
from brute_force import allocation_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import allocations, mappings

import gapgym
from gapgym.baselines.memory_allocation import maximal_live_sets
from gapgym.instances import load
from gapgym.instances.memory_mapping import generate, lower_bound, objective

DROP = 0


@settings(max_examples=50)
@given(instance=allocations(max_buffers=4, max_size=4))
def test_search_and_cp_sat_prove_the_optimum(instance):
    optimum = allocation_optimum(instance)
    for name in ("search", "cp_sat"):
        options = {"deterministic": True} if name == "cp_sat" else {}
        result = gapgym.solve(instance, name, **options)
        assert (result.objective, result.bound, result.status) == (optimum, optimum, "optimal")


@given(instance=allocations(), form=st.sampled_from(["first", "best"]))
def test_greedy_fits_are_packings_of_any_order(instance, form):
    for order in ("size", "area", "duration", "start", "breadth", "conflicts"):
        result = gapgym.solve(instance, "greedy", order=order, fit=form)
        assert instance.load <= result.objective == objective(instance, result.solution)


@given(instance=allocations())
def test_maximal_live_sets_cover_every_conflict_once_and_no_other_pair(instance):
    sets = [set(found.tolist()) for found in maximal_live_sets(instance)]
    for i in range(instance.num_buffers):
        for j in range(i):
            conflict = (
                instance.lowers[i] < instance.uppers[j] and instance.lowers[j] < instance.uppers[i]
            )
            assert any({i, j} <= found for found in sets) is bool(conflict)
    assert not any(a < b for a in sets for b in sets)


@given(seed=st.integers(0, 50))
def test_the_skyline_solver_and_the_rule_agree(seed):
    instance = generate(20, seed=seed, kind="lifetimes")
    rule = gapgym.solve(instance, "lowest_floor")
    assert rule.objective >= instance.load
    env = gym.make("gapgym/MemoryAllocation-v0", instance=instance).unwrapped
    env.reset()
    total, done = 0.0, False
    while not done:
        _, reward, done, _, info = env.step(np.flatnonzero(env.action_masks())[0])
        total += reward
    peak = info["objective"]
    assert total == pytest.approx(-(peak - instance.load) / instance.load, abs=1e-9)


@given(instance=mappings())
def test_dropping_everything_takes_the_time_of_the_slow_memory(instance):
    env = gym.make("gapgym/MemoryMapping-v0", instance=instance).unwrapped
    env.reset()
    done = not env.action_masks().any()
    while not done:
        _, reward, done, _, info = env.step(DROP)
        assert reward == 0
        if done:
            assert info["objective"] == instance.slow_total


@pytest.mark.data
@pytest.mark.parametrize("name", ["rn18b1", "rn18b16", "tf4"])
def test_rules_save_time_on_traced_programs(data_folder, name):
    path = data_folder / "memory_mapping" / "traced" / f"{name}.json"
    instance = load(f"memory_mapping/{path}", capacity=0.25, size_scale=0.5)
    random, kept, greedy = (
        gapgym.solve(instance, solver) for solver in ("random", "no_copy", "greedy")
    )
    assert lower_bound(instance) <= greedy.objective < kept.objective < random.objective
    assert all(r.metrics["simulated"] <= 1.02 for r in (random, kept, greedy))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "share"), [("pangu_2.6B", 0.008), ("S_1", 0.03), ("resnet50", 0.01), ("G_1", 0.001)]
)
def test_the_skyline_is_near_the_load_of_large_instances(data_folder, name, share):
    result = gapgym.solve(load(f"memory_mapping/{name}"), "skyline")
    assert result.metrics["fragmentation"] <= share


@pytest.mark.data
@pytest.mark.parametrize("name", ["C", "F", "H"])
def test_search_packs_hard_instances_into_their_capacity(data_folder, name):
    result = gapgym.solve(load(f"memory_mapping/{name}"), "search", time_limit=20)
    assert result.objective <= 1048576
