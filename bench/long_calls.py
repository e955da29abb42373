# SPDX-License-Identifier: MIT
"""What does the self-tuning make of calls that last?

Calls of 5 ms, for which polling cannot pay; regular ones of 300 us, for which the
owner sleeps until shortly before their end; and short ones beside a call of 5 ms that
is always in flight. "Always polling" has a bound that no call reaches.

The latency of calls that last is from the end of the call until the owner has its
result: how long the call itself takes varies, and with how idle the machine is.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

OFF, TUNED, HYBRID = "polling off", "self-tuned", "hybrid"
ALWAYS, ALONE, BESIDE = "always polling", "alone", "beside a 5 ms source"
POLLING: dict[str, dict[str, Any]] = {
    OFF: {"poll_max_ns": 0},
    TUNED: {"poll_max_ns": 32_768, "poll_hybrid": False},
    HYBRID: {"poll_max_ns": 32_768},
    ALWAYS: {"poll_max_ns": 5_000_000, "poll_grow": 2**40, "poll_shrink": 1},
}


def sleep(ns: int) -> int:
    """Return when it has ended."""
    time.sleep(ns / 1e9)
    return time.perf_counter_ns()


def peer(pool: tpool.ThreadPool, n: int, call: Callable[[], object]) -> Any:  # noqa: ANN401
    """Return a peer: `n` calls, one in flight."""

    def run() -> None:
        pool.submit(call).result()

    return partial(h.one_in_flight, run, n)


def from_the_end(pool: tpool.ThreadPool, n: int, call: Callable[[], int]) -> h.Sample:
    """Make `n` calls, one in flight, and time the way back of each."""
    clock = time.perf_counter_ns
    latencies = [0] * n
    cpu = time.process_time_ns()
    started = clock()
    for number in range(n):
        ended = pool.submit(call).result()
        latencies[number] = clock() - ended
    wall = clock() - started
    return h.summarize(latencies, n, wall, time.process_time_ns() - cpu)


def compare(
    case: str, call: Callable[[], int], modes: list[str], n: int, rounds: int
) -> list[h.Row]:
    """Return a row for each way to wait."""
    with ExitStack() as stack:
        peers = {}
        for mode in modes:
            ctx = stack.enter_context(tpool.AioContext(**POLLING[mode]))
            pool = stack.enter_context(tpool.ThreadPool(ctx, max_threads=1))
            peers[mode] = partial(from_the_end, pool, n, call)
        return h.rows(case, h.alternate(peers, rounds), OFF)


def beside(pool: tpool.ThreadPool, n: int) -> h.Sample:
    """Time short calls while a long one is always in flight."""
    ended = False

    def again(_: object) -> None:
        if not ended:
            pool.submit(time.sleep, 0.005).add_done_callback(again)

    again(None)
    try:
        return peer(pool, n, partial(h.compute, 10_000))()
    finally:
        ended = True
        while pool.stats().completed < pool.stats().submitted or pool.ctx.poll(False):
            pool.ctx.poll(False)


def fast_and_slow(n: int, rounds: int) -> list[h.Row]:
    """Return a row for the short calls alone, and one for them beside long ones."""
    with ExitStack() as stack:
        pools = [
            stack.enter_context(
                tpool.ThreadPool(stack.enter_context(tpool.AioContext()))
            )
            for _ in range(2)
        ]
        peers = {
            ALONE: peer(pools[0], n, partial(h.compute, 10_000)),
            BESIDE: partial(beside, pools[1], n),
        }
        return h.rows("10 us, computing", h.alternate(peers, rounds), ALONE)


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument(
        "--n", type=int, default=200, help="calls of 300 us a round; default: 200"
    )
    options = h.parse(made, {"n": 20})
    n, rounds = options.n, options.rounds
    every = [OFF, TUNED, HYBRID, ALWAYS]
    table = [
        *compare(
            "5 ms, sleeping",
            partial(sleep, 5_000_000),
            [OFF, TUNED, HYBRID],
            max(n // 4, 10),
            rounds,
        ),
        *compare("300 us, sleeping", partial(sleep, 300_000), every, n, rounds),
        *compare("300 us, computing", partial(h.compute, 300_000), every, n, rounds),
        *fast_and_slow(10 * n, rounds),
    ]
    h.report(
        "Calls that last: latency and CPU by the way to wait",
        __file__,
        options,
        table,
        ["ratios: the first of the case divided by the row; above 1 is better"],
    )


if __name__ == "__main__":
    main()
