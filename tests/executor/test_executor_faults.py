# SPDX-License-Identifier: MIT
"""The catalogue of faults, for the executor: see tests/program/test_faults.py."""

from __future__ import annotations

import concurrent.futures
import ctypes
import gc
import random
import signal
import threading

import pytest
from conftest import cases_of, refuse_threads, run_code, spin, wait_until

import tpool

pytestmark = pytest.mark.timeout(90)


@pytest.mark.parametrize("case", cases_of("executor_faults.py"))
def test_f06_to_f21_in_a_process_of_its_own(isolated, case):
    isolated("executor_faults.py", case)


@pytest.mark.parametrize("poll_max_ns", [0, 32_768, 2**40])
def test_f01_result_at_any_moment_wakes_who_waits(background, poll_max_ns):
    """In lock-step with random delays, by four threads."""

    def wait(seed):
        rng = random.Random(seed)
        for i in range(300):
            future = executor.submit(spin, rng.choice([0, 0, 1000, 30_000]))
            spin(rng.choice([0, 0, 1000, 30_000]))
            assert future.result(timeout=30 if i % 2 else None) is None

    with tpool.ThreadPoolExecutor(3, poll_max_ns=poll_max_ns) as executor:
        for thread in [background(wait, seed) for seed in range(4)]:
            thread.finish()


@pytest.mark.parametrize("drop", ["", "del executor\n", "executor.shutdown(False)\n"])
def test_f13_f15_what_was_submitted_is_done_before_the_interpreter_exits(drop):
    code = (
        "import os, time, tpool\n"
        "executor = tpool.ThreadPoolExecutor(2)\n"
        "def call():\n"
        "    time.sleep(0.005)\n"
        "    os.write(1, b'.')\n"
        "for i in range(20):\n"
        "    executor.submit(call).add_done_callback(lambda f: os.write(1, b'+'))\n"
        f"{drop}"
    )
    said = run_code(code)
    assert (said.stdout.count("."), said.stdout.count("+"), said.stderr) == (20, 20, "")


def test_f14_submit_at_the_exit_is_refused():
    code = (
        "import atexit, tpool\n"
        "@atexit.register\n"
        "def late():\n"
        "    for make in (lambda: one, tpool.ThreadPoolExecutor, lambda: other):\n"
        "        try:\n"
        "            make().submit(int)\n"
        "        except RuntimeError as error:\n"
        "            print(error)\n"
        "one, other = tpool.ThreadPoolExecutor(), tpool.ThreadPoolExecutor()\n"
        "one.submit(int).result()\n"
        "other.shutdown()\n"
    )
    said = "cannot schedule new futures after interpreter shutdown\n"
    own = "cannot schedule new futures after shutdown\n"
    assert run_code(code).stdout == 2 * said + own


def test_f16_interrupt_at_the_exit_says_what_is_dropped():
    code = (
        "import os, signal, threading, time, tpool, tpool.thread_pool\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "executor = tpool.ThreadPoolExecutor(1)\n"
        "def call():\n"
        "    tpool.thread_pool.exiting.wait()\n"
        "    time.sleep(0.05)\n"  # until it joins the threads
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    threading.Event().wait()\n"
        "for _ in range(3):\n"
        "    executor.submit(call)\n"
    )
    said = run_code(code, status=-signal.SIGINT).stderr
    assert "1 calls of tpool have not ended, 2 requests are dropped" in said


def test_f20_no_new_thread_but_one_there_runs_all(monkeypatch, gate):
    with tpool.ThreadPoolExecutor(4) as executor:
        started, ran = threading.Event(), []
        first = executor.submit(lambda: (started.set(), gate.wait())[1])
        assert started.wait(30)
        refuse_threads(monkeypatch)
        futures = [executor.submit(ran.append, i) for i in range(5)]
        assert executor.stats().spawn_failures > 0
        gate.set()
        assert first.result() is True
        assert [future.result() for future in futures] == [None] * 5
        assert ran == list(range(5))
        assert executor.stats().threads == 1


def test_f21_no_thread_at_all_takes_the_call_back():
    ran = []
    with tpool.ThreadPoolExecutor() as executor:
        with pytest.MonkeyPatch.context() as patch:
            refuse_threads(patch)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                executor.submit(ran.append, 1)
            stats = executor.stats()
            assert (stats.queued, stats.threads, stats.submitted) == (0, 0, 0)
        executor.submit(ran.append, 2).result()
    assert ran == [2]


def test_f28_many_submitters_are_each_served_in_their_order(one, background):
    started = []

    def submit(name):
        for i in range(1000):
            one.submit(started.append, (name, i))

    for thread in [background(submit, name) for name in range(4)]:
        thread.finish()
    one.shutdown()
    for name in range(4):
        assert [i for n, i in started if n == name] == list(range(1000))


def test_f29_cancel_that_races_with_the_start_leaves_one_outcome(background):
    rng, ran, calls, n = random.Random(29), [], [], 2000
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
    with tpool.ThreadPoolExecutor(2) as executor:
        for i in range(n):
            future = executor.submit(ran.append, i)
            box[:] = [future]
            future.add_done_callback(calls.append)
            turn.release()
            concurrent.futures.wait([future])
            answered.acquire()
            wait_until(lambda i=i: len(calls) == i + 1)
            assert calls[i] is future
            assert answers[i] == future.cancelled() == (ran[-1:] != [i])
    assert executor.stats().cancelled == sum(answers)


def test_f30_asynchronous_exception_goes_to_the_call(one):
    started = threading.Event()

    def loop():
        started.set()
        while True:
            pass

    thread = one.submit(threading.get_ident).result()
    future = one.submit(loop)
    started.wait()
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert raise_in(ctypes.c_ulong(thread), ctypes.py_object(LookupError)) == 1
    with pytest.raises(LookupError):
        future.result()
    assert one.submit(threading.get_ident).result() == thread


def test_f31_call_that_waits_for_one_behind_it_is_told_in_time(one):
    def outer():
        inner = one.submit(int, 3)
        with pytest.raises(TimeoutError):
            inner.result(timeout=0.01)
        return inner

    assert one.submit(outer).result().result() == 3


def test_f46_each_blocked_call_leaves_the_next_a_thread(gate):
    """Also after short calls, when idle threads were counted."""
    with tpool.ThreadPoolExecutor(5) as executor:
        for _ in range(200):
            executor.submit(int).result()
        blocked = [executor.submit(gate.wait, 30) for _ in range(4)]
        assert executor.submit(int, 7).result(timeout=30) == 7
        gate.set()
        assert [future.result() for future in blocked] == [True] * 4


def test_threads_that_submit_cancel_and_wait_at_random(background):
    """Each future ends once, and its callbacks run once, whoever does what."""
    calls = []

    def work(seed):
        rng, futures = random.Random(seed), []
        for i in range(400):
            future = executor.submit(spin, rng.choice([0, 0, 5000]))
            future.add_done_callback(calls.append)
            futures.append(future)
            what = rng.randrange(6)
            if what == 0:
                future.cancel()
            elif what == 1:
                concurrent.futures.wait(futures[-5:], 30)
            elif what == 2:
                list(concurrent.futures.as_completed(futures[-5:], 30))
            elif what == 3 and not future.cancelled():
                future.result(30)
            elif what == 4 and i > 3:
                rng.choice(futures).cancel()
        return futures

    with tpool.ThreadPoolExecutor(3) as executor:
        threads = [background(work, seed) for seed in range(4)]
        futures = [future for thread in threads for future in thread.finish()]
    assert all(future.done() for future in futures)
    assert len(calls) == len(futures) == len(set(calls))
    stats = executor.stats()
    assert stats.cancelled == sum(future.cancelled() for future in futures)
    assert stats.completed + stats.cancelled == stats.submitted == len(futures)


@pytest.mark.parametrize("cycle", [False, True])
def test_dropped_executor_with_an_initializer_starts_the_threads_it_needs(cycle):
    class Owner:
        def __init__(self):
            begin = self.begin if cycle else int
            self.executor = tpool.ThreadPoolExecutor(2, initializer=begin)

        def begin(self):
            pass

    for _ in range(20):
        owner = Owner()
        assert owner.executor.submit(int).result() == 0
        met = threading.Event()
        first = owner.executor.submit(met.wait, 5)
        owner.executor.submit(met.set)
        del owner
        gc.collect()
        assert first.result()


def test_shutdown_cancels_what_waits_for_an_initializer(gate):
    executor = tpool.ThreadPoolExecutor(2, initializer=gate.wait)
    futures = [executor.submit(int) for _ in range(3)]
    executor.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert all(future.cancelled() for future in futures)
