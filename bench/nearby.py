# SPDX-License-Identifier: MIT
"""What do the answers of a server nearby take on each event loop, and what do they cost?

An echo, whose server is another process with a loop of the same kind, and whose CPU time is
that of both; Redis and PostgreSQL, where they are installed; and what idle sockets, and
connections that each say something once a second, cost a server by CPU time a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _harness as h
import _loops

import tpool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

OFF = "tpool, polling off"
IDLE_S = 1.0
UP_S = 30.0  # until a server answers
Workload = Any  # an async context manager: a call, and CPU seconds of other processes


def factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return what makes each loop."""
    return {**_loops.factories(), OFF: partial(tpool.EventLoop, 0)}


class Missing(ImportError):
    """What a case needs is not installed; says how to install it."""


def no_cpu() -> float:
    """Another process does the same work on each loop: it is not counted."""
    return 0.0


async def serve() -> None:
    """Echo lines until the standard input ends; tell the port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    loop.remove_reader(sys.stdin)
    server.close()


def say(port: int, connections: int) -> None:
    """Say a line a second on each of so many until the standard input ends."""
    ended = selectors.DefaultSelector()
    ended.register(sys.stdin, selectors.EVENT_READ)
    address = "127.0.0.1", port
    crowd = [socket.create_connection(address) for _ in range(connections)]
    print("connected", flush=True)
    begun, said = time.monotonic(), 0
    while not ended.select(0.001):
        while said < (time.monotonic() - begun) * connections:
            crowd[said % connections].send(b"line\n")
            said += 1


@contextlib.contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run this file in another process until the end of the block."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def cpu_of(process: subprocess.Popen[str]) -> float:
    """CPU seconds of a process so far."""
    return time.clock_gettime(~process.pid << 3 | 2)  # as clock_getcpuclockid()


@asynccontextmanager
async def echo(kind: str) -> AsyncIterator[tuple[Callable[[], Awaitable[Any]], Any]]:
    """A line to another process, which has such a loop, and back."""
    with child("--serve", kind) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def call() -> None:
            writer.write(b"line\n")
            await reader.readline()

        yield call, partial(cpu_of, process)
        writer.close()


@contextlib.contextmanager
def running(*command: str, user: str | None = None) -> Iterator[None]:
    """Run a server that others have made until the end of the block."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, stdout=quiet, stderr=quiet, user=user, cwd="/"
    ) as process:
        try:
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Run one with nothing in it; its socket."""
    program = shutil.which("redis-server")
    if not program:
        raise Missing("apt-get install redis-server")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        keep = ("--save", "", "--appendonly", "no", "--port", "0", "--dir", folder)
        with running(program, *keep, "--unixsocket", path):
            yield path


@contextlib.contextmanager
def postgresql_server() -> Iterator[str]:
    """Run one with nothing in it; the folder of its socket."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not homes:
        raise Missing("apt-get install postgresql")
    user = None if os.getuid() else "postgres"  # it refuses to be root
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        make = [homes[-1] / "initdb", "-D", data, "-A", "trust", "-U", "bench"]
        subprocess.run(make, check=True, capture_output=True, user=user, cwd="/")
        run = (str(homes[-1] / "postgres"), "-D", data, "-h", "", "-k", folder)
        with running(*run, user=user):
            yield folder


async def answer(ask: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
    """Ask until a server that has just been started answers."""
    until = time.monotonic() + UP_S
    while True:
        try:
            return await ask()
        except Exception:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)


@asynccontextmanager
async def redis(_: str) -> AsyncIterator[tuple[Callable[[], Awaitable[Any]], Any]]:
    """A GET by redis-py."""
    try:
        from redis.asyncio import Redis  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise Missing("pip install redis") from None
    with redis_server() as path:
        client = Redis(unix_socket_path=path)
        await answer(client.ping)
        await client.set("key", "value")
        yield partial(client.get, "key"), no_cpu
        await client.aclose()


@asynccontextmanager
async def postgresql(_: str) -> AsyncIterator[tuple[Callable[[], Awaitable[Any]], Any]]:
    """A SELECT by asyncpg."""
    try:
        import asyncpg  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise Missing("pip install asyncpg") from None
    with postgresql_server() as folder:
        client = await answer(
            partial(asyncpg.connect, host=folder, user="bench", database="postgres")
        )
        yield partial(client.fetchval, "SELECT 1"), no_cpu
        await client.close()


@asynccontextmanager
async def idle(_: str) -> AsyncIterator[tuple[Callable[[], Awaitable[Any]], Any]]:
    """A second in which 100 sockets are silent."""
    pairs = [socket.socketpair() for _ in range(100)]
    loop = asyncio.get_running_loop()
    for one, _other in pairs:
        loop.add_reader(one, h.noop)
    yield partial(asyncio.sleep, IDLE_S), no_cpu
    for one, other in pairs:
        loop.remove_reader(one)
        one.close()
        other.close()


@asynccontextmanager
async def crowd(
    connections: int, _: str
) -> AsyncIterator[tuple[Callable[[], Awaitable[Any]], Any]]:
    """A second in which each connection says a line, and is answered."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit < 2 * connections:
        raise Missing(f"ulimit -Hn is {limit}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:  # noqa: ANN401
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1000)
    port = server.sockets[0].getsockname()[1]
    with child("--say", str(port), str(connections)) as process:
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        yield partial(asyncio.sleep, IDLE_S), no_cpu
    server.close()


async def time_it(workload: Callable[[str], Workload], kind: str, n: int) -> h.Sample:
    """Run one workload once, and count what others have computed for it."""
    async with workload(kind) as (call, others_s):
        await call()
        before = others_s()
        sample = await _loops.one_in_flight(call, n)
        others_us = (others_s() - before) / n * 1e6
        return replace(sample, cpu_us_per_op=sample.cpu_us_per_op + others_us)


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=2000, help="a round; default: 2000")
    made.add_argument(
        "--connections",
        type=int,
        default=10_000,
        help="that each speak; default: 10000",
    )
    made.add_argument("--serve", help="a loop: be the server of the echo")
    made.add_argument("--say", type=int, nargs=2, help="port and number: be the crowd")
    options = h.parse(made, {"n": 50, "connections": 100})
    if options.serve:
        with asyncio.Runner(loop_factory=factories()[options.serve]) as runner:
            return runner.run(serve())
    if options.say:
        return say(*options.say)
    workloads: dict[str, tuple[Callable[[str], Workload], int]] = {
        "echo, both processes": (echo, options.n),
        "Redis: GET": (redis, options.n),
        "PostgreSQL: SELECT 1": (postgresql, options.n),
        "100 idle sockets, a second": (idle, 1),
        f"{options.connections} connections, a line a second each": (
            partial(crowd, options.connections),
            1,
        ),
    }

    def peer(case: str, kind: str) -> h.Sample:
        workload, n = workloads[case]
        with asyncio.Runner(loop_factory=factories()[kind]) as runner:
            return runner.run(time_it(workload, kind, n))

    def peers(case: str) -> h.Peers:
        return {kind: partial(peer, case, kind) for kind in factories()}

    table, missing = _loops.compare(workloads, peers, options.rounds)
    h.report("Servers nearby", __file__, options, table, missing)


if __name__ == "__main__":
    main()
