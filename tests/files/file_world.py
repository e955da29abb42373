# SPDX-License-Identifier: MIT
"""What the tests of files share: a file that is known, its state, and fixtures.

Each of them takes these by importing them.
"""

from __future__ import annotations

import mmap
import os

import pytest

import tpool

KERNEL = ["io_uring", "linux-aio"]
BACKENDS = [*KERNEL, "threads"]
PAGE = 4096
SIZE = 300_000
DATA = bytes(i * i % 251 for i in range(SIZE))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with path.open("r+b", buffering=0) as file:
        yield file


class Direct:
    """A file that is opened with O_DIRECT."""

    def __init__(self, path):
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        except OSError as error:
            pytest.skip(f"no O_DIRECT: {error}")

    def fileno(self):
        return self._fd


@pytest.fixture
def direct(tmp_path):
    """What is read and written without the page cache."""
    path = tmp_path / "direct"
    path.write_bytes(DATA)
    file = Direct(path)
    yield file
    os.close(file.fileno())


@pytest.fixture(params=KERNEL)
def kernel(request):
    """The backends by which no thread of ours makes a request."""
    return request.param


@pytest.fixture(params=BACKENDS)
def files(ctx, request):
    with make_files(ctx, request.param) as files:
        yield files


def make_files(ctx, backend, entries=128, **options):
    """Return an AioFiles by a backend, or skip where the system refuses it."""
    try:
        return tpool.AioFiles(ctx, entries, backend, **options)
    except OSError as error:
        pytest.skip(f"no {backend}: {error}")


def page(data=b""):
    """Return a page of memory, which begins where O_DIRECT has it begin."""
    memory = mmap.mmap(-1, PAGE)
    memory.write(data)
    return memory


def head_of(direct, index=0, length=5):
    """Return the first bytes of a page of a file that is open with O_DIRECT."""
    with open(direct.path, "rb") as other:
        return os.pread(other.fileno(), length, index * PAGE)


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


def keep_for_next_turn(files, direct, count):
    """Have the kernel get so many of the next requests with the next turn only.

    It gets a turn's requests when they are a quarter of all: here the last of these, and
    then not before a third more has come.
    """
    first = 1
    while -(-first // 3) <= count:
        first = -(-first * 4 // 3)
    for _ in range(first):
        files.pread(direct, page(), 0)


def exhaust(files, file):
    """Read from the cache what one turn may: the next read is no more made at once."""
    while files.pread(file, 65536, 0).done():
        pass
