# SPDX-License-Identifier: MIT
"""Futures of ThreadPoolExecutor: who waits for them, cancels and ends them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import sys
import threading
import time
import weakref

import pytest
from conftest import wait_until

import tpool
from tpool.executor import Future

CancelledError = concurrent.futures.CancelledError
InvalidStateError = concurrent.futures.InvalidStateError


def states(future):
    return future._state, future.done(), future.running(), future.cancelled()


def test_states_are_those_of_concurrent_futures(running, pending, gate):
    assert states(running) == ("RUNNING", False, True, False)
    assert states(pending) == ("PENDING", False, False, False)
    assert "state=pending" in repr(pending)
    assert "state=running" in repr(running)
    gate.set()
    assert running.result() == 7
    assert states(running) == ("FINISHED", True, False, False)
    assert repr(running).startswith("<Future at 0x")
    assert repr(running).endswith("state=finished returned int>")
    assert running._get_snapshot() == (True, False, 7, None)
    assert (running._result, running._exception) == (7, None)


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="there an object goes in the thread that has made it, which waits",
)
@pytest.mark.parametrize("times", [1, 2])
def test_who_waits_is_told_before_the_arguments_go(times):
    """Else a __del__() that waits for who waits would do so for ever."""
    got = []

    class Lent:
        def __init__(self, lock):
            self.lock = lock

        def __del__(self):
            got.append(self.lock.acquire(timeout=5))

    lock = threading.Lock()
    with tpool.ThreadPoolExecutor(1) as executor:
        with lock:
            executor.submit(lambda *_: time.sleep(0.1), *[Lent(lock)] * times).result()
    assert got == [True]


def test_cancelled_before_it_runs_it_never_does(one, pending, gate):
    ran = []
    future = one.submit(ran.append, 1)
    seen = []
    future.add_done_callback(seen.append)
    assert future.cancel() is True
    assert future.cancel() is True
    assert seen == [future]
    assert states(future)[1:] == (True, False, True)
    assert "state=cancelled" in repr(future)
    assert future._get_snapshot() == (True, True, None, None)
    for ask in (future.result, future.exception):
        with pytest.raises(CancelledError):
            ask()
    gate.set()
    assert pending.result() == 5
    assert ran == []
    assert future.set_running_or_notify_cancel() is False


def test_running_or_done_it_cannot_be_cancelled(running, gate):
    assert running.cancel() is False
    gate.set()
    assert running.result() == 7
    assert running.cancel() is False


@pytest.mark.parametrize("timeout", [0, 0.001, -1, -0.5])
def test_who_does_not_wait_long_enough_is_told(running, timeout):
    with pytest.raises(TimeoutError):
        running.result(timeout)
    with pytest.raises(TimeoutError):
        running.exception(timeout=timeout)
    assert running.done() is False


def test_timeout_that_makes_no_sense_is_refused(running):
    with pytest.raises(ValueError, match="timeout"):
        running.result(float("nan"))
    with pytest.raises(TypeError, match="timeout"):
        running.result("1")
    with pytest.raises(TypeError, match="1 argument"):
        running.result(1, 2)


def test_who_gave_up_may_wait_again(running, gate):
    with pytest.raises(TimeoutError):
        running.result(0)
    gate.set()
    assert running.result(float("inf")) == 7


def test_plain_wait_makes_neither_condition_nor_lists(one, gate):
    future = one.submit(gate.wait, 30)
    gate.set()
    assert future.result() is True
    referents = [type(thing) for thing in gc.get_referents(future)]
    assert Future._Condition not in referents
    assert list not in referents
    assert future._condition is future._condition
    assert future._waiters is future._waiters


def test_f34_pending_future_takes_a_third_of_a_stock_one(one, pending):
    """In bytes of this process's allocations; a million of them is the bench."""
    import tracemalloc

    def sizes(executor):
        tracemalloc.start()
        try:
            futures = [executor.submit(int) for _ in range(1000)]
            size, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        for future in futures:
            future.cancel()
        return size / 1000

    with concurrent.futures.ThreadPoolExecutor(1) as stock:
        gate = threading.Event()
        stock.submit(gate.wait)
        stock_size = sizes(stock)
        gate.set()
    assert sizes(one) < stock_size / 3


def test_who_ends_it_twice_is_told(one, running, gate):
    gate.set()
    running.result()
    for end in (running.set_result, running.set_exception):
        with pytest.raises(InvalidStateError, match="FINISHED: <Future at 0x"):
            end(None)
    with pytest.raises(RuntimeError, match="unexpected state"):
        running.set_running_or_notify_cancel()


def test_future_that_somebody_else_has_ended_is_not_run(one, pending, gate, caplog):
    ran = []
    future = one.submit(ran.append, 1)
    future.set_result(9)
    assert future.result() == 9
    gate.set()
    assert one.submit(int).result() == 0
    assert ran == []
    assert "before it was run" in caplog.text


def test_exception_that_somebody_else_sets_is_raised(pending, gate):
    pending.set_exception(KeyError("mine"))
    with pytest.raises(KeyError, match="mine"):
        pending.result()


@pytest.mark.parametrize("how", ["result", "cancel"])
def test_f54_each_who_waits_wakes_exactly_once(one, running, gate, background, how):
    """Four threads in result(), one in wait(), one in as_completed()."""
    future = one.submit(int, 5)
    about, got = [], []

    def wait(call):
        about.append(1)
        try:
            got.append(call())
        except CancelledError:
            got.append(CancelledError)

    threads = [background(wait, lambda: future.result(30)) for _ in range(4)]
    threads.append(background(wait, lambda: concurrent.futures.wait([future], 30)))
    threads.append(
        background(wait, lambda: [*concurrent.futures.as_completed([future], 30)])
    )
    wait_until(lambda: len(about) == 6 and len(future._waiters) == 2)
    if how == "cancel":
        assert future.cancel()
    gate.set()
    for thread in threads:
        thread.finish()
    outcome = CancelledError if how == "cancel" else 5
    assert got.count(outcome) == 4
    assert got.count(({future}, set())) == 1
    assert got.count([future]) == 1
    assert future._waiters == []


@pytest.mark.parametrize("condition_first", [False, True])
def test_wait_and_as_completed_see_all_ends(condition_first):
    with tpool.ThreadPoolExecutor(4) as executor:
        futures = [executor.submit(int, i) for i in range(200)]
        if condition_first:
            assert all(future._condition for future in futures)
        done = list(concurrent.futures.as_completed(futures, 30))
        assert sorted(future.result() for future in done) == list(range(200))
        done, rest = concurrent.futures.wait(futures, 30)
        assert (done, rest) == (set(futures), set())


def test_wait_for_the_first_exception(one, pending, gate):
    failed = one.submit(lambda: 1 / 0)
    gate.set()
    done, _ = concurrent.futures.wait(
        [failed, pending], 30, concurrent.futures.FIRST_EXCEPTION
    )
    assert failed in done


def test_wrap_future_brings_results_exceptions_and_cancellations(run, gate):
    async def main(executor):
        assert await asyncio.wrap_future(executor.submit(int, 3)) == 3
        with pytest.raises(ZeroDivisionError):
            await asyncio.wrap_future(executor.submit(lambda: 1 / 0))
        started = threading.Event()
        executor.submit(lambda: (started.set(), gate.wait(30)))
        queued = executor.submit(int)
        wrapped = asyncio.wrap_future(queued)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        await asyncio.sleep(0)  # a turn later, as asyncio does it
        assert queued.cancelled()
        gate.set()

    with tpool.ThreadPoolExecutor(1) as executor:
        run(main(executor))


def test_condition_that_somebody_holds_keeps_the_future_from_ending(running, gate):
    with running._condition:
        gate.set()
        assert not running.done()
        assert running._condition.wait(30)
        assert running.done()


def test_future_whose_condition_fails_ends_all_the_same(one, pending, gate, unraisable):
    pending._Condition = lambda: 0
    assert pending._condition == 0
    gate.set()
    assert pending.result(30) == 5
    assert [type(error) for error in unraisable] == [AttributeError]


def test_arguments_and_results_are_not_kept(one):
    class Thing:
        pass

    thing, gone = Thing(), []
    gone.append(weakref.ref(thing))
    future = one.submit(lambda thing: None, thing)
    del thing
    future.result()
    wait_until(lambda: gc.collect() is None or gone[0]() is None)
    thing = Thing()
    gone.append(weakref.ref(thing))
    one.submit(lambda: gone[1]()).result()  # the thread keeps neither
    del thing
    wait_until(lambda: gc.collect() is None or gone[1]() is None)


def test_future_in_a_cycle_with_its_result_is_collected(one):
    class Thing:
        pass

    future = one.submit(Thing)
    future.result().future = future
    gone = weakref.ref(future)
    del future
    one.shutdown()
    gc.collect()
    assert gone() is None


def test_attributes_may_be_set_and_weak_references_made(one):
    future = one.submit(int)
    future.mine = 1
    assert future.mine == 1
    assert weakref.ref(future)() is future
    assert future.result() == 0


def test_arguments_are_dropped_when_the_future_has_ended(one, running, gate):
    """Their __del__ may ask for that: run, or cancelled in the middle of it."""

    class Thing:
        def __del__(self):
            seen.append((futures[0].cancel(), *states(futures[0])[1:]))

    seen, futures = [], []
    futures.append(one.submit(lambda thing: None, Thing()))
    futures[0].cancel()
    futures[:] = [one.submit(lambda thing: gate.wait(30) and None, Thing())]
    gate.set()
    assert futures[0].result(30) is None
    wait_until(lambda: gc.collect() is None or len(seen) == 2)
    assert seen == [(True, True, False, True), (False, True, False, False)]


@pytest.mark.skipif(
    getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="with the GIL it ends before or after",
)
def test_repr_of_one_that_ends_in_the_middle_of_it(one):
    for _ in range(50_000):
        future = one.submit(int)
        while "finished" not in repr(future):
            pass


def test_condition_has_what_one_of_threading_has(running, gate):
    with running._condition as locked:
        assert locked is True
        gate.set()
        assert running._condition.wait_for(running.done, 30)


def test_arguments_have_the_names_that_they_have_in_the_standard_library(one, gate):
    first, second = one.submit(gate.wait, 30), one.submit(int)
    called = []
    second.add_done_callback(fn=called.append)
    second.set_result(result=7)
    assert called == [second]
    assert second.result(timeout=0) == 7
    third = one.submit(int)
    third.set_exception(exception=KeyError("mine"))
    assert type(third.exception(timeout=0)) is KeyError
    for call in (second.add_done_callback, first.set_result, first.set_exception):
        with pytest.raises(TypeError, match="argument"):
            call(1, 2)
        with pytest.raises(TypeError, match="argument"):
            call()
