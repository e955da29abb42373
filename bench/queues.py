# SPDX-License-Identifier: MIT
"""What does it take to hand an object from thread to thread by a SimpleQueue?

"ping-pong" are two threads that answer each other by two queues: the time is that
there and back. In the others a thread takes what one, or four, others put; in the last
one thread puts all, and then takes all. There a row's time is the mean of an object.
"""

from __future__ import annotations

import queue
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STOCK = "queue.SimpleQueue"
KINDS: dict[str, Callable[[], Any]] = {
    "tpool.SimpleQueue": tpool.SimpleQueue,
    STOCK: queue.SimpleQueue,
}


@contextmanager
def ping_pong(make: Callable[[], Any], n: int) -> Iterator[Callable[[], h.Sample]]:
    """A thread that sends back what it gets."""
    there, back = make(), make()

    def answer() -> None:
        while (item := there.get()) is not None:
            back.put(item)

    def call() -> None:
        there.put(1)
        back.get()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield partial(h.one_in_flight, call, n)
    finally:
        there.put(None)
        thread.join()


def hand_over(make: Callable[[], Any], putters: int, n: int) -> h.Sample:
    """Take n objects, of so many threads that put; 0: of this one, before."""
    made = make()
    each = n // max(putters, 1)

    def put() -> None:
        for number in range(each):
            made.put(number)

    threads = [threading.Thread(target=put) for _ in range(putters)]
    cpu = process_time_ns()
    started = perf_counter_ns()
    for thread in threads:
        thread.start()
    if not threads:
        put()
    for _ in range(each * max(putters, 1)):
        made.get()
    for thread in threads:
        thread.join()
    wall = perf_counter_ns() - started
    return h.summarize((), n, wall, process_time_ns() - cpu)


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument(
        "--n", type=int, default=5_000, help="round trips a round; default: 5000"
    )
    made.add_argument(
        "--objects", type=int, default=1_000_000, help="a round; default: 1000000"
    )
    options = h.parse(made, {"n": 200, "objects": 2_000})
    table = []
    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(ping_pong(make, options.n))
            for name, make in KINDS.items()
        }
        table += h.rows("ping-pong", h.alternate(peers, options.rounds), STOCK)
    for case, putters in (("1 putter", 1), ("4 putters", 4), ("put, then get", 0)):
        peers = {
            name: partial(hand_over, make, putters, options.objects)
            for name, make in KINDS.items()
        }
        table += h.rows(case, h.alternate(peers, options.rounds), STOCK)
    h.report("Objects from thread to thread", __file__, options, table)


if __name__ == "__main__":
    main()
