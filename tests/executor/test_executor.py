# SPDX-License-Identifier: MIT
"""ThreadPoolExecutor: what concurrent.futures has, and what it adds."""

from __future__ import annotations

import concurrent.futures
import gc
import logging
import os
import pickle
import threading
import weakref

import pytest
from conftest import raiser, wait_until

import tpool
from tpool.executor import Future
from tpool.worker_thread import WorkerThread


@pytest.fixture
def executor():
    with tpool.ThreadPoolExecutor() as made:
        yield made


@pytest.fixture
def busy(one, gate):
    """Return it while its thread is in a call."""
    started = threading.Event()
    one.submit(lambda: (started.set(), gate.wait()))
    assert started.wait(30)
    return one


def test_it_is_one_of_concurrent_futures_and_so_are_its_futures(executor):
    future = executor.submit(pow, 2, exp=5)
    assert isinstance(executor, concurrent.futures.ThreadPoolExecutor)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 32
    assert future.exception() is None


def test_submit_takes_any_keyword(executor):
    def call(*args, **kwargs):
        return args, kwargs

    future = executor.submit(call, 1, self=2, fn=3)
    assert future.result() == ((1,), {"self": 2, "fn": 3})
    with pytest.raises(TypeError, match="callable fn"):
        executor.submit()


def test_what_is_not_callable_fails_in_the_thread(executor):
    with pytest.raises(TypeError, match="not callable"):
        executor.submit(1).result()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_a_call_raises_result_raises_and_the_thread_lives(one, error):
    thread = one.submit(threading.get_ident).result()
    future = one.submit(raiser, error("mine"))
    with pytest.raises(error, match="mine"):
        future.result()
    assert type(future.exception()) is error
    assert one.submit(threading.get_ident).result() == thread


def test_a_future_and_its_exception_are_no_cycle(one):
    class Mine(Exception):
        pass

    def fail():
        raise Mine

    gone = []
    gc.disable()
    try:
        future = one.submit(fail)
        gone.append(weakref.ref(future.exception()))
        assert type(gone[0]()) is Mine
        del future
        one.shutdown()  # without the GIL a thread's own references end with it
        assert gone[0]() is None
    finally:
        gc.enable()


def test_map_is_in_order_and_raises_where_a_call_did(executor):
    assert list(executor.map(pow, range(5), range(5), chunksize=3)) == [
        1,
        1,
        4,
        27,
        256,
    ]
    results = executor.map(divmod, [1, 1, 1], [2, 0, 5])
    assert next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_map_of_a_full_buffer_takes_the_next_item_when_a_result_is_asked_for(executor):
    taken = []
    results = executor.map(int, (taken.append(i) or i for i in range(6)), buffersize=2)
    assert taken == [0, 1]
    assert next(results) == 0
    assert taken == [0, 1, 2]
    assert list(results) == [1, 2, 3, 4, 5]
    assert taken == list(range(6))


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError)]
)
def test_map_with_a_bad_buffer_takes_nothing(executor, size, error):
    taken = []
    with pytest.raises(error, match="buffersize"):
        executor.map(int, map(taken.append, range(2)), buffersize=size)
    assert taken == []


def test_map_goes_on_to_its_end_without_its_executor():
    executor = tpool.ThreadPoolExecutor(1)
    results = executor.map(int, range(5), buffersize=2)
    gone = weakref.ref(executor)
    del executor
    assert gone() is None
    assert list(results) == [0, 1]


def test_map_that_is_closed_or_late_cancels_the_rest(busy, gate):
    results = busy.map(int, range(3), timeout=0)
    with pytest.raises(TimeoutError):
        next(results)
    gate.set()
    busy.shutdown()
    assert busy.stats().cancelled == 3


def test_subclass_that_overrides_submit_is_asked_for_each_call():
    class Mine(tpool.ThreadPoolExecutor):
        def __init__(self, seen):
            super().__init__(max_workers=2)
            self.seen = seen

        def submit(self, fn, /, *args, **kwargs):
            self.seen.append(args)
            return super().submit(fn, *args, **kwargs)

    seen = []
    with Mine(seen) as executor:
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
    assert seen == [(-1,), (-2,)]


def test_executor_that_was_not_initialised_says_so():
    class Mine(tpool.ThreadPoolExecutor):
        def __init__(self):
            pass

    made = Mine()
    assert "__init__() was not called" in repr(made)
    for use in (lambda: made.submit(int), made.shutdown, made.stats):
        with pytest.raises(RuntimeError, match="__init__"):
            use()


def test_second_initialisation_is_refused(executor):
    with pytest.raises(RuntimeError, match="before"):
        executor.__init__()
    assert executor.submit(int).result() == 0


@pytest.mark.parametrize(
    ("workers", "error"),
    [(0, ValueError), (-0.5, ValueError), (float("nan"), ValueError), ("1", TypeError)],
)
def test_f43_number_of_threads_that_makes_no_sense_is_refused(workers, error):
    with pytest.raises(error):
        tpool.ThreadPoolExecutor(workers)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"initializer": 1}, TypeError),
        ({"poll_max_ns": -1}, ValueError),
        ({"idle_timeout": -1}, ValueError),
        ({"max_pending": 0}, ValueError),
        ({"on_full": "wait"}, ValueError),
        ({"thread_name_prefix": 1}, TypeError),
    ],
)
def test_bad_options_are_named(options, error):
    with pytest.raises(error, match=next(iter(options))):
        tpool.ThreadPoolExecutor(**options)


@pytest.mark.parametrize("workers", [True, 0.5, 1.5, 2**70, float("inf")])
def test_number_of_threads_may_be_any_that_the_standard_library_takes(workers):
    with tpool.ThreadPoolExecutor(workers) as executor:
        assert executor.submit(int).result() == 0


def test_threads_are_as_many_as_in_the_standard_library(executor):
    with concurrent.futures.ThreadPoolExecutor() as stock:
        assert executor._max_workers == stock._max_workers


def test_threads_have_the_names_that_were_asked_for():
    with tpool.ThreadPoolExecutor(2, "mine") as executor:
        name = executor.submit(lambda: threading.current_thread().name).result()
    assert name == "mine_0"


def test_idle_thread_leaves_after_its_time():
    with tpool.ThreadPoolExecutor(2, idle_timeout=0.001) as executor:
        assert executor.submit(int).result() == 0
        wait_until(lambda: executor.stats().threads == 0)
        assert executor.submit(int).result() == 0


def test_full_executor_raises(one, gate):
    with tpool.ThreadPoolExecutor(1, max_pending=2) as executor:
        started = threading.Event()
        first = executor.submit(lambda: (started.set(), gate.wait())[1])
        assert started.wait(30)
        rest = [executor.submit(int, i) for i in range(2)]
        with pytest.raises(tpool.PoolFull, match="max_pending=2"):
            executor.submit(int)
        assert rest[1].cancel() is True
        rest.append(executor.submit(int, 2))  # in its place
        gate.set()
        assert first.result() is True
        assert [f.result() for f in rest if not f.cancelled()] == [0, 2]


def test_full_executor_that_is_to_block_waits_for_a_place(gate, background):
    with tpool.ThreadPoolExecutor(1, max_pending=1, on_full="block") as executor:
        started, told = threading.Event(), threading.Event()
        executor.submit(lambda: (started.set(), gate.wait()))
        assert started.wait(30)
        executor.submit(int)
        thread = background(lambda: (told.set(), executor.submit(int, 7).result())[1])
        assert told.wait(30)
        gate.set()
        assert thread.finish() == 7


def test_initializer_is_called_in_each_thread_before_its_calls():
    local = threading.local()

    def begin(value):
        local.value = value

    with tpool.ThreadPoolExecutor(2, initializer=begin, initargs=(7,)) as executor:
        barrier = threading.Barrier(2)
        calls = [
            executor.submit(lambda: (barrier.wait(30), local.value)[1])
            for _ in range(2)
        ]
        assert [call.result() for call in calls] == [7, 7]


def test_initializer_that_fails_breaks_the_executor(caplog):
    started, gate = threading.Event(), threading.Event()

    def begin():
        started.set()
        gate.wait(30)
        raise ValueError("mine")

    broken = concurrent.futures.thread.BrokenThreadPool
    caplog.set_level(logging.CRITICAL, "concurrent.futures")
    with tpool.ThreadPoolExecutor(1, initializer=begin) as executor:
        futures = [executor.submit(int) for _ in range(3)]
        assert started.wait(30)
        gate.set()
        for future in futures:
            with pytest.raises(broken, match="initializer failed"):
                future.result()
        with pytest.raises(broken):
            executor.submit(int)
        assert executor._broken
        wait_until(lambda: executor.stats().threads == 0)
    assert "Exception in initializer" in caplog.text
    assert "mine" in caplog.text
    with pytest.raises(broken):
        executor.submit(int)  # shut down as well


def test_executor_in_a_cycle_with_its_initializer_is_collected():
    class Owner:
        def __init__(self):
            self.executor = tpool.ThreadPoolExecutor(1, initializer=self.begin)

        def begin(self):
            pass

    owner = Owner()
    assert owner.executor.submit(int).result() == 0
    gone = weakref.ref(owner.executor)
    del owner
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("wait", [False, True])
def test_shutdown_runs_what_is_queued(busy, gate, wait):
    queued = [busy.submit(int, i) for i in range(3)]
    if wait:
        gate.set()
    busy.shutdown(wait)
    with pytest.raises(
        RuntimeError, match="cannot schedule new futures after shutdown"
    ):
        busy.submit(int)
    gate.set()
    assert [future.result() for future in queued] == [0, 1, 2]
    busy.shutdown()  # twice


def test_shutdown_that_cancels_tells_all_who_wait(busy, gate):
    queued = [busy.submit(int) for _ in range(3)]
    called = []
    queued[0].add_done_callback(called.append)
    busy.shutdown(wait=False, cancel_futures=True)
    assert [future.cancelled() for future in queued] == [True] * 3
    assert called == queued[:1]
    assert concurrent.futures.wait(queued, timeout=30).not_done == set()
    with pytest.raises(concurrent.futures.CancelledError):
        queued[0].result()
    gate.set()


def test_shutdown_that_cancels_spares_none_behind_what_a_thread_has_taken():
    """It is about to begin that: for what is queued no thread is free."""
    for _ in range(100):
        gate = threading.Event()
        executor = tpool.ThreadPoolExecutor(1)
        executor.submit(int).result()  # its thread is there
        executor.submit(gate.wait, 30)
        queued = [executor.submit(int) for _ in "ab"]
        while executor.stats().queued > 2:
            pass
        executor.shutdown(wait=False, cancel_futures=True)
        cancelled = [future.cancelled() for future in queued]
        gate.set()
        executor.shutdown()
        assert cancelled == [True, True]


def test_shutdown_in_a_call_of_its_own_does_not_wait_for_itself(executor):
    assert executor.submit(executor.shutdown).result(timeout=30) is None


def test_thread_that_has_left_is_waited_for_until_it_is_over(monkeypatch, gate):
    """Libraries add to Thread.run(): what they do at its end is the thread's too."""
    run, leaves = WorkerThread.run, threading.Event()

    def run_and_more(thread):
        run(thread)
        leaves.set()
        gate.wait(30)

    monkeypatch.setattr(WorkerThread, "run", run_and_more)
    with tpool.ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        executor.shutdown(wait=False)
        assert leaves.wait(30)
        (thread,) = executor._threads
        gate.set()
    assert thread not in threading.enumerate()


def test_f19_executor_that_is_dropped_runs_what_is_queued(gate):
    executor = tpool.ThreadPoolExecutor(1)
    futures = [executor.submit(gate.wait, 30), *(executor.submit(int) for _ in "ab")]
    gone = weakref.ref(executor)
    del executor
    assert gone() is None
    gate.set()
    assert [future.result() for future in futures] == [True, 0, 0]


@pytest.mark.parametrize("what", ["executor", "future"])
def test_f33_pickling_is_refused_in_our_own_words(executor, what):
    thing = executor if what == "executor" else executor.submit(int)
    with pytest.raises(TypeError, match=f"{type(thing).__name__} cannot be pickled"):
        pickle.dumps(thing)


def test_environment_switches_polling_off(monkeypatch):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", "0")
    with tpool.ThreadPoolExecutor() as executor:
        for _ in range(20):
            executor.submit(int).result()
        assert executor.stats().polled_ns == 0


def test_threads_run_in_the_context_that_new_threads_have(executor):
    """As in the stock class: a call has no copy of its submitter's variables."""
    with concurrent.futures.ThreadPoolExecutor() as stock:
        import contextvars

        variable = contextvars.ContextVar("variable", default=0)
        variable.set(1)
        assert (
            executor.submit(variable.get).result()
            == stock.submit(variable.get).result()
        )


def test_futures_are_made_by_executors_alone():
    with pytest.raises(TypeError):
        Future()


def test_future_type_is_checked():
    with pytest.raises(TypeError, match="future_type"):
        tpool._core.ThreadPoolExecutor(int, 1, None, "", None, "raise", 0, os, False)
