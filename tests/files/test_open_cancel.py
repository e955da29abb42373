# SPDX-License-Identifier: MIT
"""A task that is cancelled in a call of a file of tpool.open() has lost nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random

import pytest
from open_world import SlowFiles, cancel_in, until

import tpool

LINE = "0123456789" * 10_000 + "\n"  # of many chunks, or buffers


async def rest_of(file):
    return await file.read()


async def next_of(file):
    return await file.__anext__()


CALLS = {
    "read": rest_of,
    "read some": lambda file: file.read(90_000),
    "readline": lambda file: file.readline(),
    "next": next_of,
    "readlines": lambda file: file.readlines(),
    "some lines": lambda file: file.readlines(2 * len(LINE)),
    "readinto": lambda file: file.readinto(bytearray(90_000)),
}
BY_LINES = ["readline", "next", "readlines", "some lines"]
# The mode, the call, and the number of the system's call that is in flight then.
CASES = [
    *((mode, call, 1) for mode in ("r", "rb") for call in CALLS),
    *((mode, call, 3) for mode in ("r", "rb") for call in BY_LINES),
    ("r", "read some", 3),
]
CASES.remove(("r", "readinto", 1))


@pytest.mark.parametrize(("mode", "call", "number"), CASES)
def test_cancelled_read_has_read_nothing(run, tmp_path, mode, call, number):
    (tmp_path / "file").write_text("one\n" + LINE * 2)

    async def main():
        async with tpool.open(tmp_path / "file", mode, 8192) as file:
            slow = SlowFiles(file)
            slow.let(1)
            assert await file.readline() in ("one\n", b"one\n")
            for _ in range(2):
                await cancel_in(slow, number, lambda: CALLS[call](file))
                slow.let(1)
            slow.let()
            assert await file.read() in (LINE * 2, LINE.encode() * 2)

    run(main())


def test_place_that_is_sought_is_kept_by_a_cancel(run, tmp_path):
    """What is to be skipped there, since no decoder can begin at it, is skipped later."""
    text = "あい" * 5000
    (tmp_path / "file").write_text(text, "iso2022_jp")

    async def main():
        async with tpool.open(tmp_path / "file", encoding="iso2022_jp") as file:
            await file.read(9)
            place = await file.tell()
            await file.seek(0)
            assert await file.seek(place) == await file.tell() == place
            slow = SlowFiles(file)
            await cancel_in(slow, 1, lambda: file.read(1))
            slow.let()
            assert await file.tell() == place
            assert await file.read() == text[9:]
            await file.seek(place + (10**6 << 64))  # so much is not there
            with pytest.raises(OSError, match="position"):
                await file.read(1)

    run(main())


def test_cancelled_write_is_written_once(run, tmp_path):
    """Who waits is cancelled, the write goes on; the next one comes behind it."""

    async def main():
        async with tpool.open(tmp_path / "file", "ab", 8192) as file:
            for i in range(20):
                task = asyncio.ensure_future(file.write(b"%04d" % i * 5000))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await file.flush()
        assert (tmp_path / "file").read_bytes() == b"".join(
            b"%04d" % i * 5000 for i in range(20)
        )

    run(main())


def test_write_behind_a_cancelled_flush_waits_for_it(run, tmp_path):
    """What is being written cannot grow meanwhile."""

    async def main():
        async with tpool.open(tmp_path / "file", "wb") as file:
            slow = SlowFiles(file)
            await file.write(b"a" * 10)
            await cancel_in(slow, 1, file.flush)
            write = asyncio.ensure_future(file.write(b"b"))
            await asyncio.sleep(0)
            assert not write.done()
            slow.let()
            assert await write == 1
        assert (tmp_path / "file").read_bytes() == b"a" * 10 + b"b"

    run(main())


def test_cancelled_call_is_overtaken_by_none(run, tmp_path):
    path = tmp_path / "file"

    async def main():
        async with tpool.open(path, "w+b", 8192) as file:
            slow = SlowFiles(file)
            await cancel_in(slow, 1, lambda: file.write(b"a" * 9000))
            slow.let(1)
            await cancel_in(slow, 1, lambda: file.truncate(4))
            write = asyncio.ensure_future(file.write(b"b" * 9000))
            await asyncio.sleep(0)
            assert slow.begun == ["pwrite", "ftruncate"]
            slow.let()
            assert await write == 9000
            assert await file.tell() == 18_000
        assert path.read_bytes() == b"aaaa" + bytes(8996) + b"b" * 9000

    run(main())


def test_error_of_a_cancelled_write_is_told_by_the_next_call(
    run, tmp_path, monkeypatch
):
    """It is tried again."""

    def full(*_):
        raise OSError(28, "No space left on device")

    async def main():
        file = await tpool.open(tmp_path / "file", "wb", 4)
        slow = SlowFiles(file)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            await cancel_in(slow, 1, lambda: file.write(b"12345"))
            slow.let()
            with pytest.raises(OSError, match="No space"):
                await file.write(b"6")
            with pytest.raises(OSError, match="No space"):
                await file.flush()
            with pytest.raises(OSError, match="No space"):
                await file.write(b"not accepted")
        assert await file.tell() == 5
        await file.close()
        assert (tmp_path / "file").read_bytes() == b"12345"

    run(main())


def test_storm_of_cancellations_loses_nothing(run, tmp_path):
    text = "".join(random.Random(3).choices(["a", "é\n", "x" * 3000, "\r\n"], k=200))
    path = tmp_path / "file"
    path.write_bytes(text.encode())

    async def main():
        r = random.Random(4)
        parts = []
        async with tpool.open(path, newline="") as file:
            slow = SlowFiles(file)
            slow.let(100_000)
            ended = False
            while not ended:
                size = r.choice([1, 10, 4000, 20_000])
                task = asyncio.ensure_future(
                    file.readline() if r.random() < 0.7 else file.read(size)
                )
                for _ in range(r.randrange(6)):
                    await asyncio.sleep(0)
                if r.random() < 0.9:  # or it would not end where threads are slow
                    task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    parts.append(await task)
                    ended = not parts[-1]
        assert "".join(parts) == text

    run(main())


def test_tasks_share_a_text(run, tmp_path):
    lines = [f"{i:07}\n" * (i % 3 + 1) for i in range(5000)]
    (tmp_path / "file").write_text("".join(lines))

    async def main():
        async with tpool.open(tmp_path / "file", "r+") as file:
            SlowFiles(file).let(10_000)

            async def reader():
                return [line async for line in file]

            parts = await asyncio.gather(*(reader() for _ in range(4)))
        assert sorted(itertools.chain(*parts)) == sorted(
            "".join(lines).splitlines(True)
        )

    run(main())


def test_error_that_comes_with_the_cancel_is_told_by_the_next_call(
    run, tmp_path, monkeypatch
):
    """The system says once that it could not write."""

    def fail(_):
        monkeypatch.undo()
        raise OSError(5, "Input/output error")

    async def main():
        async with tpool.open(tmp_path / "file", "wb") as file:
            slow = SlowFiles(file)
            monkeypatch.setattr(os, "fsync", fail)
            task = asyncio.ensure_future(file.fsync())
            await until(lambda: slow.begun)
            file._flying.add_done_callback(lambda _: task.cancel())
            slow.let()
            await asyncio.wait([task])
            assert task.cancelled()
            with pytest.raises(OSError, match="Input/output"):
                await file.fsync()
            await file.fsync()

    run(main())
