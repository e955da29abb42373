# SPDX-License-Identifier: MIT
"""A request, or a call of an executor, as a future of an asyncio loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from tpool.loop.executor import request_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tpool._core import Request

    _Call: TypeAlias = Request["_T"] | concurrent.futures.Future["_T"]

__all__ = [
    "future_of",
    "future_of_call",
    "settle",
    "settle_from_elsewhere",
    "settle_here",
]

_T = TypeVar("_T")

# What concurrent.futures raises, by the names that asyncio's users catch.
_OURS: dict[type[BaseException], type[BaseException]] = {
    concurrent.futures.CancelledError: asyncio.CancelledError,
    concurrent.futures.InvalidStateError: asyncio.InvalidStateError,
}


def settle(request: _Call[_T], future: asyncio.Future[_T]) -> None:
    """Give the future what became of its request, of its loop's own context.

    What the call has posted to the loop before is ahead of it; see _dispatch_rest().
    """
    loop = future.get_loop()
    if asyncio._get_running_loop() is loop:
        settle_here(request, future)
    else:
        settle_from_elsewhere(request, future)


def settle_from_elsewhere(request: _Call[_T], future: asyncio.Future[_T]) -> None:
    """Do so, in another thread than the loop's, or behind what it has posted."""
    loop = future.get_loop()
    try:
        loop.call_soon_threadsafe(settle_here, request, future)
    except RuntimeError:
        if not loop.is_closed():  # or nobody waits any more
            raise


def settle_here(request: _Call[_T], future: asyncio.Future[_T]) -> None:
    """Do so, in the loop; in the child of a fork asyncio says that none runs."""
    if future.done():
        return  # it was cancelled
    if request.cancelled():
        future.cancel()
        return
    exc = request.exception()
    if exc is None:
        future.set_result(request.result())
    elif isinstance(exc, StopIteration):
        # A future cannot raise it: it would end the coroutine that awaits.
        error = RuntimeError(
            "StopIteration interacts badly with generators and cannot be "
            "raised into a Future"
        )
        error.__cause__ = error.__context__ = exc
        future.set_exception(error)
    else:
        kind = _OURS.get(type(exc))
        if kind is not None:
            exc = kind(*exc.args).with_traceback(exc.__traceback__)
        future.set_exception(exc)


def _cancel(request: _Call[_T], future: asyncio.Future[_T]) -> None:
    """Cancel the request of a cancelled future, as asyncio does: a turn later.

    A call that runs already goes on, its result is dropped.
    """
    if future.cancelled():
        request.cancel()


def future_of(
    request: Request[_T],
    loop: asyncio.AbstractEventLoop,
    how: Callable[[Request[Any], asyncio.Future[Any]], None],
) -> asyncio.Future[_T]:
    """Return a future of a loop, its thread's, for a request of any context.

    Args:
        request: It.
        loop: The loop.
        how: Gives the future what became of the request; called in the owner of its
            context.
    """
    future: asyncio.Future[_T] = loop.create_future()
    future.add_done_callback(partial(_cancel, request))
    if request.done():  # perhaps of a context that nobody turns any more
        how(request, future)
    else:
        request.add_done_callback(lambda request: how(request, future))
    return future


def future_of_call(
    call: concurrent.futures.Future[_T], loop: asyncio.AbstractEventLoop
) -> asyncio.Future[_T]:
    """Return a future of a loop, its thread's, for a call of its pool's executor."""
    request = request_of(call)
    if request is None:
        return asyncio.wrap_future(call, loop=loop)
    future: asyncio.Future[_T] = loop.create_future()
    future.add_done_callback(partial(_cancel, call))
    call.add_done_callback(partial(_give_up, future=future))
    request.add_done_callback(lambda *_: settle(call, future))
    return future


def _give_up(call: concurrent.futures.Future[_T], future: asyncio.Future[_T]) -> None:
    """Do not wait until a thread finds that somebody has cancelled the call."""
    if call.cancelled():
        settle(call, future)
