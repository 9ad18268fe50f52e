"""What commands share: from texts to instances, solutions and options, and back to text."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..instances.core import Family, Objective, gap
from ..instances.registry import FAMILIES, family_of, load_from
from ..instances.registry import family as family_named

if TYPE_CHECKING:
    from ..baselines.solver import Result


# Input.


def key_values(flag: str, texts: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts as a dictionary; values are JSON where they parse, else text.

    Raises:
        ValueError: If a text has no ``=`` or nothing before it.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise ValueError(f"{flag} {text!r}: expected KEY=VALUE.")
        try:
            values[key.strip()] = json.loads(value)
        except json.JSONDecodeError:
            values[key.strip()] = value
        except RecursionError:
            raise ValueError(f"{flag} {key.strip()}: nested too deeply.") from None
    return values


def solver_options(solver: str, texts: Sequence[str]) -> dict[str, Any]:
    """The options of a solver from ``KEY=VALUE`` texts."""
    from .grid import check_options

    return dict(check_options(solver, key_values("--option", texts)))


def load_instance(family: str, text: str, settings: Sequence[str]) -> Any:
    """The instance that a command names, with the reader's options.

    Raises:
        ValueError: If it is not understood.
    """
    options = key_values("--set", settings)
    try:
        return load_from(family, text, **options)
    except TypeError as error:  # an option of the wrong kind, or one that the reader lacks
        raise ValueError(f"{text}: {error}.") from None
    except RecursionError:
        raise ValueError(f"{text}: nested too deeply, expected an instance.") from None


def load_solution(instance: Any, path: Path) -> Any:
    """The solution in a file of ``solve --out``, or in the output of ``solve --json``.

    Raises:
        ValueError: If it is none for the instance's problem.
    """
    from ..instances.text import read_json

    try:
        data = read_json(path)
    except RecursionError:
        raise ValueError(f"{path.name}: nested too deeply, expected a solution.") from None
    if isinstance(data, dict) and "status" in data and "solution" in data:
        data = data["solution"]
    kind = family_of(instance).PROBLEMS[instance.problem][1]
    return kind.from_json(data, path.name)


def check_out(path: Path) -> None:
    """Refuse a file that cannot be written before work is done for it.

    Raises:
        ValueError: If its folder does not exist or is not writable, or it is a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path}: a folder, expected a file name.")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no folder {str(path.parent)!r}.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: folder {str(path.parent)!r} is not writable.")


# Output.


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send what solvers print, from Python or below, to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def print_json(value: Any) -> None:
    """Print a value as strict JSON on one line: NaN is null."""
    typer.echo(json.dumps(strict(value), allow_nan=False))


def strict(value: Any) -> Any:
    """A value with plain, finite parts only; what is not a finite number is ``None``."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if type(value).__name__ == "NAType":
        return None
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def one_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a comparison for JSON."""
    return {str(key): strict(value) for key, value in row.items()}


def with_gaps(instance: Any, value: Objective, bound: Objective | None = None) -> str:
    """An objective with its gaps, e.g. ``"57, 3.64 % above the best known 55 (...)"``."""
    return "; ".join([str(value), *_gaps(instance, value, bound)])


def _gaps(instance: Any, value: Objective, bound: Objective | None) -> list[str]:
    from .tables import percent

    module = family_of(instance)
    reference, texts = module.best_known(instance), []
    if reference is not None and reference.upper is not None:
        known = f"the best known {reference.upper} ({reference.upper_source})"
        texts.append(f"{percent(gap(value, reference.upper))} above {known}")
    claims = {"proven by this run": bound, "from the data": module.lower_bound(instance)}
    if reference is not None and reference.lower is not None:
        claims[reference.lower_source] = reference.lower
    proven = {source: claim for source, claim in claims.items() if claim is not None}
    source = max(proven, key=lambda name: proven[name])
    best = proven[source]
    texts.append(f"{percent(gap(value, best))} above the lower bound {best} ({source})")
    return texts


def print_result(result: Result) -> None:
    """Print a run for a reader."""
    from .tables import note

    name = result.instance.name or result.instance.problem
    head = f"{name}, {result.solver}: {result.status} after {result.seconds:.3g} s"
    if result.objective is None:
        typer.echo(f"{head}, no solution")
        return
    typer.echo(head)
    typer.echo(f"  objective {result.objective}")
    for line in _gaps(result.instance, result.objective, result.bound):
        typer.echo(f"  {line}")
    for key, value in result.metrics.items():
        shown = value if isinstance(value, list) else f"{value:.6g}"
        typer.echo(f"  {key} {shown}")
    if text := note([result.instance]):
        typer.echo(f"  note: {text}")


def families() -> str:
    """All families, one line each, with the first sentence of their definition."""
    lines = []
    for name in FAMILIES:
        title = (FAMILIES[name].__doc__ or "").strip().partition("\n")[0]
        lines.append(f"{name:16}  {title}")
    return "\n".join([*lines, "'gapgym list FAMILY' tells more."])


def describe(name: str) -> str:
    """What there is for a family."""
    from ..agents.solvers import solvers

    module = family_named(name)
    title = (module.__doc__ or "").strip().partition("\n")[0]
    found = {problem: ", ".join(sorted(solvers(problem))) for problem in module.PROBLEMS}
    several = len(found) > 1
    rows = [(f"solvers of {p}" if several else "solvers", text) for p, text in found.items()]
    rows.append(("generators", ", ".join(module.GENERATORS)))
    rows.append(("benchmarks", f"{len(module.names())} names, {_sample(module.names())}"))
    rows.append(("environments", ", ".join(_environments(module)) or "none"))
    return "\n".join([f"{name}: {title}", *(f"  {key}: {text}" for key, text in rows)])


def _sample(names: Sequence[str]) -> str:
    return f"{names[0]} ... {names[-1]}" if names else "none"


def _environments(module: Family) -> list[str]:
    from ..envs.registry import ENVIRONMENTS

    return [name for name, found in ENVIRONMENTS.items() if found.problem in module.PROBLEMS]
