# SPDX-License-Identifier: MIT
"""ThreadPoolExecutor: what it tells of itself."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest
from conftest import DEADLINE_S, wait_until

import tpool


def test_repr_tells_the_state(one):
    assert "open threads=0" in repr(one)
    one.shutdown()
    assert "shut down" in repr(one)


def test_stats_are_those_of_a_pool(one):
    for _ in range(3):
        one.submit(int).result()
    wait_until(lambda: one.stats().running == 0)
    stats = one.stats()
    assert isinstance(stats, tpool.PoolStats)
    assert (stats.submitted, stats.completed, stats.queued) == (3, 3, 0)


@pytest.mark.parametrize(
    "made", [tpool.ThreadPoolExecutor, concurrent.futures.ThreadPoolExecutor]
)
def test_queue_says_how_many_wait_as_the_stock_one_s(made, gate):
    started = threading.Event()
    with made(1) as executor:
        told = [(executor._work_queue.qsize(), executor._work_queue.empty())]
        executor.submit(lambda: (started.set(), gate.wait()))
        began = started.wait(DEADLINE_S)
        for _ in range(3):
            executor.submit(int)
            told.append((executor._work_queue.qsize(), executor._work_queue.empty()))
        gate.set()
    assert began
    assert told == [(0, True), (1, False), (2, False), (3, False)]
