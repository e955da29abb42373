# SPDX-License-Identifier: MIT
"""What test_fd_calls.py counts: each step writes its name before it is made."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import sys

import tpool
from tpool.loop.selector import AioSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def step(name, call, *args):
    os.write(1, f"step {name}\n".encode())
    result = call(*args)
    os.write(1, b"step none\n")
    return result


def loop_calls(loop):
    """Readers and writers, alone and together, and again."""
    a, b = socket.socketpair()
    for sock in (a, b):
        sock.setblocking(False)
    step("add reader", loop.add_reader, a, int)
    step("the same reader", loop.add_reader, a, str)
    step("add writer", loop.add_writer, a, int)
    step("the same writer", loop.add_writer, a, str)
    step("reader beside a writer again", loop.add_reader, a, int)
    step("remove reader", loop.remove_reader, a)
    step("remove reader again", loop.remove_reader, a)
    step("remove writer", loop.remove_writer, a)
    step("remove writer again", loop.remove_writer, a)

    async def turns():
        ran = asyncio.Event()
        loop.add_reader(a, ran.set)
        b.send(b"x")
        await step("first event of a reader", loop.create_task, ran.wait())
        loop.remove_reader(a)
        a.recv(1)
        for i in range(3):
            receive = step(f"sock_recv {i}", loop.sock_recv, a, 1)
            receive = loop.create_task(receive)
            await asyncio.sleep(0)
            b.send(b"x")
            await receive

    loop.run_until_complete(turns())
    closed = os.dup(0)
    os.close(closed)

    def refused():
        try:
            loop.add_reader(closed, int)
        except OSError:
            return
        raise AssertionError

    step("add a closed one", refused)
    for i in range(50):
        left, right = socket.socketpair()
        right.send(b"x")
        step(f"client {i} begins", loop.add_reader, left, loop.stop)
        step(f"client {i} is read", loop.run_forever)
        step(f"client {i} ends", loop.remove_reader, left)
        left.close()
        right.close()
    a.close()
    b.close()


def stream_calls(loop):
    """A connection that is opened, paused, read, written to and closed."""

    async def talk():
        done = loop.create_future()

        async def serve(reader, writer):
            writer.write(await reader.readexactly(4))
            writer.close()
            await writer.wait_closed()
            done.set_result(None)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        step("pause", writer.transport.pause_reading)
        step("resume", writer.transport.resume_reading)
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        await done
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    step("talk", loop.run_until_complete, talk())


def loop(factory):
    made = factory()
    loop_calls(made)
    stream_calls(made)
    made.close()


def selector(made):
    a, b = socket.socketpair()
    step("register", made.register, a, READ, 1)
    step("modify data", made.modify, a, READ, 2)
    step("modify nothing", made.modify, a, READ, 2)
    step("modify events", made.modify, a, READ | WRITE, 2)
    step("modify both", made.modify, a, WRITE, 3)
    step("unregister", made.unregister, a)
    a.close()
    b.close()
    made.close()


CASES = {
    "stock": lambda: loop(asyncio.SelectorEventLoop),
    "tpool": lambda: loop(tpool.EventLoop),
    "stock selector": lambda: selector(selectors.EpollSelector()),
    "tpool selector": lambda: selector(AioSelector()),
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
