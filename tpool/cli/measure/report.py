# SPDX-License-Identifier: MIT
"""What `tpool measure` prints: complaints, and the table or JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from tpool.cli.console import (
    FAILED,
    INTERRUPTED,
    OK,
    complain,
    environment,
    out,
    shown,
    version,
)

if TYPE_CHECKING:
    from tpool.cli.measure.measure import Measurement, ModeResult, Shares

__all__ = ["report"]


def _as_json(run: Measurement, results: list[ModeResult], interrupted: bool) -> str:
    document = {
        "version": version(),
        "environment": environment(),
        "path": run.root,
        "files": len(run.items),
        "bytes": run.bytes,
        "skipped": {"symlinks": run.tree.symlinks, "special": run.tree.special},
        "unreadable": [problem._asdict() for problem in run.unreadable],
        "changed": run.changed,
        "mismatched": run.mismatched,
        "digests_agree": not run.mismatched,
        "interrupted": interrupted,
        "rounds": run.rounds,
        "threads": run.threads,
        "in_flight": run.in_flight,
        "modes": [dataclasses.asdict(result) for result in results],
    }
    return json.dumps(document, indent=2) + "\n"


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percents(shares: Shares | None) -> list[str]:
    if shares is None:
        return ["-"] * 3
    return [f"{100 * share:.0f}%" for share in dataclasses.astuple(shares)]


def _as_table(run: Measurement, results: list[ModeResult], interrupted: bool) -> str:
    where = environment()
    head = [
        ("", "", "latency", "us", "CPU", "seconds", "", "owner", "", "", "workers"),
        ("", "files/s", "p50", "p99", "owner", "workers", "process")
        + ("polled", "blocked", "working") * 2,
    ]
    rows = [
        (
            result.name,
            _number(result.files_per_s),
            _number(result.latency_p50_us),
            _number(result.latency_p99_us),
            _number(result.cpu_owner_s, 2),
            _number(result.cpu_workers_s, 2),
            _number(result.cpu_process_s, 2),
            *_percents(result.owner),
            *_percents(result.workers),
        )
        for result in results
    ]
    lines = [
        f"{shown(run.root)}: {len(run.items):,} files, {run.bytes / 1e6:,.1f} MB; "
        f"left out: {run.tree.symlinks:,} symbolic links, {run.tree.special:,} special",
        f"{where['implementation']} {where['python']}, "
        f"GIL {'on' if where['gil'] else 'off'}, {where['cpus']} CPUs, "
        f"{where['system']}; {run.threads} threads, "
        f"{run.in_flight} files in flight, {run.rounds} rounds",
        "",
        *_columns([*head, *rows]),
        "",
        "files/s: median of the rounds; latency: submit to completion seen in the "
        "owner;",
        "CPU seconds: sums over the rounds",
    ]
    if interrupted:
        done = ", ".join(f"{result.name} {result.rounds}" for result in results)
        lines.append(f"interrupted; complete rounds: {done}")
    if not run.mismatched:
        lines.append(f"digests: equal{' so far' if interrupted else ''}")
    return "\n".join(lines) + "\n"


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    count = max(map(len, rows))
    full = [row + ("",) * (count - len(row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in full
    ]


def report(run: Measurement, interrupted: bool, as_json: bool) -> int:
    """Complain of what went wrong, and print what was measured.

    Args:
        run: The measurement, run as far as it came.
        interrupted: Whether Ctrl-C ended it.
        as_json: JSON instead of the table.

    Returns:
        The exit status.

    Raises:
        OSError: Nobody reads standard output, or it is full.
    """
    status = OK
    for problem in run.unreadable:
        complain(f"{shown(problem.path)}: {problem.reason}")
        status = FAILED
    if status:
        complain(f"{len(run.unreadable):,} could not be read")
    for path in run.changed:
        complain(f"{shown(path)}: changed meanwhile, not compared")
    for path in run.mismatched:
        complain(f"{shown(path)}: DIGESTS DIFFER although the file did not change")
        status = FAILED
    results = run.results()
    if interrupted and not results:
        complain("interrupted before anything was measured")
    elif not run.items:
        complain(f"{shown(run.root)}: no regular file to read")
        status = FAILED
    if as_json:
        out(_as_json(run, results, interrupted))
    elif results:
        out(_as_table(run, results, interrupted))
    return INTERRUPTED if interrupted else status
