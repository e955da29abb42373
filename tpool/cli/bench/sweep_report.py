# SPDX-License-Identifier: MIT
"""What `tpool bench` prints: the table and the recommendation, or JSON."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import textwrap
from typing import TYPE_CHECKING

from tpool.cli.console import described, version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tpool.cli.bench.advice import Advice, Aim
    from tpool.cli.bench.points import Point

__all__ = ["Findings", "as_json", "as_text"]

_WIDTH = 200  # of the table: no cell is cut, the terminal may wrap
_LINE = 84  # of text

_NOTES = """\
latency: from submit until the owner has the result, without the call itself;
CPU us: of the process for each call, calls and gaps included; "x": times blocking"""


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """All that there is to print.

    Attributes:
        environment: What the figures depend on, as it was while measuring.
        rounds: Rounds asked for.
        interrupted: Whether Ctrl-C ended it.
        points: What was found, by case.
        aim: What the user asked for.
        advice: What to take; None if nothing was found.
    """

    environment: dict[str, str | int | bool]
    rounds: int
    interrupted: bool
    points: Sequence[Point]
    aim: Aim
    advice: Advice | None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _point(point: Point) -> dict[str, object]:
    return {
        "case": point.case.name,
        "mode": point.way.mode,
        "poll_max_ns": point.way.poll_max_ns,
        "rounds": point.rounds,
        "calls": point.calls,
        "latency_p50_us": point.latency_p50_us,
        "latency_p99_us": point.latency_p99_us,
        "cpu_us": point.cpu_us,
        "latency_ratio": point.latency_ratio,
        "cpu_ratio": point.cpu_ratio,
    }


def _advice(advice: Advice, aim: Aim) -> dict[str, object]:
    score = advice.score
    return {
        "met": advice.met,
        "rule": aim.rule,
        "mode": score.way.mode,
        "poll_max_ns": score.way.poll_max_ns,
        "source": score.way.source,
        "latency_ratio": score.latency_ratio,
        "cpu_ratio": score.cpu_ratio,
        "worst_latency_us": score.slowest.latency_p50_us,
        "worst_latency_case": score.slowest.case.name,
        "worst_cpu_ratio": score.dearest.cpu_ratio,
        "worst_cpu_case": score.dearest.case.name,
    }


def as_json(found: Findings) -> str:
    """Return a JSON document."""
    document = {
        "version": version(),
        "environment": found.environment,
        "rounds": found.rounds,
        "interrupted": found.interrupted,
        "points": [_point(point) for point in found.points],
        "aim": dataclasses.asdict(found.aim),
        "advice": _advice(found.advice, found.aim) if found.advice else None,
    }
    return json.dumps(document, indent=2) + "\n"


def as_text(found: Findings) -> str:
    """Return the table and the recommendation.

    Raises:
        ImportError: rich is not installed.
    """
    where = found.environment
    cases = len({point.case for point in found.points})
    lines = [
        f"{described(where)}, {where['system']}; {_count(cases, 'case')}, {_count(found.rounds, 'round')}",
        "",
        *_drawn(_table(found)),
        "",
        *_NOTES.splitlines(),
    ]
    if where["cpus"] == 1:
        lines.append("one CPU is usable: nobody polls")
    if found.interrupted:
        done = {point.case.name: point.rounds for point in found.points}
        rounds = "; ".join(f"{name}: {count}" for name, count in done.items())
        lines.append(f"interrupted; complete rounds: {rounds}")
    if found.advice is not None:
        lines += ["", *_said(found.advice, found.aim, cases)]
    return "\n".join(lines) + "\n"


def _table(found: Findings) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)  # lines need more than ASCII
    table.add_column("")
    for heading in (
        "poll_max_ns",
        "p50 us",
        "p99 us",
        "CPU us",
        "p50 x",
        "CPU x",
    ):
        table.add_column(heading, justify="right")
    chosen = found.advice.score.way if found.advice else None
    case = None
    for point in found.points:
        if point.case != case:
            table.add_row()
            case = point.case
            table.add_row(case.name, style="bold")
        table.add_row(
            f"{'*' if point.way == chosen else ' '} {point.way.mode}",
            str(point.way.poll_max_ns),
            f"{point.latency_p50_us:,.1f}",
            f"{point.latency_p99_us:,.1f}",
            f"{point.cpu_us:,.1f}",
            f"{point.latency_ratio:.2f}",
            f"{point.cpu_ratio:.2f}",
        )
    return table


def _drawn(table: Table) -> list[str]:
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        width=_WIDTH,
        force_terminal=sys.stdout is not None and sys.stdout.isatty(),
        highlight=False,
        markup=False,
    )
    with console.capture() as drawn:
        console.print(table)
    lines = [line.rstrip() for line in drawn.get().splitlines()]
    return "\n".join(lines).strip("\n").splitlines()


def _said(advice: Advice, aim: Aim, cases: int) -> list[str]:
    score, way = advice.score, advice.score.way
    if advice.met:
        begin = [f"Recommended (*): poll_max_ns {way.poll_max_ns}, {way.mode}"]
    else:
        begin = [
            "NO CONFIGURATION MEETS THE AIM.",
            f"Nearest (*): poll_max_ns {way.poll_max_ns}, {way.mode}",
        ]
    return [
        *begin,
        f"  {way.source}",
        *textwrap.wrap(
            f"rule: {aim.rule}; computed over {_count(cases, 'measured case')}",
            width=_LINE,
            initial_indent="  ",
            subsequent_indent="    ",
        ),
        f"  latency p50: {score.latency_ratio:.2f} times blocking on average; at worst "
        f"{score.slowest.latency_p50_us:,.1f} us ({score.slowest.case.name})",
        f"  CPU: {score.cpu_ratio:.2f} times blocking on average; at worst "
        f"{score.dearest.cpu_ratio:.2f} times ({score.dearest.case.name})",
    ]
