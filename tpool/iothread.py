"""IOThread: a thread that does nothing but run an AioContext."""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import TYPE_CHECKING, Self

from tpool.aio_context import AioContext
from tpool.thread_pool import ThreadPool

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["IOThread"]

_numbers = itertools.count(1)

# Those that may run when the interpreter exits.
_iothreads: weakref.WeakSet[IOThread] = weakref.WeakSet()


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
    any other, and the context is closed.

    Raises:
        ValueError: poll_max_ns is negative.
        OSError: The system gives no fd.
        RuntimeError: The system gives no thread.

    Context: Any thread; also a context manager, which stops it and joins it.
    Source: QEMU's iothread.c.
    """

    def __init__(
        self, name: str | None = None, poll_max_ns: int | None = None
    ) -> None:
        """Start the thread; see the class."""
        self.ctx = AioContext(poll_max_ns)
        self.pool = ThreadPool(self.ctx)
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=_run,
            args=(self.ctx, self._stopping),
            name=name or f"IOThread-{next(_numbers)}",
            daemon=False,
        )
        try:
            self._thread.start()
        except BaseException:
            self.ctx.close()
            raise
        _iothreads.add(self)

    def stop(self) -> None:
        """Have the thread finish: queued requests are cancelled.

        Does not wait. May be called twice.

        Context: Any thread, also the thread itself.
        """
        self._stopping.set()
        if not self.ctx.closed:
            self.ctx.notify()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until the thread has ended, its context closed.

        Args:
            timeout: Seconds to wait at most; None: for ever.

        Returns:
            Whether it has ended.

        Raises:
            RuntimeError: Called by the thread itself.

        Context: Any other thread.
        """
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it and join it."""
        self.stop()
        self.join()


def _run(ctx: AioContext, stopping: threading.Event) -> None:
    with ctx:
        while not stopping.is_set():
            ctx.poll()


def _stop_at_exit() -> None:
    """Stop all, before the interpreter joins its threads."""
    for iothread in list(_iothreads):
        iothread.stop()


threading._register_atexit(_stop_at_exit)  # type: ignore[attr-defined]
