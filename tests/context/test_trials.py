# SPDX-License-Identifier: MIT
"""What calls cost is measured, polled for and not: as the trace and stats() tell it."""

from __future__ import annotations

import functools
import os
import sysconfig
import threading
import time
from collections import deque

import pytest
from conftest import needs_polling

import tpool

pytestmark = [
    pytest.mark.timeout(120),
    needs_polling,
]
TRIALS = ("poll_trial", "serial_trial", "few_trial")
DECISIONS = (
    *("poll_pays", "poll_costs", "serial_pays", "serial_costs"),
    *("few_pays", "few_costs"),
)
RUN_S = 0.3


def call_for(pool, call=int, width=2, *, between=lambda: None, until=lambda: True):
    """Keep so many calls in flight for some time, and until it may end."""
    waiting = deque(pool.submit(call) for _ in range(width))
    end = time.monotonic() + RUN_S
    while time.monotonic() < end or not until():
        waiting.popleft().result()
        between()
        waiting.append(pool.submit(call))
    for request in waiting:
        request.result()


def nap():
    """Be waited for; few enough of it for the trace to hold all of them."""
    time.sleep(0.00005)


@pytest.fixture(params=[False, True], ids=["one pool", "pools come and go"])
def told(request):
    """Return what was traced in a run, and counted."""
    tpool.trace.enable()
    try:
        with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
            pools = (lambda: tpool.ThreadPool(ctx).shutdown()) if request.param else int
            call_for(pool, nap, between=pools)
            stats = ctx.stats()
    finally:
        tpool.trace.disable()
    return sorted(tpool.trace.read(), key=lambda event: event.time_ns), stats


def kind(event):
    """Return what it is about."""
    return event.name.partition("_")[0]


def decisions(events):
    """Return each trial with what it led to, and what else has changed with that.

    And None with what was left again, without a trial: calls had come seldom for long.
    """
    pairs = []
    for event in events:
        if event.name in TRIALS:
            pairs.append((event, []))
        elif event.name in DECISIONS:
            if kind(event) in map(kind, pairs[-1][1]):
                pairs.append((None, []))
            pairs[-1][1].append(event)
        elif event.name == "trial_doubted":
            assert not pairs[-1][1]  # before anything has come of it
            assert event.arg > 0
    return pairs


def test_each_trial_is_followed_by_a_decision(told):
    events, stats = told
    pairs = decisions(events)
    assert len([trial for trial, _ in pairs if trial]) == stats.trials > 0
    won, first = 0, {"poll": True, "serial": False, "few": False}
    pays = dict(first)
    for trial, decided in pairs:
        assert not trial or trial.arg > 0
        assert decided or (trial, decided) == pairs[-1]  # it is still on
        before = dict(pays)
        for decision in decided:
            assert decision.arg > 0
            pays[kind(decision)] = decision.name.endswith("_pays")
        if not trial:
            assert before != pays == first
        elif decided:
            assert kind(trial) in map(kind, decided)
            assert len(set(map(kind, decided))) == len(decided)
            kept = pays[kind(trial)] != before[kind(trial)]
            assert kept or len(decided) == 1
            won += kept
    assert stats.trials_won == won
    assert stats.polled_call_ns or stats.blocked_call_ns
    assert stats.fanned_call_ns or stats.serial_call_ns


def test_nobody_polls_while_the_way_is_to_block(told):
    events, _ = told
    blocks, may_poll, before, seen = False, False, False, 0
    until_ns = 0  # a worker may have looked just before
    for event in events:
        if event.name in TRIALS:
            before = blocks
        if event.name == "poll_trial":
            blocks = not blocks
            until_ns = event.time_ns + 20_000
        elif event.name == "trial_doubted":
            blocks, may_poll = before, False
            until_ns = event.time_ns + 20_000
        elif event.name in ("poll_pays", "poll_costs"):
            blocks = event.name == "poll_costs"
        elif event.name.startswith("serial_"):
            may_poll = event.name == "serial_trial"
            until_ns = event.time_ns + 20_000
        elif blocks and not may_poll and event.time_ns > until_ns:
            assert event.name not in ("run_poll_handlers_begin", "worker_poll")
            seen += 1
    assert seen > 0


@pytest.mark.parametrize("call", [lambda: sum(range(1000)), nap])
def test_calls_that_sleep_are_run_at_once_whatever_was_measured(call):
    """Whether one after the other is as good, or a few at once."""
    width = 2 * (tpool._core.cpus_usable() + 4)  # twice as many as are a few

    def was_tried():
        return ctx.stats().few_call_ns if call is nap else ctx.stats().serial_call_ns

    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=width) as pool:
        call_for(pool, call, width, until=was_tried)
        barrier = threading.Barrier(width)  # each waits for all others
        for request in [pool.submit(barrier.wait, 60) for _ in range(width)]:
            request.result()


def computing(ns):
    """Return a call that needs the GIL for so long."""
    calls, once_ns = range(1000), 0
    while once_ns < ns:
        began = time.perf_counter_ns()
        sum(calls)
        once_ns = time.perf_counter_ns() - began
        calls = range(2 * len(calls))
    return functools.partial(sum, calls)


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="where it can do without a GIL, the owner does not wait for it",
)
def test_calls_that_are_run_one_after_the_other_are_slept_through():
    """Whose results the owner can do nothing about before the last has ended."""

    def slept_through():
        naps, writes = (now - then for now, then in zip(counts(), before, strict=True))
        if naps < 20:
            return False
        before[:] = counts()
        return writes < naps * 3 / 4  # else the first result ends each

    def counts():
        stats = ctx.stats()
        return [stats.naps, stats.notifier_writes]

    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        before = counts()
        call_for(pool, computing(30_000), 8, until=slept_through)


def test_what_is_known_is_told_while_something_else_is_tried():
    """For the first time, of which nothing is known."""

    def look():
        stats = ctx.stats()
        told.append(bool(stats.polled_call_ns or stats.blocked_call_ns))

    def was_tried():
        return ctx.stats().serial_call_ns

    told = []
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        call_for(pool, computing(10_000), 8, between=look, until=was_tried)
    assert all(told[told.index(True) :])


def test_a_few_at_once_are_not_tried_where_no_more_run():
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=4) as pool:
        call_for(pool, nap, 40)
        stats = ctx.stats()
    assert stats.trials
    assert not stats.few_call_ns


def test_trial_that_is_not_gone_on_with_ends():
    """Calls that come seldom are not left to a way that was only tried."""
    tpool.trace.enable()
    try:
        with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
            while not ctx.stats().trials:
                pool.submit(int).result()
            for _ in range(3):
                time.sleep(0.003)
                pool.submit(time.sleep, 0.02).result()  # which lasts: it is waited for
    finally:
        tpool.trace.disable()
    events = sorted(tpool.trace.read(), key=lambda event: event.time_ns)
    told = [e.name for e in events if e.name in (*TRIALS, *DECISIONS)]
    assert told[-1] in DECISIONS


@pytest.mark.parametrize("params", [(0, 0, 0), (32_768, 2, 2)])
def test_nothing_is_tried_where_polling_is_off_or_goes_by_its_slopes(params):
    with tpool.AioContext(*params) as ctx, tpool.ThreadPool(ctx) as pool:
        call_for(pool)
        stats = ctx.stats()
    assert stats.trials == stats.polled_call_ns == stats.blocked_call_ns == 0


def test_new_parameters_forget_what_calls_cost():
    def is_known():  # it is not while one at a time is tried for the first time
        return ctx.stats().polled_call_ns > 0

    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        call_for(pool, nap, until=is_known)
        ctx.set_poll_params(20_000)
        assert ctx.stats().polled_call_ns == ctx.stats().blocked_call_ns == 0
        call_for(pool, nap, until=is_known)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity")
def test_affinity_is_as_it_was():
    before = os.sched_getaffinity(0)
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        call_for(pool, lambda: time.sleep(0.0001))
        assert ctx.stats().trials > 0
        assert os.sched_getaffinity(0) == before
