# SPDX-License-Identifier: MIT
"""tpool.open() of texts: they are read, written, and placed as by the built-in open()."""

from __future__ import annotations

import codecs
import io
import itertools
import random

import pytest
from open_world import ITEMS, TEXT, outcome, stock_open

import tpool


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


def draw_text(r, encoding):
    """Return the name and the arguments of a call, for both files."""
    size = r.choice([0, 1, 3, 100, 8192, 20_000])
    items = [item for item in ITEMS if encoding != "shift_jis" or item not in "é𝄞"]
    text = "".join(r.choices(items, k=size // 3))
    return r.choice(
        [
            ("read", size), ("read",), ("read", None), ("readline",), ("readline", 5),
            ("write", text), ("writelines", [text, "x\n"]), ("seek", 0), ("seek", 0, 2),
            ("flush",), ("write", b""), ("seek", -1), ("seek", 5, 1), ("seek", 5, 2),
            ("seek", 0, 9), ("read", "5"),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["r", "w", "r+", "w+", "a", "a+"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "shift_jis"])
def test_text_file_does_what_that_of_io_does(tmp_path, mode, encoding):
    r = random.Random(f"{mode} {encoding}")
    paths = [tmp_path / "ours", tmp_path / "theirs"]
    options = {
        "encoding": encoding, "newline": r.choice([None, "", "\n", "\r", "\r\n"]),
        "buffering": r.choice([-1, 1, 100, 20_000]),
    }  # fmt: skip
    for path in paths:
        path.write_bytes(("あ\r\nline\n\r" * 2000).encode(encoding))

    async def main():
        calls = []
        for _ in range(120):
            call = draw_text(r, encoding)
            # Where it writes io tells after a seek.
            places = [("seek", 0, 2)] if "write" in call[0] else []
            calls += [*places, call, *places]
        async with tpool.open(paths[0], mode, **options) as ours:
            with stock_open(paths[1], mode, **options) as theirs:
                for name, *args in calls:
                    mine = await outcome(getattr(ours, name), *args)
                    other = await outcome(getattr(theirs, name), *args)
                    assert mine == other, (name, args)
                assert ours.newlines == theirs.newlines
                assert ours.line_buffering == theirs.line_buffering
                assert (ours.encoding, ours.errors) == (theirs.encoding, theirs.errors)
        assert paths[0].read_bytes() == paths[1].read_bytes()

    tpool.run(main())


def test_line_ends_where_two_chunks_meet(run, tmp_path):
    r"""The \r is the last character of the first, and the \n begins the second."""
    text = "x" * 8191 + "\r\n" + "y" * 8190 + "\r" + "z\r\n"
    (tmp_path / "file").write_bytes(text.encode())

    async def main():
        for newline in (None, "", "\r\n", "\r", "\n"):
            with stock_open(tmp_path / "file", newline=newline) as file:
                lines = file.readlines()
            async with tpool.open(tmp_path / "file", newline=newline) as file:
                assert [line async for line in file] == lines
                await file.seek(0)
                assert await file.readlines() == lines
                await file.seek(0)
                assert await file.readline(9000) == lines[0][:9000]

    run(main())


def test_write_comes_where_the_user_is(run, tmp_path):
    """io would write behind what it has read ahead."""
    (tmp_path / "file").write_text("one\ntwo\n")

    async def main():
        async with tpool.open(tmp_path / "file", "r+") as file:
            assert await file.readline() == "one\n"
            await file.write("2")
            await file.flush()
            assert await file.readline() == "wo\n"
            await file.seek(4)
            assert await file.readline() == "2wo\n"
            await file.seek(3)
            await file.truncate()
            assert await file.read() == ""
        assert (tmp_path / "file").read_text() == "one"

    run(main())


def test_what_is_cut_off_is_not_read_any_more(run, tmp_path):
    (tmp_path / "file").write_text("one\ntwo\n")

    async def main():
        async with tpool.open(tmp_path / "file", "r+") as file:
            assert await file.readline() == "one\n"
            assert await file.truncate() == 4
            assert await file.read() == ""
        assert (tmp_path / "file").read_text() == "one\n"

    run(main())


def test_end_of_a_text_that_was_read_is_not_its_beginning(run, tmp_path):
    """So no mark is written there; and the order of bytes is what it was."""
    path = tmp_path / "file"
    path.write_text("one", "utf-16")

    async def main():
        async with tpool.open(path, "r+", encoding="utf-16") as file:
            assert await file.read() == "one"
            await file.write("two")
        assert path.read_text("utf-16") == "onetwo"
        path.write_bytes(codecs.BOM_UTF16_BE + "one".encode("utf-16-be"))
        async with tpool.open(path, encoding="utf-16") as file:
            assert await file.read() == "one"
            place = await file.tell()
            await file.seek(0)
            with path.open("ab") as other:
                other.write("two".encode("utf-16-be"))
            assert await file.seek(place) == place
            assert await file.read() == "two"

    run(main())


def test_what_cannot_be_decoded_is_said_and_passed(run, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 8192 + b"\xff" * 8192 + b"after\n")

    async def main():
        async with tpool.open(tmp_path / "file", encoding="utf-8") as file:
            with pytest.raises(UnicodeDecodeError):
                await file.readline()
            assert await file.readline() == "x" * 8192 + "after\n"

    run(main())


@pytest.mark.parametrize("newline", [None, ""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-be"])
@pytest.mark.parametrize("how", ["write", "write there", "cut"])
def test_change_behind_each_character_of_lone_returns(
    run, tmp_path, how, encoding, newline
):
    r"""A \r that the decoder holds, as an \n may follow, is ahead of the user."""
    path = tmp_path / "file"

    async def change(count):
        async with tpool.open(path, "r+", encoding=encoding, newline=newline) as file:
            part = await file.read(count) if count else ""
            if how == "write there":
                await file.seek(await file.tell())
            await (file.truncate() if how == "cut" else file.write("X"))
            return part

    async def main():
        for whole in map("".join, itertools.product("a\r\n", repeat=3)):
            for at in range(4):
                path.write_bytes(whole.encode(encoding))
                begin = whole[:at]
                if newline is None:
                    if whole[at - 1 : at + 1] == "\r\n":
                        continue
                    begin = begin.replace("\r\n", "\n")
                assert len(await change(len(begin))) == len(begin)
                found = path.read_bytes().decode(encoding)
                rest = "" if how == "cut" else "X" + whole[at + 1 :]
                assert found == whole[:at] + rest, (whole, at)

    run(main())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_what_comes_behind_a_write_is_read_on(run, tmp_path, encoding):
    """It has no mark: the write was not at the end."""
    path = tmp_path / "file"
    path.write_text("one two", encoding)

    async def main():
        async with tpool.open(path, "r+", encoding=encoding) as file:
            assert await file.read(1) == "o"
            await file.write("X")
            assert await file.read() == "e two"
            await file.seek(0)
            await file.write("Y")
            assert await file.read(2) == "Xe"

    run(main())
