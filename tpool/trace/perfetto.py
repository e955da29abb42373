# SPDX-License-Identifier: MIT
"""Trace events as a file that Perfetto and chrome://tracing open.

Source: the Trace Event Format of Chrome.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tpool.trace.events import Event

__all__ = ["document"]

_Json = dict[str, Any]

# Name and colour of what a thread spends time on. chrome://tracing looks at the
# colour; Perfetto gives each name one of its own.
_HIT = ("polled: hit", "good")
_MISSED = ("polled: missed", "bad")
_BLOCKED = ("blocked", "grey")
_WORKING = ("working", "thread_state_running")
_CALL = ("call", "thread_state_running")
_SPANS = {"worker_poll": ("polled", "good"), "worker_park": ("parked", "grey")}
_FLASHES = {
    "poll_refused": "no polling: one CPU",
    "poll_skipped": "no polling: window 0",
    "poll_hopeless": "no polling: long call",
    "poll_nap": "nap",
    "poll_trial": "trial of the other way",
    "poll_pays": "polling pays",
    "poll_costs": "polling costs",
    "serial_trial": "trial of one at a time, or of many",
    "serial_pays": "one at a time pays",
    "serial_costs": "one at a time costs",
    "few_trial": "trial of a few at a time, or of many",
    "few_pays": "a few at a time pays",
    "few_costs": "a few at a time costs",
    "trial_doubted": "what is tried seems better",
    "thread_pool_submit": "submit",
    "thread_pool_cancel": "cancel",
    "thread_pool_dispatch": "dispatch",
}
# Where an arrow begins, goes by and ends.
_ARROWS = {
    "thread_pool_submit": "s",
    "thread_pool_start": "t",
    "thread_pool_dispatch": "f",
}
_FLASH_NS = 1  # a slice for an arrow to begin or end at
# What has a beginning and an end: by its beginning.
_ENDS = {
    "run_poll_handlers_begin": "run_poll_handlers_end",
    "thread_pool_start": "thread_pool_complete",
}


class _Writer:
    """Makes slices and arrows of events, which come in order of time."""

    def __init__(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns
        self.tracks: dict[int, int] = {}  # thread -> track
        self.owners: dict[int, int] = {}  # thread -> end of its last wait, ns
        self._begun: dict[tuple[int, str], Event] = {}  # by thread, and its end
        self._flows: dict[int, int] = {}  # request -> arrow
        self._numbers = itertools.count(1)

    def track(self, thread: int) -> int:
        return self.tracks.setdefault(thread, len(self.tracks) + 1)

    def _at(self, time_ns: int) -> float:
        return (time_ns - self._origin_ns) / 1e3  # the format counts in us

    def _slice(
        self,
        thread: int,
        kind: tuple[str, str],
        begin_ns: int,
        end_ns: int,
        **args: int,
    ) -> _Json:
        made: _Json = {
            "ph": "X",
            "pid": 1,
            "tid": self.track(thread),
            "name": kind[0],
            "cname": kind[1],
            "ts": self._at(begin_ns),
            "dur": (end_ns - begin_ns) / 1e3,
        }
        if args:
            made["args"] = args
        return made

    def _arrow(self, phase: str, event: Event) -> Iterator[_Json]:
        flow = self._flows.get(event.id)
        if phase == "s":
            flow = self._flows[event.id] = next(self._numbers)
        elif phase == "f":
            self._flows.pop(event.id, None)
        if flow is None:
            return  # its beginning was not recorded
        made: _Json = {
            "ph": phase,
            "pid": 1,
            "tid": self.track(event.thread),
            "cat": "request",
            "name": "request",
            "id": flow,
            "ts": self._at(event.time_ns),
        }
        if phase == "f":
            made["bp"] = "e"  # ends at the slice around it, not the next one
        yield made

    def _waited(
        self,
        thread: int,
        kind: tuple[str, str],
        begin_ns: int,
        end_ns: int,
        **args: int,
    ) -> Iterator[_Json]:
        """A wait of an owner; what lies between two waits is work."""
        last_ns = self.owners.get(thread)
        if last_ns is not None and last_ns < begin_ns:
            yield self._slice(thread, _WORKING, last_ns, begin_ns)
        yield self._slice(thread, kind, begin_ns, end_ns, **args)
        self.owners[thread] = end_ns

    def convert(self, event: Event) -> Iterator[_Json]:
        """Yield what one event adds to the file."""
        thread, now_ns = event.thread, event.time_ns
        begun = self._begun.pop((thread, event.name), None)
        if event.name in _ENDS:
            self._begun[thread, _ENDS[event.name]] = event
        elif begun is not None and event.name == "thread_pool_complete":
            yield self._slice(thread, _CALL, begun.time_ns, now_ns)
        elif begun is not None:
            kind = _HIT if event.arg else _MISSED
            yield from self._waited(
                thread, kind, begun.time_ns, now_ns, max_ns=begun.arg
            )
        elif event.name == "block":
            yield from self._waited(thread, _BLOCKED, now_ns, now_ns + event.arg)
        elif event.name in ("poll_grow", "poll_shrink"):
            yield {
                "ph": "C",
                "pid": 1,
                "name": f"poll_ns of context {event.id:#x}",
                "ts": self._at(now_ns),
                "args": {"ns": event.arg},
            }
        elif event.name in _SPANS:
            yield self._slice(thread, _SPANS[event.name], now_ns, now_ns + event.arg)
        if event.name in _FLASHES:
            flash = (_FLASHES[event.name], "good")
            yield self._slice(thread, flash, now_ns, now_ns + _FLASH_NS)
        if event.name in _ARROWS:
            yield from self._arrow(_ARROWS[event.name], event)


def _labels(writer: _Writer, names: Mapping[int, str]) -> Iterator[_Json]:
    for thread, track in writer.tracks.items():
        role = "owner" if thread in writer.owners else "thread"  # owners come first
        for what, args in (
            ("thread_name", {"name": names.get(thread, f"{role} {thread:#x}")}),
            ("thread_sort_index", {"sort_index": track - 1000 * (role == "owner")}),
        ):
            yield {"ph": "M", "pid": 1, "tid": track, "name": what, "args": args}


def document(events: Iterable[Event], names: Mapping[int, str], lost: int) -> str:
    """Return the text of a trace file.

    Args:
        events: In order of time.
        names: Name of each thread, by threading.get_ident().
        lost: Events that were overwritten before they were read; the file says it.
    """
    events = list(events)
    writer = _Writer(min((event.time_ns for event in events), default=0))
    made = [entry for event in events for entry in writer.convert(event)]
    made += _labels(writer, names)
    return json.dumps(
        {
            "traceEvents": made,
            "displayTimeUnit": "ns",
            "otherData": {"events": len(events), "lost": lost},
        }
    )
