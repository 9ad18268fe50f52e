"""Pictures of memories: time from left to right, addresses upwards."""

from __future__ import annotations

import numpy as np

from .memory_mapping_allocation import AllocationInstance, AllocationSolution
from .memory_mapping_plan import ledger
from .memory_mapping_program import MappingInstance, MappingSolution
from .picture import Box, Picture

_COLOURS = 20
#: Groups of the ledger's boxes: compute, slow accesses, fast accesses, copies.
_LEDGER = (("compute", 9), ("slow", 3), ("fast", 0), ("copies", 7))


def allocation_picture(instance: AllocationInstance, solution: AllocationSolution) -> Picture:
    """Every placed buffer as a rectangle of lifetime x addresses."""
    offsets = solution.offsets
    placed = np.flatnonzero(offsets >= 0).tolist()
    boxes = [
        Box(
            x=int(instance.lowers[i]),
            y=int(offsets[i]),
            width=int(instance.uppers[i] - instance.lowers[i]),
            height=int(instance.sizes[i]),
            group=i % _COLOURS,
            label=instance.label(i),
            detail=f"buffer {instance.label(i)}: [{instance.lowers[i]}, {instance.uppers[i]}),"
            f" bytes [{offsets[i]}, {offsets[i] + instance.sizes[i]})",
        )
        for i in placed
    ]
    peak = max((int(offsets[i] + instance.sizes[i]) for i in placed), default=0)
    limit = f", capacity {instance.capacity}" if instance.capacity else ""
    return Picture(
        title=f"{instance.name or 'buffers'}: peak {peak}, load {instance.load}{limit},"
        f" {len(placed)} of {instance.num_buffers} placed",
        x_label="time",
        y_label="address",
        boxes=tuple(boxes),
        group_name="buffer",
    )


def mapping_picture(instance: MappingInstance, solution: MappingSolution) -> Picture:
    """The fast memory over the time of the plan, and the ledger of each instruction below."""
    rows = ledger(instance, solution)
    taken = np.maximum(rows[:, 0], rows[:, 1] + np.maximum(rows[:, 2], rows[:, 3]))
    begin = np.concatenate([[0], np.cumsum(taken)])
    boxes = []
    for b, first, last, offset in solution.residencies.tolist():
        size = int(instance.sizes[b])
        detail = f"buffer {b}: instructions {first}..{last}, units [{offset}, {offset + size})"
        left, right = int(begin[first]), int(begin[last + 1])
        boxes.append(Box(left, offset, right - left, size, b % _COLOURS, str(b), detail))
    strip = instance.capacity / 20
    for t, row in enumerate(rows.tolist()):
        for lane, ((what, group), ticks) in enumerate(zip(_LEDGER, row, strict=True)):
            if ticks:
                detail = f"instruction {t}: {what} {ticks} of {taken[t]} ticks"
                low = -(lane + 1) * strip
                boxes.append(Box(int(begin[t]), low, ticks, 0.9 * strip, group, "", detail))
    total, most = int(taken.sum()), instance.slow_total
    return Picture(
        title=f"{instance.name or 'program'}: {total} ticks, {most} all slow,"
        f" {instance.fast_total} all fast",
        x_label="ticks",
        y_label="unit; below: compute, slow, fast, copies",
        boxes=tuple(boxes),
        group_name="buffer",
    )
