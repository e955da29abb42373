# SPDX-License-Identifier: MIT
"""What contexts and pools tell of themselves, in a line."""

from __future__ import annotations

import os
import threading

import pytest
from conftest import run_code, wait_until

import tpool

pytestmark = pytest.mark.timeout(60)


def state(thing):
    """Return what stands behind the name and the address."""
    assert repr(thing).startswith(f"<{type(thing).__name__} at {id(thing):#x} ")
    return repr(thing).rstrip(">").split(" ", 3)[3]


def test_context_tells_its_bound_its_owner_and_what_is_on_its_way(gate):
    me = threading.get_native_id()
    with tpool.AioContext(1000) as ctx:
        pool = tpool.ThreadPool(ctx)
        assert state(ctx) == f"open poll_max_ns=1000 owner={me} in_flight=0 pools=1"
        request = pool.submit(gate.wait)
        assert state(ctx) == f"open poll_max_ns=1000 owner={me} in_flight=1 pools=1"
        gate.set()
        request.result()
        del request, pool
        assert state(ctx) == f"open poll_max_ns=1000 owner={me} in_flight=0 pools=0"
    assert state(ctx) == "closed"


def test_pool_tells_its_threads_and_what_is_where(ctx, gate):
    with tpool.ThreadPool(ctx, max_threads=1) as pool:
        assert state(pool) == "open threads=0 running=0 queued=0 in_flight=0"
        requests = [pool.submit(gate.wait), pool.submit(int)]
        wait_until(lambda: pool.stats().running)
        assert state(pool) == "open threads=1 running=1 queued=1 in_flight=2"
        gate.set()
        wait_until(lambda: pool.stats().completed == 2)
        wait_until(lambda: not pool.stats().running)
        assert state(pool) == "open threads=1 running=0 queued=0 in_flight=2"
        requests[-1].result()
        assert state(pool) == "open threads=1 running=0 queued=0 in_flight=0"
    assert state(pool) == "shut down threads=0 running=0 queued=0 in_flight=0"


def test_pool_of_a_closed_context_was_shut_down(ctx):
    pool = tpool.ThreadPool(ctx)
    ctx.close()
    assert state(pool).startswith("shut down ")


def test_a_subclass_is_called_by_its_name(ctx):
    class Mine(tpool.ThreadPool):
        pass

    with Mine(ctx) as pool:
        assert state(pool).startswith("open ")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_the_child_of_a_fork_they_are_another_s():
    said = run_code(
        "import os, sys, tpool\n"
        "pool = tpool.ThreadPool()\n"
        "pool.submit(int).result()\n"
        "if not os.fork():\n"
        "    print(repr(pool), repr(pool.ctx), flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n",
        options=("-W", "ignore"),
    )
    pool, ctx = said.stdout.strip()[:-1].split("> <")
    assert pool.endswith(" of the process that was forked")
    assert ctx.endswith(" closed")
