# SPDX-License-Identifier: MIT
"""TextFile: a file of text for coroutines, as io.TextIOWrapper is."""

from __future__ import annotations

import codecs
import io
import os
import re
from typing import TYPE_CHECKING

from tpool.loop.async_file import AsyncFile
from tpool.loop.binary_file import size_of
from tpool.loop.text_place import Chunk, cookie_of, place_in, split

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tpool.loop.binary_file import BinaryFile

__all__ = ["TextFile"]

_MARKED = ("utf-8-sig", "utf-16", "utf-32")  # begin with a mark
_CHUNK = 8192  # bytes decoded at once
_ANY_END = re.compile("\r\n|\r|\n")


class TextFile(AsyncFile[str]):
    """A file opened by tpool.open() in a text mode.

    Its methods are those of a text file of io.open(), as coroutines; so are what
    encoding, errors and newline mean. What tell() returns is for seek() alone. Tasks may
    share it, and be cancelled in a call, as with a BinaryFile.

    Context: Coroutines of the loop that it was opened in; close() in any.
    """

    def __init__(
        self,
        binary: BinaryFile,
        encoding: str,
        errors: str,
        newline: str | None,
        line_buffering: bool = False,
    ) -> None:
        """Take a binary file over; see tpool.open()."""
        self._binary = binary
        self.encoding = encoding
        self.errors = errors
        self.line_buffering = line_buffering
        self._end = newline or "\n"  # of a line; of any, where newline is ""
        self._universal = newline == ""
        self._written_end = os.linesep if newline is None else newline
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._decoder: codecs.IncrementalDecoder | io.IncrementalNewlineDecoder = (
            decoder
            if newline
            else io.IncrementalNewlineDecoder(decoder, newline is None)
        )
        self._encoder = codecs.getincrementalencoder(encoding)(errors)
        self._is_marked = codecs.lookup(encoding).name in _MARKED
        if binary._pos:
            self._encoder.setstate(0)  # of a file that has its BOM
        # What is decoded: the user is in one of them, before one of its characters, and
        # so many are ahead. Below 0: so many have to be skipped, when they are decoded.
        self._chunks: list[Chunk] = []
        self._index = self._at = self._ahead = 0
        self._flags = 0  # the decoder's state, where there is none

    @property
    def name(self) -> object:
        """What was given to tpool.open()."""
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
    def newlines(self) -> str | tuple[str, ...] | None:
        """The ends of lines that were read, where newline is None or ""; else None."""
        found: str | tuple[str, ...] | None = getattr(self._decoder, "newlines", None)
        return found

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

    async def read(self, size: int | None = -1, /) -> str:
        """Read so many characters, or, by default, all to the end of the file.

        Returns:
            The text: less where the file ends, "" at its end.

        Raises:
            UnicodeDecodeError: It is not what the encoding says.
            ValueError, io.UnsupportedOperation, OSError: See BinaryFile.read().
        """
        size = size_of(size)
        async with self._binary._lock:
            if self._binary._begin_read():
                await self._binary._flush()
            await self._skip()
            if size < 0:
                await self._binary._gather(-1)
                return self._take_all()
            while self._ahead < size and await self._decode_more():
                pass
            return self._take(size)

    async def readline(self, size: int | None = -1, /) -> str:
        """Read a line with its end, or so many characters of it.

        Raises as read().
        """
        size = size_of(size)
        binary = self._binary
        await binary._lock.acquire()
        try:
            if binary._begin_read():
                await binary._flush()
            if self._index or self._ahead < 0:
                await self._skip()
            return self._take(await self._line(size))
        finally:
            binary._lock.release()

    async def readlines(self, hint: int | None = -1, /) -> list[str]:
        """Read all lines, or lines of so many characters or a few more in all.

        Raises as read().
        """
        hint = size_of(hint)
        lines: list[str] = []
        total = 0
        async with self._binary._lock:
            if self._binary._begin_read():
                await self._binary._flush()
            await self._skip()
            index, at = self._index, self._at
            try:
                while line := self._take(await self._line(-1)):
                    lines.append(line)
                    total += len(line)
                    if 0 < hint < total:
                        break
            except BaseException:
                self._index, self._at = index, at
                self._ahead += total
                raise
        return lines

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
        binary = self._binary
        async with binary._lock:
            await binary._begin_write()
            # The file may not be where the user is.
            if self._chunks or self._at or self._flags:
                self._go(self._begin())
            ends = self.line_buffering and ("\n" in text or "\r" in text)
            count = len(text)
            if self._written_end and self._written_end != "\n":
                text = text.replace("\n", self._written_end)
            flags = self._flags if binary._pos else 0
            self._forget(0)
            if self._is_marked:  # what comes next is not the beginning
                self._flags = flags
                self._decoder.setstate((b"", flags))
            await binary._write(self._encoder.encode(text))
            if ends:
                await binary._flush()
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
        async with self._binary._lock:
            self._binary._check()
            return self._tell()

    async def seek(self, cookie: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to the beginning (0), to the end (0, 2), or to where tell() was called.

        Returns:
            The place, as tell().

        Raises:
            io.UnsupportedOperation: It is to go elsewhere.
            ValueError: See BinaryFile.seek().
        """
        binary = self._binary
        async with binary._lock:
            binary._check()
            if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
                raise ValueError(f"whence must be 0, 1 or 2, not {whence!r}")
            if whence != os.SEEK_SET and cookie:
                raise io.UnsupportedOperation(
                    "can't do nonzero cur- or end-relative seeks"
                )
            if whence == os.SEEK_SET and cookie < 0:
                raise ValueError(f"negative seek position {cookie!r}")
            if whence == os.SEEK_CUR:
                cookie = self._tell()
            elif whence != os.SEEK_SET:
                cookie = await binary._seek(0, whence)
            await binary._seek(split(cookie)[0], os.SEEK_SET)
            self._go(cookie)
        return cookie

    async def truncate(self, size: int | None = None, /) -> int:
        """Have the file end at a size, or here; see BinaryFile."""
        binary = self._binary
        async with binary._lock:
            await binary._begin_write()
            place = None
            if size is None:
                place = self._begin()
                size = split(place)[0]
            if self._chunks:  # what is decoded may not be there any more
                self._go(self._tell() if place is None else place)
            return await binary._truncate(size)

    async def close(self) -> None:
        """Write what is left, and close the file; see BinaryFile."""
        await self._binary.close()

    def __repr__(self) -> str:
        """Tell what it is."""
        return f"<tpool.TextFile name={self.name!r} mode={self.mode!r} encoding={self.encoding!r}>"

    # What follows has the lock of the binary file.

    async def _skip(self) -> None:
        """Let go of the chunks behind the user, and go where seek() has said."""
        del self._chunks[: self._index]
        self._index = 0
        while self._ahead < 0:  # what seek() has left to be skipped
            if not await self._decode_more():
                raise OSError("can't restore logical file position")

    async def _decode_more(self) -> bool:
        """Decode the next chunk; False: there is none."""
        binary = self._binary
        kept, flags = self._decoder.getstate()
        pos = binary._pos - len(kept)
        data = await binary._read1(_CHUNK)  # what is cancelled here has changed nothing
        text = self._decoder.decode(data, not data)
        if not data and not text:
            return False
        self._chunks.append(Chunk(text, kept + data, pos, flags))
        self._ahead += len(text)
        self._move(0)
        return True

    def _move(self, count: int) -> None:
        """Go on by so many characters, and to a chunk that has the next one."""
        self._at += count
        while self._index < len(self._chunks) - 1:
            size = len(self._chunks[self._index].text)
            if self._at < size:
                break
            self._at -= size
            self._index += 1

    def _take(self, size: int) -> str:
        """Return so many characters of what is decoded, at most."""
        parts = []
        while self._chunks:
            text = self._chunks[self._index].text
            part = text[self._at : self._at + size]
            if not part:
                break
            parts.append(part)
            size -= len(part)
            self._ahead -= len(part)
            self._move(len(part))
        return "".join(parts)

    def _take_all(self) -> str:
        """Return what is decoded, and what the binary file has ahead."""
        data = self._binary._take(-1)
        rest: str = self._decoder.decode(data, True)
        text = self._take(self._ahead) + rest
        self._chunks.clear()
        self._index = self._at = 0
        if text or data:
            self._flags = self._decoder.getstate()[1]
            self._encoder.setstate(0)  # this is not the beginning
        return text

    async def _line(self, limit: int) -> int:
        """Have a line decoded; return how long it is, so much of it at most."""
        count, index, at, last = 0, self._index, self._at, ""
        while limit < 0 or count < limit:
            if index == len(self._chunks) and not await self._decode_more():
                break
            text = self._chunks[index].text
            if end := self._find_end(text, at, last):
                count += end - at
                break
            count += len(text) - at
            last = text[-1] if at < len(text) else last
            index, at = index + 1, 0
        return count if limit < 0 else min(count, limit)

    def _find_end(self, text: str, at: int, last: str) -> int:
        """Return where in a text a line ends, whose last character was that; or 0."""
        if self._universal:
            match = _ANY_END.search(text, at)
            return match.end() if match else 0
        if last and last + text[:1] == self._end:
            return 1
        found = text.find(self._end, at)
        return found + len(self._end) if found >= 0 else 0

    def _forget(self, flags: int) -> None:
        """Nothing is decoded: the file is where the user is."""
        self._chunks.clear()
        self._index = self._at = self._ahead = 0
        self._flags = flags
        self._decoder.reset()

    def _go(self, cookie: int) -> None:
        """Go to a place; nothing is to be written."""
        pos, skip, flags = split(cookie)
        self._binary._go(pos)
        self._forget(flags)
        if cookie:
            self._decoder.setstate((b"", flags))
        self._encoder.setstate(0) if pos else self._encoder.reset()
        self._at, self._ahead = skip, -skip

    def _tell(self) -> int:
        if not self._chunks:
            return cookie_of(self._binary._pos, self._at, self._flags)
        kept, flags = self._decoder.getstate()
        if not self._ahead and not kept:
            return cookie_of(self._binary._pos, 0, flags)
        return place_in(self._chunks[self._index], self._at, self._decoder)

    def _begin(self) -> int:
        """Return where the user is, to write or cut there.

        Raises:
            OSError: The encoding cannot begin there.
        """
        pos, skip, flags = split(self._tell())
        if skip:
            raise OSError("not to be written here: the encoding cannot begin here")
        if isinstance(self._decoder, io.IncrementalNewlineDecoder) and flags & 1:
            # A \r was read there, and has yet to be told: it may be one with a \n.
            pos, flags = pos - self._size_of_return(), flags & ~1
        return cookie_of(pos, skip, flags)

    def _size_of_return(self) -> int:
        """Return how many bytes a carriage return is, not at the beginning."""
        encoder = codecs.getincrementalencoder(self.encoding)(self.errors)
        encoder.encode("\r")
        return len(encoder.encode("\r"))
