import json
from pathlib import Path

import gymnasium as gym
import networkx as nx
import numpy as np
import pytest
from brute_force import job_shop_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from job_shop_witness import Witness
from strategies import job_shops, stochastic_job_shops

import gapgym
from gapgym.envs.job_shop import FULL_COLUMNS, MINIMAL_COLUMNS, JobShopSimulator
from gapgym.envs.job_shop_kernels import REALISED, START
from gapgym.envs.simulator import NotExpressible
from gapgym.instances.job_shop import (
    JobShopInstance,
    JobShopSolution,
    job_bound,
    machine_bound,
    objective,
    uniform,
    validate,
)

#: A makespan-optimal order of the jobs on each machine of ta01, found and proven by CP-SAT.
TA01_ORDERS = Path(__file__).parent / "ta01_optimal.json"

SCHEDULES = [("active", 1.0), ("delta", 0.4), ("non-delay", 1.0), ("semi-active", 1.0)]
each_schedule = pytest.mark.parametrize(("schedule", "delta"), SCHEDULES)


#: Whoever keeps machine 0 waiting for a tick wins.
WAITING = JobShopInstance.from_lists([[(1, 1), (0, 2), (2, 9)], [(0, 8), (1, 1)]])


def simulate(instance, **options):
    simulator = JobShopSimulator(1, JobShopSimulator.measure(instance), **options)
    simulator.load([0], [instance])
    simulator.begin()
    return simulator


@each_schedule
@settings(max_examples=60)
@given(instance=job_shops(max_jobs=5, max_operations=5), seed=st.integers(0, 99))
def test_incremental_view_equals_a_recomputation_from_scratch(instance, schedule, delta, seed):
    simulator = simulate(instance, schedule=schedule, delta=delta)
    witness = Witness(instance, schedule, delta)
    assert simulator.view["initial_value"][0] == witness.initial_value
    rng = np.random.default_rng(seed)
    while simulator.live()[0]:
        available = np.flatnonzero(simulator.view["action_mask"][0]).tolist()
        assert available == witness.available()
        assert simulator.view["value"][0] == witness.value
        columns = simulator.columns()
        for name, value in witness.globals().items():
            assert columns[name][0, 0] == np.float32(value), name
        for j in available:
            for name, value in witness.columns(j).items():
                assert columns[name][0, j] == np.float32(value), (name, j)
        j = int(rng.choice(available))
        simulator.step([j])
        witness.dispatch(j)
        assert simulator.view["value"][0] == witness.value
    assert not witness.unfinished()
    assert simulator.cost(0) == max(end for *_, end in witness.scheduled)


def test_the_witness_knows_every_column():
    witness = Witness(uniform(3, 3, seed=0))
    assert set(witness.columns(witness.available()[0])) == set(FULL_COLUMNS)
    assert set(witness.globals()) == set(JobShopSimulator.global_columns)


@given(instance=job_shops())
def test_root_value_is_the_better_of_job_and_machine_bound(instance):
    simulator = simulate(instance)
    bound = max(job_bound(instance), machine_bound(instance))
    assert simulator.view["initial_value"][0] == bound


@given(instance=job_shops(max_jobs=4, max_operations=4), seed=st.integers(0, 99))
def test_the_value_never_falls(instance, seed):
    simulator = simulate(instance)
    rng, values = np.random.default_rng(seed), [simulator.view["value"][0]]
    while simulator.live()[0]:
        simulator.step([rng.choice(np.flatnonzero(simulator.view["action_mask"][0]))])
        values.append(simulator.view["value"][0])
        assert simulator.view["reward"][0] <= 0
    assert values == sorted(values)


def reachable_makespans(simulator):
    """The makespans of all schedules that the masks allow."""
    if not simulator.live()[0]:
        return {int(simulator.cost(0))}
    found, saved = set(), simulator.save([0])
    for j in np.flatnonzero(simulator.view["action_mask"][0]):
        simulator.step([j])
        found |= reachable_makespans(simulator)
        simulator.restore([0], saved)
    return found


@pytest.mark.parametrize("schedule", ["active", "semi-active"])
@settings(max_examples=60)
@given(instance=job_shops(max_jobs=3, max_machines=3, max_operations=3))
def test_the_class_keeps_an_optimum(instance, schedule):
    makespans = reachable_makespans(simulate(instance, schedule=schedule))
    assert min(makespans) == job_shop_optimum(instance)


def test_non_delay_schedules_may_exclude_every_optimum():
    """Job 1 takes machine 0 a tick before job 0, which has the long tail, arrives."""
    assert job_shop_optimum(WAITING) == 12
    assert min(reachable_makespans(simulate(WAITING, schedule="active"))) == 12
    assert min(reachable_makespans(simulate(WAITING, schedule="non-delay"))) == 19


@given(instance=job_shops(max_jobs=3, max_operations=3), seed=st.integers(0, 99))
def test_active_schedules_are_replayed_exactly(instance, seed):
    simulator = simulate(instance)
    rng = np.random.default_rng(seed)
    while simulator.live()[0]:
        simulator.step([rng.choice(np.flatnonzero(simulator.view["action_mask"][0]))])
    schedule = simulator.solution(0)
    simulator.replay([schedule])
    assert simulator.cost(0) == objective(instance, schedule)


@given(instance=job_shops(max_jobs=4, max_operations=4), seed=st.integers(0, 999))
def test_any_feasible_schedule_is_replayed_and_not_made_worse(instance, seed):
    """Schedules with idle time: random orders, each operation started up to 9 ticks late."""
    rng = np.random.default_rng(seed)
    start = np.full(instance.machines.shape, -1)
    ready, free = np.zeros(instance.num_jobs, int), np.zeros(instance.num_machines, int)
    for j in rng.permutation(np.repeat(np.arange(instance.num_jobs), instance.num_operations)):
        k = np.count_nonzero(start[j] >= 0)
        m = instance.machines[j, k]
        start[j, k] = max(ready[j], free[m]) + rng.integers(0, 10)
        ready[j] = free[m] = start[j, k] + instance.durations[j, k]
    schedule = JobShopSolution(start)
    validate(instance, schedule)
    for option in ("active", "semi-active"):
        simulator = simulate(instance, schedule=option)
        simulator.replay([schedule])
        validate(instance, simulator.solution(0))
        assert simulator.cost(0) <= objective(instance, schedule)


def test_replaying_an_optimal_schedule_of_ta01_gives_1231():
    instance = gapgym.load("job_shop/ta01")
    schedule = JobShopSolution.from_json(json.loads(TA01_ORDERS.read_text()))
    validate(instance, schedule)
    env = gym.make("gapgym/JobShop-v0", instance="ta01")
    env.reset()
    total, done, simulator = 0.0, False, env.unwrapped.simulator
    while not done:
        _, reward, done, _, info = env.step(simulator.guide(schedule, 0))
        total += reward
    assert info["objective"] == 1231
    assert info["gap"] == 0
    assert total == pytest.approx(-(1231 - 1005) / 1005)


def test_an_operation_without_duration_may_go_before_one_that_could_start_earlier():
    """At the conflict of job 0's operation and job 1's, which takes no time, both are allowed."""
    instance = JobShopInstance.from_lists([[(0, 10)], [(1, 1), (0, 0), (1, 20)]])
    assert job_shop_optimum(instance) == 21
    assert min(reachable_makespans(simulate(instance))) == 21


def test_a_schedule_that_waits_is_not_expressible_without_delay():
    waiting = JobShopSolution([[0, 1, 3], [3, 11, -1]])
    validate(WAITING, waiting)
    simulator = simulate(WAITING, schedule="non-delay")
    with pytest.raises(NotExpressible, match=r"decision 0|decision 1"):
        simulator.replay([waiting])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "lazy"}, "schedule 'lazy', expected one of: active, delta"),
        ({"schedule": "delta", "delta": 1.5}, "delta 1.5, expected between 0 and 1"),
        ({"schedule": "active", "delta": 0.5}, "delta 0.5 with schedule 'active'"),
        ({"columns": "some"}, "columns 'some', expected 'full' or 'minimal'"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gym.make("gapgym/JobShop-v0", **options)


def test_minimal_columns_are_the_first_of_the_full_ones():
    instance = uniform(5, 4, seed=1)
    full, minimal = simulate(instance), simulate(instance, columns="minimal")
    assert minimal.candidate_columns == MINIMAL_COLUMNS == FULL_COLUMNS[: len(MINIMAL_COLUMNS)]
    while full.live()[0]:
        width = len(MINIMAL_COLUMNS)
        np.testing.assert_array_equal(
            full.view["candidates"][..., :width], minimal.view["candidates"]
        )
        action = np.flatnonzero(full.view["action_mask"][0])[:1]
        full.step(action)
        minimal.step(action)


def test_graph_holds_the_precedence_and_the_machines():
    instance = JobShopInstance.from_lists([[(0, 3), (1, 2), (0, 4)], [(1, 5)]], num_machines=3)
    env = gym.make("gapgym/JobShop-v0", instance=instance, observation="graph", limits={"jobs": 3})
    observation, _ = env.reset()
    kinds, width = observation["node_type"], 3
    operations = {(0, 0): 0, (0, 1): 1, (0, 2): 2, (1, 0): width}
    assert np.flatnonzero(kinds == 0).tolist() == sorted(operations.values())
    assert np.flatnonzero(kinds == 1).tolist() == [9, 10, 11]
    graph = nx.DiGraph()
    for (source, target), kind in zip(
        observation["edges"].tolist(), observation["edge_type"].tolist(), strict=True
    ):
        if kind >= 0:
            graph.add_edge(source, target, kind=kind)
    precedes = [edge for *edge, kind in graph.edges.data("kind") if kind == 0]
    assert precedes == [[0, 1], [1, 2]]
    uses = {(u, v) for u, v, kind in graph.edges.data("kind") if kind == 1}
    assert uses == {(0, 9), (1, 10), (2, 9), (3, 10)}
    unit = 4.0  # the power of two nearest to the mean 3.5
    np.testing.assert_allclose(
        observation["nodes"][1], [2 / unit, 3 / unit, 4 / unit, 1 / 3, 7 / 4]
    )
    np.testing.assert_allclose(observation["nodes"][9][:4], [7 / unit, 0, 0, 2])
    np.testing.assert_array_equal(observation["candidate_nodes"][0], [0, 9])
    np.testing.assert_array_equal(observation["candidate_nodes"][2], [-1, -1])


def test_many_shops_of_different_shapes_share_a_simulator():
    shops = [uniform(n, m, seed=n) for n, m in [(2, 5), (6, 3), (4, 4), (1, 1)]]
    shops.append(JobShopInstance.from_lists([[(0, 2), (0, 3)], [(1, 0)]], num_machines=2))
    size = {"jobs": 6, "machines": 5, "operations": 5}
    simulator = JobShopSimulator(3, size)
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = [shops[i] for i in rng.integers(len(shops), size=3)]
        simulator.load(range(3), chosen)
        simulator.begin()
        while simulator.live().any():
            mask = simulator.view["action_mask"]
            simulator.step(np.argmax(mask * rng.random(mask.shape), axis=1))
        for row, shop in enumerate(chosen):
            solution = simulator.solution(row)
            validate(shop, solution)
            assert objective(shop, solution) == simulator.cost(row)


# Stochastic durations.


@given(instance=stochastic_job_shops(max_jobs=4, max_operations=4), seed=st.integers(0, 99))
def test_a_stochastic_episode_ends_with_the_realised_schedule(instance, seed):
    simulator = simulate(instance)
    rng = np.random.default_rng(seed)
    while simulator.live()[0]:
        simulator.step([rng.choice(np.flatnonzero(simulator.view["action_mask"][0]))])
    solution = simulator.solution(0)
    validate(instance, solution)
    assert objective(instance, solution) == simulator.cost(0)


def views(simulator, actions):
    """What a policy sees at each decision of an episode, and the times of the decisions."""
    seen, times = [], []
    simulator.begin()
    for action in [*actions, None]:
        names = ("candidates", "globals", "action_mask", "value")
        seen.append([simulator.view[name].copy() for name in names])
        if action is not None:
            times.append(int(simulator.state["jobs"][0, action, START]))
            simulator.step([action])
    return seen, times


@pytest.mark.parametrize("seed", range(40))
def test_what_a_policy_sees_does_not_depend_on_the_future(seed):
    """Redraw all that has not ended by a decision: everything up to it looks the same."""
    rng = np.random.default_rng(seed)
    shop = uniform(5, 4, seed=seed)
    instance = JobShopInstance(shop.machines, shop.processing_times, cv=0.5, scenario=seed)
    simulator = simulate(instance)
    actions = []
    for _ in range(int(rng.integers(4, 12))):
        actions.append(int(rng.choice(np.flatnonzero(simulator.view["action_mask"][0]))))
        simulator.step([actions[-1]])
    seen, times = views(simulator, actions[:-1])
    now = int(simulator.state["jobs"][0, simulator.view["available"][0, 0], START])
    realised = simulator.data["operations"][0, :, :-1, REALISED]
    starts = simulator.state["start"][0]
    ended = (starts >= 0) & (starts + realised <= now)
    running = (starts >= 0) & ~ended
    redrawn = rng.integers(1, 200, size=realised.shape)
    redrawn[running] += now - starts[running]  # what runs still runs at that time
    realised[~ended] = redrawn[~ended]
    again, _ = views(simulator, actions[:-1])
    assert times == sorted(times)
    for before, after in zip(seen, again, strict=True):
        for ours, theirs in zip(before, after, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_start_beyond_all_times_is_refused():
    instance = JobShopInstance.from_lists([[(0, 3), (1, 4)]])
    with pytest.raises(ValueError, match="below 2\\^53"):
        validate(instance, JobShopSolution([[2**63 - 1, 0]]))


def test_looking_ahead_in_a_stochastic_shop_is_refused():
    instance = gapgym.load("job_shop/ft06", cv=0.2)
    env = gym.make("gapgym/JobShop-v0", instance=instance, schedule="active")
    with pytest.raises(ValueError, match=r"stochastic durations .* expected 'non-delay'"):
        env.reset()


def test_two_policies_meet_the_same_durations():
    instance = gapgym.load("job_shop/ft06", cv=0.3, scenario=5)
    ends = []
    for name in ("spt", "mwkr"):
        result = gapgym.solve(instance, name)
        validate(instance, result.solution)
        ends.append(result.solution.start)
    assert not np.array_equal(*ends)
    other = gapgym.load("job_shop/ft06", cv=0.3, scenario=6)
    assert not np.array_equal(instance.durations, other.durations)
