# SPDX-License-Identifier: MIT
"""The standard library's own tests of ThreadPoolExecutor, on ours."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from conftest import ISOLATED, run_python

pytestmark = pytest.mark.timeout(120)
# From 3.12 on; before, all is in one.  Those of futures alone make stock ones.
MODULES = ["thread_pool", "shutdown", "init", "wait", "as_completed"]


def names():
    package = "test.test_concurrent_futures"
    found = importlib.util.find_spec("test") and importlib.util.find_spec(package)
    if found is None:
        pytest.skip("this Python has no test.test_concurrent_futures")
    if found.submodule_search_locations is None:
        return [package]
    return [f"{package}.test_{module}" for module in MODULES]


def test_the_standard_library_s_own_tests_pass():
    """At once, as they sleep most of the time."""
    run = partial(run_python, ISOLATED / "stdlib_executor.py", timeout=110)
    with ThreadPoolExecutor() as executor:
        assert all(executor.map(run, names()))
