# SPDX-License-Identifier: MIT
"""A pool that is given no context makes one, and closes it."""

from __future__ import annotations

import asyncio

import pytest
from conftest import poll_until

import tpool

pytestmark = pytest.mark.timeout(60)


def test_pool_without_a_context_has_one_until_it_is_shut_down():
    with tpool.ThreadPool(max_threads=1) as pool:
        assert pool.submit(pow, 2, 3).result() == 8
        late = pool.submit(int)
        assert not pool.ctx.closed
    assert pool.ctx.closed
    assert late.result() == 0


def test_each_has_its_own():
    with tpool.ThreadPool() as one, tpool.ThreadPool() as other:
        assert one.ctx is not other.ctx


def test_context_that_was_given_stays_open(ctx):
    with tpool.ThreadPool(ctx) as pool:
        assert pool.ctx is ctx
    assert not ctx.closed


def test_its_requests_can_be_awaited():
    async def main():
        with tpool.ThreadPool() as pool:
            assert await pool.submit(pow, 2, 2) == 4
        return pool.ctx.closed

    assert asyncio.run(main())


def test_shutdown_that_does_not_wait_leaves_the_results_to_be_had():
    pool = tpool.ThreadPool()
    request = pool.submit(int)
    pool.shutdown(wait=False)
    assert request.result() == 0
    assert not pool.ctx.closed
    pool.shutdown()
    assert pool.ctx.closed


def test_shutdown_in_a_callback_or_elsewhere_leaves_it_to_the_owner(background):
    with tpool.ThreadPool() as pool:
        ended = []
        request = pool.submit(int)
        request.add_done_callback(lambda _: ended.append(pool.shutdown()))
        poll_until(pool.ctx, lambda: ended)
        assert not pool.ctx.closed
        background(pool.shutdown).finish()
        assert not pool.ctx.closed
    assert pool.ctx.closed


def test_context_of_a_pool_that_could_not_be_made_is_gone():
    with pytest.raises(ValueError, match="max_threads"):
        tpool.ThreadPool(max_threads=0)


def test_closing_it_shuts_the_pool_down():
    pool = tpool.ThreadPool()
    pool.submit(int)
    pool.ctx.close()
    pool.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(int)
