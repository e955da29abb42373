# SPDX-License-Identifier: MIT
"""What does tracing cost, while it is on?

Round trips of a no-op with tracing off and on in turn; the events of a round are
read after it. An event costs what a round trip takes longer, divided by the events
that it records in both threads.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack

import _harness as h

import tpool
from tpool import trace

OFF, ON = "tracing off", "tracing on"
# A ring holds 65,535 events of each thread, and a round trip is about four in each.
MAX = 10_000


def main() -> None:
    made = h.parser(__doc__)
    made.set_defaults(rounds=101)
    made.add_argument("--n", type=int, default=1_000, help="a round; default: 1000")
    options = h.parse(made, {"n": 1_000})
    n = min(options.n, MAX)
    counts = {"operations": 0, "events": 0, "lost": 0}
    with ExitStack() as stack:
        ctx = stack.enter_context(tpool.AioContext())
        pool = stack.enter_context(tpool.ThreadPool(ctx, max_threads=1))
        once = h.round_trips(pool, n)

        def traced() -> h.Sample:
            trace.enable()
            try:
                sample = once()
            finally:
                trace.disable()
            counts["operations"] += n
            counts["lost"] += trace.lost()
            counts["events"] += len(trace.read())
            return sample

        samples = h.alternate({OFF: once, ON: traced}, options.rounds)
    table = h.rows("no-op", samples, OFF)
    each = counts["events"] / counts["operations"]
    longer_us = statistics.median(
        on.p50_us - off.p50_us
        for off, on in h.pairs(samples[OFF], samples[ON])
        if on.p50_us is not None and off.p50_us is not None
    )
    event_ns = longer_us * 1e3 / each
    h.report(
        "Tracing: a round trip of a no-op with it and without",
        __file__,
        options,
        table,
        [
            f"{each:.1f} events a round trip, {event_ns:.0f} ns each by the p50; "
            f"lost: {counts['lost']:,} of {counts['events'] + counts['lost']:,}"
        ],
        events=counts | {"event_ns": event_ns},
    )


if __name__ == "__main__":
    main()
