# SPDX-License-Identifier: MIT
"""Each case of the hostile programs of tests/isolated, in a process of its own."""

from __future__ import annotations

import ast

import pytest
from conftest import ISOLATED

pytestmark = pytest.mark.timeout(120)


def cases(script):
    tree = ast.parse((ISOLATED / script).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.args.args:
            yield script, node.name


CASES = [
    case
    for script in (
        "hostile_context.py",
        "hostile_fork.py",
        "hostile_loop.py",
        "hostile_pool.py",
        "collector.py",
        "collected.py",
    )
    for case in cases(script)
]


@pytest.mark.parametrize(("script", "case"), CASES, ids=lambda value: value)
def test_neither_crashes_nor_hangs(isolated, script, case):
    isolated(script, case)
