# SPDX-License-Identifier: MIT
"""What an executor's calls cost is measured, whoever waits for them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import os
import threading
import time
from collections import deque

import pytest
from conftest import DEADLINE_S, needs_polling

import tpool

pytestmark = [
    pytest.mark.timeout(120),
    needs_polling,
]
TRIALS = ("poll_trial", "serial_trial")
DECISIONS = ("poll_pays", "poll_costs", "serial_pays", "serial_costs")
BACK = ("poll_pays", "serial_costs")  # also where calls have come seldom for long
WIDTH = 4


def nap():
    """Be waited for; few enough of it for the trace to hold all of them."""
    time.sleep(0.00005)


def one_by_one(executor, call):
    """Wait for each: no other call ends without somebody who waits."""
    for _ in range(500):
        executor.submit(call).result()


def by_result(executor, call):
    """Keep some calls in flight, and take the oldest result first."""
    waiting = deque(executor.submit(call) for _ in range(WIDTH))
    for _ in range(500):
        waiting.popleft().result()
        waiting.append(executor.submit(call))
    for future in waiting:
        future.result()


def by_threads(executor, call):
    """Have some threads do that at once."""
    threads = [
        threading.Thread(target=by_result, args=(executor, call)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_callbacks(executor, call):
    """Submit the next from where one ends: nobody is in result()."""
    left, ended = iter(range(500)), threading.Semaphore(0)

    def next_one(_=None):
        if next(left, None) is None:
            ended.release()
        else:
            executor.submit(call).add_done_callback(next_one)

    for _ in range(WIDTH):
        next_one()
    for _ in range(WIDTH):
        ended.acquire()


def by_loop(executor, call):
    """Await them on an event loop."""

    async def one_after_the_other():
        loop = asyncio.get_running_loop()
        for _ in range(500):
            await loop.run_in_executor(executor, call)

    async def main():
        await asyncio.gather(*(one_after_the_other() for _ in range(WIDTH)))

    asyncio.run(main())


def by_wait(executor, call):
    """Submit many, and wait for all."""
    concurrent.futures.wait([executor.submit(call) for _ in range(500)])


def told_of(run, call, names, executor):
    """Run it until the trace has one of these; return what it has told, in order."""
    told = []
    end = time.monotonic() + DEADLINE_S
    while not any(name in names for name in told):
        assert time.monotonic() < end, told
        tpool.trace.enable()
        try:
            run(executor, call)
        finally:
            tpool.trace.disable()
        events = sorted(tpool.trace.read(), key=lambda event: event.time_ns)
        told += [e.name for e in events if e.name in (*TRIALS, *DECISIONS)]
    return told


@pytest.mark.parametrize(
    "run", [one_by_one, by_result, by_threads, by_callbacks, by_loop, by_wait]
)
def test_whoever_waits_both_ways_are_tried(run):
    with tpool.ThreadPoolExecutor(WIDTH) as executor:
        told = told_of(run, nap, DECISIONS, executor)
    kinds = [name.partition("_")[0] for name in told]
    trials = [n for n, name in enumerate(told) if name in TRIALS]
    assert trials
    for n, after in itertools.pairwise([*trials, len(told)]):
        decided = kinds[n + 1 : after]
        assert kinds[n] in decided or (after == len(told) and not decided)
        again = [m for m in range(n + 1, after) if kinds[m] in kinds[n + 1 : m]]
        assert {told[m] for m in again} <= set(BACK), told
        assert len(set(told[n + 1 : after])) == len(decided)


@pytest.mark.parametrize("run", [by_result, by_callbacks])
def test_calls_that_compute_are_tried_one_after_the_other(run):
    with tpool.ThreadPoolExecutor(WIDTH) as executor:
        assert told_of(run, lambda: sum(range(1000)), ["serial_trial"], executor)


def test_calls_that_sleep_are_run_at_once_whatever_was_measured():
    with tpool.ThreadPoolExecutor(8) as executor:
        told_of(by_result, lambda: sum(range(1000)), ["serial_trial"], executor)
        barrier = threading.Barrier(8)  # each waits for all others
        for future in [executor.submit(barrier.wait, 60) for _ in range(8)]:
            future.result()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity")
def test_affinity_is_as_it_was():
    before = os.sched_getaffinity(0)
    with tpool.ThreadPoolExecutor(WIDTH) as executor:
        told_of(one_by_one, nap, DECISIONS, executor)
        assert os.sched_getaffinity(0) == before
        assert executor.submit(os.sched_getaffinity, 0).result() == before


def test_nothing_is_tried_where_polling_is_off():
    tpool.trace.enable()
    try:
        with tpool.ThreadPoolExecutor(WIDTH, poll_max_ns=0) as executor:
            by_result(executor, nap)
            by_callbacks(executor, nap)
        told = {event.name for event in tpool.trace.read()}
    finally:
        tpool.trace.disable()
    assert "thread_pool_complete" in told
    assert not told & {*TRIALS, *DECISIONS}
