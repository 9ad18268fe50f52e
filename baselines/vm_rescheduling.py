"""The classics of VM rescheduling by name: heuristics, annealing and CP-SAT."""

from __future__ import annotations

from collections.abc import Mapping

from .rules import Rule
from .solver import Solver
from .vm_rescheduling_cp import build_model, cp_sat
from .vm_rescheduling_search import annealing, filter_score, potential_greedy, random_moves

__all__ = ["RULES", "SOLVERS", "build_model"]

RULES: Mapping[str, Mapping[str, Rule]] = {"vm_rescheduling": {}}

SOLVERS: Mapping[str, Mapping[str, Solver]] = {
    "vm_rescheduling": {
        "random": random_moves,
        "filter_score": filter_score,
        "potential_greedy": potential_greedy,
        "annealing": annealing,
        "cp_sat": cp_sat,
    }
}
