# SPDX-License-Identifier: MIT
"""Request: its states, its result, its callbacks and its cancellation."""

from __future__ import annotations

import concurrent.futures
import gc
import pickle
import threading
import traceback
import weakref

import pytest
from conftest import poll_until, wait_until

import tpool

pytestmark = pytest.mark.timeout(20)


def fail():
    raise LookupError("in the worker")


@pytest.fixture
def running(single, gate):
    """Return a request that runs until gate is set, in a pool of one worker."""
    started = threading.Event()
    req = single.submit(lambda: (started.set(), gate.wait(), 42)[2])
    started.wait()
    return req


def test_result_is_what_the_call_returned(pool):
    req = pool.submit(divmod, 7, 2)
    assert req.result() == (3, 1)
    assert req.result(timeout=0) == (3, 1)
    assert req.exception() is None


def test_result_raises_what_the_call_raised_with_its_traceback(pool):
    req = pool.submit(fail)
    with pytest.raises(LookupError, match="in the worker") as caught:
        req.result()
    assert req.exception() is caught.value
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-1] == "fail"


def test_states_go_from_pending_to_running_to_done(ctx, single, running, gate):
    queued = single.submit(int)
    assert (queued.running(), queued.done(), queued.cancelled()) == (False,) * 3
    assert (running.running(), running.done()) == (True, False)
    assert "pending" in repr(queued)
    assert "running" in repr(running)
    gate.set()
    assert running.result() == 42
    assert queued.result() == 0
    assert (running.running(), running.done()) == (False, True)
    assert repr(running).endswith("returned int>")
    bad = single.submit(fail)
    bad.exception()
    assert repr(bad).endswith("raised LookupError>")


def test_done_turns_true_in_the_turn_that_receives_it(ctx, single):
    finished = threading.Event()
    req = single.submit(finished.set)
    finished.wait()
    wait_until(lambda: single.stats().completed == 1)
    assert not req.done()
    poll_until(ctx, req.done)


def test_result_in_another_thread_is_refused_until_it_is_done(pool, background, gate):
    req = pool.submit(gate.wait)

    def early():
        for method in (req.result, req.exception):
            with pytest.raises(RuntimeError, match=method.__name__ + ".*waits only in"):
                method()

    pool.ctx.poll(False)  # this thread is the owner
    background(early).finish()
    gate.set()
    assert req.result() is True
    assert background(req.result).finish() is True


@pytest.mark.parametrize("timeout", [0, 0.0, 1e-9, 0.001])
def test_result_not_done_in_time_raises_and_the_request_goes_on(running, gate, timeout):
    with pytest.raises(TimeoutError, match=r"result\(\).*is not done"):
        running.result(timeout)
    with pytest.raises(TimeoutError, match=r"exception\(\).*is not done"):
        running.exception(timeout=timeout)
    gate.set()
    assert running.result() == 42


@pytest.mark.parametrize(
    "timeout", [None, float("inf"), 1e300, 2**63, 10**400, 60, 3.5]
)
def test_result_with_a_long_timeout_waits_until_it_is_done(running, gate, timeout):
    threading.Timer(0, gate.set).start()
    assert running.result(timeout) == 42


def test_result_turns_the_context_meanwhile(ctx, running, gate):
    ctx.call_soon(gate.set)
    assert running.result() == 42


def test_cancel_takes_a_queued_request_out_of_the_queue(ctx, single, running, gate):
    ran, calls = [], []
    req = single.submit(ran.append, 1)
    req.add_done_callback(calls.append)
    assert req.cancel() is True
    assert req.cancel() is True
    assert (req.cancelled(), req.done(), req.running()) == (True, True, False)
    assert "cancelled" in repr(req)
    for method in (req.result, req.exception):
        with pytest.raises(concurrent.futures.CancelledError):
            method()
    assert calls == []
    ctx.poll()
    assert calls == [req]
    gate.set()
    assert running.result() == 42
    assert single.submit(int).result() == 0
    assert ran == []
    assert calls == [req]


def test_cancel_of_a_running_or_done_request_says_no(running, gate):
    assert running.cancel() is False
    gate.set()
    running.result()
    assert running.cancel() is False
    assert not running.cancelled()


def test_cancel_in_another_thread_calls_back_in_the_owner(
    ctx, single, running, background
):
    threads = []
    req = single.submit(int)
    req.add_done_callback(lambda _: threads.append(threading.get_ident()))
    assert background(req.cancel).finish() is True
    poll_until(ctx, lambda: threads)
    assert threads == [threading.get_ident()]


def test_callbacks_run_in_order_in_the_owner_with_the_request(ctx, running, gate):
    calls = []
    for i in range(5):
        running.add_done_callback(
            lambda req, i=i: calls.append((i, req, threading.get_ident()))
        )
    gate.set()
    running.result()
    poll_until(ctx, lambda: len(calls) == 5)
    assert calls == [(i, running, threading.get_ident()) for i in range(5)]


def test_same_callback_added_twice_runs_twice(ctx, running, gate):
    calls = []
    running.add_done_callback(calls.append)
    running.add_done_callback(calls.append)
    gate.set()
    running.result()
    assert calls == [running, running]


def test_callback_added_in_the_owner_when_done_is_called_at_once(pool):
    req, calls = pool.submit(int), []
    req.result()
    req.add_done_callback(calls.append)
    assert calls == [req]


def test_callback_added_elsewhere_when_done_is_called_in_the_owner(
    ctx, pool, background
):
    req, threads = pool.submit(int), []
    req.result()
    note = lambda _: threads.append(threading.get_ident())  # noqa: E731
    background(req.add_done_callback, note).finish()
    assert threads == []
    poll_until(ctx, lambda: threads)
    assert threads == [threading.get_ident()]


def test_callback_added_in_a_callback_is_called_too(ctx, running, gate):
    calls = []
    running.add_done_callback(lambda req: req.add_done_callback(calls.append))
    running.add_done_callback(calls.append)
    gate.set()
    running.result()
    assert calls == [running, running]


def test_callback_sees_a_request_that_is_done(pool):
    seen = []
    req = pool.submit(int, "7")
    req.add_done_callback(lambda r: seen.append((r.done(), r.result())))
    req.result()
    assert seen == [(True, 7)]


def test_callback_may_wait_for_another_request(pool):
    seen = []
    req = pool.submit(int)
    req.add_done_callback(lambda _: seen.append(pool.submit(int, "9").result()))
    req.result()
    assert seen == [9]


def test_cancelled_request_drops_its_call_and_arguments(single, running):
    class Thing:
        def __call__(self, arg):
            return None

    thing, arg = Thing(), Thing()
    refs = [weakref.ref(thing), weakref.ref(arg)]
    req = single.submit(thing, arg)
    del thing, arg
    assert req.cancel()
    assert [ref() for ref in refs] == [None] * 2


def test_request_refuses_to_be_pickled_in_its_own_words(pool):
    with pytest.raises(TypeError, match="a Request cannot be pickled"):
        pickle.dumps(pool.submit(int))


def test_request_is_generic_and_cannot_be_made_by_hand():
    assert tpool.Request[int].__origin__ is tpool.Request
    with pytest.raises(TypeError, match="cannot create"):
        tpool.Request()


def test_result_of_a_request_whose_context_is_closed_says_so(single, running, gate):
    queued = single.submit(int)
    single.ctx.call_soon(gate.set)
    single.ctx.close()
    assert running.result() == 42
    with pytest.raises(concurrent.futures.CancelledError):
        queued.result()


def test_a_callback_of_a_done_request_is_called_at_once_where_its_context_is_closed(
    background,
):
    """Also in a thread that never owned it: there is no next turn."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        request = pool.submit(int, "5")
        assert request.result() == 5
    seen = []
    background(request.add_done_callback, lambda r: seen.append(r.result())).finish()
    assert seen == [5]


@pytest.mark.parametrize("what", ["another callback", "the end of the request"])
def test_callback_added_while_a_collection_changes_the_request(
    ctx, running, gate, what
):
    """CPython 3.11 collects wherever it allocates, in add_done_callback() too."""
    called = []

    class Garbage:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            if what == "another callback":
                running.add_done_callback(lambda _: called.append("third"))
                return
            gate.set()
            poll_until(ctx, running.done)

    running.add_done_callback(lambda _: called.append("first"))

    def second(_):
        called.append("second")

    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    Garbage()
    gc.set_threshold(1, 1, 1)
    gc.enable()
    try:
        running.add_done_callback(second)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    gate.set()
    poll_until(ctx, lambda: "second" in called and running.done())
    expected = ["first", "second", "third"]
    assert sorted(called) == expected[: 3 if what == "another callback" else 2]
