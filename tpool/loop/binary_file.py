# SPDX-License-Identifier: MIT
"""BinaryFile: a file of bytes for coroutines, buffered as io.BufferedRandom is."""

from __future__ import annotations

import asyncio
import errno
import io
import operator
import os
import warnings
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Buffer

    from tpool._core import Request
    from tpool.aio_files import AioFiles

__all__ = ["BinaryFile", "size_of"]

_T = TypeVar("_T")

# What is read ahead of short reads, and written behind short writes; bytes.
_BUFFER = io.DEFAULT_BUFFER_SIZE
# Of a file of unknown size one read asks for no more.
_CHUNK_MAX = 1 << 20
_OFFSET_MAX = (1 << 63) - 1


def size_of(size: int | None) -> int:
    """Return how much is to be read, -1: all.

    Raises:
        TypeError: It is no int.
    """
    return -1 if size is None else operator.index(size)


class BinaryFile:
    """A file opened by tpool.open() in a binary mode.

    Its methods are those of a binary file of io.open(), as coroutines: what they read
    ahead is in memory, and what they write is written by flush(), close(), or when there
    is much of it. Two tasks may use it: one call after the other is done.

    A task that is cancelled in a call has read nothing: the next one reads the same.
    What the system is about then it goes on with; the next call waits for its end, and
    raises what became of it, if that is an error.

    Context: Coroutines of the loop that it was opened in; close() in any.
    """

    _fd = -1

    def __init__(
        self,
        files: AioFiles,
        opened: tuple[int, int, int, bool],
        name: object,
        mode: str,
        buffering: int = -1,
        closefd: bool = True,
    ) -> None:
        """Take an open file over; see tpool.open().

        Args:
            files: Who reads and writes it.
            opened: Its fd, its size, where to begin, and whether what is written goes
                to its end.
            name: Of it.
            mode: How it was opened.
            buffering: Bytes that are buffered; -1: as many as usual.
            closefd: Whether close() closes the fd.
        """
        self._files = files
        # _size: when it was opened; _pos: of the user, what comes next.
        self._fd, self._size, self._pos, self._append = opened
        self._can_read = "r" in mode or "+" in mode
        self._can_write = "r" not in mode or "+" in mode
        self._buffer = _BUFFER if buffering < 0 else buffering
        self._closefd = closefd
        self._pid = os.getpid()
        self._lock = asyncio.Lock()
        self._ahead, self._at = b"", 0  # what was read, of which so much is behind
        self._dirty = bytearray()  # what was written, up to where the user is
        # What the system is about, and whether that writes the beginning of _dirty.
        self._flying: Request[Any] | None = None
        self._writes = False
        self.name = name
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

    def isatty(self) -> bool:
        """Return False: others are not opened."""
        return False

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
            await self._begin_read()
            await self._gather(size)
            return self._take(size)
        finally:
            self._lock.release()

    async def read1(self, size: int = -1, /) -> bytes:
        """Read so many bytes at most, by one read of the system's, or none.

        Raises as read().
        """
        async with self._lock:
            await self._begin_read()
            return await self._read1(size)

    async def peek(self, size: int = 0, /) -> bytes:
        """Return what comes next, and stay before it: more than no byte, or the end.

        Raises as read().
        """
        async with self._lock:
            await self._begin_read()
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
            await self._begin_read()
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
            await self._begin_read()
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
            await self._begin_read()
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

        Returns:
            The place, bytes from the beginning.

        Raises:
            ValueError: It is closed, or there is no such place.
            OSError: The place is before the beginning; or see write().
        """
        async with self._lock:
            self._check()
            return await self._seek(operator.index(offset), whence)

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
        if self._is_forked():
            self._drop()
            return
        async with self._lock:
            if self._fd < 0:
                return
            try:
                await self._settle()
            finally:
                await self._close()

    def __del__(self) -> None:
        """Close what nobody has closed, as io does: write what is left, and warn."""
        if self._fd < 0:
            return
        if self._closefd:
            warnings.warn(f"unclosed file {self!r}", ResourceWarning, 2, source=self)
        if self._is_forked():
            self._drop()
        elif self._flying is None or not self._finish_behind(self._flying):
            self._finish(self._leave())

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

    def _check(self) -> None:
        if self._fd < 0:
            raise ValueError("I/O operation on closed file.")

    # What follows has the lock.

    async def _begin_read(self) -> None:
        self._check()
        if not self._can_read:
            raise io.UnsupportedOperation("not readable")
        if self._flying is not None or self._dirty:
            await self._flush()
        if not self._buffer:
            self._ahead, self._at = b"", 0

    async def _begin_write(self) -> None:
        self._check()
        if not self._can_write:
            raise io.UnsupportedOperation("not writable")
        await self._settle()

    async def _call(self, request: Request[_T], writes: bool = False) -> _T:
        """Have the system do something with the file; return its result."""
        self._flying, self._writes = request, writes
        try:
            return await request
        finally:
            if request.done() or request.cancelled():
                self._land(request)

    async def _settle(self) -> None:
        """Wait for what a cancelled call has left to the system."""
        if self._flying is not None:
            await self._call(self._flying, self._writes)

    def _land(self, request: Request[Any]) -> None:
        """The system has done it, or nobody has begun."""
        self._flying = None
        if self._writes and not request.cancelled() and request.exception() is None:
            del self._dirty[: request.result()]
            if self._append and self._fd >= 0:
                self._pos = os.fstat(self._fd).st_size + len(self._dirty)

    def _go(self, pos: int) -> None:
        if pos != self._pos:
            self._ahead, self._at = b"", 0
            self._pos = pos

    def _take(self, size: int) -> bytes:
        """Return what was read ahead, so much of it at most; -1: all."""
        end = len(self._ahead) if size < 0 else self._at + size
        data = self._ahead[self._at : end]
        self._at += len(data)
        self._pos += len(data)
        if self._at == len(self._ahead):
            self._ahead, self._at = b"", 0  # it may be much
        return data

    async def _gather(self, size: int, end: bytes | None = None) -> None:
        """Read ahead so many bytes, or all (-1), or until there is an end of a line.

        All or nothing is kept: what it reads is joined once.
        """
        have = len(self._ahead) - self._at
        if 0 <= size <= have:
            return
        parts = [self._ahead[self._at :]] if have else []
        least = self._buffer or _BUFFER
        while size < 0 or have < size:
            at = self._pos + have
            if end is not None:
                want = least
            elif size >= 0:
                want = max(size - have, least)
            elif at < self._size:
                want = self._size - at + 1  # one more tells of the end
            else:
                want = min(max(2 * have, least), _CHUNK_MAX)
            part = await self._call(self._files.pread(self._fd, want, at))
            if part:
                parts.append(part)
                have += len(part)
            if not part or (len(part) < want and at + len(part) == self._size):
                break
            if end is not None and end in part:
                break
        self._ahead, self._at = b"".join(parts), 0

    async def _read1(self, size: int) -> bytes:
        if self._at == len(self._ahead) and size:
            await self._gather(1)
        return self._take(self._buffer or _BUFFER if size < 0 else size)

    async def _readline(self, size: int) -> bytes:
        end = self._ahead.find(b"\n", self._at) + 1
        if not end:
            await self._gather(size, b"\n")
            end = self._ahead.find(b"\n", self._at) + 1 or len(self._ahead)
        count = end - self._at
        return self._take(count if size < 0 else min(size, count))

    async def _write(self, data: Buffer) -> int:
        self._ahead, self._at = b"", 0
        before = len(self._dirty)
        self._dirty += memoryview(data)
        count = len(self._dirty) - before
        self._pos += count
        if len(self._dirty) >= self._buffer:
            try:
                await self._flush()
            except OSError:  # who writes hears of it: these are not tried again
                left = min(count, len(self._dirty))
                del self._dirty[len(self._dirty) - left :]
                self._pos -= left
                raise
        return count

    async def _flush(self) -> None:
        await self._settle()
        while self._dirty:
            at = self._pos - len(self._dirty)
            await self._call(self._files.pwrite(self._fd, self._dirty, at), True)

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
        if offset > _OFFSET_MAX:
            raise ValueError(f"offset must be below 2**63, not {offset!r}")
        self._go(offset)
        return offset

    async def _truncate(self, size: int) -> int:
        await self._flush()
        self._ahead, self._at = b"", 0
        await self._call(self._files._threads.submit(os.ftruncate, self._fd, size))
        return size

    # The end.

    async def _close(self) -> None:
        if self._flying is not None and self._finish_behind(self._flying):
            return  # this was cancelled twice
        fd = self._leave()
        if not self._can_write:
            self._finish(fd)
            return
        try:  # the system may write what it has of it, over a network say
            request = self._files._threads.submit(self._finish, fd)
        except RuntimeError:  # its loop is closed
            self._finish(fd)
            return
        request.add_done_callback(lambda r: self._finish(fd) if r.cancelled() else None)
        await request

    def _leave(self) -> int:
        fd, self._fd = self._fd, -1
        return fd

    def _finish(self, fd: int) -> None:
        """Write what is left, and close it: whoever does nobody else uses it any more."""
        at = self._pos - len(self._dirty)
        try:
            with memoryview(self._dirty) as rest:
                done = 0
                while done < len(rest):
                    done += os.pwrite(fd, rest[done:], at + done)
        finally:
            self._dirty, self._ahead = bytearray(), b""
            if self._closefd:
                os.close(fd)
            else:
                os.lseek(fd, self._pos, os.SEEK_SET)

    def _finish_behind(self, request: Request[Any]) -> bool:
        """Have it be finished when the system has done this; False: it has."""
        if request.done() or request.cancelled():
            self._land(request)
            return False
        fd = self._leave()

        def finish(request: Request[Any]) -> None:
            self._land(request)
            self._finish(fd)

        request.add_done_callback(finish)
        return True

    def _is_forked(self) -> bool:
        return self._pid != os.getpid()

    def _drop(self) -> None:
        """Close it, in the child of a fork: what was written its parent writes."""
        fd = self._leave()
        if fd >= 0 and self._closefd:
            os.close(fd)
