# SPDX-License-Identifier: MIT
"""Threads that post without end: all else goes on, and memory is bounded."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import contextmanager

import pytest
from conftest import DEADLINE_S, Background, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)
POSTERS = 3
# For each poster what it may post before it lets the owner catch up, some times
# over: the interpreter may take the GIL from the owner in the middle.
BACKLOG_MAX = POSTERS * 1024 * 8


@contextmanager
def flood(post):
    """Have threads post; gives what tells how much of it has not run."""
    stop, posted, ran = threading.Event(), [0] * POSTERS, [0]

    def count():
        ran[0] += 1

    def run(me):
        while not stop.is_set():
            post(count)
            posted[me] += 1

    threads = [Background(run, me) for me in range(POSTERS)]
    try:
        yield lambda: sum(posted) - ran[0]
    finally:
        stop.set()
        for thread in threads:
            thread.finish()


def test_loop_goes_on_while_threads_post_without_end():
    async def main():
        loop, ticks, most = asyncio.get_running_loop(), [], 0
        read, write = os.pipe()
        loop.add_reader(read, lambda: ticks.append(os.read(read, 1)))
        end = time.monotonic() + DEADLINE_S
        with flood(loop.call_soon_threadsafe) as backlog:
            for number in range(100):  # a timer, an fd, and a task in each
                await asyncio.sleep(0.001)
                most = max(most, backlog())
                os.write(write, b"x")
                while len(ticks) <= number:
                    assert time.monotonic() < end
                    await asyncio.sleep(0)
                assert time.monotonic() < end
        loop.remove_reader(read)
        os.close(read)
        os.close(write)
        return most

    assert tpool.run(main()) < BACKLOG_MAX


def test_context_goes_on_while_threads_post_without_end(ctx):
    ticks, most = [], 0
    timer = ctx.new_timer(lambda: ticks.append(1))
    with flood(ctx.call_soon) as backlog:
        for number in range(100):
            timer.mod_ns(time.monotonic_ns() + 1_000_000)
            wait_until(lambda number=number: len(ticks) > number, turn=ctx.poll)
            most = max(most, backlog())
    assert most < BACKLOG_MAX


def test_posts_under_a_lock_that_the_owner_needs_end(ctx, background):
    """Who is slowed down may hold what the owner waits for: not for ever."""
    lock, n, ran = threading.Lock(), 5000, []

    def post():
        with lock:
            for number in range(n):
                ctx.call_soon(ran.append, number)

    poster = background(post)
    wait_until(lambda: ran, turn=ctx.poll)
    with lock:
        pass
    wait_until(lambda: len(ran) == n, turn=ctx.poll)
    poster.finish()
    assert ran == list(range(n))


def test_nobody_waits_for_an_owner_that_does_not_turn(ctx, background):
    n, ran = 5000, []
    background(lambda: [ctx.call_soon(ran.append, k) for k in range(n)]).finish()
    wait_until(lambda: len(ran) == n, turn=lambda: ctx.poll(False))
    assert ran == list(range(n))


def test_owner_posts_as_much_as_it_likes(ctx):
    n, ran = 5000, []
    for number in range(n):
        ctx.call_soon(ran.append, number)
    wait_until(lambda: len(ran) == n, turn=ctx.poll)
