# SPDX-License-Identifier: MIT
"""AioFiles: reads and writes of files that an AioContext hears of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import tpool._core as _core
from tpool.aio_context import contexts
from tpool.thread_pool import ThreadPool, after_shutdown

if TYPE_CHECKING:
    from tpool.aio_context import AioContext

__all__ = ["AioFiles"]


class AioFiles(_core.AioFiles):
    """Files that are read and written without blocking the owner of a context.

    What is in the page cache is read at once, without a hop; all else is a Request,
    which is polled for as a call of a ThreadPool is, and may be awaited on any asyncio
    loop. Each request says where in the file, so any number may be in flight; they end
    in any order.

    Args:
        ctx: The context whose owner makes the requests and gets the results.
        entries: Requests that the kernel has at once, at most; the others wait. Its
            queue is the context's: the first AioFiles says how large it is.
        backend: Who makes what the page cache does not answer: "io_uring", "linux-aio",
            "threads", or None: the first of these that the system has.
        max_pending: Requests that may wait for somebody to make them, those of other
            AioFiles of the context included; None: any number.

    Raises:
        ValueError, TypeError, OverflowError: An argument is wrong; it is named.
        RuntimeError: The context is closed, or the interpreter exits.
        OSError: The system refuses the backend that is asked for.

    Context: Any thread; requests are made by the owner. Also a context manager, which
        closes it. A subclass with other arguments overrides __new__().
    """

    if TYPE_CHECKING:

        @property
        def ctx(self) -> AioContext:
            """The context whose owner gets the results."""

        @property
        def _threads(self) -> ThreadPool: ...

    def __new__(
        cls,
        ctx: AioContext,
        entries: int = 128,
        backend: Literal["io_uring", "linux-aio", "threads"] | None = None,
        *,
        max_pending: int | None = None,
    ) -> Self:
        """Make one; see the class."""
        if ctx is None:
            raise TypeError("ctx must be an AioContext, not None")
        threads = ThreadPool(
            ctx, thread_name_prefix="tpool-files", max_pending=max_pending
        )
        try:
            self = super().__new__(cls, threads, entries, backend)
        except BaseException:
            threads.shutdown(False)
            raise
        return self

    def close(self) -> None:
        """Accept no more requests, and wait for those in flight.

        In the owner the context is polled meanwhile; where an event loop runs that,
        the loop hears of their ends. Files stay open: they are their users'.

        Context: Any thread. May be called twice.
        """
        self._close()
        self._threads.shutdown()
        if not self.ctx._owned:
            self._wait()  # the owner hears of their ends later

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it, and wait."""
        self.close()

    def __repr__(self) -> str:
        """Tell its state."""
        state = "closed" if self.closed else f"open {self.backend}"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def __reduce__(self) -> str:
        """Refuse to be pickled."""
        raise TypeError("an AioFiles cannot be pickled: it owns requests in flight")


def _settle_at_exit() -> None:
    """Have what was asked for be done, as the calls of pools are."""
    for ctx in contexts:
        ctx._settle()


after_shutdown.append(_settle_at_exit)
