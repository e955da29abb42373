# SPDX-License-Identifier: MIT
"""Callbacks that wait inside of each other, until the thread's stack is used up."""

from __future__ import annotations

import re
import socket
import sys
import threading

import cases

import tpool


class Nest:
    """One way to come from a callback to the next, deeper and deeper."""

    def __init__(self, ctx, pool):
        self.ctx, self.pool = ctx, pool
        self.depth, self.over = 0, False
        self.left, self.right = socket.socketpair()

    def down(self, *_):
        if self.over:
            return
        self.depth += 1
        try:
            self.step()
        finally:  # an exception is reported, with what stack is left
            self.over = True

    def poll(self):
        self.ctx.call_soon(self.down)
        self.ctx.poll(False)

    def timer(self):
        self.ctx.new_timer(self.down).mod_ns(0)
        self.ctx.poll()

    def fd(self):
        self.ctx.set_fd_handler(self.left, self.read)
        self.right.send(b"x")
        self.ctx.poll()

    def read(self):
        self.left.recv(1)
        self.down()

    def result(self):
        request = self.pool.submit(int)
        request.add_done_callback(self.down)
        request.result()

    def contexts(self):
        with tpool.AioContext() as inner:
            inner.call_soon(self.down)
            inner.poll(False)

    def regex(self):
        re.match(r"(a|b)*c", "ab" * 50)
        self.poll()

    def dispatch(self):
        self.ctx.call_soon(self.down)
        self.ctx.prepare()
        self.ctx.check()
        self.ctx.dispatch()


def nest(way):
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=2) as pool:
        one = Nest(ctx, pool)
        one.step = getattr(one, way)
        one.down()
        ctx.set_fd_handler(one.left)
        one.left.close()
        one.right.close()
        # All as before: it can be polled, and nested, again.
        ran = []
        ctx.call_soon(lambda: (ctx.call_soon(ran.append, 1), ctx.poll(False)))
        while not ran:
            ctx.poll(False)
        assert pool.submit(int).result() == 0
        ctx.check()  # the one that was refused
        assert ctx.notify_me == 0
        return one.depth


def in_thread(kib, way):
    depths = []
    threading.stack_size(kib << 10)
    thread = threading.Thread(target=lambda: depths.append(nest(way)))
    thread.start()
    threading.stack_size(0)
    thread.join()
    return depths[0]


def main(way):
    sys.setrecursionlimit(10**6)  # it is the stack that ends it
    # To tell of an exception takes 3.12 alone 20 KiB; 3.14 accepts no less than 64.
    smallest = 32 if sys.version_info[:2] in ((3, 11), (3, 13)) else 64
    depths = [in_thread(kib, way) for kib in (smallest, 128, 512)]
    assert 2 <= depths[0] < depths[1] < depths[2], depths
    if way != "contexts":  # an fd each
        assert nest(way) > depths[1]


if __name__ == "__main__":
    cases.run(main, sys.argv[1])
