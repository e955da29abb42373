# SPDX-License-Identifier: MIT
"""What the ways to threads come to with 1, 2, 8 and 64 calls in flight, on a sample.

And for a no-op, which is the hop alone. Owner.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tpool.cli.interrupt import Interrupt
    from tpool.cli.measure.peers import Done, Peer
    from tpool.cli.measure.tree import Item

__all__ = [
    "NOOP",
    "Sample",
    "SampleMode",
    "Samples",
]

NOOP = "no-op"
FILES = "files"
_IN_FLIGHT = (1, 2, 8, 64)
_PASS_NS = 90_000_000
"""Of a pass over a sample: with three ways and three rounds some seconds in all."""
_NOOPS = 2000


@dataclass(frozen=True, slots=True)
class SampleMode:
    """One way, medians over its rounds: calls a second, latency, CPU of the process."""

    name: str
    rounds: int
    calls_per_s: float
    latency_p50_us: float
    cpu_us_per_call: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The ways side by side: `calls` of a pass are no-ops, or files that are read."""

    what: str
    in_flight: int
    calls: int
    modes: list[SampleMode]


@dataclass(slots=True)
class _Passes:
    calls: int
    # By way: of each round its rate, latency and CPU, as a SampleMode has them.
    ways: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)


def _nothing(item: Item, interrupt: Interrupt) -> None:
    """Stand for `read_file`."""


def _latency(latencies: list[int], done: Done) -> None:
    latencies.append(done.seen_ns - done.submitted_ns)


def _compare(
    take: Callable[[Done, list[int]], None],
    step: int,
    latencies: list[int],
    done: Done,
) -> None:
    take(done._replace(position=done.position * step), latencies)


class Samples:
    """The samples of a measurement; what it knows may be read at any time."""

    def __init__(self) -> None:
        self._passes: dict[tuple[str, int], _Passes] = {}

    def run(
        self,
        peers: Sequence[Peer],
        items: Sequence[Item],
        ns_per_file: float,
        take: Callable[[Done, list[int]], None],
        tell: Callable[[str], None],
    ) -> None:
        """Do one round.

        Args:
            peers: The ways, in the order of the round.
            items: All files.
            ns_per_file: What a file takes, about: the sample is sized by it.
            take: Called as take(completion, latencies) for each file.
            tell: Told what is going on.

        Raises:
            KeyboardInterrupt: As Interrupt says; what is complete stays.
        """
        few = max(1, round(_PASS_NS / ns_per_file))
        self._sample(NOOP, 1, peers, [items[0]] * _NOOPS, _latency, tell)
        for in_flight in _IN_FLIGHT:
            step = max(1, len(items) // max(few, 2 * in_flight))
            compare = partial(_compare, take, step)
            self._sample(FILES, in_flight, peers, items[::step], compare, tell)

    def _sample(
        self,
        what: str,
        in_flight: int,
        peers: Sequence[Peer],
        items: Sequence[Item],
        seen: Callable[[list[int], Done], None],
        tell: Callable[[str], None],
    ) -> None:
        for peer in peers:
            tell(f"{what}, {in_flight} in flight, {peer.name}")
            latencies: list[int] = []
            work = _nothing if what == NOOP else None
            cpu, wall = process_time_ns(), perf_counter_ns()
            peer.run(items, partial(seen, latencies), in_flight, work)
            wall, cpu = perf_counter_ns() - wall, process_time_ns() - cpu
            if latencies:
                n, p50 = len(latencies), statistics.median(latencies)
                passes = self._passes.setdefault((what, in_flight), _Passes(len(items)))
                rounds = passes.ways.setdefault(peer.name, [])
                rounds.append((n / wall * 1e9, p50 / 1e3, cpu / n / 1e3))

    def results(self) -> Iterator[Sample]:
        """Yield what was measured so far."""
        for (what, in_flight), passes in self._passes.items():
            modes = [
                SampleMode(
                    name,
                    len(rounds),
                    *map(statistics.median, zip(*rounds, strict=True)),
                )
                for name, rounds in passes.ways.items()
            ]
            yield Sample(what, in_flight, passes.calls, modes)
