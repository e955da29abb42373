# SPDX-License-Identifier: MIT
"""BinaryFile: a file of bytes for coroutines, buffered as io.BufferedRandom is."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import warnings
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Buffer

    from tpool._core import Request
    from tpool.aio_files import AioFiles

__all__ = ["BinaryFile"]

# What is read ahead of short reads, and written behind short writes; bytes.
_BUFFER = io.DEFAULT_BUFFER_SIZE
# Of a file of unknown size one read asks for no more.
_CHUNK_MAX = 1 << 20


class BinaryFile:
    """A file opened by tpool.open() in a binary mode.

    Its methods are those of a binary file of io.open(), as coroutines: what they read
    ahead is in memory, and what they write is written by flush(), close(), or when there
    is much of it. Two tasks may use it: one call after the other is done.

    Context: Coroutines of the loop that it was opened in.
    """

    _fd = -1

    def __init__(
        self, files: AioFiles, fd: int, size: int, path: object, mode: str
    ) -> None:
        """Take an open file over; see tpool.open()."""
        self._files = files
        self._fd = fd
        self._size = size  # when it was opened
        self._append = "a" in mode
        self._can_read = "r" in mode or "+" in mode
        self._can_write = "r" not in mode or "+" in mode
        self._lock = asyncio.Lock()
        self._pos = size if self._append else 0  # of the user: what comes next
        self._ahead, self._at = b"", 0  # what was read, of which so much is behind
        self._dirty = bytearray()  # what was written, up to where the user is
        self._writing: Request[int] | None = None  # of the beginning of that
        self.name = path
        self.mode = mode

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._fd < 0

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

    def seekable(self) -> bool:
        """Return True: others are not opened."""
        return True

    def _check(self) -> None:
        if self._fd < 0:
            raise ValueError("I/O operation on closed file.")

    def _check_read(self) -> None:
        self._check()
        if not self._can_read:
            raise io.UnsupportedOperation("not readable")

    def _check_write(self) -> None:
        self._check()
        if not self._can_write:
            raise io.UnsupportedOperation("not writable")

    async def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes, or, by default, all to the end of the file.

        Returns:
            The bytes: fewer where the file ends, b"" at its end.

        Raises:
            ValueError: It is closed.
            io.UnsupportedOperation: It was not opened for reading.
            OSError: It cannot be read.
        """
        await self._lock.acquire()
        try:
            self._check_read()
            if self._dirty:
                await self._flush()
            if size is None or size < 0:
                return await self._read_all()
            while len(self._ahead) - self._at < size:
                if not await self._fill(size - len(self._ahead) + self._at):
                    break
            return self._take(size)
        finally:
            self._lock.release()

    async def read1(self, size: int = -1, /) -> bytes:
        """Read so many bytes at most, by one read of the system's, or none.

        Raises as read().
        """
        async with self._lock:
            self._check_read()
            return await self._read1(_BUFFER if size < 0 else size)

    async def readinto(self, buffer: Buffer, /) -> int:
        """Read into a writable buffer until it is full, or the file ends.

        Returns:
            The number of bytes read.

        Raises as read().
        """
        async with self._lock:
            self._check_read()
            await self._flush()
            rest = memoryview(buffer).cast("B")
            done = min(len(rest), len(self._ahead) - self._at)
            rest[:done] = self._take(done)
            while done < len(rest):
                # What is cancelled still has it: nothing is released here.
                part = rest[done:]
                count = await self._files.pread(self._fd, part, self._pos)
                if not count:
                    break
                self._pos += count
                done += count
            return done

    async def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line with its end, or so many bytes of it.

        Raises as read().
        """
        await self._lock.acquire()
        try:
            self._check_read()
            if self._dirty:
                await self._flush()
            return await self._readline(-1 if size is None else size)
        finally:
            self._lock.release()

    async def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Read all lines, or lines of so many bytes or a few more in all.

        Raises as read().
        """
        lines: list[bytes] = []
        total = 0
        while line := await self.readline():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint < total:
                break
        return lines

    def __aiter__(self) -> Self:
        """Return self, whose lines are iterated over."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next line."""
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def write(self, data: Buffer, /) -> int:
        """Write all of a buffer; it reaches the file no later than by flush().

        Returns:
            The number of bytes, all of them.

        Raises:
            ValueError: It is closed.
            io.UnsupportedOperation: It was not opened for writing.
            OSError: What was written before cannot be; it is tried again.
        """
        async with self._lock:
            self._check_write()
            return await self._write(bytes(memoryview(data)))

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

    async def fsync(self) -> None:
        """Do so, and have all of it on the device.

        Raises as write().
        """
        async with self._lock:
            self._check()
            await self._flush()
            await self._files.fsync(self._fd)

    async def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place: from the beginning (0), from here (1), or from the end (2).

        Returns:
            The place, bytes from the beginning.

        Raises:
            ValueError: It is closed.
            OSError: The place is before the beginning; or see write().
        """
        async with self._lock:
            self._check()
            return await self._seek(offset, whence)

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
            self._check_write()
            await self._flush()
            self._forget()
            size = self._pos if size is None else size
            await self._files._threads.submit(os.ftruncate, self._fd, size)
            return size

    async def close(self) -> None:
        """Write what is left, and close the file. May be called twice.

        Raises:
            OSError: Something could not be written; it is closed all the same.
        """
        if self._fd >= 0 and not self._can_write and not self._lock.locked():
            os.close(self._fd)
            self._fd = -1
            return
        async with self._lock:
            if self._fd < 0:
                return
            try:
                await self._flush()
            finally:
                fd, self._fd = self._fd, -1
                await self._close(fd)

    def __del__(self) -> None:
        """Close what nobody has closed; what is buffered is lost."""
        if self._fd >= 0:
            warnings.warn(f"unclosed file {self!r}", ResourceWarning, 2, source=self)
            fd, self._fd = self._fd, -1
            if self._writing is None or self._writing.done():
                os.close(fd)
            else:
                self._writing.add_done_callback(lambda _: os.close(fd))

    async def _close(self, fd: int) -> None:
        if self._writing is not None and not self._writing.done():
            # This was cancelled in the middle of that, which goes on.
            self._writing.add_done_callback(lambda _: os.close(fd))
        elif not self._can_write:
            os.close(fd)
        else:  # the system may write what it has of it, over a network say
            try:
                request = self._files._threads.submit(os.close, fd)
            except BaseException:  # its loop is closed
                os.close(fd)
                raise
            await request

    async def __aenter__(self) -> Self:
        """Return self."""
        self._check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    def __repr__(self) -> str:
        """Tell what it is."""
        state = " closed" if self.closed else ""
        return f"<tpool.{type(self).__name__} name={self.name!r} mode={self.mode!r}{state}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("an open file cannot be pickled")

    # What follows has the lock.

    def _take(self, size: int) -> bytes:
        """Return what was read ahead, so much of it at most."""
        data = self._ahead[self._at : self._at + size]
        self._at += len(data)
        self._pos += len(data)
        return data

    def _forget(self) -> None:
        self._ahead, self._at = b"", 0

    async def _fill(self, size: int) -> bool:
        """Read ahead more; False at the end of the file."""
        rest = self._ahead[self._at :]
        more = await self._files.pread(
            self._fd, max(size, _BUFFER), self._pos + len(rest)
        )
        self._ahead, self._at = rest + more, 0
        return bool(more)

    async def _read1(self, size: int) -> bytes:
        await self._flush()
        if self._at == len(self._ahead) and size:
            await self._fill(size)
        return self._take(size)

    async def _read_all(self) -> bytes:
        whole = self._ahead[self._at :]
        at = self._pos + len(whole)
        size = self._size - at + 1  # one more tells of the end
        size = size if size > 1 else _BUFFER
        while part := await self._files.pread(self._fd, size, at):
            at += len(part)
            whole = whole + part if whole else part
            if len(part) < size and at == self._size:
                break
            size = min(max(2 * len(whole), _BUFFER), _CHUNK_MAX)
        self._forget()
        self._pos = at
        return whole

    async def _readline(self, size: int) -> bytes:
        seen = 0
        while True:
            end = self._ahead.find(b"\n", self._at + seen) + 1
            count = end - self._at if end else len(self._ahead) - self._at
            if end or 0 <= size <= count:
                break
            seen = count
            if not await self._fill(0):
                break
        return self._take(count if size < 0 else min(size, count))

    async def _write(self, data: bytes) -> int:
        self._forget()
        self._dirty += data
        self._pos += len(data)
        if len(self._dirty) >= _BUFFER:
            await self._flush()
        return len(data)

    async def _flush(self) -> None:
        while self._dirty:
            request = self._writing
            if request is None or request.cancelled():
                at = self._pos - len(self._dirty)
                request = self._files.pwrite(self._fd, bytes(self._dirty), at)
                self._writing = request
            # Else who waited for it was cancelled, and it goes on.
            try:
                written = await request
            except OSError:
                self._writing = None
                raise
            self._writing = None
            del self._dirty[:written]
            if self._append:
                self._pos = os.fstat(self._fd).st_size + len(self._dirty)

    async def _seek(self, offset: int, whence: int) -> int:
        await self._flush()
        if whence == os.SEEK_CUR:
            offset += self._pos
        elif whence == os.SEEK_END:
            offset += os.lseek(self._fd, 0, os.SEEK_END)  # a device's, too
        elif whence != os.SEEK_SET:
            raise ValueError(f"whence must be 0, 1 or 2, not {whence!r}")
        if offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if offset != self._pos:
            self._forget()
            self._pos = offset
        return offset
