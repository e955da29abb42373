# SPDX-License-Identifier: MIT
"""How many no-ops a second with 64 in flight, and what do more workers cost?

Two disciplines, the same for both pools: "callbacks" are 64 chains of requests,
each resubmitting from its done callback; "results" keeps 64 requests in a deque
and asks the oldest for its result before the next is submitted. The latency is
that of every 16th chain, or request. "no pool" is what the discipline itself
costs, with requests that do nothing: what a pool takes is the difference, which
is told below the table.
"""

from __future__ import annotations

import concurrent.futures
import statistics
import threading
from collections import deque
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = 64
EVERY = 16
NO_POOL = "no pool"


def begin_chain(
    submit: Callable[..., Any], length: int, finished: Callable[[], object]
) -> None:
    """Submit the first of length requests, and each next one when the last is done."""
    left = repeat(h.noop, length - 1)

    def done(_: object) -> None:
        for call in left:
            submit(call).add_done_callback(done)
            return
        finished()

    submit(h.noop).add_done_callback(done)


def begin_timed_chain(
    submit: Callable[..., Any],
    length: int,
    finished: Callable[[], object],
    latencies: list[int],
) -> None:
    """Do the same, and note how long each request took."""
    left = repeat(h.noop, length - 1)
    stamp = 0

    def done(_: object) -> None:
        nonlocal stamp
        latencies.append(perf_counter_ns() - stamp)
        for call in left:
            stamp = perf_counter_ns()
            submit(call).add_done_callback(done)
            return
        finished()

    stamp = perf_counter_ns()
    submit(h.noop).add_done_callback(done)


def callbacks(
    submit: Callable[..., Any],
    finished: Callable[[], object],
    wait: Callable[[], None],
    n: int,
) -> h.Sample:
    """Run 64 chains, of which every 16th is timed."""
    length = n // IN_FLIGHT
    latencies: list[int] = []
    cpu = process_time_ns()
    started = perf_counter_ns()
    for number in range(IN_FLIGHT):
        if number % EVERY:
            begin_chain(submit, length, finished)
        else:
            begin_timed_chain(submit, length, finished, latencies)
    wait()
    wall = perf_counter_ns() - started
    cpu = process_time_ns() - cpu
    return h.summarize(latencies, length * IN_FLIGHT, wall, cpu)


class NoRequest:
    """What a pool that does nothing would return; its methods are C functions."""

    __slots__ = ("add_done_callback", "result")


def no_pool() -> tuple[Callable[..., Any], deque[Any]]:
    """Return a submit() that calls nothing, and the done callbacks it was given."""
    callbacks: deque[Any] = deque()
    request: Any = NoRequest()
    request.add_done_callback = callbacks.append
    request.result = callbacks.clear
    return {h.noop: request}.get, callbacks


def no_pool_callbacks(n: int) -> h.Sample:
    """The callbacks run here, at once."""
    submit, ready = no_pool()

    def wait() -> None:
        while ready:
            ready.popleft()(None)

    return callbacks(submit, int, wait, n)


def tpool_callbacks(ctx: tpool.AioContext, pool: tpool.ThreadPool, n: int) -> h.Sample:
    """The callbacks run in the owner."""
    left = IN_FLIGHT

    def finished() -> None:
        nonlocal left
        left -= 1

    def wait() -> None:
        while left:
            ctx.poll(True)

    return callbacks(pool.submit, finished, wait, n)


def stock_callbacks(pool: concurrent.futures.ThreadPoolExecutor, n: int) -> h.Sample:
    """The callbacks run in the workers."""
    finished = threading.Semaphore(0)

    def wait() -> None:
        for _ in range(IN_FLIGHT):
            finished.acquire()

    return callbacks(pool.submit, finished.release, wait, n)


def results(submit: Callable[..., Any], n: int) -> h.Sample:
    """Keep 64 in flight and take the results in order; every 16th is timed."""
    latencies = []
    cpu = process_time_ns()
    started = perf_counter_ns()
    flying: deque[Any] = deque()
    stamps: deque[int] = deque()
    add, take = flying.append, flying.popleft
    for number in range(IN_FLIGHT):
        if number % EVERY == 0:
            stamps.append(perf_counter_ns())
        add(submit(h.noop))
    for _ in range(n // EVERY - IN_FLIGHT // EVERY):
        take().result()
        stamp = perf_counter_ns()
        latencies.append(stamp - stamps.popleft())
        stamps.append(stamp)
        add(submit(h.noop))
        for call in repeat(h.noop, EVERY - 1):
            take().result()
            add(submit(call))
    while flying:
        take().result()
    wall = perf_counter_ns() - started
    return h.summarize(latencies, n, wall, process_time_ns() - cpu)


def own_ns(pool: list[h.Sample], none: list[h.Sample]) -> float:
    """Return what the pool itself takes for an operation, of what the owner waits."""
    return statistics.median(
        1e9 / mine.ops_per_s - 1e9 / base.ops_per_s
        for base, mine in h.pairs(none, pool)
    )


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=20_000, help="a round; default: 20000")
    options = h.parse(made, {"n": 1_280})
    n = options.n // IN_FLIGHT * IN_FLIGHT
    if n < 2 * IN_FLIGHT:
        made.error(f"--n must be {2 * IN_FLIGHT} at least, not {options.n}")
    table = []
    own = {}
    with ExitStack() as stack:
        ctx = stack.enter_context(tpool.AioContext(poll_max_ns=32_768))
        by_callback: h.Peers = {}
        by_result: h.Peers = {}
        threads = {}
        for workers in (1, 64):
            name = f"tpool, max_threads {workers}"
            pool = stack.enter_context(tpool.ThreadPool(ctx, max_threads=workers))
            threads[name] = pool
            by_callback[name] = partial(tpool_callbacks, ctx, pool, n)
            by_result[name] = partial(results, pool.submit, n)
        for workers in (1, 64):
            name = f"concurrent.futures, {workers}"
            stock = stack.enter_context(concurrent.futures.ThreadPoolExecutor(workers))
            by_callback[name] = partial(stock_callbacks, stock, n)
            by_result[name] = partial(results, stock.submit, n)
        by_callback[NO_POOL] = partial(no_pool_callbacks, n)
        by_result[NO_POOL] = partial(results, no_pool()[0], n)
        baseline = "concurrent.futures, 1"
        for case, peers in (("callbacks", by_callback), ("results", by_result)):
            samples = h.alternate(peers, options.rounds)
            table += h.rows(case, samples, baseline)
            own[case] = {
                name: own_ns(samples[name], samples[NO_POOL])
                for name in samples
                if name != NO_POOL
            }
        made_threads = {name: pool.stats().threads for name, pool in threads.items()}
    h.report(
        "No-ops with 64 in flight",
        __file__,
        options,
        table,
        [
            f"{case}, {name}: the pool's own part {ns:,.0f} ns an operation"
            for case, pools in own.items()
            for name, ns in pools.items()
        ]
        + [f"{name}: {count} threads made" for name, count in made_threads.items()],
        own_ns=own,
        threads=made_threads,
        in_flight=IN_FLIGHT,
    )


if __name__ == "__main__":
    main()
