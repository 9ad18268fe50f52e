"""Task graphs and streams made by formula. Named ones carry their sizes: ``layered-50x4``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from .soc_dag_model import SoCDagInstance
from .soc_stream_model import SoCStreamInstance

Seed = int | np.random.Generator
Edges = Iterable[tuple[int, int]]


def layered(
    num_tasks: int = 8,
    num_pes: int = 3,
    *,
    seed: Seed,
    shape: float = 1.0,
    out_degree: int = 3,
    **law: Any,
) -> SoCDagInstance:
    """Random graphs in layers, as in the HEFT paper (section 5.1 of doi:10.1109/71.993206).

    About ``sqrt(n) / shape`` layers, whose widths are uniform with mean ``shape sqrt(n)``; each
    task has an edge from a random task of the layer before, and edges to random tasks of later
    layers until it has 1 to ``out_degree`` successors.

    Args:
        num_tasks: Number of tasks, n >= 1.
        num_pes: Number of PEs, m >= 1.
        seed: Seed or generator.
        shape: Wide graphs above 1, long ones below.
        out_degree: Most successors drawn for a task (it may get more from the layer behind).
        **law: ``ccr``, ``heterogeneity``, ``mean_run_time``, ``unsupported``, ``power``, ``name``:
            see :func:`instance_of`.

    Raises:
        ValueError: If a size is below 1 or an option out of range.
    """
    _check(num_tasks, num_pes)
    if not 0.0 < shape <= 100.0 or out_degree < 1:
        raise ValueError(f"shape {shape}, out_degree {out_degree}, expected 0..100 and >= 1.")
    rng = np.random.default_rng(seed)
    widest = max(int(2.0 * shape * np.sqrt(num_tasks)) - 1, 1)
    layers: list[list[int]] = []
    placed = 0
    while placed < num_tasks:
        width = min(int(rng.integers(1, widest + 1)), num_tasks - placed)
        layers.append(list(range(placed, placed + width)))
        placed += width
    edges: set[tuple[int, int]] = set()
    for before, layer in pairwise(layers):
        edges.update((int(rng.choice(before)), j) for j in layer)
        behind = num_tasks - layer[0]
        for i in before:
            targets = layer[0] + rng.integers(behind, size=int(rng.integers(1, out_degree + 1)))
            edges.update((i, int(j)) for j in targets)
    name = _name(f"layered-{num_tasks}x{num_pes}", seed)
    return instance_of(num_tasks, sorted(edges), num_pes, rng, **{"name": name, **law})


def gaussian(size: int = 5, num_pes: int = 3, *, seed: Seed, **law: Any) -> SoCDagInstance:
    """Gaussian elimination of a ``size x size`` matrix: ``(k^2 + k - 2) / 2`` tasks.

    Task ``(k, k)`` scales column ``k``; tasks ``(k, j)`` update the columns ``j > k`` behind it
    (Cosnard et al. 1988; section 5.2 of doi:10.1109/71.993206).
    """
    _check(size - 1, num_pes)
    steps = [(k, j) for k in range(size - 1) for j in range(k, size)]
    number = {step: i for i, step in enumerate(steps)}
    edges = []
    for (k, j), i in number.items():
        if j > k:
            edges.append((number[k, k], i))
            if (k + 1, j) in number:
                edges.append((i, number[k + 1, j]))
    name = _name(f"gaussian-{size}x{num_pes}", seed)
    return instance_of(len(steps), edges, num_pes, seed, **{"name": name, **law})


def fft(points: int = 8, num_pes: int = 3, *, seed: Seed, **law: Any) -> SoCDagInstance:
    """Fast Fourier transform: ``2 N - 1`` recursive calls, then ``log2 N`` rows of butterflies.

    Section 5.2 of doi:10.1109/71.993206; ``points`` is rounded up to a power of two, N.
    """
    _check(points, num_pes)
    size = max(1 << (points - 1).bit_length(), 2)
    edges = [(i, 2 * i + side) for i in range(size - 1) for side in (1, 2)]
    stages, first = size.bit_length() - 1, size - 1
    for stage in range(stages):
        for i in range(size):
            edges += [
                (first + stage * size + j, first + (stage + 1) * size + i)
                for j in (i, i ^ (1 << stage))
            ]
    name = _name(f"fft-{points}x{num_pes}", seed)
    return instance_of(first + (stages + 1) * size, edges, num_pes, seed, **{"name": name, **law})


def cholesky(tiles: int = 4, num_pes: int = 3, *, seed: Seed, **law: Any) -> SoCDagInstance:
    """Tiled Cholesky factorisation of a ``T x T`` grid: ``T (T + 1) (T + 2) / 6`` tasks.

    Kernels POTRF, TRSM, SYRK and GEMM; edges follow from which tiles they read and write
    (Buttari et al. 2009, doi:10.1016/j.parco.2008.10.002).
    """
    tasks: list[tuple[list[_Tile], _Tile]] = []
    for k in range(tiles):
        tasks.append(([], (k, k)))
        tasks += [([(k, k)], (i, k)) for i in range(k + 1, tiles)]
        for i in range(k + 1, tiles):
            tasks.append(([(i, k)], (i, i)))
            tasks += [([(i, k), (j, k)], (i, j)) for j in range(k + 1, i)]
    return _tiled("cholesky", tiles, num_pes, seed, tasks, law)


def lu(tiles: int = 4, num_pes: int = 3, *, seed: Seed, **law: Any) -> SoCDagInstance:
    """Tiled LU factorisation without pivoting: kernels GETRF, TRSM (rows, columns) and GEMM."""
    tasks: list[tuple[list[_Tile], _Tile]] = []
    for k in range(tiles):
        later = range(k + 1, tiles)
        tasks.append(([], (k, k)))
        tasks += [([(k, k)], (k, j)) for j in later]
        tasks += [([(k, k)], (i, k)) for i in later]
        tasks += [([(i, k), (k, j)], (i, j)) for i in later for j in later]
    return _tiled("lu", tiles, num_pes, seed, tasks, law)


def qr(tiles: int = 4, num_pes: int = 3, *, seed: Seed, **law: Any) -> SoCDagInstance:
    """Tiled QR factorisation, a flat tree: kernels GEQRT, UNMQR, TSQRT and TSMQR.

    TSQRT and TSMQR rewrite the tile of the pivot row too, which makes them a chain.
    """
    tasks: list[tuple[list[_Tile], _Tile]] = []
    also: dict[int, _Tile] = {}
    for k in range(tiles):
        later = range(k + 1, tiles)
        tasks.append(([], (k, k)))
        tasks += [([(k, k)], (k, j)) for j in later]
        for i in later:
            also[len(tasks)] = (k, k)
            tasks.append(([], (i, k)))
            for j in later:
                also[len(tasks)] = (k, j)
                tasks.append(([(i, k)], (i, j)))
    return _tiled("qr", tiles, num_pes, seed, tasks, law, also)


def fork_join(width: int = 6, num_pes: int = 3, *, seed: Seed, **law: Any) -> SoCDagInstance:
    """A task, ``width`` parallel ones, and one that joins them."""
    _check(width, num_pes)
    edges = [pair for i in range(1, width + 1) for pair in ((0, i), (i, width + 1))]
    name = _name(f"fork_join-{width}x{num_pes}", seed)
    return instance_of(width + 2, edges, num_pes, seed, **{"name": name, **law})


def out_tree(num_tasks: int = 8, num_pes: int = 3, *, seed: Seed, **law: Any) -> SoCDagInstance:
    """A random recursive tree: each task has one predecessor, uniform among those before it."""
    _check(num_tasks, num_pes)
    rng = np.random.default_rng(seed)
    edges = [(int(rng.integers(j)), j) for j in range(1, num_tasks)]
    name = _name(f"out_tree-{num_tasks}x{num_pes}", seed)
    return instance_of(num_tasks, edges, num_pes, rng, **{"name": name, **law})


def in_tree(num_tasks: int = 8, num_pes: int = 3, *, seed: Seed, **law: Any) -> SoCDagInstance:
    """:func:`out_tree` turned round: each task has one successor."""
    _check(num_tasks, num_pes)
    rng = np.random.default_rng(seed)
    last = num_tasks - 1
    edges = [(last - j, last - int(rng.integers(j))) for j in range(1, num_tasks)]
    name = _name(f"in_tree-{num_tasks}x{num_pes}", seed)
    return instance_of(num_tasks, edges, num_pes, rng, **{"name": name, **law})


def stream(
    num_profiles: int = 3,
    num_tasks: int = 8,
    num_pes: int = 3,
    jobs: int = 20,
    *,
    seed: Seed,
    load: float = 0.7,
    ccr: float = 0.5,
    **fields: Any,
) -> SoCStreamInstance:
    """A stream of :func:`layered` graphs.

    Args:
        num_profiles: Number of profiles, K >= 1.
        num_tasks: Tasks of each.
        num_pes: Number of PEs.
        jobs: The horizon in mean gaps.
        seed: Seed or generator of the profiles and, unless given, of the scenario.
        load: Sum of the least run times of a job, per PE and ``mean_gap``; more than 1 is overload.
        ccr: See :func:`instance_of`.
        **fields: Fields of the stream, e.g. ``capacity``, ``admission``, ``cv``, ``scenario``.

    Raises:
        ValueError: If a size is below 1, or an option is refused.
    """
    _check(num_profiles, num_tasks)
    if not load > 0 or jobs < 1:
        raise ValueError(f"load {load}, jobs {jobs}, expected more than 0 and >= 1.")
    rng = np.random.default_rng(seed)
    one = layered(num_tasks, num_pes, seed=rng, ccr=ccr)
    graphs = [one] + [
        layered(num_tasks, num_pes, seed=rng, ccr=ccr, bandwidth=one.bandwidth)
        for _ in range(num_profiles - 1)
    ]
    work = float(np.mean([graph.run_times.min(axis=1).sum() for graph in graphs]))
    gap = max(work / (load * num_pes), 1.0)
    made = {
        "name": _name(f"stream-{num_profiles}x{num_tasks}x{num_pes}x{jobs}", seed),
        "scenario": int(rng.integers(2**31)),
        "mean_gap": gap,
        "horizon": max(int(jobs * gap), 1),
    }
    return SoCStreamInstance.from_profiles(graphs, **{**made, **fields})


GENERATORS: dict[str, Callable[..., SoCDagInstance | SoCStreamInstance]] = {
    "layered": layered,
    "gaussian": gaussian,
    "fft": fft,
    "cholesky": cholesky,
    "lu": lu,
    "qr": qr,
    "fork_join": fork_join,
    "out_tree": out_tree,
    "in_tree": in_tree,
    "stream": stream,
}


def generate(
    *sizes: int, seed: Seed, kind: str = "layered", **options: Any
) -> SoCDagInstance | SoCStreamInstance:
    """A random task graph or, with ``kind="stream"``, a stream of them.

    Args:
        *sizes: Sizes that the generator takes, e.g. tasks and PEs; it has defaults.
        seed: Seed or generator.
        kind: One of :data:`GENERATORS`.
        **options: Passed on to the generator.

    Raises:
        ValueError: If there is no such kind, or the generator refuses its arguments.
    """
    if kind not in GENERATORS:
        raise ValueError(f"unknown kind {kind!r}, expected one of: {', '.join(GENERATORS)}.")
    return GENERATORS[kind](*sizes, seed=seed, **options)


def instance_of(
    num_tasks: int,
    edges: Edges,
    num_pes: int,
    seed: Seed,
    *,
    ccr: float = 1.0,
    heterogeneity: float = 1.0,
    mean_run_time: int = 20,
    unsupported: float = 0.0,
    bandwidth: Any = None,
    name: str = "",
) -> SoCDagInstance:
    """Run times and data for a graph, by the law of the HEFT paper (doi:10.1109/71.993206).

    ``w_i ~ U(1, 2 mean_run_time)``, ``w_ip ~ U(w_i (1 - beta / 2), w_i (1 + beta / 2))``, rounded,
    at least 1; data ``~ U(0, 2 ccr mean_run_time b)`` where ``b = 10`` is the mean bandwidth, and
    bandwidths ``~ U{5..15}``, the same both ways.

    Args:
        num_tasks: Number of tasks.
        edges: Pairs of tasks.
        num_pes: Number of PEs.
        seed: Seed or generator.
        ccr: Mean transfer time divided by mean run time.
        heterogeneity: ``beta``, 0 to 2: how much the PEs differ.
        mean_run_time: In ticks.
        unsupported: Probability that a PE lacks a task (one random PE always has it).
        bandwidth: Replaces the random bandwidths.
        name: Name of the instance.
    """
    if not 0.0 <= ccr <= 1e6 or not 0.0 <= heterogeneity <= 2.0 or not 0.0 <= unsupported < 1.0:
        raise ValueError(
            f"ccr {ccr}, heterogeneity {heterogeneity}, unsupported {unsupported}, expected 0..1e6,"
            " 0..2 and 0..1."
        )
    if not 1 <= mean_run_time <= 10**9:
        raise ValueError(f"mean_run_time {mean_run_time}, expected 1..10^9.")
    rng = np.random.default_rng(seed)
    pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
    w = rng.uniform(1.0, 2.0 * mean_run_time, size=(num_tasks, 1))
    spread = rng.uniform(1.0 - heterogeneity / 2.0, 1.0 + heterogeneity / 2.0, (num_tasks, num_pes))
    run_times = np.maximum(np.rint(w * spread), 1.0).astype(np.int64)
    if unsupported:
        lacks = rng.random((num_tasks, num_pes)) < unsupported
        lacks[np.arange(num_tasks), rng.integers(num_pes, size=num_tasks)] = False
        run_times[lacks] = -1
    mean_bandwidth = 10
    data = np.rint(rng.uniform(0.0, 2.0 * ccr * mean_run_time * mean_bandwidth, size=len(pairs)))
    drawn = rng.integers(5, 16, size=(num_pes, num_pes))
    both_ways = np.triu(drawn) + np.triu(drawn, 1).T
    return SoCDagInstance(
        run_times=run_times,
        edges=pairs,
        data=data.astype(np.int64),
        bandwidth=both_ways if bandwidth is None else bandwidth,
        name=name,
    )


_Tile = tuple[int, int]


def _tiled(
    kind: str,
    tiles: int,
    num_pes: int,
    seed: Seed,
    tasks: list[tuple[list[_Tile], _Tile]],
    law: dict[str, Any],
    also: dict[int, _Tile] | None = None,
) -> SoCDagInstance:
    """A graph from the tiles that each task reads and rewrites, in the order of the algorithm."""
    _check(tiles, num_pes)
    writer: dict[_Tile, int] = {}
    edges: set[tuple[int, int]] = set()
    for i, (reads, written) in enumerate(tasks):
        rewritten = [written, *([also[i]] if also and i in also else [])]
        edges.update((writer[tile], i) for tile in (*reads, *rewritten) if tile in writer)
        writer.update(dict.fromkeys(rewritten, i))
    name = _name(f"{kind}-{tiles}x{num_pes}", seed)
    return instance_of(len(tasks), sorted(edges), num_pes, seed, **{"name": name, **law})


def _check(size: int, num_pes: int) -> None:
    if size < 1 or num_pes < 1:
        raise ValueError(f"sizes {size} and {num_pes}, expected >= 1 (a matrix >= 2).")


def _name(stem: str, seed: Seed) -> str:
    return stem if isinstance(seed, np.random.Generator) else f"{stem}-s{seed}"
