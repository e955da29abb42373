# SPDX-License-Identifier: MIT
"""Calls of the standard library's other executors, which end in a context."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import cases
from cases import skip, wait_until

import tpool


def processes():
    spawn = multiprocessing.get_context("spawn")  # there are threads here
    return concurrent.futures.ProcessPoolExecutor(2, mp_context=spawn)


def poll_until_done(ctx, requests):
    wait_until(lambda: all(request.done() for request in requests), pause=ctx.poll)


def check_calls(ctx, executor):
    """Its results, its exceptions and its cancellations arrive, each once."""
    ended = []
    requests = [ctx.wrap_future(executor.submit(divmod, n, 7)) for n in range(50)]
    bad = ctx.wrap_future(executor.submit(divmod, 1, 0))
    for request in (*requests, bad):
        request.add_done_callback(ended.append)
    assert [request.result() for request in requests] == [
        divmod(n, 7) for n in range(50)
    ]
    assert "ZeroDivisionError" in repr(bad.exception())
    assert len(ended) == len(set(ended)) == 51


def process_pool_of_which_a_worker_is_killed():
    """What has ended has; all else ends with the executor's error, each once."""
    ended = []
    with tpool.AioContext() as ctx, processes() as executor:
        check_calls(ctx, executor)
        requests = [ctx.wrap_future(executor.submit(time.sleep, 60)) for _ in range(9)]
        for request in requests:
            request.add_done_callback(ended.append)
        assert requests[-1].cancel()
        wait_until(requests[0].running)
        os.kill(next(iter(executor._processes)), signal.SIGKILL)
        poll_until_done(ctx, requests)
        assert ended == [requests[-1], *ended[1:]]
        assert len(ended) == len(set(ended)) == 9
        for request in requests[:-1]:
            assert isinstance(request.exception(), BrokenProcessPool)
        try:
            executor.submit(int)
        except BrokenProcessPool:
            pass
        else:
            raise AssertionError("the executor is not broken")
        # 3.11 leaves them where a call was cancelled, and waits for them at its exit.
        for process in list((executor._processes or {}).values()):
            process.kill()


def interpreters():
    if not hasattr(concurrent.futures, "InterpreterPoolExecutor"):
        skip("no InterpreterPoolExecutor before 3.14")
    with (
        tpool.AioContext() as ctx,
        concurrent.futures.InterpreterPoolExecutor(2) as executor,
    ):
        check_calls(ctx, executor)


def threads():
    with (
        tpool.AioContext() as ctx,
        concurrent.futures.ThreadPoolExecutor(2) as executor,
    ):
        check_calls(ctx, executor)


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
