"""The classics of memory allocation and memory mapping; see the modules of either."""

from __future__ import annotations

from collections.abc import Mapping

from . import memory_allocation
from .rules import Rule
from .solver import Solver

RULES: Mapping[str, Mapping[str, Rule]] = {
    "memory_allocation": memory_allocation.RULES,
}

SOLVERS: Mapping[str, Mapping[str, Solver]] = {
    "memory_allocation": memory_allocation.SOLVERS,
}
