# SPDX-License-Identifier: MIT
"""Timers: never early, in their order, and moved or cancelled in time."""

from __future__ import annotations

import random
import time

import pytest
from conftest import poll_until, wait_blocked

import tpool

pytestmark = pytest.mark.timeout(60)
HOUR_NS = 3_600_000_000_000


def test_timer_is_never_early(ctx):
    fired = []
    rng = random.Random(2)
    for _ in range(30):
        expire_ns = time.monotonic_ns() + rng.randrange(2_000_000)
        timer = ctx.new_timer(lambda: fired.append(time.monotonic_ns()))
        timer.mod_ns(expire_ns)
        while timer.pending:
            ctx.poll()
        assert fired.pop() >= expire_ns
        assert not fired


def test_blocking_poll_returns_with_progress_when_a_timer_is_due(ctx):
    fired = []
    ctx.new_timer(lambda: fired.append(1)).mod_ns(time.monotonic_ns() + 3_000_000)
    while not ctx.poll():
        pass
    assert fired == [1]


def test_equal_times_go_off_in_the_order_in_which_they_were_set(ctx):
    fired = []
    timers = [ctx.new_timer(lambda i=i: fired.append(i)) for i in range(20)]
    order = list(range(20))
    random.Random(3).shuffle(order)
    for i in order:
        timers[i].mod_ns(1000)
    ctx.poll(False)
    assert fired == order


def test_timers_go_off_in_the_order_of_their_times(ctx):
    fired, rng = [], random.Random(4)
    times = [rng.randrange(1, 10_000) for _ in range(300)]
    for expire_ns in times:
        ctx.new_timer(lambda t=expire_ns: fired.append(t)).mod_ns(expire_ns)
    poll_until(ctx, lambda: len(fired) == 300)
    assert fired == sorted(times)


def test_cancel_and_mod_of_any_timer_keep_the_order_of_the_rest(ctx):
    fired, rng, want = [], random.Random(5), {}
    timers = [ctx.new_timer(lambda i=i: fired.append(i)) for i in range(100)]
    for _ in range(2000):
        i = rng.randrange(100)
        if rng.random() < 0.3:
            timers[i].cancel()
            want.pop(i, None)
        else:
            want.pop(i, None)
            want[i] = rng.randrange(1, 50)
            timers[i].mod_ns(want[i])
        assert timers[i].pending == (i in want)
    poll_until(ctx, lambda: not any(timer.pending for timer in timers))
    assert fired == sorted(want, key=lambda i: want[i])  # stable: order of setting


def test_mod_moves_a_timer_either_way(ctx):
    fired = []
    timer = ctx.new_timer(lambda: fired.append(1))
    timer.mod_ns(0)
    timer.mod_ns(time.monotonic_ns() + HOUR_NS)
    ctx.poll(False)
    assert fired == []
    assert timer.pending
    timer.mod_ns(0)
    ctx.poll(False)
    assert fired == [1]
    assert not timer.pending


def test_anticipate_moves_a_timer_only_forward(ctx):
    fired = []
    timer = ctx.new_timer(lambda: fired.append(1))
    timer.mod_ns(0)
    timer.mod_anticipate_ns(time.monotonic_ns() + HOUR_NS)
    ctx.poll(False)
    assert fired == [1]
    timer.mod_anticipate_ns(time.monotonic_ns() + HOUR_NS)
    assert timer.pending
    timer.mod_anticipate_ns(0)
    ctx.poll(False)
    assert fired == [1, 1]


def test_cancelled_timer_does_not_go_off(ctx):
    fired = []
    timer = ctx.new_timer(lambda: fired.append(1))
    timer.cancel()
    timer.mod_ns(0)
    timer.cancel()
    assert not timer.pending
    assert ctx.poll(False) is False
    assert fired == []


def test_timer_cancelled_by_another_in_the_same_turn_does_not_go_off(ctx):
    fired = []
    second = ctx.new_timer(lambda: fired.append(2))
    first = ctx.new_timer(lambda: (fired.append(1), second.cancel()))
    first.mod_ns(1)
    second.mod_ns(2)
    ctx.poll(False)
    assert fired == [1]


def test_timer_that_sets_itself_goes_off_once_a_turn(ctx):
    fired = []
    timer = ctx.new_timer(lambda: (fired.append(1), timer.mod_ns(0)))
    timer.mod_ns(0)
    for turns in range(1, 5):
        assert ctx.poll() is True
        assert len(fired) == turns
    timer.cancel()


def test_pending_is_false_in_the_callback(ctx):
    seen = []
    timer = ctx.new_timer(lambda: seen.append(timer.pending))
    timer.mod_ns(0)
    ctx.poll(False)
    assert seen == [False]


def test_timer_that_raises_is_reported_and_the_others_go_off(ctx, unraisable):
    fired = []
    ctx.new_timer(lambda: 1 / 0).mod_ns(1)
    ctx.new_timer(lambda: fired.append(1)).mod_ns(2)
    assert ctx.poll(False) is True
    assert fired == [1]
    assert [type(error) for error in unraisable] == [ZeroDivisionError]


def test_timer_that_raises_systemexit_leaves_poll_and_the_others_stay(ctx):
    fired = []

    def leave():
        raise SystemExit(3)

    ctx.new_timer(leave).mod_ns(1)
    ctx.new_timer(lambda: fired.append(1)).mod_ns(2)
    with pytest.raises(SystemExit):
        ctx.poll(False)
    assert ctx.poll() is True
    assert fired == [1]


def test_timer_goes_off_in_a_nested_poll_and_only_once(ctx):
    fired = []
    timer = ctx.new_timer(lambda: fired.append("inner"))
    outer = ctx.new_timer(lambda: (fired.append("outer"), ctx.poll(False)))
    outer.mod_ns(1)
    timer.mod_ns(2)
    ctx.poll(False)
    assert fired == ["outer", "inner"]


def test_set_by_another_thread_it_shortens_the_sleep_of_the_owner(ctx, background):
    fired = []
    timer = ctx.new_timer(lambda: fired.append(1))
    timer.mod_ns(time.monotonic_ns() + HOUR_NS)

    def post():
        wait_blocked(ctx)
        timer.mod_ns(0)

    background(post)
    while not fired:
        ctx.poll()


def test_pending_timer_is_kept_by_its_context_and_dropped_by_close():
    fired = []
    with tpool.AioContext() as ctx:
        ctx.new_timer(lambda: fired.append(1)).mod_ns(0)
        ctx.poll(False)
        late = ctx.new_timer(lambda: fired.append(2))
        late.mod_ns(0)
    assert fired == [1]
    assert not late.pending
    late.cancel()


def test_clock_is_the_monotonic_one_and_wall_time_is_never_read(ctx, monkeypatch):
    def forbidden():
        raise AssertionError("wall time was read")

    monkeypatch.setattr(time, "time", forbidden)
    fired = []
    timer = ctx.new_timer(lambda: fired.append(1))
    timer.mod_ns(time.monotonic_ns() + HOUR_NS)  # in the past of the wall clock
    ctx.poll(False)
    assert fired == []
    timer.mod_ns(time.monotonic_ns())
    ctx.poll(False)
    assert fired == [1]
