"""The flexible job shop: its instances, its referee, its files, and its solvers."""

import csv

import brute_force
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import flexible_job_shops

import gapgym
from gapgym.baselines import Status
from gapgym.baselines.job_shop_flexible import build_model
from gapgym.baselines.job_shop_flexible_construct import constructed
from gapgym.instances import job_shop as family
from gapgym.instances.job_shop import FlexibleJobShopInstance, FlexibleJobShopSolution, read, write
from gapgym.instances.job_shop_flexible_generators import GENERATORS

TWO = [[{0: 3}, {1: 2}], [{1: 2}, {0: 4}]]


def shop(jobs=None, **fields):
    return FlexibleJobShopInstance.from_lists(jobs or TWO, 2, **fields)


# The referee.


@pytest.mark.parametrize(
    ("fields", "starts", "message"),
    [
        ({}, [[0, 3], [0, 2]], r"machine 0: operations \(0, 0\) \[0, 3\) and \(1, 1\) \[2, 6\)"),
        ({}, [[0, 2], [0, 3]], r"operation \(0, 1\): starts at 2, expected at or after the end 3"),
        ({"release_dates": [1, 0]}, [[0, 3], [0, 3]], r"operation \(0, 0\): .* the release 1"),
        (
            {"downtimes": [(1, 4, 6)]},
            [[0, 3], [0, 3]],
            r"machine 1: .*\(0, 1\).* downtime \[4, 6\)",
        ),
        ({"buffer": "no-wait"}, [[0, 3], [0, 3]], r"operation \(1, 1\): .* end 2 .*: no wait"),
        ({"buffer": "blocking"}, [[0, 4], [0, 5]], r"machine 0|machine 1: .* overlap"),
        ({"buffer": "blocking"}, [[0, 3], [0, 4]], r"machine 1: operations \(1, 0\) \[0, 4\)"),
        ({"setups": np.full((2, 3, 2), 1)}, [[0, 4], [1, 5]], r"\(0, 0\) starts at 0.* setup 1"),
        ({"setups": np.full((2, 3, 2), 1)}, [[1, 4], [1, 4]], r"expected at or after|plus its"),
    ],
)
def test_every_constraint_is_named(fields, starts, message):
    instance = shop(**fields)
    with pytest.raises(ValueError, match=message):
        family.validate(instance, FlexibleJobShopSolution(starts, [[0, 1], [1, 0]]))


def test_jobs_that_block_one_another_may_swap():
    swap = FlexibleJobShopSolution([[0, 3], [0, 3]], [[0, 1], [1, 0]])
    family.validate(shop(buffer="blocking"), swap)
    assert family.objective(shop(buffer="blocking"), swap) == 7
    assert gapgym.solve(shop(buffer="blocking"), "cp_sat", time_limit=20).objective == 7


def test_a_blocked_job_may_stand_on_a_machine_that_is_down():
    instance = shop(buffer="blocking", downtimes=[(1, 2, 3)])
    family.validate(instance, FlexibleJobShopSolution([[0, 3], [0, 3]], [[0, 1], [1, 0]]))


def test_machines_that_are_not_eligible_are_refused():
    plan = FlexibleJobShopSolution([[0, 3], [0, 3]], [[1, 1], [1, 0]])
    with pytest.raises(ValueError, match=r"operation \(0, 0\): machine 1, expected one of \[0\]"):
        family.validate(shop(), plan)


def test_objectives_by_hand():
    plan = FlexibleJobShopSolution([[0, 3], [0, 3]], [[0, 1], [1, 0]])  # jobs end at 5 and 7
    dates = {"release_dates": [0, 0], "due_dates": [6, 4], "weights": [5, 3]}
    values = {"makespan": 7, "weighted_tardiness": 9, "flow_time": 46}
    for objective, value in values.items():
        instance = shop(objective=objective, **dates)
        assert family.objective(instance, plan) == value
        assert family.lower_bound(instance) <= value <= family.upper_bound(instance)
    figures = family.metrics(shop(**dates), plan)
    assert figures["tardy_jobs"] == 1
    assert figures["utilisation"] == 11 / 14


# Bad instances.


@pytest.mark.parametrize(
    ("jobs", "fields", "message"),
    [
        ([[{0: 1}, {}]], {}, r"operation \(0, 1\): no eligible machine, expected at least 1\."),
        ([[{2: 1}]], {}, r"operation \(0, 0\): machine 2, expected 0\.\.1\."),
        ([[{0: -3}]], {}, r"operation \(0, 0\): time -3 on machine 0"),
        (TWO, {"due_dates": [3, 3], "release_dates": [0, 4]}, "job 1: due date 3, .* release 4"),
        (
            TWO,
            {"downtimes": [(1, 3, 6), (1, 5, 8)]},
            r"machine 1: .* \[3, 6\) and \[5, 8\) overlap",
        ),
        (TWO, {"downtimes": [(1, 3, 3)]}, r"machine 1: downtime \[3, 3\)"),
        (TWO, {"objective": "weighted_tardiness"}, "without due_dates"),
        (TWO, {"objective": "lateness"}, "objective 'lateness', expected one of"),
        (TWO, {"buffer": "some"}, "buffer 'some', expected one of"),
        (TWO, {"weights": [1, -1]}, "job 1: weights -1"),
        (
            TWO,
            {"setups": np.ones((2, 2, 2), dtype=int)},
            r"setups \(2, 2, 2\), expected \(2, 3, 2\)",
        ),
        (
            TWO,
            {"setups": np.ones((2, 3, 2), dtype=int), "buffer": "blocking"},
            "operations of job 0",
        ),
        ([[{0: 2**53}]], {}, "expected below 2\\^53"),
    ],
)
def test_bad_instances_are_named(jobs, fields, message):
    with pytest.raises(ValueError, match=message):
        shop(jobs, **fields)


# Files.

PLAIN = "2 2 1.5\n2 2 1 3 2 4 1 2 5\n1 1 2 7\n"


def test_machines_are_counted_from_one_where_none_is_zero(tmp_path):
    (tmp_path / "small.fjs").write_text(PLAIN)
    found = read(tmp_path / "small.fjs")
    assert found == FlexibleJobShopInstance.from_lists([[{0: 3, 1: 4}, {1: 5}], [{1: 7}]])
    assert found.name == "small"
    (tmp_path / "zero.txt").write_text("2 2\n2 2 0 3 1 4 1 1 5\n1 1 1 7\n")
    assert read(tmp_path / "zero.txt") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("1 1 2 7", "1 0"), "bad.fjs, line 3: operation 0 has no eligible machine"),
        (PLAIN.replace("2 7", "2"), "bad.fjs, line 3: ends too early, expected its time"),
        (PLAIN.replace("2 7", "2 7 9"), "bad.fjs, line 3: 1 numbers after the last operation"),
        (PLAIN.replace("2 7", "3 7"), r"bad.fjs, line 3: machine 3, expected 1\.\.2"),
        (PLAIN.replace("2 7", "2 -7"), "bad.fjs, line 3: processing time -7"),
        (PLAIN.replace("2 7", "2 x"), "bad.fjs, line 3: 'x', expected an integer"),
        (PLAIN.replace("1 3 2 4", "1 3 1 4"), "bad.fjs, line 2: machine 1 twice"),
        (PLAIN + "1 1 1 1\n", "bad.fjs: 3 lines of operations, expected 2"),
        ("0 2\n", "bad.fjs, line 1: 0 jobs and 2 machines"),
        ("# nothing\n", "bad.fjs: only comments"),
    ],
)
def test_bad_files_name_the_line(tmp_path, text, message):
    (tmp_path / "bad.fjs").write_text(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "bad.fjs")


@given(instance=flexible_job_shops())
def test_files_give_the_instance_back(tmp_path_factory, instance):
    folder = tmp_path_factory.mktemp("files")
    write(instance, folder / "a.json")
    assert read(folder / "a.json") == instance
    plain = FlexibleJobShopInstance(instance.times, instance.num_operations)
    write(plain, folder / "a.fjs")
    assert read(folder / "a.fjs") == plain
    if instance != plain:
        with pytest.raises(ValueError, match="eligible machines and times only"):
            write(instance, folder / "b.fjs")


def test_a_classic_shop_becomes_flexible_by_an_option():
    found = gapgym.load("job_shop/ft06", buffer="blocking")
    assert (found.problem, found.name, found.buffer) == ("flexible_job_shop", "ft06", "blocking")
    assert (np.count_nonzero(found.times >= 0, axis=2) == 1).all()
    with pytest.raises(ValueError, match="stochastic"):
        gapgym.load("job_shop/ft06", cv=0.2, buffer="blocking")


@given(kind=st.sampled_from(sorted(GENERATORS)), n=st.integers(1, 6), seed=st.integers(0, 99))
def test_generators_repeat_themselves_and_name_their_shops(kind, n, seed):
    made = family.generate(n, 3, kind=kind, seed=seed)
    assert made.times.shape == (n, 3, 3)
    assert made == gapgym.load(f"job_shop/{made.name}")
    assert made == family.generate(n, 3, kind=kind, seed=np.random.default_rng(seed))


# Solvers.


@settings(max_examples=60)
@given(flexible_job_shops(max_jobs=2, max_machines=2, max_operations=2, max_time=3, min_time=1))
def test_cp_sat_finds_the_optimum_of_every_feature(instance):
    best = constructed(instance)
    family.validate(instance, best)
    latest = min(instance.horizon, 14)
    optimum = brute_force.flexible_job_shop_optimum(instance, latest)
    result = gapgym.solve(instance, "cp_sat", deterministic=True)
    assert result.status is Status.OPTIMAL
    if optimum is not None and latest == instance.horizon:
        assert result.objective == optimum
    elif optimum is not None:
        assert result.objective <= optimum
    assert family.lower_bound(instance) <= result.objective


@settings(max_examples=60)
@given(flexible_job_shops(max_jobs=4, max_operations=4))
def test_constructed_schedules_are_valid(instance):
    best = constructed(instance)
    family.validate(instance, best)
    assert family.lower_bound(instance) <= family.objective(instance, best)
    assert family.objective(instance, best) <= family.upper_bound(instance)
    assert constructed(instance, best) == best


@settings(max_examples=30)
@given(flexible_job_shops(min_time=1))
def test_a_constructed_schedule_is_a_complete_feasible_hint(instance):
    from ortools.sat.python import cp_model

    best = constructed(instance)
    model, variables = build_model(instance, horizon=instance.horizon)
    hinted = {variable.index: value for variable, value in variables.hint(instance, best)}
    assert len(hinted) == len(model.proto.variables)
    for index, value in hinted.items():
        model.add(model.get_int_var_from_proto_index(index) == value)
    engine = cp_model.CpSolver()
    engine.parameters.num_workers = 1
    assert engine.solve(model) == cp_model.OPTIMAL
    assert engine.objective_value == family.objective(instance, best)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "buffer", "optimum"),  # Mascis and Pacciarelli 2002, doi:10.1016/S0377-2217(01)00338-1
    [
        ("ft06", "unlimited", 55),
        ("ft06", "blocking", 63),
        ("ft06", "no-wait", 73),
        ("la01", "no-wait", 971),
        ("la02", "no-wait", 937),
        ("la03", "no-wait", 820),
        ("la04", "no-wait", 887),
    ],
)
def test_published_optima_are_proven(name, buffer, optimum):
    instance = gapgym.load(f"job_shop/{name}", buffer=buffer)
    result = gapgym.solve(instance, "cp_sat", time_limit=300)
    assert (result.objective, result.status) == (optimum, Status.OPTIMAL)


@pytest.mark.data
def test_brandimarte_shops_are_read_and_mk01_is_solved(data_folder):
    folder = data_folder / "job_shop" / "fjsp"
    rows = list(csv.DictReader((folder / "bounds.csv").read_text().splitlines()))
    for row in rows:
        if (file := folder / f"{row['name']}.txt").exists():
            instance = read(file)
            assert instance.num_jobs == int(row["jobs"])
            assert instance.num_operations.sum() == int(row["operations"])
            assert family.lower_bound(instance) <= int(row["lower_bound"])
            assert family.objective(instance, constructed(instance)) >= int(row["lower_bound"])
    best = {row["name"]: int(row["upper_bound"]) for row in rows}
    result = gapgym.solve(read(folder / "mk01.txt"), "cp_sat", time_limit=60)
    assert result.objective == best["mk01"]
    assert result.status is Status.OPTIMAL
