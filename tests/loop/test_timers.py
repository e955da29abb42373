# SPDX-License-Identifier: MIT
"""Timers of the loop are asyncio's: when they are due, and what becomes of the cancelled."""

from __future__ import annotations

import asyncio
import asyncio.base_events
import random
import time
from contextlib import closing

import pytest
from turns import KINDS, turn

import tpool


@pytest.fixture(params=KINDS)
def loop(request):
    with closing(request.param()) as loop:
        yield loop


def test_timers_are_those_of_asyncio_whatever_happens():
    """The same calls, the same lists: counts, order and sweeps of cancelled ones."""

    def story(kind, seed):
        choose = random.Random(seed)
        log, handles = [], []

        class Loop(kind):
            now = 1000.0

            def time(self):
                return self.now

        with closing(Loop()) as loop:
            for number in range(400):
                what = choose.random()
                if what < 0.5:
                    when = loop.now + choose.choice([-1, 0, 0.5, 1, 3])
                    handles.append(loop.call_at(when, log.append, number))
                elif what < 0.9 and handles:
                    choose.choice(handles).cancel()
                elif what < 0.95:
                    loop.now += choose.random() / 4
                    turn(loop)
                log.append(
                    (
                        len(loop._scheduled),
                        loop._timer_cancelled_count,
                        sum(handle._scheduled for handle in handles),
                    )
                )
                if choose.random() < 0.02:
                    for handle in handles:
                        handle.cancel()
        return log

    for seed in range(20):
        assert story(asyncio.SelectorEventLoop, seed) == story(tpool.EventLoop, seed)


@pytest.mark.parametrize(
    ("more", "cancelled", "kept"), [(1, 51, 50), (2, 51, 102), (0, 90, 100)]
)
def test_many_cancelled_timers_are_swept_as_by_asyncio(loop, more, cancelled, kept):
    least = asyncio.base_events._MIN_SCHEDULED_TIMER_HANDLES
    timers = [loop.call_later(1000, int) for _ in range(least + more)]
    for timer in timers[-cancelled:]:
        timer.cancel()
    turn(loop)
    assert len(loop._scheduled) == kept
    assert loop._timer_cancelled_count == (0 if kept == 50 else cancelled)
    assert timers[-1]._scheduled is (kept != 50)
    assert timers[0]._scheduled is True


def test_sweep_that_is_interrupted_leaves_the_timers_in_order(loop):
    class When(float):
        interrupts = False

        def __lt__(self, other):
            if When.interrupts:
                When.interrupts = False
                raise KeyboardInterrupt
            return float(self) < other

    later = loop.time() + 1000
    timers = [loop.call_at(When(later + number), int) for number in range(300)]
    before = list(loop._scheduled)
    for timer in timers[:200]:
        timer.cancel()
    When.interrupts = True
    with pytest.raises(KeyboardInterrupt):
        turn(loop)
    assert loop._scheduled == before
    turn(loop)
    assert sorted(loop._scheduled) == timers[200:]
    assert loop._timer_cancelled_count == 0


def test_loop_waits_until_the_first_timer_is_due(loop):
    began = time.monotonic()
    loop.call_later(0.02, loop.stop)
    loop.call_later(3600, int).cancel()
    loop.run_forever()
    assert time.monotonic() - began >= 0.02


def test_select_gets_the_time_to_the_next_timer(loop):
    seen, select = [], loop._selector.select

    def once(timeout=None):
        seen.append(timeout)
        loop.stop()
        return select(0)

    def run():
        loop._selector.select = once
        loop.run_forever()
        return seen.pop()

    assert run() is None
    first = loop.call_later(100, int)
    assert 99 < run() <= 100
    loop.call_soon(int)
    assert run() == 0
    first.cancel()
    last = loop.call_later(10 * 24 * 3600, int)
    assert run() == 24 * 3600
    loop.call_at(loop.time() - 1, int)
    assert run() == 0
    last.cancel()
    assert run() is None


def test_timer_is_due_whose_time_no_float_can_tell_from_now():
    class Loop(tpool.EventLoop):  # asyncio's since 3.15
        def time(self):
            return 2.0**40

    log = []
    with closing(Loop()) as loop:
        loop.call_at(loop.time(), log.append, 1)
        turn(loop)
    assert log == [1]
