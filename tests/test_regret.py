import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import tardiness_instances
from tardiness_witness import optimum

from gapgym.agents.regret import RegretReward, optimal_actions
from gapgym.baselines.tardiness_exact import least_cost
from gapgym.envs.tardiness import TardinessSimulator
from gapgym.instances.tardiness import TardinessInstance, TardinessSolution, generate, objective

plain = tardiness_instances(plain=True, weighted=False)


@given(instance=plain, seed=st.integers(0, 99))
def test_the_oracle_agrees_with_enumeration(instance, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(instance.num_jobs)
    done = int(rng.integers(0, instance.num_jobs + 1))
    partial = np.where(np.arange(instance.num_jobs) < done, order, -1)
    assert least_cost(instance, TardinessSolution(partial)) == optimum(instance, order[:done])


@pytest.mark.parametrize(
    ("fields", "sequence", "message"),
    [
        ({"weights": [1, 2]}, [-1, -1], "weights, release dates or setups, expected none"),
        ({"release_dates": [1, 2]}, [-1, -1], "weights, release dates or setups, expected none"),
        ({}, [-1, 0], "a sequence with a gap"),
    ],
)
def test_the_oracle_refuses_what_it_does_not_know(fields, sequence, message):
    with pytest.raises(ValueError, match=message):
        least_cost(TardinessInstance([1, 2], [1, 2], **fields), TardinessSolution(sequence))


@settings(max_examples=30)
@given(instance=plain, seed=st.integers(0, 99))
def test_the_return_is_minus_the_distance_to_the_optimum(instance, seed):
    env = RegretReward(gym.make("gapgym/Tardiness-v0", instance=instance))
    _, info = env.reset(seed=seed)
    assert info["optimum"] == optimum(instance)
    rng, total, done = np.random.default_rng(seed), 0.0, False
    while not done:
        action = rng.choice(np.flatnonzero(info["action_mask"]))
        _, reward, done, _, info = env.step(action)
        assert reward <= 0
        total += reward
    regret = info["objective"] - optimum(instance)
    assert total == pytest.approx(-regret / env.unwrapped.scale, abs=1e-9)


def test_an_infeasible_action_costs_at_least_what_the_worst_sequence_does():
    env = RegretReward(gym.make("gapgym/Tardiness-v0", instance=TardinessInstance([2, 3], [2, 2])))
    env.reset(seed=0)
    env.step(np.int64(0))
    _, reward, done, _, info = env.step(np.int64(0))
    assert done
    assert info["infeasible"]
    worst = objective(env.unwrapped.instance, TardinessSolution([1, 0]))
    assert reward <= -(worst - 3) / env.unwrapped.scale


def test_following_optimal_actions_ends_at_the_optimum_and_leaves_the_rows_as_they_were():
    instances = [generate(9, seed=seed, tf=0.6, rdd=0.4) for seed in range(3)]
    simulator = TardinessSimulator(3, {"jobs": 9, "setup_rows": 1})
    simulator.load(range(3), instances)
    simulator.begin()
    rng = np.random.default_rng(0)
    while simulator.live().any():
        before = {name: array.copy() for name, array in (simulator.state | simulator.view).items()}
        actions = [int(rng.choice(optimal_actions(simulator, row))) for row in range(3)]
        for name, array in (simulator.state | simulator.view).items():
            np.testing.assert_array_equal(array, before[name])
        simulator.step(actions)
    for row, instance in enumerate(instances):
        empty = TardinessSolution(np.full(9, -1))
        assert simulator.cost(row) == least_cost(instance, empty)


def test_problems_without_an_oracle_are_refused():
    with pytest.raises(ValueError, match="job_shop has no oracle of its states"):
        RegretReward(gym.make("gapgym/JobShop-v0"))
    with pytest.raises(ValueError, match="expected an environment of gapgym"):
        RegretReward(gym.make("CartPole-v1"))
