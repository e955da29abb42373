# SPDX-License-Identifier: MIT
"""Programs that close all fds, as daemons do, and get the same numbers again.

What the numbers stand for now is nobody else's to write to, read from or close.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial

import cases
from cases import is_blocked, wait_until

import tpool

FDS = 24


def close_all():
    """Close them, and wait until a look at them is not taken for new any more."""
    os.closerange(3, 256)
    time.sleep(0.005)


def errno_of(call):
    try:
        call()
    except OSError as error:
        return error.errno
    raise AssertionError("it has not noticed")


class Files:
    """Files in place of all that was open."""

    def __init__(self):
        close_all()
        self.files = {}
        while len(self.files) < FDS:
            file = tempfile.TemporaryFile()  # noqa: SIM115
            os.write(file.fileno(), b"precious")
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            self.files[file.fileno()] = file

    def check(self):
        for fd, file in self.files.items():
            assert os.fstat(fd).st_ino == os.fstat(file.fileno()).st_ino
            assert os.lseek(fd, 0, os.SEEK_CUR) == 0, fd
            assert os.read(fd, 100) == b"precious", fd
            os.lseek(fd, 0, os.SEEK_SET)


class Fds:
    """The same with fds that have no name: eventfds, epolls, pipes."""

    def __init__(self):
        close_all()
        self.epoll = select.epoll()
        self.notes = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(FDS)]
        for fd in self.notes:
            self.epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def check(self):
        assert self.epoll.poll(0) == []
        for fd in self.notes:
            os.eventfd_write(fd, 1)
        assert len(self.epoll.poll(0, FDS + 1)) == FDS
        for fd in self.notes:
            assert os.eventfd_read(fd) == 1


def sleeping_iothread_is_told(kind):
    io = tpool.IOThread()
    wait_until(lambda: is_blocked(io.ctx))
    strange = kind()
    for tell in (partial(io.ctx.call_soon, int), io.ctx.notify):
        with suppress(RuntimeError):  # it may have woken, and be closed
            tell()
    with suppress(RuntimeError):
        io.pool.submit(int)
        wait_until(lambda: not (io.pool.stats().queued or io.pool.stats().running))
    strange.check()
    os._exit(0)  # the thread cannot be woken


def context_is_used_and_closed(kind):
    ctx = tpool.AioContext(0)
    pool = tpool.ThreadPool(ctx)
    pool.submit(int).result()
    ctx.fileno()
    strange = kind()
    ctx.call_soon(int)
    ctx.poll(False)
    gate = threading.Event()
    request = pool.submit(gate.wait, 30)
    assert errno_of(request.result) == errno.EBADF
    gate.set()
    strange.check()
    while not request.done():
        ctx.poll(False)
    pool.shutdown(wait=False)
    ctx.poll(False)
    ctx.close()
    strange.check()


def registered(epoll):
    with open(f"/proc/self/fdinfo/{epoll.fileno()}", encoding="ascii") as file:
        return {int(line.split()[1]) for line in file if line.startswith("tfd:")}


def epolls():
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                yield int(name)


def registrations_in_an_epoll_with_its_number_stay(kind):
    """All that was registered is registered there, by its number."""
    ctx, note = tpool.AioContext(), os.eventfd(0)
    ctx.set_fd_handler(note, int)
    ctx.fileno()
    numbers = set(epolls())
    assert len(numbers) == 2
    close_all()
    fds = {os.eventfd(0) for _ in range(FDS)}
    epoll = select.epoll()
    for number in numbers:
        os.dup2(epoll.fileno(), number)
    for fd in fds - numbers:
        epoll.register(fd, select.EPOLLIN)
    before = registered(epoll)
    assert note in before
    ctx.set_fd_handler(note)
    assert errno_of(partial(ctx.set_fd_handler, epoll, int)) == errno.EBADF
    read, _ = os.pipe()
    assert errno_of(partial(ctx.set_fd_handler, read, int)) == errno.EBADF
    ctx.close()
    del ctx
    gc.collect()
    assert registered(epoll) == before


def context_is_dropped(kind):
    ctx = tpool.AioContext()
    tpool.ThreadPool(ctx).submit(int).result()
    ctx.fileno()
    strange = kind()
    del ctx
    gc.collect()
    strange.check()


def notifier_is_used_and_closed(kind):
    note, other = tpool.EventNotifier(), tpool.EventNotifier()
    strange = kind()
    if kind is Files:  # an eventfd cannot be told from another
        assert errno_of(note.set) == errno.EBADF
        assert not note.test_and_clear()
        note.close()
        del other
    gc.collect()
    strange.check()


def numbers_of_an_old_context_go_to_a_new_one(kind):
    old = [tpool.AioContext() for _ in range(4)]
    for ctx in old:
        ctx.fileno()
    close_all()
    new = [tpool.AioContext(0) for _ in range(4)]
    pools = [tpool.ThreadPool(ctx) for ctx in new]
    for ctx in old:
        ctx.notify()
        ctx.close()
    del old, ctx
    gc.collect()
    for pool in pools:
        for _ in range(20):
            pool.submit(time.sleep, 0.0005).result()


def waiting_owner_says_that_its_fds_are_gone(kind):
    ctx = tpool.AioContext(0)
    strange = kind()
    assert errno_of(ctx.poll) == errno.EBADF
    strange.check()


def closed_loop_leaves_others_alone(kind):
    loop = tpool.new_event_loop()
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop._ssock.detach()  # asyncio's own
    loop._csock.detach()
    strange = kind()
    loop._selector.close()
    strange.check()
    loop._closed = True


if __name__ == "__main__":
    case, kind = sys.argv[1].rsplit("-", 1)
    cases.run(globals()[case], {"files": Files, "fds": Fds}[kind])
