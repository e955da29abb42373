# SPDX-License-Identifier: MIT
"""Draws what a sweep has found: latency against CPU, and latency histograms."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from tpool.cli.bench.grid import MODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tpool.cli.bench.grid import Case
    from tpool.cli.bench.points import Point

__all__ = ["bins", "draw"]

_COLOURS = {
    "blocking": "#000000",
    "hybrid": "#009e73",
    "self-tuned": "#0072b2",
    "fixed": "#d55e00",
}
_MARKERS = "osD^vP*X"  # by bound
_BINS = 24  # in a decade
_ACROSS = 2  # cases side by side, each with a curve and histograms
_WIDTH, _HEIGHT = 4.0, 3.2  # of a panel, inches
_HEAD = 1.2  # of the legend, inches
_NARROW = 3  # an axis over a smaller factor is linear


def bins(
    histogram: Sequence[tuple[int, int]], low_ns: int, high_ns: int
) -> tuple[list[float], list[float]]:
    """Put a histogram into bins of equal width on a log axis.

    Args:
        histogram: (latency in ns, calls that had it).
        low_ns: Where the axis begins; what is below counts in the first bin.
        high_ns: Where it ends; what is above counts in the last one.

    Returns:
        The edges of the bins in us, and the part of the calls in each; one
        edge more than parts.
    """
    first = math.floor(math.log10(max(low_ns, 1)) * _BINS)
    last = max(math.ceil(math.log10(max(high_ns, 1)) * _BINS), first + 1)
    counts = [0] * (last - first)
    for ns, count in histogram:
        place = math.floor(math.log10(max(ns, 1)) * _BINS) - first
        counts[min(max(place, 0), len(counts) - 1)] += count
    total = sum(counts) or 1
    edges = [10 ** (place / _BINS) / 1e3 for place in range(first, last + 1)]
    return edges, [count / total for count in counts]


def draw(points: Sequence[Point], title: str, kind: str) -> bytes:
    """Draw a figure with two panels for each case.

    Args:
        points: What was found; not none.
        title: Its headline.
        kind: "png" or "svg".

    Returns:
        The file.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_case: dict[Case, list[Point]] = {}
    for point in points:
        by_case.setdefault(point.case, []).append(point)
    across = min(_ACROSS, len(by_case))
    down = math.ceil(len(by_case) / across)
    height = _HEIGHT * down + _HEAD
    width = 2 * _WIDTH * across
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=0.6 / width,
        right=1 - 0.15 / width,
        bottom=0.55 / height,
        top=1 - _HEAD / height,
        wspace=0.42,
        hspace=0.38,
    )
    panels = figure.subplots(down, 2 * across, squeeze=False).flat
    bounds = sorted({p.way.poll_max_ns for p in points if p.way.poll_max_ns})
    for case, mine in by_case.items():
        _curve(next(panels), case, mine, bounds)
        _histograms(next(panels), case, mine)
    for empty in panels:
        empty.set_axis_off()
    figure.suptitle(title, fontsize=12, y=1 - 0.12 / height, va="top")
    _legend(figure, points, bounds, 1 - 0.4 / height)
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=120)
    return file.getvalue()


def _marker(bound: int, bounds: Sequence[int]) -> str:
    return _MARKERS[bounds.index(bound) % len(_MARKERS)] if bound else "X"


def _legend(
    figure: Figure, points: Sequence[Point], bounds: Sequence[int], top: float
) -> None:
    from matplotlib.lines import Line2D

    there = {point.way.mode for point in points}
    looks = [  # label, colour, marker; of what has none a line
        (mode, _COLOURS[mode], "X" if mode == "blocking" else "")
        for mode in MODES
        if mode in there
    ]
    looks += [(f"poll_max_ns {b}", "#777777", _marker(b, bounds)) for b in bounds]
    handles = [
        Line2D([], [], label=a, color=c, marker=m, linestyle="" if m else "-")
        for a, c, m in looks
    ]
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, top),
        ncols=4,
        frameon=False,
        fontsize=9,
    )


def _curve(
    axes: Axes, case: Case, points: Sequence[Point], bounds: Sequence[int]
) -> None:
    for mode in MODES:
        mine = sorted(
            (p for p in points if p.way.mode == mode), key=lambda p: p.way.poll_max_ns
        )
        axes.plot(
            [p.cpu_us for p in mine],
            [p.latency_p50_us for p in mine],
            color=_COLOURS[mode],
            linewidth=1,
            alpha=0.6,
        )
        for point in mine:
            axes.plot(
                [point.cpu_us],
                [point.latency_p50_us],
                marker=_marker(point.way.poll_max_ns, bounds),
                color=_COLOURS[mode],
                markersize=7,
                alpha=0.85,
            )
    axes.set_title(case.name, fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel("CPU for each call, us", fontsize=8)
    axes.set_ylabel("latency p50, us", fontsize=8)
    _axis(axes, "x", [p.cpu_us for p in points])
    _axis(axes, "y", [p.latency_p50_us for p in points])
    axes.grid(True, which="major", linewidth=0.4, alpha=0.5)
    axes.tick_params(labelsize=8)


def _axis(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic where that helps, with labels that can be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = max(min(values), 1e-3), max(*values, 1e-3)
    if high < _NARROW * low:
        axes.set(**{f"{which}lim": (low / 1.1, high * 1.1)})
        return
    low, high = low / 1.4, high * 1.4
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    # Less than two decades have too few powers of ten to be read.
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _histograms(axes: Axes, case: Case, points: Sequence[Point]) -> None:
    """Draw one above the other; each is as high as its fullest bin."""
    low_ns = min(p.histogram[0][0] for p in points)
    high_ns = max(_nearly_all(p.histogram) for p in points)
    names = []
    for row, point in enumerate(reversed(points)):
        edges, parts = bins(point.histogram, low_ns, high_ns)
        highest = max(parts)
        axes.stairs(
            [row + 0.92 * part / highest for part in parts],
            edges,
            baseline=row,
            fill=True,
            color=_COLOURS[point.way.mode],
            alpha=0.75,
        )
        bound = f" {point.way.poll_max_ns}" if point.way.poll_max_ns else ""
        names.append(f"{point.way.mode}{bound}")
    axes.set_title(f"{case.name}: latencies", fontsize=10, loc="left")
    axes.set_xlabel("latency, us", fontsize=8)
    _axis(axes, "x", [low_ns / 1e3, high_ns / 1e3])
    axes.set_ylim(0, len(names))
    axes.set_yticks([row + 0.4 for row in range(len(names))], names, fontsize=7)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x", linewidth=0.4, alpha=0.5)


def _nearly_all(histogram: Sequence[tuple[int, int]]) -> int:
    """Return what 999 of 1000 calls do not exceed: the rest is drawn at its end."""
    total = sum(count for _, count in histogram)
    seen = 0
    for ns, count in histogram:
        seen += count
        if seen >= 0.999 * total:
            return ns
    return 1
