# SPDX-License-Identifier: MIT
"""WorkerThread: the Python thread that a worker of a ThreadPool runs in."""

from __future__ import annotations

import _thread
import contextlib
import itertools
import os
import sys
import threading
import time
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tpool.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import tpool._core as _core

__all__ = [
    "WorkerThread",
    "Workers",
    "check_threads",
    "join_all",
    "spawn",
    "thread_cpu_ns",
    "waiting_for",
]

_numbers = itertools.count(1)


def _no_context() -> dict[str, Any]:
    """Arguments of a Thread that shall have no contextvars context.

    3.14 lets a thread start with its parent's, of which it would keep all. One for
    each thread, as no two can be in the same.
    """
    if sys.version_info < (3, 14):
        return {}
    import contextvars

    return {"context": contextvars.Context()}


def check_threads() -> None:
    """Refuse what stands for threads and is none: its wait would hold up all.

    Raises:
        RuntimeError: gevent or eventlet has put its greenlets there.
    """
    if not isinstance(_thread.start_new_thread, types.BuiltinFunctionType):
        raise RuntimeError(
            "threads have been replaced by greenlets, and a worker needs a real one: "
            "use gevent.monkey.patch_all(thread=False), or "
            "eventlet.monkey_patch(thread=False)"
        )


def thread_cpu_ns(native_id: int) -> int:
    """Return the CPU time of a thread of this process; 0: it has ended."""
    if sys.platform == "linux":
        try:
            # The kernel's name of the CPU clock of a thread, in nanoseconds;
            # psutil has ticks of 10 ms.
            return time.clock_gettime_ns((~native_id << 3) | 6)
        except OSError:
            return 0
    import psutil

    for thread in psutil.Process().threads():
        if thread.id == native_id:
            return int((thread.user_time + thread.system_time) * 1e9)
    return 0


class Workers:
    """The threads of a context or a pool, from their start to their end."""

    def __init__(self) -> None:
        """Make an empty set."""
        self._threads: set[WorkerThread] = set()
        self._ended_cpu_ns = 0
        # A thread's end, and who counts. Reentrant: a collection in the middle
        # may run code that starts a thread in vain.
        self._lock = threading.RLock()

    def _after_fork(self) -> None:
        """Begin anew in the child: a thread of the parent may have the lock."""
        self._threads.clear()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        """Return how many there are now."""
        return len(self._threads)

    def __iter__(self) -> Iterator[WorkerThread]:
        """Iterate over those that there were when it began."""
        return iter(list(self._threads))

    def add(self, thread: WorkerThread) -> None:
        """Take a thread in."""
        _sets.add(self)  # again, as a collection that spares it forgets it
        self._threads.add(thread)

    def discard(self, thread: WorkerThread) -> None:
        """Let go of a thread, which has not begun or is the caller."""
        with self._lock:
            if thread in self._threads:
                self._threads.discard(thread)
                if thread.native_id == threading.get_native_id():
                    self._ended_cpu_ns += time.thread_time_ns()
        for wait in _waits.copy():
            if wait.threads is self and wait.tell is not None:
                wait.tell()

    def cpu_ns(self) -> int:
        """Return the CPU time of all, those that have ended included."""
        with self._lock:
            ids = [thread.native_id for thread in self if thread.native_id]
            return self._ended_cpu_ns + sum(map(thread_cpu_ns, ids))

    def join(self) -> None:
        """Wait until all have ended.

        In a worker, but for those that wait for it; in a signal handler, but for one
        whose start it has interrupted.
        """
        me = threading.get_ident()
        with waiting_for(self) as wait:
            while others := {
                thread for thread in set(self) - wait.waiters() if thread.starter != me
            }:
                for thread in others:
                    thread.join()
                    self._threads.discard(thread)


@dataclass(eq=False, slots=True)
class _Wait:
    """A worker's wait for the ends of others, or of their calls.

    Of workers that wait for each other in a circle the last to begin does not wait
    for those whose waits lead back to it.

    Attributes:
        thread: Whose.
        threads: For whose.
        tell: Called by each of those as it ends, or None.
    """

    thread: threading.Thread
    threads: Workers
    tell: Callable[[], object] | None

    def waiters(self) -> set[threading.Thread]:
        """Return the thread, and those that cannot end before it does."""
        known: list[tuple[threading.Thread, set[WorkerThread]]] = []
        # In order: each looks at those that began before it, and so at the same.
        for wait in _waits.copy():
            found: set[threading.Thread] = {wait.thread}
            while more := {
                waiter
                for waiter, others in known
                if waiter not in found and not found.isdisjoint(others)
            }:
                found |= more
            if wait is self:
                return found
            known.append((wait.thread, set(wait.threads) - found))
        return set()  # no worker's: nobody waits for its end


@contextlib.contextmanager
def waiting_for(
    threads: Workers, tell: Callable[[], object] | None = None
) -> Iterator[_Wait]:
    """Have the workers know that the calling thread waits for threads."""
    wait = _Wait(threading.current_thread(), threads, tell)
    if not isinstance(wait.thread, WorkerThread):
        yield wait
        return
    _waits.append(wait)
    try:
        yield wait
    finally:
        _waits.remove(wait)


# In the order in which they began. No lock: a wait can begin in the middle of this, in
# a garbage collection or a signal handler.
_waits: list[_Wait] = []
# Those with threads are alive, as each thread knows the sets that it is in.
_sets: Registry[Workers] = Registry()


def join_all() -> None:
    """Wait until all workers' threads have ended, also of pools that are gone."""
    for threads in _sets:
        threads.join()


def _after_fork_in_child() -> None:
    me = threading.current_thread()
    _waits[:] = [wait for wait in _waits if wait.thread is me]
    for threads in _sets:
        threads._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


class _Started(threading.Event):
    """What Thread.start() waits for."""

    def wait(self, timeout: float | None = None) -> bool:
        """Say at once that it is so."""
        return True

    def wait_for_it(self, timeout: float | None) -> bool:
        """Wait until it is so."""
        return super().wait(timeout)


class WorkerThread(threading.Thread):
    """A thread whose start() does not wait for it to run.

    submit() starts threads, and runs in __del__ and in signal handlers too: so
    perhaps inside a lock that the new thread needs before it says that it runs.

    Args:
        worker: What it runs.
        name: Its name.
        sets: Sets that it is in from its start to its end.
        bare: Whether it starts without contextvars.
        initialize: Called in it first; false: it is not to run the worker. None:
            nothing is to be called.
    """

    def __init__(
        self,
        worker: _core.Worker,
        name: str,
        sets: tuple[Workers, ...],
        bare: bool,
        initialize: Callable[[], bool] | None = None,
    ) -> None:
        """Make a thread; see the class."""
        super().__init__(name=name, daemon=False, **(_no_context() if bare else {}))
        self._worker: _core.Worker | None = worker
        self._sets = sets
        self._initialize = initialize
        self._started = _Started()
        self._failed = False
        self.starter: int | None = None  # the thread that is in start()

    def start(self) -> None:
        """Start it; join() waits for that too."""
        self.starter = threading.get_ident()
        try:
            for threads in self._sets:
                threads.add(self)
            super().start()
        except BaseException:
            self._failed = True
            self._started.set()
            self._worker = None  # whoever asked for it is told
            self._forget()
            raise
        finally:
            self.starter = None

    def _bootstrap(self) -> None:
        try:
            super()._bootstrap()  # type: ignore[misc]
        finally:
            if not self._started.is_set():  # no memory for it
                with threading._active_limbo_lock:  # type: ignore[attr-defined]
                    threading._limbo.pop(self, None)  # type: ignore[attr-defined]
                self._failed = True
                self._started.set()
            self._forget()

    def run(self) -> None:
        """Run the worker, as what any Thread runs: libraries wrap Thread.run()."""
        try:
            self._target = self._work
            super().run()
        finally:
            self._lose()

    def _work(self) -> None:
        initialize, self._initialize = self._initialize, None
        is_ready = initialize is None or initialize()
        del initialize
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if is_ready:
            worker.run()
        else:
            worker.broken()

    def _delete(self) -> None:
        # The end of every thread: also of one that a profile or trace hook has
        # ended before run(), so that its worker is not waited for. Who waits for all
        # threads finds it here, or finds it in threading.enumerate() no more.
        self._lose()
        super()._delete()  # type: ignore[misc]
        self._forget()

    def _lose(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.lost()

    def _forget(self) -> None:
        self._lose()
        for threads in self._sets:
            threads.discard(self)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        self._started.wait_for_it(timeout)
        if not self._failed:
            super().join(timeout)


def spawn(
    sets: tuple[Workers, ...],
    name_prefix: str,
    bare: bool,
    worker: _core.Worker,
    *,
    numbers: Iterator[int] = _numbers,
    initialize: Callable[[], bool] | None = None,
) -> None:
    """Start a thread on worker, named after a prefix and the next number."""
    check_threads()
    name = f"{name_prefix}_{next(numbers)}"
    WorkerThread(worker, name, sets, bare, initialize).start()
