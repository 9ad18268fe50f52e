import itertools
import re
import threading
import time

import numpy as np
import pytest
from brute_force import tardiness_cost, tardiness_optimum
from hypothesis import given
from hypothesis import strategies as st
from strategies import stochastic_tardiness_instances, tardiness_instances

from gapgym.baselines import registry
from gapgym.baselines.tardiness import RULES
from gapgym.baselines.tardiness_plugin import penalised_cost, sequence, sequence_rule
from gapgym.baselines.tardiness_rules import SOLVERS
from gapgym.envs import rollout
from gapgym.envs.registry import simulator_of
from gapgym.instances import gap, load_all
from gapgym.instances.tardiness import (
    TardinessInstance,
    TardinessSolution,
    best_known,
    generate,
    objective,
    upper_bound,
    validate,
)

#: The example of arXiv:2510.24013, whose optimum is 141.
TOY = TardinessInstance([10, 11, 10, 10, 11, 10], [15, 11, 13, 11, 12, 11])

SCORES = {name: rule for name, rule in RULES["tardiness"].items() if name != "random"}


def order(name, instance):
    return SOLVERS[name](instance).solution.sequence.tolist()


def played(rule, instance, rows=2):
    """The sequence that a score makes on the simulator, the same in every row."""
    simulator = rollout.make(simulator_of("tardiness"), instance, rows, rule.options)
    assert rollout.play(simulator, rule.score)
    (found,) = {tuple(simulator.solution(row).sequence.tolist()) for row in range(rows)}
    return list(found)


# The rules, from their formulas: a second, slow way.


def dispatched(instance, key):
    """Jobs one by one, the least ``key(p, d, w, t, left)`` first, as the module says it."""
    left, t, row, done = list(range(instance.num_jobs)), 0, 0, []
    while left:
        release = [0 if instance.release_dates is None else instance.release_dates[j] for j in left]
        now = max(t, min(release))

        def priority(j, now=now, row=row, left=tuple(left)):
            setup = 0 if instance.setups is None else instance.setups[row][j]
            length = float(instance.processing_times[j] + setup)
            times = [float(instance.processing_times[i]) for i in left]
            due, weight = float(instance.due_dates[j]), float(instance.weights[j])
            return (*key(length, due, weight, float(now), times), j)

        job = min((j for j, r in zip(left, release, strict=True) if r <= now), key=priority)
        left.remove(job)
        done.append(job)
        t = now + int(instance.durations[job])
        t += 0 if instance.setups is None else int(instance.setups[row][job])
        row = job + 1
    return done


def mddc_key(p, d, w, t, times):
    rho = min(p / (t + max(times)), 1.0)
    mu = max(1.1 * p + t, d) * (1 + rho * rho / (1 + rho * rho))
    return mu + p / (t + sum(times) / len(times)), d


def atc_key(p, d, w, t, times):
    return (-(np.log(max(w, 1e-9) / p) - max(0, d - p - t) / (2 * (sum(times) / len(times)))),)


KEYS = {
    "edd": lambda p, d, w, t, times: (d,),
    "spt": lambda p, d, w, t, times: (p,),
    "wspt": lambda p, d, w, t, times: (-(w / p),),
    "mst": lambda p, d, w, t, times: (d - p,),
    "mdd": lambda p, d, w, t, times: (max(p + t, d),),
    "psk": lambda p, d, w, t, times: (max(p + t, d), p),
    "wmdd": lambda p, d, w, t, times: (max(p, d - t) / max(w, 1e-9),),
    "mddc": mddc_key,
    "atc": atc_key,
    "covert": lambda p, d, w, t, times: (-(w / p * max(0, 1 - max(0, d - p - t) / (2 * p))), d),
    "montagne": lambda p, d, w, t, times: (-(w * (sum(times) - (d - t)) / p),),
}


@given(instance=tardiness_instances() | stochastic_tardiness_instances())
@pytest.mark.parametrize("name", sorted(KEYS))
def test_list_rules_follow_their_formulas(name, instance):
    assert order(name, instance) == dispatched(instance, KEYS[name])


@given(
    seed=st.integers(0, 10**6),
    releases=st.sampled_from([0, 0.4]),
    setups=st.sampled_from([0, 0.3]),
    cv=st.sampled_from([0, 0.3]),
)
@pytest.mark.parametrize("name", sorted(SCORES))
def test_scores_played_on_the_simulator_give_the_constructed_sequences(
    name, seed, releases, setups, cv
):
    instance = generate(
        25, seed=seed, max_weight=10, releases=releases, setups=setups, cv=cv, scenario=seed
    )
    assert played(SCORES[name], instance) == order(name, instance)


@given(instance=tardiness_instances(max_jobs=6))
@pytest.mark.parametrize("name", sorted(SCORES))
def test_scores_and_constructions_break_ties_alike(name, instance):
    assert played(SCORES[name], instance) == order(name, instance)


def test_every_score_but_the_random_one_has_a_construction():
    assert set(SCORES) < set(SOLVERS)
    assert set(SOLVERS) < set(registry.solvers("tardiness")) | set(registry.rules("tardiness"))


# What is known about them.


def test_the_example_of_the_paper():
    assert order("mddc", TOY) == [3, 5, 2, 0, 1, 4]
    assert order("mdd", TOY) == [1, 0, 2, 3, 5, 4]
    assert [SOLVERS[name](TOY).objective for name in ("mddc", "mdd")] == [141, 144]
    assert tardiness_optimum(TOY) == 141


@given(instance=tardiness_instances() | stochastic_tardiness_instances())
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_every_rule_gives_a_sequence_not_better_than_the_optimum(name, instance):
    result = SOLVERS[name](instance)
    validate(instance, result.solution)
    assert result.objective == objective(instance, result.solution) >= tardiness_optimum(instance)


@given(instance=tardiness_instances(plain=True))
def test_edd_is_optimal_where_it_leaves_one_job_late(instance):
    result = SOLVERS["edd"](instance)
    if result.metrics["num_tardy"] == 0:
        assert tardiness_optimum(instance) == 0
    elif result.metrics["num_tardy"] == 1 and not instance.is_weighted:
        assert result.objective == tardiness_optimum(instance)


@given(
    p=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    data=st.data(),
)
def test_wspt_is_optimal_where_all_are_late_from_the_beginning(p, data):
    weights = data.draw(st.lists(st.integers(0, 5), min_size=len(p), max_size=len(p)))
    instance = TardinessInstance(p, [-1] * len(p), weights=weights)
    for name in ("wspt", "wmdd", "atc", "au", "covert"):
        assert SOLVERS[name](instance).objective == tardiness_optimum(instance)


@given(instance=tardiness_instances(max_jobs=6, plain=True, weighted=False))
def test_eddc_moves_as_its_authors_program_does(instance):
    p, d = instance.processing_times.tolist(), instance.due_dates.tolist()
    s = sorted(range(len(p)), key=lambda j: (p[j], d[j], j))
    for i in range(1, len(s)):
        j = i
        while j > 0 and d[s[j]] < d[s[j - 1]]:
            if d[s[j - 1]] > sum(p[k] for k in s[:j]):
                s[j - 1], s[j] = s[j], s[j - 1]
            j -= 1
    assert order("eddc", instance) == s


@given(instance=tardiness_instances(max_jobs=6, plain=True, weighted=False))
def test_neighbours_stand_as_wilkerson_and_irwin_ask(instance):
    p, d, found, t = instance.processing_times, instance.due_dates, order("wi", instance), 0
    for i, j in itertools.pairwise(found):
        if t + max(p[i], p[j]) <= max(d[i], d[j]):
            assert d[i] <= d[j]
        else:
            assert p[i] <= p[j]
        t += p[i]


@given(instance=tardiness_instances(plain=True))
@pytest.mark.parametrize("name", ["mdd", "mddc"])
def test_augmented_rules_move_the_job_that_saves_most(name, instance):
    left, done = list(range(instance.num_jobs)), []
    while left:
        t = int(instance.processing_times[done].sum()) if done else 0
        times = [float(instance.processing_times[i]) for i in left]

        def priority(j, t=t, times=tuple(times)):
            p, d = float(instance.processing_times[j]), float(instance.due_dates[j])
            return (*KEYS[name](p, d, 1.0, float(t), times), j)

        job = min(left, key=priority)
        left.remove(job)
        done.append(job)
        moves = [done] + [done[:i] + done[i + 1 :] + [done[i]] for i in range(len(done) - 1)]
        done = min(moves, key=lambda move: tardiness_cost(instance, move))
    assert order(f"aug_{name}", instance) == done


@given(instance=tardiness_instances(max_jobs=6))
def test_nbr_is_never_worse_than_the_sequence_it_begins_with(instance):
    found = order("nbr", instance)
    edd = sorted(range(instance.num_jobs), key=lambda j: (instance.due_dates[j], j))
    assert tardiness_cost(instance, found) <= tardiness_cost(instance, edd)


def test_nbr_moves_the_job_that_blocks_a_late_one():
    assert order("nbr", TardinessInstance([9, 1, 1], [9, 9, 9])) == [1, 2, 0]


def test_rules_that_take_long_respect_the_time_limit():
    instance = generate(400, seed=0, tf=0.6, rdd=0.2)
    for name in ("nbr", "aug_mdd"):
        hurried = SOLVERS[name](instance, time_limit=1e-9)
        assert (
            hurried.objective == SOLVERS[{"nbr": "edd", "aug_mdd": "mdd"}[name]](instance).objective
        )
        assert SOLVERS[name](instance).objective < hurried.objective


@pytest.mark.parametrize("name", sorted(set(SOLVERS) - {"nbr", "aug_mdd", "aug_mddc"}))
def test_rules_order_ten_thousand_jobs(name):
    instance = generate(10_000, seed=0, tf=0.6, rdd=0.6)
    result = SOLVERS[name](instance)
    assert 0 < result.objective < upper_bound(instance)


def test_the_reach_of_rules_that_look_ahead_is_an_option():
    instance = generate(60, seed=0, kind="weighted", tf=0.6, rdd=0.6)
    costs = {SOLVERS["atc"](instance, look_ahead=k).objective for k in (0.1, 2.0, 50.0)}
    assert len(costs) == 3
    for name in ("atc", "au"):
        with pytest.raises(ValueError, match=r"^look_ahead 0, expected > 0\."):
            SOLVERS[name](instance, look_ahead=0)


# The published tables.


def mean_gap(name, instances):
    """Mean gap in percent over the instances whose optimum is not 0, and how many they are."""
    optima = [best_known(instance).upper for instance in instances]
    gaps = [
        100 * gap(SOLVERS[name](instance).objective, optimum)
        for instance, optimum in zip(instances, optima, strict=True)
        if optimum
    ]
    return np.mean(gaps), len(gaps)


#: Table of arXiv:2510.24013, and for 500 jobs of the same rules once its optima are paired with
#: their instances; the published row, 127.50, 271.75, 48.75, 48.40, 48.74, 48.15 and 47.70, comes
#: from the wrong pairs.
PAPER = {
    100: (163, {"edd": 59.57, "eddc": 28.12, "mdd": 1.81, "mddc": 1.52, "psk": 1.79}),
    500: (160, {"edd": 64.86, "eddc": 31.95, "mdd": 1.87, "mddc": 1.82, "psk": 1.86}),
}
PAPER_AUGMENTED = {
    100: {"aug_mdd": 1.27, "aug_mddc": 1.08},
    500: {"aug_mdd": 1.36, "aug_mddc": 1.29},
}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("n", [100, 500])
def test_the_table_of_the_paper(n):
    instances = load_all("tardiness", [f"paper{n}"])
    count, table = PAPER[n]
    for name, published in (table | PAPER_AUGMENTED[n]).items():
        found, counted = mean_gap(name, instances)
        assert counted == len(instances) == count
        assert found == pytest.approx(published, abs=0.15 if name == "edd" else 0.05), name


@pytest.mark.data
@pytest.mark.slow
def test_the_published_row_for_500_jobs_comes_from_wrong_pairs(data_folder):
    with np.load(data_folder / "tardiness/shang_unweighted_500.npz") as data:
        optima = data["opt_as_published"]
    published = {"edd": 127.50, "eddc": 271.75, "mdd": 48.75, "mddc": 48.40, "psk": 48.74}
    published |= {"aug_mdd": 48.15, "aug_mddc": 47.70}
    instances = load_all("tardiness", ["paper500_*"])
    below = 0
    for name, row in published.items():
        costs = np.array([SOLVERS[name](instance).objective for instance in instances])
        gaps = 100 * (costs[optima > 0] / optima[optima > 0] - 1)
        assert gaps.mean() == pytest.approx(row, abs=0.15 if name == "edd" else 0.05), name
        below += int((costs < optima).sum()) if name == "mdd" else 0
    assert below == 63  # no cost can be below an optimum


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_gaps_on_the_files_of_or_library():
    unweighted = load_all("tardiness", ["t100_*"])
    assert mean_gap("mdd", unweighted)[0] == pytest.approx(1.55, abs=0.05)
    assert mean_gap("mddc", unweighted)[0] == pytest.approx(1.45, abs=0.05)
    weighted = load_all("tardiness", ["wt40_*"])
    gaps = {name: mean_gap(name, weighted)[0] for name in ("wspt", "wmdd", "atc")}
    assert gaps == pytest.approx({"wspt": 681, "wmdd": 50.5, "atc": 21.4}, abs=0.5)


# Rules of the user.


def by_due_date(processing_times, due_dates):
    return sorted(range(len(due_dates)), key=lambda j: due_dates[j])


def test_a_sequence_rule_is_a_solver():
    rule = sequence_rule(by_due_date)
    result = rule(TOY)
    assert (result.solver, result.objective) == ("by_due_date", SOLVERS["edd"](TOY).objective)
    assert penalised_cost(by_due_date, TOY, time_limit=5.0) == (result.objective, "")


def test_a_sequence_rule_gets_what_it_names():
    def everything(setups, release_dates, weights, due_dates, processing_times, extra=3):
        assert setups is None
        assert (release_dates.tolist(), extra) == ([0, 5], 3)
        return np.argsort(weights)

    instance = TardinessInstance([1, 2], [3, 4], weights=[2, 1], release_dates=[0, 5])
    assert sequence(everything, instance) == TardinessSolution([1, 0])


def writes(due_dates):
    due_dates[0] = 1000
    return range(len(due_dates))


def forces(processing_times):
    processing_times.flags.writeable = True
    processing_times[:] = 1
    return list(range(len(processing_times)))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (lambda due_dates: [0, 1, 2], "<lambda>: sequence (3,), expected (6,)."),
        (
            lambda due_dates: [0, 1, 2, 3, 4, 4],
            "<lambda>: job 4: in positions 4 and 5, expected once (job 5 is missing).",
        ),
        (lambda due_dates: [1, 2, 3, 4, 5, 6], "<lambda>: position 5: job 6, expected 0..5."),
        (lambda due_dates: None, "<lambda>: sequence: ragged or not numeric, expected integers"),
        (
            lambda due_dates: due_dates * np.nan,
            "<lambda>: sequence: float64 (6,), expected integers in 1 dimension(s).",
        ),
        (lambda due_dates: 1 // 0, "<lambda>: ZeroDivisionError: integer division or modulo"),
        (writes, "writes: ValueError: assignment destination is read-only"),
        (forces, "forces: changed processing_times, which is read-only."),
        (lambda jobs: jobs, "<lambda>: parameter 'jobs', expected some of: processing_times, due"),
    ],
)
def test_wrong_rules_are_one_clear_line_and_a_penalty(rule, reason):
    before = TOY.digest
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}") as caught:
        sequence_rule(rule)(TOY)
    assert "\n" not in str(caught.value)
    cost, why = penalised_cost(rule, TOY)
    assert (cost, why) == (upper_bound(TOY), str(caught.value))
    fresh = TardinessInstance(TOY.processing_times, TOY.due_dates)
    assert fresh.digest == before


def endless(due_dates):
    while True:
        try:
            time.sleep(0.001)
        except Exception:
            continue


def test_an_endless_rule_is_stopped():
    assert penalised_cost(endless, TOY, time_limit=0.05) == (
        upper_bound(TOY),
        "endless: stopped after the time limit of 0.05 s.",
    )


def test_a_slow_rule_is_refused_in_other_threads_too():
    def slow(due_dates):
        time.sleep(0.02)
        return range(len(due_dates))

    reasons = []
    thread = threading.Thread(
        target=lambda: reasons.append(penalised_cost(slow, TOY, time_limit=0.01)[1])
    )
    thread.start()
    thread.join()
    assert re.match(r"slow: took \d+\.\d+ s, expected at most 0\.01 s\.", reasons[0])


def test_a_score_that_is_wrong_is_one_clear_line():
    simulator = rollout.make(simulator_of("tardiness"), TOY, 1, {})
    with pytest.raises(ValueError, match=r"^score nan at step 0 for candidate 0"):
        rollout.play(simulator, lambda c: c["slack"] * np.nan)
    with pytest.raises(ValueError, match=r"^score \(1,\) at step 0, expected \(1, 6\)"):
        rollout.play(simulator, lambda c: c["slack"][:, 0])
