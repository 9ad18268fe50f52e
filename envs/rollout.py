"""The one loop that plays scores on simulators: rules, a user's ``--rule``, networks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..instances.core import FloatArray
from .simulator import Columns, Simulator

Score = Callable[[Columns], FloatArray]


def play(
    simulator: Simulator,
    score: Score,
    *,
    noise: float | FloatArray = 0.0,
    rng: np.random.Generator | None = None,
    deadline: float | None = None,
) -> bool:
    """Play the episodes of all rows to their ends, always choosing the largest score.

    Args:
        simulator: Loaded with instances; its episodes are begun here.
        score: ``(B, A)`` score of named columns; ties go to the lowest candidate.
        noise: Scale of Gumbel noise added to the scores, for all rows or ``(B,)`` one each.
        rng: Source of the noise.
        deadline: ``time.perf_counter()`` value after which to give up.

    Returns:
        Whether all episodes ended before the deadline.

    Raises:
        ValueError: If the score has another shape, or is not finite for an available candidate.
    """
    simulator.begin()
    scales = np.broadcast_to(np.asarray(noise, dtype=np.float64), (simulator.num_rows,))[:, None]
    noisy = bool((scales > 0).any())
    step = 0
    while simulator.live().any():
        if deadline is not None and time.perf_counter() > deadline:
            return False
        columns = simulator.columns()
        values = _checked(score(columns), simulator, columns, step)
        if noisy and rng is not None:
            values = values + scales * rng.gumbel(size=values.shape)
        simulator.step(np.argmax(values, axis=1))
        step += 1
    return True


def _checked(values: Any, simulator: Simulator, columns: Columns, step: int) -> FloatArray:
    """The scores with -inf where a candidate is not available."""
    mask = simulator.view["action_mask"] > 0
    values = np.asarray(values, dtype=np.float64)
    if values.shape != mask.shape:
        raise ValueError(f"score {values.shape} at step {step}, expected {mask.shape} (B, A).")
    wrong = mask & ~np.isfinite(values)
    if wrong.any():
        row, candidate = np.argwhere(wrong)[0]
        used = ", ".join(dict.fromkeys(columns.used)) or "none"
        raise ValueError(
            f"score {values[row, candidate]} at step {step} for candidate {candidate} (row {row};"
            f" columns used: {used}), expected a finite number."
        )
    return np.where(mask, values, -np.inf)


def make(
    simulator_class: type[Simulator], instance: Any, num_rows: int, options: Mapping[str, Any]
) -> Simulator:
    """A simulator whose rows all play one instance."""
    simulator = simulator_class(num_rows, simulator_class.measure(instance), **options)
    simulator.load(range(num_rows), [instance] * num_rows)
    return simulator
