"""Trained policies as solvers: greedy, best of many samples, beam, tree search; then improvement.

All searches keep the best episode, so more time never hurts.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..baselines.solver import Draft, Solver, solver
from ..envs.registry import simulator_of
from ..envs.simulator import Simulator
from ..instances.core import FloatArray, IntArray
from ..instances.registry import load_from
from . import checkpoint
from .policy import Policy, check_fits, config_for
from .sampling import Player, choose, one_thread
from .solvers import find

#: Rows that are played side by side.
_BATCH = 64
_BATCH_IN_TIME = 16
SEARCHES = ("greedy", "sample", "beam", "gumbel")


def policy_solver(name: str, path: Path) -> Solver:
    """A solver that plays the policy in a file.

    Its options are ``search``; ``samples``: how many episodes (``sample``), of which the first is
    greedy; ``temperature`` and ``quantile`` of the others: candidates below this share of a
    decision's largest probability are left out; ``width`` (``beam``); ``simulations`` (``gumbel``);
    ``then``: a solver that starts from the policy's solution and has four fifths of the time.
    """

    def play(
        instance: Any,
        *,
        time_limit: float | None = None,
        seed: int = 0,
        on_incumbent: Callable[[Any], None],
        search: str = "sample",
        samples: int = 1,
        temperature: float = 1.0,
        quantile: float = 0.0,
        width: int = 16,
        simulations: int = 16,
        then: str = "",
    ) -> Draft:
        _check(name, search, samples, temperature, quantile, width, simulations)
        began = time.perf_counter()
        deadline = None if time_limit is None else began + time_limit * (0.2 if then else 1.0)
        played = _loaded(path, instance.problem)
        rng = np.random.default_rng(seed)
        more: Iterator[tuple[float, Any]] = iter(())
        if search == "beam":
            more = beam(played, instance, width, deadline)
        elif search == "gumbel":
            more = gumbel(played, instance, simulations, rng, deadline)
        elif search == "sample" and samples > 1:
            more = sample(played, instance, samples - 1, temperature, quantile, rng, deadline)
        best: tuple[float, Any] = (np.inf, None)
        for cost, solution in itertools.chain(greedy(played, instance), more):
            if cost < best[0]:
                best = cost, solution
                on_incumbent(solution)
        if not then:
            return Draft(best[1])
        return _improved(instance, then, best[1], time_limit, began, seed)

    timed = solver(name=name)(play)

    @functools.wraps(timed)
    def run(instance: Any, **arguments: Any) -> Any:
        with one_thread():
            warm_up(path, getattr(instance, "problem", ""))
            return timed(instance, **arguments)

    return run  # type: ignore[return-value]


def _improved(
    instance: Any,
    then: str,
    start: Any,
    time_limit: float | None,
    began: float,
    seed: int,
) -> Draft:
    """What another solver makes of a solution in the rest of the time."""
    left = None if time_limit is None else max(0.01, time_limit - (time.perf_counter() - began))
    result = find(instance.problem, then)(instance, time_limit=left, seed=seed, start=start)
    return Draft(result.solution, result.bound, result.status)


def _check(
    name: str,
    search: str,
    samples: int,
    temperature: float,
    quantile: float,
    width: int,
    simulations: int,
) -> None:
    if search not in SEARCHES:
        raise ValueError(f"{name}: search {search!r}, expected one of: {', '.join(SEARCHES)}.")
    counts = {"samples": samples, "width": width, "simulations": simulations}
    for what, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: {what} {count!r}, expected an integer >= 1.")
    if isinstance(temperature, str) or not 0 <= temperature < np.inf:
        raise ValueError(f"{name}: temperature {temperature}, expected >= 0.")
    if isinstance(quantile, str) or not 0 <= quantile < 1:
        raise ValueError(f"{name}: quantile {quantile}, expected at least 0 and below 1.")


@functools.lru_cache(maxsize=8)
def _read(path: Path, problem: str, changed: int) -> Policy:
    """A policy, read again when its file changes."""
    return checkpoint.load(path, problem)


def _loaded(path: Path, problem: str) -> Policy:
    return _read(path, problem, path.stat().st_mtime_ns if path.is_file() else 0)


@functools.cache
def _compiled(problem: str, mode: str, graph: bool) -> None:
    """Load compiled code before the clock runs."""
    simulator_class = simulator_of(problem, mode)
    policy = Policy(config_for(simulator_class, mode=mode, graph=graph))
    instance = load_from(simulator_class.family, simulator_class.default_instance)
    Player(policy, _simulator(policy, instance, 1)).play(0.0, np.random.default_rng(0))


def warm_up(path: Path, problem: str) -> None:
    """Load weights and compiled code before the clock runs."""
    try:
        config = _loaded(path, problem).config
    except ValueError:  # the run itself will say so
        return
    _compiled(problem, config.mode, config.graph)


def _simulator(policy: Policy, instance: Any, rows: int) -> Simulator:
    config = policy.config
    simulator_class = simulator_of(instance.problem, config.mode)
    simulator = simulator_class(
        rows,
        simulator_class.measure(instance),
        skip_forced=True,
        graph=config.graph,
        **(config.options or {}),
    )
    simulator.load(range(rows), [instance] * rows)
    check_fits(config, simulator)
    return simulator


def _best_row(simulator: Simulator, rows: IntArray) -> tuple[float, int]:
    """The least cost of rows that have ended well, infinite if none has, and its row."""
    costs = np.where(simulator.view["infeasible"][rows] > 0, np.inf, simulator.view["value"][rows])
    place = int(np.argmin(costs))
    return float(costs[place]), int(rows[place])


def greedy(policy: Policy, instance: Any) -> Iterator[tuple[float, Any]]:
    """The episode of the largest scores; always played to its end."""
    simulator = _simulator(policy, instance, 1)
    Player(policy, simulator).play(0.0, np.random.default_rng(0))
    cost, row = _best_row(simulator, np.zeros(1, dtype=np.int64))
    if np.isfinite(cost):
        yield cost, simulator.solution(row)


# Searches: each yields (cost, solution) of better and better episodes.


def sample(
    policy: Policy,
    instance: Any,
    samples: int,
    temperature: float,
    quantile: float,
    rng: np.random.Generator,
    deadline: float | None,
) -> Iterator[tuple[float, Any]]:
    """The best of random episodes."""
    rows = min(samples, _BATCH if deadline is None else _BATCH_IN_TIME)
    simulator = _simulator(policy, instance, rows)
    player = Player(policy, simulator, quantile)
    for played in range(0, samples, rows):
        if player.play(temperature, rng, deadline=deadline) is None:
            return
        cost, row = _best_row(simulator, np.arange(min(rows, samples - played)))
        if np.isfinite(cost):
            yield cost, simulator.solution(row)


def beam(
    policy: Policy, instance: Any, width: int, deadline: float | None
) -> Iterator[tuple[float, Any]]:
    """Keep the ``width`` most probable partial episodes, decision by decision.

    All rows of the simulator take part: each state is followed by its best candidates, of which the
    most probable sequences stay.
    """
    simulator = _simulator(policy, instance, 2 * width)
    player = Player(policy, simulator)
    player.begin()
    rows, weights = np.flatnonzero(simulator.live())[:1], np.zeros(1)
    best = np.inf
    actions = np.zeros(simulator.num_rows, dtype=np.int64)
    while rows.size:
        if deadline is not None and time.perf_counter() > deadline:
            return
        parents, chosen, weights = _extended(player, rows, weights, width)
        target = (rows[0] // width + 1) % 2 * width + np.arange(len(parents))
        simulator.copy_rows(parents, target)
        # Rows that take no part are given an action that ends them; they are written over later.
        actions[:] = -1
        actions[target] = chosen
        simulator.advance(actions)
        ended = ~simulator.live()[target]
        if ended.any():
            cost, row = _best_row(simulator, target[ended])
            if cost < best:
                best = cost
                yield best, simulator.solution(row)
        rows, weights = target[~ended], weights[~ended]


def _extended(
    player: Player, rows: IntArray, weights: FloatArray, width: int
) -> tuple[IntArray, IntArray, FloatArray]:
    """The most probable next states: their parents, actions and log-probabilities."""
    decisions, scores, _ = player.scores(rows)
    logs = weights[decisions.segments.numpy()] + _log_softmax(scores, decisions.offsets)
    order = np.argsort(-logs, kind="stable")[:width]
    return rows[decisions.segments.numpy()[order]], decisions.actions[order], logs[order]


def gumbel(
    policy: Policy,
    instance: Any,
    simulations: int,
    rng: np.random.Generator,
    deadline: float | None,
) -> Iterator[tuple[float, Any]]:
    """At every decision, play candidates to the end, halving them (after Danihelka et al. 2022).

    Candidates are drawn without replacement by Gumbel noise and scored by the best episode that
    follows them, sampled by the policy; round by round, as many episodes go to the better half. The
    action of the best episode is taken (doi: openreview bERaNdoegnO).
    """
    simulator = _simulator(policy, instance, simulations + 1)
    player = Player(policy, simulator)
    player.begin()
    best = np.inf
    base, tries = 0, np.arange(1, simulations + 1)
    while simulator.live()[base]:
        found = _try(player, base, tries, rng, deadline)
        if found[0] < best:
            best = found[0]
            yield found[0], found[1]
        if deadline is not None and time.perf_counter() > deadline:
            return
        taken = np.full(simulator.num_rows, -1, dtype=np.int64)
        taken[base] = found[2]
        simulator.advance(taken)


def _try(
    player: Player,
    base: int,
    tries: IntArray,
    rng: np.random.Generator,
    deadline: float | None,
) -> tuple[float, Any, int]:
    """The best episode that goes on from a row: cost, solution, and its first action."""
    decisions, scores, _ = player.scores(np.array([base]))
    logs = _log_softmax(scores, decisions.offsets)
    noisy = logs + rng.gumbel(size=len(logs))
    left = decisions.actions[np.argsort(-noisy, kind="stable")[: len(tries)]]
    costs = dict.fromkeys(left.tolist(), np.inf)
    best: tuple[float, Any, int] = (np.inf, None, int(left[0]))
    while True:
        first = np.resize(left, len(tries))
        found = _roll_out(player, base, tries, first, costs, rng, deadline)
        best = min(best, found, key=lambda item: item[0])
        if len(left) <= 2 or (deadline is not None and time.perf_counter() > deadline):
            return best
        order = sorted(left.tolist(), key=lambda action: costs[action])
        left = np.array(order[: (len(left) + 1) // 2])


def _roll_out(
    player: Player,
    base: int,
    tries: IntArray,
    first: IntArray,
    costs: dict[int, float],
    rng: np.random.Generator,
    deadline: float | None,
) -> tuple[float, Any, int]:
    """Episodes with given first actions, then sampled; updates the best cost of each action."""
    simulator = player.simulator
    saved = simulator.save(np.array([base]))
    simulator.copy_rows(np.full(len(tries), base), tries)
    actions = np.full(simulator.num_rows, -1, dtype=np.int64)
    actions[tries] = first
    simulator.advance(actions)
    heat = np.ones(simulator.num_rows, dtype=np.float32)
    _, where = np.unique(first, return_index=True)
    heat[tries[where]] = 0.0  # one greedy episode per action
    while (rows := np.flatnonzero(simulator.live())).size:
        if deadline is not None and time.perf_counter() > deadline:
            break  # what has not ended does not count
        decisions, scores, _ = player.scores(rows)
        actions[rows] = choose(decisions, scores, heat[rows], rng)
        simulator.advance(actions)
    wrong = simulator.live()[tries] | (simulator.view["infeasible"][tries] > 0)
    values = np.where(wrong, np.inf, simulator.view["value"][tries])
    for action, value in zip(first.tolist(), values.tolist(), strict=True):
        costs[action] = min(costs[action], value)
    place = int(np.argmin(values))
    solution = simulator.solution(int(tries[place])) if np.isfinite(values[place]) else None
    simulator.restore(np.array([base]), saved)
    return float(values[place]), solution, int(first[place])


def _log_softmax(scores: FloatArray, offsets: IntArray) -> FloatArray:
    """Logarithms of the probabilities within each decision."""
    firsts, counts = offsets[:-1], np.diff(offsets)
    shifted = scores - np.repeat(np.maximum.reduceat(scores, firsts), counts)
    totals = np.add.reduceat(np.exp(shifted), firsts)
    return np.asarray(shifted - np.repeat(np.log(totals), counts), dtype=np.float64)
