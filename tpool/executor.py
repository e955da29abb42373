# SPDX-License-Identifier: MIT
"""ThreadPoolExecutor: that of concurrent.futures, with polled completion."""

from __future__ import annotations

import _thread
import concurrent.futures
import concurrent.futures.thread
import itertools
import logging
import math
import os
import threading
import time
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import tpool._core as _core
from tpool.aio_context import default_poll_max_ns
from tpool.stats import PoolStats
from tpool.thread_pool import exiting
from tpool.worker_thread import Workers, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Future", "ThreadPoolExecutor"]

_T = TypeVar("_T")

_log = logging.getLogger("concurrent.futures")
_counter = itertools.count()
THREADS_MAX = 2**31 - 1  # as in pool/pool_core.h
# As that of an event loop: between two submits of one there is a turn of it.
POLL_MAX_NS = 65_536


class _Condition(_thread.RLock):  # type: ignore[misc]
    """What a future is locked by; a condition once somebody waits for it.

    wait() and as_completed() only lock it, and make one for each future.
    """

    __slots__ = ("_waits",)

    _waits: threading.Condition

    def _made(self) -> threading.Condition | None:
        return getattr(self, "_waits", None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for notify(), as threading.Condition; it is locked."""
        if self._made() is None:
            self._waits = threading.Condition(self)
        return self._waits.wait(timeout)

    wait_for = threading.Condition.wait_for

    def notify(self, n: int = 1) -> None:
        """Wake n of those that wait; it is locked."""
        if (waits := self._made()) is not None:
            waits.notify(n)

    def notify_all(self) -> None:
        """Wake all that wait; it is locked."""
        if (waits := self._made()) is not None:
            waits.notify_all()


class Future(_core.Future[_T], concurrent.futures.Future[_T]):
    """A concurrent.futures.Future that result() polls for.

    Its condition and its lists are made when somebody asks for them.
    """

    _Condition = _Condition


class _WorkQueue:
    """What programs ask the stock executor's queue for: how many calls wait."""

    def __init__(self, executor: ThreadPoolExecutor | None = None) -> None:
        self._executor = executor

    def __get__(self, executor: ThreadPoolExecutor, _: object = None) -> _WorkQueue:
        return _WorkQueue(executor)  # each time: the executor would be kept by its own

    def qsize(self) -> int:
        """Return how many wait for a thread."""
        return self._executor.stats().queued if self._executor else 0

    def empty(self) -> bool:
        """Tell whether none waits."""
        return not self.qsize()


class ThreadPoolExecutor(
    _core.ThreadPoolExecutor, concurrent.futures.ThreadPoolExecutor
):
    """A concurrent.futures.ThreadPoolExecutor with polled completion.

    It stands for the stock one: what that takes, does and raises, this does. Its
    threads look for the next call for a while before they sleep, and who waits for a
    result looks for that, both without the GIL; for how long is bounded and learned.

    Several threads and event loops may share one. Threads start when no other is free,
    inherit what new threads inherit, and run calls in their own contextvars, as the
    stock class has it.

    Args:
        max_workers: Threads at most; None: the CPUs and 4, and no more than 32.
        thread_name_prefix: Start of the threads' names.
        initializer: Called in each thread before anything else. Where it raises, all
            that is queued and comes later fails with BrokenThreadPool.
        initargs: Its arguments.
        poll_max_ns: Bound of the self-tuned polling time, nanoseconds; 0 turns
            polling off. Default: 65536, or what TPOOL_POLL_MAX_NS says.
        idle_timeout: Seconds after which an idle thread leaves; None: never.
        max_pending: Calls that may wait for a thread; None: any number.
        on_full: What submit() does when so many wait: raise PoolFull, or block
            until a thread has taken one.

    Raises:
        ValueError: max_workers is not greater than 0, or another number negative.
        TypeError: An argument has the wrong type; it is named.
        OverflowError: A number is too large; it is named.

    Context: Any thread; also a context manager, which shuts it down.
    """

    _work_queue = _WorkQueue()  # type: ignore[assignment]

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        poll_max_ns: int | None = None,
        idle_timeout: float | None = None,
        max_pending: int | None = None,
        on_full: Literal["raise", "block"] = "raise",
    ) -> None:
        """Make an executor; see the class."""
        if max_workers is None:
            cpus = getattr(os, "process_cpu_count", os.cpu_count)() or 1
            max_workers = min(32, cpus + 4)
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._max_workers = max_workers
        self._thread_name_prefix = (
            thread_name_prefix or f"ThreadPoolExecutor-{next(_counter)}"
        )
        self._initializer = initializer  # type: ignore[assignment]
        self._initargs = initargs
        threads = Workers()
        self._threads = threads  # type: ignore[assignment]
        if poll_max_ns is None:
            poll_max_ns = default_poll_max_ns(POLL_MAX_NS)
        start = partial(
            spawn,
            (threads,),
            self._thread_name_prefix,
            False,
            numbers=itertools.count(),
        )
        super().__init__(
            Future,
            # Any number, as the stock class has it: there are fewer while there are less.
            math.ceil(min(max_workers, THREADS_MAX)),
            idle_timeout,
            self._thread_name_prefix,
            max_pending,
            on_full,
            poll_max_ns,
            start
            if initializer is None
            else _initializing(start, initializer, initargs),
            initializer is not None,
        )
        if exiting.is_set():
            self._close(1, False)

    @property
    def _shutdown(self) -> bool:  # type: ignore[override]
        return self._down

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[_T]:
        """Submit fn for the items of the iterables, and return their results.

        Args:
            fn: What is called.
            *iterables: Its arguments, one of each for a call.
            timeout: Seconds from now in which all results are to come; None: any.
            chunksize: Of no effect in threads.
            buffersize: Calls at most whose results have not been asked for: the next
                item is taken when one is. None: all are submitted at once.

        Raises:
            TimeoutError: From the iterator: the time is over.
            TypeError, ValueError: buffersize is no int, or less than 1.
            PoolFull, RuntimeError: As submit().

        Context: Any thread. What is left of the iterator when it ends is cancelled.
        """
        if buffersize is not None:
            if not isinstance(buffersize, int):
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else time.monotonic() + timeout
        calls = zip(*iterables, strict=False)
        first = itertools.islice(calls, buffersize)
        futures = deque([self.submit(fn, *args) for args in first])
        # No reference to self: results may be waited for that nobody else does.
        more = None if buffersize is None else partial(_submit, weakref.ref(self), fn)
        return _results(futures, calls, more, deadline)

    def stats(self) -> PoolStats:
        """Return what the executor has now, and what was counted so far.

        Context: Any thread.
        """
        return PoolStats(**self._stats())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls; make those that are queued, or cancel them.

        Args:
            wait: Return when all calls and all threads have ended. A call of the
                executor does not wait for itself.
            cancel_futures: Cancel the calls that have not started.

        Context: Any thread. May be called twice.
        """
        if self._close(0, cancel_futures) and wait:
            self._threads.join()  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        """Tell its state."""
        try:
            now = self.stats()
        except RuntimeError as error:
            state = f"({error})"
        else:
            state = (
                f"{'shut down' if self._down else 'open'} threads={now.threads} "
                f"running={now.running} queued={now.queued}"
            )
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        raise TypeError("a ThreadPoolExecutor cannot be pickled: it owns threads")


def _initializing(
    start: Callable[..., None],
    initializer: Callable[..., object],
    initargs: tuple[Any, ...],
) -> Callable[[_core.Worker], None]:
    """Return what starts a thread that calls the initializer first."""
    return partial(start, initialize=partial(_initialize, initializer, initargs))


def _initialize(initializer: Callable[..., object], initargs: tuple[Any, ...]) -> bool:
    """Call the initializer of a thread, in it; whether it has returned."""
    try:
        initializer(*initargs)
    except BaseException:
        _log.critical("Exception in initializer:", exc_info=True)
        return False
    return True


def _submit(
    ref: weakref.ref[ThreadPoolExecutor], fn: Callable[..., _T], args: tuple[Any, ...]
) -> concurrent.futures.Future[_T] | None:
    """Submit one more call of a map(), if its executor is still there."""
    executor = ref()
    return None if executor is None else executor.submit(fn, *args)


def _results(
    futures: deque[concurrent.futures.Future[_T]],
    calls: Iterator[tuple[Any, ...]],
    more: Callable[[tuple[Any, ...]], concurrent.futures.Future[_T] | None] | None,
    deadline: float | None,
) -> Iterator[_T]:
    """Yield the results of a map(), in order; at the end cancel what is left."""
    try:
        while futures:
            if more is not None and (args := next(calls, None)) is not None:
                future = more(args)
                if future is not None:
                    futures.append(future)
                del future, args
            yield _result(futures.popleft(), deadline)
    finally:
        for future in futures:
            future.cancel()


def _result(future: concurrent.futures.Future[_T], deadline: float | None) -> _T:
    """Wait for one, until then; who gives up cancels it."""
    try:
        try:
            return future.result(
                None if deadline is None else deadline - time.monotonic()
            )
        finally:
            future.cancel()
    finally:
        del future  # it refers to its exception, and that to this frame
