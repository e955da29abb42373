# SPDX-License-Identifier: MIT
"""What others do, many and nobody polls: when it is gone back to, on the C files alone."""

from __future__ import annotations

import _tuner
import pytest
from trial_loads import MS, US, Load, constant

POLLED, SERIAL = (20 * US, 30 * US), (22 * US, 30 * US)
AWAY_NS = 200 * MS


def after_a_while(tuner, cost, in_flight=2):
    """Return a load that is polled for, with so many in flight, for longer than that."""
    load = Load(tuner, cost, in_flight).run(AWAY_NS + 100 * MS)
    assert load.trial.way == _tuner.WAY_POLL
    return load


def until_home(load):
    """Make calls until it is gone back to; return whether it was, in 30 ms."""
    until_ns = load.now_ns + 30 * MS
    while load.trial.stage != _tuner.TRIAL_GOES_HOME and load.now_ns < until_ns:
        load.epoch()
    return load.trial.stage == _tuner.TRIAL_GOES_HOME


@pytest.mark.parametrize("in_flight", [1, 8])
def test_it_is_begun_with_where_more_or_fewer_are_in_flight(tuner, in_flight):
    load = after_a_while(tuner, constant(POLLED, (40 * US, 40 * US)), 3)
    load.cost = constant(POLLED, (44 * US, 44 * US))
    load.in_flight = in_flight
    assert until_home(load)
    assert load.trial.way == _tuner.WAY_BLOCK
    load.epoch()
    assert load.verdicts[-2:] == [_tuner.TRIAL_BEGUN, _tuner.TRIAL_WON]
    begun_ns = load.now_ns
    while load.trial.way == _tuner.WAY_BLOCK:
        load.epoch()
    # The first five milliseconds are not looked at: threads are where they were.
    assert 10 * MS <= load.now_ns - begun_ns <= 20 * MS
    assert load.trial.cost_ns[_tuner.WAY_BLOCK] == 88 * US  # and not what it was
    load.run(50 * MS)
    assert load.trial.way == _tuner.WAY_POLL


def test_as_many_in_flight_as_before_are_no_reason(tuner):
    load = after_a_while(tuner, constant(POLLED, (40 * US, 40 * US)), 4)
    load.in_flight = 5
    assert not until_home(load)
    load.cost = constant((60 * US, 90 * US), (120 * US, 120 * US))  # another load
    assert not until_home(load)


def test_what_shows_after_some_milliseconds_only_is_found(tuner):
    """Where one at a time is better than many that are polled for, and hides it."""
    since = [None]

    def cost(way, now_ns):
        if way != _tuner.WAY_BLOCK:
            since[0] = None
            dear = load.in_flight > 2 and way == _tuner.WAY_POLL
            return (30 * US, 40 * US) if dear else SERIAL
        since[0] = now_ns if since[0] is None else since[0]
        return (40 * US, 50 * US) if now_ns - since[0] < 4 * MS else (16 * US, 20 * US)

    load = Load(tuner, lambda *_: POLLED, 2).run(AWAY_NS + 100 * MS)
    load.cost = cost
    load.in_flight = 8
    load.run(300 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK


def test_hopeless_it_is_left_as_soon_as_it_has_settled(tuner):
    load = after_a_while(tuner, constant((1 * US, 1 * US), (10 * US, 10 * US)))
    load.in_flight = 8
    assert until_home(load)
    began_ns = load.now_ns
    load.epoch()
    assert load.verdicts[-1] == _tuner.TRIAL_LOST
    assert load.trial.way == _tuner.WAY_POLL
    assert load.now_ns - began_ns <= 1 * MS


def test_numbers_that_change_all_the_time_are_no_reason_each_time(tuner):
    load = after_a_while(tuner, constant(POLLED, (40 * US, 40 * US)))
    homes, began_ns, was = 0, load.now_ns, load.trial.stage
    while load.now_ns < began_ns + 2000 * MS:
        load.in_flight = 16 if (load.now_ns - began_ns) // (40 * MS) % 2 else 2
        load.epoch()
        homes += _tuner.TRIAL_GOES_HOME == load.trial.stage != was
        was = load.trial.stage
    assert 2 <= homes <= 2000 * MS // AWAY_NS + 1


HOME = (100 * US, 100 * US)


@pytest.mark.parametrize(
    ("polled_us", "way"), [(99, _tuner.WAY_BLOCK), (94, _tuner.WAY_POLL)]
)
def test_it_is_gone_back_to_for_what_is_about_as_good(tuner, polled_us, way):
    load = Load(tuner, constant((polled_us * US,) * 2, HOME)).run(400 * MS)
    assert load.trial.way == way


@pytest.mark.parametrize(
    ("polled_us", "way"), [(97, _tuner.WAY_BLOCK), (94, _tuner.WAY_POLL)]
)
def test_it_is_left_for_what_is_clearly_better_only(tuner, polled_us, way):
    load = Load(tuner, constant((150 * US,) * 2, HOME)).run(400 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK
    load.cost = constant((polled_us * US,) * 2, HOME)
    load.run(1000 * MS)
    assert load.trial.way == way


def test_second_pause_on_the_way_leaves_it(tuner):
    load = after_a_while(tuner, constant(POLLED, (40 * US, 40 * US)))
    load.in_flight = 8
    assert until_home(load)
    assert not tuner.poll_trial_pause(load.trial, 0)
    assert load.trial.stage == _tuner.TRIAL_GOES_HOME
    assert tuner.poll_trial_pause(load.trial, 0)
    assert load.trial.way == _tuner.WAY_POLL
    assert not load.trial.stage
