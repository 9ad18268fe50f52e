"""The commands ``plan`` and ``verify``, for families whose solutions are carried out in stages.

Such a family declares in ``instances/<family>.py``: ``plan(instance, solution, certificate)``,
``verify(instance, plan)``, ``plan_table(instance, solution)``, ``read_plan`` and ``write_plan``,
and ``plan_solver(instance)``, the solver that suits the instance's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from ..instances.registry import FAMILIES
from .cli_text import check_out, load_instance, quiet_stdout, solver_options


def planning_family() -> tuple[str, Any]:
    """The family that makes plans, with its name.

    Raises:
        ValueError: If there is none.
    """
    for name, module in FAMILIES.items():
        if hasattr(module, "plan"):
            return name, module
    raise ValueError("no family makes plans.")


def make_plan(
    text: str,
    solver: str | None,
    time_limit: float | None,
    seed: int,
    settings: Sequence[str],
    options: Sequence[str],
    out: Path | None,
) -> dict[str, Any]:
    """Solve an instance and write the stages that lead there; prints a table."""
    from ..agents import solvers

    if out is not None:
        check_out(out)
    name, family = planning_family()
    instance = load_instance(name, text, settings)
    chosen = solver or family.plan_solver(instance)
    with quiet_stdout():
        result = solvers.find(instance.problem, chosen)(
            instance, time_limit=time_limit, seed=seed, **solver_options(chosen, options)
        )
    if result.solution is None:
        raise ValueError(f"{text}: {chosen} found no solution ({result.status}).")
    certificate = {
        "solver": chosen,
        "status": str(result.status),
        "bound": list(result.bound) if isinstance(result.bound, tuple) else result.bound,
        "seconds": round(result.seconds, 3),
    }
    made: dict[str, Any] = family.plan(instance, result.solution, certificate)
    family.verify(instance, made)  # nothing is handed out that our own check refuses
    if out is not None:
        family.write_plan(made, out)
    _show(family.plan_table(instance, result.solution), certificate, made)
    return made


def _show(rows: list[list[str]], certificate: dict[str, Any], made: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="before and after")
    for heading in rows[0]:
        table.add_column(heading, justify="right")
    for row in rows[1:]:
        table.add_row(*row)
    Console(width=100).print(table)
    bound = certificate["bound"]
    typer.echo(
        f"{certificate['solver']}: {certificate['status']}, value {made['value']}, bound {bound}"
    )
    stages = made["stages"]
    evictions = sum(len(stage["evictions"]) for stage in stages)
    placed = sum(
        len(stage["bindings"]) + sum(quota["count"] for quota in stage["quotas"])
        for stage in stages
    )
    typer.echo(f"{len(stages)} stages, {evictions} evictions, {placed} placements")
    for note in made["notUnderstood"]:
        typer.echo(f"note: {note}")


def check_plan(text: str, path: Path, settings: Sequence[str]) -> str:
    """Replay a plan on the instance; where it leads, in words.

    Raises:
        typer.Exit: With code 1 if the plan is refused.
    """
    name, family = planning_family()
    instance = load_instance(name, text, settings)
    made = family.read_plan(path)
    try:
        solution = family.verify(instance, made)
    except ValueError as error:
        typer.echo(f"refused: {error}")
        raise typer.Exit(1) from None
    value = family.objective(instance, solution)
    return f"accepted: {len(made['stages'])} stages lead to {value}"
