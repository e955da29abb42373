# SPDX-License-Identifier: MIT
"""IOThread: a context that has a thread of its own."""

from __future__ import annotations

import threading

import pytest
from conftest import wait_until

import tpool

pytestmark = pytest.mark.timeout(60)


def test_callbacks_run_in_its_thread_which_has_the_name():
    with tpool.IOThread("a name") as iothread:
        seen, done = [], threading.Event()
        iothread.ctx.call_soon(
            lambda: (seen.append(threading.current_thread().name), done.set())
        )
        assert done.wait(30)
    assert seen == ["a name"]


def test_completions_of_its_pool_are_dispatched_in_its_thread():
    with tpool.IOThread() as iothread:
        seen, done = [], threading.Event()
        req = iothread.pool.submit(int, "5")
        req.add_done_callback(
            lambda r: (seen.append((threading.get_ident(), r.result())), done.set())
        )
        assert done.wait(30)
        assert req.result() == 5
        ident = iothread._thread.ident
    assert seen == [(ident, 5)]


def test_stop_and_join_end_the_thread_and_close_the_context():
    iothread = tpool.IOThread()
    iothread.stop()
    iothread.stop()
    assert iothread.join() is True
    assert iothread.ctx.closed
    iothread.stop()
    assert iothread.join(0) is True


def test_join_with_a_timeout_says_that_it_still_runs():
    with tpool.IOThread() as iothread:
        assert iothread.join(0.001) is False


def test_join_by_itself_is_refused(unraisable):
    with tpool.IOThread() as iothread:
        iothread.ctx.call_soon(iothread.join)
        wait_until(lambda: unraisable)
    assert [type(error) for error in unraisable] == [RuntimeError]


def test_stop_by_itself_ends_it():
    iothread = tpool.IOThread()
    iothread.ctx.call_soon(iothread.stop)
    assert iothread.join(30) is True


def test_stop_cancels_what_is_queued_and_waits_for_what_runs(gate):
    calls = []
    iothread = tpool.IOThread()
    iothread.pool.set_threads(0, 1)
    running = iothread.pool.submit(gate.wait)
    wait_until(lambda: iothread.pool.stats().running == 1)
    queued = iothread.pool.submit(calls.append, "ran")
    queued.add_done_callback(lambda req: calls.append(req.cancelled()))
    iothread.stop()
    wait_until(queued.cancelled)
    gate.set()
    assert iothread.join(30)
    assert calls == [True]
    assert running.result() is True


def test_poll_max_ns_is_that_of_its_context():
    with tpool.IOThread(poll_max_ns=0) as iothread:
        assert iothread.ctx.poll_max_ns == 0


def test_systemexit_in_a_callback_ends_it_and_closes_the_context(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args[0]))

    def leave():
        raise SystemExit

    iothread = tpool.IOThread()
    iothread.ctx.call_soon(leave)
    assert iothread.join(30)
    assert iothread.ctx.closed
    assert seen == [SystemExit]


def test_many_come_and_go():
    for _ in range(20):
        with tpool.IOThread() as iothread:
            iothread.pool.submit(int)
