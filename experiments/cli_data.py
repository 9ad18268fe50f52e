"""``gapgym data``: the public benchmark files in the cache."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..instances import cache
from ..instances.registry import family as family_named

app = typer.Typer(help="Public benchmark files: list, fetch, import.")

Pattern = Annotated[
    str | None,
    typer.Argument(metavar="[PATTERN]", help="Family, benchmark name, or glob of file paths."),
]


def _family(entry: cache.Entry) -> str:
    return entry.file.partition("/")[0]


def _matching(pattern: str | None) -> list[cache.Entry]:
    entries = [
        entry
        for entry in cache.entries()
        if pattern is None
        or pattern in (_family(entry), Path(entry.file).stem)
        or fnmatch.fnmatch(entry.file, pattern)
        or fnmatch.fnmatch(Path(entry.file).stem, pattern)
    ]
    if not entries:
        raise ValueError(f"{pattern!r}: matches no file of the manifest; see 'gapgym data list'.")
    return entries


@app.command("list")
def list_files(pattern: Pattern = None) -> None:
    """The public files that gapgym knows, and which of them lie in the cache."""
    entries = _matching(pattern)
    present = 0
    for entry in entries:
        here = cache.is_cached(entry)
        present += here
        typer.echo(
            f"{'cached ' if here else 'missing'}  {entry.file}  {entry.licence}  {entry.url}"
        )
    typer.echo(f"{present} of {len(entries)} files in {cache.folder()}")


@app.command()
def fetch(pattern: Pattern = None) -> None:
    """Fetch files that are not in the cache from their public source, and check them."""
    fetched = 0
    entries = _matching(pattern)
    for entry in entries:
        if not cache.is_cached(entry):
            typer.echo(f"fetched  {cache.path(entry, family_named(_family(entry)).normalise)}")
            fetched += 1
    typer.echo(f"{fetched} fetched, {len(entries) - fetched} were in {cache.folder()}")


@app.command("import")
def import_files(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
) -> None:
    """Put downloaded files into the cache; they are recognised by content, whatever their name."""
    known = {entry.sha256: entry for entry in cache.entries()}
    kept = unknown = 0
    for file in _files(paths):
        data = file.read_bytes()
        entry = _recognise(data, known)
        if entry is None:
            unknown += 1
            continue
        target = cache.store(entry, data, family_named(_family(entry)).normalise)
        typer.echo(f"{file} -> {target}")
        kept += 1
    if not kept:
        raise ValueError(f"{unknown} files, none of the manifest; see 'gapgym data list'.")
    typer.echo(f"{kept} files imported, {unknown} not of the manifest")


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        else:
            yield path


def _recognise(data: bytes, known: dict[str, cache.Entry]) -> cache.Entry | None:
    """The entry whose file in normal form has this content."""
    try:
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return None
    for family in sorted({_family(entry) for entry in known.values()}):
        try:
            kept = family_named(family).normalise(text, "file")
        except ValueError:
            continue
        if (entry := known.get(hashlib.sha256(kept.encode()).hexdigest())) is not None:
            return entry
    return None
