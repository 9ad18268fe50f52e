"""Counter-based randomness: what happens in a scenario depends on nothing but its key.

A stream draws its ``k``-th number from a hash of ``(seed, keys)``, never from a generator whose
state depends on what was drawn before. So two policies that meet in one scenario meet the same run
times, arrivals and failures, in whatever order they ask for them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .core import FloatArray, IntArray

_LAWS = ("uniform", "lognormal")


def uniforms(seed: int, *keys: npt.ArrayLike) -> FloatArray:
    """Numbers in (0, 1), one per broadcast key: a SplitMix64 hash (doi:10.1145/2714064.2660195).

    Args:
        seed: The scenario.
        *keys: Integer arrays that broadcast against each other, e.g. job and operation.
    """
    arrays = np.broadcast_arrays(*[np.asarray(key, dtype=np.uint64) for key in keys])
    state = np.full(arrays[0].shape, seed % 2**64, dtype=np.uint64)
    with np.errstate(over="ignore"):  # NumPy warns of wrapping scalars, though not of arrays
        for key in arrays:
            state = _mix(state ^ _mix(key + np.uint64(0x9E3779B97F4A7C15)))
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def durations(mean: IntArray, cv: float, law: str, seed: int, *keys: npt.ArrayLike) -> IntArray:
    """Integer durations with the given means and coefficient of variation.

    Args:
        mean: Expected durations, in ticks; 0 stays 0, a positive mean gives at least 1 tick.
        cv: Standard deviation divided by the mean, before rounding.
        law: See :func:`factors`.
        seed: The scenario.
        *keys: As for :func:`uniforms`.
    """
    drawn = np.maximum(np.rint(mean * factors(cv, law, seed, *keys)), 1.0).astype(np.int64)
    return np.where(mean > 0, drawn, 0)


def factors(cv: float, law: str, seed: int, *keys: npt.ArrayLike) -> FloatArray:
    """Random factors of mean 1, one per broadcast key.

    Args:
        cv: Their standard deviation.
        law: ``"uniform"`` (``cv`` at most ``1/sqrt(3)``) or ``"lognormal"`` (cut at four standard
            deviations of the logarithm).
        seed: The scenario.
        *keys: As for :func:`uniforms`.
    """
    if law == "uniform":
        spread = cv * np.sqrt(3.0)
        return np.asarray(1.0 + spread * (2.0 * uniforms(seed, *keys, 0) - 1.0))
    sigma = np.sqrt(np.log1p(cv * cv))
    normal = np.sqrt(-2.0 * np.log(uniforms(seed, *keys, 0)))
    normal = normal * np.cos(2.0 * np.pi * uniforms(seed, *keys, 1))  # Box-Muller
    factor: FloatArray = np.exp(sigma * np.clip(normal, -4.0, 4.0) - 0.5 * sigma * sigma)
    return factor


def check_law(cv: float, law: str) -> None:
    """Raise ``ValueError`` unless :func:`durations` understands the law."""
    if not isinstance(cv, int | float):
        raise ValueError(f"cv {cv!r}, expected a number.")
    if law not in _LAWS:
        raise ValueError(f"law {law!r}, expected one of: {', '.join(_LAWS)}.")
    highest = 3.0**-0.5 if law == "uniform" else 2.0
    if not 0.0 <= cv <= highest:
        raise ValueError(f"cv {cv}, expected between 0 and {highest:.3f} for a {law} law.")
