# SPDX-License-Identifier: MIT
"""What others get beside an owner that always has something to do.

Other threads the GIL, signals their handlers.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import signal
import sys
import threading
import time

import pytest
from conftest import DEADLINE_S, FACTORIES, wait_until

import tpool

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def no_switch():
    """The interpreter takes the GIL from nobody: it has to be given away."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def steps(background):
    """Return what counts the steps of a thread that wants the GIL now and then."""
    taken, stop = [], threading.Event()

    def walk():
        while not stop.is_set():
            time.sleep(1e-5)
            taken.append(1)

    background(walk)
    yield lambda: len(taken)
    stop.set()


async def busy_until(condition):
    """Always have something ready."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0)


@pytest.mark.usefixtures("no_switch")
@pytest.mark.parametrize("kind", FACTORIES)
def test_loop_that_never_waits_lets_calls_run(kind):
    async def main():
        loop = asyncio.get_running_loop()
        for hop in (
            lambda: loop.run_in_executor(None, int),
            lambda: tpool.to_thread(int),
        ):
            for _ in range(20):
                future = asyncio.ensure_future(hop())
                await busy_until(future.done)

    with asyncio.Runner(loop_factory=FACTORIES[kind]) as runner:
        runner.run(main())


@pytest.mark.usefixtures("no_switch")
@pytest.mark.parametrize("kind", FACTORIES)
def test_loop_that_never_waits_lets_threads_run(kind, steps):
    with asyncio.Runner(loop_factory=FACTORIES[kind]) as runner:
        runner.run(busy_until(lambda: steps() > 100))


@pytest.mark.usefixtures("no_switch")
def test_turns_that_do_not_wait_let_threads_run(ctx, steps):
    wait_until(lambda: steps() > 100, turn=lambda: ctx.poll(False))


@pytest.mark.usefixtures("no_switch")
def test_bottom_half_that_reschedules_itself_lets_threads_run(ctx, steps):
    half = ctx.new_bh(lambda: half.schedule())
    half.schedule()
    wait_until(lambda: steps() > 100, turn=ctx.poll)
    half.delete()


@pytest.mark.usefixtures("no_switch")
def test_foreign_loop_that_never_waits_lets_threads_run(ctx, steps):
    def turn():
        if ctx.prepare() == 0:
            ctx.check()
        ctx.dispatch()

    half = ctx.new_bh(lambda: half.schedule())
    half.schedule()
    wait_until(lambda: steps() > 100, turn=turn)
    half.delete()


@pytest.fixture
def on_signal():
    """Return a function that sets the handler of SIGUSR1, and one that sends it."""
    before = signal.getsignal(signal.SIGUSR1)
    yield (
        functools.partial(signal.signal, signal.SIGUSR1),
        functools.partial(os.kill, os.getpid(), signal.SIGUSR1),
    )
    signal.signal(signal.SIGUSR1, before)


def self_scheduling_in_c(ctx):
    """A bottom half that schedules itself again: no bytecode runs in between."""
    again = functools.partial(int)
    half = ctx.new_bh(again)
    again.__setstate__((half.schedule, (), {}, {}))
    half.schedule()
    return half


def test_signal_is_handled_while_work_reschedules_itself(ctx, pool, on_signal):
    handle, send = on_signal
    seen = threading.Event()
    handle(lambda *_: seen.set())
    half = self_scheduling_in_c(ctx)

    def call():
        wait_until(lambda: ctx.stats().turns > 100)
        send()
        return seen.wait(DEADLINE_S)

    assert pool.submit(call).result()
    half.delete()


def test_signal_is_handled_while_room_is_waited_for(ctx, on_signal):
    handle, send = on_signal
    seen = threading.Event()
    handle(lambda *_: seen.set())
    with tpool.ThreadPool(ctx, max_threads=1, max_pending=1, on_full="block") as pool:
        half = self_scheduling_in_c(ctx)

        def call():
            wait_until(lambda: ctx.stats().turns > 100)
            send()
            return seen.wait(DEADLINE_S)

        request = pool.submit(call)
        wait_until(request.running)
        for _ in range(2):  # the second has to wait for the first to start
            pool.submit(int)
        assert request.result()
        half.delete()


def test_handler_that_waits_is_not_kept_awake_by_the_next_signal(
    ctx, pool, on_signal, background
):
    """A byte of the wakeup fd that an inner poll() leaves keeps it from sleeping."""
    handle, send = on_signal
    turns, gate = [], threading.Event()

    def first(*_):
        handle(lambda *_: gate.set())
        request = pool.submit(gate.wait)
        background(lambda: (wait_until(request.running), send()))
        request.result()
        before = ctx.stats().turns
        pool.submit(time.sleep, 0.1).result()  # nothing to do for so long
        turns.append(ctx.stats().turns - before)

    ctx.set_poll_params(0)
    handle(first)
    # A C function that looks for no signals: the look before the sleep finds it.
    ctx.call_soon(ctypes.CDLL(None)["raise"], signal.SIGUSR1)
    pool.submit(gate.wait).result()
    wait_until(lambda: turns)
    assert turns[0] < 1000
