# SPDX-License-Identifier: MIT
"""Objects that the collector finds half made, cleared, or not meant to be found."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
import weakref
from concurrent.futures import CancelledError

import cases
from cases import skip, wait_until

import tpool
from tpool import _core


def look_at(thing, seen):
    """Use all there is of a thing: each says something, or raises."""
    waits = {"poll", "acquire", "_poll_for", "_poll_while", "_join"}
    for name in dir(thing):
        try:
            value = getattr(thing, name)
            if callable(value) and not name.startswith("__") and name not in waits:
                value()
        except (RuntimeError, TypeError, AttributeError, CancelledError) as error:
            seen.append(type(error))
    repr(thing)


def context_that_could_not_be_made():
    """Each step fails once for want of an fd; its finalizer looks at what there is."""
    seen = []

    class Context(tpool.AioContext):
        def __del__(self):
            made.append(self.closed)
            look_at(self, seen)

    made = []
    fd = os.dup(0)
    os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    failures = 0
    for room in range(8):
        resource.setrlimit(resource.RLIMIT_NOFILE, (fd + room, hard))
        try:
            Context().close()
        except OSError:
            failures += 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert failures
    assert seen
    assert all(made)
    assert os.dup(0) == fd, "an fd was left"


def context_that_could_not_be_made_comes_back():
    """Its finalizer keeps it: it is closed, for good."""
    kept = []

    class Context(tpool.AioContext):
        def __del__(self):
            kept.append(self)

    fd = os.dup(0)
    os.close(fd)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 2, hard))
    try:
        Context()
    except OSError:
        pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for ctx in kept:
        assert ctx.closed
        look_at(ctx, [])
        _core.AioContext.close(ctx)


def pool_found_while_it_is_made():
    """It waits for its context; somebody else finds it, and uses it."""
    with tpool.AioContext() as ctx:
        ctx.acquire()
        made, ran = [], []
        thread = threading.Thread(target=lambda: made.append(tpool.ThreadPool(ctx)))
        thread.start()
        (pool,) = wait_until(
            lambda: [o for o in gc.get_objects() if isinstance(o, tpool.ThreadPool)]
        )
        assert pool.ctx is ctx
        assert pool.stats().threads == 0
        request = pool.submit(ran.append, 1)
        look_at(pool, [])
        del pool
        ctx.release()
        thread.join()
        # look_at() has shut it down: the call was queued before.
        assert request.result() is None
        assert ran == [1]


def lists(wanted, *owners):
    """Yield lists, of which the first is wanted."""
    for thing in [*gc.get_objects(), *gc.get_referents(*owners)]:
        if type(thing) is list and thing and wanted(thing[0]):
            yield thing


def list_of_callbacks_emptied():
    """The callbacks of a request are in no list that can be found."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        gate, ran = threading.Event(), []
        request = pool.submit(gate.wait)
        steal = [o for o in gc.get_objects() if type(o) is list]

        def callback(number):
            def call(done):
                ran.append(number)
                empty()

            return call

        def empty():
            known = {id(thing) for thing in steal}
            for thing in lists(callable, request):
                if id(thing) not in known and thing is not callbacks:
                    thing.clear()

        callbacks = [callback(number) for number in range(9)]
        for one in callbacks:
            request.add_done_callback(one)
        empty()
        gate.set()
        assert request.result() is True
        assert ran == list(range(9))


def list_of_requests_emptied():
    """So are the requests of submit_many(), until it returns them."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:

        def tuples():
            for number in range(100):
                yield (number,)
                for thing in lists(lambda first: type(first) is _core.Request):
                    thing.clear() if number % 2 else thing.append(None)

        requests = pool.submit_many(abs, tuples())
        assert [request.result() for request in requests] == list(range(100))


class Emptier:
    """Empties, while it is looked at, the keyword arguments that it is one of."""

    count = 0

    def __index__(self):
        for thing in gc.get_objects():
            if type(thing) is dict and any(one is self for one in [*thing.values()]):
                thing.clear()
                Emptier.count += 1
        return 1

    __bool__ = fileno = __index__


class Number:
    """A number that is there as long as something holds it."""

    def __init__(self):
        self.number = [1] * 9

    def __index__(self):
        return self.number[0]

    def __call__(self):
        return self.number


def keyword_arguments_emptied():
    """What was given stays until the call is over."""
    ctx = tpool.AioContext()
    note = tpool.EventNotifier()
    pool = tpool.ThreadPool(ctx)
    calls = [
        (_core.AioContext, ["poll_max_ns"], ["poll_grow", "poll_shrink"]),
        (tpool.EventNotifier, ["active"], []),
        (ctx.set_poll_params, ["max_ns"], ["grow", "shrink"]),
        (
            lambda **kw: _core.AioContext.set_poll_params(ctx, **kw),
            ["max_ns"],
            ["grow"],
        ),
        (pool.set_threads, ["min_threads"], ["max_threads"]),
        (lambda **kw: ctx.set_fd_poll(**kw), ["fd"], ["io_poll_begin", "io_poll_end"]),
        (ctx.set_fd_handler, ["fd"], ["io_read", "io_write", "io_poll"]),
    ]
    for _ in range(20):
        for call, first, others in calls:
            given = {name: Emptier() for name in first}
            given.update((name, Number()) for name in others)
            try:
                made = call(**given)
            except (TypeError, OSError, ValueError) as error:
                made = type(error)
            if isinstance(made, _core.AioContext):
                assert made.poll_grow == 1
    assert ctx.poll_grow == 1
    ctx.set_fd_handler(1)
    ctx.close()
    note.close()
    assert Emptier.count


class Trigger:
    """Its death is told."""


class Bag:
    """One of many that are collected together."""

    def __init__(self, everything):
        self.everything, self.trigger, self.me = everything, Trigger(), self

    def __del__(self):
        # Later than the collector has looked for weak references.
        refs.append(weakref.ref(self.trigger, use_what_is_cleared))
        refs.extend(map(weakref.ref, self.methods))


refs, used = [], []


def use_what_is_cleared(ref):
    for method in [one() for one in refs]:
        if callable(method):
            look_at(method.__self__, [])
            used.append(type(method.__self__))


def collect(make):
    """Have the collector clear what make() makes, amid things that look at it.

    make() is given what everything is in, and returns objects and a method of each:
    that keeps its object, and can be referred to weakly.
    """
    everything = {}
    everything["before"] = [Bag(everything) for _ in range(10)]
    everything["made"] = made = make(everything)
    # Not a list: nothing clears a tuple.
    everything["methods"] = tuple(getattr(thing, name) for thing, name in made)
    everything["after"] = [Bag(everything) for _ in range(10)]
    kinds = {type(thing) for thing, _ in made}
    for bag in (*everything["before"], *everything["after"]):
        bag.methods = everything["methods"]
    del everything, made, bag
    gc.collect()
    if not used and sys.version_info >= (3, 14):
        skip("this collector leaves no way to what it has cleared")
    assert kinds <= set(used)


def cleared_bottom_half():
    """It may be scheduled still, and calls nothing."""
    with tpool.AioContext() as ctx:
        collect(lambda all_: [(ctx.new_bh(all_.copy), "schedule")])
        ctx.poll(False)


def cleared_timer():
    """It may be set still, and calls nothing."""
    with tpool.AioContext() as ctx:
        collect(lambda all_: [(ctx.new_timer(all_.copy), "mod_ns")])
        ctx.poll(False)


def cleared_request():
    """It has no result any more, and says so."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:

        def make(everything):
            done = pool.submit(lambda: (everything,))
            done.result()
            return [(done, "result")]

        collect(make)


def cleared_pool_and_context():
    """They are closed, and refuse."""

    def make(everything):
        ctx = tpool.AioContext()
        pool = tpool.ThreadPool(ctx)
        pool.all = ctx.all = everything
        timer, bh = ctx.new_timer(everything.copy), ctx.new_bh(everything.copy)
        timer.mod_ns(1 << 62)
        bh.schedule_idle()
        done = pool.submit(int)
        done.add_done_callback(everything.get)
        pool._close(0, False)
        pool._threads.join()  # it is on the context's list now
        return [
            (ctx, "fileno"),
            (pool, "_outstanding"),
            (timer, "cancel"),
            (bh, "cancel"),
            (done, "done"),
        ]

    collect(make)


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
