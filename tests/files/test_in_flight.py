# SPDX-License-Identifier: MIT
"""What a request in flight holds, and what becomes of those that are too many."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import threading
import weakref

import file_world
import pytest
from conftest import Background, run_python
from file_world import BACKENDS, DATA, exhaust, make_files

import tpool

file, files = file_world.file, file_world.files


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


def hold(files):
    """Have requests stay in flight until the event that is returned is set.

    A thread has no other work before; the kernel gets them in the next turn only.
    """
    go, begun = threading.Event(), threading.Event()
    if files.backend == "threads":
        files._threads.set_threads(0, 1)
        files._threads.submit(lambda: (begun.set(), go.wait(30)))
        assert begun.wait(30)
    return go


@pytest.mark.parametrize("how", ["read", "write"])
def test_buffer_of_a_request_in_flight_cannot_be_resized(files, file, how):
    exhaust(files, file)
    go = hold(files)
    buffer = bytearray(1000)
    if how == "read":
        request = files.pread(file, buffer, 0)
    else:
        request = files.pwrite(file, buffer, 0)
    with pytest.raises(BufferError):
        buffer.clear()
    go.set()
    assert request.result() == 1000
    buffer.clear()


def test_buffer_and_file_live_until_the_request_is_done(files, file):
    exhaust(files, file)
    go = hold(files)
    buffer, other = Buffer(1000), File(file.name)
    gone = [weakref.ref(buffer), weakref.ref(other)]
    request = files.pread(other, buffer, 0)
    del buffer, other
    gc.collect()
    assert all(ref() is not None for ref in gone)
    go.set()
    assert request.result() == 1000
    gc.collect()
    assert all(ref() is None for ref in gone)


@pytest.mark.parametrize("backend", BACKENDS)
def test_full_files_refuse(ctx, file, backend):
    with make_files(ctx, backend, entries=1, max_pending=2) as files:
        go = hold(files)
        made = [files.fsync(file) for _ in range(2 + (backend == "io_uring"))]
        with pytest.raises(tpool.PoolFull, match="max_pending=2"):
            files.fsync(file)
        go.set()
        assert {request.result() for request in made} == {None}
        assert files.fsync(file).result() is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_request_that_waits_can_be_cancelled(ctx, file, backend):
    with make_files(ctx, backend, entries=1) as files:
        go = hold(files)
        first = files.pwrite(file, b"first", 0)
        called = []
        waits = [files.pwrite(file, b"never", 0) for _ in range(3)]
        for request in waits:
            request.add_done_callback(called.append)
        assert [request.cancel() for request in waits] == [True] * 3
        assert waits[1].cancel()
        go.set()
        assert first.result() == 5
    assert called == waits
    assert os.pread(file.fileno(), 5, 0) == b"first"
    with pytest.raises(concurrent.futures.CancelledError):
        waits[2].result()


def test_request_that_the_kernel_has_is_not_cancelled(ctx, file):
    with make_files(ctx, "io_uring") as files:
        request = files.pwrite(file, b"all the same", 0)
        assert request.running()
        assert not request.cancel()
        assert request.result() == 12
    assert os.pread(file.fileno(), 12, 0) == b"all the same"


def test_more_than_the_ring_has_room_for_all_end(ctx, file):
    with make_files(ctx, "io_uring", entries=2) as files:
        exhaust(files, file)
        requests = [files.pread(file, 100, i * 100) for i in range(200)]
        assert ctx._in_flight >= 200
        assert b"".join(r.result() for r in requests) == DATA[:20_000]


def test_closed_context_has_ended_what_was_in_flight(file):
    with tpool.AioContext() as ctx:
        files = make_files(ctx, "io_uring", entries=2)
        requests = [files.pwrite(file, b"x", i) for i in range(20)]
    assert [request.result() for request in requests] == [1] * 20
    assert os.pread(file.fileno(), 20, 0) == b"x" * 20


def test_context_that_another_thread_closes_has_ended_them_too(file):
    ctx = tpool.AioContext()
    files = make_files(ctx, "io_uring", entries=2)
    requests = [files.pwrite(file, b"x", i) for i in range(20)]
    Background(ctx.close).finish()
    assert [request.result() for request in requests] == [1] * 20


def test_exit_of_the_interpreter_waits_for_what_was_asked_for(file):
    code = (
        "import sys, tpool\n"
        "ctx = tpool.AioContext()\n"
        "files = tpool.AioFiles(ctx, 2)\n"
        "file = open(sys.argv[1], 'r+b', buffering=0)\n"
        "import builtins; builtins.kept = ctx, files, file\n"  # collected by nobody
        "for i in range(100): files.pwrite(file, b'abcde', 5 * i)\n"
    )
    said = run_python("-W", "ignore", "-c", code, file.name)
    assert (said.stdout, said.stderr) == ("", "")
    assert os.pread(file.fileno(), 500, 0) == b"abcde" * 100


@pytest.mark.parametrize("entries", [2, 64])
def test_collected_context_keeps_the_buffers_until_the_kernel_is_done(file, entries):
    """A cycle of context and requests goes; what flew has come, and all is let go of."""
    buffers = [bytearray(1000) for _ in range(20)]

    def make():
        ctx = tpool.AioContext()
        files = make_files(ctx, "io_uring", entries=entries)
        exhaust(files, file)
        for i, buffer in enumerate(buffers):
            request = files.pread(file, buffer, i * 1000)
            request.add_done_callback(lambda r, keep=(ctx, files): keep)
        ctx.poll(False)  # the kernel has some of them now
        return weakref.ref(ctx)

    gone = make()
    gc.collect()
    gc.collect()
    assert gone() is None
    for i, buffer in enumerate(buffers):
        assert buffer in (DATA[i * 1000 :][:1000], bytes(1000))
        buffer.clear()  # or BufferError
