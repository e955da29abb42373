# SPDX-License-Identifier: MIT
"""EventNotifier: what it says to another thread, and its fd."""

from __future__ import annotations

import os
import select

import pytest

import tpool

pytestmark = pytest.mark.timeout(60)


def readable(fd):
    watcher = select.poll()
    watcher.register(fd, select.POLLIN)
    return bool(watcher.poll(0))


@pytest.mark.parametrize("active", [False, True])
def test_new_notifier_is_readable_only_if_active(active):
    note = tpool.EventNotifier(active)
    assert readable(note.fileno()) is active
    assert note.test_and_clear() is active
    note.close()


def test_set_makes_it_readable_until_it_is_cleared_once():
    note = tpool.EventNotifier()
    note.set()
    note.set()
    assert readable(note.fileno())
    assert note.test_and_clear() is True
    assert note.test_and_clear() is False
    assert not readable(note.fileno())
    note.close()


def test_set_in_another_thread_is_seen(background):
    note = tpool.EventNotifier()
    background(note.set).finish()
    assert note.test_and_clear() is True
    note.close()


def test_close_twice_frees_the_fd_and_methods_say_that_it_is_closed():
    note = tpool.EventNotifier()
    fd = note.fileno()
    note.close()
    note.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    for method in (note.set, note.test_and_clear, note.fileno):
        with pytest.raises(RuntimeError, match="the EventNotifier is closed"):
            method()


def test_dropped_notifier_closes_its_fd():
    note = tpool.EventNotifier()
    fd = note.fileno()
    del note
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_notifier_is_not_inherited_by_another_program():
    note = tpool.EventNotifier()
    assert not os.get_inheritable(note.fileno())
    note.close()


def test_context_keeps_the_notifier_that_it_watches_alive(ctx):
    ran = []

    def watch():
        note = tpool.EventNotifier(active=True)
        ctx.set_event_notifier(note, lambda: ran.append(1))
        return note.fileno()

    fd = watch()
    assert ctx.poll(False)
    assert ran == [1]
    ctx.set_fd_handler(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_context_stops_watching_a_notifier_without_callbacks(ctx):
    note = tpool.EventNotifier(active=True)
    ctx.set_event_notifier(note, note.test_and_clear)
    assert ctx.poll_disable_cnt == 1
    ctx.set_event_notifier(note)
    assert ctx.poll_disable_cnt == 0
    assert ctx.poll(False) is False
    assert note.test_and_clear() is True
    note.close()


def test_context_stops_watching_a_notifier_that_was_closed(ctx):
    note = tpool.EventNotifier()
    ctx.set_event_notifier(note, note.test_and_clear)
    note.close()
    ctx.set_event_notifier(note)
    assert ctx.poll_disable_cnt == 0
    with pytest.raises(RuntimeError, match="EventNotifier is closed"):
        ctx.set_event_notifier(note)
