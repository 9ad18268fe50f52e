"""List schedulers, searches and CP-SAT of task graphs."""

import json

import numpy as np
import pytest
from brute_force import soc_dag_optimum
from hypothesis import given, settings
from strategies import task_graphs

import gapgym
from gapgym.baselines.soc_dag import build_model, load_bound
from gapgym.baselines.soc_dag_lists import SCHEDULERS, optimistic_costs, tables
from gapgym.baselines.soc_dag_search_kernels import evaluate
from gapgym.instances import soc_dag as family

EXAMPLE = "soc_dag/heft_example"

#: Of the HEFT paper (HEFT, CPOP, DLS), and recomputed in ``heft_topcuoglu2002.json`` (the others).
EXPECTED = {
    "heft": 80,
    "cpop": 86,
    "peft": 85,
    "lookahead_heft": 76,
    "min_eft": 76,
    "etf": 93,
    "dls": 91,
    "mct": 88,
    "met": 82,
    "olb": 114,
    "max_min": 97,
    "sufferage": 76,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_paper_example_takes_what_the_paper_says(name):
    assert gapgym.solve(gapgym.load(EXAMPLE), name).objective == EXPECTED[name]


def test_cp_sat_proves_the_optimum_of_the_example():
    result = gapgym.solve(gapgym.load(EXAMPLE), "cp_sat", time_limit=30)
    assert (result.objective, result.bound, result.status) == (73, 73, "optimal")


@pytest.mark.data
def test_ranks_orders_and_schedules_equal_the_published_ones(data_folder):
    published = json.loads((data_folder / "soc_dag/heft_topcuoglu2002.json").read_text())
    expected, example = published["expected"], gapgym.load(EXAMPLE)
    t = tables(example)
    np.testing.assert_allclose(t.rank_up, expected["rank_u"], atol=1e-4)
    np.testing.assert_allclose(t.mean, expected["mean_exec"], atol=1e-4)
    cost = optimistic_costs(example, t)
    np.testing.assert_allclose(cost, expected["peft"]["oct"], atol=1e-9)
    for name in ("heft", "cpop", "peft"):
        schedule = SCHEDULERS[name](example)
        for task in expected[name]["schedule"]:
            i = task["task"]
            assert (schedule.pe[i], schedule.start[i]) == (task["pe"], task["start"]), name
    assert gapgym.solve(example, "heft", insertion=False).objective == 80


NAMES = {"etf_min_est": "etf"}


@pytest.mark.data
def test_public_jobs_take_what_the_reference_says(data_folder):
    root = data_folder / "soc_dag"
    references = json.loads((root / "reference_values.json").read_text())
    jobs = {f"top_{k}": references["socrates_static"][f"Top_{k}"] for k in range(1, 11)}
    means = []
    for name, values in jobs.items():
        job = top(root, name)
        check_values(job, values)
        means.append(gapgym.solve(job, "heft").objective)
    assert np.mean(means) == np.mean([values["heft"] for values in jobs.values()]) == 85.6
    for key, values in references["ds3_static"].items():
        check_values(ds3(root, key), values)


def check_values(job, values):
    for key, value in values.items():
        name = NAMES.get(key, key)
        if name in SCHEDULERS:
            assert family.objective(job, SCHEDULERS[name](job)) == value, (job.name, name)


def top(root, name):
    number = name.removeprefix("top_")
    file = root / f"socrates_raw/job_Top{'' if number == '1' else number}.txt"
    return family.read(file, soc=root / "socrates_raw/DASH.SoC.Top.txt")


def ds3(root, key):
    job, soc = key.split("@soc_")
    return family.read(root / f"ds3_raw/job_{job}.txt", soc=root / f"ds3_raw/SoC.{soc}.txt")


@pytest.mark.data
@pytest.mark.slow
def test_cp_sat_proves_every_optimum_of_the_public_jobs(data_folder):
    root = data_folder / "soc_dag"
    references = json.loads((root / "reference_values.json").read_text())
    jobs = {top(root, f"top_{k}"): f"Top_{k}" for k in range(1, 11)}
    optima = {job: references["socrates_static"][key]["optimal"] for job, key in jobs.items()}
    for key, values in references["ds3_static"].items():
        optima[ds3(root, key)] = values["optimal"]
    for job, optimum in optima.items():
        result = gapgym.solve(job, "cp_sat", time_limit=60)
        assert (result.objective, result.status) == (optimum, "optimal"), job.name


@given(instance=task_graphs(max_tasks=4))
@settings(max_examples=40)
def test_cp_sat_and_the_linear_bound_agree_with_brute_force(instance):
    optimum = soc_dag_optimum(instance)
    assert load_bound(instance) <= optimum
    result = gapgym.solve(instance, "cp_sat", time_limit=20)
    assert (result.objective, result.bound, result.status) == (optimum, optimum, "optimal")


@given(instance=task_graphs(max_tasks=4))
@settings(max_examples=40)
def test_the_model_itself_has_the_optimum_whatever_the_hint(instance):
    from gapgym.baselines import cp_sat as engine

    for area in (False, True):
        model, variables = build_model(instance, horizon=family.upper_bound(instance), area=area)
        outcome = engine.minimise(model, time_limit=20, workers=1)
        schedule = variables.schedule(outcome.values)
        family.validate(instance, schedule)
        assert family.objective(instance, schedule) == soc_dag_optimum(instance)


@given(instance=task_graphs())
def test_every_list_schedule_is_feasible_and_the_searches_are_no_worse(instance):
    values = {}
    for name, schedule in SCHEDULERS.items():
        found = schedule(instance)
        family.validate(instance, found)
        values[name] = family.objective(instance, found)
    portfolio = gapgym.solve(instance, "heft_portfolio", samples=4)
    assert portfolio.objective <= values["heft"]
    local = gapgym.solve(instance, "local_search", moves=1000)
    assert local.objective <= min(values[name] for name in ("heft", "peft", "min_eft", "dls"))


@given(instance=task_graphs(max_tasks=6))
@settings(max_examples=40)
def test_the_score_played_on_the_simulator_equals_the_construction(instance):
    """Up to ties, which the two break by different numbers: run times are made distinct."""
    from gapgym.baselines.registry import rules
    from gapgym.envs import rollout
    from gapgym.envs.registry import simulator_of

    w = instance.run_times
    distinct = np.where(w >= 0, 64 * w + np.arange(w.size).reshape(w.shape), -1)
    graph = family.SoCDagInstance(distinct, instance.edges, instance.data * 64, 1)
    rule = rules("soc_dag")["min_eft"]
    simulator = rollout.make(simulator_of("soc_dag"), graph, 1, rule.options)
    rollout.play(simulator, rule.score)
    assert simulator.solution(0) == SCHEDULERS["min_eft"](graph)


def test_local_search_reaches_the_optimum_of_the_example():
    example = gapgym.load(EXAMPLE)
    result = gapgym.solve(example, "local_search", seed=1)
    assert result.objective == 73
    again = gapgym.solve(example, "local_search", seed=1)
    assert again.solution == result.solution
    started = gapgym.solve(example, "heft").solution
    from gapgym.agents.solvers import find

    kept = find("soc_dag", "local_search")(example, start=started, moves=1)
    assert kept.objective <= 80


@given(instance=task_graphs())
def test_the_annealings_decoder_equals_the_referee(instance):
    schedule = SCHEDULERS["min_eft"](instance)
    t = tables(instance)
    ends = schedule.start + instance.run_times[np.arange(instance.num_tasks), schedule.pe]
    order = np.lexsort((t.position, ends, schedule.start))
    end, free = np.zeros(instance.num_tasks, np.int64), np.zeros(instance.num_pes, np.int64)
    value = evaluate(order, schedule.pe, t.arrays, end, free)
    assert value <= family.objective(instance, schedule)


def test_streams_are_refused_with_a_word_on_what_applies():
    stream = gapgym.load("soc_dag/stream-2x3x2")
    with pytest.raises(ValueError, match="heft: a stream, expected a SoCDagInstance"):
        gapgym.solve(stream, lambda instance: SCHEDULERS["heft"](instance))


@pytest.mark.parametrize(
    ("name", "options"),
    [("heft_portfolio", {"samples": 0}), ("heft_portfolio", {"spread": 1.5})],
)
def test_wrong_options_are_refused(name, options):
    with pytest.raises(ValueError, match=r"samples .*, spread"):
        gapgym.solve(gapgym.load(EXAMPLE), name, **options)
