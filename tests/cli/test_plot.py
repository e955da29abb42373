# SPDX-License-Identifier: MIT
"""The picture that `tpool bench --plot` draws."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tpool.cli.bench import grid, plot
from tpool.cli.bench.points import Point


def point(case, way, latency_us=3.0, cpu_us=2.0):
    return Point(
        case=case,
        way=way,
        rounds=1,
        calls=3,
        latency_p50_us=latency_us,
        latency_p99_us=latency_us,
        cpu_us=cpu_us,
        latency_ratio=1.0,
        cpu_ratio=1.0,
        histogram=((int(latency_us * 1e3), 2), (int(latency_us * 1e3) + 9, 1)),
    )


def sample(works_ns=(0, 10_000)):
    return [
        point(case, way, 3.0 + number, 2.0 * number)
        for case in grid.cases(works_ns)
        for number, way in enumerate(grid.ways([8_192, 32_768]))
    ]


def size(png):
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


@pytest.fixture(scope="module")
def matplotlib():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENBLAS", "OMP", "MKL"):
            patch.setenv(f"{name}_NUM_THREADS", "1")  # numpy's threads stay
        module = pytest.importorskip("matplotlib", reason="needs the extra 'cli'")
    plot.draw(sample(), "title", "png")  # so do the fonts that it has opened
    return module


def test_a_png_has_two_panels_for_each_case(matplotlib):
    png = plot.draw(sample(), "title", "png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = size(png)
    one_width, one_height = size(plot.draw(sample()[:5], "title", "png"))
    assert width > one_width
    assert height > one_height


def texts(matplotlib, points):
    """Return what is written in an SVG, as text instead of outlines."""
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        svg = plot.draw(points, "the title", "svg")
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()) for element in root.iter() if element.text]


def test_an_svg_names_cases_ways_bounds_and_axes(matplotlib):
    found = texts(matplotlib, sample())
    for case in grid.cases((0, 10_000)):
        assert case.name in found
        assert f"{case.name}: latencies" in found
    for way in grid.ways([8_192, 32_768]):
        bound = f" {way.poll_max_ns}" if way.poll_max_ns else ""
        assert f"{way.mode}{bound}" in found
    for words in (
        "the title",
        "blocking",
        "hybrid",
        "self-tuned",
        "fixed",
        "poll_max_ns 8192",
        "latency p50, us",
        "CPU for each call, us",
        "latency, us",
    ):
        assert words in found


@pytest.mark.parametrize(
    "points",
    [
        [point(grid.Case(0), grid.Way("blocking", 0))],
        [point(grid.Case(0), grid.Way("blocking", 0), 0.0, 0.0)],
        [
            point(grid.Case(0), grid.Way("blocking", 0), 1e6, 1e6),
            point(grid.Case(0), grid.Way("fixed", 1), 1e-3, 1e-3),
        ],
        [point(grid.Case(0), way) for way in grid.ways(range(1, 11))],
    ],
    ids=["one", "nothing", "nine decades", "more bounds than markers"],
)
def test_whatever_was_found_can_be_drawn(matplotlib, points):
    assert plot.draw(points, "title", "png").startswith(b"\x89PNG")


def test_drawing_needs_no_display_and_leaves_no_pyplot(matplotlib):
    code = (
        "import sys; from test_plot import *; "
        "plot.draw(sample()[:5], 'title', 'png'); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "MPLBACKEND": "TkAgg"},
        cwd=os.path.dirname(__file__),
    )
    assert said.stdout == "False\n"


def test_bins_hold_every_call_once():
    edges, parts = plot.bins([(1_000, 1), (10_000, 2), (99_999, 1)], 1_000, 100_000)
    assert len(edges) == len(parts) + 1
    assert edges == sorted(edges)
    assert sum(parts) == pytest.approx(1)
    assert [part for part in parts if part] == [0.25, 0.5, 0.25]
    place = parts.index(0.5)
    assert edges[place] <= 10 * (1 + 1e-9)
    assert edges[place + 1] > 10


def test_what_is_outside_of_the_axis_counts_at_its_ends():
    _, parts = plot.bins([(0, 1), (1, 1), (10**9, 2)], 1_000, 100_000)
    assert (parts[0], parts[-1]) == (0.5, 0.5)


def test_an_axis_of_no_length_has_a_bin():
    edges, parts = plot.bins([(0, 4)], 0, 0)
    assert (len(edges), parts) == (2, [1.0])
