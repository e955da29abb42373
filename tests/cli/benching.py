# SPDX-License-Identifier: MIT
"""`tpool bench` as the tests run it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap

import pytest

TIMEOUT_S = 120
MODES = ["blocking", "hybrid", "self-tuned", "fixed"]
ONE = ["--work", "no-op", "--bound", "8192"]  # five cases, four ways
CASES = ["no-op"] + [
    f"no-op, {gap}" for gap in ("busy 20 us", "busy 100 us", "idle 100 us", "idle 1 ms")
]


def needs(*modules):
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(
        bool(absent), reason=f"not installed: {', '.join(absent)} (extra 'cli')"
    )


needs_cli = needs("hdrh", "rich")
needs_plot = needs("hdrh", "rich", "matplotlib")


def command(*arguments, before="", rounds=1):
    """Return a command line with passes of five calls.

    Args:
        arguments: Those of `tpool bench`.
        before: Code to run first; what is called `sweep` is the module.
        rounds: Rounds to measure.
    """
    code = textwrap.dedent(before) + textwrap.dedent(f"""
        import sys
        from tpool import cli
        from tpool.cli.bench import sweep
        sweep.FULL = sweep.Effort({rounds}, 0, 0, 1, 5)
        sys.exit(cli.main(["bench", *sys.argv[1:]]))
    """)
    return [sys.executable, "-c", code, *map(str, arguments)]


def bench(*arguments, before="", rounds=1, **options):
    options = {"stdin": subprocess.DEVNULL, "capture_output": True} | options
    return subprocess.run(
        command(*arguments, before=before, rounds=rounds),
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        **options,
    )
