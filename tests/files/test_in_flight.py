# SPDX-License-Identifier: MIT
"""What a request in flight holds, and what becomes of those that are too many."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import mmap
import os
import platform
import sys
import threading
import time
import weakref

import file_world
import pytest
from conftest import Background, poll_until, run_python
from file_world import (
    BACKENDS,
    DATA,
    PAGE,
    exhaust,
    head_of,
    keep_for_next_turn,
    make_files,
    page,
)

import tpool

file, files = file_world.file, file_world.files
direct, kernel = file_world.direct, file_world.kernel


class Buffer(bytearray):
    """Can be referred to weakly."""


class File:
    """Closes its fd when it goes, and warns of nothing."""

    def __init__(self, path):
        self._fd = os.open(path, os.O_RDONLY)

    def fileno(self):
        return self._fd

    def __del__(self):
        os.close(self._fd)


@pytest.fixture
def scratch(tmp_path):
    with (tmp_path / "scratch").open("wb", buffering=0) as scratch:
        yield scratch


def hold(files, scratch):
    """Have what is asked for next stay in flight for a while, behind other work.

    Threads write one after the other, for they write to one place. What the kernel has
    made is seen in the next turn only.
    """
    data = bytes(8 << 20)
    for _ in range(200):
        files.pwrite(scratch, data, 0)


def write_pages(files, file, count):
    """Write so many numbered pages, and wait for none of them."""
    return [files.pwrite(file, page(b"%5d" % i), i * PAGE) for i in range(count)]


@pytest.mark.parametrize("how", ["read", "write"])
def test_buffer_of_a_request_in_flight_cannot_be_resized(files, file, scratch, how):
    exhaust(files, file)
    hold(files, scratch)
    buffer = bytearray(1000)
    if how == "read":
        request = files.pread(file, buffer, 0)
    else:
        request = files.pwrite(file, buffer, 0)
    with pytest.raises(BufferError):
        buffer.clear()
    assert request.result() == 1000
    buffer.clear()


def test_buffer_and_file_live_until_the_request_is_done(files, file, scratch):
    exhaust(files, file)
    hold(files, scratch)
    buffer, other = Buffer(1000), File(file.name)
    gone = [weakref.ref(buffer), weakref.ref(other)]
    request = files.pread(other, buffer, 0)
    del buffer, other
    gc.collect()
    assert all(ref() is not None for ref in gone)
    assert request.result() == 1000
    gc.collect()
    assert all(ref() is None for ref in gone)


@pytest.mark.parametrize("backend", BACKENDS)
def test_full_files_refuse(ctx, direct, backend):
    data, made = page(), []
    with make_files(ctx, backend, entries=1, max_pending=2) as files:
        with pytest.raises(tpool.PoolFull, match="max_pending=2"):
            made.extend(files.pwrite(direct, data, 0) for _ in range(10_000))
        assert len(made) == 3 or backend == "threads"  # as many as there are have one
        assert {request.result() for request in made} == {PAGE}
        assert files.pwrite(direct, data, 0).result() == PAGE


@pytest.mark.parametrize("backend", BACKENDS)
def test_request_that_waits_can_be_cancelled(ctx, direct, scratch, backend):
    with make_files(ctx, backend, entries=1) as files:
        hold(files, scratch)
        first = files.pwrite(direct, page(b"first"), 0)
        called = []
        waits = [files.pwrite(direct, page(b"never"), 0) for _ in range(3)]
        for request in waits:
            request.add_done_callback(called.append)
        assert [request.cancel() for request in waits] == [True] * 3
        assert waits[1].cancel()
        assert first.result() == PAGE
    assert called == waits
    assert head_of(direct, 0) == b"first"
    with pytest.raises(concurrent.futures.CancelledError):
        waits[2].result()


def test_request_that_waits_for_a_thread_can_be_cancelled_by_another(
    ctx, file, scratch, background
):
    with make_files(ctx, "threads") as files:
        hold(files, scratch)
        request = files.pwrite(file, b"never", 0)
        assert background(request.cancel).finish()
        assert request.cancelled()
    assert os.pread(file.fileno(), 5, 0) == DATA[:5]


@pytest.mark.parametrize("how", ["turn", "close"])
def test_request_that_the_kernel_has_not_begun_can_be_cancelled(ctx, direct, pair, how):
    """A read that never ends: what was a file is a socket when it is asked for."""
    if tuple(map(int, platform.release().split(".")[:2])) < (6, 0):
        pytest.skip("Linux 6.0 can")
    with make_files(ctx, "io_uring", entries=16) as files:
        buffers = [page() for _ in range(3)]
        fd, called = os.dup(direct.fileno()), []
        keep_for_next_turn(files, direct, 3)
        made = [files.pread(fd, buffer, 0) for buffer in buffers]
        os.dup2(pair[0].fileno(), fd)
        ctx.poll(False)
        for request in made:
            request.add_done_callback(called.append)
        assert made[0].running()
        assert [request.cancel() for request in made] == [True] * 3
        assert [request.cancel() for request in made] == [True] * 3
        assert not made[0].running()
        for buffer in buffers:
            buffer.close()  # nobody holds it any more
        if how == "turn":
            poll_until(ctx, lambda: len(called) == 3)
            assert files.pread(direct, page(), 0).result() == PAGE
        else:
            ctx.close()
        assert len(called) == 3
        for request in made:
            with pytest.raises(concurrent.futures.CancelledError):
                request.result()
        os.close(fd)


def test_request_that_the_kernel_has_is_not_cancelled(ctx, direct, kernel):
    with make_files(ctx, kernel) as files:
        assert files.pread(direct, page(), 0).result() == PAGE  # no thread has to
        request = files.pread(direct, page(), 0)
        assert request.running()
        assert not request.cancel()
        assert request.result() == PAGE


@pytest.mark.parametrize("threads", [1, 3])
def test_thread_that_ends_leaves_its_requests_to_be_made(ctx, direct, pair, threads):
    """The kernel cancels them; here each waits, for what was a file is a socket."""
    with make_files(ctx, "io_uring") as files:
        fd, buffers = os.dup(direct.fileno()), [page() for _ in range(10)]
        keep_for_next_turn(files, direct, 10)
        made = [files.pread(fd, buffer, 0) for buffer in buffers]
        os.dup2(pair[0].fileno(), fd)
        ctx._disown()  # as a loop that has stopped does
        for _ in range(threads):
            thread = threading.Thread(target=lambda: (ctx.poll(False), ctx._disown()))
            thread.start()
            thread.join()
        assert not any(request.done() for request in made)
        for _ in made:
            pair[1].sendall(bytes(PAGE))
            ctx.poll(False)
        assert {request.result() for request in made} == {PAGE}
        os.close(fd)


def test_more_than_the_queue_has_room_for_all_end(ctx, direct, kernel):
    with make_files(ctx, kernel, entries=2) as files:
        buffers = [page() for _ in range(200)]
        requests = [
            files.pread(direct, buffer, i % 70 * PAGE)
            for i, buffer in enumerate(buffers)
        ]
        assert {request.backend for request in requests} == {kernel}
        assert ctx._in_flight >= 200
        assert {request.result() for request in requests} == {PAGE}
    for i, buffer in enumerate(buffers):
        assert buffer[:] == DATA[i % 70 * PAGE :][:PAGE]


def test_closed_context_has_ended_what_was_in_flight(direct, kernel):
    with tpool.AioContext() as ctx:
        requests = write_pages(make_files(ctx, kernel, entries=2), direct, 20)
    assert [request.result() for request in requests] == [PAGE] * 20
    assert [int(head_of(direct, i)) for i in range(20)] == [*range(20)]


def test_context_that_another_thread_closes_has_ended_them_too(direct, kernel):
    ctx = tpool.AioContext()
    requests = write_pages(make_files(ctx, kernel, entries=2), direct, 20)
    Background(ctx.close).finish()
    assert [request.result() for request in requests] == [PAGE] * 20


def test_exit_of_the_interpreter_waits_for_what_was_asked_for(ctx, direct, kernel):
    make_files(ctx, kernel).close()
    code = (
        "import mmap, os, sys, tpool\n"
        "ctx = tpool.AioContext()\n"
        "files = tpool.AioFiles(ctx, 2, sys.argv[2])\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)\n"
        "import builtins; builtins.kept = ctx, files\n"  # collected by nobody
        "for i in range(60):\n"
        "    memory = mmap.mmap(-1, 4096); memory.write(b'%5d' % i)\n"
        "    assert files.pwrite(fd, memory, 4096 * i).backend == sys.argv[2]\n"
    )
    said = run_python("-W", "ignore", "-c", code, direct.path, kernel)
    assert (said.stdout, said.stderr) == ("", "")
    assert [int(head_of(direct, i)) for i in range(60)] == [*range(60)]


def test_who_closes_fds_that_he_does_not_know_waits_for_nothing(ctx, direct, kernel):
    """Their numbers are those of other files then, which nobody reads or waits for."""
    make_files(ctx, kernel).close()
    code = (
        "import mmap, os, socket, sys, tpool\n"
        "ctx = tpool.AioContext()\n"
        "files = tpool.AioFiles(ctx, 8, sys.argv[2])\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)\n"
        "pairs = []\n"
        "for turn in 0, 1:\n"  # those of before, and of after
        "    for i in range(20): files.pwrite(fd, mmap.mmap(-1, 4096), 4096 * i)\n"
        "    if turn == 0: ctx.poll(False)\n"
        "    os.closerange(3, 64)\n"
        "    pairs += [socket.socketpair() for _ in range(20)]\n"  # a read of one waits
        "try: ctx.close()\n"
        "except OSError as error: print(error)\n"
        "assert all(os.fstat(end.fileno()) for pair in pairs[20:] for end in pair)\n"
        "print('ok')\n"
    )
    said = run_python("-W", "ignore", "-c", code, direct.path, kernel)
    assert said.stdout.split()[-1] == "ok"


@pytest.mark.parametrize("entries", [2, 64])
def test_collected_context_keeps_the_buffers_until_the_kernel_is_done(
    direct, entries, kernel
):
    """A cycle of context and requests goes; what flew has come, and all is let go of."""
    buffers = [page() for _ in range(20)]

    def make():
        ctx = tpool.AioContext()
        files = make_files(ctx, kernel, entries=entries)
        for i, buffer in enumerate(buffers):
            request = files.pread(direct, buffer, i * PAGE)
            assert request.backend == kernel
            request.add_done_callback(lambda r, keep=(ctx, files): keep)
        ctx.poll(False)  # the kernel has some of them now
        return weakref.ref(ctx)

    gone = make()
    gc.collect()
    gc.collect()
    assert gone() is None
    for i, buffer in enumerate(buffers):
        assert buffer[:] in (DATA[i * PAGE :][:PAGE], bytes(PAGE))
        buffer.close()  # or BufferError


def test_cancelled_write_has_written_nothing(ctx, tmp_path, files):
    """And one that says it was not cancelled all: whenever that is asked."""
    flags = os.O_CREAT | os.O_RDWR | os.O_APPEND
    data, fd = bytes(20_000), os.open(tmp_path / "log", flags)
    for number in range(1500):
        request = files.pwrite(fd, data, 0)
        ctx.poll(False)
        until = time.perf_counter_ns() + number % 97 * 700
        while time.perf_counter_ns() < until:  # it is begun, or done, at any moment
            pass
        request.cancel()
        while not request.done():
            ctx.poll()
        assert os.fstat(fd).st_size == (0 if request.cancelled() else len(data))
        os.ftruncate(fd, 0)
    os.close(fd)


def test_an_event_loop_waits_for_all_that_there_is():
    """Each is a source of its context's, of which there may be so many."""

    async def main(file):
        loop = asyncio.get_running_loop()
        ctx, read = loop._selector.ctx, loop.create_future()
        with (
            make_files(ctx, "io_uring") as ring,
            make_files(ctx, "linux-aio") as kernel,
            mmap.mmap(-1, mmap.PAGESIZE) as memory,
        ):
            ends = os.pipe()
            watch = ctx.watch(memory, 0, int)
            ctx.set_fd_handler(
                ends[0], lambda: read.set_result(os.read(ends[0], 1)), io_poll=bool
            )
            assert await asyncio.to_thread(os.write, ends[1], b"x") == 1
            assert await read == b"x"
            ctx.set_fd_handler(ends[0])
            assert len(await ring.pread(file, 9, 0)) == 9
            assert len(await kernel.pread(file, 9, 0)) == 9
            watch.close()
            for end in ends:
                os.close(end)

    with open(sys.executable, "rb") as file:
        tpool.run(main(file))
