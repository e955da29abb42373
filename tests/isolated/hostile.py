# SPDX-License-Identifier: MIT
"""Programs that no one should write, and that must neither crash nor hang."""

from __future__ import annotations

import _thread
import contextvars
import faulthandler
import gc
import importlib.util
import os
import select
import signal
import sys
import threading
import time

import tpool
import tpool.thread_pool
import tpool.worker_thread

faulthandler.dump_traceback_later(50, exit=True)


def skip(reason):
    print(reason)
    sys.exit(77)


def spin_until(condition):
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("deadline")


def timer_cancelled_by_the_end_of_another():
    """The heap is emptied while a destructor takes a timer out of it."""
    ctx = tpool.AioContext()

    class Callback:
        def __call__(self):
            pass

        def __del__(self):
            second.cancel()

    second = ctx.new_timer(print)
    first = ctx.new_timer(Callback())
    first.mod_ns(1 << 60)
    second.mod_ns(1 << 61)
    del first
    ctx.close()
    assert not second.pending


def handler_checks_inside_prepare(raises):
    with tpool.AioContext(2**40) as ctx, tpool.ThreadPool(ctx) as pool:
        ctx.set_poll_params(2**40, 1_000_000)
        while ctx.poll_ns < 10**9:
            pool.submit(time.sleep, 0.01).result()
        hits = []

        def handler(*_):
            hits.append(ctx.check())
            if raises:
                raise KeyError

        signal.signal(signal.SIGALRM, handler)
        gate, left = threading.Event(), []
        request = pool.submit(gate.wait)
        for _ in range(5):
            hits.clear()
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            try:
                while not hits:
                    ctx.prepare()
                    if not hits:  # it may not poll, beside the worker on one CPU
                        ctx.check()
            except KeyError:
                pass
            left.append(ctx.notify_me)
        # One may have come between two calls.
        assert left.count(0 if raises else 1) >= 3, left
        gate.set()
        assert request.result() is True


def handler_checks_inside_prepare_and_returns():
    handler_checks_inside_prepare(False)


def handler_checks_inside_prepare_and_raises():
    handler_checks_inside_prepare(True)


def polls_nested_without_end():
    """No Python frame lies between them to be counted."""
    with tpool.AioContext() as ctx:
        seen = []
        sys.unraisablehook = lambda info: seen.append(info.exc_type)
        for _ in range(20_000):
            ctx.call_soon(ctx.poll, False)
        while ctx.poll(False):
            pass
        if sys.version_info < (3, 13):  # its hook is one call too deep as well
            seen.append(RecursionError)
        assert set(seen) == {RecursionError}, set(seen)
        assert ctx.notify_me == 0


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


def lock_released_that_a_method_holds():
    """release() in the middle of set_fd_handler() and of close()."""
    ctx, said = tpool.AioContext(), []

    class Callback:
        def __call__(self):
            pass

        def __del__(self):
            try:
                ctx.release()
            except RuntimeError as error:
                said.append(str(error))

    read, write = os.pipe()
    ctx.set_fd_handler(read, Callback())
    ctx.set_fd_handler(read)
    ctx.set_fd_handler(read, Callback())
    ctx.close()
    assert len(said) == 2, said
    assert all("not acquired" in text for text in said)
    os.close(read)
    os.close(write)


def close_that_is_interrupted():
    """Nothing is lost: the owner goes on, its bottom halves run."""
    ctx, ran = tpool.AioContext(), []
    pool = tpool.ThreadPool(ctx)
    half = ctx.new_bh(lambda: ran.append(1))
    half.schedule()
    request = pool.submit(int)
    request.add_done_callback(lambda _: sys.exit())
    spin_until(lambda: pool.stats().completed == 1)

    def close():
        try:
            ctx.close()
        except SystemExit:
            ran.append("interrupted")

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert ran == ["interrupted"]
    ctx.poll(False)
    half.schedule()
    ctx.poll(False)
    assert ran == ["interrupted", 1, 1], ran
    ctx.close()


def index_that_changes_its_mind():
    class Number:
        asked = 0

        def __index__(self):
            self.asked += 1
            if self.asked > 1:
                raise AssertionError("asked twice")
            return 10**400

    with tpool.AioContext() as ctx:
        tpool.ThreadPool(ctx, idle_timeout=Number()).shutdown()
        for bad, error in ((10**5000, OverflowError), (-(10**5000), ValueError)):
            try:
                ctx.set_poll_params(bad)
            except error as raised:
                said = str(raised)
            assert "max_ns must be" in said


def idle_bottom_half_scheduled_in_earnest_after_a_cancel():
    """It wakes an owner that sleeps until idle time."""
    with tpool.AioContext() as ctx:
        half = ctx.new_bh(int)
        half.schedule_idle()
        half.cancel()
        assert not ctx.notified
        half.schedule()
        assert ctx.notified


def callback_returns_what_has_no_truth():
    class Vague:
        def __bool__(self):
            raise ValueError

    seen = []
    sys.unraisablehook = seen.append
    with tpool.AioContext() as ctx:
        note = tpool.EventNotifier(True)
        ctx.set_event_notifier(note, lambda: (note.test_and_clear(), Vague())[1])
        assert ctx.poll()
        ctx.set_event_notifier(note)
    assert seen == []


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


def foreign_loop_hears_on_after_an_fd_was_closed_behind_its_back(other):
    ran = []
    with tpool.AioContext() as ctx:
        watcher = select.epoll()
        watcher.register(ctx.fileno(), select.EPOLLIN)
        keep = os.pipe()
        if other:
            ctx.set_fd_handler(keep[0], int)
        read, write = os.pipe()
        ctx.set_fd_handler(read, int)
        double = os.dup(read)
        os.close(read)
        ctx.set_fd_handler(read)
        os.write(write, b"x")  # epoll reports the duplicate, for ever

        def post():
            spin_until(lambda: ctx.notify_me == 1)  # the foreign loop waits
            ctx.call_soon(ran.append, 1)

        thread = threading.Thread(target=post)

        def turn():
            if ctx.prepare() != 0:
                assert watcher.poll(20), "deaf"
            ctx.check()
            ctx.dispatch()

        for _ in range(3):
            ctx.notify()
            turn()
        assert ctx.prepare() == -1
        assert not watcher.poll(0), "readable for ever"
        ctx.check()
        thread.start()
        while not ran:
            turn()
        thread.join()
        watcher.close()
        for fd in (*keep, double, write):
            os.close(fd)


def foreign_loop_hears_on_without_another_handler():
    foreign_loop_hears_on_after_an_fd_was_closed_behind_its_back(False)


def foreign_loop_hears_on_with_another_handler():
    foreign_loop_hears_on_after_an_fd_was_closed_behind_its_back(True)


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
    globals()[sys.argv[1]]()
