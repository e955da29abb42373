# SPDX-License-Identifier: MIT
"""Owner and worker on one CPU: nobody may spin against the other."""

from __future__ import annotations

import contextlib
import os
import time

import pytest
from conftest import wait_until

import tpool

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="the system has no CPU affinity"
)

ROUND_TRIPS = 2_000


@pytest.fixture
def one_cpu():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("one_cpu")
@pytest.mark.parametrize("poll_max_ns", [0, 32_768, 1_000_000])
def test_round_trips_on_one_cpu_take_one_turn_each(poll_max_ns):
    """A woken owner must not turn for nothing while its waker waits for the CPU.

    1. The worker writes the notifier; the kernel runs the owner at once.
    2. The owner must drain the notifier although the worker has not said so.
    3. Else its next wait returns at once, again and again, until the worker has
       had the CPU.
    """
    with tpool.AioContext(poll_max_ns) as ctx, tpool.ThreadPool(ctx) as pool:
        for _ in range(ROUND_TRIPS):
            pool.submit(int).result()
        stats = ctx.stats()
    assert stats.turns <= 1.2 * ROUND_TRIPS


@pytest.mark.usefixtures("one_cpu")
def test_nobody_polls_where_one_cpu_is_usable():
    with tpool.AioContext(1_000_000) as ctx, tpool.ThreadPool(ctx) as pool:
        for _ in range(ROUND_TRIPS):
            pool.submit(int).result()
        ctx_stats, pool_stats = ctx.stats(), pool.stats()
    assert ctx_stats.polls_hit + ctx_stats.polls_missed == 0
    assert pool_stats.polls_hit + pool_stats.polls_missed == 0
    assert ctx_stats.polls_refused > 0


@pytest.mark.usefixtures("one_cpu")
def test_nobody_naps_where_one_cpu_is_usable():
    """To wake before a regular call ends is one more wake-up, and cannot poll."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        for _ in range(200):
            pool.submit(time.sleep, 0.0003).result()
        stats = ctx.stats()
    assert stats.naps == 0
    assert stats.polls_refused > 100


@pytest.mark.usefixtures("one_cpu")
def test_a_worker_inherits_the_affinity_of_the_owner():
    expected = os.sched_getaffinity(0)
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        assert pool.submit(os.sched_getaffinity, 0).result() == expected


def pin_all_threads(cpus):
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread), cpus)


def phases(ctx, pool):
    """Return poll phases of owner and worker in some round trips."""

    def count():
        stats, workers = ctx.stats(), pool.stats()
        return (
            stats.polls_hit
            + stats.polls_missed
            + workers.polls_hit
            + workers.polls_missed
        )

    before = count()
    for _ in range(50):
        pool.submit(time.sleep, 0.0001).result()
    return count() - before


def test_an_affinity_that_changes_at_run_time_is_noticed():
    cpus = os.sched_getaffinity(0)
    if len(cpus) == 1:
        pytest.skip("there is one CPU")
    try:
        pin_all_threads({min(cpus)})
        with tpool.AioContext(10_000_000) as ctx, tpool.ThreadPool(ctx) as pool:
            assert phases(ctx, pool) == 0
            pin_all_threads(cpus)
            wait_until(lambda: phases(ctx, pool) > 0, turn=int)
            pin_all_threads({min(cpus)})
            wait_until(lambda: phases(ctx, pool) == 0, turn=int)
    finally:
        pin_all_threads(cpus)
