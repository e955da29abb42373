# SPDX-License-Identifier: MIT
"""The catalogue of faults, a test each: what tpool does where others fail.

The numbers are those of the project's catalogue; the docstrings say what is right.
"""

from __future__ import annotations

import ctypes
import os
import random
import threading
import time
from contextlib import nullcontext

import pytest
from conftest import (
    DEADLINE_S,
    poll_until,
    refuse_threads,
    spin,
    traced,
    wait_blocked,
    wait_until,
)

import tpool

pytestmark = pytest.mark.timeout(90)
UINT64_MAX = 2**64 - 1


@pytest.mark.parametrize("max_ns", [0, 30_000])
def test_f01_completion_at_any_moment_wakes_the_owner(ctx, pool, max_ns):
    """No lost wake-up, in lock-step with random delays; test_stress does more."""
    ctx.set_poll_params(max_ns)
    rng = random.Random(max_ns)
    for _ in range(2000):
        pool.submit(time.sleep, rng.choice([0, 0, 1e-6, 3e-5])).result()


def test_f02_notifier_that_is_readable_for_nothing_delivers_nothing(ctx, background):
    """A stale eventfd makes poll() return, or wait anew; nothing is made up."""
    ran = []
    ctx.call_soon(ran.append, 1)
    ctx.poll()

    def post():
        for _ in range(20):
            wait_blocked(ctx)
            ctx.notify()
        wait_blocked(ctx)
        ctx.call_soon(ran.append, 2)

    background(post)
    while len(ran) < 2:
        ctx.poll()
    assert ran == [1, 2]
    assert ctx.poll(False) is False


def test_f02_waits_interrupted_at_random_deliver_all_once(isolated):
    calls = "epoll_wait,epoll_pwait,epoll_pwait2,futex"
    inject = "inject=epoll_wait,epoll_pwait,epoll_pwait2:error=EINTR:when=1+3"
    prefix = traced("-e", f"trace={calls}", "-e", inject)
    isolated("faults.py", "interrupted_waits", prefix=prefix, timeout=80)


def test_f03_notifier_whose_counter_is_full_stays_readable():
    note = tpool.EventNotifier()
    try:
        os.eventfd_write(note.fileno(), UINT64_MAX - 1)
    except OSError as error:
        pytest.skip(f"not an eventfd: {error}")
    note.set()  # the write says EAGAIN
    assert note.test_and_clear() is True
    assert note.test_and_clear() is False
    note.close()


@pytest.mark.parametrize(
    "error",
    [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration],
)
def test_f04_anything_raised_goes_to_the_request_and_the_worker_lives(single, error):
    def fail():
        raise error("mine")

    worker = single.submit(threading.get_ident).result()
    req = single.submit(fail)
    with pytest.raises(error, match="mine") as caught:
        req.result()
    assert caught.traceback[-1].name == "fail"
    assert single.submit(threading.get_ident).result() == worker


def test_f05_done_callback_that_raises_loses_no_other(ctx, single, unraisable):
    order = []
    requests = [single.submit(int) for _ in range(10)]
    for i, req in enumerate(requests):
        req.add_done_callback(lambda _: 1 / 0)
        req.add_done_callback(lambda _, i=i: order.append(i))
    requests[-1].result()
    assert order == list(range(10))
    assert [type(error) for error in unraisable] == [ZeroDivisionError] * 10


@pytest.mark.parametrize("fatal", [SystemExit, KeyboardInterrupt])
def test_f05b_done_callback_that_ends_poll_loses_no_other(ctx, single, fatal):
    def leave(_):
        raise fatal

    order, seen = [], []
    requests = [single.submit(int) for _ in range(10)]
    for i, req in enumerate(requests):
        req.add_done_callback(leave)
        req.add_done_callback(lambda _, i=i: order.append(i))
    wait_until(lambda: single.stats().completed == 10)
    while len(order) < 10:
        try:
            ctx.poll()
        except fatal:
            seen.append(1)
    assert len(seen) == 10
    assert sorted(order) == list(range(10))
    assert single._outstanding() == 0
    assert ctx.notify_me == 0
    assert ctx.poll(False) is False


def test_f06_ctrl_c_ends_a_blocked_poll_and_no_completion_is_lost(isolated):
    isolated("faults.py", "signal_while_blocked")


@pytest.mark.parametrize(
    "case",
    [
        "signal_while_spinning",
        "signal_at_any_moment",
        "signal_that_another_thread_takes",
    ],
)
def test_f07_signal_in_the_spin_or_before_the_sleep_is_handled(isolated, case):
    isolated("faults.py", case)


@pytest.mark.parametrize(
    "case", ["signal_handler_submits", "signal_handler_shuts_down"]
)
def test_f08_signal_handler_may_use_what_it_interrupted(isolated, case):
    isolated("faults.py", case)


def test_f09_garbage_collection_may_submit_at_any_allocation(isolated):
    isolated("faults.py", "gc_submits")


@pytest.mark.parametrize(
    "case", ["context_in_a_cycle_with_its_task", "context_dropped_with_work_in_flight"]
)
def test_f18_context_collected_while_workers_run_leaves_nothing(isolated, case):
    isolated("faults.py", case)


def test_f20_no_new_thread_but_one_there_runs_all(ctx, monkeypatch, gate):
    with tpool.ThreadPool(ctx) as pool:
        started, ran = threading.Event(), []
        first = pool.submit(lambda: (started.set(), gate.wait())[1])
        started.wait()
        refuse_threads(monkeypatch)
        requests = [pool.submit(ran.append, i) for i in range(5)]
        requests += pool.submit_many(ran.append, [(5,), (6,)])
        assert pool.stats().spawn_failures > 0
        gate.set()
        assert first.result() is True
        for req in requests:
            req.result()
        assert ran == list(range(7))
        assert pool.stats().threads == 1


def test_f20_system_out_of_threads_with_one_worker(isolated):
    isolated("spawn.py", "one")


def test_f21_no_thread_at_all_takes_the_request_back(ctx, monkeypatch):
    ran = []
    with tpool.ThreadPool(ctx, min_threads=0) as pool:
        refuse_threads(monkeypatch)
        for call in (
            lambda: pool.submit(ran.append, 1),
            lambda: pool.submit_many(ran.append, [(1,), (2,)]),
        ):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                call()
        stats = pool.stats()
        assert (stats.queued, stats.running, stats.threads) == (0, 0, 0)
        assert stats.completed == stats.cancelled == 0
        assert pool._outstanding() == 0
        assert ctx.poll(False) is False
    assert ran == []


def test_f21_after_a_refusal_the_next_submit_works(ctx):
    ran = []
    with tpool.ThreadPool(ctx) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("threading.Thread.start", lambda self: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                pool.submit(ran.append, 1)
        pool.submit(ran.append, 2).result()
    assert ran == [2]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_f21_who_relied_on_a_thread_that_fails_gets_another_or_is_told(
    ctx, monkeypatch, background, error, again
):
    relied, refused = [], []
    start = tpool.worker_thread.WorkerThread.start

    def refuse(self):
        if refused and not again:
            return start(self)
        refused.append(1)
        if len(refused) == 1:
            background(lambda: relied.append(pool.submit(int))).finish()
        raise error

    with tpool.ThreadPool(ctx, min_threads=0) as pool:
        monkeypatch.setattr(tpool.worker_thread.WorkerThread, "start", refuse)
        fatal = error is KeyboardInterrupt
        with pytest.raises(error) if fatal else nullcontext():
            pool.set_threads(1, 4)
        (request,) = relied
        if again:
            with pytest.raises(RuntimeError, match="thread"):
                request.result(timeout=10)
            assert pool.stats().threads == pool.stats().queued == 0
        else:
            assert request.result() == 0
        assert len(refused) == 1 + again


def test_f21_request_that_comes_while_a_thread_is_lost_gets_another(ctx, monkeypatch):
    """The lost one still counts when the request is queued."""
    before, told = threading.active_count(), []
    lost, queued, failing = threading.Event(), threading.Event(), [1]
    bootstrap = threading.Thread._bootstrap_inner
    forget = tpool.worker_thread.WorkerThread._forget

    def fail(self):
        if failing:
            raise MemoryError
        bootstrap(self)

    def forget_late(self):
        if failing:
            lost.set()
            assert queued.wait(DEADLINE_S)
            failing.clear()
        forget(self)

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr("sys.unraisablehook", told.append)
    monkeypatch.setattr(threading.Thread, "_bootstrap_inner", fail)
    monkeypatch.setattr(tpool.worker_thread.WorkerThread, "_forget", forget_late)
    with tpool.ThreadPool(ctx) as pool:
        first = pool.submit(int, "1")
        assert lost.wait(DEADLINE_S)
        second = pool.submit(int, "2")
        queued.set()
        assert second.result() == 2
        assert first.result() == 1  # another thread came all the same
        assert pool.stats().spawn_failures == 1
    wait_until(lambda: threading.active_count() == before and len(told) == 1)


def test_f21_threads_that_never_run_are_tried_once_for_each_request(ctx, monkeypatch):
    tried, told, before = [], [], threading.active_count()

    def fail(self):
        tried.append(1)
        raise MemoryError

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr("sys.unraisablehook", told.append)
    monkeypatch.setattr(threading.Thread, "_bootstrap_inner", fail)
    with tpool.ThreadPool(ctx) as pool:
        requests = [pool.submit(int) for _ in range(50)]
        for request in requests:
            with pytest.raises(RuntimeError, match="thread"):
                request.result()
        wait_until(lambda: pool.stats().threads == 0)
        assert 1 <= len(tried) <= 50
    wait_until(lambda: threading.active_count() == before and len(told) == len(tried))


def test_f21_system_out_of_threads_without_a_worker(isolated):
    isolated("spawn.py", "none")


def test_f22_no_fd_left_raises_and_leaks_nothing(isolated):
    isolated("faults.py", "fd_limit", options=["-W", "error"])


def test_f23_no_memory_raises_in_submit_and_loses_no_completion(isolated):
    isolated("faults.py", "no_memory")


def test_f27_poll_in_two_threads_is_refused_and_changes_nothing(ctx, background):
    ran = []
    owner = background(lambda: wait_until(lambda: ran, turn=ctx.poll))
    wait_blocked(ctx)
    for call in (ctx.poll, ctx.prepare, ctx.check, ctx.dispatch):
        with pytest.raises(RuntimeError, match="belongs to thread"):
            call()
    assert ctx.notify_me == 2
    ctx.call_soon(ran.append, 1)
    owner.finish()
    assert ran == [1]


def test_f28_many_submitters_are_each_served_in_their_order(ctx, single, background):
    started = []

    def submit(name):
        for i in range(1000):
            single.submit(started.append, (name, i))

    threads = [background(submit, name) for name in range(4)]
    poll_until(ctx, lambda: len(started) == 4000)
    for thread in threads:
        thread.finish()
    for name in range(4):
        assert [i for n, i in started if n == name] == list(range(1000))


def test_f29_cancel_that_races_with_the_start_leaves_one_outcome(ctx, pool, background):
    rng, ran, calls, n = random.Random(29), [], [], 3000
    turn, answered = threading.Semaphore(0), threading.Semaphore(0)
    box, answers = [], []
    delays = [rng.randrange(30_000) for _ in range(n)]

    def cancel():
        for ns in delays:
            turn.acquire()
            spin(ns)
            answers.append(box[0].cancel())
            answered.release()

    background(cancel)
    cancelled = 0
    for i in range(n):
        req = pool.submit(ran.append, i)
        req.add_done_callback(calls.append)
        box[:] = [req]
        turn.release()
        while len(calls) <= i:
            ctx.poll()
        answered.acquire()
        assert calls[i] is req
        assert answers[i] == req.cancelled() == (ran[-1:] != [i])
        cancelled += answers[i]
    assert len(ran) + cancelled == n
    assert pool.stats().cancelled == cancelled


def test_f30_asynchronous_exception_goes_to_the_call(single):
    started = threading.Event()

    def loop():
        started.set()
        while True:
            pass

    worker = single.submit(threading.get_ident).result()
    req = single.submit(loop)
    started.wait()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert raise_in(ctypes.c_ulong(worker), ctypes.py_object(LookupError)) == 1
    with pytest.raises(LookupError):
        req.result()
    assert single.submit(threading.get_ident).result() == worker


def test_b_no_eventfd_write_while_the_owner_polls_and_stats_tell_the_truth(
    isolated, tmp_path
):
    """strace sees as many writes of 8 bytes as notifier_writes counts."""
    log = tmp_path / "log"
    prefix = traced("-e", "trace=write", log=log)
    said = isolated("faults.py", "pollers_and_writes", prefix=prefix).stdout.split()
    lines = log.read_text(errors="replace").splitlines()
    seen = sum("\\1\\0\\0\\0\\0\\0\\0\\0" in line for line in lines)
    assert seen == int(said[0])
