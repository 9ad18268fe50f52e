import csv
import itertools

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tardiness_witness import Lists, Machine, Sequence, optimum

from gapgym.envs import rollout
from gapgym.envs.simulator import NotExpressible
from gapgym.envs.tardiness import (
    FULL_COLUMNS,
    MINIMAL_COLUMNS,
    TardinessDecomposeSimulator,
    TardinessImproveSimulator,
    TardinessSimulator,
)
from gapgym.envs.tardiness_emmons import emmons
from gapgym.instances.tardiness import (
    TardinessInstance,
    TardinessSolution,
    generate,
    head_bound,
    lower_bound,
    objective,
    validate,
)


@st.composite
def plain(draw, max_jobs=6, max_time=6, weighted=False, **fields):
    """Jobs with many equal times and due dates, some late from the beginning."""
    n = draw(st.integers(1, max_jobs))

    def per_job(low, high):
        return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))

    due_dates = per_job(-3, draw(st.integers(0, n * max_time)))
    weights = per_job(0, 4) if weighted else None
    return TardinessInstance(per_job(1, max_time), due_dates, weights, **fields)


@st.composite
def machines(draw, releases=True, setups=True, **options):
    """The same with weights, release dates and setups, or some of these."""
    jobs = draw(plain(weighted=draw(st.booleans()), **options))
    n, rng = jobs.num_jobs, np.random.default_rng(draw(st.integers(0, 99)))
    release_dates = rng.integers(0, 15, n) if releases and draw(st.booleans()) else None
    times = rng.integers(0, 5, (n + 1, n)) if setups and draw(st.booleans()) else None
    return TardinessInstance(
        jobs.processing_times, jobs.due_dates, jobs.weights, release_dates, times
    )


def noisy(instance, scenario=0):
    return TardinessInstance(
        instance.processing_times,
        instance.due_dates,
        instance.weights,
        instance.release_dates,
        instance.setups,
        cv=0.4,
        scenario=scenario,
    )


def simulate(instance, simulator_class=TardinessSimulator, **options):
    simulator = simulator_class(1, simulator_class.measure(instance), **options)
    simulator.load([0], [instance])
    simulator.begin()
    return simulator


def allowed(simulator):
    return np.flatnonzero(simulator.view["action_mask"][0]).tolist()


def play_randomly(simulator, seed):
    rng = np.random.default_rng(seed)
    while simulator.live()[0]:
        simulator.step([rng.choice(allowed(simulator))])
    return simulator.solution(0)


def reachable(simulator):
    """The least cost of all episodes that the masks allow."""
    if not simulator.live()[0]:
        return simulator.cost(0)
    best, saved = np.inf, simulator.save([0])
    for action in allowed(simulator):
        simulator.step([action])
        best = min(best, reachable(simulator))
        simulator.restore([0], saved)
    return best


# Mode dispatch: what is seen.


@pytest.mark.parametrize("mask", ["all", "adjacent"])
@settings(max_examples=150)
@given(data=st.data(), seed=st.integers(0, 99))
def test_incremental_view_equals_a_recomputation_from_scratch(mask, data, seed):
    instance = data.draw(machines(setups=mask == "all"))
    if mask == "all" and data.draw(st.booleans()):
        instance = noisy(instance)
    compare_with_witness(simulate(instance, mask=mask), Machine(instance, mask), seed)


@settings(max_examples=150)
@given(instance=machines(), seed=st.integers(0, 99), stochastic=st.booleans())
def test_the_view_of_arrivals_equals_a_recomputation_from_scratch(instance, seed, stochastic):
    instance = noisy(instance) if stochastic else instance
    simulator = simulate(instance, arrivals=True)
    compare_with_witness(simulator, Machine(instance, arrivals=True), seed)


@given(jobs=plain(weighted=True), seed=st.integers(0, 99))
def test_what_arrives_later_is_not_seen_before(jobs, seed):
    """Two futures that differ only in jobs that arrive later look alike until then."""
    rng = np.random.default_rng(seed)
    n = jobs.num_jobs
    releases = np.sort(rng.integers(0, 12, n))
    change = int(releases[rng.integers(n)])  # jobs released from here on are changed
    later = releases >= change
    changed = TardinessInstance(
        np.where(later, 7, jobs.processing_times),
        np.where(later, jobs.due_dates + 40, jobs.due_dates),
        np.where(later, 9, jobs.weights),
        releases,
    )
    first = TardinessInstance(jobs.processing_times, jobs.due_dates, jobs.weights, releases)
    simulators = [simulate(instance, arrivals=True) for instance in (first, changed)]
    units = [1 / s.data["constants"][0, 0] for s in simulators]  # the instance's own
    while simulators[0].live()[0] and simulators[0].state["clock"][0, 0] < change:
        now, then = (s.columns() for s in simulators)
        assert allowed(simulators[0]) == allowed(simulators[1])
        for name in ("processing_time", "due_date", "slack", "due_date_gap", "last_slack"):
            np.testing.assert_allclose(now[name] * units[0], then[name] * units[1], rtol=1e-5)
        for name in ("earlier", "shorter", "dominators", "num_candidates", "tightness", "progress"):
            np.testing.assert_allclose(now[name], then[name], rtol=1e-5)
        action = [int(rng.choice(allowed(simulators[0])))]
        for simulator in simulators:
            simulator.step(action)
        if simulators[0].state["clock"][0, 0] < change:
            rises = [s.view["reward"][0] * s.view["scale"][0] for s in simulators]
            assert rises[0] == pytest.approx(rises[1])


def test_a_machine_does_not_wait_for_what_it_does_not_know():
    instance = TardinessInstance([5, 1, 1], [9, 4, 9], release_dates=[0, 1, 20])
    simulator = simulate(instance, arrivals=True)
    assert allowed(simulator) == [0]
    simulator.step([0])
    assert allowed(simulator) == [1]
    simulator.step([1])
    assert allowed(simulator) == [2]
    assert simulator.columns()["elapsed"][0, 0] == 20 / 2
    with pytest.raises(NotExpressible, match=r"decision 0: .* job 1 next, expected .* \[0\]"):
        simulator.replay([TardinessSolution([1, 0, 2])])


def compare_with_witness(simulator, witness, seed):
    rng = np.random.default_rng(seed)
    assert simulator.view["initial_value"][0] == witness.initial_value
    assert simulator.view["scale"][0] == witness.scale
    while simulator.live()[0]:
        available = allowed(simulator)
        assert available == witness.available()
        assert simulator.view["value"][0] == witness.value()
        columns = simulator.columns()
        for name, value in witness.globals().items():
            assert columns[name][0, 0] == pytest.approx(value, rel=1e-6, abs=1e-6), name
        for j in available:
            expected = witness.columns(j)
            for name in MINIMAL_COLUMNS:
                assert columns[name][0, j] == expected[name], (name, j)  # exact in float32
            for name, value in expected.items():
                assert columns[name][0, j] == pytest.approx(value, rel=1e-6, abs=1e-6), (name, j)
        j = int(rng.choice(available))
        simulator.step([j])
        witness.schedule(j)
    assert simulator.cost(0) == witness.value()
    assert simulator.solution(0).sequence.tolist() == witness.sequence


def test_the_witness_knows_every_column():
    witness = Machine(generate(5, seed=0))
    assert set(witness.columns(0)) == set(FULL_COLUMNS)
    assert set(witness.globals()) == set(TardinessSimulator.global_columns)


@given(instance=machines())
def test_root_value_is_the_head_bound(instance):
    assert simulate(instance).view["initial_value"][0] == head_bound(instance)


@given(instance=machines(), seed=st.integers(0, 99))
def test_the_value_never_falls_and_bounds_the_optimum(instance, seed):
    simulator, rng = simulate(instance), np.random.default_rng(seed)
    first = []
    while simulator.live()[0]:
        assert simulator.view["value"][0] <= optimum(instance, first)
        first.append(int(rng.choice(allowed(simulator))))
        simulator.step([first[-1]])
        assert simulator.view["reward"][0] <= 0


def test_minimal_columns_are_the_first_of_the_full_ones():
    instance = generate(12, seed=1, max_weight=5, releases=0.5, setups=0.3)
    full, minimal = simulate(instance), simulate(instance, columns="minimal")
    assert minimal.candidate_columns == MINIMAL_COLUMNS == FULL_COLUMNS[: len(MINIMAL_COLUMNS)]
    while full.live()[0]:
        width = len(MINIMAL_COLUMNS)
        np.testing.assert_array_equal(
            full.view["candidates"][..., :width], minimal.view["candidates"]
        )
        np.testing.assert_array_equal(full.view["globals"], minimal.view["globals"])
        action = allowed(full)[-1:]
        full.step(action)
        minimal.step(action)


def test_graph_links_each_job_to_the_next_ones_by_due_date_and_by_time():
    instance = TardinessInstance([3, 9, 1, 5, 7, 2, 8], [60, 50, 40, 30, 20, 10, 0])
    env = gym.make(
        "gapgym/Tardiness-v0", instance=instance, observation="graph", limits={"jobs": 9}
    )
    observation, _ = env.reset()
    assert np.flatnonzero(observation["node_type"] == 0).tolist() == list(range(7))
    unit = 4.0  # the power of two nearest to the mean 5
    np.testing.assert_allclose(observation["nodes"][1], [9 / unit, 1, 50 / unit, 0, 5 / 7, 6 / 7])
    kinds = observation["edge_type"]
    for kind, order in ((0, [6, 5, 4, 3, 2, 1, 0]), (1, [2, 5, 0, 3, 4, 6, 1])):
        expected = {(order[i], order[k]) for i in range(7) for k in range(i + 1, min(i + 5, 7))}
        assert {tuple(edge) for edge in observation["edges"][kinds == kind]} == expected
    assert observation["candidate_nodes"][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, -1, -1]
    env.step(4)
    assert env.unwrapped.simulator.view["candidate_nodes"][0, :, 0].tolist()[3:6] == [3, -1, 5]


def test_ten_thousand_jobs_can_be_played():
    instance = generate(10_000, seed=0, tf=0.4, rdd=0.6)
    simulator = simulate(instance)
    held = sum(array.nbytes for array in (*simulator.data.values(), *simulator.state.values()))
    assert held < 10_000 * 1_000
    order = np.argsort(instance.due_dates, kind="stable")
    for j in order:
        simulator.step([j])
    assert simulator.cost(0) == objective(instance, TardinessSolution(order))


# Mode dispatch: masks.


@settings(max_examples=300)
@given(instance=plain(max_jobs=6))
def test_emmons_keeps_an_optimum(instance):
    assert reachable(simulate(instance, mask="emmons")) == optimum(instance)


@settings(max_examples=150)
@given(instance=machines(setups=False, max_jobs=5))
def test_adjacent_keeps_an_optimum(instance):
    assert reachable(simulate(instance, mask="adjacent")) == optimum(instance)


@settings(max_examples=100)
@given(instance=machines(setups=False, max_jobs=5))
def test_adjacent_keeps_every_optimum(instance):
    machine, best = Machine(instance), optimum(instance)
    for order in itertools.permutations(range(machine.n)):
        if machine.cost(machine.ends(order, machine.p)) == best:
            simulator = simulate(instance, mask="adjacent")
            simulator.replay([TardinessSolution(np.array(order))])


@given(instance=plain(max_jobs=8))
def test_emmons_relation_is_a_strict_partial_order(instance):
    after = np.zeros((instance.num_jobs,) * 2, "i1")
    p, d = instance.processing_times, instance.due_dates
    emmons(p, d, np.lexsort((d, p)), after)
    relation = after.astype(bool)
    assert not np.diag(relation).any()
    assert not (relation & relation.T).any()
    assert not ((relation.astype(int) @ relation.astype(int) > 0) & ~relation).any()


def test_emmons_orders_most_pairs_of_a_usual_instance():
    """About the shares of the research on single instances of n = 40: 0.68 and 0.8."""
    for tf, rdd in ((0.6, 0.2), (0.6, 0.6)):
        instance = generate(40, seed=0, tf=tf, rdd=rdd)
        after = np.zeros((40, 40), "i1")
        p, d = instance.processing_times, instance.due_dates
        emmons(p, d, np.lexsort((d, p)), after)
        assert 0.5 < after.sum() / (40 * 39 / 2) < 1


def test_a_dominated_job_is_refused_until_its_predecessors_are_scheduled():
    instance = TardinessInstance([1, 2, 3], [3, 4, 5])
    simulator = simulate(instance, mask="emmons")
    for job in range(3):
        assert allowed(simulator) == [job]
        simulator.step([job])


@pytest.mark.parametrize(
    ("mask", "fields", "message"),
    [
        ("emmons", {"weights": [1, 2]}, "weights with mask 'emmons'"),
        ("emmons", {"release_dates": [0, 2]}, "release dates with mask 'emmons'"),
        ("emmons", {"setups": [[0, 1]] * 3}, "setups with mask 'emmons'"),
        ("adjacent", {"setups": [[0, 1]] * 3}, "setups with mask 'adjacent'"),
        ("adjacent", {"cv": 0.2}, "stochastic durations with mask 'adjacent'"),
    ],
)
def test_masks_are_refused_where_they_may_exclude_every_optimum(mask, fields, message):
    env = gym.make(
        "gapgym/Tardiness-v0", instance=TardinessInstance([1, 2], [2, 1], **fields), mask=mask
    )
    with pytest.raises(ValueError, match=rf"{message}.* expected mask 'all'"):
        env.reset()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": "some"}, "mask 'some', expected one of: all, emmons, adjacent"),
        ({"columns": "some"}, "columns 'some', expected 'full' or 'minimal'"),
        (
            {"arrivals": True, "mask": "adjacent"},
            "mask 'adjacent' with arrivals, expected mask 'all'",
        ),
        (
            {"mask": "emmons", "limits": {"jobs": 1001}},
            "mask 'emmons' with up to 1001 jobs, expected at most 1000",
        ),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gym.make("gapgym/Tardiness-v0", **options)


# Mode dispatch: solutions.


@given(instance=machines(), seed=st.integers(0, 99))
def test_any_sequence_is_replayed_exactly(instance, seed):
    sequence = np.random.default_rng(seed).permutation(instance.num_jobs)
    simulator = simulate(instance)
    assert simulator.replay([TardinessSolution(sequence)])[0] == sequence.tolist()
    assert simulator.solution(0).sequence.tolist() == sequence.tolist()
    assert simulator.cost(0) == objective(instance, simulator.solution(0))


def test_a_sequence_against_the_mask_is_not_expressible():
    instance = TardinessInstance([1, 2, 3], [3, 4, 5])
    simulator = simulate(instance, mask="emmons")
    with pytest.raises(NotExpressible, match=r"decision 1: .* job 2 next, expected .* \[1\]"):
        simulator.replay([TardinessSolution([0, 2, 1])])


def test_instances_of_different_kinds_share_a_simulator():
    instances = [
        generate(6, seed=0),
        generate(9, seed=1, max_weight=9),
        generate(4, seed=2, releases=0.8),
        generate(7, seed=3, setups=0.5, cv=0.3),
        TardinessInstance([5], [0]),
    ]
    simulator = TardinessSimulator(3, {"jobs": 9, "setup_rows": 8})
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = [instances[i] for i in rng.integers(len(instances), size=3)]
        simulator.load(range(3), chosen)
        simulator.begin()
        while simulator.live().any():
            mask = simulator.view["action_mask"]
            simulator.step(np.argmax(mask * rng.random(mask.shape), axis=1))
        for row, instance in enumerate(chosen):
            solution = simulator.solution(row)
            validate(instance, solution)
            assert objective(instance, solution) == simulator.cost(row)


# Stochastic durations.


@given(instance=machines(), seed=st.integers(0, 99))
def test_a_stochastic_episode_costs_what_the_realised_durations_say(instance, seed):
    instance = noisy(instance, scenario=seed)
    simulator = simulate(instance)
    solution = play_randomly(simulator, seed)
    assert objective(instance, solution) == simulator.cost(0)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_policy_sees_does_not_depend_on_the_future(seed):
    """Another future for the jobs that wait changes nothing until one of them has ended."""
    from gapgym.envs.tardiness_kernels import REALISED

    jobs = generate(8, seed=seed, max_weight=4, releases=0.5, setups=0.3)
    first, second = simulate(noisy(jobs)), simulate(noisy(jobs))
    order = np.random.default_rng(seed).permutation(8)
    second.data["jobs"][0, order[4:], REALISED] += 50
    for job in order[:5]:
        for name in ("candidates", "globals", "action_mask", "value"):
            np.testing.assert_array_equal(first.view[name], second.view[name])
        first.step([job])
        second.step([job])
    assert (first.view["globals"] != second.view["globals"]).any()


# Mode decompose.


@settings(max_examples=150)
@given(instance=plain(max_jobs=8), seed=st.integers(0, 99))
def test_decomposition_equals_a_recomputation_from_scratch(instance, seed):
    simulator, witness = simulate(instance, TardinessDecomposeSimulator), Lists(instance)
    rng = np.random.default_rng(seed)
    assert simulator.view["initial_value"][0] == witness.initial_value
    assert simulator.view["scale"][0] == witness.scale
    while simulator.live()[0]:
        assert allowed(simulator) == witness.places()
        assert simulator.view["value"][0] == witness.value()
        compare_columns(simulator, witness, allowed(simulator))
        r = int(rng.choice(allowed(simulator)))
        simulator.step([r])
        witness.place(r)
        assert simulator.view["reward"][0] <= 0
    assert not witness.open
    assert simulator.cost(0) == witness.value()
    sequence = simulator.solution(0).sequence.tolist()
    assert sequence == sorted(sequence, key=lambda j: witness.fixed[j])


def compare_columns(simulator, witness, actions):
    columns = simulator.columns()
    for name, value in witness.globals().items():
        assert columns[name][0, 0] == pytest.approx(value, rel=1e-6, abs=1e-6), name
    for action in actions:
        for name, value in witness.columns(action).items():
            seen = columns[name][0, action]
            assert seen == pytest.approx(value, rel=1e-6, abs=1e-6), (name, action)


@pytest.mark.parametrize(
    ("simulator_class", "witness"),
    [(TardinessDecomposeSimulator, Lists), (TardinessImproveSimulator, Sequence)],
)
def test_the_witnesses_know_every_column(simulator_class, witness):
    simulator = simulate(generate(9, seed=0), simulator_class)
    known = witness(generate(9, seed=0))
    assert set(known.columns(allowed(simulator)[0])) == set(simulator.candidate_columns)
    assert set(known.globals()) == set(simulator.global_columns)


@settings(max_examples=300)
@given(instance=plain(max_jobs=7))
def test_decomposition_reaches_an_optimum(instance):
    assert reachable(simulate(instance, TardinessDecomposeSimulator)) == optimum(instance)


@settings(max_examples=60)
@given(instance=plain(max_jobs=6), seed=st.integers(0, 99))
def test_every_mask_holds_an_optimal_place(instance, seed):
    """From any state, the best that can be reached is the optimum of each open list."""
    simulator, rng = simulate(instance, TardinessDecomposeSimulator), np.random.default_rng(seed)
    witness = Lists(instance)
    while simulator.live()[0]:
        fixed = sum(max(0, end - witness.d[j]) for j, end in witness.fixed.items())
        lists = sum(
            min(witness.cost(order, start) for order in itertools.permutations(jobs))
            for jobs, start in witness.open
        )
        saved = simulator.save([0])
        assert reachable(simulator) == fixed + lists
        simulator.restore([0], saved)
        r = int(rng.choice(allowed(simulator)))
        simulator.step([r])
        witness.place(r)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "options"), [("dispatch", {"mask": "emmons"}), ("decompose", {})])
def test_dominance_keeps_an_optimum_of_thousands_of_tiny_instances(mode, options):
    """Many equal processing times and equal due dates, where such rules are known to fail."""
    simulator_class = gym.make("gapgym/Tardiness-v0", mode=mode).unwrapped.simulators[mode]
    rng = np.random.default_rng(0)
    for _ in range(6_000):
        n = int(rng.integers(2, 7))
        p = rng.integers(1, rng.integers(2, 7), n)
        d = rng.choice(rng.integers(-3, p.sum() + 1, n), n)
        instance = TardinessInstance(p, d)
        best = reachable(simulate(instance, simulator_class, **options))
        assert best == optimum(instance), (p, d)


def test_a_list_of_late_jobs_closes_by_processing_time():
    """The longest job splits off; the others are late wherever they come, in EDD order 1, 0."""
    instance = TardinessInstance([4, 6, 9, 9], [1, 0, 1, 2])
    simulator = simulate(instance, TardinessDecomposeSimulator)
    assert simulator.solution(0).sequence.tolist() == [1, 0, 2, 3]
    assert allowed(simulator) == [3]
    simulator.step([3])
    assert not simulator.live()[0]
    assert simulator.solution(0).sequence.tolist() == [0, 1, 2, 3]


@settings(max_examples=200)
@given(instance=plain(max_jobs=7), seed=st.integers(0, 99))
def test_decomposition_replays_tiny_sequences_at_no_greater_cost(instance, seed):
    sequence = np.random.default_rng(seed).permutation(instance.num_jobs)
    simulator = simulate(instance, TardinessDecomposeSimulator)
    simulator.replay([TardinessSolution(sequence)])
    assert simulator.cost(0) <= objective(instance, TardinessSolution(sequence))


@given(instance=plain(max_jobs=6))
def test_decomposition_replays_an_optimum_as_an_optimum(instance):
    machine, best = Machine(instance), optimum(instance)
    simulator = simulate(instance, TardinessDecomposeSimulator)
    for order in itertools.permutations(range(machine.n)):
        if machine.cost(machine.ends(order, machine.p)) == best:
            simulator.replay([TardinessSolution(np.array(order))])
            assert simulator.cost(0) == best
            return


def test_the_solution_decides_between_places_of_equal_cost():
    instance = TardinessInstance([5, 2, 6, 1], [1, 11, 5, 12])
    for sequence in ([0, 1, 3, 2], [0, 2, 3, 1]):
        simulator = simulate(instance, TardinessDecomposeSimulator)
        simulator.replay([TardinessSolution(sequence)])
        assert simulator.solution(0).sequence.tolist() == sequence
        assert simulator.cost(0) == 13


def test_a_list_that_every_place_seems_to_make_worse_is_not_expressible():
    instance = TardinessInstance([6, 4, 6, 6, 2, 2, 4, 3], [20, 19, 20, 20, 22, 22, 16, 21])
    simulator = simulate(instance, TardinessDecomposeSimulator)
    with pytest.raises(NotExpressible, match=r"decision 0: .* costs 20 .* at least 21: job 3"):
        simulator.replay([TardinessSolution([6, 1, 3, 7, 4, 5, 0, 2])])


@pytest.mark.parametrize(
    ("mode", "fields", "message"),
    [
        ("decompose", {"weights": [1, 2]}, "weights, expected none: the longest job"),
        ("decompose", {"cv": 0.2}, "stochastic durations, expected none: the longest job"),
        ("decompose", {"setups": [[0, 1]] * 3}, "setups, expected none: the longest job"),
        ("improve", {"release_dates": [0, 2]}, "release dates, expected none: a move"),
        ("improve", {"setups": [[0, 1]] * 3}, "setups, expected none: a move"),
        ("improve", {"cv": 0.2}, "stochastic durations, expected none: a move"),
    ],
)
def test_modes_refuse_what_they_cannot_play(mode, fields, message):
    instance = TardinessInstance([1, 2], [2, 1], **fields)
    env = gym.make("gapgym/Tardiness-v0", instance=instance, mode=mode)
    with pytest.raises(ValueError, match=message):
        env.reset()


#: Mean gaps of a random policy found by a prototype, in percent (five draws differ by about 0.3).
RANDOM_GAPS = {50: 2.4, 100: 1.7, 200: 2.0, 300: 1.7}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("n", sorted(RANDOM_GAPS))
def test_a_random_policy_is_about_two_percent_above_the_optimum(data_folder, n):
    """On the wt files, weights dropped; a look at modified due dates makes it some tenths."""
    numbers = np.array((data_folder / "tardiness" / f"wt{n}.txt").read_text().split(), np.int64)
    instances = [TardinessInstance(p, d) for p, _, d in numbers.reshape(125, 3, n)]
    optima = np.array(unweighted_optima(data_folder, n))
    simulator = TardinessDecomposeSimulator(125, {"jobs": n})
    simulator.load(range(125), instances)

    def gap(score, noise):
        rng = np.random.default_rng(0)
        assert rollout.play(simulator, score, noise=noise, rng=rng)
        cost = simulator.view["value"]
        assert (cost >= optima).all()
        assert (cost[optima == 0] == 0).all()
        return 100 * (cost[optima > 0] / optima[optima > 0] - 1).mean()

    assert gap(lambda c: np.zeros_like(c["shift"]), 1.0) == pytest.approx(RANDOM_GAPS[n], abs=0.7)
    assert gap(lambda c: -c["mdd_gap"], 0.0) < 0.5


def unweighted_optima(data_folder, n):
    with (data_folder / "tardiness" / "optima.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["n"]) == n]
    return [int(row["T_opt_unweighted"]) for row in rows]


# Mode improve.


@settings(max_examples=150)
@given(data=st.data(), seed=st.integers(0, 99))
def test_gains_equal_a_recomputation_from_scratch(data, seed):
    instance = data.draw(plain(weighted=data.draw(st.booleans())))
    moves = data.draw(st.sampled_from([None, 1, 4]))
    simulator = simulate(instance, TardinessImproveSimulator, moves=moves)
    witness, rng = Sequence(instance, moves), np.random.default_rng(seed)
    assert simulator.view["initial_value"][0] == witness.initial_value
    assert simulator.view["scale"][0] == witness.scale
    while simulator.live()[0]:
        assert allowed(simulator) == witness.available()
        assert simulator.view["value"][0] == witness.value()
        compare_columns(simulator, witness, allowed(simulator))
        action = int(rng.choice(allowed(simulator)))
        simulator.step([action])
        witness.play(action)
    assert not witness.available()
    assert simulator.solution(0).sequence.tolist() == witness.order
    assert simulator.cost(0) == witness.value()


@given(instance=plain(max_jobs=8, weighted=True), seed=st.integers(0, 99))
def test_improving_replays_any_sequence_exactly(instance, seed):
    sequence = np.random.default_rng(seed).permutation(instance.num_jobs)
    simulator = simulate(instance, TardinessImproveSimulator)
    actions = simulator.replay([TardinessSolution(sequence)])[0]
    assert len(actions) <= 2 * (instance.num_jobs - 1) + 1
    assert simulator.solution(0).sequence.tolist() == sequence.tolist()


def test_a_sequence_that_takes_more_moves_than_are_left_is_not_expressible():
    instance = TardinessInstance([1, 1, 1, 1], [1, 2, 3, 4])
    simulator = simulate(instance, TardinessImproveSimulator, moves=2)
    with pytest.raises(NotExpressible, match=r"decision 0: 3 insertions .* expected at most 2"):
        simulator.replay([TardinessSolution([3, 2, 1, 0])])


def test_the_guide_does_not_follow_a_job_that_someone_else_chose():
    simulator = simulate(TardinessInstance([1, 1, 1], [1, 2, 3]), TardinessImproveSimulator)
    simulator.step([1])
    with pytest.raises(NotExpressible, match=r"job 0 is to move, expected one of the jobs \[2\]"):
        simulator.guide(TardinessSolution([2, 0, 1]), 0)


@pytest.mark.parametrize("moves", [0, -1, 2.0, True])
def test_a_number_of_moves_that_is_none_is_refused(moves):
    with pytest.raises(ValueError, match=f"moves {moves}, expected an integer >= 1"):
        gym.make("gapgym/Tardiness-v0", mode="improve", moves=moves)


def test_the_largest_gain_leads_to_a_sequence_that_no_insertion_improves():
    instance = generate(30, seed=1, tf=0.6, rdd=0.4, max_weight=9)
    simulator = simulate(instance, TardinessImproveSimulator, moves=1000)
    rollout.play(simulator, lambda c: c["gain"])
    witness = Sequence(instance)
    witness.order = simulator.solution(0).sequence.tolist()
    assert simulator.cost(0) < 0.6 * witness.initial_value
    assert all(witness.gain(1 + 2 * j) <= 0 for j in range(30))


@pytest.mark.parametrize("mode", ["dispatch", "decompose", "improve"])
def test_gaps_are_measured_from_the_bound_of_the_referee(mode):
    """As given, the jobs end at 4 and 6; the bound lets them end at 2 and 6."""
    instance = TardinessInstance([4, 2], [4, 5])
    env = gym.make("gapgym/Tardiness-v0", instance=instance, mode=mode)
    env.reset()
    for action in {"dispatch": [0, 1], "decompose": [0], "improve": [0]}[mode]:
        *_, done, _, info = env.step(action)
    assert done
    assert info["objective"] == 1
    assert lower_bound(instance) == 1
    assert info["gap"] == 0


def test_gaps_with_release_dates_are_measured_from_the_bound_too():
    instance = TardinessInstance([4, 2], [3, 3], release_dates=[0, 1])
    simulator = simulate(instance)
    simulator.replay([TardinessSolution([0, 1])])
    bound = lower_bound(instance)
    assert bound >= simulator.view["initial_value"][0] == 1
    assert simulator.gaps(np.array([0])).tolist() == [(4 - bound) / bound]
