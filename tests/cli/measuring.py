# SPDX-License-Identifier: MIT
"""`tpool measure` as the tests run it, and the files that it reads."""

from __future__ import annotations

import json
import subprocess
import sys

from tpool.cli.measure import measure

TIMEOUT_S = 120
MODES = ["tpool, polling off", "tpool, polling on", "concurrent.futures"]
SMALL_FILES = 70  # more than there are in flight
TREE_FILES = SMALL_FILES + 3
TREE_BYTES = 3 + 3 * 1024 * 1024 + sum(range(SMALL_FILES))


def make_tree(root):
    """Make the files under a root that is not there yet, and return it."""
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").write_bytes(b"")
    (root / "with space").write_bytes(b"abc")
    (root / "sub" / "big").write_bytes(bytes(range(256)) * 12 * 1024)  # 3 MiB
    for number in range(SMALL_FILES):
        (root / "sub" / "deep" / f"{number}").write_bytes(b"x" * number)
    return root


def measurement(tree, progress=None, rounds=1):
    """Return a measurement in this process; its progress function may do things."""
    return measure.Measurement(str(tree), rounds=rounds, threads=2, progress=progress)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tpool", *map(str, arguments)]


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    options = {"stdin": subprocess.DEVNULL, "capture_output": True} | options
    return subprocess.run(
        command(*arguments), text=True, timeout=TIMEOUT_S, check=False, **options
    )


def document(result: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(result.stdout)
