"""``gapgym train`` and ``gapgym policy``: learned policies from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_text import key_values, print_json

if TYPE_CHECKING:
    from ..agents.training import Progress

app = typer.Typer(help="Policies: list, show and evaluate.")

#: Budgets by name; what a preset says, options overrule.
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"updates": 20, "batch": 4, "samples": 8, "validation": 1, "validate_every": 10},
    "quick": {"time_limit": 360.0},
    "full": {"time_limit": 7200.0, "batch": 16, "samples": 64},
}

PolicyFile = Annotated[
    str, typer.Argument(metavar="POLICY", help="File, or problem whose shipped policy is meant.")
]


def train(
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="Problem, e.g. job_shop.")],
    method: Annotated[
        str, typer.Option(help="How to learn: selflabel, imitation or ppo.")
    ] = "selflabel",
    preset: Annotated[str, typer.Option(help="Budget: tiny, quick or full.")] = "quick",
    time_limit: Annotated[float | None, typer.Option(help="Seconds.")] = None,
    updates: Annotated[int | None, typer.Option(help="Number of updates.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and draws.")] = 0,
    graph: Annotated[bool, typer.Option("--graph", help="Encode the instance graph, too.")] = False,
    instances: Annotated[
        str, typer.Option(metavar="A,B", help="Named generators, e.g. uniform-10x10.")
    ] = "",
    device: Annotated[str, typer.Option(help="Where gradients are computed: cpu or cuda.")] = "cpu",
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Of the training, e.g. batch=16."),
    ] = [],  # noqa: B006
    options: Annotated[
        list[str],
        typer.Option("--option", metavar="KEY=VALUE", help="Option of the environment."),
    ] = [],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder; results/train/PROBLEM by default.")
    ] = None,
) -> None:
    """Train a policy; a training that was interrupted goes on where it was saved."""
    from ..agents import train as training

    given = dict(_preset(preset))
    if time_limit is not None or updates is not None:
        given = {k: v for k, v in given.items() if k not in ("time_limit", "updates")}
        given |= {"time_limit": time_limit, "updates": updates}
    names = tuple(part.strip() for part in instances.split(",") if part.strip())
    given |= {"seed": seed, "graph": graph, "instances": names}
    given |= {"options": key_values("--option", options), **key_values("--set", settings)}
    folder = Path("results") / "train" / problem if out is None else out
    with _Bar() as bar:
        best = training.train(problem, method, folder, device=device, tell=bar.tell, settings=given)
    typer.echo(f"policy: {best}")


def _preset(name: str) -> dict[str, Any]:
    if name not in PRESETS:
        raise ValueError(f"preset {name!r}, expected one of: {', '.join(PRESETS)}.")
    return PRESETS[name]


class _Bar:
    """A progress bar on a terminal, a line per validation elsewhere."""

    def __init__(self) -> None:
        from rich import progress as rich
        from rich.console import Console

        self._score = float("nan")
        self._shown = sys.stderr.isatty()
        self._progress = rich.Progress(
            rich.BarColumn(),
            rich.TaskProgressColumn(),
            rich.TimeElapsedColumn(),
            rich.TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=1.0)

    def __enter__(self) -> _Bar:
        if self._shown:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._progress.stop()

    def tell(self, now: Progress) -> None:
        """Show where the training stands."""
        text = f"update {now.update}: validation {now.score:.4f}, best {now.best:.4f}"
        if self._shown:
            self._progress.update(self._task, completed=now.fraction, description=text)
        elif now.score != self._score or now.fraction >= 1:
            typer.echo(f"{now.seconds:.0f} s, {text}", err=True)
        self._score = now.score


@app.command("list")
def list_policies() -> None:
    """The policies that come with the library."""
    from ..agents import checkpoint
    from ..agents.solvers import WEIGHTS

    for path in sorted(WEIGHTS.glob("*.safetensors")):
        config, made = checkpoint.describe(path)
        kind = "columns and graph" if config.graph else "columns"
        size = path.stat().st_size / 1e3
        typer.echo(f"{path.stem}: {kind}, {size:.0f} kB, {made.get('seconds', '?')} s of training")


@app.command()
def show(policy: PolicyFile, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """What a policy is made of, and how it was made."""
    from dataclasses import asdict

    from ..agents import checkpoint

    config, made = checkpoint.describe(_path(policy))
    if as_json:
        print_json({"config": asdict(config), "made": made})
        return
    for part in (asdict(config), made):
        for name, value in part.items():
            typer.echo(f"{name}: {value}")


@app.command()
def evaluate(
    policy: PolicyFile,
    instances: Annotated[str, typer.Option(metavar="A,B*", help="Instances, as in compare.")],
    samples: Annotated[int, typer.Option(help="Episodes; the best counts.")] = 1,
    time_limit: Annotated[float | None, typer.Option(help="Seconds per instance.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for a report.")] = None,
) -> None:
    """The gaps of a policy on instances."""
    from rich.console import Console

    from ..agents import checkpoint
    from ..envs.registry import simulator_of
    from . import tables
    from .compare import compare

    path = _path(policy)
    config, _ = checkpoint.describe(path)
    family = simulator_of(config.problem, config.mode).family
    options = {str(path): {"samples": samples}}
    frame = compare(family, instances, [str(path)], options=options, time_limit=time_limit, out=out)
    tables.show(frame, Console(width=None if sys.stdout.isatty() else 160))


def _path(text: str) -> Path:
    from ..agents.solvers import WEIGHTS

    shipped = WEIGHTS / f"{text}.safetensors"
    return shipped if shipped.is_file() else Path(text)
