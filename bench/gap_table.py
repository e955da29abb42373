# SPDX-License-Identifier: MIT
"""What does polling do when the owner is busy with other work between requests?

The other work is Python that keeps the CPU and the GIL. Its own CPU time is
measured without requests and taken off, so the CPU per operation is that of the
pool alone: the strict reading, which shows every wasted spin.
"""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from functools import partial
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

GAPS_US = [0, 5, 10, 20, 30, 45, 60, 100, 500]
ON, OFF = "tpool, polling on", "tpool, polling off"


def spaced(call: Callable[[], object], gap_ns: int, n: int) -> h.Sample:
    """Time `n` calls with other work before each of them."""
    own_cpu = 0
    if gap_ns:
        own_cpu = process_time_ns()
        for _ in range(n):
            h.compute(gap_ns)
        own_cpu = process_time_ns() - own_cpu
    latencies = [0] * n
    cpu = process_time_ns()
    started = perf_counter_ns()
    for number in range(n):
        if gap_ns:
            h.compute(gap_ns)
        before = perf_counter_ns()
        call()
        latencies[number] = perf_counter_ns() - before
    wall = perf_counter_ns() - started
    cpu = process_time_ns() - cpu
    return h.summarize(latencies, n, wall, max(cpu - own_cpu, 0))


def peer(pool: Any, gap_ns: int, n: int) -> Callable[[], h.Sample]:  # noqa: ANN401
    """Return a peer for one gap."""
    submit = pool.submit

    def call() -> None:
        submit(h.noop).result()

    return partial(spaced, call, gap_ns, n)


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=500, help="a round; default: 500")
    made.add_argument("--gaps", type=int, nargs="+", default=GAPS_US, help="in us")
    options = h.parse(made, {"n": 50})
    table = []
    with ExitStack() as stack:
        pools = {}
        for name, poll_max_ns in ((OFF, 0), (ON, 32_768)):
            ctx = stack.enter_context(tpool.AioContext(poll_max_ns=poll_max_ns))
            pools[name] = stack.enter_context(tpool.ThreadPool(ctx))
        for gap in options.gaps:
            peers = {
                name: peer(pool, gap * 1_000, options.n) for name, pool in pools.items()
            }
            samples = h.alternate(peers, options.rounds)
            # Operations per second would tell the gap, not the pool.
            table += [
                dataclasses.replace(row, ops_per_s=1e6 / row.mean_us)
                for row in h.rows(f"gap {gap} us", samples, OFF)
            ]
    h.report(
        "Other work between requests: latency and CPU, polling on against off",
        __file__,
        options,
        table,
        ["ratios: polling off divided by polling on; below 1 polling loses"],
        gaps_us=options.gaps,
    )


if __name__ == "__main__":
    main()
