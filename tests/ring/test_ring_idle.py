# SPDX-License-Identifier: MIT
"""A Ring at rest costs nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import task_state, wait_until

import tpool

pytestmark = pytest.mark.timeout(60)


def switches(thread):
    """Return how often a thread has gone to sleep, and been put off the CPU."""
    path = Path(f"/proc/self/task/{thread.native_id}/status")
    lines = dict(line.split(":\t") for line in path.read_text().splitlines())
    return int(lines["voluntary_ctxt_switches"])


@pytest.mark.parametrize("side", ["recv", "send"])
def test_who_waits_in_vain_sleeps(background, side):
    with tpool.Ring.create(size=1024) as ring:
        message = b"x" * ring.message_max
        while side == "send" and ring.try_send(message):
            pass
        waiting = background(*([ring.send, message] if side == "send" else [ring.recv]))
        wait_until(lambda: task_state(waiting.native_id) == "S")
        seen = []

        def is_at_rest():
            """Whether it has not moved since the last look, which is a while ago."""
            seen.append(switches(waiting))
            time.sleep(0.02)
            return seen[-5:] == [seen[-1]] * 5

        wait_until(is_at_rest)
        assert task_state(waiting.native_id) == "S"
        if side == "send":
            assert ring.recv() == message
        else:
            ring.send(b"")
        waiting.finish()
