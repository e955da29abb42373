# SPDX-License-Identifier: MIT
"""What does a pool cost while nothing happens, ten seconds after a burst?

Counted for all threads of the process by the kernel: time on a CPU (schedstat)
and context switches (status). The owner blocks once; that one switch, and the
CPU time of reading the counters, is what a process that sleeps has as well.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import mmap
import os
import re
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import _harness as h
import _loops

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKETS = 100
SETTLE_S = 0.1  # after the burst: the last polls end, the workers park


@dataclass(frozen=True, slots=True)
class Idle:
    """One peer: what the idle time took. `wakeups` are voluntary switches."""

    case: str
    peer: str
    n: int
    seconds: float
    threads: int
    cpu_us: float
    wakeups: int
    preemptions: int


def counters() -> tuple[int, int, int]:
    """Return ns on a CPU, voluntary and other switches, of all threads."""
    totals = [0, 0, 0]
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/schedstat", "rb") as file:
                totals[0] += int(file.read().split()[0])
            with open(f"/proc/self/task/{thread}/status", "rb") as file:
                switches = re.findall(rb"ctxt_switches:\t(\d+)", file.read())
        except FileNotFoundError:  # it ended
            continue
        totals[1] += int(switches[0])
        totals[2] += int(switches[1])
    return totals[0], totals[1], totals[2]


def measure(
    peer: str,
    burst: Callable[[], None],
    block: Callable[[float], object],
    n: int,
    seconds: float,
) -> Idle:
    """Run a burst, let it settle, and count while the owner blocks."""
    burst()
    block(SETTLE_S)
    before = counters()
    block(seconds)
    cpu, voluntary, other = (
        now - then for now, then in zip(counters(), before, strict=True)
    )
    return Idle(
        case=f"after a burst of {n:,}",
        peer=peer,
        n=n,
        seconds=seconds,
        threads=threading.active_count(),
        cpu_us=cpu / 1e3,
        wakeups=voluntary,
        preemptions=other,
    )


def tpool_idle(peer: str, poll_max_ns: int, n: int, seconds: float) -> Idle:
    """The owner blocks in `poll()` until a timer."""
    with (
        tpool.AioContext(poll_max_ns=poll_max_ns) as ctx,
        # Idle workers stay, or their end would be what is counted.
        tpool.ThreadPool(ctx, max_threads=8, idle_timeout=3600.0) as pool,
    ):

        def burst() -> None:
            for call in pool.submit_many(h.noop, [()] * n):
                call.result()

        def block(for_s: float) -> None:
            rung: list[None] = []
            timer = ctx.new_timer(lambda: rung.append(None))
            timer.mod_ns(time.monotonic_ns() + int(for_s * 1e9))
            while not rung:
                ctx.poll(True)

        return measure(peer, burst, block, n, seconds)


def stock_idle(peer: str, n: int, seconds: float) -> Idle:
    """The owner waits for an event that does not come."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:

        def burst() -> None:
            for call in [pool.submit(h.noop) for _ in range(n)]:
                call.result()

        never = threading.Event()
        return measure(peer, burst, never.wait, n, seconds)


def loop_idle(peer: str, name: str, n: int, seconds: float) -> Idle:
    """An event loop with open sockets sleeps after a burst of hops."""
    with asyncio.Runner(loop_factory=_loops.factories()[name]) as runner:
        loop = runner.get_loop()
        if isinstance(loop, tpool.EventLoop):
            # Its idle thread stays, or its end would be what is counted.
            loop.pool.set_threads(1, 1)
        pairs = [socket.socketpair() for _ in range(SOCKETS)]
        for ours, _ in pairs:
            ours.setblocking(False)
            loop.add_reader(ours.fileno(), h.noop)

        async def hops() -> None:
            for _ in range(n):
                await loop.run_in_executor(None, h.noop)

        idle = measure(
            peer,
            lambda: runner.run(hops()),
            lambda for_s: runner.run(asyncio.sleep(for_s)),
            n,
            seconds,
        )
        for ours, theirs in pairs:
            loop.remove_reader(ours.fileno())
            ours.close()
            theirs.close()
    return idle


def sources_idle(peer: str, n: int, seconds: float) -> Idle:
    """Our loop sleeps, with a file, a ring, and a word of which a notifier would tell."""
    with asyncio.Runner(loop_factory=tpool.new_event_loop) as runner:
        ctx = runner.get_loop().ctx  # type: ignore[attr-defined]
        with tpool.Ring.create() as ring, mmap.mmap(-1, mmap.PAGESIZE) as memory:
            word = ctx.watch(memory, 0, h.noop, interval=None)
            reader = ctx.add_ring(ring, print)
            file = runner.run(opened())

            async def reads() -> None:
                for _ in range(n):
                    await file.seek(0)
                    await file.read()

            idle = measure(
                peer,
                lambda: runner.run(reads()),
                lambda for_s: runner.run(asyncio.sleep(for_s)),
                n,
                seconds,
            )
            runner.run(file.close())
            reader.close()
            word.close()
    return idle


async def opened() -> tpool.loop.binary_file.BinaryFile:
    """Open a small file, which exists."""
    return await tpool.open(__file__, "rb")


def main() -> None:
    made = h.parser(__doc__)
    made.set_defaults(rounds=1)
    made.add_argument("--n", type=int, default=10_000, help="burst; default: 10000")
    made.add_argument("--seconds", type=float, default=10.0, help="default: 10")
    options = h.parse(made, {"n": 100, "seconds": 0.2})
    table = []
    for turn in range(options.rounds):
        h.tell(f"round {turn + 1} of {options.rounds}")
        n, seconds = options.n, options.seconds
        table += [
            tpool_idle("tpool, polling on", 32_768, n, seconds),
            tpool_idle("tpool, polling off", 0, n, seconds),
            stock_idle("concurrent.futures", n, seconds),
            loop_idle(f"tpool loop, {SOCKETS} sockets", "tpool", n, seconds),
            loop_idle(f"asyncio loop, {SOCKETS} sockets", _loops.STOCK, n, seconds),
            sources_idle("tpool loop, a file, a ring, a word", n, seconds),
        ]
    h.report("The cost of being idle", __file__, options, table)


if __name__ == "__main__":
    main()
