# SPDX-License-Identifier: MIT
"""Each case of the hostile programs of tests/isolated, in a process of its own."""

from __future__ import annotations

import pytest
from conftest import cases_of

pytestmark = pytest.mark.timeout(120)
CASES = [
    (script, case)
    for script in (
        "hostile_context.py",
        "hostile_fork.py",
        "hostile_loop.py",
        "hostile_pool.py",
        "collector.py",
        "collected.py",
    )
    for case in cases_of(script)
]


@pytest.mark.parametrize(("script", "case"), CASES, ids=lambda value: value)
def test_neither_crashes_nor_hangs(isolated, script, case):
    isolated(script, case)
