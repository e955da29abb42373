# SPDX-License-Identifier: MIT
"""open(): files for coroutines, in any asyncio loop."""

from __future__ import annotations

import asyncio
import io
import itertools
import locale
import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

import tpool._core as _core
from tpool.loop.binary_file import BinaryFile
from tpool.loop.event_loop import EventLoop
from tpool.loop.guest import lodger_of
from tpool.loop.text_file import TextFile

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import Literal, TypeAlias

    from tpool.aio_files import AioFiles

    _Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    _TextMode: TypeAlias = Literal[
        "r", "w", "a", "x", "r+", "w+", "a+", "x+", "rt", "wt", "at", "xt"
    ]
    _BinaryMode: TypeAlias = Literal[
        "rb", "wb", "ab", "xb", "r+b", "w+b", "a+b", "x+b", "rb+", "wb+", "ab+", "xb+"
    ]

__all__ = ["open"]

_F = TypeVar("_F", BinaryFile, TextFile)

_KINDS = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}


def _flags_of_modes() -> dict[str, int]:
    """Return what os.open() takes, by mode, the letters in any order."""
    flags = {}
    for kind, rest in itertools.product(_KINDS, ("", "b", "t", "+", "+b", "+t")):
        found = _KINDS[kind] | os.O_CLOEXEC
        if "+" in rest:
            found = found & ~os.O_WRONLY | os.O_RDWR
        for letters in itertools.permutations(kind + rest):
            flags["".join(letters)] = found
    return flags


_FLAGS = _flags_of_modes()


def _files_of(loop: asyncio.AbstractEventLoop) -> AioFiles:
    return loop.files if isinstance(loop, EventLoop) else lodger_of(loop).files


def _open_in_a_thread(path: _Path, flags: int) -> tuple[int, int]:
    fd = os.open(path, flags | os.O_NONBLOCK, 0o666)  # or it waits for a pipe's end
    try:
        os.set_blocking(fd, True)
        found = os.fstat(fd)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(21, os.strerror(21), path)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            raise io.UnsupportedOperation(
                f"neither a regular file nor a block device: {path!r}"
            )
    except BaseException:
        os.close(fd)
        raise
    return fd, found.st_size


class _Opening(Generic[_F]):
    """What open() returns: to be awaited, or entered."""

    def __init__(
        self, path: _Path, mode: str, text: tuple[str, str, str | None] | None
    ) -> None:
        self._path = path
        self._mode = mode
        flags = _FLAGS.get(mode)
        if flags is None:
            raise ValueError(f"invalid mode: {mode!r}")
        self._flags = flags
        self._text = text
        self._file: _F | None = None

    async def _open(self) -> _F:
        files = _files_of(asyncio.get_running_loop())
        sys.audit("open", self._path, self._mode, self._flags)
        opened = _core._open_cached(self._path, self._flags)
        if opened is None:
            opened = await self._open_elsewhere(files)
        file: Any = BinaryFile(files, *opened, self._path, self._mode)
        if self._text is not None:
            file = TextFile(file, *self._text)
        return cast("_F", file)

    async def _open_elsewhere(self, files: AioFiles) -> tuple[int, int]:
        """Do it in a thread; what nobody waits for any more is closed."""
        request = files._threads.submit(_open_in_a_thread, self._path, self._flags)
        try:
            return await request
        except asyncio.CancelledError:
            request.add_done_callback(_close_unwanted)
            raise

    def __await__(self) -> Generator[Any, None, _F]:
        """Open it."""
        return self._open().__await__()

    async def __aenter__(self) -> _F:
        """Open it."""
        file = self._file = await self._open()
        return file

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._file is not None:
            await self._file.close()


def _close_unwanted(request: _core.Request[tuple[int, int]]) -> None:
    if not request.cancelled() and request.exception() is None:
        os.close(request.result()[0])


@overload
def open(
    path: _Path,
    mode: _TextMode = "r",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> _Opening[TextFile]: ...
@overload
def open(path: _Path, mode: _BinaryMode) -> _Opening[BinaryFile]: ...
def open(
    path: _Path,
    mode: str = "r",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> _Opening[Any]:
    """Open a file, for coroutines of any asyncio loop.

    Use it as `async with tpool.open(path) as file`, or await it. What is in the
    kernel's caches is opened and read without leaving the loop, all else by its
    AioFiles.

    Args:
        path: A path, of a regular file or a block device.
        mode: As of the built-in open(): "r", "w", "a" or "x", with "+" and with "b" or
            "t".
        encoding: Of a text; None: as open() has it.
        errors: What becomes of what cannot be decoded; None: an error.
        newline: Which ends of lines are known, and written; as open() has it.

    Returns:
        To be awaited, or entered: a BinaryFile, or a TextFile.

    Raises:
        ValueError: The mode is none, or encoding, errors or newline do not go with it.
        LookupError: There is no such encoding.
        OSError: It cannot be opened, when it is awaited.
        io.UnsupportedOperation: It is a pipe, say.

    Context: A coroutine.
    """
    if "b" in mode:
        for name, value in (
            ("encoding", encoding), ("errors", errors), ("newline", newline)
        ):  # fmt: skip
            if value is not None:
                raise ValueError(f"binary mode doesn't take an {name} argument")
        return _Opening(path, mode, None)
    if newline not in (None, "", "\n", "\r", "\r\n"):
        raise ValueError(f"illegal newline value: {newline!r}")
    encoding = io.text_encoding(encoding)
    if encoding == "locale":
        encoding = locale.getencoding()
    return _Opening(path, mode, (encoding, errors or "strict", newline))
