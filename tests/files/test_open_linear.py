# SPDX-License-Identifier: MIT
"""What a file of tpool.open() copies of much that comes in small pieces: a few times all."""

from __future__ import annotations

import asyncio

import pytest
from open_world import binary_of

import tpool

PIECE, PIECES = 8192, 500


class Copies:
    """How many bytes, or characters, were copied by + and by slices."""

    count = 0


def counting(kind):
    """Return a kind of bytes, or of str, that counts what is copied of it."""

    class Counting(kind):
        def __add__(self, other):
            Copies.count += len(self) + len(other)
            return Counting(kind(self) + kind(other))

        def __radd__(self, other):
            Copies.count += len(self) + len(other)
            return Counting(kind(other) + kind(self))

        def __getitem__(self, index):
            result = kind(self)[index]
            if isinstance(index, slice):
                Copies.count += len(result)
                result = Counting(result)
            return result

    return Counting


Bytes, Text = counting(bytes), counting(str)


class PiecewiseFiles:
    """AioFiles of a file that is read in pieces, as one of /proc is, or one that grows."""

    def __init__(self, files):
        self._files, self._threads = files, files._threads

    def pread(self, fd, length, offset):
        left = PIECE * PIECES - offset
        data = Bytes(b"x" * min(PIECE, left, length))
        future = asyncio.get_running_loop().create_future()
        future.set_result(data)
        return future


class Decoder:
    """Decodes as another one, to text that counts."""

    def __init__(self, decoder):
        self._decoder = decoder

    def decode(self, data, final=False):
        return Text(self._decoder.decode(bytes(data), final))

    def __getattr__(self, name):
        return getattr(self._decoder, name)


@pytest.mark.parametrize("mode", ["rb", "r"])
@pytest.mark.parametrize("call", ["read", "read some", "readline", "readlines"])
def test_much_is_read_in_linear_time(run, tmp_path, mode, call):
    (tmp_path / "file").touch()
    size = PIECE * PIECES

    async def main():
        async with tpool.open(tmp_path / "file", mode) as file:
            binary = binary_of(file)
            binary._files = PiecewiseFiles(binary._files)
            if mode == "r":
                file._decoder = Decoder(file._decoder)
            Copies.count = 0
            name, *some = call.split()
            found = await getattr(file, name)(*[size - 5] * len(some))
            assert len(found[0] if name == "readlines" else found) >= size - 5
            assert Copies.count < 4 * size

    run(main())
