# SPDX-License-Identifier: MIT
"""Trace events of the core: to switch them on and off, and to read them."""

from __future__ import annotations

from dataclasses import dataclass

import tpool._core as _core

__all__ = ["Event", "disable", "enable", "enabled", "lost", "read"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        time_ns: When, in nanoseconds of the monotonic clock.
        thread: Where, as threading.get_ident() says it.
        name: Name of the event.
        id: id() of the context or the request; the same number for all of a pool.
        arg: Second parameter of the event: nanoseconds, or progress as 0 or 1.
    """

    time_ns: int
    thread: int
    name: str
    id: int
    arg: int


def enable() -> None:
    """Forget what was recorded, and record from now on.

    Context: Any thread; for the whole interpreter.
    """
    _core._trace_clear()
    _core._trace_enable(True)


def disable() -> None:
    """Record no more; what was recorded can still be read.

    Context: Any thread.
    """
    _core._trace_enable(False)


def enabled() -> bool:
    """Return whether events are recorded."""
    return _core._trace_enabled()


def lost() -> int:
    """Return how many events since enable() were overwritten before read().

    Each thread keeps its last 65535.
    """
    return _core._trace_lost()


def read() -> list[Event]:
    """Take what was recorded, in order of time.

    Events of one thread are in the order in which they happened. So are those
    of two threads of which one waited for the other.

    Context: Any thread.
    """
    events = [
        Event(time_ns, thread, _core._TRACE_KINDS[kind], id_, arg)
        for time_ns, thread, kind, id_, arg in _core._trace_read()
    ]
    events.sort(key=lambda event: event.time_ns)
    return events
