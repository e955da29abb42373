# SPDX-License-Identifier: MIT
"""F53: another process has written garbage into the memory of a Ring."""

from __future__ import annotations

import errno
import mmap
import struct
import threading

import pytest

import tpool

pytestmark = pytest.mark.timeout(60)
# docs/ring.md has the format.
WRITER, READER, DATA = 64, 192, 320


@pytest.fixture
def memory():
    """Return memory; its first 384 bytes are as much as a ring of 64 takes."""
    with mmap.mmap(-1, mmap.PAGESIZE) as shared:
        yield shared


def put(memory, offset, number, form="Q"):
    struct.pack_into(form, memory, offset, number)


def is_garbage(call):
    for _ in range(2):  # and so it stays
        with pytest.raises(OSError, match="garbage") as caught:
            call()
        assert caught.value.errno == errno.EBADMSG


@pytest.mark.parametrize(
    ("position", "length"),
    [
        (72, 0),  # more than fits in
        (2**64 - 8, 0),
        (4, 0),  # in the middle of a length
        (16, 9),  # a message that is longer than what is there
        (64, 57),  # or goes on behind the end of the data
        (64, 2**32 - 2),
        (64, 2**32 - 1),  # nothing but what is to be skipped
    ],
)
def test_garbage_is_an_error(memory, position, length):
    with tpool.Ring(memoryview(memory)[:384], readers=1) as ring:
        assert ring.size == 64
        assert ring.try_recv() is None
        put(memory, WRITER, position)
        put(memory, DATA, length, "I")
        is_garbage(ring.recv)
        is_garbage(ring.try_recv)


@pytest.mark.parametrize("position", [2**63, 128, 4])
def test_a_reader_that_says_what_cannot_be_is_an_error(memory, position):
    with tpool.Ring(memoryview(memory)[:384], readers=1) as ring:
        put(memory, READER, position)
        is_garbage(lambda: [ring.send(b"x" * 24) for _ in range(3)])


@pytest.mark.parametrize("owner", [1 << 62, 2**31, 2**32, 12345678 << 32 | 1])
def test_an_owner_that_is_no_process_is_a_dead_one(memory, owner):
    with tpool.Ring(memoryview(memory)[:384], readers=1) as ring:
        assert ring.try_recv() is None
        put(memory, WRITER + 72, owner)
        with pytest.raises(ConnectionResetError):
            ring.recv()


def test_an_owner_that_is_a_thread_is_a_dead_one(memory, gate):
    thread = threading.Thread(target=gate.wait)
    thread.start()
    with tpool.Ring(memoryview(memory)[:384], readers=1) as ring:
        put(memory, WRITER + 72, 1 << 32 | thread.native_id)
        with pytest.raises(ConnectionResetError):
            ring.recv()
    gate.set()
    thread.join()


def test_what_is_not_looked_at_may_be_anything(memory):
    """Hints, and doorbells that nobody hears."""
    with (
        tpool.Ring(memoryview(memory)[:384], readers=1) as writer,
        tpool.Ring(memoryview(memory)[:384]) as reader,
    ):
        for value in (2**64 - 1, 2**63, 1):
            assert reader.try_recv() is None
            for place in (WRITER, READER):
                for offset in (16, 64, 80, 88):
                    put(memory, place + offset, value)
                put(memory, place + 8, value % 2**32, "I")
            writer.send(b"x")
            assert reader.recv() == b"x"
            with pytest.raises(TimeoutError):
                reader.recv(0.001)


@pytest.mark.parametrize(
    ("offset", "number"), [(8, 0), (8, 65), (16, 0), (16, 96), (16, 128), (16, 2**40)]
)
def test_a_header_with_garbage_is_no_ring(memory, offset, number):
    tpool.Ring(memoryview(memory)[:384], readers=1).close()
    put(memory, offset, number, "I" if offset == 8 else "Q")
    with pytest.raises(ValueError, match="no Ring"):
        tpool.Ring(memoryview(memory)[:384])
