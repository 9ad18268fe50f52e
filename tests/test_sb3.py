"""Stable-Baselines3 with our environments and our policy."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy

import gapgym
from gapgym.agents import sb3, state
from gapgym.agents.sb3 import GapPolicy, VectorEnvAdapter, policy_kwargs
from gapgym.agents.train import train

torch.set_num_threads(1)


def adapter(num_envs=4, instance="uniform-4x3", **options):
    envs = gym.make_vec("gapgym/JobShop-v0", num_envs=num_envs, instance=instance, **options)
    return VectorEnvAdapter(envs)


def model_on(envs, **arguments):
    given = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "gamma": 1.0, "seed": 0}
    return MaskablePPO(GapPolicy, envs, policy_kwargs=policy_kwargs(envs), **{**given, **arguments})


def test_the_adapter_tells_what_the_environment_does():
    ours = gym.make_vec("gapgym/JobShop-v0", num_envs=4, instance="uniform-4x3")
    envs = adapter()
    envs.seed(3)
    observation = envs.reset()
    expected, _ = ours.reset(seed=3)
    totals, rng = np.zeros(4), np.random.default_rng(0)
    for _ in range(40):
        for name, array in expected.items():
            np.testing.assert_array_equal(observation[name], array)
        masks = envs.env_method("action_masks")
        np.testing.assert_array_equal(masks, observation["action_mask"] > 0)
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        before = {name: array.copy() for name, array in observation.items()}
        kept = observation
        observation, rewards, dones, infos = envs.step(actions)
        for name, array in before.items():  # what it gave before is not written over
            np.testing.assert_array_equal(kept[name], array)
        expected, ours_rewards, ended, _, ours_infos = ours.step(actions)
        np.testing.assert_allclose(rewards, ours_rewards, rtol=1e-6)
        np.testing.assert_array_equal(dones, ended)
        totals += ours_rewards
        for row in np.flatnonzero(dones):
            assert infos[row]["episode"]["r"] == pytest.approx(totals[row])
            assert infos[row]["objective"] == ours_infos["final_info"]["objective"][row]
            final = ours_infos["final_obs"][row]
            for name, array in infos[row]["terminal_observation"].items():
                np.testing.assert_array_equal(array, final[name])
            totals[row] = 0.0
    assert envs.has_attr("action_masks")
    assert envs.get_attr("num_envs") == [4] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copy": False}, "expected autoreset_mode SAME_STEP and copy=True"),
        ({"autoreset_mode": AutoresetMode.NEXT_STEP}, "expected autoreset_mode SAME_STEP"),
    ],
)
def test_modes_that_would_train_on_the_wrong_observation_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        adapter(**options)


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match="expected a vector environment of gapgym"):
        VectorEnvAdapter(gym.make_vec("CartPole-v1", num_envs=2))


def test_an_untrained_model_plays_the_prior():
    envs = adapter(instance="ft06")
    model = model_on(envs)
    observation, done = envs.reset(), False
    while not done:
        actions, _ = model.predict(
            observation, action_masks=envs.env_method("action_masks"), deterministic=True
        )
        observation, _, dones, infos = envs.step(actions)
        done = dones[0]
    shop = gapgym.load("job_shop/ft06")
    assert infos[0]["objective"] == gapgym.solve(shop, "active_wait").objective


@pytest.mark.slow
def test_a_users_script_learns_saves_loads_other_sizes_and_exports(tmp_path):
    envs = adapter()
    model = model_on(envs).learn(16 * 4 * 3)
    mean, _ = evaluate_policy(model, adapter(), n_eval_episodes=4, warn=False)
    assert mean <= 0
    model.save(tmp_path / "model.zip")
    larger = adapter(num_envs=2, instance="uniform-7x5")
    back = sb3.load(tmp_path / "model.zip", larger)
    for ours, theirs in zip(model.policy.parameters(), back.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    back.learn(32)
    sb3.export(model, tmp_path / "model.safetensors")
    shop = gapgym.load("job_shop/la01")
    result = gapgym.solve(shop, str(tmp_path / "model.safetensors"))
    assert result.objective >= 666


def test_a_model_without_names_is_not_exported(tmp_path):
    envs = adapter()
    model = MaskablePPO(GapPolicy, envs, n_steps=8, batch_size=8)
    with pytest.raises(ValueError, match="expected one made with policy_kwargs"):
        sb3.export(model, tmp_path / "x.safetensors")


@pytest.mark.slow
def test_ppo_trains_from_the_command_lines_method_and_goes_on(tmp_path):
    settings = {
        "updates": 2,
        "instances": ("uniform-4x3",),
        "validation": 2,
        "validate_every": 1,
        "hidden": 16,
    }
    seen = []
    path = train("job_shop", "ppo", tmp_path, tell=seen.append, settings=settings)
    assert path.is_file()
    assert seen
    shop = gapgym.load("job_shop/ft06")
    assert gapgym.solve(shop, str(path)).objective >= 55
    first = state.load(tmp_path / "state.safetensors")[0]
    assert first["timesteps"] == 2 * 64 * 64
    train("job_shop", "ppo", tmp_path, settings=settings)  # nothing is left to do
    assert state.load(tmp_path / "state.safetensors")[0]["timesteps"] == 2 * 64 * 64
    train("job_shop", "ppo", tmp_path, settings={**settings, "updates": 3})
    last = state.load(tmp_path / "state.safetensors")[0]
    assert last["timesteps"] == 3 * 64 * 64
    assert last["best"] <= first["best"]
    with pytest.raises(ValueError, match="a training with seed 0, expected 1"):
        train("job_shop", "ppo", tmp_path, settings={**settings, "seed": 1})
