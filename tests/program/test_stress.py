# SPDX-License-Identifier: MIT
"""Lock-step with random delays: back-to-back stress never shows a lost wake-up.

TPOOL_SOAK=N multiplies the counts; 50 makes ten million round trips.
"""

from __future__ import annotations

import os
import random
import threading

import pytest
from conftest import spin, wait_until

import tpool

SOAK = int(os.environ.get("TPOOL_SOAK", "1"))
ROUND_TRIPS = 50_000 * SOAK  # for each of two: 100,000 in all
REQUESTS = 200_000 * SOAK
SUBMITTERS, WORKERS = 4, 8
pytestmark = pytest.mark.timeout(600 * SOAK)


@pytest.mark.parametrize("max_ns", [0, 32_768])
def test_lock_step_round_trips_with_random_delays_lose_nothing(max_ns):
    rng = random.Random(max_ns)
    delays = [rng.choice([0, 0, 0, 2000, 10_000, 40_000]) for _ in range(997)]
    with (
        tpool.AioContext(poll_max_ns=max_ns) as ctx,
        tpool.ThreadPool(ctx, max_threads=1) as pool,
    ):
        for i in range(ROUND_TRIPS):
            ns = delays[i % 997]
            req = pool.submit(spin, ns) if i % 2 else pool.submit(int, i)
            if ns and not i % 3:
                spin(ns)
            assert req.result() == (None if i % 2 else i)
        stats = pool.stats()
        assert stats.submitted == stats.completed == ROUND_TRIPS
        assert ctx.notify_me == 0


@pytest.mark.parametrize("max_ns", [0, 32_768])
def test_lock_step_posts_at_random_moments_wake_the_owner(max_ns, background):
    rng, n = random.Random(max_ns + 1), 5000 * SOAK
    delays = [rng.randrange(50_000) for _ in range(997)]
    turn, ran = threading.Semaphore(0), []
    with tpool.AioContext(poll_max_ns=max_ns) as ctx:
        bh = ctx.new_bh(lambda: ran.append(1))

        def post():
            for i in range(n):
                turn.acquire()
                spin(delays[i % 997])
                bh.schedule() if i % 2 else ctx.call_soon(ran.append, 1)

        background(post)
        for i in range(n):
            turn.release()
            while len(ran) <= i:
                ctx.poll()
            assert len(ran) == i + 1


def test_every_completion_comes_exactly_once_from_many_threads(background):
    """The owner polls with parameters that change at random all the time."""
    rng, each = random.Random(8), REQUESTS // SUBMITTERS
    seen = [bytearray(each) for _ in range(SUBMITTERS)]
    with (
        tpool.AioContext() as ctx,
        tpool.ThreadPool(
            ctx, max_threads=WORKERS, max_pending=5000, on_full="block"
        ) as pool,
    ):
        total = [0]

        def arrived(req):
            thread, i = req.result()
            seen[thread][i] += 1
            total[0] += 1

        def submit(thread):
            local = random.Random(thread)
            i = 0
            while i < each:
                n = min(local.choice([1, 1, 1, 50]), each - i)
                batch = [(thread, j) for j in range(i, i + n)]
                if n == 1:
                    requests = [pool.submit(pair, thread, i)]
                else:
                    requests = pool.submit_many(pair, batch)
                for req in requests:
                    req.add_done_callback(arrived)
                i += n

        ctx.poll(False)  # this thread is the owner
        threads = [background(submit, thread) for thread in range(SUBMITTERS)]
        turns = 0
        while total[0] < each * SUBMITTERS:
            turns += 1
            if turns % 64 == 0:
                ctx.set_poll_params(rng.choice([0, 0, 1000, 32_768, 10**6]))
            if turns % 200 == 0:
                pool.set_threads(0, rng.randrange(1, WORKERS + 1))
            ctx.poll(rng.random() < 0.8)
        for thread in threads:
            thread.finish()
        while ctx.poll(False):
            pass
        stats = pool.stats()
        assert stats.submitted == stats.completed == each * SUBMITTERS
        assert (stats.queued, stats.cancelled) == (0, 0)
        assert stats.threads <= WORKERS
        wait_until(lambda: pool.stats().running == 0)
    assert all(slots == b"\1" * each for slots in seen)
    assert total[0] == each * SUBMITTERS


def pair(thread, i):
    return thread, i


def test_contexts_and_pools_come_and_go_under_load(background):
    def live(seed):
        rng = random.Random(seed)
        for _ in range(60):
            with tpool.AioContext(rng.choice([0, 32_768])) as ctx:
                pool = tpool.ThreadPool(ctx, max_threads=rng.randrange(1, 4))
                requests = [pool.submit(int, i) for i in range(rng.randrange(30))]
                for req in requests[::3]:
                    req.cancel()
                if rng.random() < 0.5:
                    for i, req in enumerate(requests):
                        assert req.cancelled() or req.result() == i
            assert all(req.done() for req in requests)

    for thread in [background(live, seed) for seed in range(3)]:
        thread.finish()


def test_everything_at_once_neither_crashes_nor_hangs_nor_loses_a_request(isolated):
    """Under ThreadSanitizer it is run by hand: see the program."""
    isolated("everything_at_once.py", str(5 * SOAK), timeout=60 + 5 * SOAK)
