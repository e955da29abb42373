# SPDX-License-Identifier: MIT
"""AioContext: its parameters, its turns, its owner and its end."""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import sys
import threading
import time
import weakref

import pytest
from conftest import spin, wait_blocked

import tpool
from tpool.aio_context import default_poll_max_ns

pytestmark = pytest.mark.timeout(60)


def test_new_context_without_arguments_has_the_defaults(monkeypatch):
    monkeypatch.delenv("TPOOL_POLL_MAX_NS", raising=False)
    with tpool.AioContext() as ctx:
        assert (ctx.poll_max_ns, ctx.poll_grow, ctx.poll_shrink) == (32_768, 0, 0)
        assert (ctx.poll_ns, ctx.poll_disable_cnt, ctx.notify_me) == (0, 0, 0)
        assert not ctx.notified
        assert not ctx.closed


def test_new_context_with_arguments_has_them():
    with tpool.AioContext(poll_max_ns=7, poll_grow=3, poll_shrink=5) as ctx:
        assert (ctx.poll_max_ns, ctx.poll_grow, ctx.poll_shrink) == (7, 3, 5)


@pytest.mark.parametrize(("text", "ns"), [("0", 0), ("5000", 5000)])
def test_environment_variable_overrides_the_default_bound(monkeypatch, text, ns):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", text)
    assert default_poll_max_ns() == ns
    with tpool.AioContext() as ctx, tpool.IOThread() as iothread:
        assert ctx.poll_max_ns == ns
        assert iothread.ctx.poll_max_ns == ns


def test_environment_variable_does_not_override_an_argument(monkeypatch):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", "5000")
    with tpool.AioContext(poll_max_ns=11) as ctx:
        assert ctx.poll_max_ns == 11


@pytest.mark.parametrize("text", ["", "-1", "1.5", "many", "0x10"])
def test_environment_variable_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", text)
    with pytest.raises(ValueError, match=f"TPOOL_POLL_MAX_NS.*{text!r}"):
        tpool.AioContext()


def test_poll_without_blocking_and_without_work_makes_no_progress(ctx):
    assert ctx.poll(False) is False
    assert ctx.poll(blocking=False) is False


def test_poll_without_blocking_sees_all_that_is_ready_in_the_promised_order(ctx):
    ran = []
    note = tpool.EventNotifier(active=True)
    ctx.new_timer(lambda: ran.append("timer")).mod_ns(0)
    ctx.set_event_notifier(note, lambda: ran.append("fd"))
    ctx.call_soon(ran.append, "bottom half")
    assert ctx.poll(False) is True
    assert ran == ["bottom half", "fd", "timer"]
    note.close()


def test_blocking_poll_returns_when_another_thread_schedules(ctx, background):
    ran = []

    def post():
        wait_blocked(ctx)
        ctx.call_soon(ran.append, 1)

    background(post)
    assert ctx.poll() is True
    assert ran == [1]


def test_notify_wakes_a_blocked_poll_which_reports_no_progress(ctx, background):
    def post():
        wait_blocked(ctx)
        ctx.notify()

    background(post)
    assert ctx.poll() is False
    assert not ctx.notified


def test_notify_before_poll_sticks_until_it_is_accepted(ctx):
    ctx.notify()
    ctx.notify()
    assert ctx.notified
    assert ctx.poll() is False
    assert not ctx.notified


def test_acquire_is_recursive_and_keeps_the_owner_out(ctx, background):
    ran, entered = [], threading.Event()
    ctx.acquire()
    ctx.acquire()
    ctx.call_soon(ran.append, 1)

    def own():
        entered.set()
        ctx.poll(False)

    owner = background(own)
    entered.wait()
    for _ in range(2000):
        time.sleep(0)
    ctx.release()
    for _ in range(2000):
        time.sleep(0)
    assert ran == []
    ctx.release()
    owner.finish()
    assert ran == [1]


def test_release_without_acquire_is_refused(ctx, background):
    with pytest.raises(RuntimeError, match="has not acquired"):
        ctx.release()
    ctx.acquire()

    def other():
        with pytest.raises(RuntimeError, match="has not acquired"):
            ctx.release()

    background(other).finish()
    ctx.release()


def test_release_in_a_callback_cannot_undo_that_of_poll(ctx):
    errors = []

    def callback():
        ctx.acquire()
        ctx.release()
        try:
            ctx.release()
        except RuntimeError as error:
            errors.append(error)

    ctx.call_soon(callback)
    ctx.poll(False)
    assert len(errors) == 1


def test_context_belongs_to_the_first_thread_that_polls(ctx, background):
    background(ctx.poll, False).finish()
    with pytest.raises(
        RuntimeError, match=r"thread \d+ cannot turn.*belongs to thread \d+"
    ):
        ctx.poll(False)
    assert ctx.notify_me == 0


def test_turn_dispatches_a_bounded_batch_in_order_and_the_rest_next(ctx):
    ran, n = [], 1000
    for i in range(n):
        ctx.call_soon(ran.append, i)
    assert ctx.poll(True)
    assert 0 < len(ran) < n
    while len(ran) < n:
        before = len(ran)
        assert ctx.poll(True)  # does not block
        assert len(ran) > before
    assert ran == list(range(n))


def test_nested_poll_in_a_callback_dispatches_the_rest_of_the_batch(ctx):
    ran = []

    def outer():
        ran.append("outer begins")
        assert ctx.poll() is True
        ran.append("outer ends")

    ctx.call_soon(outer)
    ctx.call_soon(ran.append, "inner")
    ctx.poll()
    assert ran == ["outer begins", "inner", "outer ends"]


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_fatal_exception_leaves_poll_and_the_rest_runs_in_the_next(ctx, fatal):
    ran = []

    def leave():
        raise fatal

    ctx.call_soon(leave)
    ctx.call_soon(ran.append, "rest")
    with pytest.raises(fatal):
        ctx.poll()
    assert ran == []
    assert ctx.poll()  # does not block
    assert ran == ["rest"]


def test_callback_that_raises_is_reported_and_the_rest_runs(ctx, unraisable):
    ran = []
    ctx.call_soon(lambda: 1 / 0)
    ctx.call_soon(ran.append, "rest")
    assert ctx.poll()
    assert ran == ["rest"]
    assert [type(error) for error in unraisable] == [ZeroDivisionError]


def test_close_twice_frees_the_fds_and_says_so():
    before = os.listdir("/proc/self/fd")
    ctx = tpool.AioContext()
    assert len(os.listdir("/proc/self/fd")) > len(before)
    ctx.close()
    assert os.listdir("/proc/self/fd") == before
    assert ctx.closed
    ctx.close()


def test_close_in_a_callback_is_refused_and_all_goes_on(ctx, pool, unraisable):
    ctx.call_soon(ctx.close)
    assert ctx.poll(False)
    assert [type(error) for error in unraisable] == [RuntimeError]
    assert not ctx.closed
    assert pool.submit(abs, -1).result() == 1


def test_close_while_another_thread_polls_is_refused(ctx, background):
    owner = background(ctx.poll)
    wait_blocked(ctx)
    with pytest.raises(RuntimeError, match="being polled"):
        ctx.close()
    assert not ctx.closed
    ctx.notify()
    owner.finish()


def test_close_shuts_the_pools_down_and_cancels_what_is_queued(gate):
    ran = []
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx, max_threads=1)
        started = threading.Event()
        running = pool.submit(lambda: (started.set(), gate.wait()))
        queued = pool.submit(ran.append, 1)
        queued.add_done_callback(lambda req: ran.append(req.cancelled()))
        started.wait()
        ctx.call_soon(gate.set)
    assert ran == [True]
    assert running.done()
    assert queued.cancelled()


def test_context_is_weakly_referenced_and_freed_without_close():
    ctx = tpool.AioContext()
    read, write = os.pipe()
    ctx.call_soon(ctx.poll)  # a cycle through the completion list
    ctx.set_fd_handler(read, lambda c=ctx: c)
    ctx.new_timer(lambda c=ctx: c).mod_ns(2**62)
    ref = weakref.ref(ctx)
    del ctx
    gc.collect()
    assert ref() is None
    os.close(read)
    os.close(write)


def test_context_refuses_to_be_pickled_in_its_own_words(ctx):
    with pytest.raises(TypeError, match="an AioContext cannot be pickled"):
        pickle.dumps(ctx)


def test_set_poll_params_starts_to_learn_anew(ctx):
    ctx.set_poll_params(1000, grow=4, shrink=8)
    assert (ctx.poll_max_ns, ctx.poll_grow, ctx.poll_shrink) == (1000, 4, 8)
    ctx.set_poll_params(2000)
    assert (ctx.poll_max_ns, ctx.poll_grow, ctx.poll_shrink) == (2000, 0, 0)
    assert ctx.poll_ns == 0


def test_context_that_another_thread_has_closed_says_so(ctx, background):
    ctx.poll(False)
    background(ctx.close).finish()
    for method in (ctx.poll, ctx.prepare, ctx.check, ctx.dispatch):
        with pytest.raises(RuntimeError, match="is closed"):
            method()


def test_signal_after_the_wait_leaves_nothing_that_ends_all_others(ctx, background):
    """It comes while the owner, awake again, waits for the GIL."""
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    interval = sys.getswitchinterval()

    def signal_when_awake():
        wait_blocked(ctx)
        ctx.notify()
        spin(50_000_000)
        os.kill(os.getpid(), signal.SIGUSR1)
        spin(50_000_000)

    try:
        sys.setswitchinterval(0.5)
        other = background(signal_when_awake)
        ctx.poll()
        other.finish()
    finally:
        sys.setswitchinterval(interval)
        signal.signal(signal.SIGUSR1, before)
    readable = 0
    for _ in range(10):
        ctx.prepare()
        readable += bool(select.select([ctx.fileno()], [], [], 0)[0])
        ctx.check()
        ctx.dispatch()
    assert readable <= 1
