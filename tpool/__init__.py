"""A thread pool with polled completion.

Workers run blocking calls and post the results to a lock-free list; the
AioContext that owns them polls it for a bounded, self-tuned time before it
blocks. See AioContext and ThreadPool.
"""

from __future__ import annotations

from tpool import trace
from tpool._core import BottomHalf, EventNotifier, PoolFull, Request, Timer
from tpool.aio_context import AioContext
from tpool.iothread import IOThread
from tpool.stats import AioStats, PoolStats
from tpool.thread_pool import ThreadPool

__all__ = [
    "AioContext",
    "AioStats",
    "BottomHalf",
    "EventNotifier",
    "IOThread",
    "PoolFull",
    "PoolStats",
    "Request",
    "ThreadPool",
    "Timer",
    "trace",
]
