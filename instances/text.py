"""Reading and writing files so that a mistake is one clear line and nothing is half-written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Line:
    """A line of a text file that knows where it stands.

    Attributes:
        place: File name and line number, e.g. ``"ft06.txt, line 4"``.
        text: The line without its end.
    """

    place: str
    text: str

    def integers(self) -> list[int]:
        """The whitespace-separated integers of the line.

        Raises:
            ValueError: If a word is not an integer.
        """
        numbers = []
        for word in self.text.split():
            try:
                numbers.append(int(word.replace("_", "?")))  # Python would take 1_000
            except ValueError:
                raise ValueError(f"{self.place}: {word[:40]!r}, expected an integer.") from None
        return numbers


def read_text(path: Path | str) -> str:
    """The content of a text file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty or not text.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: a folder, expected a file.")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: not text (byte {error.start}), expected UTF-8.") from None
    if "\0" in text:
        raise ValueError(f"{path.name}: not text (byte {data.index(0)} is 0), expected UTF-8.")
    if not text.strip():
        raise ValueError(f"{path.name}: empty file.")
    return text


def lines(text: str, name: str, comment: str = "#") -> Iterator[Line]:
    """The lines of a text that are neither blank nor a comment."""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith(comment):
            yield Line(f"{name}, line {number}", stripped)


def read_json(path: Path | str) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON; the message names the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        place = f"{Path(path).name}, line {error.lineno}"
        raise ValueError(f"{place}: {error.msg}, expected JSON.") from None


def write_text(path: Path | str, text: str) -> None:
    """Write a file under a temporary name and rename it: it is there whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file under a temporary name and rename it: it is there whole or not at all."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes files private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
