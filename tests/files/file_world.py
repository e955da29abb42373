# SPDX-License-Identifier: MIT
"""What the tests of files share: a file that is known, its state, and fixtures.

Each of them takes these by importing them.
"""

from __future__ import annotations

import os

import pytest

import tpool

BACKENDS = ["io_uring", "threads"]
SIZE = 300_000
DATA = bytes(i * i % 251 for i in range(SIZE))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("r+b", buffering=0) as file:
        yield file


@pytest.fixture(params=BACKENDS)
def files(ctx, request):
    with make_files(ctx, request.param) as files:
        yield files


def make_files(ctx, backend, **options):
    """Return an AioFiles by a backend, or skip where the system refuses it."""
    try:
        return tpool.AioFiles(ctx, backend=backend, **options)
    except OSError as error:
        pytest.skip(f"no {backend}: {error}")


def need_cache(file):
    """Skip where the file system does not say what is cached."""
    try:
        os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
    except (OSError, AttributeError) as error:
        pytest.skip(f"no read without waiting: {error}")


def evict(fd):
    """Have nothing of the file in the page cache, as far as the kernel follows."""
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def exhaust(files, file):
    """Read from the cache what one turn may: the next read is no more made at once."""
    while files.pread(file, 65536, 0).done():
        pass
