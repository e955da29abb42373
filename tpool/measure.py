# SPDX-License-Identifier: MIT
"""The main job: hash a tree with tpool and with the stock executor, and compare.

One thread owns everything here but `read_file`, which the workers run.
"""

from __future__ import annotations

import concurrent.futures
import functools
import math
import os
import queue
import statistics
import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tpool import AioContext, ThreadPool
from tpool.tree import (
    Interrupt,
    Item,
    Outcome,
    Problem,
    ReplacedError,
    Tree,
    read_file,
    reason,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Call",
    "CpuClock",
    "CpuReading",
    "Done",
    "FuturesPeer",
    "Measurement",
    "ModeResult",
    "Pass",
    "Peer",
    "Problem",
    "Shares",
    "TpoolPeer",
    "Usage",
    "percentile",
]

_IN_FLIGHT = 64
"""Requests in flight at most, the same for every peer."""

_POLL_MAX_NS = 32_768
"""Bound of the polling time in ns where polling is on: the library's default.

Given explicitly, because TPOOL_POLL_MAX_NS overrides a default.
"""

_KEEP_IDLE_S = 86_400.0  # no worker ends, and takes its CPU time along, in a run
_REPORT_EVERY = 32  # files between two calls of the progress function


class Call(Protocol):
    """The part of a future and of a request that is used here."""

    def result(self) -> Any:  # noqa: ANN401 -- checked by Tally.take
        """Return what the call returned."""

    def exception(self) -> BaseException | None:
        """Return what the call raised."""


class Done(NamedTuple):
    """One completion, as the owner saw it."""

    position: int
    submitted_ns: int
    seen_ns: int
    call: Call


class Usage(NamedTuple):
    """Nanoseconds since the peer was made, summed over its workers.

    `threads` 0: the pool does not tell what its workers do.
    """

    owner_polled: int = 0
    owner_blocked: int = 0
    workers_polled: int = 0
    workers_run: int = 0
    threads: int = 0

    def since(self, then: Usage) -> Usage:
        """Return the difference; the threads are those of now."""
        return Usage(
            self.owner_polled - then.owner_polled,
            self.owner_blocked - then.owner_blocked,
            self.workers_polled - then.workers_polled,
            self.workers_run - then.workers_run,
            self.threads,
        )


class Peer(Protocol):
    """A pool in the discipline that is common to all."""

    name: str

    def submit(self, index: int, item: Item) -> None:
        """Hand over one file."""

    def next_done(self) -> Done:
        """Wait for one completion."""

    def usage(self) -> Usage:
        """Return the times so far."""

    def close(self) -> None:
        """Cancel what is queued and wait for the rest."""


class TpoolPeer:
    """tpool: the callbacks run in the owner, while it polls."""

    def __init__(self, threads: int, poll_max_ns: int, interrupt: Interrupt) -> None:
        self.name = f"tpool, polling {'on' if poll_max_ns else 'off'}"
        self._interrupt = interrupt
        self._done: deque[Done] = deque()
        self._ctx = AioContext(poll_max_ns=poll_max_ns)
        self._pool = ThreadPool(
            self._ctx, max_threads=threads, idle_timeout=_KEEP_IDLE_S
        )

    def _seen(self, index: int, submitted_ns: int, call: Call) -> None:
        self._done.append(Done(index, submitted_ns, perf_counter_ns(), call))

    def submit(self, index: int, item: Item) -> None:
        """Hand over one file."""
        now = perf_counter_ns()
        request = self._pool.submit(read_file, item, self._interrupt)
        request.add_done_callback(functools.partial(self._seen, index, now))

    def next_done(self) -> Done:
        """Wait for one completion."""
        while not self._done:
            self._ctx.poll(True)
        return self._done.popleft()

    def usage(self) -> Usage:
        """Return the times so far."""
        owner = self._ctx.stats()
        workers = self._pool.stats()
        return Usage(
            owner.polled_ns,
            owner.blocked_ns,
            workers.polled_ns,
            workers.run_ns,
            workers.threads,
        )

    def close(self) -> None:
        """Cancel what is queued and wait for the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._ctx.close()


class FuturesPeer:
    """The stock executor: its callbacks hand the future to the owner by a queue.

    `wait` and `as_completed` would cost it far more than a `SimpleQueue` does.
    """

    name = "concurrent.futures"

    def __init__(self, threads: int, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._blocked_ns = 0
        self._done: queue.SimpleQueue[tuple[int, int, Call]] = queue.SimpleQueue()
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)

    def _finished(self, index: int, submitted_ns: int, call: Call) -> None:
        self._done.put((index, submitted_ns, call))  # worker

    def submit(self, index: int, item: Item) -> None:
        """Hand over one file."""
        now = perf_counter_ns()
        future = self._pool.submit(read_file, item, self._interrupt)
        future.add_done_callback(functools.partial(self._finished, index, now))

    def next_done(self) -> Done:
        """Wait for one completion."""
        entered = perf_counter_ns()
        index, submitted_ns, call = self._done.get()
        now = perf_counter_ns()
        self._blocked_ns += now - entered
        return Done(index, submitted_ns, now, call)

    def usage(self) -> Usage:
        """Return the times so far."""
        return Usage(owner_blocked=self._blocked_ns)

    def close(self) -> None:
        """Cancel what is queued and wait for the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class CpuReading(NamedTuple):
    """CPU seconds so far."""

    process: float
    threads: dict[int, float]


class CpuClock:
    """CPU time of the process and of each thread, from psutil.

    The kernel counts in ticks (`resolution_s`, 10 ms mostly). The pools live
    from the first round to the last and no thread of theirs ends before, so
    what a round is short of, a later one gets.
    """

    def __init__(self) -> None:
        import psutil  # type: ignore[import-untyped, unused-ignore]

        self._process = psutil.Process()
        self._owner = threading.get_native_id()
        self.resolution_s = 1 / os.sysconf("SC_CLK_TCK")

    def read(self) -> CpuReading:
        """Return the times so far."""
        times = self._process.cpu_times()
        return CpuReading(
            times.user + times.system,
            {t.id: t.user_time + t.system_time for t in self._process.threads()},
        )

    def spent(self, since: CpuReading) -> tuple[float, float, float]:
        """Return CPU seconds of the owner, the other threads and the process."""
        now = self.read()
        deltas = {
            thread: seconds - since.threads.get(thread, 0.0)
            for thread, seconds in now.threads.items()
        }
        owner = deltas.pop(self._owner, 0.0)
        return owner, sum(deltas.values()), now.process - since.process


@dataclass(slots=True)
class Pass:
    """One peer in one round."""

    latencies_ns: list[int] = field(default_factory=list)
    wall_ns: int = 0
    cpu_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    usage: Usage = field(default_factory=Usage)
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of the wall time, 0 to 1; together 1."""

    polled: float
    blocked: float
    working: float


@dataclass(frozen=True, slots=True)
class ModeResult:
    """What is reported of one peer. CPU seconds are sums over its rounds.

    `workers` is the mean over the threads; None where the pool does not tell.
    """

    name: str
    rounds: int
    files: int
    files_per_s: float | None
    latency_p50_us: float | None
    latency_p99_us: float | None
    cpu_owner_s: float
    cpu_workers_s: float
    cpu_process_s: float
    owner: Shares | None
    workers: Shares | None


def percentile(ordered: Sequence[int], percent: float) -> int:
    """Return the nearest-rank percentile of a sorted sequence."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def _shares(polled: float, blocked: float, wall: float) -> Shares:
    polled = min(polled / wall, 1.0)
    blocked = min(blocked / wall, 1.0 - polled)
    return Shares(polled, blocked, 1.0 - polled - blocked)


def _summary(name: str, passes: list[Pass]) -> ModeResult:
    passes = [one for one in passes if one.latencies_ns]
    # An interrupted pass counts only where there is nothing better.
    rated = [one for one in passes if one.complete] or passes
    latencies = sorted(ns for one in passes for ns in one.latencies_ns)
    wall = sum(one.wall_ns for one in passes)
    owner, workers, process = (
        sum(one.cpu_s[part] for one in passes) for part in range(3)
    )
    times = [one.usage for one in passes]
    workers_wall = sum(one.wall_ns * one.usage.threads for one in passes)
    workers_polled = sum(one.workers_polled for one in times)
    workers_busy = workers_polled + sum(one.workers_run for one in times)
    return ModeResult(
        name=name,
        rounds=sum(one.complete for one in passes),
        files=len(latencies),
        files_per_s=statistics.median(
            len(one.latencies_ns) / one.wall_ns * 1e9 for one in rated
        )
        if rated
        else None,
        latency_p50_us=percentile(latencies, 50) / 1e3 if latencies else None,
        latency_p99_us=percentile(latencies, 99) / 1e3 if latencies else None,
        cpu_owner_s=owner,
        cpu_workers_s=workers,
        cpu_process_s=process,
        owner=_shares(
            sum(one.owner_polled for one in times),
            sum(one.owner_blocked for one in times),
            wall,
        )
        if times
        else None,
        workers=_shares(
            workers_polled, max(workers_wall - workers_busy, 0), workers_wall
        )
        if workers_wall
        else None,
    )


class Measurement:
    """A run over one tree; what it knows may be read at any time.

    Args:
        root: A path without links, to a directory or a regular file.
        rounds: Rounds, each with all peers, each time in another order.
        threads: Workers of each pool, at most.
        progress: Called as progress(what, done, total) now and then; total 0
            is not known.

    Context:
        Owner. `interrupt.handler` is meant to be the handler of SIGINT while
        `run` runs: the KeyboardInterrupt comes out of `run` once the pools are
        shut down, and the results until then stay.
    """

    def __init__(
        self,
        root: str,
        *,
        rounds: int,
        threads: int,
        progress: Callable[[str, int, int], None] | None,
    ) -> None:
        self.root = root
        self.rounds = rounds
        self.threads = threads
        self.in_flight = _IN_FLIGHT
        self.tree = Tree()
        self.items: list[Item] = []
        self.bytes = 0
        self.mismatched: list[str] = []
        self.cpu = CpuClock()
        self._progress = progress
        self._reference: list[Outcome] = []
        self._unreadable: dict[str, str] = {}
        self._changed: dict[str, None] = {}
        self.interrupt = Interrupt()
        self._passes: dict[str, list[Pass]] = {}

    @property
    def unreadable(self) -> list[Problem]:
        """Directories and files that could not be read, each once."""
        files = (Problem(*pair) for pair in self._unreadable.items())
        return [*self.tree.unreadable, *files]

    @property
    def changed(self) -> list[str]:
        """Files that were written or replaced while they were measured."""
        return list(self._changed)

    def results(self) -> list[ModeResult]:
        """Return what was measured so far, one entry for each peer."""
        return [_summary(name, passes) for name, passes in self._passes.items()]

    def run(self) -> None:
        """Walk, read everything once in this thread, then measure the rounds.

        The first reading fills the page cache, so that nobody measured pays
        for the disk, and gives the digests to compare with.

        Raises:
            OSError: The root does not exist.
        """
        self.tree = walk(self.root, lambda files: self._tell("walking", files, 0))
        self._read_reference()
        if not self.items:
            return
        with ExitStack() as stack:
            peers: list[Peer] = []
            for poll_max_ns in (0, _POLL_MAX_NS):
                peers.append(TpoolPeer(self.threads, poll_max_ns, self.interrupt))
                stack.callback(peers[-1].close)
            peers.append(FuturesPeer(self.threads, self.interrupt))
            stack.callback(peers[-1].close)
            stack.callback(self.interrupt.give_up)  # first of all
            self.interrupt.may_raise = False
            self._passes = {peer.name: [] for peer in peers}
            for turn in range(self.rounds):
                first = turn % len(peers)
                for peer in (*peers[first:], *peers[:first]):
                    label = f"round {turn + 1} of {self.rounds}, {peer.name}"
                    self._one_pass(peer, label)
        self.interrupt.check()

    def _tell(self, what: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(what, done, total)

    def _read_reference(self) -> None:
        items, total = self.items, len(self.tree.items)
        for count, item in enumerate(self.tree.items):
            if count % _REPORT_EVERY == 0:
                self._tell("reading once", count, total)
            try:
                outcome = read_file(item, self.interrupt)
            except (OSError, ReplacedError) as error:
                self._failed(item, error)
                continue
            items.append(item)
            self._reference.append(outcome)
            self.bytes += outcome.before[0]

    def _one_pass(self, peer: Peer, label: str) -> None:
        one = Pass()
        self._passes[peer.name].append(one)
        self._tell(label, 0, len(self.items))
        cpu, usage = self.cpu.read(), peer.usage()
        started = perf_counter_ns()
        try:
            self._drive(peer, one.latencies_ns, label)
            one.complete = True
        finally:
            one.wall_ns = perf_counter_ns() - started
            one.cpu_s = self.cpu.spent(cpu)
            one.usage = peer.usage().since(usage)

    def _drive(self, peer: Peer, latencies_ns: list[int], label: str) -> None:
        in_flight = 0
        for index, item in enumerate(self.items):
            if in_flight == self.in_flight:
                self._take(self._wait(peer), latencies_ns)
                in_flight -= 1
            peer.submit(index, item)
            in_flight += 1
            if index % _REPORT_EVERY == 0:
                self._tell(label, len(latencies_ns), len(self.items))
        for _ in range(in_flight):
            self._take(self._wait(peer), latencies_ns)

    def _wait(self, peer: Peer) -> Done:
        self.interrupt.may_raise = True
        try:
            self.interrupt.check()
            return peer.next_done()
        finally:
            self.interrupt.may_raise = False

    def _take(self, done: Done, latencies_ns: list[int]) -> None:
        latencies_ns.append(done.seen_ns - done.submitted_ns)
        item, reference = self.items[done.position], self._reference[done.position]
        error = done.call.exception()
        if error is not None:
            self._failed(item, error)
            return
        outcome: Outcome = done.call.result()
        if outcome == reference:
            return
        if outcome.before == outcome.after == reference.before == reference.after:
            self.mismatched.append(item.path)
        else:
            self._changed[item.path] = None

    def _failed(self, item: Item, error: BaseException) -> None:
        if isinstance(error, ReplacedError):
            self._changed[item.path] = None
        elif isinstance(error, OSError):
            self._unreadable.setdefault(item.path, reason(error))
        else:
            raise error
