# SPDX-License-Identifier: MIT
"""What one thread has handed over comes in the order in which it did so.

Whatever the way: posted to the loop, a call's result, a callback, a bottom half.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import pytest
from conftest import DEADLINE_S, FACTORIES, raiser, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)
HOPS = 300


def in_executor(work):
    return asyncio.get_running_loop().run_in_executor(None, work)


def of_the_loops_pool(work):
    async def wait():
        return await asyncio.get_running_loop().pool.submit(work)

    return wait()


@pytest.fixture
def of_a_pool_of_its_own():
    """Await a request of a context that hangs in the loop as a visitor."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:

        async def wait(work):
            return await pool.submit(work)

        yield wait


@pytest.fixture
def of_an_iothread():
    """Await a request that another thread dispatches."""
    with tpool.IOThread() as io:

        async def wait(work):
            return await io.pool.submit(work)

        yield wait


WAYS = {
    "in_executor": in_executor,
    "to_thread": asyncio.to_thread,
    "tpool.to_thread": tpool.to_thread,
    "of_a_pool_of_its_own": None,
    "of_an_iothread": None,
}
# The stock loop's own ways keep no order on CPython 3.15 where the call is done soon.
EVERYWHERE = [("tpool", way) for way in WAYS] + [
    ("stock", way) for way in WAYS if way not in ("in_executor", "to_thread")
]


@pytest.fixture
def hop(request):
    name = request.param
    return WAYS.get(name) or request.getfixturevalue(name)


@pytest.mark.parametrize(("kind", "hop"), EVERYWHERE, indirect=["hop"])
def test_what_a_call_posts_has_run_when_its_await_ends(kind, hop):
    async def main():
        loop, queue, ran = asyncio.get_running_loop(), asyncio.Queue(), []

        def work():
            loop.call_soon_threadsafe(ran.append, 1)
            asyncio.run_coroutine_threadsafe(queue.put(1), loop)

        for number in range(HOPS):
            await hop(work)
            assert len(ran) == number + 1
            queue.get_nowait()

    with asyncio.Runner(loop_factory=FACTORIES[kind]) as runner:
        runner.run(main())


def test_awaited_request_of_the_loops_own_pool_comes_behind_what_it_posts():
    test_what_a_call_posts_has_run_when_its_await_ends("tpool", of_the_loops_pool)


def test_gathered_calls_come_behind_what_they_post():
    async def main():
        loop, ran = asyncio.get_running_loop(), set()

        async def one(number):
            await asyncio.to_thread(loop.call_soon_threadsafe, ran.add, number)
            assert number in ran

        for _ in range(20):
            ran.clear()
            await asyncio.gather(*map(one, range(64)))

    tpool.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_all_that_a_thread_hands_over_comes_in_its_order(background, seed):
    """More than a batch of it, so that it takes several turns."""

    async def main():
        loop, came, ended = asyncio.get_running_loop(), [], asyncio.Event()
        ctx, n = loop.ctx, 700

        def hand_over():
            for number in range(n):
                if (number * 7 + seed) % (seed + 2):
                    ctx.call_soon(came.append, number)
                else:
                    loop.call_soon_threadsafe(came.append, number)
            loop.call_soon_threadsafe(ended.set)

        background(hand_over)
        await asyncio.wait_for(ended.wait(), DEADLINE_S)
        return came, list(range(n))

    came, expected = tpool.run(main())
    assert came == expected


def test_what_comes_while_a_post_waits_for_the_next_select_is_behind_it():
    """P2 is handed to the loop behind B1, when the loop has selected already.

    1. select() hands P1 over, and stops at B1;
    2. the rest, behind P1, runs B1 and hands P2 over: ready for the next iteration;
    3. a timer of this iteration posts B2: the next select() must not run it.
    """

    async def main():
        loop, came, ended = asyncio.get_running_loop(), [], asyncio.Event()

        def begin():
            loop.call_soon_threadsafe(came.append, "P1")
            loop.ctx.call_soon(came.append, "B1")
            loop.call_soon_threadsafe(came.append, "P2")
            loop.call_later(0, late)

        def late():
            loop.ctx.call_soon(came.append, "B2")
            loop.call_soon_threadsafe(ended.set)

        loop.call_soon(begin)
        await asyncio.wait_for(ended.wait(), DEADLINE_S)
        return came

    assert tpool.run(main()) == ["P1", "B1", "P2", "B2"]


def test_what_comes_behind_a_post_that_a_nested_poll_has_handed_over():
    async def main():
        loop, came, ended = asyncio.get_running_loop(), [], asyncio.Event()

        def nest():
            loop.call_soon_threadsafe(came.append, "P1")
            loop.ctx.poll(False)
            loop.ctx.call_soon(came.append, "B1")
            loop.call_soon_threadsafe(ended.set)

        loop.call_soon(nest)
        await asyncio.wait_for(ended.wait(), DEADLINE_S)
        return came

    assert tpool.run(main()) == ["P1", "B1"]


def test_callback_of_a_request_comes_behind_what_its_call_has_posted():
    async def main():
        loop, came = asyncio.get_running_loop(), []
        for number in range(HOPS):
            ended = asyncio.Event()

            def work(number=number):
                loop.call_soon_threadsafe(came.append, 2 * number)

            def done(_, number=number, ended=ended):
                came.append(2 * number + 1)
                ended.set()

            loop.pool.submit(work).add_done_callback(done)
            await asyncio.wait_for(ended.wait(), DEADLINE_S)
        return came

    assert tpool.run(main()) == list(range(2 * HOPS))


def test_nested_run_of_the_loop_still_dispatches_what_waits():
    """A posted callback turns the loop by hand, as nested loops do."""

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def nested():
            wait_until(future.done, turn=loop._run_once)

        def work():
            loop.call_soon_threadsafe(nested)

        request = loop.pool.submit(work)
        request.add_done_callback(lambda _: future.set_result(1))
        return await asyncio.wait_for(future, DEADLINE_S)

    assert tpool.run(main()) == 1


def test_posting_to_a_closed_loop_is_refused_as_by_asyncio():
    for factory in FACTORIES.values():
        loop = factory()
        loop.close()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            loop.call_soon_threadsafe(int)


def test_loop_that_another_thread_closes_refuses_what_is_posted(background):
    for _ in range(50):
        loop = tpool.new_event_loop()

        def post(loop=loop):
            with suppress(RuntimeError):
                while True:
                    loop.call_soon_threadsafe(int)
            assert loop.is_closed()

        threads = [background(post) for _ in range(2)]
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        for thread in threads:
            thread.finish()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_child_runs_what_was_posted_before():
    read, write = os.pipe()

    async def main():
        loop = asyncio.get_running_loop()
        parent = os.getpid()
        for number in b"12":
            loop.call_soon_threadsafe(os.write, write, bytes([number]))
        if os.fork() == 0:
            asyncio._set_running_loop(loop)
        loop.call_soon_threadsafe(os.write, write, b"3")
        await asyncio.sleep(0.01)
        return os.getpid() == parent

    if not tpool.run(main()):
        os._exit(0)
    os.wait()
    assert sorted(os.read(read, 100)) == sorted(b"112233")
    os.close(read)
    os.close(write)


def test_work_that_waits_behind_a_post_survives_an_exception(background):
    """Ctrl-C, say, in the moment before the loop has been told to go on."""
    loop = tpool.new_event_loop()
    loop._selector.dispatch_later = lambda: raiser(KeyboardInterrupt())
    came = []

    def hand_over():
        loop.call_soon_threadsafe(came.append, 1)
        loop.ctx.call_soon(came.append, 2)
        loop.call_soon_threadsafe(loop.stop)

    background(hand_over).finish()
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop._selector.dispatch_later = loop._dispatch_later
    loop.run_forever()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert came == [1, 2]


def test_work_that_waits_behind_a_post_is_dispatched_for_who_turns_the_loop(background):
    """By _run_once(), in a thread to which the loop's context is lent."""
    loop = tpool.new_event_loop()
    came = []

    async def main():
        loop.call_soon_threadsafe(came.append, 1)
        loop.ctx.call_soon(came.append, 2)

    loop.run_until_complete(main())

    def turn():
        wait_until(lambda: came == [1, 2], turn=loop._run_once)

    loop.call_soon(int)
    background(turn).finish()
    loop.close()
