# SPDX-License-Identifier: MIT
"""A write-ahead log on asyncio: who appends a record goes on when it is on the device.

Records that come while the device is busy share the next write, and the next sync.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import tpool

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = struct.Struct("<II")  # the length of a record, and its checksum


class Log:
    """An open log; of one loop."""

    def __init__(self, files: tpool.AioFiles, path: Path) -> None:
        self._files = files
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._end = 0
        self._batch: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        for record in self.records():
            self._end += HEAD.size + len(record)
        os.ftruncate(self._fd, self._end)  # a record that a crash has torn

    def records(self) -> Iterator[bytes]:
        """Read what is in it, to the first record that is not whole."""
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(0)
            while len(head := file.read(HEAD.size)) == HEAD.size:
                length, checksum = HEAD.unpack(head)
                record = file.read(length)
                if len(record) < length or zlib.crc32(record) != checksum:
                    return
                yield record

    async def append(self, record: bytes) -> None:
        """Return when the record, and all before it, will be there after a crash."""
        written = asyncio.get_running_loop().create_future()
        self._batch.append((record, written))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(written)

    async def _write(self) -> None:
        try:
            while self._batch:
                batch, self._batch = self._batch, []
                try:
                    await self._write_batch([record for record, _ in batch])
                except OSError as error:  # the end is as it was: they are not there
                    for _, written in batch:
                        written.set_exception(error)
                else:
                    for _, written in batch:
                        written.set_result(None)
        finally:
            self._writer = None

    async def _write_batch(self, records: list[bytes]) -> None:
        data = memoryview(
            b"".join(
                HEAD.pack(len(record), zlib.crc32(record)) + record
                for record in records
            )
        )
        done = 0
        while done < len(data):  # a short write is no error
            done += await self._files.pwrite(self._fd, data[done:], self._end + done)
        await self._files.fdatasync(self._fd)
        self._end += done

    def close(self) -> None:
        os.close(self._fd)


async def main(path: Path) -> int:
    with tpool.AioFiles(asyncio.get_running_loop().ctx) as files:  # type: ignore[attr-defined]
        log = Log(files, path)
        await asyncio.gather(*(log.append(b"%d" % number) for number in range(10)))
        log.close()
        with path.open("ab") as file:  # as a crash in the middle of a record has it
            file.write(HEAD.pack(100, 0) + b"torn")
        log = Log(files, path)
        total = sum(map(int, log.records()))
        log.close()
    return total


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as home:
        print(tpool.run(main(Path(home) / "log")))
