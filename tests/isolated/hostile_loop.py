# SPDX-License-Identifier: MIT
"""Programs that no one should write, with event loops: ours, and as a guest."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import importlib
import io
import os
import signal
import sys
import threading
import time

import cases
from cases import skip, spin_until
from hostile_fork import in_child

import tpool
import tpool.loop.guest


def guest_loop_runs_in_another_thread_the_next_time():
    loop, seen = asyncio.SelectorEventLoop(), []

    async def main():
        return await asyncio.wait_for(tpool.to_thread(int), 20)

    def run():
        seen.append(loop.run_until_complete(main()))

    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    run()
    assert seen == [0, 0, 0]
    loop.close()


def guest_loop_goes_on_after_a_callback_has_raised():
    loop, gate, tasks = asyncio.SelectorEventLoop(), threading.Event(), []

    async def main():
        tasks.append(asyncio.ensure_future(tpool.to_thread(gate.wait)))
        await asyncio.sleep(0)
        request = tpool.loop.guest.pool_of(loop).submit(int)
        request.add_done_callback(lambda _: sys.exit(3))
        await asyncio.sleep(20)

    try:
        loop.run_until_complete(main())
    except SystemExit:
        gate.set()
    assert gate.is_set()

    async def rest():
        await asyncio.wait_for(tasks[0], 20)

    loop.run_until_complete(rest())
    loop.close()


def signal_between_two_wakeup_fds():
    """One that comes while the guard asks whose the wakeup fd is."""
    if sys.version_info >= (3, 13):
        skip("the guard asks in C: nothing can be put between")
    import _signal

    real, hits = _signal.set_wakeup_fd, []

    def set_wakeup_fd(fd, **options):
        before = real(fd, **options)
        if before >= 0 and fd >= 0 and armed:
            armed.pop()
            os.kill(os.getpid(), signal.SIGUSR1)
        return before

    armed = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, hits.append, 1)
        for number in range(20):
            armed.append(1)
            for _ in range(100):
                await asyncio.sleep(0.001)
                if len(hits) > number:
                    break
        turns = loop.ctx.stats().turns
        await asyncio.sleep(0.1)
        assert loop.ctx.stats().turns - turns < 10, "it spins"

    _signal.set_wakeup_fd = set_wakeup_fd
    for name in [name for name in sys.modules if name.partition(".")[0] == "tpool"]:
        del sys.modules[name]  # the module looks for the function when it is made
    importlib.import_module("tpool").run(main())
    assert len(hits) == 20, hits


def wakeup_fd_of_others_keeps_quiet():
    """Its owner did not want to hear of a full buffer, which CPython does not tell."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, bytes(4096))
    except BlockingIOError:
        pass
    said = io.StringIO()
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    with tpool.AioContext() as ctx:
        ctx.new_timer(int).mod_ns(time.monotonic_ns() + 1_000_000)
        ctx.poll()
        with contextlib.redirect_stderr(said):
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.01)
    assert signal.set_wakeup_fd(-1) == write
    assert said.getvalue() == ""
    os.close(read)
    os.close(write)


def wakeup_fd_of_others_that_is_closed():
    read, write = os.pipe()
    os.set_blocking(write, False)
    seen = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    with tpool.AioContext() as ctx:
        ctx.poll(False)  # it has its fds
        signal.set_wakeup_fd(write)
        os.close(read)
        os.close(write)
        for number in range(1, 4):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            spin_until(lambda n=number: ctx.poll(False) or len(seen) == n)
            ctx.new_timer(int).mod_ns(time.monotonic_ns() + 1_000_000)
            ctx.poll()
    assert signal.set_wakeup_fd(-1) in (-1, write)


def loop_made_before_a_fork(used):
    """As servers do that preload, or become daemons."""
    loop = tpool.new_event_loop()

    async def main():
        await asyncio.sleep(0.001)
        return await asyncio.to_thread(lambda: "served")

    def child():
        assert loop.run_until_complete(main()) == "served"
        loop.close()

    if used:
        assert loop.run_until_complete(main()) == "served"
    assert in_child(child) == 0
    assert loop.run_until_complete(main()) == "served"
    loop.close()


def loop_made_before_a_fork_and_not_used():
    loop_made_before_a_fork(False)


def loop_used_before_a_fork():
    loop_made_before_a_fork(True)


def needs_older_than(version):
    if sys.version_info >= version:
        skip("asyncio's own tasks end with the fork: the stock loop hangs too")


def exit_of_a_forked_child(fork):
    """fork(loop) forks, and returns the child's id; in the child it exits with 5."""
    faulthandler.cancel_dump_traceback_later()  # the child would wait for its thread
    parent = os.getpid()

    async def main():
        pid = await fork(asyncio.get_running_loop())
        _, status = os.waitpid(pid, 0)  # noqa: ASYNC222 - it is all there is to do
        return os.waitstatus_to_exitcode(status)

    status = tpool.run(main())
    assert os.getpid() == parent
    assert status == 5, status


def exit_of_a_child_forked_in_a_coroutine():
    needs_older_than((3, 14))

    async def fork(loop):
        return os.fork() or sys.exit(5)

    exit_of_a_forked_child(fork)


def exit_of_a_child_forked_in_a_callback():

    async def fork(loop):
        forked = loop.create_future()
        loop.call_soon(lambda: forked.set_result(os.fork() or sys.exit(5)))
        return await forked

    exit_of_a_forked_child(fork)


def call_of_a_child_forked_in_a_coroutine():
    """There asyncio says that no loop runs, and this one goes on."""
    needs_older_than((3, 14))

    async def main():
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, int)

        async def child():
            assert await loop.run_in_executor(None, pow, 2, 5) == 32

        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(10)
                cpu = time.process_time()
                await child()
                os._exit(time.process_time() - cpu > 5)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        return pid

    pid = tpool.run(main())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def call_of_a_child_forked_in_a_callback():
    """The same without a task of asyncio's."""

    async def main():
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, int)
        forked = loop.create_future()

        def done(future):
            os._exit(future.result() != 32)

        def fork():
            pid = os.fork()
            if pid:
                forked.set_result(pid)
                return
            signal.alarm(10)
            loop.run_in_executor(None, pow, 2, 5).add_done_callback(done)

        loop.call_soon(fork)
        return await forked

    pid = tpool.run(main())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def guest_of_a_loop_made_before_a_fork():

    async def main():
        return await asyncio.wait_for(tpool.to_thread(int), 8)

    async def both():
        assert await main() == 0
        if os.fork() == 0:
            try:
                asyncio.events._set_running_loop(None)
                with asyncio.Runner() as runner:
                    assert runner.run(main()) == 0
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        _, status = os.wait()  # noqa: ASYNC222 - it is all there is to do
        assert os.waitstatus_to_exitcode(status) == 0
        assert await main() == 0

    asyncio.run(both())


def guest_of_an_inherited_loop():
    loop = asyncio.SelectorEventLoop()

    async def main():
        return await asyncio.wait_for(tpool.to_thread(int), 8)

    def child():
        assert loop.run_until_complete(main()) == 0

    assert loop.run_until_complete(main()) == 0
    assert in_child(child) == 0
    loop.close()


def guests_of_loops_that_end_with_calls_in_flight():
    """Neither loop nor context, fd nor thread is left."""
    fds = len(os.listdir("/proc/self/fd"))
    gate = threading.Event()

    async def main():
        task = asyncio.ensure_future(tpool.to_thread(gate.wait))
        await asyncio.sleep(0)
        task.cancel()

    for _ in range(50):
        asyncio.run(main())
    gate.set()
    spin_until(lambda: threading.active_count() == 1)
    spin_until(lambda: (gc.collect(), len(os.listdir("/proc/self/fd")))[1] <= fds)


def collection_asks_for_the_pool_that_is_being_made():
    """As a __del__ that hops to a thread does."""
    loop = tpool.new_event_loop()
    gc.callbacks.append(lambda *_: loop.is_closed() or loop.pool)
    gc.set_threshold(1)
    assert loop.run_until_complete(loop.run_in_executor(None, int)) == 0
    loop.close()


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
