# SPDX-License-Identifier: MIT
"""Futures of other executors, whose ends arrive as those of a pool's calls do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import weakref
from concurrent.futures import Future

import pytest
from conftest import poll_until, raiser, wait_blocked, wait_until

import tpool
from tpool import _core

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def future():
    return Future()


def started(future):
    assert future.set_running_or_notify_cancel()
    return future


def test_what_a_future_returns_raises_or_neither_the_request_does(ctx):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert ctx.wrap_future(executor.submit(divmod, 7, 2)).result() == (3, 1)
        failed = ctx.wrap_future(executor.submit(raiser, error := LookupError("x")))
        with pytest.raises(LookupError, match="x"):
            failed.result()
        assert failed.exception() is error
        assert failed.done()
        assert not failed.cancelled()


def test_an_exception_is_let_go_with_the_future_and_is_as_that_has_it(ctx):
    class Error(Exception):
        pass

    error = Error()
    future = Future()
    request, seen = ctx.wrap_future(future), weakref.ref(error)
    gc.disable()
    try:
        future.set_exception(error)
        poll_until(ctx, request.done)
        assert request.exception() is error
        assert error.__traceback__ is None
        del future, request, error
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["returned", "raised", "cancelled"])
def test_a_future_that_is_done_arrives_in_the_next_turn(ctx, future, how):
    if how == "returned":
        future.set_result(5)
    elif how == "raised":
        future.set_exception(KeyError(5))
    else:
        future.cancel()
    seen = []
    request = ctx.wrap_future(future)
    request.add_done_callback(seen.append)
    assert request.done() is (how == "cancelled")
    assert seen == []
    assert ctx.poll() is True
    assert seen == [request]
    assert how in repr(request)
    if how == "returned":
        assert request.result() == 5
    else:
        errors = {"raised": KeyError, "cancelled": concurrent.futures.CancelledError}
        with pytest.raises(errors[how]):
            request.result()


def test_states_are_those_of_the_future_until_it_is_dispatched(ctx, future):
    request = ctx.wrap_future(future)
    assert (request.running(), request.done(), request.cancelled()) == (False,) * 3
    assert repr(request).endswith("pending>")
    started(future)
    assert (request.running(), request.done()) == (True, False)
    assert repr(request).endswith("running>")
    future.set_result(5)
    assert (request.running(), request.done()) == (True, False)
    ctx.poll()
    assert (request.running(), request.done()) == (False, True)
    assert repr(request).endswith("returned int>")


def test_callbacks_run_in_the_owner_whatever_thread_ends_the_future(
    ctx, future, background
):
    threads = []
    request = background(ctx.wrap_future, started(future)).finish()
    request.add_done_callback(lambda _: threads.append(threading.get_ident()))
    background(lambda: (wait_blocked(ctx), future.set_result(5)))
    assert request.result() == 5
    assert threads == [threading.get_ident()]
    assert ctx.stats().notifier_writes == 1


def test_who_ends_a_future_writes_no_notifier_unless_the_owner_sleeps(ctx, background):
    ctx.poll(False)  # this thread is the owner
    for _ in range(20):
        request = ctx.wrap_future(future := started(Future()))
        background(future.set_result, 5).finish()
        assert request.result() == 5
    stats = ctx.stats()
    assert (stats.notifier_writes, stats.notifier_writes_saved) == (0, 20)


def test_it_is_in_flight_until_it_is_dispatched_and_is_polled_for(ctx, background):
    def end_when_waited_for(future):
        wait_until(lambda: ctx.notify_me >= 2)
        future.set_result(5)

    def one_more():
        request = ctx.wrap_future(future := started(Future()))
        assert ctx._in_flight == 1
        ender = background(end_when_waited_for, future)
        assert request.result() == 5
        assert ctx._in_flight == 0
        ender.finish()

    def considered():  # where one CPU is usable, it is not begun
        stats = ctx.stats()
        return stats.polls_hit + stats.polls_missed + stats.polls_refused

    wait_until(considered, turn=one_more)


def test_cancel_is_the_future_s(ctx, future):
    request, seen = ctx.wrap_future(future), []
    request.add_done_callback(seen.append)
    assert request.cancel() is True
    assert future.cancelled()
    assert (request.cancelled(), request.done(), request.running()) == (
        True, True, False,
    )  # fmt: skip
    assert request.cancel() is True
    assert seen == []
    ctx.poll()
    assert seen == [request]
    running = ctx.wrap_future(started(other := Future()))
    assert running.cancel() is False
    assert not other.cancelled()
    other.set_result(5)
    assert running.cancel() is False
    assert running.result() == 5
    assert running.cancel() is False


def test_cancel_where_another_thread_has_cancelled_and_not_called_back(ctx, future):
    """cancel() of a future says so before its callbacks have run."""
    request = ctx.wrap_future(future)
    calls, future._done_callbacks = future._done_callbacks, []
    assert future.cancel()
    assert request.cancel() is True
    assert request.cancelled()
    for call in calls:
        call(future)
    poll_until(ctx, lambda: ctx._in_flight == 0)


def test_a_future_of_which_cancel_raises_says_so_and_goes_on(ctx):
    class Strange(Future):
        def cancel(self):
            raise LookupError("cancel")

        running = cancel

    request = ctx.wrap_future(future := Strange())
    for ask in (request.cancel, request.running, lambda: repr(request)):
        with pytest.raises(LookupError, match="cancel"):
            ask()
    future.set_result(5)
    assert request.result() == 5


def test_a_future_that_takes_no_callback_leaves_nothing_in_flight(ctx):
    class Strange(Future):
        def add_done_callback(self, fn):
            raise LookupError("callback")

    with pytest.raises(LookupError, match="callback"):
        ctx.wrap_future(Strange())
    poll_until(ctx, lambda: ctx._in_flight == 0)


def test_a_future_that_calls_back_twice_ends_the_request_once(ctx, future):
    request, seen = ctx.wrap_future(started(future)), []
    request.add_done_callback(seen.append)
    calls = list(future._done_callbacks)
    future.set_result(5)
    for call in calls:
        call(future)
    assert request.result() == 5
    ctx.poll(False)
    assert seen == [request]
    assert ctx._in_flight == 0


@pytest.mark.parametrize("where", ["in the loop", "in an IOThread"])
def test_it_is_awaited_on_any_loop(run, where):
    async def main():
        loop = asyncio.get_running_loop()
        if where == "in an IOThread":
            with tpool.IOThread() as io:
                return await hops(io.ctx)
        if isinstance(loop, tpool.EventLoop):
            return await hops(loop.ctx)
        with tpool.AioContext() as ctx:
            return await hops(ctx)

    async def hops(ctx):
        with concurrent.futures.ThreadPoolExecutor(2) as executor:
            gathered = await asyncio.gather(
                *(ctx.wrap_future(executor.submit(int, n)) for n in range(50)),
                ctx.wrap_future(executor.submit(raiser, LookupError("x"))),
                return_exceptions=True,
            )
        assert isinstance(gathered.pop(), LookupError)
        task = asyncio.ensure_future(awaited(ctx.wrap_future(future := Future())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        wait_until(future.cancelled)
        return gathered

    async def awaited(request):
        return await request

    assert run(main()) == list(range(50))


def test_close_does_not_wait_for_a_future_and_its_request_is_cancelled(future):
    seen = []
    with tpool.AioContext() as ctx:
        request = ctx.wrap_future(started(future))
        request.add_done_callback(seen.append)
    assert seen == [request]
    assert request.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        request.result()
    assert future.running()
    future.set_result(5)
    assert request.cancelled()
    assert seen == [request]


def test_a_closed_context_wraps_nothing_nor_one_that_is_being_closed(future):
    said = []
    with tpool.AioContext() as ctx:

        def late(_):
            with pytest.raises(RuntimeError, match="is being closed"):
                ctx.wrap_future(Future())
            said.append(ctx._in_flight)

        ctx.wrap_future(future).add_done_callback(late)
    assert said
    with pytest.raises(RuntimeError, match="is closed"):
        ctx.wrap_future(future)


def test_a_dropped_context_is_kept_by_no_future(future):
    ctx = tpool.AioContext()
    request, ref = ctx.wrap_future(started(future)), weakref.ref(ctx)
    del ctx
    assert ref() is None
    assert request.cancelled()
    future.set_result(5)
    assert request.cancelled()


def test_future_and_request_keep_each_other_until_it_ends_and_no_longer(ctx):
    request, future = ctx.wrap_future(started(future := Future())), future
    refs = [weakref.ref(request), weakref.ref(future)]
    del request
    gc.collect()
    assert refs[0]() is not None
    future.set_result(object)
    del future
    ctx.poll()
    wait_until(lambda: [ref() for ref in refs] == [None, None])


def test_a_request_that_is_done_keeps_no_future(ctx):
    request = ctx.wrap_future(future := Future())
    ref = weakref.ref(future)
    future.set_result(5)
    assert request.result() == 5
    del future
    assert ref() is None


@pytest.mark.parametrize("value", [None, 5, "future", tpool.AioContext, int])
def test_what_is_no_future_is_named(ctx, value):
    with pytest.raises(TypeError) as caught:
        ctx.wrap_future(value)
    wanted = f"future must be a concurrent.futures.Future, not {value!r}"
    assert str(caught.value) == wanted
    assert ctx._in_flight == 0


def test_a_future_of_asyncio_is_refused_with_words(ctx):
    loop = asyncio.SelectorEventLoop()
    future = loop.create_future()
    with pytest.raises(TypeError, match=r"not <Future pending>: .* in its own loop"):
        ctx.wrap_future(future)
    loop.close()


def test_what_is_no_context_is_refused_below(future):
    with pytest.raises(TypeError):
        _core._wrap_future(future, future)


def test_each_ends_once_when_threads_end_and_cancel_them_at_once():
    rounds, ended = 200, []
    with tpool.IOThread() as io:
        requests = []

        def live():
            for _ in range(rounds):
                future = Future()
                barrier = threading.Barrier(2)

                def finish(future=future, barrier=barrier):
                    barrier.wait()
                    if future.set_running_or_notify_cancel():
                        future.set_result(5)

                ender = threading.Thread(target=finish)
                ender.start()
                request = io.ctx.wrap_future(future)
                request.add_done_callback(ended.append)
                requests.append(request)
                barrier.wait()
                cancelled = request.cancel()
                assert cancelled == request.cancelled()
                ender.join()

        threads = [threading.Thread(target=live) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: len(ended) >= 3 * rounds)
        wait_until(lambda: io.ctx._in_flight == 0)
    assert len(ended) == 3 * rounds == len(set(ended))
    assert all(request.done() for request in requests)


def test_close_beside_threads_that_end_futures_ends_each_once(background):
    for _ in range(30):
        ended = []
        ctx = tpool.AioContext()
        futures = [started(Future()) for _ in range(20)]
        requests = [ctx.wrap_future(future) for future in futures]
        for request in requests:
            request.add_done_callback(ended.append)
        go = threading.Barrier(2)

        def finish(futures=futures, go=go):
            go.wait()
            for future in futures:
                future.set_result(5)

        ender = background(finish)
        go.wait()
        ctx.close()
        ender.finish()
        assert all(request.done() for request in requests)
        assert len(ended) == len(set(ended)) == 20
