# SPDX-License-Identifier: MIT
"""What each benchmark promises to print, and to write."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from pathlib import Path

import tuner_traces

import tpool

LATENCY = {
    "case",
    "peer",
    "n",
    "p50_us",
    "p99_us",
    "mean_us",
    "ops_per_s",
    "cpu_us_per_op",
    "ratio_p50",
    "ratio_p99",
    "ratio_mean",
    "ratio_cpu",
}
ON, OFF, STOCK = "tpool, polling on", "tpool, polling off", "concurrent.futures"
SCALE = {"submit_us", "collect_us", "cpu_us_per_op", "bytes_per_request", "bytes_left"}
HAS_REDIS = importlib.util.find_spec("redis") and shutil.which("redis-server")
HAS_POSTGRESQL = importlib.util.find_spec("asyncpg") and any(
    Path("/usr/lib/postgresql").glob("*/bin")
)
AIOFILES = (
    ["aiofiles, tpool's loop", "aiofiles, stock loop"]
    if importlib.util.find_spec("aiofiles")
    else []
)
CAIO = ["caio, stock loop"] if importlib.util.find_spec("caio") else []
THREADS = ["threads, tpool's loop", "threads, stock loop"]
GAPS_US = [0, 5, 10, 20, 30, 45, 60, 100, 500]


def backends():
    """Return the backends of AioFiles that this system has."""
    found = []
    for backend in ("threads", "io_uring", "linux-aio"):
        with contextlib.suppress(OSError), tpool.AioContext() as ctx:
            found.append(tpool.AioFiles(ctx, backend=backend).backend)
    return found


# What each benchmark promises: columns, requests of a row, (case, peer) of each row,
# entries beside the common ones.
PROMISED = {
    "round_trip": (
        LATENCY,
        {200},
        [
            ("no-op", ON),
            ("no-op", OFF),
            ("no-op", STOCK),
            ("no-op", "queue.SimpleQueue pair"),
            ("no-op", f"{STOCK}, taskset"),
        ],
        {"counts"},
    ),
    "throughput": (
        LATENCY,
        {1280},
        [
            (case, peer)
            for case in ("callbacks", "results")
            for peer in (
                "tpool, max_threads 1",
                "tpool, max_threads 64",
                f"{STOCK}, 1",
                f"{STOCK}, 64",
                "no pool",
            )
        ],
        {"own_ns", "threads", "in_flight"},
    ),
    "queues": (
        LATENCY,
        {200, 2000},
        [
            (case, peer)
            for case in ("ping-pong", "1 putter", "4 putters", "put, then get")
            for peer in ("tpool.SimpleQueue", "queue.SimpleQueue")
        ],
        set(),
    ),
    "executor": (
        LATENCY,
        {40, 160, 400} | {2, 4, 16, 128},
        [
            (case, peer)
            for case in (
                "submit().result()",
                "map() of ten times as many",
                "as_completed()",
                "wait()",
                "four threads",
                *(
                    f"{loop}: run_in_executor()"
                    for loop in ("uvloop", "asyncio")
                    if importlib.util.find_spec(loop)
                ),
                *(
                    f"{call}, {width} in flight"
                    for call in (
                        "read 4 KiB",
                        "stat, read, SHA-256 of 16 KiB",
                        "JSON, 2 kB there and back",
                        "zlib.compress, 20 kB",
                        "a line to a server and back",
                        "time.sleep(0.0001)",
                    )
                    for width in (1, 2, 8, 64)
                ),
            )
            for peer in ("tpool", STOCK)
        ],
        {"bytes_pending"},
    ),
    "ring": (
        LATENCY,
        {200, 2000},
        [
            (case, peer)
            for case in (
                "64 bytes, there and back",
                "16 KiB, there and back",
                "64 bytes, one way",
            )
            for peer in (
                "tpool.Ring",
                "multiprocessing.Pipe",
                "multiprocessing.SimpleQueue",
                "multiprocessing.Queue",
                "socketpair",
                "spin",
            )
        ],
        set(),
    ),
    "files": (
        LATENCY,
        {64, 6, 16},
        [
            *(
                (f"cached, {size} KiB", peer)
                for size in (4, 64)
                for peer in (
                    "tpool.AioFiles",
                    *THREADS,
                    "os.pread(), which blocks",
                    *AIOFILES,
                    *CAIO,
                )
            ),
            *(
                (case, peer)
                for case in (
                    "direct, 1 in flight",
                    "direct, 32 in flight",
                    "append, 1 task",
                    "append, 16 tasks",
                )
                for peer in (*THREADS, *(f"tpool.AioFiles, {b}" for b in backends()))
            ),
            *(
                ("open", peer)
                for peer in (
                    "tpool.open(), tpool's loop",
                    "tpool.open(), stock loop",
                    *THREADS,
                    *AIOFILES,
                )
            ),
        ],
        set(),
    ),
    "million": (
        {"case", "peer", "n"} | SCALE,
        {500, 1500, 5000},
        [("in flight", peer) for peer in ("tpool", STOCK) * 2]
        + [("in flight", "tpool")],
        {"linearity"},
    ),
    "gap_table": (
        LATENCY,
        {50},
        [(f"gap {gap} us", peer) for gap in GAPS_US for peer in (OFF, ON)],
        {"gaps_us"},
    ),
    "idle": (
        {
            "case",
            "peer",
            "n",
            "seconds",
            "threads",
            "cpu_us",
            "wakeups",
            "preemptions",
        },
        {100},
        [
            ("after a burst of 100", peer)
            for peer in (
                ON,
                OFF,
                STOCK,
                "tpool loop, 100 sockets",
                "asyncio loop, 100 sockets",
                "tpool loop, a file, a ring, a word",
            )
        ],
        set(),
    ),
    "contended": (
        LATENCY,
        {50},
        [
            (case, peer)
            for case in ("quiet", "two hogs", "one CPU")
            for peer in (OFF, ON, STOCK)
        ],
        set(),
    ),
    "loop_hops": (
        LATENCY,
        {128},
        [
            (f"{hop}, {width}", loop)
            for hop in ("run_in_executor", "tpool.to_thread")
            for width in (1, 64)
            for loop in ("tpool", "asyncio")
        ],
        set(),
    ),
    "loop_workloads": (
        LATENCY,
        {20},
        [
            (case, loop)
            for case in (
                *filter(
                    importlib.util.find_spec,
                    ("aiosqlite", "aiofiles", "asgiref", "starlette", "anyio"),
                ),
                "echo, 1 connection",
                "echo, 100 connections",
                "lateness of sleep(0.001)",
            )
            for loop in ("tpool", "asyncio")
        ],
        set(),
    ),
    "long_calls": (
        LATENCY,
        {10, 20, 200},
        [
            *[
                ("5 ms, sleeping", mode)
                for mode in ("polling off", "self-tuned", "hybrid")
            ],
            *[
                (f"300 us, {what}", mode)
                for what in ("sleeping", "computing")
                for mode in ("polling off", "self-tuned", "hybrid", "always polling")
            ],
            ("10 us, computing", "alone"),
            ("10 us, computing", "beside a 5 ms source"),
        ],
        set(),
    ),
    "meter_error": (
        {
            *("case", "peer", "n", "meter_ms"),
            *("proc_ms", "perf_ms", "proc_error", "perf_error"),
        },
        {20},
        [
            (case, "CpuMeter")
            for case in (
                "the owner computes",
                "workers compute",
                "polling",
                "sleeping calls",
                "threads come and go",
            )
        ],
        set(),
    ),
    "real_calls": (
        {
            *("case", "peer", "n", "on_per_s", "off_per_s", "stock_per_s"),
            *("one_cpu_per_s", "no_thread_per_s", "ratio_off", "ratio_stock"),
            *("ratio_again", "on_cpu_us", "off_cpu_us", "stock_cpu_us"),
        },
        {2, 4, 16, 128},
        [
            (call, f"{where}, {width} in flight")
            for call in (
                "os.stat",
                "read 4 KiB",
                "stat, read, SHA-256 of 16 KiB",
                "sqlite, one row",
                "JSON, 2 kB there and back",
                "zlib.compress, 20 kB",
                "a line to a server and back",
                "time.sleep(0.0001)",
            )
            for where in ("pool", "loop")
            for width in (1, 2, 8, 64)
        ],
        {"in_flight"},
    ),
    "nearby": (
        LATENCY,
        {1, 50},
        [
            (case, loop)
            for case in (
                "echo, both processes",
                *(["Redis: GET"] if HAS_REDIS else []),
                *(["PostgreSQL: SELECT 1"] if HAS_POSTGRESQL else []),
                "100 idle sockets, a second",
                "100 connections, a line a second each",
            )
            for loop in ("tpool", "asyncio", OFF)
        ],
        set(),
    ),
    "tracing": (
        LATENCY,
        {1000},
        [("no-op", "tracing off"), ("no-op", "tracing on")],
        {"events"},
    ),
    "tuner_traces": (
        LATENCY - {"ops_per_s", "ratio_p50", "ratio_p99"} | {"ratio_total"},
        None,
        [
            (case, policy.name)
            for case in (
                *(
                    f"{machine.name}: {trace}"
                    for machine in tuner_traces.MACHINES
                    for trace in ("recorded: files hashed", *tuner_traces.SYNTHETIC)
                ),
                *(f"world: {name}" for name in tuner_traces.WORLDS),
            )
            for policy in tuner_traces.POLICIES
        ],
        {"poll_max_ns"},
    ),
    "many_fds": (
        LATENCY,
        {100},
        [("polling off", "no fds"), ("polling off", "1,024 idle fds")],
        {"fds"},
    ),
}
