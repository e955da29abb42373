"""LoopPool: the ThreadPool of an asyncio event loop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from tpool.thread_pool import ThreadPool

if TYPE_CHECKING:
    from tpool.aio_context import AioContext

__all__ = ["LoopPool"]


class LoopPool(ThreadPool):
    """The pool of an event loop, as users of asyncio expect it.

    No more threads than the stock loop's, and none that leaves: what a call has
    put into its thread, connections say, is there for the next one. Signals reach
    the children that a call starts, whose workers here do not block them: the
    guard of the context sees them wherever they arrive.
    """

    _block_signals = False
    _bare_threads = False

    def __new__(cls, ctx: AioContext, *, thread_name_prefix: str) -> Self:
        """Make a pool; see the class."""
        cpus = getattr(os, "process_cpu_count", os.cpu_count)() or 1
        return super().__new__(
            cls,
            ctx,
            max_threads=min(32, cpus + 4),
            idle_timeout=None,
            thread_name_prefix=thread_name_prefix,
        )
