# SPDX-License-Identifier: MIT
"""The main job: hash a tree by each of some ways to threads, and compare.

One thread owns everything here but `read_file`, which the workers run.
"""

from __future__ import annotations

import itertools
import math
import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tpool.cli.interrupt import Interrupt
from tpool.cli.measure.peers import (
    IN_FLIGHT,
    Done,
    FuturesPeer,
    LoopPeer,
    Peer,
    TpoolPeer,
    Usage,
)
from tpool.cli.measure.samples import Sample, Samples
from tpool.cli.measure.tree import (
    Item,
    Outcome,
    Problem,
    ReplacedError,
    Tree,
    read_file,
    reason,
    walk,
)
from tpool.cli.rounds import in_order
from tpool.meter import CpuMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Measurement",
    "ModeResult",
    "Pass",
    "Problem",
    "Shares",
    "percentile",
]

_POLL_MAX_NS = 32_768
"""Bound of the polling time in ns where polling is on: the library's default.

Given explicitly, because TPOOL_POLL_MAX_NS overrides a default.
"""

_POOLS: list[Callable[[int, Interrupt], Peer]] = [
    partial(TpoolPeer, 0),
    partial(TpoolPeer, _POLL_MAX_NS),
    FuturesPeer,
]

_REPORT_EVERY = 32  # files between two calls of the progress function


@dataclass(slots=True)
class Pass:
    """One peer in one round."""

    latencies_ns: list[int] = field(default_factory=list)
    wall_ns: int = 0
    cpu_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    usage: Usage | None = None
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
    times = [one.usage for one in passes if one.usage is not None]
    workers_wall = sum(one.wall_ns * one.usage.threads for one in passes if one.usage)
    used = Usage(*map(sum, zip(*times, strict=True)))
    workers_busy = used.workers_polled + used.workers_run
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
        owner=_shares(used.owner_polled, used.owner_blocked, wall) if times else None,
        workers=_shares(
            used.workers_polled, max(workers_wall - workers_busy, 0), workers_wall
        )
        if workers_wall
        else None,
    )


@dataclass(slots=True)
class Measurement:
    """A run over one tree; what it knows may be read at any time.

    Attributes:
        root: A path without links, to a directory or a regular file.
        rounds: Rounds, each with all peers, each time in another order.
        threads: Workers of each pool, at most.
        progress: Called as progress(what, done, total) now and then; total 0
            is not known.
        loops: Event loops to compare, by name; none: the pools.
        takes_samples: Whether 1 to 64 calls in flight are compared too, on samples.

    Context:
        Owner. `interrupt.handler` is meant to be the handler of SIGINT while
        `run` runs: the KeyboardInterrupt comes out of `run` once the pools are
        shut down, and the results until then stay.
    """

    in_flight = IN_FLIGHT

    root: str
    rounds: int
    threads: int
    progress: Callable[[str, int, int], None] | None
    loops: Sequence[str] = ()
    takes_samples: bool = True
    tree: Tree = field(default_factory=Tree)
    items: list[Item] = field(default_factory=list)
    bytes: int = 0
    mismatched: list[str] = field(default_factory=list)
    interrupt: Interrupt = field(default_factory=Interrupt)
    _reference: list[Outcome] = field(default_factory=list)
    _unreadable: dict[str, str] = field(default_factory=dict)
    _changed: dict[str, None] = field(default_factory=dict)
    _passes: dict[str, list[Pass]] = field(default_factory=dict)
    _samples: Samples = field(default_factory=Samples)

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

    def samples(self) -> list[Sample]:
        """Return what was measured so far by numbers of calls in flight."""
        return list(self._samples.results())

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
            for make in [partial(LoopPeer, name) for name in self.loops] or _POOLS:
                peers.append(make(self.threads, self.interrupt))
                stack.callback(peers[-1].close)
            stack.callback(self.interrupt.give_up)  # first of all
            self.interrupt.may_raise = False
            self._passes = {peer.name: [] for peer in peers}
            for turn in range(self.rounds):
                order = in_order(peers, turn)
                for peer in order:
                    label = f"round {turn + 1} of {self.rounds}, {peer.name}"
                    self._one_pass(peer, label)
                self._take_samples(order)
        self.interrupt.check()

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(what, done, total)

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

        taken = itertools.count()

        def take(done: Done) -> None:
            number = next(taken)
            if number % _REPORT_EVERY == 0:
                self._tell(label, number, len(self.items))
            self._take(done, one.latencies_ns)

        usage = peer.usage()
        meter = CpuMeter()
        meter.start()
        try:
            peer.run(self.items, take)
            one.complete = True
        finally:
            spent = meter.stop()
            one.wall_ns = int(spent.wall_s * 1e9)
            one.cpu_s = (spent.owner_s, spent.rest_s, spent.process_s)
            now = peer.usage()
            one.usage = now.since(usage) if now and usage else None

    def _take_samples(self, peers: Sequence[Peer]) -> None:
        per_file = [
            one.wall_ns / len(one.latencies_ns)
            for passes in self._passes.values()
            for one in passes
            if one.latencies_ns
        ]
        if self.takes_samples and per_file:
            self._samples.run(
                peers,
                self.items,
                min(per_file),
                self._take,
                lambda what: self._tell(what, 0, 0),
            )

    def _take(self, done: Done, latencies_ns: list[int]) -> None:
        item, reference = self.items[done.position], self._reference[done.position]
        error = done.call.exception()
        if error is not None:
            self._failed(item, error)
            return
        latencies_ns.append(done.seen_ns - done.submitted_ns)
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
