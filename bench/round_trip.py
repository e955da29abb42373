# SPDX-License-Identifier: MIT
"""How long does one no-op take there and back, with one in flight?"""

from __future__ import annotations

import concurrent.futures
import os
import queue
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STOCK = "concurrent.futures"
ON = "tpool, polling on"


@contextmanager
def stock_peer(n: int) -> Iterator[Callable[[], h.Sample]]:
    """The stock executor; with one in flight it never makes a second thread."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield h.round_trips(pool, n)


@contextmanager
def queue_peer(n: int) -> Iterator[Callable[[], h.Sample]]:
    """A thread behind two queues: the least that Python itself can do."""
    there: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
    back: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work() -> None:
        while (function := there.get()) is not None:
            back.put(function())

    def call() -> None:
        there.put(h.noop)
        back.get()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield partial(h.one_in_flight, call, n)
    finally:
        there.put(None)
        worker.join()


@contextmanager
def gevent_peer(n: int) -> Iterator[Callable[[], h.Sample] | None]:
    """Gevent's pool of threads; None where it is not installed."""
    try:
        from gevent.threadpool import (  # type: ignore[import-untyped, unused-ignore]
            ThreadPool,
        )
    except ImportError:
        yield None
        return
    pool = ThreadPool(1)

    def call() -> None:
        pool.spawn(h.noop).get()

    try:
        yield partial(h.one_in_flight, call, n)
    finally:
        pool.kill()


def pinned(n: int) -> h.Sample:
    """Run unchanged stock code as `taskset -c CPU` would run it."""
    cpu = min(os.sched_getaffinity(0))
    return h.Sample(**h.run_child(__file__, "--n", n, "--stock-on-cpu", cpu))


def stock_on_cpu(cpu: int, n: int) -> None:
    """The child of `pinned`."""
    os.sched_setaffinity(0, {cpu})
    with stock_peer(n) as peer:
        peer()
        h.print_json(asdict(peer()))


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=5_000, help="a round; default: 5000")
    made.add_argument("--stock-on-cpu", type=int, metavar="CPU", help="for itself")
    options = h.parse(made, {"n": 200})
    if options.stock_on_cpu is not None:
        stock_on_cpu(options.stock_on_cpu, options.n)
        return
    n = options.n
    with ExitStack() as stack:
        contexts = {}
        pools = {}
        peers: h.Peers = {}
        for name, poll_max_ns in ((ON, 32_768), ("tpool, polling off", 0)):
            ctx = stack.enter_context(tpool.AioContext(poll_max_ns=poll_max_ns))
            pool = stack.enter_context(tpool.ThreadPool(ctx))
            contexts[name], pools[name] = ctx, pool
            peers[name] = h.round_trips(pool, n)
        peers[STOCK] = stack.enter_context(stock_peer(n))
        peers["queue.SimpleQueue pair"] = stack.enter_context(queue_peer(n))
        if (peer := stack.enter_context(gevent_peer(n))) is not None:
            peers["gevent threadpool"] = peer
        peers[f"{STOCK}, taskset"] = partial(pinned, n)
        table = h.rows("no-op", h.alternate(peers, options.rounds), STOCK)
        counts = {
            name: {
                "operations": n * (options.rounds + 1),
                "notifier_writes": contexts[name].stats().notifier_writes,
                "worker_wakeups": pools[name].stats().wakeups,
                "threads": pools[name].stats().threads,
            }
            for name in contexts
        }
    h.report(
        "Round trip of a no-op, one in flight",
        __file__,
        options,
        table,
        [
            f"{name}: " + ", ".join(f"{k} {v:,}" for k, v in values.items())
            for name, values in counts.items()
        ],
        counts=counts,
    )


if __name__ == "__main__":
    main()
