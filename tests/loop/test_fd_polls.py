# SPDX-License-Identifier: MIT
"""The sockets of an event loop are polled for where an answer comes soon, else not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time

import pytest
from conftest import DEADLINE_S, needs_polling

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


@contextlib.contextmanager
def partner():
    """Yield a socket to another process, which sends back what it is sent."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        number = theirs.fileno()
        child = subprocess.Popen(
            [sys.executable, "-c", ECHO, str(number)], pass_fds=[number]
        )
        theirs.close()
        try:
            yield ours
        finally:
            ours.close()
            child.wait()


def stats_of(loop):
    return loop._selector.ctx.stats()


async def ask_until(found, sock):
    """Ask the partner until found(stats), at most until the deadline."""
    loop = asyncio.get_running_loop()
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        for _ in range(100):
            await loop.sock_sendall(sock, b"x")
            assert await loop.sock_recv(sock, 100) == b"x"
        if found(stats_of(loop)):
            return stats_of(loop)
    return stats_of(loop)


def test_an_answer_that_comes_soon_is_polled_for():
    async def main(sock):
        return await ask_until(lambda stats: stats.polls_hit > 100, sock)

    with partner() as sock:
        stats = tpool.run(main(sock))
    assert stats.polls_hit > 100
    assert stats.polled_call_ns == 0  # no call was ever in flight


def test_what_an_event_costs_is_measured_both_ways():
    def found(stats):
        return stats.trials and stats.polled_event_ns and stats.blocked_event_ns

    async def main(sock):
        stats = await ask_until(found, sock)
        ctx = asyncio.get_running_loop()._selector.ctx
        ctx.set_poll_params(20_000)
        return stats, ctx.stats()

    with partner() as sock:
        stats, forgotten = tpool.run(main(sock))
    assert found(stats)
    assert forgotten.polled_event_ns == forgotten.blocked_event_ns == 0


def test_a_trial_that_new_parameters_end_is_told_of():
    async def main(sock):
        loop = asyncio.get_running_loop()
        until, begun = time.monotonic() + DEADLINE_S, stats_of(loop).trials
        while stats_of(loop).trials == begun and time.monotonic() < until:
            begun = stats_of(loop).trials
            await loop.sock_sendall(sock, b"x")
            await loop.sock_recv(sock, 100)
        loop._selector.ctx.set_poll_params(20_000)

    tpool.trace.enable()
    try:
        with partner() as sock:
            tpool.run(main(sock))
    finally:
        tpool.trace.disable()
    events = sorted(tpool.trace.read(), key=lambda event: event.time_ns)
    told = [
        e.name for e in events if e.name in ("poll_trial", "poll_pays", "poll_costs")
    ]
    assert "poll_trial" in told
    assert told[-1] == "poll_pays"


@pytest.mark.parametrize("params", [(0, 0, 0), (32_768, 2, 2)])
def test_nothing_is_tried_where_polling_is_off_or_goes_by_its_slopes(params):
    async def main(sock):
        ctx = asyncio.get_running_loop()._selector.ctx
        ctx.set_poll_params(*params)
        return await ask_until(lambda stats: stats.turns > 1000, sock)

    with partner() as sock:
        stats = tpool.run(main(sock))
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
    async def main(sock, read):
        loop = asyncio.get_running_loop()
        turns = 4000
        done = loop.create_future()

        def count():  # and leave it there
            nonlocal turns
            turns -= 1
            if not turns:
                done.set_result(None)

        before = await ask_until(lambda stats: stats.polls_hit > 100, sock)
        loop.add_reader(read, count)
        await done
        loop.remove_reader(read)
        return before, stats_of(loop)

    read, write = os.pipe()
    os.write(write, b"x")
    with partner() as sock:
        before, after = tpool.run(main(sock, read))
    os.close(read)
    os.close(write)
    # Some are: where the machine stood still, that looks like a wait.
    assert after.polls_hit - before.polls_hit < 2000
