# SPDX-License-Identifier: MIT
"""An AioContext in trio: `await to_thread(pool, fn)`, with polled completions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import trio

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def serve(ctx: tpool.AioContext) -> None:
    """Turn the context for ever; a background task of the nursery."""
    while True:
        timeout_ns = ctx.prepare()  # polls, if requests are in flight
        if timeout_ns != 0:
            with trio.move_on_after(timeout_ns / 1e9 if timeout_ns > 0 else math.inf):
                await trio.lowlevel.wait_readable(ctx.fileno())
        else:
            await trio.lowlevel.checkpoint()
        ctx.check()
        ctx.dispatch()


async def to_thread(pool: tpool.ThreadPool, fn: Callable[..., T], *args: object) -> T:
    """Call fn in a thread of the pool; cancelled, it runs on if it has begun."""
    done = trio.Event()
    request = pool.submit(fn, *args)
    request.add_done_callback(lambda _: done.set())
    pool.ctx.notify()  # serve() turns, and polls, before trio waits
    try:
        await done.wait()
    except trio.Cancelled:
        request.cancel()
        raise
    return request.result()


async def main() -> None:
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, ctx)
            print(await to_thread(pool, sum, range(10)))
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
