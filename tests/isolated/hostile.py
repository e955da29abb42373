# SPDX-License-Identifier: MIT
"""Programs that no one should write, and that must neither crash nor hang."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time

import tpool

faulthandler.dump_traceback_later(50, exit=True)


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


if __name__ == "__main__":
    globals()[sys.argv[1]]()
