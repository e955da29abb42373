# SPDX-License-Identifier: MIT
"""What does tpool.ThreadPoolExecutor gain where the stock one stood?

No-ops: one in flight, 10,000 by map(), 1,000 by as_completed() and by wait(), 1,000
each of four threads, and as the default executor of uvloop and of the stock loop. For
the last four, and map(), a call's time is that of all divided by their number. So it is
for some real calls, of which 1, 2, 8 and 64 are kept in flight, and the oldest result is
taken first. The notes tell what a pending future takes, with its call.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
import tracemalloc
from contextlib import ExitStack
from functools import partial
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING

import _harness as h
import real_calls

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

    Executor = concurrent.futures.ThreadPoolExecutor

STOCK = "concurrent.futures"
REAL = (
    "read 4 KiB",
    "stat, read, SHA-256 of 16 KiB",
    "JSON, 2 kB there and back",
    "zlib.compress, 20 kB",
    "a line to a server and back",
    "time.sleep(0.0001)",
)
PEERS: dict[str, type[Executor]] = {
    "tpool": tpool.ThreadPoolExecutor,
    STOCK: concurrent.futures.ThreadPoolExecutor,
}


def together(call: Callable[[], object], n: int) -> h.Sample:
    """Time `n` operations that one call makes."""
    cpu, started = process_time_ns(), perf_counter_ns()
    call()
    wall, cpu = perf_counter_ns() - started, process_time_ns() - cpu
    return h.summarize((), n, wall, cpu)


def by_map(executor: Executor, n: int) -> None:
    """Map a no-op over so many items."""
    for _ in executor.map(ignore, range(n)):
        pass


def ignore(_: object) -> None:
    """Do nothing with an item."""


def by_as_completed(executor: Executor, n: int) -> None:
    """Submit so many, and get them as they end."""
    futures = [executor.submit(h.noop) for _ in range(n)]
    for _ in concurrent.futures.as_completed(futures):
        pass


def by_wait(executor: Executor, n: int) -> None:
    """Submit so many, and wait for all."""
    concurrent.futures.wait([executor.submit(h.noop) for _ in range(n)])


def by_threads(executor: Executor, n: int) -> None:
    """Have four threads wait for a fourth of them each, one after the other."""

    def work() -> None:
        for _ in range(n // 4):
            executor.submit(h.noop).result()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_loop(
    factory: Callable[[], asyncio.AbstractEventLoop], executor: Executor, n: int
) -> h.Sample:
    """Await so many in a loop whose default executor that is, one in flight."""
    clock = perf_counter_ns
    latencies = [0] * n

    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(executor)
        started = clock()
        for number in range(n):
            before = clock()
            await loop.run_in_executor(None, h.noop)
            latencies[number] = clock() - before
        wall = clock() - started
        loop.set_default_executor(PEERS[STOCK](1))  # the loop shuts that one down
        return wall

    cpu = process_time_ns()
    with asyncio.Runner(loop_factory=factory) as runner:
        wall = runner.run(main())
    return h.summarize(latencies, n, wall, process_time_ns() - cpu)


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return the loops that there are here, by name."""
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop
    }
    try:
        import uvloop  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return found
    return {"uvloop": uvloop.new_event_loop, **found}


def by_real_calls(
    call: Callable[[], object], width: int, executor: Executor, n: int
) -> Callable[[], h.Sample]:
    """Return a way that keeps `width` of them in flight."""
    return partial(real_calls.by_pool, executor.submit, call, n, width)


def bytes_pending(kind: type[Executor], n: int) -> float:
    """Return what a future takes while its call is queued."""
    gate = threading.Event()
    with kind(1) as executor:
        executor.submit(gate.wait)
        tracemalloc.start()
        futures = [executor.submit(h.noop) for _ in range(n)]
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gate.set()
        assert len(futures) == n
    return size / n


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=1_000, help="a round; default: 1000")
    real_calls.add_sample_ns(made)
    options = h.parse(made, {"n": 40, "sample_ns": 1})
    n, rounds = options.n, options.rounds
    ways = {
        "submit().result()": (h.round_trips, n),
        "map() of ten times as many": (all_of(by_map), 10 * n),
        "as_completed()": (all_of(by_as_completed), n),
        "wait()": (all_of(by_wait), n),
        "four threads": (all_of(by_threads), 4 * n),
    }
    for name, factory in loops().items():
        ways[f"{name}: run_in_executor()"] = (partial(partial, in_loop, factory), n)
    table = []
    with ExitStack() as stack:
        every = stack.enter_context(real_calls.calls())
        for name, width in itertools.product(REAL, real_calls.IN_FLIGHT):
            count = real_calls.requests(every[name], width, options.sample_ns)
            way = partial(by_real_calls, every[name], width)
            ways[f"{name}, {width} in flight"] = (way, count)
        pools = {name: stack.enter_context(kind()) for name, kind in PEERS.items()}
        for case, (peer, count) in ways.items():
            peers = {name: peer(pool, count) for name, pool in pools.items()}
            table += h.rows(case, h.alternate(peers, rounds), STOCK)
    sizes = {name: bytes_pending(kind, 10 * n) for name, kind in PEERS.items()}
    h.report(
        "tpool.ThreadPoolExecutor instead of the stock one",
        __file__,
        options,
        table,
        [f"{name}: {size:,.0f} bytes a pending call" for name, size in sizes.items()],
        bytes_pending=sizes,
    )


def all_of(
    call: Callable[[Executor, int], None],
) -> Callable[[Executor, int], Callable[[], h.Sample]]:
    """Return a way that makes peers of one call for all operations."""
    return lambda executor, n: partial(together, partial(call, executor, n), n)


if __name__ == "__main__":
    main()
