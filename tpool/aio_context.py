# SPDX-License-Identifier: MIT
"""AioContext: an event loop that polls its completions before it blocks."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import tpool._core as _core
from tpool.registry import Registry
from tpool.ring import Ring, RingHandler
from tpool.stats import AioStats
from tpool.worker_thread import Workers, waiting_for

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures
    from collections.abc import Callable

    from tpool._core import Request
    from tpool.stats import PoolStats

__all__ = ["AioContext", "default_poll_max_ns"]

_T = TypeVar("_T")


def default_poll_max_ns(otherwise: int = _core.POLL_MAX_NS_DEFAULT) -> int:
    """Return the bound of the polling time where none is given.

    The environment variable TPOOL_POLL_MAX_NS, nanoseconds, overrides it; 0
    switches polling off.

    Args:
        otherwise: What it is without the environment variable, nanoseconds.

    Raises:
        ValueError: The variable holds something else than a natural number.
    """
    return _core._default_poll_max_ns(otherwise)


class _Pool(Protocol):
    """What is known here of a ThreadPool."""

    def stats(self) -> PoolStats:
        """See ThreadPool."""


class _Visitor(Protocol):
    """An asyncio loop, as its Visitor, that turns a context while it has requests."""

    def is_in(self, loop: asyncio.AbstractEventLoop, /) -> bool:
        """Whether it is that loop."""

    def is_over(self) -> bool:
        """Whether the loop will not run any more."""

    def leave(self) -> None:
        """Have the loop forget the context."""


class AioContext(_core.AioContext):
    """An event loop owned by one thread: fds, bottom halves, timers, completions.

    The owner is the first thread that polls it; until one does, who made it.

    Args:
        poll_max_ns: Bound of the self-tuned polling time, nanoseconds; 0 turns
            polling off. Default: 32768, or what TPOOL_POLL_MAX_NS says.
        poll_grow: Factor by which the polling time grows; 0: 2.
        poll_shrink: Divisor by which it shrinks; 0: to nothing.
        poll_hybrid: Whether the owner sleeps through most of a call that is longer
            than poll_max_ns but regular, and polls for its end, for poll_max_ns at
            most. One call in flight, and no longer than 32 times poll_max_ns. The
            less a wake-up takes here, the more regular it has to be.

    With poll_grow and poll_shrink both 0 the polling time is QEMU's until some calls
    have been waited for, and then the one that would have cost least over the last
    12 waits, if a wake-up is worth poll_max_ns. Callables are told apart by their
    code: a slow one does not end the polling for a fast one.

    Raises:
        ValueError: A parameter is negative, or TPOOL_POLL_MAX_NS no number.
        OverflowError: A parameter does not fit an int64.
        OSError: The system gives no fd.

    Context: Any thread; also a context manager, which closes it. A subclass with
        other arguments overrides __new__().
    Source: QEMU's AioContext.
    """

    _pools: Registry[_Pool]
    _threads: Workers
    _closing: bool
    _visitors: list[_Visitor]  # have its fileno() in asyncio loops
    _rings: set[RingHandler]  # that it looks at

    def __new__(
        cls,
        poll_max_ns: int | None = None,
        poll_grow: int = 0,
        poll_shrink: int = 0,
        *,
        poll_hybrid: bool = True,
    ) -> Self:
        """Make a context; see the class."""
        if poll_max_ns is None:
            poll_max_ns = default_poll_max_ns()
        self = super().__new__(
            cls, poll_max_ns, poll_grow, poll_shrink, poll_hybrid=poll_hybrid
        )
        self._pools = Registry()
        self._threads = Workers()
        self._closing = False
        self._visitors = []
        self._rings = set()
        contexts.add(self)
        return self

    def wrap_future(self, future: concurrent.futures.Future[_T]) -> Request[_T]:
        """Have the end of a call that another executor makes arrive here.

        The Request is done in the owner's turn after the future is, with its result or
        its exception, or cancelled if that was. It is polled for as calls of a pool
        are, and the thread that ends the future makes no system call where the owner
        polls. Its cancel() and running() are the future's.

        Args:
            future: A future of any executor of concurrent.futures: of threads,
                processes, interpreters, or a cluster; done or not.

        Returns:
            The Request. It and the future keep each other, but not the context: where
            that is closed or dropped, the Request is cancelled, and the future goes on.

        Raises:
            TypeError: It is no such future; asyncio's are awaited in their loops.
            RuntimeError: The context is closed, or is being closed.

        Context: Any thread.
        """
        from concurrent.futures import Future  # whoever has one has loaded it

        if not isinstance(future, Future):
            hint = ""
            if hasattr(future, "_asyncio_future_blocking"):
                hint = ": an asyncio future is awaited in its own loop"
            raise TypeError(
                f"future must be a concurrent.futures.Future, not {future!r}{hint}"
            )
        request = _core._wrap_future(self, future)
        if self._closing or self.closed:
            self._close_pools()  # that may have gone by it
            raise RuntimeError("the AioContext is being closed")
        return request

    def add_ring(
        self,
        ring: Ring,
        on_message: Callable[[bytes], object],
        on_end: Callable[[Exception], object] | None = None,
    ) -> RingHandler:
        """Call back for each message of a ring.

        This process becomes a reader of it. The poll phase looks at the ring, and only
        an owner that blocks is woken. Several messages may come in one turn, and not
        all there are: others have their callbacks in between.

        Args:
            ring: Of its other methods that receive none is to be called meanwhile.
            on_message: Called with a message, as bytes. What it raises is reported, and
                the next message comes all the same.
            on_end: Called once, when no more will come, with what recv() would raise:
                EOFError, ConnectionResetError, ...

        Returns:
            What takes the ring out of the context again: its close(). It is out when it
            has ended; close it before the ring.

        Raises:
            OSError: As recv(): there is no place for one more reader, ...
            RuntimeError: The context or the ring is closed.

        Context: The owner, or whoever has acquired the context. Callbacks run in the
            owner.
        """
        return RingHandler(self, self._rings, ring, on_message, on_end)

    def stats(self) -> AioStats:
        """Return what was counted so far.

        Raises:
            RuntimeError: The context is closed.

        Context: Any thread.
        """
        return AioStats(**self._stats())

    def close(self) -> None:
        """Shut the pools down, dispatch what has arrived, and let go of all fds.

        Queued requests are cancelled, but for those of AioFiles, which are done;
        running ones are waited for, also those of a pool that was dropped. Those
        of wrapped futures are cancelled, and the futures go on. May be called
        twice.

        Raises:
            RuntimeError: It is being polled, by a callback of its own or
                another thread, or requests of it are awaited in a loop of
                another thread; or it is an EventLoop's, which closes it.

        Context: Any thread.
        """
        if self.closed:
            return
        self._check_idle()
        self._check_loops()
        self._closing = True  # a callback that runs now makes no more pools
        try:
            self._close_pools()
            self._poll_while(lambda: self._in_flight, self._threads)
            self._threads.join()
            if self._owned and self._visitors:
                self._leave_loops()
            super().close()
            for handler in tuple(self._rings):
                handler._let_go()
        finally:
            self._closing = False

    def _poll_while(self, pending: Callable[[], int], threads: Workers) -> None:
        """Poll, in the owner, while calls are pending that can be waited for.

        In a worker of threads its own call cannot, nor can those that wait for its
        end; nor what is queued, where no other worker is there to run it.
        """
        with waiting_for(threads, self._tell) as wait:
            while self._owned and not self.closed:
                waiters = wait.waiters()
                calls = waiters.intersection(threads)
                if pending() <= len(calls):
                    break
                others = not calls or not waiters.issuperset(threads)
                if not self.poll(others) and not others:
                    break

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed
            self.notify()

    def _check_loops(self) -> None:
        """Raise RuntimeError where the loop of another thread turns it."""
        if not self._owned and not all(one.is_over() for one in self._visitors):
            raise RuntimeError(
                "cannot close an AioContext whose requests are awaited in the event "
                "loop of another thread"
            )

    def _leave_loops(self) -> None:
        """Have the asyncio loops that turn it forget it."""
        for visitor in self._visitors:
            visitor.leave()
        self._visitors.clear()
        self.check()  # no loop waits for it any more

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Tell its state."""
        state = "closed"
        if not self.closed:
            state = (
                f"open poll_max_ns={self.poll_max_ns} owner={self._owner_tid} "
                f"in_flight={self._in_flight} pools={len(list(self._pools))}"
            )
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        raise TypeError("an AioContext cannot be pickled: it owns fds and a thread")


# All that are open, or were.
contexts: Registry[AioContext] = Registry()


def _after_fork_in_child() -> None:
    inherited = list(contexts)
    for ctx in inherited:
        ctx._after_fork()
    for ctx in inherited:  # which runs code
        ctx._hand_over()


os.register_at_fork(after_in_child=_after_fork_in_child)
