# SPDX-License-Identifier: MIT
"""Which way `tpool bench` recommends, with limits and without."""

from __future__ import annotations

import pytest

from tpool.cli.bench import advice, grid
from tpool.cli.bench.advice import Aim
from tpool.cli.bench.points import Point

SHORT, LONG = grid.Case(0), grid.Case(100_000)
BLOCKING = grid.Way("blocking", 0)
TUNED, FIXED = grid.Way("self-tuned", 100), grid.Way("fixed", 100)
HYBRID, WIDE = grid.Way("hybrid", 100), grid.Way("self-tuned", 1_000)
BASE_US = 100.0  # latency and CPU of blocking


def point(case, way, latency_us, cpu_ratio):
    return Point(
        case=case,
        way=way,
        rounds=1,
        calls=1,
        latency_p50_us=latency_us,
        latency_p99_us=latency_us,
        cpu_us=cpu_ratio * BASE_US,
        latency_ratio=latency_us / BASE_US,
        cpu_ratio=cpu_ratio,
        histogram=((1, 1),),
    )


def table(rows, case=SHORT):
    """Return points of {way: (latency in us, CPU ratio)}, and blocking."""
    rows = {BLOCKING: (BASE_US, 1.0)} | rows
    return [point(case, way, *numbers) for way, numbers in rows.items()]


def chosen(points, **aim):
    found = advice.advise(points, Aim(**aim))
    return found.score.way, found.met


TRADE = {TUNED: (50, 0.8), WIDE: (10, 1.05), FIXED: (2, 1.5)}


@pytest.mark.parametrize(
    ("aim", "way"),
    [
        ({}, TUNED),  # the others cost more than blocking
        ({"cpu_budget": 1.1}, WIDE),
        ({"cpu_budget": 1.05}, WIDE),  # the limit itself is within it
        ({"cpu_budget": 1.04}, TUNED),
        ({"cpu_budget": 2.0}, FIXED),
        ({"latency_goal_us": 200.0}, TUNED),  # the least CPU, not the latency
        ({"latency_goal_us": 50.0}, TUNED),
        ({"latency_goal_us": 49.0}, WIDE),
        ({"latency_goal_us": 2.0}, FIXED),
        ({"latency_goal_us": 20.0, "cpu_budget": 2.0}, WIDE),
        ({"latency_goal_us": 5.0, "cpu_budget": 2.0}, FIXED),
    ],
)
def test_a_limit_that_can_be_met(aim, way):
    assert chosen(table(TRADE), **aim) == (way, True)


@pytest.mark.parametrize(
    ("aim", "way"),
    [
        ({"cpu_budget": 0.5}, TUNED),
        ({"latency_goal_us": 1.0}, FIXED),
        # TUNED: 50 / 8 times; WIDE: 10 / 8 and 1.05; FIXED: 1.5
        ({"latency_goal_us": 8.0, "cpu_budget": 1.0}, WIDE),
    ],
)
def test_a_limit_that_cannot_be_met_gives_what_comes_nearest(aim, way):
    assert chosen(table(TRADE), **aim) == (way, False)


def test_a_limit_has_to_hold_in_every_case():
    points = table({TUNED: (10, 0.1), FIXED: (1, 0.1)})
    points += table({TUNED: (90, 1.0), FIXED: (1, 1.2)}, LONG)
    assert chosen(points, cpu_budget=1.1) == (TUNED, True)
    assert chosen(points, cpu_budget=1.2) == (FIXED, True)
    assert chosen(points, latency_goal_us=50.0) == (FIXED, True)
    found = advice.advise(points, Aim(cpu_budget=1.1)).score
    assert (found.dearest.cpu_ratio, found.dearest.case) == (1.0, LONG)
    assert (found.slowest.latency_p50_us, found.slowest.case) == (90, LONG)


def test_without_a_limit_the_average_over_the_cases_may_not_cost_more():
    points = table({TUNED: (10, 0.5), FIXED: (1, 0.5)})
    points += table({TUNED: (10, 1.9), FIXED: (1, 2.1)}, LONG)
    assert chosen(points) == (TUNED, True)


def test_averages_are_geometric_so_that_each_case_weighs_the_same():
    points = table({TUNED: (1, 0.25)}) + table({TUNED: (100, 4.0)}, LONG)
    score = advice.scores(points)[1]
    assert score.latency_ratio == pytest.approx(0.1)
    assert score.cpu_ratio == pytest.approx(1)


def test_without_a_limit_blocking_is_left_where_all_else_costs_more():
    assert chosen(table({TUNED: (1, 1.01), FIXED: (1, 3.0)})) == (BLOCKING, True)


def test_blocking_alone_is_recommended():
    assert chosen(table({})) == (BLOCKING, True)
    assert chosen(table({}), latency_goal_us=1.0) == (BLOCKING, False)


def test_nothing_found_gives_no_advice():
    assert advice.advise([], Aim()) is None


@pytest.mark.parametrize(
    ("rows", "way"),
    [
        # As good but for chance in latency: less CPU wins.
        ({TUNED: (10.0, 0.9), FIXED: (10.4, 0.5)}, FIXED),
        # No chance: the latency wins.
        ({TUNED: (10.0, 0.9), FIXED: (10.6, 0.5)}, TUNED),
        # Alike in both: the shorter bound.
        ({WIDE: (10.0, 0.5), FIXED: (10.2, 0.51)}, FIXED),
        # And with one bound: the mode with fewer words.
        ({FIXED: (10.0, 0.5), TUNED: (10.0, 0.5)}, TUNED),
        ({FIXED: (10.0, 0.5), TUNED: (10.0, 0.5), HYBRID: (10.1, 0.51)}, HYBRID),
        ({TUNED: (100.0, 1.0), HYBRID: (100.0, 1.0)}, BLOCKING),
    ],
)
def test_ties(rows, way):
    assert chosen(table(rows)) == (way, True)
    assert chosen(list(reversed(table(rows)))) == (way, True)


def test_with_a_goal_ties_in_cpu_are_broken_by_latency():
    rows = {TUNED: (40, 0.50), FIXED: (10, 0.52)}
    assert chosen(table(rows), latency_goal_us=50.0) == (FIXED, True)


def test_the_nearest_of_several_is_chosen_like_any_other():
    rows = {TUNED: (20, 0.5), FIXED: (10, 0.5), WIDE: (10, 0.6)}
    assert chosen(table(rows), cpu_budget=0.1) == (FIXED, False)


@pytest.mark.parametrize(
    ("aim", "words"),
    [
        (Aim(), ["best latency", "no more CPU than blocking", "on average"]),
        (Aim(cpu_budget=1.1), ["best latency", "1.10 times", "every case"]),
        (Aim(latency_goal_us=50), ["least CPU", "p50 of 50 us", "every case"]),
        (Aim(0.5, 2.5), ["least CPU", "0.50 times", "2.5 us", "every case"]),
    ],
)
def test_the_rule_is_said(aim, words):
    assert [word for word in words if word not in aim.rule] == []
