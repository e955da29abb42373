# SPDX-License-Identifier: MIT
"""open(): files for coroutines, in any asyncio loop."""

from __future__ import annotations

import asyncio
import fcntl
import io
import itertools
import operator
import os
import stat
import sys
import warnings
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

import tpool._core as _core
from tpool.loop.binary_file import BinaryFile
from tpool.loop.event_loop import EventLoop
from tpool.loop.guest import lodger_of
from tpool.loop.text_file import TextFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Literal, TypeAlias

    from tpool.aio_files import AioFiles

    _Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
    _Opener: TypeAlias = Callable[[Any, int], int]
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


def _check_kind(path: _Path | int, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, os.strerror(21), path)
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise io.UnsupportedOperation(
            f"neither a regular file nor a block device: {path!r}"
        )


class _Fd:
    """An fd that was opened in a thread: closed where nobody waits for it any more."""

    def __init__(self, fd: int, is_own: bool) -> None:
        self._fd = fd
        self._is_own = is_own

    def take(self) -> int:
        """Return it: it is the caller's now."""
        self._is_own = False
        return self._fd

    def close(self) -> None:
        if self._is_own:
            os.close(self.take())

    def __del__(self) -> None:
        self.close()


class _Opening(Generic[_F]):
    """What open() returns: to be awaited, or entered."""

    def __init__(
        self,
        file: _Path | int,
        mode: str,
        buffering: int,
        text: tuple[str, str, str | None] | None,
        closefd: bool,
        opener: _Opener | None,
    ) -> None:
        self._name = file
        self._mode = mode
        self._flags = _FLAGS[mode]
        self._buffering = buffering
        self._text = text
        self._closefd = closefd
        self._opener = opener
        self._file: _F | None = None

    async def _open(self) -> _F:
        files = _files_of(asyncio.get_running_loop())
        sys.audit("open", self._name, self._mode, self._flags)
        cached: tuple[int, int] | None = None
        if not isinstance(self._name, int) and self._opener is None:
            cached = _core._open_cached(self._name, self._flags)
        found: tuple[int, int, int, bool]
        if cached is None:
            owner, size, pos, appends = await files._threads.submit(
                self._open_in_a_thread
            )
            found = owner.take(), size, pos, appends
        else:  # of no "a", by which it could have to be made
            found = cached[0], cached[1], 0, False
        buffered = -1 if self._buffering == 1 else self._buffering
        file: Any = BinaryFile(
            files, found, self._name, self._mode, buffered, self._closefd
        )
        if self._text is not None:
            file = TextFile(file, *self._text, self._buffering == 1)
        return cast("_F", file)

    def _open_in_a_thread(self) -> tuple[_Fd, int, int, bool]:
        """Return what BinaryFile takes of a file that is open."""
        owner = _Fd(fd := self._open_fd(), not isinstance(self._name, int))
        try:
            found = os.fstat(fd)
            _check_kind(self._name, found.st_mode)
            whence = os.SEEK_END if "a" in self._mode else os.SEEK_CUR
            appends = bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND)
            return owner, found.st_size, os.lseek(fd, 0, whence), appends
        except BaseException:
            owner.close()
            raise

    def _open_fd(self) -> int:
        if isinstance(self._name, int):
            return self._name
        if self._opener is None:  # a pipe's would wait for its other end
            fd = os.open(self._name, self._flags | os.O_NONBLOCK, 0o666)
            os.set_blocking(fd, True)
            return fd
        fd = self._opener(self._name, self._flags)
        if not isinstance(fd, int) or fd < 0:
            raise ValueError(f"opener must return an fd, not {fd!r}")
        os.set_inheritable(fd, False)
        return fd

    def __await__(self) -> Generator[Any, None, _F]:
        """Open it."""
        return self._open().__await__()

    async def __aenter__(self) -> _F:
        """Open it."""
        if self._file is not None:
            raise RuntimeError("it is open already: each open() is entered once")
        file = self._file = await self._open()
        return file

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        file, self._file = self._file, None
        if file is not None:
            await file.close()


def _text_of(
    encoding: str, errors: str | None, newline: str | None
) -> tuple[str, str, str | None]:
    """Return how a text is read, as io has it, which checks it.

    Raises as open().
    """
    with io.TextIOWrapper(io.BytesIO(), encoding, errors, newline) as known:
        return known.encoding, known.errors or "strict", newline


@overload
def open(
    file: _Path | int,
    mode: _TextMode = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: _Opener | None = None,
) -> _Opening[TextFile]: ...
@overload
def open(
    file: _Path | int,
    mode: _BinaryMode,
    buffering: int = -1,
    encoding: None = None,
    errors: None = None,
    newline: None = None,
    closefd: bool = True,
    opener: _Opener | None = None,
) -> _Opening[BinaryFile]: ...
def open(
    file: _Path | int,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: _Opener | None = None,
) -> _Opening[Any]:
    """Open a file, for coroutines of any asyncio loop.

    Use it as `async with tpool.open(path) as file`, or await it. What is in the
    kernel's caches is opened and read without leaving the loop, all else by its
    AioFiles.

    Args:
        file: A path, of a regular file or a block device; or an fd of one, which is read
            and written from where it is.
        mode: As of the built-in open(): "r", "w", "a" or "x", with "+" and with "b" or
            "t".
        buffering: How many bytes are buffered; -1: as many as usual; 0: none, of a
            binary file; 1: a text is written at each end of a line.
        encoding: Of a text; None: as open() has it.
        errors: What becomes of what cannot be decoded; None: an error.
        newline: Which ends of lines are known, and written; as open() has it.
        closefd: Whether close() closes an fd that is given. If not, flush() and close()
            leave it where the file is.
        opener: Called in a thread, with the path and the flags, to return an fd.

    Returns:
        To be awaited, or entered: a BinaryFile, or a TextFile.

    Raises:
        RuntimeWarning: A binary file is to be buffered by lines.
        ValueError, TypeError: The mode is none, or another argument is wrong, or does
            not go with it.
        LookupError: There is no such encoding.
        OSError: It cannot be opened, when it is awaited.
        io.UnsupportedOperation: It is a pipe, say.

    Context: A coroutine.
    """
    if not isinstance(file, int):
        file = os.fspath(file)
        if not closefd:
            raise ValueError(f"closefd must be true with a path, not {closefd!r}")
    elif file < 0:
        raise ValueError(f"file must not be negative, as an fd: {file!r}")
    if not isinstance(mode, str):
        raise TypeError(f"mode must be a str, not {mode!r}")
    if mode not in _FLAGS:
        raise ValueError(f"invalid mode: {mode!r}")
    buffering = operator.index(buffering)
    if buffering < -1:
        raise ValueError(f"buffering must be -1 or more, not {buffering!r}")
    if "b" in mode:
        for name, value in (
            ("encoding", encoding), ("errors", errors), ("newline", newline)
        ):  # fmt: skip
            if value is not None:
                raise ValueError(f"binary mode doesn't take an {name} argument")
        text = None
        if buffering == 1:
            warnings.warn(
                "buffering=1 is for texts: a binary file is buffered as usual",
                RuntimeWarning,
                2,
            )
    else:
        if buffering == 0:
            raise ValueError("buffering=0 is for binary modes: a text is buffered")
        text = _text_of(io.text_encoding(encoding), errors, newline)
    return _Opening(file, mode, buffering, text, closefd, opener)
