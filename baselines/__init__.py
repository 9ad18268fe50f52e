"""The classics of each family: rules as scores, searches, exact methods and CP-SAT."""

from .rules import Columns, Rule, Score
from .solver import Draft, Incumbent, Result, Solver, Status, solver

__all__ = [
    "Columns",
    "Draft",
    "Incumbent",
    "Result",
    "Rule",
    "Score",
    "Solver",
    "Status",
    "solver",
]
