# SPDX-License-Identifier: MIT
"""ThreadPool: how calls are made, and in which threads."""

from __future__ import annotations

import contextvars
import os
import pickle
import threading
from pathlib import Path

import pytest
from conftest import (
    DEADLINE_S,
    poll_until,
    raiser,
    task_state,
    wait_until,
)

import tpool

pytestmark = pytest.mark.timeout(60)


def test_submit_passes_positional_and_keyword_arguments(pool):
    call = pool.submit(lambda *args, **kwargs: (args, kwargs), 1, 2, a=3, fn=4)
    assert call.result() == ((1, 2), {"a": 3, "fn": 4})


def test_call_runs_in_another_thread(pool):
    assert pool.submit(threading.get_ident).result() != threading.get_ident()


def test_calls_start_in_the_order_of_submission(ctx, single):
    started = []
    requests = [single.submit(started.append, i) for i in range(500)]
    requests[-1].result()
    assert started == list(range(500))


def test_completions_arrive_in_the_order_in_which_calls_ended(ctx, pool):
    gates, order = [threading.Event() for _ in range(4)], []
    for i, event in enumerate(gates):
        pool.submit(event.wait).add_done_callback(lambda _, i=i: order.append(i))
    for done, i in enumerate([2, 0, 3, 1], 1):
        gates[i].set()
        wait_until(lambda done=done: pool.stats().completed == done)
        wait_until(lambda done=done: pool.stats().running == 4 - done)
    poll_until(ctx, lambda: len(order) == 4)
    assert order == [2, 0, 3, 1]


def test_each_call_runs_in_a_copy_of_the_caller_s_context(pool):
    var = contextvars.ContextVar("var", default=0)
    var.set(1)

    def call():
        seen = var.get()
        var.set(seen + 1)
        return seen

    first = pool.submit(call)
    var.set(5)
    second = pool.submit(call)
    assert (first.result(), second.result(), var.get()) == (1, 5, 5)


def test_workers_are_made_on_demand_and_idle_ones_counted(pool, gate):
    for _ in range(100):
        pool.submit(int).result()
    assert pool.stats().threads == 1
    for n in range(1, 6):
        pool.submit(gate.wait)
        wait_until(lambda n=n: pool.stats().running == n)
        assert pool.stats().threads == n


def test_never_more_workers_than_max_threads(ctx, gate):
    with tpool.ThreadPool(ctx, max_threads=3) as pool:
        requests = [pool.submit(gate.wait) for _ in range(10)]
        wait_until(lambda: pool.stats().running == 3)
        assert pool.stats().threads == 3
        assert pool.stats().queued == 7
        gate.set()
        assert [req.result() for req in requests] == [True] * 10


def test_min_threads_are_there_from_the_start_and_stay(ctx):
    with tpool.ThreadPool(ctx, min_threads=2, idle_timeout=0) as pool:
        assert pool.stats().threads == 2
        barrier = threading.Barrier(4)
        for req in [pool.submit(barrier.wait) for _ in range(4)]:
            req.result()
        wait_until(lambda: pool.stats().threads == 2)


def test_idle_workers_leave_after_the_timeout(ctx):
    with tpool.ThreadPool(ctx, idle_timeout=0.001) as pool:
        pool.submit(int).result()
        wait_until(lambda: pool.stats().threads == 0)
        assert pool.submit(int).result() == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_thread_that_is_to_stay_keeps_what_a_call_has_left_in_it(ctx):
    """With idle_timeout=None it is there for the next call, whatever that is."""
    local, var = threading.local(), contextvars.ContextVar("var", default="unset")

    def leave():
        local.x = "connection"
        var.set("set")

    def find():
        return getattr(local, "x", None), var.get()

    with (
        tpool.ThreadPool(ctx, max_threads=1, idle_timeout=None) as stays,
        tpool.ThreadPool(ctx, max_threads=1, idle_timeout=0.001) as leaves,
    ):
        for pool in (stays, leaves):
            pool.submit(leave).result()
            for error in (ValueError, SystemExit, KeyboardInterrupt):
                with pytest.raises(error):
                    pool.submit(raiser, error).result()
        wait_until(lambda: leaves.stats().threads == 0)
        assert stays.submit(find).result() == ("connection", "unset")
        assert leaves.submit(find).result() == (None, "unset")
        assert stays.stats().threads == 1


def test_last_parked_worker_is_the_first_woken(ctx):
    ctx.set_poll_params(0)
    with tpool.ThreadPool(ctx, idle_timeout=None) as pool:
        gates = [threading.Event() for _ in range(3)]
        calls = [
            pool.submit(lambda g: (g.wait(), threading.get_native_id())[1], g)
            for g in gates
        ]
        wait_until(lambda: pool.stats().running == 3)
        workers = []
        for event, call in zip(gates, calls, strict=True):
            event.set()
            workers.append(call.result())
            wait_until(lambda: task_state(workers[-1]) == "S")
        for _ in range(20):
            assert pool.submit(threading.get_native_id).result() == workers[-1]
            wait_until(lambda: task_state(workers[-1]) == "S")


def test_worker_is_a_python_thread_with_a_name_that_the_system_sees(ctx):
    prefix = "a-prefix-that-is-long"
    with tpool.ThreadPool(ctx, thread_name_prefix=prefix) as pool:
        thread = pool.submit(threading.current_thread).result()
        assert thread in threading.enumerate()
        assert thread.name.startswith(prefix)
        assert thread.is_alive()
        assert not thread.daemon
        comm = Path(f"/proc/self/task/{thread.native_id}/comm")
        if comm.exists():
            assert comm.read_text(encoding="ascii") == prefix[:15] + "\n"


@pytest.mark.parametrize("name", ["setprofile", "settrace"])
def test_worker_has_the_hooks_of_threading(ctx, name):
    seen = []

    def called():
        pass

    def hook(frame, event, arg):
        if event == "call" and frame.f_code is called.__code__:
            seen.append(threading.get_ident())

    getattr(threading, name)(hook)
    try:
        with tpool.ThreadPool(ctx) as pool:
            pool.submit(called).result()
    finally:
        getattr(threading, name)(None)
    assert len(seen) == 1
    assert seen[0] != threading.get_ident()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity")
def test_worker_inherits_the_affinity_of_the_owner_whoever_submits(ctx, background):
    cpu = {min(os.sched_getaffinity(0))}
    ready, stop = threading.Event(), threading.Event()

    def own():
        os.sched_setaffinity(0, cpu)
        ctx.poll(False)
        ready.set()
        wait_until(stop.is_set, turn=lambda: ctx.poll(False))

    owner = background(own)
    ready.wait()
    pool, seen = tpool.ThreadPool(ctx), []
    pool.submit(lambda: seen.append(os.sched_getaffinity(0)))
    wait_until(lambda: seen)
    stop.set()
    owner.finish()
    assert seen == [cpu]
    pool.shutdown()


def test_set_threads_grows_and_shrinks_at_run_time(ctx, gate):
    with tpool.ThreadPool(ctx, max_threads=1, idle_timeout=None) as pool:
        requests = [pool.submit(gate.wait) for _ in range(6)]
        wait_until(lambda: pool.stats().running == 1)
        pool.set_threads(0, 4)
        wait_until(lambda: pool.stats().running == 4)
        assert pool.stats().threads == 4
        pool.set_threads(0, 2)
        gate.set()
        assert [req.result() for req in requests] == [True] * 6
        wait_until(lambda: pool.stats().threads == 2)
        pool.set_threads(min_threads=5, max_threads=5)
        assert pool.stats().threads == 5


def test_full_pool_raises_and_takes_more_when_there_is_room(ctx, gate):
    with tpool.ThreadPool(ctx, max_threads=1, max_pending=2) as pool:
        requests = [pool.submit(gate.wait)]
        wait_until(lambda: pool.stats().running == 1)
        requests += [pool.submit(gate.wait) for _ in range(2)]
        for full in (lambda: pool.submit(int), lambda: pool.submit_many(int, [()])):
            with pytest.raises(tpool.PoolFull, match="max_pending=2"):
                full()
        assert pool.stats().queued == 2
        assert requests.pop().cancel()
        requests.append(pool.submit(int))
        gate.set()
        assert [req.result() for req in requests] == [True, True, 0]


def test_full_pool_that_blocks_turns_the_context_in_the_owner(ctx):
    done = []
    with tpool.ThreadPool(ctx, max_threads=1, max_pending=2, on_full="block") as pool:
        for i in range(300):
            pool.submit(int).add_done_callback(lambda _, i=i: done.append(i))
            assert pool.stats().queued <= 2
        assert len(pool.submit_many(int, [()] * 50)) == 50
    assert done == list(range(300))


def test_full_pool_that_blocks_holds_other_threads_up(ctx, gate, background):
    with tpool.ThreadPool(ctx, max_threads=1, max_pending=1, on_full="block") as pool:
        ctx.poll(False)
        pool.submit(gate.wait)
        wait_until(lambda: pool.stats().running == 1)
        pool.submit(int)
        submitter = background(pool.submit, int)
        for _ in range(1000):
            ctx.poll(False)
        assert submitter.is_alive()
        assert pool.stats().submitted == 2
        gate.set()
        poll_until(ctx, lambda: not submitter.is_alive())
        assert submitter.finish().result() == 0


def test_map_gives_the_results_in_order_and_stops_at_the_shortest(pool):
    assert list(pool.map(pow, range(100), [2] * 50)) == [i * i for i in range(50)]


def test_map_raises_where_the_call_raised(pool):
    results = pool.map(lambda x: 6 // x, [1, 2, 0, 3])
    assert [next(results), next(results)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_closed_cancels_what_has_not_started(single, gate):
    ran = []
    results = single.map(lambda i: (ran.append(i), i and gate.wait(), i)[2], range(5))
    assert next(results) == 0
    wait_until(lambda: ran == [0, 1])
    results.close()
    gate.set()
    single.shutdown()
    assert ran == [0, 1]
    assert single.stats().cancelled == 3


def test_submit_many_is_one_request_for_each_tuple_in_order(single):
    started = []
    requests = single.submit_many(
        lambda a, b: started.append(a) or a + b, [(i, 1) for i in range(200)]
    )
    assert [req.result() for req in requests] == list(range(1, 201))
    assert started == list(range(200))
    assert single.submit_many(int, ()) == []


@pytest.mark.parametrize("bad", [[(1,), 2], [(1,), [2]], 5])
def test_submit_many_with_something_else_than_tuples_submits_nothing(pool, bad):
    with pytest.raises(TypeError, match=r"tuples|iterable"):
        pool.submit_many(int, bad)
    assert pool.stats().submitted == 0


def test_submit_many_whose_iterable_raises_submits_nothing(pool):
    def items():
        yield (1,)
        raise LookupError

    with pytest.raises(LookupError):
        pool.submit_many(int, items())
    assert (pool.stats().submitted, pool.stats().queued) == (0, 0)


def test_submit_in_a_worker_is_as_good_as_any(ctx, pool):
    inner = pool.submit(pool.submit, int, "3").result()
    assert inner.result() == 3


def test_pool_refuses_to_be_pickled_in_its_own_words(pool):
    with pytest.raises(TypeError, match="a ThreadPool cannot be pickled"):
        pickle.dumps(pool)


def test_several_pools_share_one_context(ctx, pool, single):
    assert pool.ctx is ctx
    assert single.ctx is ctx
    requests = [p.submit(int, i) for i in range(50) for p in (pool, single)]
    assert [req.result() for req in requests] == [i for i in range(50) for _ in (0, 1)]


def test_thread_that_started_a_worker_is_not_taken_to_start_one_for_ever(
    ctx, monkeypatch
):
    """Two spawn at once, and the one that began first ends first."""
    spawn, main = tpool.thread_pool.spawn, threading.current_thread()
    second, first_is_over = threading.Event(), threading.Event()
    spawns = []

    def overlapping(*args):
        spawn(*args)
        spawns.append(threading.current_thread())
        if len(spawns) == 1:
            assert second.wait(DEADLINE_S)
        elif len(spawns) == 2:
            second.set()
            assert first_is_over.wait(DEADLINE_S)

    monkeypatch.setattr(tpool.thread_pool, "spawn", overlapping)
    pool = tpool.ThreadPool(ctx, max_threads=32)
    gate = threading.Event()
    calls = pool.submit_many(gate.wait, [()] * 2)
    first_is_over.set()
    wait_until(lambda: pool.stats().running == 2)
    gate.set()
    for request in calls:
        request.result()
    assert spawns[0] is main
    assert spawns[1] is not main
    for _ in range(100):
        for request in [pool.submit(int) for _ in range(50)]:
            request.result()
    assert pool.stats().threads < 16
