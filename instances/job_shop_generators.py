"""Random job shops. Named generators carry their sizes: ``uniform-20x15``, ``two_set-50x20``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .core import IntArray
from .job_shop_model import JobShopInstance

Seed = int | np.random.Generator


def uniform(
    num_jobs: int,
    num_machines: int,
    *,
    seed: Seed,
    low: int = 1,
    high: int = 99,
    **fields: Any,
) -> JobShopInstance:
    """Taillard's law from NumPy's generator: every job visits all machines in random order.

    Processing times are uniform on ``low..high``, routings uniform permutations.

    Args:
        num_jobs: Number of jobs, n >= 1.
        num_machines: Number of machines, m >= 1.
        seed: Seed or generator.
        low: Shortest processing time, in ticks.
        high: Longest processing time, in ticks.
        **fields: Further fields of the instance: ``name``, ``cv``, ``law``, ``scenario``.

    Raises:
        ValueError: If a size is below 1 or ``low > high``.
    """
    _check_sizes(num_jobs, num_machines, low, high)
    rng = np.random.default_rng(seed)
    times = rng.integers(low, high + 1, size=(num_jobs, num_machines))
    machines = rng.permuted(np.tile(np.arange(num_machines), (num_jobs, 1)), axis=1)
    return _instance("uniform", machines, times, seed, fields)


def two_set(
    num_jobs: int,
    num_machines: int,
    *,
    seed: Seed,
    low: int = 1,
    high: int = 200,
    **fields: Any,
) -> JobShopInstance:
    """Shops in two stages: every job visits machines ``0..m/2-1`` before ``m/2..m-1``.

    The law of dmu41-80 (Demirkol, Mehta and Uzsoy 1998, doi:10.1016/S0377-2217(97)00019-2) and
    swv01-15: uniform processing times, a random order within each half.

    Args:
        num_jobs: Number of jobs, n >= 1.
        num_machines: Number of machines, m >= 1.
        seed: Seed or generator.
        low: Shortest processing time, in ticks.
        high: Longest processing time, in ticks.
        **fields: Further fields of the instance: ``name``, ``cv``, ``law``, ``scenario``.

    Raises:
        ValueError: If a size is below 1 or ``low > high``.
    """
    _check_sizes(num_jobs, num_machines, low, high)
    rng = np.random.default_rng(seed)
    times = rng.integers(low, high + 1, size=(num_jobs, num_machines))
    half = num_machines // 2
    first = rng.permuted(np.tile(np.arange(half), (num_jobs, 1)), axis=1)
    second = rng.permuted(np.tile(np.arange(half, num_machines), (num_jobs, 1)), axis=1)
    return _instance("two_set", np.hstack([first, second]), times, seed, fields)


def taillard(
    num_jobs: int, num_machines: int, *, seed: Seed, machine_seed: int = 1, **fields: Any
) -> JobShopInstance:
    """Taillard's generator, bit for bit (EJOR 64(2), 1993, doi:10.1016/0377-2217(93)90182-M).

    With his seeds (:data:`TAILLARD_SEEDS`) it gives ta01-ta80.

    Args:
        num_jobs: Number of jobs, n >= 1.
        num_machines: Number of machines, m >= 1.
        seed: His "time seed", in ``1..2^31 - 2``, or a generator to draw both seeds from.
        machine_seed: His "machine seed", in ``1..2^31 - 2``.
        **fields: Further fields of the instance: ``name``, ``cv``, ``law``, ``scenario``.

    Raises:
        ValueError: If a size is below 1 or a seed outside its range.
    """
    _check_sizes(num_jobs, num_machines, 1, 99)
    time_seed = seed
    if isinstance(time_seed, np.random.Generator):
        time_seed, machine_seed = time_seed.integers(1, 2**31 - 1, size=2).tolist()
    draw = _lehmer(time_seed)
    times = [[draw(1, 99) for _ in range(num_machines)] for _ in range(num_jobs)]
    draw = _lehmer(machine_seed)
    routing = []
    for _ in range(num_jobs):
        job = list(range(num_machines))
        for i in range(num_machines):
            other = draw(i, num_machines - 1)
            job[i], job[other] = job[other], job[i]
        routing.append(job)
    return _instance("taillard", np.array(routing), np.array(times), seed, fields)


def _lehmer(seed: int) -> Callable[[int, int], int]:
    """``U(low, high)`` of the minimal standard generator ``x <- 16807 x mod (2^31 - 1)``."""
    modulus = 2**31 - 1
    if not 0 < seed < modulus:
        raise ValueError(f"seed {seed}, expected 1..{modulus - 1}.")
    state = seed

    def draw(low: int, high: int) -> int:
        nonlocal state
        state = 16807 * state % modulus
        return low + int(state / modulus * (high - low + 1))

    return draw


GENERATORS: dict[str, Callable[..., JobShopInstance]] = {
    "uniform": uniform,
    "two_set": two_set,
    "taillard": taillard,
}


def generate(
    num_jobs: int = 6, num_machines: int = 6, *, seed: Seed, kind: str = "uniform", **options: Any
) -> JobShopInstance:
    """A random job shop.

    Args:
        num_jobs: Number of jobs, n >= 1.
        num_machines: Number of machines, m >= 1.
        seed: Seed or generator.
        kind: One of :data:`GENERATORS`.
        **options: Passed on to the generator.

    Raises:
        ValueError: If there is no such kind, or the generator refuses its arguments.
    """
    if kind not in GENERATORS:
        raise ValueError(f"unknown kind {kind!r}, expected one of: {', '.join(GENERATORS)}.")
    return GENERATORS[kind](num_jobs, num_machines, seed=seed, **options)


def _check_sizes(num_jobs: int, num_machines: int, low: int, high: int) -> None:
    if num_jobs < 1 or num_machines < 1:
        raise ValueError(f"{num_jobs} jobs and {num_machines} machines, expected >= 1.")
    if not 0 <= low <= high:
        raise ValueError(f"processing times {low}..{high}, expected 0 <= low <= high.")


def _instance(
    kind: str, machines: IntArray, times: IntArray, seed: Seed, fields: dict[str, Any]
) -> JobShopInstance:
    n, m = machines.shape
    suffix = "" if isinstance(seed, np.random.Generator) else f"-s{seed}"
    fields = {"name": f"{kind}-{n}x{m}{suffix}", "num_machines": m, **fields}
    return JobShopInstance(machines, times, **fields)


#: Time seed and machine seed of ta01-ta80, ten per size (Taillard 1993, tables of the job shop).
TAILLARD_SEEDS: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {
    (15, 15): (
        (840612802, 398197754),
        (1314640371, 386720536),
        (1227221349, 316176388),
        (342269428, 1806358582),
        (1603221416, 1501949241),
        (1357584978, 1734077082),
        (44531661, 1374316395),
        (302545136, 2092186050),
        (1153780144, 1393392374),
        (73896786, 1544979948),
    ),
    (20, 15): (
        (533484900, 317419073),
        (1894307698, 1474268163),
        (874340513, 509669280),
        (1124986343, 1209573668),
        (1463788335, 529048107),
        (1056908795, 25321885),
        (195672285, 1717580117),
        (961965583, 1353003786),
        (1610169733, 1734469503),
        (532794656, 998486810),
    ),
    (20, 20): (
        (1035939303, 773961798),
        (5997802, 1872541150),
        (1357503601, 722225039),
        (806159563, 1166962073),
        (1902815253, 1879990068),
        (1503184031, 1850351876),
        (1032645967, 99711329),
        (229894219, 1158117804),
        (823349822, 108033225),
        (1297900341, 489486403),
    ),
    (30, 15): (
        (98640593, 1981283465),
        (1839268120, 248890888),
        (573875290, 2081512253),
        (1670898570, 788294565),
        (1118914567, 1074349202),
        (178750207, 294279708),
        (1549372605, 596993084),
        (798174738, 151685779),
        (553410952, 1329272528),
        (1661531649, 1173386294),
    ),
    (30, 20): (
        (1841414609, 1357882888),
        (2116959593, 1546338557),
        (796392706, 1230864158),
        (532496463, 254174057),
        (2020525633, 978943053),
        (524444252, 185526083),
        (1569394691, 487269855),
        (1460267840, 1631446539),
        (198324822, 1937476577),
        (38071822, 1541985579),
    ),
    (50, 15): (
        (17271, 718939),
        (660481279, 449650254),
        (352229765, 949737911),
        (1197518780, 166840558),
        (1376020303, 483922052),
        (2106639239, 955932362),
        (1765352082, 1209982549),
        (1105092880, 1349003108),
        (907248070, 919544535),
        (2011630757, 1845447001),
    ),
    (50, 20): (
        (8493988, 2738939),
        (1991925010, 709517751),
        (342093237, 786960785),
        (1634043183, 973178279),
        (341706507, 286513148),
        (320167954, 1411193018),
        (1089696753, 298068750),
        (433032965, 1589656152),
        (615974477, 331205412),
        (236150141, 592292984),
    ),
    (100, 20): (
        (302034063, 1203569070),
        (1437643198, 1692025209),
        (1792475497, 1039908559),
        (1647273132, 1012841433),
        (696480901, 1689682358),
        (1785569423, 1092647459),
        (117806902, 739059626),
        (1639154709, 1319962509),
        (2007423389, 749368241),
        (682761130, 262763021),
    ),
}
