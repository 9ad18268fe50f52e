"""The classics by name. Each ``baselines/<family>.py`` declares its ``SOLVERS`` and ``RULES``.

Where the best completion of a partial solution can be computed while one plays, it also declares
``ORACLES``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from .rules import Rule
from .solver import Solver

#: The least objective of all complete solutions that agree with a partial one.
Oracle = Callable[[Any, Any], int]

#: Problem to the module that holds its classics.
_MODULES = {
    "job_shop": ".job_shop",
    "flexible_job_shop": ".job_shop_flexible",
    "memory_allocation": ".memory_mapping",
    "memory_mapping": ".memory_mapping",
    "pod_packing": ".pod_packing",
    "tardiness": ".tardiness",
    "soc_dag": ".soc_dag",
    "soc_stream": ".soc_dag",
    "vm_rescheduling": ".vm_rescheduling",
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


def oracle(problem: str) -> Oracle:
    """The oracle of a problem's states.

    Raises:
        ValueError: If it has none.
    """
    module = importlib.import_module(_MODULES[problem], __package__)
    oracles: Mapping[str, Oracle] = getattr(module, "ORACLES", {})
    if problem not in oracles:
        raise ValueError(f"{problem} has no oracle of its states, expected a problem with one.")
    return oracles[problem]
