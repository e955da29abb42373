# SPDX-License-Identifier: MIT
"""Invariants L, B, A and N of notify.h, seen from Python; models prove them."""

from __future__ import annotations

import random
import threading
import time

import pytest
from conftest import is_blocked, needs_polling, spin, wait_blocked, wait_until

import tpool

pytestmark = pytest.mark.timeout(30)


def test_l_post_before_poll_keeps_it_from_blocking(ctx, background):
    for _ in range(100):
        background(ctx.call_soon, int).finish()
        assert ctx.poll() is True


@pytest.mark.parametrize("max_ns", [0, 100_000])
def test_l_post_at_any_moment_of_a_blocking_poll_is_dispatched_by_it(
    ctx, background, max_ns
):
    ctx.set_poll_params(max_ns)
    rng, n = random.Random(max_ns), 3000
    turn, ran = threading.Semaphore(0), []
    delays = [rng.randrange(60_000) for _ in range(n)]

    def post():
        for i, ns in enumerate(delays):
            turn.acquire()
            spin(ns)
            ctx.call_soon(ran.append, i)

    background(post)
    for i in range(n):
        turn.release()
        while not ctx.poll():
            pass
        assert ran == [i]
        ran.clear()


def test_l_bare_notify_at_any_moment_ends_a_blocking_poll(ctx, background):
    rng, n = random.Random(1), 3000
    turn = threading.Semaphore(0)
    delays = [rng.randrange(60_000) for _ in range(n)]

    def post():
        for ns in delays:
            turn.acquire()
            spin(ns)
            ctx.notify()

    background(post)
    for _ in range(n):
        turn.release()
        assert ctx.poll() is False


def test_b_no_write_while_nobody_polls(ctx):
    assert ctx.notify_me == 0
    for _ in range(100):
        ctx.call_soon(int)
        ctx.notify()
    assert ctx.stats().notifier_writes == 0


def test_b_no_write_for_what_the_owner_posts_to_itself(ctx):
    left = [200]

    def again():
        left[0] -= 1
        if left[0]:
            ctx.call_soon(again)

    ctx.call_soon(again)
    while left[0]:
        ctx.poll()
    assert ctx.stats().notifier_writes == 0


@needs_polling
def test_b_no_write_while_the_owner_is_in_its_poll_phase(ctx, background):
    """io_poll runs in the poll phase: what it lets another thread post is silent."""
    ctx.set_poll_params(2_000_000_000)
    note, ran, phases = tpool.EventNotifier(active=True), [], []

    def io_poll():
        writes, raised = ctx.stats().notifier_writes, ctx.notify_me
        background(ctx.call_soon, ran.append, 1).finish()
        background(ctx.notify).finish()
        phases.append((raised, ctx.stats().notifier_writes - writes))
        return False

    ctx.set_event_notifier(note, note.test_and_clear, io_poll)
    ctx.poll()  # the fd is ready: the source's window grows from nothing
    assert phases == []
    ctx.poll()
    assert phases[0] == (2, 0)
    assert ran
    note.close()


def test_b_at_most_one_write_for_each_time_the_owner_blocks(ctx, background):
    def post():
        wait_blocked(ctx)
        for _ in range(100):
            ctx.call_soon(int)

    for blocks in range(1, 11):
        poster = background(post)
        ctx.acquire()  # nobody may see it blocked before it does
        ctx.release()
        ctx.poll()
        poster.join()
        while ctx.poll(False):
            pass
        assert ctx.stats().notifier_writes == blocks


def test_a_notify_me_is_raised_whenever_the_blocked_owner_lets_go(ctx, background):
    seen, stop = [], threading.Event()

    def own():
        while not stop.is_set():
            ctx.poll()

    owner = background(own)
    wait_blocked(ctx)
    for _ in range(500):
        turns = ctx.stats().turns
        ctx.acquire()
        seen.append(ctx.notify_me)
        ctx.notify()  # it wakes up, and waits for the context
        seen.append(ctx.notify_me)
        for _ in range(20):
            time.sleep(0)
        seen.append(ctx.notify_me)
        ctx.release()
        wait_until(lambda turns=turns: ctx.stats().turns > turns and is_blocked(ctx))
    stop.set()
    ctx.notify()
    owner.finish()
    assert set(seen) == {2}
    assert ctx.notify_me == 0


@needs_polling
def test_n_nested_blocking_polls_raise_and_lower_in_pairs(ctx, background):
    seen = []

    def io_poll():  # called within a blocking poll
        seen.append(ctx.notify_me)
        if len(seen) < 3:
            ctx.call_soon(int)
            ctx.poll()
            seen.append(ctx.notify_me)
        return True

    ctx.set_poll_params(1_000_000_000)
    note = tpool.EventNotifier(active=True)
    ctx.set_event_notifier(note, note.test_and_clear, io_poll, lambda: None)
    ctx.poll()
    ctx.poll()
    assert seen[0] == 2
    assert set(seen) == {2}
    assert ctx.notify_me == 0
    note.close()


@needs_polling
def test_n_nested_poll_that_blocks_raises_by_two_more(ctx, background):
    ctx.set_poll_params(1_000_000_000)
    note, seen = tpool.EventNotifier(active=True), []

    def io_poll():
        if not seen:
            watcher = background(
                lambda: (wait_blocked(ctx), seen.append(ctx.notify_me))
            )
            watcher2 = background(lambda: (wait_seen(), ctx.call_soon(int)))
            ctx.set_event_notifier(note)  # only the outer poll polls
            while not seen:
                ctx.poll()
            watcher.finish()
            watcher2.finish()
        return True

    def wait_seen():
        while not seen:
            time.sleep(0)

    ctx.set_event_notifier(note, note.test_and_clear, io_poll, lambda: None)
    ctx.poll()
    ctx.poll()
    assert seen == [4]
    assert ctx.notify_me == 0
    note.close()


@pytest.mark.parametrize("fatal", [SystemExit, KeyboardInterrupt])
def test_n_callbacks_that_raise_leave_notify_me_at_zero(ctx, fatal, unraisable):
    def leave():
        raise fatal

    def nested():
        ctx.call_soon(leave)
        ctx.poll()

    ctx.call_soon(lambda: 1 / 0)
    ctx.poll()
    ctx.new_timer(leave).mod_ns(0)
    ctx.call_soon(nested)
    with pytest.raises(fatal):
        ctx.poll()
    with pytest.raises(fatal):
        ctx.poll()
    assert ctx.notify_me == 0
    assert len(unraisable) == 1
    ctx.call_soon(int)
    assert ctx.poll() is True


@needs_polling
@pytest.mark.parametrize("fatal", [SystemExit, KeyboardInterrupt])
def test_n_io_poll_that_raises_in_the_poll_phase_leaves_notify_me_at_zero(ctx, fatal):
    def leave():
        raise fatal

    ctx.set_poll_params(1_000_000_000)
    note = tpool.EventNotifier(active=True)
    ctx.set_event_notifier(note, note.test_and_clear, leave)
    ctx.poll()  # the fd is ready: the source's window grows from nothing
    with pytest.raises(fatal):
        ctx.poll()
    assert ctx.notify_me == 0
    note.close()
