# SPDX-License-Identifier: MIT
"""`python -m asyncio ps` and `pstree`, of CPython 3.14: the tasks of our loops."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import DEADLINE_S

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(
        sys.version_info < (3, 14), reason="asyncio ps is new in CPython 3.14"
    ),
]
# Our loops in the main thread and in an IOThread, and the stock one in a thread, each with
# a task that awaits another.
PROGRAM = """
import asyncio, sys, threading, tpool

async def leaf():
    asyncio.current_task().get_loop().call_soon(here.release)
    await asyncio.Event().wait()

async def main(name):
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(), name=f"leaf of {name}")

async def named(name):
    await asyncio.create_task(main(name), name=f"task of {name}")

def tell():
    for _ in range(3):
        here.acquire()
    print("all wait", flush=True)

here = threading.Semaphore(0)
threading.Thread(target=tell).start()
threading.Thread(target=asyncio.run, args=[named("a thread")], daemon=True).start()
io = tpool.IOThread()
io.ctx.call_soon(lambda: tpool.run(named("the IOThread")))
tpool.run(named("the main thread"))
"""


@pytest.fixture
def process():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    ) as made:
        try:
            assert made.stdout.readline() == "all wait\n"
            yield made
        finally:
            made.kill()


def ask(command, process):
    """Return what it says, or skip where one process may not look into another."""
    asked = subprocess.run(
        [sys.executable, "-m", "asyncio", command, str(process.pid)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    said = asked.stdout + asked.stderr
    if "ermission" in said or "Operation not permitted" in said:
        pytest.skip(said.strip().splitlines()[-1])
    assert asked.returncode == 0, said
    return asked.stdout


def shows(said, where):
    return f"task of {where}" in said and f"leaf of {where}" in said


@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_tasks_of_a_loop_in_the_main_thread_are_shown(process, command):
    said = ask(command, process)
    assert shows(said, "the main thread"), said
    assert "TaskGroup._aexit" in said  # with what they await


def test_tasks_of_a_loop_in_an_iothread_are_shown(process):
    said = ask("ps", process)
    if not shows(said, "a thread"):
        pytest.skip("this CPython shows no other thread, of the stock loop neither")
    assert shows(said, "the IOThread"), said
