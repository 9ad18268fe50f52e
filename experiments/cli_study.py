"""``gapgym study``: grids in TOML files, run to the end whatever happens in between."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_text import one_row, print_json

if TYPE_CHECKING:
    from .spec import Spec

app = typer.Typer(help="Studies: run, resume, judge again and report grids of runs.")

StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="TOML file, or a study of the library.")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the results; results/STUDY by default."),
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Runs at the same time; else the file's.")
]
ExecutorName = Annotated[str | None, typer.Option(help="process, serial or ray; else the file's.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")]


@app.command("list")
def list_studies() -> None:
    """The studies that come with the library."""
    import tomllib

    from .spec import STUDIES

    for path in sorted(STUDIES.glob("*.toml")):
        question = tomllib.loads(path.read_text(encoding="utf-8")).get("question", "")
        typer.echo(f"{path.stem}: {question}")


@app.command()
def run(
    study: StudyName,
    out: Out = None,
    workers: Workers = None,
    executor: ExecutorName = None,
    as_json: AsJson = False,
) -> None:
    """Make the runs that are missing, then report; what failed before stays as it is."""
    _run(study, out, workers, executor, as_json, retry=False)


@app.command()
def retry(
    study: StudyName,
    out: Out = None,
    workers: Workers = None,
    executor: ExecutorName = None,
    as_json: AsJson = False,
) -> None:
    """Make the runs that are missing or have failed, then report."""
    _run(study, out, workers, executor, as_json, retry=True)


def _run(
    study: str,
    out: Path | None,
    workers: int | None,
    executor: str | None,
    as_json: bool,
    *,
    retry: bool,
) -> None:
    from . import spec as specs
    from .compare import prepared
    from .progress import bar
    from .store import Store

    spec = specs.read(specs.find(study), workers=workers, executor=executor)
    folder = prepared(_folder(spec, out))
    with Store(folder / "results.sqlite") as store:
        interrupted = spec.study.run(store, bar, retry=retry)
    _report(spec, folder, as_json)
    if interrupted:
        typer.echo("gapgym: interrupted; the tables hold the finished runs.", err=True)
        raise typer.Exit(130)


@app.command()
def status(study: StudyName, out: Out = None) -> None:
    """How many runs are finished, failed and missing, by solver."""
    from rich.console import Console
    from rich.table import Table

    from ..baselines.solver import Status

    spec = _looked_up(study, out)
    counts: Counter[tuple[str, str]] = Counter()
    for cell in spec.study.cells:
        found = spec.study.finished.get(cell.key)
        state = "missing" if found is None else "finished"
        if found is not None and found.status is Status.ERROR:
            state = "failed"
        counts[cell.contender.name, state] += 1
    names = list(dict.fromkeys(cell.contender.name for cell in spec.study.cells))
    table = Table("solver", "finished", "failed", "missing")
    for name in names:
        table.add_row(name, *(str(counts[name, s]) for s in ("finished", "failed", "missing")))
    Console().print(table)
    done = sum(n for (_, state), n in counts.items() if state == "finished")
    typer.echo(f"{done} of {len(spec.study.cells)} runs finished")


@app.command()
def report(study: StudyName, out: Out = None, as_json: AsJson = False) -> None:
    """Judge all stored solutions again, and write tables.md, results.csv and report.html."""
    spec = _looked_up(study, out)
    _report(spec, _folder(spec, out), as_json)


@app.command()
def export(
    study: StudyName,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help=".csv, .json or .md file.")],
    out: Out = None,
) -> None:
    """Write the table of runs (.csv, .json), or the tables of the study (.md), to a file."""
    import json

    from ..instances.text import write_text
    from . import tables

    spec = _looked_up(study, out)
    frame = spec.study.frame()
    if to.suffix == ".csv":
        text = frame.to_csv(index=False)
    elif to.suffix == ".json":
        text = json.dumps([one_row(row) for row in frame.to_dict("records")], indent=1) + "\n"
    elif to.suffix == ".md":
        text = tables.study_markdown(spec.name, spec.question, frame)
    else:
        raise ValueError(f"{to}: suffix {to.suffix!r}, expected .csv, .json or .md.")
    write_text(to, text)


@app.command()
def merge(
    into: Annotated[Path, typer.Argument(metavar="INTO", help="Folder that takes the runs.")],
    folders: Annotated[list[Path], typer.Argument(metavar="FROM...", help="Folders of results.")],
) -> None:
    """Copy the runs of other folders, e.g. of other machines, into one.

    Where a run stands in both, a finished one goes before a failed one, else the first stays.
    """
    from .compare import prepared
    from .store import Store

    for folder in folders:
        if not (folder / "results.sqlite").is_file():
            raise ValueError(f"{folder}: no results.sqlite there, expected a folder of results.")
    with Store(prepared(into) / "results.sqlite") as target:
        for folder in folders:
            with Store(folder / "results.sqlite") as source:
                typer.echo(f"{folder}: {target.take(source)} runs taken")


@app.command()
def suites(
    study: StudyName,
    sizes: Annotated[
        str, typer.Option(metavar="SMOKE,DEV,TEST", help="Numbers of instances.")
    ] = "4,16,24",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="JSON file that takes the names.")
    ] = None,
    out: Out = None,
) -> None:
    """Small sets of the study's instances on which its solvers compare as on all of them."""
    import json

    from ..instances.text import write_text
    from .suites import choose

    try:
        smoke, dev, test = (int(part) for part in sizes.split(","))
    except ValueError:
        raise ValueError(f"--sizes {sizes!r}, expected three integers, e.g. 4,16,24.") from None
    spec = _looked_up(study, out)
    families = sorted({run.family for run in spec.study.finished.values()})
    if len(families) != 1:
        raise ValueError(f"{study}: families {', '.join(families)}, expected a study of one.")
    found = choose(spec.study.frame(), smoke, dev, test)
    for suite in found:
        listed = ", ".join(suite.instances)
        typer.echo(
            f"{suite.name}: {len(suite.instances)} instances, rank agreement"
            f" {suite.agreement:.2f}: {listed}"
        )
    if to is not None:
        names = {families[0]: {suite.name: suite.instances for suite in found}}
        write_text(to, json.dumps(names, indent=1) + "\n")


def _folder(spec: Spec, out: Path | None) -> Path:
    return Path("results") / spec.name if out is None else out


def _looked_up(study: str, out: Path | None) -> Spec:
    """The study with the runs that are stored; those that the referee refuses count as missing."""
    from . import spec as specs
    from .store import Store

    spec = specs.read(specs.find(study))
    path = _folder(spec, out) / "results.sqlite"
    if not path.is_file():
        raise ValueError(f"{path}: no results yet, expected 'gapgym study run {study}' before.")
    with Store(path) as store:
        spec.study.look_up(store, retry=False)
    return spec


def _report(spec: Spec, folder: Path, as_json: bool) -> None:
    from rich.console import Console

    from ..instances.text import write_text
    from . import tables

    frame = spec.study.frame()
    spec.study.write(folder, frame, spec.question)
    if len(frame):
        write_text(folder / "tables.md", tables.study_markdown(spec.name, spec.question, frame))
    if as_json:
        rows: list[dict[str, Any]] = [one_row(row) for row in frame.to_dict("records")]
        print_json(rows)
        return
    tables.show(frame, Console(width=None if Console().is_terminal else 160))
    typer.echo(f"report: {folder / 'report.html'}")
