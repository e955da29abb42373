# SPDX-License-Identifier: MIT
"""Which signals a worker blocks: those that the owner is meant to get instead."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from conftest import run_code

import tpool
from tpool.loop.loop_pool import LoopPool

pytestmark = pytest.mark.timeout(60)

SENT = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGTERM",
    "SIGALRM",
    "SIGCHLD",
    "SIGCONT",
    "SIGTSTP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGWINCH",
    "SIGIO",
    "SIGURG",
]
# What a call does brings them on its thread.
OWN = [
    "SIGSEGV",
    "SIGBUS",
    "SIGFPE",
    "SIGILL",
    "SIGTRAP",
    "SIGSYS",
    "SIGABRT",
    "SIGPIPE",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGTTIN",
    "SIGTTOU",
    "SIGSTKFLT",
]
# For each thread.
PROFILERS = ["SIGPROF", "SIGVTALRM", "SIGRTMIN", "SIGRTMAX"]


def numbers(names):
    return {int(getattr(signal, name)) for name in names if hasattr(signal, name)}


def blocked():
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}


def test_worker_blocks_what_is_sent_to_the_process_and_nothing_else(ctx):
    with tpool.ThreadPool(ctx, min_threads=2) as pool:
        both = threading.Barrier(2)

        def call():
            both.wait()  # of a thread each
            return blocked()

        masks = [request.result() for request in [pool.submit(call) for _ in "12"]]
    assert masks == [numbers(SENT)] * 2
    assert blocked() == set()


def test_worker_keeps_what_its_starter_has_blocked(ctx):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPROF])
    try:
        with tpool.ThreadPool(ctx) as pool:
            assert signal.SIGPROF in pool.submit(blocked).result()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])


def test_worker_of_a_loop_blocks_nothing():
    async def main():
        return await tpool.to_thread(blocked)

    assert tpool.run(main()) == set()


@pytest.mark.parametrize("name", [*OWN, *PROFILERS])
@pytest.mark.parametrize("how", ["raise_signal", "other thread"])
def test_signal_of_a_call_s_own_thread_is_handled(name, how):
    """By the owner, as all; the call goes on. Else it stays pending, or kills all."""
    if not hasattr(signal, name):
        pytest.skip("no such signal here")
    code = (
        "import signal, threading, tpool\n"
        f"number = signal.{name}\n"
        "handled = threading.Event()\n"
        "signal.signal(number, lambda *_: handled.set())\n"
        "ready, sent = threading.Event(), threading.Event()\n"
        "def call():\n"
        "    me.append(threading.get_ident())\n"
        "    ready.set()\n"
        f"    if {how == 'other thread'}:\n"
        "        sent.wait()\n"
        "    else:\n"
        "        signal.raise_signal(number)\n"
        "    assert handled.wait(30)\n"
        "    return 'goes on'\n"
        "def kill():\n"
        "    ready.wait()\n"
        "    signal.pthread_kill(me[0], number)\n"
        "    sent.set()\n"
        "me = []\n"
        f"if {how == 'other thread'}: threading.Thread(target=kill).start()\n"
        "with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:\n"
        "    print(pool.submit(call).result())\n"
    )
    assert run_code(code).stdout == "goes on\n"


@pytest.mark.parametrize("cls", [tpool.ThreadPool, LoopPool])
def test_nothing_is_blocked_where_code_can_run_while_a_worker_is_started(ctx, cls):
    """A child that a collection, or a trace hook, starts there would inherit it."""
    seen = []

    def hook(frame, event, _):
        if event == "call" and "WorkerThread.start" in frame.f_code.co_qualname:
            sys.setprofile(None)
            code = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
            command = [sys.executable, "-c", code]
            seen.append(blocked())
            seen.append(subprocess.check_output(command, text=True).strip())

    with cls(ctx, thread_name_prefix="x") as pool:
        sys.setprofile(hook)
        try:
            pool.submit(int).result()
        finally:
            sys.setprofile(None)
    assert seen == [set(), "set()"]
