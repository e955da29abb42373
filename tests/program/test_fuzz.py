# SPDX-License-Identifier: MIT
"""A million calls of everything, with anything: an exception or success, no crash.

TPOOL_FUZZ multiplies the calls; TPOOL_FUZZ_SEED is the first seed. What fails is
drawn anew by `python tests/isolated/fuzz.py SEED CALLS LOG THREADS`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ISOLATED

FACTOR = float(os.environ.get("TPOOL_FUZZ", "1"))
FIRST = int(os.environ.get("TPOOL_FUZZ_SEED", "0"))
# One thread, and two that use the same objects.
RUNS = [*((FIRST + seed, 1) for seed in range(4)), (FIRST + 4, 2)]
CALLS = int(200_000 * FACTOR)
LAST = 25

pytestmark = pytest.mark.timeout(330 * FACTOR)


def last_calls(path):
    """Return the newest lines of a log, which is a ring of them."""
    if not path.exists():
        return "(it has not begun)"
    text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    lines.sort(key=lambda line: int(line.split()[0]))
    return "\n".join(lines[-LAST:])


@pytest.mark.parametrize(("seed", "threads"), RUNS)
def test_no_call_crashes_or_hangs(tmp_path, seed, threads):
    log = tmp_path / "calls"
    command = [sys.executable, ISOLATED / "fuzz.py", seed, CALLS, log, threads]
    result = subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300 * FACTOR,
        check=False,
    )
    said = "\n".join(
        [
            f"{' '.join(map(str, command[1:]))} ended with {result.returncode}",
            *(last_calls(tmp_path / f"calls.{number}") for number in range(threads)),
            result.stdout[-2000:],
            result.stderr[-6000:],
        ]
    )
    assert result.returncode == 0, said
    calls, _, entries, *_ = result.stdout.splitlines()[-1].split()
    assert int(calls) >= CALLS, said
    assert int(entries) > 300, said
