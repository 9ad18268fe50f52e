"""What a plan looks like: the nodes it touches, before and after, and its moves in between."""

from __future__ import annotations

from .picture import Box, Picture
from .vm_rescheduling_model import VMReschedulingInstance, VMReschedulingSolution

#: So many nodes are drawn at most: those that the plan touches, in its order, then others.
_LANES = 40
#: Colours: VMs that stay, VMs that move, and what is marked as a slot.
_STAYS, _MOVES = 9, 1


def picture(
    instance: VMReschedulingInstance, solution: VMReschedulingSolution, rate: float
) -> Picture:
    """One lane per node; on the left the VMs before the plan, on the right those after it."""
    lanes = _lanes(instance, solution)
    width = int(instance.pm_cores.max())
    shift = width + max(4, width // 4)
    moved = set(solution.moves[:, 0].tolist())
    places = list(zip(instance.vm_pm.tolist(), instance.vm_node.tolist(), strict=True))
    before, boxes = _side(instance, places, lanes, moved, 0)
    for vm, pm, node in solution:
        places[vm] = (pm, node)
    after, right = _side(instance, places, lanes, moved, shift)
    arrows = tuple((*before[vm], *after[vm]) for vm in sorted(moved & before.keys() & after.keys()))
    return Picture(
        title=f"{instance.name or 'cluster'}: fragment rate {rate:.4f} after"
        f" {len(solution.moves)} of {instance.mnl} moves",
        x_label=f"cores before, and after from {shift}",
        y_label="node",
        boxes=tuple(boxes + right),
        lanes=tuple(f"{instance.pm_name(pm)}/{node}" for pm, node in lanes),
        marks=((float(width), "before"), (float(shift), "after")),
        group_name="VM",
        arrows=arrows,
    )


def _lanes(
    instance: VMReschedulingInstance, solution: VMReschedulingSolution
) -> list[tuple[int, int]]:
    """The nodes to draw: those of the PMs that the plan touches, then the first others."""
    places = instance.vm_pm.copy()
    pms: dict[int, None] = {}
    for vm, pm, _ in solution:
        pms.setdefault(int(places[vm]))
        pms.setdefault(pm)
        places[vm] = pm
    for pm in range(instance.num_pms):
        pms.setdefault(pm)
    return [(pm, node) for pm in list(pms)[: _LANES // 2] for node in (0, 1)]


def _side(
    instance: VMReschedulingInstance,
    places: list[tuple[int, int]],
    lanes: list[tuple[int, int]],
    moved: set[int],
    shift: int,
) -> tuple[dict[int, tuple[float, float]], list[Box]]:
    """Middles of the moved VMs, and the boxes of all VMs in the lanes."""
    lane_of = {place: lane for lane, place in enumerate(lanes)}
    filled = [0] * len(lanes)
    middles: dict[int, tuple[float, float]] = {}
    boxes = []
    for vm, (pm, node) in enumerate(places):
        if (pm, 0) not in lane_of:
            continue
        cores = int(instance.vm_cores[vm])
        for k in (0, 1) if node < 0 else (node,):
            lane = lane_of[pm, k]
            x = shift + filled[lane]
            filled[lane] += cores
            detail = f"{instance.vm_name(vm)}: {cores} cores on {instance.pm_name(pm)}, node {k}"
            group = _MOVES if vm in moved else _STAYS
            label = str(vm) if vm in moved else ""
            boxes.append(Box(x, lane, cores, 1.0, group, label, detail))
            if vm in moved:
                middles.setdefault(vm, (x + cores / 2, lane + 0.5))
    return middles, boxes
