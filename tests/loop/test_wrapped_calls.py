# SPDX-License-Identifier: MIT
"""Calls through a wrapped submit(): their order, their end, their cancellation."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import sys
import threading
import weakref
from contextlib import closing

import pytest
from conftest import (
    DEADLINE_S,
    FACTORIES,
    have_one_thread,
    hop,
    raiser,
    refuse_threads,
    storm_of_cancellations,
    wait_until,
)
from wrapping import span, wrapping

import tpool

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def wrap():
    with wrapping() as wrap:
        yield wrap


def test_calls_begin_in_order_whether_wrapped_or_not(run, wrap, gate):
    order = []

    async def main():
        loop = asyncio.get_running_loop()
        have_one_thread(loop)
        calls = [loop.run_in_executor(None, gate.wait)]
        for number in range(20):
            tracer = wrap() if number % 3 else None
            calls.append(loop.run_in_executor(None, order.append, number))
            if tracer:
                tracer.undo()
        gate.set()
        await asyncio.gather(*calls)

    run(main())
    assert order == list(range(20))


def test_what_a_call_leaves_stays_in_its_thread(run, wrap):
    """As far as the wrapper does not take it along."""
    wrap(tracer=lambda original, *args: original(*args))

    async def main():
        have_one_thread(asyncio.get_running_loop())
        span.set("caller's")
        await hop(span.set, "left")
        return await hop(span.get), span.get()

    assert run(main()) == ("left", "caller's")


def test_an_executor_of_ours_in_the_place_of_the_stock_one_makes_the_calls(
    run, monkeypatch
):
    asked = []

    class Executor(tpool.ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            asked.append(fn)
            return super().submit(fn, *args, **kwargs)

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Executor)
    assert run(hop(pow, 2, 5)) == 32
    assert asked == [pow]


def test_what_a_call_posts_comes_before_its_result(run, wrap):
    if sys.version_info >= (3, 14):
        run = tpool.run  # the stock loop finds that it is done, and does not wait
    wrap()

    async def main():
        loop = asyncio.get_running_loop()
        posted, late = [], 0
        for number in range(300):
            await hop(loop.call_soon_threadsafe, posted.append, number)
            late += len(posted) != number + 1
        return late

    assert run(main()) == 0


def test_cancelled_while_queued_never_runs(run, wrap, gate):
    ran, futures = [], []

    def keep(original, executor, fn, /, *args, **kwargs):
        futures.append(original(executor, fn, *args, **kwargs))
        return futures[-1]

    wrap(tracer=keep)

    async def main():
        loop = asyncio.get_running_loop()
        have_one_thread(loop)
        first = loop.run_in_executor(None, gate.wait)
        second = loop.run_in_executor(None, ran.append, 1)
        second.cancel()
        await asyncio.sleep(0)
        assert futures[1].cancelled()
        gate.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        await hop(int)
        # It is told to those who wait for it in a thread.
        return concurrent.futures.wait(futures, DEADLINE_S)

    done, not_done = run(main())
    assert (len(done), len(not_done)) == (3, 0)
    assert ran == []


def test_cancelled_by_somebody_else_while_queued_is_cancelled_at_once(run, wrap, gate):
    futures = []

    def keep(original, executor, fn, /, *args, **kwargs):
        futures.append(original(executor, fn, *args, **kwargs))
        return futures[-1]

    wrap(tracer=keep)

    async def main():
        loop = asyncio.get_running_loop()
        have_one_thread(loop)
        first = loop.run_in_executor(None, gate.wait)
        second = loop.run_in_executor(None, int)
        thread = threading.Thread(target=futures[1].cancel)
        thread.start()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(second, DEADLINE_S)
        thread.join()
        assert not first.done()
        gate.set()
        await first

    run(main())


def test_cancelled_while_running_is_cancelled_at_once_and_runs_on(run, wrap, gate):
    wrap()
    ended = []

    async def main():
        started = threading.Event()

        def call():
            started.set()
            gate.wait()
            ended.append(1)

        task = asyncio.ensure_future(hop(call))
        await hop(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended
        gate.set()
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main())
    assert ended == [1]


def test_storm_of_cancellations_loses_nothing(run, wrap):
    wrap()
    assert run(storm_of_cancellations(20)) == 800


def test_a_thread_that_cannot_be_started_is_said_at_once(run, wrap, monkeypatch):
    wrap()

    async def main():
        with monkeypatch.context() as patch:
            refuse_threads(patch)
            with pytest.raises(RuntimeError, match="start new thread"):
                await hop(int)
        return await hop(str, 7)

    assert run(main()) == "7"


def test_calls_that_the_pool_gives_up_are_cancelled(wrap, gate):
    wrap()

    async def main():
        loop = asyncio.get_running_loop()
        have_one_thread(loop)
        first = loop.run_in_executor(None, gate.wait)
        second = loop.run_in_executor(None, int)
        wait_until(lambda: loop.pool.stats().running)
        loop.pool.shutdown(wait=False, cancel_futures=True)
        gate.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(second, DEADLINE_S)
        with pytest.raises(RuntimeError, match="after shutdown"):
            loop.run_in_executor(None, int)

    tpool.run(main())


def test_after_shutdown_of_the_default_executor_calls_are_refused(run, wrap):
    wrap()

    async def main():
        await hop(int)
        await asyncio.get_running_loop().shutdown_default_executor()
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            await hop(int)

    run(main())


def test_an_error_of_the_future_s_callbacks_is_not_lost(wrap, unraisable):
    """Such as end a thread of the stock executor."""

    def trip(original, executor, fn, /, *args, **kwargs):
        future = original(executor, fn, *args, **kwargs)
        future.add_done_callback(lambda _: raiser(GeneratorExit("tripped")))
        return future

    async def main():
        have_one_thread(asyncio.get_running_loop())
        hold = threading.Event()
        first = asyncio.get_running_loop().run_in_executor(None, hold.wait)
        wrap(tracer=trip)
        second = asyncio.get_running_loop().run_in_executor(None, str, 7)
        hold.set()
        return await first, await asyncio.wait_for(second, DEADLINE_S)

    assert tpool.run(main()) == (True, "7")
    assert [str(error) for error in unraisable] == ["tripped"]


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="an object of another thread ends when that thread next runs",
)
def test_nothing_is_kept_of_a_call_that_is_done(wrap):
    """Not for the collector either."""
    wrap()

    class Result:
        pass

    def call(argument):
        return Result()

    async def main():
        await hop(int)
        argument = Result()
        gc.disable()
        try:
            result = await hop(call, argument)
            await asyncio.sleep(0)  # what has woken this has the result
            kept = [weakref.ref(argument), weakref.ref(result)]
            del argument, result
            wait_until(lambda: not any(ref() for ref in kept))
        finally:
            gc.enable()

    tpool.run(main())


@pytest.mark.parametrize("factory", FACTORIES)
def test_loop_closed_with_calls_in_flight_neither_hangs_nor_crashes(
    factory, wrap, gate
):
    wrap()
    ran = []
    with closing(FACTORIES[factory]()) as loop:

        async def main():
            have_one_thread(loop)
            loop.run_in_executor(None, gate.wait)
            loop.run_in_executor(None, ran.append, 1)

        loop.run_until_complete(main())
    gate.set()
    wait_until(lambda: ran)  # what was queued is run, as unwrapped
