# SPDX-License-Identifier: MIT
"""The rules of the self-tuning on the C files alone, and through a context."""

from __future__ import annotations

import ctypes
import random
import signal
import threading
import time

import _tuner
import pytest
from conftest import spin, wait_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

import tpool

pytestmark = pytest.mark.timeout(120)
MAX = 2**63 - 1
KEEP, GROW, SHRINK = _tuner.KEEP, _tuner.GROW, _tuner.SHRINK
NS = st.integers(0, MAX)


@pytest.fixture(scope="module")
def tuner():
    try:
        return _tuner.load()
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rule(tuner):
    """Return QEMU's rule: the next window, and the verdict."""

    def call(max_ns, grow, shrink, poll_ns, block_ns):
        verdict = ctypes.c_int(-1)
        params = _tuner.Params(max_ns, grow, shrink)
        out = tuner.poll_tuner_next_ns(params, poll_ns, block_ns, verdict)
        return out, verdict.value

    return call


@pytest.mark.parametrize(
    ("max_ns", "grow", "shrink", "poll_ns", "block_ns", "result"),
    [
        (32768, 0, 0, 8000, 8000, (8000, KEEP)),  # the sweet spot
        (32768, 0, 0, 8000, 0, (8000, KEEP)),
        (32768, 0, 0, 0, 0, (0, KEEP)),
        (32768, 0, 0, 0, 1, (4000, GROW)),  # from nothing
        (1000, 0, 0, 0, 1, (1000, GROW)),
        (32768, 0, 0, 8000, 8001, (16000, GROW)),
        (32768, 3, 0, 8000, 8001, (24000, GROW)),
        (32768, 0, 0, 20000, 32768, (32768, GROW)),
        (32768, 0, 0, 32768, 32768, (32768, KEEP)),
        (32768, 0, 0, 8000, 32769, (0, SHRINK)),
        (32768, 0, 2, 8000, 32769, (4000, SHRINK)),
        (32768, 0, 2, 1, 32769, (0, SHRINK)),
        (32768, 0, 1, 8000, 32769, (8000, KEEP)),
        (32768, 0, 0, 0, 32769, (0, KEEP)),
        (0, 0, 0, 0, 1, (0, KEEP)),
        (MAX, 0, 0, MAX // 2 + 1, MAX, (MAX, GROW)),
        (MAX, MAX, 0, 2, 3, (MAX, GROW)),
    ],
)
def test_rule(rule, max_ns, grow, shrink, poll_ns, block_ns, result):
    assert rule(max_ns, grow, shrink, poll_ns, block_ns) == result


@settings(max_examples=500, deadline=None)
@given(max_ns=NS, grow=NS, shrink=NS, poll_ns=NS, block_ns=NS)
def test_window_stays_in_its_bounds_and_the_verdict_says_what_was_done(
    rule, max_ns, grow, shrink, poll_ns, block_ns
):
    poll_ns = min(poll_ns, max_ns)
    next_ns, verdict = rule(max_ns, grow, shrink, poll_ns, block_ns)
    assert 0 <= next_ns <= max_ns
    assert verdict == (next_ns > poll_ns) * GROW + (next_ns < poll_ns) * SHRINK
    if block_ns <= poll_ns:
        assert next_ns == poll_ns
    elif block_ns <= max_ns:
        want = poll_ns * (grow or 2) if poll_ns else 4000
        assert next_ns == min(want, max_ns)
    else:
        assert next_ns == (poll_ns // shrink if shrink else 0)


@settings(max_examples=300, deadline=None)
@given(max_ns=NS, grow=NS, shrink=NS, a=NS, b=NS, block_ns=NS)
def test_longer_window_never_becomes_the_shorter_one(
    rule, max_ns, grow, shrink, a, b, block_ns
):
    """Monotonous where both grow, or both shrink."""
    low, high = sorted((min(a, max_ns), min(b, max_ns)))
    if block_ns > max_ns or (high < block_ns and low > 0):
        first, _ = rule(max_ns, grow, shrink, low, block_ns)
        second, _ = rule(max_ns, grow, shrink, high, block_ns)
        assert first <= second


@settings(max_examples=100, deadline=None)
@given(max_ns=st.integers(1, MAX), block_ns=NS)
def test_equal_waits_settle(rule, max_ns, block_ns):
    poll_ns, verdict = 0, GROW
    for _ in range(70):
        poll_ns, verdict = rule(max_ns, 0, 2, poll_ns, block_ns)
    assert verdict == KEEP
    assert poll_ns == 0 if block_ns > max_ns else poll_ns >= min(block_ns, 0)


# What is beyond QEMU's rule: the history of a source, and naps before long calls.


@pytest.mark.parametrize(
    ("wait_ns", "lag_ns", "wake_ns", "result"),
    [
        (30_000, 0, 20_000, 30_000),  # the partner polled
        (30_000, 15_000, 20_000, 15_000),
        (30_000, 26_000, 8_000, 22_000),  # no more than a wake-up saves
        (30_000, 26_000, 0, 4_000),  # nobody knows what that is
        (30_000, 30_000, 40_000, 1),  # never nothing
        (30_000, 35_000, 0, 1),
        (0, 0, 0, 1),
    ],
)
def test_partner_s_waking_is_taken_off_a_wait(tuner, wait_ns, lag_ns, wake_ns, result):
    assert tuner.poll_tuner_wait_ns(wait_ns, lag_ns, wake_ns) == result


@given(wait_ns=NS, lag_ns=NS, wake_ns=NS, more=NS)
def test_wait_counts_more_the_longer_it_is(tuner, wait_ns, lag_ns, wake_ns, more):
    longer = min(wait_ns + more, MAX)
    counts = tuner.poll_tuner_wait_ns(wait_ns, lag_ns, wake_ns)
    assert 1 <= counts <= max(wait_ns, 1)
    assert counts <= tuner.poll_tuner_wait_ns(longer, lag_ns, wake_ns)


BOUND = st.integers(1, 2**40)
WAITS = st.lists(st.integers(0, 2**41), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(max_ns=BOUND, waits=WAITS, wake_ns=BOUND)
def test_history_s_window_is_one_of_those_to_choose_from(tuner, max_ns, waits, wake_ns):
    history = _tuner.History()
    for number, wait_ns in enumerate(waits):
        tuner.poll_history_add(history, max_ns, wait_ns)
        window_ns = tuner.poll_history_window_ns(history, max_ns, wake_ns)
        if number < 7:
            assert window_ns == -1
        else:
            windows = [max_ns >> shift for shift in range(4)]
            assert any(abs(window_ns - one) <= 1 for one in [0, *windows])
        assert abs(sum(history.share) - 65536) < 80  # of rounding


@settings(max_examples=300, deadline=None)
@given(max_ns=BOUND, waits=WAITS, shorter=st.integers(0, 2**41), wake_ns=BOUND)
def test_history_s_shorter_waits_never_speak_against_polling(
    tuner, max_ns, waits, shorter, wake_ns
):
    """Monotonous: where it polls, it polls too if no wait had been longer."""
    one, other = _tuner.History(), _tuner.History()
    for wait_ns in waits * 8:
        tuner.poll_history_add(one, max_ns, wait_ns)
        tuner.poll_history_add(other, max_ns, min(wait_ns, shorter))
    if tuner.poll_history_window_ns(one, max_ns, wake_ns) > 0:
        assert tuner.poll_history_window_ns(other, max_ns, wake_ns) > 0


@settings(max_examples=300, deadline=None)
@given(max_ns=BOUND, waits=WAITS, cheap=BOUND, dear=BOUND)
def test_history_s_cheaper_wake_ups_never_speak_for_polling(
    tuner, max_ns, waits, cheap, dear
):
    """Monotonous too: what does not pay for dear ones does not for cheap ones."""
    history = _tuner.History()
    for wait_ns in waits * 8:
        tuner.poll_history_add(history, max_ns, wait_ns)
    cheap, dear = sorted((cheap, dear))
    if tuner.poll_history_window_ns(history, max_ns, cheap) > 0:
        assert tuner.poll_history_window_ns(history, max_ns, dear) > 0


@pytest.mark.parametrize(
    ("wait_ns", "wake_ns", "polls"),
    [
        (20_000, 0, True),  # unknown: taken to be dear
        (20_000, 45_000, True),
        (20_000, 32_768, True),
        (20_000, 7_000, False),  # more would be spent than is saved
        (5_000, 7_000, True),
        (1_000, 3_000, True),
        (30_000, 5_000, False),
    ],
)
def test_history_s_window_is_none_where_to_be_woken_is_cheaper(
    tuner, wait_ns, wake_ns, polls
):
    history = _tuner.History()
    for _ in range(10):
        tuner.poll_history_add(history, 32768, wait_ns)
    assert (tuner.poll_history_window_ns(history, 32768, wake_ns) > 0) == polls


@settings(max_examples=200, deadline=None)
@given(max_ns=st.integers(8, 2**40), wait_ns=NS, wake_ns=st.integers(0, 2**30))
def test_source_s_equal_waits_do_not_swing_the_window(tuner, max_ns, wait_ns, wake_ns):
    params, source = _tuner.Params(max_ns, 0, 0, True), _tuner.PollSource()
    tuner.poll_source_init(source, 0)
    windows = []
    for _ in range(200):  # less than it takes to try again what was given up
        windows.append(tuner.poll_source_window_ns(source, params, wake_ns))
        tuner.poll_source_tune(source, params, wait_ns)
    assert windows[0] == 0
    assert len(set(windows[8:])) == 1
    window = windows[-1]
    if wait_ns > max_ns:
        assert window == 0
    elif window or not 0 < wake_ns < 32_768:  # to be woken may be cheaper
        assert window in range(max(wait_ns, 1), max_ns + 1)


@settings(max_examples=200, deadline=None)
@given(max_ns=NS, grow=NS, shrink=NS, waits=WAITS)
def test_source_obeys_slopes_that_are_set_to_the_letter(
    tuner, rule, max_ns, grow, shrink, waits
):
    if not grow and not shrink:
        grow = 3
    params, source = _tuner.Params(max_ns, grow, shrink, True), _tuner.PollSource()
    tuner.poll_source_init(source, 0)
    poll_ns = 0
    for wait_ns in waits:
        verdict = tuner.poll_source_tune(source, params, wait_ns)
        poll_ns, want = rule(max_ns, grow, shrink, poll_ns, wait_ns)
        assert (source.poll_ns, verdict) == (poll_ns, want)


def tuned(tuner, waits, max_ns=32768):
    """Return a source that has seen waits, and its parameters."""
    params, source = _tuner.Params(max_ns, 0, 0, True), _tuner.PollSource()
    tuner.poll_source_init(source, 0)
    for wait_ns in waits:
        tuner.poll_source_window_ns(source, params, 45_000)
        tuner.poll_source_tune(source, params, wait_ns)
    return source, params


@pytest.mark.parametrize(
    ("waits", "window_ns"),
    [
        ([2000] * 20, 32768),  # nothing speaks against the longest
        ([5000, 500_000] * 20, 8192),  # by turns: all that hits, no more
        ([5000] * 20 + [2_000_000], 32768),  # one long wait is no reason
        ([60_000] * 20, 0),
        ([5_000_000] * 30 + [2000, 5_000_000], 0),  # nearly as dear as to block
        ([25_000, 70_000, 80_000] * 8, 0),  # a third, and dearly bought
        ([2000] * 30 + [5_000_000] * 40, 0),  # what is over is forgotten
    ],
)
def test_source_s_window_is_the_cheapest_over_the_last_waits(tuner, waits, window_ns):
    source, _ = tuned(tuner, waits)
    assert source.poll_ns == window_ns


def test_source_that_was_given_up_is_tried_again_and_may_come_back(tuner):
    source, params = tuned(tuner, [60_000] * 20)
    windows = []
    for _ in range(600):
        windows.append(tuner.poll_source_window_ns(source, params, 45_000))
        tuner.poll_source_tune(source, params, 5000 if windows[-1] else 60_000)
        if source.poll_ns:
            break
    assert windows.count(0) == len(windows) - 1 < 256
    assert windows[-1] == 32768
    assert source.history.waits == 1


def planned(
    tuner, took, age_ns, *, hybrid=True, late=(20_000, 2000), waits=(), wake_ns=45_000
):
    """Return what is planned for a call of known times, in flight since age_ns."""
    poll, params = tuned(tuner, waits or took)
    params.hybrid = hybrid
    source, costs = _tuner.CallSource(), _tuner.SleepCosts()
    tuner.call_source_init(source, 0)
    source.poll = poll
    for ns in took:
        tuner.moving_add(source.took, ns)
    costs.wake_ns, costs.late = wake_ns, _tuner.Moving(*late)
    return tuner.call_source_plan(source, params, costs, age_ns)


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
        ({"age_ns": 265_500}, _tuner.BLOCK),  # neither nap nor window fits
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
    assert plan.nap_ns + 50_000 + 45_000 < 300_000  # timer slack and a wake-up


@pytest.mark.parametrize("base_ns", [20_000, 60_000, 130_000])
def test_naps_come_to_be_in_time_however_late_sleeps_are(tuner, base_ns):
    """Those that are not in time tell so: else what was learned were the best cases."""
    params, source = _tuner.Params(32768, 0, 0, True), _tuner.CallSource()
    costs, rng, hits = _tuner.SleepCosts(45_000), random.Random(1), 0
    tuner.call_source_init(source, 0)
    tuner.sleep_costs_init(costs)
    for number in range(2000):
        plan = tuner.call_source_plan(source, params, costs, 0)
        if plan.choice == _tuner.NAP:
            late_ns = base_ns + rng.randrange(10_000)
            in_time = plan.nap_ns + late_ns < 300_000
            hits += in_time and number >= 1000
            woken_ns = min(plan.nap_ns + late_ns, 300_000 + 45_000)
            tuner.sleep_costs_late(costs, woken_ns - plan.nap_ns, in_time)
        tuner.poll_source_tune(source.poll, params, 300_000)
        tuner.moving_add(source.took, 300_000)
    assert hits > 900


def test_try_that_is_not_one_is_forgotten(tuner):
    """It fell on a call that could not end in time: the next short one is no sign."""
    poll, params = tuned(tuner, [60_000] * 20)
    source, costs = _tuner.CallSource(), _tuner.SleepCosts(45_000)
    tuner.call_source_init(source, 0)
    tuner.sleep_costs_init(costs)
    source.poll = poll
    for ns in REGULAR:
        tuner.moving_add(source.took, ns)
    for _ in range(256):
        plan = tuner.call_source_plan(source, params, costs, 240_000)
        if plan.choice != _tuner.BLOCK:
            break
    assert plan.choice == _tuner.HOPELESS
    plan = tuner.call_source_plan(source, params, costs, 290_000)
    assert plan.choice == _tuner.POLL
    tuner.poll_source_tune(source.poll, params, 5000)
    assert source.poll.history.waits > 1


def test_regular_calls_that_are_too_short_for_a_nap_are_tried_again_too(tuner):
    poll, params = tuned(tuner, [45_000] * 20)
    source, costs = _tuner.CallSource(), _tuner.SleepCosts()
    tuner.call_source_init(source, 0)
    tuner.sleep_costs_init(costs)
    source.poll = poll
    for ns in [35_000, 45_000] * 20:
        tuner.moving_add(source.took, ns)
    choices = [
        tuner.call_source_plan(source, params, costs, 0).choice for _ in range(256)
    ]
    assert sorted(choices) == [_tuner.BLOCK] * 255 + [_tuner.POLL]


@settings(max_examples=300, deadline=None)
@given(
    max_ns=st.integers(0, 2**40),
    took=st.lists(st.integers(1, 2**41), max_size=30),
    age_ns=st.integers(-1, 2**42),
    late=st.tuples(st.integers(0, 2**30), st.integers(0, 2**30)),
)
def test_plan_stays_in_its_bounds(tuner, max_ns, took, age_ns, late):
    source, costs = _tuner.CallSource(), _tuner.SleepCosts()
    tuner.call_source_init(source, 0)
    costs.late = _tuner.Moving(*late)
    for ns in took:
        tuner.moving_add(source.took, ns)
    params = _tuner.Params(max_ns, 0, 0, True)
    plan = tuner.call_source_plan(source, params, costs, age_ns)
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


@pytest.fixture
def source(ctx):
    """Return a pollable source and whether its io_poll says that it is ready."""
    ready = [False]
    note = tpool.EventNotifier()
    ctx.set_event_notifier(note, note.test_and_clear, lambda: ready[0], lambda: None)
    yield note, ready
    note.close()


def test_context_s_window_grows_from_nothing_to_4000_and_by_its_factor(ctx, source):
    """A window that is always too short: what ends the wait is the fd alone."""
    note, _ = source
    ctx.set_poll_params(4_000_000_000, grow=1_000)
    note.set()
    ctx.poll()
    assert ctx.poll_ns == 4000


def test_context_s_window_never_exceeds_its_bound(ctx, source):
    note, _ = source
    ctx.set_poll_params(1500)
    for _ in range(5):
        note.set()
        ctx.poll()
        assert 0 <= ctx.poll_ns <= 1500


def test_context_s_window_stays_where_io_poll_is_quick(ctx, source):
    note, ready = source
    ctx.set_poll_params(4_000_000_000)
    note.set()
    ctx.poll()
    ready[0] = True
    before = ctx.stats().polls_hit
    ctx.poll()
    if ctx.stats().polls_hit == before:
        pytest.skip("no poll phase: only one CPU is usable")
    assert ctx.poll_ns in (4000, 8000)  # 8000 where 4 us were over already


def test_slow_source_does_not_end_the_polling_of_a_fast_one(ctx, source):
    """Kept per source: a wait that another source ended teaches the slow one nothing."""
    fast, _ = source
    slow = tpool.EventNotifier()
    ctx.set_poll_params(4_000_000_000)
    ctx.set_event_notifier(slow, slow.test_and_clear, lambda: False)
    for _ in range(3):
        fast.set()
        ctx.poll()
    grown = ctx.poll_ns
    assert grown >= 4000
    ctx.set_event_notifier(slow)
    assert ctx.poll_ns == grown
    slow.close()


def test_new_parameters_start_from_nothing(ctx, source):
    note, _ = source
    ctx.set_poll_params(4_000_000_000)
    note.set()
    ctx.poll()
    assert ctx.poll_ns == 4000
    ctx.set_poll_params(4_000_000_000)
    assert ctx.poll_ns == 0


def sleep(seconds):
    time.sleep(seconds)


def called(ctx, pool, seconds, *, until, at_most=400):
    """Call sleep() one after the other until the context's stats say enough."""
    for _ in range(at_most):
        pool.submit(sleep, seconds).result()
        if until(ctx.stats()):
            return True
    return False


def test_owner_sleeps_through_long_regular_calls_and_polls_for_the_end(ctx, pool):
    ctx.set_poll_params(2_000_000)

    def naps_and_polls(stats):
        # Not at once: on a busy machine it wakes when the call has ended.
        polls = stats.polls_hit + stats.polls_missed + stats.polls_refused
        return stats.naps > 5 and polls > 0

    assert called(ctx, pool, 0.005, until=naps_and_polls)


def test_owner_does_not_sleep_past_a_timer(ctx, pool):
    ctx.set_poll_params(2_000_000)
    assert called(ctx, pool, 0.02, until=lambda stats: stats.naps > 2)
    for _ in range(400):
        before, fired = ctx.stats(), []
        request = pool.submit(sleep, 0.02)
        timer = ctx.new_timer(lambda fired=fired: fired.append(True))
        timer.mod_ns(time.monotonic_ns() + 1_000_000)
        while not (fired or request.done()):
            ctx.poll()
        after = ctx.stats()
        timer.cancel()
        request.result()
        assert after.naps == before.naps
        if after.polls_hopeless > before.polls_hopeless:
            assert fired
            break
    else:
        pytest.fail("no call was seen early enough")


@pytest.mark.parametrize(("max_ns", "hybrid"), [(2_000_000, False), (100_000, True)])
def test_owner_only_blocks_for_calls_that_are_too_long_or_where_it_may_not_nap(
    ctx, pool, max_ns, hybrid
):
    ctx.set_poll_params(max_ns, hybrid=hybrid)
    assert not called(ctx, pool, 0.005, until=lambda stats: stats.naps, at_most=40)
    assert ctx.poll_hybrid is hybrid


def test_owner_does_not_poll_for_a_call_that_takes_longer(ctx, pool):
    """The window is never shrunk, and yet it is not polled in vain."""
    ctx.set_poll_params(1_000_000, shrink=1)
    assert called(ctx, pool, 0, until=lambda _: ctx.poll_ns > 0)
    assert called(ctx, pool, 0.02, until=lambda stats: stats.polls_hopeless > 5)


def test_worker_that_polls_long_is_woken_now_and_then_to_see_what_it_takes(ctx, pool):
    ctx.set_poll_params(4_000_000)

    def one():
        spin(1_200_000)
        pool.submit(int).result()

    for _ in range(20):
        one()  # its history grows
    before = pool.stats().wakeups
    for _ in range(270):
        one()
    assert pool.stats().wakeups - before >= 2


def test_slow_callable_does_not_end_the_polling_for_a_fast_one(ctx, pool):
    for _ in range(30):
        pool.submit(time.monotonic).result()
    polled = ctx.poll_ns
    pool.submit(sleep, 0.01).result()
    for _ in range(12):
        pool.submit(sleep, 0.01).result()
    assert ctx.poll_ns == 0  # of the calls that were waited for last
    assert ctx.stats().polls_skipped > 0
    assert pool.stats().polls_skipped > 0
    for _ in range(100):  # one may be done before the owner waits
        pool.submit(time.monotonic).result()
    if polled:
        assert ctx.poll_ns > 0


def test_callable_that_nobody_has_waited_for_leaves_the_window_alone(ctx, background):
    """It was submitted, by another thread, and is done while another is waited for."""
    gate = threading.Event()
    with tpool.ThreadPool(ctx, min_threads=2, max_threads=2) as pool:
        slow = pool.submit(gate.wait)
        background(lambda: (wait_blocked(ctx), pool.submit(time.monotonic)))
        ctx.poll()
        assert 0 <= ctx.poll_ns <= ctx.poll_max_ns
        gate.set()
        assert slow.result()


def test_parameters_that_a_signal_handler_sets_during_a_wait_hold_after_it(ctx, pool):
    ctx.set_poll_params(2_000_000_000)
    for _ in range(16):
        pool.submit(sleep, 0.001).result()
    before = signal.signal(signal.SIGALRM, lambda *_: ctx.set_poll_params(1000))
    try:
        request = pool.submit(sleep, 0.05)
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        request.result()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ctx.poll_ns <= ctx.poll_max_ns == 1000


def test_calls_that_are_made_while_others_are_submitted_are_counted_at_one_place(pool):
    """Else places stay in use for ever, and nothing is known of who is there."""

    def fresh(text):
        names = {"time": time}
        exec(f"def f(): {text}", names)
        return names["f"]

    pool.ctx.set_poll_params(1_000_000)
    others = [fresh("pass") for _ in range(400)]
    rng = random.Random(1)
    for _ in range(300):
        gate, requests = threading.Event(), []

        def arguments(gate=gate, requests=requests):
            yield ()
            requests.append(pool.submit(gate.wait))
            requests += [pool.submit(other) for other in rng.sample(others, 12)]
            yield ()

        requests += pool.submit_many(rng.choice(others), arguments())
        gate.set()
        for request in requests:
            request.result()
    regular = [fresh("time.sleep(0.004)") for _ in range(4)]
    for call in regular:
        before = pool.ctx.stats().naps
        for _ in range(60):
            pool.submit(call).result()
            if pool.ctx.stats().naps > before:
                break
        assert pool.ctx.stats().naps > before
