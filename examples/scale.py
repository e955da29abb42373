# SPDX-License-Identifier: MIT
"""One program on threads, processes or a cluster: `EXECUTORS[...]` is the line to change."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import tpool

if TYPE_CHECKING:
    from collections.abc import Iterator


def work(number: int) -> int:
    """Stand for what takes long; a function of a module, so that others find it."""
    return number


def processes() -> Executor:
    # Not forked: the parent has threads.
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@contextmanager
def cluster() -> Iterator[Executor]:
    from distributed import Client

    # Here, two processes of this machine; else the address of the scheduler.
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
        yield client.get_executor(pure=False)


EXECUTORS = {"threads": ThreadPoolExecutor, "processes": processes, "cluster": cluster}


async def total(executor: Executor) -> int:
    ctx = asyncio.get_running_loop().ctx
    calls = [ctx.wrap_future(executor.submit(work, n)) for n in range(10)]
    return sum(await asyncio.gather(*calls))


if __name__ == "__main__":
    with EXECUTORS[sys.argv[1]]() as executor:
        print(tpool.run(total(executor)))
