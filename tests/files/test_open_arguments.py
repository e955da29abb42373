# SPDX-License-Identifier: MIT
"""What tpool.open() takes: fds, openers, paths of any kind, buffering; and what not."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tempfile
import threading

import pytest
from conftest import DEADLINE_S, wait_until
from open_world import is_open, outcome, stock_open, until

import tpool


@pytest.mark.parametrize("kind", [str, os.fsencode, lambda path: path])
def test_paths_of_each_kind_name_the_file_as_io_does(run, tmp_path, kind):
    path = kind(tmp_path / "file")

    async def main():
        async with tpool.open(path, "w") as file, tpool.open(path, "rb") as other:
            with stock_open(path) as known:
                assert file.name == other.name == known.name

    run(main())


def test_fd_is_read_from_where_it_is_and_left_there(run):
    async def main(temporary):
        fd = temporary.fileno()
        os.write(fd, b"one\ntwo\nthree\n")
        os.lseek(fd, 4, os.SEEK_SET)
        async with tpool.open(fd, "r+b", closefd=False) as file:
            assert (file.name, await file.tell()) == (fd, 4)
            assert await file.readline() == b"two\n"
            await file.write(b"3")
            await file.flush()
            assert os.lseek(fd, 0, os.SEEK_CUR) == 9
            await file.seek(1)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 1
        async with tpool.open(fd, "a", closefd=False) as file:
            await file.write("end")
        assert os.pread(fd, 100, 0) == b"one\ntwo\n3hree\nend"
        return await tpool.open(os.dup(fd), closefd=False)

    with tempfile.TemporaryFile() as temporary:
        file = run(main(temporary))
        fd = file.fileno()
        del file  # without a warning: it is not its own
        os.close(fd)


def test_fd_that_is_given_is_closed_with_the_file_only(run, tmp_path):
    async def main():
        fd = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(IsADirectoryError):
            await tpool.open(fd)
        os.close(fd)
        fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        async with tpool.open(fd, "wb") as file:
            for _ in range(2):
                await file.seek(0)
                await file.write(b"behind")
            await file.flush()
            assert await file.tell() == 12
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)
        assert (tmp_path / "file").read_bytes() == b"behind" * 2

    run(main())


def test_opener_opens_it(run, tmp_path):
    (tmp_path / "file").write_text("text")
    called = []

    async def main():
        home = os.open(tmp_path, os.O_RDONLY)

        def opener(path, flags):
            called.append((path, flags))
            fd = os.open(path, flags, dir_fd=home)
            os.set_inheritable(fd, True)
            return fd

        async with tpool.open("file", opener=opener) as file:
            assert await file.read() == "text"
            assert not os.get_inheritable(file.fileno())
        os.close(home)
        assert called == [("file", os.O_RDONLY | os.O_CLOEXEC)]
        for wrong in (-1, None):
            with pytest.raises(ValueError, match=f"opener.*{wrong}"):
                await tpool.open("file", opener=lambda *_, fd=wrong: fd)
        with pytest.raises(ZeroDivisionError):
            await tpool.open("file", opener=lambda *_: 1 // 0)

    run(main())


@pytest.mark.parametrize(
    ("mode", "buffering", "parts", "found"),
    [
        ("wb", 0, [b"a", b"b"], b"ab"),
        ("wb", 2, [b"a"], b""),
        ("wb", 2, [b"a", b"bc"], b"abc"),
        ("w", 1, ["a", "b\n", "c"], b"ab\n"),
        ("w", -1, ["a\n"], b""),
    ],
)
def test_buffering_is_what_waits_for_a_flush(
    run, tmp_path, mode, buffering, parts, found
):
    async def main():
        async with tpool.open(tmp_path / "file", mode, buffering) as file:
            for part in parts:
                await file.write(part)
            assert (tmp_path / "file").read_bytes().startswith(found)
            size = len(found) if buffering == 1 else os.stat(file.fileno()).st_size
            assert size == len(found)

    run(main())


def test_binary_file_that_is_to_be_buffered_by_lines_warns(run, tmp_path):
    async def main():
        with pytest.warns(RuntimeWarning, match="buffering=1"):
            opening = tpool.open(tmp_path / "file", "wb", 1)
        async with opening as file:
            await file.write(b"line\n")
            assert os.stat(file.fileno()).st_size == 0

    run(main())


def test_without_a_buffer_nothing_is_read_ahead(run, tmp_path):
    (tmp_path / "file").write_bytes(b"abcd")

    async def main():
        async with tpool.open(tmp_path / "file", "rb", 0) as file:
            assert await file.peek() == b"abcd"
            assert await file.read(1) == b"a"
            (tmp_path / "file").write_bytes(b"ABCD")
            assert await file.read(1) == b"B"

    run(main())


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        (("file", ""), {}, ValueError, "mode: ''"),
        (("file", "rw"), {}, ValueError, "mode: 'rw'"),
        (("file", "rbt"), {}, ValueError, "mode: 'rbt'"),
        (("file", "r++"), {}, ValueError, r"mode: 'r\+\+'"),
        (("file", "q"), {}, ValueError, "mode: 'q'"),
        (("file", "U"), {}, ValueError, "mode: 'U'"),
        (("file", 5), {}, TypeError, "mode .*5"),
        (("file", ["r"]), {}, TypeError, "mode .*'r'"),
        ((5.5,), {}, TypeError, "float"),
        ((None,), {}, TypeError, "NoneType"),
        ((-1,), {}, ValueError, "file .*-1"),
        (("file", "rb", -2), {}, ValueError, "buffering .*-2"),
        (("file", "rb", "1"), {}, TypeError, "str"),
        (("file", "r", 0), {}, ValueError, "buffering=0"),
        (("file", "rb"), {"encoding": "utf-8"}, ValueError, "encoding"),
        (("file", "rb"), {"errors": "strict"}, ValueError, "errors"),
        (("file", "rb"), {"newline": ""}, ValueError, "newline"),
        (("file",), {"newline": "x"}, ValueError, "newline.*x"),
        (("file",), {"newline": 5}, TypeError, "newline.*int"),
        (("file",), {"encoding": "none"}, LookupError, "none"),
        (("file",), {"encoding": "hex"}, LookupError, "hex"),
        (("file",), {"closefd": False}, ValueError, "closefd"),
    ],
)
def test_bad_argument_is_refused_at_once(arguments, options, error, said):
    with pytest.raises(error, match=said):
        tpool.open(*arguments, **options)


@pytest.mark.parametrize("mode", ["r+", "r+b"])
def test_bad_argument_of_a_method_is_refused_and_changes_nothing(run, tmp_path, mode):
    (tmp_path / "file").write_text("text")

    async def main():
        async with tpool.open(tmp_path / "file", mode) as file:
            await file.read(1)
            for name, *arguments in [
                ("read", "5"), ("read", 1.5), ("readline", "5"), ("readlines", "5"),
                ("seek", "5"), ("seek", 1.5), ("truncate", "5"), ("write", None),
                ("write", 5), ("writelines", [5]), ("writelines", 5),
                ("write", b"x" if mode == "r+" else "x"),
            ]:  # fmt: skip
                assert await outcome(getattr(file, name), *arguments) is TypeError, name
            for arguments in ((-1,), (0, 9), (2**63,)):
                with pytest.raises((ValueError, OSError)):
                    await file.seek(*arguments)
            if mode == "r+b":
                assert await outcome(file.readinto, b"read-only") is TypeError
                with pytest.raises(ValueError, match=r"size must be .*-2"):
                    await file.read(-2)
            assert await file.read() in ("ext", b"ext")

    run(main())
    assert (tmp_path / "file").read_text() == "text"


def test_opening_is_entered_once_at_a_time(run, tmp_path):
    async def main():
        opening = tpool.open(tmp_path / "file", "w")
        async with opening as file:
            with pytest.raises(RuntimeError, match="open already"):
                async with opening:
                    pass
            await file.write("text")
        with contextlib.suppress(ZeroDivisionError):
            async with opening as file:
                await file.write("other")
                raise ZeroDivisionError
        assert file.closed
        assert (tmp_path / "file").read_text() == "other"

    run(main())


def test_cancelled_open_leaves_no_fd(run, tmp_path):
    async def main():
        async def opened():
            return await tpool.open(tmp_path / "new", "wb")

        await (await opened()).close()
        before = os.listdir("/dev/fd")
        for _ in range(20):
            task = asyncio.ensure_future(opened())
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await task).close()
        await until(lambda: len(os.listdir("/dev/fd")) <= len(before))

    run(main())


def test_open_that_outlives_its_loop_leaves_no_fd(run, tmp_path, gate):
    """Its thread has begun, and nobody is there when it ends."""
    begun, fds = threading.Event(), []

    def opener(path, flags):
        begun.set()
        gate.wait(DEADLINE_S)
        fds.append(os.open(path, flags, 0o600))
        return fds[0]

    async def main():
        async def opened():
            return await tpool.open(tmp_path / "new", "wb", opener=opener)

        task = asyncio.ensure_future(opened())
        await until(begun.is_set)
        task.cancel()
        await asyncio.wait([task])
        asyncio.get_running_loop().call_soon(gate.set)

    run(main())
    wait_until(lambda: fds and not is_open(fds[0]))


def test_kinds_of_files_that_are_not_for_it_are_said(run, tmp_path):
    async def main():
        read, write = os.pipe()
        for fd in (read, write):
            with pytest.raises(io.UnsupportedOperation, match=str(fd)):
                await tpool.open(fd, "rb", closefd=False)
            os.close(fd)

    run(main())
