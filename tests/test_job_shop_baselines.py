import logging
import re
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from brute_force import job_shop_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import job_shops, stochastic_job_shops

from gapgym.baselines import Status, cp_sat, job_shop_construct
from gapgym.baselines import job_shop as baselines
from gapgym.baselines.job_shop import RULES, SOLVERS, build_model
from gapgym.instances import load
from gapgym.instances.job_shop import (
    JobShopInstance,
    JobShopSolution,
    best_known,
    lower_bound,
    objective,
    uniform,
    upper_bound,
    validate,
)

solve = baselines.cp_sat
RULES_OF_SHOP = RULES["job_shop"]


def exactly(message):
    return f"^{re.escape(message)}$"


# Rules.

NAN = np.nan
COLUMNS = {
    "processing_time": np.array([[2.0, 1.0, NAN, 4.0], [0.5, 0.5, 3.0, NAN]]),
    "work_remaining": np.array([[8.0, 1.0, NAN, 5.0], [2.0, 4.0, 3.0, NAN]]),
    "work_done": np.array([[1.0, 6.0, NAN, 0.0], [1.0, 1.0, 0.0, NAN]]),
    "operations_remaining": np.array([[3.0, 1.0, NAN, 4.0], [2.0, 2.0, 1.0, NAN]]),
    "job_ready": np.array([[0.0, -3.0, NAN, 2.0], [1.0, 0.0, 0.0, NAN]]),
    "wait": np.array([[0.0, 3.0, NAN, 1.0], [0.0, 1.0, 0.0, NAN]]),
}


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("random", [0, 0]),
        ("fifo", [1, 1]),
        ("spt", [1, 0]),
        ("lpt", [3, 2]),
        ("mwkr", [0, 1]),
        ("lwkr", [1, 0]),
        ("mopnr", [3, 0]),
        ("fdd_mwkr", [0, 1]),  # 3/8, 7, -, 4/5 and 3/4, 3/8, 1
        ("spt_mwkr", [0, 1]),  # 1/4, 1, -, 4/5 and 1/4, 1/8, 1
        ("active_wait", [0, 0]),  # ln 1/4, 6, -, ln 4/5 + 1/2 and ln 1/4, ln 1/8 + 4, 0
    ],
)
def test_rules_choose_what_their_name_says(name, chosen):
    score = RULES_OF_SHOP[name].score(COLUMNS)
    available = ~np.isnan(COLUMNS["wait"])
    assert np.isfinite(score[available]).all()
    assert np.where(available, score, -np.inf).argmax(axis=1).tolist() == chosen


@pytest.mark.parametrize("name", [name for name in RULES_OF_SHOP if name != "random"])
def test_scores_of_unavailable_candidates_are_not_numbers(name):
    score = RULES_OF_SHOP[name].score(COLUMNS)
    assert (np.isnan(score) == np.isnan(COLUMNS["wait"])).all()


@pytest.mark.parametrize("name", RULES_OF_SHOP)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_choices_do_not_depend_on_the_unit(name, dtype):
    score = RULES_OF_SHOP[name].score
    columns = {key: column.astype(dtype) for key, column in COLUMNS.items()}
    halves = {
        key: column if key == "operations_remaining" else column / 2
        for key, column in columns.items()
    }
    for row in range(2):
        ranks = np.argsort(score(columns)[row], kind="stable")
        assert ranks.tolist() == np.argsort(score(halves)[row], kind="stable").tolist()


@pytest.mark.parametrize("name", ["spt", "fdd_mwkr", "spt_mwkr", "active_wait"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    work=st.lists(
        st.tuples(st.integers(1, 2**20), st.integers(0, 2**20), st.integers(0, 2**20)),
        min_size=1,
        max_size=4,
    ),
    rest=st.integers(0, 2**20),
    done=st.integers(0, 2**20),
)
def test_operations_without_duration_go_first(name, dtype, work, rest, done):
    p, rests, dones = np.array([*work, (0, rest, done)], dtype=dtype).T / 2**10
    columns = {
        "processing_time": p[None],
        "work_remaining": (p + rests)[None],
        "work_done": dones[None],
        "wait": np.zeros_like(p)[None],
    }
    score = RULES_OF_SHOP[name].score(columns)
    assert np.isfinite(score).all()
    assert score.argmax() == len(work)


def test_an_operation_without_duration_is_not_waited_for():
    columns = {
        "processing_time": np.array([[9.0, 0.0, NAN]]),
        "work_remaining": np.array([[9.0, 5.0, NAN]]),
        "wait": np.array([[0.0, 0.01, NAN]]),
    }
    score = RULES_OF_SHOP["active_wait"].score(columns)
    assert np.isfinite(score[0, :2]).all()
    assert score[0, 0] > score[0, 1]


def test_rules_say_how_they_are_played():
    options = {name: dict(rule.options) for name, rule in RULES_OF_SHOP.items()}
    assert options.pop("active_wait") == {}  # the simulator's default, which is active
    assert all(given_options == {"schedule": "non-delay"} for given_options in options.values())
    assert [name for name, rule in RULES_OF_SHOP.items() if rule.noise] == ["random"]


# Constructed schedules.

CONSTRUCTIONS = {
    "active_wait": job_shop_construct.active_wait,
    "spt_mwkr": job_shop_construct.spt_mwkr,
}


def dispatch(instance, name):
    """A rule played in plain Python on the columns that it asks for."""
    p, machines = instance.durations.tolist(), instance.machines.tolist()
    lengths = instance.num_operations.tolist()
    rule = RULES_OF_SHOP[name]
    done, ready = [0] * len(lengths), [0] * len(lengths)
    free = [0] * instance.num_machines
    start = np.full(instance.machines.shape, -1)
    while any(done[j] < length for j, length in enumerate(lengths)):
        jobs = [j for j, length in enumerate(lengths) if done[j] < length]
        begin = {j: max(ready[j], free[machines[j][done[j]]]) for j in jobs}
        end = {j: begin[j] + p[j][done[j]] for j in jobs}
        if rule.options.get("schedule", "active") == "active":
            first = min(jobs, key=end.get)
            competitors = [j for j in jobs if machines[j][done[j]] == machines[first][done[first]]]
            allowed = [j for j in competitors if begin[j] < end[first] or end[j] == end[first]]
        else:
            allowed = [j for j in jobs if begin[j] == min(begin.values())]
        earliest = min(begin[j] for j in allowed)
        columns = {
            "processing_time": [p[j][done[j]] for j in allowed],
            "work_remaining": [sum(p[j][done[j] :]) for j in allowed],
            "wait": [begin[j] - earliest for j in allowed],
        }
        columns = {key: np.array([column], dtype=float) for key, column in columns.items()}
        job = allowed[int(rule.score(columns)[0].argmax())]
        start[job, done[job]] = begin[job]
        ready[job] = free[machines[job][done[job]]] = end[job]
        done[job] += 1
    return JobShopSolution(start)


@pytest.mark.parametrize("name", CONSTRUCTIONS)
@given(instance=st.one_of(job_shops(), stochastic_job_shops()))
def test_constructed_schedules_are_those_of_the_rules(name, instance):
    solution = CONSTRUCTIONS[name](instance)
    validate(instance, solution)
    assert solution == dispatch(instance, name)


@given(instance=job_shops())
def test_active_schedules_leave_no_gap_that_an_operation_fits_in(instance):
    start = job_shop_construct.active_wait(instance).start
    end = start + instance.durations
    for j, k in np.argwhere(instance.machines >= 0):
        others = instance.machines == instance.machines[j, k]
        others[j, k] = False
        for time in range(end[j, k - 1] if k else 0, start[j, k]):
            ends = time + instance.durations[j, k]
            assert not ((end[others] <= time) | (start[others] >= ends)).all()


@given(instance=job_shops())
def test_non_delay_schedules_never_keep_an_operation_waiting_for_an_idle_machine(instance):
    start = job_shop_construct.spt_mwkr(instance).start
    end = start + instance.durations
    for j, k in np.argwhere(instance.machines >= 0):
        others = instance.machines == instance.machines[j, k]
        others[j, k] = False
        for time in range(end[j, k - 1] if k else 0, start[j, k]):
            assert ((start[others] <= time) & (time < end[others])).any()


@pytest.mark.parametrize(
    ("name", "groups", "average"),
    [
        ("active_wait", [14.3, 17.4, 14.8, 17.8, 20.0, 12.0, 12.3, 4.3], 14.1),
        ("spt_mwkr", [16.6, 17.3, 18.3, 16.3, 19.0, 12.2, 12.5, 3.7], 14.5),
    ],
)
def test_gaps_on_the_taillard_shops_are_the_known_ones(name, groups, average):
    gaps = []
    for number in range(1, 81):
        shop = load(f"job_shop/ta{number:02d}")
        gaps.append(100 * (objective(shop, CONSTRUCTIONS[name](shop)) / best_known(shop).upper - 1))
    assert np.reshape(gaps, (8, 10)).mean(axis=1) == pytest.approx(groups, abs=0.06)
    assert np.mean(gaps) == pytest.approx(average, abs=0.06)


@pytest.mark.slow
def test_large_shops_can_be_constructed():
    shop = uniform(1000, 100, seed=1)
    for construct in CONSTRUCTIONS.values():
        solution = construct(shop)
        validate(shop, solution)
        assert objective(shop, solution) < 1.05 * lower_bound(shop)


# CP-SAT on the job shop.


@settings(max_examples=150)
@given(instance=job_shops())
def test_model_agrees_with_brute_force(instance):
    model, variables = build_model(instance, horizon=upper_bound(instance))
    outcome = cp_sat.minimise(model, workers=1)
    solution = variables.schedule(outcome.values, instance)
    validate(instance, solution)
    assert outcome.status is Status.OPTIMAL
    assert objective(instance, solution) == outcome.bound == job_shop_optimum(instance)


@settings(max_examples=50)
@given(instance=st.one_of(job_shops(), stochastic_job_shops()))
def test_solver_agrees_with_brute_force(instance):
    result = solve(instance, workers=1)
    assert result.status is Status.OPTIMAL
    assert result.objective == result.bound == job_shop_optimum(instance)


@settings(max_examples=25)
@given(instance=job_shops(max_jobs=3, max_time=2))
def test_operations_without_duration_are_strict_for_every_portfolio(instance):
    model, variables = build_model(instance, horizon=upper_bound(instance))
    outcome = cp_sat.minimise(model, workers=8)
    validate(instance, variables.schedule(outcome.values, instance))
    assert outcome.bound == job_shop_optimum(instance)


@pytest.mark.parametrize(
    ("name", "optimum"),
    [("ft06", 55), ("la01", 666), ("la02", 655), ("la03", 597), ("la04", 590), ("la05", 593)],
)
def test_published_optima_are_proven(name, optimum):
    result = solve(load(f"job_shop/{name}"), time_limit=60)
    assert (result.objective, result.status) == (optimum, Status.OPTIMAL)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "optimum"), [("ft10", 930), ("orb07", 397), ("abz5", 1234)])
def test_published_optima_of_ten_jobs_are_proven(name, optimum):
    result = solve(load(f"job_shop/{name}"), time_limit=300)
    assert (result.objective, result.status) == (optimum, Status.OPTIMAL)


def test_first_incumbent_is_the_better_constructed_schedule():
    shop = load("job_shop/ft10")
    result = solve(shop, time_limit=2)
    best = min(objective(shop, construct(shop)) for construct in CONSTRUCTIONS.values())
    values = [incumbent.objective for incumbent in result.incumbents]
    assert values[0] == best > values[-1] == result.objective
    assert values == sorted(set(values), reverse=True)
    assert lower_bound(shop) <= result.bound <= 930 <= result.objective


def test_without_time_the_constructed_schedule_is_returned():
    shop = load("job_shop/ta71")
    result = solve(shop, time_limit=1e-6)
    assert result.status is Status.FEASIBLE
    assert result.bound == lower_bound(shop)
    assert result.objective == objective(shop, job_shop_construct.active_wait(shop)) == 5620


def test_engine_without_time_leaves_the_constructed_schedule(monkeypatch):
    shop = load("job_shop/ta41")
    unknown = cp_sat.Outcome(Status.UNKNOWN, None, None)
    monkeypatch.setattr(cp_sat, "minimise", lambda *_, **__: unknown)
    result = solve(shop, time_limit=60)
    assert result.status is Status.FEASIBLE
    assert result.bound == lower_bound(shop)
    assert result.objective == result.incumbents[0].objective


def test_search_begins_from_the_start_it_is_given():
    shop = load("job_shop/ft10")
    start = solve(shop, time_limit=1).solution
    result = solve(shop, start=start, time_limit=1)
    assert result.incumbents[0].objective == objective(shop, start)
    assert result.objective <= objective(shop, start)


def test_broken_start_is_refused():
    start = JobShopSolution(np.zeros((6, 6), dtype=int))
    with pytest.raises(ValueError, match=r"^operation \(0, 1\): starts at 0, expected"):
        solve(load("job_shop/ft06"), start=start)


def test_bad_start_does_no_harm():
    shop = load("job_shop/ft06")
    late = JobShopSolution(job_shop_construct.active_wait(shop).start + 1000)
    result = solve(shop, start=late)
    assert result.objective == 55
    assert result.incumbents[0].objective > 1000


def test_reference_of_a_stochastic_shop_knows_the_scenario():
    shop = replace(load("job_shop/ft06"), cv=0.3, scenario=2)
    known = JobShopInstance(shop.machines, shop.durations)
    assert solve(shop).objective == solve(known).objective != 55


def test_deterministic_runs_repeat_among_many_optima():
    shop = uniform(6, 6, seed=3)
    runs = [solve(shop, deterministic=True, seed=4) for _ in range(6)]
    assert {run.status for run in runs} == {Status.OPTIMAL}
    assert len({run.solution.digest for run in runs}) == 1


def test_deterministic_runs_repeat():
    shop = load("job_shop/ft10")
    one, other = [solve(shop, deterministic=True, time_limit=0.05, seed=3) for _ in range(2)]
    assert one.solution == other.solution
    assert one.bound == other.bound
    assert one.objective < one.incumbents[0].objective


def test_own_constraints_can_be_added_to_the_model():
    shop = load("job_shop/ft06")
    model, variables = build_model(shop, horizon=100)
    model.add(variables.start[2, 0] >= 20)  # a release date
    model.add(variables.start[0, 5] + 6 <= 40)  # a due date
    outcome = cp_sat.minimise(model)
    solution = variables.schedule(outcome.values, shop)
    validate(shop, solution)
    assert solution.start[2, 0] >= 20
    assert solution.start[0, 5] <= 34
    assert objective(shop, solution) == outcome.bound > 55


def test_default_horizon_holds_the_optimum():
    model, _ = build_model(load("job_shop/ft06"))
    assert cp_sat.minimise(model).bound == 55


def test_solvers_stand_under_their_names():
    assert SOLVERS["job_shop"]["cp_sat"] is solve


# The engine.


def small_model(rows=3):
    """Minimise x + y + 3 over 0 <= x, y <= 9 with x + 2 y >= 7: optimum 7 at y = 4, x = 0."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    x, y = model.new_int_var(0, 9, "x"), model.new_int_var(0, 9, "y")
    model.add(x + 2 * y >= 7)
    return model, x, y


def test_outcome_holds_status_bound_and_values():
    model, x, y = small_model()
    model.minimize(x + y + 3)
    outcome = cp_sat.minimise(model)
    assert (outcome.status, outcome.bound) == (Status.OPTIMAL, 7)
    assert outcome.values[x.index] + 2 * outcome.values[y.index] >= 7
    assert outcome.values.sum() == 4


def test_model_without_objective_is_feasible_not_optimal():
    model, x, y = small_model()
    outcome = cp_sat.minimise(model)
    assert (outcome.status, outcome.bound) == (Status.FEASIBLE, None)
    assert outcome.values[x.index] + 2 * outcome.values[y.index] >= 7


def test_contradiction_is_infeasible():
    model, x, y = small_model()
    model.add(x + 2 * y <= 6)
    model.minimize(x)
    assert cp_sat.minimise(model) == cp_sat.Outcome(Status.INFEASIBLE, None, None)


def test_bound_of_a_run_without_time_is_not_made_up():
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    x = [model.new_int_var(-9, 9, "") for _ in range(50)]
    for i in range(48):
        model.add(3 * x[i] - 5 * x[i + 1] + 7 * x[i + 2] >= 4)
    model.add_all_different(x[:10])
    model.minimize(sum(x) - 5000)
    assert cp_sat.minimise(model, time_limit=1e-9) == cp_sat.Outcome(Status.UNKNOWN, None, None)


def test_only_minimisation_of_integers_is_solved():
    model, x, y = small_model()
    model.maximize(x)
    message = "CP-SAT model: maximises, expected a minimisation."
    with pytest.raises(ValueError, match=exactly(message)):
        cp_sat.minimise(model)
    model.minimize(0.5 * x + y)
    message = "CP-SAT model: objective with fractions, expected integer coefficients."
    with pytest.raises(ValueError, match=exactly(message)):
        cp_sat.minimise(model)


def test_invalid_model_is_refused():
    model, x, _ = small_model()
    model.add(x * 2**62 <= 5)
    with pytest.raises(ValueError, match=r"^CP-SAT model: .*overflow"):
        cp_sat.minimise(model)


@pytest.mark.parametrize(
    ("reported", "optimal", "bound"),
    [
        (11.0, False, 11),
        (11.0 + 1e-9, False, 11),
        (11.0 - 1e-9, False, 11),
        (11.2, False, 12),
        (-11.8, False, -11),
        (0.0, False, None),
        (0.0, True, 0),
        (-np.inf, False, None),
        (np.nan, False, None),
    ],
)
def test_bounds_are_rounded_up_but_not_past_the_tolerance(reported, optimal, bound):
    assert cp_sat._bound(reported, optimal) == bound


@given(value=st.integers(1, 2**53))
def test_integer_bounds_never_grow(value):
    assert value - max(1, value * 1e-11) <= cp_sat._bound(float(value), False) <= value


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"use_objective_lb": True},
            r"^unknown CP-SAT parameter 'use_objective_lb' \(close: use_objective_lb_search, .*\),"
            r" expected one of SatParameters\.$",
        ),
        ({"copy_from": 1}, r"^unknown CP-SAT parameter 'copy_from'"),
        ({"__class__": 1}, r"^unknown CP-SAT parameter '__class__'"),
        (
            {"num_workers": "two"},
            r"^CP-SAT parameter 'num_workers': str, expected another type\.$",
        ),
        (
            {"extra_subsolvers": [3]},
            r"^CP-SAT parameter 'extra_subsolvers': list, expected another type\.$",
        ),
    ],
)
def test_unknown_parameters_are_one_line(parameters, message):
    model, *_ = small_model()
    with pytest.raises(ValueError, match=message):
        cp_sat.minimise(model, parameters=parameters)


def test_parameters_workers_and_log_reach_the_engine(caplog):
    shop = load("job_shop/ft06")
    parameters = {"use_objective_lb_search": True, "extra_subsolvers": ["quick_restart"]}
    with caplog.at_level(logging.INFO, logger="gapgym"):
        result = solve(shop, seed=17, workers=3, log=True, parameters=parameters)
    assert result.objective == 55
    assert "use_objective_lb_search: true" in caplog.text
    assert 'extra_subsolvers: "quick_restart"' in caplog.text
    assert "random_seed: 17" in caplog.text
    assert "num_workers: 3" in caplog.text


def test_nothing_is_logged_or_printed_unasked(caplog, capfd):
    with caplog.at_level(logging.DEBUG, logger="gapgym"):
        solve(load("job_shop/ft06"))
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_negative_number_of_workers_is_refused():
    message = "workers -1, expected >= 1, or 0 for one per core."
    with pytest.raises(ValueError, match=exactly(message)):
        solve(load("job_shop/ft06"), workers=-1)


def test_complete_hint_is_the_first_solution():
    shop = load("job_shop/ta41")
    hint = job_shop_construct.spt_mwkr(shop)
    makespan = objective(shop, hint)
    model, variables = build_model(shop, horizon=upper_bound(shop))
    seen = []

    def keep(values):
        seen.append(values[variables.makespan.index])

    cp_sat.minimise(
        model,
        time_limit=60,
        hint=variables.hint(hint, makespan),
        on_solution=keep,
        parameters={"stop_after_first_solution": True},
    )
    assert seen[0] <= makespan


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_what_a_callback_raises_ends_the_search(error):
    shop = load("job_shop/ta41")
    calls = []

    def fail(values):
        calls.append(values)
        raise error

    model, _ = build_model(shop, horizon=upper_bound(shop))
    with pytest.raises(type(error)) as raised:
        cp_sat.minimise(model, time_limit=60, on_solution=fail)
    assert raised.value is error
    assert len(calls) == 1


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )


def test_ctrl_c_during_the_search_returns_the_best_so_far():
    done = run_python("""
        import os, signal, threading
        from gapgym.baselines.job_shop import cp_sat
        from gapgym.instances import load

        found = threading.Event()

        def press(incumbent):
            if incumbent.seconds > 0.2 and not found.is_set():
                found.set()
                threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

        result = cp_sat(load("job_shop/ta41"), time_limit=60, on_incumbent=press)
        assert result.objective == result.incumbents[-1].objective
        assert result.solution is not None
        assert result.status == "feasible"
        assert result.seconds < 50
        print("fine")
    """)
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


def test_engine_is_imported_only_when_it_is_used():
    done = run_python("""
        import sys
        import gapgym.baselines.job_shop
        import gapgym.baselines.cp_sat
        assert not any(name.partition(".")[0] == "ortools" for name in sys.modules)
        print("fine")
    """)
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr
