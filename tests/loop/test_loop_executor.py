# SPDX-License-Identifier: MIT
"""EventLoop.run_in_executor(): whose executor is called, and when it is refused."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time

import pytest
from conftest import hop, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)


class Shared(concurrent.futures.ThreadPoolExecutor):
    """Its owner shuts it down, no loop does."""

    def shutdown(self, wait=True, *, cancel_futures=False):
        pass


@pytest.fixture
def shared():
    executor = Shared(1, "shared")
    yield executor
    concurrent.futures.ThreadPoolExecutor.shutdown(executor)


def by_none(_):
    return asyncio.get_running_loop().run_in_executor(None, int)


def by_to_thread(_):
    return asyncio.to_thread(int)


def by_name(executor):
    return asyncio.get_running_loop().run_in_executor(executor, int)


async def refused(hop, executor=None):
    """Return what hop() is refused with."""
    try:
        return await hop(executor)
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize("hop", [by_none, by_to_thread])
@pytest.mark.parametrize("whose", ["shared", "own", "none yet"])
def test_the_default_executor_is_refused_after_its_shutdown(run, hop, whose, shared):
    async def main():
        loop = asyncio.get_running_loop()
        if whose == "shared":
            loop.set_default_executor(shared)
        if whose != "none yet":
            await hop(None)
        await loop.shutdown_default_executor()
        return await refused(hop)

    assert run(main()) == "Executor shutdown has been called"


def test_a_default_executor_set_after_the_shutdown_is_refused(run, shared):
    async def main():
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        loop.set_default_executor(shared)
        return await refused(by_none)

    assert run(main()) == "Executor shutdown has been called"


def test_an_executor_by_name_is_called_after_the_shutdown_of_the_default(run, shared):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(shared)
        await loop.shutdown_default_executor()
        return await by_name(shared)

    assert run(main()) == 0


def test_the_loop_s_pool_by_name_is_called_after_the_shutdown_of_another(shared):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(shared)
        await loop.shutdown_default_executor()
        return await by_name(loop.pool)

    assert tpool.run(main()) == 0


def test_a_closed_loop_says_so_rather_than_that_its_executor_is_shut_down(run, shared):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(shared)
        return loop

    loop = run(main())
    for executor in (None, shared):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            loop.run_in_executor(executor, int)


@pytest.mark.parametrize("made", [False, True])
def test_to_thread_of_tpool_is_refused_after_the_shutdown_too(made):
    async def main():
        if made:
            await tpool.to_thread(int)
        await asyncio.get_running_loop().shutdown_default_executor()
        return await refused(lambda _: tpool.to_thread(int))

    assert tpool.run(main()) == "Executor shutdown has been called"


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
