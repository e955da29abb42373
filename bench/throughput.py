# SPDX-License-Identifier: MIT
"""How many no-ops a second with 64 in flight, and what do more workers cost?

Two disciplines, the same for both pools: "callbacks" are 64 chains of requests,
each resubmitting from its done callback; "results" keeps 64 requests in a deque
and asks the oldest for its result before the next is submitted. The latency is
that of every 16th request. "no pool" is what the discipline itself costs, with
requests that do nothing: what a pool takes is the difference, which is told below
the table.
"""

from __future__ import annotations

import concurrent.futures
import queue
import statistics
from collections import deque
from contextlib import ExitStack
from functools import partial
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = 64
EVERY = 16
NO_POOL = "no pool"


class Chain:
    """One of the 64: submits the next request when the last is done."""

    __slots__ = ("finished", "latencies", "left", "stamp", "submit")

    def __init__(
        self,
        submit: Callable[..., Any],
        length: int,
        finished: Callable[[Chain], None],
    ) -> None:
        self.submit = submit
        self.left = length
        self.finished = finished
        self.stamp = 0
        self.latencies: list[int] = []

    def start(self) -> None:
        """Submit the first request."""
        self.stamp = perf_counter_ns()
        self.submit(h.noop).add_done_callback(self)

    def __call__(self, _done: object) -> None:
        """Done callback: in the owner of a context, in a worker of an executor."""
        if self.stamp:
            self.latencies.append(perf_counter_ns() - self.stamp)
            self.stamp = 0
        self.left -= 1
        if not self.left:
            self.finished(self)
            return
        if self.left % EVERY == 0:
            self.stamp = perf_counter_ns()
        self.submit(h.noop).add_done_callback(self)


def callbacks(
    submit: Callable[..., Any],
    finished: Callable[[Chain], None],
    wait: Callable[[], None],
    n: int,
) -> h.Sample:
    """Run 64 chains."""
    length = n // IN_FLIGHT
    chains = [Chain(submit, length, finished) for _ in range(IN_FLIGHT)]
    cpu = process_time_ns()
    started = perf_counter_ns()
    for chain in chains:
        chain.start()
    wait()
    wall = perf_counter_ns() - started
    cpu = process_time_ns() - cpu
    latencies = [ns for chain in chains for ns in chain.latencies]
    return h.summarize(latencies, length * IN_FLIGHT, wall, cpu)


class NoRequest:
    """What a pool that does nothing would return; its methods are C functions."""

    __slots__ = ("add_done_callback", "result")


def no_pool() -> tuple[Callable[..., Any], deque[Any]]:
    """Return a submit() that calls nothing, and the done callbacks it was given."""
    callbacks: deque[Any] = deque()
    request = NoRequest()
    request.add_done_callback = callbacks.append
    request.result = callbacks.clear
    return {h.noop: request}.get, callbacks


def no_pool_callbacks(n: int) -> h.Sample:
    """The callbacks run here, at once."""
    submit, ready = no_pool()

    def wait() -> None:
        while ready:
            ready.popleft()(None)

    return callbacks(submit, lambda _chain: None, wait, n)


def tpool_callbacks(ctx: tpool.AioContext, pool: tpool.ThreadPool, n: int) -> h.Sample:
    """The callbacks run in the owner."""
    finished: list[Chain] = []

    def wait() -> None:
        while len(finished) < IN_FLIGHT:
            ctx.poll(True)

    return callbacks(pool.submit, finished.append, wait, n)


def stock_callbacks(pool: concurrent.futures.ThreadPoolExecutor, n: int) -> h.Sample:
    """The callbacks run in the workers."""
    finished: queue.SimpleQueue[Chain] = queue.SimpleQueue()

    def wait() -> None:
        for _ in range(IN_FLIGHT):
            finished.get()

    return callbacks(pool.submit, finished.put, wait, n)


def results(submit: Callable[..., Any], n: int) -> h.Sample:
    """Keep 64 in flight and take the results in order."""
    flying: deque[tuple[int, Any]] = deque()
    latencies = []
    cpu = process_time_ns()
    started = perf_counter_ns()
    for number in range(n + IN_FLIGHT):
        if number >= IN_FLIGHT:
            stamp, call = flying.popleft()
            call.result()
            if stamp:
                latencies.append(perf_counter_ns() - stamp)
        if number < n:
            stamp = 0 if number % EVERY else perf_counter_ns()
            flying.append((stamp, submit(h.noop)))
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
