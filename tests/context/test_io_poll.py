# SPDX-License-Identifier: MIT
"""What io_poll has said counts for the turn in which it said so, and no longer."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import pytest
from conftest import needs_polling

pytestmark = pytest.mark.timeout(60)

pytestmark = needs_polling


class Source:
    """One end of a pipe whose io_poll says what it is told to."""

    def __init__(self, ctx):
        self.ctx = ctx
        self.fd, self.other = os.pipe()
        self.says = lambda: False
        self.begins = self.ends = lambda: None
        self.asked, self.served = [], []
        ctx.set_fd_handler(
            self.fd,
            lambda: os.read(self.fd, 1),
            io_poll=self.io_poll,
            io_poll_ready=lambda: self.serve(),
        )
        ctx.set_fd_poll(self.fd, lambda: self.begins(), lambda: self.ends())

    def serve(self):
        self.served.append(self.asked[-1])

    def io_poll(self):
        self.asked.append(None)
        self.asked[-1] = self.says()
        return self.asked[-1]

    def close(self):
        self.ctx.set_fd_handler(self.fd)
        os.close(self.fd)
        os.close(self.other)


@pytest.fixture
def sources(ctx):
    """Return two that are asked in this order, and in every blocking turn."""
    ctx.set_poll_params(1_000_000_000)
    made = [Source(ctx), Source(ctx)]
    for source in made:
        for _ in range(1000):
            if source.asked:
                break
            os.write(source.other, b"x")
            ctx.poll()
        else:
            pytest.fail("no poll phase")
    yield made
    for source in made:
        source.close()


def raise_once(source, name, then=int):
    def fail():
        setattr(source, name, lambda: False)
        then()
        raise KeyboardInterrupt

    setattr(source, name, fail)


def turn_until_asked(ctx, source):
    """Turn the context until io_poll was asked; with nothing else to do."""
    timer, before = ctx.new_timer(int), len(source.asked)
    while len(source.asked) == before:
        timer.mod_ns(time.monotonic_ns() + 1_000_000)
        ctx.poll()
    timer.cancel()


@pytest.mark.parametrize("where", ["says", "ends"])
def test_a_phase_that_was_interrupted_calls_nothing_in_the_next_turn(
    ctx, sources, where
):
    first, second = sources
    first.says = lambda: True
    raise_once(second, where)
    with pytest.raises(KeyboardInterrupt):
        turn_until_asked(ctx, first)
    first.says = lambda: False  # somebody else has read it
    assert first.asked[-1] is True
    turn_until_asked(ctx, first)
    assert first.served == []


def test_a_phase_that_was_interrupted_is_begun_anew_where_there_is_still_work(
    ctx, sources
):
    first, second = sources
    first.says = lambda: True
    raise_once(second, "says")
    with pytest.raises(KeyboardInterrupt):
        turn_until_asked(ctx, first)
    assert first.served == []
    turn_until_asked(ctx, first)
    assert first.served == [True]


def test_what_a_nested_turn_was_denied_is_not_called_in_the_outer_one(ctx, sources):
    """Between the two somebody has read it."""
    first, second = sources
    asked = []

    def nested():
        second.says = first.says = lambda: asked.append(1)
        timer = ctx.new_timer(int)
        while not asked:
            timer.mod_ns(time.monotonic_ns() + 1_000_000)
            ctx.poll()

    first.says = lambda: True
    second.says = nested
    turn_until_asked(ctx, first)
    assert asked
    assert first.served == []


def test_a_nested_turn_that_is_interrupted_calls_nothing_later(ctx, sources):
    first, second = sources

    def nested():
        raise_once(second, "says")
        with suppress(KeyboardInterrupt):
            turn_until_asked(ctx, first)
        first.says = lambda: False
        return False

    first.says = lambda: True
    second.says = nested
    turn_until_asked(ctx, first)
    turn_until_asked(ctx, first)
    assert first.asked[-1] is False
    assert first.served == []


def test_a_dispatch_that_is_interrupted_asks_again(ctx, sources):
    first, second = sources
    first.says = second.says = lambda: True
    raise_once(first, "serve")
    with pytest.raises(KeyboardInterrupt):
        turn_until_asked(ctx, first)
    first.says = second.says = lambda: False
    turn_until_asked(ctx, second)
    assert second.served == []


def test_poll_ns_is_that_of_the_handlers_that_are_there(ctx, sources):
    source = sources[0]
    ctx.set_poll_params(50_000_000)
    while not ctx.poll_ns:  # a wait that it ends soon makes the window grow
        os.write(source.other, b"x")
        ctx.poll()
    window = ctx.poll_ns
    ctx.prepare()
    assert ctx.poll_ns == window
    ctx.check()
    ctx.set_fd_handler(source.fd, lambda: os.read(source.fd, 1))  # without io_poll
    assert ctx.poll_ns < window
    for other in sources:
        ctx.set_fd_handler(other.fd)
    assert ctx.poll_ns == 0


def test_wait_that_io_poll_ends_is_no_spurious_wake_up(ctx, sources):
    source = sources[0]
    ctx.set_poll_params(1_000_000_000)
    while not ctx.poll_ns:
        os.write(source.other, b"x")
        ctx.poll()
    before = ctx.stats()
    source.says = lambda: len(source.asked) % 4 == 0
    ctx.poll()
    after = ctx.stats()
    assert after.polls_hit == before.polls_hit + 1
    assert after.spurious_wakeups == before.spurious_wakeups


def test_a_wait_inside_of_a_wait_leaves_the_time_worked_right(ctx, sources):
    first, _ = sources
    began, worked = time.monotonic_ns(), [ctx.stats().worked_ns]

    def look():
        worked.append(ctx.stats().worked_ns)

    def poll_again():
        first.says = look  # in the inner wait
        timer = ctx.new_timer(int)
        timer.mod_ns(time.monotonic_ns() + 1_000_000)
        while timer.pending:
            ctx.poll()
        return True

    first.says = poll_again
    ctx.poll()
    look()
    assert len(worked) > 2
    assert worked == sorted(worked)
    assert worked[-1] - worked[0] <= time.monotonic_ns() - began
