# SPDX-License-Identifier: MIT
"""A way that seems better is compared with what the other costs then, on the C files alone."""

from __future__ import annotations

import _tuner
import pytest
from trial_loads import MS, US, Load, constant

POLLED, BLOCKED = (40 * US, 60 * US), (60 * US, 60 * US)


class Shared:
    """CPUs that are faster from the moment a trial begins, for so long."""

    def __init__(self, tuner, fast_ms, in_flight=1):
        self._fast_ns, self._until_ns = fast_ms * MS, 0
        self.load = Load(tuner, self._cost, in_flight)

    def _cost(self, way, now_ns):
        begun = self.load.verdicts[-1:] == [_tuner.TRIAL_BEGUN]
        if begun:
            self._until_ns = now_ns + self._fast_ns
        times = 1 if now_ns < self._until_ns else 1.4
        return tuple(int(times * ns) for ns in (POLLED, BLOCKED)[way & 1])


@pytest.mark.parametrize("in_flight", [1, 8])
def test_moment_in_which_all_is_faster_is_no_better_way(tuner, in_flight):
    load = Shared(tuner, 30, in_flight).load.run(3000 * MS)
    assert load.begun > 10
    assert _tuner.TRIAL_DOUBTS in load.verdicts  # it did seem better
    assert _tuner.TRIAL_WON not in load.verdicts


def test_what_was_found_in_such_a_moment_is_not_what_it_costs_later(tuner):
    """Or it would be tried again at once, and again."""
    load = Shared(tuner, 30).load.run(1000 * MS)
    begun = load.begun
    load.run(2000 * MS)
    assert load.begun - begun <= 2000 / 64 + 2
    known = load.trial.cost_ns[_tuner.WAY_POLL], load.trial.cost_ns[_tuner.WAY_BLOCK]
    assert known[1] / known[0] == pytest.approx(sum(BLOCKED) / sum(POLLED), rel=0.1)


def test_what_is_better_is_so_compared_with_what_the_other_costs_now(tuner):
    load = Load(tuner, constant((40 * US, 60 * US), (36 * US, 40 * US)))
    while _tuner.TRIAL_DOUBTS not in load.verdicts:
        load.epoch()
    assert load.trial.way == _tuner.WAY_POLL
    # It costs a little less than it did when it was left.
    load.cost = constant((37 * US, 57 * US), (36 * US, 40 * US))
    while load.trial.stage:
        load.epoch()
    assert load.verdicts[-1] == _tuner.TRIAL_WON
    assert load.trial.way == _tuner.WAY_BLOCK
    assert load.trial.cost_ns[_tuner.WAY_POLL] == 94 * US


def doubted(tuner, stage):
    load = Load(tuner, constant((40 * US, 60 * US), (36 * US, 40 * US)))
    while load.trial.stage != stage:
        load.epoch()
    return load


@pytest.mark.parametrize("stage", [_tuner.TRIAL_DOUBTED, _tuner.TRIAL_CHECKS])
def test_doubts_are_gone_on_with_in_the_next_burst(tuner, stage):
    load = doubted(tuner, stage)
    assert not tuner.poll_trial_pause(load.trial, 2 * MS, 1)
    wakes = _tuner.CallCosts(4, 4000 * US, 4000 * US, 1)
    assert tuner.poll_trial_next(load.trial, wakes, 1) == _tuner.TRIAL_NONE
    assert load.trial.stage == _tuner.TRIAL_CHECKS
    load.epoch()
    assert load.verdicts[-1] == _tuner.TRIAL_WON


@pytest.mark.parametrize("stage", [_tuner.TRIAL_DOUBTED, _tuner.TRIAL_CHECKS])
def test_doubts_of_calls_that_come_seldom_are_dropped(tuner, stage):
    load = doubted(tuner, stage)
    assert not tuner.poll_trial_pause(load.trial, 2 * MS, 1)
    assert tuner.poll_trial_pause(load.trial, 2 * MS, 1)  # it is lost
    assert load.trial.way == _tuner.WAY_POLL
    assert not load.trial.stage
    begun = load.begun
    load.run(5 * MS)
    assert load.begun == begun  # nor is it tried again at once
