# SPDX-License-Identifier: MIT
"""prepare(), check() and dispatch(): a context inside of another event loop."""

from __future__ import annotations

import select
import signal
import time
from contextlib import nullcontext
from functools import partial

import pytest
from conftest import needs_polling, poll_until, wait_blocked, wait_until

import tpool
import tpool._core as _core

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def watcher(ctx):
    """Return what a foreign loop looks at: the one fd of the context."""
    poll = select.poll()
    poll.register(ctx.fileno(), select.POLLIN)
    return poll


def test_foreign_loop_is_woken_by_a_post(ctx, background, watcher):
    ran = []
    assert ctx.prepare() == -1
    assert ctx.notify_me == 1
    background(ctx.call_soon, ran.append, 1)
    assert watcher.poll(30_000)
    assert ctx.check() is True
    assert ctx.notify_me == 0
    assert ctx.dispatch() is True
    assert ran == [1]
    assert ctx.dispatch() is False
    assert ctx.prepare() == -1
    assert not watcher.poll(0)
    assert ctx.check() is False


def test_foreign_loop_is_told_of_work_timers_and_idle_time(ctx):
    ctx.call_soon(lambda: None)
    assert ctx.prepare() == 0
    assert ctx.check() is True
    assert ctx.dispatch() is True
    timer = ctx.new_timer(lambda: None)
    timer.mod_ns(time.monotonic_ns() + 3_600_000_000_000)
    assert 0 < ctx.prepare() <= 3_600_000_000_000
    assert ctx.check() is False
    idle = ctx.new_bh(lambda: None)
    idle.schedule_idle()
    assert 0 < ctx.prepare() <= 10_000_000
    idle.cancel()
    timer.mod_ns(0)
    assert ctx.prepare() == 0
    assert ctx.check() is True
    assert ctx.dispatch() is True
    assert not timer.pending


def test_foreign_loop_sees_an_fd_handler_through_the_one_fd(ctx, watcher):
    ran = []
    note = tpool.EventNotifier()
    ctx.set_event_notifier(note, lambda: ran.append(note.test_and_clear()))
    ctx.prepare()
    note.set()
    assert watcher.poll(30_000)
    assert ctx.check()
    assert ctx.dispatch()
    assert ran == [True]


def test_nested_poll_while_a_foreign_loop_waits_keeps_it_woken(ctx, watcher):
    ran = []
    ctx.prepare()
    for i in range(200):
        ctx.call_soon(ran.append, i)
    ctx.poll()  # a callback of the foreign loop waits for something
    assert ctx.notify_me == 1
    assert watcher.poll(0), "the rest of the batch is not announced"
    ctx.check()
    poll_until(ctx, lambda: len(ran) == 200)


def test_timer_that_the_owner_sets_while_a_foreign_loop_waits_ends_the_wait(
    ctx, watcher
):
    """What prepare() said how long to wait is too long then."""
    timer = ctx.new_timer(int)
    assert ctx.prepare() == -1
    timer.mod_ns(time.monotonic_ns() + 3_600_000_000_000)
    assert watcher.poll(0)
    ctx.check()
    assert ctx.prepare() > 0
    assert not watcher.poll(0)


def test_timer_set_in_a_nested_poll_while_a_foreign_loop_waits_ends_the_wait(
    ctx, watcher
):
    timer = ctx.new_timer(int)
    ctx.prepare()
    ctx.call_soon(timer.mod_ns, time.monotonic_ns() + 3_600_000_000_000)
    ctx.poll()
    assert watcher.poll(0)
    ctx.check()
    assert ctx.prepare() > 0
    assert not watcher.poll(0)


def test_foreign_loop_is_not_woken_for_what_is_no_sooner_than_it_was_told(ctx, watcher):
    """Who sets a watchdog anew before each wait would make it spin."""
    hour_ns = 3_600_000_000_000
    watchdog = ctx.new_timer(int)
    watchdog.mod_ns(time.monotonic_ns() + hour_ns)
    assert 0 < ctx.prepare() <= hour_ns
    writes = ctx.stats().notifier_writes
    watchdog.mod_ns(time.monotonic_ns() + 2 * hour_ns)
    assert not watcher.poll(0)
    ctx.poll(False)
    assert not watcher.poll(0)
    watchdog.cancel()
    note = tpool.EventNotifier()
    ctx.set_event_notifier(note, int)
    assert not watcher.poll(0)
    ctx.set_event_notifier(note)
    assert ctx.stats().notifier_writes == writes
    ctx.check()


def foreign_turn(ctx, watcher):
    """Do what a foreign loop does once."""
    if ctx.prepare() != 0:
        assert watcher.poll(30_000)
    ctx.check()
    ctx.dispatch()


def phases(ctx):
    stats = ctx.stats()
    return stats.polls_hit + stats.polls_missed + stats.polls_refused


@needs_polling
def test_prepare_polls_for_requests_before_a_foreign_loop_waits(ctx, pool, watcher):
    ctx.set_poll_params(1_000_000_000)
    while not phases(ctx):  # when a foreign wait has taught it
        request = pool.submit(int)
        while not request.done():
            foreign_turn(ctx, watcher)
    assert ctx.poll_ns > 0
    assert ctx.prepare() == -1
    assert ctx.notify_me == 1


def test_prepare_does_not_poll_for_nothing(ctx, background, watcher):
    ctx.set_poll_params(1_000_000_000)
    for _ in range(5):
        background(ctx.notify)
        foreign_turn(ctx, watcher)
    assert (phases(ctx), ctx.poll_ns) == (0, 0)


@needs_polling
def test_prepare_stops_polling_for_calls_that_outlast_the_bound(
    ctx, pool, gate, watcher
):
    bound_ns = 1_000_000
    ctx.set_poll_params(bound_ns)
    while not ctx.poll_ns:
        request = pool.submit(int)
        while not request.done():
            foreign_turn(ctx, watcher)
    request = pool.submit(gate.wait)
    wait_until(lambda: pool.stats().running == 1)
    assert ctx.prepare() == -1
    started_ns = time.monotonic_ns()
    wait_until(lambda: time.monotonic_ns() > started_ns + 2 * bound_ns)
    gate.set()
    assert watcher.poll(30_000)
    assert ctx.check()
    assert ctx.poll_ns == 0
    ctx.dispatch()
    assert request.done()


@needs_polling
def test_signal_handler_that_raises_in_prepare_leaves_nothing_raised(ctx, pool, gate):
    seen = []

    def interrupt(*_):
        seen.append(ctx.notify_me)
        raise InterruptedError

    def interrupted_in_prepare():
        seen.clear()
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            ctx.prepare()
        except InterruptedError:
            return True
        with pytest.raises(InterruptedError):  # owner and worker were on one CPU
            wait_until(lambda: seen)
        ctx.check()
        return False

    ctx.set_poll_params(2**62, 1_000_000)
    while ctx.poll_ns < 1_000_000_000:  # longer than the signal takes
        pool.submit(time.sleep, 0.01).result()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        request = pool.submit(gate.wait)
        wait_until(interrupted_in_prepare, turn=int)
        assert seen == [1]
        assert ctx.notify_me == 0
        gate.set()
        assert request.result() is True
    finally:
        signal.signal(signal.SIGALRM, before)


def hour():
    return time.monotonic_ns() + 3_600_000_000_000


def is_still_told(ctx, watcher):
    """Whether a loop that waits for ever hears of a timer, once, and then ends."""
    assert ctx.notify_me == 1
    assert not watcher.poll(0)
    timer = ctx.new_timer(int)
    timer.mod_ns(hour())
    heard = bool(watcher.poll(0))
    timer.cancel()
    ctx.check()
    assert ctx.notify_me == 0
    return heard


def raising(then, exc=KeyboardInterrupt):
    then()
    raise exc


# What a turn between prepare() and check() may do besides.
INSIDE = {
    "nothing": lambda ctx: None,
    "prepare": lambda ctx: ctx.prepare(),
    "prepare twice": lambda ctx: (ctx.prepare(), ctx.prepare()),
    "a whole foreign turn": lambda ctx: (ctx.prepare(), ctx.check(), ctx.dispatch()),
    "check": lambda ctx: ctx.check(),
    "poll": lambda ctx: ctx.poll(False),
    "prepare in a poll of its own": lambda ctx: (
        ctx.call_soon(ctx.prepare),
        ctx.poll(False),
    ),
    "raise": lambda ctx: raising(int),
    "prepare and raise": lambda ctx: raising(ctx.prepare),
    "check and raise": lambda ctx: raising(ctx.check),
}


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("blocking", [False, True])
def test_a_turn_between_prepare_and_check_leaves_the_wait_as_it_was(
    ctx, watcher, inside, blocking
):
    assert ctx.prepare() == -1
    ctx.call_soon(INSIDE[inside], ctx)
    watcher.poll(0)
    raises = pytest.raises(KeyboardInterrupt) if "raise" in inside else nullcontext()
    with raises:
        ctx.poll(blocking)
    assert is_still_told(ctx, watcher)


@pytest.mark.parametrize("inside", ["prepare", "prepare twice", "prepare and raise"])
def test_prepare_in_a_turn_is_a_wait_of_its_own(ctx, watcher, inside):
    ctx.call_soon(INSIDE[inside], ctx)
    raises = pytest.raises(KeyboardInterrupt) if "raise" in inside else nullcontext()
    with raises:
        ctx.poll(False)
    assert is_still_told(ctx, watcher)


@pytest.mark.parametrize("first", [True, False])
def test_who_waits_for_longest_is_told_of_a_timer_that_is_later_than_the_other(
    ctx, watcher, first
):
    """Two were told something; which of them the loop goes by nobody knows."""
    soon, later = ctx.new_timer(int), ctx.new_timer(int)

    def other():
        (soon.cancel if first else partial(soon.mod_ns, hour()))()
        assert (ctx.prepare() < 0) is first
        soon.cancel()

    if first:
        soon.mod_ns(hour())
    assert (ctx.prepare() > 0) is first
    ctx.call_soon(other)
    ctx.poll(False)
    while watcher.poll(0):  # the timer that came and went
        ctx.poll(False)
    later.mod_ns(hour() + 3_600_000_000_000)
    assert watcher.poll(0)
    ctx.check()


@needs_polling
def test_prepare_that_raises_leaves_the_wait_before_as_it_was(ctx, pool, gate, watcher):
    """A handler of a signal raises while prepare() polls, after it was told once."""
    seen = []

    def interrupt(*_):
        if ctx.notify_me == 1:
            seen.append(1)
            raise InterruptedError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        ctx.set_poll_params(2**62, 1_000_000)
        while ctx.poll_ns < 1_000_000_000:
            pool.submit(time.sleep, 0.01).result()
        assert ctx.prepare() == -1
        pool.submit(gate.wait)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        with pytest.raises(InterruptedError):
            wait_until(lambda: ctx.prepare() and None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == [1]
    assert is_still_told(ctx, watcher)


def test_prepare_of_a_loop_s_context_polls_for_nothing_but_calls(background):
    ctx = _core.AioContext(50_000_000)
    ctx._interleave()
    while not ctx.poll_ns:  # posts that come soon make a window for posts
        background(lambda: (wait_blocked(ctx), ctx._post(int, 1)))
        ctx._poll_for(30_000_000_000)
    before = ctx._stats()
    for _ in range(20):
        ctx.prepare()
        ctx.check()
        ctx.dispatch()
    after = ctx._stats()
    assert after["polled_ns"] == before["polled_ns"]
    assert after["polls_missed"] == before["polls_missed"]
    ctx.close()
