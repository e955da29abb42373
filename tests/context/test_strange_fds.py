# SPDX-License-Identifier: MIT
"""Fds that were closed behind our back, and whose numbers others have got."""

from __future__ import annotations

import os

import pytest
from conftest import cases_of

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not hasattr(os, "eventfd"), reason="the system has no eventfd"),
]
SCRIPT = "strange_fds.py"


@pytest.mark.parametrize("kind", ["files", "fds"])
@pytest.mark.parametrize("case", cases_of(SCRIPT, "kind"))
def test_nothing_is_done_to_what_the_numbers_stand_for_now(isolated, case, kind):
    isolated(SCRIPT, f"{case}-{kind}")
