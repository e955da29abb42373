# SPDX-License-Identifier: MIT
"""to_thread(), and requests that are awaited: in any asyncio loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tpool.loop.event_loop import EventLoop
from tpool.loop.futures import future_of, settle_from_elsewhere, settle_here
from tpool.loop.guest import pool_of, visit
from tpool.loop.lean_loop import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tpool._core import Request
    from tpool.aio_context import AioContext

__all__ = ["to_thread"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _settle_behind(request: Request[_T], future: asyncio.Future[_T]) -> None:
    """Settle the future of a request of another context: behind what its call has posted."""
    loop = future.get_loop()
    if asyncio._get_running_loop() is not loop or isinstance(loop, EventLoop):
        settle_from_elsewhere(request, future)
    elif getattr(loop, "_ready", True):  # who has none does not say
        loop.call_soon(settle_here, request, future)
    else:
        settle_here(request, future)


def _await_request(
    request: Request[_T], ctx: AioContext | None, is_run: bool
) -> Generator[Any, None, _T]:
    """Implement Request.__await__.

    Args:
        request: It.
        ctx: Its context, if that is this thread's own.
        is_run: Whether a loop turns it already.
    """
    loop = asyncio.get_running_loop()
    how = _settle_behind
    if isinstance(loop, EventLoop) and ctx is loop._selector.ctx:
        how = settle
    elif ctx is not None and not is_run:
        visit(loop, ctx)
    return future_of(request, loop, how).__await__()


async def to_thread(fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call fn in a thread and return its result, in any asyncio loop.

    The call runs in a copy of the caller's contextvars context, so that tracing
    goes along; what wraps ThreadPoolExecutor.submit(), as tracing libraries do for
    run_in_executor() and asyncio.to_thread(), is not called. On an EventLoop
    its completion is polled for; another loop is polled for a moment, and woken
    by one fd, once for all that has completed meanwhile. There, asyncio.run()
    does not wait for a call that nobody awaits any more.

    Raises:
        RuntimeError: No loop runs, or an EventLoop's executor is shut down.

    Context: A coroutine.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, EventLoop):
        request, how = pool_of(loop).submit(fn, *args, **kwargs), _settle_behind
    else:
        loop._check_default_executor()  # type: ignore[attr-defined]
        request, how = loop.pool.submit(fn, *args, **kwargs), settle
    return await future_of(request, loop, how)
