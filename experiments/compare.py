"""Comparisons: from arguments to the grid of a study, and to its table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import grid
from .grid import Given
from .progress import Progress, bar, silent
from .store import Store
from .study import Study

if TYPE_CHECKING:
    import pandas as pd


def compare(
    family: str,
    instances: str | Path | Sequence[Any],
    solvers: str | Given | Sequence[str | Given] = (),
    *,
    rules: str | Given | Sequence[str | Given] = (),
    time_limit: float | None = None,
    seeds: int | Sequence[int] = 1,
    workers: int = 1,
    executor: str = "process",
    options: Mapping[str, Mapping[str, Any]] | None = None,
    out: Path | str | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Run every solver on every instance with every seed, and compare the objectives.

    Each run has a process of its own; one that fails or is killed becomes a row with the status
    ``error``, and so does one that is killed long after its time limit (twice the limit and half a
    minute). With ``out``, every finished run is kept at once, and a study that is started again
    does only what is missing or has failed. Ctrl-C ends the running ones and returns what is
    finished, with ``frame.attrs["interrupted"]`` true. ``frame.attrs["note"]`` says so where
    durations are random and the bounds clairvoyant.

    Args:
        family: Name of the family, e.g. ``"job_shop"``.
        instances: Instances, names, globs of names (``"la*"``) and files, or one string of them
            separated by commas.
        solvers: Names, ``"file.py:function"`` and functions, or one string of names separated by
            commas. A function goes by its ``__name__``; results are stored under its code.
        rules: Rules in files, ``"file.py:function"``, or functions: one score over named columns
            each.
        time_limit: Wall time per run, in seconds; ``None`` for each solver's own end.
        seeds: The seeds, or their number: 3 stands for 0, 1, 2.
        workers: Number of runs at the same time.
        executor: How runs are spread: ``"process"``, ``"serial"`` or ``"ray"``.
        options: Solver name to options of that solver.
        out: Folder for ``results.sqlite``, ``results.csv`` and ``report.html``.
        progress: Whether to show a progress bar; by default only on a terminal.

    Returns:
        One row per run with ``instance, solver, seed, objective, gap, bound_gap, status, seconds``,
        then ``bound`` (proven by this run), ``best_known``, ``best_known_source``, ``best_bound``,
        ``message`` (why a run failed) and the family's metrics. All objectives were computed by the
        referee. ``gap`` is the relative distance to ``best_known``: the best published objective,
        or, where nothing is published, the best of this study. ``bound_gap`` is the one to
        ``best_bound``, the best *proven* lower bound: the largest of the published bound, the
        family's own and those that the solvers of this study proved for the instance.

    Raises:
        ValueError: If an instance, a solver or an argument is not understood; nothing was run or
            written then.
    """
    grid.check_limit(time_limit)
    plan = grid.Grid(
        family,
        {"": grid.instances_of(family, instances)},
        grid.contenders(grid.split(solvers), grid.split(rules), options or {}),
        grid.seed_list(seeds),
        (time_limit,),
    )
    study = Study(grid.cells([plan]), workers=workers, executor=executor)
    folder = None if out is None else prepared(Path(out))
    with nullcontext() if folder is None else Store(folder / "results.sqlite") as store:
        interrupted = study.run(store, bar if progress is None else _bar(progress))
    frame = study.frame()
    frame.attrs["interrupted"] = interrupted
    if folder is not None:
        study.write(folder, frame)
    return frame


def _bar(wanted: bool) -> Callable[[int], Progress]:
    return functools.partial(bar, force=True) if wanted else silent


def prepared(folder: Path) -> Path:
    """The folder, made if it was not there.

    Raises:
        ValueError: If it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: a file, expected a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
