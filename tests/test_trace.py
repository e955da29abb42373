# SPDX-License-Identifier: MIT
from __future__ import annotations

import threading
import time

import pytest
from conftest import wait_blocked, wait_until

import tpool
from tpool import trace

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def traced():
    trace.enable()
    yield
    trace.disable()
    trace.read()


def names(identity):
    return [event.name for event in trace.read() if event.id == identity]


def test_nothing_is_recorded_while_it_is_off(pool):
    trace.enable()
    trace.disable()
    assert not trace.enabled()
    pool.submit(int).result()
    assert trace.read() == []


@pytest.mark.usefixtures("traced")
def test_request_is_submitted_started_and_completed_in_that_order(pool):
    assert trace.enabled()
    req = pool.submit(int)
    req.result()
    events = [event for event in trace.read() if event.id == id(req)]
    assert [event.name for event in events] == [
        "thread_pool_submit",
        "thread_pool_start",
        "thread_pool_complete",
    ]
    assert events[0].thread == threading.get_ident()
    assert events[1].thread == events[2].thread != threading.get_ident()
    assert [event.time_ns for event in events] == sorted(e.time_ns for e in events)
    assert events[-1].time_ns <= time.monotonic_ns()


@pytest.mark.usefixtures("traced")
def test_cancelled_request_is_submitted_and_cancelled(single, gate):
    single.submit(gate.wait)
    wait_until(lambda: single.stats().running == 1)
    req = single.submit(int)
    assert req.cancel()
    assert names(id(req)) == ["thread_pool_submit", "thread_pool_cancel"]


@pytest.mark.usefixtures("traced")
def test_poll_phases_begin_and_end_in_pairs_and_windows_grow(ctx, pool):
    ctx.set_poll_params(1_000_000_000)
    for _ in range(200):
        pool.submit(int).result()
    events = [event for event in trace.read() if event.id == id(ctx)]
    phases = [e for e in events if e.name.startswith("run_poll_handlers")]
    grown = [e.arg for e in events if e.name == "poll_grow"]
    if not phases:
        pytest.skip("no poll phase: owner and worker share the one usable CPU")
    assert [e.name for e in phases] == [
        "run_poll_handlers_begin",
        "run_poll_handlers_end",
    ] * (len(phases) // 2)
    assert all(0 < e.arg <= 1_000_000_000 for e in phases[::2])
    assert {e.arg for e in phases[1::2]} <= {0, 1}
    assert grown[0] == 4000
    stats = ctx.stats()
    assert sum(e.arg for e in phases[1::2]) == stats.polls_hit
    assert len(phases) // 2 == stats.polls_hit + stats.polls_missed


@pytest.mark.usefixtures("traced")
def test_shrink_says_the_new_window(ctx, background):
    ctx.set_poll_params(50_000_000)
    note = tpool.EventNotifier(active=True)
    ctx.set_event_notifier(note, note.test_and_clear, lambda: False)
    ctx.poll()  # ready at once: the window grows from nothing
    assert names(id(ctx)) == ["poll_grow"]

    def post():
        wait_blocked(ctx)
        threading.Event().wait(0.1)  # makes the wait longer than poll_max_ns
        note.set()

    background(post)
    ctx.poll()
    assert names(id(ctx))[-1] == "poll_shrink"
    assert ctx.poll_ns == 0
    note.close()


@pytest.mark.usefixtures("traced")
def test_lost_counts_what_was_overwritten_before_it_was_read(single):
    assert trace.lost() == 0
    for req in single.submit_many(int, [()] * 10_000):
        req.result()
    kept = [e for e in trace.read() if e.thread == threading.get_ident()]
    assert trace.lost() > 0
    assert len(kept) <= 8191
    trace.enable()
    assert trace.lost() == 0


@pytest.mark.usefixtures("traced")
def test_events_of_a_thread_that_has_ended_can_be_read(background, pool):
    req = background(pool.submit, int).finish()
    req.result()
    assert names(id(req))[0] == "thread_pool_submit"
