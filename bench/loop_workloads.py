# SPDX-License-Identifier: MIT
"""What do unchanged libraries, and sockets, gain or lose on each event loop?"""

from __future__ import annotations

import asyncio
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _harness as h
import _loops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

from contextlib import asynccontextmanager

Workload = Any  # an async context manager that yields the call to time
CONNECTIONS = 100
SLEEP_S = 0.001


@asynccontextmanager
async def aiosqlite() -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """One SELECT; the library has a thread of its own."""
    import aiosqlite as library  # type: ignore[import-not-found, unused-ignore]

    async with library.connect(":memory:") as db:

        async def call() -> None:
            async with db.execute("SELECT 1") as cursor:
                await cursor.fetchone()

        yield call


@asynccontextmanager
async def aiofiles() -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Open, read and close of 4 KiB, by the loop's default executor."""
    import aiofiles as library  # type: ignore[import-untyped, import-not-found, unused-ignore]

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(bytes(4096))

        async def call() -> None:
            async with library.open(path, "rb") as file:
                await file.read()

        yield call


@asynccontextmanager
async def asgiref() -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """A no-op by sync_to_async, in the library's own thread."""
    from asgiref.sync import sync_to_async  # type: ignore[import-not-found, unused-ignore]

    yield sync_to_async(h.noop, thread_sensitive=False)


@asynccontextmanager
async def starlette() -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """A no-op by run_in_threadpool, which is anyio's threads."""
    from starlette.concurrency import run_in_threadpool  # type: ignore[import-not-found, unused-ignore]

    yield partial(run_in_threadpool, h.noop)


@asynccontextmanager
async def anyio() -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """A no-op by anyio's own threads."""
    import anyio.to_thread  # type: ignore[import-not-found, unused-ignore]

    yield partial(anyio.to_thread.run_sync, h.noop)


@asynccontextmanager
async def echo(connections: int) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """One line there and back on each of so many connections."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async def trip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"line\n")
        await reader.readline()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    streams = [await asyncio.open_connection(*address) for _ in range(connections)]

    async def call() -> None:
        await asyncio.gather(*(trip(*stream) for stream in streams))

    try:
        yield call
    finally:
        for _, writer in streams:
            writer.close()
        server.close()
        await server.wait_closed()


WORKLOADS: dict[str, Callable[[], Workload] | None] = {
    "aiosqlite": aiosqlite,
    "aiofiles": aiofiles,
    "asgiref": asgiref,
    "starlette": starlette,
    "anyio": anyio,
    "echo, 1 connection": partial(echo, 1),
    f"echo, {CONNECTIONS} connections": partial(echo, CONNECTIONS),
    "lateness of sleep(0.001)": None,
}


async def time_it(workload: Callable[[], Workload] | None, n: int) -> h.Sample:
    """Run one workload once; None: sleeps, of which the lateness is timed."""
    if workload is None:
        return await _loops.sleeps(n, SLEEP_S)
    async with workload() as call:
        await call()
        return await _loops.one_in_flight(call, n)


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=200, help="a round; default: 200")
    options = h.parse(made, {"n": 20})
    with _loops.runners() as runners:

        def peer(name: str, case: str) -> h.Sample:
            return runners[name].run(time_it(WORKLOADS[case], options.n))

        def peers(case: str) -> h.Peers:
            return {name: partial(peer, name, case) for name in runners}

        table, missing = _loops.compare(WORKLOADS, peers, options.rounds)
    h.report("Unchanged libraries and sockets", __file__, options, table, missing)


if __name__ == "__main__":
    main()
