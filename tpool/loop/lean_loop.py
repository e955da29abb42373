# SPDX-License-Identifier: MIT
"""LeanEventLoop: what asyncio does in each turn, in fewer steps."""

from __future__ import annotations

import asyncio
import asyncio.base_events
import heapq
from asyncio import format_helpers
from math import inf, nextafter
from typing import TYPE_CHECKING, Any

from tpool._core import LoopOps
from tpool.loop.futures import settle as settle_any
from tpool.loop.stock import KNOWN, is_stock

if TYPE_CHECKING:
    import collections
    import contextvars
    from collections.abc import Callable

__all__ = ["LeanEventLoop", "settle"]

_base_events: Any = asyncio.base_events
_Handle: Any = asyncio.Handle
# What C stands for; None: for nothing, as without the GIL: see loop_ops.h.
_handle_run: Any = None
_make_handle: Any = _Handle
settle: Any = settle_any
if KNOWN:
    _ops: Any = LoopOps(
        _Handle, asyncio.TimerHandle, asyncio._get_running_loop, settle_any
    )
    settle = _ops.settle
    if hasattr(_ops, "run_handle"):
        _handle_run = _Handle._run
        _run_handle, _make_handle = _ops.run_handle, _ops.make_handle

# Of more timers, of which most are cancelled, asyncio makes a new list.
_MANY_TIMERS = 100
# A day: asyncio waits no longer.
_LONGEST_S = 24 * 3600
# Whether the source of a callback has its arguments in debug mode alone.
_HIDES_ARGS = "debug" in (format_helpers._format_callback_source.__kwdefaults__ or ())


class LeanEventLoop(asyncio.SelectorEventLoop):
    """A SelectorEventLoop whose turns are lean, and whose handles are made in C.

    Where somebody has replaced what it stands for, by the time that it begins to run,
    it leaves all to asyncio.
    """

    _is_lean: bool  # while it runs
    # Of BaseEventLoop:
    _debug: bool
    _stopping: bool
    _selector: Any
    _ready: collections.deque[Any]
    _scheduled: list[Any]
    _timer_cancelled_count: int
    _clock_resolution: float
    _current_handle: asyncio.Handle | None

    def _set_lean(self, thread_id: int | None) -> None:
        """Say in which thread the loop begins to run; None: it has ended."""
        self._is_lean = thread_id is not None and is_stock(self, LeanEventLoop)

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: object,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call callback(*args) in the next turn, as BaseEventLoop.call_soon()."""
        handle: Any
        if self._debug or not self._is_lean:
            handle = super().call_soon(callback, *args, context=context)
            if handle._source_traceback:
                del handle._source_traceback[-1]
        else:
            handle = _make_handle(callback, args, self, context)
            self._ready.append(handle)
        return handle  # type: ignore[no-any-return]

    def _run_once(self) -> None:
        """Do one turn: wait, and run what is ready then; as BaseEventLoop."""
        if not self._is_lean:
            super()._run_once()  # type: ignore[misc]
            return
        _wait(self)
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle._cancelled:
                continue
            if self._debug:
                _run_timed(self, handle)
                continue
            if _Handle._run is _handle_run:
                try:
                    if _run_handle(handle):
                        continue
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as exc:
                    _report(handle, exc)
                    continue
            handle._run()
        handle = None  # an exception's traceback has this frame


def _wait(loop: LeanEventLoop) -> None:
    """Wait for events and timers, and have ready what is to be called."""
    timers = loop._scheduled
    if timers and (timers[0]._cancelled or len(timers) > _MANY_TIMERS):
        _drop_cancelled(loop)
    timeout: float | None = None
    if loop._ready or loop._stopping:
        timeout = 0
    elif loop._scheduled:
        timeout = loop._scheduled[0]._when - loop.time()
        if timeout > _LONGEST_S:
            timeout = _LONGEST_S
        elif timeout < 0:
            timeout = 0
    events = loop._selector.select(timeout)
    if events:
        loop._process_events(events)  # type: ignore[attr-defined]
    if not loop._scheduled:
        return
    now = loop.time()
    end = now + loop._clock_resolution
    if end == now:  # after months a float cannot tell it; as since 3.15
        end = nextafter(now, inf)
    while loop._scheduled and loop._scheduled[0]._when < end:
        timer = heapq.heappop(loop._scheduled)
        timer._scheduled = False
        loop._ready.append(timer)


def _drop_cancelled(loop: LeanEventLoop) -> None:
    """Let go of timers that were cancelled: of the first ones, or, of many, of all."""
    timers, cancelled = loop._scheduled, loop._timer_cancelled_count
    if len(timers) > _MANY_TIMERS and cancelled > len(timers) / 2:
        for timer in timers:
            timer._scheduled = not timer._cancelled
        timers = [timer for timer in timers if timer._scheduled]
        heapq.heapify(timers)
        loop._scheduled = timers  # in order: an exception may come in between
        loop._timer_cancelled_count = 0
        return
    while timers and timers[0]._cancelled:
        loop._timer_cancelled_count -= 1
        heapq.heappop(timers)._scheduled = False


def _run_timed(loop: LeanEventLoop, handle: asyncio.Handle) -> None:
    """Run a handle in debug mode, and log it where that takes long."""
    loop._current_handle = handle
    try:
        began = loop.time()
        handle._run()
        took_s = loop.time() - began
        if took_s >= loop.slow_callback_duration:
            name = _base_events._format_handle(handle)
            _base_events.logger.warning("Executing %s took %.3f seconds", name, took_s)
    finally:
        loop._current_handle = None
        del handle  # an exception's traceback has this frame, as it has Handle._run()'s


def _report(handle: Any, exc: BaseException) -> None:  # noqa: ANN401  # its slots
    """Tell the handle's loop what its callback has raised, as Handle._run() does."""
    how = {"debug": handle._loop.get_debug()} if _HIDES_ARGS else {}
    source = format_helpers._format_callback_source(
        handle._callback, handle._args, **how
    )
    context = {
        "message": f"Exception in callback {source}",
        "exception": exc,
        "handle": handle,
    }
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    handle._loop.call_exception_handler(context)
