"""Random buffers and analytic programs. Named generators carry their size: ``guillotine-50-s3``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .memory_mapping_allocation import AllocationInstance, AllocationSolution
from .memory_mapping_program import Instruction, MappingInstance, Program

Seed = int | np.random.Generator


def _name(kind: str, size: int, seed: Seed) -> str:
    return f"{kind}-{size}" + ("" if isinstance(seed, np.random.Generator) else f"-s{seed}")


def _check(what: str, value: int, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{what} {value!r}, expected an integer >= {least}.")


# Buffers.


def guillotine(
    num_buffers: int,
    *,
    seed: Seed,
    capacity: int = 1024,
    horizon: int | None = None,
    slack: float = 0.0,
    name: str | None = None,
) -> AllocationInstance:
    """Buffers that fill a memory exactly, if ``slack`` is 0; see :func:`guillotine_solution`.

    The rectangle ``capacity x horizon`` is cut by random guillotine cuts, always one of the largest
    pieces, across its longer side relative to the whole; the pieces, shuffled, are the buffers. The
    optimal peak is the capacity. With slack, that share of the buffers is made smaller, each
    by a uniform share of its size, and the optimum is at most the capacity.

    Args:
        num_buffers: Number of buffers, n >= 1.
        seed: Seed or generator.
        capacity: Bytes of the memory.
        horizon: Time that is filled, by default ``4 n``.
        slack: Share of the buffers that are made smaller.
        name: Identifier.

    Raises:
        ValueError: If an argument is outside its range.
    """
    return guillotine_solution(
        num_buffers, seed=seed, capacity=capacity, horizon=horizon, slack=slack, name=name
    )[0]


def guillotine_solution(
    num_buffers: int,
    *,
    seed: Seed,
    capacity: int = 1024,
    horizon: int | None = None,
    slack: float = 0.0,
    name: str | None = None,
) -> tuple[AllocationInstance, AllocationSolution]:
    """The instance of :func:`guillotine` and how it was cut: a packing that fits the capacity."""
    _check("num_buffers", num_buffers)
    _check("capacity", capacity)
    horizon = 4 * num_buffers if horizon is None else horizon
    _check("horizon", horizon)
    if not 0 <= slack <= 1:
        raise ValueError(f"slack {slack}, expected between 0 and 1.")
    if num_buffers > capacity * horizon:
        raise ValueError(f"{num_buffers} buffers, expected at most {capacity * horizon}.")
    rng = np.random.default_rng(seed)
    pieces = _cut(num_buffers, capacity, horizon, rng)
    order = rng.permutation(num_buffers)
    lowers, uppers, offsets, tops = pieces[order].T
    sizes = tops - offsets
    shrunk = rng.random(num_buffers) < slack
    kept = np.maximum(1, np.ceil(sizes * rng.random(num_buffers))).astype(np.int64)
    instance = AllocationInstance(
        lowers,
        uppers,
        np.where(shrunk, kept, sizes),
        capacity=capacity,
        name=_name("guillotine", num_buffers, seed) if name is None else name,
    )
    return instance, AllocationSolution(offsets)


def _cut(count: int, capacity: int, horizon: int, rng: np.random.Generator) -> Any:
    """``(n, 4)`` pieces: lower, upper, offset, top."""
    import heapq

    whole = (0, horizon, 0, capacity)
    heap = [(-1.0, 0, whole)]
    made = 1
    done: list[tuple[int, int, int, int]] = []
    while len(heap) + len(done) < count:
        _, _, (lower, upper, low, high) = heapq.heappop(heap)
        wide, tall = (upper - lower) / horizon, (high - low) / capacity
        along = upper - lower > 1 and (high - low == 1 or rng.random() < wide / (wide + tall))
        if not along and high - low == 1:
            done.append((lower, upper, low, high))
            continue
        if along:
            middle = int(rng.integers(lower + 1, upper))
            parts = (lower, middle, low, high), (middle, upper, low, high)
        else:
            middle = int(rng.integers(low + 1, high))
            parts = (lower, upper, low, middle), (lower, upper, middle, high)
        for part in parts:
            area = (part[1] - part[0]) / horizon * (part[3] - part[2]) / capacity
            heapq.heappush(heap, (-area * rng.uniform(0.25, 1.0), made, part))
            made += 1
    return np.array(done + [piece for _, _, piece in heap], dtype=np.int64)


def lifetimes(
    num_buffers: int,
    *,
    seed: Seed,
    length: float = 0.03,
    spread: float = 1.5,
    alignment: int = 1,
    name: str | None = None,
) -> AllocationInstance:
    """Buffers without a known optimum: exponential lifetimes, lognormal sizes.

    A buffer starts at a uniform time in ``0..4 n - 1`` and lives for ``1 + Exp(length * 4 n)``; its
    size is ``ceil(64 exp(spread N(0, 1)))``. There is no capacity.

    Args:
        num_buffers: Number of buffers, n >= 1.
        seed: Seed or generator.
        length: Mean lifetime as a share of the whole time.
        spread: Standard deviation of the logarithm of the sizes, at most 10.
        alignment: Of all buffers.
        name: Identifier.

    Raises:
        ValueError: If an argument is outside its range.
    """
    _check("num_buffers", num_buffers)
    _check("alignment", alignment)
    if not 0 < length <= 1 or not 0 <= spread <= 10:
        raise ValueError(
            f"length {length} and spread {spread}, expected up to 1 and 10, the first above 0."
        )
    rng = np.random.default_rng(seed)
    horizon = 4 * num_buffers
    lowers = rng.integers(0, horizon, num_buffers)
    lived = 1 + np.minimum(rng.exponential(length * horizon, num_buffers), horizon)
    sizes = np.ceil(64 * np.exp(spread * np.clip(rng.standard_normal(num_buffers), -3, 3)))
    return AllocationInstance(
        lowers,
        lowers + lived.astype(np.int64),
        sizes.astype(np.int64),
        alignments=np.full(num_buffers, alignment),
        name=_name("lifetimes", num_buffers, seed) if name is None else name,
    )


# Programs.


class _Builder:
    """Collects a program layer by layer; sizes in bytes of 2-byte numbers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instructions: list[Instruction] = []
        self.sizes: dict[str, int] = {}
        self.kinds: dict[str, str] = {}

    def tensor(self, name: str, elements: int, kind: str = "temp") -> str:
        self.sizes[name], self.kinds[name] = 2 * max(1, elements), kind
        return name

    def op(self, op: str, reads: list[str], elements: int, flops: int, weight: int = 0) -> str:
        """Append an instruction with a weight of its own, if asked for; returns its output."""
        at = len(self.instructions)
        if weight:
            reads = [*reads, self.tensor(f"w{at}", weight, "weight")]
        out = self.tensor(f"t{at}", elements)
        self.instructions.append(Instruction(f"{op}.{at}", op, tuple(reads), (out,), flops))
        return out

    def conv(self, x: str, side: int, c_in: int, c_out: int, k: int, batch: int) -> str:
        elements = batch * side * side * c_out
        weight = k * k * c_in * c_out
        return self.op("conv", [x], elements, 2 * elements * k * k * c_in, weight)

    def done(self, result: str) -> Program:
        return Program(tuple(self.instructions), self.sizes, self.kinds, (result,), self.name)


def _batch(rng: np.random.Generator) -> int:
    return int(2 ** rng.integers(0, 4))


def conv_chain_program(num_layers: int, *, seed: Seed) -> Program:
    """A chain of convolutions with random widths, some of them halving the image."""
    _check("num_layers", num_layers)
    rng = np.random.default_rng(seed)
    b, batch, side, width = _Builder(_name("conv_chain", num_layers, seed)), _batch(rng), 64, 3
    x = b.tensor("x", batch * side * side * width, "input")
    for _ in range(num_layers):
        if side > 8 and rng.random() < 0.25:
            side //= 2
        wider = int(rng.choice([32, 64, 128, 256]))
        x = b.conv(x, side, width, wider, int(rng.choice([1, 3])), batch)
        width = wider
    return b.done(x)


def resnet_program(num_blocks: int, *, seed: Seed) -> Program:
    """Residual blocks of two 3 x 3 convolutions; every fourth one halves the image."""
    _check("num_blocks", num_blocks)
    rng = np.random.default_rng(seed)
    b, batch, side = _Builder(_name("resnet", num_blocks, seed)), _batch(rng), 56
    width = int(rng.choice([32, 48, 64]))
    x = b.tensor("x", batch * 3 * (2 * side) ** 2, "input")
    x = b.conv(x, side, 3, width, 7, batch)
    for block in range(num_blocks):
        wider, skip = width, x
        if block % 4 == 3:
            side, wider = max(side // 2, 4), 2 * width
            skip = b.conv(x, side, width, wider, 1, batch)
        y = b.conv(x, side, width, wider, 3, batch)
        y = b.conv(y, side, wider, wider, 3, batch)
        elements = batch * side * side * wider
        x = b.op("add", [y, skip], elements, elements)
        width = wider
    pooled = b.op("mean", [x], batch * width, batch * side * side * width)
    return b.done(b.op("linear", [pooled], batch * 1000, 2000 * batch * width, 1000 * width))


def unet_program(depth: int, *, seed: Seed) -> Program:
    """A contracting and an expanding path, joined by skips that live long."""
    _check("depth", depth)
    rng = np.random.default_rng(seed)
    b, batch, width = _Builder(_name("unet", depth, seed)), _batch(rng), int(rng.choice([16, 32]))
    side = 128
    x = b.tensor("x", batch * 3 * side * side, "input")
    x = b.conv(x, side, 3, width, 3, batch)
    skips = []
    for _ in range(depth):
        x = b.conv(x, side, width, width, 3, batch)
        skips.append((x, side, width))
        side, wider = max(side // 2, 4), min(2 * width, 512)
        x = b.conv(x, side, width, wider, 3, batch)
        width = wider
    for skip, at, narrow in reversed(skips):
        elements = batch * at * at * width
        x = b.op("upsample", [x], elements, elements)
        elements = batch * at * at * (width + narrow)
        x = b.op("concat", [x, skip], elements, 0)
        x = b.conv(x, at, width + narrow, narrow, 3, batch)
        width = narrow
    return b.done(b.conv(x, skips[0][1], width, 2, 1, batch))


def transformer_program(num_blocks: int, *, seed: Seed) -> Program:
    """Encoder blocks: attention and a feed-forward net of four times the width."""
    _check("num_blocks", num_blocks)
    rng = np.random.default_rng(seed)
    b, batch = _Builder(_name("transformer", num_blocks, seed)), _batch(rng)
    d, heads = int(rng.choice([256, 384, 512])), 8
    n = batch * int(rng.choice([64, 128, 256]))
    tokens = n // batch
    x = b.tensor("x", n * d, "input")
    for _ in range(num_blocks):
        y = b.op("norm", [x], n * d, 5 * n * d)
        q = b.op("linear", [y], 3 * n * d, 6 * n * d * d, 3 * d * d)
        scores = n * tokens * heads
        s = b.op("matmul", [q], scores, 2 * n * tokens * d)
        s = b.op("softmax", [s], scores, 5 * scores)
        y = b.op("matmul", [s, q], n * d, 2 * n * tokens * d)
        y = b.op("linear", [y], n * d, 2 * n * d * d, d * d)
        x = b.op("add", [x, y], n * d, n * d)
        y = b.op("norm", [x], n * d, 5 * n * d)
        y = b.op("linear", [y], 4 * n * d, 8 * n * d * d, 4 * d * d)
        y = b.op("gelu", [y], 4 * n * d, 8 * n * d)
        y = b.op("linear", [y], n * d, 8 * n * d * d, 4 * d * d)
        x = b.op("add", [x, y], n * d, n * d)
    return b.done(x)


def inception_program(num_blocks: int, *, seed: Seed) -> Program:
    """Blocks of four parallel branches of one to three convolutions, joined by a concatenation."""
    _check("num_blocks", num_blocks)
    rng = np.random.default_rng(seed)
    b, batch, side, width = _Builder(_name("inception", num_blocks, seed)), _batch(rng), 32, 64
    x = b.tensor("x", batch * 3 * side * side, "input")
    x = b.conv(x, side, 3, width, 3, batch)
    for block in range(num_blocks):
        ends, widths = [], []
        for branch in range(4):
            narrow = int(rng.choice([32, 64, 96]))
            y = b.conv(x, side, width, narrow, 1, batch)
            for _ in range(min(branch, 2)):
                y = b.conv(y, side, narrow, narrow, 3, batch)
            ends.append(y)
            widths.append(narrow)
        width = sum(widths)
        x = b.op("concat", ends, batch * side * side * width, 0)
        if block % 2 and side > 4:
            side //= 2
            x = b.op("pool", [x], batch * side * side * width, 4 * batch * side * side * width)
    return b.done(x)


def _mapped(program: Callable[..., Program]) -> Callable[..., MappingInstance]:
    def generator(size: int, *, seed: Seed, **options: Any) -> MappingInstance:
        return program(size, seed=seed).instance(**options)

    generator.__doc__ = f"{program.__doc__}\n\nOptions are those of ``Program.instance``."
    return generator


#: Name to the program that the generator of that name maps.
PROGRAMS: dict[str, Callable[..., Program]] = {
    "conv_chain": conv_chain_program,
    "resnet": resnet_program,
    "unet": unet_program,
    "transformer": transformer_program,
    "inception": inception_program,
}

GENERATORS: dict[str, Callable[..., Any]] = {
    "guillotine": guillotine,
    "lifetimes": lifetimes,
    **{name: _mapped(program) for name, program in PROGRAMS.items()},
}


def generate(
    size: int = 20, *, seed: Seed, kind: str = "guillotine", **options: Any
) -> AllocationInstance | MappingInstance:
    """A random instance.

    Args:
        size: Number of buffers, layers or blocks, at least 1.
        seed: Seed or generator.
        kind: One of :data:`GENERATORS`.
        **options: Those of the generator; for programs, those of ``Program.instance``.

    Raises:
        ValueError: If there is no such kind, or the generator refuses its arguments.
    """
    if kind not in GENERATORS:
        raise ValueError(f"unknown kind {kind!r}, expected one of: {', '.join(GENERATORS)}.")
    made: AllocationInstance | MappingInstance = GENERATORS[kind](size, seed=seed, **options)
    return made
