"""The classics of memory allocation and memory mapping.

Those of allocation stand in ``memory_allocation.py``. The rules of mapping choose among the actions
of the game: ``no_copy`` keeps in the fast memory what fits there and never copies anything into it,
``greedy`` serves from the fast memory whatever it can.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..instances.core import FloatArray
from . import memory_allocation
from .rules import Columns, Rule, uniform
from .solver import Solver


def no_copy(c: Columns) -> FloatArray:
    """No copy where it is allowed, else drop."""
    return c["no_copy"] - c["copy"]


def greedy(c: Columns) -> FloatArray:
    """No copy or copy where one of them is allowed, else drop."""
    return -c["drop"]


RULES: Mapping[str, Mapping[str, Rule]] = {
    "memory_allocation": memory_allocation.RULES,
    "memory_mapping": {
        "random": Rule(uniform, noise=1.0),
        "no_copy": Rule(no_copy),
        "greedy": Rule(greedy),
    },
}

SOLVERS: Mapping[str, Mapping[str, Solver]] = {
    "memory_allocation": memory_allocation.SOLVERS,
    "memory_mapping": {},
}
