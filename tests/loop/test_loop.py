# SPDX-License-Identifier: MIT
"""EventLoop: the same programs on the stock loop and on ours, and what is ours."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
import threading
from contextlib import closing

import pytest
from conftest import FACTORIES, hop, run_code, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)


def test_import_of_tpool_loads_no_asyncio():
    code = "import sys, tpool; assert 'asyncio' not in sys.modules"
    run_code(code)


def test_run_takes_the_loop_and_returns_the_result():
    async def main():
        return type(asyncio.get_running_loop())

    assert tpool.run(main()) is tpool.EventLoop


def test_run_inside_a_running_loop_is_refused(run):
    async def main():
        inner = asyncio.sleep(0)
        try:
            with pytest.raises(RuntimeError, match="running event loop"):
                tpool.run(inner)
        finally:
            inner.close()
        return await hop(int)

    assert run(main()) == 0


def test_closed_loop_refuses(run):
    async def main():
        return asyncio.get_running_loop()

    loop = run(main())
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_in_executor(None, int)
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(int)


def test_loop_closed_with_work_in_flight_neither_hangs_nor_crashes():
    release = threading.Event()
    loop = tpool.new_event_loop()

    async def main():
        loop.run_in_executor(None, release.wait)

    loop.run_until_complete(main())
    loop.close()
    release.set()
    gc.collect()


def test_loop_closed_before_a_result_was_dispatched_drops_it_silently(unraisable):
    loop = tpool.new_event_loop()
    release = threading.Event()

    async def wait_for_ever():
        await hop(release.wait)

    async def start():
        task = asyncio.ensure_future(wait_for_ever())
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(start())
    release.set()
    wait_until(lambda: loop.pool.stats().completed)
    wait_until(lambda: loop.pool.stats().running == 0)
    loop.close()
    assert not task.done()
    assert unraisable == []
    task._log_destroy_pending = False


def test_call_soon_threadsafe_wakes_the_loop_without_a_byte_in_its_pipe():
    loop = tpool.new_event_loop()
    calls = []

    def post():
        for i in range(1000):
            loop.call_soon_threadsafe(calls.append, i)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=post)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert calls == list(range(1000))
    with pytest.raises(BlockingIOError):
        loop._ssock.recv(1)
    assert loop.ctx.stats().notifier_writes <= loop.ctx.stats().turns
    loop.close()


def test_loop_runs_in_another_thread_the_next_time():
    loop = tpool.new_event_loop()
    results = []

    def again():
        results.append(loop.run_until_complete(hop(int)))

    again()
    thread = threading.Thread(target=again)
    thread.start()
    thread.join()
    again()
    loop.close()
    assert results == [0, 0, 0]


def test_two_loops_in_two_threads():
    async def main():
        return [await hop(str, i) for i in range(300)]

    results = []
    threads = [
        threading.Thread(target=lambda: results.append(tpool.run(main())))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[str(i) for i in range(300)]] * 2


def test_sleep_is_never_early(run):
    async def main():
        loop = asyncio.get_running_loop()
        for delay in (1e-6, 1e-4, 1e-3):
            begin = loop.time()
            await asyncio.sleep(delay)
            assert loop.time() - begin >= delay - loop._clock_resolution

    run(main())


def test_debug_mode_reports_a_slow_callback(run, caplog):
    async def main():
        asyncio.get_running_loop().slow_callback_duration = 0.01
        await hop(int)
        threading.Event().wait(0.02)

    run(main(), debug=True)
    assert "took" in caplog.text


def test_debug_mode_refuses_a_coroutine_function(run):
    async def main():
        with pytest.raises(TypeError, match="coroutine"):
            await hop(asyncio.sleep)

    run(main(), debug=True)


def test_debug_mode_by_the_environment_is_that_of_the_stock_loop():
    code = (
        "import asyncio, sys, threading, tpool\n"
        "factory = {'stock': asyncio.SelectorEventLoop, "
        "'tpool': tpool.new_event_loop}[sys.argv[1]]\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    print(loop.get_debug(), await asyncio.to_thread(int))\n"
        "    def elsewhere():\n"
        "        try:\n"
        "            loop.call_soon(int)\n"
        "        except RuntimeError as error:\n"
        "            print(error)\n"
        "    await asyncio.to_thread(elsewhere)\n"
        "    asyncio.sleep(0)\n"
        "with asyncio.Runner(loop_factory=factory) as runner:\n"
        "    runner.run(main())\n"
    )
    said = []
    for name in FACTORIES:
        done = run_code(code, name, env={"PYTHONASYNCIODEBUG": "1"})
        assert "was never awaited" in done.stderr
        said.append(done.stdout)
    assert said[0].startswith("True 0\nNon-thread-safe operation")
    assert said[0] == said[1]


def test_ctrl_c_ends_a_loop_that_waits_for_a_call():
    code = (
        "import asyncio, os, signal, threading, tpool\n"
        "release = threading.Event()\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    loop.call_later(0.05, os.kill, os.getpid(), signal.SIGINT)\n"
        "    try:\n"
        "        await asyncio.to_thread(release.wait)\n"
        "    finally:\n"
        "        release.set()\n"
        "try:\n"
        "    tpool.run(main())\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = run_code(code)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_signal_handler_and_subprocess_work(run):
    async def main():
        loop = asyncio.get_running_loop()
        got = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, got.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await got.wait()
        loop.remove_signal_handler(signal.SIGUSR1)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print('out')", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await child.communicate()
        return out, child.returncode

    assert run(main()) == (b"out\n", 0)


def test_fork_in_a_loop_has_a_child_with_a_loop_of_its_own():
    code = (
        "import asyncio, os, tpool\n"
        "async def child():\n"
        "    return await asyncio.to_thread(str, 7)\n"
        "async def main():\n"
        "    await asyncio.to_thread(int)\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        asyncio._set_running_loop(None)\n"
        "        os._exit(int(tpool.run(child())))\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "print(tpool.run(main()))\n"
    )
    done = run_code(code, options=("-W", "ignore"))
    assert done.stdout == "7\n", done.stderr


def test_close_that_a_callback_interrupts_is_finished(unraisable):
    loop = tpool.new_event_loop()
    ran = []

    def interrupt(_):
        raise KeyboardInterrupt

    first, second = loop.pool.submit(int), loop.pool.submit(int)
    first.add_done_callback(interrupt)
    second.add_done_callback(ran.append)
    wait_until(lambda: loop.pool.stats().completed == 2)
    wait_until(lambda: loop.pool.stats().running == 0)
    ctx = loop.ctx
    with pytest.raises(KeyboardInterrupt):
        loop.close()
    assert loop.is_closed()
    assert ctx.closed
    assert ran == [second]
    loop.close()
    assert unraisable == []


def test_pool_is_refused_where_another_thread_closes_the_loop_meanwhile():
    class Loop(tpool.EventLoop):
        is_checked = False

        def _check_closed(self):
            super()._check_closed()
            if self.is_checked:
                self.is_checked = False
                self.close()

    with closing(Loop()) as loop:
        loop.is_checked = True
        with pytest.raises(RuntimeError, match="closed"):
            _ = loop.pool


def test_pool_and_context_of_a_closed_loop_are_refused():
    loop = tpool.new_event_loop()
    assert loop.run_until_complete(asyncio.to_thread(int)) == 0
    loop.close()
    for name in ("pool", "ctx"):
        with pytest.raises(RuntimeError, match="closed"):
            getattr(loop, name)


def test_requests_of_a_loop_that_does_not_run_can_be_waited_for(background):
    """And then it runs, in another thread."""
    with closing(tpool.new_event_loop()) as loop:
        for _ in range(2):
            assert loop.pool.submit(int).result() == 0
            assert loop.ctx.poll(False) is False
        run = loop.run_until_complete
        assert background(run, asyncio.sleep(0, "ran")).finish() == "ran"


def test_waiting_for_a_request_in_the_loop_that_would_get_it_is_refused(gate):
    async def main():
        pool = asyncio.get_running_loop().pool
        request = pool.submit(gate.wait)
        with pytest.raises(RuntimeError, match="await the request"):
            request.result()
        with pytest.raises(RuntimeError, match="await the request"):
            list(pool.map(int, [1]))
        gate.set()
        return await request, request.result()

    assert tpool.run(main()) == (True, True)


@pytest.mark.parametrize("bad", [-1, "x", 1.5])
def test_a_loop_that_cannot_be_made_says_so_once(bad, unraisable):
    with pytest.raises((ValueError, TypeError), match="poll_max_ns"):
        tpool.EventLoop(bad)
    gc.collect()
    assert unraisable == []


def test_a_loop_without_fds_says_so_once(monkeypatch, unraisable):
    def no_fds(*_):
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(socket, "socketpair", no_fds)
    with pytest.raises(OSError, match="too many"):
        tpool.EventLoop()
    gc.collect()
    assert unraisable == []
