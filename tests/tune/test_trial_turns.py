# SPDX-License-Identifier: MIT
"""Which other way is tried, and for how long, on the C files alone."""

from __future__ import annotations

import _tuner
import pytest
from trial_loads import MS, US, Load, constant

NO_OP = 400, 600  # ns, and CPU ns


def test_way_that_is_known_to_cost_less_is_tried_at_once(tuner):
    """Whatever is owed; polling has become a third dearer, which is no other load."""
    before, after, blocked = (20 * US, 30 * US), (20 * US, 46 * US), (20 * US, 34 * US)
    load = Load(tuner, constant(before, blocked), 8).run(300 * MS)
    assert load.trial.way == _tuner.WAY_POLL
    load.cost = constant(after, blocked)
    load.trial.credit_ns = -50 * MS
    load.run(100 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK


def test_moment_decides_nothing_however_many_calls_there_are_in_it(tuner):
    """In a tenth of a millisecond a thread that runs besides is a quarter of the costs."""

    def costs(way, _):
        on = load.trial.stage == _tuner.TRIAL_TRIES
        dear = on and load.trial.tried.ns < 100 * US
        part = 1 if not way & _tuner.WAY_BLOCK else 1.15 if dear else 0.85
        return tuple(int(part * ns) for ns in NO_OP)

    load = Load(tuner, costs)
    load.run(100 * MS)
    first = next(v for v in load.verdicts if v in (_tuner.TRIAL_LOST, _tuner.TRIAL_WON))
    assert first == _tuner.TRIAL_WON


def test_little_that_short_calls_cost_less_is_found(tuner):
    load = Load(tuner, constant(NO_OP, (360, 540)))
    load.run(100 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK


def test_ways_are_not_taken_in_turn_for_ever(tuner):
    """By some more calls are made, by others they cost less: each is better than the last."""
    ways = ((4062, 7650), (3416, 19261), (9222, 14447), (5119, 9615))
    ways += ((2990, 16281), (4143, 6954), (9222, 14447), (5119, 9615))
    load = Load(tuner, constant(*ways), 64, crowd=True).run(300 * MS)
    won = load.verdicts.count(_tuner.TRIAL_WON)
    load.run(3000 * MS)
    assert load.verdicts.count(_tuner.TRIAL_WON) - won <= 3


def test_way_that_is_faster_and_far_dearer_is_not_tried_for_ever(tuner):
    """It is hopeless each time, by what it costs."""
    many, few = ((850, 16_000), (900, 17_000)), ((1000, 1000), (2000, 1500))
    rest = ((5000, 5000),) * 2
    load = Load(tuner, constant(*many, *rest, *few, *rest), 32, crowd=True)
    load.run(300 * MS)
    begun = load.begun
    load.run(1000 * MS)
    assert load.begun - begun <= 40


def test_few_and_polling_are_left_together(tuner):
    """Polled for, many fight for the CPUs; each step alone would be for the worse."""
    many, few = (
        ((40 * US, 58 * US), (20 * US, 32 * US)),
        ((28 * US, 20 * US), (32 * US, 22 * US)),
    )
    rest = ((60 * US, 60 * US),) * 2
    load = Load(tuner, constant(*many, *rest, *few, *rest), 64, crowd=True)
    load.run(400 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK


def test_few_are_left_for_many_that_nobody_polls_also_where_others_are_tried(tuner):
    """One at a time is tried by turns with many: it takes no turn of theirs."""
    many = (60 * US, 80 * US), (90 * US, 90 * US)
    few = (36 * US, 36 * US), (40 * US, 40 * US)
    rest = ((60 * US, 60 * US),) * 2
    load = Load(tuner, constant(*many, *rest, *few, *rest), 64, crowd=True)
    load.run(400 * MS)
    assert load.trial.way == _tuner.WAY_FEW
    load.cost = constant(many[0], (24 * US, 30 * US), *rest, *few, *rest)
    load.run(1500 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK


@pytest.mark.parametrize("times", [1, 3])  # which may be a moment
def test_one_at_a_time_that_is_far_worse_is_left_when_it_has_settled(tuner, times):
    """Calls that sleep: those that many have begun would be over sooner."""
    many, serial = ((36 * US, 44 * US),) * 2, ((times * 100 * US, times * 70 * US),) * 2
    load = Load(tuner, constant(*many, *serial, *many, *serial), 64)
    while not load.trial.way & _tuner.WAY_SERIAL:
        load.epoch()
    calls = load.calls
    while load.trial.way & _tuner.WAY_SERIAL:
        load.epoch()
    assert load.calls - calls <= 32
