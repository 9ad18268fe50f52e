"""The result of a comparison as tables: on a terminal, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

#: A terminal shows single runs up to this number.
_SMALL = 40

#: Headings of the table of solvers, and what they mean.
SUMMARY = {
    "solver": "solver",
    "runs": "runs",
    "failed": "failed",
    "gap": "mean gap",
    "without_gap": "without gap",
    "bound_gap": "mean bound gap",
    "optimal": "proven optimal",
    "seconds": "mean seconds",
}
#: Further columns of the table of solvers, where there is room.
_DETAILS = {
    "median": "median gap",
    "iqm": "IQM gap (95 % interval)",
    "integral": "primal integral",
    "cpu_seconds": "mean CPU seconds",
}
HEADINGS = SUMMARY | _DETAILS
_OFTEN_EMPTY = ("failed", "without_gap", "integral")
#: The order of all columns.
_ORDER = (
    *("solver", "runs", "failed", "gap", "median", "iqm", "without_gap", "bound_gap"),
    *("optimal", "integral", "seconds", "cpu_seconds"),
)
#: Said of results on instances whose durations are random.
CLAIRVOYANT = "durations are random: cp_sat and every bound know the realised ones (clairvoyant)"
_RUNS = ("instance", "solver", "seed", "objective", "gap", "bound_gap", "status", "seconds")


def summary(frame: pd.DataFrame, *, details: bool = False) -> pd.DataFrame:
    """One row per solver, in the order in which they first appear.

    Means are over the runs that have the value. ``failed`` counts the runs with the status
    ``error``, ``without_gap`` the others that have no gap, e.g. for want of a solution;
    ``optimal`` those that proved their own solution optimal. With ``details`` also ``median``,
    ``iqm`` (a text with its interval), ``integral`` (see ``stats.primal_integral``) and
    ``cpu_seconds``.
    """
    import pandas as pd

    rows = []
    for solver, runs in frame.groupby("solver", sort=False):
        failed = runs["status"] == "error"
        rows.append(
            {
                "solver": solver,
                "runs": len(runs),
                "failed": int(failed.sum()),
                "gap": runs["gap"].mean(),
                "without_gap": int((runs["gap"].isna() & ~failed).sum()),
                "bound_gap": runs["bound_gap"].mean(),
                "optimal": int((runs["status"] == "optimal").sum()),
                "seconds": runs["seconds"].mean(),
                **(_details(runs) if details else {}),
            }
        )
    return pd.DataFrame(rows, columns=list(_ORDER) if details else list(SUMMARY))


def _details(runs: pd.DataFrame) -> dict[str, Any]:
    from . import stats

    gaps = stats.by_instance(runs).iloc[:, 0].dropna()
    groups = runs.drop_duplicates("instance").set_index("instance")["group"]
    low, high = stats.interval(gaps.to_numpy(), groups[gaps.index].tolist())
    iqm = f"{percent(stats.iqm(gaps.to_numpy()))} ({percent(low)} to {percent(high)})"
    return {
        "median": gaps.median(),
        "iqm": iqm if len(gaps) else "-",
        "integral": runs["primal_integral"].mean(),
        "cpu_seconds": runs["cpu_seconds"].mean(),
    }


def note(instances: Iterable[Any]) -> str:
    """What a reader must know about bounds where durations are random; empty where none are."""
    random = any(getattr(instance, "cv", 0) for instance in instances)
    return CLAIRVOYANT if random else ""


def show(frame: pd.DataFrame, console: Console) -> None:
    """Print the table of solvers, its note and, where they are few, the table of runs."""
    if 0 < len(frame) <= _SMALL:
        _print(texts(frame, _RUNS), list(_RUNS), console)
    table = summary(frame)
    columns = shown(table)
    _print(texts(table, columns), [SUMMARY[name] for name in columns], console)
    if frame.attrs.get("note"):
        console.print(f"note: {frame.attrs['note']}", markup=False, highlight=False)


def markdown(frame: pd.DataFrame) -> str:
    """The table of solvers in Markdown."""
    table = summary(frame)
    columns = shown(table)
    rows = [[SUMMARY[name] for name in columns], ["---", *["---:"] * (len(columns) - 1)]]
    rows += [[cell.replace("|", "\\|") for cell in row] for row in texts(table, columns)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def study_markdown(name: str, question: str, frame: pd.DataFrame) -> str:
    """All tables of a study in Markdown: what was asked, the solvers, and the groups apart."""
    parts = [f"{question or name}\n", f"`gapgym study run {name}`\n", markdown(frame)]
    others = [column for column in frame.columns if column.startswith("gap_")]
    if frame["group"].nunique() > 1:
        parts += ["Mean gap to the best known, by group:\n", group_markdown(frame, "gap")]
        if (frame["status"] == "optimal").any():
            parts += ["Runs proven optimal, by group:\n", _proven_markdown(frame)]
        parts += ["Mean seconds and longest run, by group:\n", _seconds_markdown(frame)]
    for column in others:
        title = column.removeprefix("gap_").replace("_", " ")
        parts += [f"Mean gap to the reference values '{title}':\n", group_markdown(frame, column)]
    if note_text := frame.attrs.get("note", ""):
        parts.append(f"Note: {note_text}.\n")
    return "\n".join(parts)


def by_group(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of a column, a row per solver and a column per group, both in order of appearance."""
    means = frame.pivot_table(
        index="solver", columns="group", values=column, aggfunc="mean", sort=False
    )
    return means.reindex(
        index=list(frame["solver"].unique()), columns=list(frame["group"].unique())
    )


def group_markdown(frame: pd.DataFrame, column: str) -> str:
    """The table of :func:`by_group` in Markdown, as per cent."""
    means = by_group(frame, column)
    return _markdown(means, percent)


def _proven_markdown(frame: pd.DataFrame) -> str:
    proven = frame.assign(proven=(frame["status"] == "optimal").astype(float))
    return _markdown(by_group(proven, "proven"), _whole_percent)


def _whole_percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"


def _seconds_markdown(frame: pd.DataFrame) -> str:
    import pandas as pd

    means = by_group(frame, "seconds")
    longest = frame.pivot_table(
        index="solver", columns="group", values="seconds", aggfunc="max", sort=False
    ).reindex(index=means.index, columns=means.columns)
    both = {
        group: [
            "-" if math.isnan(mean) else f"{text('seconds', mean)} ({text('seconds', most)})"
            for mean, most in zip(means[group], longest[group], strict=True)
        ]
        for group in means.columns
    }
    return _markdown(pd.DataFrame(both, index=means.index), str)


def _markdown(table: pd.DataFrame, text_of: Callable[[Any], str]) -> str:
    """A table, a row per solver and a column per group, in Markdown."""
    rows = [["solver", *(str(group) or "all" for group in table.columns)]]
    rows.append(["---", *["---:"] * len(table.columns)])
    rows += [[str(name), *map(text_of, values)] for name, values in table.iterrows()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def shown(table: pd.DataFrame, *, details: bool = False) -> list[str]:
    """The columns of the summary without those that say 0 everywhere and would only puzzle."""
    return [
        name
        for name in (_ORDER if details else SUMMARY)
        if name not in _OFTEN_EMPTY or (len(table) and table[name].fillna(0).any())
    ]


def texts(frame: pd.DataFrame, columns: Sequence[str]) -> list[list[str]]:
    """The values of some columns, row by row, as a reader wants them."""
    return [
        [text(name, value) for name, value in zip(columns, row, strict=True)]
        for row in frame[list(columns)].itertuples(index=False)
    ]


def text(column: str, value: Any) -> str:
    """A value of a column as a reader wants it: gaps in per cent, seconds to three digits."""
    if _is_missing(value):
        return "-"
    if column in ("gap", "bound_gap", "median"):
        return percent(value)
    if column == "integral":
        return f"{value:.3f}"
    if column in ("seconds", "cpu_seconds"):
        return f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return str(value)


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def percent(value: float) -> str:
    """A share as per cent with two decimals; ``-`` for NaN."""
    return "-" if math.isnan(value) else f"{100 * value:.2f} %"


def _print(rows: Sequence[Sequence[str]], headings: Sequence[str], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        left = heading in ("instance", "solver", "status")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
