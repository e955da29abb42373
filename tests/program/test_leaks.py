# SPDX-License-Identifier: MIT
"""What nobody needs any more is let go of; conftest looks for threads and fds."""

from __future__ import annotations

import contextvars
import gc
import os
import sys
import threading
import types
import weakref

import pytest
from conftest import wait_until

import tpool

pytestmark = pytest.mark.timeout(60)


def test_dropped_pool_runs_what_was_submitted_and_its_threads_end(ctx):
    ran = []
    pool = tpool.ThreadPool(ctx, max_threads=1)
    thread = pool.submit(threading.current_thread).result()
    requests = [pool.submit(ran.append, i) for i in range(50)]
    ref = weakref.ref(pool)
    del pool
    gc.collect()
    assert ref() is None
    requests[-1].result()
    assert ran == list(range(50))
    wait_until(lambda: not thread.is_alive())


def test_idle_worker_keeps_no_reference_to_the_last_call(pool):
    class Thing:
        def __call__(self, arg):
            return Thing()

    thing, arg = Thing(), Thing()
    req = pool.submit(thing, arg)
    result = weakref.ref(req.result())
    refs = [weakref.ref(thing), weakref.ref(arg)]
    del thing, arg, req
    assert pool.stats().threads == 1
    wait_until(lambda: [ref() for ref in (*refs, result)] == [None] * 3)


def test_idle_worker_keeps_no_exception_either(pool):
    class Thing(Exception):
        pass

    def fail():
        raise Thing

    req = pool.submit(fail)
    ref = weakref.ref(req.exception())
    del req
    wait_until(lambda: (gc.collect(), ref())[1] is None)
    assert sys.exc_info() == (None, None, None)


def test_call_and_arguments_are_dropped_when_the_call_has_ended(pool):
    class Thing:
        def __call__(self, arg, *, key):
            return None

    thing, arg, key = Thing(), Thing(), Thing()
    refs = [weakref.ref(thing), weakref.ref(arg), weakref.ref(key)]
    req = pool.submit(thing, arg, key=key)
    del thing, arg, key
    req.result()
    assert [ref() for ref in refs] == [None] * 3


def test_refcounts_of_callable_arguments_result_and_callback_come_back(ctx, pool):
    result, arg, callback = object(), object(), lambda req: None
    call = types.MethodType(lambda self, arg, key: result, object())
    things = (result, arg, callback, call)
    pool.submit(call, arg, key=arg).result()
    before = [sys.getrefcount(thing) for thing in things]
    for _ in range(50):
        req = pool.submit(call, arg, key=arg)
        req.add_done_callback(callback)
        assert req.result() is result
        del req
    gc.collect()
    wait_until(lambda: [sys.getrefcount(thing) for thing in things] == before)


def test_request_in_a_cycle_with_its_callback_is_collected(pool):
    class Thing:
        pass

    thing = Thing()
    ref = weakref.ref(thing)
    req = pool.submit(lambda t=thing: t)
    thing.req = req
    req.add_done_callback(lambda _, r=req: r)
    req.result()
    del thing, req
    wait_until(lambda: (gc.collect(), ref())[1] is None)


def test_context_closed_with_work_in_flight_keeps_no_reference(gate):
    class Thing:
        def __call__(self, *_):
            return Thing()

    things = [Thing() for _ in range(3)]
    refs = [weakref.ref(thing) for thing in things]
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx, max_threads=1)
        pool.submit(gate.wait)
        req = pool.submit(things[0], things[1])
        req.add_done_callback(things[2])
        ctx.call_soon(gate.set)
        del things
    del req, ctx, pool
    wait_until(lambda: (gc.collect(), [ref() for ref in refs])[1] == [None] * 3)


def test_result_for_a_closed_loop_is_dropped_though_its_worker_stays(gate):
    class Result:
        pass

    refs = []

    def call():
        gate.wait()
        result = Result()
        refs.append(weakref.ref(result))
        return result

    loop = tpool.new_event_loop()
    with tpool.ThreadPool(loop.ctx, min_threads=1) as pool:
        pool.submit(call)
        wait_until(lambda: pool.stats().running == 1)
        loop.close()
        gate.set()
        # Without the GIL an object waits for the thread that made it, or for this.
        wait_until(lambda: (gc.collect(), refs and refs[0]() is None)[1])
        assert pool.stats().threads == 1


def test_context_that_a_variable_of_an_undelivered_request_holds_is_collected():
    holder = contextvars.ContextVar("holder")

    def leave():
        ctx = tpool.AioContext()
        holder.set(ctx)
        pool = tpool.ThreadPool(ctx, max_threads=1)
        pool.submit(int)
        wait_until(lambda: pool.stats().completed == 1)
        return weakref.ref(ctx)

    ref = contextvars.Context().run(leave)
    wait_until(lambda: (gc.collect(), ref() is None)[1])


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
def test_loop_that_the_future_of_an_undelivered_call_holds_is_collected():
    def leave():
        loop = tpool.new_event_loop()
        loop.run_in_executor(None, int)
        wait_until(lambda: loop.pool.stats().completed == 1)
        return weakref.ref(loop)

    ref = leave()
    wait_until(lambda: (gc.collect(), ref() is None)[1])


@pytest.mark.timeout(20)
def test_close_turns_the_context_for_the_calls_of_a_dropped_pool(gate):
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx, max_threads=1)
        pool.submit(gate.wait)
        ctx.call_soon(gate.set)
        del pool
    assert gate.is_set()


def test_many_round_trips_leave_no_blocks_behind(ctx, pool):
    def trips(n):
        for i in range(n):
            req = pool.submit(int, i)
            req.add_done_callback(lambda _: None)
            ctx.call_soon(int)
            ctx.new_timer(int).mod_ns(0)
            req.result()
        while ctx.poll(False):
            pass
        gc.collect()
        return sys.getallocatedblocks()

    trips(2000)
    before = trips(2000)
    after = trips(4000)
    assert after - before < 500


def open_fds():
    return len(os.listdir("/proc/self/fd"))


def closed_loop(kept, gate):
    loop = tpool.new_event_loop()
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop.close()
    return loop


def loop_closed_while_calls_run(kept, gate):
    loop = tpool.new_event_loop()

    async def main():
        kept.extend(loop.run_in_executor(None, gate.wait) for _ in range(3))

    loop.run_until_complete(main())
    kept.append(loop.pool)
    loop.close()
    return loop


def context_closed_by_a_call(kept, gate):
    ctx = tpool.AioContext()
    pool = tpool.ThreadPool(ctx)
    kept.append(pool.submit(ctx.close))
    wait_until(lambda: ctx.closed)
    return pool


def stopped_iothread(kept, gate):
    with tpool.IOThread() as io:
        kept.append(io.pool.submit(int))
    return io


def request_of_a_context_that_is_gone(kept, gate):
    ctx = tpool.AioContext()
    request = tpool.ThreadPool(ctx).submit(gate.wait)
    return request


@pytest.mark.parametrize(
    "make",
    [
        closed_loop,
        loop_closed_while_calls_run,
        context_closed_by_a_call,
        stopped_iothread,
        request_of_a_context_that_is_gone,
    ],
    ids=lambda make: make.__name__,
)
def test_what_is_closed_keeps_no_fd_though_it_is_referred_to(make, gate):
    gc.collect()
    before, kept = open_fds(), []
    for _ in range(10):
        kept.append(make(kept, gate))
    gate.set()
    wait_until(lambda: open_fds() <= before)
    kept.clear()


def test_fd_of_a_closed_context_is_closed_once(background):
    """Its number is somebody else's at once; the last posters leave meanwhile."""
    stop, wrong = threading.Event(), []

    def use_numbers():
        while not stop.is_set():
            fds = [os.dup(2) for _ in range(8)]
            for fd in fds:
                try:
                    os.close(fd)
                except OSError as error:
                    wrong.append(error)

    user = background(use_numbers)
    kept = []
    for i in range(300):
        loop = tpool.new_event_loop()

        async def main(loop=loop, n=i % 4):
            kept.extend(loop.run_in_executor(None, int) for _ in range(n))
            await loop.run_in_executor(None, int)

        loop.run_until_complete(main())
        loop.close()
        kept.append(loop)
    stop.set()
    user.finish()
    assert wrong == []
