"""The policy: what it computes, how it is sampled, searched, stored and trained."""

import dataclasses
import json
import pickle
import struct

import gymnasium as gym
import numpy as np
import pytest
import torch

import gapgym
from gapgym.agents import checkpoint
from gapgym.agents.decisions import gather
from gapgym.agents.graph import graphs_of
from gapgym.agents.policy import Policy, PolicyConfig, config_for, segment_log_softmax
from gapgym.agents.sampling import Player, follow
from gapgym.agents.search import SEARCHES, policy_solver
from gapgym.agents.selflabel import selflabel
from gapgym.agents.solvers import find
from gapgym.agents.terms import Terms
from gapgym.agents.train import train
from gapgym.agents.training import TrainConfig, Trainer
from gapgym.envs import ENVIRONMENTS
from gapgym.envs.registry import simulator_of
from gapgym.instances import family
from gapgym.instances.job_shop import JobShopInstance
from gapgym.instances.registry import load_from

PROBLEMS = sorted({environment.problem for environment in ENVIRONMENTS.values()})
#: Problem and whether its policy has an encoder.
KINDS = [
    (p, graph)
    for p in PROBLEMS
    for graph in (False, True)
    if not graph or simulator_of(p).node_columns
]
#: Those whose graphs stay the same, or that look at none: examples can be made of them.
STATIC_KINDS = [(p, graph) for p, graph in KINDS if simulator_of(p).static_graph or not graph]


def simulator_for(problem, instances, graph=False, sizes=None, **options):
    simulator_class = simulator_of(problem)
    for instance in instances if sizes is None else ():
        measured = simulator_class.measure(instance)
        sizes = {k: max(v, (sizes or measured)[k]) for k, v in measured.items()}
    simulator = simulator_class(
        len(instances), sizes, graph=graph, **{"skip_forced": True, **options}
    )
    simulator.load(range(len(instances)), instances)
    simulator.begin()
    return simulator


def random_policy(problem, graph=False, seed=0):
    """A policy whose network says something, too."""
    torch.manual_seed(seed)
    policy = Policy(config_for(simulator_of(problem), graph=graph))
    with torch.no_grad():
        policy.score.weight.normal_()
        policy.value.weight.normal_()
    return policy.eval()


def scores_of(policy, simulator, row=0):
    """Action to score of a row's decision, and the value."""
    rows = np.array([row])
    decisions = gather(simulator, rows)
    graphs = graphs_of(simulator, rows) if policy.config.graph else None
    with torch.inference_mode():
        scores, values = policy(decisions, graphs)
    return dict(zip(decisions.actions.tolist(), scores.tolist(), strict=True)), values.item()


def default_instances(problem, count=3):
    simulator_class = simulator_of(problem)
    name = simulator_class.default_instance.rpartition("-s")[0]
    return [load_from(simulator_class.family, f"{name}-s{seed}") for seed in range(count)]


# Terms.


def test_terms_are_columns_logarithms_and_quotients():
    terms = Terms(("a", "b"), ("a", "log b", "a / b", "b / a"))
    found = terms(torch.tensor([[2.0, 4.0], [0.0, 1.0]]))
    assert found[0].tolist() == pytest.approx([2, np.log(4), 0.5, 2])
    assert found[1].tolist() == pytest.approx([0, 0, 0, 20])  # a denominator of 0 counts as 0.05


@pytest.mark.parametrize("term", ["c", "log c", "a * b", "a / b / a", ""])
def test_other_terms_are_refused(term):
    with pytest.raises(ValueError, match="term"):
        Terms(("a", "b"), (term,))


# What it computes.


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_prior_of_every_environment_speaks_of_its_columns(problem):
    config = config_for(simulator_of(problem))
    Terms(config.columns, tuple(config.prior))


def test_an_untrained_policy_is_the_rule_of_its_prior():
    shops = [gapgym.load(f"job_shop/{name}") for name in ("la01", "la11", "la21", "ft10")]
    simulator = simulator_for("job_shop", shops)
    policy = Policy(config_for(simulator_of("job_shop")))
    Player(policy, simulator).play(0.0, np.random.default_rng(0))
    rule = [gapgym.solve(shop, "active_wait").objective for shop in shops]
    assert [simulator.cost(row) for row in range(4)] == rule


@pytest.mark.parametrize(("problem", "graph"), KINDS)
def test_a_decision_is_scored_the_same_alone_in_company_and_with_padding(problem, graph):
    instances = default_instances(problem)
    policy = random_policy(problem, graph)
    together = simulator_for(problem, instances, graph)
    decisions = gather(together, np.arange(3))
    graphs = graphs_of(together, np.arange(3)) if graph else None
    with torch.inference_mode():
        scores, values = policy(decisions, graphs)
    sizes = {name: 2 * size + 1 for name, size in together.size.items()}
    for row, instance in enumerate(instances):
        padded = simulator_for(problem, [instance], graph, sizes)
        alone, value = scores_of(policy, padded)
        begin, end = decisions.offsets[row], decisions.offsets[row + 1]
        assert list(alone.values()) == pytest.approx(scores[begin:end].tolist(), rel=1e-4, abs=1e-4)
        assert value == pytest.approx(values[row].item(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("graph", [False, True])
def test_new_numbers_for_jobs_and_machines_change_nothing(graph):
    rng = np.random.default_rng(0)
    shop = gapgym.load("job_shop/uniform-8x5-s1")
    jobs, machines = rng.permutation(8), rng.permutation(5)
    durations, routing = shop.processing_times, shop.machines
    moved = JobShopInstance.from_lists(
        [
            [(int(machines[m]), int(t)) for m, t in zip(routing[j], durations[j], strict=True)]
            for j in jobs
        ]
    )
    policy = random_policy("job_shop", graph)
    one, other = (simulator_for("job_shop", [item], graph) for item in (shop, moved))
    for _ in range(10):
        scores, value = scores_of(policy, one)
        permuted, same = scores_of(policy, other)
        assert {int(jobs[j]): s for j, s in permuted.items()} == pytest.approx(scores, rel=1e-4)
        assert same == pytest.approx(value, rel=1e-4)
        job = max(scores, key=scores.get)
        one.step([job])
        other.step([int(np.flatnonzero(jobs == job)[0])])


def test_the_softmax_of_segments_is_that_of_each():
    torch.manual_seed(0)
    scores, segments = torch.randn(7, 2), torch.tensor([0, 0, 1, 2, 2, 2, 2])
    found = segment_log_softmax(scores, segments, 3)
    for segment in range(3):
        expected = torch.log_softmax(scores[segments == segment], dim=0)
        assert torch.allclose(found[segments == segment], expected, atol=1e-6)


# Sampling.


def test_forced_decisions_cost_no_call_of_the_network():
    one_job = JobShopInstance.from_lists([[(0, 3), (1, 2), (0, 4)]])
    simulator = simulator_for("job_shop", [one_job])
    policy = random_policy("job_shop")
    calls = []
    policy.register_forward_pre_hook(lambda *_: calls.append(1))
    Player(policy, simulator).play(1.0, np.random.default_rng(0))
    assert not calls
    assert simulator.cost(0) == 9


def test_actions_are_drawn_with_the_probabilities_of_their_scores():
    shop = gapgym.load("job_shop/ft06")
    simulator = simulator_for("job_shop", [shop] * 4000)
    policy = random_policy("job_shop")
    scores, _ = scores_of(policy, simulator)
    probabilities = torch.softmax(torch.tensor(list(scores.values())), 0).tolist()
    actions = Player(policy, simulator).play(1.0, np.random.default_rng(0), record=True)
    first = np.array([taken[0] for taken in actions])
    for action, probability in zip(scores, probabilities, strict=True):
        assert (first == action).mean() == pytest.approx(probability, abs=0.03)


@pytest.mark.parametrize(("problem", "graph"), STATIC_KINDS)
def test_recorded_actions_can_be_followed_and_returns_are_the_rest_of_the_rewards(problem, graph):
    instances = default_instances(problem)
    simulator = simulator_for(problem, instances, graph)
    policy = random_policy(problem, graph)
    actions = Player(policy, simulator).play(1.0, np.random.default_rng(0), record=True)
    costs = [simulator.cost(row) for row in range(3)]
    starts = [simulator.view["initial_value"][row] for row in range(3)]
    examples = follow(simulator, actions, graph=graph)
    assert [simulator.cost(row) for row in range(3)] == costs
    assert examples.decisions.count == sum(map(len, actions))
    for row in range(3):
        first = (
            int(np.flatnonzero(examples.decisions.graphs == row)[0]) if len(actions[row]) else -1
        )
        if first >= 0:
            expected = -(costs[row] - starts[row]) / simulator.view["scale"][row]
            assert examples.returns[first] == pytest.approx(expected, abs=1e-9)
    assert (examples.decisions.actions[examples.chosen] >= 0).all()


def test_actions_that_do_not_fit_are_refused():
    simulator = simulator_for("job_shop", [gapgym.load("job_shop/ft06")])
    with pytest.raises(ValueError, match="row 0: recorded action 99 is not available"):
        follow(simulator, [np.array([99] * 50)], graph=False)


# Search.


@pytest.fixture
def weights(tmp_path):
    """The file of an untrained policy of the job shop."""
    path = tmp_path / "rule.safetensors"
    checkpoint.save(Policy(config_for(simulator_of("job_shop"))), path)
    return path


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_gives_schedules_and_the_same_ones_again(search, weights):
    shop = gapgym.load("job_shop/la01")
    solve = policy_solver("rule", weights)
    options = {"search": search, "samples": 16, "width": 8, "simulations": 8, "seed": 3}
    one, other = (solve(shop, **options) for _ in range(2))
    assert one.objective == other.objective >= 666
    assert one.solution == other.solution


def test_more_samples_are_never_worse_than_the_greedy_episode(weights):
    shop = gapgym.load("job_shop/la36")
    solve = policy_solver("rule", weights)
    objectives = [solve(shop, samples=samples).objective for samples in (1, 8, 64)]
    assert objectives == sorted(objectives, reverse=True)
    assert objectives[0] == solve(shop, search="greedy").objective
    assert objectives[-1] < objectives[0]


def test_a_wide_beam_is_an_enumeration(tmp_path):
    """All sequences of five jobs fit into the beam: the best of them is optimal."""
    instance = gapgym.load("tardiness/pvw-5-s3")
    path = tmp_path / "untrained.safetensors"
    checkpoint.save(Policy(config_for(simulator_of("tardiness"))), path)
    best = policy_solver("x", path)(instance, search="beam", width=120).objective
    assert best == gapgym.solve(instance, "exact").objective


@pytest.mark.parametrize("search", SEARCHES)
def test_an_instance_without_a_choice_is_played(search, weights):
    shop = JobShopInstance.from_lists([[(0, 3), (1, 2), (0, 4)]])
    result = policy_solver("rule", weights)(shop, search=search, samples=4)
    assert result.objective == 9


@pytest.mark.parametrize("search", ["sample", "beam", "gumbel"])
def test_without_time_a_search_ends_with_the_greedy_episode(search, weights):
    shop = gapgym.load("job_shop/la36")
    solve = policy_solver("rule", weights)
    options = {"samples": 10**6, "width": 4096, "simulations": 256}
    hurried = solve(shop, search=search, time_limit=1e-6, **options)
    assert hurried.objective == solve(shop, search="greedy").objective


def test_a_policy_for_other_columns_is_refused(tmp_path):
    config = config_for(simulator_of("job_shop"))
    first, second, *rest = config.columns
    swapped = dataclasses.replace(config, columns=(second, first, *rest))
    checkpoint.save(Policy(swapped), tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"a policy for the columns .* train it again"):
        gapgym.solve(gapgym.load("job_shop/ft06"), str(tmp_path / "x.safetensors"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("hidden", "x"), ("hidden", -3), ("hidden", 10**7), ("prior", [1]), ("columns", [1, 2])],
)
def test_a_configuration_that_cannot_be_is_refused(field, value):
    text = json.loads(config_for(simulator_of("job_shop")).to_json())
    with pytest.raises(ValueError, match=r"expected|names"):
        PolicyConfig.from_json(json.dumps({**text, field: value}))


def test_a_local_search_goes_on_from_the_policy(weights):
    shop = gapgym.load("job_shop/la21")
    solve = policy_solver("rule", weights)
    alone = solve(shop)
    both = solve(shop, then="tabu", time_limit=1.0)
    assert both.objective < alone.objective


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": "deep"}, "search 'deep', expected one of: greedy, sample, beam, gumbel"),
        ({"samples": 0}, "samples 0, expected an integer >= 1"),
        ({"temperature": -1.0}, "temperature -1.0, expected >= 0"),
        ({"quantile": 1.0}, "quantile 1.0, expected at least 0 and below 1"),
        ({"then": "sqt"}, "unknown solver 'sqt'"),
    ],
)
def test_wrong_options_are_refused(options, message, weights):
    with pytest.raises(ValueError, match=message):
        policy_solver("rule", weights)(gapgym.load("job_shop/ft06"), **options)


# Files.


def test_a_policy_comes_back_as_it_was(tmp_path):
    policy = random_policy("job_shop", graph=True)
    checkpoint.save(policy, tmp_path / "x.safetensors", {"seed": 3})
    back = checkpoint.load(tmp_path / "x.safetensors", "job_shop")
    assert back.config == policy.config
    for name, tensor in policy.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
    config, made = checkpoint.describe(tmp_path / "x.safetensors")
    assert made == {"seed": 3}
    assert PolicyConfig.from_json(config.to_json()) == policy.config


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_stored_policy_scores_as_it_did(problem, tmp_path):
    policy = random_policy(problem)
    with torch.no_grad():  # weights that tell the terms of the prior apart
        policy.prior.copy_(torch.arange(1.0, len(policy.prior) + 1))
    checkpoint.save(policy, tmp_path / "x.safetensors")
    back = checkpoint.load(tmp_path / "x.safetensors")
    simulator = simulator_for(problem, default_instances(problem, 1))
    assert scores_of(policy, simulator) == scores_of(back, simulator)


class Bomb:
    def __reduce__(self):
        return print, ("this must never be printed",)


def broken_files(path):
    """Content that is no policy, by what is wrong with it."""
    good = path.read_bytes()
    (length,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + length])
    other = {**header, "__metadata__": {**header["__metadata__"], "format": "pt"}}
    text = json.dumps(other).encode()
    nan = bytearray(good)
    nan[-4:] = struct.pack("<f", float("nan"))
    config = json.loads(header["__metadata__"]["config"])
    wider = json.dumps({**config, "hidden": 128})
    wide = {**header, "__metadata__": {**header["__metadata__"], "config": wider}}
    wide_text = json.dumps(wide).encode()
    return {
        "empty": (b"", "no safetensors header"),
        "truncated": (good[: len(good) // 2], "expected a policy"),
        "cut header": (good[:50], "no safetensors header"),
        "pickle": (pickle.dumps(Bomb()), "no safetensors header"),
        "text": (b"not a policy at all, but a text", "no safetensors header"),
        "other format": (struct.pack("<Q", len(text)) + text + good[8 + length :], "format 'pt'"),
        "not finite": (bytes(nan), "not finite"),
        "other shapes": (
            struct.pack("<Q", len(wide_text)) + wide_text + good[8 + length :],
            "expected",
        ),
    }


def test_a_file_that_is_no_policy_is_refused_and_nothing_in_it_runs(weights, capsys):
    for what, (content, message) in broken_files(weights).items():
        file = weights.with_name("broken.safetensors")
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"broken.safetensors: .*{message}"):
            checkpoint.load(file)
        assert "never" not in capsys.readouterr().out, what


def test_a_policy_of_another_problem_is_refused(weights):
    with pytest.raises(ValueError, match="a policy for job_shop, expected one for tardiness"):
        checkpoint.load(weights, "tardiness")
    instance = gapgym.load("tardiness/pvw-5-s0")
    with pytest.raises(ValueError, match="a policy for job_shop, expected one for tardiness"):
        gapgym.solve(instance, str(weights))
    with pytest.raises(ValueError, match=r"nowhere.safetensors: no such file"):
        gapgym.solve(instance, "nowhere.safetensors")


# Training.

TINY = {"updates": 6, "batch": 3, "samples": 4, "validation": 1, "validate_every": 2}


def tiny(problem, **changes):
    simulator_class = simulator_of(problem)
    name = simulator_class.default_instance.rpartition("-s")[0]
    return {**TINY, "instances": (name,), **changes}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_problem_can_be_learned(problem, tmp_path):
    seen = []
    path = train(problem, "selflabel", tmp_path, tell=seen.append, settings=tiny(problem))
    assert [progress.update for progress in seen] == [1, 2, 3, 4, 5, 6]
    assert checkpoint.load(path, problem).config.problem == problem
    assert seen[-1].best < np.inf
    assert len((tmp_path / "progress.jsonl").read_text().splitlines()) == 3
    assert list((tmp_path / "tensorboard").glob("events*"))
    instance = default_instances(problem, 1)[0]
    result = gapgym.solve(instance, str(path))
    module = family(simulator_of(problem).family)
    module.validate(instance, result.solution)


@pytest.mark.parametrize("method", ["selflabel", "imitation"])
def test_a_killed_training_goes_on_as_if_it_had_not_been(method, tmp_path):
    settings = tiny("job_shop", solver="spt") if method == "imitation" else tiny("job_shop")

    def stop(progress):
        if progress.update == 5:
            raise KeyboardInterrupt

    whole = train("job_shop", method, tmp_path / "whole", settings=settings)
    with pytest.raises(KeyboardInterrupt):
        train("job_shop", method, tmp_path / "parts", tell=stop, settings=settings)
    parts = train("job_shop", method, tmp_path / "parts", settings=settings)
    for name in ("best.safetensors",):
        one, other = (checkpoint.load(path.with_name(name)) for path in (whole, parts))
        for key, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[key]), key
    states = [checkpoint._metadata(p.with_name("state.safetensors")) for p in (whole, parts)]
    kept = [json.loads(state["training"])["kept"] for state in states]
    assert kept[0] == kept[1]


def test_another_training_in_the_same_folder_is_refused(tmp_path):
    train("job_shop", "selflabel", tmp_path, settings=tiny("job_shop"))
    with pytest.raises(ValueError, match="a training with seed 0, expected 1"):
        train("job_shop", "selflabel", tmp_path, settings=tiny("job_shop", seed=1))


@pytest.mark.parametrize("graph", [False, True])
def test_a_policy_learns_an_optimal_schedule_by_heart(graph, tmp_path):
    shop = gapgym.load("job_shop/ft06")
    trainer = Trainer(
        TrainConfig("job_shop", "imitation", graph=graph, **tiny("job_shop")), selflabel, tmp_path
    )
    simulator = trainer.simulator([shop])
    solution = gapgym.solve(shop, "cp_sat", time_limit=20).solution
    actions = [np.array(taken) for taken in simulator.replay([solution])]
    assert simulator.cost(0) == 55
    examples = follow(simulator, actions, graph=graph)
    for group in trainer._optimiser.param_groups:
        group["lr"] = 3e-3
    losses = [trainer._learn(examples) for _ in range(150)]
    assert losses[-1] < 0.05 < losses[0]
    trainer._publish()
    Player(trainer.policy, simulator).play(0.0, np.random.default_rng(0))
    assert simulator.cost(0) == 55


def test_labels_of_a_solver_are_kept_and_used_again(tmp_path, monkeypatch):
    settings = tiny("job_shop", solver="mwkr", updates=2)
    train("job_shop", "imitation", tmp_path, settings=settings)
    kept = sorted((tmp_path / "labels").rglob("*.json"))
    assert kept
    made = [path.stat().st_mtime_ns for path in kept]
    train("job_shop", "imitation", tmp_path / "again", settings=settings)
    for path in tmp_path.glob("state.safetensors"):
        path.unlink()
    train("job_shop", "imitation", tmp_path, settings=settings)
    assert [path.stat().st_mtime_ns for path in kept] == made


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("guess", {}, "method 'guess', expected one of: selflabel, imitation, ppo"),
        ("selflabel", {"updates": 0}, "updates 0, expected more than 0"),
        ("selflabel", {}, "training without end"),
        ("selflabel", {"updates": 1, "colour": 3}, "unknown setting 'colour'"),
        ("selflabel", {"updates": 1, "batch": 0}, "batch 0, expected an integer of at least 1"),
        ("selflabel", {"updates": 1, "batch": 2.5}, "batch 2.5, expected an integer"),
        ("selflabel", {"updates": 1, "hidden": 30}, "hidden 30, expected a multiple of 4"),
        ("selflabel", {"updates": 1, "options": {"x": 1}}, "unknown option 'x'"),
        ("selflabel", {"updates": 1, "instances": ("ft06",)}, "'ft06': no generator"),
        ("ppo", {"updates": 1, "graph": True}, "ppo with a graph"),
    ],
)
def test_wrong_settings_are_refused(method, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train("job_shop", method, tmp_path, settings=settings)


def test_without_a_gpu_cuda_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no such GPU here"):
        train("job_shop", "selflabel", tmp_path, device="cuda", settings=TINY)


# What comes with the library.


@pytest.mark.parametrize("name", ["gnn", "columns"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_shipped_policy_is_small_plays_and_says_how_it_was_made(problem, name):
    from gapgym.agents.solvers import WEIGHTS

    path = WEIGHTS / f"{problem}{'_columns' if name == 'columns' else ''}.safetensors"
    if not path.is_file():
        with pytest.raises(ValueError, match=f"unknown solver '{name}'"):
            find(problem, name)
        return
    assert path.stat().st_size < 2e6
    config, made = checkpoint.describe(path)
    assert config.problem == problem
    assert {"config", "seconds", "score"} <= set(made)
    instance = default_instances(problem, 1)[0]
    result = gapgym.solve(instance, name, samples=4)
    assert result.solver == name
    assert config.graph == (name == "gnn")
    assert result.objective is not None


def test_environments_of_policies_are_made_by_gym():
    env = gym.make("gapgym/JobShop-v0", instance="ft06", skip_forced=True)
    observation, _ = env.reset(seed=0)
    assert observation["action_mask"].sum() > 1
