# SPDX-License-Identifier: MIT
"""The command line: arguments, progress and printing; measure.py does the work."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import importlib.metadata
import importlib.util
import json
import os
import platform
import signal
import sys
import sysconfig
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _typeshed import SupportsWrite

    from tpool.measure import Measurement, ModeResult, Shares

__all__ = [
    "main",
]

_OK = 0
_FAILED = 1
_USAGE = 2
_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

_PROGRESS_NS = 100_000_000  # no more than ten lines a second

_DESCRIPTION = """\
Hash every regular file below PATH (stat, read, SHA-256 for each) with tpool,
polling off and on, and with concurrent.futures, in alternating rounds, and
compare files per second, latency and CPU time.

No symbolic link below PATH is followed; no device, socket or FIFO is read."""

_EPILOG = """\
exit status: 0 all read and all digests equal; 1 a file could not be read, there
was nothing to read, or digests differ; 2 wrong arguments; 130 interrupted."""


_INFO = """\
Measure for a moment what a wake-up costs here, and a hop to a thread and back with
polling and without, and say what the self-tuned polling will do and why."""


class _Parser(argparse.ArgumentParser):
    """Does not hide that help could not be written, as argparse does."""

    def _print_message(
        self, message: str, file: SupportsWrite[str] | None = None
    ) -> None:
        if file is not None and file is sys.stderr:
            super()._print_message(message, file)
        else:
            _out(message)


class _Progress:
    """One line on the terminal, written over and over."""

    def __init__(self) -> None:
        self._next_ns = 0
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic_ns()
        if now < self._next_ns and what == self._what:
            return
        self._next_ns, self._what = now + _PROGRESS_NS, what
        count = f"{done:,}/{total:,}" if total else f"{done:,}"
        self._put(f"\r{what}: {count} files\x1b[K")

    def clear(self) -> None:
        """Wipe the line."""
        if self._what:
            self._put("\r\x1b[K")
            self._what = ""

    def _put(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _out(text: str) -> None:
    """Write to standard output; what its encoding lacks is escaped.

    Raises:
        OSError: Nobody reads it, the disk is full, or it is closed.
    """
    if sys.stdout is None:
        raise OSError("standard output is closed")
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def _complain(text: str) -> None:
    """Write one line to standard error; nothing more can be done if that fails."""
    try:
        sys.stderr.write(f"tpool: {text}\n")
        sys.stderr.flush()
    except (AttributeError, OSError):
        pass


def _shown(path: str) -> str:
    """Return a path that cannot play tricks on a terminal."""
    return path if path.isprintable() else ascii(path)


def _version() -> str:
    try:
        return importlib.metadata.version("aio-tpool")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"not a whole number from 1 up: {text!r}")
    return number


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tpool", description="A thread pool whose completions are polled."
    )
    parser.add_argument("--version", action="version", version=f"tpool {_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser(
        "measure",
        help="hash a tree with tpool and with concurrent.futures, and compare",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    measure.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        default=sysconfig.get_path("stdlib"),
        help="a directory or a file (default: the standard library of this Python)",
    )
    measure.add_argument(
        "--rounds",
        metavar="N",
        type=_at_least_one,
        default=3,
        help="rounds to measure (default: 3)",
    )
    measure.add_argument(
        "--threads",
        metavar="N",
        type=_at_least_one,
        default=min(32, _usable_cpus() + 4),
        help="workers of each pool, at most (default here: %(default)s)",
    )
    measure.add_argument(
        "--loop",
        metavar="NAME",
        choices=("asyncio", "uvloop", "tpool"),
        action="append",
        dest="loops",
        help="compare event loops instead, by run_in_executor(None, ...): asyncio, "
        "uvloop or tpool; once for each of them",
    )
    measure.add_argument(
        "--trace",
        metavar="FILE",
        help="write what owner and workers do to FILE, for Perfetto (ui.perfetto.dev)",
    )
    measure.add_argument(
        "--json", action="store_true", help="print JSON instead of the table"
    )
    info = commands.add_parser(
        "info",
        help="tell what polling can do on this machine, and why",
        description=_INFO,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    info.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def _environment() -> dict[str, str | int | bool]:
    gil_enabled = getattr(sys, "_is_gil_enabled", None)
    return {
        "implementation": platform.python_implementation(),
        "python": platform.python_version(),
        "gil": True if gil_enabled is None else bool(gil_enabled()),
        "cpus": _usable_cpus(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _as_json(run: Measurement, results: list[ModeResult], interrupted: bool) -> str:
    document = {
        "version": _version(),
        "environment": _environment(),
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
    where = _environment()
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
        f"{_shown(run.root)}: {len(run.items):,} files, {run.bytes / 1e6:,.1f} MB; "
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


def _resolve(path: str) -> str:
    """Return the path without links; PATH itself may be one.

    Raises:
        OSError: There is no such file.
    """
    if not path:
        raise FileNotFoundError(errno.ENOENT, "the path is empty")
    return os.path.realpath(path, strict=True)


@contextlib.contextmanager
def _traced(path: str | None) -> Iterator[None]:
    """Record what happens inside, if a file is given."""
    if path is None:
        yield
        return
    from tpool import trace

    with trace.record(path) as recording:
        yield
    if recording.lost:
        _complain(f"{_shown(path)}: {recording.lost:,} events were lost")


def _info(arguments: argparse.Namespace) -> int:
    from tpool import info

    facts = info.gather()
    if arguments.json:
        _out(json.dumps(dataclasses.asdict(facts), indent=2) + "\n")
    else:
        _out(info.text(facts))
    return _OK


def _measure(arguments: argparse.Namespace) -> int:
    try:
        root = _resolve(arguments.path)
    except OSError as error:
        _complain(f"{_shown(arguments.path)}: {error.strerror}")
        return _USAGE
    if not (os.path.isdir(root) or os.path.isfile(root)):
        _complain(f"{_shown(root)}: neither a directory nor a regular file")
        return _USAGE

    if arguments.trace is not None:
        try:
            open(arguments.trace, "w").close()
        except OSError as error:
            _complain(f"{_shown(arguments.trace)}: {error.strerror}")
            return _USAGE
    loops = list(dict.fromkeys(arguments.loops or ()))
    if "uvloop" in loops and importlib.util.find_spec("uvloop") is None:
        _complain("--loop uvloop: uvloop is not installed")
        return _USAGE

    from tpool.measure import Measurement

    terminal = sys.stderr is not None and sys.stderr.isatty()
    progress = _Progress() if terminal else None
    run = Measurement(
        root,
        rounds=arguments.rounds,
        threads=arguments.threads,
        progress=progress,
        loops=loops,
    )
    interrupted = False
    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:  # else a shell said to ignore it
            signal.signal(signal.SIGINT, run.interrupt.handler)
        with _traced(arguments.trace):
            run.run()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        signal.signal(signal.SIGINT, before)
        if progress is not None:
            progress.clear()
    return _report(run, interrupted, arguments.json)


def _report(run: Measurement, interrupted: bool, as_json: bool) -> int:
    status = _OK
    for problem in run.unreadable:
        _complain(f"{_shown(problem.path)}: {problem.reason}")
        status = _FAILED
    if status:
        _complain(f"{len(run.unreadable):,} could not be read")
    for path in run.changed:
        _complain(f"{_shown(path)}: changed meanwhile, not compared")
    for path in run.mismatched:
        _complain(f"{_shown(path)}: DIGESTS DIFFER although the file did not change")
        status = _FAILED
    results = run.results()
    if interrupted and not results:
        _complain("interrupted before anything was measured")
    elif not run.items:
        _complain(f"{_shown(run.root)}: no regular file to read")
        status = _FAILED
    if as_json:
        _out(_as_json(run, results, interrupted))
    elif results:
        _out(_as_table(run, results, interrupted))
    return _INTERRUPTED if interrupted else status


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version, a wrong argument
        return stop.code if isinstance(stop.code, int) else _OK
    return _info(arguments) if arguments.command == "info" else _measure(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None takes them from
            `sys.argv`.

    Returns:
        The exit status, see `tpool measure --help`.

    Context:
        Main thread: a SIGINT is meant for it.
    """
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        # Nobody reads standard output any more, or it is full: what is left in
        # its buffer must not fail once more when the interpreter ends.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _complain(error.strerror or str(error))
        return _FAILED
