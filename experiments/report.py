"""One self-contained HTML page about a comparison: gaps, profiles, and every solution to look at.

The page loads nothing from anywhere. Its data are embedded compressed: one block per picture, and
what the pictures of an instance have in common only once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from ..envs import render
from ..instances.core import gap
from ..instances.registry import family_of
from . import report_stats, tables
from .report_page import BODY, RANKS, SCRIPT, STYLE, SWEEPS
from .report_stats import chart, line
from .store import Run

if TYPE_CHECKING:
    import pandas as pd

    from ..instances.picture import Picture
    from .study import Study

#: Larger pictures make a browser slow.
_MOST_BOXES = 20_000
#: Characters of all embedded pictures together.
_MOST_CHARACTERS = 12_000_000

_HEADINGS = {
    "instance": "instance",
    "solver": "solver",
    "seed": "seed",
    "objective": "objective",
    "gap": "gap to best known",
    "bound_gap": "gap to best proven bound",
    "status": "status",
    "seconds": "seconds",
}


def page(study: Study, frame: pd.DataFrame, question: str = "") -> str:
    """The report of a study.

    Args:
        study: The study; its runs were judged by the referee.
        frame: Its table, see ``compare``; not empty.
        question: What the study asks; made of the table by default.
    """
    pictures = _Pictures()
    shown = [pictures.add(study, cell.instance, run) for cell, run in study.results()]
    blocks = pictures.blocks
    blocks["charts"] = {
        "profile": _profile(frame),
        "trail": _trails(study, frame),
        "close": report_stats.close_chart(study, frame),
    }
    extras = {
        "ranks": report_stats.rank_chart(frame),
        "sweeps": report_stats.sweep_chart(study, frame),
    }
    blocks["charts"] |= {name: figure for name, figure in extras.items() if figure is not None}
    blocks["runs"] = _captions(frame, shown)
    question = question or _question(study, frame)
    body = BODY.format(
        question=escape(question),
        answer=escape(_answer(frame)),
        note=_note(study),
        facts=escape(_facts(study, frame)),
        summary=_summary(frame),
        groups=report_stats.groups(frame),
        pairs=report_stats.pairs(frame),
        ranks=RANKS if extras["ranks"] else "",
        sweeps=SWEEPS if extras["sweeps"] else "",
        runs=_runs(frame, shown),
        omitted=escape(pictures.note()),
    )
    return render.page(question, body, SCRIPT, blocks, STYLE)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def _question(study: Study, frame: pd.DataFrame) -> str:
    solvers, instances = list(frame["solver"].unique()), list(frame["instance"].unique())
    families = _listed(sorted({run.family for _, run in study.results()}))
    who = _listed(solvers) if len(solvers) <= 4 else f"{len(solvers)} solvers"
    if len(instances) == 1:
        where = f"the {families} instance {instances[0]}"
    else:
        where = f"{len(instances)} {families} instances"
    return f"How far from optimal {'is' if len(solvers) == 1 else 'are'} {who} on {where}?"


def _answer(frame: pd.DataFrame) -> str:
    table = tables.summary(frame).dropna(subset="gap").sort_values("gap", kind="stable")
    if not len(table):
        return "No run has a gap: see the statuses below."
    texts = [f"{solver} {gap}" for solver, gap in tables.texts(table, ("solver", "gap"))]
    return f"Mean gap to the best known, best first: {', '.join(texts)}."


def _note(study: Study) -> str:
    text = tables.note(cell.instance for cell in study.cells)
    return f"\n<p>Note: {escape(text)}.</p>" if text else ""


def _facts(study: Study, frame: pd.DataFrame) -> str:
    machines = sorted({run.machine for _, run in study.results()})
    limits = {
        "none" if cell.time_limit is None else f"{cell.time_limit:g} s" for cell in study.cells
    }
    failed, seeds = int((frame["status"] == "error").sum()), frame["seed"].nunique()
    parts = [
        f"{len(frame)} runs" + (f", {failed} failed" if failed else ""),
        f"{seeds} seed" + ("s" if seeds > 1 else ""),
        f"time limit per run: {_listed(sorted(limits))}",
        f"{study.workers} at a time",
        *machines,
        f"gapgym {version('gapgym')}",
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    ]
    return " · ".join(parts)


# Tables.


def _summary(frame: pd.DataFrame) -> str:
    found = tables.summary(frame, details=True)
    shown = tables.shown(found, details=True)
    headings = [tables.HEADINGS[name] for name in shown]
    return report_stats.table(headings, tables.texts(found, shown))


def _rows(rows: Sequence[str]) -> str:
    return "\n".join(f"<tr>{row}</tr>" for row in rows)


def _runs(frame: pd.DataFrame, shown: Sequence[Any]) -> str:
    """The table of runs; ``data-value`` is what a column is sorted by."""
    headings = "".join(
        f'<th aria-sort="none"><button>{heading}</button></th>' for heading in _HEADINGS.values()
    )
    rows = []
    records = frame.to_dict("records")
    for index, (row, picture) in enumerate(zip(records, shown, strict=True)):
        rows.append("".join(_cell(name, row, index, picture is not None) for name in _HEADINGS))
    return (
        f'<table id="runs-table"><thead><tr>{headings}</tr></thead>'
        f"<tbody>{_rows(rows)}</tbody></table>"
    )


def _cell(name: str, row: Mapping[Any, Any], index: int, has_picture: bool) -> str:
    text = escape(tables.text(name, row[name]))
    if name == "instance":
        if has_picture:
            text = f'<button class="link" data-run="{index}">{text}</button>'
        value = row[name]
    elif name == "status":
        value = row[name]
        if row["message"]:
            text = f'{text}<br><small class="dim">{escape(row["message"])}</small>'
    else:
        value = json.dumps(row[name]) if isinstance(row[name], list | tuple) else row[name]
    return f'<td data-value="{escape(str(value))}">{text}</td>'


def _captions(frame: pd.DataFrame, shown: Sequence[Any]) -> list[dict[str, Any]]:
    """What the page says about each run: its instance, its name in the list, its figures."""
    captions = []
    for row, picture in zip(frame.to_dict("records"), shown, strict=True):
        texts = [
            f"{heading} {tables.text(name, row[name])}"
            for name, heading in _HEADINGS.items()
            if name not in ("instance", "solver", "seed")
        ]
        if row["best_known_source"]:
            texts.append(f"best known {row['best_known']} ({row['best_known_source']})")
        captions.append(
            {
                "instance": row["instance"],
                "run": f"{row['solver']}, seed {row['seed']}",
                "caption": " · ".join(texts),
                "picture": picture,
            }
        )
    return captions


# Charts.


def _profile(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Share of a solver's runs within x per cent of the best known."""
    if frame["gap"].isna().all():
        return None
    most = 100 * max(float(frame["gap"].max()), 0.001)
    lines = []
    for index, (solver, runs) in enumerate(frame.groupby("solver", sort=False)):
        gaps = np.sort(100 * runs["gap"].dropna().to_numpy(dtype=float))
        share = np.arange(1, len(gaps) + 1) / len(runs)
        x, y = [0.0, *gaps, 1.05 * most], [0.0, *share, share[-1] if len(gaps) else 0.0]
        lines.append(line(str(solver), index, np.round(x, 4).tolist(), np.round(y, 4).tolist()))
    return chart(
        lines,
        {"title": {"text": "gap to best known, %"}, "range": [-0.01 * most, 1.05 * most]},
        {"title": {"text": "share of runs"}, "range": [0, 1.03], "tickformat": ".0%"},
    )


def _trails(study: Study, frame: pd.DataFrame) -> dict[str, Any] | None:
    """Mean gap of the incumbents over time, per solver."""
    trails: dict[str, list[list[tuple[float, float]]]] = {}
    known = frame["best_known"].tolist()
    for (cell, run), reference in zip(study.results(), known, strict=True):
        steps = trails.setdefault(cell.contender.name, [])
        if run.incumbents and reference is not None:
            steps.append([(max(s, 1e-4), 100 * gap(o, reference)) for s, o in run.incumbents])
    last = max((run.seconds or 0.0 for _, run in study.results()), default=0.0)
    lines = []
    for index, (solver, runs) in enumerate(trails.items()):
        x, y = _mean_trail(runs, last)
        if x:
            lines.append(line(solver, index, x, y))
    if not lines:
        return None
    return chart(
        lines,
        {"title": {"text": "seconds since the start of the run"}, "type": "log"},
        {"title": {"text": "mean gap to best known, %"}, "rangemode": "tozero"},
    )


def _mean_trail(
    runs: Sequence[Sequence[tuple[float, float]]], last: float
) -> tuple[list[float], list[float]]:
    """The mean of step functions, from where all of them are defined until ``last``."""
    if not runs:
        return [], []
    begin = max(steps[0][0] for steps in runs)
    later = {seconds for steps in runs for seconds, _ in steps if seconds > begin}
    times = np.array(sorted({begin, *later, max(last, begin)}))
    values = np.zeros(len(times))
    for steps in runs:
        seconds, gaps = np.array(steps).T
        values += gaps[np.searchsorted(seconds, times, side="right") - 1]
    return np.round(times, 5).tolist(), np.round(values / len(runs), 4).tolist()


# Pictures.

#: Stands for the interval of a box in its details, so that these are equal in all runs.
_INTERVAL = "\x01"


class _Pictures:
    """The pictures of all runs, as blocks of the page; equal columns are kept once."""

    def __init__(self) -> None:
        self.blocks: dict[str, Any] = {}
        self._columns: dict[str, str] = {}
        self._left_out = 0
        self._characters = 0

    def add(self, study: Study, instance: Any, run: Run) -> str | None:
        """Name of the block that holds the picture of a run, or ``None``."""
        if run.solution is None:
            return None
        family = family_of(instance)
        kind = family.PROBLEMS[run.problem][1]
        picture = family.picture(instance, kind.from_json(run.solution))
        if len(picture.boxes) > _MOST_BOXES or self._characters > _MOST_CHARACTERS:
            self._left_out += 1
            return None
        name = f"picture-{len(self.blocks)}"
        self.blocks[name] = self._shared(_figure(picture))
        return name

    def _shared(self, value: Any) -> Any:
        """The value with every list of the figure's traces replaced by a reference."""
        if isinstance(value, Mapping):
            return {
                key: item if key == "layout" else self._shared(item) for key, item in value.items()
            }
        if not isinstance(value, list) or (value and isinstance(value[0], Mapping)):
            return [self._shared(item) for item in value] if isinstance(value, list) else value
        text = json.dumps(value)
        if text not in self._columns:
            self._columns[text] = f"column-{len(self._columns)}"
            self.blocks[self._columns[text]] = value
            self._characters += len(render.packed(text))
        return {"$": self._columns[text]}

    def note(self) -> str:
        """What to say about pictures that are not in the page."""
        if not self._left_out:
            return ""
        return f"{self._left_out} large pictures are not in this page; 'gapgym show' draws them."


def _figure(picture: Picture) -> dict[str, Any]:
    figure = render.figure_data(picture)
    del figure["layout"]["title"]  # the caption says it, and breaks into lines on a phone
    bars = figure["data"][0]
    bars["hovertext"] = [
        text.replace(f"[{base}, {base + width})", _INTERVAL) if isinstance(base, int) else text
        for text, base, width in zip(bars["hovertext"], bars["base"], bars["x"], strict=True)
    ]
    height = max(320, min(900, 120 + 28 * len(picture.lanes))) if picture.lanes else 560
    return {**figure, "height": height}
