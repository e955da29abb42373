# SPDX-License-Identifier: MIT
"""A call in a thread: what its caller gets of it, on the stock loop and on ours."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import DEADLINE_S, hop, raiser, storm_of_cancellations

import tpool

pytestmark = pytest.mark.timeout(120)
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


def test_result_comes_from_another_thread(run):
    async def main():
        return await hop(threading.get_ident), await asyncio.to_thread(str, 1)

    thread, text = run(main())
    assert thread != threading.get_ident()
    assert text == "1"


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("x"), ValueError),
        (StopIteration("x"), RuntimeError),
        (concurrent.futures.CancelledError(), asyncio.CancelledError),
        (TimeoutError("x"), TimeoutError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_exception_is_the_one_asyncio_gives(run, raised, seen):
    if isinstance(raised, StopIteration) and sys.version_info < (3, 13):
        run = tpool.run  # the stock loops of 3.11 and 3.12.1 hang on it

    async def main():
        try:
            await hop(raiser, raised)
        except BaseException as exc:
            return type(exc)

    assert run(main()) is seen


def test_traceback_shows_the_function_that_raised(run):
    async def main():
        with pytest.raises(ValueError, match="x") as caught:
            await hop(raiser, ValueError("x"))
        return [entry.name for entry in caught.traceback]

    assert "raiser" in run(main())


def test_what_is_not_callable_fails_as_in_the_stock_loop(run):
    async def main():
        future = asyncio.get_running_loop().run_in_executor(None, 3)
        with pytest.raises(TypeError, match="'int' object is not callable"):
            await future

    run(main())


def test_context_variables_are_seen_by_to_thread_alone(run):
    async def main():
        variable.set("caller")
        return (
            await asyncio.to_thread(variable.get, "none"),
            await hop(variable.get, "none"),
        )

    inherits = getattr(sys.flags, "thread_inherit_context", 0)  # a thread, its parent's
    assert run(main()) == ("caller", "caller" if inherits else "none")


@pytest.mark.parametrize("hop", ["run_in_executor", "to_thread"])
@pytest.mark.parametrize("equal", [True, ValueError("ambiguous truth value")])
def test_a_callback_is_called_whatever_it_thinks_of_equality(run, hop, equal):
    called = []

    class Callback:
        __hash__ = None

        def __call__(self, future):
            called.append(future)

        def __eq__(self, other):
            if isinstance(equal, Exception):
                raise equal
            return equal

    async def main():
        if hop == "run_in_executor":
            future = asyncio.get_running_loop().run_in_executor(None, int)
        else:
            future = asyncio.ensure_future(tpool.to_thread(int))
        future.add_done_callback(Callback())
        assert await asyncio.wait_for(future, DEADLINE_S) == 0
        await asyncio.sleep(0)
        return called == [future]

    assert run(main())


def test_a_child_that_a_call_starts_can_be_terminated(run):
    async def main():
        child = await asyncio.to_thread(subprocess.Popen, ["sleep", "100"])
        child.terminate()
        return await asyncio.to_thread(child.wait, 30)

    assert run(main()) == -signal.SIGTERM


def test_no_more_threads_than_the_stock_loop_has(run):
    lock, now, most = threading.Lock(), [0], [0]
    full = threading.Event()
    cpus = getattr(os, "process_cpu_count", os.cpu_count)()  # from 3.13 on
    bound = min(32, (cpus or 1) + 4)

    def call():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] == bound:
                full.set()
        full.wait(30)
        time.sleep(0.001)
        with lock:
            now[0] -= 1

    async def main():
        await asyncio.gather(*(asyncio.to_thread(call) for _ in range(bound + 20)))

    run(main())
    assert most[0] == bound


def test_cancelled_while_queued_never_runs():
    ran = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.pool.set_threads(0, 1)
        release = threading.Event()
        first = loop.run_in_executor(None, release.wait)
        second = loop.run_in_executor(None, ran.append, 1)
        second.cancel()
        release.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second

    tpool.run(main())
    assert ran == []


def test_cancelled_while_queued_counts_as_cancelled_alone():
    async def main():
        pool = asyncio.get_running_loop().pool
        pool.set_threads(0, 1)
        release = threading.Event()
        calls = [hop(release.wait), *(hop(int) for _ in range(10))]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await hop(int)
        return pool.stats()

    stats = tpool.run(main())
    assert (stats.submitted, stats.completed, stats.cancelled) == (12, 2, 10)


def test_cancelled_while_running_is_cancelled_at_once_and_runs_on(run):
    async def main():
        started, release = threading.Event(), threading.Event()
        ended = []

        def call():
            started.set()
            release.wait()
            ended.append(1)

        task = asyncio.ensure_future(hop(call))
        await hop(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended
        release.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        return ended

    assert run(main()) == [1]


def test_storm_of_cancellations_loses_nothing(run):
    assert run(storm_of_cancellations(30)) == 1200


def test_a_hop_polls_and_an_idle_loop_does_not():
    async def main():
        asyncio.get_running_loop().ctx.set_poll_params(10_000_000)
        for _ in range(100):
            await hop(time.sleep, 0.0002)  # not done before the loop waits
        before = asyncio.get_running_loop().ctx.stats()
        await asyncio.sleep(0.2)
        return before, asyncio.get_running_loop().ctx.stats()

    before, after = tpool.run(main())
    assert before.polls_hit + before.polls_refused > 0
    assert after.polls_hit + after.polls_missed <= before.polls_hit + (
        before.polls_missed + 2
    )
    assert after.turns - before.turns <= 5


def test_sockets_and_timers_are_served_beside_a_flood_of_completions(run):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        left.setblocking(False)
        flooding = True

        async def flood():
            while flooding:
                await hop(int)

        floods = [asyncio.ensure_future(flood()) for _ in range(16)]
        with left, right:
            for _ in range(50):
                right.send(b"x")
                assert await loop.sock_recv(left, 1) == b"x"
                await asyncio.sleep(0.0001)
        flooding = False
        await asyncio.gather(*floods)

    run(main())


def test_result_that_comes_while_the_loop_does_not_run_waits_for_it():
    futures = []
    with contextlib.closing(tpool.EventLoop()) as loop:
        loop.call_soon(lambda: futures.append(loop.run_in_executor(None, int)))
        loop.call_soon(loop.stop)
        loop.run_forever()
        while loop.pool._outstanding():
            loop.ctx.poll()
        assert not futures[0].done()
        assert loop.run_until_complete(futures[0]) == 0


def test_call_that_the_pool_cancels_is_cancelled_for_who_waits():
    async def main():
        loop = asyncio.get_running_loop()
        go_on = threading.Event()
        # One more than the pool may have threads.
        calls = [loop.run_in_executor(None, go_on.wait, DEADLINE_S) for _ in range(33)]
        loop.pool.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(asyncio.CancelledError):
            await calls[-1]
        go_on.set()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(end) for end in ends} <= {bool, asyncio.CancelledError}

    tpool.run(main())
