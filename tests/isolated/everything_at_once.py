# SPDX-License-Identifier: MIT
"""Everything at once, from four threads that share all that they make.

Usage: everything_at_once.py SECONDS [SEED]

A thread does one thing of DEEDS after the other, chosen at random, with its own
context or with what any of them has made. What each is to do is tried elsewhere;
here nothing crashes, hangs or is lost, and no two threads touch the same memory
without an order between them. ThreadSanitizer tells of the last:

    .ci/python-from-source PREFIX --disable-gil --with-thread-sanitizer --with-pydebug
    PREFIX/bin/python3.13td -m venv VENV  # what it builds has -fsanitize=thread too
    VENV/bin/python -m pip install --no-deps -e .
    TSAN_OPTIONS=suppressions=tests/tsan.supp \
        VENV/bin/python tests/isolated/everything_at_once.py 60

Exit status 66: it has reported something. Where it refuses to start for an "unexpected
memory mapping": setarch -R before it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import random
import sys
import threading
import time
import weakref

from everything import (
    NOT_NOW,
    Knot,
    hops,
    notify_from_a_worker,
    raises,
    shared,
    short_life,
    submits_again,
    take,
    visits,
)
from everything_else import Rest

import tpool
from tpool import trace

THREADS = 4


class Actor(Rest, threading.Thread):
    """One of the four: an owner of contexts, and a user of all others'."""

    def __init__(self, seed, until):
        super().__init__(name=f"actor-{seed}")
        self.random = random.Random(seed)
        self.until = until
        self.error = None
        self.deeds = 0
        self.ctx = None
        self.pairs = []  # of fds that a context of this thread watches

    def run(self):
        try:
            self.begin_rest()
            self.new_context()
            while time.monotonic() < self.until:
                deed = self.random.choice(DEEDS)
                times = 1 if deed in DEAR else self.random.randrange(1, 30)
                for _ in range(times):  # in a row: threads meet in the same place
                    with contextlib.suppress(*NOT_NOW):
                        deed(self)
                self.deeds += times
            self.end_context()
            self.end_rest()
        except BaseException as error:
            self.error = error
            raise

    def any(self, things):
        things = list(things)
        if not things:
            raise RuntimeError("nothing made yet")
        return self.random.choice(things)

    # Contexts

    def new_context(self):
        if self.ctx is not None:
            self.end_context()
        self.ctx = tpool.AioContext(self.random.choice([0, 1000, 32_768]))
        self.ctx.poll(False)  # this thread is its owner
        shared.contexts.append(self.ctx)

    def end_context(self):
        for pair in self.pairs:
            self.ctx.set_fd_handler(pair[0])
            for fd in pair:
                os.close(fd)
        self.pairs.clear()
        while not self.ctx.closed:
            with contextlib.suppress(*NOT_NOW):
                self.ctx.close()

    def poll(self):
        self.ctx.poll(False)

    def block(self):
        """Until a timer, or anything else."""
        self.ctx.new_timer(int).mod_ns(time.monotonic_ns() + 1_000_000)
        self.ctx.poll()

    def be_foreign(self):
        if self.ctx.prepare() != 0:
            self.ctx.notify()
        if self.ctx.check():
            self.ctx.dispatch()

    def poll_that_of_another(self):
        self.any(shared.contexts).poll(False)

    def look_at_a_context(self):
        ctx = self.any(shared.contexts)
        ctx.stats()
        for name in ("poll_max_ns", "poll_grow", "poll_shrink", "poll_ns"):
            getattr(ctx, name)
        for name in ("poll_disable_cnt", "notify_me", "notified", "closed"):
            getattr(ctx, name)
        ctx.fileno()

    def tune(self):
        bound = self.random.choice([0, 4000, 32_768, 200_000])
        grow, shrink = self.random.choice([(0, 0), (2, 2), (4, 0)])
        self.any(shared.contexts).set_poll_params(
            bound, grow, shrink, hybrid=self.random.random() < 0.5
        )

    def notify(self):
        self.any(shared.contexts).notify()

    def acquire(self):
        ctx = self.any(shared.contexts)
        ctx.acquire()
        ctx.release()

    def close_that_of_another(self):
        """Only one that has ended: its owner is still to use the others."""
        ctx = self.any(shared.contexts)
        if ctx.closed:
            ctx.close()
        else:
            ctx._check_idle()

    # Pools and requests

    def new_pool(self):
        ctx = self.ctx if self.random.random() < 0.7 else self.any(shared.contexts)
        shared.pools.append(
            tpool.ThreadPool(
                ctx,
                self.random.choice([0, 0, 1]),
                self.random.randrange(1, 4),
                self.random.choice([None, 0, 0.001, 10.0]),
                "everything",
                self.random.choice([None, 20]),
                on_full=self.random.choice(["raise", "block"]),
            )
        )

    def end_pool(self):
        pool = self.any(shared.pools)
        mine = pool.ctx is self.ctx
        pool.shutdown(wait=mine, cancel_futures=self.random.random() < 0.5)

    def look_at_a_pool(self):
        self.any(shared.pools).stats()

    def set_threads(self):
        most = self.random.randrange(1, 5)
        self.any(shared.pools).set_threads(self.random.randrange(most + 1), most)

    def call(self):
        """What a pool is to do; it never waits."""
        return self.random.choice(
            [
                (int, ()),
                (time.sleep, (0.0002,)),
                (Knot(self.ctx), (1,)),
                (notify_from_a_worker, ()),
                (sum, (range(2000),)),
            ]
        )

    def submit(self):
        pool, (fn, args) = self.any(shared.pools), self.call()
        shared.submitted(pool, [pool.submit(fn, *args)])

    def submit_many(self):
        pool, (fn, args) = self.any(shared.pools), self.call()
        argtuples = [args] * self.random.randrange(12)
        shared.submitted(pool, pool.submit_many(fn, argtuples))

    def wrap(self):
        shared.calls.append(concurrent.futures.Future())
        ctx = self.any(shared.contexts)
        shared.requests.append(ctx.wrap_future(self.any(shared.calls)))

    def end_a_call_of_others(self):
        call = self.any(shared.calls)
        call.set_result(1) if self.random.random() < 0.7 else call.cancel()

    def map(self):
        pool = self.any(shared.pools)
        results = pool.map(int, range(self.random.randrange(6)))
        if self.random.random() < 0.7:
            list(results)

    def fail(self):
        """Its exception is nobody else's: CPython lets only one thread raise it."""
        with tpool.ThreadPool(self.ctx) as pool, contextlib.suppress(LookupError):
            pool.submit(raises).result()

    def cancel(self):
        self.any(shared.requests).cancel()

    def watch(self):
        request = self.any(shared.requests)
        request.add_done_callback(
            self.random.choice([Knot(), Knot(request), str, raises, submits_again])
        )

    def look_at_a_request(self):
        request = self.any(shared.requests)
        repr(request)
        if request.done() and not request.cancelled():
            request.running()
            request.exception()
            request.result()

    def wait(self):
        request = self.any(shared.requests)
        request.result(timeout=0.002)

    # Bottom halves, timers, fds

    def new_half(self):
        ctx = self.any(shared.contexts)
        shared.halves.append(ctx.new_bh(self.random.choice([Knot(ctx), int, raises])))

    def use_half(self):
        half = self.any(shared.halves)
        self.random.choice(
            [half.schedule, half.schedule_idle, half.cancel, half.delete]
        )()

    def call_soon(self):
        ctx = self.any(shared.contexts)
        shared.halves.append(ctx.call_soon(self.random.choice([Knot(ctx), str]), 1))

    def new_timer(self):
        ctx = self.any(shared.contexts)
        shared.timers.append(ctx.new_timer(self.random.choice([Knot(ctx), int])))

    def use_timer(self):
        timer, soon = self.any(shared.timers), time.monotonic_ns()
        soon += self.random.choice([-1, 10_000, 3_000_000])
        how = self.random.randrange(4)
        if how == 0:
            timer.mod_ns(soon)
        elif how == 1:
            timer.mod_anticipate_ns(soon)
        elif how == 2:
            timer.cancel()
        else:
            assert timer.pending in (True, False)

    def watch_fd(self):
        if len(self.pairs) >= 4:
            self.unwatch_fd()
        pair = read, write = os.pipe()
        os.set_blocking(read, False)
        self.pairs.append(pair)
        polls = self.random.choice([None, lambda: False, Knot()])
        self.ctx.set_fd_handler(read, lambda: take(read), None, polls)
        if polls is not None and self.random.random() < 0.5:
            self.ctx.set_fd_poll(read, int, Knot())
        os.write(write, b"x")

    def unwatch_fd(self):
        if self.pairs:
            pair = self.pairs.pop()
            self.ctx.set_fd_handler(pair[0])
            for fd in pair:
                os.close(fd)

    def watch_fd_of_another(self):
        """Another thread tells a context of an fd, and takes it back."""
        ctx = self.any(shared.contexts)
        read, write = os.pipe()
        try:
            ctx.set_fd_handler(read, int, None, lambda: False)
            ctx.set_fd_handler(read)
        finally:
            os.close(read)
            os.close(write)

    # Threads with contexts, and event loops

    def start_iothread(self):
        thread = tpool.IOThread(poll_max_ns=self.random.choice([0, 32_768]))
        shared.iothreads.append(thread)
        shared.contexts.append(thread.ctx)
        shared.pools.append(thread.pool)
        for older in list(shared.iothreads)[:-2]:
            older.stop()

    def stop_iothread(self):
        thread = self.any(shared.iothreads)
        thread.stop()
        if self.random.random() < 0.3:
            thread.join()

    def run_loop(self):
        loop = tpool.new_event_loop()
        shared.loops.append(loop)
        shared.pools.append(loop.pool)
        try:
            loop.run_until_complete(hops(loop, self.random.randrange(1, 20)))
        finally:
            loop.close()

    def be_a_guest(self):
        asyncio.run(visits(self.random.randrange(1, 8)))

    def post_to_a_loop(self):
        loop = self.any(shared.loops)
        for _ in range(self.random.randrange(20)):
            loop.call_soon_threadsafe(Knot(loop))

    # All the rest

    def trace(self):
        self.random.choice(
            [trace.enable, trace.disable, trace.read, trace.lost, trace.enabled]
        )()

    def collect(self):
        gc.collect(self.random.randrange(3))

    def collect_in_a_worker(self):
        self.any(shared.pools).submit(gc.collect)

    def tie_a_knot(self):
        """A context and all that belongs to it, found by a collection only."""
        ctx = tpool.AioContext()
        pool = tpool.ThreadPool(ctx, max_threads=1)
        request = pool.submit(int)
        request.add_done_callback(Knot(ctx, pool, request))
        half = ctx.new_bh(Knot(ctx, pool))
        half.schedule()
        timer = ctx.new_timer(Knot(ctx))
        timer.mod_ns(2**62)
        gone = weakref.ref(request)
        del pool, request, half, timer
        ctx.poll(False)
        gone()
        if self.random.random() < 0.5:
            ctx.close()

    def ask_the_collector(self):
        for thing in (self.any(shared.requests), self.any(shared.contexts)):
            gc.get_referents(thing)
            weakref.ref(thing)()

    def be_born_and_die(self):
        """A thread that owns a context only for its own life."""
        thread = threading.Thread(target=short_life)
        thread.start()
        thread.join()


# What makes threads or looks at all objects; the rest is done more often.
DEAR = [
    Actor.be_a_guest,
    Actor.be_born_and_die,
    Actor.collect,
    Actor.collect_in_a_worker,
    Actor.fail,
    Actor.pass_by_a_ring,
    Actor.run_loop,
    Actor.start_iothread,
    Actor.tie_a_knot,
]
PARTS = [Actor.__init__, Actor.run, Actor.any, Actor.call, Actor.end_context]
PARTS += [Actor.begin_rest, Actor.end_rest]
DEEDS = DEAR + 4 * [
    deed
    for deed in (*vars(Actor).values(), *vars(Rest).values())
    if callable(deed) and deed not in PARTS and deed not in DEAR
]


def main(seconds, seed):
    sys.unraisablehook = expect_ours
    until = time.monotonic() + seconds
    actors = [Actor(seed + number, until) for number in range(THREADS)]
    for actor in actors:
        actor.start()
    for actor in actors:
        actor.join()
    while shared.iothreads:
        thread = shared.iothreads.pop()
        thread.stop()
        thread.join()
    for executor in shared.executors:
        executor.shutdown()
    trace.disable()
    errors = [actor.error for actor in actors if actor.error is not None]
    assert not errors, errors
    assert not unexpected, unexpected
    for request in shared.requests:
        assert request.done(), request  # each context has ended
    print(sum(actor.deeds for actor in actors), "deeds")


def expect_ours(info):
    """What callbacks raise goes here."""
    if not isinstance(info.exc_value, (LookupError, *NOT_NOW)):
        unexpected.append(repr(info.exc_value))
        sys.__unraisablehook__(info)


if __name__ == "__main__":
    unexpected = []
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
