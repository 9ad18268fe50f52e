"""The environment of single task graphs: what is its own beside the contracts."""

import gymnasium as gym
import numpy as np
import pytest
from brute_force import soc_dag_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import task_graphs

import gapgym
from gapgym.envs import rollout
from gapgym.envs.soc_dag import SoCDagSimulator
from gapgym.envs.soc_dag_common import width
from gapgym.instances import soc_dag as family
from gapgym.instances.soc_dag import SoCDagSolution

PLACEMENTS = ("append", "insertion")


def simulator_of(instance, **options):
    simulator = rollout.make(SoCDagSimulator, instance, 1, options)
    simulator.begin()
    return simulator


def transfer(instance, i, j, p, q):
    """Ticks from the end of task i on p to its data for j at q, from the raw data."""
    if p == q:
        return 0
    e = instance.edges.tolist().index([i, j])
    exact = int(instance.data[e]) / int(instance.bandwidth[p, q])
    rounded = int(exact) if instance.rounding == "floor" else -int(-exact // 1)
    return int(instance.latency[p, q]) + rounded


def earliest(instance, solution, i, p, placement):
    """When task i could start on PE p beside what is scheduled, by trying every time."""
    w = instance.run_times
    there = [
        int(solution.start[j] + w[j, solution.pe[j]]) + transfer(instance, j, i, solution.pe[j], p)
        for j, k in instance.edges.tolist()
        if k == i
    ]
    busy = [
        (int(solution.start[j]), int(solution.start[j] + w[j, p]))
        for j in np.flatnonzero(solution.pe == p)
    ]
    ready = max(there, default=0)
    if placement == "append":
        return max([ready, *(end for _, end in busy)])
    time = ready
    while any(begin < time + int(w[i, p]) and time < end for begin, end in busy) or any(
        begin < time < end for begin, end in busy
    ):
        time += 1
    return time


@pytest.mark.parametrize("placement", PLACEMENTS)
@settings(max_examples=40)
@given(instance=task_graphs(), seed=st.integers(0, 99))
def test_columns_masks_and_value_equal_a_recomputation_from_scratch(placement, instance, seed):
    simulator = simulator_of(instance, placement=placement)
    rng = np.random.default_rng(seed)
    w, unit, value = instance.run_times, 1.0 / simulator.data["constants"][0, 0], 0
    levels = family.bottom_levels(instance)
    while simulator.live()[0]:
        solution, c = simulator.solution(0), simulator.columns()
        done = solution.start >= 0
        ready = [
            i
            for i in range(instance.num_tasks)
            if not done[i] and all(done[j] for j, k in instance.edges.tolist() if k == i)
        ]
        places = simulator.state["places"][0]
        assert sorted(places[places >= 0].tolist()) == ready
        mask, m = simulator.view["action_mask"][0], instance.num_pes
        bounds = [int(solution.start[i] + levels[i, solution.pe[i]]) for i in np.flatnonzero(done)]
        bounds.append(family.lower_bound(instance))
        for i in ready:
            place = int(np.flatnonzero(places == i)[0])
            ways = []
            for p in range(m):
                a = place * m + p
                assert mask[a] == (w[i, p] >= 0)
                if not mask[a]:
                    continue
                at = earliest(instance, solution, i, p, placement)
                ways.append(at + int(levels[i, p]))
                assert c["start"][0, a] * unit == at
                assert c["finish"][0, a] * unit == at + w[i, p]
                assert c["bound"][0, a] * unit == at + levels[i, p]
                assert c["run_time"][0, a] * unit == w[i, p]
            bounds.append(min(ways))
        assert mask.sum() == sum((w[i] >= 0).sum() for i in ready)
        assert simulator.view["value"][0] >= max(bounds)
        assert simulator.view["value"][0] >= value
        value = simulator.view["value"][0]
        simulator.step([int(rng.choice(np.flatnonzero(mask)))])
    family.validate(instance, simulator.solution(0))
    assert simulator.cost(0) == family.objective(instance, simulator.solution(0)) >= value


@pytest.mark.parametrize("placement", PLACEMENTS)
@settings(max_examples=20)
@given(instance=task_graphs(max_tasks=4), seed=st.integers(0, 99))
def test_the_value_never_exceeds_what_can_still_be_reached(placement, instance, seed):
    """Every decision tree that is left contains no better end than the value says."""
    simulator = simulator_of(instance, placement=placement)
    rng = np.random.default_rng(seed)
    for _ in range(2):
        if not simulator.live()[0]:
            return
        assert simulator.view["value"][0] <= best_end(simulator)
        mask = simulator.view["action_mask"][0]
        simulator.step([int(rng.choice(np.flatnonzero(mask)))])


def best_end(simulator):
    if not simulator.live()[0]:
        return simulator.cost(0)
    saved, best = simulator.save([0]), np.inf
    for action in np.flatnonzero(simulator.view["action_mask"][0]).tolist():
        simulator.step([action])
        best = min(best, best_end(simulator))
        simulator.restore([0], saved)
    return best


@pytest.mark.parametrize("placement", PLACEMENTS)
@settings(max_examples=20)
@given(instance=task_graphs(max_tasks=4))
def test_the_decisions_contain_an_optimum(placement, instance):
    assert best_end(simulator_of(instance, placement=placement)) == soc_dag_optimum(instance)


@pytest.mark.parametrize("placement", PLACEMENTS)
@settings(max_examples=40)
@given(instance=task_graphs(), seed=st.integers(0, 99), delay=st.integers(0, 5))
def test_schedules_are_replayed_and_semi_active_ones_exactly(placement, instance, seed, delay):
    simulator = simulator_of(instance)
    rng = np.random.default_rng(seed)
    while simulator.live()[0]:
        simulator.step([int(rng.choice(np.flatnonzero(simulator.view["action_mask"][0])))])
    made = simulator.solution(0)
    late = SoCDagSolution(made.pe, made.start + delay)
    other = simulator_of(instance, placement=placement)
    other.replay([late])
    if placement == "append":
        assert other.solution(0) == made
    assert other.cost(0) <= family.objective(instance, late)


@given(instance=task_graphs(max_tasks=7))
def test_the_width_is_the_largest_antichain(instance):
    n = instance.num_tasks
    before = np.zeros((n, n), dtype=bool)
    for i, j in instance.edges:
        before[i, j] = True
    for k in range(n):
        before |= np.outer(before[:, k], before[k])
    largest = 0
    for subset in range(1, 2**n):
        chosen = [i for i in range(n) if subset >> i & 1]
        if not before[np.ix_(chosen, chosen)].any():
            largest = max(largest, len(chosen))
    assert width(instance) == largest


def test_a_schedule_of_another_graph_is_not_expressible():
    graph = gapgym.load("soc_dag/gaussian-4x3-s1")
    simulator = simulator_of(graph)
    wrong = gapgym.solve(graph, "heft").solution
    wrong = SoCDagSolution(wrong.pe, wrong.start.max() - wrong.start)
    with pytest.raises(ValueError, match="decision 0: the schedule starts task"):
        simulator.replay([wrong])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"placement": "gap"}, "placement 'gap', expected one of: append, insertion"),
        ({"columns": "few"}, "columns 'few', expected 'full' or 'minimal'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gym.make("gapgym/SoCDag-v0", **options)


def test_streams_are_refused_with_the_problem_that_is_played():
    with pytest.raises(ValueError, match="SoCStreamInstance: expected an instance of the problem"):
        gym.make("gapgym/SoCDag-v0").unwrapped.simulator.load(
            [0], [gapgym.load("soc_dag/stream-2x3x2")]
        )
