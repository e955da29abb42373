# SPDX-License-Identifier: MIT
"""What all tests share: contexts, threads, deadlines, and a look for leaks.

Deadlines turn a hang into a failure; nothing is asserted on how long it took.
"""

from __future__ import annotations

import ast
import asyncio
import concurrent.futures
import contextlib
import gc
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import _tuner
import pytest

import tpool
from tpool.loop.selector import AioSelector

DEADLINE_S = 30.0
TERMINAL_S = 120.0  # until a child has written something
ROOT = Path(__file__).parents[1]  # of the checkout
ISOLATED = ROOT / "tests" / "isolated"
FACTORIES = {"stock": asyncio.SelectorEventLoop, "tpool": tpool.new_event_loop}


def wait_until(condition, turn=None, deadline_s=DEADLINE_S):
    """Return what condition() says once it is true; turn() is run in between."""
    end = time.monotonic() + deadline_s
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {condition}")
        if turn is None:
            time.sleep(0.0005)
        else:
            turn()
    return result


def spin(ns):
    """Keep the CPU, and the GIL where there is one, for so long."""
    end = time.perf_counter_ns() + ns
    while time.perf_counter_ns() < end:
        pass


def poll_until(ctx, condition):
    """Turn ctx, without blocking, until condition() is true."""
    return wait_until(condition, turn=lambda: ctx.poll(False))


def is_blocked(ctx):
    """Whether the owner of ctx sleeps; called by another thread."""
    ctx.acquire()  # the owner lets go of it only to sleep
    try:
        return ctx.notify_me >= 2
    finally:
        ctx.release()


def wait_blocked(ctx):
    """Wait until the owner of ctx sleeps; called by another thread."""
    wait_until(lambda: is_blocked(ctx))


def task_state(native_id):
    """Return the state of a thread as the kernel shows it: R, S, ..."""
    stat = Path(f"/proc/self/task/{native_id}/stat").read_text(encoding="ascii")
    return stat.rpartition(")")[2].split()[0]


needs_polling = pytest.mark.skipif(
    tpool._core.cpus_usable() == 1, reason="nobody polls where one CPU is usable"
)


def raiser(exc):
    raise exc


def refuse_threads(patch):
    """Have a MonkeyPatch refuse to start any thread, as a system may."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    patch.setattr(threading.Thread, "start", refuse)


async def hop(function, *args):
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


async def storm_of_cancellations(rounds):
    """Cancel every second of 40 hops, in each round; return how many have ended."""
    results = 0
    for round_ in range(rounds):
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


def have_one_thread(loop):
    """Have the next call be in the thread of the last one."""
    if isinstance(loop, tpool.EventLoop):
        loop.pool.set_threads(0, 1)
    else:
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))


class Background(threading.Thread):
    """A thread whose result, or exception, finish() gives."""

    def __init__(self, fn, *args):
        super().__init__(daemon=True)
        self._call = (fn, args)
        self._outcome = None
        self._error = None
        self.start()

    def run(self):
        fn, args = self._call
        try:
            self._outcome = fn(*args)
        except BaseException as error:
            self._error = error
        finally:
            del self._call, fn, args

    def finish(self):
        self.join(DEADLINE_S)
        assert not self.is_alive(), f"{self} hangs"
        if self._error is not None:
            raise self._error
        return self._outcome


@pytest.fixture
def background():
    """Return a function that starts a thread; each ends without an exception."""
    threads = []

    def start(fn, *args):
        threads.append(Background(fn, *args))
        return threads[-1]

    yield start
    for thread in threads:
        thread.finish()


@pytest.fixture
def ctx():
    with tpool.AioContext() as context:
        yield context


@pytest.fixture
def pool(ctx):
    with tpool.ThreadPool(ctx) as threads:
        yield threads


@pytest.fixture
def one():
    """Return an executor of one thread."""
    with tpool.ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def running(one, gate):
    """Return a future that runs until the gate is open."""
    started = threading.Event()
    future = one.submit(lambda: (started.set(), gate.wait(30), 7)[2])
    assert started.wait(30)
    return future


@pytest.fixture
def pending(one, running):
    """Return a future that is queued behind it."""
    return one.submit(int, 5)


@pytest.fixture
def single(ctx):
    """Return a pool of one worker at most."""
    with tpool.ThreadPool(ctx, max_threads=1) as threads:
        yield threads


@pytest.fixture
def selector():
    with AioSelector() as made:
        yield made


@pytest.fixture
def pair():
    """Return two sockets, each the other's end."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture(scope="session")
def tuner():
    """Return the arithmetic of the self-tuning, from its C files."""
    try:
        return _tuner.load()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def tuned(tuner, waits, max_ns=32768):
    """Return a source that has seen waits, and its parameters."""
    params, source = _tuner.Params(max_ns, 0, 0, True), _tuner.PollWindow()
    tuner.poll_window_init(source, 0)
    for wait_ns in waits:
        tuner.poll_window_next_ns(source, params, 45_000)
        tuner.poll_window_tune(source, params, wait_ns)
    return source, params


@pytest.fixture
def gate():
    """Return an Event for workers to wait on; set at the latest at the end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(params=FACTORIES)
def run(request):
    """Return a run() on each asyncio loop; a test has the same result on both."""

    def call(main, *, debug=None):
        with asyncio.Runner(
            loop_factory=FACTORIES[request.param], debug=debug
        ) as runner:
            return runner.run(main)

    return call


@pytest.fixture
def unraisable(monkeypatch):
    """Return the list of what sys.unraisablehook is given."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: seen.append(info.exc_value))
    return seen


def run_python(*arguments, prefix=(), env=None, status=0, timeout=60):
    """Run an interpreter of its own, which must end with that exit status, or skip.

    Returns:
        The finished process, its output as text.
    """
    result = subprocess.run(
        [*prefix, sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
    )
    said = f"{result.returncode}\n{result.stdout}\n{result.stderr}"
    if result.returncode == 77:
        pytest.skip(result.stdout.strip())
    assert result.returncode == status, said
    return result


def cases_of(script, *parameters):
    """Return the functions of a script of tests/isolated with those parameters."""
    tree = ast.parse((ISOLATED / script).read_text(encoding="utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and [argument.arg for argument in node.args.args] == [*parameters]
    ]


@pytest.fixture
def isolated():
    """Return a function that runs a case of a script of tests/isolated."""

    def run(script, case, *, options=(), **how):
        return run_python(*options, ISOLATED / script, case, **how)

    return run


def traced(*inject, log=os.devnull):
    """Return the start of a command that runs under strace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace")
    probe = [strace, "-f", "-o", os.devnull, "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    return [strace, "-f", "-qq", "-o", str(log), *inject]


def run_code(code, *arguments, options=(), **how):
    """Run a program of a few lines."""
    return run_python(*options, "-c", code, *arguments, **how)


class Terminal:
    """A pseudo terminal for the standard error of a child."""

    def __init__(self):
        self.master, self.slave = os.openpty()
        self.text = b""

    def read_until(self, wanted):
        """Return when the child wrote `wanted`; None: when it closed."""
        deadline = time.monotonic() + TERMINAL_S
        while wanted is None or wanted not in self.text:
            assert time.monotonic() < deadline, self.text
            try:
                chunk = os.read(self.master, 65536)
            except OSError:  # EIO: no slave is open any more
                chunk = b""
            if not chunk:
                assert wanted is None, self.text
                return
            self.text += chunk

    def spawn(self, command, **options):
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.slave,
            **options,
        )
        os.close(self.slave)
        return child


@pytest.fixture
def terminal():
    made = Terminal()
    yield made
    os.close(made.master)


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


def _is_the_kernel_s(task):
    """Whether it is a thread of an io_uring, which stays for some seconds."""
    with contextlib.suppress(OSError):
        name = Path(f"/proc/self/task/{task}/comm").read_text(encoding="utf-8")
        return name.startswith("iou-")
    return True  # it has ended


def _tasks():
    return {
        task for task in os.listdir("/proc/self/task") if not _is_the_kernel_s(task)
    }


def _fds():
    fds = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            fds.add((fd, os.readlink(f"/proc/self/fd/{fd}")))
    return fds


@pytest.fixture(autouse=True)
def nothing_left(request):
    """Fail a test that leaves a thread or an fd behind, if it did not fail."""
    if not Path("/proc/self/task").is_dir():
        yield
        return
    # Twice: the kernel's list ends early where a thread of it is just ending, as
    # that of faulthandler_timeout is, which has been replaced for this test.
    tasks, fds = _tasks() | _tasks(), _fds()
    yield
    if request.node.stash.get(_failed, False):
        return  # its traceback keeps all that it had
    collected = False
    end = time.monotonic() + DEADLINE_S
    while (_tasks() - tasks or _fds() - fds) and time.monotonic() < end:
        if not collected:
            gc.collect()
            collected = True
        time.sleep(0.001)
    assert not _tasks() - tasks, f"threads left: {threading.enumerate()}"
    assert not _fds() - fds, f"fds left: {_fds() - fds}"
