"""Public benchmark files that are fetched once, checked, and kept in a folder.

The folder is ``$GAPGYM_DATA`` or, by default, ``gapgym`` in the user's cache folder. The manifest
(``data/manifest.csv``) names for every file its public source at a pinned commit and the SHA-256 of
the file as it is kept: normalised by its family, so that white space does not matter.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import logging
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from .text import write_bytes

#: Turns the text of a fetched file into the form that is kept.
Normalise = Callable[[str, str], str]


@dataclass(frozen=True)
class Entry:
    """A file of the manifest.

    Attributes:
        file: Path below the cache folder; its first part is the family.
        sha256: Of the file as it is kept.
        licence: Under which its source offers it.
        url: Its public source.
    """

    file: str
    sha256: str
    licence: str
    url: str


def folder() -> Path:
    """The cache folder: ``$GAPGYM_DATA``, or ``gapgym`` in the user's cache folder."""
    if given := os.environ.get("GAPGYM_DATA"):
        return Path(given)
    import pooch

    return Path(pooch.os_cache("gapgym"))


@cache
def _manifest() -> tuple[Entry, ...]:
    table = (files(__package__) / "data" / "manifest.csv").read_text(encoding="utf-8")
    return tuple(Entry(**row) for row in csv.DictReader(table.splitlines()))


def entries(family: str | None = None) -> tuple[Entry, ...]:
    """The files of the manifest, of one family or of all."""
    return tuple(e for e in _manifest() if family in (None, e.file.partition("/")[0]))


def is_cached(entry: Entry) -> bool:
    """Whether the file lies in the cache folder."""
    return (folder() / entry.file).is_file()


def path(entry: Entry, normalise: Normalise) -> Path:
    """The file in the cache folder, fetched first if it is not there.

    Raises:
        ValueError: If it cannot be fetched, or the content is not the expected one.
    """
    target = folder() / entry.file
    if not target.is_file():
        store(entry, _fetch(entry), normalise)
    return target


def _fetch(entry: Entry) -> bytes:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # our errors are one line
    try:
        fetched = pooch.retrieve(entry.url, known_hash=None, path=folder() / "downloads")
    except Exception as error:  # whatever the network stack raises
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(
            f"{entry.file}: not in {folder()} and not fetched ({reason}), expected the file there;"
            " see 'gapgym data import' and $GAPGYM_DATA."
        ) from None
    return Path(fetched).read_bytes()


def store(entry: Entry, data: bytes, normalise: Normalise) -> Path:
    """Keep the content of a file in the cache folder, after checking it.

    Args:
        entry: The file that the content is said to be.
        data: Its bytes as published, perhaps gzipped.
        normalise: The family's normal form.

    Raises:
        ValueError: If the content is not that of the entry.
    """
    try:
        plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        kept = normalise(plain.decode(), Path(entry.file).name).encode()
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{entry.file}: {error}, expected text or gzipped text.") from None
    digest = hashlib.sha256(kept).hexdigest()
    if digest != entry.sha256:
        raise ValueError(f"{entry.file}: SHA-256 {digest}, expected {entry.sha256}.")
    target = folder() / entry.file
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, kept)
    return target
