"""Random single-machine instances. Named generators carry their size: ``pvw-50``, ``pvw-50-s3``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .core import IntArray
from .tardiness_model import TardinessInstance

Seed = int | np.random.Generator

#: Options that all kinds share; see :func:`generate`.
_COMMON = ("max_weight", "releases", "setups", "name", "cv", "law", "scenario")

#: The published classes, from which :func:`pvw` draws what is not given.
TARDINESS_FACTORS = (0.2, 0.4, 0.6, 0.8)
DUE_DATE_RANGES = (0.2, 0.4, 0.6, 0.8, 1.0)


def pvw(
    num_jobs: int,
    *,
    seed: Seed,
    tf: float | None = None,
    rdd: float | None = None,
    negative_due_dates: bool = False,
    high: int = 100,
    **options: Any,
) -> TardinessInstance:
    """The law of Fisher 1976 and of Potts and Van Wassenhove 1982, used by most benchmarks.

    Processing times are uniform on ``1..high``, and with ``P`` their sum the due dates are uniform
    on the integers from ``P (1 - tf - rdd / 2)`` to ``P (1 - tf + rdd / 2)``, both rounded
    (doi:10.1007/BF01580393, doi:10.1016/0167-6377(82)90035-9).

    Args:
        num_jobs: Number of jobs, n >= 1.
        seed: Seed or generator.
        tf: Tardiness factor: the larger, the tighter the due dates; by default one of
            :data:`TARDINESS_FACTORS`.
        rdd: Relative range of due dates; by default one of :data:`DUE_DATE_RANGES`.
        negative_due_dates: Keep due dates below 0, instead of raising them to 0.
        high: Longest processing time.
        **options: See :func:`generate`.

    Raises:
        ValueError: If an argument is outside its range.
    """
    _check_size(num_jobs)
    if high < 1:
        raise ValueError(f"high {high}, expected >= 1.")
    rng = np.random.default_rng(seed)
    times = rng.integers(1, high + 1, size=num_jobs)
    due_dates = _due_dates(rng, times, tf, rdd, negative_due_dates)
    return _instance("pvw", rng, seed, times, due_dates, options)


def weighted(
    num_jobs: int, *, seed: Seed, tf: float | None = None, **options: Any
) -> TardinessInstance:
    """The law of the OR-Library files wt40, wt50 and wt100: :func:`pvw` with weights ``1..10``.

    Args:
        num_jobs: Number of jobs, n >= 1.
        seed: Seed or generator.
        tf: As for :func:`pvw`.
        **options: Of :func:`pvw`, and see :func:`generate`.

    Raises:
        ValueError: If an argument is outside its range.
    """
    suffix = "" if isinstance(seed, np.random.Generator) else f"-s{seed}"
    given = {"max_weight": 10, "name": f"weighted-{num_jobs}{suffix}", **options}
    return pvw(num_jobs, seed=seed, tf=tf, **given)


def normal(
    num_jobs: int,
    *,
    seed: Seed,
    tf: float | None = None,
    rdd: float | None = None,
    negative_due_dates: bool = False,
    mean: float = 60.0,
    deviation: float = 20.0,
    **options: Any,
) -> TardinessInstance:
    """Normal processing times, rounded, at least 1; due dates as for :func:`pvw`.

    With the default mean and deviation it is the out-of-distribution set of Cetinkaya et al. 2025
    (arXiv:2510.24013).

    Args:
        num_jobs: Number of jobs, n >= 1.
        seed: Seed or generator.
        tf: As for :func:`pvw`.
        rdd: As for :func:`pvw`.
        negative_due_dates: As for :func:`pvw`.
        mean: Of the processing times, before rounding.
        deviation: Their standard deviation.
        **options: See :func:`generate`.

    Raises:
        ValueError: If an argument is outside its range.
    """
    _check_size(num_jobs)
    if not 0 < mean <= 1e9 or not 0 <= deviation <= 1e9:
        raise ValueError(
            f"mean {mean} and deviation {deviation}, expected a positive mean and a deviation >= 0,"
            " up to 1e9."
        )
    rng = np.random.default_rng(seed)
    drawn = np.rint(rng.normal(mean, deviation, size=num_jobs))
    times = np.maximum(drawn, 1).astype(np.int64)
    due_dates = _due_dates(rng, times, tf, rdd, negative_due_dates)
    return _instance("normal", rng, seed, times, due_dates, options)


GENERATORS: dict[str, Callable[..., TardinessInstance]] = {
    "pvw": pvw,
    "weighted": weighted,
    "normal": normal,
}


def generate(
    num_jobs: int = 20, *, seed: Seed, kind: str = "pvw", **options: Any
) -> TardinessInstance:
    """A random single-machine instance.

    Args:
        num_jobs: Number of jobs, n >= 1.
        seed: Seed or generator.
        kind: One of :data:`GENERATORS`.
        **options: Those of the generator; for all kinds: ``max_weight`` (weights uniform on
            ``1..max_weight``), ``releases`` (release dates uniform on ``0..releases * P``),
            ``setups`` (setups uniform on ``0..2 * setups * P / n``, so that ``setups`` is their
            mean relative to that of the processing times), and the fields ``name``, ``cv``, ``law``
            and ``scenario`` of the instance. Without them, the same seed gives the same processing
            times and due dates as with them.

    Raises:
        ValueError: If there is no such kind, or the generator refuses its arguments.
    """
    if kind not in GENERATORS:
        raise ValueError(f"unknown kind {kind!r}, expected one of: {', '.join(GENERATORS)}.")
    return GENERATORS[kind](num_jobs, seed=seed, **options)


def _check_size(num_jobs: int) -> None:
    if num_jobs < 1:
        raise ValueError(f"{num_jobs} jobs, expected >= 1.")


def _due_dates(
    rng: np.random.Generator, times: IntArray, tf: float | None, rdd: float | None, negative: bool
) -> IntArray:
    tf = float(rng.choice(TARDINESS_FACTORS)) if tf is None else tf
    rdd = float(rng.choice(DUE_DATE_RANGES)) if rdd is None else rdd
    for what, value in (("tf", tf), ("rdd", rdd)):
        if not 0 <= value <= 2:
            raise ValueError(f"{what} {value}, expected between 0 and 2.")
    total = int(times.sum())
    low, high = round(total * (1 - tf - rdd / 2)), round(total * (1 - tf + rdd / 2))
    due_dates = rng.integers(low, high + 1, size=len(times))
    return due_dates if negative else np.maximum(due_dates, 0)


def _instance(
    kind: str,
    rng: np.random.Generator,
    seed: Seed,
    times: IntArray,
    due_dates: IntArray,
    options: dict[str, Any],
) -> TardinessInstance:
    """The instance with the options that all kinds share; see :func:`generate`."""
    n, total = len(times), int(times.sum())
    if unknown := sorted(set(options) - set(_COMMON)):
        raise ValueError(
            f"unknown option {unknown[0]!r} for {kind}, expected some of: {', '.join(_COMMON)}."
        )
    max_weight, releases = options.pop("max_weight", 1), options.pop("releases", 0.0)
    setups = options.pop("setups", 0.0)
    if max_weight < 1:
        raise ValueError(f"max_weight {max_weight}, expected >= 1.")
    for what, value in (("releases", releases), ("setups", setups)):
        if not 0 <= value <= 100:
            raise ValueError(f"{what} {value}, expected between 0 and 100.")
    arrays: dict[str, Any] = {}
    if max_weight > 1:
        arrays["weights"] = rng.integers(1, max_weight + 1, size=n)
    if releases:
        arrays["release_dates"] = rng.integers(0, round(releases * total) + 1, size=n)
    if setups:
        longest = round(2 * setups * total / n)
        arrays["setups"] = rng.integers(0, longest + 1, size=(n + 1, n))
    suffix = "" if isinstance(seed, np.random.Generator) else f"-s{seed}"
    fields = {"name": f"{kind}-{n}{suffix}", **options}
    return TardinessInstance(times, due_dates, **arrays, **fields)
