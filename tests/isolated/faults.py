# SPDX-License-Identifier: MIT
"""Cases of test_faults.py that need a process of their own."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import sys
import sysconfig
import threading
import time
import weakref

import cases
from cases import is_blocked, skip, spin_until

import tpool


def signal_while_blocked():
    """F6: Ctrl-C while the owner sleeps; the completion comes later."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        gate = threading.Event()
        req = pool.submit(gate.wait)

        def interrupt():
            spin_until(lambda: is_blocked(ctx))
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            while True:
                ctx.poll()
        except KeyboardInterrupt:
            pass
        thread.join()
        assert ctx.notify_me == 0
        gate.set()
        assert req.result() is True


def signal_while_spinning():
    """F7: a handler runs although the spin is GIL-free and lasts for ever."""
    with tpool.AioContext(poll_max_ns=2**62) as ctx, tpool.ThreadPool(ctx) as pool:
        hits = []
        signal.signal(signal.SIGUSR1, lambda *_: (hits.append(1), gate.set()))
        for round_ in range(1, 31):
            gate = threading.Event()
            pool.submit(int).result()  # the window has grown, and work is in flight
            req = pool.submit(gate.wait)
            timer = threading.Timer(0.001 * (round_ % 5), signal_self)
            timer.start()
            assert req.result() is True
            timer.join()
            assert len(hits) == round_
        assert ctx.notify_me == 0


def signal_self():
    os.kill(os.getpid(), signal.SIGUSR1)


def signal_at_any_moment():
    """F7: a handler's post between the last look and the sleep is not lost."""
    with tpool.AioContext(poll_max_ns=20_000) as ctx, tpool.ThreadPool(ctx) as pool:
        done = []
        signal.signal(signal.SIGALRM, lambda *_: (done.append(1), ctx.notify()))
        for i in range(1, 1001):
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + (i % 100) * 2e-6)
            pool.submit(int).result()
            while len(done) < i:
                ctx.poll()  # only the signal ends it
        assert len(done) == 1000
        assert ctx.notify_me == 0


def signal_that_another_thread_takes():
    """F7: a thread of the user's with signals unblocked may get it in that window."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        signal_at_any_moment()
    finally:
        stop.set()
        thread.join()


def signal_handler_submits():
    """F8: submit, cancel and a poll in a handler, while the same are interrupted."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=2) as pool:
        requests, count = [], [0]

        def handler(*_):
            count[0] += 1
            requests.append(pool.submit(int))
            extra = pool.submit(int)
            extra.cancel()
            requests.append(extra)
            ctx.call_soon(int)
            ctx.notify()
            if count[0] % 7 == 0:
                pool.set_threads(0, 2)

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
        while count[0] < 500:
            req = pool.submit(int)
            req.cancel()
            assert req.cancelled() or req.result() == 0
            ctx.poll(False)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for req in requests:
            assert req.cancelled() or req.result() == 0
        assert len(requests) >= 1000


def signal_handler_shuts_down():
    """F8: shutdown in a handler that interrupts submit; then it is refused."""
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx)
        signal.signal(signal.SIGALRM, lambda *_: pool.shutdown())
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        said = None
        while said is None:
            try:
                pool.submit(int)
            except RuntimeError as error:
                said = str(error)
        assert "after shutdown" in said, said
        stats = pool.stats()
        assert stats.completed == stats.submitted
        assert stats.threads == 0


def gc_submits():
    """F9: submit in __del__ and in a weakref callback, at any allocation."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=3) as pool:
        requests = []

        class Cycle:
            def __init__(self):
                self.me = self

            def __del__(self):
                requests.append(pool.submit(int))
                ctx.call_soon(int)
                ctx.notify()

        watched = []

        def callback(_):
            requests.append(pool.submit(int))

        gc.set_threshold(3)
        for _ in range(2000):
            watched.append(weakref.ref(Cycle(), callback))
            req = pool.submit(int)
            req.add_done_callback(lambda r: r)
            assert req.result() == 0
            watched[:-5] = []
        gc.set_threshold(0)
        gc.collect()
        for req in requests:
            assert req.result() == 0
        assert len(requests) > 2000


def context_in_a_cycle_with_its_task():
    """F18: collected with work in flight: threads end, fds are freed."""
    fds, tasks = len(os.listdir("/proc/self/fd")), threading.active_count()
    gates = []
    for _ in range(10):
        ctx = tpool.AioContext()
        pool = tpool.ThreadPool(ctx)
        gates.append(threading.Event())
        reqs = [pool.submit(gates[-1].wait), pool.submit(lambda ctx=ctx: ctx)]
        reqs[0].add_done_callback(lambda _, c=ctx, p=pool: (c, p))
        ctx.new_timer(lambda c=ctx: c).mod_ns(2**62)
        ref = weakref.ref(ctx)
        del ctx, pool, reqs
    gc.collect()
    for gate in gates:
        gate.set()
    spin_until(lambda: (gc.collect(), threading.active_count())[1] == tasks)
    spin_until(lambda: (gc.collect(), ref())[1] is None)
    spin_until(lambda: len(os.listdir("/proc/self/fd")) == fds)


def context_dropped_with_work_in_flight():
    """F18: the last reference goes while calls run and others are queued."""
    fds, tasks = len(os.listdir("/proc/self/fd")), threading.active_count()
    for i in range(50):
        ctx = tpool.AioContext()
        pool = tpool.ThreadPool(ctx, max_threads=2)
        reqs = [pool.submit(time.sleep, 0.0002 * (i % 5)) for _ in range(20)]
        if i % 2:
            reqs[0].result()
        del ctx, pool
        if i % 3:
            del reqs
    reqs = None
    spin_until(lambda: threading.active_count() == tasks)
    gc.collect()
    spin_until(lambda: len(os.listdir("/proc/self/fd")) == fds)


def fd_limit():
    """F22: EMFILE while a context or a notifier is made leaks nothing."""
    open_fds = len(os.listdir("/proc/self/fd"))
    lowest = os.dup(0)
    os.close(lowest)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    codes = []
    for room in range(4):
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + room, hard))
        for make in (tpool.AioContext, tpool.EventNotifier):
            try:
                make().close()
            except OSError as error:
                codes.append(error.errno)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        assert len(os.listdir("/proc/self/fd")) == open_fds
    assert len(codes) >= 3
    assert set(codes) == {errno.EMFILE}
    with tpool.AioContext() as ctx:
        ctx.call_soon(int)
        assert ctx.poll()


def no_memory():
    """F23: MemoryError at any allocation; what was submitted arrives all the same."""
    try:
        import _testcapi
    except ImportError:
        skip("no _testcapi")
    if not hasattr(_testcapi, "set_nomemory"):
        skip("no _testcapi.set_nomemory")
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=1) as pool:
        pool.submit(int).result()
        gate, done, failed, late = threading.Event(), [], 0, done_nothing
        blocker = pool.submit(gate.wait)  # the worker allocates nothing meanwhile
        spin_until(lambda: pool.stats().running == 1)
        note = done.append
        nomemory, undo = _testcapi.set_nomemory, _testcapi.remove_mem_hooks
        args, pairs, submitted = (1, 2), [(1, 2)] * 2, 0
        calls = [
            lambda: pool.submit(late, *args),
            lambda: ctx.call_soon(late, *args),
            lambda: ctx.new_timer(late),
            lambda: ctx.new_bh(late).schedule(),
        ]
        if not sysconfig.get_config_var("Py_GIL_DISABLED"):
            # A list for which there is no memory corrupts the free-threaded
            # interpreter (python/cpython#152125): there, only what makes none.
            calls += [
                lambda: pool.submit_many(late, pairs),
                lambda: blocker.add_done_callback(note),
            ]
        for n in range(40):
            for call in calls:
                before = pool.stats().submitted
                nomemory(n)
                try:
                    call()
                except MemoryError:
                    undo()
                    failed += 1
                    assert pool.stats().submitted == before
                finally:
                    undo()
                submitted += pool.stats().submitted - before
        assert failed, "no allocation failed"
        gate.set()
        spin_until(lambda: pool.stats().completed == pool.stats().submitted)
        for n in range(0, 60, 3):
            nomemory(n)
            try:
                ctx.poll(False)
            except MemoryError:
                pass
            finally:
                undo()
        while ctx.poll(False):
            pass
        assert blocker.result() is True
        assert pool.stats().completed == submitted + 2
        assert pool.submit(int).result() == 0
        assert ctx.notify_me == 0


def done_nothing(*_):
    return None


def interrupted_waits():
    """F2: run under strace, which makes waits fail with EINTR."""
    with tpool.AioContext(poll_max_ns=0) as ctx, tpool.ThreadPool(ctx) as pool:
        done = []
        for i in range(100):
            req = pool.submit(int)
            req.add_done_callback(lambda _, i=i: done.append(i))
            assert req.result() == 0
        assert done == list(range(100))
        fired = []
        ctx.new_timer(lambda: fired.append(1)).mod_ns(time.monotonic_ns() + 5_000_000)
        while not fired:
            ctx.poll()
        assert fired == [1]
        assert pool.stats().completed == 100


def gc_during_spin():
    """F41: another thread's collection stops the world while the owner spins."""
    with tpool.AioContext(poll_max_ns=2**62) as ctx, tpool.ThreadPool(ctx) as pool:
        for _ in range(3):
            pool.submit(int).result()
        for _ in range(20):
            assert pool.submit(gc.collect).result() >= 0
        assert ctx.notify_me == 0


def pollers_and_writes():
    """B: run under strace, which counts the writes of the main loop's eventfd."""
    with tpool.AioContext(poll_max_ns=2**62) as ctx, tpool.ThreadPool(ctx) as pool:
        for _ in range(3000):
            pool.submit(int).result()
        stats = ctx.stats()
        print(stats.notifier_writes, stats.polls_hit, stats.polls_refused)


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
