"""Terms of named columns: the inputs of a policy, and the rule that it begins with.

A term is the name of a column, ``"log x"`` or ``"x / y"``. What an environment declares as its
``prior`` is a log-linear rule over terms; a policy sees all columns and these terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Stands for values below it in a logarithm or a denominator; columns are in units near 1.
_LEAST = 0.05
#: Terms beyond it are cut off: a quotient of a vanishing denominator says no more than that.
_LARGEST = 100.0


@dataclass(frozen=True)
class _Term:
    kind: str  # "column", "log" or "ratio"
    first: int
    second: int = -1


class Terms:
    """Some terms of given columns.

    Args:
        columns: Names of the columns, in their order.
        names: The terms.

    Raises:
        ValueError: If a term is of another form, or speaks of a column that there is not.
    """

    def __init__(self, columns: Sequence[str], names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._terms = [_parsed(name, columns) for name in names]

    def __call__(self, candidates: Tensor) -> Tensor:
        """The terms of candidates.

        Args:
            candidates: ``(C, F)`` columns.

        Returns:
            ``(C, len(names))``.
        """
        if not self._terms:
            return candidates.new_zeros((len(candidates), 0))
        values = [_value(term, candidates) for term in self._terms]
        return torch.stack(values, dim=1).clamp(-_LARGEST, _LARGEST)


def _parsed(name: str, columns: Sequence[str]) -> _Term:
    def index(column: str) -> int:
        if column not in columns:
            listed = ", ".join(columns)
            raise ValueError(f"term {name!r}: no column {column!r}, expected one of: {listed}.")
        return list(columns).index(column)

    words = name.split()
    if len(words) == 1:
        return _Term("column", index(name))
    if len(words) == 2 and words[0] == "log":
        return _Term("log", index(words[1]))
    if len(words) == 3 and words[1] == "/":
        return _Term("ratio", index(words[0]), index(words[2]))
    raise ValueError(f"term {name!r}, expected 'x', 'log x' or 'x / y'.")


def _value(term: _Term, candidates: Tensor) -> Tensor:
    first = candidates[:, term.first]
    if term.kind == "log":
        return first.clamp(min=_LEAST).log()
    if term.kind == "ratio":
        return first / candidates[:, term.second].clamp(min=_LEAST)
    return first
