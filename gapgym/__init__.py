"""Combinatorial scheduling for learning: environments, policies, heuristics, CP-SAT, and the gap.

``import gapgym`` registers the Gymnasium environments; everything else is imported when it is used.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from . import envs as envs

if TYPE_CHECKING:
    from . import agents, baselines, experiments, instances
    from .agents.solvers import register_solver, solve
    from .experiments.compare import compare
    from .instances.registry import load

__version__: str = _version("gapgym")

__all__ = [
    "__version__",
    "agents",
    "baselines",
    "compare",
    "envs",
    "experiments",
    "instances",
    "load",
    "register_solver",
    "solve",
]

_LAZY = {
    "load": ".instances.registry",
    "solve": ".agents.solvers",
    "register_solver": ".agents.solvers",
    "compare": ".experiments.compare",
}
_FOLDERS = ("agents", "baselines", "experiments", "instances")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    if name in _FOLDERS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'gapgym' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
