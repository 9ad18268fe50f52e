import re

import numpy as np
import pytest

from gapgym.baselines import Draft, Incumbent, Status, solver
from gapgym.instances.job_shop import JobShopInstance, JobShopSolution, objective

SHOP = JobShopInstance([[0, 1], [1, 0]], [[3, 2], [2, 4]], name="two")
BEST = JobShopSolution([[0, 3], [0, 3]])  # makespan 7
SLOW = JobShopSolution([[0, 3], [5, 7]])  # makespan 11


def later(ticks):
    return JobShopSolution(SLOW.start + ticks)


def exactly(message):
    return f"^{re.escape(message)}$"


def drafting(drafted, **options):
    """A solver that returns the given draft."""

    def given_draft(instance, *, depth=3):
        return drafted

    return solver(**options)(given_draft) if options else solver(given_draft)


def test_result_is_stamped_with_what_was_asked():
    run = drafting(Draft(BEST, 5), name="mine", version=4)
    result = run(SHOP, seed=9, time_limit=2.5, depth=1)
    assert (result.instance, result.solution) == (SHOP, BEST)
    assert (result.solver, result.seed, result.time_limit) == ("mine", 9, 2.5)
    assert result.options == {"depth": 1}
    assert (run.__name__, run.version) == ("mine", 4)
    assert result.seconds >= 0
    assert result.metrics == {"utilisation": 11 / 14, "mean_flow_time": 6.0}


def test_objective_comes_from_the_referee_and_bare_solutions_will_do():
    result = drafting(BEST)(SHOP)
    assert (result.objective, result.bound, result.status) == (7, None, Status.FEASIBLE)
    assert [incumbent.objective for incumbent in result.incumbents] == [7]


@pytest.mark.parametrize(
    ("drafted", "objective", "bound", "status"),
    [
        (Draft(BEST, 5), 7, 5, Status.FEASIBLE),
        (Draft(BEST, 7), 7, 7, Status.OPTIMAL),
        (Draft(BEST, None, Status.OPTIMAL), 7, 7, Status.OPTIMAL),
        (Draft(BEST, 5, Status.OPTIMAL), 7, 7, Status.OPTIMAL),
        (Draft(None), None, None, Status.UNKNOWN),
        (Draft(None, 5, Status.UNKNOWN), None, 5, Status.UNKNOWN),
        (Draft(None, None, Status.OPTIMAL), None, None, Status.UNKNOWN),
        (Draft(None, None, Status.INFEASIBLE), None, None, Status.INFEASIBLE),
        (Draft(None, None, Status.ERROR), None, None, Status.ERROR),
    ],
)
def test_status_says_no_more_than_is_proven(drafted, objective, bound, status):
    result = drafting(drafted)(SHOP)
    assert (result.objective, result.bound, result.status) == (objective, bound, status)


def test_bound_gap_is_the_gap_to_the_bound_of_the_run():
    assert drafting(Draft(BEST, 5))(SHOP).bound_gap == pytest.approx(0.4)
    assert drafting(Draft(BEST, 7))(SHOP).bound_gap == 0
    assert np.isnan(drafting(Draft(BEST))(SHOP).bound_gap)
    assert np.isnan(drafting(Draft(None, 5))(SHOP).bound_gap)


def test_bound_above_the_objective_is_a_fault_of_the_solver():
    message = "given_draft: bound 8 above the objective 7 it claims."
    with pytest.raises(RuntimeError, match=exactly(message)):
        drafting(Draft(BEST, 8))(SHOP)


def test_broken_solution_is_refused_by_the_referee():
    with pytest.raises(ValueError, match=r"^machine 1: operations .* overlap\.$"):
        drafting(JobShopSolution([[0, 3], [2, 4]]))(SHOP)


def test_incumbents_are_the_strictly_better_solutions_in_order():
    seen = []

    @solver
    def search(instance, *, on_incumbent):
        for solution in (later(5), later(9), later(1), later(1), BEST, SLOW):
            on_incumbent(solution)
        return later(3)

    result = search(SHOP, on_incumbent=seen.append)
    assert [incumbent.objective for incumbent in result.incumbents] == [16, 12, 7]
    assert seen == list(result.incumbents)
    assert all(isinstance(incumbent, Incumbent) for incumbent in seen)
    times = [incumbent.seconds for incumbent in seen]
    assert times == sorted(times)
    assert (result.solution, result.objective) == (BEST, 7)  # and not the worse one it returned


def test_reported_solutions_are_refereed_too():
    @solver
    def search(instance, *, on_incumbent):
        on_incumbent(JobShopSolution([[0, 1], [0, 3]]))

    with pytest.raises(ValueError, match=r"^operation \(0, 1\): starts at 1"):
        search(SHOP)


def test_ctrl_c_returns_the_best_so_far():
    @solver
    def search(instance, *, on_incumbent):
        on_incumbent(SLOW)
        on_incumbent(BEST)
        raise KeyboardInterrupt

    result = search(SHOP)
    assert (result.solution, result.objective, result.status) == (BEST, 7, Status.FEASIBLE)


def test_ctrl_c_before_any_solution_is_not_swallowed():
    @solver
    def search(instance, *, on_incumbent):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(SHOP)


def test_a_solver_gets_only_the_keywords_it_names():
    given_keywords = {}

    @solver
    def start_only(instance, *, start, scale=1):
        given_keywords.update(start=start, scale=scale)
        return BEST

    @solver
    def everything(instance, **keywords):
        given_keywords.update(keywords)
        return BEST

    start_only(SHOP, start=SLOW, seed=3, time_limit=1.0, scale=2)
    assert given_keywords == {"start": SLOW, "scale": 2}
    given_keywords.clear()
    everything(SHOP, seed=3, anything=5)
    assert given_keywords == {"anything": 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dept": 3}, "given_draft: unknown option 'dept', expected some of: depth."),
        ({"time_limit": 0}, "given_draft: time limit 0, expected more than 0 seconds."),
        ({"time_limit": -1.5}, "given_draft: time limit -1.5, expected more than 0 seconds."),
        (
            {"time_limit": float("nan")},
            "given_draft: time limit nan, expected more than 0 seconds.",
        ),
    ],
)
def test_wrong_arguments_are_one_line(options, message):
    with pytest.raises(ValueError, match=exactly(message)):
        drafting(BEST)(SHOP, **options)


def test_solver_without_options_says_so():
    plain = solver(lambda instance: BEST)
    message = "<lambda>: unknown option 'depth', expected some of: none."
    with pytest.raises(ValueError, match=exactly(message)):
        plain(SHOP, depth=1)


@pytest.mark.parametrize(("thing", "kind"), [("ft06", "str"), (None, "NoneType"), (BEST, None)])
def test_only_instances_are_solved(thing, kind):
    message = f"given_draft: {kind or 'JobShopSolution'}, expected an instance."
    with pytest.raises(ValueError, match=exactly(message)):
        drafting(BEST)(thing)


def test_makespans_of_the_examples():
    assert [objective(SHOP, s) for s in (BEST, SLOW, later(2))] == [7, 11, 13]
