# SPDX-License-Identifier: MIT
"""Each case of tests/isolated/hostile.py, in a process of its own."""

from __future__ import annotations

import ast

import pytest
from conftest import ISOLATED

pytestmark = pytest.mark.timeout(120)
SCRIPT = ISOLATED / "hostile.py"
CASES = [
    node.name
    for node in ast.parse(SCRIPT.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and not node.args.args
]


@pytest.mark.parametrize("case", CASES)
def test_neither_crashes_nor_hangs(isolated, case):
    isolated("hostile.py", case)
