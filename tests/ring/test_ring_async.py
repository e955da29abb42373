# SPDX-License-Identifier: MIT
"""A Ring is awaited on any asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from conftest import DEADLINE_S

import tpool

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def rings():
    with tpool.Ring.create(size=1024) as there, tpool.Ring.create(size=1024) as back:
        yield there, back


def test_messages_go_both_ways(run, rings, background):
    there, back = rings

    def echo():
        for _ in range(300):
            back.send(there.recv())

    async def main():
        for number in range(300):
            await there.send_async(b"%d" % number)
            assert await back.recv_async() == b"%d" % number

    answering = background(echo)
    run(main())
    answering.finish()


def test_the_loop_goes_on_while_a_message_is_awaited(run, rings):
    there, _ = rings

    async def main():
        waiting = asyncio.ensure_future(there.recv_async())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        there.send(b"x")
        assert await asyncio.wait_for(waiting, DEADLINE_S) == b"x"

    run(main())


def test_a_full_ring_is_awaited_in_turn(run, rings, background):
    there, _ = rings

    async def main():
        await asyncio.gather(*(there.send_async(b"%d" % n) for n in range(500)))

    def read():
        return [int(there.recv()) for _ in range(500)]

    reading = background(read)
    run(main())
    assert reading.finish() == [*range(500)]


def test_coroutines_that_wait_for_messages_get_one_each(run, rings):
    there, _ = rings

    async def main():
        waiting = [asyncio.ensure_future(there.recv_async()) for _ in range(5)]
        await asyncio.sleep(0)
        for number in range(5):
            await there.send_async(b"%d" % number)
        got = await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE_S)
        assert got == [b"0", b"1", b"2", b"3", b"4"]

    run(main())


def test_one_that_is_cancelled_takes_nothing(run, rings):
    there, _ = rings

    async def main():
        for _ in range(3):
            waiting = asyncio.ensure_future(there.recv_async())
            for _ in range(3):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        there.send(b"x")
        assert await there.recv_async() == b"x"

    run(main())


def test_the_end_of_the_other_side_is_raised(run, rings):
    there, _ = rings

    async def main():
        with tpool.Ring.attach(there.memory_fd) as writer:
            writer.send(b"x")
            assert await there.recv_async() == b"x"
            waiting = asyncio.ensure_future(there.recv_async())
            for _ in range(3):
                await asyncio.sleep(0)
        with pytest.raises(EOFError):
            await asyncio.wait_for(waiting, DEADLINE_S)

    run(main())


def test_close_ends_what_is_awaited(run, rings):
    there, _ = rings

    async def main():
        waiting = asyncio.ensure_future(there.recv_async())
        for _ in range(3):
            await asyncio.sleep(0)
        there.close()
        with pytest.raises(RuntimeError, match="closed"):
            await asyncio.wait_for(waiting, DEADLINE_S)

    run(main())


def test_coroutines_wait_one_by_one_on_one_loop_after_the_other(rings):
    there, _ = rings

    async def main():
        waiting = [asyncio.ensure_future(there.recv_async()) for _ in range(3)]
        await asyncio.sleep(0)
        for _ in waiting:
            there.send(b"x")
        assert await asyncio.gather(*waiting) == [b"x"] * 3

    for _ in range(2):
        asyncio.run(main())


def test_a_thread_and_a_loop_do_not_both_wait_at_one_side(run, rings, background):
    there, _ = rings
    refused = []

    def receive():
        while True:
            try:
                return there.recv()
            except RuntimeError as error:
                refused.append(error)

    async def receive_here():
        while True:  # until the thread waits
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(there.recv_async(), 0.001)

    async def main():
        waiting = asyncio.ensure_future(there.recv_async())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="somebody else waits"):
            there.recv(DEADLINE_S)
        assert there.try_recv() is None
        waiting.cancel()
        await asyncio.wait([waiting])
        thread = background(receive)
        with pytest.raises(RuntimeError, match="somebody else waits"):
            await receive_here()
        there.send(b"x")
        thread.finish()

    run(main())
