# SPDX-License-Identifier: MIT
"""Event loops side by side: those that are installed, each in a runner of its own."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

STOCK = "asyncio"


def factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return what makes each loop; uvloop only where it is installed."""
    made: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "tpool": tpool.new_event_loop,
        STOCK: asyncio.SelectorEventLoop,
    }
    try:
        import uvloop  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        pass
    else:
        made["uvloop"] = uvloop.new_event_loop
    return made


@contextmanager
def runners() -> Iterator[dict[str, asyncio.Runner]]:
    """Open a runner for each loop."""
    made = {
        name: asyncio.Runner(loop_factory=factory)
        for name, factory in factories().items()
    }
    try:
        yield made
    finally:
        for runner in made.values():
            runner.close()


def compare(
    cases: Iterable[str], peers: Callable[[str], h.Peers], rounds: int
) -> tuple[list[h.Row], list[str]]:
    """Return the rows of all cases, and which of them lack what they import."""
    table: list[h.Row] = []
    missing: list[str] = []
    for case in cases:
        try:
            samples = h.alternate(peers(case), rounds)
        except ImportError as error:
            missing.append(f"{case}: {error}")
            continue
        table += h.rows(case, samples, STOCK)
    return table, missing


async def one_in_flight(call: Callable[[], Awaitable[Any]], n: int) -> h.Sample:
    """Time `n` awaits one after the other."""
    clock = perf_counter_ns
    latencies = [0] * n
    cpu = process_time_ns()
    started = clock()
    for number in range(n):
        before = clock()
        await call()
        latencies[number] = clock() - before
    wall = clock() - started
    return h.summarize(latencies, n, wall, process_time_ns() - cpu)


async def sleeps(n: int, seconds: float) -> h.Sample:
    """Time by how much `n` sleeps are too long."""
    late = []
    cpu, started = process_time_ns(), perf_counter_ns()
    for _ in range(n):
        before = perf_counter_ns()
        await asyncio.sleep(seconds)
        late.append(perf_counter_ns() - before - int(seconds * 1e9))
    wall = perf_counter_ns() - started
    return h.summarize(late, n, wall, process_time_ns() - cpu)


async def asyncio_gather(call: Callable[[], Awaitable[Any]], width: int) -> None:
    """Await `width` calls together."""
    await asyncio.gather(*(call() for _ in range(width)))


async def trio_gather(call: Callable[[], Awaitable[Any]], width: int) -> None:
    """Await `width` calls together, in trio."""
    import trio  # type: ignore[import-not-found, unused-ignore]

    async with trio.open_nursery() as nursery:
        for _ in range(width):
            nursery.start_soon(call)


async def gathered(
    call: Callable[[], Awaitable[Any]],
    n: int,
    width: int,
    gather: Callable[..., Awaitable[None]] = asyncio_gather,
) -> h.Sample:
    """Time `n` awaits, `width` of them at a time."""
    rounds = max(n // width, 1)
    cpu = process_time_ns()
    started = perf_counter_ns()
    for _ in range(rounds):
        await gather(call, width)
    wall = perf_counter_ns() - started
    return h.summarize((), rounds * width, wall, process_time_ns() - cpu)
