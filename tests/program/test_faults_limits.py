# SPDX-License-Identifier: MIT
"""The catalogue of faults, continued: fds, memory, time, bad numbers."""

from __future__ import annotations

import contextvars
import gc
import os
import pickle
import socket
import time
import tracemalloc

import pytest
from conftest import poll_until, wait_until

import tpool

pytestmark = pytest.mark.timeout(90)


def test_f24_fd_closed_behind_our_back_is_no_busy_loop(ctx, unraisable):
    """A duplicate keeps epoll reporting it: it is dropped, with an error."""
    left, right = socket.socketpair()
    ran, fd = [], left.fileno()
    ctx.set_fd_handler(fd, lambda: ran.append(1))
    copy = os.dup(fd)
    left.close()
    right.send(b"x")
    wait_until(lambda: not ctx.poll(False))
    turns = ctx.stats().turns
    ctx.new_timer(int).mod_ns(time.monotonic_ns() + 20_000_000)
    while not ctx.poll():
        pass
    assert ctx.stats().turns - turns < 10
    assert ran == []
    assert [type(error) for error in unraisable] == [OSError]
    assert ctx.poll_disable_cnt == 0
    os.close(copy)
    right.close()


def test_f24_fd_removed_after_it_was_closed_is_no_busy_loop_either(ctx):
    left, right = socket.socketpair()
    ran, fd = [], left.fileno()
    ctx.set_fd_handler(fd, lambda: ran.append(1))
    copy = os.dup(fd)
    left.close()
    ctx.set_fd_handler(fd)
    right.send(b"x")
    wait_until(lambda: not ctx.poll(False))
    turns = ctx.stats().turns
    ctx.new_timer(int).mod_ns(time.monotonic_ns() + 20_000_000)
    while not ctx.poll():
        pass
    assert ctx.stats().turns - turns < 10
    assert ran == []
    os.close(copy)
    right.close()


def test_f25_fd_number_used_again_gets_only_its_own_events(ctx):
    """The first handler closes the second's fd and gives its number away."""
    (a, a2), (b, b2) = socket.socketpair(), socket.socketpair()
    (c, c2), ran = socket.socketpair(), []
    number = b.fileno()

    def reuse(own, other_fd):
        ran.append("first")
        ctx.set_fd_handler(a)
        ctx.set_fd_handler(number)
        b.close()
        os.dup2(c.fileno(), number)
        ctx.set_fd_handler(number, lambda: ran.append("new"))

    ctx.set_fd_handler(a, lambda: reuse(a, b))
    ctx.set_fd_handler(b, lambda: ran.append("old"))
    a2.send(b"x")
    b2.send(b"x")
    while "first" not in ran:
        ctx.poll()
        ctx.set_fd_handler(number, lambda: ran.append("old")) if not ran else None
    assert "new" not in ran
    ctx.poll(False)
    assert "new" not in ran
    c2.send(b"x")
    ctx.poll()
    assert ran[-1] == "new"
    ctx.set_fd_handler(number)
    os.close(number)
    for sock in (a, a2, b2, c, c2):
        sock.close()


def test_f26_nested_poll_waits_for_a_sibling_of_the_same_batch(ctx, pool):
    first, second = pool.submit(int, "1"), pool.submit(int, "2")
    seen = []
    first.add_done_callback(lambda _: seen.append(second.result()))
    wait_until(lambda: pool.stats().completed == 2)
    assert first.result() == 1
    poll_until(ctx, lambda: seen)
    assert seen == [2]


def test_f33_pickling_is_refused_in_our_own_words(ctx, pool):
    for thing in (ctx, pool, pool.submit(int)):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(thing)


def test_f34_queued_requests_are_small_and_freed_after(ctx, single, gate):
    """At most 400 bytes each beyond the caller's own objects.

    Of a caller without context variables: a copy of its decimal context would be one.
    """
    n, caller = 50_000, contextvars.Context()
    single.submit(gate.wait)
    wait_until(lambda: single.stats().running == 1)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(n):
            caller.run(single.submit, int)
        each = (tracemalloc.get_traced_memory()[0] - before) / n
        gate.set()
        poll_until(ctx, lambda: single._outstanding() == 0)
        gc.collect()
        left = (tracemalloc.get_traced_memory()[0] - before) / n
    finally:
        tracemalloc.stop()
    assert each <= 400
    assert left < 1


def test_f35_flood_of_completions_starves_neither_timers_nor_fds(ctx, pool):
    left, right = socket.socketpair()
    ran, running = [], [True]

    def again(req):
        if running[0]:
            ctx.call_soon(again, req)
            ctx.call_soon(lambda: None)
            pool.submit(int).add_done_callback(int_of)

    def int_of(_):
        return 0

    for _ in range(100):
        pool.submit(int).add_done_callback(again)
    wait_until(lambda: pool.stats().completed >= 100)
    ctx.poll(False)
    ctx.set_fd_handler(left, lambda: ran.append(left.recv(1)))
    ctx.new_timer(lambda: ran.append("timer")).mod_ns(0)
    right.send(b"x")
    ctx.poll(False)
    assert ran == [b"x", "timer"]
    running[0] = False
    ctx.set_fd_handler(left)
    left.close()
    right.close()
    poll_until(ctx, lambda: pool._outstanding() == 0)


def test_f36_wall_time_is_never_read(ctx, pool, monkeypatch):
    def forbidden(*_):
        raise AssertionError("wall time was read")

    monkeypatch.setattr(time, "time", forbidden)
    monkeypatch.setattr(time, "time_ns", forbidden)
    fired = []
    ctx.new_timer(lambda: fired.append(1)).mod_ns(time.monotonic_ns() + 1_000_000)
    assert pool.submit(int).result(timeout=30) == 0
    while not fired:
        ctx.poll()


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_f37_timeout_that_makes_no_sense_is_refused(pool, timeout):
    with pytest.raises(ValueError, match="timeout"):
        pool.submit(int).result(timeout)


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 2**63])
def test_f37_timeout_that_is_huge_is_for_ever(pool, gate, timeout):
    req = pool.submit(gate.wait)
    pool.ctx.call_soon(gate.set)
    assert req.result(timeout) is True


def test_f41_stop_the_world_is_not_held_up_by_a_spin(isolated):
    isolated("faults.py", "gc_during_spin")


def test_f42_call_sees_a_copy_of_the_caller_s_variables(pool):
    var = contextvars.ContextVar("var")
    token = var.set("caller's")
    assert pool.submit(lambda: (var.get(), var.set("worker's"))[0]).result() == (
        "caller's"
    )
    assert var.get() == "caller's"
    var.reset(token)
    with pytest.raises(LookupError):
        pool.submit(var.get).result()


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (1.5, TypeError), (2**70, OverflowError)],
)
def test_f43_number_of_threads_that_makes_no_sense_is_refused(ctx, value, error):
    with pytest.raises(error, match="max_threads"):
        tpool.ThreadPool(ctx, max_threads=value)
