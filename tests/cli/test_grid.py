# SPDX-License-Identifier: MIT
"""The cases and the ways that `tpool bench` measures."""

from __future__ import annotations

from time import perf_counter_ns

import pytest

import tpool
from tpool.cli.bench import grid


def test_default_cases_are_the_works_of_both_kinds_and_no_ops_with_gaps():
    names = [case.name for case in grid.cases(grid.WORKS_NS)]
    assert names == [
        "no-op",
        "no-op, busy 20 us",
        "no-op, busy 100 us",
        "no-op, idle 100 us",
        "no-op, idle 1 ms",
        "sleep 10 us",
        "compute 10 us",
        "sleep 100 us",
        "compute 100 us",
        "sleep 1 ms",
        "compute 1 ms",
    ]


def test_a_length_named_twice_is_one():
    assert len(grid.cases([5_000, 5_000])) == 2
    assert len(grid.ways([1, 1])) == 4


def test_ways_are_blocking_and_each_other_mode_with_each_bound():
    made = grid.ways([8_192, 32_768])
    assert made[0] == grid.Way("blocking", 0)
    assert {(way.mode, way.poll_max_ns) for way in made[1:]} == {
        (mode, bound)
        for mode in ("hybrid", "self-tuned", "fixed")
        for bound in (8_192, 32_768)
    }
    assert len(made) == 7


@pytest.mark.parametrize("way", grid.ways([32_768]), ids=lambda way: way.mode)
def test_the_source_of_a_way_makes_the_context_that_is_measured(way, monkeypatch):
    given = []

    def spy(poll_max_ns=None, **options):
        given.append({"poll_max_ns": poll_max_ns} | options)
        return tpool.AioContext(poll_max_ns, **options)

    monkeypatch.setattr(grid, "AioContext", spy)
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", "1")  # must not matter
    seen = []
    for ctx in (way.context(), eval(way.source)):
        with ctx:
            seen.append((ctx.poll_max_ns, ctx.poll_grow, ctx.poll_shrink))
    assert seen[0] == seen[1]
    assert seen[0][0] == way.poll_max_ns
    hybrid = given[0].get("poll_hybrid", True)
    assert hybrid == (way.mode in ("hybrid", "blocking"))  # which never naps
    assert ("poll_hybrid=False" in way.source) == (way.mode in ("self-tuned", "fixed"))


def test_a_fixed_window_grows_to_the_bound_at_once_and_stays():
    with grid.Way("fixed", 50_000).context() as ctx:
        assert ctx.poll_grow >= 50_000
        assert ctx.poll_shrink == 1


@pytest.mark.parametrize(
    "case",
    [
        grid.Case(0),
        grid.Case(200_000),
        grid.Case(200_000, computes=True),
        grid.Case(0, gap_ns=200_000),
        grid.Case(0, gap_ns=200_000, busy=True),
    ],
    ids=lambda case: case.name,
)
def test_calls_and_gaps_take_as_long_as_they_say(case):
    begin = perf_counter_ns()
    took = [case.call(), case.gap()]
    assert perf_counter_ns() - begin >= sum(took)
    assert took[0] >= case.work_ns
    assert took[1] >= case.gap_ns
    assert [ns > 0 for ns in took] == [case.work_ns > 0, case.gap_ns > 0]


@pytest.mark.parametrize(
    ("ns", "text"),
    [(5, "5 ns"), (1_500, "1.5 us"), (50_000, "50 us"), (2_000_000, "2 ms")],
)
def test_lengths_have_the_unit_that_suits_them(ns, text):
    assert grid.length(ns) == text
