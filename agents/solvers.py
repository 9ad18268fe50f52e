"""All solvers of a problem under one roof: the classics, the rules as played, and yours."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..baselines import registry as baselines
from ..baselines.rules import Rule
from ..baselines.solver import Result, Solver
from ..baselines.solver import solver as make_solver
from ..instances.core import Instance
from .play import rule_solver

#: How the names of modules begin that are made of a user's files.
USER_MODULE = "gapgym_user_"

#: Folder of the policies that come with the library: ``gnn``, with a graph encoder, as
#: ``PROBLEM.safetensors``, and ``columns``, without, as ``PROBLEM_columns.safetensors``.
WEIGHTS = Path(__file__).parent / "weights"

_registered: dict[str, dict[str, Solver]] = {}


def solvers(problem: str) -> dict[str, Solver]:
    """Name to solver: rules, searches, exact methods, policies and those registered by the user."""
    played = {name: rule_solver(name, rule) for name, rule in baselines.rules(problem).items()}
    found: dict[str, Solver] = {**played, **baselines.solvers(problem)}
    for name, file in (("gnn", problem), ("columns", f"{problem}_columns")):
        if (path := WEIGHTS / f"{file}.safetensors").is_file():
            found[name] = PolicySolver(name, path)
    return {**found, **_registered.get(problem, {})}


class PolicySolver:
    """A policy in a file as a solver; see ``search.policy_solver`` for its options.

    Attributes:
        version: Raised when the searches give other results.
        path: The file.
    """

    version = 1

    def __init__(self, name: str, path: Path) -> None:
        self.__name__ = name
        self.path = path

    @property
    def content(self) -> str:
        """SHA-256 of the file: another policy is another solver."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def warm_up(self, problem: str) -> None:
        """Load PyTorch, the weights and compiled code, which a first run would pay for."""
        from .search import warm_up

        warm_up(self.path, problem)

    def __call__(self, instance: Any, **arguments: Any) -> Result:
        """Solve an instance."""
        from .search import policy_solver  # PyTorch takes seconds to import

        return policy_solver(self.__name__, self.path)(instance, **arguments)


def find(problem: str, name: str) -> Solver:
    """The solver of that name, a policy's ``file.safetensors``, or the user's ``file.py:function``.

    Raises:
        ValueError: If there is none; the message lists those there are.
    """
    if name.endswith(".safetensors"):
        if not Path(name).is_file():
            raise ValueError(f"{name}: no such file, expected a policy (safetensors).")
        return PolicySolver(Path(name).stem, Path(name).resolve())
    if ":" in name:
        return _as_solver(name, load_function(name))
    known = solvers(problem)
    if name not in known:
        listed = ", ".join(sorted(known))
        raise ValueError(f"unknown solver {name!r} for {problem}, expected one of: {listed}.")
    return known[name]


def register_solver(problem: str, name: str, function: Callable[..., Any]) -> Solver:
    """Add a solver under a name, so that ``solve``, ``compare`` and the command line find it.

    Args:
        problem: Problem that it solves, e.g. ``"job_shop"``.
        name: Its name.
        function: Takes an instance and returns a solution, a draft or a result; see
            :func:`gapgym.baselines.solver`.

    Returns:
        The solver that was registered.

    Raises:
        ValueError: If the name is taken or there is no such problem.
    """
    if not name.isidentifier():
        raise ValueError(f"solver name {name!r}, expected letters, digits and underscores.")
    try:
        taken = solvers(problem)
    except KeyError:
        raise ValueError(f"unknown problem {problem!r}.") from None
    if name in taken:
        raise ValueError(f"solver {name!r} of {problem} exists, expected another name.")
    made = _as_solver(name, function)
    _registered.setdefault(problem, {})[name] = made
    return made


def rule_from_file(text: str) -> Solver:
    """The rule ``file.py:name``, played like any other.

    The name is a score over named columns, played with the simulator's defaults, or a ``Rule``,
    which says how it wants to be played. The file is the user's own code: it is imported because
    they named it.
    """
    found = load_object(text)
    rule = found if isinstance(found, Rule) else Rule(_function(text, found))
    return rule_solver(text.rpartition(":")[2], rule)


def solve(
    instance: Any,
    solver: str | Callable[..., Any] = "cp_sat",
    *,
    time_limit: float | None = None,
    seed: int = 0,
    **options: Any,
) -> Result:
    """Solve an instance.

    Args:
        instance: An instance of any family.
        solver: Name of a solver, ``"file.py:function"``, or a function.
        time_limit: Wall time in seconds; ``None`` for the solver's own end.
        seed: Seed of the run.
        **options: ``start`` (a solution), ``on_incumbent`` (a callback), and the solver's own.

    Returns:
        The result; its objective was computed by the family's referee.

    Raises:
        ValueError: If the solver is unknown, or refuses an option.
    """
    if not isinstance(instance, Instance):
        raise ValueError(f"{type(instance).__name__}, expected an instance; see gapgym.load.")
    if callable(solver):
        chosen = _as_solver(getattr(solver, "__name__", "solver"), solver)
    else:
        chosen = find(instance.problem, solver)
    return chosen(instance, time_limit=time_limit, seed=seed, **options)


def _as_solver(name: str, function: Callable[..., Any]) -> Solver:
    if hasattr(function, "version"):
        return function
    return make_solver(name=name)(function)


def load_function(text: str) -> Callable[..., Any]:
    """The function that ``file.py:function`` names.

    Raises:
        ValueError: If the file or the function is missing, or the file fails to import.
    """
    return _function(text, load_object(text))


def _function(text: str, found: Any) -> Callable[..., Any]:
    if not callable(found):
        raise ValueError(f"{text!r}: {type(found).__name__}, expected a function.")
    return found  # type: ignore[no-any-return]


def load_object(text: str) -> Any:
    """What ``file.py:name`` names.

    Raises:
        ValueError: If the file or the name is missing, or the file fails to import.
    """
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"{text!r}: no file {file!r}, expected file.py:function.")
    spec = importlib.util.spec_from_file_location(f"{USER_MODULE}{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{text!r}: {file!r} is not a Python file, expected file.py:function.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # what lies beside it can be imported
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{file}: {type(error).__name__}: {error}") from error
    finally:
        del sys.path[0]
    if not hasattr(module, name):
        raise ValueError(f"{text!r}: no function {name!r} in {file}.")
    return getattr(module, name)
