# SPDX-License-Identifier: MIT
"""CpuMeter: who spent how much CPU, and what on."""

from __future__ import annotations

import os
import threading
import time
import weakref
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import psutil  # type: ignore[import-untyped, unused-ignore]

from tpool.aio_context import AioContext
from tpool.worker_thread import thread_cpu_ns

if TYPE_CHECKING:
    from tpool.stats import AioStats, PoolStats

__all__ = ["CpuMeter", "CpuUsage", "Phases"]

_S = 1e-9  # of a nanosecond


@dataclass(frozen=True, slots=True)
class Phases:
    """How a side of the pool spent its time, in seconds of the clock.

    A poll phase is CPU time as long as the system leaves it the CPU; what is
    blocked is none. Of several workers, their sum.

    Attributes:
        working: Calls, callbacks, and whatever else it did.
        polled_hit: Polling that found work.
        polled_missed: Polling in vain.
        blocked: Blocked, or parked.
    """

    working: float
    polled_hit: float
    polled_missed: float
    blocked: float


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """What was spent between start() and stop(); see CpuMeter for its error.

    Attributes:
        wall_s: Seconds of the clock.
        owner_s: CPU seconds of the owner.
        workers_s: CPU seconds of the workers, those that ended included.
        rest_s: CPU seconds of the process's other threads.
        process_s: CPU seconds of the process: the sum of the three.
        machine_s: CPU seconds of the whole machine, by psutil: in steps of 10 ms.
        cpus: CPUs of the machine.
        owner: How the owner spent its time; None without a context.
        workers: How the workers spent theirs; None without a context.
    """

    wall_s: float
    owner_s: float
    workers_s: float
    rest_s: float
    process_s: float
    machine_s: float
    cpus: int
    owner: Phases | None
    workers: Phases | None

    @property
    def utilisation(self) -> float:
        """CPU time of the process over the clock's; 1 is one CPU all the time."""
        return self.process_s / self.wall_s if self.wall_s else 0.0

    @property
    def machine_utilisation(self) -> float:
        """Busy part of all CPUs of the machine, 0 to 1."""
        whole = self.wall_s * self.cpus
        return min(self.machine_s / whole, 1.0) if whole else 0.0

    def per_operation(self, operations: int) -> CpuUsage:
        """Return all seconds divided by the number of operations.

        Raises:
            TypeError, ValueError: operations is not a positive int.
        """
        if not isinstance(operations, int):
            raise TypeError(f"operations must be an int, not {operations!r}")
        if operations < 1:
            raise ValueError(f"operations must be positive, not {operations!r}")
        by = operations
        return CpuUsage(
            wall_s=self.wall_s / by,
            owner_s=self.owner_s / by,
            workers_s=self.workers_s / by,
            rest_s=self.rest_s / by,
            process_s=self.process_s / by,
            machine_s=self.machine_s / by,
            cpus=self.cpus,
            owner=_divided(self.owner, by),
            workers=_divided(self.workers, by),
        )


def _divided(phases: Phases | None, by: int) -> Phases | None:
    return phases and Phases(*(seconds / by for seconds in astuple(phases)))


def _machine_cpu_s() -> float:
    """Return the CPU seconds that all CPUs together have been busy."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # A guest's time is in user and nice already.
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - guest)


class _Reading(NamedTuple):
    wall_ns: int
    process_ns: int
    owner_ns: int
    workers_ns: int
    machine_s: float
    stats: AioStats | None
    pools: list[tuple[weakref.ref[object], PoolStats]]


def _owner_phases(then: AioStats, now: AioStats, wall_ns: int) -> Phases:
    polled = now.polled_ns - then.polled_ns
    missed = now.missed_ns - then.missed_ns
    blocked = now.blocked_ns - then.blocked_ns
    working = max(wall_ns - polled - blocked, 0)
    return Phases(working * _S, (polled - missed) * _S, missed * _S, blocked * _S)


def _worker_phases(then: _Reading, now: _Reading) -> Phases:
    working = polled = missed = parked = 0
    # A pool has one reference, whatever it thinks of == itself.
    known = {id(ref): stats for ref, stats in then.pools}
    for ref, stats in now.pools:
        before = known.get(id(ref))
        working += stats.run_ns - (before.run_ns if before else 0)
        polled += stats.polled_ns - (before.polled_ns if before else 0)
        missed += stats.missed_ns - (before.missed_ns if before else 0)
        parked += stats.parked_ns - (before.parked_ns if before else 0)
    return Phases(working * _S, (polled - missed) * _S, missed * _S, parked * _S)


class CpuMeter:
    """Measures CPU time of owner, workers, the rest of the process, the machine.

    Usable around any code, with a context or without, and again and again. On
    Linux it reads the kernel's own clock of each thread, and errs by what the
    readings take, some 20 us; elsewhere by psutil's ticks, mostly 10 ms. Over 200 ms
    it was within 1.5 % of what /proc says; `perf stat` counts the switch to another
    thread as nobody's, so where threads mostly sleep it says a fifth less
    (bench/meter_error.py).

    Args:
        ctx: The context whose owner and workers are told apart; None: the owner
            is the thread that starts the meter, and there are no workers.

    Context: Any thread; also a context manager. Workers that start or end while
        it runs are counted. Calls and waits count in the phases once they have
        ended; a pool that was dropped meanwhile does not.
    """

    def __init__(self, ctx: AioContext | None = None) -> None:
        """Make a meter; see the class."""
        if ctx is not None and not isinstance(ctx, AioContext):
            raise TypeError(f"ctx must be an AioContext or None, not {ctx!r}")
        self._ctx = ctx
        self._owner = 0
        self._begin: _Reading | None = None
        self._usage: CpuUsage | None = None

    @property
    def usage(self) -> CpuUsage:
        """What the last stop() returned.

        Raises:
            RuntimeError: There was none.
        """
        if self._usage is None:
            raise RuntimeError("usage of a CpuMeter that was not stopped")
        return self._usage

    def start(self) -> None:
        """Begin to measure, once more if it did already.

        Raises:
            RuntimeError: The context is closed.
        """
        self._owner = (
            threading.get_native_id() if self._ctx is None else self._ctx._owner_tid
        )
        self._begin = self._read()

    def stop(self) -> CpuUsage:
        """Return what was spent since start().

        Raises:
            RuntimeError: It was not started, or the context is closed.
        """
        then = self._begin
        if then is None:
            raise RuntimeError("stop() of a CpuMeter that was not started")
        now = self._read()
        self._begin = None
        wall_ns = now.wall_ns - then.wall_ns
        # An owner that has ended counts with the rest: nobody asked it before.
        owner_ns = max(now.owner_ns - then.owner_ns, 0)
        workers_ns = now.workers_ns - then.workers_ns
        process_ns = now.process_ns - then.process_ns
        self._usage = CpuUsage(
            wall_s=wall_ns * _S,
            owner_s=owner_ns * _S,
            workers_s=workers_ns * _S,
            rest_s=max(process_ns - owner_ns - workers_ns, 0) * _S,
            process_s=process_ns * _S,
            machine_s=now.machine_s - then.machine_s,
            cpus=os.cpu_count() or 1,
            owner=_owner_phases(then.stats, now.stats, wall_ns)
            if then.stats and now.stats
            else None,
            workers=_worker_phases(then, now) if then.stats else None,
        )
        return self._usage

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, exc_type: object, *rest: object) -> None:
        """Stop it."""
        if exc_type is None or not (self._ctx and self._ctx.closed):
            self.stop()

    def _read(self) -> _Reading:
        ctx = self._ctx
        return _Reading(
            wall_ns=time.monotonic_ns(),
            process_ns=time.process_time_ns(),
            owner_ns=thread_cpu_ns(self._owner),
            workers_ns=ctx._threads.cpu_ns() if ctx else 0,
            machine_s=_machine_cpu_s(),
            stats=ctx.stats() if ctx else None,
            pools=[(weakref.ref(p), p.stats()) for p in ctx._pools] if ctx else [],
        )
