# SPDX-License-Identifier: MIT
"""Ring: messages from one process to others, through memory that they share."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import operator
import os
from typing import TYPE_CHECKING, Protocol, Self

import tpool._core as _core

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from typing_extensions import Buffer

__all__ = ["Ring", "RingHandler"]

_NAMES = "/dev/shm"
# Of what has no name: nobody makes it smaller under another one's feet.
_SEALS = (
    *(getattr(fcntl, "F_SEAL_SHRINK", 0), getattr(fcntl, "F_SEAL_GROW", 0)),
    getattr(fcntl, "F_SEAL_SEAL", 0),
)
_HEAD, _PLACE = 64, 128  # bytes: docs/ring.md


class Ring(_core.Ring):
    """A one-way ring of messages: one process writes, one or many read.

    Each reader sees all messages, from the first on; the writer waits for the slowest.
    Which side a process is, it says by what it does first: send(), or recv(). One that
    does both is both, as two threads may be. A side that has to wait polls, for as long
    as that has paid of late, and then sleeps; who is awake is told nothing, so two that
    are busy make no system calls.

    Ring.create() and Ring.attach() see to the memory. One that was created is handed to
    a child of a fork as it is, and to multiprocessing's processes as an argument.

    Args:
        buffer: What the processes share, writable: a SharedMemory's buf, an mmap. It is
            held until the ring is closed.
        readers: To make the ring: how many processes will read it, 1 to 64. None: it
            has been made.

    Raises:
        ValueError: The buffer is too small, or there is no ring in it; a value is out
            of range; TPOOL_POLL_MAX_NS is no number.
        BufferError: It is not writable.

    Context: Any thread; also a context manager, which closes it. After a fork the child
        may be another side; the parent's stays the parent's. Linux alone.
    Source: virtio's event index, VIRTIO_F_EVENT_IDX.
    """

    if TYPE_CHECKING:

        def __new__(cls, buffer: Buffer, readers: int | None = None) -> Self:
            """Use what is in a buffer, or make it; see the class."""

    _map: mmap.mmap | None = None
    _fd: int = -1
    _name: str | None = None
    _turns: tuple[asyncio.AbstractEventLoop, asyncio.Lock, asyncio.Lock] | None = None

    @classmethod
    def create(
        cls, name: str | None = None, *, size: int = 1 << 20, readers: int = 1
    ) -> Self:
        """Make a ring, and the memory for it.

        Args:
            name: What others attach it by, until unlink(); none: they get it by a fork,
                as an argument of a multiprocessing.Process, or by memory_fd.
            size: Bytes of messages on their way, 8 to 15 for each included; raised to a
                power of two. A message takes half of it at most.
            readers: How many processes will read it, 1 to 64. The writer waits for each
                of them, those that have yet to come included.

        Raises:
            FileExistsError: There is one of that name.
            ValueError: A value is out of range, or the name not that of a file.
            OSError: The system gives no memory, or no fd.

        Context: Any thread.
        """
        if not 64 <= size <= 1 << 31:
            raise ValueError(f"size must be from 64 to {1 << 31}, not {size}")
        if not 1 <= readers <= 64:
            raise ValueError(f"readers must be from 1 to 64, not {readers}")
        size = 1 << (operator.index(size) - 1).bit_length()
        length = _HEAD + _PLACE * (1 + readers) + size
        fd = _new_file() if name is None else _new_named_file(name)
        try:
            os.ftruncate(fd, length)
            if name is not None:
                os.posix_fallocate(fd, 0, length)  # else who writes gets SIGBUS
            else:
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, sum(_SEALS))
            self = cls._of_file(fd, readers)
            if name is not None:
                _give_name(fd, name)
                self._name = name
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return self

    @classmethod
    def attach(cls, ring: str | int) -> Self:
        """Use a ring that another process has created.

        Args:
            ring: Its name, or an inherited fd, which remains the caller's.

        Raises:
            FileNotFoundError: There is none of that name.
            ValueError: There is no ring in it.
            OSError: It cannot be mapped.

        Context: Any thread.
        """
        if isinstance(ring, str):
            fd = os.open(_path(ring), os.O_RDWR | os.O_CLOEXEC)
        else:
            fd = os.dup(ring)
        try:
            self = cls._of_file(fd, None)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._name = ring if isinstance(ring, str) else None
        return self

    @classmethod
    def _of_file(cls, fd: int, readers: int | None) -> Self:
        memory = mmap.mmap(fd, 0)
        self = cls(memory, readers)
        self._map = memory
        return self

    @property
    def memory_fd(self) -> int:
        """The fd of the memory, which attach() takes; -1: closed, or in a buffer."""
        return self._fd

    def unlink(self) -> None:
        """Take the name away; who has the ring goes on.

        Raises:
            ValueError: It has none.
            FileNotFoundError: It has been taken away.

        Context: Any thread.
        """
        if self._name is None:
            raise ValueError("the Ring has no name")
        os.unlink(_path(self._name))

    async def send_async(self, data: bytes | bytearray | memoryview) -> None:
        """Send a message as send() does, on any asyncio loop.

        Args:
            data: A bytes-like object, message_max bytes at most.

        Raises:
            OSError: As send(), and its other exceptions.

        Context: A coroutine of any loop, of one at a time; those that have to wait do so
            one by one. One that is cancelled has sent nothing.
        """
        async with self._async_turn(True):
            while not self.try_send(data):
                await self._moved(True)

    async def recv_async(self) -> bytes:
        """Take the oldest message as recv() does, on any asyncio loop.

        Returns:
            A copy of it.

        Raises:
            EOFError: As recv(), and its other exceptions.

        Context: As send_async(). One that is cancelled has taken nothing.
        """
        async with self._async_turn(False):
            while (message := self.try_recv()) is None:
                await self._moved(False)
            return message

    def _async_turn(self, writes: bool) -> asyncio.Lock:
        """Whose turn it is among the coroutines of one side."""
        import asyncio

        loop = asyncio.get_running_loop()
        turns = self._turns
        if turns is None or turns[0] is not loop:
            self._turns = turns = (loop, asyncio.Lock(), asyncio.Lock())
        return turns[2] if writes else turns[1]

    async def _moved(self, writes: bool) -> None:
        """Wait until another side may have moved."""
        import asyncio

        loop = asyncio.get_running_loop()
        moved = loop.create_future()
        fd = self._hold(writes)
        try:
            if self._arm(writes):
                loop.add_reader(fd, _set_done, moved)
                try:
                    await moved
                finally:
                    loop.remove_reader(fd)
                if not self.closed:
                    self._disarm(writes)
                    self._check(writes)
        finally:
            self._let_go(writes)

    def close(self) -> None:
        """Be no side of the ring any more, and tell the others.

        A thread that waits in it raises RuntimeError. The place stays taken: no other
        process can go on in it. May be called twice; a Ring that is dropped is closed.

        Context: Any thread.
        """
        super().close()
        memory = self.__dict__.pop("_map", None)  # of two threads one has it
        if memory is not None:
            with contextlib.suppress(BufferError):  # a thread has yet to leave
                memory.close()
        self._close_fd()

    def _close_fd(self) -> None:
        fd = self.__dict__.pop("_fd", -1)
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Let go of the fd."""
        self._close_fd()

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Hand it to a process of multiprocessing."""
        from multiprocessing import reduction

        if self._fd < 0:
            raise TypeError("a Ring that is closed, or in a buffer, cannot be pickled")
        return _attach_duplicate, (type(self), reduction.DupFd(self._fd))

    def __repr__(self) -> str:
        """Tell its state."""
        state = "closed" if self.closed else "open"
        name = "" if self._name is None else f" {self._name!r}"
        return (
            f"<{type(self).__name__}{name} {state} size={self.size} "
            f"readers={self.readers}>"
        )


class RingHandler:
    """What AioContext.add_ring() returns: close() takes the ring out of the context."""

    _BATCH = 64  # messages of one turn: others are to have theirs

    def __init__(
        self,
        ctx: _core.AioContext,
        kept: set[RingHandler],
        ring: Ring,
        on_message: Callable[[bytes], object],
        on_end: Callable[[Exception], object] | None,
    ) -> None:
        """Have the context look at it, and keep it; see AioContext.add_ring()."""
        self._ctx = ctx
        self._kept = kept
        self._ring = ring
        self._on_message = on_message
        self._on_end = on_end
        self._fd = ring._hold(False)
        self._open = True
        kept.add(self)
        try:
            ctx.set_fd_handler(
                self._fd, self._woken, io_poll=self._look, io_poll_ready=self._take
            )
        except BaseException:
            self._let_go()
            raise
        # While it polls nobody is to ring for it.
        ctx.set_fd_poll(self._fd, self._look_by_itself, self._ask)
        ctx.call_soon(self._take)

    def close(self) -> None:
        """Take the ring out of the context; what has come stays in the ring.

        May be called twice.

        Raises:
            RuntimeError: Another thread polls the context.

        Context: The owner of the context, or whoever has acquired it.
        """
        if self._open:
            if not self._ctx.closed:
                self._ctx.set_fd_handler(self._fd)
            self._let_go()

    def _let_go(self) -> None:
        """The context has it no more."""
        if self._open:
            self._open = False
            self._kept.discard(self)
            self._look_by_itself()
            self._ring._let_go(False)

    def _look(self) -> bool:
        return self._ring.closed or self._ring._has_moved(False)

    def _look_by_itself(self) -> None:
        if not self._ring.closed:
            self._ring._disarm(False)

    def _ask(self) -> None:
        if self._open and not self._ring.closed:
            self._ring._arm(False)  # what has come meanwhile _look() sees

    def _woken(self) -> None:
        if not self._ring.closed:
            self._ring._check(False)
        self._take()

    def _take(self) -> None:
        """Hand over what there is; then ask to be woken, or come again."""
        again = True
        try:
            for _ in range(self._BATCH):
                message = self._next()
                if message is None:
                    again = False
                    break
                self._on_message(message)
        finally:
            if again and self._open:
                self._ctx.call_soon(self._take)

    def _next(self) -> bytes | None:
        """Return a message; None: there is none, and it will be told of one."""
        try:
            while self._open:
                message = self._ring.try_recv()
                if message is not None or self._ring._arm(False):
                    return message
        except Exception as error:  # also one of a view that is not released
            self.close()
            if self._on_end is not None:
                self._on_end(error)
        return None


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _path(name: str) -> str:
    if not name or "/" in name or name in (".", ".."):
        raise ValueError(f"name must be that of a file, without /, not {name!r}")
    return f"{_NAMES}/{name}"


def _new_file() -> int:
    return os.memfd_create("tpool.Ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def _new_named_file(name: str) -> int:
    """Make one that gets its name when the ring is in it."""
    _path(name)
    return os.open(_NAMES, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


class _Duplicate(Protocol):
    """What multiprocessing makes of an fd for another process."""

    def detach(self) -> int:
        """Return it there."""


def _give_name(fd: int, name: str) -> None:
    """Have others find it, whole."""
    # With a dir_fd os.link() follows the link that stands for the fd, as it is told to.
    path = f"/proc/self/fd/{fd}"
    os.link(path, _path(name), src_dir_fd=fd, follow_symlinks=True)


def _attach_duplicate(cls: type[Ring], fd: _Duplicate) -> Ring:
    inherited = fd.detach()
    try:
        return cls.attach(inherited)
    finally:
        os.close(inherited)
