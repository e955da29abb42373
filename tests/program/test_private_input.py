# SPDX-License-Identifier: MIT
"""What is not meant to be called, called all the same, and with anything."""

from __future__ import annotations

import gc
import sys
import threading
from unittest import mock

import pytest
from conftest import run_python, wait_until

import tpool
from tpool import _core

pytestmark = pytest.mark.timeout(60)


def usable(ctx, pool):
    ran = []
    ctx.call_soon(ran.append, 1)
    assert ctx.poll(False) is True
    assert ran == [1]
    assert pool.submit(abs, -3).result() == 3
    assert [request.result() for request in pool.submit_many(abs, [(1,)] * 3)] == [
        1
    ] * 3


def test_argument_that_equals_everything_is_still_checked(ctx, pool):
    with pytest.raises(
        ValueError, match="on_full must be 'raise' or 'block', not <ANY>"
    ):
        tpool.ThreadPool(ctx, on_full=mock.ANY)
    for call in (
        lambda: tpool.ThreadPool(mock.ANY),
        lambda: tpool.ThreadPool(ctx, mock.ANY),
        lambda: tpool.ThreadPool(ctx, thread_name_prefix=mock.ANY),
        lambda: tpool.AioContext(mock.ANY),
        lambda: ctx.set_fd_handler(mock.ANY),
        lambda: ctx.set_event_notifier(mock.ANY),
        lambda: pool.submit_many(int, mock.ANY),
        lambda: pool.submit(int).result(mock.ANY),
    ):
        with pytest.raises(TypeError, match="<ANY>"):
            call()
    usable(ctx, pool)


def test_on_full_that_is_no_true_str_says_what_it_is(ctx):
    class Liar(str):
        __slots__ = ()

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 0

    with pytest.raises(ValueError, match="on_full"):
        tpool.ThreadPool(ctx, on_full=Liar("neither"))
    with tpool.ThreadPool(ctx, on_full=Liar("block"), max_pending=1) as pool:
        usable(ctx, pool)


@pytest.mark.parametrize("why", [-1, 2, 3, 99, -(2**31), 2**31 - 1])
def test_reason_of_a_close_that_is_none_is_refused(ctx, pool, why):
    with pytest.raises(ValueError, match=f"why must be 0 or 1, not {why}"):
        pool._close(why, True)
    usable(ctx, pool)


@pytest.mark.parametrize(
    ("value", "error"),
    [(-2, ValueError), (2**63, OverflowError), (1.5, TypeError), (None, TypeError)],
)
def test_time_of_a_loops_turn_is_checked(ctx, pool, value, error):
    with pytest.raises(error, match="timeout_ns"):
        ctx._poll_for(value)
    usable(ctx, pool)


def test_after_fork_where_there_was_none_changes_nothing(ctx, pool, gate):
    assert not hasattr(_core, "_after_fork")
    request = pool.submit(gate.wait)
    ctx.call_soon(ctx._after_fork)
    ctx._after_fork()
    ctx.poll(False)
    tpool.aio_context._after_fork_in_child()
    tpool.thread_pool._after_fork_in_child()
    gate.set()
    assert request.result() is True
    usable(ctx, pool)


def test_post_that_turns_contexts_after_a_fork_finds_them_closed():
    """In the child they are handed over: what runs then may be anything."""
    code = (
        "import faulthandler, os, tpool\n"
        "faulthandler.enable()\n"
        "ctx, other, said = tpool.AioContext(), tpool.AioContext(), []\n"
        "files = tpool.AioFiles(other)  # whose memory a child does not inherit\n"
        "def turn(number):\n"
        "    said.append(number)\n"
        "    for call in (\n"
        "        ctx.check, ctx.dispatch, ctx.poll, ctx._dispatch_rest, other.poll\n"
        "    ):\n"
        "        try: call()\n"
        "        except RuntimeError as error: assert 'forked' in str(error)\n"
        "        else: said.append(call)\n"
        "for number in range(500): ctx._post(turn, number)\n"
        "pid = os.fork()\n"
        "if pid: print(os.waitpid(pid, 0)[1])\n"
        "else: os._exit(said != list(range(500)))\n"
    )
    said = run_python("-c", code)
    assert (said.stdout, said.stderr) == ("0\n", "")


def test_after_fork_beside_an_owner_that_sleeps_leaves_it_asleep(ctx, pool, background):
    def other():
        wait_until(lambda: ctx.notify_me >= 2)
        ctx._after_fork()
        ctx.notify()

    background(other)
    assert ctx.poll() is False
    usable(ctx, pool)


def test_worker_that_is_run_again_or_lost_late_does_nothing(ctx):
    workers = []

    def spawn(worker):
        workers.append(worker)
        threading.Thread(target=worker.run).start()

    args = (ctx, 0, 2, 0.0, "tpool", None, "raise", False, spawn)
    pool = _core.ThreadPool(*args)
    assert pool.submit(lambda: [workers[0].run(), workers[0].lost()]).result() == [
        None,
        None,
    ]
    pool._close(0, False)
    wait_until(lambda: pool._stats()["threads"] == 0)
    workers[0].run()
    workers[0].lost()
    assert pool._stats()["threads"] == 0


def test_worker_that_is_run_by_who_submits_does_its_work_there(ctx):
    pool = _core.ThreadPool(
        ctx, 0, 1, 0.0, "tpool", None, "raise", False, lambda worker: worker.run()
    )
    request = pool.submit(threading.get_ident)
    assert request.result() == threading.get_ident()


@pytest.mark.parametrize("future", [None, 1, object(), mock.ANY, mock.Mock()])
@pytest.mark.parametrize("settle", [None, 1, lambda *args: 1 / 0])
def test_request_for_a_strange_future_ends(ctx, pool, unraisable, future, settle):
    request = pool._submit_for(future, settle, abs, (-1,))
    wait_until(request.done, turn=ctx.poll)
    assert len(unraisable) == 1
    unraisable.clear()
    usable(ctx, pool)


@pytest.mark.parametrize("base", [_core.AioContext, _core.ThreadPool])
def test_class_that_denies_its_base_makes_nothing(base):
    class Meta(type):
        def mro(cls):
            return [cls, object]

    with pytest.raises(TypeError):
        Meta("Denier", (base,), {})(*[None] * 9)


def test_interrupted_start_of_a_thread_is_not_waited_for(ctx):
    """An exception at any line of it, as a signal handler's."""

    class Interruption(Exception):
        pass

    def tracer(frame, event, arg):
        nonlocal left
        if frame.f_code is not tpool.worker_thread.WorkerThread.start.__code__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise Interruption
        return tracer

    ended = 0
    for line in range(1, 9):
        left = line
        pool = tpool.ThreadPool(ctx)
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            pool.submit(int)
        except Interruption:
            ended += 1
        finally:
            sys.settrace(before)
        pool.shutdown()
        assert not list(pool._threads)
    assert ended > 2


def test_handler_that_replaces_another_may_be_replaced_by_its_end(ctx):
    """What is dropped comes last, and may set the same fd again."""
    note, ran = tpool.EventNotifier(active=True), []

    class Callback:
        def __init__(self, number):
            self.number = number

        def __call__(self):
            ran.append(self.number)
            note.test_and_clear()

        def __del__(self):
            if self.number == 1:
                ctx.set_event_notifier(note, Callback(3))

    ctx.set_event_notifier(note, Callback(1))
    ctx.set_event_notifier(note, Callback(2))
    gc.collect()
    ctx.poll(False)
    assert ran == [3]
    assert ctx.poll_disable_cnt == 1
    ctx.set_event_notifier(note)
    assert ctx.poll_disable_cnt == 0
    note.close()
