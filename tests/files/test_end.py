# SPDX-License-Identifier: MIT
"""What was asked for of files is done before their context, or their loop, is gone.

Or it would be later, when an fd may be another file's.
"""

from __future__ import annotations

import asyncio
import os

import file_world
import pytest
from conftest import refuse_threads
from file_world import BACKENDS, make_files

import tpool

file = file_world.file

N, SIZE = 100, 50_000
PLACES = [n * SIZE for n in range(N)]


def ask(files, file):
    """Ask for writes, of which the threads that there may be cannot have begun all."""
    return [files.pwrite(file, bytes([n]) * SIZE, at) for n, at in enumerate(PLACES)]


def check(made, file):
    """Every one is done."""
    assert [request.result() for request in made] == [SIZE] * N
    assert [os.pread(file.fileno(), 1, at)[0] for at in PLACES] == list(range(N))
    assert os.fstat(file.fileno()).st_size == N * SIZE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "dropped"])
def test_context_that_is_closed_has_done_what_was_asked_for(ctx, file, backend, kept):
    files = make_files(ctx, backend)
    made = ask(files, file)
    if not kept:
        del files
    ctx.close()
    check(made, file)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "dropped"])
def test_loop_that_is_closed_has_done_what_was_asked_for(file, backend, kept):
    loop = tpool.new_event_loop()
    files = make_files(loop.ctx, backend)

    async def main():
        return ask(files, file)

    made = loop.run_until_complete(main())
    if not kept:
        del files
    loop.close()
    check(made, file)


def test_sync_that_nobody_awaits_is_done_before_its_loop_is_gone(file):
    async def main():
        files = make_files(asyncio.get_running_loop().ctx, "threads")
        return files.fsync(file)

    assert tpool.run(main()).done()


def test_where_threads_are_many_or_cannot_be_had_the_kernel_writes(
    ctx, file, monkeypatch
):
    """It has threads of its own."""
    with make_files(ctx, "io_uring", max_pending=1) as files:
        made = ask(files, file)
        assert {request.backend for request in made} == {"threads", "io_uring"}
        check(made, file)
    with monkeypatch.context() as patch, make_files(ctx, "io_uring") as files:
        refuse_threads(patch)
        request = files.pwrite(file, b"xyz", 0)
        assert request.backend == "io_uring"
        assert request.result() == 3
