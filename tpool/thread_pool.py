# SPDX-License-Identifier: MIT
"""ThreadPool: runs blocking calls in threads, and polls for their results."""

from __future__ import annotations

import atexit
import functools
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import tpool._core as _core
from tpool.aio_context import AioContext
from tpool.stats import PoolStats
from tpool.worker_thread import Workers, join_all, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["ThreadPool", "after_shutdown", "exiting"]

_T = TypeVar("_T")

exiting = threading.Event()
# Called at the exit of the interpreter when all calls have ended, or are dropped.
after_shutdown: list[Callable[[], None]] = []
_interrupted = threading.Event()  # the exit was, and something is dropped


class ThreadPool(_core.ThreadPool):
    """Threads that run blocking calls and post the results to an AioContext.

    Workers block the signals that are sent to a process (SIGINT, SIGTERM, SIGHUP,
    SIGQUIT, SIGALRM, SIGCHLD, SIGCONT, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH, SIGIO,
    SIGURG), so that the kernel gives them to the owner. A child process that a call
    starts inherits that: start it elsewhere, or call
    signal.pthread_sigmask(signal.SIG_SETMASK, ()) first.

    A call runs in a copy of its caller's context variables, with a decimal context of
    its own: what it sets there is gone when it ends. What it leaves in its thread, in
    a threading.local say, the next call of that thread finds, until the thread leaves.
    With max_threads=1 and idle_timeout=None there is one, for as long as the pool.

    Args:
        ctx: The context whose owner gets the results; its polling parameters
            are those of the workers too. None: a new one, which shutdown() closes,
            where it waits, in the owner and not in a callback.
        min_threads: Threads to keep when idle.
        max_threads: Threads at most. They start when no other is free, and
            inherit the CPU affinity of the context's owner.
        idle_timeout: Seconds after which an idle thread above min_threads
            leaves; None: never.
        thread_name_prefix: Start of the threads' names; the system sees its
            first 15 bytes.
        max_pending: Requests that may wait for a thread; None: any number.
        on_full: What submit() does when so many wait: raise PoolFull, or block
            until a thread has taken one. In the owner, blocking polls the
            context.

    Raises:
        ValueError: A number is negative, or min_threads exceeds max_threads.
        TypeError: An argument has the wrong type; it is named.
        OverflowError: A number is too large; it is named.
        RuntimeError: The context is closed, or the interpreter exits.

    Context: Any thread; also a context manager, which shuts it down. A subclass
        with other arguments overrides __new__().
    Source: QEMU's thread-pool.c.
    """

    # The pool of an event loop does not: its users know asyncio's, and start
    # children in it that are to be terminated.
    _block_signals = True
    # Each request brings its contextvars: its threads start with none. In the
    # pool of an event loop they are those that any new thread would have.
    _bare_threads = True
    _threads: Workers
    _owns_ctx = False

    if TYPE_CHECKING:

        @property
        def ctx(self) -> AioContext:
            """The context whose owner gets the results."""

    def __new__(
        cls,
        ctx: AioContext | None = None,
        min_threads: int = 0,
        max_threads: int = 64,
        idle_timeout: float | None = 10.0,
        thread_name_prefix: str = "tpool",
        max_pending: int | None = None,
        *,
        on_full: Literal["raise", "block"] = "raise",
    ) -> Self:
        """Make a pool; see the class."""
        if exiting.is_set():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        owns_ctx = ctx is None
        if ctx is None:
            ctx = AioContext()
        # A wrong ctx is refused below.
        threads = Workers()
        sets = (threads, getattr(ctx, "_threads", threads))
        self = super().__new__(
            cls,
            ctx,
            min_threads,
            max_threads,
            idle_timeout,
            thread_name_prefix,
            max_pending,
            on_full,
            cls._block_signals,
            functools.partial(spawn, sets, thread_name_prefix, cls._bare_threads),
        )
        self._threads = threads
        self._owns_ctx = owns_ctx
        if ctx._closing:  # by now that shuts it down, or has gone by its pools
            self._close(0, True)
            raise RuntimeError("the AioContext is being closed")
        ctx._pools.add(self)
        return self

    def map(self, fn: Callable[..., _T], *iterables: Iterable[Any]) -> Iterator[_T]:
        """Submit fn for the items of the iterables, and return their results.

        The iterables are exhausted and all is submitted at once. The iterator
        returned waits for one result after the other, in order; closing it
        cancels those that have not started.

        Raises:
            TypeError, PoolFull, RuntimeError: As submit_many().

        Context: The owner.
        """
        requests = self.submit_many(fn, zip(*iterables, strict=False))
        results = self._results(requests)
        next(results)  # into its try: closing it early cancels too
        return results

    @staticmethod
    def _results(requests: list[_core.Request[_T]]) -> Iterator[_T]:
        requests.reverse()
        try:
            yield None  # type: ignore[misc]
            while requests:
                # Popped: the iterator keeps no result that it has given.
                yield requests.pop().result()
        finally:
            for request in requests:
                request.cancel()

    def stats(self) -> PoolStats:
        """Return what the pool has now, and what was counted so far.

        Context: Any thread.
        """
        return PoolStats(**self._stats())

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        """Accept no more requests; run those that are queued, or cancel them.

        Args:
            wait: Return when all requests are done and all threads have ended.
                In the owner, the context is polled meanwhile, so callbacks run;
                elsewhere the owner still has to dispatch what it was sent. A call
                of the pool does not wait for itself, nor for what waits for it.
            cancel_futures: Cancel the requests that have not started.

        A context that the pool has made is closed where this waits, in the owner.

        Context: Any thread. May be called twice.
        """
        if not (self._close(0, cancel_futures) and wait):
            return
        # For all requests, in the owner, and for all threads.
        self.ctx._poll_while(self._outstanding, self._threads)
        self._threads.join()
        if self._owns_ctx and self.ctx._owned:
            try:
                self.ctx._check_idle()
            except RuntimeError:  # this is a callback of it
                return
            self.ctx.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Shut it down, and wait."""
        self.shutdown()

    def __repr__(self) -> str:
        """Tell its state."""
        try:
            now, in_flight = self.stats(), self._outstanding()
        except RuntimeError:
            state = "of the process that was forked"
        else:
            state = (
                f"{'shut down' if self._down else 'open'} threads={now.threads} "
                f"running={now.running} queued={now.queued} in_flight={in_flight}"
            )
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        raise TypeError("a ThreadPool cannot be pickled: it owns threads")


def _shutdown_at_exit() -> None:
    """Let all pools finish what was submitted, before threads are joined.

    Raises:
        KeyboardInterrupt: Something has ended that, Ctrl-C say; what is dropped.
    """
    if _interrupted.is_set():
        return  # multiprocessing ends the threads of a child, and Python then too
    try:
        exiting.set()
        _core._close_pools()
        join_all()
    except BaseException as error:
        # Whatever it is: where a signal handler raises in the middle of a wait of
        # threading's, what comes out of that can be an error of its own.
        _interrupted.set()
        if dropped := _what_is_left():
            is_plain = isinstance(error, KeyboardInterrupt)
            raise KeyboardInterrupt(dropped) from None if is_plain else error
        _interrupted.clear()
        join_all()
    finally:
        for call in after_shutdown:
            call()


def _what_is_left() -> str:
    """Say what is not done; nothing where all is."""
    running, queued = _core._count_calls()
    if not (running or queued):
        return ""
    return f"{running} calls of tpool have not ended, {queued} requests are dropped"


def _tell_by_the_exit_status() -> None:
    """Die of SIGINT at last, as after any main that was interrupted.

    What a function of the exit raises is printed, and forgotten.
    """
    if _interrupted.is_set():
        hook, sys.excepthook = sys.excepthook, lambda *_: None
        _core._mark_interrupted()
        sys.excepthook = hook


def _after_fork_in_child() -> None:
    """Be told by an interruption of one's own alone."""
    _interrupted.clear()


atexit.register(_tell_by_the_exit_status)
threading._register_atexit(_shutdown_at_exit)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_after_fork_in_child)
