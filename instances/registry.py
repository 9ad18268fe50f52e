"""The families by name, and how a text becomes an instance."""

from __future__ import annotations

import difflib
import fnmatch
import glob
import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from .core import Family, Instance, Reference

_NAMES = (
    "job_shop",
    "soc_dag",
    "vm_rescheduling",
    "pod_packing",
    "tardiness",
    "memory_mapping",
)

_GENERATOR = re.compile(r"(?P<name>[a-z_]+)-(?P<sizes>\d+(?:x\d+)*)(?:-s(?P<seed>\d+))?")

#: Seed of a named generator where none is given.
_DEFAULT_SEED = 1


class _Families(Mapping[str, Family]):
    """Family name to its module, imported when first asked for."""

    def __getitem__(self, name: str) -> Family:
        if name not in _NAMES:
            raise KeyError(name)
        return cast(Family, importlib.import_module(f".{name}", __package__))

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


#: Family name to the module ``instances/<family>.py``.
FAMILIES: Mapping[str, Family] = _Families()


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        ValueError: If there is none; the message lists those there are.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}, expected one of: {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def family_of(record: Any) -> Family:
    """The family module of an instance or a solution."""
    for module in FAMILIES.values():
        if any(isinstance(record, pair) for pair in module.PROBLEMS.values()):
            return module
    raise ValueError(f"{type(record).__name__}: expected an instance or solution of a family.")


def references(record: Any) -> Mapping[str, Callable[[Any], Reference | None]]:
    """Functions that give reference values of an instance: ``best_known``, and others by name.

    A family may name further ones in a mapping ``REFERENCES``, e.g. values as they were published.
    """
    module = family_of(record)
    return {"best_known": module.best_known, **getattr(module, "REFERENCES", {})}


def load(name: str, **options: Any) -> Any:
    """The instance called ``"family/name-or-path"``.

    Args:
        name: ``"job_shop/ta21"``, ``"job_shop/uniform-20x15-s3"`` or ``"job_shop/shops/mine.txt"``.
        **options: Passed on to the family's loader, reader or generator (``seed=3``).

    Raises:
        ValueError: If there is no such family or instance.
    """
    first, slash, rest = name.partition("/")
    if not slash or not rest:
        raise ValueError(f"{name!r}: expected 'family/name-or-path', e.g. 'job_shop/ft06'.")
    return load_from(first, rest, **options)


def load_from(family_name: str, text: str, **options: Any) -> Any:
    """The instance of a family that a text names: a benchmark, a file or a named generator.

    Raises:
        ValueError: If it is none of these; the message suggests the closest names.
    """
    try:
        found = resolve(family_name, text, **options)
        return found if isinstance(found, Instance) else found(**{"seed": _DEFAULT_SEED, **options})
    except TypeError as error:  # an option of the wrong kind, or one that the reader lacks
        raise ValueError(f"{text}: {error}.") from None


def resolve(family_name: str, text: str, **options: Any) -> Any:
    """What a text names: an instance, or, of a named generator without seed, a function of it.

    A benchmark goes before a file, a file before a generator; ``"family/name"`` may be written for
    ``"name"``.

    Raises:
        ValueError: If it is none of these; the message suggests the closest names.
    """
    module = family(family_name)
    short = text.removeprefix(f"{family_name}/")
    if text not in module.names() and Path(text).exists():
        return module.read(text, **options)
    if short in module.names():
        return module.load(short, **options)
    if (generator := named_generator(family_name, short)) is not None:
        match = _GENERATOR.fullmatch(short)
        return generator(**options) if match is not None and match["seed"] else generator
    close = difflib.get_close_matches(short, module.names(), n=3)
    hint = f" (close: {', '.join(close)})" if close else ""
    raise ValueError(
        f"unknown {family_name} instance {text!r}{hint}, expected a file, a benchmark name or a"
        f" generator with sizes, e.g. {next(iter(module.GENERATORS))}-10x5."
    )


def sets(family_name: str) -> Mapping[str, Sequence[str]]:
    """Sets of a family's benchmarks, as names and globs.

    The family names some in a mapping ``SETS``; ``smoke``, ``dev`` and ``test`` are chosen so that
    solvers compare there as on all benchmarks (``gapgym study suites``).
    """
    file = Path(__file__).parent / "data" / "suites.json"
    chosen: Mapping[str, Sequence[str]] = json.loads(file.read_text()).get(family_name, {})
    return {**chosen, **getattr(family(family_name), "SETS", {})}


def load_all(family_name: str, patterns: list[str], **options: Any) -> list[Any]:
    """The instances that names, globs of names (``"la*"``), files and globs of files stand for.

    Names of sets count, too: see :func:`sets`.

    Raises:
        ValueError: If a pattern matches nothing.
    """
    module, known = family(family_name), sets(family_name)
    instances: list[Any] = []
    for pattern in (member for given in patterns for member in known.get(given, (given,))):
        if not any(sign in pattern for sign in "*?["):
            instances.append(load_from(family_name, pattern, **options))
            continue
        matches = fnmatch.filter(module.names(), pattern.removeprefix(f"{family_name}/"))
        matches = matches or sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise ValueError(f"{pattern!r}: matches no {family_name} instance and no file.")
        instances += [load_from(family_name, match, **options) for match in matches]
    return instances


def named_generator(family_name: str, text: str) -> Any | None:
    """The generator that a text such as ``"uniform-20x15"`` names, with its sizes filled in.

    A seed in the name (``"uniform-20x15-s3"``) is filled in too, so that the name of a generated
    instance loads that instance again.

    Returns:
        A function of ``seed`` and the generator's other options, or ``None``.
    """
    match = _GENERATOR.fullmatch(text)
    generators = family(family_name).GENERATORS
    if match is None or match["name"] not in generators:
        return None
    sizes = [int(size) for size in match["sizes"].split("x")]
    generator = partial(generators[match["name"]], *sizes)
    return partial(generator, seed=int(match["seed"])) if match["seed"] else generator
