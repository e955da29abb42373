# SPDX-License-Identifier: MIT
"""Threads that the system refuses to start, for real: F20, F21."""

from __future__ import annotations

import os
import resource
import sys
import threading

import cases
from cases import skip


def no_more_threads():
    """Root is exempt from RLIMIT_NPROC: be somebody else."""
    import tpool

    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        return tpool
    return skip("RLIMIT_NPROC does not keep threads from starting here")


def refused(call, kind):
    """Return the exception that call() raises."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("it was not refused")


def none():
    tpool = no_more_threads()
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        for _ in range(3):
            said = refused(lambda: pool.submit(int), RuntimeError)
            assert "thread" in str(said), said
        stats = pool.stats()
        assert (stats.queued, stats.threads) == (0, 0), stats
        assert stats.completed == stats.cancelled == 0, stats
        assert stats.spawn_failures == 3, stats
        assert ctx.poll(False) is False


def one():
    import tpool

    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
        started, gate, ran = threading.Event(), threading.Event(), []
        first = pool.submit(lambda: (started.set(), gate.wait())[1])
        started.wait()
        no_more_threads()
        try:
            rest = [pool.submit(ran.append, i) for i in range(5)]
            assert pool.stats().spawn_failures > 0
            assert pool.stats().threads == 1
        finally:
            gate.set()
        assert first.result() is True
        for req in rest:
            req.result()
        assert ran == list(range(5))


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
