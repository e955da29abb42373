# SPDX-License-Identifier: MIT
"""What `tpool measure` prints: complaints, and the table or JSON."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import TYPE_CHECKING

from tpool.cli.console import (
    FAILED,
    INTERRUPTED,
    OK,
    complain,
    described,
    environment,
    out,
    shown,
    version,
)
from tpool.cli.measure.samples import NOOP

if TYPE_CHECKING:
    from tpool.cli.measure.measure import Measurement, ModeResult, Shares
    from tpool.cli.measure.samples import Sample

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
        "samples": [dataclasses.asdict(sample) for sample in run.samples()],
        "summary": _in_words(run.samples()),
    }
    return json.dumps(document, indent=2) + "\n"


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percents(shares: Shares | None) -> list[str]:
    if shares is None:
        return ["-"] * 3
    return [f"{100 * share:.0f}%" for share in dataclasses.astuple(shares)]


def _side_by_side(samples: list[Sample]) -> list[tuple[str, ...]]:
    """Return the rows of a table: what, and for each way its rate and its CPU."""
    names = [mode.name for mode in samples[0].modes]
    rows = [
        ("", *(cell for name in names for cell in (name, ""))),
        ("in flight", *("a second", "CPU us") * len(names)),
    ]
    for sample in samples:
        plural = "s" * (sample.in_flight > 1)
        count = f"{sample.in_flight} file{plural}"
        cells = [sample.what if sample.what == NOOP else count]
        for mode in sample.modes:
            cells += [_number(mode.calls_per_s), _number(mode.cpu_us_per_call, 1)]
        rows.append(tuple(cells))
    return rows


def _ratios(samples: list[Sample], mine: str, other: str, what: str) -> list[float]:
    """Return how many times the other's each of the samples has of a figure."""
    found = []
    for sample in samples:
        modes = {mode.name: mode for mode in sample.modes}
        if mine in modes and other in modes:
            found.append(getattr(modes[mine], what) / getattr(modes[other], what))
    return found


def _in_words(samples: list[Sample]) -> str | None:
    """Say what polling has bought, and what it has cost; None: nothing to compare."""
    names = [mode.name for sample in samples for mode in sample.modes]
    mine = next((name for name in ("tpool, polling on", "tpool") if name in names), "")
    others = [name for name in dict.fromkeys(names) if name != mine]
    files = [sample for sample in samples if sample.what != NOOP]
    parts = []
    for other in others if mine and files else ():
        rate = _ratios(files, mine, other, "calls_per_s")
        cpu = _ratios(files, mine, other, "cpu_us_per_call")
        hop = _ratios(samples[:1], mine, other, "calls_per_s")
        parts.append(
            f"{', '.join(f'{one:.2f}' for one in rate)} times the rate of {other} at "
            f"{', '.join(f'{one:.2f}' for one in cpu)} times its CPU (a no-op: "
            f"{hop[0]:.1f} times)"
        )
    if not parts:
        return None
    width = ", ".join(str(sample.in_flight) for sample in files)
    return f"{mine}, {width} files in flight: {'; '.join(parts)}"


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
        f"{described(where)}, {where['system']}; {run.threads} threads, "
        f"{run.in_flight} files in flight, {run.rounds} rounds",
        "",
        *_columns([*head, *rows]),
        "",
        "files/s: median of the rounds; latency: submit to completion seen in the "
        "owner;",
        "CPU seconds: sums over the rounds",
    ]
    samples = run.samples()
    if samples:
        lines += ["", *_columns(_side_by_side(samples))]
        summary = _in_words(samples)
        lines += ["", *textwrap.wrap(summary or "", 79, break_on_hyphens=False)]
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
