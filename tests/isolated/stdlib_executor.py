# SPDX-License-Identifier: MIT
"""Run the standard library's tests of ThreadPoolExecutor with tpool's in its place."""

from __future__ import annotations

import concurrent.futures
import sys
import unittest

from test import support

import tpool

SWAP = (  # isolated, it does not find what this process does
    f"import sys; sys.path = {sys.path!r}\n"
    "import concurrent.futures, tpool\n"
    "concurrent.futures.ThreadPoolExecutor = tpool.ThreadPoolExecutor\n"
)


def in_children_too() -> None:
    """Have the programs that tests run by `-c` begin with the same swap."""
    from test.support import script_helper

    run = script_helper.assert_python_ok

    def assert_python_ok(*args: str, **env: str) -> object:
        *options, code = args
        assert options == ["-c"], args
        return run("-c", SWAP + code, **env)

    script_helper.assert_python_ok = assert_python_ok


def threads_only(suite: unittest.TestSuite) -> unittest.TestSuite:
    """Leave out what tests processes, interpreters, or futures alone."""
    chosen = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            chosen.addTest(threads_only(test))
        elif getattr(test, "executor_type", None) is tpool.ThreadPoolExecutor:
            chosen.addTest(test)
    return chosen


if __name__ == "__main__":
    concurrent.futures.ThreadPoolExecutor = tpool.ThreadPoolExecutor  # type: ignore[misc]
    support.use_resources = []  # what takes long is left out
    in_children_too()
    suite = threads_only(unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:]))
    result = unittest.TextTestRunner(verbosity=0).run(suite)
    sys.exit(not (result.wasSuccessful() and result.testsRun))
