# SPDX-License-Identifier: MIT
"""What the tests of tpool.open() share: the stock one, and files that are slow."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
import threading

from conftest import DEADLINE_S

ITEMS = ["a", "é", "漢", "𝄞", " ", "\n", "\r\n", "\r", "line\n"]
TEXT = "".join(random.Random(5).choices(ITEMS, k=9000))


async def outcome(call, *args):
    """Return what a call returns, or the kind of what it raises."""
    try:
        result = call(*args)
        return await result if inspect.isawaitable(result) else result
    except (OSError, ValueError, TypeError) as error:
        return type(error)


def stock_open(path, mode="r", buffering=-1, **options):
    """Open it as everybody does; ours is compared with it."""
    return open(path, mode, buffering, **options)


def binary_of(file):
    """Return the binary file of one of text, or itself."""
    return getattr(file, "buffer", file)


def is_open(fd):
    return os.path.exists(f"/dev/fd/{fd}")


async def until(condition):
    """Let the loop run until a condition is true."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 -- no event tells of it
            await asyncio.sleep(0)


class SlowFiles:
    """AioFiles whose calls threads make, each when it is let go."""

    def __init__(self, file):
        binary = binary_of(file)
        self._files, binary._files = binary._files, self
        self._threads = self
        self._go = threading.Semaphore(0)
        self.begun = []  # what is no more taken back, when it is cancelled

    def let(self, count=1000):
        for _ in range(count):
            self._go.release()

    def submit(self, function, *args):
        return self._files._threads.submit(self._call, function, *args)

    def _call(self, function, *args):
        self.begun.append(function.__name__)
        assert self._go.acquire(timeout=DEADLINE_S)
        return function(*args)

    def pread(self, fd, what, offset):
        if isinstance(what, int):
            return self.submit(os.pread, fd, what, offset)
        return self.submit(os.preadv, fd, [what], offset)

    def pwrite(self, fd, data, offset):
        view = memoryview(data)  # which keeps it from growing, until it is written

        def pwrite():
            with view:
                return os.pwrite(fd, view, offset)

        return self.submit(pwrite)

    def fsync(self, fd):
        return self.submit(os.fsync, fd)


async def cancel_in(slow, number, call):
    """Cancel a call when it waits for that call of the system's, counted from 1."""
    number += len(slow.begun)
    slow.let(number - 1 - len(slow.begun))
    task = asyncio.ensure_future(call())
    await until(lambda: len(slow.begun) >= number)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
