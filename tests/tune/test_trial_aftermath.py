# SPDX-License-Identifier: MIT
"""What trials leave behind, on the C files alone."""

from __future__ import annotations

import random

import _tuner
import pytest
from trial_loads import MS, US, Load


def load_with_aftermath(tuner, left_ms, in_flight, spread=0):
    """What was parted by a trial takes some milliseconds to find together again."""
    tried = left_ns = 0
    rng = random.Random(1)

    def cost(way, now_ns):
        nonlocal tried, left_ns
        if load.trial.stage in (_tuner.TRIAL_SETTLES, _tuner.TRIAL_TRIES):
            left_ms_now = left_ms * rng.uniform(1 - spread, 1 + spread)
            tried, left_ns = way, now_ns + left_ms_now * MS
        elif way != tried and now_ns < left_ns:
            return 35 * US, 35 * US
        return ((40 * US, 60 * US), (20 * US, 20 * US))[way & 1]

    load = Load(tuner, cost, in_flight)
    return load.run(1000 * MS)


def test_what_a_trial_leaves_behind_is_not_learned(tuner):
    load = load_with_aftermath(tuner, 8, 8)
    begun, until_ns = load.begun, load.now_ns + 4000 * MS
    while load.now_ns < until_ns:
        load.epoch()
        assert load.trial.way & 1 or load.trial.stage != _tuner.TRIAL_STEADY
        assert load.trial.cost_ns[1] == 40 * US
    assert load.begun > begun + 5


@pytest.mark.parametrize("in_flight", [1, 8])
@pytest.mark.parametrize(
    ("left_ms", "spread"), [(3, 0), (8, 0), (10, 0.3), (12, 0), (15, 0)]
)
def test_what_a_trial_leaves_behind_is_counted(tuner, left_ms, spread, in_flight):
    load = load_with_aftermath(tuner, left_ms, in_flight, spread)
    begun, load.calls, load.total_ns = load.begun, 0, 0
    load.run(5000 * MS)
    assert load.begun > begun
    assert load.total_ns <= 1.02 * 40 * US * load.calls


def test_what_a_trial_leaves_behind_is_counted_where_calls_pause(tuner):
    load = load_with_aftermath(tuner, 6, 8)
    load.calls = load.total_ns = 0
    for _ in range(500):
        until_ns = load.now_ns + 10 * MS
        while load.now_ns < until_ns:
            load.epoch()
        tuner.poll_trial_pause(load.trial, 2 * MS, 1)
        load.now_ns += 2 * MS
    assert load.total_ns <= 1.02 * 40 * US * load.calls
