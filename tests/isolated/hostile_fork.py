# SPDX-License-Identifier: MIT
"""Programs that no one should write, in processes that fork."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from concurrent.futures import Future

import cases
from cases import is_blocked, spin_until

import tpool

warnings.simplefilter("ignore")  # of 3.12 and later: there are threads


def in_child(function, *args):
    """Run it in a forked child; return its exit status. 14: it hung."""
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(10)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            function(*args)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def refused(call, *args):
    try:
        call(*args)
    except RuntimeError as error:
        said = str(error)
    else:
        said = "nothing"
    assert "forked" in said, (call, said)


def child_is_refused_everything_and_the_parent_hears_all():
    """The child neither hangs nor takes what is its parent's."""
    ctx = tpool.AioContext()
    pool = tpool.ThreadPool(ctx, max_threads=1)
    read, write = os.pipe()
    got, gate, running = [], threading.Event(), threading.Event()
    ctx.set_fd_handler(read, lambda: got.append(os.read(read, 1)))
    half, timer = ctx.new_bh(int), ctx.new_timer(int)
    timer.mod_ns(2**62)
    request = pool.submit(lambda: (running.set(), gate.wait()))
    queued = pool.submit(int)
    assert running.wait(30)

    def child():
        for call, *args in (
            (ctx.poll,),
            (ctx.poll, False),
            (ctx.prepare,),
            (ctx.check,),
            (ctx.dispatch,),
            (ctx.notify,),
            (ctx.set_fd_handler, read),
            (ctx.call_soon, int),
            (ctx.new_timer, int),
            (ctx.stats,),
            (ctx.fileno,),
            (ctx.set_poll_params, 1),
            (half.schedule,),
            (timer.mod_ns, 1),
            (pool.submit, int),
            (pool.submit_many, int, [()]),
            (pool.set_threads, 1, 1),
            (pool.stats,),
            (request.result,),
            (queued.result,),
        ):
            refused(call, *args)
        assert not queued.cancel()
        assert not request.done()
        timer.cancel()
        pool.shutdown()
        ctx.close()
        with tpool.AioContext() as own, tpool.ThreadPool(own) as mine:
            assert mine.submit(int).result() == 0

    status = in_child(child)
    gate.set()
    assert status == 0, status
    os.write(write, b"x")
    assert queued.result() == 0
    while not got:
        ctx.poll()
    assert got == [b"x"]
    ctx.close()


def child_has_no_part_in_wrapped_futures():
    """Its copy of a future ends nothing, and the parent hears of its own."""
    ctx, future, running = tpool.AioContext(), Future(), Future()
    assert running.set_running_or_notify_cancel()
    requests = [ctx.wrap_future(future), ctx.wrap_future(running)]

    def child():
        running.set_result("the child's")
        assert not requests[1].running()  # nor on its way to the owner
        assert not requests[0].cancel()
        assert not any(request.done() for request in requests)
        refused(ctx.wrap_future, future)
        refused(requests[1].result)
        ctx.close()
        with tpool.AioContext() as own:
            mine = own.wrap_future(future)
            future.set_result(5)
            assert mine.result() == 5

    status = in_child(child)
    assert status == 0, status
    running.set_result("the parent's")
    assert requests[1].result() == "the parent's"
    assert requests[0].cancel()
    ctx.close()


def child_of_a_callback_comes_out_of_poll():
    parent, ran, statuses = os.getpid(), [], []
    with tpool.AioContext() as ctx:

        def fork():
            pid = os.fork()
            if pid:
                statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        timer = ctx.new_timer(lambda: ran.append("timer"))
        timer.mod_ns(0)
        ctx.call_soon(fork)
        ctx.call_soon(ran.append, "next")
        try:
            ctx.poll()
        except RuntimeError as error:
            os._exit(7 if "forked" in str(error) and not ran else 8)
        while len(ran) < 2:
            ctx.poll()
        assert os.getpid() == parent
        assert (statuses, sorted(ran)) == ([7], ["next", "timer"]), (statuses, ran)


def child_of_a_fork_while_another_thread_dispatches():
    """The dispatching thread had the lock, and is not in the child."""
    with tpool.IOThread() as io:
        inside, go_on = threading.Event(), threading.Event()
        io.ctx.call_soon(lambda: (inside.set(), go_on.wait()))
        assert inside.wait(30)
        timer = io.ctx.new_timer(int)

        def child():
            refused(timer.mod_ns, 1)
            refused(io.pool.submit, int)
            io.ctx.close()

        assert in_child(child) == 0
        go_on.set()


def children_while_workers_hold_the_queue():
    with tpool.AioContext() as ctx:
        pool = tpool.ThreadPool(ctx, min_threads=3, max_threads=3)
        for _ in range(150):
            requests = pool.submit_many(int, [()] * 200)

            def child(last=requests[-1]):
                refused(pool.stats)
                last.cancel()

            assert in_child(child) == 0
            while not requests[-1].done():
                ctx.poll()


def child_has_no_wakeup_fd_of_its_parent():
    """Forked by another thread while the main thread blocks, without asyncio.

    Which clears the wakeup fd in a child itself.
    """
    with tpool.AioContext() as ctx:
        statuses = []

        def child():
            assert signal.set_wakeup_fd(-1) == -1

        def fork():
            spin_until(lambda: is_blocked(ctx))
            statuses.append(in_child(child))
            ctx.notify()

        thread = threading.Thread(target=fork)
        thread.start()
        while not statuses:
            ctx.poll()
        thread.join()
        assert statuses == [0]


def child_of_a_dropped_pool_cancels_nothing():
    """One of the parent's workers may have held the lock of the queue."""
    with tpool.AioContext() as ctx:
        gate, running = threading.Event(), threading.Event()
        pool = tpool.ThreadPool(ctx, max_threads=1)
        pool.submit(lambda: (running.set(), gate.wait()))
        queued = pool.submit(int)
        assert running.wait(30)
        del pool

        def child():
            assert queued.cancel() is False

        assert in_child(child) == 0
        assert queued.cancel()
        gate.set()


def call_that_forks_and_returns_ends_the_child():
    """Nobody there is to get its result, and what is queued is the parent's."""
    me = os.getpid()
    for min_threads in (0, 1):
        with tpool.AioContext() as ctx:
            pool = tpool.ThreadPool(ctx, min_threads, 1, idle_timeout=None)
            requests = pool.submit_many(os.fork, [()])
            requests += pool.submit_many(lambda: os.getpid() == me or os._exit(1), [()])
            pid, own = [request.result() for request in requests]
            assert own
            assert status_of(pid) == 0


def status_of(pid):
    """Return how a child has ended; it is killed where it does not."""
    ended = (0, 0)

    def has_ended():
        nonlocal ended
        ended = os.waitpid(pid, os.WNOHANG)
        return ended[0]

    try:
        spin_until(has_ended)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    return ended[1]


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
