# SPDX-License-Identifier: MIT
"""The command line: arguments, progress, and what each subcommand calls."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import importlib.util
import json
import os
import sys
import sysconfig
import time
from typing import TYPE_CHECKING, NoReturn

from tpool.aio_context import default_poll_max_ns
from tpool.cli.bench import bench
from tpool.cli.console import (
    FAILED,
    INTERRUPTED,
    OK,
    USAGE,
    complain,
    out,
    shown,
    usable_cpus,
    version,
)
from tpool.cli.measure.report import report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import SupportsWrite

__all__ = [
    "main",
]

_PROGRESS_NS = 100_000_000  # no more than ten lines a second
_MOST = 2**31 - 1  # threads of a pool, and more rounds than anybody waits for

_DESCRIPTION = """\
Hash every regular file below PATH (stat, read, SHA-256 for each) with tpool,
polling off and on, and with concurrent.futures, in alternating rounds, and
compare files per second, latency and CPU time. Then a sample of them with 1, 2,
8 and 64 files in flight, and no-ops, side by side.

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
            out(message)

    def error(self, message: str) -> NoReturn:
        """Exit, saying so where there is a standard error: not in what is piped."""
        if sys.stderr is None:
            self.exit(2)
        super().error(message)


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
        files = f": {count} files" if done or total else ""
        self._put(f"\r{what}{files}\x1b[K")

    def clear(self) -> None:
        """Wipe the line."""
        if self._what:
            self._put("\r\x1b[K")
            self._what = ""

    def _put(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= _MOST:
        raise argparse.ArgumentTypeError(
            f"not a whole number from 1 to {_MOST:,}: {text!r}"
        )
    return number


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tpool", description="A thread pool whose completions are polled."
    )
    parser.add_argument("--version", action="version", version=f"tpool {version()}")
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
        type=_count,
        default=3,
        help="rounds to measure (default: 3)",
    )
    measure.add_argument(
        "--threads",
        metavar="N",
        type=_count,
        default=min(32, usable_cpus() + 4),
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
        help="write what owner and workers do to FILE, for Perfetto (ui.perfetto.dev); "
        "no samples are taken then",
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
    bench.add_arguments(
        commands.add_parser(
            "bench",
            help=bench.HELP,
            description=bench.DESCRIPTION,
            epilog=bench.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    return parser


def _cannot_trace(path: str, root: str) -> str | None:
    """Return why the trace cannot be written to path."""
    try:
        if os.path.exists(path) and os.path.samefile(path, root):
            return "is what is to be measured"
        open(path, "ab").close()
    except OSError as error:
        return error.strerror
    return None


def _traced(path: str | None, run: Callable[[], None]) -> int:
    """Run it, recorded if a file is given; return the exit status of that."""
    if path is None:
        run()
        return OK
    from tpool.trace import record

    with contextlib.ExitStack() as stack:
        recording = stack.enter_context(record(path))
        run()
        try:
            stack.close()  # writes it
        except OSError as error:
            complain(f"--trace {shown(path)}: {error.strerror}")
            return FAILED
    if recording.lost:
        complain(f"{shown(path)}: {recording.lost:,} events were lost")
    return OK


def _info(arguments: argparse.Namespace) -> int:
    from tpool.cli.info import gather, text

    facts = gather()
    if arguments.json:
        out(json.dumps(dataclasses.asdict(facts), indent=2) + "\n")
    else:
        out(text(facts))
    return OK


def _measure(arguments: argparse.Namespace) -> int:
    try:
        if not arguments.path:
            raise FileNotFoundError(errno.ENOENT, "the path is empty")
        root = os.path.realpath(arguments.path, strict=True)  # it may be a link itself
    except OSError as error:
        complain(f"{shown(arguments.path)}: {error.strerror}")
        return USAGE
    if not (os.path.isdir(root) or os.path.isfile(root)):
        complain(f"{shown(root)}: neither a directory nor a regular file")
        return USAGE

    loops = list(dict.fromkeys(arguments.loops or ()))
    if "uvloop" in loops and importlib.util.find_spec("uvloop") is None:
        complain("--loop uvloop: uvloop is not installed")
        return USAGE
    if arguments.trace is not None:
        reason = _cannot_trace(arguments.trace, root)
        if reason is not None:
            complain(f"--trace {shown(arguments.trace)}: {reason}")
            return USAGE

    from tpool.cli.measure.measure import Measurement

    terminal = sys.stderr is not None and sys.stderr.isatty()
    progress = _Progress() if terminal else None
    run = Measurement(
        root,
        rounds=arguments.rounds,
        threads=arguments.threads,
        progress=progress,
        loops=loops,
        takes_samples=arguments.trace is None,
    )
    interrupted = False
    traced = OK
    try:
        with run.interrupt.installed():
            traced = _traced(arguments.trace, run.run)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if progress is not None:
            progress.clear()
    return report(run, interrupted, arguments.json) or traced


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version, a wrong argument
        return stop.code if isinstance(stop.code, int) else OK
    try:
        default_poll_max_ns()
    except ValueError as error:
        complain(str(error))
        return USAGE
    commands = {"measure": _measure, "info": _info, "bench": bench.run}
    return commands[arguments.command](arguments)


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
        return INTERRUPTED
    except OSError as error:
        # Nobody reads standard output any more, or it is full: what is left in
        # its buffer must not fail once more when the interpreter ends.
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            complain(error.strerror or str(error))
        return FAILED
