# SPDX-License-Identifier: MIT
"""Callbacks that wait nest until the stack is used up, whatever its size."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.timeout(90)


@pytest.mark.parametrize(
    "way", ["poll", "timer", "fd", "result", "contexts", "regex", "dispatch"]
)
def test_nested_waits_end_with_an_exception_on_every_stack(isolated, way):
    isolated("stacks.py", way)
