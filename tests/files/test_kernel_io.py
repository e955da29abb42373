# SPDX-License-Identifier: MIT
"""The queues of a context: how its owner hears of completions, and who has none."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import os
import platform
import re
import resource
import tempfile
import time
from pathlib import Path

import file_world
import pytest
from conftest import needs_polling, run_python, traced
from file_world import DATA, PAGE, SIZE, exhaust, head_of, make_files, need_cache, page

import tpool

file, direct, kernel = file_world.file, file_world.direct, file_world.kernel

END = -(-SIZE // PAGE) * PAGE  # where O_DIRECT may append

SECCOMP = """
import ctypes, struct, sys, errno

def refuse(error, *numbers):
    # Load the number of the system call; the error for some, all others are allowed.
    code = [(0x20, 0, 0, 0)]
    for i, number in enumerate(numbers):
        code.append((0x15, len(numbers) - i, 0, number))
    code += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | error)]
    program = b"".join(struct.pack("HBBI", *one) for one in code)
    buffer = ctypes.create_string_buffer(program)
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    libc = ctypes.CDLL(None, use_errno=True)
    filter = Program(len(code), ctypes.addressof(buffer))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filter), 0, 0):
        print("no seccomp"); sys.exit(77)
"""
USE = """
import mmap, os, tpool
memory = mmap.mmap(-1, 4096); memory.write(b"0123456789")
ctx = tpool.AioContext()
with tpool.AioFiles(ctx) as files:
    with open(sys.argv[1], "r+b") as file:
        written = [files.pwrite(file, b"0123456789", 10 * i) for i in range(300)]
        assert {r.result() for r in written} == {10}
        assert files.fsync(file).result() is None
        read = [files.pread(file, 10, 10 * i) for i in range(300)]
        assert {r.result() for r in read} == {b"0123456789"}
    fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
    moved = [files.pwrite(fd, memory, 4096 * i) for i in range(20)]
    assert {r.result() for r in moved} == {4096}
    moved += [files.pread(fd, memory, 4096 * i) for i in range(20)]
    assert {r.result() for r in moved} == {4096}
    print(files.backend, read[-1].backend, *{r.backend for r in moved})
for backend in "io_uring", "linux-aio":
    try:
        tpool.AioFiles(ctx, backend=backend).close()
        print("open")
    except OSError as error:
        print(errno.errorcode[error.errno])
ctx.close()
"""
URING = [425, 426, 427]  # on every machine
IO_SETUP = {"x86_64": 206, "aarch64": 0}.get(platform.machine())


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS", "EAGAIN"])
@pytest.mark.parametrize("refused", ["io_uring", "both"])
def test_next_backend_does_it_where_one_is_refused(ctx, direct, refused, error):
    make_files(ctx, "linux-aio").close()
    if IO_SETUP is None:
        pytest.skip("the number of io_setup is not known here")
    numbers = [*URING, IO_SETUP] if refused == "both" else URING
    refuse = f"{SECCOMP}\nrefuse(errno.{error}, *{numbers})\n"
    said = run_python("-c", refuse + USE, direct.path).stdout.split()
    if refused == "both":
        assert said == ["threads", "threads", "threads", error, error]
    else:
        assert said == ["linux-aio", "threads", "linux-aio", error, "open"]


def test_bad_backend_and_entries_are_named(ctx):
    for backend in ("linux", b"threads", 1, ""):
        with pytest.raises(ValueError, match="backend"):
            tpool.AioFiles(ctx, backend=backend)
    for entries, error in ((0, ValueError), (2**20, OverflowError), ("x", TypeError)):
        with pytest.raises(error, match="entries"):
            tpool.AioFiles(ctx, entries)
    with pytest.raises(TypeError):
        tpool.AioFiles(None)


@needs_polling
def test_completion_is_seen_in_the_poll_phase(direct, kernel):
    """By its word alone: the owner neither blocks nor asks the kernel."""
    with tpool.AioContext(poll_max_ns=10**10, poll_grow=10**6) as ctx:
        files = make_files(ctx, kernel)
        at_once = 0
        for _ in range(10):  # until a window is learned
            request = files.pwrite(direct, page(), 0)
            ctx.poll(False)
            at_once += request.done()
            assert request.result() == PAGE
        if at_once == 10:
            pytest.skip("no device: what is written is there at once")
        before = after = ctx.stats()
        for _ in range(2000):  # some are made before the phase begins
            assert files.pwrite(direct, page(), 0).result() == PAGE
            after = ctx.stats()
            blocked_ns = after.blocked_ns - before.blocked_ns
            if after.polls_hit - before.polls_hit >= 15:
                if blocked_ns <= after.polled_ns - before.polled_ns:
                    break
                before = after  # again: the device was late
        files.close()
    assert after.polls_hit - before.polls_hit >= 15
    assert blocked_ns <= after.polled_ns - before.polled_ns


def test_kernel_gets_the_requests_of_a_turn_when_they_are_a_quarter_of_all(
    ctx, direct, kernel, tmp_path
):
    """So few calls are made, and the device does not wait for the end of the turn."""
    make_files(ctx, kernel).close()
    code = (
        "import mmap, os, sys, tpool\n"
        "ctx = tpool.AioContext()\n"
        "files = tpool.AioFiles(ctx, backend=sys.argv[2])\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)\n"
        "page = mmap.mmap(-1, 4096)\n"
        "for turn in range(10):\n"
        "    made = [files.pwrite(fd, page, 4096 * i) for i in range(60)]\n"
        "    assert {r.result() for r in made} == {4096}\n"
    )
    log = tmp_path / "log"
    prefix = traced("-e", "trace=io_uring_enter,io_submit", log=log)
    run_python("-c", code, direct.path, kernel, prefix=prefix)
    submitted = [
        int(re.search(r"\((?:\d+|0x\w+), (\d+)", line)[1])
        for line in log.read_text().splitlines()
    ]
    a_turn = [1, 1, 1, 1, 2, 2, 3, 4, 5, 7, 9, 12, 12]  # the last 12 at its end
    assert [count for count in submitted if count] == a_turn * 10


@pytest.mark.parametrize("how", ["result", "loop", "close", "collect"])
def test_kernel_that_has_no_memory_is_asked_again_later(ctx, direct, kernel, how):
    """Each millisecond, and not all the time; who waits gets what was asked for."""
    make_files(ctx, kernel).close()
    code = (
        "import asyncio, gc, mmap, os, sys, threading, time, tpool\n"
        "ctx = tpool.AioContext(poll_max_ns=0)\n"
        "files = tpool.AioFiles(ctx, 4, sys.argv[2])\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)\n"
        "page = mmap.mmap(-1, 4096); page.write(b'x' * 4096)\n"
        "many = 0 if sys.argv[3] == 'loop' else 10\n"
        "begin_ns = time.monotonic_ns()\n"
        "made = [files.pwrite(fd, page, 4096 * i) for i in range(many)]\n"
        "async def wait():\n"  # of asyncio's loop, which is told to wait by then
        "    pool, gate = tpool.ThreadPool(ctx), threading.Event()\n"
        "    async def sleep(): await pool.submit(gate.wait)\n"
        "    sleeper = asyncio.ensure_future(sleep())\n"
        "    await asyncio.sleep(0)\n"
        "    assert ctx.notify_me & 1\n"
        "    assert await files.pwrite(fd, page, 0) == 4096\n"
        "    gate.set()\n"
        "    await sleeper\n"
        "if sys.argv[3] == 'loop':\n"
        "    asyncio.run(wait())\n"
        "elif sys.argv[3] == 'collect':\n"
        "    ctx.poll(False)\n"
        "    made[0].add_done_callback(lambda r, keep=(ctx, files, made): keep)\n"
        "    del files, ctx, made; gc.collect()\n"
        "else:\n"
        "    if sys.argv[3] == 'close': ctx.close()\n"
        "    assert {request.result() for request in made} == {4096}\n"
        "print(time.monotonic_ns() - begin_ns)\n"
    )
    call = {"io_uring": "io_uring_enter", "linux-aio": "io_submit"}[kernel]
    inject = f"inject={call}:error=EAGAIN:when=1..20"
    prefix = traced("-e", f"trace={call}", "-e", inject)
    said = run_python("-c", code, direct.path, kernel, how, prefix=prefix)
    assert int(said.stdout) >= 19_000_000
    assert head_of(direct) == b"xxxxx"


def test_owner_that_blocks_is_woken(direct, kernel):
    with tpool.AioContext(poll_max_ns=0) as ctx:
        files = make_files(ctx, kernel)
        for _ in range(50):
            assert files.pwrite(direct, page(), 0).result() == PAGE
        assert ctx.stats().polled_ns == 0
        files.close()


@pytest.mark.parametrize("poll_max_ns", [0, 10**10])
def test_idle_queue_wakes_nobody(direct, kernel, poll_max_ns):
    """Whether the bell was waited for or not, it does not ring on."""
    with tpool.AioContext(poll_max_ns=poll_max_ns, poll_grow=10**6) as ctx:
        files, ran = make_files(ctx, kernel), []
        timer = ctx.new_timer(lambda: ran.append(1))
        for _ in range(20):
            made = [files.pwrite(direct, page(), PAGE * i) for i in range(5)]
            assert {request.result() for request in made} == {PAGE}
        ctx.poll(False)
        switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        before = ctx.stats()
        timer.mod_ns(time.monotonic_ns() + 20_000_000)
        while not ran:
            ctx.poll()
        after = ctx.stats()
        files.close()
    # The bell of what was seen before it rang, and a wake-up that comes too early.
    assert after.turns - before.turns <= 5
    assert after.polls_missed == before.polls_missed
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - switches <= 8


@needs_polling
def test_request_made_in_the_middle_of_a_wait_is_not_slept_on(ctx, direct, kernel):
    """It comes behind what was handed to the kernel for that wait."""
    ctx.set_poll_params(1_000_000_000)  # a wait of more would end the phases
    files = make_files(ctx, kernel)
    read_end, write_end = os.pipe()
    done, made, woken, asked, armed = [], [], [], [], []
    timer = ctx.new_timer(lambda: woken.append(1))

    def io_poll():
        asked.append(1)
        if armed and not made:  # the phase goes on, and ends in a block
            made.append(files.pwrite(direct, page(), 0))
            made[0].add_done_callback(lambda r: done.append(r.result()))
        return False

    ctx.set_fd_handler(read_end, lambda: os.read(read_end, 1), io_poll=io_poll)
    for _ in range(1000):  # until there are phases
        asked.clear()
        os.write(write_end, b"x")
        ctx.poll()
        if asked:
            armed.append(1)
            timer.mod_ns(time.monotonic_ns() + 2 * 10**9)
            while not done and not woken:
                ctx.poll()
            break
    timer.cancel()
    ctx.set_fd_handler(read_end)
    os.close(read_end)
    os.close(write_end)
    files.close()
    assert (done, woken) == ([PAGE], [])


def test_request_goes_to_the_kernel_where_a_loop_waits_already(direct, gate, kernel):
    """The loop of asyncio's turns the context when something has come, not before."""

    async def main():
        ctx = tpool.AioContext()
        pool, files = tpool.ThreadPool(ctx), make_files(ctx, kernel)
        waits = asyncio.ensure_future(_outcome(pool.submit(gate.wait, 30)))
        await asyncio.sleep(0)
        assert ctx.notify_me & 1  # it has told the context that it waits
        assert await files.pwrite(direct, page(), 0) == PAGE
        assert not waits.done()
        gate.set()
        assert await waits
        pool.shutdown()
        files.close()
        ctx.close()

    asyncio.run(main())


async def _outcome(request):
    return await request


def test_request_without_a_place_goes_to_a_thread(ctx, kernel):
    """An io_uring would read from a pipe, where os.pread() raises."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"never read")
    with make_files(ctx, kernel) as files:
        for call in (
            lambda: files.pread(read_end, 5, 0),
            lambda: files.pwrite(write_end, b"x", 0),
        ):
            with pytest.raises(OSError, match="Illegal seek"):
                call().result()
    assert os.read(read_end, 100) == b"never read"
    os.close(read_end)
    os.close(write_end)


def test_linux_aio_is_for_what_the_device_alone_does(ctx, file, direct):
    """Of all else the kernel would do it where it is submitted: then threads do it."""
    with make_files(ctx, "linux-aio") as files:
        exhaust(files, file)
        for request, backend, result in (
            (files.pread(direct, page(), 0), "linux-aio", PAGE),
            (files.pread(direct, [page(), page()], 0), "linux-aio", 2 * PAGE),
            (files.pwrite(direct, page(), 0), "linux-aio", PAGE),
            (files.pwrite(direct, page(), SIZE // PAGE * PAGE), "threads", PAGE),
            (files.fsync(direct), "threads", None),
            (files.pread(file, 10, 0), "threads", DATA[:10]),
            (files.pread(direct, [], 0), "threads", 0),
        ):
            assert (request.result(), request.backend) == (result, backend)


def test_request_tells_who_makes_it(ctx, pool, file, direct):
    need_cache(file)
    with make_files(ctx, "io_uring") as files, tpool.AioFiles(ctx, 1, "threads") as by:
        assert os.pread(file.fileno(), 10, 0)
        assert files.pread(file, 10, 0).backend == "cache"
        assert files.pread(direct, page(), 0).backend == "io_uring"
        assert files.pwrite(direct, page(), 0).backend == "io_uring"
        # What the kernel would leave to threads of its own, which have to be woken.
        assert files.pwrite(file, b"x", 0).backend == "threads"
        assert files.pwrite(direct, page(), END).backend == "threads"
        assert files.fsync(direct).backend == "threads"
        assert by.fsync(direct).backend == pool.submit(int).backend == "threads"
    future = concurrent.futures.Future()
    request = ctx.wrap_future(future)
    assert request.backend is None
    future.set_result(1)
    assert request.result() == 1


def test_file_that_the_kernel_cannot_ask_the_cache_of_is_read_by_a_thread(ctx):
    """An io_uring would leave it to one of its own, asleep."""
    with (
        tempfile.NamedTemporaryFile(dir="/dev/shm") as file,
        make_files(ctx, "io_uring") as files,
    ):
        file.write(DATA)
        file.flush()
        with contextlib.suppress(OSError):
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
            pytest.skip("it can")
        request = files.pread(file, 100, 5)
        assert request.backend == "threads"
        assert request.result() == DATA[5:105]


def test_error_of_one_request_is_its_own(ctx, direct, kernel):
    """What the kernel refuses when it is submitted, and what it begins."""
    other = os.open(direct.path, os.O_WRONLY | os.O_DIRECT)
    with make_files(ctx, kernel) as files:
        made = [
            files.pread(direct, page(), 0),
            files.pread(direct, page(), 1),
            files.pread(other, page(), 0),
            files.pread(direct, page(), PAGE),
        ]
        for good in made[::3]:
            assert good.result() == PAGE
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            made[2].result()
        try:
            assert os.preadv(direct.fileno(), [page()], 1) == made[1].result()
        except OSError as error:  # as most file systems have it
            with pytest.raises(OSError, match=re.escape(error.strerror)):
                made[1].result()
        assert {request.backend for request in made} == {kernel}
    os.close(other)


def test_more_errors_than_the_queue_has_room_for(ctx, direct, kernel):
    with make_files(ctx, kernel, entries=2) as files:
        closed = os.dup(direct.fileno())
        made = [files.pread(closed, page(), 0) for _ in range(20)]
        os.close(closed)
        errors = [request.exception(30) for request in made]
    assert errors[:2] == [None] * 2  # the kernel has them already
    assert all(isinstance(error, OSError) for error in errors[2:])


def test_read_beyond_the_end_is_short(ctx, direct, kernel):
    with make_files(ctx, kernel) as files:
        last = SIZE // PAGE * PAGE
        memory = page()
        assert files.pread(direct, memory, last).result() == SIZE - last
        assert memory[: SIZE - last] == DATA[last:]
        assert files.pread(direct, page(), last + PAGE).result() == 0


MAPPED = {"io_uring": "io_uring", "linux-aio": "[aio]"}


def maps():
    return Path("/proc/self/maps").read_text(encoding="utf-8")


def test_context_has_one_queue_for_all(ctx, direct, kernel):
    fds = len(os.listdir("/proc/self/fd"))
    many = [make_files(ctx, kernel) for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == fds + 1
    assert MAPPED[kernel] in maps()
    requests = [files.pread(direct, page(), 0) for files in many for _ in range(20)]
    assert {request.result() for request in requests} == {PAGE}
    for files in many:
        files.close()
    ctx.close()
    assert MAPPED[kernel] not in maps()


def test_context_has_both_at_once(ctx, direct):
    with make_files(ctx, "io_uring", 4) as one, make_files(ctx, "linux-aio", 4) as two:
        made = [
            files.pread(direct, page(), 0) for _ in range(20) for files in (one, two)
        ]
        assert [r.backend for r in made] == ["io_uring", "linux-aio"] * 20
        assert {request.result() for request in made} == {PAGE}
        made = [
            files.pwrite(direct, page(), 0) for _ in range(20) for files in (one, two)
        ]
        ctx.close()
    assert {request.result() for request in made} == {PAGE}
