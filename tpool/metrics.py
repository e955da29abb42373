# SPDX-License-Identifier: MIT
"""Metrics of contexts and pools, for Prometheus and for OpenTelemetry.

Both read stats() when they are asked, in whatever thread that is: nothing is counted
twice, and what is not scraped costs nothing. Both have the same metrics; each sample has
an attribute, or label, `name`, and those of several states a `state`:

- `tpool.thread_pool.thread.count`: threads now; idle, running.
- `tpool.thread_pool.queue.length`: requests that wait for a thread now.
- `tpool.thread_pool.work_item.submitted`: requests, ever.
- `tpool.thread_pool.work_item.count`: those that have ended; completed, cancelled.
- `tpool.thread_pool.queue.duration`: seconds that requests have waited for a thread.
- `tpool.thread_pool.work_item.duration`: seconds that calls have taken.
- `tpool.thread_pool.time`: seconds of its threads; polled, blocked, working.
- `tpool.eventloop.time`: seconds of a context's owner; polled, blocked, working.

To Prometheus the two durations are histograms, whose buckets begin at one microsecond;
OpenTelemetry has no instrument for those that somebody else has counted, and gets their
sums. There `tpool.eventloop.time` is `tpool_eventloop_time_seconds_total`, and so on.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from tpool.stats import AioStats, PoolStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from prometheus_client import Metric

__all__ = ["PrometheusCollector", "Source", "make_instruments"]

_Stats: TypeAlias = AioStats | PoolStats

_S = 1e-9  # of a nanosecond
_TRIES = 1000  # as asyncio.all_tasks() lists what others change


class _Counts(Protocol):
    """A context, a pool, or an executor."""

    def stats(self) -> _Stats:
        """Any thread; RuntimeError: it is closed."""


class _Has(Protocol):
    """An event loop, or an IOThread."""

    @property
    def ctx(self) -> _Counts: ...
    @property
    def pool(self) -> _Counts: ...


Source: TypeAlias = _Counts | _Has


class _Family(NamedTuple):
    name: str
    unit: str
    text: str
    of: type[_Stats]
    read: Callable[..., dict[str, float]]  # by state; "": it has none
    grows: bool = True
    buckets: str = ""  # the field that has the counts of a histogram


_FAMILIES = (
    _Family(
        "tpool.thread_pool.thread.count",
        "{thread}",
        "Threads of the pool.",
        PoolStats,
        lambda s: {"idle": s.idle, "running": s.running},
        grows=False,
    ),
    _Family(
        "tpool.thread_pool.queue.length",
        "{work_item}",
        "Requests that wait for a thread.",
        PoolStats,
        lambda s: {"": s.queued},
        grows=False,
    ),
    _Family(
        "tpool.thread_pool.work_item.submitted",
        "{work_item}",
        "Requests submitted.",
        PoolStats,
        lambda s: {"": s.submitted},
    ),
    _Family(
        "tpool.thread_pool.work_item.count",
        "{work_item}",
        "Requests that have ended.",
        PoolStats,
        lambda s: {"completed": s.completed, "cancelled": s.cancelled},
    ),
    _Family(
        "tpool.thread_pool.queue.duration",
        "s",
        "Time that requests have waited for a thread.",
        PoolStats,
        lambda s: {"": s.wait_ns * _S},
        buckets="wait_counts",
    ),
    _Family(
        "tpool.thread_pool.work_item.duration",
        "s",
        "Time that calls have taken.",
        PoolStats,
        lambda s: {"": s.run_ns * _S},
        buckets="run_counts",
    ),
    _Family(
        "tpool.thread_pool.time",
        "s",
        "Time of the pool's threads.",
        PoolStats,
        lambda s: _states(s.polled_ns, s.parked_ns, s.run_ns),
    ),
    _Family(
        "tpool.eventloop.time",
        "s",
        "Time of the context's owner.",
        AioStats,
        lambda s: _states(s.polled_ns, s.blocked_ns, s.worked_ns),
    ),
)


def _states(polled_ns: int, blocked_ns: int, working_ns: int) -> dict[str, float]:
    return {
        "polled": polled_ns * _S,
        "blocked": blocked_ns * _S,
        "working": working_ns * _S,
    }


def _items(sources: Mapping[str, Source]) -> list[tuple[str, Source]]:
    """List them; another thread may change the mapping meanwhile."""
    for _ in range(_TRIES):
        with contextlib.suppress(RuntimeError):  # of a WeakValueDictionary
            return list(sources.items())
    return list(sources.items())


def _snapshots(sources: Mapping[str, Source]) -> Iterator[tuple[str, _Stats]]:
    """Read them; what is closed is left out."""
    for name, source in _items(sources):
        for part in [""] if hasattr(source, "stats") else ["ctx", "pool"]:
            try:
                counted: Any = getattr(source, part) if part else source
                stats: _Stats = counted.stats()
            except RuntimeError:
                continue
            yield name, stats


class PrometheusCollector:
    """What a prometheus_client registry collects from contexts and pools.

    Give it to the register() of one: prometheus_client.REGISTRY.register(...).

    Args:
        sources: Names, and contexts, pools, executors with stats(), event loops or
            IOThreads. Read at each scrape, so it may change; it keeps what is in it
            unless it is a weakref.WeakValueDictionary. What is closed is left out.

    Context: Any thread.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        """Make one; see the class."""
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, as prometheus_client has them."""
        snapshots = list(_snapshots(self._sources))
        for family in _FAMILIES:
            yield _metric(family, snapshots)


def _metric(family: _Family, snapshots: list[tuple[str, _Stats]]) -> Metric:
    from prometheus_client import Metric

    kind = "histogram" if family.buckets else "counter" if family.grows else "gauge"
    unit = "seconds" if family.unit == "s" else ""
    metric = Metric(family.name.replace(".", "_"), family.text, kind, unit)
    for labels, value, stats in _samples(family, snapshots):
        if not family.buckets:
            suffix = "_total" if family.grows else ""
            metric.add_sample(metric.name + suffix, labels, value)
            continue
        total = 0
        for bucket, count in enumerate(counts := getattr(stats, family.buckets)):
            total += count
            bound = "+Inf" if bucket + 1 == len(counts) else str(2**bucket / 1e6)
            metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, total)
        metric.add_sample(f"{metric.name}_count", labels, total)
        metric.add_sample(f"{metric.name}_sum", labels, value)
    return metric


def _samples(
    family: _Family, snapshots: Iterable[tuple[str, _Stats]]
) -> Iterator[tuple[dict[str, str], float, _Stats]]:
    for name, stats in snapshots:
        if isinstance(stats, family.of):
            for state, value in family.read(stats).items():
                labels = {"name": name, "state": state} if state else {"name": name}
                yield labels, value, stats


def make_instruments(sources: Mapping[str, Source], meter: Meter | None = None) -> None:
    """Make the observable instruments of OpenTelemetry for contexts and pools.

    Args:
        sources: As for PrometheusCollector.
        meter: Who makes them; None: the one that opentelemetry.metrics.get_meter()
            has for "tpool".

    Context: Any thread.
    """
    if meter is None:
        from opentelemetry.metrics import get_meter

        meter = get_meter("tpool")
    for family in _FAMILIES:
        make = (
            meter.create_observable_counter
            if family.grows
            else meter.create_observable_up_down_counter
        )
        callback = partial(_observe, family, sources)
        make(family.name, [callback], family.unit, family.text)


def _observe(
    family: _Family, sources: Mapping[str, Source], options: CallbackOptions
) -> Iterable[Observation]:
    from opentelemetry.metrics import Observation

    for attributes, value, _ in _samples(family, _snapshots(sources)):
        yield Observation(value, attributes)
