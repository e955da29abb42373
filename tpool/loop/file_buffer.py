# SPDX-License-Identifier: MIT
"""FileBuffer: what a file of open() is made of: its fd, its place, and its buffers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from tpool.registry import Registry
from tpool.thread_pool import after_shutdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from tpool._core import Request
    from tpool.aio_files import AioFiles

__all__ = ["FileBuffer"]

_T = TypeVar("_T")

# What is read ahead of short reads, and written behind short writes; bytes.
_BUFFER = io.DEFAULT_BUFFER_SIZE
# Of a file of unknown size one read asks for no more.
_CHUNK_MAX = 1 << 20
_OFFSET_MAX = (1 << 63) - 1
# Where the system knows of holes in files: to data, and to a hole.
_IN_HOLES = [getattr(os, k) for k in ("SEEK_DATA", "SEEK_HOLE") if hasattr(os, k)]
_WHENCES = ", ".join(map(str, range(3 + len(_IN_HOLES))))


class FileBuffer:
    """An open file, which reads ahead and writes behind.

    There is one call at a time, of who has the lock. What it reads it keeps when it has
    all of it, in one step: a task that is cancelled has read nothing. What the system is
    about then it goes on with, so the next call waits for that first, and raises what it
    raises: so no two of them overtake each other, and none finds another file by the fd.
    """

    _fd = -1  # until it is closed
    _closed = False  # or about to be

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
        self._loop = asyncio.get_running_loop()
        # _size: when it was opened; _pos: of the user, what comes next.
        self._fd, self._size, self._pos, self._append = opened
        self._can_read = "r" in mode or "+" in mode
        self._can_write = "r" not in mode or "+" in mode
        self._buffer = _BUFFER if buffering < 0 else buffering
        self._closefd = closefd
        self._forks = _forks
        self._lock = asyncio.Lock()
        self._ahead, self._at = b"", 0  # what was read, of which so much is behind
        self._dirty = bytearray()  # what was written, up to where the user is
        # What the system is about, and whether that writes the beginning of _dirty.
        self._flying: Request[Any] | None = None
        self._writes = False
        self.name = name
        self.mode = mode
        if self._can_write:
            _written.add(self)

    def __del__(self) -> None:
        """Close what nobody has closed, as io does: write what is left, and warn."""
        if self._fd >= 0:
            self._abandon()

    # Bound: when the collector comes at the exit, the module may be gone.
    def _abandon(self, warn: Callable[..., None] = warnings.warn) -> None:
        warns, told = self._closefd and not self._closed, repr(self)
        self._closed = True
        try:
            if self._is_forked():
                self._drop()
            elif not self._finish_behind():
                self._finish()
        finally:
            if warns:
                warn(f"unclosed file {told}", ResourceWarning, 3, source=self)

    def _check(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on closed file.")

    # What follows has the lock.

    def _begin_read(self) -> bool:
        """Check that it can be read; return whether _flush() has to be called before."""
        self._check()
        if not self._can_read:
            raise io.UnsupportedOperation("not readable")
        if not self._buffer:
            self._ahead, self._at = b"", 0
        return self._flying is not None or len(self._dirty) > 0

    async def _begin_write(self) -> None:
        self._check()
        if not self._can_write:
            raise io.UnsupportedOperation("not writable")
        await self._settle()

    async def _call(self, request: Request[_T], writes: bool = False) -> _T:
        """Have the system do something with the file; return its result."""
        self._flying, self._writes = request, writes
        told = True
        try:
            return await request
        except asyncio.CancelledError:
            # It may have failed just now: the next call raises that.
            told = not request.done() or request.cancelled() or not request.exception()
            raise
        finally:
            if told and (request.done() or request.cancelled()):
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
            request = self._files.pread(self._fd, want, at)
            # It is done, where it was in the page cache.
            part = request.result() if request.done() else await self._call(request)
            if part:
                parts.append(part)
                have += len(part)
            if not part or (len(part) < want and at + len(part) == self._size):
                break
            if end is not None and end in part:
                break
        self._ahead, self._at = b"".join(parts), 0

    async def _read1(self, size: int) -> bytes:
        least = self._buffer or _BUFFER
        if self._at == len(self._ahead) and size:
            want = max(size, least)
            part = await self._call(self._files.pread(self._fd, want, self._pos))
            self._ahead, self._at = part, 0
        return self._take(least if size < 0 else size)

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
        elif whence in _IN_HOLES:
            offset = os.lseek(self._fd, offset, whence)
        elif whence != os.SEEK_SET:
            raise ValueError(f"whence must be {_WHENCES}, not {whence!r}")
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

    # Whoever ends it keeps it: what is dropped with a loop __del__() finishes.

    async def _close(self) -> None:
        self._closed = True
        if self._finish_behind():
            return  # this was cancelled twice
        if not self._can_write or asyncio.get_running_loop() is not self._loop:
            self._finish()  # that one may not run any more
            return
        # In a thread: the system may write what it has of it, over a network say.
        request = self._files._threads.submit(self._finish)
        request.add_done_callback(lambda r: self._finish() if r.cancelled() else None)
        await request

    def _finish(self) -> None:
        """Write what is left, and close it: in any thread, where nobody else uses it."""
        if self._fd < 0:
            return
        try:
            while self._dirty:
                at = self._pos - len(self._dirty)
                del self._dirty[: os.pwrite(self._fd, self._dirty, at)]
        finally:
            self._dirty.clear()
            self._ahead, self._at = b"", 0
            if not self._closefd:
                os.lseek(self._fd, self._pos, os.SEEK_SET)
            self._drop()

    def _finish_behind(self) -> bool:
        """Have it be finished when the system is ready; False: it is."""
        request = self._flying
        if request is None:
            return False
        if self._loop.is_closed():
            self._files.close()  # which waits; nobody may hear of it any more
        if request.done() or request.cancelled():
            self._land(request)
            return False
        if self._loop.is_closed():
            self._flying = None
            if self._writes:  # a thread has: its loop does not hear of it
                with contextlib.suppress(OSError, RuntimeError):
                    del self._dirty[: request._late_result()]
            return False

        def finish(request: Request[Any]) -> None:
            self._land(request)
            self._finish()

        request.add_done_callback(finish)
        return True

    def _hear(self) -> None:
        """Have what was in flight be told, where no loop will: all calls have ended."""
        idle = not (self._loop.is_closed() or self._loop.is_running())
        if self._flying is not None and idle and not self._is_forked():
            with contextlib.suppress(OSError, asyncio.CancelledError):
                self._flying.result()

    def _is_forked(self) -> bool:
        return self._forks != _forks

    def _drop(self) -> None:
        """Close it; in the child of a fork what was written its parent writes."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._closefd:
            os.close(fd)


_written: Registry[FileBuffer] = Registry()
_forks = 0  # that led from the first process to this one


def _write_at_exit() -> None:
    """Write what is left: when the collector comes, modules may be gone."""
    with contextlib.ExitStack() as stack:  # one that fails does not keep others from it
        for file in _written:
            if file._fd >= 0:
                stack.callback(file._abandon)
                stack.callback(file._hear)


def _after_fork_in_child() -> None:
    global _forks
    _forks += 1


after_shutdown.append(_write_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
