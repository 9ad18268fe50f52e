"""The environments of pod packing: preemption, objectives, restrictions, speed of nothing."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import pod_packings

import gapgym
from gapgym.envs.pod_packing import PodPackingSimulator
from gapgym.envs.pod_packing_repack import PodRepackSimulator
from gapgym.instances.pod_packing import (
    PodPackingInstance,
    generate_paper,
    objective,
    scalar,
    validate,
)


def played(simulator_class, instance, seed, **options):
    """A simulator at the end of a random episode."""
    simulator = simulator_class(1, simulator_class.measure(instance), **options)
    simulator.load([0], [instance])
    simulator.begin()
    rng = np.random.default_rng(seed)
    while simulator.live()[0]:
        simulator.step([int(rng.choice(np.flatnonzero(simulator.view["action_mask"][0])))])
    return simulator


@settings(max_examples=60)
@given(instance=pod_packings(), seed=st.integers(0, 99), preempt=st.booleans())
def test_counts_kept_step_by_step_are_the_referees(instance, seed, preempt):
    runs = [
        played(PodPackingSimulator, instance, seed, preempt=preempt),
        played(PodRepackSimulator, instance, seed, moves=20),
    ]
    for simulator in runs:
        solution = simulator.solution(0)
        validate(instance, solution)
        value = objective(instance, solution)
        assert simulator.objectives(np.array([0]))[0] == value
        assert simulator.cost(0) == scalar(instance, value)
        used = np.zeros_like(instance.capacities)
        on = solution.nodes >= 0
        np.add.at(used, solution.nodes[on], instance.requests[on])
        width = instance.capacities.shape[1]
        free = simulator.state["free"][0, : instance.num_nodes, :width]
        np.testing.assert_array_equal(free, instance.capacities - used)


def test_preemption_is_offered_and_evicts_by_kubes_rule():
    instance = PodPackingInstance(
        capacities=[[4, 4, 9]],
        requests=[[3, 3, 1], [1, 1, 1], [2, 2, 1]],
        priorities=[0, 0, 5],
        current=[0, 0, -1],
    )
    env = gym.make("gapgym/PodPacking-v0", instance=instance).unwrapped
    observation, _ = env.reset()
    assert observation["action_mask"].tolist() == [1, 0]
    env = gym.make("gapgym/PodPacking-v0", instance=instance, preempt=True).unwrapped
    observation, _ = env.reset()
    assert observation["action_mask"].tolist() == [1, 1]
    assert observation["candidates"][1, env.candidate_columns.index("preempts")] == 1
    _, _, done, _, _ = env.step(1)
    assert not done  # the victim waits again
    assert env.solution().nodes.tolist() == [-1, 0, 0]
    _, _, done, _, info = env.step(0)
    assert done
    assert info["objective"] == (-1, -1, 0, 2)


def test_the_columns_by_hand():
    instance = PodPackingInstance(
        capacities=[[8, 4, 9], [4, 4, 9]],
        requests=[[2, 1, 1], [2, 1, 1]],
        priorities=[1, 1],
        workloads=[0, 0],
        current=[0, -1],
    )
    env = gym.make("gapgym/PodPacking-v0", instance=instance).unwrapped
    observation, _ = env.reset()
    columns = dict(zip(env.candidate_columns, observation["candidates"].T, strict=True))
    assert columns["leave"].tolist() == [1, 0, 0]
    assert columns["cpu_left"].tolist() == [0, 0.5, 0.5]
    assert columns["memory_left"].tolist() == [0, 0.5, 0.75]
    assert columns["dot_product"].tolist() == [0, 0.75 * 0.25 + 0.75 * 0.25, 0.5 + 0.25]
    assert columns["peers"].tolist() == [0, 0.5, 0]


@settings(max_examples=40)
@given(instance=pod_packings(), seed=st.integers(0, 99))
def test_where_pods_fit_is_kept_as_it_would_be_found_anew(instance, seed):
    """PodRepack keeps where every pod could go; here it is asked of the referee's twin."""
    from gapgym.instances.pod_packing_state import rules, world_of

    simulator = PodRepackSimulator(1, PodRepackSimulator.measure(instance), moves=6)
    simulator.load([0], [instance])
    simulator.begin()
    rng, world = np.random.default_rng(seed), world_of(instance)
    names = ("free", "node_of", "head", "after", "before", "matched", "carried")
    while simulator.live()[0]:
        state = tuple(simulator.state[n][0].copy() for n in names)
        width = world[0].shape[1]
        state = (state[0][:, :width], *state[1:])
        for i in range(instance.num_pods):
            if state[1][i] < 0:
                expected = [
                    bool(rules.allows(i, j, world, state)) for j in range(instance.num_nodes)
                ]
                found = simulator.state["fits"][0, i, : instance.num_nodes] > 0
                assert found.tolist() == expected
        mask = simulator.view["action_mask"][0]
        simulator.step([int(rng.choice(np.flatnonzero(mask)))])


def test_repacking_can_place_what_the_default_scheduler_could_not():
    from gapgym.baselines.pod_packing import pending_after_default

    made = (generate_paper(4, 16, 4, 0.95, seed=s) for s in range(20))
    starts = (pending_after_default(instance, seed=1) for instance in made)
    start = next(s for s in starts if gapgym.solve(s, "greedy_repair").metrics["moves"])
    best = gapgym.solve(start, "greedy_repair")
    simulator = PodRepackSimulator(1, PodRepackSimulator.measure(start))
    simulator.load([0], [start])
    simulator.replay([best.solution])
    assert simulator.solution(0) == best.solution
    assert objective(start, best.solution) < objective(
        start, gapgym.solve(start, "kube_no_preemption").solution
    )


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("gapgym/PodPacking-v0", {"preempt": 1}, "preempt 1, expected true or false"),
        ("gapgym/PodRepack-v0", {"moves": 0}, "moves 0, expected an integer >= 1"),
    ],
)
def test_wrong_options_are_refused(env_id, options, message):
    with pytest.raises(ValueError, match=message):
        gym.make(env_id, **options)


def test_a_cluster_without_waiting_pods_is_refused():
    instance = PodPackingInstance([[4, 4, 9]], [[1, 1, 1]], [0], [0])
    with pytest.raises(ValueError, match="all pods run, expected at least one that waits"):
        gym.make("gapgym/PodPacking-v0", instance=instance).reset()
