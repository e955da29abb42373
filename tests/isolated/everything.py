# SPDX-License-Identifier: MIT
"""What the threads of everything_at_once.py share, and what they have called."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import os
from collections import deque

import tpool
from tpool.loop.loop_pool import LoopPool

NOT_NOW = (
    RuntimeError,  # closed, shut down, another thread's; PoolFull
    concurrent.futures.CancelledError,
    concurrent.futures.InvalidStateError,
    TimeoutError,
    OSError,  # an fd that another thread has closed
)


class Shared:
    """What has been made last, of each kind. Any thread."""

    def __init__(self):
        self.contexts = deque(maxlen=6)
        self.pools = deque(maxlen=8)
        self.requests = deque(maxlen=64)
        self.halves = deque(maxlen=16)
        self.timers = deque(maxlen=16)
        self.notifiers = deque(maxlen=6)
        self.loops = deque(maxlen=4)
        self.futures = deque(maxlen=16)
        self.executors = deque(maxlen=4)
        self.queue = tpool.SimpleQueue()
        self.calls = deque(maxlen=16)  # of other executors
        self.iothreads = deque()  # all: each runs until it is stopped
        self.outcomes = itertools.count()  # of callbacks

    def submitted(self, pool, requests):
        """Any thread.  A loop's calls end for nobody where it closes before they do."""
        if not isinstance(pool, LoopPool):
            self.requests.extend(requests)


shared = Shared()


class Knot:
    """Holds things, and itself: only a collection ends it."""

    def __init__(self, *things):
        self.things = things
        self.me = self

    def __call__(self, *_):
        next(shared.outcomes)


def notify_from_a_worker():
    for ctx in list(shared.contexts):
        with contextlib.suppress(RuntimeError):
            ctx.notify()


def raises(*_):
    raise LookupError("a callback")


def submits_again(request):
    for pool in list(shared.pools)[:1]:
        with contextlib.suppress(RuntimeError):
            if pool.stats().queued < 10:
                shared.submitted(pool, [pool.submit(int)])


def take(fd):
    with contextlib.suppress(OSError):
        os.read(fd, 100)


def short_life():
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        shared.contexts.append(ctx)
        shared.pools.append(pool)
        with contextlib.suppress(*NOT_NOW):
            pool.submit(int).result()


async def hops(loop, count):
    calls = [loop.run_in_executor(None, int) for _ in range(count)]
    calls += [tpool.to_thread(sum, range(100)), asyncio.sleep(0.001)]
    calls[0].cancel()
    with contextlib.suppress(RuntimeError):
        loop.run_in_executor(None, loop.call_soon_threadsafe, Knot(loop))
    requests = list(shared.requests)[:3]
    for call in (*calls[1:], *(quickly(request) for request in requests)):
        with contextlib.suppress(*NOT_NOW, asyncio.CancelledError, LookupError):
            await call


async def quickly(request):
    if request.done():
        await request


async def visits(count):
    await asyncio.gather(*(tpool.to_thread(int) for _ in range(count)))
