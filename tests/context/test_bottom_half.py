# SPDX-License-Identifier: MIT
"""Bottom halves: when they run, how often, and whose order they keep."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from conftest import poll_until, wait_blocked

import tpool

pytestmark = pytest.mark.timeout(60)


def test_scheduled_twice_before_a_turn_it_runs_once(ctx):
    ran = []
    bh = ctx.new_bh(lambda: ran.append(1))
    bh.schedule()
    bh.schedule()
    assert ctx.poll(False) is True
    assert ctx.poll(False) is False
    assert ran == [1]


def test_bottom_halves_run_in_the_order_of_scheduling(ctx):
    ran = []
    halves = [ctx.new_bh(lambda i=i: ran.append(i)) for i in range(10)]
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    for i in order:
        halves[i].schedule()
    ctx.poll(False)
    assert ran == order


def test_one_that_reschedules_itself_runs_once_a_turn(ctx):
    ran = []

    def callback():
        ran.append(1)
        bh.schedule()

    bh = ctx.new_bh(callback)
    bh.schedule()
    for turns in range(1, 4):
        assert ctx.poll() is True
        assert len(ran) == turns
    bh.delete()
    assert ctx.poll(False) is False


def test_cancelled_before_the_turn_it_does_not_run_and_can_be_scheduled_again(ctx):
    ran = []
    bh = ctx.new_bh(lambda: ran.append(1))
    bh.schedule()
    bh.cancel()
    assert ctx.poll(False) is False
    bh.schedule()
    assert ctx.poll(False) is True
    assert ran == [1]


@pytest.mark.parametrize("method", ["cancel", "delete"])
def test_cancel_and_delete_in_its_own_callback_leave_it_at_one_run(ctx, method):
    ran = []

    def callback():
        ran.append(1)
        bh.schedule()
        getattr(bh, method)()

    bh = ctx.new_bh(callback)
    bh.schedule()
    assert ctx.poll(False) is True
    assert ctx.poll(False) is False
    assert ran == [1]


@pytest.mark.parametrize("method", ["cancel", "delete"])
def test_one_dropped_by_another_in_the_same_turn_does_not_run(ctx, method):
    ran = []
    second = ctx.new_bh(lambda: ran.append(2))
    first = ctx.new_bh(lambda: (ran.append(1), getattr(second, method)()))
    first.schedule()
    second.schedule()
    ctx.poll(False)
    ctx.poll(False)
    assert ran == [1]


def test_deleted_it_refuses_to_be_scheduled(ctx):
    bh = ctx.new_bh(lambda: None)
    bh.delete()
    for schedule in (bh.schedule, bh.schedule_idle):
        with pytest.raises(RuntimeError, match="has been deleted"):
            schedule()
    bh.delete()
    bh.cancel()


def test_idle_one_runs_within_a_blocking_poll_and_is_no_progress(ctx):
    ran = []
    bh = ctx.new_bh(lambda: ran.append(1))
    bh.schedule_idle()
    assert ctx.poll() is False  # would block for ever without the idle bound
    assert ran == [1]


def test_idle_one_runs_with_whatever_is_dispatched(ctx):
    ran = []
    ctx.new_bh(lambda: ran.append("idle")).schedule_idle()
    ctx.call_soon(ran.append, "normal")
    assert ctx.poll() is True
    assert ran == ["normal", "idle"]


def test_idle_one_that_reschedules_itself_runs_once_a_turn(ctx):
    ran = []

    def callback():
        ran.append(1)
        bh.schedule_idle()

    bh = ctx.new_bh(callback)
    bh.schedule_idle()
    ctx.poll()
    assert ran == [1]
    ctx.poll()
    assert ran == [1, 1]
    bh.delete()


def test_idle_one_scheduled_in_earnest_is_progress(ctx):
    ran = []
    bh = ctx.new_bh(lambda: ran.append(1))
    bh.schedule_idle()
    bh.schedule()
    assert ctx.poll() is True
    assert ran == [1]


def test_idle_one_cancelled_does_not_run(ctx):
    ran = []
    bh = ctx.new_bh(lambda: ran.append(1))
    bh.schedule_idle()
    bh.cancel()
    ctx.poll(False)
    ctx.poll(False)
    assert ran == []


def test_idle_ones_run_in_order_and_raising_loses_none(ctx, unraisable):
    ran = []
    ctx.new_bh(lambda: 1 / 0).schedule_idle()
    ctx.new_bh(lambda: ran.append(2)).schedule_idle()
    ctx.poll(False)
    assert ran == [2]
    assert len(unraisable) == 1


def test_call_soon_passes_its_arguments_once(ctx):
    ran = []
    ctx.call_soon(lambda *args: ran.append(args), 1, "two", None)
    ctx.poll(False)
    ctx.poll(False)
    assert ran == [(1, "two", None)]


def test_call_soon_can_be_cancelled(ctx):
    ran = []
    ctx.call_soon(ran.append, 1).cancel()
    ctx.poll(False)
    assert ran == []


def test_scheduled_by_another_thread_it_wakes_the_owner(ctx, background):
    ran = []
    bh = ctx.new_bh(lambda: ran.append(threading.get_ident()))

    def post():
        wait_blocked(ctx)
        bh.schedule()

    background(post)
    assert ctx.poll() is True
    assert ran == [threading.get_ident()]


def test_scheduled_by_many_threads_each_schedule_is_followed_by_a_run(ctx, background):
    runs, wanted = [0], [0] * 4

    def callback():
        runs[0] += 1

    bh = ctx.new_bh(callback)

    def post(slot):
        for _ in range(200):
            seen = runs[0]
            bh.schedule()
            while runs[0] == seen:
                time.sleep(0)
            wanted[slot] += 1

    posters = [background(post, slot) for slot in range(4)]
    poll_until(ctx, lambda: not any(poster.is_alive() for poster in posters))
    assert wanted == [200] * 4
    assert 200 <= runs[0] <= 801


def test_each_thread_s_bottom_halves_run_in_its_order(ctx, background):
    ran = []

    def post(name):
        for i in range(500):
            ctx.call_soon(ran.append, (name, i))

    for name in "abc":
        background(post, name)
    poll_until(ctx, lambda: len(ran) == 1500)
    for name in "abc":
        assert [i for n, i in ran if n == name] == list(range(500))


def test_context_closed_before_its_turn_drops_it():
    ran = []

    class Callback:
        def __call__(self):
            ran.append(1)

    callback = Callback()
    ref = weakref.ref(callback)
    with tpool.AioContext() as ctx:
        bh = ctx.new_bh(callback)
        bh.schedule()
    del bh, callback
    gc.collect()
    assert ran == []
    assert ref() is None
