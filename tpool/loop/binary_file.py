# SPDX-License-Identifier: MIT
"""BinaryFile: a file of bytes for coroutines, buffered as io.BufferedRandom is."""

from __future__ import annotations

import asyncio
import operator
import os
from typing import TYPE_CHECKING

from tpool.loop.async_file import AsyncFile
from tpool.loop.file_buffer import FileBuffer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer

__all__ = ["BinaryFile", "size_of"]


def size_of(size: int | None) -> int:
    """Return how much is to be read, -1: all.

    Raises:
        TypeError: It is no int.
    """
    return -1 if size is None else operator.index(size)


class BinaryFile(FileBuffer, AsyncFile[bytes]):
    """A file opened by tpool.open() in a binary mode.

    Its methods are those of a binary file of io.open(), as coroutines: what they read
    ahead is in memory, and what they write is written by flush(), close(), or when there
    is much of it. Two tasks may use it: one call after the other is done.

    A task that is cancelled in a call has read nothing: the next one reads the same.
    What the system is about then it goes on with; the next call waits for its end, and
    raises what became of it, if that is an error.

    Context: Coroutines of the loop that it was opened in; close() in any.
    """

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def fileno(self) -> int:
        """Return its fd.

        Raises:
            ValueError: It is closed.
        """
        self._check()
        return self._fd

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self._can_read

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._can_write

    async def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes, or, by default, all to the end of the file.

        Returns:
            The bytes: fewer where the file ends, b"" at its end.

        Raises:
            ValueError: It is closed, or the size is below -1.
            io.UnsupportedOperation: It was not opened for reading.
            OSError: It cannot be read.
        """
        size = size_of(size)
        if size < -1:
            raise ValueError(f"size must be -1 or more, not {size!r}")
        await self._lock.acquire()
        try:
            if self._begin_read():
                await self._flush()
            await self._gather(size)
            return self._take(size)
        finally:
            self._lock.release()

    async def read1(self, size: int = -1, /) -> bytes:
        """Read so many bytes at most, by one read of the system's, or none.

        Raises as read().
        """
        async with self._lock:
            if self._begin_read():
                await self._flush()
            return await self._read1(size)

    async def peek(self, size: int = 0, /) -> bytes:
        """Return what comes next, and stay before it: more than no byte, or the end.

        Raises as read().
        """
        async with self._lock:
            if self._begin_read():
                await self._flush()
            await self._gather(1)
            return self._ahead[self._at :]

    async def readinto(self, buffer: Buffer, /) -> int:
        """Read into a writable buffer until it is full, or the file ends.

        Returns:
            The number of bytes read.

        Raises as read(). A buffer of a task that is cancelled may be written to until
        the next call has returned.
        """
        async with self._lock:
            if self._begin_read():
                await self._flush()
            rest = memoryview(buffer).cast("B")
            known = self._ahead[self._at : self._at + len(rest)]
            done = len(known)
            rest[:done] = known
            while done < len(rest):
                # What is cancelled still has it: nothing is released here.
                part = rest[done:]
                count = await self._call(
                    self._files.pread(self._fd, part, self._pos + done)
                )
                if not count:
                    break
                done += count
            self._take(len(known))
            self._pos += done - len(known)
            return done

    async def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line with its end, or so many bytes of it.

        Raises as read().
        """
        size = size_of(size)
        await self._lock.acquire()
        try:
            if self._begin_read():
                await self._flush()
            return await self._readline(size)
        finally:
            self._lock.release()

    async def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Read all lines, or lines of so many bytes or a few more in all.

        Raises as read().
        """
        hint = size_of(hint)
        lines: list[bytes] = []
        async with self._lock:
            if self._begin_read():
                await self._flush()
            begin = self._pos
            try:
                while line := await self._readline(-1):
                    lines.append(line)
                    if 0 < hint < self._pos - begin:
                        break
            except BaseException:
                self._go(begin)
                raise
        return lines

    async def write(self, data: Buffer, /) -> int:
        """Write all of a buffer; it reaches the file no later than by flush().

        Returns:
            The number of bytes, all of them.

        Raises:
            ValueError: It is closed.
            io.UnsupportedOperation: It was not opened for writing.
            OSError: They cannot be written, or some that were written before; these
                are tried again.
        """
        async with self._lock:
            await self._begin_write()
            return await self._write(data)

    async def writelines(self, lines: Iterable[Buffer], /) -> None:
        """Write one buffer after the other.

        Raises as write().
        """
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Hand all that was written to the system.

        Raises as write().
        """
        async with self._lock:
            self._check()
            await self._flush()
            if not self._closefd:
                os.lseek(self._fd, self._pos, os.SEEK_SET)

    async def fsync(self) -> None:
        """Do so, and have all of it on the device.

        Raises as write().
        """
        async with self._lock:
            self._check()
            await self._flush()
            await self._call(self._files.fsync(self._fd))

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place: from the beginning (0), from here (1), or from the end (2).

        Or to the next data (os.SEEK_DATA) or hole (os.SEEK_HOLE) from a place on.

        Returns:
            The place, bytes from the beginning.

        Raises:
            ValueError: It is closed, or there is no such place.
            OSError: The place is before the beginning, or none is found; or see write().
        """
        async with self._lock:
            self._check()
            return await self._seek(operator.index(offset), operator.index(whence))

    async def tell(self) -> int:
        """Return the place where it is, bytes from the beginning.

        Raises:
            ValueError: It is closed.
        """
        self._check()
        return self._pos

    async def truncate(self, size: int | None = None, /) -> int:
        """Have the file end at a size, or here; what is missing is zeros.

        Returns:
            The size.

        Raises as write().
        """
        async with self._lock:
            await self._begin_write()
            return await self._truncate(self._pos if size is None else size)

    async def close(self) -> None:
        """Write what is left, and close the file. May be called twice.

        It waits for what a cancelled call has left to the system. Cancelled itself, it
        is done all the same.

        Raises:
            OSError: Something could not be written; it is closed all the same.
        """
        is_idle = self._flying is None and not self._lock.locked()
        if is_idle and not self._can_write and not self._closed:
            self._closed = True
            self._finish()
            return
        if self._is_forked():
            self._closed = True
            self._drop()
            return
        if self._lock.locked():  # by another task; a cancel ends the wait only
            await asyncio.shield(asyncio.ensure_future(self._close_in_turn()))
        else:
            await self._close_in_turn()

    async def _close_in_turn(self) -> None:
        async with self._lock:
            if self._closed:
                return
            try:
                if asyncio.get_running_loop() is self._loop:
                    await self._settle()
            finally:
                await self._close()

    def __repr__(self) -> str:
        """Tell what it is."""
        state = " closed" if self.closed else ""
        return f"<tpool.{type(self).__name__} name={self.name!r} mode={self.mode!r}{state}>"
