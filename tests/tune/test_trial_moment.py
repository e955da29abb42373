# SPDX-License-Identifier: MIT
"""Epochs of a trial that say nothing of a way, on the C files alone."""

from __future__ import annotations

import _tuner
import pytest
from trial_loads import MS, US, Load, constant

WAYS = (40 * US, 60 * US), (44 * US, 66 * US)


def run_until(load, stage):
    while load.trial.stage != stage:
        load.epoch()


@pytest.mark.parametrize(
    "stage", [_tuner.TRIAL_SETTLES, _tuner.TRIAL_TRIES, _tuner.TRIAL_RETURNS]
)
def test_moment_in_which_a_host_runs_others_is_not_the_trials(tuner, stage):
    load = Load(tuner, constant(*WAYS), 8)
    run_until(load, stage)
    way, credit_ns = load.trial.way, load.trial.credit_ns
    stall = _tuner.CallCosts(8, 9 * MS, 9 * MS, 8)
    assert tuner.poll_trial_next(load.trial, stall, 8) == _tuner.TRIAL_NONE
    assert (load.trial.way, load.trial.stage) == (way, stage)
    assert load.trial.credit_ns == credit_ns
    tuner.poll_trial_next(load.trial, stall, 8)
    assert load.trial.stage != stage
    assert load.trial.credit_ns < credit_ns - 9 * MS


def test_each_trial_may_have_a_moment(tuner):
    load = Load(tuner, constant(*WAYS), 8)
    stall = _tuner.CallCosts(8, 9 * MS, 9 * MS, 8)
    for _ in range(3):
        run_until(load, _tuner.TRIAL_TRIES)
        tuner.poll_trial_next(load.trial, stall, 8)
        assert load.trial.stage == _tuner.TRIAL_TRIES
        load.run(0)


@pytest.mark.parametrize(
    "stage", [_tuner.TRIAL_SETTLES, _tuner.TRIAL_TRIES, _tuner.TRIAL_RETURNS]
)
def test_end_of_a_burst_is_not_the_trials(tuner, stage):
    """The fewer are in flight the longer each of the last ones seems to take."""
    load = Load(tuner, constant(*WAYS), 64)
    run_until(load, stage)
    way, credit_ns = load.trial.way, load.trial.credit_ns
    for left in (30, 21, 13, 5):
        few = _tuner.CallCosts(8, 800 * US, 800 * US, left)
        assert tuner.poll_trial_next(load.trial, few, left) == _tuner.TRIAL_NONE
    assert (load.trial.way, load.trial.stage) == (way, stage)
    assert load.trial.credit_ns == credit_ns
    load.run(0)


def test_trial_ends_where_fewer_go_on_to_be_in_flight(tuner):
    load = Load(tuner, constant(*WAYS), 64)
    run_until(load, _tuner.TRIAL_TRIES)
    load.in_flight, calls = 2, load.calls
    while load.trial.stage == _tuner.TRIAL_TRIES:
        load.epoch()
    assert load.calls - calls <= 300


def test_trial_that_begins_when_fewer_are_left_is_of_those(tuner):
    """Not of as many as there were: it would take what is left of a long burst."""
    load = Load(tuner, constant(*WAYS), 1000)
    load.epoch()  # nothing is known after the first
    epoch = _tuner.CallCosts(125, 5 * MS, 7 * MS, 1000)
    assert tuner.poll_trial_next(load.trial, epoch, 520) == _tuner.TRIAL_BEGUN
    load.in_flight = 300
    load.epoch()
    assert load.trial.stage == _tuner.TRIAL_TRIES


def test_of_a_few_in_flight_none_may_be_seen(tuner):
    """Whoever looks does so when one has ended, and before the next is made."""
    load = Load(tuner, constant(*WAYS), 2)
    run_until(load, _tuner.TRIAL_SETTLES)
    load.in_flight = 0
    load.epoch()
    assert load.trial.stage == _tuner.TRIAL_TRIES


def test_another_trial_may_be_at_the_end_of_a_burst_again(tuner):
    load = Load(tuner, constant(*WAYS), 64)
    for _ in range(3):
        run_until(load, _tuner.TRIAL_TRIES)
        for _ in range(3):
            few = _tuner.CallCosts(8, 800 * US, 800 * US, 5)
            tuner.poll_trial_next(load.trial, few, 5)
        assert load.trial.stage == _tuner.TRIAL_TRIES
        load.run(0)
