# SPDX-License-Identifier: MIT
"""Run test.test_queue's cases of SimpleQueue with tpool.SimpleQueue in its place."""

from __future__ import annotations

import queue
import sys
import types
import unittest

import test.test_queue as stock

import tpool


class SimpleQueueTest(stock.CSimpleQueueTest):
    """What it takes for the module queue has our type, and the real exception."""

    queue = types.SimpleNamespace(SimpleQueue=tpool.SimpleQueue, Empty=queue.Empty)
    test_simplequeue_sizeof = None  # since 3.15: of the fields of its own type


if __name__ == "__main__":
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(SimpleQueueTest)
    result = unittest.TextTestRunner(verbosity=0).run(suite)
    sys.exit(not result.wasSuccessful() or result.testsRun == len(result.skipped))
