# SPDX-License-Identifier: MIT
"""What polling can do on this machine, and what the tuner will make of it."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter_ns

import tpool._core as _core
from tpool.aio_context import AioContext, default_poll_max_ns
from tpool.cli.console import environment
from tpool.thread_pool import ThreadPool

__all__ = ["Facts", "gather", "text"]

_HOPS = 2_000
_WARM_UP = 200
_FILE_SIZE = 4096
_FILES_NS = 200_000_000


@dataclass(frozen=True, slots=True)
class Facts:
    """What `tpool info` tells. Times in nanoseconds.

    Attributes:
        python: Version of Python.
        gil: Whether there is a GIL.
        switch_interval_ns: How long a thread keeps the GIL if another wants it.
        cpus: CPUs of the machine.
        cpus_usable: CPUs that this process may use: affinity, and what its
            control group lets it have.
        poll_max_ns: Bound of the polling time, as it is by default here.
        owner_wake_ns: What it costs to wake the owner of a context.
        worker_wake_ns: What it costs to wake a worker.
        blocking_hop_ns: A no-op in a thread, there and back, without polling: p50.
        polling_hop_ns: The same with polling; None where nobody polls.
        polled_file_ns: What it costs to read and hash a small file in a thread, time
            and CPU time together, when it is polled for; None where nobody polls.
        blocked_file_ns: The same when it is not.
    """

    python: str
    gil: bool
    switch_interval_ns: int
    cpus: int
    cpus_usable: int
    poll_max_ns: int
    owner_wake_ns: int
    worker_wake_ns: int
    blocking_hop_ns: int
    polling_hop_ns: int | None
    polled_file_ns: int | None
    blocked_file_ns: int | None


def _hops(pool: ThreadPool) -> int:
    """Return the p50 of hops one after the other."""
    times = []
    for number in range(_WARM_UP + _HOPS):
        begin = perf_counter_ns()
        pool.submit(int).result()
        if number >= _WARM_UP:
            times.append(perf_counter_ns() - begin)
    return int(statistics.median(times))


def _hash(path: Path) -> bytes:
    return sha256(path.read_bytes()).digest()


def _file_costs(ctx: AioContext, pool: ThreadPool) -> tuple[int | None, int | None]:
    """Return what a small file costs polled for and not, once both are known."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(bytes(_FILE_SIZE))
        until = perf_counter_ns() + _FILES_NS
        while perf_counter_ns() < until:
            pool.submit(_hash, path).result()
    stats = ctx.stats()
    return stats.polled_call_ns or None, stats.blocked_call_ns or None


def gather() -> Facts:
    """Measure, for some tenths of a second.

    Raises:
        OSError: The system gives no fd.
        ValueError: TPOOL_POLL_MAX_NS is no number.

    Context: A thread that may block.
    """
    where = environment()
    poll_max_ns = default_poll_max_ns()
    with AioContext(0) as ctx, ThreadPool(ctx, max_threads=1) as pool:
        blocking_hop_ns = _hops(pool)
        owner_wake_ns, worker_wake_ns = ctx.stats().wake_ns, pool.stats().wake_ns
    with AioContext(poll_max_ns) as ctx, ThreadPool(ctx, max_threads=1) as pool:
        polling_hop_ns = _hops(pool)
        polls = ctx.stats().polls_hit > 0
    with AioContext(poll_max_ns) as ctx, ThreadPool(ctx, max_threads=1) as pool:
        polled_file_ns, blocked_file_ns = _file_costs(ctx, pool)
    return Facts(
        python=f"{where['implementation']} {where['python']}",
        gil=bool(where["gil"]),
        switch_interval_ns=int(sys.getswitchinterval() * 1e9),
        cpus=os.cpu_count() or 1,
        cpus_usable=_core.cpus_usable(),
        poll_max_ns=poll_max_ns,
        owner_wake_ns=owner_wake_ns,
        worker_wake_ns=worker_wake_ns,
        blocking_hop_ns=blocking_hop_ns,
        polling_hop_ns=polling_hop_ns if polls else None,
        polled_file_ns=polled_file_ns,
        blocked_file_ns=blocked_file_ns,
    )


def _us(ns: int | None) -> str:
    return "-" if ns is None else f"{ns / 1e3:,.1f} us"


def _verdict(facts: Facts) -> list[str]:
    """Say what the tuner will do, and why."""
    if facts.poll_max_ns == 0:
        return ["Nobody polls: poll_max_ns is 0."]
    if facts.cpus_usable == 1:
        return [
            "Nobody polls: one CPU is usable, and who polls keeps the other side",
            "from running.",
        ]
    if facts.polling_hop_ns is None:
        return ["Nobody has polled: owner and worker were always on one CPU."]
    wake_ns = max(facts.owner_wake_ns, facts.worker_wake_ns)
    lines = [
        f"A new callable is polled for at least {_us(min(wake_ns, facts.poll_max_ns))}: "
        "to block sooner than a wake-up takes",
        "would not pay. After eight calls the window is the one that",
        "would have cost least over the last waits, none if they were mostly longer than",
        f"poll_max_ns, {_us(facts.poll_max_ns)}. For regular calls of up to "
        f"{_us(32 * facts.poll_max_ns)} the owner sleeps,",
        "and polls around their end. With nothing in flight it blocks at once.",
    ]
    if facts.polled_file_ns and facts.blocked_file_ns:
        pays = facts.polled_file_ns <= facts.blocked_file_ns
        lines += [
            "What calls cost, in time and CPU time together, is measured in turn with",
            "polling and without: a small file, read and hashed, costs "
            f"{_us(facts.polled_file_ns)} and",
            f"{_us(facts.blocked_file_ns)}: polling {'pays' if pays else 'costs more'}. "
            "Where one is chosen",
            "the time counts twice, for it is waited for.",
        ]
    if wake_ns > facts.poll_max_ns:
        lines += [
            "A wake-up costs more than that: where the CPU is yours to spend, raise",
            f"poll_max_ns to {wake_ns} or more.",
        ]
    return lines


def text(facts: Facts) -> str:
    """Return what a human wants to know."""
    rows = [
        (
            "Python",
            f"{facts.python}, GIL {'on' if facts.gil else 'off'}, switch interval "
            f"{_us(facts.switch_interval_ns)}",
        ),
        ("CPUs", f"{facts.cpus_usable} usable of {facts.cpus}"),
        ("wake-up of the owner", _us(facts.owner_wake_ns)),
        ("wake-up of a worker", _us(facts.worker_wake_ns)),
        ("hop and back, blocking", _us(facts.blocking_hop_ns)),
        ("hop and back, polling", _us(facts.polling_hop_ns)),
        ("poll_max_ns", _us(facts.poll_max_ns)),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name.ljust(width)}  {value}" for name, value in rows]
    return "\n".join([*lines, "", *_verdict(facts)]) + "\n"
