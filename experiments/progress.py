"""A progress bar on terminals, and nothing elsewhere."""

from __future__ import annotations

import sys
from typing import Protocol, Self


class Progress(Protocol):
    """What a loop tells about itself; a context manager."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """End to show."""

    def tick(self) -> None:
        """Time has passed."""

    def advance(self, what: str) -> None:
        """One more is done."""


class _Silent:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def tick(self) -> None:
        pass

    def advance(self, what: str) -> None:
        pass


class _Bar:
    def __init__(self, total: int) -> None:
        from rich import progress as rich
        from rich.console import Console

        # Refreshed from the loop: a thread that draws would be alive during a fork.
        self._progress = rich.Progress(
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            rich.TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tick(self) -> None:
        self._progress.refresh()

    def advance(self, what: str) -> None:
        self._progress.update(self._task, advance=1, description=what, refresh=True)


def silent(total: int) -> Progress:
    """A progress that shows nothing."""
    return _Silent()


def bar(total: int, force: bool = False) -> Progress:
    """A bar for ``total`` steps on standard error, if that is a terminal or ``force`` is set."""
    return _Bar(total) if total and (force or sys.stderr.isatty()) else _Silent()
