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
        "    tpool.thread_pool._exiting.wait()\n"
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
