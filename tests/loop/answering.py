# SPDX-License-Identifier: MIT
"""Partners of an event loop that answer at once: another process, and a thread of others."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import subprocess
import sys
import threading
import time

from conftest import DEADLINE_S

# Answers at once: it does not sleep either.
ECHO = """
import socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
s.setblocking(False)
while True:
    try:
        data = s.recv(100)
    except BlockingIOError:
        continue
    if not data:
        break
    s.send(data)
"""


def stats_of(loop):
    return loop._selector.ctx.stats()


@contextlib.contextmanager
def process():
    """Yield a coroutine function that asks another process, over a socket."""
    ours, theirs = socket.socketpair()

    async def ask():
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, b"x")
        assert await loop.sock_recv(ours, 100) == b"x"

    with ours, theirs:
        ours.setblocking(False)
        number = theirs.fileno()
        child = subprocess.Popen(
            [sys.executable, "-c", ECHO, str(number)], pass_fds=[number]
        )
        theirs.close()
        try:
            yield ask
        finally:
            ours.close()
            child.wait()


@contextlib.contextmanager
def thread():
    """Yield a coroutine function that asks a thread, which posts its answer."""
    asked = queue.SimpleQueue()

    def answer():
        while future := asked.get():
            future.get_loop().call_soon_threadsafe(future.set_result, None)

    async def ask():
        future = asyncio.get_running_loop().create_future()
        asked.put(future)
        await future

    helper = threading.Thread(target=answer)
    helper.start()
    try:
        yield ask
    finally:
        asked.put(None)
        helper.join()


async def ask_until(found, ask):
    """Ask the partner until found(stats), at most until the deadline."""
    loop = asyncio.get_running_loop()
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        for _ in range(100):
            await ask()
        if found(stats_of(loop)):
            break
    return stats_of(loop)
