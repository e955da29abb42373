# SPDX-License-Identifier: MIT
"""A context calls back for the messages of a Ring, and is woken only where it blocks."""

from __future__ import annotations

import os

import pytest
from conftest import poll_until, wait_blocked, wait_until

import tpool

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def rings():
    """Return two, the writer and the reader of the same ring."""
    with tpool.Ring.create(size=4096) as writer:
        with tpool.Ring.attach(writer.memory_fd) as reader:
            yield writer, reader


def test_messages_are_called_back_for_in_order(ctx, rings):
    writer, reader = rings
    got = []
    writer.send(b"before")
    ctx.add_ring(reader, got.append)
    poll_until(ctx, lambda: got)
    for number in range(300):
        while not writer.try_send(b"%d" % number):
            ctx.poll(False)
    poll_until(ctx, lambda: len(got) == 301)
    assert got == [b"before", *(b"%d" % number for number in range(300))]


@pytest.mark.parametrize("poll_max_ns", [0, 10_000_000])
def test_an_owner_that_waits_gets_it(rings, background, poll_max_ns):
    writer, reader = rings
    with tpool.AioContext(poll_max_ns) as ctx:
        got = []
        ctx.add_ring(reader, got.append)
        ctx.poll(False)

        def send():
            for number in range(50):
                if not number % 10:
                    wait_blocked(ctx)
                writer.send(b"%d" % number)
                wait_until(lambda n=number: len(got) > n)

        sending = background(send)
        while len(got) < 50:
            ctx.poll()
        sending.finish()


def test_it_is_rung_for_only_while_the_context_does_not_look_by_itself(ctx, rings):
    writer, reader = rings
    got = []
    handler = ctx.add_ring(reader, got.append)
    writer.send(b"")  # from here on it is there
    poll_until(ctx, lambda: got)

    total = [1]

    def rings_of(number):
        before = writer.wakeups
        for _ in range(number):
            writer.send(b"x")
        count = writer.wakeups - before
        total.append(number)
        poll_until(ctx, lambda: len(got) == sum(total))
        return count

    assert rings_of(10) == 1  # it has asked when it had taken all
    handler._look_by_itself()  # as a poll phase begins
    assert not handler._look()
    writer.send(b"x")
    assert handler._look()
    ctx.call_soon(handler._take)  # as the phase has it called
    total.append(1)
    assert rings_of(10) == 0
    handler._look_by_itself()
    handler._ask()  # as it ends
    assert rings_of(10) == 1


def test_a_callback_that_raises_is_reported_and_the_next_message_comes(
    ctx, rings, unraisable
):
    """F52: it is rung for again when the owner sleeps."""
    writer, reader = rings
    got = []

    def on_message(message):
        got.append(message)
        if message == b"bad":
            raise KeyError(message)

    ctx.add_ring(reader, on_message)
    for message in (b"bad", b"good", b"bad"):
        writer.send(message)
    poll_until(ctx, lambda: len(got) == 3)
    writer.send(b"last")
    ctx.poll()
    assert got == [b"bad", b"good", b"bad", b"last"]
    assert [type(error) for error in unraisable] == [KeyError, KeyError]


def test_a_callback_may_poll_and_close(ctx, rings):
    writer, reader = rings
    got = []

    def on_message(message):
        got.append(message)
        if message == b"poll":
            ctx.poll(False)
        elif message == b"close":
            handler.close()
            handler.close()

    handler = ctx.add_ring(reader, on_message)
    for message in (b"poll", b"x", b"close", b"not this one"):
        writer.send(message)
    poll_until(ctx, lambda: b"close" in got)
    for _ in range(5):
        ctx.poll(False)
    assert got == [b"poll", b"x", b"close"]
    assert reader.recv() == b"not this one"


def test_the_end_is_told_once(ctx, rings):
    writer, reader = rings
    got, ends = [], []
    ctx.add_ring(reader, got.append, ends.append)
    writer.send(b"last")
    writer.close()
    poll_until(ctx, lambda: ends)
    for _ in range(5):
        ctx.poll(False)
    assert got == [b"last"]
    assert [type(end) for end in ends] == [EOFError]


def test_a_view_that_is_not_released_ends_it(ctx, rings):
    writer, reader = rings
    writer.send(b"1")
    ends = []
    with reader.recv_view():
        ctx.add_ring(reader, print, ends.append)
        poll_until(ctx, lambda: ends)
    assert isinstance(ends[0], BufferError)


def test_a_ring_that_is_closed_in_a_context_ends_there(ctx, rings):
    _, reader = rings
    ends = []
    ctx.add_ring(reader, print, ends.append)
    ctx.poll(False)
    reader.close()
    while not ends:
        ctx.poll()
    assert [type(end) for end in ends] == [RuntimeError]


def test_a_context_that_closes_lets_go_of_the_ring(rings):
    _, reader = rings
    ends = []
    with tpool.AioContext() as ctx:
        handler = ctx.add_ring(reader, print, ends.append)
    before = len(os.listdir("/proc/self/fd"))
    reader.close()
    assert len(os.listdir("/proc/self/fd")) < before - 1
    handler.close()
    assert ends == []


def test_many_messages_leave_others_their_turn(ctx, rings):
    writer, reader = rings
    got = []
    ctx.add_ring(reader, got.append)
    while writer.try_send(b""):
        pass
    ctx.poll(False)
    assert 0 < len(got) < 512
    poll_until(ctx, lambda: len(got) == 512)


def test_closed_things_are_refused(rings):
    _, reader = rings
    ctx = tpool.AioContext()
    ctx.close()
    with pytest.raises(RuntimeError, match="closed"):
        ctx.add_ring(reader, print)
    with tpool.AioContext() as other:
        reader.close()
        with pytest.raises(RuntimeError, match="closed"):
            other.add_ring(reader, print)
