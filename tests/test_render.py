import base64
import gzip
import json
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

import gapgym
from gapgym.envs import render
from gapgym.instances import Box, Picture, job_shop
from gapgym.instances.job_shop import JobShopSolution


def sequential(instance):
    """The schedule that works on one operation at a time, job by job."""
    ends = np.cumsum(instance.durations).reshape(instance.durations.shape)
    return JobShopSolution(ends - instance.durations)


@pytest.fixture
def shop():
    return gapgym.load("job_shop/ft06")


@pytest.fixture
def full(shop):
    return job_shop.picture(shop, sequential(shop))


@pytest.fixture
def partial(shop):
    start = sequential(shop).start.copy()
    start[3:] = -1
    return job_shop.picture(shop, JobShopSolution(start))


@pytest.fixture
def memory_map():
    """Addresses instead of lanes, and fractions of a unit."""
    boxes = [
        Box(0, 0, 4, 1024, 0, "a", "buffer a: [0, 4)"),
        Box(2.5, 1024, 3, 512.5, 1, "b", "buffer b"),
        Box(6, 0, 0, 2048, 2, "c", "buffer c"),
    ]
    return Picture("peak 2048", "step", "address", tuple(boxes), marks=((3, "peak"),))


def embedded(page, name):
    """A data block of a page, as a browser inflates it."""
    text = re.search(rf'<script type="text/plain" id="{name}">([^<]*)</script>', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(text)))


def lanes_of(text):
    return re.findall(r"^ *\d+ \|(.*)\|$", text, re.MULTILINE)


@pytest.mark.parametrize("which", ["full", "partial"])
def test_text_shows_when_each_machine_works(which, shop, request):
    picture = request.getfixturevalue(which)
    marks = [picture.marks[0][0]]
    end = int(max(box.x + box.width for box in picture.boxes))
    text = render.ansi(picture, width=end + 4)  # one character per tick
    busy = np.zeros((shop.num_machines, end), dtype=bool)
    for box in picture.boxes:
        busy[box.y, box.x : box.x + box.width] = True
    drawn = np.array([[sign not in ".|" for sign in line] for line in lanes_of(text)])
    np.testing.assert_array_equal(drawn, busy)
    assert text.startswith(picture.title)
    assert f"lower bound {marks[0]}" in text


def test_text_has_no_line_longer_than_asked(full, memory_map):
    for picture in (full, memory_map):
        for width in (20, 33, 100, 250):
            lines = render.ansi(picture, width=width).splitlines()
            drawn = [line for line in lines if line.endswith("|")]
            assert len(drawn) in (6, 20)
            assert {len(line) for line in drawn} == {width}


def test_text_of_addresses_has_the_highest_on_top(memory_map):
    lines = render.ansi(memory_map, width=60).splitlines()[1:21]
    assert "c" not in lines[0].partition("|")[2].rstrip("|")[:-1]  # a box without width is a line
    assert "[" not in lines[0]
    assert "a" in lines[19]


def pixels(image, code):
    rgb = [int(code[i : i + 2], 16) for i in (1, 3, 5)]
    return int((image == rgb).all(axis=2).sum())


def test_pixels_show_each_job_in_its_colour_in_proportion_to_its_time(full):
    image = render.rgb_array(full, size=(800, 400))
    assert image.shape == (400, 800, 3)
    assert image.dtype == np.uint8
    work = np.zeros(6)
    for box in full.boxes:
        work[box.group] += box.width
    area = np.array([pixels(image, render.colour(job)) for job in range(6)])
    np.testing.assert_allclose(area / area.sum(), work / work.sum(), atol=0.03)


def test_pixels_of_a_partial_schedule_show_only_what_is_scheduled(partial):
    image = render.rgb_array(partial)
    assert image.shape == (540, 960, 3)
    assert all(pixels(image, render.colour(job)) > 100 for job in range(3))
    assert not any(pixels(image, render.colour(job)) for job in range(3, 6))


def test_pixels_without_lanes_have_the_first_address_at_the_bottom(memory_map):
    image = render.rgb_array(memory_map)
    rgb = [int(render.colour(0)[i : i + 2], 16) for i in (1, 3, 5)]
    rows = np.flatnonzero((image == rgb).all(axis=2).any(axis=1))
    assert rows.mean() > 270  # the lower half


def test_png_is_a_picture_of_the_size_asked(full):
    data = render.png(full, size=(640, 360))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(data[i : i + 4]) for i in (16, 20)] == [640, 360]


def test_drawing_leaves_pyplot_alone():
    script = (
        "import sys; from gapgym.envs import render; from gapgym.instances import Box, Picture;"
        "assert 'matplotlib' not in sys.modules and 'plotly' not in sys.modules;"
        "render.rgb_array(Picture('', '', '', (Box(0, 0, 1),)));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("which", ["full", "partial", "memory_map"])
def test_page_holds_every_box_and_loads_nothing(which, request):
    picture = request.getfixturevalue(which)
    page = render.html(picture)
    assert "http" not in re.sub(r'<script type="text/plain".*?</script>', "", page).replace(
        "http-equiv", ""
    )
    bars = embedded(page, "figure")["data"][0]
    assert bars["base"] == [box.x for box in picture.boxes]
    assert bars["x"] == [box.width for box in picture.boxes]
    assert bars["hovertext"] == [box.detail for box in picture.boxes]
    assert bars["width"] == [box.height for box in picture.boxes]
    centres = np.array(bars["y"]) - np.array(bars["width"]) / 2
    np.testing.assert_allclose(centres, [box.y for box in picture.boxes])


def test_page_embeds_the_plotting_library(full):
    from plotly.offline import get_plotlyjs

    page = render.html(full)
    text = re.search(r'id="plotly">([^<]*)<', page)[1]
    assert gzip.decompress(base64.b64decode(text)).decode() == get_plotlyjs()
    assert len(page) < 3_000_000


def test_names_cannot_inject_markup():
    box = Box(0, 0, 1, label="<b>", detail="<img src=x onerror=alert(1)>")
    picture = Picture("</title><script>", "<i>", "&", (box,), lanes=("<script>",))
    page = render.html(picture)
    assert "</title><script>" not in page
    figure = embedded(page, "figure")
    assert "<" not in json.dumps(figure).replace("<extra></extra>", "")


def test_figure_has_lanes_from_top_to_bottom_and_numbers_from_bottom_to_top(full, memory_map):
    lanes, numbers = (render.figure(picture).layout.yaxis for picture in (full, memory_map))
    assert lanes.range[0] > lanes.range[1]
    assert list(lanes.ticktext) == [str(machine) for machine in range(6)]
    assert numbers.range[0] < numbers.range[1]


def test_an_empty_picture_can_be_drawn(shop):
    start = np.full(shop.machines.shape, -1)
    picture = job_shop.picture(shop, JobShopSolution(start))
    assert picture.boxes == ()
    assert "makespan 0" in render.ansi(picture)
    assert render.rgb_array(picture).shape == (540, 960, 3)
    assert embedded(render.html(picture), "figure")["data"][0]["x"] == []


def test_two_thousand_boxes_are_all_drawn():
    shop = gapgym.load("job_shop/ta71")
    picture = job_shop.picture(shop, sequential(shop))
    assert len(picture.boxes) == 2000
    assert len(render.figure_data(picture)["data"][0]["x"]) == 2000
    assert len(lanes_of(render.ansi(picture))) == 20
    image = render.rgb_array(picture)
    grey = (image.max(axis=2).astype(int) - image.min(axis=2)) < 8
    assert (~grey).any(axis=1).sum() > 300  # colours in all lanes


def test_colours_differ_from_group_to_group():
    codes = [render.colour(group) for group in range(300)]
    assert all(re.fullmatch("#[0-9a-f]{6}", code) for code in codes)
    assert len(set(codes)) > 290
    rgb = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in codes], dtype=float)
    assert min(np.abs(a - b).sum() for a, b in pairwise(rgb)) > 40
