"""A rule is a score over named columns: the candidate with the largest score is chosen.

``score(c)`` sees the columns of a decision in a batch of B episodes: ``c["processing_time"]`` is
``(B, A)``, a global column ``(B, 1)``; candidates that are not available are NaN. Ties go to the
lowest candidate. Rules are pure NumPy and know no environment: whoever plays them provides the
columns (``envs/rollout.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..instances.core import FloatArray

Columns = Mapping[str, FloatArray]
Score = Callable[[Columns], FloatArray]


@dataclass(frozen=True)
class Rule:
    """A score and how it is usually played.

    Attributes:
        score: ``(B, A)`` score of named columns; the largest wins.
        options: Options of the simulator, e.g. ``{"schedule": "non-delay"}``.
        noise: Scale of the Gumbel noise added to the scores.
        version: Raised when a change of the score changes its results; see ``Solver``.
    """

    score: Score
    options: Mapping[str, Any] = field(default_factory=dict)
    noise: float = 0.0
    version: int = 1


def uniform(c: Columns) -> FloatArray:
    """The same score for every candidate; with noise, a uniformly random choice."""
    return np.zeros_like(next(iter(c.values())))
