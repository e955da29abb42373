# SPDX-License-Identifier: MIT
"""LoopPool: the ThreadPool of an asyncio event loop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from tpool.loop.executor import executor_on
from tpool.thread_pool import ThreadPool

if TYPE_CHECKING:
    from concurrent.futures import Executor

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
    _executor: Executor | None = None

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

    @property
    def executor(self) -> Executor:
        """As what asyncio would know it; for who has to hear of each call."""
        if self._executor is None:
            self._executor = executor_on(self)
        return self._executor

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        """Shut it down, as ThreadPool.shutdown()."""
        if self._executor is not None:
            self._executor.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures)
