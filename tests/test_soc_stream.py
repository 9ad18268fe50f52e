"""Job streams: data, referee, environment and solvers."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import job_streams

import gapgym
from gapgym.baselines.registry import rules
from gapgym.envs import rollout
from gapgym.envs.soc_stream import SoCStreamSimulator
from gapgym.instances import soc_dag as family
from gapgym.instances.soc_dag import SoCDagInstance, SoCStreamInstance, SoCStreamSolution


def chain(times=((2, 3), (4, 1)), **changes):
    fields = {"run_times": times, "edges": [[0, 1]], "data": [5], "bandwidth": 1, **changes}
    return SoCDagInstance(**fields)


def stream(**changes):
    """Three chains on two PEs, at 0, 1 and 2; two may be in the system."""
    fields = {"arrivals": "trace", "trace": [[0, 0], [1, 0], [2, 0]], "capacity": 2, **changes}
    return SoCStreamInstance.from_profiles([chain()], **fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity": 0}, "capacity 0, expected 1"),
        ({"admission": "queue"}, "admission 'queue', expected one of: backlog, loss"),
        ({"arrivals": "sometimes"}, "arrivals 'sometimes', expected one of"),
        ({"trace": [[3, 0], [1, 0]]}, "trace: arrival 1 at 1, expected in order of time"),
        ({"trace": [[3, 7]]}, "trace: arrival 0 of profile 7, expected 0..0"),
        ({"trace": []}, "trace .*, expected .J, 2."),
        ({"arrivals": "regular"}, "a trace with arrivals 'regular'"),
        ({"prefill": 3}, "prefill 3, expected at most capacity 2"),
        ({"cv": -0.1}, "cv -0.1"),
        ({"mix": [0]}, r"mix \[0\], expected weights"),
        ({"horizon": "long"}, "horizon 'long', expected an integer"),
        ({"arrivals": "exponential", "trace": [], "mean_gap": 0.5}, "mean_gap 0.5, expected 1"),
    ],
)
def test_what_is_no_stream_is_refused_in_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        stream(**changes)
    assert "\n" not in str(caught.value)


def test_profiles_on_other_pes_and_edges_between_profiles_are_refused():
    with pytest.raises(ValueError, match="other PEs than"):
        SoCStreamInstance.from_profiles([chain(), chain(bandwidth=2)])
    with pytest.raises(ValueError, match="profiles: none"):
        SoCStreamInstance.from_profiles([])
    with pytest.raises(ValueError, match="task 0: an edge to task 1 of profile 1"):
        SoCStreamInstance([0, 1, 2], [[1], [1]], [[0, 1]], [0], 1)
    with pytest.raises(ValueError, match=r"firsts \[0, 1\], expected 0 < ... < 2"):
        SoCStreamInstance([0, 1], [[1], [1]], [], [], 1)


GOOD = {"pe": [[0, 0], [1, 1], [0, 0]], "start": [[0, 2], [1, 4], [6, 8]]}


def test_a_hand_made_schedule_costs_what_it_says():
    schedule = SoCStreamSolution(**GOOD)  # jobs end at 6, 5 and 12; the third enters at 5
    family.validate(stream(), schedule)
    assert family.objective(stream(), schedule) == 6 + 4 + 10
    metrics = family.metrics(stream(horizon=6), schedule)
    assert metrics["completed_by_horizon"] == 2
    assert metrics["latency_by_horizon"] == 5
    assert metrics["mean_latency"] == pytest.approx(20 / 3)
    assert metrics["mean_jobs"] == pytest.approx(20 / 12)
    assert metrics["block_rate"] == 0
    assert len(schedule.to_frame()) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": [[0, 2], [1, 4], [4, 8]]}, "job 2: a task starts at 4, .* after 5, when the"),
        ({"start": [[0, 1], [1, 4], [6, 8]]}, "job 0, task 1: starts at 1, .* after 2"),
        ({"start": [[0, 2], [0, 4], [6, 8]]}, "job 1: a task starts at 0, expected at or after 1"),
        ({"pe": [[0, 1], [1, 1], [0, 0]]}, "job 0, task 1: starts at 2, .* after 7"),
        ({"pe": [[0, 2], [1, 1], [0, 0]]}, "job 0, task 1: PE 2"),
        ({"start": [[0, 2], [1, 4], [6, -1]]}, "job 2, task 1: start -1"),
        ({"start": [[0, 2], [1, 4], [5, 8]]}, r"PE 0: tasks \(0, 1\) \[2, 6\) and \(2, 0\)"),
        (
            {"pe": [[0, 0], [1, 1], [-1, -1]], "start": [[0, 2], [1, 4], [-1, -1]]},
            "job 2: 2 of 2 jobs in the system at 2, expected it to be scheduled",
        ),
        ({"start": [[0, 2], [1, 4]]}, r"start \(2, 2\), expected \(3, 2\)"),
    ],
)
def test_the_referee_names_what_is_broken(change, message):
    with pytest.raises(ValueError, match=message):
        family.validate(stream(), SoCStreamSolution(**{**GOOD, **change}))


def test_lost_jobs_cost_the_penalty_and_must_be_lost():
    lossy = stream(admission="loss", penalty=50)
    lost = SoCStreamSolution([[0, 0], [1, 1], [-1, -1]], [[0, 2], [1, 4], [-1, -1]])
    family.validate(lossy, lost)
    assert family.objective(lossy, lost) == 6 + 4 + 50
    assert family.metrics(lossy, lost)["block_rate"] == 1 / 3
    with pytest.raises(ValueError, match=r"job 2: 2 of 2 jobs .* expected it not to be scheduled"):
        family.validate(lossy, SoCStreamSolution(**GOOD))
    assert stream(admission="loss").penalty == 3 + 4 + 5


def test_arrivals_follow_their_law():
    made = stream(arrivals="exponential", trace=[], mean_gap=25.0, horizon=200_000, prefill=2)
    gaps = np.diff(made.arrival_times[2:])
    assert made.arrival_times[:2].tolist() == [0, 0]
    assert made.arrival_times[-1] < 200_000
    assert abs(gaps.mean() - 24.5) < 1.0  # the integer part loses half a tick
    assert abs(gaps.std() - 25.0) < 1.5
    regular = stream(arrivals="regular", trace=[], mean_gap=10.0, horizon=35)
    assert regular.arrival_times.tolist() == [10, 20, 30]
    mixed = SoCStreamInstance.from_profiles([chain()] * 3, mix=[1, 0, 3], horizon=100_000)
    shares = np.bincount(mixed.job_profiles, minlength=3) / len(mixed.job_profiles)
    assert shares[1] == 0
    assert abs(shares[2] - 0.75) < 0.03


@given(instance=job_streams())
def test_json_gives_the_same_stream_back(instance, tmp_path_factory):
    file = tmp_path_factory.mktemp("soc") / "s.json"
    family.write(instance, file)
    assert family.read(file) == instance
    assert SoCStreamInstance.from_json(instance.to_json()) == instance


# The environment.


def simulator_of(instance, **options):
    simulator = rollout.make(SoCStreamSimulator, instance, 1, options)
    simulator.begin()
    return simulator


def step_randomly(simulator, seed):
    rng = np.random.default_rng(seed)
    while simulator.live()[0]:
        simulator.step([int(rng.choice(np.flatnonzero(simulator.view["action_mask"][0])))])
    return simulator.solution(0)


@given(instance=job_streams(), seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_two_policies_meet_the_same_arrivals_and_run_times(instance, seeds):
    """Run times are read off realised schedules: ends of one policy against those of another."""
    took = []
    for seed in seeds:
        simulator = simulator_of(instance)
        solution = step_randomly(simulator, seed)
        family.validate(instance, solution)
        finish = simulator.state["finish"][0][: len(solution.start), : solution.start.shape[1]]
        took.append((solution.pe, np.where(solution.start >= 0, finish - solution.start, -1)))
    (pe, ours), (other_pe, theirs) = took
    same = (pe == other_pe) & (ours >= 0)
    np.testing.assert_array_equal(ours[same], theirs[same])


@settings(max_examples=60)
@given(instance=job_streams(), seed=st.integers(0, 99), data=st.data())
def test_nothing_that_a_policy_sees_depends_on_the_future(instance, seed, data):
    """Another future after some time: the same observations up to then."""
    until = data.draw(st.integers(0, 12))
    times = instance.trace.copy()
    later = times[:, 0] > until
    times[later, 0] += data.draw(st.integers(1, 5))
    other = replace(instance, trace=times)
    here, there = simulator_of(instance), simulator_of(other)
    rng = np.random.default_rng(seed)
    while here.live()[0] and there.live()[0]:
        if max(s.state["clock"][0, 0] for s in (here, there)) >= until:
            return
        mask = here.view["action_mask"][0].copy()
        for name in ("candidates", "action_mask", "globals"):
            np.testing.assert_array_equal(here.view[name], there.view[name])
        action = int(rng.choice(np.flatnonzero(mask)))
        here.step([action])
        there.step([action])


def best_end(simulator):
    if not simulator.live()[0]:
        return simulator.cost(0)
    saved, best = simulator.save([0]), np.inf
    for action in np.flatnonzero(simulator.view["action_mask"][0]).tolist():
        simulator.step([action])
        best = min(best, best_end(simulator))
        simulator.restore([0], saved)
    return best


@settings(max_examples=15)
@given(data=st.data())
def test_cp_sat_agrees_with_the_whole_tree_of_decisions(data):
    streams = job_streams(max_jobs=1, max_tasks=2, admissions=("backlog",), noisy=False)
    instance = replace(data.draw(streams), prefill=1)
    result = gapgym.solve(instance, "cp_sat", time_limit=20)
    assert result.status == "optimal"
    assert result.objective == best_end(simulator_of(instance))


@settings(max_examples=60)
@given(instance=job_streams(admissions=("backlog",), noisy=False), seed=st.integers(0, 99))
def test_any_schedule_is_replayed_at_no_greater_cost(instance, seed):
    made = step_randomly(simulator_of(instance), seed)
    simulator = simulator_of(instance)
    simulator.replay([made])
    assert simulator.cost(0) <= family.objective(instance, made)


def test_without_waiting_a_schedule_that_waits_is_not_expressible():
    late = SoCStreamSolution([[0, 0], [0, 0], [0, 0]], [[3, 5], [1, 9], [13, 15]])
    family.validate(stream(), late)
    with pytest.raises(ValueError, match="decision 0: the schedule waits"):
        simulator_of(stream(), wait=False).replay([late])
    assert simulator_of(stream()).replay([late])


@given(instance=job_streams())
def test_every_rule_and_planner_is_feasible(instance):
    for name in (*rules("soc_stream"), "min_eft_plan", "rolling_cp_sat"):
        result = gapgym.solve(instance, name)
        assert result.objective >= family.lower_bound(instance)


@settings(max_examples=30)
@given(instance=job_streams(), shift=st.integers(1, 5), until=st.integers(0, 8))
def test_planners_do_the_same_until_the_future_differs(instance, shift, until):
    times = instance.trace.copy()
    times[times[:, 0] > until, 0] += shift
    instance = replace(instance, horizon=100)  # so that no job is cut off
    other = replace(instance, trace=times)
    for name in ("min_eft_plan", "rolling_cp_sat"):
        ours, theirs = gapgym.solve(instance, name).solution, gapgym.solve(other, name).solution
        early = (ours.start >= 0) & (ours.start <= until)
        np.testing.assert_array_equal(ours.start[early], theirs.start[early])
        np.testing.assert_array_equal(ours.pe[early], theirs.pe[early])


def test_rolling_cp_sat_beats_the_greedy_plans_on_a_loaded_stream():
    loaded = gapgym.load("soc_dag/stream-2x6x3-s1")
    greedy = gapgym.solve(loaded, "min_eft_plan").objective
    assert gapgym.solve(loaded, "rolling_cp_sat", limit=0.02).objective < greedy


def test_cp_sat_refuses_losses_and_single_graphs_in_one_line():
    with pytest.raises(ValueError, match="cp_sat: admission 'loss', expected 'backlog'"):
        gapgym.solve(stream(admission="loss"), "cp_sat")
    with pytest.raises(ValueError, match="limit 0, expected more than 0"):
        gapgym.solve(stream(), "rolling_cp_sat", limit=0)


@pytest.mark.parametrize("options", [{"wait": 3}, {"columns": "few"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        simulator_of(stream(), **options)


# The published setting.


def socrates(data_folder, capacity, scenario):
    """SoCRATES: jobs Top_1..Top_5, mean gap 25 us, 5,000 us, full at the start, losses."""
    root = data_folder / "soc_dag/socrates_raw"
    names = ["job_Top.txt", *(f"job_Top{k}.txt" for k in range(2, 6))]
    graphs = [family.read(root / name, soc=root / "DASH.SoC.Top.txt") for name in names]
    return SoCStreamInstance.from_profiles(
        graphs,
        capacity=capacity,
        prefill=capacity,
        admission="loss",
        mean_gap=25.0,
        horizon=5000,
        scenario=scenario,
    )


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("capacity", [3, 4, 5])
@pytest.mark.parametrize(
    ("name", "tolerance"), [("met", 0.03), ("min_eft", 0.03), ("random", 0.04)]
)
def test_the_streaming_table_is_reproduced(data_folder, capacity, name, tolerance):
    references = json.loads((data_folder / "soc_dag/reference_values.json").read_text())
    expected = references["socrates_streaming"][f"cap{capacity}"][name]
    found = []
    for seed in range(30):
        result = gapgym.solve(socrates(data_folder, capacity, seed), name, seed=seed)
        metrics = result.metrics
        found.append((metrics["latency_by_horizon"], metrics["completed_by_horizon"]))
    np.testing.assert_allclose(np.mean(found, axis=0), expected, rtol=tolerance)


@pytest.mark.data
def test_noise_is_paired_in_the_published_setting(data_folder):
    quiet, noisy = socrates(data_folder, 3, 1), replace(socrates(data_folder, 3, 1), cv=0.3)
    np.testing.assert_array_equal(quiet.arrival_times, noisy.arrival_times)
    np.testing.assert_array_equal(quiet.job_profiles, noisy.job_profiles)
    assert 0.25 < noisy.factors.std() < 0.35
    assert gapgym.solve(noisy, "met").metrics["mean_latency"] > 100
