# SPDX-License-Identifier: MIT
"""ThreadPoolExecutor as the default executor of event loops."""

from __future__ import annotations

import asyncio

import pytest
from conftest import needs_polling, raiser, run_code, wait_until

import tpool


def test_default_executor_of_any_loop(run):
    async def main():
        loop = asyncio.get_running_loop()
        executor = tpool.ThreadPoolExecutor()
        loop.set_default_executor(executor)
        calls = [loop.run_in_executor(None, pow, 2, i) for i in range(100)]
        assert await asyncio.gather(*calls) == [2**i for i in range(100)]
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(executor, raiser, ZeroDivisionError())
        await loop.shutdown_default_executor()
        return executor.stats().submitted, executor._shutdown

    submitted, down = run(main())
    assert submitted in {1, 101}  # our own loop has its pool for None
    assert down or submitted == 1


@needs_polling
def test_short_call_of_an_event_loop_ends_before_submit_returns(run):
    """In a fifth of a hundred calls at least, once; by chance it is hardly one."""

    async def main(executor):
        return sum(executor.submit(int).done() for _ in range(100))

    with tpool.ThreadPoolExecutor(1) as executor:
        wait_until(lambda: run(main(executor)) >= 20)


def test_default_executor_of_uvloop():
    """In a process of its own: uvloop keeps an fd."""
    pytest.importorskip("uvloop")
    code = (
        "import asyncio, tpool, uvloop\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    loop.set_default_executor(tpool.ThreadPoolExecutor())\n"
        "    calls = [asyncio.to_thread(pow, 2, i) for i in range(100)]\n"
        "    assert await asyncio.gather(*calls) == [2**i for i in range(100)]\n"
        "    try:\n"
        "        await loop.run_in_executor(None, lambda: 1 / 0)\n"
        "    except ZeroDivisionError:\n"
        "        print('raised')\n"
        "uvloop.run(main())\n"
    )
    said = run_code(code)
    assert (said.stdout, said.stderr) == ("raised\n", "")
