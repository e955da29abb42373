# SPDX-License-Identifier: MIT
"""The end of a pool: what is queued has its threads, and is waited for."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest
from conftest import DEADLINE_S, run_code

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
