# SPDX-License-Identifier: MIT
"""The standard library's own tests of asyncio, on our loop."""

from __future__ import annotations

import importlib.util

import pytest

pytestmark = pytest.mark.timeout(120)
# Modules of test.test_asyncio that run on the loop they find; test_tasks and
# test_ssl would add a quarter of a minute each.
STDLIB_TESTS = [
    "base_events",
    "context",
    "eager_task_factory",
    "events",
    "futures",
    "locks",
    "pep492",
    "queues",
    "runners",
    "selector_events",
    "sendfile",
    "server",
    "sock_lowlevel",
    "streams",
    "subprocess",
    "taskgroups",
    "threads",
    "timeouts",
    "transports",
    "unix_events",
    "waitfor",
]


@pytest.mark.skipif(
    importlib.util.find_spec("test") is None
    or importlib.util.find_spec("test.test_asyncio") is None,
    reason="this Python has no test.test_asyncio",
)
@pytest.mark.parametrize("module", STDLIB_TESTS)
def test_the_standard_library_s_own_tests_pass(isolated, module):
    if importlib.util.find_spec(f"test.test_asyncio.test_{module}") is None:
        pytest.skip("this Python has no such module")
    isolated("stdlib_asyncio.py", f"test_{module}", timeout=110)
