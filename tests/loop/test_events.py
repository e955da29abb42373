# SPDX-License-Identifier: MIT
"""What an event loop waits for beside calls is polled for where that pays, else not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import socket
import subprocess
import sys
import time

import pytest
from conftest import DEADLINE_S, Background, needs_polling

import tpool

pytestmark = [
    pytest.mark.timeout(120),
    needs_polling,
]
# Answers at once: it does not sleep either.
ECHO = """
import socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
s.setblocking(False)
while True:
    try:
        data = s.recv(100)
    except BlockingIOError:
        continue
    if not data:
        break
    s.send(data)
"""


def stats_of(loop):
    return loop._selector.ctx.stats()


@contextlib.contextmanager
def process():
    """Yield a coroutine function that asks another process, over a socket."""
    ours, theirs = socket.socketpair()

    async def ask():
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, b"x")
        assert await loop.sock_recv(ours, 100) == b"x"

    with ours, theirs:
        ours.setblocking(False)
        number = theirs.fileno()
        child = subprocess.Popen(
            [sys.executable, "-c", ECHO, str(number)], pass_fds=[number]
        )
        theirs.close()
        try:
            yield ask
        finally:
            ours.close()
            child.wait()


@contextlib.contextmanager
def thread():
    """Yield a coroutine function that asks a thread, which posts its answer."""
    asked = queue.SimpleQueue()

    def answer():
        while future := asked.get():
            future.get_loop().call_soon_threadsafe(future.set_result, None)

    async def ask():
        future = asyncio.get_running_loop().create_future()
        asked.put(future)
        await future

    helper = Background(answer)
    try:
        yield ask
    finally:
        asked.put(None)
        helper.finish()


async def ask_until(found, ask, times=100):
    """Ask, so many times between two looks, until found(stats) or the deadline."""
    loop = asyncio.get_running_loop()
    until = time.monotonic() + DEADLINE_S
    while not found(stats := stats_of(loop)) and time.monotonic() < until:
        for _ in range(times):
            await ask()
    return stats


either = pytest.mark.parametrize("partner", [process, thread])


@either
def test_an_answer_that_comes_soon_is_polled_for(partner):
    async def main(ask):
        return await ask_until(lambda stats: stats.polls_hit > 100, ask)

    with partner() as ask:
        stats = tpool.run(main(ask))
    assert stats.polls_hit > 100
    assert stats.polled_call_ns == 0  # no call was ever in flight


@either
def test_what_an_event_costs_is_measured_both_ways(partner):
    def found(stats):
        return stats.trials and stats.polled_event_ns and stats.blocked_event_ns

    async def main(ask):
        stats = await ask_until(found, ask)
        ctx = asyncio.get_running_loop()._selector.ctx
        ctx.set_poll_params(20_000)
        return stats, ctx.stats()

    with partner() as ask:
        stats, forgotten = tpool.run(main(ask))
    assert found(stats)
    assert stats.polled_call_ns == 0  # no call was ever in flight
    assert forgotten.polled_event_ns == forgotten.blocked_event_ns == 0


@either
def test_a_trial_that_new_parameters_end_is_told_of(partner):
    async def main(ask):
        await ask_until(lambda stats: stats.trials, ask, times=1)
        asyncio.get_running_loop()._selector.ctx.set_poll_params(20_000)

    tpool.trace.enable()
    try:
        with partner() as ask:
            tpool.run(main(ask))
    finally:
        tpool.trace.disable()
    events = sorted(tpool.trace.read(), key=lambda event: event.time_ns)
    told = [
        e.name for e in events if e.name in ("poll_trial", "poll_pays", "poll_costs")
    ]
    assert "poll_trial" in told
    assert told[-1] == "poll_pays"


@either
def test_in_the_first_trial_nothing_is_polled_for(partner):
    async def main(ask):
        before = await ask_until(lambda stats: stats.trials, ask, times=1)
        await ask()
        await ask()  # of four, at least
        return before, stats_of(asyncio.get_running_loop())

    with partner() as ask:
        before, after = tpool.run(main(ask))
    assert after.trials == before.trials == 1
    assert (
        after.polls_hit + after.polls_missed == before.polls_hit + before.polls_missed
    )


@either
@pytest.mark.parametrize("params", [(0, 0, 0), (32_768, 2, 2)])
def test_nothing_is_tried_where_polling_is_off_or_goes_by_its_slopes(partner, params):
    async def main(ask):
        ctx = asyncio.get_running_loop()._selector.ctx
        ctx.set_poll_params(*params)
        return await ask_until(lambda stats: stats.turns > 1000, ask)

    with partner() as ask:
        stats = tpool.run(main(ask))
    assert stats.trials == stats.polled_event_ns == stats.blocked_event_ns == 0
    assert params[0] or stats.polled_ns == 0


def test_idle_sockets_are_not_polled_for():
    async def main():
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(100)]
        for one, _ in pairs:
            loop.add_reader(one, int)
        for _ in range(60):
            await asyncio.sleep(0.002)
        stats = stats_of(loop)
        for one, other in pairs:
            loop.remove_reader(one)
            one.close()
            other.close()
        return stats

    assert tpool.run(main()).polled_ns == 0


def test_what_is_ready_at_each_look_is_polled_for_no_longer():
    async def main(ask, read):
        loop = asyncio.get_running_loop()
        turns = 4000
        done = loop.create_future()

        def count():  # and leave it there
            nonlocal turns
            turns -= 1
            if not turns:
                done.set_result(None)

        before = await ask_until(lambda stats: stats.polls_hit > 100, ask)
        loop.add_reader(read, count)
        await done
        loop.remove_reader(read)
        return before, stats_of(loop)

    read, write = os.pipe()
    os.write(write, b"x")
    with process() as ask:
        before, after = tpool.run(main(ask, read))
    os.close(read)
    os.close(write)
    # Some are: where the machine stood still, that looks like a wait.
    assert after.polls_hit - before.polls_hit < 2000
