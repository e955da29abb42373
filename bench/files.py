# SPDX-License-Identifier: MIT
"""What does it take to read, write and open a file in asyncio?

"cached" is one read after the other of what is in the page cache, "direct" are reads of 4
KiB with O_DIRECT, so many in flight; "append" is a write of 100 bytes and its
fdatasync(), so many tasks; "open" is open, read all and close, of 4 KiB. By AioFiles and
tpool.open(), with each backend; by os.pread() in threads of tpool's loop and of the stock
one; by aiofiles, where it is installed, on both; and by caio, where that is, which has no
aligned buffers to read directly. os.pread() alone, which blocks the loop, shows what the
system takes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import mmap
import os
import random
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Call = Callable[[int], Awaitable[object]]  # of a task, by its number

if importlib.util.find_spec("aiofiles"):
    import aiofiles
if importlib.util.find_spec("caio"):
    import caio

PAGE = 4096
SIZE = 32 << 20
STOCK = "threads, stock loop"


async def measure(call: Call, n: int, tasks: int) -> h.Sample:
    """Have so many tasks make n calls together."""
    left, latencies = n, []

    async def run(number: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            before = perf_counter_ns()
            await call(number)
            latencies.append(perf_counter_ns() - before)

    cpu = process_time_ns()
    started = perf_counter_ns()
    await asyncio.gather(*(run(number) for number in range(tasks)))
    wall = perf_counter_ns() - started
    return h.summarize(latencies, len(latencies), wall, process_time_ns() - cpu)


class Bench:
    """The files, the loops, and who reads by them."""

    def __init__(self, stack: ExitStack, home: str) -> None:
        self.stack = stack
        self.path = Path(home) / "data"
        self.path.write_bytes(random.Random(0).randbytes(SIZE))
        self.small = Path(home) / "small"
        self.small.write_bytes(bytes(PAGE))
        self.log = os.open(Path(home) / "log", os.O_RDWR | os.O_CREAT)
        self.fd = os.open(self.path, os.O_RDONLY)
        os.fsync(self.fd)
        self.direct = os.open(self.path, os.O_RDONLY | os.O_DIRECT)
        stack.callback(lambda: [os.close(f) for f in (self.log, self.fd, self.direct)])
        self.buffers = [mmap.mmap(-1, PAGE) for _ in range(64)]  # aligned
        self.random = random.Random(1)
        self.tpool = stack.enter_context(
            asyncio.Runner(loop_factory=tpool.new_event_loop)
        )
        self.stock = stack.enter_context(
            asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)
        )
        ctx = self.tpool.get_loop().ctx  # type: ignore[attr-defined]
        self.files = {"threads": tpool.AioFiles(ctx, backend="threads")}
        self.best = tpool.AioFiles(ctx)
        for backend in ("io_uring", "linux-aio"):
            try:
                self.files[backend] = tpool.AioFiles(ctx, backend=backend)
            except OSError:
                h.tell(f"there is no {backend}")

    def peer(
        self, runner: asyncio.Runner, call: Call, n: int, tasks: int = 1
    ) -> Callable[[], h.Sample]:
        return lambda: runner.run(measure(call, n, tasks))

    def place(self) -> int:
        return self.random.randrange(SIZE // PAGE) * PAGE

    def cached(self, size: int, n: int) -> h.Peers:
        async def by_tpool(_: int) -> None:
            await self.best.pread(self.fd, size, 0)

        async def by_os(_: int) -> None:
            os.pread(self.fd, size, 0)

        peers = {
            "tpool.AioFiles": self.peer(self.tpool, by_tpool, n),
            **self.in_threads(partial(os.pread, self.fd, size, 0), n),
            "os.pread(), which blocks": self.peer(self.stock, by_os, n),
        }
        for name, runner in self.aiofiles_on().items():
            file = runner.run(_aiofile(self.path))
            self.stack.callback(lambda r=runner, f=file: r.run(_close(f)))

            async def by_aiofiles(_: int, file: Any = file) -> None:  # noqa: ANN401
                await file.seek(0)
                await file.read(size)

            peers[name] = self.peer(runner, by_aiofiles, n)
        if importlib.util.find_spec("caio"):
            context = self.stock.run(_caio())
            self.stack.callback(context.close)

            async def by_caio(_: int) -> None:
                await context.read(size, self.fd, 0)

            peers["caio, stock loop"] = self.peer(self.stock, by_caio, n)
        return peers

    def in_threads(
        self, call: Callable[[], object], n: int, tasks: int = 1
    ) -> dict[str, Callable[[], h.Sample]]:
        async def hop(_: int) -> None:
            await asyncio.get_running_loop().run_in_executor(None, call)

        return {
            "threads, tpool's loop": self.peer(self.tpool, hop, n, tasks),
            STOCK: self.peer(self.stock, hop, n, tasks),
        }

    def directly(self, tasks: int, n: int) -> h.Peers:
        def read() -> None:
            os.preadv(self.direct, [self.buffers[32]], self.place())

        peers = self.in_threads(read, n, tasks)
        for name, files in self.files.items():

            async def by_tpool(number: int, files: tpool.AioFiles = files) -> None:
                await files.pread(self.direct, self.buffers[number], self.place())

            peers[f"tpool.AioFiles, {name}"] = self.peer(self.tpool, by_tpool, n, tasks)
        return peers

    def append(self, tasks: int, n: int) -> h.Peers:
        record = bytes(100)

        def write() -> None:
            os.pwrite(self.log, record, self.place())
            os.fdatasync(self.log)

        peers = self.in_threads(write, n, tasks)
        for name, files in self.files.items():

            async def by_tpool(_: int, files: tpool.AioFiles = files) -> None:
                await files.pwrite(self.log, record, self.place())
                await files.fdatasync(self.log)

            peers[f"tpool.AioFiles, {name}"] = self.peer(self.tpool, by_tpool, n, tasks)
        return peers

    def open(self, n: int) -> h.Peers:
        async def by_tpool(_: int) -> None:
            async with tpool.open(self.small, "rb") as file:
                await file.read()

        def by_io() -> None:
            with open(self.small, "rb") as file:
                file.read()

        async def by_aiofiles(_: int) -> None:
            async with aiofiles.open(self.small, "rb") as file:
                await file.read()

        return {
            "tpool.open(), tpool's loop": self.peer(self.tpool, by_tpool, n),
            "tpool.open(), stock loop": self.peer(self.stock, by_tpool, n),
            **self.in_threads(by_io, n),
            **{
                name: self.peer(runner, by_aiofiles, n)
                for name, runner in self.aiofiles_on().items()
            },
        }

    def aiofiles_on(self) -> dict[str, asyncio.Runner]:
        if not importlib.util.find_spec("aiofiles"):
            return {}
        return {
            "aiofiles, tpool's loop": self.tpool,
            "aiofiles, stock loop": self.stock,
        }


async def _aiofile(path: Path) -> Any:  # noqa: ANN401
    return await aiofiles.open(path, "rb", buffering=0)


async def _caio() -> Any:  # noqa: ANN401
    return caio.AsyncioContext(max_requests=128)


async def _close(file: Any) -> None:  # noqa: ANN401
    await file.close()


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=2_000, help="calls; default: 2000")
    made.add_argument(
        "--home", help="folder of the files, on the device that is asked; default: /tmp"
    )
    options = h.parse(made, {"n": 64})
    table = []
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(dir=options.home))
        bench = Bench(stack, home)
        for case, peers in (
            ("cached, 4 KiB", bench.cached(PAGE, options.n)),
            ("cached, 64 KiB", bench.cached(16 * PAGE, options.n)),
            ("direct, 1 in flight", bench.directly(1, options.n)),
            ("direct, 32 in flight", bench.directly(32, options.n)),
            ("append, 1 task", bench.append(1, options.n // 10)),
            ("append, 16 tasks", bench.append(16, options.n // 4)),
            ("open", bench.open(options.n)),
        ):
            base = "aiofiles, stock loop"
            base = base if base in peers else STOCK
            table += h.rows(case, h.alternate(peers, options.rounds), base)
    h.report("Files in asyncio", __file__, options, table)


if __name__ == "__main__":
    main()
