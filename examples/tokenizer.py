# SPDX-License-Identifier: MIT
"""A process that splits texts into tokens feeds one that serves them, by a ring.

The server's event loop is not held up by the work of the tokenizer, and nobody makes a system
call while both are busy. Messages are what the two agree on: here the number of a request,
and then 32 bits for each token.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import multiprocessing
import struct

import tpool

NUMBER = struct.Struct("Q")


def tokenize(texts: tpool.Ring, tokens: tpool.Ring) -> None:
    """Answer each text with its tokens, until there are no more texts."""
    words: dict[bytes, int] = {}
    with contextlib.suppress(EOFError), tokens:
        while True:
            request = texts.recv()
            number, text = request[: NUMBER.size], request[NUMBER.size :]
            found = [words.setdefault(word, len(words)) for word in text.split()]
            tokens.send(number + array.array("I", found).tobytes())


class Tokenizer:
    """The process, as coroutines of the server see it."""

    def __init__(self) -> None:
        """Start the process."""
        self._texts, self._tokens = tpool.Ring.create(), tpool.Ring.create()
        self._waiting: dict[int, asyncio.Future[array.array[int]]] = {}
        self._requests = 0
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(
            target=tokenize, args=(self._texts, self._tokens)
        )
        self._process.start()

    async def run(self) -> None:
        """Hand what comes back to who waits for it, until the process ends."""
        with contextlib.suppress(EOFError), self._tokens:
            while True:
                answer = await self._tokens.recv_async()
                (number,) = NUMBER.unpack_from(answer)
                waiting = self._waiting.pop(number)
                if not waiting.done():  # or it was cancelled
                    waiting.set_result(array.array("I", answer[NUMBER.size :]))

    async def tokens(self, text: str) -> array.array[int]:
        """Return the tokens of a text."""
        self._requests += 1
        number, waiting = self._requests, asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        await self._texts.send_async(NUMBER.pack(number) + text.encode())
        return await waiting

    def close(self) -> None:
        """Have the process end, and with it run()."""
        self._texts.close()
        self._process.join()


async def serve() -> int:
    """Ask for the tokens of nine texts at once, and count them."""
    tokenizer = Tokenizer()
    answers = asyncio.ensure_future(tokenizer.run())
    texts = [f"{'the same word again and again ' * n}" for n in range(1, 10)]
    try:
        found = await asyncio.gather(*map(tokenizer.tokens, texts))
    finally:
        tokenizer.close()
        await answers
    return sum(map(len, found)) // 6


if __name__ == "__main__":
    print(tpool.run(serve()))
