# SPDX-License-Identifier: MIT
"""Who owns the context of a loop: the thread that runs it, as asyncio has it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
from contextlib import closing

import pytest
from conftest import FACTORIES, raiser, run_code, wait_blocked, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)


@contextlib.contextmanager
def made_by(factory):
    with closing(factory()) as made:
        yield made
        if not made.is_closed():  # its threads end with it
            made.run_until_complete(made.shutdown_default_executor())


@pytest.fixture(params=FACTORIES)
def loop(request):
    with made_by(FACTORIES[request.param]) as made:
        yield made


@pytest.fixture
def ours():
    with made_by(tpool.new_event_loop) as made:
        yield made


async def work(value):
    await asyncio.sleep(0)
    return await asyncio.to_thread(str, value)


def turn(loop):
    loop.call_soon(int)
    loop._run_once()


def run_by_hand(loop, coroutine):
    """Run a coroutine as guest modes do: nobody but asyncio knows that it runs."""
    asyncio._set_running_loop(loop)
    try:
        task = loop.create_task(coroutine)
        while not task.done():
            loop._run_once()
    finally:
        asyncio._set_running_loop(None)
    return task.result()


@contextlib.contextmanager
def run_here(loop):
    """As nest_asyncio has it: inside of another run, too."""
    before = loop._thread_id, asyncio._get_running_loop()
    try:
        loop._thread_id = threading.get_ident()
        asyncio._set_running_loop(loop)
        yield
    finally:
        loop._thread_id = before[0]
        asyncio._set_running_loop(before[1])


def run_nested(loop, coroutine):
    with run_here(loop):
        task = loop.create_task(coroutine)
        me = asyncio.current_task()
        if me is not None:
            asyncio.tasks._leave_task(loop, me)
        try:
            while not task.done():
                loop._run_once()
        finally:
            if me is not None:
                asyncio.tasks._enter_task(loop, me)
        return task.result()


RUNS = [
    lambda loop, coroutine: loop.run_until_complete(coroutine),
    run_by_hand,
    run_nested,
]


@pytest.mark.parametrize("first", RUNS, ids=["run", "by hand", "nested"])
@pytest.mark.parametrize("then", RUNS, ids=["run", "by hand", "nested"])
def test_it_is_run_in_one_thread_after_another(loop, background, first, then):
    for number in range(2):
        assert first(loop, work(number)) == str(number)
        assert background(first, loop, work(number)).finish() == str(number)
        assert background(then, loop, work(number)).finish() == str(number)
        assert then(loop, work(number)) == str(number)


def test_turned_once_in_each_of_many_threads(loop, background):
    for _ in range(3):
        turn(loop)
        background(turn, loop).finish()
    assert background(loop.run_until_complete, work(1)).finish() == "1"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
@pytest.mark.parametrize("run", RUNS, ids=["run", "by hand", "nested"])
def test_after_a_turn_that_raised_it_is_free_too(
    loop, background, run, error, monkeypatch
):
    def fail(_):
        raise error

    with monkeypatch.context() as patch:
        # Where nothing catches it: in the middle of _run_once().
        patch.setattr(loop, "_process_events", fail)
        doomed = work(1)
        with pytest.raises(type(error)):
            run(loop, doomed)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    assert background(loop.run_until_complete, work(2)).finish() == "2"


def test_a_callback_that_interrupts_leaves_it_free(ours, background):
    request = ours.pool.submit(int)
    request.add_done_callback(lambda _: raiser(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        wait_until(lambda: False, turn=lambda: turn(ours))
    assert background(ours.run_until_complete, work(2)).finish() == "2"


def test_nested_runs_leave_it_with_the_outer_one(ours, background):
    async def main():
        first = run_nested(ours, work(1))
        refused = background(catch, ours.ctx.poll, False).finish()
        # Still refused, as in any run: it would wait for ever.
        gate = threading.Event()
        request = ours.pool.submit(gate.wait)
        with pytest.raises(RuntimeError, match="await the request"):
            request.result()
        gate.set()
        return first, refused, await request, run_nested(ours, work(2))

    def catch(function, *args):
        try:
            function(*args)
        except RuntimeError as error:
            return str(error)

    first, refused, done, second = ours.run_until_complete(main())
    assert (first, done, second) == ("1", True, "2")
    assert "belongs to thread" in refused
    assert background(ours.run_until_complete, work(3)).finish() == "3"


def test_between_two_turns_by_hand_anybody_may_poll_and_wait(ours, background):
    for run in (lambda f: f(), lambda f: background(f).finish()):
        turn(ours)
        run(lambda: ours.ctx.poll(False))
        turn(ours)
        assert run(lambda: polled(ours.pool.submit(str, 7), ours.ctx)) == "7"
        run(lambda: turn(ours))


def polled(request, ctx):
    ctx.poll(False)  # to be its owner
    return request.result()


def test_nested_in_a_callback_of_the_context_it_is_free_afterwards(ours, background):
    """The inner run ends while the turn by hand goes on."""
    ran = []
    request = ours.pool.submit(int)
    request.add_done_callback(lambda _: ran.append(run_nested(ours, work(1))))
    while not ran:
        turn(ours)
    assert ran == ["1"]
    assert background(ours.run_until_complete, work(2)).finish() == "2"


def test_a_run_is_refused_while_another_thread_runs_or_turns_it(ours, background):
    other = background(ours.run_forever)
    wait_blocked(ours.ctx)
    for refused in (turn, type(ours).run_forever):
        with pytest.raises(RuntimeError, match=r"belongs to thread|already running"):
            refused(ours)
    ours.call_soon_threadsafe(ours.stop)
    other.finish()
    assert background(ours.run_until_complete, work(2)).finish() == "2"
    assert ours.run_until_complete(work(3)) == "3"


def test_a_run_in_vain_raises_its_own_error_alone(ours, background):
    """Not a second one, of the ownership, over it."""
    other = background(ours._selector.select, None)
    wait_blocked(ours.ctx)
    coroutine = work(1)
    with pytest.raises(RuntimeError, match="belongs to thread") as caught:
        ours.run_until_complete(coroutine)
    assert caught.value.__context__ is None
    assert not ours.is_running()
    ours.ctx.notify()
    other.finish()
    for task in asyncio.all_tasks(ours):
        task.cancel()
    coroutine.close()
    assert ours.run_until_complete(work(2)) == "2"


def guest_run(loop, main):
    """Run a coroutine as a guest: another thread waits, this one does all else."""
    asyncio._set_running_loop(loop)
    loop._thread_id = threading.get_ident()
    waited = []

    def wait(timeout):
        waited.append(loop._selector.select(timeout))

    try:
        task = loop.create_task(main)
        while not task.done():
            if not loop._ready:
                # The next timer is this program's to know: a short look.
                thread = threading.Thread(target=wait, args=(0.01,))
                thread.start()
                thread.join()
                loop._process_events(list(waited.pop()))
            turn(loop)
        return task.result()
    finally:
        loop._thread_id = None
        asyncio._set_running_loop(None)


def test_a_helper_thread_may_wait_for_the_one_that_runs_it(loop, background):
    async def main():
        left, right = socket.socketpair()
        left.setblocking(False)
        with left, right:
            loop.call_later(0.001, right.send, b"x")
            data = await loop.sock_recv(left, 1)
        hops = [await asyncio.to_thread(str, i) for i in range(20)]
        return data, len(hops), threading.get_ident()

    assert guest_run(loop, main()) == (b"x", 20, threading.get_ident())
    assert loop.run_until_complete(work(1)) == "1"
    assert guest_run(loop, main())[:2] == (b"x", 20)
    assert background(loop.run_until_complete, work(2)).finish() == "2"


def test_a_helper_gives_it_back_when_it_has_waited(ours, background):
    async def main():
        background(ours._selector.select, 0).finish()
        gate = threading.Event()
        request = ours.pool.submit(gate.wait)
        with pytest.raises(RuntimeError, match="await the request"):
            request.result()  # as it is the owner, who runs the loop
        gate.set()
        return await request

    assert ours.run_until_complete(main())


def test_a_run_that_ends_while_a_helper_waits_leaves_it_free(ours, background):
    ours._thread_id = threading.get_ident()
    helper = background(ours._selector.select, None)
    wait_blocked(ours.ctx)
    ours._thread_id = None
    ours.ctx.notify()
    helper.finish()
    assert background(ours.run_until_complete, work(1)).finish() == "1"
    assert ours.run_until_complete(work(2)) == "2"


def test_closed_whatever_its_thread_was(loop, background):
    turn(loop)
    background(turn, loop).finish()
    background(loop.close).finish()
    assert loop.is_closed()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_forever()
    assert not loop.is_running()


@pytest.mark.skipif(sys.version_info < (3, 13), reason="has no such methods")
def test_set_up_and_cleaned_up_by_who_turns_it(loop, background):
    """As GUI loops do from 3.13 on."""

    def run(coroutine):
        loop._run_forever_setup()
        try:
            task = loop.create_task(coroutine)
            while not task.done():
                loop._run_once()
            return task.result()
        finally:
            loop._run_forever_cleanup()

    for number in range(2):
        assert run(work(number)) == str(number)
        assert background(run, work(number)).finish() == str(number)


FORKED = (
    "import asyncio, os, sys, threading, tpool\n"
    "async def main():\n"
    "    loop = asyncio.get_running_loop()\n"
    "    await asyncio.to_thread(int)\n"
    "    if os.fork():\n"
    "        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    "    asyncio._set_running_loop(loop)\n"
    "    gate = threading.Event()\n"
    "    request = loop.pool.submit(gate.wait)\n"
    "    try:\n"
    "        request.result()\n"
    "    except RuntimeError as error:\n"
    "        assert 'await the request' in str(error), error\n"
    "    else:\n"
    "        os._exit(3)\n"
    "    gate.set()\n"
    "    assert await request\n"
    "    os._exit(0)\n"
    "tpool.run(main())\n"
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_the_child_of_a_fork_in_a_coroutine_runs_it_on():
    run_code(FORKED, options=("-W", "ignore"))
