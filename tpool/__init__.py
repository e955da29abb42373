# SPDX-License-Identifier: MIT
"""A thread pool with polled completion.

Workers run blocking calls and post the results to a lock-free list; the
AioContext that owns them polls it for a bounded, self-tuned time before it
blocks. See AioContext and ThreadPool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tpool import trace
from tpool._core import (
    BottomHalf,
    EventNotifier,
    PoolFull,
    Request,
    SimpleQueue,
    Timer,
    Watch,
)
from tpool.aio_context import AioContext
from tpool.aio_files import AioFiles
from tpool.iothread import IOThread
from tpool.ring import Ring
from tpool.stats import AioStats, PoolStats
from tpool.thread_pool import ThreadPool

if TYPE_CHECKING:
    from tpool.executor import ThreadPoolExecutor
    from tpool.loop import EventLoop, new_event_loop, open, run, to_thread
    from tpool.meter import CpuMeter, CpuUsage

__all__ = [
    "AioContext",
    "AioFiles",
    "AioStats",
    "BottomHalf",
    "CpuMeter",
    "CpuUsage",
    "EventLoop",
    "EventNotifier",
    "IOThread",
    "PoolFull",
    "PoolStats",
    "Request",
    "Ring",
    "SimpleQueue",
    "ThreadPool",
    "ThreadPoolExecutor",
    "Timer",
    "Watch",
    "new_event_loop",
    "open",
    "run",
    "to_thread",
    "trace",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # to a type checker it would hide a misspelt name

    def __getattr__(name: str) -> object:
        """Load what needs asyncio, psutil and the like when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module 'tpool' has no attribute {name!r}")
        if name.startswith("Cpu"):
            from tpool import meter

            value = getattr(meter, name)
        elif name == "ThreadPoolExecutor":
            from tpool import executor

            value = executor.ThreadPoolExecutor
        else:
            from tpool import loop

            value = getattr(loop, name)
        globals()[name] = value
        return value
