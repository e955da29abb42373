# SPDX-License-Identifier: MIT
"""EventLoop: asyncio whose hops to a thread and back are polled."""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.futures
from typing import TYPE_CHECKING, Any, TypeVar

from tpool.aio_files import AioFiles
from tpool.loop.executor import CODE, FUTURES, SUBMIT, submit_is_wrapped
from tpool.loop.futures import future_of_call
from tpool.loop.lean_loop import LeanEventLoop, settle
from tpool.loop.loop_pool import LoopPool
from tpool.loop.selector import AioSelector

if TYPE_CHECKING:
    import collections
    import concurrent.futures
    import contextvars
    from collections.abc import Callable, Coroutine

    from tpool.aio_context import AioContext

__all__ = ["EventLoop", "new_event_loop", "run"]

# With the lock that 3.14 gives to a handle that any thread may cancel.
_ThreadSafeHandle: type[asyncio.Handle]
_ThreadSafeHandle = getattr(asyncio.events, "_ThreadSafeHandle", asyncio.Handle)

_futures: Any = asyncio.futures
_T = TypeVar("_T")


class EventLoop(LeanEventLoop):
    """A SelectorEventLoop that polls completions before it blocks in epoll.

    run_in_executor(None, ...) and asyncio.to_thread() go through its pool, and
    call_soon_threadsafe() writes no byte to a pipe: the results of its own and
    of other threads are seen in the poll phase. All else is asyncio's.

    Args:
        poll_max_ns: Bound of the self-tuned polling time, nanoseconds; 0 turns
            polling off. Default: 65536, or what TPOOL_POLL_MAX_NS says. For the
            threads of others, and for answers by a socket, what a wake-up costs
            is added: who is waited for has to wake first.

    Raises:
        ValueError: poll_max_ns is negative.
        OverflowError: poll_max_ns does not fit an int64.
        OSError: The system gives no fd.

    Context: As every asyncio loop: one thread at a time.
    """

    _closed = True  # until BaseEventLoop has made it: for __del__
    _selector: AioSelector
    _runs_in: int | None = None
    _debug: bool  # of BaseEventLoop
    _default_executor: Any  # of BaseEventLoop
    _executor_shutdown_called: bool  # of BaseEventLoop
    _pool: LoopPool | None
    _ready: collections.deque[asyncio.Handle]  # of BaseEventLoop

    def __init__(self, poll_max_ns: int | None = None) -> None:
        """Make a loop; see the class."""
        self._pool = None
        self._files: AioFiles | None = None
        self._pools: dict[AioContext, LoopPool] = {}  # the parent's, after a fork
        self._selector = selector = AioSelector(poll_max_ns)
        try:
            super().__init__(selector)
        except BaseException:
            selector.close()
            self._closed = True  # for __del__, whatever has been made
            raise
        selector.dispatch_later = self._dispatch_later
        selector.callbacks = self._ready

    @property
    def ctx(self) -> AioContext:
        """The context that the loop turns.

        Raises:
            RuntimeError: The loop is closed.
        """
        selector = self._selector  # first: another thread may close the loop
        self._check_closed()  # type: ignore[attr-defined]
        return selector.ctx

    @property
    def pool(self) -> LoopPool:
        """The pool that run_in_executor(None, ...) and to_thread() use.

        Raises:
            RuntimeError: The loop is closed.
        """
        ctx, pool = self.ctx, self._pool
        if pool is None or pool.ctx is not ctx:
            pool = self._new_pool(ctx)
        return pool

    @property
    def files(self) -> AioFiles:
        """What tpool.open() reads and writes by.

        Raises:
            RuntimeError: The loop is closed.
        """
        files = self._files
        if files is None or files.ctx is not self._selector.ctx or self._closed:
            # None, or its parent's, after a fork.
            files = self._files = AioFiles(self.ctx)
        return files

    def _new_pool(self, ctx: AioContext) -> LoopPool:
        before = self._pool
        # Several threads may ask for it, and no lock is right: a collection, or a
        # fork, may come in the middle. Of two that are made one is dropped.
        pool = self._pools.setdefault(ctx, LoopPool(ctx, thread_name_prefix="asyncio"))
        self._pool = pool
        if self._default_executor is before:
            self._default_executor = pool  # asyncio shuts it down
        return pool

    @property
    def _thread_id(self) -> int | None:
        """The thread that runs the loop, for asyncio; None: it does not run.

        Whoever runs it, run_forever() or another, sets it. A loop that something
        turns by _run_once() alone belongs to nobody between two turns.
        """
        return self._runs_in

    @_thread_id.setter
    def _thread_id(self, thread_id: int | None) -> None:
        if self._selector is not None:  # asyncio's close() has it so
            self._selector.belong_to(thread_id)
        self._runs_in = thread_id
        self._set_lean(thread_id)

    def run_in_executor(
        self,
        executor: concurrent.futures.Executor | None,
        func: Callable[..., _T],
        *args: object,
    ) -> asyncio.Future[_T]:
        """Call func(*args) in a thread.

        In the loop's own pool it runs in the thread's own contextvars context, and
        no idle thread leaves: what a call leaves there is there for the next. Where
        somebody has wrapped ThreadPoolExecutor.submit(), that is called, and its
        future waited for, as by asyncio.

        Args:
            executor: None for the loop's own pool, unless
                set_default_executor() has named another.
            func: A callable that is no coroutine function.
            *args: Its arguments.

        Raises:
            RuntimeError: The loop is closed, or its executor shut down.

        Context: The loop's thread.
        """
        chosen = self._default_executor if executor is None else executor
        if chosen is not None and chosen is not self._pool:
            return super().run_in_executor(executor, func, *args)
        pool = self._pool
        if self._closed or pool is None or pool.ctx is not self._selector.ctx:
            pool = self.pool
        if self._debug:
            self._check_callback(func, "run_in_executor")  # type: ignore[attr-defined]
        if executor is None and self._executor_shutdown_called:
            self._check_default_executor()  # type: ignore[attr-defined]
        submit: Any = FUTURES["ThreadPoolExecutor"].submit
        is_known = submit is SUBMIT and submit.__code__ is CODE
        if not is_known and submit_is_wrapped():
            return future_of_call(pool.executor.submit(func, *args), self)
        # Of no class of ours: asyncio has shorter ways for its own.
        future: asyncio.Future[_T] = (
            _futures.Future(loop=self) if self._is_lean else self.create_future()
        )
        pool._submit_for(future, settle, func, args)
        return future

    def call_soon_threadsafe(
        self,
        callback: Callable[..., object],
        *args: object,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call callback(*args) in the loop's thread, in the order of all that comes.

        A thread that posts faster than the loop can run it is slowed down.

        Args:
            callback: A callable that is no coroutine function.
            *args: Its arguments.
            context: The contextvars context to call it in; None: a copy of this one.

        Raises:
            RuntimeError: The loop is closed.

        Context: Any thread, signal handlers included.
        """
        selector = self._selector
        if self._closed:
            self._check_closed()  # type: ignore[attr-defined]
        if self._debug:
            self._check_callback(callback, "call_soon_threadsafe")  # type: ignore[attr-defined]
        handle = _ThreadSafeHandle(callback, args, self, context)
        if handle._source_traceback:  # type: ignore[attr-defined]
            del handle._source_traceback[-1]  # type: ignore[attr-defined]
        try:
            selector.post(self._ready.append, handle)
        except RuntimeError:
            self._check_closed()  # type: ignore[attr-defined]  # by another thread
            raise
        return handle

    def _dispatch_later(self) -> None:
        # As call_soon(), also for a thread that selects for the one that runs it.
        self._ready.append(asyncio.Handle(self._dispatch_rest, (), self))

    def _dispatch_rest(self) -> None:
        """Go on where select() has stopped, as what was posted before has run.

        A call's result comes behind what the call has posted, and so does what it
        wakes: a task that such a callback has made takes its first step before.
        """
        selector = self._selector
        selector.is_later = False
        if selector.ctx._dispatch_rest():
            self._dispatch_later()
            selector.is_later = True

    def _write_to_self(self) -> None:
        """Wake the loop where it blocks; see notify.h. Any thread."""
        selector = self._selector
        try:
            if selector is not None:
                selector.ctx.notify()
        except RuntimeError:
            if not self.is_closed():  # by another thread, just now
                raise

    def close(self) -> None:
        """Close the loop and its pool, as asyncio's; calls that run go on."""
        super().close()
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def new_event_loop() -> EventLoop:
    """Return a new EventLoop, for `loop_factory=` and the like."""
    return EventLoop()


def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """Run a coroutine in a new EventLoop, as asyncio.run() does.

    Args:
        main: The coroutine.
        debug: Whether to run in debug mode; None: as PYTHONASYNCIODEBUG says.

    Raises:
        RuntimeError: A loop runs in this thread already.

    Context: A thread that runs no loop.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("tpool.run() cannot be called from a running event loop")
    with asyncio.Runner(debug=debug, loop_factory=new_event_loop) as runner:
        return runner.run(main)
