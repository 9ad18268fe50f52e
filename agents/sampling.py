"""Playing a policy on a simulator, and following recorded actions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..envs.simulator import Simulator
from ..instances.core import FloatArray, IntArray
from . import decisions_kernels as kernels
from .decisions import Decisions, gather, joined
from .graph import Graphs, graphs_of
from .policy import Policy

#: Rewards are added up in this type.
_FLOAT = np.float64


@contextmanager
def one_thread() -> Iterator[None]:
    """Small networks run fastest, and reproducibly, in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Player:
    """A policy that scores the decisions of a simulator; graphs are encoded when they change.

    Args:
        policy: The policy.
        simulator: Loaded with instances.
        quantile: Candidates with less than this share of the largest probability are not drawn.
    """

    def __init__(self, policy: Policy, simulator: Simulator, quantile: float = 0.0) -> None:
        self.policy = policy
        self.simulator = simulator
        self._least = -np.inf if quantile <= 0 else float(np.log(quantile))
        self._graphs: Graphs | None = None
        self._encoded: Tensor | None = None

    @torch.inference_mode()
    def begin(self) -> None:
        """Start the episodes of all rows, and encode what stays the same."""
        self.simulator.begin()
        if self.policy.encoder is not None and self.simulator.static_graph:
            self._encode(np.arange(self.simulator.num_rows))

    def _encode(self, rows: IntArray) -> None:
        self._graphs = graphs_of(self.simulator, rows)
        self._encoded = self.policy.encode(self._graphs)

    @torch.inference_mode()
    def scores(self, rows: IntArray) -> tuple[Decisions, FloatArray, FloatArray]:
        """The decisions of some rows, with scores and values."""
        decisions = gather(self.simulator, rows)
        if self.policy.encoder is not None and not self.simulator.static_graph:
            self._encode(rows)
        scores, values = self.policy(decisions, self._graphs, self._encoded)
        return decisions, scores.numpy(), values.numpy()

    def play(
        self,
        temperatures: float | npt.NDArray[np.floating[Any]],
        rng: np.random.Generator,
        *,
        record: bool = False,
        deadline: float | None = None,
    ) -> list[IntArray] | None:
        """Play the episodes of all rows to their ends.

        Args:
            temperatures: Of the choice, for all rows or ``(B,)``; 0 takes the largest score.
            rng: Source of the choices.
            record: Whether to return the actions.
            deadline: ``time.perf_counter()`` value after which to give up.

        Returns:
            The actions of each row (empty lists if they are not recorded), or ``None`` if the
            deadline passed.
        """
        simulator = self.simulator
        given = np.asarray(temperatures, dtype=np.float32)
        heat = np.broadcast_to(given, (simulator.num_rows,))
        self.begin()
        steps: list[tuple[IntArray, IntArray]] = []
        actions = np.zeros(simulator.num_rows, dtype=np.int64)
        while (rows := np.flatnonzero(simulator.live())).size:
            if deadline is not None and time.perf_counter() > deadline:
                return None
            decisions, scores, _ = self.scores(rows)
            chosen = choose(decisions, scores, heat[rows], rng, self._least)
            actions[rows] = chosen
            if record:
                steps.append((rows, chosen))
            simulator.advance(actions)
        return _by_row(steps, simulator.num_rows)


def choose(
    decisions: Decisions,
    scores: FloatArray,
    temperatures: npt.NDArray[np.float32],
    rng: np.random.Generator,
    least: float = -np.inf,
) -> IntArray:
    """An action for each decision, drawn by the scores.

    Args:
        decisions: M decisions with C candidates together.
        scores: ``(C,)`` logits.
        temperatures: ``(M,)``; 0 takes the largest score.
        rng: Source of the choices.
        least: Candidates whose score is further below the largest are left out.
    """
    if np.isfinite(least):
        largest = np.maximum.reduceat(scores, decisions.offsets[:-1])
        floor = np.repeat(largest + least, np.diff(decisions.offsets))
        scores = np.where(scores < floor, np.float32(-np.inf), scores)
    places = np.empty(decisions.count, dtype=np.int64)
    noise = np.zeros(len(scores), dtype=np.float32)
    if (temperatures > 0).any():
        uniform = np.maximum(rng.random(len(scores), dtype=np.float32), np.float32(1e-12))
        noise = -np.log(-np.log(uniform) + np.float32(1e-12))
    kernels.choose(scores, noise, temperatures, decisions.offsets, places)
    chosen: IntArray = decisions.actions[decisions.offsets[:-1] + places]
    return chosen


def _by_row(steps: Sequence[tuple[IntArray, IntArray]], num_rows: int) -> list[IntArray]:
    if not steps:
        return [np.zeros(0, dtype=np.int64)] * num_rows
    rows = np.concatenate([rows for rows, _ in steps])
    actions = np.concatenate([chosen for _, chosen in steps])
    order = np.argsort(rows, kind="stable")
    ends = np.searchsorted(rows[order], np.arange(1, num_rows))
    return list(np.split(actions[order], ends))


@dataclass
class Examples:
    """Decisions with the right choices.

    Attributes:
        decisions: The decisions; their graphs are numbered as the rows were.
        labels: ``(M,)`` place of the right candidate in each list.
        returns: ``(M,)`` rest of the return from the decision on, in units of the rewards.
        graphs: The rows' graphs, or ``None``. Where graphs change, there is one per decision.
    """

    decisions: Decisions
    labels: IntArray
    returns: FloatArray
    graphs: Graphs | None

    @property
    def chosen(self) -> Tensor:
        """``(M,)`` the right candidates' places among all."""
        return torch.from_numpy(self.decisions.offsets[:-1] + self.labels)


def follow(simulator: Simulator, actions: Sequence[IntArray], *, graph: bool) -> Examples:
    """Play recorded actions again, one list per row, and keep what was seen.

    Raises:
        ValueError: If an action is not available, or a list does not end with the episode.
    """
    simulator.begin()
    everyone = np.arange(simulator.num_rows)
    static = graphs_of(simulator, everyone) if graph and simulator.static_graph else None
    if graph and not simulator.static_graph:
        raise ValueError("examples of graphs that change, expected a static graph.")
    parts: list[Decisions] = []
    labels: list[IntArray] = []
    rewards: list[tuple[IntArray, FloatArray]] = []
    played = np.zeros(simulator.num_rows, dtype=np.int64)
    while (rows := np.flatnonzero(simulator.live())).size:
        decisions = gather(simulator, rows)
        for row in rows.tolist():
            if played[row] >= len(actions[row]):
                raise ValueError(f"row {row}: {len(actions[row])} recorded actions, expected more.")
        chosen = np.array([actions[row][played[row]] for row in rows.tolist()], dtype=np.int64)
        places = np.empty(len(rows), dtype=np.int64)
        kernels.place_of(chosen, decisions.actions, decisions.offsets, places)
        if (places < 0).any():
            row = rows[np.argmin(places)]
            raise ValueError(
                f"row {row}: recorded action {chosen[np.argmin(places)]} is not available."
            )
        taken = np.zeros(simulator.num_rows, dtype=np.int64)
        taken[rows] = chosen
        simulator.advance(taken)
        parts.append(decisions)
        labels.append(places)
        rewards.append((rows, simulator.view["reward"][rows].copy()))
        played[rows] += 1
    for row, taken_there in enumerate(played.tolist()):
        if taken_there < len(actions[row]):
            raise ValueError(
                f"row {row}: {len(actions[row])} recorded actions, expected {taken_there}."
            )
    if not parts:
        raise ValueError("no decision in any row, expected instances with a choice.")
    return Examples(
        joined(parts), np.concatenate(labels), _returns(rewards, simulator.num_rows), static
    )


def _returns(rewards: Sequence[tuple[IntArray, FloatArray]], num_rows: int) -> FloatArray:
    """The rest of the return at each decision, in the order of the decisions."""
    rest, found = np.zeros(num_rows, dtype=_FLOAT), []
    for rows, reward in reversed(rewards):
        rest[rows] += reward
        found.append(rest[rows].copy())
    return np.concatenate(found[::-1])
