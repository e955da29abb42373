# SPDX-License-Identifier: MIT
"""What calls cost is measured, polled for and not: as the trace and stats() tell it."""

from __future__ import annotations

import itertools
import os
import time

import pytest

import tpool

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(tpool._core.cpus_usable() == 1, reason="one CPU"),
]
DECISIONS = ("poll_pays", "poll_costs")
RUN_S = 0.3


def call_for(pool, call=int):
    """Keep two calls in flight for some time."""
    until = time.monotonic() + RUN_S
    last = pool.submit(call)
    while time.monotonic() < until:
        request = pool.submit(call)
        last.result()
        last = request
    last.result()


@pytest.fixture
def told():
    """Return what was traced in a run, and counted."""
    tpool.trace.enable()
    try:
        with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
            # Few enough for the trace to hold all of them.
            call_for(pool, lambda: time.sleep(0.00005))
            stats = ctx.stats()
    finally:
        tpool.trace.disable()
    return sorted(tpool.trace.read(), key=lambda event: event.time_ns), stats


def test_each_trial_is_followed_by_a_decision(told):
    events, stats = told
    names = [e.name for e in events if e.name in ("poll_trial", *DECISIONS)]
    assert names.count("poll_trial") == stats.trials > 0
    assert set(names[::2]) == {"poll_trial"}
    assert set(names[1::2]) <= set(DECISIONS)
    ways = ["poll_pays", *names[1::2]]
    changes = sum(a != b for a, b in itertools.pairwise(ways))
    assert stats.trials_won == changes
    assert all(e.arg > 0 for e in events if e.name in names)
    assert stats.polled_call_ns > 0
    assert stats.blocked_call_ns > 0 or len(names) == 1


def test_nobody_polls_while_the_way_is_to_block(told):
    events, _ = told
    blocks, seen = False, 0
    until_ns = 0  # a worker may have looked just before
    for event in events:
        if event.name == "poll_trial":
            blocks = not blocks
            until_ns = event.time_ns + 20_000
        elif event.name in DECISIONS:
            blocks = event.name == "poll_costs"
        elif blocks and event.time_ns > until_ns:
            assert event.name not in ("run_poll_handlers_begin", "worker_poll")
            seen += 1
    assert seen > 0


@pytest.mark.parametrize("params", [(0, 0, 0), (32_768, 2, 2)])
def test_nothing_is_tried_where_polling_is_off_or_goes_by_its_slopes(params):
    with tpool.AioContext(*params) as ctx, tpool.ThreadPool(ctx) as pool:
        call_for(pool)
        stats = ctx.stats()
    assert stats.trials == stats.polled_call_ns == stats.blocked_call_ns == 0


def test_new_parameters_forget_what_calls_cost():
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        call_for(pool)
        assert ctx.stats().polled_call_ns > 0
        ctx.set_poll_params(20_000)
        assert ctx.stats().polled_call_ns == ctx.stats().blocked_call_ns == 0
        call_for(pool)
        assert ctx.stats().polled_call_ns > 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity")
def test_affinity_is_as_it_was():
    before = os.sched_getaffinity(0)
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        call_for(pool, lambda: time.sleep(0.0001))
        assert ctx.stats().trials > 0
        assert os.sched_getaffinity(0) == before
