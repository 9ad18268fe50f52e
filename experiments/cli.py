"""The command line. A wrong input is one line on standard error and exit code 2.

Heavy imports stand inside the commands, so that ``gapgym --help`` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import cli_data, cli_policy, cli_study
from .cli_text import (
    check_out,
    key_values,
    load_instance,
    one_row,
    print_json,
    quiet_stdout,
    solver_options,
)

if TYPE_CHECKING:
    from ..baselines.solver import Result

app = typer.Typer(
    name="gapgym",
    help="Scheduling problems, their solvers, and how far from optimal every result is.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_study.app, name="study")
app.add_typer(cli_policy.app, name="policy")
app.command()(cli_policy.train)

#: ``ClickException``: of click or, in newer Typers, of their own copy of it.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]

#: What solvers raise where the value of an option is of a kind that they do not expect.
_WRONG_KIND = (TypeError, AttributeError, LookupError, ArithmeticError, MemoryError)


def _log_to_stderr(wanted: bool) -> None:
    if wanted:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        logger = logging.getLogger("gapgym")
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)


def _number(text: str | float) -> float:
    """A number, or an error that names the text, which Typer's own does not."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r}, expected a number.") from None


def _integer(text: str | int) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r}, expected an integer.") from None


def _seed(text: str | int) -> int:
    seed = _integer(text)
    if seed < 0:
        raise typer.BadParameter(f"seed {seed}, expected >= 0.")
    return seed


FamilyName = Annotated[str, typer.Argument(metavar="FAMILY", help="Problem family, e.g. job_shop.")]
InstanceName = Annotated[
    str,
    typer.Argument(
        metavar="INSTANCE", help="Benchmark name, file, or generator with sizes (uniform-20x15)."
    ),
]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Option of the reader; repeatable.")
]
Options = Annotated[
    list[str],
    typer.Option("--option", metavar="KEY=VALUE", help="Option of the solver; repeatable."),
]
TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", parser=_number, metavar="SECONDS", help="Wall time per run."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", callback=_log_to_stderr, help="Tell more on standard error.")
]
Rules = Annotated[
    list[str],
    typer.Option("--rule", metavar="FILE.py:FUNCTION", help="A score over named columns."),
]


Policies = Annotated[
    list[str],
    typer.Option("--policy", metavar="FILE|gnn", help="A trained policy (safetensors)."),
]


@app.command()
def solve(
    family: FamilyName,
    instance: InstanceName,
    solver: Annotated[
        str, typer.Option("--solver", help="Name of a solver, or FILE.py:FUNCTION.")
    ] = "cp_sat",
    rule: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:FUNCTION", help="A score over named columns, as solver."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="FILE|gnn", help="A trained policy, as solver.")
    ] = None,
    time_limit: TimeLimit = None,
    seed: Annotated[int, typer.Option(parser=_seed, metavar="N", help="Seed of the run.")] = 0,
    settings: Settings = [],  # noqa: B006 - Typer reads it, nobody changes it
    options: Options = [],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="File for the solution (JSON).")] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Solve one instance. Ctrl-C ends with the best solution so far."""
    from ..instances.core import to_json_text
    from ..instances.text import write_text

    if out is not None:
        check_out(out)
    loaded = load_instance(family, instance, settings)
    solver = policy or solver
    result = _solved(loaded, solver, rule, time_limit, seed, solver_options(solver, options))
    if as_json:
        print_json(_result_row(result))
    else:
        from .cli_text import print_result

        print_result(result)
    if out is not None:
        if result.solution is None:
            raise ValueError(f"{out}: not written, no solution was found.")
        write_text(out, to_json_text(result.solution))


def _solved(
    instance: Any,
    solver: str,
    rule: str | None,
    time_limit: float | None,
    seed: int,
    options: dict[str, Any],
) -> Result:
    from ..agents import solvers

    chosen = solvers.rule_from_file(rule) if rule else solvers.find(instance.problem, solver)
    with quiet_stdout():
        try:
            return chosen(instance, time_limit=time_limit, seed=seed, **options)
        except (ValueError, OSError):
            raise
        except Exception as error:
            wrong_kind = bool(options) and isinstance(error, _WRONG_KIND)
            if not rule and ":" not in solver and not wrong_kind:
                raise
            from .pool import one_line

            logging.getLogger("gapgym").debug("the solver failed", exc_info=True)
            given = f" with the options {options}" if wrong_kind else ""
            score = not rule and ":" in solver and isinstance(error, TypeError | KeyError)
            hint = f" (if it is a score over columns: --rule {solver})" if score else ""
            raise ValueError(f"{rule or solver}{given}: {one_line(error)}{hint}") from error


def _result_row(result: Result) -> dict[str, Any]:
    return {
        "instance": result.instance.name,
        "solver": result.solver,
        "seed": result.seed,
        "objective": result.objective,
        "bound": result.bound,
        "status": str(result.status),
        "seconds": result.seconds,
        "metrics": dict(result.metrics),
        "solution": None if result.solution is None else result.solution.to_json(),
    }


@app.command()
def check(
    family: FamilyName,
    instance: InstanceName,
    solution: Annotated[Path, typer.Argument(metavar="SOLUTION", help="File of solve --out.")],
    settings: Settings = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Judge a solution: its objective, or the first violated constraint and exit code 1."""
    from ..instances.registry import family_of
    from .cli_text import load_solution, with_gaps

    loaded = load_instance(family, instance, settings)
    candidate = load_solution(loaded, solution)
    _refuse_infeasible(loaded, candidate, as_json)
    value = family_of(loaded).objective(loaded, candidate)
    if as_json:
        print_json({"instance": loaded.name, "feasible": True, "objective": value})
    else:
        typer.echo(f"feasible: objective {with_gaps(loaded, value)}")


def _refuse_infeasible(instance: Any, solution: Any, as_json: bool = False) -> None:
    """Print the first violated constraint, if there is one, and end with exit code 1."""
    from ..instances.registry import family_of

    try:
        family_of(instance).validate(instance, solution)
    except (IndexError, ValueError) as error:
        if as_json:
            print_json({"instance": instance.name, "feasible": False, "violation": str(error)})
        else:
            typer.echo(f"infeasible: {error}")
        raise typer.Exit(1) from None


@app.command()
def plan(
    instance: InstanceName,
    out: Annotated[Path | None, typer.Option(help="File for the plan, .yaml or .json.")] = None,
    solver: Annotated[
        str | None, typer.Option(help="Name of a solver; by default one that suits the size.")
    ] = None,
    time_limit: TimeLimit = 10.0,
    seed: Annotated[int, typer.Option(parser=_seed, metavar="N", help="Seed of the run.")] = 0,
    objective: Annotated[
        str | None, typer.Option(help="Objective, short for --set objective=NAME.")
    ] = None,
    settings: Settings = [],  # noqa: B006
    options: Options = [],  # noqa: B006
    verbose: Verbose = False,
) -> None:
    """Plan how to get from the current state to a better one, stage by stage (pod_packing)."""
    from .cli_plan import make_plan

    given = [*settings, f"objective={objective}"] if objective else settings
    make_plan(instance, solver, time_limit, seed, given, options, out)


@app.command()
def verify(
    instance: InstanceName,
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="File of plan --out.")],
    objective: Annotated[
        str | None, typer.Option(help="Objective, short for --set objective=NAME.")
    ] = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Replay a plan independently: accepted, or the first violation and exit code 1."""
    from .cli_plan import check_plan

    given = [*settings, f"objective={objective}"] if objective else settings
    typer.echo(check_plan(instance, plan_file, given))


@app.command()
def show(
    family: FamilyName,
    instance: InstanceName,
    solution: Annotated[
        Path | None,
        typer.Argument(metavar="[SOLUTION]", help="File of solve --out; without it, one is found."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Picture, .html or .png; without it, text is printed.")
    ] = None,
    solver: Annotated[str, typer.Option(help="Solver for want of a solution.")] = "cp_sat",
    time_limit: TimeLimit = 5.0,
    settings: Settings = [],  # noqa: B006
    verbose: Verbose = False,
) -> None:
    """Draw a solution, e.g. as a Gantt chart; an infeasible one is refused with exit code 1."""
    from ..envs import render
    from ..instances.registry import family_of
    from ..instances.text import write_bytes
    from .cli_text import load_solution

    if out is not None:
        if out.suffix not in (".html", ".png"):
            raise ValueError(f"{out}: suffix {out.suffix!r}, expected .html or .png.")
        check_out(out)
    loaded = load_instance(family, instance, settings)
    if solution is not None:
        drawn = load_solution(loaded, solution)
    else:
        drawn = _solved(loaded, solver, None, time_limit, 0, {}).solution
    if drawn is None:
        raise ValueError(f"{loaded.name}: {solver} found no solution within {time_limit} s.")
    _refuse_infeasible(loaded, drawn)
    picture = family_of(loaded).picture(loaded, drawn)
    if out is None:
        typer.echo(render.ansi(picture, width=_terminal_width()), color=sys.stdout.isatty())
    elif out.suffix == ".png":
        write_bytes(out, render.png(picture))
    else:
        write_bytes(out, render.html(picture).encode())


def _terminal_width() -> int:
    return os.get_terminal_size().columns if sys.stdout.isatty() else 100


@app.command()
def compare(
    family: FamilyName,
    instances: Annotated[
        str, typer.Option(metavar="A,B*", help="Names, globs of names, files; comma-separated.")
    ],
    solvers: Annotated[
        str, typer.Option(metavar="X,Y", help="Names of solvers; comma-separated.")
    ] = "",
    solver: Annotated[
        list[str], typer.Option(metavar="FILE.py:FUNCTION", help="A further solver; repeatable.")
    ] = [],  # noqa: B006
    rule: Rules = [],  # noqa: B006
    policy: Policies = [],  # noqa: B006
    time_limit: TimeLimit = None,
    seeds: Annotated[
        int, typer.Option(parser=_integer, metavar="N", help="Runs per instance and solver.")
    ] = 1,
    workers: Annotated[
        int, typer.Option(parser=_integer, metavar="N", help="Runs at the same time.")
    ] = 1,
    executor: Annotated[
        str, typer.Option(help="How runs are spread: process, serial or ray.")
    ] = "process",
    settings: Settings = [],  # noqa: B006
    options: Annotated[
        list[str],
        typer.Option(
            "--option", metavar="SOLVER.KEY=VALUE", help="Option of a solver; repeatable."
        ),
    ] = [],  # noqa: B006
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for results.sqlite, results.csv, report.html."),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Run solvers on instances and compare their gaps; with --out, resumable and with a report."""
    from ..instances.registry import load_all
    from . import compare as study

    given = [part.strip() for part in instances.split(",") if part.strip()]
    frame = study.compare(
        family,
        load_all(family, given, **key_values("--set", settings)),
        [*(part.strip() for part in solvers.split(",") if part.strip()), *solver, *policy],
        rules=rule,
        time_limit=time_limit,
        seeds=seeds,
        workers=workers,
        executor=executor,
        options=_by_solver(key_values("--option", options)),
        out=out,
    )
    if as_json:
        print_json([one_row(row) for row in frame.to_dict("records")])
    else:
        _print_tables(frame, out)
    failed = frame[frame["status"] == "error"]
    if len(failed):
        first = failed.iloc[0]
        note = f"first: {first['instance']}, {first['solver']}: {first['message']}"
        typer.echo(f"gapgym: {len(failed)} of {len(frame)} runs failed; {note}", err=True)
    if frame.attrs["interrupted"]:
        typer.echo("gapgym: interrupted; the table holds the finished runs.", err=True)
        raise typer.Exit(130)
    if len(failed) == len(frame):
        raise typer.Exit(1)


def _by_solver(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    grouped: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        solver, dot, key = name.rpartition(".")
        if not dot:
            raise ValueError(f"--option {name!r}, expected SOLVER.KEY=VALUE.")
        grouped.setdefault(solver, {})[key] = value
    return grouped


def _print_tables(frame: Any, out: Path | None) -> None:
    from rich.console import Console

    from . import tables

    # A table that is piped into a file must not be cut to 80 columns.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    tables.show(frame, console)
    if out is not None and len(frame):
        typer.echo(f"report: {out / 'report.html'}")


@app.command("list")
def list_families(
    family: Annotated[str | None, typer.Argument(metavar="[FAMILY]", help="Family.")] = None,
) -> None:
    """The families, or what there is for one: solvers, generators, benchmarks, environments."""
    from .cli_text import describe, families

    typer.echo(families() if family is None else describe(family))


@app.command()
def speed(
    target: Annotated[
        str, typer.Argument(metavar="[FAMILY|agents|all]", help="What to measure.")
    ] = "all",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure decisions per second of the environments, or of policies."""
    from .speed import main as measure

    measure(target, json_output=as_json)


def run(arguments: Sequence[str]) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 where the answer is no, 2 for bad input, 130 after Ctrl-C.
    """
    try:
        command = typer.main.get_command(app)
        code = command.main(
            args=list(arguments) or ["--help"], prog_name="gapgym", standalone_mode=False
        )
        sys.stdout.flush()  # so that a broken pipe shows here
    except BrokenPipeError:  # the reader of a pipe has gone, e.g. ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except _UsageError as error:
        return _complain(error.format_message())  # type: ignore[attr-defined]
    except OSError as error:
        named = error.filename is not None and error.strerror
        return _complain(f"{error.filename}: {error.strerror}." if named else str(error))
    except ValueError as error:
        return _complain(str(error))
    except RecursionError as error:
        logging.getLogger("gapgym").debug("too deep", exc_info=True)
        return _complain(f"{error}: data nested too deeply, expected flatter ones.")
    except Exception as error:
        logging.getLogger("gapgym").debug("unexpected", exc_info=True)
        _complain(f"unexpected {type(error).__name__}: {error} (--verbose tells more).")
        return 1
    return code if isinstance(code, int) else 0


def _complain(message: str) -> int:
    """One line on standard error."""
    typer.echo(f"gapgym: {' '.join(message.split())}", err=True)
    return 2


def main() -> None:
    """Entry point of the command ``gapgym``."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
