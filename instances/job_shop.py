"""Job shops: the classic one and the flexible one, told apart by the class of the instance.

``job_shop_classic.py`` states the problem ``job_shop``, ``job_shop_flexible.py`` the problem
``flexible_job_shop``. A classic shop becomes a flexible one where a field of the latter is given:
``load("ft06", buffer="blocking")``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import job_shop_classic as classic
from . import job_shop_files, job_shop_flexible_files, job_shop_flexible_generators
from . import job_shop_flexible as flexible
from .core import Reference
from .job_shop_classic import heads, jackson_bound, job_bound, machine_bound, names, tails
from .job_shop_flexible_model import FlexibleJobShopInstance, FlexibleJobShopSolution
from .job_shop_generators import GENERATORS as _CLASSIC_GENERATORS
from .job_shop_generators import Seed, taillard, two_set, uniform
from .job_shop_model import JobShopInstance, JobShopSolution
from .picture import Picture
from .text import read_json, read_text

__all__ = [
    "GENERATORS",
    "PROBLEMS",
    "FlexibleJobShopInstance",
    "FlexibleJobShopSolution",
    "JobShopInstance",
    "JobShopSolution",
    "best_known",
    "generate",
    "heads",
    "jackson_bound",
    "job_bound",
    "load",
    "lower_bound",
    "machine_bound",
    "metrics",
    "names",
    "normalise",
    "objective",
    "picture",
    "read",
    "taillard",
    "tails",
    "two_set",
    "uniform",
    "upper_bound",
    "validate",
    "write",
]

PROBLEMS: dict[str, tuple[type[Any], type[Any]]] = {
    "job_shop": (JobShopInstance, JobShopSolution),
    "flexible_job_shop": (FlexibleJobShopInstance, FlexibleJobShopSolution),
}

GENERATORS: dict[str, Callable[..., Any]] = {
    **_CLASSIC_GENERATORS,
    **job_shop_flexible_generators.GENERATORS,
}

#: Options that only a flexible shop has.
_FLEXIBLE = set(job_shop_flexible_files.OPTIONS) - {"name"}


def generate(
    num_jobs: int = 6,
    num_machines: int = 6,
    *,
    seed: Seed,
    kind: str = "uniform",
    **options: Any,
) -> Any:
    """A random job shop.

    Args:
        num_jobs: Number of jobs, n >= 1.
        num_machines: Number of machines, m >= 1.
        seed: Seed or generator.
        kind: One of :data:`GENERATORS`.
        **options: Options of that generator.

    Raises:
        ValueError: If the kind or an option is refused.
    """
    if kind not in GENERATORS:
        raise ValueError(f"unknown kind {kind!r}, expected one of: {', '.join(GENERATORS)}.")
    return GENERATORS[kind](num_jobs, num_machines, seed=seed, **options)


def read(path: Path | str, **options: Any) -> Any:
    """The job shop in a file, classic or flexible as its content says.

    A text whose name ends in ``.fjs`` is flexible; of others, one that only reads as FJSP is.

    Args:
        path: The file; its stem becomes the name of the instance.
        **options: Further fields of the instance.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a job shop; the message names the file and the line.
    """
    path = Path(path)
    if _is_flexible(path):
        return job_shop_flexible_files.read(path, **options)
    return _classic(lambda **fields: job_shop_files.read(path, **fields), options)


def _is_flexible(path: Path) -> bool:
    if path.suffix.lower() == ".json":
        data = read_json(path)
        return isinstance(data, dict) and data.get("problem") == "flexible_job_shop"
    if path.suffix.lower() == ".fjs":
        return True
    return job_shop_flexible_files.looks_flexible(read_text(path))


def load(name: str, **options: Any) -> Any:
    """The benchmark shop of that name, e.g. ``"ta21"``.

    Args:
        name: One of :func:`names`.
        **options: Further fields of the instance; one of a flexible shop makes it flexible.

    Raises:
        ValueError: If there is no such benchmark, or it is not in the cache and cannot be fetched.
    """
    return _classic(lambda **fields: job_shop_files.load(name, **fields), options)


def _classic(make: Callable[..., JobShopInstance], options: dict[str, Any]) -> Any:
    extra = {key: value for key, value in options.items() if key in _FLEXIBLE}
    shop = make(**{key: value for key, value in options.items() if key not in extra})
    return FlexibleJobShopInstance.of(shop, **extra) if extra else shop


def write(instance: Any, path: Path | str) -> None:
    """Write a shop so that :func:`read` returns an equal one.

    Raises:
        ValueError: If text cannot hold it.
    """
    if not isinstance(instance, FlexibleJobShopInstance):
        job_shop_files.write(instance, path)
        return
    as_text = Path(path).suffix.lower() not in (".json", ".fjs")
    if as_text and not job_shop_flexible_files.looks_flexible(
        job_shop_flexible_files.to_text(instance)
    ):
        raise ValueError(
            f"{Path(path).name}: would read as a classic shop, expected a .fjs or .json name."
        )
    job_shop_flexible_files.write(instance, path)


def normalise(text: str, place: str) -> str:
    """The text of a shop as :func:`write` would write it, so that its SHA-256 can be compared."""
    if job_shop_flexible_files.looks_flexible(text):
        return job_shop_flexible_files.to_text(job_shop_flexible_files.parse(text, place))
    return job_shop_files.normalise(text, place)


def _module(instance: Any) -> Any:
    return flexible if isinstance(instance, FlexibleJobShopInstance) else classic


def validate(instance: Any, solution: Any) -> None:
    """Check a complete schedule.

    Raises:
        ValueError: Naming the first violated constraint.
    """
    _module(instance).validate(instance, solution)


def objective(instance: Any, solution: Any) -> int:
    """The objective of a schedule, from scratch.

    Raises:
        ValueError: If the schedule has another shape than the instance.
    """
    return int(_module(instance).objective(instance, solution))


def metrics(instance: Any, solution: Any) -> dict[str, float]:
    """Secondary figures of a schedule."""
    found: dict[str, float] = _module(instance).metrics(instance, solution)
    return found


def lower_bound(instance: Any) -> int:
    """A proven bound that needs no search."""
    return int(_module(instance).lower_bound(instance))


def upper_bound(instance: Any) -> int:
    """No sensible schedule costs more."""
    return int(_module(instance).upper_bound(instance))


def best_known(instance: Any) -> Reference | None:
    """Published bounds of a classic shop; none are kept of flexible ones."""
    return None if isinstance(instance, FlexibleJobShopInstance) else classic.best_known(instance)


def picture(instance: Any, solution: Any) -> Picture:
    """A Gantt chart."""
    found: Picture = _module(instance).picture(instance, solution)
    return found
