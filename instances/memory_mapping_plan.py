"""The referee of memory mapping: is a plan possible, how long does it take, and is that realistic.

:func:`validate` and :func:`objective` judge by the *ledger* (see ``memory_mapping.py``), which says
how many ticks of copying fall into each instruction. :func:`simulate` is a second opinion: it only
takes the order of the copies from the plan and lets them queue for the slow memory.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from .core import IntArray
from .memory_mapping_program import TEMP, MappingInstance, MappingSolution

_IN, _OUT = 0, 1


@dataclass
class _Stay:
    """A residency with what happens during it.

    Attributes:
        buffer: The buffer.
        first: First instruction.
        last: Last instruction.
        offset: In units.
        copied: Ticks copied, into and out of the fast memory.
        begin: First instruction with a copy, by direction.
        end: Last instruction with a copy, by direction.
    """

    buffer: int
    first: int
    last: int
    offset: int
    copied: list[int] = field(default_factory=lambda: [0, 0])
    begin: list[int] = field(default_factory=lambda: [-1, -1])
    end: list[int] = field(default_factory=lambda: [-1, -1])


def validate(instance: MappingInstance, solution: MappingSolution) -> None:
    """Check that a plan is possible.

    Raises:
        ValueError: Naming the first violated constraint.
    """
    _check_served(instance, solution.fast)
    stays = _stays(instance, solution)
    _check_space(instance, stays)
    _add_transfers(instance, solution, stays)
    of_buffer: list[list[_Stay]] = [[] for _ in range(instance.num_buffers)]
    for stay in sorted(stays, key=lambda stay: stay.first):
        of_buffer[stay.buffer].append(stay)
    accesses: list[list[tuple[int, bool, bool]]] = [[] for _ in range(instance.num_buffers)]
    for t, b, write, fast in zip(
        instance.access_instructions.tolist(),
        instance.access_buffers.tolist(),
        instance.access_writes.tolist(),
        solution.fast.tolist(),
        strict=True,
    ):
        accesses[b].append((t, bool(write), bool(fast)))
    for b in np.flatnonzero(instance.pinned == 0).tolist():
        _check_buffer(instance, b, accesses[b], of_buffer[b])


def _check_served(instance: MappingInstance, fast: IntArray) -> None:
    if fast.shape != (instance.num_accesses,):
        raise ValueError(f"fast {fast.shape}, expected {(instance.num_accesses,)}.")
    for k in np.flatnonzero((fast != 0) & (fast != 1)):
        raise ValueError(f"access {k}: fast {fast[k]}, expected 0 or 1.")
    for k in np.flatnonzero(~instance.is_free & (fast != 1)):
        raise ValueError(f"access {k}: fast 0, expected 1, since the buffer is pinned.")


def _stays(instance: MappingInstance, solution: MappingSolution) -> list[_Stay]:
    stays = []
    for r, (b, first, last, offset) in enumerate(solution.residencies.tolist()):
        if not 0 <= b < instance.num_buffers or instance.pinned[b]:
            raise ValueError(f"residency {r}: buffer {b}, expected one that is not pinned.")
        if not 0 <= first <= last < instance.num_instructions:
            raise ValueError(
                f"residency {r}: instructions {first}..{last}, expected within"
                f" 0..{instance.num_instructions - 1}."
            )
        highest = instance.capacity - int(instance.sizes[b])
        if not 0 <= offset <= highest:
            raise ValueError(f"residency {r}: offset {offset}, expected 0..{highest}.")
        stays.append(_Stay(b, first, last, offset))
    return stays


def _check_space(instance: MappingInstance, stays: list[_Stay]) -> None:
    """No two rectangles of instructions x units overlap, nor does a buffer lie in two places."""
    table = [(s.first, s.last, s.offset, s.offset + int(instance.sizes[s.buffer])) for s in stays]
    order = sorted(range(len(stays)), key=lambda r: table[r])
    live: list[int] = []
    for r in order:
        first, _, low, high = table[r]
        live = [q for q in live if table[q][1] >= first]
        for q in live:
            if table[q][2] < high and low < table[q][3]:
                raise ValueError(
                    f"instruction {first}: buffers {stays[q].buffer} [{table[q][2]}, {table[q][3]})"
                    f" and {stays[r].buffer} [{low}, {high}) overlap."
                )
            if stays[q].buffer == stays[r].buffer:
                raise ValueError(f"instruction {first}: buffer {stays[r].buffer} lies twice.")
        live.append(r)


def _add_transfers(
    instance: MappingInstance, solution: MappingSolution, stays: list[_Stay]
) -> None:
    for m, (r, t, ticks, way) in enumerate(solution.transfers.tolist()):
        if not 0 <= r < len(stays) or way not in (_IN, _OUT):
            raise ValueError(
                f"transfer {m}: residency {r}, direction {way}, expected 0..{len(stays) - 1} and"
                " 0 or 1."
            )
        stay = stays[r]
        if not stay.first <= t <= stay.last:
            raise ValueError(
                f"transfer {m}: instruction {t}, expected within those of residency {r},"
                f" {stay.first}..{stay.last}."
            )
        if ticks < 1:
            raise ValueError(f"transfer {m}: {ticks} ticks, expected >= 1.")
        stay.copied[way] += ticks
        stay.begin[way] = t if stay.begin[way] < 0 else min(stay.begin[way], t)
        stay.end[way] = max(stay.end[way], t)


def _check_buffer(
    instance: MappingInstance, b: int, accesses: list[tuple[int, bool, bool]], stays: list[_Stay]
) -> None:
    """The story of one buffer: where its content is, from access to access."""
    copy = int(instance.copy_times[b])
    defined = int(instance.definitions[b])
    saved_from = -1  # instruction after which the slow memory holds it; T: never
    if instance.kinds[b] == TEMP:
        write_is_fast = any(write and fast for _, write, fast in accesses)
        saved_from = instance.num_instructions if write_is_fast else defined
    for stay in stays:
        where = f"buffer {b}, residency {stay.first}..{stay.last}"
        born = stay.first <= defined <= stay.last
        inside = [(t, fast) for t, _, fast in accesses if stay.first <= t <= stay.last]
        for t, fast in inside:
            if not fast:
                raise ValueError(f"{where}: served by the slow memory in {t}, expected fast.")
        if born:
            if stay.first != defined or stay.copied[_IN]:
                raise ValueError(f"{where}: expected from its definition {defined} on, no copy in.")
        else:
            if defined > stay.last:
                raise ValueError(f"{where}: before its definition in {defined}.")
            if stay.copied[_IN] != copy:
                raise ValueError(f"{where}: {stay.copied[_IN]} ticks copied in, expected {copy}.")
            begin = stay.begin[_IN] if copy else stay.first
            if saved_from >= begin:
                raise ValueError(
                    f"{where}: copied in from {begin} on, expected after it is in the slow memory."
                )
            if inside and stay.end[_IN] >= inside[0][0]:
                raise ValueError(
                    f"{where}: copied in until {stay.end[_IN]}, expected before {inside[0][0]}."
                )
        if stay.copied[_OUT]:
            if not born or stay.copied[_OUT] != copy:
                raise ValueError(
                    f"{where}: {stay.copied[_OUT]} ticks copied out, expected {copy} of a new temp."
                )
            saved_from = min(saved_from, stay.end[_OUT])
        elif born and copy == 0:
            saved_from = min(saved_from, stay.last)
    for t, write, fast in accesses:
        covered = any(stay.first <= t <= stay.last for stay in stays)
        if fast and not covered:
            raise ValueError(f"instruction {t}: buffer {b} is not in the fast memory.")
        if not fast and not write and saved_from >= t:
            raise ValueError(f"instruction {t}: buffer {b} is not in the slow memory.")
    if instance.results[b] and saved_from >= instance.num_instructions:
        raise ValueError(f"buffer {b}: a result, expected in the slow memory at the end.")


def ledger(instance: MappingInstance, solution: MappingSolution) -> IntArray:
    """What keeps each instruction busy.

    Returns:
        ``(T, 4)`` ticks: compute, slow accesses, fast accesses, copies.
    """
    rows = np.zeros((instance.num_instructions, 4), dtype=np.int64)
    rows[:, 0] = instance.compute_times
    slow = solution.fast == 0
    undecided = solution.fast < 0
    served = np.where(slow | undecided, instance.slow_times, instance.fast_times)
    column = np.where(slow | undecided, 1, 2)
    np.add.at(rows, (instance.access_instructions, column), served)
    np.add.at(rows[:, 3], solution.transfers[:, 1], solution.transfers[:, 2])
    return rows


def durations(instance: MappingInstance, solution: MappingSolution) -> IntArray:
    """``(T,)`` ticks of each instruction: ``max(c_t, slow_t + fast_t, slow_t + copies_t)``."""
    compute, slow, fast, copies = ledger(instance, solution).T
    taken: IntArray = np.maximum(compute, slow + np.maximum(fast, copies))
    return taken


def objective(instance: MappingInstance, solution: MappingSolution) -> int:
    """The time of the program under a plan, in ticks.

    Raises:
        ValueError: If the plan is not possible.
    """
    validate(instance, solution)
    return int(durations(instance, solution).sum())


def lower_bound(instance: MappingInstance) -> int:
    """The larger of two bounds.

    Everything in the fast memory, but for the weights and inputs of the first instruction, which
    nothing could have copied before (unless that takes no time); and the traffic that the slow
    memory cannot avoid: every weight and input that is used once, every result once.
    """
    fast = np.where(
        instance.is_free, np.minimum(instance.fast_times, instance.slow_times), instance.fast_times
    )
    first = instance.is_free & (instance.access_instructions == 0) & (instance.access_writes == 0)
    first &= instance.copy_times[instance.access_buffers] > 0
    fast[first] = instance.slow_times[first]
    memory = np.zeros(instance.num_instructions, dtype=np.int64)
    np.add.at(memory, instance.access_instructions, fast)
    least = int(np.maximum(memory, instance.compute_times).sum())
    traffic = 0
    used = np.unique(instance.access_buffers[instance.is_free])
    cheapest = np.full(instance.num_buffers, np.iinfo(np.int64).max)
    np.minimum.at(cheapest, instance.access_buffers, instance.slow_times)
    for b in used.tolist():
        if instance.kinds[b] != TEMP or instance.results[b]:
            traffic += min(int(instance.copy_times[b]), int(cheapest[b]))
    return max(least, traffic)


def upper_bound(instance: MappingInstance) -> int:
    """All in the slow memory, and every temp copied out besides: no sensible plan takes longer."""
    written = instance.access_buffers[(instance.access_writes == 1) & instance.is_free]
    return instance.slow_total + int(instance.copy_times[written].sum())


def metrics(instance: MappingInstance, solution: MappingSolution) -> dict[str, float]:
    """Rates of a plan.

    Returns:
        ``score``: (all slow - time) / (all slow - all fast); ``speedup``: all slow / time;
        ``seconds``; ``fast_share`` of the accesses that are not pinned; ``copies`` into and
        ``write_backs`` out of the fast memory; ``peak_occupancy``: of the capacity; and
        ``simulated``: time of :func:`simulate` divided by that of the ledger.
    """
    taken = int(durations(instance, solution).sum())
    most, least = instance.slow_total, instance.fast_total
    free = instance.is_free
    used = np.zeros(instance.num_instructions + 1, dtype=np.int64)
    stays = solution.residencies
    np.add.at(used, stays[:, 1], instance.sizes[stays[:, 0]])
    np.subtract.at(used, stays[:, 2] + 1, instance.sizes[stays[:, 0]])
    moved = [np.unique(solution.transfers[solution.transfers[:, 3] == way, 0]) for way in (0, 1)]
    return {
        "score": (most - taken) / (most - least) if most > least else 0.0,
        "speedup": most / taken if taken else 1.0,
        "seconds": taken * instance.tick,
        "fast_share": float(solution.fast[free].mean()) if free.any() else 0.0,
        "copies": float(len(moved[0])),
        "write_backs": float(len(moved[1])),
        "peak_occupancy": float(np.cumsum(used).max() / instance.capacity),
        "simulated": simulate(instance, solution) / taken if taken else 1.0,
    }


# The second opinion.


class _Queues:
    """Copies waiting for the slow memory: one queue into the fast memory and one out of it.

    Each queue is served in the order in which its copies begin in the plan; where both have work,
    they share what the instructions leave.
    """

    def __init__(self) -> None:
        self.waiting: tuple[deque[list[float]], deque[list[float]]] = (deque(), deque())

    def push(self, way: int, stay: int, ticks: int) -> None:
        self.waiting[way].append([stay, ticks])

    def serve(self, ticks: float) -> None:
        """Give the copies so many ticks of the slow memory."""
        while ticks > 1e-9:
            heads = [queue[0] for queue in self.waiting if queue]
            if not heads:
                return
            step = min(ticks / len(heads), *(head[1] for head in heads))
            for head in heads:
                head[1] -= step
            ticks -= step * len(heads)
            for queue in self.waiting:
                if queue and queue[0][1] <= 1e-9:
                    queue.popleft()

    def wait_for(self, way: int, stay: int) -> float:
        """Ticks until a copy has ended, which pass here."""
        passed = 0.0
        while any(entry[0] == stay for entry in self.waiting[way]):
            heads = [queue[0] for queue in self.waiting if queue]
            step = min(head[1] for head in heads) * len(heads)
            self.serve(step)
            passed += step
        return passed


def simulate(instance: MappingInstance, solution: MappingSolution) -> float:
    """Ticks of the program if copies queue for the slow memory.

    A copy enters its queue when the instruction of its first transfer begins. Accesses of the
    running instruction go first; what is left of the slow memory while it runs serves the queues.
    An instruction waits for the copies of the buffers that it reads, a buffer's place in the fast
    memory is only given up when its copy out has ended, and so does the program.
    """
    enter: dict[int, list[tuple[int, int, int]]] = {}
    due: dict[int, list[tuple[int, int]]] = {}
    copies: dict[tuple[int, int], tuple[int, int]] = {}
    for r, t, ticks, way in solution.transfers.tolist():
        first, total = copies.get((r, way), (t, 0))
        copies[r, way] = min(first, t), total + ticks
    for (r, way), (first, ticks) in sorted(copies.items(), key=lambda item: item[1][0]):
        enter.setdefault(first, []).append((way, r, ticks))
        b, _, last, _ = solution.residencies[r].tolist()
        if way == _OUT:
            due.setdefault(last + 1, []).append((way, r))
            continue
        uses = instance.access_instructions[instance.access_buffers == b]
        due.setdefault(int(uses[uses > first].min()), []).append((way, r))
    queues, time = _Queues(), 0.0
    rows = ledger(instance, solution).tolist()
    for t, (compute, slow, fast, _) in enumerate(rows):
        time += sum(queues.wait_for(way, r) for way, r in due.get(t, ()))
        for way, r, ticks in enter.get(t, ()):
            queues.push(way, r, ticks)
        busy = max(compute, slow + fast)
        queues.serve(busy - slow)
        time += busy
    return time + sum(queues.wait_for(way, r) for way, r in due.get(len(rows), ()))
