# SPDX-License-Identifier: MIT
"""Handlers of fds: what is called for which event, and what they may do."""

from __future__ import annotations

import gc
import os
import select
import socket
import weakref
from functools import partial

import pytest
from conftest import needs_polling, poll_until, wait_blocked

import tpool

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def pair(pair):
    for end in pair:
        end.setblocking(False)
    return pair


def busy(ctx):
    """Keep a source with io_poll polling: grow its window from nothing."""
    ctx.set_poll_params(1_000_000_000)


def is_readable(sock):
    return bool(select.select([sock], [], [], 0)[0])


def poll_until_hit(ctx, before=lambda: None):
    """Poll until a poll phase has found something."""
    for _ in range(1000):
        before()
        ctx.poll()
        if ctx.stats().polls_hit:
            return
    pytest.fail("no poll phase")


def test_io_read_is_called_while_the_fd_is_readable(ctx, pair):
    left, right = pair
    ran = []
    ctx.set_fd_handler(left, lambda: ran.append(1))
    assert ctx.poll(False) is False
    right.send(b"x")
    assert ctx.poll(False) is True
    assert ctx.poll(False) is True  # level-triggered
    left.recv(1)
    assert ctx.poll(False) is False
    assert ran == [1, 1]


@needs_polling
def test_what_io_poll_has_found_is_read_once(ctx, pair):
    """The turn looks at the fd too; a blocking read would wait for ever."""
    left, right = pair
    reads = []
    busy(ctx)
    io_poll = partial(is_readable, left)
    ctx.set_fd_handler(left, lambda: reads.append(left.recv(1)), None, io_poll)
    poll_until_hit(ctx, lambda: right.send(b"x"))
    assert set(reads) == {b"x"}


@needs_polling
def test_what_io_poll_has_found_does_not_starve_io_write(ctx, pair):
    ran = []
    busy(ctx)
    ctx.set_fd_handler(
        pair[0], lambda: ran.append("r"), lambda: ran.append("w"), lambda: True
    )
    pair[1].send(b"x")
    poll_until_hit(ctx)
    assert ran[-2:] == ["r", "w"]


@pytest.mark.parametrize("polled", [False, True])
def test_what_a_nested_poll_has_read_is_not_read_again(ctx, pair, polled):
    left, right = pair
    reads = []
    io_poll = partial(is_readable, left) if polled else None
    ctx.set_fd_handler(left, lambda: reads.append(left.recv(1)), None, io_poll)
    for _ in range(20):
        ctx.call_soon(ctx.poll, False)
        right.send(b"x")
        poll_until(ctx, lambda: reads)
        assert ctx.poll(False) is False
        assert reads == [b"x"]
        reads.clear()


def test_io_write_is_not_called_again_after_a_nested_poll_of_io_read(ctx, pair):
    ran = []

    def io_read():
        ran.append("r")
        if pair[0].recv(1) == b"x":
            ctx.poll(False)

    pair[1].send(b"xy")
    ctx.set_fd_handler(pair[0], io_read, lambda: ran.append("w"))
    ctx.poll(False)
    assert ran == ["r", "r", "w"]


def test_io_write_is_called_while_the_fd_is_writable(ctx, pair):
    ran = []
    ctx.set_fd_handler(pair[0].fileno(), None, lambda: ran.append("w"))
    assert ctx.poll() is True
    assert ran == ["w"]


def test_io_read_comes_before_io_write(ctx, pair):
    ran = []
    pair[1].send(b"x")
    ctx.set_fd_handler(pair[0], lambda: ran.append("r"), lambda: ran.append("w"))
    ctx.poll(False)
    assert ran == ["r", "w"]


def test_hang_up_is_readable(ctx, pair):
    ran = []
    ctx.set_fd_handler(pair[0], lambda: ran.append(pair[0].recv(1)))
    pair[1].close()
    assert ctx.poll() is True
    assert ran == [b""]


def test_io_write_alone_hears_of_an_error(ctx):
    read, write = os.pipe()
    ran = []
    ctx.set_fd_handler(write, io_write=lambda: ran.append(1))
    os.close(read)
    assert ctx.poll() is True
    assert ran == [1]
    ctx.set_fd_handler(write)
    os.close(write)


def test_blocked_poll_hears_of_a_handler_set_by_another_thread(ctx, pair, background):
    ran = []
    pair[1].send(b"x")

    def post():
        wait_blocked(ctx)
        ctx.set_fd_handler(pair[0], lambda: ran.append(pair[0].recv(1)))

    background(post)
    while not ran:
        ctx.poll()
    assert ran == [b"x"]


def test_all_none_removes_and_counts_blind_handlers(ctx, pair):
    left, right = pair
    ctx.set_fd_handler(left, lambda: None)
    ctx.set_fd_handler(right, lambda: None)
    assert ctx.poll_disable_cnt == 2
    ctx.set_fd_handler(left, lambda: None, io_poll=lambda: False)
    assert ctx.poll_disable_cnt == 1
    ctx.set_fd_handler(right)
    ctx.set_fd_handler(left)
    ctx.set_fd_handler(left)
    assert ctx.poll_disable_cnt == 0
    right.send(b"x")
    assert ctx.poll(False) is False


def test_changed_handler_replaces_the_old_one(ctx, pair):
    ran = []
    pair[1].send(b"x")
    ctx.set_fd_handler(pair[0], lambda: ran.append("old"))
    ctx.set_fd_handler(pair[0], lambda: ran.append("new"))
    ctx.poll(False)
    assert ran == ["new"]


def test_handler_removed_by_another_in_the_same_turn_is_not_called(ctx):
    ran, pairs = [], [socket.socketpair() for _ in range(4)]
    for a, b in pairs:

        def callback(own=a):
            ran.append(1)
            for other, _ in pairs:
                if other is not own:
                    ctx.set_fd_handler(other)

        ctx.set_fd_handler(a, callback)
        b.send(b"x")
    ctx.poll(False)
    assert ran == [1]
    for a, b in pairs:
        ctx.set_fd_handler(a)
        a.close()
        b.close()


def test_handler_that_removes_itself_is_not_called_for_writing(ctx, pair):
    ran = []
    pair[1].send(b"x")
    ctx.set_fd_handler(
        pair[0],
        lambda: (ran.append("r"), ctx.set_fd_handler(pair[0])),
        lambda: ran.append("w"),
    )
    ctx.poll(False)
    assert ran == ["r"]


def test_removed_handler_drops_its_callbacks(ctx, pair):
    class Callback:
        def __call__(self):
            pass

    callback = Callback()
    ref = weakref.ref(callback)
    ctx.set_fd_handler(pair[0], callback, callback, callback, callback)
    del callback
    assert ref() is not None
    ctx.set_fd_handler(pair[0])
    gc.collect()
    assert ref() is None


def test_callback_that_raises_is_reported_and_the_others_run(ctx, pair, unraisable):
    ran = []
    for sock, other in (pair, pair[::-1]):
        other.send(b"x")
        ctx.set_fd_handler(sock, lambda: 1 / 0, lambda: ran.append(1))
    assert ctx.poll(False) is True
    assert ran == [1, 1]
    assert [type(error) for error in unraisable] == [ZeroDivisionError] * 2


def test_callback_that_raises_systemexit_leaves_poll(ctx, pair):
    def leave():
        raise SystemExit

    pair[1].send(b"x")
    ctx.set_fd_handler(pair[0], leave)
    with pytest.raises(SystemExit):
        ctx.poll()
    assert ctx.notify_me == 0


def test_many_fds_are_all_served_and_only_the_ready_ones(ctx):
    ran, pairs = [], [socket.socketpair() for _ in range(300)]
    for i, (a, _) in enumerate(pairs):
        ctx.set_fd_handler(a, lambda i=i, a=a: ran.append((i, a.recv(1))))
    for i in range(0, 300, 7):
        pairs[i][1].send(b"x")
    poll_until(ctx, lambda: len(ran) == 43)
    assert ctx.poll(False) is False
    assert sorted(i for i, _ in ran) == list(range(0, 300, 7))
    for a, b in pairs:
        ctx.set_fd_handler(a)
        a.close()
        b.close()


@needs_polling
def test_io_poll_that_says_so_calls_io_poll_ready_in_its_place(ctx, pair):
    left, right = pair
    busy(ctx)
    ran, calls = [], []

    def io_poll():
        calls.append(1)
        return True

    # The window of a new source is nothing; a wait that its fd ends lets it grow.
    ctx.set_fd_handler(left, lambda: ran.append(left.recv(1)), io_poll=io_poll)
    right.send(b"x")
    ctx.poll()
    assert ran == [b"x"]
    ctx.set_fd_handler(
        left, lambda: ran.append("read"), None, io_poll, lambda: ran.append("ready")
    )
    ctx.poll()
    assert calls
    assert ran[1:] == ["ready"]


@needs_polling
def test_io_poll_without_io_poll_ready_calls_io_read(ctx, pair):
    left, right = pair
    busy(ctx)
    ran = []
    ctx.set_fd_handler(left, lambda: ran.append(1), io_poll=lambda: len(ran) == 1)
    right.send(b"x")
    ctx.poll()
    left.recv(1)
    assert ctx.poll() is True  # nothing is readable: io_poll said so
    assert ran == [1, 1]


@needs_polling
def test_begin_and_end_come_in_pairs_around_io_poll(ctx, pair, background):
    left, right = pair
    busy(ctx)
    order = []
    ctx.set_fd_handler(
        left,
        lambda: left.recv(1),
        io_poll=lambda: order.append("poll"),
        io_poll_ready=lambda: None,
    )
    ctx.set_fd_poll(left, lambda: order.append("begin"), lambda: order.append("end"))
    for _ in range(5):
        background(lambda: (wait_blocked(ctx), right.send(b"x")))
        ctx.poll()
    names = [name for name in order if name != "poll"]
    assert names
    assert names == ["begin", "end"] * (len(names) // 2)
    first = order.index("begin")
    assert "poll" not in order[:first]
    assert order[-1] == "poll"  # looked at once more after the end


@needs_polling
def test_begin_and_end_come_in_pairs_when_io_poll_raises(ctx, pair, unraisable):
    left, right = pair
    busy(ctx)
    order, fail = [], [False]

    def io_poll():
        if fail[0]:
            raise SystemExit
        return False

    ctx.set_fd_handler(left, lambda: left.recv(1), io_poll=io_poll)
    ctx.set_fd_poll(left, lambda: order.append("begin"), lambda: order.append("end"))
    right.send(b"x")
    ctx.poll()
    fail[0] = True
    order.clear()
    with pytest.raises(SystemExit):
        ctx.poll()
    assert order == ["begin", "end"]
    assert ctx.notify_me == 0


@needs_polling
def test_io_poll_that_removes_its_own_handler_ends_well(ctx, pair):
    left, right = pair
    busy(ctx)
    ran = []
    ctx.set_fd_handler(
        left,
        lambda: left.recv(1),
        io_poll=lambda: (ran.append(1), ctx.set_fd_handler(left), ctx.notify())[2],
    )
    right.send(b"x")
    ctx.poll()
    ctx.poll()
    assert ran == [1]
    assert ctx.poll(False) is False


@needs_polling
def test_blind_handler_turns_the_poll_phase_off(ctx, pair, background):
    left, right = pair
    busy(ctx)
    calls = []
    ctx.set_fd_handler(left, lambda: left.recv(1), io_poll=lambda: calls.append(1))
    ctx.set_fd_handler(right, lambda: None)
    for _ in range(3):
        background(lambda: (wait_blocked(ctx), right.send(b"x")))
        ctx.poll()
    assert calls == []
    assert ctx.stats().polls_hit + ctx.stats().polls_missed == 0
    ctx.set_fd_handler(right)


def test_object_with_fileno_is_as_good_as_its_fd(ctx):
    note = tpool.EventNotifier(active=True)
    ran = []
    ctx.set_fd_handler(note, lambda: ran.append(note.test_and_clear()))
    ctx.poll(False)
    assert ran == [True]
    ctx.set_fd_handler(note)
    note.close()


def test_ready_fd_is_served_while_bottom_halves_keep_coming(ctx, pair):
    ran = []
    bh = ctx.new_bh(lambda: bh.schedule())
    bh.schedule()
    ctx.set_fd_handler(pair[0], lambda: ran.append(pair[0].recv(1)))
    pair[1].send(b"x")
    ctx.poll()
    assert ran == [b"x"]
    bh.delete()
