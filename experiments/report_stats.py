"""The sections of the report that compare solvers with each other: groups, ranks, profiles, sweeps.

Each section is HTML, empty where the study has nothing for it; each chart is a plotly figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..envs import render
from . import stats, tables

if TYPE_CHECKING:
    import pandas as pd

    from .study import Study

Chart = dict[str, Any]

#: A run is counted as close to the best known within this gap.
_CLOSE = 0.01
#: With more solvers, the table of pairs is wider than a page.
_MOST_PAIRS = 12


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as HTML; the texts are escaped here."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def line(name: str, index: int, x: Sequence[float], y: Sequence[float]) -> Chart:
    """A step line in the colour of a solver."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) == 1 else "lines",
        "name": escape(name, quote=False),
        "x": list(x),
        "y": list(y),
        "line": {"shape": "hv", "width": 2.5, "color": render.colour(index)},
    }


def chart(lines: list[Chart], x: Chart, y: Chart) -> Chart:
    """A figure of lines with its axes."""
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    return {
        "data": lines,
        "config": {"displayModeBar": False},
        "layout": {
            "xaxis": x,
            "yaxis": y,
            "legend": legend,
            "showlegend": True,
            "hovermode": "closest",
            "margin": {"l": 60, "r": 20, "t": 40, "b": 50},
        },
    }


# Groups.


def groups(frame: pd.DataFrame) -> str:
    """Mean gaps by group, and those to further reference values."""
    parts = []
    if frame["group"].nunique() > 1:
        parts.append("<h3>By group: mean gap to the best known</h3>" + _grouped(frame, "gap"))
    for column in (name for name in frame.columns if name.startswith("gap_")):
        title = escape(column.removeprefix("gap_").replace("_", " "))
        heading = f"<h3>Mean gap to the reference values “{title}”</h3>"
        parts.append(heading + _grouped(frame, column))
    return "\n".join(parts)


def _grouped(frame: pd.DataFrame, column: str) -> str:
    means = tables.by_group(frame, column)
    headings = ["solver", *(str(name) or "all" for name in means.columns)]
    rows = [[str(name), *map(tables.percent, values)] for name, values in means.iterrows()]
    return f'<div class="wide">{table(headings, rows)}</div>'


# Ranks.


def pairs(frame: pd.DataFrame) -> str:
    """Who beats whom: wins, ties and losses, and what is significant."""
    solvers, instances = frame["solver"].nunique(), frame["instance"].nunique()
    if not 2 <= solvers <= _MOST_PAIRS or instances < 2:
        return ""
    ranks, adjusted = stats.ranks(frame), stats.wilcoxon_holm(frame)
    counts = stats.win_tie_loss(frame)
    order = sorted(counts.index, key=lambda name: ranks.mean[name])
    rows = []
    for solver in order:
        cells = [str(solver), f"{ranks.mean[solver]:.2f}"]
        cells += ["" if solver == o else _cell(counts, adjusted, solver, o) for o in order]
        rows.append(cells)
    friedman = "" if math.isnan(ranks.p_value) else f" Friedman test: p = {ranks.p_value:.2g}."
    return (
        "<h2>Who beats whom?</h2>"
        f'<p class="dim">Instances on which the solver of a row wins, ties and loses against that'
        f" of a column, where both were run (objectives averaged over seeds); mean ranks over the"
        f" {ranks.instances} instances on which all were run. A star: the"
        " difference is significant at 5 % by Wilcoxon's signed-rank test with Holm's correction."
        f"{friedman}</p>"
        f'<div class="wide">{table(["solver", "mean rank", *map(str, order)], rows)}</div>'
    )


def _cell(counts: Any, adjusted: Mapping[tuple[str, str], float], one: str, other: str) -> str:
    wins, ties, losses = counts.loc[one, other]
    p = adjusted.get((one, other), adjusted.get((other, one), 1.0))
    return f"{wins} / {ties} / {losses}" + (" *" if p < 0.05 else "")


def rank_chart(frame: pd.DataFrame) -> Chart | None:
    """Mean ranks with bars as long as Nemenyi's critical difference."""
    if frame["solver"].nunique() < 3 or frame["instance"].nunique() < 2:
        return None
    ranks = stats.ranks(frame)
    if ranks.instances < 2:
        return None
    order = sorted(ranks.mean, key=lambda name: -ranks.mean[name])
    half = round(ranks.critical_difference / 2, 4)
    marks = {
        "type": "scatter",
        "mode": "markers",
        "x": [round(ranks.mean[name], 3) for name in order],
        "y": [escape(name, quote=False) for name in order],
        "error_x": {"type": "constant", "value": half, "thickness": 2, "width": 6},
        "marker": {"size": 10, "color": render.colour(0)},
        "showlegend": False,
    }
    figure = chart([marks], {"title": {"text": "mean rank, 1 is best"}}, {"automargin": True})
    figure["layout"]["margin"]["l"] = 20
    return figure


# Profiles.


def close_chart(study: Study, frame: pd.DataFrame) -> Chart | None:
    """Share of runs that have been within a small gap to the best known, over time."""
    times: dict[str, list[float]] = {}
    known = frame["best_known"].tolist()
    for (cell, run), reference in zip(study.results(), known, strict=True):
        found = times.setdefault(cell.contender.name, [])
        has = reference is not None and bool(run.incumbents)
        found.append(stats.seconds_to(run.incumbents, reference, _CLOSE) if has else math.inf)
    last = max((run.seconds or 0.0 for _, run in study.results()), default=0.0)
    lines = []
    for index, (solver, seconds) in enumerate(times.items()):
        reached = np.sort([max(s, 1e-4) for s in seconds if math.isfinite(s)])
        if reached.size:
            share = np.arange(1, len(reached) + 1) / len(seconds)
            x, y = [*reached, max(last, reached[-1])], [*share, share[-1]]
            lines.append(line(solver, index, np.round(x, 5).tolist(), np.round(y, 4).tolist()))
    if not lines:
        return None
    return chart(
        lines,
        {"title": {"text": "seconds since the start of the run"}, "type": "log"},
        {"title": {"text": "share of runs"}, "range": [0, 1.03], "tickformat": ".0%"},
    )


# Sweeps.


def sweep_chart(study: Study, frame: pd.DataFrame) -> Chart | None:
    """What trying more settings buys: expected best mean gap of so many of a sweep."""
    sweeps: dict[str, list[str]] = {}
    for cell in study.cells:
        contender = cell.contender
        if contender.sweep and contender.name not in sweeps.setdefault(contender.sweep, []):
            sweeps[contender.sweep].append(contender.name)
    means = frame.groupby("solver")["gap"].mean()
    lines = []
    for index, (name, settings) in enumerate(sweeps.items()):
        gaps = [100 * float(means[s]) for s in settings if s in means and means[s] == means[s]]
        if gaps:
            best = np.round(stats.expected_best(gaps), 4).tolist()
            drawn = line(name, index, list(range(1, len(best) + 1)), best)
            drawn["mode"], drawn["line"]["shape"] = "lines+markers", "linear"
            lines.append(drawn)
    if not lines:
        return None
    return chart(
        lines,
        {"title": {"text": "settings tried"}, "dtick": 1},
        {"title": {"text": "expected best mean gap, %"}, "rangemode": "tozero"},
    )
