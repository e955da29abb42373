"""Owner and worker on one CPU: nobody may spin against the other."""

from __future__ import annotations

import os

import pytest

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
def test_a_worker_inherits_the_affinity_of_the_owner():
    expected = os.sched_getaffinity(0)
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        assert pool.submit(os.sched_getaffinity, 0).result() == expected
