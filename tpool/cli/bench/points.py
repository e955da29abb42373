# SPDX-License-Identifier: MIT
"""What a sweep has found: a point for each case and each way to wait."""

from __future__ import annotations

import statistics
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tpool.cli.bench.grid import Case, Way
    from tpool.cli.bench.sweep import Side

__all__ = ["Point", "points"]

_LONGEST_NS = 10_000_000_000  # what is longer counts as this
_DIGITS = 3  # significant digits of a latency


@dataclass(frozen=True, slots=True)
class Point:
    """One way in one case, over its complete rounds.

    Ratios are to blocking in the same rounds: 1.1 is a tenth more, 1 is blocking.

    Attributes:
        case: What was called.
        way: How its completion was waited for.
        rounds: Complete rounds.
        calls: Calls that were measured.
        latency_p50_us: Half of the calls had a latency of so many us at most.
        latency_p99_us: 99 of 100 had.
        cpu_us: CPU time of the process for each call, us: median of the rounds.
        latency_ratio: latency_p50_us to that of blocking.
        cpu_ratio: CPU time to that of blocking: median of the rounds' ratios.
        histogram: (latency in ns, calls that had it), in rising order.
    """

    case: Case
    way: Way
    rounds: int
    calls: int
    latency_p50_us: float
    latency_p99_us: float
    cpu_us: float
    latency_ratio: float
    cpu_ratio: float
    histogram: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Latencies:
    calls: int
    p50_us: float
    p99_us: float
    histogram: tuple[tuple[int, int], ...]


def _latencies(passes: Iterable[Iterable[int]]) -> _Latencies:
    with warnings.catch_warnings():
        # Where there is no GIL, its C module switches it on and says so. All
        # has been measured by now.
        warnings.simplefilter("ignore", RuntimeWarning)
        from hdrh.histogram import (  # type: ignore[import-untyped, unused-ignore]
            HdrHistogram,
        )
    histogram = HdrHistogram(1, _LONGEST_NS, _DIGITS)
    for latencies_ns in passes:
        for ns in latencies_ns:
            histogram.record_value(min(ns, _LONGEST_NS))
    return _Latencies(
        calls=histogram.total_count,
        p50_us=histogram.get_value_at_percentile(50) / 1e3,
        p99_us=histogram.get_value_at_percentile(99) / 1e3,
        # Its own iterator takes twenty times as long.
        histogram=tuple(
            (histogram.get_value_from_index(index), count)
            for index in range(histogram.counts_len)
            if (count := histogram.get_count_at_index(index))
        ),
    )


def _cpu_us(side: Side, way: Way) -> float:
    one = side[way]
    return one.cpu_s * 1e6 / len(one.latencies_ns)


def points(found: Mapping[Case, Sequence[Side]], baseline: Way) -> list[Point]:
    """Summarise what a sweep has found.

    Args:
        found: Complete rounds of each case, from Sweep.found.
        baseline: The way that the ratios refer to: blocking.

    Returns:
        Points by case, then by way in the order of the first round.

    Raises:
        ImportError: HdrHistogram is not installed.
    """
    made = []
    for case, sides in found.items():
        latencies = {
            way: _latencies(side[way].latencies_ns for side in sides)
            for way in sides[0]
        }
        base = latencies[baseline]
        for way, mine in latencies.items():
            cpu = [(_cpu_us(side, way), _cpu_us(side, baseline)) for side in sides]
            made.append(
                Point(
                    case=case,
                    way=way,
                    rounds=len(sides),
                    calls=mine.calls,
                    latency_p50_us=mine.p50_us,
                    latency_p99_us=mine.p99_us,
                    cpu_us=statistics.median(us for us, _ in cpu),
                    latency_ratio=_ratio(mine.p50_us, base.p50_us),
                    cpu_ratio=statistics.median(_ratio(*pair) for pair in cpu),
                    histogram=mine.histogram,
                )
            )
    return made


def _ratio(mine: float, base: float) -> float:
    """Divide; what a coarse clock calls nothing is a nanosecond, 0.001 us."""
    return max(mine, 1e-3) / max(base, 1e-3)
