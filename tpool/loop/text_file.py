# SPDX-License-Identifier: MIT
"""TextFile: a file of text for coroutines, as io.TextIOWrapper is."""

from __future__ import annotations

import codecs
import io
import os
from typing import TYPE_CHECKING, Any, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from tpool.loop.binary_file import BinaryFile

__all__ = ["TextFile"]

_CHUNK = 8192  # bytes decoded at once
_POS_MAX = (1 << 64) - 1


def _cookie(pos: int, skip: int, flags: int) -> int:
    """Return a place: of a byte, and so many characters after it.

    flags is the decoder's state there: 0 is that of most, and makes it a plain number.
    """
    return pos | skip << 64 | flags << 128


class TextFile:
    """A file opened by tpool.open() in a text mode.

    Its methods are those of a text file of io.open(), as coroutines; so are what
    encoding, errors and newline mean. What tell() returns is for seek() alone.

    Context: Coroutines of the loop that it was opened in, one at a time.
    """

    def __init__(
        self, binary: BinaryFile, encoding: str, errors: str, newline: str | None
    ) -> None:
        """Take a binary file over; see tpool.open()."""
        self._binary = binary
        self.encoding = encoding
        self.errors = errors
        self._end = newline or "\n"  # of a line; of any, where newline is ""
        self._universal = newline == ""
        self._written_end = os.linesep if newline is None else newline
        decoder: Any = codecs.getincrementaldecoder(encoding)(errors)
        if not newline:
            decoder = io.IncrementalNewlineDecoder(decoder, newline is None)
        self._decoder = decoder
        self._encoder = codecs.getincrementalencoder(encoding)(errors)
        if binary._pos:
            self._encoder.setstate(0)  # of a file that has its BOM
        # The chunk decoded last: where, from what state, and how much was taken of it.
        self._chunk, self._chunk_pos, self._chunk_state = b"", 0, (b"", 0)
        self._text, self._at = "", 0

    @property
    def name(self) -> object:
        """The path that was given to tpool.open()."""
        return self._binary.name

    @property
    def mode(self) -> str:
        """The mode that was given to tpool.open()."""
        return self._binary.mode

    @property
    def buffer(self) -> BinaryFile:
        """The binary file below."""
        return self._binary

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._binary.closed

    def fileno(self) -> int:
        """Return its fd; see BinaryFile."""
        return self._binary.fileno()

    def readable(self) -> bool:
        """Whether it was opened for reading."""
        return self._binary.readable()

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        return self._binary.writable()

    def seekable(self) -> bool:
        """Return True: others are not opened."""
        return True

    async def read(self, size: int | None = -1, /) -> str:
        """Read so many characters, or, by default, all to the end of the file.

        Returns:
            The text: less where the file ends, "" at its end.

        Raises:
            UnicodeDecodeError: It is not what the encoding says.
            ValueError, io.UnsupportedOperation, OSError: See BinaryFile.read().
        """
        if size is None or size < 0:
            data = await self._binary.read()  # a task cancelled here has lost nothing
            rest: str = self._decoder.decode(data, True)
            text = self._take(len(self._text)) + rest
            self._forget()
            return text
        parts = [self._take(size)]
        left = size - len(parts[0])
        while left > 0 and await self._decode_more():
            parts.append(self._take(left))
            left -= len(parts[-1])
        self._binary._check_read()
        return "".join(parts)

    async def readline(self, size: int | None = -1, /) -> str:
        """Read a line with its end, or so many characters of it.

        Raises as read().
        """
        limit = -1 if size is None else size
        self._binary._check_read()
        parts: list[str] = []
        while True:
            count, ended = self._line_end()
            if limit >= 0:
                ended = ended or count >= limit
                count = min(count, limit)
            parts.append(self._take(count))
            limit -= count if limit >= 0 else 0
            if ended or not await self._decode_more():
                return "".join(parts)

    async def readlines(self, hint: int | None = -1, /) -> list[str]:
        """Read all lines, or lines of so many characters or a few more in all.

        Raises as read().
        """
        lines: list[str] = []
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

    async def __anext__(self) -> str:
        """Return the next line."""
        if line := await self.readline():
            return line
        raise StopAsyncIteration

    async def write(self, text: str, /) -> int:
        """Write a text; it reaches the file no later than by flush().

        Returns:
            The number of characters, all of them.

        Raises:
            TypeError: It is no str.
            UnicodeEncodeError: The encoding does not have a character.
            ValueError, io.UnsupportedOperation, OSError: See BinaryFile.write().
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {text!r}")
        self._binary._check_write()
        if self._at < len(self._text):  # the user is not where the file is
            await self.seek(await self._begin())
        count = len(text)
        if self._written_end and self._written_end != "\n":
            text = text.replace("\n", self._written_end)
        self._forget()
        await self._binary.write(self._encoder.encode(text))
        return count

    async def writelines(self, lines: Iterable[str], /) -> None:
        """Write one text after the other.

        Raises as write().
        """
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Hand all that was written to the system; see BinaryFile."""
        await self._binary.flush()

    async def fsync(self) -> None:
        """Do so, and have all of it on the device; see BinaryFile."""
        await self._binary.fsync()

    async def tell(self) -> int:
        """Return the place where it is, for seek().

        Raises:
            ValueError: See BinaryFile.tell().
        """
        pos = await self._binary.tell()
        if not self._text and not self._chunk:
            return _cookie(pos, 0, self._chunk_state[1])
        here = self._decoder.getstate()
        if self._at == len(self._text) and not here[0]:
            return _cookie(pos, 0, here[1])
        try:
            return self._cookie_of(self._at)
        finally:
            self._decoder.setstate(here)

    async def seek(self, cookie: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to the beginning (0), to the end (0, 2), or to where tell() was called.

        Returns:
            The place, as tell().

        Raises:
            io.UnsupportedOperation: It is to go elsewhere.
            ValueError: See BinaryFile.seek().
        """
        if whence != os.SEEK_SET and cookie:
            raise io.UnsupportedOperation("can't do nonzero cur- or end-relative seeks")
        if whence == os.SEEK_CUR:
            cookie, whence = await self.tell(), os.SEEK_SET
        if whence == os.SEEK_SET and cookie < 0:
            raise ValueError(f"negative seek position {cookie!r}")
        skip, flags = cookie >> 64 & _POS_MAX, cookie >> 128
        pos = await self._binary.seek(cookie & _POS_MAX, whence)
        self._forget()
        if cookie:
            self._chunk_state = (b"", flags)
            self._decoder.setstate(self._chunk_state)
        self._encoder.setstate(0) if pos else self._encoder.reset()
        while skip and await self._decode_more():
            skip -= len(self._take(skip))
        return cookie or pos

    async def truncate(self, size: int | None = None, /) -> int:
        """Have the file end at a size, or here; see BinaryFile."""
        if size is None:
            size = await self._begin() & _POS_MAX
        return await self._binary.truncate(size)

    async def close(self) -> None:
        """Write what is left, and close the file; see BinaryFile."""
        await self._binary.close()

    async def __aenter__(self) -> Self:
        """Return self."""
        self._binary._check()
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
        return f"<tpool.TextFile name={self.name!r} mode={self.mode!r} encoding={self.encoding!r}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("an open file cannot be pickled")

    def _take(self, size: int) -> str:
        text = self._text[self._at : self._at + size]
        self._at += len(text)
        return text

    def _forget(self) -> None:
        """Nothing is decoded: the file is where the user is."""
        self._text, self._at = "", 0
        self._chunk, self._chunk_state = b"", (b"", 0)
        self._decoder.reset()

    async def _decode_more(self) -> bool:
        """Decode the next chunk, all before which is taken; False at the end."""
        state = self._decoder.getstate()
        kept = state[0]
        pos = await self._binary.tell() - len(kept)
        data = await self._binary.read1(_CHUNK)
        self._text, self._at = self._decoder.decode(data, not data), 0
        self._chunk, self._chunk_pos = kept + data, pos
        self._chunk_state = (b"", state[1])
        return bool(data) or bool(self._text)

    def _line_end(self) -> tuple[int, bool]:
        """Return how many decoded characters are of this line, and whether it ends."""
        ends = ("\r\n", "\n", "\r") if self._universal else (self._end,)
        found = [
            (at, -len(end))
            for end in ends
            if (at := self._text.find(end, self._at)) >= 0
        ]
        if not found:
            return len(self._text) - self._at, False
        at, size = min(found)
        return at - size - self._at, True

    def _cookie_of(self, count: int) -> int:
        """Return the place of the chunk that so many characters of it are before.

        It is told by the last place before, at which it can be begun to decode.
        """
        decoder = self._decoder
        decoder.setstate(self._chunk_state)
        place, before, state = 0, 0, self._chunk_state[1]
        done = 0
        for size in range(1, len(self._chunk) + 1):
            done += len(decoder.decode(self._chunk[size - 1 : size]))
            if done > count:
                break
            kept, flags = decoder.getstate()
            if not kept and (done > before or not flags):
                place, before, state = size, done, flags
        return _cookie(self._chunk_pos + place, count - before, state)

    async def _begin(self) -> int:
        """Return where the user is, to write or cut there.

        Raises:
            OSError: The encoding cannot begin there.
        """
        cookie = await self.tell()
        if cookie >> 64 & _POS_MAX:
            raise OSError("not to be written here: the encoding cannot begin here")
        return cookie
