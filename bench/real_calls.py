# SPDX-License-Identifier: MIT
"""What do real calls gain or lose, which polling alone does not decide about?

Files, queries, parsing, sockets: 1, 2, 8 and 64 in flight, by a pool and on an event loop,
with the defaults of each library. The caller keeps so many in flight, and takes the oldest
result first. "One CPU" is the stock executor where it and the caller may use one CPU only;
"no thread" is the call in a plain loop. The ratios are those of the rates of polling on to
polling off and to stock: above 1 polling on is faster. The last one is that of a second peer
with polling off to the first: how far apart two are that do the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    Call = Callable[[], object]

IN_FLIGHT = (1, 2, 8, 64)
SAMPLE_NS = 40_000_000  # of calls by a plain loop, or by threads: a peer's in a round
ON, OFF, AGAIN, STOCK = "on", "off", "off again", "stock"
ONE_CPU, INLINE = "stock, one CPU", "no thread"
# Answers each line by a line; its port is the first.
SERVER = """\
import socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128  # each thread connects: none is to try again in a second
with Server(("127.0.0.1", 0), Handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One call, so many in flight: calls a second, and CPU time of the process each."""

    case: str
    peer: str
    n: int
    on_per_s: float
    off_per_s: float
    stock_per_s: float
    one_cpu_per_s: float | None
    no_thread_per_s: float | None
    ratio_off: float
    ratio_stock: float
    ratio_again: float
    on_cpu_us: float
    off_cpu_us: float
    stock_cpu_us: float


def stat_read_hash(path: Path) -> str:
    """Do what `tpool measure` does with a file."""
    path.stat()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path) -> bytes:
    """Open, read and close."""
    with path.open("rb", buffering=0) as file:
        return file.read()


class Query:
    """A row by its key, by a connection for each thread."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Make the database; the stack closes the connections."""
        self._path, self._stack = folder / "database", stack
        self._mine = threading.local()
        with closing(sqlite3.connect(self._path)) as made:
            made.execute("CREATE TABLE t (key INTEGER PRIMARY KEY, value TEXT)")
            made.executemany(
                "INSERT INTO t VALUES (?, ?)", ((key, "v" * 80) for key in range(1000))
            )
            made.commit()

    def __call__(self) -> object:
        """Ask for it."""
        if not hasattr(self._mine, "db"):
            db = sqlite3.connect(self._path, check_same_thread=False)
            self._mine.db = self._stack.enter_context(closing(db))
        cursor = self._mine.db.execute("SELECT value FROM t WHERE key = ?", (500,))
        return cursor.fetchone()


class Question:
    """A line to a server on this machine and back, by a connection for each thread."""

    def __init__(self, stack: ExitStack) -> None:
        """Start the server; the stack ends it."""
        command = [sys.executable, "-c", SERVER]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        stack.callback(server.wait)
        stack.callback(server.terminate)
        assert server.stdout is not None
        self._port = int(stack.enter_context(server.stdout).readline())
        self._stack, self._mine = stack, threading.local()

    def __call__(self) -> bytes:
        """Ask."""
        if not hasattr(self._mine, "socket"):
            made = socket.create_connection(("127.0.0.1", self._port))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._mine.socket = self._stack.enter_context(made)
        self._mine.socket.sendall(b"a line\n")
        answer: bytes = self._mine.socket.recv(100)
        return answer


@contextmanager
def calls() -> Iterator[dict[str, Call]]:
    """Make what they need, and yield them by name."""
    document = json.dumps({f"key {n}": [n, n / 3, str(n)] for n in range(40)})
    text = document.encode() * 20_000
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        page, file = folder / "page", folder / "file"
        page.write_bytes(bytes(range(256)) * 16)
        file.write_bytes(bytes(range(256)) * 64)
        yield {
            "os.stat": partial(os.stat, page),
            "read 4 KiB": partial(read, page),
            "stat, read, SHA-256 of 16 KiB": partial(stat_read_hash, file),
            "sqlite, one row": Query(folder, stack),
            "JSON, 2 kB there and back": lambda: json.dumps(json.loads(document)),
            "zlib.compress, 20 kB": partial(zlib.compress, text[:20_000]),
            "a line to a server and back": Question(stack),
            "time.sleep(0.0001)": partial(time.sleep, 0.0001),
        }


def sample(n: int, run: Callable[[], None]) -> h.Sample:
    """Time `n` calls together."""
    cpu, started = process_time_ns(), perf_counter_ns()
    run()
    wall = perf_counter_ns() - started
    return h.summarize((), n, wall, process_time_ns() - cpu)


def by_pool(submit: Callable[[Call], Any], call: Call, n: int, width: int) -> h.Sample:
    """Keep `width` calls in flight."""

    def run() -> None:
        waiting = deque(submit(call) for _ in range(width))
        for _ in range(n - width):
            waiting.popleft().result()
            waiting.append(submit(call))
        for request in waiting:
            request.result()

    return sample(n, run)


def on_one_cpu(call: Call, n: int, width: int) -> h.Sample:
    """Do the same with the stock executor, all on one CPU."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})  # its threads inherit it
    try:
        with ThreadPoolExecutor() as pool:
            by_pool(pool.submit, call, width, width)
            return by_pool(pool.submit, call, n, width)
    finally:
        os.sched_setaffinity(0, before)


def inline(call: Call, n: int) -> h.Sample:
    """Call it here."""

    def run() -> None:
        for _ in range(n):
            call()

    return sample(n, run)


def on_loop(runner: asyncio.Runner, call: Call, n: int, width: int) -> h.Sample:
    """Have `width` tasks make the calls, one behind the other each."""

    async def some() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(n // width):
            await loop.run_in_executor(None, call)

    async def main() -> None:
        await asyncio.gather(*(some() for _ in range(width)))

    return sample(n, lambda: runner.run(main()))


def requests(call: Call, width: int, sample_ns: int) -> int:
    """Return how many calls make a sample, a multiple of `width`.

    As many as a plain loop makes, or threads do where that is more: they wait together.
    """
    inline(call, 3)
    with ThreadPoolExecutor() as pool:
        by_pool(pool.submit, call, width, width)
        threads = by_pool(pool.submit, call, 4 * width, width).ops_per_s
    per_ns = max(inline(call, 20).ops_per_s, threads) / 1e9
    return width * max(2, round(min(sample_ns * per_ns, 4000) / width))


def cell(case: str, peer: str, n: int, found: dict[str, list[h.Sample]]) -> Cell:
    """Make a row of what the peers have done."""

    def median(name: str, what: str) -> float | None:
        if name not in found:
            return None
        return statistics.median(getattr(one, what) for one in found[name])

    def ratio(mine: str, other: str) -> float:
        return statistics.median(
            one.ops_per_s / two.ops_per_s
            for one, two in h.pairs(found[mine], found[other])
        )

    return Cell(
        case,
        peer,
        n,
        *(median(name, "ops_per_s") for name in (ON, OFF, STOCK, ONE_CPU, INLINE)),  # type: ignore[arg-type]
        ratio(ON, OFF),
        ratio(ON, STOCK),
        ratio(AGAIN, OFF),
        *(median(name, "cpu_us_per_op") for name in (ON, OFF, STOCK)),  # type: ignore[arg-type]
    )


def by_pools(options: Any, case: str, call: Call) -> Iterator[Cell]:  # noqa: ANN401
    """Yield a row for each number of calls in flight."""
    with ExitStack() as stack:
        pools: dict[str, Any] = {
            name: stack.enter_context(tpool.ThreadPool(stack.enter_context(ctx)))
            for name, ctx in (
                (ON, tpool.AioContext()),
                (OFF, tpool.AioContext(poll_max_ns=0)),
                (AGAIN, tpool.AioContext(poll_max_ns=0)),
            )
        }
        pools[STOCK] = stack.enter_context(ThreadPoolExecutor())
        for width in IN_FLIGHT:
            n = requests(call, width, options.sample_ns)
            peers: h.Peers = {
                name: partial(by_pool, pool.submit, call, n, width)
                for name, pool in pools.items()
            }
            peers |= {
                ONE_CPU: partial(on_one_cpu, call, n, width),
                INLINE: partial(inline, call, n),
            }
            found = h.alternate(peers, options.rounds)
            yield cell(case, f"pool, {width} in flight", n, found)


def on_loops(options: Any, case: str, call: Call) -> Iterator[Cell]:  # noqa: ANN401
    """Yield a row for each number of calls in flight."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        ON: tpool.new_event_loop,
        OFF: partial(tpool.EventLoop, poll_max_ns=0),
        AGAIN: partial(tpool.EventLoop, poll_max_ns=0),
        STOCK: asyncio.SelectorEventLoop,
    }
    with ExitStack() as stack:
        runners = {
            name: stack.enter_context(asyncio.Runner(loop_factory=factory))
            for name, factory in factories.items()
        }
        for width in IN_FLIGHT:
            n = requests(call, width, options.sample_ns)
            peers: h.Peers = {
                name: partial(on_loop, runner, call, n, width)
                for name, runner in runners.items()
            }
            found = h.alternate(peers, options.rounds)
            yield cell(case, f"loop, {width} in flight", n, found)


def means(table: list[Cell]) -> Iterator[str]:
    """Say what all cells come to."""
    for where in ("pool", "loop"):
        cells = [one for one in table if one.peer.startswith(where)]
        for name, what in (
            ("off", "polling on: {} times the rate of polling off"),
            ("stock", "polling on: {} times the rate of stock"),
            ("again", "polling off: {} times its own rate"),
        ):
            ratios = [getattr(one, f"ratio_{name}") for one in cells]
            mean = f"{statistics.geometric_mean(ratios):.2f}"
            yield (
                f"{where}, {what.format(mean)} (geometric mean), "
                f"{min(ratios):.2f} at least, below 0.97 in "
                f"{sum(one < 0.97 for one in ratios)} cells of {len(ratios)}"
            )
        cpu = [one.on_cpu_us / max(one.off_cpu_us, one.stock_cpu_us) for one in cells]
        yield (
            f"{where}: CPU of polling on to that of the dearer of off and stock: "
            f"{math.exp(statistics.fmean(map(math.log, cpu))):.2f} (geometric mean), "
            f"{max(cpu):.2f} at most"
        )


def add_sample_ns(made: argparse.ArgumentParser) -> None:
    """Add the option that says how many calls requests() is to return."""
    made.add_argument(
        "--sample-ns",
        type=int,
        default=SAMPLE_NS,
        help="of calls in a plain loop, or by threads where that is faster, for each peer "
        "in each round; default: %(default)s",
    )


def main() -> None:
    made = h.parser(__doc__)
    add_sample_ns(made)
    options = h.parse(made, {"sample_ns": 1})
    table: list[Cell] = []
    with calls() as every:
        for case, call in every.items():
            table += by_pools(options, case, call)
            table += on_loops(options, case, call)
    h.report(
        "Real calls: rate and CPU, polling on, off, and stock",
        __file__,
        options,
        table,
        list(means(table)),
        in_flight=IN_FLIGHT,
    )


if __name__ == "__main__":
    main()
