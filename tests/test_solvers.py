"""Contracts that every registered solver keeps, and the registry itself."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import GENERATE, INSTANCES, SOLVER_INSTANCES

import gapgym
from gapgym.agents.solvers import find, register_solver, rule_from_file, solvers
from gapgym.baselines import Draft, Status
from gapgym.envs.registry import simulator_of
from gapgym.instances import family_of, gap_level
from gapgym.instances.registry import named_generator

SOLVERS = [(problem, name) for problem in INSTANCES for name in sorted(solvers(problem))]
each_solver = pytest.mark.parametrize(("problem", "name"), SOLVERS)

#: Engines that run threads repeat their results only if asked.
DETERMINISTIC = {"cp_sat": {"deterministic": True}}


@each_solver
@settings(max_examples=20)
@given(data=st.data(), seed=st.integers(0, 9))
def test_result_is_consistent_with_the_referee(problem, name, data, seed):
    instance = data.draw(SOLVER_INSTANCES.get((problem, name), INSTANCES[problem]))
    family = family_of(instance)
    result = gapgym.solve(instance, name, time_limit=5, seed=seed, **DETERMINISTIC.get(name, {}))
    assert (result.solver, result.seed, result.instance) == (name, seed, instance)
    assert result.status in (Status.OPTIMAL, Status.FEASIBLE)
    family.validate(instance, result.solution)
    assert result.objective == family.objective(instance, result.solution)
    assert result.metrics == family.metrics(instance, result.solution)
    assert family.lower_bound(instance) <= result.objective <= family.upper_bound(instance)
    assert result.seconds >= 0
    trail = [incumbent.objective for incumbent in result.incumbents]
    assert trail == sorted(set(trail), reverse=True)
    assert trail[-1] == result.objective
    if result.bound is not None:
        assert result.bound <= result.objective
        assert (result.bound == result.objective) is (result.status is Status.OPTIMAL)
    compared = result.bound is not None and _reference(result.objective, result.bound) != 0
    assert compared is not math.isnan(result.bound_gap)


def _reference(objective, bound):
    """The number that the gap is relative to: of tuples, that of the first level that differs."""
    if not isinstance(bound, tuple):
        return bound or objective == bound
    level = gap_level(objective, bound)
    return True if level is None else bound[level]


def test_a_rule_plays_the_mode_that_it_is_told():
    instance = gapgym.load("tardiness/pvw-30-s1")
    whole = gapgym.solve(instance, "random", seed=1).objective
    decomposed = gapgym.solve(instance, "random", seed=1, mode="decompose").objective
    assert decomposed < whole / 2  # every place of the game is a reasonable one
    with pytest.raises(ValueError, match="mode 'odd', expected one of: dispatch"):
        gapgym.solve(instance, "random", mode="odd")


@each_solver
def test_same_seed_same_solution(problem, name):
    instance = tiny(problem)
    options = DETERMINISTIC.get(name, {})
    first = gapgym.solve(instance, name, time_limit=20, seed=4, **options)
    second = gapgym.solve(instance, name, time_limit=20, seed=4, **options)
    assert first.solution == second.solution


def tiny(problem):
    """A seeded instance of the problem, of the size that its environment plays by default."""
    if problem in GENERATE:
        family = next(f for f in gapgym.instances.FAMILIES.values() if problem in f.PROBLEMS)
        return family.generate(seed=3, **GENERATE[problem])
    simulator = simulator_of(problem)
    name = simulator.default_instance.rpartition("-s")[0]
    return named_generator(simulator.family, name)(seed=3)


@each_solver
def test_unknown_option_is_refused_by_name(problem, name):
    with pytest.raises(ValueError, match=f"^{name}: unknown option 'colour', expected some of: "):
        gapgym.solve(tiny(problem), name, colour="red")


def test_unknown_solver_lists_those_there_are():
    with pytest.raises(ValueError, match=r"unknown solver 'cpsat' for job_shop, expected one of: "):
        gapgym.solve(tiny("job_shop"), "cpsat")
    with pytest.raises(ValueError, match="str, expected an instance"):
        gapgym.solve("ft06")


def test_a_registered_solver_is_found_by_name(monkeypatch):
    monkeypatch.setattr("gapgym.agents.solvers._registered", {})
    made = register_solver("job_shop", "mine", lambda instance: Draft(None, 3, Status.UNKNOWN))
    assert find("job_shop", "mine") is made
    assert gapgym.solve(tiny("job_shop"), "mine").status is Status.UNKNOWN
    with pytest.raises(ValueError, match="'mine' of job_shop exists"):
        gapgym.register_solver("job_shop", "mine", lambda instance: None)
    with pytest.raises(ValueError, match="unknown problem 'golf'"):
        gapgym.register_solver("golf", "mine", lambda instance: None)


RULES = """
from gapgym.baselines import Rule

def shortest(c):
    return -c["processing_time"]

shortest_first = Rule(shortest, {"schedule": "non-delay"})
number = 3
"""


def test_rules_of_the_user_come_from_files(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(RULES)
    shop = gapgym.load("job_shop/ft06")
    plain = gapgym.solve(shop, "spt", schedule="active")
    assert rule_from_file(f"{file}:shortest")(shop).solution == plain.solution
    named = gapgym.solve(shop, "spt")
    assert rule_from_file(f"{file}:shortest_first")(shop).solution == named.solution
    with pytest.raises(ValueError, match="int, expected a function"):
        rule_from_file(f"{file}:number")
    with pytest.raises(ValueError, match="no function 'longest'"):
        rule_from_file(f"{file}:longest")
    with pytest.raises(ValueError, match="no file"):
        rule_from_file(f"{tmp_path}/other.py:shortest")
    file.write_text("1 / 0")
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        rule_from_file(f"{file}:shortest")


def test_randomised_rules_improve_with_samples():
    shop = gapgym.load("job_shop/la16")
    values = [
        gapgym.solve(shop, "active_wait", samples=samples, seed=1).objective
        for samples in (1, 16, 200)
    ]
    assert values == sorted(values, reverse=True)
    assert values[2] < values[0]
    again = gapgym.solve(shop, "active_wait", samples=200, seed=1)
    assert again.objective == values[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "spt: samples 0, expected an integer >= 1"),
        ({"noise": -1}, "spt: noise -1, expected >= 0"),
        ({"schedule": "lazy"}, "schedule 'lazy', expected one of"),
    ],
)
def test_wrong_options_of_a_rule_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gapgym.solve(tiny("job_shop"), "spt", **options)


def test_a_rule_ends_its_first_episodes_whatever_the_limit():
    shop = gapgym.load("job_shop/uniform-100x20-s1")
    hurried = gapgym.solve(shop, "spt", time_limit=1e-6)
    assert hurried.solution == gapgym.solve(shop, "spt").solution
    many = gapgym.solve(shop, "spt", samples=10**6, time_limit=2)
    assert many.objective <= gapgym.solve(shop, "spt").objective
