# SPDX-License-Identifier: MIT
"""IOThread: a thread that does nothing but run an AioContext."""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Self

from tpool.aio_context import AioContext
from tpool.thread_pool import ThreadPool, after_shutdown
from tpool.worker_thread import check_threads, waiting_for

__all__ = ["IOThread"]

# How often the creator looks whether the thread has died at its start, seconds.
_ALIVE_S = 0.1

_numbers = itertools.count(1)

# Those that run, for the exit of the interpreter: also if nobody else knows them.
_running: set[tuple[AioContext, threading.Event]] = set()
_exiting = threading.Event()


class IOThread:
    """A thread that owns an AioContext and polls it until it is stopped.

    Args:
        name: Name of the thread; default: IOThread-N.
        poll_max_ns: Bound of the context's polling time, nanoseconds; default
            as for AioContext.

    Attributes:
        ctx: The context; its callbacks run in the thread.
        pool: A ThreadPool whose completions the thread dispatches.

    An exception that leaves poll(), SystemExit say, ends the thread as it ends
    any other, and the context is closed. At the exit of the interpreter it is
    stopped when all that was submitted to its pool is done.

    Raises:
        ValueError: poll_max_ns is negative.
        OSError: The system gives no fd.
        RuntimeError: The system gives no thread, or the interpreter exits.

    Context: Any thread; also a context manager, which stops it and joins it.
    Source: QEMU's iothread.c.
    """

    def __init__(self, name: str | None = None, poll_max_ns: int | None = None) -> None:
        """Start the thread; see the class."""
        if _exiting.is_set():
            raise RuntimeError("cannot start an IOThread after interpreter shutdown")
        check_threads()
        self.ctx = AioContext(poll_max_ns)
        self.pool = ThreadPool(self.ctx)
        self._stopping = threading.Event()
        owned = threading.Event()
        self._thread = threading.Thread(
            target=_run,
            args=(self.ctx, self._stopping, owned),
            name=name or f"IOThread-{next(_numbers)}",
            daemon=False,
        )
        try:
            self._thread.start()
        except BaseException:
            self.ctx.close()
            raise
        while not owned.wait(_ALIVE_S) and self._thread.is_alive():
            pass

    def stop(self) -> None:
        """Have the thread finish: queued requests are cancelled.

        Does not wait. May be called twice.

        Context: Any thread, also the thread itself.
        """
        _stop(self.ctx, self._stopping)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended, its context closed.

        Args:
            timeout: Seconds to wait at most; None: for ever.

        Returns:
            Whether it has ended. At once where it waits for the end of the caller,
            a call of its pool.

        Raises:
            RuntimeError: Called by the thread itself.
            TypeError, ValueError: timeout is no number, negative or NaN.

        Context: Any other thread.
        """
        if timeout is not None:
            if not isinstance(timeout, (int, float)):
                raise TypeError(
                    f"timeout must be a number of seconds or None, not {timeout!r}"
                )
            if not timeout >= 0:
                raise ValueError(f"timeout must be at least 0, not {timeout!r}")
            timeout = min(timeout, threading.TIMEOUT_MAX)
        threads = self.ctx._threads
        with waiting_for(threads) as wait:
            if wait.waiters().isdisjoint(threads):
                self._thread.join(timeout)
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop it and join it."""
        self.stop()
        self.join()


def _run(ctx: AioContext, stopping: threading.Event, owned: threading.Event) -> None:
    _running.add((ctx, stopping))
    try:
        try:
            ctx.poll(False)  # before the creator can do so, and be the owner
        finally:
            owned.set()
        while not stopping.is_set() and not _exiting.is_set():
            ctx.poll()
    finally:
        _close(ctx)
        _running.discard((ctx, stopping))


def _close(ctx: AioContext) -> None:
    """Close ctx, whatever its callbacks raise; each has its turn once."""
    try:
        ctx.close()
    finally:
        if not ctx.closed:
            _close(ctx)


def _stop(ctx: AioContext, stopping: threading.Event) -> None:
    stopping.set()
    with contextlib.suppress(RuntimeError):  # it has ended, and is closed
        ctx.notify()


def _stop_at_exit() -> None:
    """Stop all: until now they have dispatched what was still to be done."""
    _exiting.set()
    for ctx, stopping in list(_running):
        _stop(ctx, stopping)


after_shutdown.append(_stop_at_exit)
