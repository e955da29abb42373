# SPDX-License-Identifier: MIT
"""Places in a text: what tell() returns, and seek() takes."""

from __future__ import annotations

from io import IncrementalNewlineDecoder
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from codecs import IncrementalDecoder
    from typing import TypeAlias

    _Decoder: TypeAlias = IncrementalDecoder | IncrementalNewlineDecoder

__all__ = ["Chunk", "cookie_of", "place_in", "split"]

_POS_MAX = (1 << 64) - 1


class Chunk(NamedTuple):
    """What was decoded at once, and from what."""

    text: str
    data: bytes
    pos: int  # of the data, in the file
    flags: int  # the decoder's state before it


def cookie_of(pos: int, skip: int, flags: int) -> int:
    """Return a place: of a byte, and so many characters after it.

    flags is the decoder's state there: 0 is that of most, and makes it a plain number.
    """
    return pos | skip << 64 | flags << 128


def split(cookie: int) -> tuple[int, int, int]:
    """Return what it was made of."""
    return cookie & _POS_MAX, cookie >> 64 & _POS_MAX, cookie >> 128


def place_in(chunk: Chunk, count: int, decoder: _Decoder) -> int:
    """Return the place of a chunk that so many characters of it are before.

    It is told by the last place before, at which it can be begun to decode. The decoder
    of the file is left as it was.
    """
    before = decoder.getstate()
    try:
        return _place_in(chunk, count, decoder)
    finally:
        decoder.setstate(before)


def _place_in(chunk: Chunk, count: int, decoder: _Decoder) -> int:
    decoder.setstate((b"", chunk.flags))
    holds = isinstance(decoder, IncrementalNewlineDecoder)  # a \r: the lowest bit
    place, before, state = 0, 0, chunk.flags
    done = 0
    edge, told, last = 0, 0, chunk.flags  # where a character has ended, and the state
    begin = (0, chunk.flags)  # the same, before a \r that is held
    for size in range(1, len(chunk.data) + 1):
        done += len(decoder.decode(chunk.data[size - 1 : size]))
        if done > count:
            if holds and last & 1 and count == told + 1:  # that \r was one by itself
                place, before, state = edge, count, last & ~1
            break
        kept, flags = decoder.getstate()
        if kept:
            continue
        at, there = size, flags
        if holds and flags & 1:
            if not last & 1 or done > told:
                begin = (edge, last & ~1)
            at, there = begin
        if done > before or (not there and at > place):
            place, before, state = at, done, there
        edge, told, last = size, done, flags
    return cookie_of(chunk.pos + place, count - before, state)
