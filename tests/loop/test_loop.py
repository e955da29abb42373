# SPDX-License-Identifier: MIT
"""EventLoop: the same programs on the stock loop and on ours, and what is ours."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import errno
import gc
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from conftest import DEADLINE_S, FACTORIES, ISOLATED, raiser, run_code, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)
# Modules of test.test_asyncio that run on the loop they find; test_tasks and
# test_ssl would add a quarter of a minute each.
STDLIB_TESTS = [
    "base_events",
    "context",
    "eager_task_factory",
    "events",
    "futures",
    "locks",
    "pep492",
    "queues",
    "runners",
    "selector_events",
    "sendfile",
    "server",
    "sock_lowlevel",
    "streams",
    "subprocess",
    "taskgroups",
    "threads",
    "timeouts",
    "transports",
    "unix_events",
    "waitfor",
]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")


async def hop(function, *args):
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


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


def test_result_comes_from_another_thread(run):
    async def main():
        return await hop(threading.get_ident), await asyncio.to_thread(str, 1)

    thread, text = run(main())
    assert thread != threading.get_ident()
    assert text == "1"


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("x"), ValueError),
        (StopIteration("x"), RuntimeError),
        (concurrent.futures.CancelledError(), asyncio.CancelledError),
        (TimeoutError("x"), TimeoutError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_exception_is_the_one_asyncio_gives(run, raised, seen):
    if isinstance(raised, StopIteration) and sys.version_info < (3, 13):
        run = tpool.run  # the stock loops of 3.11 and 3.12.1 hang on it

    async def main():
        try:
            await hop(raiser, raised)
        except BaseException as exc:
            return type(exc)

    assert run(main()) is seen


def test_traceback_shows_the_function_that_raised(run):
    async def main():
        with pytest.raises(ValueError, match="x") as caught:
            await hop(raiser, ValueError("x"))
        return [entry.name for entry in caught.traceback]

    assert "raiser" in run(main())


def test_context_variables_are_seen_by_to_thread_alone(run):
    async def main():
        variable.set("caller")
        return (
            await asyncio.to_thread(variable.get, "none"),
            await hop(variable.get, "none"),
        )

    assert run(main()) == ("caller", "none")


def test_explicit_executor_is_used(run):
    async def main():
        with concurrent.futures.ThreadPoolExecutor(1, "mine") as executor:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                executor, lambda: threading.current_thread().name
            )

    assert run(main()).startswith("mine")


def test_default_executor_that_was_set_is_used(run):
    async def main():
        await hop(int)  # the loop's own is there already
        executor = concurrent.futures.ThreadPoolExecutor(1, "mine")
        asyncio.get_running_loop().set_default_executor(executor)
        return await hop(lambda: threading.current_thread().name)

    assert run(main()).startswith("mine")


def test_after_shutdown_of_the_default_executor_calls_are_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        await hop(int)
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="shutdown"):
            await hop(int)

    run(main())


def test_shutdown_waits_for_the_call_that_runs(run):
    done = []

    async def main():
        asyncio.get_running_loop().run_in_executor(
            None, lambda: (time.sleep(0.05), done.append(1))
        )

    run(main())
    assert done == [1]


def test_closed_loop_refuses(run):
    async def main():
        return asyncio.get_running_loop()

    loop = run(main())
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_in_executor(None, int)
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon_threadsafe(int)


def test_cancelled_while_queued_never_runs():
    ran = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.pool.set_threads(0, 1)
        release = threading.Event()
        first = loop.run_in_executor(None, release.wait)
        second = loop.run_in_executor(None, ran.append, 1)
        second.cancel()
        release.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second

    tpool.run(main())
    assert ran == []


def test_cancelled_while_queued_counts_as_cancelled_alone():
    async def main():
        pool = asyncio.get_running_loop().pool
        pool.set_threads(0, 1)
        release = threading.Event()
        calls = [hop(release.wait), *(hop(int) for _ in range(10))]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await hop(int)
        return pool.stats()

    stats = tpool.run(main())
    assert (stats.submitted, stats.completed, stats.cancelled) == (12, 2, 10)


def test_cancelled_while_running_is_cancelled_at_once_and_runs_on(run):
    async def main():
        started, release = threading.Event(), threading.Event()
        ended = []

        def call():
            started.set()
            release.wait()
            ended.append(1)

        task = asyncio.ensure_future(hop(call))
        await hop(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended
        release.set()
        await asyncio.get_running_loop().shutdown_default_executor()
        return ended

    assert run(main()) == [1]


def test_storm_of_cancellations_loses_nothing(run):
    async def main():
        results = 0
        for round_ in range(30):
            tasks = [asyncio.ensure_future(hop(int, i)) for i in range(40)]
            await asyncio.sleep(0)
            for task in tasks[round_ % 2 :: 2]:
                task.cancel()
            gathered = await asyncio.gather(*tasks, return_exceptions=True)
            results += len(gathered)
            assert all(
                value == i or isinstance(value, asyncio.CancelledError)
                for i, value in enumerate(gathered)
            )
        return results

    assert run(main()) == 1200


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


def test_sockets_and_timers_are_served_beside_a_flood_of_completions(run):
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        left.setblocking(False)
        flooding = True

        async def flood():
            while flooding:
                await hop(int)

        floods = [asyncio.ensure_future(flood()) for _ in range(16)]
        with left, right:
            for _ in range(50):
                right.send(b"x")
                assert await loop.sock_recv(left, 1) == b"x"
                await asyncio.sleep(0.0001)
        flooding = False
        await asyncio.gather(*floods)

    run(main())


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
        done = subprocess.run(
            [sys.executable, "-c", code, name],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
        )
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


@pytest.mark.parametrize("hop", ["run_in_executor", "to_thread"])
@pytest.mark.parametrize("equal", [True, ValueError("ambiguous truth value")])
def test_a_callback_is_called_whatever_it_thinks_of_equality(run, hop, equal):
    called = []

    class Callback:
        __hash__ = None

        def __call__(self, future):
            called.append(future)

        def __eq__(self, other):
            if isinstance(equal, Exception):
                raise equal
            return equal

    async def main():
        if hop == "run_in_executor":
            future = asyncio.get_running_loop().run_in_executor(None, int)
        else:
            future = asyncio.ensure_future(tpool.to_thread(int))
        future.add_done_callback(Callback())
        assert await asyncio.wait_for(future, DEADLINE_S) == 0
        await asyncio.sleep(0)
        return called == [future]

    assert run(main())


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


def test_what_is_not_callable_fails_as_in_the_stock_loop(run):
    async def main():
        future = asyncio.get_running_loop().run_in_executor(None, 3)
        with pytest.raises(TypeError, match="'int' object is not callable"):
            await future

    run(main())


def test_a_child_that_a_call_starts_can_be_terminated(run):
    async def main():
        child = await asyncio.to_thread(subprocess.Popen, ["sleep", "100"])
        child.terminate()
        return await asyncio.to_thread(child.wait, 30)

    assert run(main()) == -signal.SIGTERM


def test_no_more_threads_than_the_stock_loop_has(run):
    lock, now, most = threading.Lock(), [0], [0]
    full = threading.Event()
    bound = min(32, (os.cpu_count() or 1) + 4)

    def call():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] == bound:
                full.set()
        full.wait(30)
        time.sleep(0.001)
        with lock:
            now[0] -= 1

    async def main():
        await asyncio.gather(*(asyncio.to_thread(call) for _ in range(bound + 20)))

    run(main())
    assert most[0] == bound


def test_the_loop_s_pool_can_be_named_as_executor_beside_another():
    async def main():
        loop = asyncio.get_running_loop()
        pool = loop.pool
        executor = concurrent.futures.ThreadPoolExecutor(1, "mine")
        loop.set_default_executor(executor)
        return (
            await loop.run_in_executor(pool, lambda: threading.current_thread().name),
            await hop(lambda: threading.current_thread().name),
        )

    ours, theirs = tpool.run(main())
    assert ours.startswith("asyncio")
    assert theirs.startswith("mine")
    wait_until(lambda: threading.active_count() == 1)


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


def test_a_hop_polls_and_an_idle_loop_does_not():
    async def main():
        asyncio.get_running_loop().ctx.set_poll_params(10_000_000)
        for _ in range(100):
            await hop(time.sleep, 0.0002)  # not done before the loop waits
        before = asyncio.get_running_loop().ctx.stats()
        await asyncio.sleep(0.2)
        return before, asyncio.get_running_loop().ctx.stats()

    before, after = tpool.run(main())
    assert before.polls_hit + before.polls_refused > 0
    assert after.polls_hit + after.polls_missed <= before.polls_hit + (
        before.polls_missed + 2
    )
    assert after.turns - before.turns <= 5


@pytest.mark.skipif(
    importlib.util.find_spec("test.test_asyncio") is None,
    reason="this Python has no test.test_asyncio",
)
@pytest.mark.parametrize("module", STDLIB_TESTS)
def test_the_standard_library_s_own_tests_pass(module):
    if importlib.util.find_spec(f"test.test_asyncio.test_{module}") is None:
        pytest.skip("this Python has no such module")
    done = subprocess.run(
        [sys.executable, ISOLATED / "stdlib_asyncio.py", f"test_{module}"],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-3000:]
