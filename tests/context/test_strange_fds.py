# SPDX-License-Identifier: MIT
"""Fds that were closed behind our back, and whose numbers others have got."""

from __future__ import annotations

import ast
import os

import pytest
from conftest import ISOLATED

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not hasattr(os, "eventfd"), reason="the system has no eventfd"),
]
SCRIPT = "strange_fds.py"
CASES = [
    node.name
    for node in ast.parse((ISOLATED / SCRIPT).read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef)
    and [arg.arg for arg in node.args.args] == ["kind"]
]


@pytest.mark.parametrize("kind", ["files", "fds"])
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_done_to_what_the_numbers_stand_for_now(isolated, case, kind):
    isolated(SCRIPT, f"{case}-{kind}")
