# SPDX-License-Identifier: MIT
"""The end of a pool: what is queued has its threads, and is waited for."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest
from conftest import (
    DEADLINE_S,
    poll_until,
    run_code,
    wait_blocked,
    wait_until,
)

import tpool

pytestmark = pytest.mark.timeout(60)

# Python refuses new threads there as soon as the exit begins.
NO_LATE_THREADS = (3, 12, 0) <= sys.version_info[:3] < (3, 12, 2)


def calls_that_meet(n):
    """Return a call that ends when n of it run, and how many have ended so."""
    barrier, met = threading.Barrier(n), []

    def call():
        barrier.wait(DEADLINE_S)
        met.append(1)

    return call, met


@pytest.mark.parametrize("where", ["owner", "another thread", "dropped"])
@pytest.mark.parametrize("n", [2, 8])
def test_queued_calls_that_wait_for_each_other_have_their_threads(where, n, background):
    call, met = calls_that_meet(n)
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx, max_threads=n)
        ctx.poll(False)
        requests = [pool.submit(call) for _ in range(n)]
        if where == "owner":
            pool.shutdown()
        elif where == "another thread":
            background(pool.shutdown).finish()
        else:
            del pool
        for request in requests:
            assert request.result() is None
    assert len(met) == n


def test_shutdown_starts_no_thread_too_many():
    names = set()
    with tpool.AioContext() as ctx:
        with tpool.ThreadPool(ctx, max_threads=3) as pool:
            for _ in range(30):
                pool.submit(lambda: names.add(threading.get_ident()))
        assert pool.stats().spawn_failures == 0
    assert 1 <= len(names) <= 3


def test_calls_queued_at_the_end_of_asyncio_run_have_their_threads():
    call, met = calls_that_meet(2)

    async def main():
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, call)
        loop.run_in_executor(None, call)

    tpool.run(main())
    assert len(met) == 2


def test_calls_queued_when_a_loop_is_closed_have_their_threads():
    call, met = calls_that_meet(2)
    loop = tpool.new_event_loop()

    async def main():
        loop.run_in_executor(None, call)
        loop.run_in_executor(None, call)

    loop.run_until_complete(main())
    pool = loop.pool
    loop.close()
    pool.shutdown()
    assert len(met) == 2


@pytest.mark.parametrize("gone", ["", "del pool, ctx\n"])
@pytest.mark.parametrize("n", [2, 8])
def test_calls_queued_at_the_exit_have_their_threads(n, gone):
    """Where Python starts none any more, those that are there do the work."""
    wait = "int" if NO_LATE_THREADS else f"threading.Barrier({n}).wait"
    code = (
        "import os, sys, threading, tpool\n"
        f"wait = {wait}\n"
        "def call():\n"
        "    wait()\n"
        "    os.write(1, b'.')\n"
        "ctx = tpool.AioContext()\n"
        "pool = tpool.ThreadPool(ctx)\n"
        f"for _ in range({n}): pool.submit(call)\n"
    )
    said = run_code(code + gone)
    assert (said.stdout, said.stderr) == ("." * n, "")


def test_calls_queued_at_the_exit_of_an_iothread_have_their_threads():
    wait = "int" if NO_LATE_THREADS else "threading.Barrier(4).wait"
    code = (
        "import os, threading, tpool\n"
        f"wait = {wait}\n"
        "def call():\n"
        "    wait()\n"
        "    os.write(1, b'.')\n"
        "io = tpool.IOThread()\n"
        "for _ in range(4): io.pool.submit(call)\n"
    )
    said = run_code(code)
    assert (said.stdout, said.stderr) == ("....", "")


def test_shutdown_runs_what_is_queued_and_then_refuses_more(ctx):
    ran = []
    pool = tpool.ThreadPool(ctx, max_threads=2)
    for i in range(100):
        pool.submit(ran.append, i)
    pool.shutdown()
    pool.shutdown()
    assert sorted(ran) == list(range(100))
    assert pool.stats().threads == 0
    for refused in (
        lambda: pool.submit(int),
        lambda: pool.submit_many(int, [()]),
        lambda: pool.map(int, [1]),
        lambda: pool.set_threads(1, 1),
    ):
        with pytest.raises(RuntimeError, match=r"cannot schedule new.*after shutdown"):
            refused()


def test_shutdown_without_wait_returns_while_calls_run(ctx, gate):
    pool = tpool.ThreadPool(ctx)
    req = pool.submit(gate.wait)
    pool.shutdown(wait=False)
    assert not req.done()
    gate.set()
    assert req.result() is True
    pool.shutdown()


def test_shutdown_with_cancel_futures_cancels_each_once(ctx, gate):
    calls = []
    pool = tpool.ThreadPool(ctx, max_threads=1)
    running = pool.submit(gate.wait)
    wait_until(lambda: pool.stats().running == 1)
    queued = [pool.submit(int) for _ in range(10)]
    for req in queued:
        req.add_done_callback(calls.append)
    ctx.call_soon(gate.set)
    pool.shutdown(cancel_futures=True)
    assert running.result() is True
    assert calls == queued
    assert all(req.cancelled() for req in queued)


def test_shutdown_in_another_thread_waits_for_the_workers(ctx, gate, background):
    pool = tpool.ThreadPool(ctx)
    req = pool.submit(gate.wait)
    ctx.poll(False)
    stopper = background(pool.shutdown)
    gate.set()
    assert req.result() is True
    stopper.finish()
    assert pool.stats().threads == 0


def test_shutdown_in_a_callback_of_the_pool_ends(ctx):
    pool, ran = tpool.ThreadPool(ctx, max_threads=1), []
    pool.submit(int).add_done_callback(lambda _: (pool.shutdown(), ran.append(1)))
    pool.submit(int)
    poll_until(ctx, lambda: ran)
    assert pool.stats().threads == 0


def test_shut_down_pool_that_blocks_takes_no_more_of_submit_many(ctx):
    pool = tpool.ThreadPool(ctx, max_pending=100, on_full="block")

    def argtuples():
        yield (1,)
        pool.shutdown()
        yield (2,)

    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit_many(str, argtuples())
    assert pool.stats().threads == 0


def test_owner_that_shuts_down_hears_that_a_submit_was_taken_back(
    ctx, background, monkeypatch
):
    spawning = threading.Event()

    def spawn(*_):
        spawning.set()
        wait_blocked(ctx)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(tpool.thread_pool, "spawn", spawn)
    pool = tpool.ThreadPool(ctx)

    def submit():
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(int)

    submitter = background(submit)
    assert spawning.wait(DEADLINE_S)
    pool.shutdown()
    submitter.finish()


def test_callbacks_are_added_while_another_thread_cancels(ctx, background):
    for _ in range(5):
        pool = tpool.ThreadPool(ctx, max_threads=1)
        gate = threading.Event()
        pool.submit(gate.wait)
        queued = pool.submit_many(int, [()] * 5000)
        ran, both = [], threading.Barrier(2)

        def add(queued=queued, ran=ran, both=both):
            both.wait(DEADLINE_S)
            for number, request in enumerate(queued):
                request.add_done_callback(lambda _, number=number: ran.append(number))

        adder = background(add)
        both.wait(DEADLINE_S)
        pool.shutdown(wait=False, cancel_futures=True)
        adder.finish()
        gate.set()
        poll_until(ctx, lambda ran=ran: len(ran) == 5000)
        assert sorted(ran) == list(range(5000))
        pool.shutdown()


def test_a_callback_of_a_context_that_closes_makes_no_pool():
    made = []

    def make(request):
        try:
            made.append(tpool.ThreadPool(ctx))
        except RuntimeError as error:
            made.append(str(error))

    with tpool.AioContext() as ctx:
        tpool.ThreadPool(ctx).submit(int).add_done_callback(make)
    assert made == ["the AioContext is being closed"]


def test_a_pool_that_is_made_while_its_context_closes_loses_no_request(background):
    """It asks for its arguments before that, and gets them while it closes."""
    goes_on = threading.Event()
    told = []

    class Number:
        def __index__(self):
            asked.set()
            while not (ctx._closing or ctx.closed):
                pass
            return 0

    def make():
        try:
            pool = tpool.ThreadPool(ctx, Number())
            told.append(pool.submit(int))
        except RuntimeError as error:
            told.append(str(error))
        goes_on.set()

    asked = threading.Event()
    ctx = tpool.AioContext()
    runs = threading.Event()  # or the close would cancel it
    tpool.ThreadPool(ctx).submit(lambda: runs.set() or goes_on.wait())
    assert runs.wait(60)
    background(make)
    asked.wait()
    ctx.close()
    assert told == ["the AioContext is being closed"]
