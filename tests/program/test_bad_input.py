# SPDX-License-Identifier: MIT
"""Bad arguments: the right exception, which names the argument and the value.

After each one the object is usable as before.
"""

from __future__ import annotations

import os
import re
import socket

import pytest

import tpool

pytestmark = pytest.mark.timeout(60)

NAN, INF = float("nan"), float("inf")
HUGE = [2**63, 2**70]
NO_INT = [1.5, NAN, INF, 1e300, "1", None, b"1", [], object()]
NO_CALLABLE = [1, "print", [], object(), NAN]


def refuse(error, name, value, call):
    with pytest.raises(error) as caught:
        call(value)
    said = str(caught.value)
    assert name in said, said
    assert repr(value) in said, said


def usable(ctx, pool=None):
    ran = []
    ctx.call_soon(ran.append, 1)
    assert ctx.poll() is True
    assert ran == [1]
    assert ctx.notify_me == 0
    if pool is not None:
        assert pool.submit(abs, -3).result() == 3


CONTEXT_PARAMS = [
    ("poll_max_ns", lambda ctx, v: tpool.AioContext(poll_max_ns=v)),
    ("poll_grow", lambda ctx, v: tpool.AioContext(1, poll_grow=v)),
    ("poll_shrink", lambda ctx, v: tpool.AioContext(1, 1, poll_shrink=v)),
    ("max_ns", lambda ctx, v: ctx.set_poll_params(v)),
    ("grow", lambda ctx, v: ctx.set_poll_params(1, grow=v)),
    ("shrink", lambda ctx, v: ctx.set_poll_params(1, 1, shrink=v)),
    ("expire_ns", lambda ctx, v: ctx.new_timer(int).mod_ns(v)),
    ("expire_ns", lambda ctx, v: ctx.new_timer(int).mod_anticipate_ns(v)),
]


@pytest.mark.parametrize(("name", "call"), CONTEXT_PARAMS)
def test_ints_out_of_range_or_of_the_wrong_type_are_refused(ctx, pool, name, call):
    ctx.set_poll_params(5, 6, 7)
    for value in (-1, -(2**63), -(2**70)):
        refuse(ValueError, name, value, lambda v: call(ctx, v))
    for value in HUGE:
        refuse(OverflowError, name, value, lambda v: call(ctx, v))
    for value in NO_INT:
        if value is None and name == "poll_max_ns":
            continue  # means the default
        refuse(TypeError, name, value, lambda v: call(ctx, v))
    assert (ctx.poll_max_ns, ctx.poll_grow, ctx.poll_shrink) == (5, 6, 7)
    usable(ctx, pool)


@pytest.mark.parametrize(("name", "call"), CONTEXT_PARAMS)
def test_ints_at_the_end_of_the_range_are_taken(ctx, name, call):
    for value in (0, 1, True, 2**63 - 1):
        made = call(ctx, value)
        if made is not None:
            made.close()
    usable(ctx)


def test_poll_works_with_the_largest_parameters(ctx, pool):
    ctx.set_poll_params(2**63 - 1, 2**63 - 1, 2**63 - 1)
    for _ in range(20):
        assert pool.submit(int).result() == 0
    ctx.new_timer(int).mod_ns(2**63 - 1)
    usable(ctx, pool)


@pytest.mark.parametrize("value", NO_CALLABLE)
def test_callables_that_are_none_are_refused(ctx, pool, value):
    read, write = os.pipe()
    req = pool.submit(int)
    cases = [
        ("callback", ctx.new_bh),
        ("callback", ctx.call_soon),
        ("callback", ctx.new_timer),
        ("callback", req.add_done_callback),
        ("fn", pool.submit),
        ("fn", lambda v: pool.submit_many(v, [()])),
        ("fn", lambda v: pool.map(v, [1])),
        ("io_read", lambda v: ctx.set_fd_handler(read, v)),
        ("io_write", lambda v: ctx.set_fd_handler(read, None, v)),
        ("io_poll", lambda v: ctx.set_fd_handler(read, io_poll=v)),
        ("io_poll_ready", lambda v: ctx.set_fd_handler(read, None, None, int, v)),
        ("io_poll_begin", lambda v: ctx.set_fd_poll(read, v)),
        ("io_poll_end", lambda v: ctx.set_fd_poll(read, None, v)),
    ]
    for name, call in cases:
        refuse(TypeError, name, value, call)
    assert req.result() == 0
    assert pool.stats().submitted == 1
    assert ctx.poll_disable_cnt == 0
    usable(ctx, pool)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx, pool: ctx.new_bh(None),
        lambda ctx, pool: ctx.new_timer(None),
        lambda ctx, pool: ctx.call_soon(None),
        lambda ctx, pool: pool.submit(None),
        lambda ctx, pool: pool.submit(int).add_done_callback(None),
    ],
)
def test_none_is_no_callable_where_one_is_needed(ctx, pool, call):
    with pytest.raises(TypeError, match="must be callable, not None"):
        call(ctx, pool)
    usable(ctx, pool)


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx, pool: ctx.new_bh(),
        lambda ctx, pool: ctx.call_soon(),
        lambda ctx, pool: ctx.set_fd_handler(),
        lambda ctx, pool: ctx.set_poll_params(),
        lambda ctx, pool: ctx.poll(1, 2),
        lambda ctx, pool: ctx.poll(block=True),
        lambda ctx, pool: ctx.notify(1),
        lambda ctx, pool: pool.submit(),
        lambda ctx, pool: pool.submit_many(int),
        lambda ctx, pool: pool.set_threads(1),
        lambda ctx, pool: pool.submit(int).result(1, 2),
        lambda ctx, pool: pool.submit(int).result(time=1),
        lambda ctx, pool: tpool.EventNotifier(1, 2),
        lambda ctx, pool: tpool.AioContext(1, 2, 3, 4),
        lambda ctx, pool: tpool.BottomHalf(),
        lambda ctx, pool: tpool.Timer(),
        lambda ctx, pool: tpool.ThreadPool(ctx, threads=1),
    ],
)
def test_wrong_number_or_name_of_arguments_is_refused(ctx, pool, call):
    with pytest.raises(TypeError):
        call(ctx, pool)
    usable(ctx, pool)


FD_CALLS = [
    lambda ctx, fd: ctx.set_fd_handler(fd, int),
    lambda ctx, fd: ctx.set_fd_handler(fd, None, None, int),
    lambda ctx, fd: ctx.set_fd_poll(fd, int),
]


@pytest.mark.parametrize("call", FD_CALLS)
def test_fds_that_are_none_are_refused(ctx, call):
    for value in (-1, -(2**63)):
        refuse(ValueError, "fd", value, lambda v: call(ctx, v))
    for value in (2**31, *HUGE):
        refuse(OverflowError, "fd", value, lambda v: call(ctx, v))
    for value in NO_INT:
        refuse(TypeError, "fd", value, lambda v: call(ctx, v))
    assert ctx.poll_disable_cnt == 0
    usable(ctx)


@pytest.mark.parametrize("fd", [999_999, 2**31 - 1])
def test_fd_that_is_not_open_is_refused_with_its_number(ctx, fd):
    for call in FD_CALLS[:2]:
        with pytest.raises(OSError, match=rf"Bad file descriptor.*\b{fd}\b"):
            call(ctx, fd)
    with pytest.raises(FileNotFoundError):
        FD_CALLS[2](ctx, fd)
    ctx.set_fd_handler(fd)  # nothing to remove
    usable(ctx)


def test_fd_that_cannot_be_waited_for_is_refused_and_leaves_no_handler(ctx, tmp_path):
    with open(tmp_path / "file", "wb") as file:
        with pytest.raises(PermissionError, match=rf"fd {file.fileno()}"):
            ctx.set_fd_handler(file, int)
        assert ctx.poll_disable_cnt == 0
        ctx.set_fd_handler(file, io_poll=lambda: False)  # polled, never waited for
        ctx.set_fd_handler(file)
    usable(ctx)


def test_a_socket_that_was_closed_is_named(ctx):
    with socket.socket() as sock:
        pass
    for call in (ctx.set_fd_handler, ctx.set_fd_poll):
        with pytest.raises(ValueError, match=r"fd must be an open file, not <socket"):
            call(sock)


def test_change_that_is_refused_leaves_the_handler_as_it_was(ctx):
    note, ran = tpool.EventNotifier(active=True), []
    ctx.set_event_notifier(note, lambda: ran.append(note.test_and_clear()))
    for bad in (
        lambda: ctx.set_event_notifier(note, 5),
        lambda: ctx.set_event_notifier(note, int, None, int),
        lambda: ctx.set_fd_handler(note, int, 5),
    ):
        with pytest.raises((TypeError, ValueError)):
            bad()
    ctx.poll(False)
    assert ran == [True]
    ctx.set_event_notifier(note)
    note.close()


def test_io_poll_ready_without_io_poll_is_refused_by_name(ctx):
    with pytest.raises(ValueError, match="io_poll_ready needs io_poll"):
        ctx.set_fd_handler(0, int, io_poll_ready=int)
    usable(ctx)


@pytest.mark.parametrize("value", [0, None, "note", object()])
def test_notifier_that_is_none_is_refused(ctx, value):
    refuse(TypeError, "notifier", value, lambda v: ctx.set_event_notifier(v, int))
    usable(ctx)


def test_notifier_that_is_closed_is_refused(ctx):
    note = tpool.EventNotifier()
    note.close()
    with pytest.raises(RuntimeError, match="closed"):
        ctx.set_event_notifier(note, int)
    usable(ctx)


COUNTS = [
    ("min_threads", 0, lambda ctx, v: tpool.ThreadPool(ctx, v, 2**31 - 1)),
    ("max_threads", 1, lambda ctx, v: tpool.ThreadPool(ctx, 0, v)),
    ("max_pending", 1, lambda ctx, v: tpool.ThreadPool(ctx, max_pending=v)),
    ("min_threads", 0, lambda ctx, v: tpool.ThreadPool(ctx).set_threads(v, 1)),
    ("max_threads", 1, lambda ctx, v: tpool.ThreadPool(ctx).set_threads(0, v)),
]


@pytest.mark.parametrize(("name", "least", "call"), COUNTS)
def test_counts_of_a_pool_are_checked(ctx, pool, name, least, call):
    for value in (least - 1, -1, -(2**70)):
        refuse(ValueError, name, value, lambda v: call(ctx, v))
    for value in (2**32, *HUGE):
        refuse(OverflowError, name, value, lambda v: call(ctx, v))
    for value in NO_INT:
        if not (value is None and name == "max_pending"):
            refuse(TypeError, name, value, lambda v: call(ctx, v))
    usable(ctx, pool)


def test_min_threads_above_max_threads_is_refused_with_both(ctx, pool):
    for call in (lambda: tpool.ThreadPool(ctx, 3, 2), lambda: pool.set_threads(3, 2)):
        with pytest.raises(ValueError, match=r"min_threads.*max_threads: 3 > 2"):
            call()
    usable(ctx, pool)


@pytest.mark.parametrize("value", [-1, -0.5, NAN, -INF, -(10**400)])
def test_seconds_that_are_negative_or_nan_are_refused(ctx, pool, value):
    req = pool.submit(int)
    cases = [
        ("idle_timeout", lambda v: tpool.ThreadPool(ctx, idle_timeout=v)),
        ("timeout", req.result),
        ("timeout", req.exception),
    ]
    for name, call in cases:
        refuse(ValueError, name, value, call)
    assert req.result() == 0
    usable(ctx, pool)


@pytest.mark.parametrize("value", ["1", [], object(), 1j])
def test_seconds_of_the_wrong_type_are_refused(ctx, pool, value):
    req = pool.submit(int)
    call = lambda v: tpool.ThreadPool(ctx, idle_timeout=v)  # noqa: E731
    refuse(TypeError, "idle_timeout", value, call)
    refuse(TypeError, "timeout", value, req.result)
    refuse(TypeError, "timeout", value, req.exception)
    usable(ctx, pool)


@pytest.mark.parametrize("value", [None, INF, 1e300, 2**63, 2**70, 10**400])
def test_idle_timeout_that_is_huge_is_for_ever(ctx, value):
    with tpool.ThreadPool(ctx, idle_timeout=value) as pool:
        usable(ctx, pool)
        assert pool.stats().threads == 1


def test_pool_arguments_of_the_wrong_type_are_named(ctx, pool):
    for value in (False, 1, "ctx", object):
        refuse(TypeError, "ctx", value, tpool.ThreadPool)
    for value in (None, 1, b"x"):
        call = lambda v: tpool.ThreadPool(ctx, thread_name_prefix=v)  # noqa: E731
        refuse(TypeError, "thread_name_prefix", value, call)
    for value in (None, 1, "wait"):
        call = lambda v: tpool.ThreadPool(ctx, on_full=v)  # noqa: E731
        refuse(ValueError, "on_full", value, call)
    usable(ctx, pool)


def test_thread_names_of_any_text_are_taken(ctx):
    for prefix in ("", "ü" * 40, "\udc80", "a\0b", "x" * 10_000):
        with tpool.ThreadPool(ctx, thread_name_prefix=prefix) as pool:
            usable(ctx, pool)


def test_closed_context_refuses_all_that_needs_it(gate):
    note = tpool.EventNotifier()
    ctx = tpool.AioContext()
    pool, bh, timer = tpool.ThreadPool(ctx), ctx.new_bh(int), ctx.new_timer(int)
    done = pool.submit(int, "4")
    assert done.result() == 4
    ctx.close()
    for call in (
        ctx.poll,
        lambda: ctx.poll(False),
        ctx.prepare,
        ctx.check,
        ctx.dispatch,
        ctx.notify,
        ctx.fileno,
        ctx.stats,
        lambda: ctx.set_poll_params(1),
        lambda: ctx.new_bh(int),
        lambda: ctx.call_soon(int),
        lambda: ctx.new_timer(int),
        lambda: ctx.set_fd_handler(0, int),
        lambda: ctx.set_fd_handler(0),
        lambda: ctx.set_fd_poll(0, int),
        lambda: ctx.set_event_notifier(note, int),
        lambda: tpool.ThreadPool(ctx),
        bh.schedule,
        bh.schedule_idle,
        lambda: timer.mod_ns(1),
        lambda: timer.mod_anticipate_ns(1),
    ):
        with pytest.raises(RuntimeError, match="the AioContext is closed"):
            call()
    for call in (lambda: pool.submit(int), lambda: pool.submit_many(int, [()])):
        with pytest.raises(RuntimeError, match=r"after shutdown|closed"):
            call()
    ctx.acquire()
    ctx.release()
    bh.cancel()
    bh.delete()
    timer.cancel()
    pool.shutdown()
    ctx.close()
    assert done.result() == 4
    late = []
    done.add_done_callback(late.append)
    assert late == [done]
    assert (ctx.notify_me, ctx.notified, timer.pending) == (0, False, False)
    assert not done.cancel()
    assert pool.stats().threads == 0
    note.close()


def test_errors_of_arguments_that_raise_come_through(ctx, pool):
    class Bad:
        def __index__(self):
            raise LookupError("index")

        def __bool__(self):
            raise LookupError("bool")

        def fileno(self):
            raise LookupError("fileno")

    for call in (
        lambda: ctx.poll(Bad()),
        lambda: tpool.EventNotifier(Bad()),
        lambda: ctx.set_poll_params(Bad()),
        lambda: pool.set_threads(Bad(), 1),
        lambda: ctx.set_fd_handler(Bad(), int),
    ):
        with pytest.raises(LookupError, match=re.compile("index|bool|fileno")):
            call()
    usable(ctx, pool)


@pytest.mark.parametrize("value", [-1, 2**70, 1.5, "1"])
def test_iothread_with_a_bad_bound_starts_no_thread(value):
    with pytest.raises((ValueError, OverflowError, TypeError), match="poll_max_ns"):
        tpool.IOThread(poll_max_ns=value)
