# SPDX-License-Identifier: MIT
"""A context calls back when a word in shared memory changes."""

from __future__ import annotations

import gc
import mmap
import os
import struct
import subprocess
import sys
import weakref

import pytest
from conftest import needs_polling, poll_until, wait_blocked

import tpool

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def memory():
    return mmap.mmap(-1, mmap.PAGESIZE)


def put(memory, number, offset=0):
    struct.pack_into("=I", memory, offset, number)


def test_a_change_is_called_back_for_once(ctx, memory):
    seen = []
    with_offset = ctx.watch(memory, 8, lambda: seen.append(memory[8]))
    for _ in range(3):
        assert not ctx.poll(False)
    for number in (1, 2, 1):
        put(memory, number, 8)
        assert ctx.poll(False)
        assert not ctx.poll(False)
        assert seen.pop() == number
    put(memory, 1, 0)  # another word
    put(memory, 1, 12)
    assert not ctx.poll(False)
    with_offset.close()
    with_offset.close()
    assert with_offset.closed
    put(memory, 7, 8)
    assert not ctx.poll(False)
    assert seen == []


def test_a_value_is_called_back_for_each_time_it_comes(ctx, memory):
    seen = []
    watches = [
        ctx.watch(memory, 0, lambda: seen.append("five"), value=5),
        ctx.watch(memory, 0, lambda: seen.append("zero"), value=0),
    ]
    assert ctx.poll(False)  # it is 0
    assert seen == ["zero"]
    for number, expected in (
        (4, []),
        (5, ["five"]),
        (5, []),
        (0, ["zero"]),
        (5, ["five"]),
    ):
        seen.clear()
        put(memory, number)
        ctx.poll(False)
        assert seen == expected
    assert not any(one.closed for one in watches)


@pytest.mark.parametrize("poll_max_ns", [0, 10_000_000])
def test_an_owner_that_waits_sees_it(memory, background, poll_max_ns):
    """By itself: nobody wakes it."""
    with tpool.AioContext(poll_max_ns) as ctx:
        seen = []
        ctx.watch(memory, 0, lambda: seen.append(1))

        def change():
            for number in range(1, 20):
                wait_blocked(ctx)
                put(memory, number)

        changing = background(change)
        while not seen:
            ctx.poll()
        while changing.is_alive():
            ctx.poll()
        changing.finish()


def test_one_poll_that_blocks_is_bounded_and_as_long_as_it_was_asked_for(ctx, memory):
    watch = ctx.watch(memory, 0, print)
    assert not ctx.poll()  # it would wait for ever
    watch.close()
    longer = ctx.watch(memory, 0, print, interval=0.01)
    assert 0 < ctx.prepare() <= 10_000_000
    ctx.check()
    longer.close()
    ctx.watch(memory, 0, print, interval=None)
    assert ctx.prepare() == -1
    ctx.check()


def test_a_notifier_wakes_an_owner_whose_blocks_are_not_bounded(memory, background):
    note = tpool.EventNotifier()
    with tpool.AioContext() as ctx:
        seen = []
        ctx.watch(memory, 0, lambda: seen.append(1), interval=None)
        ctx.set_event_notifier(note, note.test_and_clear)

        def change():
            wait_blocked(ctx)
            put(memory, 1)
            note.set()

        changing = background(change)
        while not seen:
            assert ctx.poll()
        changing.finish()
    note.close()


@needs_polling
def test_it_is_polled_for_where_that_pays(memory, background):
    with tpool.AioContext(10_000_000) as ctx:
        ctx.watch(memory, 0, int)
        found = []

        def change():
            while not found:
                memory[0] = (memory[0] + 1) % 256

        changing = background(change)
        try:
            poll_until(ctx, lambda: ctx.poll() and ctx.stats().polls_hit)
        finally:
            found.append(True)
        changing.finish()


def test_a_callback_that_raises_is_reported_and_the_others_are_called(
    ctx, memory, unraisable
):
    seen = []
    ctx.watch(memory, 0, lambda: [][0])
    ctx.watch(memory, 0, lambda: seen.append(1))
    put(memory, 1)
    ctx.poll(False)
    put(memory, 2)
    ctx.poll(False)
    assert seen == [1, 1]
    assert [type(error) for error in unraisable] == [IndexError, IndexError]


def test_a_callback_may_poll_close_and_watch(ctx, memory):
    seen = []

    def first():
        seen.append("first")
        put(memory, 9, 4)
        ctx.poll(False)
        for one in watches:
            one.close()
        watches.append(ctx.watch(memory, 8, lambda: seen.append("new")))

    watches = [ctx.watch(memory, 0, first)]
    watches.append(ctx.watch(memory, 4, lambda: seen.append("nested")))
    put(memory, 1)
    ctx.poll(False)
    assert seen == ["first", "nested"]
    put(memory, 1, 8)
    put(memory, 2, 4)
    ctx.poll(False)
    assert seen == ["first", "nested", "new"]


def test_the_buffer_is_held_until_it_is_closed(ctx, memory):
    watch = ctx.watch(memory, 0, print)
    with pytest.raises(BufferError):
        memory.close()
    with pytest.raises(BufferError):
        memory.resize(8192)
    watch.close()
    memory.resize(mmap.PAGESIZE)
    again = ctx.watch(memory, 0, print)
    ctx.close()
    assert again.closed
    again.close()


def test_the_context_keeps_a_watch_and_the_collector_finds_both(memory):
    ctx = tpool.AioContext()
    ctx.me = ctx
    ctx.watch(memory, 0, ctx.poll)
    gone = weakref.ref(ctx)
    del ctx
    gc.collect()
    assert gone() is None
    memory.resize(mmap.PAGESIZE)  # nobody holds it


def test_wrong_arguments_are_refused(ctx, memory):
    for offset in (1, 2, mmap.PAGESIZE - 3, mmap.PAGESIZE, -1, 2**63):
        with pytest.raises((ValueError, OverflowError), match="offset"):
            ctx.watch(memory, offset, print)
    for value in (-1, 2**32):
        with pytest.raises((ValueError, OverflowError), match="value"):
            ctx.watch(memory, 0, print, value=value)
    for interval in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="interval"):
            ctx.watch(memory, 0, print, interval=interval)
    for wrong in (None, 5, [0] * 8):
        with pytest.raises(TypeError):
            ctx.watch(wrong, 0, print)
    with pytest.raises(TypeError):
        ctx.watch(memory, 0, None)
    with pytest.raises(ValueError, match="offset"):
        ctx.watch(b"abc", 0, print)
    memory.resize(mmap.PAGESIZE)  # none of them holds it
    ctx.close()
    with pytest.raises(RuntimeError, match="closed"):
        ctx.watch(memory, 0, print)


def test_another_process_changes_it(ctx):
    fd = os.memfd_create("word")
    os.ftruncate(fd, mmap.PAGESIZE)
    with mmap.mmap(fd, 0) as memory:
        seen = []
        watch = ctx.watch(memory, 0, lambda: seen.append(memory[0]), value=3)
        code = f"import mmap; mmap.mmap({fd}, 0)[0] = 3"
        with subprocess.Popen([sys.executable, "-c", code], pass_fds=[fd]):
            poll_until(ctx, lambda: seen)
        assert seen == [3]
        watch.close()
    os.close(fd)


def test_the_child_of_a_fork_watches_nothing(isolated):
    isolated("watch_cases.py", "the_child_of_a_fork_watches_nothing")
