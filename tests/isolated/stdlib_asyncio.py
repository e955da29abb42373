# SPDX-License-Identifier: MIT
"""Run modules of test.test_asyncio with EventLoop for SelectorEventLoop."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
import unittest

import tpool

stock, ours = asyncio.SelectorEventLoop, tpool.EventLoop


class Substitute(type):
    """Makes an EventLoop, or a stock loop where a test brings its selector."""

    def __call__(cls, selector=None):
        return ours() if selector is None else stock(selector)

    def __instancecheck__(cls, instance):
        return isinstance(instance, stock)


class SelectorEventLoop(metaclass=Substitute):
    """What the tests find under the name."""


if __name__ == "__main__":  # not in the processes that a test spawns
    faulthandler.dump_traceback_later(100, exit=True)  # of a hang: where
    asyncio.SelectorEventLoop = SelectorEventLoop
    names = [f"test.test_asyncio.{module}" for module in sys.argv[1:]]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(not (result.wasSuccessful() and result.testsRun))
