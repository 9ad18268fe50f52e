"""The classics by name. Each ``baselines/<family>.py`` declares its ``SOLVERS`` and ``RULES``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from .rules import Rule
from .solver import Solver

#: Problem to the module that holds its classics.
_MODULES = {
    "job_shop": ".job_shop",
    "memory_allocation": ".memory_mapping",
    "memory_mapping": ".memory_mapping",
    "tardiness": ".tardiness",
}


def solvers(problem: str) -> Mapping[str, Solver]:
    """The solvers of a problem that construct, search or prove on their own."""
    module = importlib.import_module(_MODULES[problem], __package__)
    found: Mapping[str, Solver] = module.SOLVERS[problem]
    return found


def rules(problem: str) -> Mapping[str, Rule]:
    """The scores of a problem, to be played on its simulator."""
    module = importlib.import_module(_MODULES[problem], __package__)
    found: Mapping[str, Rule] = module.RULES[problem]
    return found
