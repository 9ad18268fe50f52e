"""Three ways to draw a picture: text, pixels, and an interactive page.

Families describe a solution as boxes on a plane (``instances/picture.py``); nothing here knows
what the boxes mean. Plotting libraries are imported inside the functions that need them.
"""

from __future__ import annotations

import base64
import gzip
import html as markup
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..instances.picture import Box, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = npt.NDArray[np.uint8]

# Strong colours first; the last ten are lighter or darker relatives of the first ten.
_COLOURS = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1"),
    *("#edc948", "#76b7b2", "#ff9da7", "#9c755f", "#bab0ac"),
    *("#a0cbe8", "#ffbe7d", "#8cd17d", "#d37295", "#d4a6c8"),
    *("#b6992d", "#499894", "#fabfd2", "#d7b5a6", "#79706e"),
)


def colour(group: int) -> str:
    """The colour of a group, ``"#rrggbb"``; neighbours differ clearly.

    The first twenty are chosen by hand; those that follow walk around the hue circle by the
    golden angle, in three shades.
    """
    if 0 <= group < len(_COLOURS):
        return _COLOURS[group]
    import colorsys

    hue = group * 0.6180339887498949 % 1
    lightness = (0.45, 0.62, 0.76)[group % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.55)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _is_light(code: str) -> bool:
    red, green, blue = (int(code[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue > 140


def _extent(picture: Picture) -> tuple[float, float, float, float]:
    """``(left, right, bottom, top)`` of the boxes and marks; never empty."""
    lefts = [box.x for box in picture.boxes]
    rights = [box.x + box.width for box in picture.boxes]
    marks = [position for position, _ in picture.marks]
    left, right = min([0.0, *lefts, *marks]), max([0.0, *rights, *marks])
    bottom = min([0.0, *(box.y for box in picture.boxes)])
    top = max([0.0, *(box.y + box.height for box in picture.boxes)])
    if picture.lanes:
        bottom, top = 0.0, float(len(picture.lanes))
    return left, right if right > left else left + 1, bottom, top if top > bottom else bottom + 1


# Text.

_BARS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Rows of a text picture whose vertical axis is a number.
_ROWS = 20


def ansi(picture: Picture, width: int = 100) -> str:
    """The picture as text: one line per lane, one character per stretch of the horizontal axis.

    A box shows its label where it fits, else a sign of its group (``#`` beyond 62); ``.`` is
    empty, ``|`` a mark.

    Args:
        picture: What to draw.
        width: Number of columns, at least 20.
    """
    left, right, bottom, top = _extent(picture)
    names = list(picture.lanes) or [
        f"{top - (row + 0.5) * (top - bottom) / _ROWS:.4g}" for row in range(_ROWS)
    ]
    margin = min(max([len(name) for name in names], default=0), max(width // 3, 1))
    columns = max(width - margin - 3, 10)
    rows = [["."] * columns for _ in names]
    scale = columns / (right - left)
    for box in picture.boxes:
        first = min(int((box.x - left) * scale), columns - 1)
        last = min(max(int((box.x + box.width - left) * scale), first + 1), columns)
        for row in _rows_of(box, picture, bottom, top):
            rows[row][first:last] = _bar(box, last - first)
    for position, _ in picture.marks:
        column = min(int((position - left) * scale), columns - 1)
        for cells in rows:
            if cells[column] == ".":
                cells[column] = "|"
    lines = [picture.title]
    lines += [
        f"{name[:margin]:>{margin}} |{''.join(cells)}|"
        for name, cells in zip(names, rows, strict=True)
    ]
    ends = f"{left:g}", f"{right:g}"
    label = picture.x_label.center(max(columns - len(ends[0]) - len(ends[1]), 0))
    lines.append(f"{'':>{margin}}  {ends[0]}{label[:columns]}{ends[1]}")
    lines += [f"{'':>{margin}}  | {text}" for _, text in picture.marks]
    return "\n".join(lines)


def _rows_of(box: Box, picture: Picture, bottom: float, top: float) -> range:
    """The text rows that a box covers, at least one."""
    if picture.lanes:
        return range(int(box.y), math.ceil(box.y + box.height))
    scale = _ROWS / (top - bottom)
    first = min(int((top - box.y - box.height) * scale), _ROWS - 1)
    return range(first, max(int((top - box.y) * scale), first + 1))


def _bar(box: Box, length: int) -> list[str]:
    sign = _BARS[box.group] if 0 <= box.group < len(_BARS) else "#"
    if length > len(box.label) + 1 and box.label:  # edges show where one box ends
        return list(f"[{box.label.center(length - 2, '-')}]" if length > 2 else box.label)
    return [sign] * length


# Pixels.


def _drawn(picture: Picture, size: tuple[int, int]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    width, height = size
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    left, right, bottom, top = _extent(picture)
    corners = [_corners(box) for box in picture.boxes]
    faces = [colour(box.group) for box in picture.boxes]
    axes.add_collection(
        PolyCollection(corners, facecolors=faces, edgecolors="white", linewidths=0.4)
    )
    for position, text in picture.marks:
        axes.axvline(position, color="black", linestyle="--", linewidth=1)
        axes.annotate(
            text, (position, 1), xycoords=("data", "axes fraction"), fontsize=8,
            ha="right", va="bottom",
        )  # fmt: skip
    for x0, y0, x1, y1 in picture.arrows:
        axes.annotate("", (x1, y1), (x0, y0), arrowprops={"arrowstyle": "->", "linewidth": 0.8})
    margin = 0.01 * (right - left)
    axes.set_xlim(left, right + margin)
    axes.set_ylim(bottom, top)
    if picture.lanes:
        axes.invert_yaxis()
        step = math.ceil(len(picture.lanes) / (height / 14))
        ticks = range(0, len(picture.lanes), step)
        axes.set_yticks([i + 0.5 for i in ticks], [picture.lanes[i] for i in ticks], fontsize=8)
    axes.set_xlabel(picture.x_label)
    axes.set_ylabel(picture.y_label)
    axes.set_title(picture.title, loc="left", fontsize=10, pad=14 if picture.marks else 6)
    _write_labels(axes, picture, size)
    return figure


def _corners(box: Box) -> list[tuple[float, float]]:
    x0, x1, y0, y1 = box.x, box.x + box.width, box.y, box.y + box.height
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _write_labels(axes: Any, picture: Picture, size: tuple[int, int]) -> None:
    """Write the labels that fit into their boxes at 7 points (some 6 x 10 pixels a letter)."""
    left, right, bottom, top = _extent(picture)
    across, along = 0.85 * size[0] / (right - left), 0.8 * size[1] / (top - bottom)
    for box in picture.boxes:
        if box.label and box.width * across > 6 * len(box.label) + 2 and box.height * along > 10:
            axes.text(
                box.x + box.width / 2, box.y + box.height / 2, box.label, fontsize=7,
                ha="center", va="center", clip_on=True, parse_math=False,
                color="black" if _is_light(colour(box.group)) else "white",
            )  # fmt: skip


def rgb_array(picture: Picture, size: tuple[int, int] = (960, 540)) -> Pixels:
    """The picture as an image.

    Args:
        picture: What to draw.
        size: Width and height, in pixels.

    Returns:
        ``(height, width, 3)`` uint8.
    """
    figure = _drawn(picture, size)
    figure.canvas.draw()
    image: Pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    return image


def png(picture: Picture, size: tuple[int, int] = (1440, 810)) -> bytes:
    """The picture as a PNG file of ``size`` pixels."""
    buffer = io.BytesIO()
    _drawn(picture, size).savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


# An interactive page.


def figure_data(picture: Picture) -> dict[str, Any]:
    """The picture as plain data of a plotly figure, ``{"data": ..., "layout": ...}``.

    All boxes are one trace of horizontal bars, which stays quick with thousands of them; plotly
    hides the labels that do not fit.
    """
    boxes = picture.boxes
    left, right, bottom, top = _extent(picture)
    colours = [colour(box.group) for box in boxes]
    bars = {
        "type": "bar",
        "orientation": "h",
        "base": [_number(box.x) for box in boxes],
        "x": [_number(box.width) for box in boxes],
        "y": [_number(box.y + box.height / 2) for box in boxes],
        "width": [_number(box.height) for box in boxes],
        "text": [_plain(box.label) for box in boxes],
        "hovertext": [_plain(box.detail or box.label) for box in boxes],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "insidetextfont": {"color": ["#000" if _is_light(code) else "#fff" for code in colours]},
        "marker": {"color": colours, "line": {"width": 0.5, "color": "rgba(255,255,255,0.7)"}},
        "showlegend": False,
    }
    y_axis: dict[str, Any] = {"title": {"text": _plain(picture.y_label)}}
    if picture.lanes:
        y_axis["range"] = [top, bottom]
        y_axis["tickvals"] = [lane + 0.5 for lane in range(len(picture.lanes))]
        y_axis["ticktext"] = [_plain(name) for name in picture.lanes]
    else:
        y_axis["range"] = [bottom, top]
    layout = {
        "title": {"text": _plain(picture.title)},
        "xaxis": {
            "title": {"text": _plain(picture.x_label)},
            "range": [left, right + 0.01 * (right - left)],
        },
        "yaxis": y_axis,
        "barmode": "overlay",
        "uniformtext": {"mode": "hide", "minsize": 8},
        "dragmode": "zoom",
        "hovermode": "closest",
        "margin": {"l": 60, "r": 20, "t": 60, "b": 50},
        "shapes": [_mark_line(position) for position, _ in picture.marks],
        "annotations": [
            *[_mark_text(*mark) for mark in picture.marks],
            *[_arrow(*arrow) for arrow in picture.arrows],
        ],
    }
    return {"data": [bars], "layout": layout}


def _plain(text: str) -> str:
    """A text that plotly, which understands some HTML, shows as it is."""
    return markup.escape(text, quote=False)


def _number(value: float) -> float:
    """The value as an int where it is one: shorter in a page."""
    return int(value) if value == int(value) else value


def _mark_line(position: float) -> dict[str, Any]:
    line = {"dash": "dash", "width": 1.5, "color": "#888"}
    return {
        "type": "line", "x0": position, "x1": position, "y0": 0, "y1": 1, "yref": "paper",
        "line": line,
    }  # fmt: skip


def _mark_text(position: float, text: str) -> dict[str, Any]:
    return {
        "x": position, "y": 1, "yref": "paper", "text": _plain(text), "showarrow": False,
        "xanchor": "right", "yanchor": "bottom",
    }  # fmt: skip


def _arrow(x0: float, y0: float, x1: float, y1: float) -> dict[str, Any]:
    return {
        "ax": x0, "ay": y0, "axref": "x", "ayref": "y", "x": x1, "y": y1, "xref": "x", "yref": "y",
        "text": "", "showarrow": True, "arrowhead": 2, "arrowwidth": 1, "arrowcolor": "#333",
    }  # fmt: skip


def figure(picture: Picture) -> Any:
    """The picture as a plotly figure, to be shown in a notebook or changed further."""
    import plotly.graph_objects as go

    return go.Figure(figure_data(picture))


def html(picture: Picture) -> str:
    """The picture as one self-contained page: zoom by dragging, details on hover, no network."""
    body = '<main><div id="picture" style="height:88vh"></div></main>'
    script = "load('figure').then(f => draw('picture', f));"
    return page(picture.title, body, script, {"figure": figure_data(picture)})


_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --dim: #5d6670; --line: #d8dde3;
  --soft: #f4f6f8; --accent: #2463b0; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e6e9ed; --dim: #9aa4af;
  --line: #343a42; --soft: #1e2329; --accent: #7fb2f0; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 0.5rem 1rem 3rem; }
"""

# Plotly is kept compressed, which makes it a third of its size.
_SCRIPT = """
const unpack = async id => {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent.trim()),
    c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
};
const loaded = {};
const load = id => loaded[id] ??= unpack(id).then(JSON.parse);
const library = unpack('plotly').then(code => {
  const script = document.createElement('script');
  script.textContent = code;
  document.head.append(script);
});
const dark = matchMedia('(prefers-color-scheme: dark)');
const themed = layout => {
  const style = getComputedStyle(document.documentElement);
  const [paper, ink, line] = ['--paper', '--ink', '--line'].map(v => style.getPropertyValue(v));
  const axis = {gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true};
  return {paper_bgcolor: paper, plot_bgcolor: paper, font: {color: ink}, ...layout,
    xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis}};
};
const buttons = [['zoom2d', 'pan2d', 'zoomIn2d', 'zoomOut2d', 'resetScale2d', 'toImage']];
const drawn = {};
const draw = async (id, figure) => {
  await library;
  drawn[id] = figure;
  await Plotly.react(id, figure.data, themed(figure.layout),
    {responsive: true, displaylogo: false, modeBarButtons: buttons, ...figure.config});
};
dark.addEventListener('change', () => Object.entries(drawn).forEach(([id, f]) => draw(id, f)));
"""

# Nothing may be loaded from anywhere: the browser itself enforces it.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


def packed(text: str) -> str:
    """A text, compressed by gzip and in base64, as :func:`page` embeds its data."""
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def page(
    title: str, body: str, script: str, data: Mapping[str, Any], style: str | Sequence[str] = ()
) -> str:
    """A self-contained page that can draw plotly figures.

    Args:
        title: Title of the page; escaped here.
        body: Its HTML.
        script: JavaScript; ``await load(name)`` gives a part of ``data``, ``draw(id, figure)``
            draws a figure into an element, in the light or the dark of the reader's system.
        data: Plain data by name, embedded compressed.
        style: Further CSS.
    """
    from plotly.offline import get_plotlyjs

    blocks = {"plotly": packed(get_plotlyjs())}
    blocks |= {
        name: packed(json.dumps(value, separators=(",", ":"))) for name, value in data.items()
    }
    embedded = "\n".join(
        f'<script type="text/plain" id="{name}">{text}</script>' for name, text in blocks.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{markup.escape(title)}</title>
<style>{_STYLE}{style if isinstance(style, str) else "".join(style)}</style>
</head>
<body>
{body}
{embedded}
<script>{_SCRIPT}{script}</script>
</body>
</html>
"""
