# SPDX-License-Identifier: MIT
"""What the owner plans for calls whose lengths it knows, on the C files alone."""

from __future__ import annotations

import random

import _tuner
import pytest
from conftest import tuned
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.timeout(120)


def planned(
    tuner, took, age_ns, *, hybrid=True, late=(20_000, 2000), waits=(), wake_ns=45_000
):
    """Return what is planned for a call of known times, in flight since age_ns."""
    poll, params = tuned(tuner, waits or took)
    params.hybrid = hybrid
    source, costs = _tuner.CallHistory(), _tuner.SleepCosts()
    tuner.call_history_init(source, 0)
    source.poll = poll
    for ns in took:
        tuner.moving_add(source.took, ns)
    costs.wake_ns, costs.late = wake_ns, _tuner.Moving(*late)
    return tuner.call_plan(source, params, costs, age_ns)


REGULAR = [300_000, 301_000, 299_000] * 8


def test_plan_sleeps_through_most_of_a_long_regular_call(tuner):
    plan = planned(tuner, REGULAR, 0)
    assert (plan.choice, plan.window_ns) == (_tuner.NAP, 32768)
    assert 300_000 - 20_000 - 16_384 - 2000 <= plan.nap_ns < 300_000 - 20_000
    unsure = planned(tuner, REGULAR, 0, late=(20_000, 50_000))
    assert 300_000 - 20_000 - 16_384 - 2000 <= unsure.nap_ns < plan.nap_ns
    later = planned(tuner, REGULAR, 100_000)
    assert later.nap_ns == plan.nap_ns - 100_000


@pytest.mark.parametrize(
    ("changed", "choice"),
    [
        ({"hybrid": False}, _tuner.BLOCK),
        ({"age_ns": -1}, _tuner.BLOCK),  # others are in flight
        ({"age_ns": 290_000}, _tuner.POLL),  # it came late to the wait
        ({"age_ns": 265_500}, _tuner.NAP),  # there is just time for one
        ({"age_ns": 265_500, "late": (40_000, 2000)}, _tuner.BLOCK),  # nothing fits
        ({"age_ns": 400_000}, _tuner.BLOCK),  # it should have ended
        ({"took": [5_000_000] * 20}, _tuner.BLOCK),  # a wake-up is nothing to it
        ({"took": [100_000, 500_000] * 10}, _tuner.BLOCK),  # not regular
        ({"took": [275_000, 325_000] * 10}, _tuner.BLOCK),  # it would miss many
        ({"took": [288_000, 312_000] * 10}, _tuner.BLOCK),  # polled for too long
        ({"took": [292_000, 308_000] * 10}, _tuner.NAP),
        ({"took": [292_000, 308_000] * 10, "wake_ns": 0}, _tuner.NAP),  # unknown
        ({"took": [292_000, 308_000] * 10, "wake_ns": 6000}, _tuner.BLOCK),
        ({"wake_ns": 6000}, _tuner.NAP),
        ({"took": [300_000] * 20, "waits": [5000] * 20}, _tuner.HOPELESS),
        ({"took": [20_000] * 20}, _tuner.POLL),
    ],
)
def test_plan_polls_only_for_what_can_end_in_time(tuner, changed, choice):
    arguments = {"took": REGULAR, "age_ns": 0} | changed
    plan = planned(tuner, **arguments)
    assert plan.choice == choice
    assert (plan.window_ns > 0) == (choice in (_tuner.POLL, _tuner.NAP))


def test_first_nap_allows_for_a_sleep_that_is_longer_than_it_should_be(tuner):
    """One that ends after the call teaches nothing: none would ever be in time."""
    costs = _tuner.SleepCosts()
    tuner.sleep_costs_init(costs)
    late = (costs.late.mean_ns, costs.late.dev_ns)
    plan = planned(tuner, [300_000] * 40, 0, late=late)
    assert plan.choice == _tuner.NAP
    assert 250_000 < plan.nap_ns + 25_000 < 300_000  # a wake-up that is not dear


@pytest.mark.parametrize("base_ns", [20_000, 60_000, 130_000])
def test_naps_come_to_be_in_time_however_late_sleeps_are(tuner, base_ns):
    """Those that are not in time tell so: else what was learned were the best cases."""
    params, source = _tuner.Params(32768, 0, 0, True), _tuner.CallHistory()
    costs, rng, hits = _tuner.SleepCosts(45_000), random.Random(1), 0
    tuner.call_history_init(source, 0)
    tuner.sleep_costs_init(costs)
    for number in range(2000):
        plan = tuner.call_plan(source, params, costs, 0)
        if plan.choice == _tuner.NAP:
            late_ns = base_ns + rng.randrange(10_000)
            in_time = plan.nap_ns + late_ns < 300_000
            hits += in_time and number >= 1000
            woken_ns = min(plan.nap_ns + late_ns, 300_000 + 45_000)
            tuner.sleep_costs_late(costs, woken_ns - plan.nap_ns, in_time)
        tuner.poll_window_tune(source.poll, params, 300_000)
        tuner.moving_add(source.took, 300_000)
    assert hits > 900


def test_naps_are_tried_again_when_sleeps_are_late_no_more(tuner):
    """Others computed for a while: what was learned then is not for ever."""
    params, source = _tuner.Params(32768, 0, 0, True), _tuner.CallHistory()
    costs = _tuner.SleepCosts(45_000, _tuner.Moving(400_000, 20_000))
    tuner.call_history_init(source, 0)
    choices = []
    for _ in range(1000):
        plan = tuner.call_plan(source, params, costs, 0)
        choices.append(plan.choice)
        if plan.choice == _tuner.NAP:
            tuner.sleep_costs_late(costs, 25_000, plan.nap_ns < 75_000)
        tuner.poll_window_tune(source.poll, params, 100_000)
        tuner.moving_add(source.took, 100_000)
    assert _tuner.NAP not in choices[:100]
    assert set(choices[-100:]) == {_tuner.NAP}


def test_try_that_is_not_one_is_forgotten(tuner):
    """It fell on a call that could not end in time: the next short one is no sign."""
    poll, params = tuned(tuner, [60_000] * 20)
    source, costs = _tuner.CallHistory(), _tuner.SleepCosts(45_000)
    tuner.call_history_init(source, 0)
    costs.late = _tuner.Moving(400_000, 10_000)
    source.poll = poll
    for ns in REGULAR:
        tuner.moving_add(source.took, ns)
    for _ in range(256):
        plan = tuner.call_plan(source, params, costs, 240_000)
        if plan.choice != _tuner.BLOCK:
            break
    assert plan.choice == _tuner.HOPELESS
    plan = tuner.call_plan(source, params, costs, 290_000)
    assert plan.choice == _tuner.POLL
    tuner.poll_window_tune(source.poll, params, 5000)
    assert source.poll.history.waits > 1


def test_regular_calls_that_are_too_short_for_a_nap_are_tried_again_too(tuner):
    poll, params = tuned(tuner, [45_000] * 20)
    source, costs = _tuner.CallHistory(), _tuner.SleepCosts()
    tuner.call_history_init(source, 0)
    costs.late = _tuner.Moving(400_000, 10_000)
    source.poll = poll
    for ns in [35_000, 45_000] * 20:
        tuner.moving_add(source.took, ns)
    choices = [tuner.call_plan(source, params, costs, 0).choice for _ in range(256)]
    assert sorted(choices) == [_tuner.BLOCK] * 255 + [_tuner.POLL]


@settings(max_examples=300, deadline=None)
@given(
    max_ns=st.integers(0, 2**40),
    took=st.lists(st.integers(1, 2**41), max_size=30),
    age_ns=st.integers(-1, 2**42),
    late=st.tuples(st.integers(0, 2**30), st.integers(0, 2**30)),
)
def test_plan_stays_in_its_bounds(tuner, max_ns, took, age_ns, late):
    source, costs = _tuner.CallHistory(), _tuner.SleepCosts()
    tuner.call_history_init(source, 0)
    costs.late = _tuner.Moving(*late)
    for ns in took:
        tuner.moving_add(source.took, ns)
    params = _tuner.Params(max_ns, 0, 0, True)
    plan = tuner.call_plan(source, params, costs, age_ns)
    assert 0 <= plan.window_ns <= max_ns
    assert 0 <= plan.nap_ns <= max(source.took.mean_ns - age_ns, 0)
    assert (plan.nap_ns > 0) == (plan.choice == _tuner.NAP)


@settings(max_examples=200, deadline=None)
@given(value=st.integers(1, 2**40), n=st.integers(1, 50))
def test_average_of_equal_values_is_the_value(tuner, value, n):
    average = _tuner.Moving()
    for _ in range(n):
        tuner.moving_add(average, value)
    assert average.mean_ns == value
    assert average.dev_ns <= value * 0.75**n + 8


def test_average_takes_one_outlier_lightly_and_follows_a_change(tuner):
    average = _tuner.Moving()
    for ns in REGULAR:
        tuner.moving_add(average, ns)
    before = average.mean_ns
    tuner.moving_add(average, 10_000_000)
    assert average.mean_ns < before * 1.02
    for _ in range(80):
        tuner.moving_add(average, 10_000_000)
    assert average.mean_ns > 9_000_000
