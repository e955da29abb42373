# SPDX-License-Identifier: MIT
"""Requests of other contexts in an asyncio loop, whichever it is."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import gc
import os
import threading
import time
from contextlib import closing
from functools import partial

import pytest
from conftest import DEADLINE_S, FACTORIES, raiser, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


async def await_it(request):
    return await request


def test_tpool_to_thread_works_on_any_loop(run):
    async def main():
        variable.set("caller")
        with pytest.raises(KeyError):
            await tpool.to_thread(raiser, KeyError("x"))
        results = await asyncio.gather(*(tpool.to_thread(str, i) for i in range(300)))
        assert results == [str(i) for i in range(300)]
        return await tpool.to_thread(variable.get, "none")

    assert run(main()) == "caller"


def test_a_request_can_be_awaited_on_any_loop_and_from_an_iothread(run):
    with tpool.IOThread() as thread:

        async def main():
            return [await thread.pool.submit(str, i) for i in range(100)]

        assert run(main()) == [str(i) for i in range(100)]


def test_a_done_request_can_be_awaited_when_its_context_is_closed(run):
    with tpool.IOThread() as thread:
        done = threading.Event()
        request = thread.pool.submit(int)
        request.add_done_callback(lambda _: done.set())
        assert done.wait(30)

    async def main():
        return await request

    assert run(main()) == 0


def test_a_request_of_a_context_that_nobody_turns_can_be_awaited(run, ctx, pool):
    async def main():
        one = await pool.submit(sum, [1, 2])
        many = await asyncio.gather(*[await_it(pool.submit(int, i)) for i in range(99)])
        with pytest.raises(KeyError):
            await pool.submit(raiser, KeyError("x"))
        await asyncio.sleep(0)
        return one, many

    for _ in range(2):  # in one loop after the other
        assert run(main()) == (3, list(range(99)))
    assert ctx.notify_me == 0
    assert pool.submit(int, 7).result() == 7


def test_a_context_is_awaited_in_the_loop_after_one_that_has_ended(
    run, ctx, pool, gate
):
    requests = []

    async def give_up():
        requests.append(pool.submit(gate.wait))
        wait_until(requests[0].running)  # or giving up cancels it
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(await_it(requests[0]), 0.001)
        assert ctx.notify_me == 1

    async def release_and_await():
        asyncio.get_running_loop().call_later(0.001, gate.set)
        return await requests[0], await pool.submit(int)

    run(give_up())
    assert run(release_and_await()) == (True, 0)


def test_a_context_that_is_closed_while_awaited_leaves_no_fd_in_the_loop(run):
    async def main():
        loop = asyncio.get_running_loop()
        with tpool.AioContext() as ctx:
            pool = tpool.ThreadPool(ctx)
            task = asyncio.ensure_future(await_it(pool.submit(int)))
            await asyncio.sleep(0)
            fd = ctx.fileno()
        read, write = os.pipe()
        os.dup2(read, fd)  # the number stands for another file now
        got = asyncio.Event()
        loop.add_reader(fd, got.set)
        os.write(write, b"x")
        await asyncio.wait_for(got.wait(), DEADLINE_S)
        assert loop.remove_reader(fd)
        for number in {read, write, fd}:
            os.close(number)
        return await asyncio.gather(task, return_exceptions=True)

    result = run(main())[0]
    assert result == 0 or isinstance(result, asyncio.CancelledError)


def test_a_request_that_is_done_is_awaited_without_its_owner(run):
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        good, bad = pool.submit(int), pool.submit(raiser, KeyError("x"))
        assert good.result() == 0
        assert bad.exception()
    # Nobody turns the context any more.

    async def main():
        with pytest.raises(KeyError):
            await bad
        return await good

    assert run(main()) == 0


def test_a_context_s_timers_go_off_while_a_loop_turns_it(run, ctx, pool, gate):
    """The call ends by a timer of its context."""

    async def main():
        ctx.new_timer(gate.set).mod_ns(time.monotonic_ns() + 1_000_000)
        return await asyncio.wait_for(await_it(pool.submit(gate.wait)), DEADLINE_S)

    assert run(main()) is True


def test_a_turn_that_comes_after_the_context_has_left_does_nothing(ctx, pool, gate):
    """It would say that a loop waits for the context; and then none does."""
    second = threading.Event()

    async def main():
        first = asyncio.ensure_future(await_it(pool.submit(gate.wait)))
        await asyncio.sleep(0)
        (visitor,) = ctx._visitors
        gate.set()
        assert await first
        assert not ctx._visitors
        request = pool.submit(second.wait)
        visitor._turn()
        assert ctx.notify_me == 0
        asyncio.get_running_loop().call_soon(second.set)
        return await asyncio.wait_for(await_it(request), DEADLINE_S)

    assert asyncio.run(main()) is True


def test_two_loops_of_a_thread_by_turns_await_requests_of_one_context(ctx, pool, gate):
    for factory in FACTORIES.values():
        gate.clear()
        with closing(factory()) as one, closing(factory()) as other:
            task = one.create_task(await_it(pool.submit(gate.wait)))
            one.run_until_complete(asyncio.sleep(0))
            assert other.run_until_complete(await_it(pool.submit(int))) == 0
            gate.set()
            assert one.run_until_complete(asyncio.wait_for(task, DEADLINE_S))
    assert ctx.notify_me == 0


def test_without_an_fd_an_await_fails_and_the_next_one_works(run, ctx, pool):
    async def main():
        request = pool.submit(int)
        with pytest.MonkeyPatch.context() as patch:
            refuse = partial(raiser, OSError(errno.EMFILE, "no fd"))
            patch.setattr(tpool.AioContext, "fileno", lambda _: refuse())
            if not request.done():
                with pytest.raises(OSError, match="no fd"):
                    await request
        return await asyncio.wait_for(await_it(request), DEADLINE_S)

    assert run(main()) == 0


def test_a_context_awaited_in_another_thread_s_loop_is_not_closed(
    run, background, gate
):
    made = []

    async def main():
        ctx = tpool.AioContext()
        with tpool.ThreadPool(ctx) as pool:
            asyncio.get_running_loop().call_soon(made.append, ctx)
            return await pool.submit(gate.wait)

    loop = background(lambda: run(main()))
    wait_until(lambda: made)
    with pytest.raises(RuntimeError, match="loop of another thread"):
        made[0].close()
    gate.set()
    assert loop.finish() is True
    made[0].close()


def test_awaiting_what_nobody_can_deliver_is_refused(run, gate):
    def of_a_context_that_is_gone():
        return tpool.ThreadPool(tpool.AioContext()).submit(int)

    def of_a_loop_that_is_closed():
        with closing(closed):
            return closed.pool.submit(gate.wait)

    closed = tpool.new_event_loop()

    for start, what in (
        (of_a_context_that_is_gone, "gone"),
        (of_a_loop_that_is_closed, "closed"),
    ):
        request = start()
        gc.collect()
        with pytest.raises(RuntimeError, match=what):
            run(await_it(request))
