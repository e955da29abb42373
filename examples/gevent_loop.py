# SPDX-License-Identifier: MIT
"""An AioContext in gevent's hub: a greenlet waits, the others run on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import gevent
import gevent.event
import gevent.select

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def serve(ctx: tpool.AioContext) -> None:
    """Turn the context for ever; a greenlet of its own."""
    while True:
        timeout_ns = ctx.prepare()  # polls, if requests are in flight
        if timeout_ns != 0:
            timeout = timeout_ns / 1e9 if timeout_ns > 0 else None
            gevent.select.select([ctx.fileno()], [], [], timeout)
        else:
            gevent.sleep(0)
        ctx.check()
        ctx.dispatch()


def in_thread(pool: tpool.ThreadPool, fn: Callable[..., T], *args: object) -> T:
    """Call fn in a thread of the pool; the calling greenlet waits."""
    done = gevent.event.Event()
    request = pool.submit(fn, *args)
    request.add_done_callback(lambda _: done.set())
    pool.ctx.notify()  # serve() turns, and polls, before the hub waits
    try:
        done.wait()
    except BaseException:  # killed, or out of time
        request.cancel()
        raise
    return request.result()


def main() -> None:
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        server = gevent.spawn(serve, ctx)
        try:
            print(in_thread(pool, sum, range(10)))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
