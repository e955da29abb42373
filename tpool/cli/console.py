# SPDX-License-Identifier: MIT
"""What the subcommands share: exit status, output, and what a figure depends on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "OK",
    "USAGE",
    "complain",
    "described",
    "environment",
    "out",
    "shown",
    "usable_cpus",
    "version",
]

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def out(text: str) -> None:
    """Write to standard output; what its encoding lacks is escaped.

    Raises:
        OSError: Nobody reads it, the disk is full, or it is closed.
    """
    if sys.stdout is None:
        raise OSError("standard output is closed")
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def complain(text: str) -> None:
    """Write one line to standard error; nothing more can be done if that fails."""
    try:
        sys.stderr.write(f"tpool: {text}\n")
        sys.stderr.flush()
    except (AttributeError, OSError):
        pass


def shown(path: str) -> str:
    """Return a path that cannot play tricks on a terminal."""
    return path if path.isprintable() else ascii(path)


def version() -> str:
    """Return the version of the installed distribution, or "unknown"."""
    try:
        return importlib.metadata.version("aio-tpool")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def usable_cpus() -> int:
    """Return how many CPUs the affinity of this process allows."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def described(where: dict[str, str | int | bool]) -> str:
    """Return the part of an environment() that tells one run from another."""
    return (
        f"{where['implementation']} {where['python']}, "
        f"GIL {'on' if where['gil'] else 'off'}, {where['cpus']} CPUs"
    )


def environment() -> dict[str, str | int | bool]:
    """Return what a figure depends on, as it is at this moment."""
    return {
        "implementation": platform.python_implementation(),
        "python": platform.python_version(),
        "gil": bool(getattr(sys, "_is_gil_enabled", lambda: True)()),
        "cpus": usable_cpus(),
        "system": f"{platform.system()} {platform.release()}",
    }
