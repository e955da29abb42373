# SPDX-License-Identifier: MIT
"""The exit of the interpreter: what was submitted is done, or told to be dropped."""

from __future__ import annotations

import signal

import pytest
from conftest import run_code

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    ("pool", "gone"),
    [
        ("tpool.ThreadPool(tpool.AioContext())", False),
        ("tpool.IOThread().pool", False),
        ("tpool.ThreadPool(tpool.AioContext())", True),
    ],
)
def test_interrupt_at_the_exit_of_the_interpreter_says_what_is_dropped(pool, gone):
    code = (
        "import os, signal, threading, time, tpool, tpool.thread_pool\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"pool = {pool}\n"
        "pool.set_threads(0, 1)\n"
        "def call():\n"
        "    tpool.thread_pool.exiting.wait()\n"
        "    time.sleep(0.05)\n"  # until it joins the threads
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    threading.Event().wait()\n"
        "for _ in range(3):\n"
        "    pool.submit(call)\n"
    )
    if gone:
        code += "del pool\n"
    expected = "1 calls of tpool have not ended, 2 requests are dropped"
    assert expected in run_code(code, status=-signal.SIGINT).stderr


INTERRUPTIONS = {
    "exit": "raise SystemExit(3)",
    "error": "raise ValueError",
    "base": "raise GeneratorExit",
    "ctrl-c": "raise KeyboardInterrupt",
}


@pytest.mark.parametrize("pool", ["tpool.ThreadPool(tpool.AioContext())", "io.pool"])
@pytest.mark.parametrize("what", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_whatever_a_signal_handler_raises_at_the_exit_interrupts_it(pool, what):
    code = (
        "import os, signal, threading, time, tpool, tpool.thread_pool\n"
        "io = tpool.IOThread()\n"
        "def handler(*_):\n"
        f"    {what}\n"
        "signal.signal(signal.SIGTERM, handler)\n"
        f"pool = {pool}\n"
        "pool.set_threads(0, 1)\n"
        "def call():\n"
        "    tpool.thread_pool.exiting.wait()\n"
        "    time.sleep(0.05)\n"  # until it joins the threads
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    threading.Event().wait()\n"
        "for _ in range(3):\n"
        "    pool.submit(call)\n"
    )
    said = run_code(code, status=-signal.SIGINT).stderr
    assert said.count("1 calls of tpool have not ended, 2 requests are dropped") == 1


def test_ctrl_c_that_comes_out_of_the_wait_as_another_error_interrupts_the_exit():
    """Python 3.13 without the GIL: it comes between a lock and its with block."""
    code = (
        "import signal, threading, tpool, tpool.thread_pool as module\n"
        "def join_all():\n"
        "    try:\n"
        "        raise KeyboardInterrupt\n"
        "    finally:\n"
        "        raise RuntimeError('release unlocked lock')\n"
        "module.join_all = join_all\n"
        "pool = tpool.ThreadPool(tpool.AioContext(), 0, 1)\n"
        "started = threading.Event()\n"
        "pool.submit(lambda: (started.set(), threading.Event().wait()))\n"
        "pool.submit(int)\n"
        "started.wait()\n"
    )
    said = run_code(code, status=-signal.SIGINT).stderr
    assert "1 calls of tpool have not ended, 1 requests are dropped" in said


def test_exit_is_seen_to_once():
    code = (
        "import threading, tpool, tpool.thread_pool as module\n"
        "join_all = module.join_all\n"
        "module.join_all = lambda: (print('joined'), join_all())\n"
        "io = tpool.IOThread()\n"
        "io.pool.submit(int)\n"
    )
    assert run_code(code).stdout == "joined\n"


def test_interrupt_at_the_exit_that_drops_nothing_is_none():
    code = (
        "import os, signal, threading, tpool, tpool.thread_pool as module\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "join_all = module.join_all\n"
        "def interrupt():\n"
        "    module.join_all = join_all\n"
        "    join_all()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    threading.Event().wait(30)\n"
        "module.join_all = interrupt\n"
        "ctx = tpool.AioContext()\n"
        "pool = tpool.ThreadPool(ctx)\n"
        "pool.submit(int)\n"
    )
    assert run_code(code).stderr == ""


def test_calls_of_a_pool_that_is_gone_are_done_before_the_interpreter_exits():
    """Its threads may not have begun: Python does not know them before 3.13."""
    code = (
        "import os, time, tpool\n"
        "def call():\n"
        "    time.sleep(0.05)\n"
        "    os.write(1, b'.')\n"
        "def main():\n"
        "    ctx = tpool.AioContext()\n"
        "    pool = tpool.ThreadPool(ctx, 0, 1)\n"
        "    for _ in range(4): pool.submit(call)\n"
        "main()\n"
    )
    assert run_code(code).stdout == "...."


def test_what_was_submitted_is_done_before_the_interpreter_exits():
    code = (
        "import os, time, tpool\n"
        "iothread = tpool.IOThread()\n"
        "iothread.pool.set_threads(0, 2)\n"
        "def call(i):\n"
        "    time.sleep(0.005)\n"
        "    os.write(1, b'.')\n"
        "    return b'+'\n"
        "for i in range(30):\n"
        "    request = iothread.pool.submit(call, i)\n"
        "    request.add_done_callback(lambda r: os.write(1, r.result()))\n"
    )
    said = run_code(code)
    assert (said.stdout.count("."), said.stdout.count("+")) == (30, 30), said
