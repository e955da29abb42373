# SPDX-License-Identifier: MIT
"""What contexts and pools count."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest
from conftest import (
    Background,
    poll_until,
    refuse_threads,
    task_state,
    wait_blocked,
    wait_until,
)

import tpool

pytestmark = pytest.mark.timeout(60)


def test_stats_are_frozen_and_have_no_other_fields(ctx, pool):
    for stats in (ctx.stats(), pool.stats()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            stats.polled_ns = 0
        with pytest.raises((AttributeError, TypeError)):
            stats.other = 0
        for value in dataclasses.astuple(stats):
            for count in value if isinstance(value, tuple) else [value]:
                assert isinstance(count, int)


def test_new_context_and_pool_have_counted_nothing(ctx, pool):
    stats, workers = ctx.stats(), pool.stats()
    assert not any(dataclasses.astuple(dataclasses.replace(stats, worked_ns=0)))
    assert stats.worked_ns > 0  # it is the time since it was made
    assert not any(workers.wait_counts + workers.run_counts)
    workers = dataclasses.replace(workers, wait_counts=(), run_counts=())
    assert not any(dataclasses.astuple(workers))


def test_owner_waits_or_works_also_in_a_wait_that_it_is_in(ctx, background):
    """Asked by another thread, while it sleeps, and by itself, when it has worked."""
    least_ns = 2_000_000
    now = time.monotonic_ns

    def pass_time():
        end = now() + least_ns
        wait_until(lambda: now() >= end)

    def look_while_it_sleeps():
        wait_blocked(ctx)
        first = ctx.stats().worked_ns
        pass_time()
        assert ctx.stats().worked_ns == first
        ctx.notify()

    began, before = now(), ctx.stats()
    background(look_while_it_sleeps)
    ctx.poll()
    pass_time()
    after, ended = ctx.stats(), now()
    waited = after.blocked_ns + after.polled_ns
    worked = after.worked_ns - before.worked_ns
    assert waited >= least_ns
    assert worked >= least_ns
    assert waited + worked <= ended - began


def test_histograms_have_each_completed_call_in_its_bucket(ctx, single, gate):
    started, least_ns = threading.Event(), 3_000_000
    calls = [single.submit(lambda: (started.set(), gate.wait()))]
    calls += single.submit_many(int, [()] * 40)
    assert calls.pop().cancel()
    started.wait()
    end = time.monotonic_ns() + least_ns
    wait_until(lambda: time.monotonic_ns() >= end)
    gate.set()
    assert calls[-1].result() == 0
    wait_until(lambda: single.stats().completed == 40)
    stats = single.stats()
    for counts, total_ns in (
        (stats.wait_counts, stats.wait_ns),
        (stats.run_counts, stats.run_ns),
    ):
        assert sum(counts) == 40  # the one that was cancelled did not wait, nor run
        least = sum(n * 2 ** (i - 1) for i, n in enumerate(counts) if i) * 1000
        most = sum(n * 2**i for i, n in enumerate(counts)) * 1000
        assert least <= total_ns <= most
    long = range(12, 24)  # above 2.048 milliseconds
    assert sum(stats.wait_counts[i] for i in long) >= 39
    assert sum(stats.run_counts[i] for i in long) >= 1


def test_stats_are_told_to_any_thread_and_never_go_back(ctx, pool):
    """Of what only grows; the owner and its workers go on meanwhile."""
    grow = ["turns", "dispatched", "polled_ns", "blocked_ns", "worked_ns"]
    pool_grow = ["submitted", "completed", "wait_ns", "run_ns", "polled_ns"]
    over, seen, errors = threading.Event(), [], []

    def look():
        last = [0] * (len(grow) + len(pool_grow) + 1)
        while not over.is_set():
            stats, workers = ctx.stats(), pool.stats()
            now = [getattr(stats, name) for name in grow]
            now += [getattr(workers, name) for name in pool_grow]
            now.append(sum(workers.run_counts))
            errors.extend(p for p in zip(last, now, strict=True) if p[0] > p[1])
            assert workers.completed == now[-1]
            last = now
            seen.append(stats.turns)

    threads = [Background(look) for _ in range(2)]
    wait_until(lambda: len(set(seen)) > 20, turn=lambda: pool.submit(int).result())
    over.set()
    for thread in threads:
        thread.finish()
    assert errors == []


def test_turns_and_what_they_dispatched_are_counted(ctx):
    ctx.poll(False)
    for _ in range(3):
        ctx.call_soon(int)
    ctx.poll(False)
    assert (ctx.stats().turns, ctx.stats().dispatched) == (2, 3)


def test_block_is_counted_with_its_wake_up_write(ctx, background):
    background(lambda: (wait_blocked(ctx), ctx.call_soon(int)))
    ctx.poll()
    stats = ctx.stats()
    assert stats.blocked_ns > 0
    assert stats.notifier_writes == 1
    assert stats.polled_ns == stats.polls_hit == stats.polls_missed == 0


def test_delivery_that_needs_no_write_is_counted_as_saved(ctx):
    for _ in range(5):
        ctx.call_soon(int)
    ctx.poll(False)
    assert (ctx.stats().notifier_writes, ctx.stats().notifier_writes_saved) == (0, 5)


def test_nothing_in_flight_means_no_poll_phase(ctx, background):
    ctx.set_poll_params(10_000_000)
    for _ in range(5):
        background(lambda: (wait_blocked(ctx), ctx.call_soon(int)))
        ctx.poll()
    stats = ctx.stats()
    assert stats.polls_hit + stats.polls_missed + stats.polls_refused == 0
    assert ctx.poll_ns == 0


def test_polling_turned_off_means_no_poll_phase_of_anybody(ctx, pool):
    ctx.set_poll_params(0)
    for _ in range(50):
        pool.submit(int).result()
    stats, workers = ctx.stats(), pool.stats()
    assert stats.polls_hit + stats.polls_missed + stats.polls_refused == 0
    assert workers.polls_hit + workers.polls_missed + workers.polls_refused == 0
    assert stats.blocked_ns > 0
    assert (stats.polled_ns, workers.polled_ns, workers.poll_ns) == (0, 0, 0)


def test_queued_and_running_requests_are_told_apart(single, gate):
    first = single.submit(gate.wait)
    wait_until(lambda: single.stats().running == 1)
    second = single.submit(int)
    stats = single.stats()
    assert (stats.threads, stats.idle, stats.queued, stats.running) == (1, 0, 1, 1)
    gate.set()
    assert (first.result(), second.result()) == (True, 0)
    wait_until(lambda: single.stats().idle == 1)
    stats = single.stats()
    assert (stats.submitted, stats.completed, stats.cancelled) == (2, 2, 0)
    assert (stats.queued, stats.running) == (0, 0)
    assert stats.wait_ns > 0
    assert stats.run_ns > 0


def test_every_request_is_completed_or_cancelled_in_the_end(ctx, single, gate):
    single.submit(gate.wait)
    wait_until(lambda: single.stats().running == 1)
    requests = [single.submit(int) for _ in range(20)]
    for req in requests[::2]:
        assert req.cancel()
    gate.set()
    poll_until(ctx, lambda: all(req.done() for req in requests))
    stats = single.stats()
    assert (stats.submitted, stats.completed, stats.cancelled) == (21, 11, 10)


def test_thread_that_could_not_be_started_is_counted(ctx, monkeypatch):
    with tpool.ThreadPool(ctx) as pool:
        refuse_threads(monkeypatch)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(int)
        assert pool.stats().spawn_failures == 1
        assert pool.stats().threads == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_parked_worker_woken_is_counted(ctx):
    ctx.set_poll_params(0)
    with tpool.ThreadPool(ctx, max_threads=1, idle_timeout=None) as pool:
        worker = pool.submit(threading.get_native_id).result()
        for _ in range(20):
            wait_until(lambda: task_state(worker) == "S")
            pool.submit(int).result()
        stats = pool.stats()
    assert 0 < stats.wakeups <= 20
    assert stats.wakeups + stats.wakeups_saved == 21
    assert stats.parked_ns > 0
