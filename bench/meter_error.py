# SPDX-License-Identifier: MIT
"""By how much is CpuMeter wrong?

The same work measured by CpuMeter, by the kernel's counters in /proc (the time of
each thread on a CPU) and, where the kernel allows it, by the event that `perf stat`
reads for task-clock. Errors are of the process as a whole, against each of the two.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import struct
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable

_TASKS = Path("/proc/self/task")
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}  # number of the system call
_SOFTWARE, _TASK_CLOCK = 1, 1  # perf_event_attr.type and .config
_INHERIT = 1 << 1  # threads that are started later are counted too


def owner_computes(_: tpool.ThreadPool, n: int) -> None:
    h.compute(n * 50_000)


def workers_compute(pool: tpool.ThreadPool, n: int) -> None:
    for request in pool.submit_many(h.compute, [(50_000,)] * n):
        request.result()


def polling(pool: tpool.ThreadPool, n: int) -> None:
    for _ in range(20 * n):
        pool.submit(h.noop).result()


def sleeping(pool: tpool.ThreadPool, n: int) -> None:
    for _ in range(n):
        pool.submit(time.sleep, 0.001).result()


def threads_of_others(_: tpool.ThreadPool, n: int) -> None:
    for _ in range(max(n // 20, 1)):
        thread = threading.Thread(target=h.compute, args=(1_000_000,))
        thread.start()
        thread.join()


WORK = {
    "the owner computes": owner_computes,
    "workers compute": workers_compute,
    "polling": polling,
    "sleeping calls": sleeping,
    "threads come and go": threads_of_others,
}


def proc_ns() -> int:
    """Return the CPU time of the threads that live now."""
    total = 0
    for task in _TASKS.iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


class Perf:
    """task-clock of this process, as `perf stat` counts it."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: The kernel does not allow it.
        """
        attributes = struct.pack(
            "=IIQQQQQ", _SOFTWARE, 112, _TASK_CLOCK, 0, 0, 0, _INHERIT
        ).ljust(112, b"\0")
        number = _PERF_EVENT_OPEN.get(os.uname().machine)
        if number is None:
            raise OSError("the number of perf_event_open() is not known here")
        libc = ctypes.CDLL(None, use_errno=True)
        self._fds = []
        for task in _TASKS.iterdir():
            fd = libc.syscall(number, attributes, int(task.name), -1, -1, 0)
            if fd < 0:
                raise OSError(ctypes.get_errno(), "perf_event_open()")
            self._fds.append(fd)

    def read_ns(self) -> int:
        """Return what was counted since it was opened."""
        return sum(struct.unpack("=Q", os.read(fd, 8))[0] for fd in self._fds)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the rounds; errors in per cent of what the reference says."""

    case: str
    peer: str
    n: int
    meter_ms: float
    proc_ms: float | None
    perf_ms: float | None
    proc_error: float | None
    perf_error: float | None


def measured(
    work: Callable[[tpool.ThreadPool, int], None], pool: tpool.ThreadPool, n: int
) -> tuple[float, float | None, float | None]:
    """Return milliseconds by CpuMeter, by /proc and by perf."""
    try:
        perf = Perf()
    except OSError:
        perf = None
    tasks = {task.name for task in _TASKS.iterdir()} if _TASKS.is_dir() else set()
    meter = tpool.CpuMeter(pool.ctx)
    before = proc_ns() if tasks else 0
    counted = perf.read_ns() if perf else 0
    meter.start()
    work(pool, n)
    usage = meter.stop()
    counted = perf.read_ns() - counted if perf else 0
    after = proc_ns() if tasks else 0
    if perf:
        perf.close()
    # Threads that have come or gone take with them what /proc had to say.
    stayed = tasks and work is not threads_of_others
    return (
        usage.process_s * 1e3,
        (after - before) / 1e6 if stayed else None,
        counted / 1e6 if perf else None,
    )


def row(case: str, runs: list[tuple[float, float | None, float | None]], n: int) -> Row:
    """Return the medians of the rounds."""

    def median(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    def error(which: int) -> float | None:
        return median(
            [
                100 * (run[0] - reference) / reference
                for run in runs
                if (reference := run[which])
            ]
        )

    columns = list(zip(*runs, strict=True))
    return Row(
        case,
        "CpuMeter",
        n,
        statistics.median(columns[0]),
        median(list(columns[1])),
        median(list(columns[2])),
        error(1),
        error(2),
    )


def main() -> None:
    made = h.parser(__doc__)
    made.set_defaults(rounds=5)
    made.add_argument("--n", type=int, default=4_000, help="a round; default: 4000")
    options = h.parse(made, {"n": 20})
    table = []
    with ExitStack() as stack:
        ctx = stack.enter_context(tpool.AioContext())
        pool = stack.enter_context(tpool.ThreadPool(ctx, 1, 1))
        for case, work in WORK.items():
            once = partial(measured, work, pool, options.n)
            once()
            h.tell(case)
            runs = [once() for _ in range(options.rounds)]
            table.append(row(case, runs, options.n))
    h.report(
        "CPU time of the process: CpuMeter against the kernel's own counters",
        __file__,
        options,
        table,
        ["errors in per cent; /proc and perf also count what reading them takes"],
    )


if __name__ == "__main__":
    main()
