# SPDX-License-Identifier: MIT
"""asyncio whose hops to a thread and back are polled; loaded when first used."""

from __future__ import annotations

from tpool.loop.event_loop import EventLoop, new_event_loop, run
from tpool.loop.hops import to_thread
from tpool.loop.open_file import open

__all__ = ["EventLoop", "new_event_loop", "open", "run", "to_thread"]
