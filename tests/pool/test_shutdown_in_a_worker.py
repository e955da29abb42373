# SPDX-License-Identifier: MIT
"""A call that ends a pool waits for all calls but its own, and none in a circle."""

from __future__ import annotations

import contextlib
import threading

import pytest
from conftest import (
    DEADLINE_S,
    wait_until,
)

import tpool

pytestmark = pytest.mark.timeout(60)

# So long a call looks whether somebody who has to wait for it has gone on.
LOOK_S = 0.2


@pytest.fixture
def outer():
    """Return a pool for the calls that end other pools."""
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        yield pool


@contextlib.contextmanager
def own_pool(max_threads=64):
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, 0, max_threads) as pool:
        yield pool


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_with_block_in_a_worker_ends_after_its_calls_whatever_they_do(outer, depth):
    left = [threading.Event() for _ in range(depth)]
    leaf, too_soon = threading.Event(), []

    def call(level):
        if level == depth:
            leaf.set()
            too_soon.extend(event.wait(LOOK_S) for event in left)
            return
        with own_pool() as pool:
            pool.submit(call, level + 1)
            leaf.wait(DEADLINE_S)
            if level + 1 < depth:  # the next one waits for its calls already
                left[level + 1].wait(LOOK_S / 2)
        left[level].set()

    assert outer.submit(call, 0).result() is None
    assert too_soon == [False] * depth
    assert all(event.is_set() for event in left)


@pytest.mark.parametrize("end", ["pool", "context", "another pool"])
def test_end_in_a_worker_that_owns_the_context_dispatches(outer, end):
    def call():
        ctx = tpool.AioContext()
        pool, called, left = tpool.ThreadPool(ctx), [], threading.Event()
        request = pool.submit(left.wait, LOOK_S)
        request.add_done_callback(called.append)
        if end == "context":
            wait_until(lambda: pool.stats().running)
            ctx.close()
        elif end == "pool":
            pool.shutdown()
        else:
            second = tpool.ThreadPool(ctx)
            second.submit(int).add_done_callback(called.append)
            pool.shutdown()
            second.shutdown()
        left.set()
        done = request.done()
        ctx.close()
        return done, request.result(), called.count(request)

    assert outer.submit(call).result() == (True, False, 1)


@pytest.mark.parametrize("end", ["pool", "context"])
def test_call_that_owns_the_context_of_its_pool_waits_for_the_others(end):
    ctx = tpool.AioContext()
    pool = tpool.ThreadPool(ctx, max_threads=2)
    over, left, results, called = threading.Event(), threading.Event(), [], []

    def call():
        ctx.poll(False)
        request = pool.submit(left.wait, LOOK_S)
        request.add_done_callback(called.append)
        wait_until(lambda: pool.stats().running == 2)
        ctx.close() if end == "context" else pool.shutdown()
        left.set()
        results.append((request.done(), request.result(), len(called)))
        over.set()

    pool.submit(call)
    assert over.wait(DEADLINE_S)
    assert results == [(True, False, 1)]
    ctx.close()


def test_call_that_owns_the_context_does_not_wait_for_what_is_queued_behind_it():
    ctx = tpool.AioContext()
    pool = tpool.ThreadPool(ctx, max_threads=1)
    ended, ran, over = [], [], threading.Event()

    def call():
        ctx.poll(False)
        for i in range(3):
            pool.submit(ran.append, i)
        pool.shutdown()
        ended.append(list(ran))
        over.set()

    pool.submit(call)
    assert over.wait(DEADLINE_S)
    assert ended == [[]]
    wait_until(lambda: pool.stats().threads == 0)
    assert ran == [0, 1, 2]
    ctx.close()


def test_call_that_owns_the_context_goes_on_when_the_last_other_worker_leaves():
    """One that leaves without serving the queue ends the wait of the owner, too."""
    ctx = tpool.AioContext()
    pool = tpool.ThreadPool(ctx, max_threads=2)
    over, gate, in_poll = threading.Event(), threading.Event(), threading.Event()

    def other():
        gate.wait(DEADLINE_S)

    def call():
        ctx.poll(False)
        pool.submit(other)
        wait_until(lambda: pool.stats().running == 2)
        pool.set_threads(0, 1)
        pool.submit(int)  # for nobody, until this call has ended
        ctx.call_soon(in_poll.set)
        pool.shutdown()
        over.set()

    pool.submit(call)
    assert in_poll.wait(DEADLINE_S)
    gate.set()
    assert over.wait(DEADLINE_S)
    ctx.close()


def circle(n):
    """Have a call of each of n pools shut the next one down, all at once."""
    pools = [tpool.ThreadPool(tpool.AioContext()) for _ in range(n)]
    ready, ended = threading.Barrier(n), []

    def call(i):
        ready.wait(DEADLINE_S)
        pools[(i + 1) % n].shutdown()
        ended.append(i)

    for i, pool in enumerate(pools):
        pool.submit(call, i)
    return pools, ended


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_calls_that_wait_in_a_circle_end(n):
    pools, ended = circle(n)
    for pool in pools:
        pool.shutdown()
    assert sorted(ended) == list(range(n))
    # Only the last to begin has not waited: the others end one after the other.
    assert all(pool.stats().threads == 0 for pool in pools)
    for pool in pools:
        pool.ctx.close()


def test_call_outside_of_a_circle_waits_for_those_in_it(outer):
    pools, ended = circle(2)

    def call():
        pools[0].shutdown()
        return len(ended)

    assert outer.submit(call).result() >= 1
    for pool in pools:
        pool.ctx.close()


def test_owner_in_a_worker_does_not_wait_for_a_call_that_waits_for_it(outer):
    """That call waits already when the owner begins to."""
    waits = threading.Event()

    def back():
        waits.set()
        outer.shutdown()

    def call():
        ctx = tpool.AioContext()
        pool = tpool.ThreadPool(ctx)
        request = pool.submit(back)
        waits.wait(DEADLINE_S)
        wait_until(lambda: tpool.worker_thread._waits)
        pool.shutdown()
        return request.done()

    request = outer.submit(call)
    assert request.result() is False


def test_call_that_waits_for_the_owner_in_a_worker_is_not_waited_for_later(outer):
    """The owner waits already when that call begins to."""
    go_on = threading.Event()

    def back():
        go_on.wait(DEADLINE_S)
        outer.shutdown()

    def call():
        with own_pool() as pool:
            pool.ctx.call_soon(go_on.set)
            request = pool.submit(back)
        return request.done()

    assert outer.submit(call).result() is True


def test_iothread_is_not_joined_by_a_call_of_its_own_pool(outer):
    io = tpool.IOThread()
    done, results = threading.Event(), []

    def inner():
        io.stop()
        results.extend([io.join(), io.join(DEADLINE_S)])
        done.set()

    io.pool.submit(inner)
    assert done.wait(DEADLINE_S)
    assert io.join(DEADLINE_S)
    assert results == [False, False]


def test_iothread_in_a_worker_waits_for_its_calls(outer):
    left = threading.Event()

    def call():
        with tpool.IOThread() as io:
            request = io.pool.submit(left.wait, LOOK_S)
            wait_until(lambda: io.pool.stats().running)
        left.set()
        return request.result()

    assert outer.submit(call).result() is False


def test_shutdown_in_a_worker_ends(ctx):
    pool = tpool.ThreadPool(ctx, max_threads=1)
    assert pool.submit(pool.shutdown).result() is None
    pool.shutdown()


@pytest.mark.parametrize("what", ["pool", "other pool", "context"])
def test_workers_that_shut_down_do_not_wait_for_each_other(what):
    ctx = tpool.AioContext()
    pools = [tpool.ThreadPool(ctx), tpool.ThreadPool(ctx)]
    both = threading.Barrier(2)

    def call(mine, other):
        both.wait(DEADLINE_S)
        if what == "context":
            ctx.close()
        else:
            (other if what == "other pool" else mine).shutdown()

    first = pools[0].submit(call, pools[0], pools[1])
    second = pools[what != "pool"].submit(call, pools[1], pools[0])
    if what == "context":
        wait_until(lambda: ctx.closed)
    else:
        for request in (first, second):
            assert request.exception() is None
        ctx.close()


def test_worker_that_owns_the_context_does_not_wait_for_its_own_call():
    ctx = tpool.AioContext()
    pool = tpool.ThreadPool(ctx)
    over = threading.Event()

    def call():
        ctx.poll(False)
        pool.shutdown()
        over.set()

    pool.submit(call)
    assert over.wait(DEADLINE_S)
