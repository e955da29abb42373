# SPDX-License-Identifier: MIT
"""Does polling hurt where the CPUs are not its own?

Three cases: nobody else; one hog (an endless loop in a process of its own) on
each CPU; everything pinned to one CPU. Each case is a process of its own.
"""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Iterator

ON, OFF, STOCK = "tpool, polling on", "tpool, polling off", "concurrent.futures"
CASES = ("quiet", "two hogs", "one CPU")

# Ends by itself when the benchmark is gone.
HOG = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
print(flush=True)
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def hogs() -> Iterator[int]:
    """Keep up to two CPUs busy."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    with ExitStack() as stack:
        for cpu in cpus:
            hog = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOG, str(cpu)], stdout=subprocess.PIPE
                )
            )
            stack.callback(hog.kill)
            assert hog.stdout is not None
            hog.stdout.readline()  # it runs
        os.sched_setaffinity(0, cpus)  # no third CPU to flee to
        yield len(cpus)


def measure(case: str, n: int, rounds: int) -> list[h.Row]:
    """Measure one case. In a process of its own."""
    with ExitStack() as stack:
        if case == "two hogs":
            stack.enter_context(hogs())
        elif case == "one CPU":
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        peers: h.Peers = {}
        for name, poll_max_ns in ((OFF, 0), (ON, 32_768)):
            ctx = stack.enter_context(tpool.AioContext(poll_max_ns=poll_max_ns))
            pool = stack.enter_context(tpool.ThreadPool(ctx))
            peers[name] = h.round_trips(pool, n)
        stock = stack.enter_context(concurrent.futures.ThreadPoolExecutor())
        peers[STOCK] = h.round_trips(stock, n)
        return h.rows(case, h.alternate(peers, rounds), OFF)


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=1_000, help="a round; default: 1000")
    made.add_argument("--child", choices=CASES, help="for itself")
    options = h.parse(made, {"n": 50})
    if options.child:
        table = measure(options.child, options.n, options.rounds)
        h.print_json([asdict(row) for row in table])
        return
    table = [
        h.Row(**row)
        for case in CASES
        for row in h.run_child(
            __file__, "--child", case, "--n", options.n, "--rounds", options.rounds
        )
    ]
    h.report(
        "Round trips beside CPU hogs, and on one CPU",
        __file__,
        options,
        table,
        ["ratios: polling off divided by the row; below 1 the row loses"],
    )


if __name__ == "__main__":
    main()
