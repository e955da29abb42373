# SPDX-License-Identifier: MIT
"""The window of a source of work: QEMU's rule and the history, on the C files."""

from __future__ import annotations

import ctypes

import _tuner
import pytest
from conftest import tuned
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.timeout(120)
MAX = 2**63 - 1
KEEP, GROW, SHRINK = _tuner.KEEP, _tuner.GROW, _tuner.SHRINK
NS = st.integers(0, MAX)


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


# What is beyond QEMU's rule: the history of a source.


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
    params, source = _tuner.Params(max_ns, 0, 0, True), _tuner.PollWindow()
    tuner.poll_window_init(source, 0)
    windows = []
    for _ in range(200):  # less than it takes to try again what was given up
        windows.append(tuner.poll_window_next_ns(source, params, wake_ns))
        tuner.poll_window_tune(source, params, wait_ns)
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
    params, source = _tuner.Params(max_ns, grow, shrink, True), _tuner.PollWindow()
    tuner.poll_window_init(source, 0)
    poll_ns = 0
    for wait_ns in waits:
        verdict = tuner.poll_window_tune(source, params, wait_ns)
        poll_ns, want = rule(max_ns, grow, shrink, poll_ns, wait_ns)
        assert (source.poll_ns, verdict) == (poll_ns, want)


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
        windows.append(tuner.poll_window_next_ns(source, params, 45_000))
        tuner.poll_window_tune(source, params, 5000 if windows[-1] else 60_000)
        if source.poll_ns:
            break
    assert windows.count(0) == len(windows) - 1 < 256
    assert windows[-1] == 32768
    assert source.history.waits == 1
