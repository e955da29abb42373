# SPDX-License-Identifier: MIT
"""Programs that no one should write, with pools, their threads and requests."""

from __future__ import annotations

import _thread
import contextvars
import gc
import importlib.util
import os
import sys
import threading
import time

import cases
from cases import skip, spin_until

import tpool
import tpool.worker_thread


def requests_chained_by_their_results():
    """Each is the result of the next: dropped, they are a deep recursion."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        request = None
        for number in range(300_000):
            request = pool.submit(lambda before: before, request)
            if number % 1000 == 0:
                request.result()
        request.result()
        del request


def destructor_of_an_argument_waits_for_the_pool():
    """A cancelled request is on its way before its arguments are dropped."""
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx, max_threads=1)
        gate, running = threading.Event(), threading.Event()

        class Argument:
            def __del__(self):
                gate.set()
                pool.shutdown()

        pool.submit(lambda: (running.set(), gate.wait()))
        assert running.wait(30)
        request = pool.submit(id, Argument())
        assert request.cancel()
        assert request.cancelled()


def request_cancelled_before_it_is_submitted():
    """gc.get_objects() finds it while submit_many() still collects."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:

        def arguments():
            for number in range(3):
                yield (number,)
            for thing in gc.get_objects():
                if type(thing) is list and thing and type(thing[0]) is tpool.Request:
                    assert not thing[0].cancel()

        requests = pool.submit_many(int, arguments())
        assert [request.result() for request in requests] == [0, 1, 2]


def pools_made_after_the_exit_hooks_have_run():
    """They would never be stopped, and the exit would wait for them."""
    ctx, said = tpool.AioContext(), []

    def late():
        threading.main_thread().join()
        time.sleep(0.2)  # nothing tells when the hooks have run
        for make in (lambda: tpool.ThreadPool(ctx, min_threads=1), tpool.IOThread):
            try:
                make()
            except RuntimeError as error:
                said.append("interpreter shutdown" in str(error))
        os._exit(0 if said == [True, True] else 1)

    threading.Thread(target=late).start()


def pool_made_by_a_callback_while_its_context_closes():
    ctx, said = tpool.AioContext(), []
    sys.unraisablehook = lambda info: said.append(info.exc_type)
    pool = tpool.ThreadPool(ctx)
    pool.submit(int).add_done_callback(lambda _: tpool.ThreadPool(ctx, min_threads=1))
    ctx.close()
    assert said == [RuntimeError], said


def submit_and_wait_inside_of_the_start_of_a_worker():
    """The worker that is being started cannot be waited for."""
    with tpool.AioContext() as ctx:
        pool, seen = tpool.ThreadPool(ctx, max_threads=4), []

        def hook(frame, event, _):
            if event == "call" and frame.f_code.co_name == "start":
                sys.setprofile(None)
                seen.append(pool.submit(int).result(timeout=20))

        sys.setprofile(hook)
        assert pool.submit(int).result() == 0
        assert seen == [0]


def thread_that_ends_before_it_begins():
    """For want of memory, say, in the first steps of threading."""

    def fail(self):
        if isinstance(self, tpool.worker_thread.WorkerThread):
            raise MemoryError
        original(self)

    original = threading.Thread._bootstrap_inner
    threading.Thread._bootstrap_inner = fail
    sys.excepthook = sys.unraisablehook = lambda *_: None
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx)
        request = pool.submit(int)
        try:
            request.result(timeout=20)
        except RuntimeError as error:
            said = str(error)
        assert "no thread could be started" in said
        assert pool.stats().threads == 0


def callbacks_added_while_the_owner_dispatches():
    """Without the GIL one looks at the context of the call as the other drops it."""
    contextvars.ContextVar("variable").set([1])
    current, ended = [], []

    def add():
        while not ended:
            for request in current[-1:]:
                if not request.done():
                    request.add_done_callback(lambda _: None)

    threads = [threading.Thread(target=add) for _ in range(2)]
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=1) as pool:
        for thread in threads:
            thread.start()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            current[:] = [pool.submit(int)]
            current[0].result()
        ended.append(True)
        for thread in threads:
            thread.join()


def pools_that_equal_each_other():
    class Pool(tpool.ThreadPool):
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

    ctx = tpool.AioContext()
    pools = [Pool(ctx, min_threads=1), Pool(ctx, min_threads=1)]
    with tpool.CpuMeter(ctx):
        pass
    ctx.close()
    assert [pool.stats().threads for pool in pools] == [0, 0]


def pools_made_and_dropped_while_others_are_gone_through():
    sys.setswitchinterval(1e-6)
    with tpool.AioContext() as ctx:
        stop = threading.Event()

        def make():
            while not stop.is_set():
                tpool.ThreadPool(ctx)

        keep = [tpool.ThreadPool(ctx) for _ in range(20)]
        thread = threading.Thread(target=make)
        thread.start()
        for _ in range(3000):
            ctx.set_poll_params(1000)
        stop.set()
        thread.join()
        del keep


def io_thread_that_is_left_by_every_callback():
    """It closes its context all the same."""
    threading.excepthook = lambda _: None
    io, go_on = tpool.IOThread(), threading.Event()
    io.ctx.call_soon(go_on.wait)
    for _ in range(3):
        io.pool.submit(int).add_done_callback(lambda _: sys.exit())
    spin_until(lambda: io.pool.stats().completed == 3)
    go_on.set()
    assert io.join(30)
    assert io.ctx.closed


def is_refused_with_both_cures(
    names=("gevent.monkey.patch_all", "eventlet.monkey_patch"),
):
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx)
        for make in (lambda: pool.submit(int), tpool.IOThread):
            said = ""
            try:
                make()
            except RuntimeError as error:
                said = str(error)
            for name in names:
                assert f"{name}(thread=False)" in said, (make, said)
    return True


def greenlets_of_gevent_for_threads_are_refused():
    """They would hold up the thread that waits for them."""
    if importlib.util.find_spec("gevent") is None:
        skip("gevent is not installed")
    from gevent import monkey

    monkey.patch_all()
    assert is_refused_with_both_cures()


def greenlets_of_eventlet_for_threads_are_refused():
    """The same of another library."""
    if importlib.util.find_spec("eventlet") is None:
        skip("eventlet is not installed")
    import warnings

    warnings.simplefilter("ignore")
    import eventlet

    eventlet.monkey_patch()
    assert is_refused_with_both_cures()


def anything_for_threads_is_refused():
    """As either library puts its own function there."""
    start, _thread.start_new_thread = _thread.start_new_thread, lambda *_: 1
    assert is_refused_with_both_cures()
    _thread.start_new_thread = start
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        assert pool.submit(int).result() == 0


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
