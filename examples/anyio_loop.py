# SPDX-License-Identifier: MIT
"""An AioContext in anyio, whatever its backend.

On asyncio there is a shorter way, by which anyio's own threads gain too:
`anyio.run(main, backend_options={"loop_factory": tpool.new_event_loop})`.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.lowlevel

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def serve(ctx: tpool.AioContext) -> None:
    """Turn the context for ever; a background task of the group."""
    while True:
        timeout_ns = ctx.prepare()  # polls, if requests are in flight
        if timeout_ns != 0:
            with anyio.move_on_after(timeout_ns / 1e9 if timeout_ns > 0 else math.inf):
                await anyio.wait_readable(ctx.fileno())
        else:
            await anyio.lowlevel.checkpoint()
        ctx.check()
        ctx.dispatch()


async def to_thread(pool: tpool.ThreadPool, fn: Callable[..., T], *args: object) -> T:
    """Call fn in a thread of the pool; cancelled, it runs on if it has begun."""
    done = anyio.Event()
    request = pool.submit(fn, *args)
    request.add_done_callback(lambda _: done.set())
    pool.ctx.notify()  # serve() turns, and polls, before the loop waits
    try:
        await done.wait()
    except anyio.get_cancelled_exc_class():
        request.cancel()
        raise
    return request.result()


async def main() -> None:
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(serve, ctx)
            print(await to_thread(pool, sum, range(10)))
            group.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1] if len(sys.argv) > 1 else "asyncio")
