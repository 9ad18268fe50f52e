import logging
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from itertools import pairwise, permutations

import networkx as nx
import numpy as np
import pytest
from brute_force import job_shop_optimum
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import job_shops, stochastic_job_shops

from gapgym.baselines import Status, job_shop_construct, job_shop_tabu
from gapgym.baselines import job_shop_tabu_kernels as kernels
from gapgym.baselines.job_shop import SOLVERS
from gapgym.baselines.job_shop_tabu import Limits, TabuSearch, Walk, tabu
from gapgym.instances import load
from gapgym.instances.job_shop import (
    JobShopInstance,
    JobShopSolution,
    best_known,
    lower_bound,
    objective,
    two_set,
    uniform,
    validate,
)

SHOPS = job_shops(max_jobs=5, max_machines=3, max_operations=4)


# The graph a second time: longest paths by networkx from the machines' sequences.


class Graph:
    """The operations as the walk numbers and scales them, and an order on each machine."""

    def __init__(self, instance, order):
        zeros = int((instance.durations[instance.machines >= 0] == 0).sum())
        rows = np.argwhere(instance.machines >= 0).tolist()
        self.jobs = [j for j, _ in rows]
        self.p = [max(int(instance.durations[j, k]) * (zeros + 1), 1) for j, k in rows]
        self.machine = [int(instance.machines[j, k]) for j, k in rows]
        self.sequences = [
            [x for x in order if self.machine[x] == m] for m in range(instance.num_machines)
        ]

    def moved(self, u, v, forward):
        other = object.__new__(Graph)
        other.__dict__.update(self.__dict__)
        other.sequences = [list(sequence) for sequence in self.sequences]
        sequence = other.sequences[self.machine[u]]
        item, target = (u, v) if forward else (v, u)
        sequence.remove(item)
        sequence.insert(sequence.index(target) + forward, item)
        return other

    def between(self, u, v):
        """The operations from ``u`` to ``v`` on their machine."""
        sequence = self.sequences[self.machine[u]]
        return sequence[sequence.index(u) : sequence.index(v) + 1]

    def arcs(self):
        size = range(len(self.jobs) - 1)
        jobs = [(x, x + 1) for x in size if self.jobs[x] == self.jobs[x + 1]]
        return jobs, [pair for s in self.sequences for pair in pairwise(s)]

    def digraph(self):
        graph = nx.DiGraph()
        graph.add_nodes_from(range(len(self.jobs)))
        graph.add_edges_from([arc for arcs in self.arcs() for arc in arcs])
        return graph

    def ends(self):
        graph, end = self.digraph(), {}
        for x in nx.topological_sort(graph):
            end[x] = max((end[y] for y in graph.predecessors(x)), default=0) + self.p[x]
        return [end[x] for x in range(len(self.p))]

    def tails(self):
        graph, tail = self.digraph().reverse(), {}
        for x in nx.topological_sort(graph):
            tail[x] = max((tail[y] for y in graph.predecessors(x)), default=0) + self.p[x]
        return [tail[x] for x in range(len(self.p))]

    def longest_through(self, operations):
        ends, tails = self.ends(), self.tails()
        return max(ends[x] + tails[x] - self.p[x] for x in operations)

    def longest_past(self, operations):
        """The longest path that meets none of the operations."""
        graph, end = self.digraph(), {}
        graph.remove_nodes_from(operations)
        for x in nx.topological_sort(graph):
            end[x] = max((end[y] for y in graph.predecessors(x)), default=0) + self.p[x]
        return max(end.values(), default=0)


def walk_at(instance, seed=0, moves=0):
    """A walk at a random schedule, some moves on, with its graph."""
    search = TabuSearch(instance, seed=seed, population=2, stagnation=100)
    walk = search.walk
    walk.load(search._random_order())
    walk.begin(10**9)
    walk.advance(moves)
    return walk, Graph(instance, walk.order.tolist())


@settings(max_examples=150)
@given(instance=SHOPS, seed=st.integers(0, 99))
def test_heads_and_tails_are_those_of_a_recomputation_after_every_move(instance, seed):
    walk, _ = walk_at(instance, seed)
    for _ in range(20):
        walk.advance(1)
        graph = Graph(instance, walk.order.tolist())
        place = {x: i for i, x in enumerate(walk.order.tolist())}
        operations = walk.operations[:-1]
        assert sorted(place) == list(range(walk.size))
        assert all(place[x] < place[y] for x, y in graph.digraph().edges)
        assert operations[:, kernels.PLACE].tolist() == [place[x] for x in range(walk.size)]
        assert operations[:, kernels.END].tolist() == graph.ends()
        assert operations[:, kernels.TAIL].tolist() == graph.tails()
        assert walk.makespan == max(graph.ends())
        pairs = {(x, y) for y, x in enumerate(operations[:, kernels.MACHINE_PRED].tolist())}
        assert {(x, y) for x, y in pairs if x < walk.size} == set(graph.arcs()[1])
        follows = {(x, y) for x, y in enumerate(operations[:, kernels.MACHINE_SUCC].tolist())}
        assert {(x, y) for x, y in follows if y < walk.size} == set(graph.arcs()[1])
        assert walk.operations[-1, [kernels.END, kernels.TAIL, kernels.TIME]].tolist() == [0, 0, 0]
        code = walk._state[kernels.HASH]
        walk.load(walk.order.copy())
        assert walk._state[kernels.HASH] == code


@settings(max_examples=300)
@given(instance=SHOPS, seed=st.integers(0, 99), moves=st.integers(0, 8))
def test_no_move_closes_a_cycle_and_exchanges_are_estimated_exactly(instance, seed, moves):
    walk, graph = walk_at(instance, seed, moves)
    listed = walk.moves().tolist()
    assert len({tuple(move[:3]) for move in listed}) == len(listed)
    for u, v, forward, estimate in listed:
        stretch, after = graph.between(u, v), graph.moved(u, v, forward)
        assert nx.is_directed_acyclic_graph(after.digraph())
        if len(stretch) == 2:
            assert estimate == after.longest_through(stretch)
            assert max(estimate, after.longest_past(stretch)) == max(after.ends())


@settings(max_examples=300)
@given(
    instance=job_shops(max_jobs=7, max_machines=2, max_operations=3),
    seed=st.integers(0, 99),
    moves=st.integers(0, 8),
)
def test_insertions_are_estimated_exactly_where_jobs_do_not_link_what_they_pass(
    instance, seed, moves
):
    walk, graph = walk_at(instance, seed, moves)
    jobs = set(graph.arcs()[0])
    for u, v, forward, estimate in walk.moves().tolist():
        stretch, after = graph.between(u, v), graph.moved(u, v, forward)
        links = after.digraph()
        links.remove_edges_from(set(pairwise(after.between(*ends_of(after, stretch)))) - jobs)
        if not any(nx.has_path(links, x, y) for x, y in permutations(stretch, 2)):
            assert estimate == after.longest_through(stretch)
            assert estimate <= max(after.ends())


def ends_of(graph, operations):
    sequence = graph.sequences[graph.machine[operations[0]]]
    places = [sequence.index(x) for x in operations]
    return sequence[min(places)], sequence[max(places)]


# A machine works on 1, 2, 3, 4, between an operation 0 before and an operation 5 after.
TO_THE_END = {(1, 4, 1), (2, 4, 1), (3, 4, 1)}
TO_THE_FRONT = {(1, 2, 0), (1, 3, 0), (1, 4, 0)}
INSIDE = {(1, 3, 1), (2, 4, 0)}  # of the outer operations; their exchanges are counted already


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (True, True, TO_THE_END | TO_THE_FRONT | INSIDE),
        (False, True, TO_THE_END | {(1, 4, 0), (2, 4, 0)}),
        (True, False, TO_THE_FRONT | {(1, 4, 1), (1, 3, 1)}),
        (False, False, set()),
    ],
)
def test_moves_of_a_block_are_those_of_the_literature(before, after, expected):
    jobs = [[(0, 4)] for _ in range(4)]
    jobs[0] = [(1, 9)] * before + jobs[0]
    jobs[3] = jobs[3] + [(2, 9)] * after
    walk = Walk(JobShopInstance.from_lists(jobs, num_machines=3), 0)
    walk.load(np.arange(walk.size))
    assert walk.makespan == 9 * before + 4 * 4 + 9 * after
    first = 0 if before else 1
    moves = {(u + first, v + first, forward) for u, v, forward, _ in walk.moves().tolist()}
    assert moves == expected


@settings(max_examples=300)
@given(instance=SHOPS, seed=st.integers(0, 99))
def test_a_walk_without_moves_is_at_an_optimum_unless_jobs_come_back(instance, seed):
    for machines in instance.machines.tolist():
        used = [m for m in machines if m >= 0]
        assume(len(set(used)) == len(used))
    walk, _ = walk_at(instance, seed)
    for _ in range(10):
        if walk.advance(1) == kernels.STUCK:
            assert walk.makespan // walk.scale == job_shop_optimum(instance)
            assert len(walk.moves()) == 0


# The walk's memory.


def test_what_was_done_is_not_undone_while_it_is_tabu():
    shop = load("job_shop/ft10")
    walk, _ = walk_at(shop, moves=0)
    walk._state[kernels.TENURE], walk._state[kernels.SPREAD] = 12, 0
    seen = []
    for _ in range(200):
        walk.advance(1)
        seen.append(walk._state[kernels.HASH])
    assert all(len(set(seen[i : i + 10])) == 10 for i in range(190))


@pytest.mark.parametrize("name", ["ft06", "la16", "ft10"])
def test_a_walk_that_forgets_quickly_still_does_not_run_in_circles(name):
    walk, _ = walk_at(load(f"job_shop/{name}"))
    walk._state[kernels.TENURE], walk._state[kernels.SPREAD] = 1, 0
    returns, seen = [], []
    for _ in range(3000):
        walk.advance(1)
        returns.append(int(walk._state[kernels.RETURNS]))
        seen.append(walk._state[kernels.HASH])
    assert 2 <= max(returns) <= 8
    assert len(set(seen[-500:])) > 150  # without the count: at most 28


def test_pairs_may_share_an_entry_of_the_tabu_list(monkeypatch):
    monkeypatch.setattr(job_shop_tabu, "_MOST_ENTRIES", 36)
    result = tabu(load("job_shop/ft06"), iterations=20_000)
    assert result.objective == 55


# The elite.


@settings(max_examples=100)
@given(instance=SHOPS, seed=st.integers(0, 99))
def test_a_schedule_between_two_keeps_what_they_agree_on(instance, seed):
    search = TabuSearch(instance, seed=seed, population=2, stagnation=5)
    one, other = [search._walk_from(search._random_order(), 5) for _ in range(2)]
    child = search._between(one, other)
    ranks = [np.argsort(order) for order in (one.order, other.order, child)]
    machine = instance.machines[instance.machines >= 0]
    for x, y in zip(*np.nonzero(machine[:, None] == machine[None, :]), strict=True):
        if x != y and all(rank[x] < rank[y] for rank in ranks[:2]):
            assert ranks[2][x] < ranks[2][y]
    assert (np.diff(ranks[2])[np.diff(search.walk.job) == 0] > 0).all()


def test_the_elite_keeps_apart_and_never_worsens():
    shop = two_set(8, 6, seed=3)
    search = TabuSearch(shop, seed=1, population=6, stagnation=50)
    search.run(job_shop_construct.active_wait(shop), Limits(patience=1), lambda _: None)
    search._limits = Limits()
    search._fill()
    assert len(search._elite) == 6
    for _ in range(60):
        before = [elite.makespan for elite in search._elite]
        one, other = search._elite[:2]
        changed = search._admit(search._walk_from(search._between(one, other), 50))
        after = [elite.makespan for elite in search._elite]
        assert (sum(after) < sum(before)) is changed
        assert sum(x != y for x, y in zip(before, after, strict=True)) == changed


def test_a_schedule_that_resembles_one_of_the_elite_has_to_beat_that_one():
    search = TabuSearch(load("job_shop/ft06"), seed=0, population=2, stagnation=5)
    like, unlike = [search._walk_from(search._random_order(), 5) for _ in range(2)]
    assert not like.resembles(unlike)
    search._elite = [replace(like, makespan=12), replace(like, makespan=10)]
    assert not search._admit(replace(like, makespan=11))
    assert search._admit(replace(like, makespan=9))
    assert search._admit(replace(unlike, makespan=11))
    assert [elite.makespan for elite in search._elite] == [11, 9]


# The solver.


def test_almost_every_tiny_shop_is_solved_to_optimality():
    rng = np.random.default_rng(5)
    missed = []
    for number in range(200):
        jobs = [
            [
                (int(rng.integers(3)), int(rng.integers(0, 8)))
                for _ in range(int(rng.integers(1, 5)))
            ]
            for _ in range(4)
        ]
        shop = JobShopInstance.from_lists(jobs, num_machines=3)
        result = tabu(shop, iterations=3000, stagnation=100, seed=number)
        validate(shop, result.solution)
        if result.objective > job_shop_optimum(shop):
            missed.append(number)
    assert len(missed) <= 1, missed


@settings(max_examples=100)
@given(instance=st.one_of(SHOPS, stochastic_job_shops()), seed=st.integers(0, 99))
def test_schedules_are_valid_and_no_worse_than_their_start(instance, seed):
    search = TabuSearch(instance, seed=seed, population=2, stagnation=50)
    start = search.walk.schedule(search._random_order())
    result = tabu(instance, start=start, iterations=300, stagnation=50, seed=seed)
    validate(instance, result.solution)
    assert result.objective <= objective(instance, start)
    assert result.incumbents[0].objective == objective(instance, start)
    assert lower_bound(instance) == result.bound <= result.objective
    assert (result.status is Status.OPTIMAL) is (result.objective == result.bound)


@settings(max_examples=100)
@given(instance=SHOPS, seed=st.integers(0, 99), data=st.data())
def test_the_order_of_a_schedule_with_idle_time_takes_the_idle_time_out(instance, seed, data):
    search = TabuSearch(instance, seed=seed, population=2, stagnation=50)
    tight = search.walk.schedule(search._random_order())
    late = data.draw(st.integers(0, 5)) + tight.start * data.draw(st.integers(1, 3))
    loose = JobShopSolution(np.where(tight.start < 0, -1, late))
    validate(instance, loose)
    again = search.walk.schedule(search.walk.order_of(loose))
    assert (again.start <= loose.start).all()
    if (instance.durations[instance.machines >= 0] > 0).all():
        assert again == tight


def test_same_seed_and_iterations_same_schedule_however_the_time_is_sliced(monkeypatch):
    shop = load("job_shop/la16")
    options = {"iterations": 30_000, "stagnation": 700, "population": 4}
    first = tabu(shop, seed=3, **options)
    monkeypatch.setattr(job_shop_tabu, "_SLICE_SECONDS", 1e-5)
    assert tabu(shop, seed=3, **options).solution == first.solution
    assert tabu(shop, seed=4, **options).solution != first.solution


@pytest.mark.parametrize(
    ("name", "optimum"),
    [("ft06", 55), ("ft10", 930), ("ft20", 1165), ("la19", 842), ("abz5", 1234)],
)
def test_published_optima_are_reached(name, optimum):
    shop = load(f"job_shop/{name}")
    runs = [tabu(shop, iterations=600_000, seed=seed) for seed in range(3)]
    assert min(run.objective for run in runs) == optimum


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 41))
def test_optima_of_the_lawrence_shops_are_reached_or_missed_by_little(number):
    shop = load(f"job_shop/la{number:02d}")
    result = tabu(shop, iterations=2_000_000)
    assert result.objective <= best_known(shop).upper * (1 if number <= 20 else 1.015)


@pytest.mark.parametrize(
    ("name", "percent"), [("ta01", 1.5), ("ta21", 2.5), ("ta41", 4.0), ("dmu41", 6.0), ("ta51", 0)]
)
def test_a_short_search_comes_close_on_large_shops(name, percent):
    shop = load(f"job_shop/{name}")
    result = tabu(shop, iterations=200_000)
    assert 100 * (result.objective / best_known(shop).upper - 1) <= percent


def test_reaching_the_lower_bound_is_a_proof_and_the_end():
    shop = load("job_shop/ta71")
    result = tabu(shop)
    assert (result.objective, result.bound, result.status) == (5464, 5464, Status.OPTIMAL)
    constructed = tabu(load("job_shop/la05"))
    assert (constructed.objective, constructed.status) == (593, Status.OPTIMAL)
    assert len(constructed.incumbents) == 1


def test_without_proof_the_schedule_is_only_feasible():
    result = tabu(load("job_shop/ft06"), iterations=5000)
    assert (result.objective, result.status) == (55, Status.FEASIBLE)
    assert result.bound == lower_bound(result.instance) < 55


def test_each_limit_ends_the_search():
    shop = load("job_shop/ft10")
    start = job_shop_construct.active_wait(shop)
    runs = {}
    for name, limits in {
        "iterations": Limits(iterations=777),
        "patience": Limits(patience=2),
        "deadline": Limits(deadline=0.0),
    }.items():
        search = TabuSearch(shop, seed=0, population=3, stagnation=10)
        search.run(start, limits, lambda _: None)
        assert objective(shop, search.solution()) <= objective(shop, start)
        runs[name] = search
    assert runs["iterations"].walk.iterations == 777
    assert 20 <= runs["patience"].walk.iterations < 5000
    assert runs["patience"]._in_vain == 2
    assert runs["deadline"].walk.iterations == 0


def test_every_incumbent_is_better_than_the_one_before():
    result = tabu(load("job_shop/ta01"), time_limit=1)
    values = [incumbent.objective for incumbent in result.incumbents]
    assert values == sorted(set(values), reverse=True)
    assert len(values) > 3
    assert values[-1] == result.objective


def test_reference_of_a_stochastic_shop_knows_the_scenario():
    shop = replace(load("job_shop/ft06"), cv=0.3, scenario=2)
    known = JobShopInstance(shop.machines, shop.durations)
    options = {"iterations": 5000, "seed": 1}
    assert tabu(shop, **options).objective == tabu(known, **options).objective != 55


def test_times_of_any_size_are_handled():
    small = uniform(5, 4, seed=2)
    huge = JobShopInstance(small.machines, small.processing_times * 2**40)
    options = {"iterations": 2000, "seed": 1}
    assert tabu(huge, **options).objective == tabu(small, **options).objective * 2**40


def test_moves_and_their_speed_are_logged(caplog):
    with caplog.at_level(logging.DEBUG, logger="gapgym"):
        tabu(load("job_shop/ft10"), iterations=1234)
    (line,) = [record.message for record in caplog.records if record.name == "gapgym"]
    found = re.fullmatch(
        r"tabu: 1234 moves made, (\d+) evaluated in [\d.]+ s, [\d.]+ million/s\.", line
    )
    assert int(found.group(1)) > 1234


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "tabu: iterations 0, expected >= 1."),
        ({"patience": 0}, "tabu: patience 0, expected >= 1."),
        ({"stagnation": -3}, "tabu: stagnation -3, expected >= 1."),
        ({"population": 1}, "tabu: population 1, expected >= 2."),
        (
            {"start": JobShopSolution(np.zeros((6, 6), dtype=int))},
            "operation (0, 1): starts at 0, expected at or after the end 1 of operation (0, 0).",
        ),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tabu(load("job_shop/ft06"), **options)


def test_times_too_long_to_be_scaled_are_refused():
    jobs = [[(0, 2**51), *[(k % 2, 0) for k in range(1100)]], [(0, 2**51), (1, 1)] * 2]
    with pytest.raises(ValueError, match=r"^tabu: processing times sum to \d+ if scaled for 1100 "):
        tabu(JobShopInstance.from_lists(jobs))


def test_ctrl_c_returns_the_best_so_far():
    code = """
        import os, signal, threading
        from gapgym.baselines.job_shop_tabu import tabu
        from gapgym.instances import load

        def press(incumbent):
            if not pressed:
                pressed.append(True)
                threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()

        pressed = []
        shop = load("job_shop/ta41")
        tabu(shop, iterations=1)
        result = tabu(shop, on_incumbent=press)
        assert len(result.incumbents) > 1
        assert result.objective == result.incumbents[-1].objective
        print(result.status)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300
    )
    assert (done.stdout, done.returncode) == ("feasible\n", 0), done.stderr


def test_the_solver_stands_under_its_name():
    assert SOLVERS["job_shop"]["tabu"] is tabu
