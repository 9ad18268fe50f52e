"""Contracts that every registered environment keeps."""

import copy
import pickle
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import CERTAIN_INSTANCES, INSTANCES, MODE_INSTANCES, SOLVER_INSTANCES

import gapgym
from gapgym.agents.solvers import solvers
from gapgym.baselines.registry import rules
from gapgym.envs import ENVIRONMENTS, rollout
from gapgym.envs.registry import simulator_of
from gapgym.envs.simulator import NotExpressible
from gapgym.instances import family as family_named
from gapgym.instances import family_of


@dataclass(frozen=True)
class Kind:
    """An environment in one of its modes."""

    env_id: str
    mode: str

    @property
    def simulator(self):
        return ENVIRONMENTS[self.env_id].simulators()[self.mode]

    @property
    def problem(self):
        return ENVIRONMENTS[self.env_id].problem

    def __str__(self):
        return f"{self.env_id}-{self.mode}"

    def make(self, **options):
        return gym.make(self.env_id, mode=self.mode, **options)

    def make_vec(self, **options):
        return gym.make_vec(self.env_id, mode=self.mode, **options)

    def random(self, seed):
        """A random instance of a usual size."""
        return family_named(self.simulator.family).generate(seed=seed)


KINDS = [Kind(e, mode) for e in sorted(ENVIRONMENTS) for mode in ENVIRONMENTS[e].simulators()]
each_env = pytest.mark.parametrize("kind", KINDS, ids=str)


def any_instance(kind):
    return MODE_INSTANCES.get((kind.problem, kind.mode), INSTANCES[kind.problem])


def certain_instance(kind):
    return MODE_INSTANCES.get((kind.problem, kind.mode), CERTAIN_INSTANCES[kind.problem])


def random_action(mask, rng):
    return int(rng.choice(np.flatnonzero(mask)))


def play(env, seed):
    """A random masked episode: its rewards, and the last info."""
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    rewards, done = [], False
    while not done:
        assert env.observation_space.contains(observation)
        assert observation["action_mask"].any()
        np.testing.assert_array_equal(observation["action_mask"], info["action_mask"])
        np.testing.assert_array_equal(observation["action_mask"] > 0, env.unwrapped.action_masks())
        action = random_action(observation["action_mask"], rng)
        observation, reward, done, truncated, info = env.step(action)
        assert not truncated
        rewards.append(reward)
    assert env.observation_space.contains(observation)
    return rewards, info


@each_env
@pytest.mark.parametrize("observation", ["candidates", "graph"])
def test_passes_gymnasiums_checker(kind, observation):
    check_env(kind.make(observation=observation).unwrapped)


@each_env
@pytest.mark.parametrize("mode", ["ansi", "rgb_array", "html"])
def test_renders_before_during_and_after_an_episode(kind, mode):
    env = kind.make(render_mode=mode)
    env.reset(seed=0)
    first = env.render()
    play(env, 0)
    last = env.render()
    assert len(first) > 0
    assert not np.array_equal(first, last)
    if mode == "rgb_array":
        assert last.dtype == np.uint8
        assert last.ndim == 3


@each_env
@given(data=st.data(), seed=st.integers(0, 99))
def test_return_is_minus_the_rise_of_the_value(kind, data, seed):
    instance = data.draw(any_instance(kind))
    env = kind.make(instance=instance)
    rewards, info = play(env, seed)
    unwrapped, family = env.unwrapped, family_of(instance)
    family.validate(instance, info["solution"])
    assert info["objective"] == family.objective(instance, info["solution"])
    assert info["objective"] == unwrapped.cost
    assert info["instance"] is instance
    assert "infeasible" not in info
    rise = (unwrapped.cost - unwrapped.initial_value) / unwrapped.scale
    assert sum(rewards) == pytest.approx(-rise, abs=1e-9)


@each_env
@given(data=st.data(), seed=st.integers(0, 99), when=st.integers(0, 3))
def test_infeasible_action_ends_the_episode_at_the_worst_cost(kind, data, seed, when):
    instance = data.draw(any_instance(kind))
    env = kind.make(instance=instance)
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    total, done = 0.0, False
    for _ in range(when):
        action = random_action(observation["action_mask"], rng)
        observation, reward, done, _, _ = env.step(action)
        total += reward
        if done:
            return
    refused = np.flatnonzero(observation["action_mask"] == 0)
    action = int(refused[0]) if refused.size else len(observation["action_mask"])
    _, reward, done, truncated, info = env.step(action)
    assert done
    assert not truncated
    assert info["infeasible"]
    assert info["objective"] >= family_of(instance).upper_bound(instance)
    unwrapped = env.unwrapped
    rise = (info["objective"] - unwrapped.initial_value) / unwrapped.scale
    assert total + reward == pytest.approx(-rise, abs=1e-9)


@each_env
@pytest.mark.parametrize("action", [-1, 10**6])
def test_an_action_outside_the_space_is_infeasible_too(kind, action):
    env = kind.make().unwrapped
    env.reset(seed=0)
    _, _, done, _, info = env.step(action)
    assert done
    assert info["infeasible"]


@each_env
def test_same_seed_same_episode(kind):
    instances = [kind.random(seed) for seed in range(5)]
    first = play(kind.make(instance=instances), 7)
    second = play(kind.make(instance=instances), 7)
    assert first[0] == second[0]
    assert first[1]["solution"] == second[1]["solution"]


@each_env
@pytest.mark.parametrize("observation", ["candidates", "graph"])
def test_vector_environment_equals_gymnasiums_own(kind, observation):
    """Against SyncVectorEnv of the single environment, in both of its modes, step by step."""
    kwargs = {
        "instance": [kind.random(seed) for seed in range(5)],
        "observation": observation,
    }
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
        native = kind.make_vec(num_envs=4, autoreset_mode=mode, **kwargs)
        sync = kind.make_vec(
            num_envs=4,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": mode},
            **kwargs,
        )
        assert native.observation_space == sync.observation_space
        assert native.action_space == sync.action_space
        compare_vectors(native, sync, steps=120)


def compare_vectors(native, sync, steps):
    rng = np.random.default_rng(1)
    ours, theirs = native.reset(seed=3), sync.reset(seed=3)
    assert_same(ours, theirs)
    observation, ends = ours[0], 0
    for _ in range(steps):
        mask = observation["action_mask"]
        actions = np.argmax(mask * rng.random(mask.shape), axis=1)
        ours, theirs = native.step(actions), sync.step(actions)
        assert_same(ours, theirs)
        observation = ours[0]
        ends += int(ours[2].sum())
    assert ends > 4


def is_objects(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "O"


def assert_same(ours, theirs):
    """Equal trees of dicts, tuples and arrays."""
    if isinstance(ours, dict):
        assert set(ours) == set(theirs)
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, tuple) or is_objects(ours):
        for a, b in zip(ours, theirs, strict=True):
            assert_same(a, b)
    elif isinstance(ours, np.ndarray):
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs


@each_env
def test_disabled_autoreset_keeps_ended_rows_until_they_are_reset(kind):
    envs = kind.make_vec(num_envs=3, autoreset_mode=AutoresetMode.DISABLED)
    observation, _ = envs.reset(seed=0)
    done = np.zeros(3, dtype=bool)
    while not done.all():
        actions = np.argmax(observation["action_mask"], axis=1)
        observation, rewards, ended, _, _ = envs.step(actions)
        assert not rewards[done].any()
        assert ended[done].all()
        done = ended
    observation, _ = envs.reset(options={"reset_mask": np.array([True, False, False])})
    assert observation["action_mask"].any(axis=1).tolist() == [True, False, False]


@each_env
def test_observations_are_copies_unless_asked_otherwise(kind):
    for copied in (True, False):
        envs = kind.make_vec(num_envs=2, copy=copied)
        first, _ = envs.reset(seed=0)
        kept = {key: array.copy() for key, array in first.items()}
        envs.step(first["action_mask"].shape[1] - 1 - np.argmax(kept["action_mask"][:, ::-1], 1))
        same = all(np.array_equal(first[key], kept[key]) for key in first)
        assert same is copied


@each_env
@given(data=st.data(), seed=st.integers(0, 99))
def test_padding_changes_nothing(kind, data, seed):
    instance = data.draw(any_instance(kind))
    size = kind.simulator.measure(instance)
    limits = {what: count + 1 + i for i, (what, count) in enumerate(size.items())}
    rng = np.random.default_rng(seed)
    plain = kind.make(instance=instance)
    padded = kind.make(instance=instance, limits=limits)
    ours, theirs = plain.reset(seed=0)[0], padded.reset(seed=0)[0]
    done = False
    while not done:
        width = len(ours["action_mask"])
        for key in ("candidates", "action_mask"):
            np.testing.assert_array_equal(ours[key], theirs[key][:width])
            assert not theirs[key][width:].any()
        np.testing.assert_array_equal(ours["globals"], theirs["globals"])
        action = random_action(ours["action_mask"], rng)
        ours, reward, done, _, info = plain.step(action)
        theirs, other_reward, other_done, _, other_info = padded.step(action)
        assert (reward, done) == (other_reward, other_done)
    assert info["solution"] == other_info["solution"]


@each_env
def test_larger_instance_than_the_limits_is_refused_by_name_of_the_count(kind):
    make = kind.random
    size = kind.simulator.measure(make(0))
    for what in filter(size.get, size):
        limits = {what: size[what] - 1}
        env = kind.make(instance=make(0), limits=limits)
        with pytest.raises(ValueError, match=f"{size[what]} {what}, expected at most"):
            env.reset()
    with pytest.raises(ValueError, match="unknown 'cranes', expected some of"):
        kind.make(limits={"cranes": 3})
    with pytest.raises(ValueError, match="mode 'solitaire', expected one of"):
        gym.make(kind.env_id, mode="solitaire")


@each_env
def test_reset_plays_the_instance_that_is_asked_for(kind):
    make = kind.random
    env = kind.make(instance=[make(0), make(1)])
    env.reset(options={"instance": make(1)})
    assert env.unwrapped.instance == make(1)
    envs = kind.make_vec(num_envs=2, instance=[make(0), make(1)])
    envs.reset(options={"instance": [make(1), make(0)]})
    assert [envs.simulator.instance(row) for row in range(2)] == [make(1), make(0)]


@each_env
def test_instances_may_come_from_a_function_of_the_generator(kind):
    make = kind.random
    env = kind.make(instance=lambda rng: make(rng))
    env.reset(seed=0)
    first = env.unwrapped.instance
    env.reset()
    second = env.unwrapped.instance
    env.reset(seed=0)
    assert first != second
    assert env.unwrapped.instance == first


@each_env
@pytest.mark.parametrize("instance", [[], 3, "no_such_thing"])
def test_what_is_no_instance_is_refused(kind, instance):
    with pytest.raises(ValueError, match="expected"):
        kind.make(instance=instance)


@each_env
def test_unknown_observation_and_render_mode_are_refused(kind):
    with pytest.raises(ValueError, match="observation 'pixels', expected"):
        kind.make(observation="pixels")
    env_class = type(kind.make().unwrapped)
    with pytest.raises(ValueError, match="render_mode 'video', expected"):
        env_class(render_mode="video")


def simulate(kind, instances, also=(), **options):
    """A simulator with a row per instance, and room for others too."""
    simulator_class = kind.simulator
    sizes = [simulator_class.measure(instance) for instance in [*instances, *also]]
    size = {what: max(s[what] for s in sizes) for what in sizes[0]}
    simulator = simulator_class(len(instances), size, **options)
    simulator.load(range(len(instances)), instances)
    simulator.begin()
    return simulator


def step_randomly(simulator, rng, steps=10**6):
    while simulator.live().any() and steps:
        mask = simulator.view["action_mask"]
        simulator.step(np.argmax(mask * rng.random(mask.shape), axis=1))
        steps -= 1
    return simulator.view["value"].copy()


@each_env
def test_copied_saved_and_pickled_rows_go_on_as_their_originals(kind):
    make = kind.random
    simulator = simulate(kind, [make(0), make(1), make(2)])
    step_randomly(simulator, np.random.default_rng(0), steps=5)
    saved = simulator.save([0, 1])
    twin = pickle.loads(pickle.dumps(simulator))
    simulator.copy_rows([0], [2])
    assert simulator.instance(2) is simulator.instance(0)
    values = step_randomly(simulator, np.random.default_rng(1))
    again = step_randomly(twin, np.random.default_rng(1))
    np.testing.assert_array_equal(values[:2], again[:2])
    assert simulator.solution(0) == twin.solution(0)
    simulator.restore([0, 1], saved)
    simulator.copy_rows([0], [2])
    np.testing.assert_array_equal(step_randomly(simulator, np.random.default_rng(1)), values)


@each_env
def test_restoring_a_row_whose_instance_is_gone_is_refused(kind):
    make = kind.random
    simulator = simulate(kind, [make(0)], also=[make(1), make(2), make(3)])
    saved = simulator.save([0])
    simulator.load([0], [make(1)])
    simulator.restore([0], saved)  # still held, though no row played it
    simulator.load([0], [make(2)])
    simulator.load([0], [make(3)])
    with pytest.raises(ValueError, match="no longer loaded"):
        simulator.restore([0], saved)


@each_env
def test_an_ended_row_stays_ended(kind):
    simulator = simulate(kind, [kind.random(0)])
    step_randomly(simulator, np.random.default_rng(0))
    before = simulator.save([0])
    simulator.step([0])
    assert simulator.view["reward"][0] == 0
    for name, array in simulator.save([0]).items():
        if name != "view.reward":
            np.testing.assert_array_equal(array, before[name])


@each_env
@given(data=st.data(), seed=st.integers(0, 99))
def test_skipping_forced_decisions_leads_to_the_same_end(kind, data, seed):
    instance = data.draw(any_instance(kind))
    skipping = simulate(kind, [instance], skip_forced=True)
    plain = simulate(kind, [instance])
    rng = np.random.default_rng(seed)
    total = {id(skipping): 0.0, id(plain): 0.0}
    while plain.live().any():
        mask = plain.view["action_mask"][0]
        action = random_action(mask, rng)
        if mask.sum() > 1:
            np.testing.assert_array_equal(skipping.view["candidates"], plain.view["candidates"])
            np.testing.assert_array_equal(skipping.view["action_mask"], plain.view["action_mask"])
            skipping.step([action])
            total[id(skipping)] += skipping.view["reward"][0]
        plain.step([action])
        total[id(plain)] += plain.view["reward"][0]
    assert not skipping.live().any()
    assert skipping.solution(0) == plain.solution(0)
    for simulator in (skipping, plain):
        rise = simulator.cost(0) - simulator.view["initial_value"][0]
        scale = simulator.view["scale"][0]
        assert total[id(simulator)] == pytest.approx(-rise / scale, abs=1e-9)


@each_env
@settings(max_examples=30)
@given(data=st.data())
def test_every_solvers_solution_can_be_played_and_is_never_worse(kind, data):
    instance = data.draw(certain_instance(kind))
    family = family_of(instance)
    for name in solvers(instance.problem):
        if (kind.problem, name) in SOLVER_INSTANCES:  # which may refuse this one
            continue
        options = {"deterministic": True} if name == "cp_sat" else {}
        result = gapgym.solve(instance, name, time_limit=10, **options)
        assert result.objective == family.objective(instance, result.solution)
        simulator = simulate(kind, [instance])
        actions = simulator.replay([result.solution])[0]
        played = simulator.solution(0)
        family.validate(instance, played)
        assert family.objective(instance, played) <= result.objective
        simulator.begin()
        for action in actions:
            simulator.step([action])
        assert simulator.solution(0) == played


@each_env
def test_every_rule_plays_on_the_first_environment_of_its_problem(kind):
    if kind.simulator is not simulator_of(kind.problem):
        return
    instance = kind.random(0)
    for name, rule in rules(instance.problem).items():
        simulator = simulate(kind, [instance] * 3, **rule.options)
        assert rollout.play(simulator, rule.score), name
        solutions = simulator.solutions(np.arange(3))
        family_of(instance).validate(instance, solutions[0])
        assert solutions[0] == solutions[1] == solutions[2]


@each_env
def test_misspelt_columns_and_nan_scores_are_named(kind):
    simulator = simulate(kind, [kind.random(0)])
    with pytest.raises(KeyError, match="unknown column 'speed', expected one of"):
        rollout.play(simulator, lambda c: c["speed"])
    first = simulator.candidate_columns[0]
    with pytest.raises(ValueError, match=f"score nan at step 0 .*columns used: {first}"):
        rollout.play(simulator, lambda c: c[first] * np.nan)
    with pytest.raises(ValueError, match=r"score \(1,\) at step 0, expected"):
        rollout.play(simulator, lambda c: np.zeros(1))


@each_env
def test_columns_are_nan_exactly_where_a_candidate_is_not_available(kind):
    simulator = simulate(kind, [kind.random(0)])
    columns = simulator.columns()
    available = simulator.view["action_mask"] > 0
    for name in simulator.candidate_columns:
        np.testing.assert_array_equal(np.isnan(columns[name]), ~available)
    for name in simulator.global_columns:
        assert columns[name].shape == (1, 1)
    assert list(columns) == [*simulator.candidate_columns, *simulator.global_columns]
    assert len(columns) == len(list(columns))


@each_env
def test_replay_names_the_decision_that_it_cannot_follow(kind, monkeypatch):
    simulator = simulate(kind, [kind.random(0)])
    step_randomly(simulator, np.random.default_rng(0))
    solution = simulator.solution(0)

    def refuse(*_):
        raise NotExpressible("no")

    monkeypatch.setattr(simulator, "guide", refuse)
    with pytest.raises(NotExpressible, match="decision 0: no"):
        simulator.replay([solution])


@each_env
def test_copies_of_an_environment_go_on_as_their_original(kind):
    env = kind.make(instance=kind.random(0)).unwrapped
    observation, _ = env.reset(seed=0)
    env.step(np.flatnonzero(observation["action_mask"])[-1])
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        original = copy.deepcopy(env)
        done = False
        while not done:
            action = np.flatnonzero(original.action_masks())[0]
            np.testing.assert_array_equal(original.action_masks(), twin.action_masks())
            ours, reward, done, _, _ = original.step(action)
            theirs, other_reward, other_done, _, _ = twin.step(action)
            assert_same(ours, theirs)
            assert (reward, done) == (other_reward, other_done)


@each_env
@pytest.mark.parametrize("actions", [[0], [0, 0, 0], [[0], [0]], [0.0, 0.0]])
def test_actions_of_another_shape_or_kind_are_refused(kind, actions):
    envs = kind.make_vec(num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions .*, expected integers \(2,\)"):
        envs.step(np.array(actions))


@each_env
def test_a_refused_instance_leaves_the_others_alone(kind):
    instances = [kind.random(seed) for seed in range(3)]
    simulator = simulate(kind, instances[:2], also=instances)
    with pytest.raises(ValueError, match="expected an instance of the problem"):
        simulator.load([0], [None])
    simulator.load([1], [instances[2]])
    assert simulator.instance(0) is instances[0]
    assert simulator.instance(1) is instances[2]
    with pytest.raises(ValueError, match=r"rows \[7\], expected 0..1"):
        simulator.begin([7])


@each_env
def test_stepping_before_reset_and_unknown_reset_options_are_refused(kind):
    for made in (kind.make().unwrapped, kind.make_vec(num_envs=2)):
        with pytest.raises(gym.error.ResetNeeded):
            made.step(np.zeros(made.action_space.shape, dtype=np.int64))
        with pytest.raises(ValueError, match="unknown option 'instnace', expected some of"):
            made.reset(options={"instnace": 3})


@each_env
def test_a_vector_environment_refuses_what_it_does_not_do(kind):
    with pytest.raises(ValueError, match=r"max_episode_steps 3 .* expected None"):
        kind.make_vec(num_envs=2, max_episode_steps=3)
    with pytest.raises(ValueError, match="limits: -1 "):
        kind.make(limits={next(iter(kind.simulator.measure(kind.random(0)))): -1})
    with pytest.raises(ValueError, match="a function gave NoneType, expected an instance"):
        kind.make(instance=lambda rng: None)


@each_env
def test_every_named_generator_makes_episodes(kind):
    generators = list(family_named(kind.simulator.family).GENERATORS)
    if (kind.problem, kind.mode) in MODE_INSTANCES:  # which refuses some kinds of instances
        generators = [kind.simulator.default_instance.partition("-")[0]]
    for name in generators:
        size = kind.simulator.default_instance.split("-")[1]
        env = kind.make(instance=f"{name}-{size}")
        env.reset(seed=1)
        first = env.unwrapped.instance
        env.reset(seed=2)
        assert env.unwrapped.instance != first
        env.reset(seed=3, options={"instance": f"{name}-{size}"})
        third = env.unwrapped.instance
        env.reset(seed=4, options={"instance": f"{name}-{size}"})
        assert env.unwrapped.instance != third
