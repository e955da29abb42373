# SPDX-License-Identifier: MIT
"""Contexts and pools that a garbage collection ends, or finds and leaves alive."""

from __future__ import annotations

import gc
import sys
import threading

import cases

import tpool

closed = []


class Service:
    """It closes what it has in __del__, and is in a cycle."""

    def __init__(self):
        self.callback = self.done

    def done(self):
        pass

    def __del__(self):
        self.end()
        closed.append(type(self).__name__)


class WithContext(Service):
    def __init__(self, **limits):
        super().__init__()
        self.ctx = tpool.AioContext()
        self.pool = tpool.ThreadPool(self.ctx, **limits)
        self.pool.submit(int).result()

    def end(self):
        self.ctx.close()
        assert self.pool.stats().threads == 0
        try:
            self.pool.submit(int)
        except RuntimeError:
            return
        raise AssertionError("not shut down")


class WithPoolsThatAreGone(Service):
    def __init__(self):
        super().__init__()
        self.ctx = tpool.AioContext()
        self.gate, self.ran = threading.Event(), []
        for _ in range(3):
            pool = tpool.ThreadPool(self.ctx, idle_timeout=None)
            pool.submit(self.gate.wait)
            pool.submit(self.ran.append, 1)

    def end(self):
        self.gate.set()
        self.ctx.close()


class WithIOThread(Service):
    def __init__(self, **limits):
        super().__init__()
        self.io = tpool.IOThread()
        self.pool = self.io.pool
        self.second = tpool.ThreadPool(self.io.ctx, **limits)
        for pool in (self.pool, self.second):
            event = threading.Event()
            request = pool.submit(int)
            request.add_done_callback(lambda _, event=event: event.set())
            event.wait()

    def end(self):
        self.io.stop()
        self.io.join()
        assert self.io.ctx.closed


class WithLoop(Service):
    def __init__(self):
        super().__init__()
        self.loop = tpool.new_event_loop()
        self.loop.run_until_complete(self.loop.run_in_executor(None, int))

    def end(self):
        self.loop.close()


def collect(make, *args, **kwargs):
    thing = make(*args, **kwargs)
    del thing
    gc.collect()
    assert closed == [make.__name__], closed


def context_is_closed():
    collect(WithContext)


def context_is_closed_whose_workers_would_stay():
    collect(WithContext, min_threads=2, idle_timeout=None)


def context_is_closed_whose_pools_are_gone():
    collect(WithPoolsThatAreGone)


def iothread_is_stopped():
    collect(WithIOThread)


def iothread_is_stopped_whose_workers_would_stay():
    collect(WithIOThread, min_threads=1, idle_timeout=None)


def loop_is_closed():
    collect(WithLoop)


def context_is_closed_by_a_worker():
    """The collection is in a call of another pool."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        request = pool.submit(collect, WithContext, idle_timeout=None)
        assert request.exception() is None


class Phoenix:
    """It is alive again after its collection, and no weak reference knows of it."""

    def __init__(self):
        self.me = self
        self.ctx = tpool.AioContext()
        self.pool = tpool.ThreadPool(self.ctx, idle_timeout=None)
        self.pool.submit(int).result()

    def __del__(self):
        alive.append(self)


alive = []


def revive():
    Phoenix()
    gc.collect()
    (phoenix,) = alive
    return phoenix


def call(phoenix):
    request = phoenix.pool.submit(int)
    while not request.done():
        phoenix.ctx.poll()


def pool_that_a_collection_has_left_alive_ends_with_the_interpreter():
    call(revive())


def pool_that_a_collection_has_left_alive_is_closed_with_its_context():
    phoenix = revive()
    phoenix.ctx.close()
    assert phoenix.pool.stats().threads == 0


def pool_that_a_collection_has_left_alive_hears_of_parameters():
    cases.needs_polling()
    phoenix = revive()
    phoenix.ctx.set_poll_params(2**45, grow=2**44)
    while not phoenix.pool.stats().poll_ns:
        call(phoenix)
    phoenix.ctx.set_poll_params(0)
    call(phoenix)
    assert phoenix.pool.stats().poll_ns == 0


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
