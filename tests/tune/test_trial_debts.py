# SPDX-License-Identifier: MIT
"""What trials may cost, where and when, on the C files alone."""

from __future__ import annotations

import _tuner
import pytest
from trial_loads import MS, US, Load, constant


def test_trial_that_saves_cpu_costs_little_time(tuner):
    many, one = (20 * US, 60 * US), (60 * US, 25 * US)
    load = Load(tuner, constant(many, many, one, one), 64).run(500 * MS)
    calls, now_ns, tried = load.calls, load.now_ns, 0
    while load.now_ns < now_ns + 5000 * MS:
        load.epoch()
        begun = load.verdicts[-1] == _tuner.TRIAL_BEGUN
        tried += begun and load.trial.way & _tuner.WAY_SERIAL != 0
    assert tried > 10
    assert load.now_ns - now_ns <= 1.025 * 20 * US * (load.calls - calls)


def test_way_that_is_not_known_is_tried_whatever_is_owed(tuner):
    polled, blocked = (20 * US, 44 * US), (20 * US, 30 * US)
    load = Load(tuner, constant(polled, blocked), 8)
    load.trial.credit_ns = -20 * MS
    load.run(25 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK


def test_what_a_dropped_trial_has_cost_is_paid(tuner):
    load = Load(tuner, constant((20 * US, 40 * US), (30 * US, 40 * US)), 8)
    while load.trial.stage != _tuner.TRIAL_TRIES or not load.trial.tried.calls:
        load.epoch()
    calls, credit_ns = load.trial.tried.calls, load.trial.credit_ns
    assert calls
    assert tuner.poll_trial_drop(load.trial)
    assert load.trial.credit_ns == pytest.approx(credit_ns - calls * 30 * US, abs=calls)


def test_first_trial_that_is_lost_by_a_moment_is_made_again_soon(tuner):
    """Threads that start for it cost once."""

    def costs(way, _):
        once = way & _tuner.WAY_BLOCK and load.begun == 1
        return (150 * US, 150 * US) if once else by_way[way & 1]

    by_way = (40 * US, 60 * US), (20 * US, 20 * US)
    load = Load(tuner, costs)
    while load.trial.way != _tuner.WAY_BLOCK or load.trial.stage:
        load.epoch()
    assert load.verdicts.count(_tuner.TRIAL_LOST) == 1
    assert load.now_ns < 40 * MS


def test_fewer_in_flight_are_another_load_whatever_is_owed(tuner):
    """They cost about what they did, by the way that is taken."""
    many = (40 * US, 60 * US), (30 * US, 30 * US)
    one = (1 * US, 2 * US), (40 * US, 35 * US)
    load = Load(tuner, constant(*many), 64).run(300 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK
    load.cost, load.in_flight = constant(*one), 1
    load.trial.credit_ns = -50 * MS
    load.run(100 * MS)
    assert load.trial.way == _tuner.WAY_POLL


@pytest.mark.parametrize(("pause_ms", "known"), [(300, False), (10, True)])
def test_what_another_load_has_cost_before_a_pause_is_not_known(tuner, pause_ms, known):
    """By the way that is taken a call costs what it did; but for those that come and go."""
    many = (40 * US, 60 * US), (30 * US, 30 * US)
    one = (1 * US, 2 * US), (30 * US, 30 * US)
    load = Load(tuner, constant(*many), 64).run(100 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK
    load.trial.alike_ns = 0  # it has just come
    load.trial.credit_ns = -50 * MS
    tuner.poll_trial_pause(load.trial, pause_ms * MS, 0)
    load.cost, load.in_flight = constant(*one), 1
    load.run(20 * MS)
    assert (load.trial.way == _tuner.WAY_BLOCK) == known
