# SPDX-License-Identifier: MIT
"""The executor that asyncio would call, on the pool of a loop.

Tracing libraries wrap ThreadPoolExecutor.submit(), to carry a context into the call:
Sentry and OpenTelemetry put another function in its place, Datadog another code
into it. Who calls the pool itself passes them by.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread
import sys
import weakref
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import queue

    from tpool._core import Request
    from tpool.thread_pool import ThreadPool

__all__ = [
    "CODE",
    "FUTURES",
    "SUBMIT",
    "executor_on",
    "request_of",
    "submit_is_wrapped",
]


def _is_the_library_s(submit: object) -> bool:
    # Wrappers take name, module and signature over, but have globals of their own;
    # what is no function may hand on even those of what it wraps. And a code put in
    # its place does not what executor_on() relies on, but calls what does.
    return (
        type(submit) is FunctionType
        and submit.__globals__ is vars(concurrent.futures.thread)
        and "_adjust_thread_count" in submit.__code__.co_names
    )


# Its attributes, which are slow where a module has a __getattr__().
FUTURES = vars(concurrent.futures)
# What submit() is where nobody has wrapped it, and its code; None where somebody had.
SUBMIT: Any = concurrent.futures.ThreadPoolExecutor.submit
if not _is_the_library_s(SUBMIT):
    SUBMIT = None
CODE: object = getattr(SUBMIT, "__code__", None)


def submit_is_wrapped() -> bool:
    """Whether somebody has to hear of a call before it is made. Any thread.

    Not where it is SUBMIT, and its code CODE.
    """
    return not _is_the_library_s(concurrent.futures.ThreadPoolExecutor.submit)


def executor_on(pool: ThreadPool) -> concurrent.futures.Executor:
    """Return an executor as asyncio makes it, whose calls the pool makes.

    In place of a thread submit() starts the pool's request for what it has queued.
    """
    executor: Any = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="asyncio")
    queued: Any = getattr(executor, "_work_queue", None)
    # Or somebody has put another class in its place, tpool's say: with its own threads.
    if not hasattr(queued, "get_nowait"):
        return executor  # type: ignore[no-any-return]
    context = () if sys.version_info < (3, 14) else (executor._create_worker_context(),)
    executor._adjust_thread_count = partial(
        _hand_over, weakref.ref(pool), queued, context
    )
    return executor  # type: ignore[no-any-return]


def _hand_over(
    pool_ref: weakref.ref[ThreadPool],
    queued: queue.SimpleQueue[Any],
    context: tuple[object, ...],
) -> None:
    """Give the pool what was queued; inside of submit(), its lock held."""
    item, pool = queued.get_nowait(), pool_ref()
    if pool is None:
        raise RuntimeError("the event loop of this executor is gone")
    request = pool._submit_for(item.future, _settle, item.run, context)
    item.future._request_ref = weakref.ref(request)  # which refers to the future


def request_of(call: concurrent.futures.Future[Any]) -> Request[None] | None:
    """Return the request that makes a call.

    None: there is none any more, or the call is a wrapper's own future.
    """
    ref = getattr(call, "_request_ref", None)
    return None if ref is None else ref()


def _settle(request: Request[None], call: concurrent.futures.Future[Any]) -> None:
    """Say what became of a call that was not made. The owner."""
    if request.cancelled():
        call.cancel()
        call.set_running_or_notify_cancel()  # for concurrent.futures.wait()
    elif (error := request.exception()) is not None:
        if call.done():
            raise error  # of a callback of the call's
        call.set_exception(error)
