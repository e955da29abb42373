# SPDX-License-Identifier: MIT
"""tpool.open(): what its files do is what those of the built-in open() do."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import os
import random

import pytest
from open_world import SlowFiles, outcome, stock_open

import tpool


def draw_binary(r):
    """Return the name and the arguments of a call, for both files."""
    size = r.choice([0, 1, 10, 1000, 8192, 20_000, 100_000])
    return r.choice(
        [
            ("read", size), ("read", size), ("readline", ), ("readline", 5), ("read",),
            ("write", r.randbytes(size)), ("write", b"line\n" * 3), ("tell",),
            ("seek", r.randrange(60_000)), ("seek", -r.randrange(9000), 2),
            ("seek", r.randrange(-50, 50), 1), ("flush",),
            ("truncate",) if r.random() < 0.2 else ("tell",),
            ("truncate", r.randrange(50_000)) if r.random() < 0.2 else ("tell",),
            ("readlines", 100), ("writelines", [b"x", bytearray(b"y")]),
            ("__next__",), ("readinto", size), ("truncate", -1),
        ]
    )  # fmt: skip


async def call_both(ours, theirs, name, *args):
    """Call a method of both files; return what became of it."""
    if name == "readinto":
        mine, other = bytearray(args[0]), bytearray(args[0])
        results = [
            await outcome(lambda: ours.readinto(mine)),
            await outcome(lambda: theirs.readinto(other)),
        ]
        assert mine == other
        return results
    mine = getattr(ours, {"__next__": "__anext__"}.get(name, name))
    with contextlib.suppress(StopIteration, StopAsyncIteration):
        return [
            await outcome(lambda: mine(*args)),
            await outcome(lambda: getattr(theirs, name)(*args)),
        ]
    return [await outcome(theirs.readline), theirs.readline()]


@pytest.mark.parametrize("mode", ["rb", "r+b", "wb", "w+b", "ab", "a+b"])
@pytest.mark.parametrize("buffering", [-1, 0, 100])
def test_binary_file_does_what_that_of_io_does(tmp_path, mode, buffering):
    r = random.Random(f"{mode} {buffering}")
    paths = [tmp_path / "ours", tmp_path / "theirs"]
    data = r.randbytes(30_000) + b"some\nlines\n" * 2000
    for path in paths:
        path.write_bytes(data)

    async def main():
        calls = []
        async with tpool.open(paths[0], mode, buffering) as ours:
            with stock_open(paths[1], mode, buffering) as theirs:
                for _ in range(300):
                    calls.append(draw_binary(r))
                    mine, other = await call_both(ours, theirs, *calls[-1])
                    assert mine == other, calls[-5:]
                    if "a" in mode and "write" in calls[-1][0]:
                        # Where that has put it io does not know.
                        assert await ours.seek(0, 2) == theirs.seek(0, 2)
            assert [ours.readable(), ours.writable(), ours.seekable()] == [
                "r" in mode or "+" in mode, mode != "rb", True,
            ]  # fmt: skip
        assert paths[0].read_bytes() == paths[1].read_bytes()

    tpool.run(main())


@pytest.mark.skipif(not hasattr(os, "SEEK_DATA"), reason="no holes in files here")
def test_data_and_holes_are_found_as_by_io(run, tmp_path):
    path = tmp_path / "file"

    async def main():
        async with tpool.open(path, "w+b") as ours:
            await ours.truncate(1 << 20)
            await ours.seek(1 << 19)
            await ours.write(b"data")
            with stock_open(path, "rb") as theirs:
                for whence in (os.SEEK_DATA, os.SEEK_HOLE, 5, -1, "2", None):
                    for place in (0, (1 << 19) + 1, 1 << 20, -1):
                        asked = place, whence
                        mine = await outcome(ours.seek, *asked)
                        assert mine == await outcome(theirs.seek, *asked), asked
            place = await ours.seek(0, os.SEEK_DATA)
            assert place == await ours.tell()
            assert await ours.read() == path.read_bytes()[place:]
        async with tpool.open(path) as text:
            for whence in (os.SEEK_DATA, os.SEEK_HOLE):
                assert await outcome(text.seek, 0, whence) is ValueError

    run(main())


def test_awaited_file_is_closed_by_its_user(run, tmp_path):
    async def main():
        file = await tpool.open(tmp_path / "new", "w")
        assert (file.name, file.mode, file.closed) == (
            str(tmp_path / "new"),
            "w",
            False,
        )
        assert str(tmp_path / "new") in repr(file)
        await file.write("text")
        await file.fsync()
        assert (tmp_path / "new").read_text() == "text"
        fd = file.fileno()
        await file.close()
        await file.close()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)
        for call in (file.read, file.fileno, file.flush, file.tell):
            assert await outcome(call) is ValueError
        async with await tpool.open(tmp_path / "new", "rb") as other:
            assert await other.read(2) == b"te"
        assert other.closed

    run(main())


@pytest.mark.parametrize(
    ("path", "mode", "error"),
    [
        ("none", "r", FileNotFoundError),
        (".", "rb", IsADirectoryError),
        ("file", "x", FileExistsError),
        ("fifo", "rb", io.UnsupportedOperation),
        ("/dev/null", "rb", io.UnsupportedOperation),
        ("file\0", "rb", ValueError),
    ],
)
def test_what_cannot_be_opened_is_said(run, tmp_path, path, mode, error):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")

    async def main():
        with pytest.raises(error):
            await tpool.open(os.path.join(tmp_path, path), mode)

    run(main())


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("", {}), ("rw", {}), ("rbt", {}), ("q", {}), ("b", {}), ("r++", {}),
        ("rb", {"encoding": "utf-8"}), ("rb", {"newline": ""}), ("r", {"newline": "x"}),
    ],
)  # fmt: skip
def test_bad_mode_is_refused_at_once(mode, options):
    with pytest.raises(ValueError, match=r"mode|newline"):
        tpool.open("file", mode, **options)


def test_tasks_that_share_a_file_get_each_their_own(run, tmp_path):
    (tmp_path / "file").write_bytes(b"".join(b"%07d\n" % i for i in range(50_000)))

    async def main():
        async with tpool.open(tmp_path / "file", "rb") as file:

            async def reader():
                return [line async for line in file]

            parts = await asyncio.gather(*(reader() for _ in range(4)))
        assert sorted(itertools.chain(*parts)) == [b"%07d\n" % i for i in range(50_000)]

    run(main())


def test_file_of_proc_is_read_to_its_end(run):
    """It tells no size, and reads of it are short."""

    async def main():
        async with tpool.open("/proc/self/maps", "rb") as file:
            assert (await file.read()).count(b"\n") > 50

    run(main())


@pytest.mark.parametrize("data", [5, [1, 2], "text", None])
def test_only_buffers_are_written(run, tmp_path, data):
    async def main():
        async with tpool.open(tmp_path / "file", "wb") as file:
            with pytest.raises(TypeError):
                await file.write(data)

    run(main())
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("mode", ["rb", "r"])
def test_all_of_a_file_is_read_by_one_call(run, tmp_path, mode):
    (tmp_path / "file").write_bytes(b"x" * 100_000)

    async def main():
        async with tpool.open(tmp_path / "file", mode) as file:
            slow = SlowFiles(file)
            slow.let()
            assert len(await file.read()) == 100_000
            assert slow.begun == ["pread"]

    run(main())
