# SPDX-License-Identifier: MIT
"""tpool.open(): what its files do is what those of the built-in open() do."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import inspect
import io
import itertools
import os
import random

import pytest
from conftest import FACTORIES

import tpool

ITEMS = ["a", "é", "漢", "𝄞", " ", "\n", "\r\n", "\r", "line\n"]
TEXT = "".join(random.Random(5).choices(ITEMS, k=9000))


@pytest.fixture(params=FACTORIES)
def run(request):
    def call(main):
        with asyncio.Runner(loop_factory=FACTORIES[request.param]) as runner:
            return runner.run(main)

    return call


async def outcome(call):
    """Return what a call returns, or the kind of what it raises."""
    try:
        result = call()
        return await result if inspect.isawaitable(result) else result
    except (OSError, ValueError, TypeError) as error:
        return type(error)


def stock_open(path, mode="r", **options):
    """Open it as everybody does; ours is compared with it."""
    return open(path, mode, **options)


def draw_binary(r):
    """Return the name and the arguments of a call, for both files."""
    size = r.choice([0, 1, 10, 1000, 8192, 20_000, 100_000])
    return r.choice(
        [
            ("read", size), ("read", size), ("readline", ), ("readline", 5), ("read",),
            ("write", r.randbytes(size)), ("write", b"line\n" * 3), ("tell",),
            ("seek", r.randrange(60_000)), ("seek", -r.randrange(9000), 2),
            ("seek", r.randrange(-50, 50), 1), ("seek", 5, 9), ("flush",),
            ("truncate",) if r.random() < 0.2 else ("tell",),
            ("truncate", r.randrange(50_000)) if r.random() < 0.2 else ("tell",),
            ("readlines", 100), ("writelines", [b"x", bytearray(b"y")]),
            ("__next__",), ("readinto", size),
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
@pytest.mark.parametrize("seed", range(3))
def test_binary_file_does_what_that_of_io_does(tmp_path, mode, seed):
    r = random.Random(f"{mode} {seed}")
    paths = [tmp_path / "ours", tmp_path / "theirs"]
    data = r.randbytes(30_000) + b"some\nlines\n" * 2000
    for path in paths:
        path.write_bytes(data)

    async def main():
        calls = []
        async with tpool.open(paths[0], mode) as ours:
            with stock_open(paths[1], mode) as theirs:
                for _ in range(150):
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


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", None])
def test_text_is_read_as_by_io(tmp_path, encoding, newline):
    path = tmp_path / "text"
    errors = "replace"
    path.write_bytes(TEXT.encode(encoding or "utf-8", errors))
    options = {"encoding": encoding, "errors": errors, "newline": newline}

    async def main():
        r = random.Random(7)
        async with tpool.open(path, **options) as ours:
            with stock_open(path, **options) as theirs:
                for _ in range(3000):
                    size = r.choice([-1, 0, 1, 7, 5000])
                    name = r.choice(["read", "readline", "readline"])
                    if name == "read" and size < 0:
                        continue
                    mine = await getattr(ours, name)(size)
                    assert mine == getattr(theirs, name)(size)
                assert await ours.read() == theirs.read()
                assert await ours.read() == ""
                assert await ours.seek(0) == theirs.seek(0)
                assert [line async for line in ours] == list(theirs)

    tpool.run(main())


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_text_is_written_as_by_io(tmp_path, encoding, newline):
    paths = [tmp_path / "ours", tmp_path / "theirs"]
    options = {"encoding": encoding, "errors": "replace", "newline": newline}

    async def main():
        for mode in ("w", "a", "x", "w+"):
            if mode == "x":
                for path in paths:
                    path.unlink()
            async with tpool.open(paths[0], mode, **options) as ours:
                with stock_open(paths[1], mode, **options) as theirs:
                    for begin in range(0, len(TEXT), 1000):
                        part = TEXT[begin:][: begin % 700]
                        assert await ours.write(part) == theirs.write(part)
                    await ours.writelines(["a\n", "b"])
                    theirs.writelines(["a\n", "b"])
            assert paths[0].read_bytes() == paths[1].read_bytes()

    tpool.run(main())


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-32-le"])
def test_text_goes_back_to_where_it_was_told(tmp_path, encoding):
    path = tmp_path / "text"
    path.write_bytes(TEXT.encode(encoding, "replace"))

    async def main():
        r = random.Random(3)
        async with tpool.open(path, "r+", encoding=encoding, newline="\n") as file:
            whole, at, told = await file.read(), 0, [(0, 0)]
            await file.seek(0)
            for _ in range(60):
                part = await file.read(r.randrange(300))
                assert part == whole[at : at + len(part)]
                at += len(part)
                told.append((at, await file.tell()))
                if r.random() < 0.3:
                    at, place = r.choice(told)
                    await file.seek(place)
            at, place = told[5]
            await file.seek(place)
            await file.read(1)
            await file.write("X")
            await file.seek(0)
            assert (await file.read())[: at + 2] == whole[: at + 1] + "X"
            with pytest.raises(io.UnsupportedOperation):
                await file.seek(5, 1)

    tpool.run(main())


def test_awaited_file_is_closed_by_its_user(run, tmp_path):
    async def main():
        file = await tpool.open(tmp_path / "new", "w")
        assert (file.name, file.mode, file.closed) == (tmp_path / "new", "w", False)
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


def test_cancelled_write_is_written_once(run, tmp_path):
    """Who waits is cancelled, the write goes on; the next one comes behind it."""

    async def main():
        async with tpool.open(tmp_path / "file", "ab") as file:
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


def test_cancelled_read_has_read_nothing(run, tmp_path):
    data = random.Random(1).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(data)

    async def main():
        async with tpool.open(tmp_path / "file", "rb") as file:
            for call in (
                lambda: file.read(2_000_000),
                lambda: file.read(),
                lambda: file.readinto(bytearray(2_000_000)),
                lambda: file.readline(2_000_000),
            ):
                task = asyncio.ensure_future(call())
                await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                    await file.seek(0)  # it was not waited for
                assert await file.tell() == 0
            assert await file.read() == data

    run(main())


def test_file_of_proc_is_read_to_its_end(run):
    """It tells no size, and reads of it are short."""

    async def main():
        async with tpool.open("/proc/self/maps", "rb") as file:
            assert (await file.read()).count(b"\n") > 50

    run(main())


@pytest.mark.parametrize("newline", [None, "", "\n"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        *((name, b"") for name in ("utf-8", "utf-8-sig", "utf-16", "iso2022_jp")),
        ("utf-16", codecs.BOM_UTF16_BE),
    ],
)
def test_what_tell_returns_is_where_seek_goes(run, tmp_path, encoding, mark, newline):
    text = TEXT.replace("𝄞", "あ").replace("é", "い").replace("漢", "\r")
    path = tmp_path / "file"
    path.write_bytes(mark + text.encode("utf-16-be" if mark else encoding))

    async def main():
        r = random.Random(6)
        with path.open(encoding=encoding, newline=newline) as known:
            whole = known.read()
        async with tpool.open(path, encoding=encoding, newline=newline) as file:
            told, at = [], 0
            while part := await (
                file.readline() if r.random() < 0.7 else file.read(r.randrange(1, 60))
            ):
                at += len(part)
                if r.random() < 0.02:
                    told.append((at, await file.tell()))
            for at, place in r.choices(told, k=20):
                assert await file.seek(place) == place
                assert await file.tell() == place
                assert await file.read(40) == whole[at : at + 40]
            assert await file.seek(0) == 0
            assert await file.read() == whole

    run(main())


def test_text_is_not_lost_by_a_read_that_is_cancelled(run, tmp_path):
    path = tmp_path / "file"
    path.write_text("one\ntwo\nthree\n")

    async def main():
        async with tpool.open(path) as file:
            assert await file.readline() == "one\n"
            await file.buffer._lock.acquire()
            task = asyncio.ensure_future(file.read())
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            file.buffer._lock.release()
            assert await file.read() == "two\nthree\n"

    run(main())


@pytest.mark.parametrize("data", [5, [1, 2], "text", None])
def test_only_buffers_are_written(run, tmp_path, data):
    async def main():
        async with tpool.open(tmp_path / "file", "wb") as file:
            with pytest.raises(TypeError):
                await file.write(data)

    run(main())
    assert (tmp_path / "file").read_bytes() == b""


def test_file_that_nobody_closes_is_closed_with_a_warning(run, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"data")

    async def main():
        file = await tpool.open(path, "rb")
        fd = file.fileno()
        with pytest.warns(ResourceWarning, match="unclosed file"):
            del file  # of no cycle
        with pytest.raises(OSError, match=r"Bad file"):
            os.fstat(fd)

    run(main())


def test_file_that_outlives_its_loop_is_closed_all_the_same(tmp_path):
    async def main():
        file = await tpool.open(tmp_path / "file", "wb")
        await file.write(b"data")
        return file

    file = tpool.run(main())
    fd = file.fileno()
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(file.close())
    assert file.closed
    with pytest.raises(OSError, match=r"Bad file"):
        os.fstat(fd)
