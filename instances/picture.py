"""What a solution looks like, as plain data: boxes on a plane.

Every family describes its picture once, in ``instances/<family>.py``; text, PNG and interactive
HTML are three ways of drawing the same data (``envs/render.py``). A Gantt chart has lanes
(machines) on the vertical axis and time on the horizontal one; a memory map has addresses instead
of lanes.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Box:
    """A labelled rectangle.

    Attributes:
        x: Left edge.
        y: Lower edge; the index of the lane where the picture has lanes.
        width: Extent along the horizontal axis, at least 0.
        height: Extent along the vertical axis; 1 fills a lane.
        group: Boxes of one group share a colour, e.g. the job.
        label: Short text drawn inside when it fits, and shown on hover.
        detail: Longer text shown on hover.
    """

    x: float
    y: float
    width: float
    height: float = 1.0
    group: int = 0
    label: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Picture:
    """Boxes with their axes.

    Attributes:
        title: One line, with the figure that matters, e.g. ``"ft06: makespan 55"``.
        x_label: Name and unit of the horizontal axis.
        y_label: Name of the vertical axis.
        boxes: The rectangles.
        lanes: Names of the lanes from top to bottom; empty where the vertical axis is a number.
        marks: Vertical lines, as (position, label), e.g. a lower bound.
        group_name: What a group is, e.g. ``"job"``.
        arrows: From where to where something moves, as (x, y, x, y); not drawn as text.
    """

    title: str
    x_label: str
    y_label: str
    boxes: tuple[Box, ...]
    lanes: tuple[str, ...] = ()
    marks: tuple[tuple[float, str], ...] = field(default=())
    group_name: str = "group"
    arrows: tuple[tuple[float, float, float, float], ...] = ()
