# SPDX-License-Identifier: MIT
"""What do a million requests in flight cost, in time and in memory?

One worker waits at a gate while all requests are submitted, then the gate opens
and the owner takes all results. Each peer and size is a process of its own, so
that no memory is used a second time. The memory is the growth of the resident
set; the caller's list of requests is there before, its function is shared.
"""

from __future__ import annotations

import concurrent.futures
import gc
import os
import statistics
import threading
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool
from tpool.cli.rounds import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Scale:
    """One peer at one size: medians over the rounds."""

    case: str
    peer: str
    n: int
    submit_us: float
    collect_us: float
    cpu_us_per_op: float
    bytes_per_request: float
    bytes_left: float


@contextmanager
def tpool_pool() -> Iterator[Any]:
    with (
        tpool.AioContext(poll_max_ns=32_768) as ctx,
        tpool.ThreadPool(ctx, max_threads=1) as pool,
    ):
        yield pool


PEERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "tpool": tpool_pool,
    "concurrent.futures": lambda: concurrent.futures.ThreadPoolExecutor(1),
}


def resident() -> int:
    """Return the bytes of the resident set."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(peer: str, n: int) -> Scale:
    """Fill the pool, look, and empty it. In a process of its own."""
    calls: list[Any] = [None] * n
    gate = threading.Event()
    with PEERS[peer]() as pool:
        submit = pool.submit
        submit(h.noop).result()
        blocked = submit(gate.wait)
        gc.collect()
        memory = resident()
        cpu = process_time_ns()
        started = perf_counter_ns()
        for number in range(n):
            calls[number] = submit(h.noop)
        submitted = perf_counter_ns()
        cpu_submit = process_time_ns() - cpu
        full = resident() - memory
        cpu = process_time_ns()
        opened = perf_counter_ns()
        gate.set()
        for number in range(n):
            calls[number].result()
            calls[number] = None
        collected = perf_counter_ns()
        cpu = process_time_ns() - cpu + cpu_submit
        blocked.result()
        left = resident() - memory
    return Scale(
        case="in flight",
        peer=peer,
        n=n,
        submit_us=(submitted - started) / n / 1e3,
        collect_us=(collected - opened) / n / 1e3,
        cpu_us_per_op=cpu / n / 1e3,
        bytes_per_request=full / n,
        bytes_left=left / n,
    )


def median(samples: list[Scale]) -> Scale:
    """Return one row for the rounds."""
    first = samples[0]
    names = ("submit_us", "collect_us", "cpu_us_per_op", "bytes_per_request")
    return Scale(
        first.case,
        first.peer,
        first.n,
        *(
            statistics.median(getattr(one, name) for one in samples)
            for name in (*names, "bytes_left")
        ),
    )


def main() -> None:
    made = h.parser(__doc__)
    made.set_defaults(rounds=3)
    made.add_argument(
        "--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000]
    )
    made.add_argument(
        "--stock-max",
        type=int,
        default=300_000,
        help="largest size for concurrent.futures: a million takes it about 2 GB",
    )
    made.add_argument("--child", nargs=2, metavar=("PEER", "N"), help="for itself")
    options = h.parse(made, {"sizes": [500, 1_500, 5_000], "stock_max": 1_500})
    if options.child:
        peer, size = options.child
        result = measure(peer, int(size))
        h.print_json({name: getattr(result, name) for name in result.__slots__})
        return
    todo = [
        (peer, n)
        for n in options.sizes
        for peer in PEERS
        if peer == "tpool" or n <= options.stock_max
    ]
    samples: dict[tuple[str, int], list[Scale]] = {one: [] for one in todo}
    for turn in range(options.rounds):
        for peer, n in in_order(todo, turn):
            h.tell(f"round {turn + 1} of {options.rounds}: {peer}, {n:,}")
            answer = h.run_child(__file__, "--child", peer, n)
            samples[peer, n].append(Scale(**answer))
    table = [median(values) for values in samples.values()]
    mine = [row for row in table if row.peer == "tpool"]
    linearity = {
        name: getattr(mine[-1], name) / getattr(mine[0], name)
        for name in ("submit_us", "collect_us")
    }
    h.report(
        "Requests in flight: time and memory for each",
        __file__,
        options,
        table,
        [
            f"tpool, {mine[-1].n:,} against {mine[0].n:,}: "
            + ", ".join(f"{k} {v:.2f} times" for k, v in linearity.items())
            + " (1.00 is linear)"
        ],
        linearity=linearity,
    )


if __name__ == "__main__":
    main()
