# SPDX-License-Identifier: MIT
"""Calls of a dask cluster, two processes of this machine, which end in a context."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import cases
import dask
from distributed import Client, KilledWorker, LocalCluster

import tpool

dask.config.set(
    {
        "distributed.scheduler.allowed-failures": 1,  # workers that a call may lose
        "distributed.worker.profile.enabled": False,
    }
)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark):
    """Kill the worker; the next one that the call is given to answers."""
    if not mark.exists():
        mark.touch()
        die()
    return "answered by another"


def run_until(started, end):
    started.touch()
    while not end.exists():
        time.sleep(0.001)
    return 5


def results_and_exceptions_arrive(ctx, executor):
    requests = [ctx.wrap_future(executor.submit(divmod, n, 7)) for n in range(50)]
    bad = ctx.wrap_future(executor.submit(divmod, 1, 0))
    assert [request.result() for request in requests] == [
        divmod(n, 7) for n in range(50)
    ]
    assert isinstance(bad.exception(), ZeroDivisionError)


def results_are_awaited(executor):
    async def main():
        ctx = asyncio.get_running_loop().ctx
        hops = (ctx.wrap_future(executor.submit(abs, -n)) for n in range(20))
        return await asyncio.gather(*hops)

    assert tpool.run(main()) == list(range(20))


def cancelled_call_ends_though_it_runs(ctx, executor, folder):
    started, end = folder / "started", folder / "end"
    request = ctx.wrap_future(executor.submit(run_until, started, end))
    cases.wait_until(started.exists)
    assert request.cancel() is True
    assert request.cancelled()
    end.touch()


def call_whose_worker_is_killed_is_made_again_or_ends(ctx, executor, folder):
    """One after the other: who shares a worker with a call that kills it is suspect."""
    ended = []
    for call, args in ((die_once, [folder / "mark"]), (die, []), (divmod, [7, 2])):
        request = ctx.wrap_future(executor.submit(call, *args))
        request.add_done_callback(ended.append)
        cases.wait_until(request.done, pause=ctx.poll)
    again, deadly, after = ended  # each once
    assert again.result() == "answered by another"
    assert isinstance(deadly.exception(), KilledWorker)
    assert after.result() == (3, 1)


def call_that_goes_on_holds_up_no_close(executor, folder):
    with tpool.AioContext() as ctx:
        call = executor.submit(run_until, folder / "again", folder / "at last")
        request = ctx.wrap_future(call)
        cases.wait_until((folder / "again").exists)
    assert request.cancelled()
    (folder / "at last").touch()
    assert call.result(cases.DEADLINE_S) == 5


def cluster():
    with (
        tempfile.TemporaryDirectory() as name,
        LocalCluster(2, threads_per_worker=1, dashboard_address=None) as workers,
        Client(workers) as client,
        tpool.AioContext() as ctx,
    ):
        executor, folder = client.get_executor(pure=False), Path(name)
        results_and_exceptions_arrive(ctx, executor)
        results_are_awaited(executor)
        cancelled_call_ends_though_it_runs(ctx, executor, folder)
        call_that_goes_on_holds_up_no_close(executor, folder)
        call_whose_worker_is_killed_is_made_again_or_ends(ctx, executor, folder)


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
