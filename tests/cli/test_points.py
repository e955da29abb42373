# SPDX-License-Identifier: MIT
"""What becomes of the calls that were measured: a point a case and way."""

from __future__ import annotations

import sys
from array import array

import pytest

from tpool.cli.bench import grid, points
from tpool.cli.bench.sweep import Pass

if not getattr(sys, "_is_gil_enabled", lambda: True)():
    pytest.skip(
        "hdrhistogram would switch the GIL on for all tests that follow",
        allow_module_level=True,
    )
pytest.importorskip("hdrh", reason="needs hdrhistogram, of the extra 'cli'")
CASE = grid.Case(0)
BLOCKING, POLLING = grid.Way("blocking", 0), grid.Way("fixed", 9)


def one(latencies_us, cpu_us):
    """Return a pass with so much CPU for each call."""
    latencies_ns = array("q", [us * 1_000 for us in latencies_us])
    return Pass(latencies_ns, cpu_us * 1e-6 * len(latencies_ns))


def test_percentiles_are_of_all_rounds_together():
    sides = [
        {BLOCKING: one(range(1, 51), 10)},
        {BLOCKING: one(range(51, 101), 10)},
    ]
    (point,) = points.points({CASE: sides}, BLOCKING)
    assert (point.rounds, point.calls) == (2, 100)
    assert point.latency_p50_us == pytest.approx(50, rel=2e-3)
    assert point.latency_p99_us == pytest.approx(99, rel=2e-3)
    assert (point.latency_ratio, point.cpu_ratio) == (1, 1)


def test_cpu_is_the_median_of_rounds_and_its_ratio_that_of_the_rounds_ratios():
    sides = [
        {BLOCKING: one([8], 10), POLLING: one([2], 20)},  # twice
        {BLOCKING: one([8], 100), POLLING: one([2, 2], 300)},  # three times
        {BLOCKING: one([8], 1), POLLING: one([2], 10)},  # ten times
    ]
    _, point = points.points({CASE: sides}, BLOCKING)
    assert point.way == POLLING
    assert point.cpu_us == pytest.approx(20)
    assert point.cpu_ratio == pytest.approx(3)
    assert point.latency_ratio == pytest.approx(0.25, rel=2e-3)


def test_the_histogram_holds_every_call_in_rising_order():
    latencies = [1, 1, 1, 500, 7]
    (point,) = points.points({CASE: [{BLOCKING: one(latencies, 1)}]}, BLOCKING)
    values = [ns for ns, _ in point.histogram]
    assert values == sorted(values)
    assert [count for _, count in point.histogram] == [3, 1, 1]
    assert values == pytest.approx([1_000, 7_000, 500_000], rel=2e-3)


def test_nothing_and_an_hour_are_latencies_too():
    sides = [{BLOCKING: one([0, 3_600_000_000], 0)}]
    (point,) = points.points({CASE: sides}, BLOCKING)
    assert point.calls == 2
    assert point.latency_p99_us == pytest.approx(10e6, rel=2e-3)
    assert point.cpu_ratio == 1


def test_points_come_by_case_and_nothing_gives_none():
    other = grid.Case(1_000)
    side = {BLOCKING: one([1], 1), POLLING: one([1], 1)}
    made = points.points({CASE: [side], other: [side]}, BLOCKING)
    assert [point.case for point in made] == [CASE, CASE, other, other]
    assert points.points({}, BLOCKING) == []
