# SPDX-License-Identifier: MIT
"""Programs that no one should write, with contexts: none crashes or hangs."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time

import cases
from cases import needs_polling, spin_until

import tpool


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
    needs_polling()
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


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
