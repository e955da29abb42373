# SPDX-License-Identifier: MIT
"""dask's local thread scheduler on the executor."""

from __future__ import annotations

import sys
import threading

import cases
import dask

import tpool


@dask.delayed
def add(a, b):
    return a + b


@dask.delayed
def name():
    return threading.current_thread().name


def graph():
    numbers = [dask.delayed(int)(n) for n in range(64)]
    while len(numbers) > 1:
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        numbers = [add(a, b) for a, b in pairs]
    with tpool.ThreadPoolExecutor(4, "dask") as executor:
        some = {"scheduler": "threads", "pool": executor}
        total, ran_in = dask.compute(numbers[0], name(), **some)
        assert executor.stats().completed > 0
        assert total == sum(range(64))
        assert ran_in.startswith("dask")
        try:
            dask.delayed(divmod)(1, 0).compute(**some)
        except ZeroDivisionError:
            return
    raise AssertionError("the exception of a task has not come out")


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
