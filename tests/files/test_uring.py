# SPDX-License-Identifier: MIT
"""The io_uring of a context: how its owner hears of completions, and who has none."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time

import file_world
import pytest
from conftest import run_python, traced
from file_world import DATA, exhaust, make_files

import tpool

file, files = file_world.file, file_world.files

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
import tpool
with tpool.AioContext() as ctx, tpool.AioFiles(ctx) as files:
    with open(sys.argv[1], "r+b") as file:
        written = [files.pwrite(file, b"0123456789", 10 * i) for i in range(300)]
        assert {r.result() for r in written} == {10}
        assert files.fsync(file).result() is None
        read = [files.pread(file, 10, 10 * i) for i in range(300)]
        assert {r.result() for r in read} == {b"0123456789"}
    print(files.backend)
    try:
        tpool.AioFiles(ctx, backend="io_uring")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
def test_threads_do_it_where_io_uring_is_refused(file, error):
    numbers = "425, 426, 427"  # of io_uring_*, on every machine
    code = f"{SECCOMP}\nrefuse(errno.{error}, {numbers})\n{USE}"
    said = run_python("-c", code, file.name)
    assert said.stdout.split() == ["threads", error]


def test_bad_backend_and_entries_are_named(ctx):
    for backend in ("linux", b"threads", 1):
        with pytest.raises(ValueError, match="backend"):
            tpool.AioFiles(ctx, backend=backend)
    for entries, error in ((0, ValueError), (2**20, OverflowError), ("x", TypeError)):
        with pytest.raises(error, match="entries"):
            tpool.AioFiles(ctx, entries)
    with pytest.raises(TypeError):
        tpool.AioFiles(None)


def test_completion_is_seen_in_the_poll_phase(file):
    """By its word alone: the owner neither blocks nor asks the kernel."""
    with tpool.AioContext(poll_max_ns=10**10, poll_grow=10**6) as ctx:
        if ctx.poll_max_ns and os.sched_getaffinity(0).__len__() < 2:
            pytest.skip("one CPU: nobody polls")
        files = make_files(ctx, "io_uring")
        for _ in range(3):  # until a window is learned
            assert files.fsync(file).result() is None
        before = ctx.stats()
        for _ in range(20):
            file.seek(0)
            file.write(b"x")
            assert files.fsync(file).result() is None
        after = ctx.stats()
        files.close()
    assert after.polls_hit - before.polls_hit >= 15
    assert after.blocked_ns - before.blocked_ns <= (after.polled_ns - before.polled_ns)


def test_requests_of_a_turn_go_to_the_kernel_in_one_call(file, tmp_path):
    code = (
        "import sys, tpool\n"
        "ctx = tpool.AioContext()\n"
        "files = tpool.AioFiles(ctx)\n"
        "if files.backend != 'io_uring': print('no io_uring'); sys.exit(77)\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "for turn in range(10):\n"
        "    made = [files.pwrite(file, b'x', i) for i in range(100)]\n"
        "    assert {r.result() for r in made} == {1}\n"
    )
    log = tmp_path / "log"
    prefix = traced("-e", "trace=io_uring_enter", log=log)
    run_python("-c", code, file.name, prefix=prefix)
    submitted = [
        int(re.search(r"io_uring_enter\(\d+, (\d+)", line)[1])
        for line in log.read_text().splitlines()
    ]
    assert [count for count in submitted if count] == [100] * 10


def test_owner_that_blocks_is_woken(file):
    with tpool.AioContext(poll_max_ns=0) as ctx:
        files = make_files(ctx, "io_uring")
        for _ in range(50):
            file.seek(0)
            file.write(b"x")
            assert files.fsync(file).result() is None
        assert ctx.stats().polled_ns == 0
        files.close()


def test_request_made_in_the_middle_of_a_wait_is_not_slept_on(ctx, file):
    """It comes behind what was handed to the kernel for that wait."""
    ctx.set_poll_params(1_000_000)
    files = make_files(ctx, "io_uring")
    read_end, write_end = os.pipe()
    done, made, woken, asked, armed = [], [], [], [], []
    timer = ctx.new_timer(lambda: woken.append(1))

    def io_poll():
        asked.append(1)
        if armed and not made:  # the phase goes on, and ends in a block
            made.append(files.pwrite(file, b"in a poll phase", 0))
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
    if not made:
        pytest.skip("no poll phase: only one CPU is usable")
    assert (done, woken) == ([15], [])


def test_request_goes_to_the_kernel_where_a_loop_waits_already(file, gate):
    """The loop of asyncio's turns the context when something has come, not before."""

    async def main():
        ctx = tpool.AioContext()
        pool, files = tpool.ThreadPool(ctx), make_files(ctx, "io_uring")
        waits = asyncio.ensure_future(_outcome(pool.submit(gate.wait, 30)))
        await asyncio.sleep(0)
        assert ctx.notify_me & 1  # it has told the context that it waits
        assert await files.pwrite(file, b"x", 0) == 1
        assert not waits.done()
        gate.set()
        assert await waits
        pool.shutdown()
        files.close()
        ctx.close()

    asyncio.run(main())


async def _outcome(request):
    return await request


def test_request_without_a_place_goes_to_a_thread(ctx):
    """The ring would read from a pipe, where os.pread() raises."""
    read_end, write_end = os.pipe()
    os.write(write_end, b"never read")
    with make_files(ctx, "io_uring") as files:
        for call in (
            lambda: files.pread(read_end, 5, 0),
            lambda: files.pwrite(write_end, b"x", 0),
        ):
            with pytest.raises(OSError, match="Illegal seek"):
                call().result()
    assert os.read(read_end, 100) == b"never read"
    os.close(read_end)
    os.close(write_end)


def test_context_has_one_ring_for_all(ctx, file):
    fds = len(os.listdir("/proc/self/fd"))
    many = [make_files(ctx, "io_uring") for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == fds + 1
    exhaust(many[0], file)
    requests = [files.pread(file, 10, 5) for files in many for _ in range(70)]
    assert {request.result() for request in requests} == {DATA[5:15]}
    for files in many:
        files.close()


def test_child_of_a_fork_has_no_ring(ctx, file):
    code = (
        "import gc, os, sys, tpool\n"
        "ctx = tpool.AioContext()\n"
        "files = tpool.AioFiles(ctx, backend='io_uring')\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "buffer = bytearray(5)\n"
        "made = [files.pwrite(file, b'abcde', 5 * i) for i in range(300)]\n"
        "ctx.poll(False)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    assert b'io_uring' not in open('/proc/self/maps', 'rb').read()\n"
        "    for end in os.listdir('/proc/self/fd'):\n"
        "        try: assert 'io_uring' not in os.readlink(f'/proc/self/fd/{end}')\n"
        "        except FileNotFoundError: pass\n"
        "    files.close(); ctx.close(); del files, ctx, made; gc.collect()\n"
        "    with tpool.AioContext() as ctx, tpool.AioFiles(ctx) as files:\n"
        "        assert files.pread(file, 5, 0).result() == b'abcde'\n"
        "        assert files.fsync(file).result() is None\n"
        "    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
        "assert {r.result() for r in made} == {5}\n"
        "files.close(); ctx.close(); print('ok')\n"
    )
    make_files(ctx, "io_uring").close()
    said = run_python("-W", "ignore", "-c", code, file.name)
    assert said.stdout == "ok\n", said.stderr


def test_child_of_a_fork_leaves_alone_what_lies_where_the_ring_was(ctx):
    make_files(ctx, "io_uring").close()
    said = run_python(
        "-c",
        "import os\n"
        "held = []\n"
        "sizes = [3 << 20, 2 << 20, 1 << 20, 1 << 19]\n"
        "os.register_at_fork(  # before tpool does: it is called first\n"
        "    after_in_child=lambda: held.extend(map(bytearray, sizes)))\n"
        "import tpool\n"
        "files = tpool.AioFiles(tpool.AioContext(), 32768, 'io_uring')\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    for one in held:\n"
        "        one[:] = b'x' * len(one)\n"
        "    os._exit(0)\n"
        "print(os.waitpid(pid, 0)[1])",
    )
    assert said.stdout == "0\n", said.stderr


def test_thread_that_ends_leaves_its_requests_to_be_made(ctx, file):
    with make_files(ctx, "io_uring", entries=256) as files:
        made = []

        def begin():
            for i in range(100):
                made.append(files.pwrite(file, bytes([i]) * 200_000, i * 200_000))
                made.append(files.fsync(file))
            ctx.poll(False)

        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        ctx.close()
    assert [r.exception() for r in made] == [None] * 200
    assert [r.result() for r in made] == [200_000, None] * 100
