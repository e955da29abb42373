# SPDX-License-Identifier: MIT
"""The child of a fork has nothing of the queues that its parent has from the kernel."""

from __future__ import annotations

import file_world
from conftest import run_python
from file_world import make_files

direct, kernel = file_world.direct, file_world.kernel


def test_child_of_a_fork_has_no_queue(ctx, direct, kernel):
    code = (
        "import gc, mmap, os, sys, tpool\n"
        "backend = sys.argv[2]\n"
        "mapped = {'io_uring': b'io_uring', 'linux-aio': b'[aio]'}[backend]\n"
        "fds = set(os.listdir('/proc/self/fd'))\n"
        "ctx = tpool.AioContext()\n"
        "files = tpool.AioFiles(ctx, backend=backend)\n"
        "fds = set(os.listdir('/proc/self/fd')) - fds\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)\n"
        "page = mmap.mmap(-1, 4096)\n"
        "made = [files.pwrite(fd, page, 4096 * (i % 70)) for i in range(300)]\n"
        "ctx.poll(False)\n"
        "assert mapped in open('/proc/self/maps', 'rb').read()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    assert mapped not in open('/proc/self/maps', 'rb').read()\n"
        "    assert not fds & set(os.listdir('/proc/self/fd')) - {str(fd)}\n"
        "    files.close(); ctx.close(); del files, ctx, made; gc.collect()\n"
        "    with tpool.AioContext() as ctx, tpool.AioFiles(ctx, 8, backend) as files:\n"
        "        assert files.pread(fd, page, 0).result() == 4096\n"
        "        assert files.fsync(fd).result() is None\n"
        "    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7\n"
        "assert {r.result() for r in made} == {4096}\n"
        "files.close(); ctx.close(); print('ok')\n"
    )
    make_files(ctx, kernel).close()
    said = run_python("-W", "ignore", "-c", code, direct.path, kernel)
    assert said.stdout == "ok\n", said.stderr


def test_child_collects_a_context_that_its_parent_was_about_to_collect(
    ctx, direct, kernel
):
    """A collection that another thread's fork interrupts: no weak reference is left."""
    make_files(ctx, kernel).close()
    said = run_python(
        "-W",
        "ignore",
        "-c",
        "import gc, mmap, os, sys, tpool, tpool.aio_context\n"
        "ctx = tpool.AioContext()\n"
        "files = tpool.AioFiles(ctx, 8, sys.argv[2])\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)\n"
        "page = mmap.mmap(-1, 4096)\n"
        "made = [files.pwrite(fd, page, 4096 * (i % 70)) for i in range(30)]\n"
        "made[0].add_done_callback(lambda r, keep=(ctx, files, made): keep)\n"
        "ctx.poll(False)\n"
        "tpool.aio_context.contexts._by_id.clear()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    del ctx, files, made; gc.collect()\n"
        "    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "assert {request.result() for request in made} == {4096}\n",
        direct.path,
        kernel,
        timeout=20,
    )
    assert said.stdout == "7\n", said.stderr


def test_child_of_a_fork_leaves_alone_what_lies_where_the_ring_was(ctx, kernel):
    make_files(ctx, kernel).close()
    said = run_python(
        "-c",
        "import os, sys\n"
        "held = []\n"
        "sizes = [3 << 20, 2 << 20, 1 << 20, 1 << 19]\n"
        "os.register_at_fork(  # before tpool does: it is called first\n"
        "    after_in_child=lambda: held.extend(map(bytearray, sizes)))\n"
        "import tpool\n"
        "files = tpool.AioFiles(tpool.AioContext(), 32768, sys.argv[1])\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    for one in held:\n"
        "        one[:] = b'x' * len(one)\n"
        "    os._exit(0)\n"
        "print(os.waitpid(pid, 0)[1])",
        kernel,
    )
    assert said.stdout == "0\n", said.stderr
