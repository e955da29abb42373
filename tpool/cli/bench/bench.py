# SPDX-License-Identifier: MIT
"""`tpool bench`: its arguments, its progress bar, and the order of what it does."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import os
import re
import sys
import time
import warnings
from typing import TYPE_CHECKING

from tpool.cli.console import (
    FAILED,
    INTERRUPTED,
    OK,
    USAGE,
    complain,
    described,
    environment,
    out,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tpool.cli.bench.points import Point
    from tpool.cli.bench.sweep import Sweep

__all__ = ["DESCRIPTION", "EPILOG", "HELP", "add_arguments", "run"]

HELP = "sweep polling bounds and work lengths, and recommend poll_max_ns"

DESCRIPTION = """\
Make calls in a thread, one after the other, and compare latency and CPU time of
four ways to wait for them, with several bounds (poll_max_ns):
  blocking    no polling
  hybrid      self-tuned; sleeps most of a long, regular call, then polls
  self-tuned  polls for a time that it tunes itself, up to the bound
  fixed       polls up to the bound, whether or not that paid before
None of them polls for a call that is known to take longer than the bound, but
for the end of it (hybrid).

Calls sleep or compute. One that sleeps takes longer than it is told, by some
50 us on Linux. One that computes is a Python loop: it keeps a CPU, and the GIL
where there is one. No-ops are also made with gaps between them, in which the
owner computes (busy) or sleeps (idle).

The latency is the time from submit until the owner has the result, without the
time that the call itself took. CPU is that of the whole process, calls and gaps
included. All ways are measured side by side in each round; "x" is times blocking
in the same rounds.

Needs the extra: python -m pip install 'aio-tpool[cli]'"""

EPILOG = """\
The recommendation is computed over all measured cases: name your own with --work.
A limit has to hold in every case. Without a limit it is the best latency of what
costs no more CPU than blocking on average (a geometric mean over the cases).

exit status: 0 measured, whether or not the aim can be met; 1 the output or the
plot could not be written; 2 wrong arguments, or the extra is missing;
130 interrupted: complete rounds are printed."""

_LONGEST_NS = 100_000_000  # of --work and --bound: 100 ms
_HIGHEST_RATIO = 10.0  # above it a percent sign was forgotten
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_PROGRESS_NS = 100_000_000  # no more than ten times a second
_DISTRIBUTIONS = {"hdrh": "hdrhistogram", "rich": "rich", "matplotlib": "matplotlib"}


def _duration_ns(text: str) -> int:
    """Return nanoseconds; a number without a unit is in us.

    Raises:
        ArgumentTypeError: It is none.
    """
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) *(ns|us|ms|s)?", text, re.ASCII)
    if match is None or len(text) > 30:
        raise argparse.ArgumentTypeError(f"not a time such as 50us or 1ms: {text!r}")
    return round(float(match[1]) * _UNITS[match[2] or "us"])


def _work_ns(text: str) -> int:
    if text in ("no-op", "noop"):
        return 0
    ns = _duration_ns(text)
    if ns > _LONGEST_NS:
        raise argparse.ArgumentTypeError(f"more than 100 ms: {text!r}")
    return ns


def _bound_ns(text: str) -> int:
    ns = int(text) if re.fullmatch("[0-9]{1,18}", text, re.ASCII) else 0
    if not 1 <= ns <= _LONGEST_NS:
        raise argparse.ArgumentTypeError(
            f"not a whole number of nanoseconds, 1 to {_LONGEST_NS}: {text!r}"
        )
    return ns


def _goal_us(text: str) -> float:
    ns = _duration_ns(text)
    if not ns:
        raise argparse.ArgumentTypeError(f"must be more than nothing: {text!r}")
    return ns / 1e3


def _budget(text: str) -> float:
    number = text.removesuffix("%")
    try:
        ratio = float(number) / (1 if number == text else 100)
    except ValueError:
        ratio = math.nan
    if not (math.isfinite(ratio) and ratio > 0):
        raise argparse.ArgumentTypeError(
            f"not a ratio such as 1.1 or a percentage such as 110%: {text!r}"
        )
    if ratio > _HIGHEST_RATIO:
        raise argparse.ArgumentTypeError(
            f"more than {_HIGHEST_RATIO:g} times blocking; 1.1 or 110% is a tenth "
            f"more: {text!r}"
        )
    return ratio


def _picture(text: str) -> str:
    if not text.lower().endswith((".png", ".svg")):
        raise argparse.ArgumentTypeError(f"ends neither in .png nor in .svg: {text!r}")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the arguments of the subcommand."""
    parser.add_argument(
        "--work",
        metavar="TIME",
        type=_work_ns,
        action="append",
        help="how long a call takes: no-op, or a time such as 50us; once for each "
        "(default: no-op, 10us, 100us, 1ms)",
    )
    parser.add_argument(
        "--bound",
        metavar="NS",
        type=_bound_ns,
        action="append",
        dest="bounds",
        help="a poll_max_ns to try, nanoseconds; once for each "
        "(default: 8192, 32768, 131072)",
    )
    parser.add_argument(
        "--cpu-budget",
        metavar="LIMIT",
        type=_budget,
        help="recommend the best latency whose CPU for each call is at most LIMIT "
        "times that of blocking: 1.1, or 110%%, allows a tenth more",
    )
    parser.add_argument(
        "--latency-goal",
        metavar="TIME",
        type=_goal_us,
        help="recommend the least CPU whose latency p50 is TIME at most: 50us, or a "
        "number of us; with --cpu-budget, of what keeps to both",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short round: some seconds instead of about a minute, and figures "
        "to match",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=_picture,
        help="draw latency against CPU, and latency histograms, in FILE: .png or .svg",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON instead of the table"
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """Show a progress bar on standard error, if that is a terminal.

    It is drawn between passes only: a thread that draws would be measured too.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        task = bar.add_task("", total=None)
        next_ns, before = 0, ""

        def tell(what: str, done: int, total: int) -> None:
            nonlocal next_ns, before
            now = time.monotonic_ns()
            if now >= next_ns or what != before:
                next_ns, before = now + _PROGRESS_NS, what
                bar.update(task, description=what, completed=done, total=total)
                bar.refresh()

        yield tell


def _remove_empty(path: str) -> None:
    """Remove a file that was made to see whether that can be done."""
    with contextlib.suppress(OSError):
        if not os.path.getsize(path):
            os.unlink(path)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and draw.

    Args:
        arguments: Of a parser that has what add_arguments() gives.

    Returns:
        The exit status, see EPILOG.

    Raises:
        OSError: Nobody reads standard output, or it is full.

    Context: Main thread: a SIGINT is meant for it.
    """
    missing = [  # without an import: that comes later
        distribution
        for name, distribution in _DISTRIBUTIONS.items()
        if (arguments.plot or name != "matplotlib")
        and importlib.util.find_spec(name) is None
    ]
    if missing:
        complain(
            "bench needs the extra 'cli': python -m pip install 'aio-tpool[cli]' "
            f"(missing: {', '.join(missing)})"
        )
        return USAGE
    created = False
    if arguments.plot is not None:
        created = not os.path.lexists(arguments.plot)
        try:
            open(arguments.plot, "ab").close()
        except OSError as error:
            complain(f"--plot {shown(arguments.plot)}: {error.strerror}")
            return USAGE

    from tpool.cli.bench import grid, sweep

    measured = sweep.Sweep(
        grid.cases(arguments.work or grid.WORKS_NS),
        grid.ways(arguments.bounds or grid.BOUNDS_NS),
        sweep.QUICK if arguments.quick else sweep.FULL,
    )
    # SIGINT asks: what was measured is printed, and then it ends.
    with measured.interrupt.installed():
        try:
            with _progress() as measured.progress:
                measured.run()
        except KeyboardInterrupt:
            measured.interrupt.asked = True
        try:
            status = _report(measured, arguments)
        except ImportError as error:  # installed, but broken
            complain(f"bench: {error}")
            status = FAILED
        finally:
            if created:
                _remove_empty(arguments.plot)
    return INTERRUPTED if measured.interrupt.asked else status


def _report(measured: Sweep, arguments: argparse.Namespace) -> int:
    # Before anything is imported that may switch the GIL on.
    where = environment()
    from tpool.cli.bench.advice import Aim, advise
    from tpool.cli.bench.points import points
    from tpool.cli.bench.sweep_report import Findings, as_json, as_text

    aim = Aim(arguments.cpu_budget, arguments.latency_goal)
    made = points(measured.found, measured.ways[0])
    found = Findings(
        environment=where,
        rounds=measured.effort.rounds,
        interrupted=measured.interrupt.asked,
        points=made,
        aim=aim,
        advice=advise(made, aim),
    )
    if not made:
        complain("interrupted before anything was measured")
    status = OK
    if made and arguments.plot is not None:
        status = _plot(made, arguments.plot, where)
    if arguments.json:
        out(as_json(found))
    elif made:
        out(as_text(found))
    return status


def _plot(points: list[Point], path: str, where: dict[str, str | int | bool]) -> int:
    title = f"tpool bench: {described(where)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a library, about itself
            from tpool.cli.bench.plot import draw

            picture = draw(points, title, path.lower()[-3:])
        with open(path, "wb") as file:
            file.write(picture)
    except (ImportError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        complain(f"--plot {shown(path)}: {reason or error}")
        return FAILED
    return OK
