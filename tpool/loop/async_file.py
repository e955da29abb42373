# SPDX-License-Identifier: MIT
"""AsyncFile: what the files of open() have alike, of bytes and of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, AnyStr, Generic, NoReturn, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["AsyncFile"]


class AsyncFile(ABC, Generic[AnyStr]):
    """A file of lines, which is closed where it is left."""

    @abstractmethod
    async def readline(self, size: int | None = -1, /) -> AnyStr:
        """Read a line with its end, or so much of it."""

    @abstractmethod
    async def close(self) -> None:
        """Write what is left, and close the file."""

    @abstractmethod
    def fileno(self) -> int:
        """Return its fd.

        Raises:
            ValueError: It is closed.
        """

    def seekable(self) -> bool:
        """Return True: others are not opened."""
        return True

    def isatty(self) -> bool:
        """Return False: others are not opened."""
        return False

    def __aiter__(self) -> Self:
        """Return self, whose lines are iterated over."""
        return self

    async def __anext__(self) -> AnyStr:
        """Return the next line."""
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        """Return self; it is open."""
        self.fileno()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("an open file cannot be pickled")
