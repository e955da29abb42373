# SPDX-License-Identifier: MIT
"""Self-tuning as a context and a pool show it."""

from __future__ import annotations

import ctypes
import random
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import needs_polling, spin, task_state, wait_blocked, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)


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


@needs_polling
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


def called(ctx, pool, seconds, *, until, at_most=4000):
    """Call sleep() one after the other until the context's stats say enough."""
    for _ in range(at_most):
        pool.submit(sleep, seconds).result()
        if until(ctx.stats()):
            return True
    return False


@needs_polling
def test_owner_sleeps_through_long_regular_calls_and_polls_for_the_end(ctx, pool):
    ctx.set_poll_params(2_000_000)

    def naps_and_polls(stats):
        # Not at once: on a busy machine it wakes when the call has ended.
        polls = stats.polls_hit + stats.polls_missed + stats.polls_refused
        return stats.naps > 5 and polls > 0

    assert called(ctx, pool, 0.005, until=naps_and_polls)


PR_SET_TIMERSLACK = 29


def slack_ns(tid):
    """Return by how much the kernel may put a thread's sleeps off."""
    return int(Path(f"/proc/{tid}/timerslack_ns").read_text())


@needs_polling
@pytest.mark.skipif(sys.platform != "linux", reason="timers have no slack")
def test_owner_is_punctual_while_it_naps_and_as_it_was_then(ctx, pool):
    """50 us of slack would be more than a nap saves."""
    tid, seen = threading.get_native_id(), set()
    try:
        pool.submit(slack_ns, tid).result()
    except PermissionError:
        pytest.skip("to read it of another thread takes CAP_SYS_NICE")
    ctx.set_poll_params(2_000_000)

    def looks():
        sleep(0.004)
        seen.add(slack_ns(tid))
        sleep(0.001)

    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_TIMERSLACK, 77_777)
    try:
        wait_until(lambda: 1 in seen, lambda: pool.submit(looks).result())
        assert seen <= {1, 77_777}
        assert slack_ns(tid) == 77_777
    finally:
        libc.prctl(PR_SET_TIMERSLACK, 0)  # what it had at first


@needs_polling
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


@needs_polling
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


@needs_polling
def test_slow_callable_does_not_end_the_polling_for_a_fast_one(ctx, pool):
    ctx.set_poll_params(200_000)  # a fast one takes less, on a busy machine as well

    def is_polled_for():
        pool.submit(time.monotonic).result()
        return ctx.poll_ns > 0

    wait_until(is_polled_for)
    for _ in range(13):
        pool.submit(sleep, 0.01).result()
    assert ctx.poll_ns == 0  # of the calls that were waited for last
    assert ctx.stats().polls_skipped > 0
    assert pool.stats().polls_skipped > 0
    wait_until(is_polled_for)


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


@needs_polling
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
        wait_until(
            lambda before=before: pool.ctx.stats().naps > before,
            lambda call=call: pool.submit(call).result(),
        )


@needs_polling
@pytest.mark.parametrize("bound", [2**45, 60 * 10**9])
def test_worker_stops_polling_when_it_is_switched_off(bound):
    """In the middle of a phase that would last for a minute, or for hours."""
    with tpool.AioContext(bound, 2**44) as ctx, tpool.ThreadPool(ctx, 0, 1) as pool:
        tid = pool.submit(threading.get_native_id).result()

        def polls():
            pool.submit(int).result()
            return pool.stats().poll_ns == bound and task_state(tid) == "R"

        wait_until(polls)
        ctx.set_poll_params(0)
        wait_until(lambda: task_state(tid) == "S")
