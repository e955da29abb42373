# SPDX-License-Identifier: MIT
"""SimpleQueue does what queue.SimpleQueue does; its get() polls, then sleeps."""

from __future__ import annotations

import copy
import gc
import importlib.util
import os
import pickle
import queue
import random
import signal
import sys
import threading
import time
import types
import weakref

import pytest
from conftest import DEADLINE_S, run_code, task_state, wait_until

import tpool

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(params=[None, "0"], ids=["polls", "sleeps"])
def make(request, monkeypatch):
    """Return what makes a queue: one that may poll, and one that never does."""
    if request.param is not None:
        monkeypatch.setenv("TPOOL_POLL_MAX_NS", request.param)
    return tpool.SimpleQueue


@pytest.fixture
def q():
    return tpool.SimpleQueue()


@pytest.mark.skipif(
    not importlib.util.find_spec("test")
    or not importlib.util.find_spec("test.test_queue"),
    reason="this Python has no test.test_queue",
)
def test_the_standard_library_s_own_tests_pass(isolated):
    isolated("stdlib_queue.py", "", timeout=80)


@pytest.mark.parametrize(
    "case",
    [
        "ctrl_c_ends_a_get",
        "ctrl_c_ends_a_get_that_polls_for_ever",
        "child_of_a_fork_goes_on",
        "handler_that_forks_in_a_get",
        "exit_with_getters",
        "put_when_the_getters_have_ended_with_python",
        "queues_in_queues_go",
    ],
)
def test_case_in_a_process_of_its_own(isolated, case):
    isolated("queue_cases.py", case, timeout=80)


def test_two_threads_that_answer_each_other_lose_no_wake_up(make, background):
    """F1: in lock-step, with random delays before the wait, and before the put."""
    there, back = make(), make()
    rng = random.Random(1)
    delays = [rng.choice([0, 0, 0, 1e-6, 3e-5, 2e-4]) for _ in range(3000)]

    def answer():
        for delay in delays:
            item = there.get(timeout=DEADLINE_S)
            if delay:
                time.sleep(delay)
            back.put(item)

    thread = background(answer)
    for number, delay in enumerate(reversed(delays)):
        there.put(number)
        if delay == 3e-5:
            time.sleep(delay)
        assert back.get(timeout=DEADLINE_S) == number
    thread.finish()


def test_each_object_comes_once_and_in_the_order_of_its_putter(make, background):
    """F28: four putters; four getters, half of them with timeouts that are short."""
    q, rng = make(), random.Random(2)
    putters, each = 4, 1500

    def put(me):
        for number in range(each):
            q.put((me, number))
            if number % 64 == 0:
                time.sleep(rng.random() * 1e-4)

    def get(timeout):
        got = []
        while True:
            try:
                item = q.get(timeout=timeout)
            except queue.Empty:
                assert timeout < 1
                continue
            if item is None:
                return got
            got.append(item)

    getters = [background(get, timeout) for timeout in (DEADLINE_S, 1e-5) * 2]
    for thread in [background(put, me) for me in range(putters)]:
        thread.finish()
    for _ in getters:
        q.put(None)
    lists = [thread.finish() for thread in getters]
    for got in lists:
        for me in range(putters):
            mine = [number for putter, number in got if putter == me]
            assert mine == sorted(mine)
    expected = [(me, number) for me in range(putters) for number in range(each)]
    assert sorted(item for got in lists for item in got) == expected
    assert q.empty()
    assert q.qsize() == 0


def test_getters_that_sleep_each_get_one_of_as_many_objects(make, background):
    q = make()
    threads = [background(q.get) for _ in range(8)]
    for number in range(8):
        q.put(number)
    assert sorted(thread.finish() for thread in threads) == list(range(8))


def test_a_getter_that_waits_in_vain_sleeps(q, background):
    """Whatever it has learned before: no CPU time passes in its thread."""
    back, clocks = tpool.SimpleQueue(), []

    def answer():
        clocks.append(time.pthread_getcpuclockid(threading.get_ident()))
        while (item := q.get()) is not None:
            back.put(item)

    thread = background(answer)
    for number in range(500):  # polling pays
        q.put(number)
        assert back.get() == number

    def stands_still():
        before = time.clock_gettime_ns(clocks[0])
        time.sleep(0.02)
        return time.clock_gettime_ns(clocks[0]) == before

    wait_until(stands_still)
    q.put(None)
    thread.finish()


def test_signal_handler_may_put_what_its_thread_waits_for(q):
    """F8: in the middle of a get(), and of a put()."""
    main, ended = threading.get_native_id(), threading.Event()

    def kill():
        while not ended.is_set():
            if task_state(main) == "S":
                os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.0005)

    before = signal.signal(signal.SIGUSR1, lambda *_: q.put("handler"))
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        for _ in range(20):
            assert q.get(timeout=DEADLINE_S) == "handler"
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)


def test_object_is_not_lost_with_a_getter_that_a_handler_ends(background):
    """It was sent for the object that was put right after the signal."""

    class Left(Exception):
        """The handler's."""

    def leave(*_):
        raise Left

    def sleeps(tid):
        return task_state(tid) == "S"

    def get(q, tids):
        tids.append(threading.get_native_id())
        return q.get(timeout=DEADLINE_S)

    def give(q, main):
        """The second in the queue is asleep, too, when the first is interrupted."""
        wait_until(lambda: sleeps(main))
        tids = []
        second = background(get, q, tids)
        wait_until(lambda: tids and sleeps(tids[0]))
        switch = sys.getswitchinterval()
        sys.setswitchinterval(10)  # both, before the main thread has the GIL again
        os.kill(os.getpid(), signal.SIGUSR1)
        q.put(1)
        sys.setswitchinterval(switch)
        return second

    before = signal.signal(signal.SIGUSR1, leave)
    try:
        for _ in range(20):
            q, got = tpool.SimpleQueue(), []
            giver = background(give, q, threading.get_native_id())
            try:
                got.append(q.get(timeout=DEADLINE_S))
            except Left:
                assert giver.finish().finish() == 1
            else:  # the second was the first
                assert got == [1]
                q.put(2)
                assert giver.finish().finish() == 2
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_timeouts_are_as_in_the_standard_library(q):
    """F37: but none is too large; negative ones have its words."""
    for bad in (-1, -0.5, -(2**70), float("-inf")):
        with pytest.raises(ValueError, match="'timeout' must be a non-negative number"):
            q.get(timeout=bad)
    with pytest.raises(ValueError, match="NaN"):
        q.get(timeout=float("nan"))
    for bad in ("1", [], 1j):
        with pytest.raises(TypeError, match="timeout must be a number of seconds"):
            q.get(True, bad)
    for small in (0, 0.0, 1e-9, 0.003):
        begin = time.monotonic()
        with pytest.raises(queue.Empty):
            q.get(timeout=small)
        assert time.monotonic() - begin >= small
    for unread in (-1, "x"):
        with pytest.raises(queue.Empty):
            q.get(False, unread)
    for large in (None, float("inf"), 1e300, 2**70):
        q.put(1, True, "unread")
        assert q.get(True, large) == 1
    q.put(1)
    with pytest.raises(ValueError, match="non-negative"):
        q.get(timeout=-1)
    assert q.get(block=True, timeout=9) == 1


def test_arguments_are_checked(q):
    for call in (
        q.put,
        lambda: q.put(1, 2, 3, 4),
        lambda: q.put(1, item=1),
        lambda: q.put(block=True),
        lambda: q.put(1, size=1),
        q.put_nowait,
        lambda: q.put_nowait(1, 2),
        lambda: q.get(1, 2, 3),
        lambda: q.get(item=1),
        lambda: q.get_nowait(1),
        lambda: tpool.SimpleQueue(1),
        lambda: tpool.SimpleQueue(maxsize=1),
    ):
        with pytest.raises(TypeError):
            call()
    assert q.empty()
    q.put(item=1)
    q.put(2, timeout=None, block=False)
    q.put_nowait(item=3)
    assert [q.get(block=1), q.get(timeout=None), q.get_nowait()] == [1, 2, 3]


def test_bound_of_polling_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", "much")
    with pytest.raises(ValueError, match=r"TPOOL_POLL_MAX_NS .*'much'"):
        tpool.SimpleQueue()


def test_a_subclass_may_have_arguments_and_attributes():
    class Named(tpool.SimpleQueue):
        def __init__(self, name, *, size=0):
            super().__init__()
            self.name, self.size = name, size

        def put(self, item):
            super().put((self.name, item))

    q = Named("mine", size=3)
    q.put(1)
    assert (q.get(), q.name, q.size) == (("mine", 1), "mine", 3)
    assert isinstance(tpool.SimpleQueue[int], types.GenericAlias)
    assert tpool.SimpleQueue[int]().empty()


@pytest.mark.parametrize(
    "dump", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda f: f.__name__
)
def test_f33_a_queue_that_is_to_be_pickled_says_why_not(q, dump):
    with pytest.raises(TypeError, match="a SimpleQueue cannot be pickled: it belongs"):
        dump(q)


def test_a_queue_in_a_cycle_is_collected_and_what_it_holds_freed():
    class Thing:
        """What can be watched."""

    q, thing = tpool.SimpleQueue(), Thing()
    q.put(q)
    q.put(thing)
    watched = [weakref.ref(q), weakref.ref(thing)]
    del q, thing
    gc.collect()
    assert [ref() for ref in watched] == [None, None]


def test_what_objects_put_as_they_go_is_no_end():
    """F9: __del__() puts into the queue that drops it, from the collector too."""
    left = [10]

    class Again:
        def __init__(self, q):
            self.queue = q

        def __del__(self):
            if left[0]:
                left[0] -= 1
                self.queue.put(Again(self.queue))

    q = tpool.SimpleQueue()
    q.put(Again(q))
    del q
    wait_until(lambda: not left[0], turn=gc.collect)


def test_free_threads_that_only_put_and_get_nowait_share_it(q, background):
    def both(me):
        got = 0
        for number in range(2000):
            q.put((me, number))
            try:
                q.get_nowait()
            except queue.Empty:
                continue
            got += 1
        return got

    taken = sum(thread.finish() for thread in [background(both, i) for i in range(4)])
    assert taken + q.qsize() == 8000


@pytest.mark.skipif(
    importlib.util.find_spec("aiosqlite") is None, reason="no aiosqlite"
)
@pytest.mark.parametrize("run", ["asyncio.run", "tpool.run"])
def test_aiosqlite_works_with_it_for_its_queue(run):
    said = run_code(
        "import asyncio, aiosqlite.core, tpool\n"
        "aiosqlite.core.SimpleQueue = tpool.SimpleQueue\n"
        "async def main():\n"
        "    async with aiosqlite.connect(':memory:') as db:\n"
        "        assert type(db._tx) is tpool.SimpleQueue\n"
        "        await db.execute('CREATE TABLE t (n)')\n"
        "        for n in range(200):\n"
        "            await db.execute('INSERT INTO t VALUES (?)', (n,))\n"
        "        async with db.execute('SELECT n FROM t ORDER BY n') as rows:\n"
        "            assert [n async for n, in rows] == list(range(200))\n"
        f"{run}(main())\nprint('right')"
    )
    assert said.stdout.strip() == "right"
