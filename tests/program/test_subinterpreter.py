# SPDX-License-Identifier: MIT
"""Contexts and pools in interpreters with a GIL of their own."""

from __future__ import annotations

import sys

import pytest

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(
        sys.version_info < (3, 12), reason="no GIL of its own before 3.12"
    ),
]


@pytest.mark.parametrize(
    "case", ["one_after_the_other", "at_the_same_time", "wakeup_fd_is_the_main_one_s"]
)
def test_pool_works_in_interpreters_with_their_own_gil(isolated, case):
    isolated("subinterpreter.py", case)
