"""Random flexible job shops: ``flexible-20x10``, ``due_dates-15x5``, ``blocking-10x10``, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .job_shop_flexible_model import FlexibleJobShopInstance
from .job_shop_generators import Seed


def flexible(
    num_jobs: int,
    num_machines: int,
    *,
    seed: Seed,
    eligible: int = 3,
    low: int = 1,
    high: int = 20,
    **fields: Any,
) -> FlexibleJobShopInstance:
    """Every job has ``num_machines`` operations, each eligible on 1 to ``eligible`` machines.

    The count of machines is uniform, the machines a uniform subset, the times uniform on
    ``low..high``, as in Brandimarte 1993 (doi:10.1007/BF02023073).

    Args:
        num_jobs: Number of jobs, n >= 1.
        num_machines: Number of machines, m >= 1.
        seed: Seed or generator.
        eligible: Most machines that an operation may run on.
        low: Shortest processing time, in ticks.
        high: Longest processing time, in ticks.
        **fields: Further fields of the instance.

    Raises:
        ValueError: If a size is below 1 or ``low > high``.
    """
    if min(num_jobs, num_machines, eligible) < 1:
        raise ValueError(
            f"{num_jobs} jobs, {num_machines} machines, {eligible} eligible: expected >= 1."
        )
    if not 0 <= low <= high:
        raise ValueError(f"times {low}..{high}, expected 0 <= low <= high.")
    rng = np.random.default_rng(seed)
    shape = num_jobs, num_machines, num_machines
    times = rng.integers(low, high + 1, size=shape)
    rank = rng.permuted(np.broadcast_to(np.arange(num_machines), shape), axis=2)
    count = rng.integers(1, min(eligible, num_machines) + 1, size=shape[:2])
    times[rank >= count[:, :, None]] = -1
    lengths = np.full(num_jobs, num_machines)
    return FlexibleJobShopInstance(
        times, lengths, **{"name": _name("flexible", shape, seed), **fields}
    )


def due_dates(
    num_jobs: int,
    num_machines: int,
    *,
    seed: Seed,
    tightness: float = 1.5,
    max_setup: int = 5,
    downtimes: bool = True,
    **fields: Any,
) -> FlexibleJobShopInstance:
    """A :func:`flexible` shop with dates, weights, setups and downtimes: total weighted tardiness.

    Releases are uniform up to the mean load of a machine; ``d_j = r_j + tightness * work_j`` (TWK,
    total work content, Baker 1984, doi:10.1287/mnsc.30.9.1093), weights uniform on 1..4, setups
    uniform on ``0..max_setup`` (0 between operations of one job), and one downtime of each machine.

    Args:
        num_jobs: Number of jobs, n >= 1.
        num_machines: Number of machines, m >= 1.
        seed: Seed or generator.
        tightness: Allowance over the job's shortest work, >= 0.
        max_setup: Longest setup, in ticks.
        downtimes: Whether machines have one.
        **fields: Further fields of the instance, or options of :func:`flexible`.

    Raises:
        ValueError: If a size is below 1 or a field is refused.
    """
    if not 0 <= tightness < 1e6 or max_setup < 0:
        raise ValueError(f"tightness {tightness}, max_setup {max_setup}: expected >= 0.")
    rng = np.random.default_rng(seed)
    options = {key: fields.pop(key) for key in ("eligible", "low", "high") if key in fields}
    plain = flexible(num_jobs, num_machines, seed=rng, **{"low": 1, **options})
    work = plain.shortest.sum(axis=1)
    load = int(work.sum()) // num_machines
    releases = rng.integers(0, load + 1, size=num_jobs)
    setups = rng.integers(0, max_setup + 1, size=(num_machines, num_jobs + 1, num_jobs))
    setups[:, np.arange(num_jobs) + 1, np.arange(num_jobs)] = 0
    begin = rng.integers(0, load + 1, size=num_machines)
    length = rng.integers(1, max(2, load // 5 + 1), size=num_machines)
    rows = np.stack([np.arange(num_machines), begin, begin + length], axis=1)
    shape = num_jobs, num_machines, num_machines
    made = {
        "name": _name("due_dates", shape, seed),
        "release_dates": releases,
        "due_dates": releases + np.floor(tightness * work).astype(np.int64),
        "weights": rng.integers(1, 5, size=num_jobs),
        "setups": setups,
        "downtimes": rows if downtimes else None,
        "objective": "weighted_tardiness",
    }
    return FlexibleJobShopInstance(plain.times, plain.num_operations, **{**made, **fields})


def blocking(
    num_jobs: int, num_machines: int, *, seed: Seed, **fields: Any
) -> FlexibleJobShopInstance:
    """A :func:`flexible` shop without room beside the machines: blocking, swaps allowed."""
    made = {"name": _name("blocking", (num_jobs, num_machines), seed), "buffer": "blocking"}
    return flexible(num_jobs, num_machines, seed=seed, **{**made, **fields})


def no_wait(
    num_jobs: int, num_machines: int, *, seed: Seed, **fields: Any
) -> FlexibleJobShopInstance:
    """A :func:`flexible` shop whose jobs may not wait once they have begun."""
    made = {"name": _name("no_wait", (num_jobs, num_machines), seed), "buffer": "no-wait"}
    return flexible(num_jobs, num_machines, seed=seed, **{**made, **fields})


def _name(kind: str, shape: tuple[int, ...], seed: Seed) -> str:
    known = f"-s{seed}" if isinstance(seed, int) else ""
    return f"{kind}-{shape[0]}x{shape[1]}{known}"


GENERATORS: dict[str, Callable[..., FlexibleJobShopInstance]] = {
    "flexible": flexible,
    "due_dates": due_dates,
    "blocking": blocking,
    "no_wait": no_wait,
}
