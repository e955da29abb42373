# SPDX-License-Identifier: MIT
"""What the benchmarks share: options, alternating rounds, tables, JSON."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING, Any

from tpool.cli.rounds import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Peers = dict[str, Callable[[], "Sample"]]


def noop() -> None:
    """Do nothing: the request of most benchmarks."""


def compute(ns: int) -> int:
    """Keep the CPU and the GIL for so long; return when it has ended."""
    until = perf_counter_ns() + ns
    while (now := perf_counter_ns()) < until:
        pass
    return now


@dataclass(frozen=True, slots=True)
class Sample:
    """One peer in one round. Times in us; None where it makes no sense.

    Of fewer than 100 latencies there is no p99: it would be the longest.
    """

    n: int
    p50_us: float | None
    p99_us: float | None
    mean_us: float
    ops_per_s: float
    cpu_us_per_op: float


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one case: medians over the rounds.

    The ratios are medians of the ratios within a round: how many times less
    than the baseline (more, for operations per second); above 1 is better.
    """

    case: str
    peer: str
    n: int
    p50_us: float | None
    p99_us: float | None
    mean_us: float
    ops_per_s: float
    cpu_us_per_op: float
    ratio_p50: float | None
    ratio_p99: float | None
    ratio_mean: float | None
    ratio_cpu: float | None


def percentile(ordered: Sequence[int], percent: float) -> int:
    """Return the nearest-rank percentile of a sorted sequence."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def summarize(latencies_ns: Iterable[int], n: int, wall_ns: int, cpu_ns: int) -> Sample:
    """Make a sample of latencies, which may be those of a part of the requests.

    Args:
        latencies_ns: Latencies; none where only the mean is known.
        n: Requests.
        wall_ns: Time of all of them.
        cpu_ns: CPU time of the process in it.
    """
    ordered = sorted(latencies_ns)
    return Sample(
        n=n,
        p50_us=percentile(ordered, 50) / 1e3 if ordered else None,
        p99_us=percentile(ordered, 99) / 1e3 if len(ordered) >= 100 else None,
        mean_us=statistics.fmean(ordered) / 1e3 if ordered else wall_ns / n / 1e3,
        ops_per_s=n / wall_ns * 1e9,
        cpu_us_per_op=cpu_ns / n / 1e3,
    )


def one_in_flight(call: Callable[[], object], n: int) -> Sample:
    """Time `n` calls one after the other; each peer pays the same two clock reads."""
    clock = perf_counter_ns
    latencies = [0] * n
    cpu = process_time_ns()
    started = clock()
    for number in range(n):
        before = clock()
        call()
        latencies[number] = clock() - before
    wall = clock() - started
    cpu = process_time_ns() - cpu
    return summarize(latencies, n, wall, cpu)


def round_trips(pool: Any, n: int) -> Callable[[], Sample]:  # noqa: ANN401
    """Return a peer: submit a no-op and ask for its result, one in flight."""
    submit = pool.submit

    def call() -> None:
        submit(noop).result()

    return partial(one_in_flight, call, n)


def alternate(peers: Peers, rounds: int) -> dict[str, list[Sample]]:
    """Run every peer once in each round, in orders of which none gains.

    Everybody runs once unmeasured before: threads, caches, self-tuning. Where peers
    are close, many short rounds tell more than a few long ones: the speed of a
    machine changes within seconds.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in peers}
    names = list(peers)
    for name in names:
        tell(f"warming up: {name}")
        peers[name]()
    for turn in range(rounds):
        for name in in_order(names, turn):
            tell(f"round {turn + 1} of {rounds}: {name}")
            samples[name].append(peers[name]())
    return samples


def rows(case: str, samples: dict[str, list[Sample]], baseline: str) -> list[Row]:
    """Make a row for each peer.

    Args:
        case: What the peers were doing.
        samples: From `alternate`.
        baseline: The peer that the ratios refer to.
    """
    base = samples[baseline]
    return [
        Row(
            case=case,
            peer=name,
            n=mine[0].n,
            p50_us=_median([one.p50_us for one in mine]),
            p99_us=_median([one.p99_us for one in mine]),
            mean_us=statistics.median(one.mean_us for one in mine),
            ops_per_s=statistics.median(one.ops_per_s for one in mine),
            cpu_us_per_op=statistics.median(one.cpu_us_per_op for one in mine),
            ratio_p50=_ratio([(b.p50_us, m.p50_us) for b, m in pairs(base, mine)]),
            ratio_p99=_ratio([(b.p99_us, m.p99_us) for b, m in pairs(base, mine)]),
            ratio_mean=_ratio([(b.mean_us, m.mean_us) for b, m in pairs(base, mine)]),
            ratio_cpu=_ratio(
                [(b.cpu_us_per_op, m.cpu_us_per_op) for b, m in pairs(base, mine)]
            ),
        )
        for name, mine in samples.items()
    ]


def pairs(base: list[Sample], mine: list[Sample]) -> Iterable[tuple[Sample, Sample]]:
    """Return the samples of the same round."""
    return zip(base, mine, strict=True)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _ratio(values: list[tuple[float | None, float | None]]) -> float | None:
    known = [base / mine for base, mine in values if base is not None and mine]
    return statistics.median(known) if known else None


def environment() -> dict[str, Any]:
    """Return what a figure depends on."""
    gil_enabled = getattr(sys, "_is_gil_enabled", None)
    return {
        "implementation": platform.python_implementation(),
        "python": platform.python_version(),
        "gil": True if gil_enabled is None else bool(gil_enabled()),
        "cpus": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "tpool": importlib.metadata.version("aio-tpool"),
    }


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=21, help="default: %(default)s")
    made.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to FILE too"
    )
    made.add_argument(
        "--quick",
        action="store_true",
        help="one round of a few requests: shows that it runs, not how fast",
    )
    return made


def parse(made: argparse.ArgumentParser, quick: dict[str, Any]) -> argparse.Namespace:
    """Parse the command line.

    Args:
        made: From `parser`.
        quick: What --quick sets, besides one round.
    """
    options = made.parse_args()
    if options.quick:
        vars(options).update({"rounds": 1} | quick)
    if options.rounds < 1:
        made.error("--rounds must be 1 at least")
    return options


def tell(text: str) -> None:
    """Say on a terminal what is going on."""
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


def done() -> None:
    """Wipe what `tell` said."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def run_child(script: str, *arguments: object) -> Any:  # noqa: ANN401
    """Run this benchmark as a child process with other arguments.

    Returns:
        What the child printed, which must be JSON.
    """
    finished = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(finished.stdout)


def print_json(value: object) -> None:
    """Print a child's answer."""
    print(json.dumps(value))


def text(value: object) -> str:
    """Return a cell of a table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def command(script: str, arguments: Sequence[str]) -> str:
    """Return the command line, without where it writes its JSON."""
    made = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    made.add_argument("--json")
    others = made.parse_known_args(list(arguments))[1]
    return shlex.join(["python", f"bench/{Path(script).name}", *others])


def report(
    question: str,
    script: str,
    options: argparse.Namespace,
    table: Sequence[Any],
    notes: Sequence[str] = (),
    **more: object,
) -> None:
    """Print the table and write the JSON file.

    Args:
        question: What the benchmark asks.
        script: `__file__` of the benchmark.
        options: The command line.
        table: Dataclass instances of one kind; columns that are empty throughout
            are not printed.
        notes: Printed below the table.
        more: Further entries of the JSON file.
    """
    done()
    where = environment()
    lines = [asdict(row) for row in table]
    print(question)
    print(", ".join(f"{key} {value}" for key, value in where.items()), end=", ")
    print(f"rounds {options.rounds}{', QUICK: no figures' * options.quick}")
    columns = [
        [name, *(text(line[name]) for line in lines)]
        for name in lines[0]
        if any(line[name] is not None for line in lines)
    ]
    widths = [max(map(len, column)) for column in columns]
    for cells in zip(*columns, strict=True):
        print(
            "  ".join(
                cell.ljust(width) if index < 2 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
        )
    for note in notes:
        print(note)
    if options.json:
        document = {
            "bench": Path(script).stem,
            "question": question,
            "command": command(script, sys.argv[1:]),
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "environment": where,
            "quick": options.quick,
            "rounds": options.rounds,
            "rows": lines,
            "notes": list(notes),
            **more,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")
