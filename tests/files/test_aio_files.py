# SPDX-License-Identifier: MIT
"""AioFiles: reads, writes and syncs, as os has them, and what a request holds."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import threading
import time

import file_world
import pytest
from conftest import FACTORIES, Background, run_python
from file_world import BACKENDS, DATA, SIZE, evict, exhaust, make_files, need_cache

import tpool

file, files = file_world.file, file_world.files

BAD_FD = os.strerror(errno.EBADF)


@pytest.mark.parametrize(
    ("length", "offset"),
    [(10, 0), (4096, 4096), (0, 5), (100, SIZE - 10), (5, SIZE), (SIZE * 2, 0)],
)
def test_pread_is_that_of_os(files, file, length, offset):
    wanted = os.pread(file.fileno(), length, offset)
    assert files.pread(file.fileno(), length, offset).result() == wanted
    exhaust(files, file)
    assert files.pread(file.fileno(), length, offset).result() == wanted


def test_pread_without_a_cache_is_that_of_os(files, file):
    for offset in range(0, SIZE, 65536):
        evict(file.fileno())
        assert files.pread(file, 70_000, offset).result() == DATA[offset:][:70_000]


def test_read_that_is_cached_in_part_is_whole(files, file):
    need_cache(file)
    evict(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
    os.pread(file.fileno(), 4096, 0)
    buffers = [bytearray(1000), bytearray(100_000)]
    assert files.pread(file, buffers, 0).result() == 101_000
    assert b"".join(buffers) == DATA[:101_000]


def test_cached_read_is_done_when_it_is_made(files, file):
    need_cache(file)
    assert os.pread(file.fileno(), 4096, 0)
    request = files.pread(file, 4096, 0)
    assert request.done()
    assert not request.cancel()
    called = []
    request.add_done_callback(called.append)
    assert called == [request]
    assert files.ctx.stats().dispatched == 0


def test_reads_of_one_turn_from_the_cache_are_bounded(files, file):
    """Who reads on and on has others run: 64 reads of a page, and then a turn."""
    need_cache(file)
    assert os.pread(file.fileno(), SIZE, 0)
    files.ctx.poll(False)
    made = [files.pread(file, 100, 0) for _ in range(65)]
    assert [request.done() for request in made] == [True] * 64 + [False]
    assert made[-1].result() == DATA[:100]  # by a turn
    assert files.pread(file, 100, 0).done()


def threads_of_the_kernel(native_id):
    """Count those that make requests of a thread of ours."""
    count = 0
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as name:
            count += name.read().strip() == f"iou-wrk-{native_id}"
    return count


@pytest.mark.parametrize("in_a_turn", [100, 1000])
def test_no_thread_of_the_kernel_is_needed_for_the_page_cache(
    background, file, in_a_turn
):
    """It would look each 5 s, idle, whether there is anything to do."""
    need_cache(file)
    assert os.pread(file.fileno(), SIZE, 0)

    def move():
        with tpool.AioContext() as ctx, make_files(ctx, "io_uring") as files:
            for _ in range(10):
                made = [files.pread(file, 100, 0) for _ in range(in_a_turn)]
                assert {request.result() for request in made} == {DATA[:100]}
            assert files.pwrite(file, DATA, SIZE).result() == SIZE
            assert files.fsync(file).result() is None
            return threads_of_the_kernel(threading.get_native_id())

    assert background(move).finish() == 0


def test_o_direct_is_never_read_at_once(files, tmp_path):
    path = tmp_path / "direct"
    path.write_bytes(bytes(8192))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        pytest.skip(f"no O_DIRECT: {error}")
    try:
        evict(fd)
        buffer = mmap.mmap(-1, 4096)  # aligned
        request = files.pread(fd, buffer, 4096)
        assert not request.done()
        assert request.result() == 4096
        del request
        buffer.close()
    finally:
        os.close(fd)


def test_read_into_buffers_fills_one_after_the_other(files, file):
    buffers = [bytearray(3), memoryview(bytearray(5000))[1:], bytearray(0)]
    assert files.pread(file, buffers, 7).result() == 5002
    assert buffers[0] == DATA[7:10]
    assert buffers[1] == DATA[10:5009]


def test_pwrite_and_syncs_are_those_of_os(files, file):
    assert files.pwrite(file, b"xyz", 5).result() == 3
    assert (
        files.pwrite(file, [b"a", bytearray(b"bc"), memoryview(b"d")], SIZE).result()
        == 4
    )
    assert files.fsync(file).result() is None
    assert files.fdatasync(file).result() is None
    assert file.seek(0) == 0
    assert file.read() == DATA[:5] + b"xyz" + DATA[8:] + b"abcd"


def test_requests_in_flight_end_each_with_its_own(files, file):
    exhaust(files, file)
    offsets = range(0, SIZE, 1000)
    requests = [files.pread(file, 1000, offset) for offset in offsets]
    assert b"".join(request.result() for request in requests) == DATA


def test_errors_are_those_of_os(files, file):
    read_end, write_end = os.pipe()
    with pytest.raises(OSError, match=os.strerror(errno.ESPIPE)):
        files.pread(read_end, 1, 0).result()
    os.close(read_end)
    os.close(write_end)
    with pytest.raises(OSError, match=BAD_FD):
        files.pread(read_end, 1, 0).result()
    with open(file.name, "rb") as other, pytest.raises(OSError, match=BAD_FD):
        files.pwrite(other, b"x", 0).result()


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ((-1, 1, 0), ValueError, "fd"),
        (("x", 1, 0), TypeError, "fd"),
        ((0, -1, 0), ValueError, "length"),
        ((0, 2**70, 0), OverflowError, "length"),
        ((0, 1, -1), ValueError, "offset"),
        ((0, 1, 1.5), TypeError, "offset"),
        ((0, 1, 2**63), OverflowError, "offset"),
        ((0, {1}, 0), TypeError, "length_or_buffer"),
        ((0, bytes(5), 0), BufferError, "writable"),
        ((0, 1), TypeError, "offset"),
    ],
)
def test_bad_argument_is_named(files, arguments, error, name):
    with pytest.raises(error, match=name):
        files.pread(*arguments)


def test_bad_data_is_named(files):
    with pytest.raises(TypeError, match="data"):
        files.pwrite(0, {1}, 0)
    with pytest.raises(TypeError):
        files.pwrite(0, ["x"], 0)


def test_closed_files_refuse_and_have_ended_what_was_in_flight(ctx, file):
    with tpool.AioFiles(ctx) as files:
        requests = [files.pwrite(file, b"x", i) for i in range(10)]
    assert all(request.done() for request in requests)
    assert files.closed
    files.close()
    with pytest.raises(RuntimeError, match="closed"):
        files.pread(file, 1, 0)


def test_another_thread_than_the_owner_is_refused(files, file):
    files.pread(file, 1, 0).result()
    files.ctx.poll(False)
    with pytest.raises(RuntimeError, match="belongs to thread"):
        Background(files.pread, file, 1, 0).finish()


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_requests_are_awaited_in_any_loop(name, backend, file):
    """Many at once too: a loop that has told the context that it waits hears of all."""

    async def main():
        loop = asyncio.get_running_loop()
        ctx = loop.ctx if name == "tpool" else tpool.AioContext()
        files = make_files(ctx, backend)

        async def read(offset):
            return await files.pread(file, 10, offset)

        assert await read(0) == DATA[:10]
        exhaust(files, file)
        offsets = range(0, 2000, 10)
        parts = await asyncio.gather(*(read(offset) for offset in offsets))
        assert b"".join(parts) == DATA[:2000]
        assert await files.pwrite(file, b"x", 0) == 1
        with pytest.raises(OSError, match=BAD_FD):
            await files.pread(99_999, 1, 0)
        files.close()

    with asyncio.Runner(loop_factory=FACTORIES[name]) as runner:
        runner.run(main())


def test_request_that_was_made_done_is_awaited_without_a_loop(files, file):
    need_cache(file)
    assert os.pread(file.fileno(), 10, 0)

    async def main():
        return await files.pread(file, 10, 0)

    with pytest.raises(StopIteration) as caught:
        main().send(None)
    assert caught.value.value == DATA[:10]
    iterator = files.pread(file, (bytearray(4),), 0).__await__()
    with pytest.raises(StopIteration) as caught:
        next(iterator)
    assert caught.value.value == 4


def test_cached_reads_of_a_task_let_others_run(file):
    need_cache(file)
    assert os.pread(file.fileno(), SIZE, 0)

    async def main():
        files = tpool.AioFiles(asyncio.get_running_loop().ctx)
        ran = asyncio.Event()
        asyncio.get_running_loop().call_soon(ran.set)
        for _ in range(200):
            await files.pread(file, 4096, 0)
        assert ran.is_set()
        files.close()

    tpool.run(main())


def test_file_that_shrinks_ends_there(files, file):
    exhaust(files, file)
    file.truncate(100)
    assert files.pread(file, 1000, 50).result() == DATA[50:100]
    assert files.pread(file, 1000, 500).result() == b""


def test_child_of_a_fork_refuses(file):
    code = (
        "import gc, os, sys, tpool\n"
        "ctx = tpool.AioContext(); files = tpool.AioFiles(ctx)\n"
        "file = open(sys.argv[1], 'rb')\n"
        "request = files.fsync(file)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try:\n"
        "        files.pread(file, 1, 0)\n"
        "    except RuntimeError:\n"
        "        del files, request, ctx\n"
        "        gc.collect()\n"
        "        os._exit(7)\n"
        "    os._exit(1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
        "assert request.result() is None\n"
        "files.close(); ctx.close(); print('ok')\n"
    )
    said = run_python("-W", "ignore", "-c", code, file.name)
    assert said.stdout == "ok\n", said.stderr


def test_idle_files_wake_nobody(files, file):
    """The wait that a timer ends is one wait, however the requests before were made."""
    assert files.fsync(file).result() is None
    ran = []
    timer = files.ctx.new_timer(lambda: ran.append(1))
    timer.mod_ns(time.monotonic_ns() + 20_000_000)
    before = files.ctx.stats()
    while not ran:
        files.ctx.poll()
    after = files.ctx.stats()
    assert after.turns - before.turns <= 5  # some wake-up comes too early
    assert after.polls_missed == before.polls_missed


def test_repr_tells_the_state(ctx):
    files = tpool.AioFiles(ctx)
    assert f"open {files.backend}" in repr(files)
    files.close()
    assert "closed" in repr(files)
