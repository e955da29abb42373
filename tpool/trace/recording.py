# SPDX-License-Identifier: MIT
"""record(): the events of a while, in a file for Perfetto."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tpool.trace.events import disable, enable, enabled, lost, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tpool.trace.events import Event

__all__ = ["Recording", "record"]

_DRAIN_S = 0.004  # a ring is full after 5 ms at the earliest: 13 events a us


@dataclass(slots=True)
class Recording:
    """What record() has written.

    Attributes:
        events: Number of events in the file.
        lost: Events that were overwritten before they could be written.
    """

    events: int = 0
    lost: int = 0


class _Recorder:
    """Reads the events of a recording while they come, and writes the file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if enabled() or not _claim.acquire(blocking=False):
            raise RuntimeError("trace events are recorded already")
        try:
            self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115
        except BaseException:
            _claim.release()
            raise
        self.recording = Recording()
        self._events: list[Event] = []
        self._names: dict[int, str] = {}
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._run, name="tpool-trace")

    def start(self) -> None:
        _recorders.add(self)
        enable()
        self._reader.start()

    def stop_reader(self) -> None:
        """What it has not read is read by finish()."""
        self._stop.set()

    def finish(self, *, write: bool = True) -> None:
        """Record no more, and write the file; unless that has been done.

        Args:
            write: False in the child of a fork: the file is not its own.
        """
        if self._file.closed:
            return
        _recorders.discard(self)
        disable()
        try:
            with self._file:
                if write:
                    self._write()
        finally:
            _claim.release()

    def _write(self) -> None:
        from tpool.trace.perfetto import document

        self.stop_reader()
        if self._reader.is_alive():  # or it could not be started
            self._reader.join()
        self._drain()
        events, recording = self._events, self.recording
        recording.events, recording.lost = len(events), lost()
        events.sort(key=lambda event: event.time_ns)
        self._file.write(document(events, self._names, recording.lost))

    def _run(self) -> None:
        while not self._stop.wait(_DRAIN_S):
            self._drain()

    def _drain(self) -> None:
        self._events.extend(read())
        self._names.update((t.ident or 0, t.name) for t in threading.enumerate())


# Taken while a recording is made; and who makes it, one at most.
_claim = threading.Lock()
_recorders: set[_Recorder] = set()


def _stop_readers_at_exit() -> None:
    """Before the interpreter joins its threads; some may record until then."""
    for recorder in list(_recorders):
        recorder.stop_reader()


def _finish_at_exit() -> None:
    for recorder in list(_recorders):
        recorder.finish()


def _after_fork_in_child() -> None:
    for recorder in list(_recorders):
        recorder.finish(write=False)


threading._register_atexit(_stop_readers_at_exit)  # type: ignore[attr-defined]
atexit.register(_finish_at_exit)  # after them, and after a Ctrl-C
os.register_at_fork(after_in_child=_after_fork_in_child)


@contextmanager
def record(path: str | os.PathLike[str]) -> Iterator[Recording]:
    """Record what happens inside, and write it to a file at the end.

    Perfetto (ui.perfetto.dev) and chrome://tracing open the file: owners and
    workers as tracks; polled, blocked and working time as slices; each request as
    an arrow from its submit to its call and its dispatch. A thread of its own
    reads the events meanwhile, which takes the GIL now and then.

    Args:
        path: The file; it is opened at the start, and replaced.

    Returns:
        A context manager; the Recording it gives is filled in at its end.

    Raises:
        OSError: The file cannot be written.
        RuntimeError: Events are recorded already.

    Context: Any thread; for the whole interpreter.
    """
    recorder = _Recorder(os.fspath(path))  # an int would be taken for an fd
    try:
        recorder.start()
        yield recorder.recording
    finally:
        recorder.finish()
