# SPDX-License-Identifier: MIT
"""How a file of tpool.open() ends: closed, forgotten, after its loop, in a fork."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from functools import partial

import pytest
from conftest import run_python, wait_until
from open_world import SlowFiles, cancel_in, is_open, until

import tpool


@pytest.mark.parametrize("mode", ["rb", "r+b"])
def test_close_waits_for_what_a_cancelled_call_has_begun(run, tmp_path, mode):
    """Another file could have its fd else, and be read, or written to."""
    (tmp_path / "file").write_bytes(bytes(100))

    async def main():
        file = await tpool.open(tmp_path / "file", mode)
        slow, fd = SlowFiles(file), file.fileno()
        buffer = bytearray(100)
        await cancel_in(slow, 1, lambda: file.readinto(buffer))
        closing = asyncio.ensure_future(file.close())
        for _ in range(5):
            await asyncio.sleep(0)
        assert os.fstat(fd).st_size == 100
        slow.let()
        await closing
        assert not is_open(fd)

    run(main())


@pytest.mark.parametrize("number", [1, 2])
def test_close_that_is_cancelled_closes_all_the_same(run, tmp_path, number):
    """What was written in vain so far is written: by the write in flight, and behind it."""

    async def main():
        file = await tpool.open(tmp_path / "file", "wb")
        slow, fd = SlowFiles(file), file.fileno()
        await file.write(b"a" * 100)
        if number == 2:
            await cancel_in(slow, 1, file.flush)
        closing = asyncio.ensure_future(file.close())
        await asyncio.sleep(0)
        await until(lambda: slow.begun)
        closing.cancel()
        await asyncio.wait([closing])
        assert file.closed
        slow.let()
        await until(lambda: not is_open(fd))
        assert (tmp_path / "file").read_bytes() == b"a" * 100

    run(main())


def test_close_that_no_thread_has_begun_is_done_with_the_loop(tmp_path):
    """It waits in the queue of a pool, is cancelled there, and done by the loop's thread."""
    go, begun = threading.Event(), threading.Event()

    async def main():
        file = await tpool.open(tmp_path / "file", "wb")
        await file.write(b"data")
        file._files._threads.set_threads(0, 1)
        file._files._threads.submit(lambda: (begun.set(), go.wait(30)))
        assert begun.wait(30)
        closing = asyncio.ensure_future(file.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert file.closed
        assert (tmp_path / "file").read_bytes() == b"data"
        go.set()

    tpool.run(main())


def test_close_that_the_loop_does_not_wait_for_is_done(run, tmp_path):
    fds = []

    async def main():
        file = await tpool.open(tmp_path / "file", "wb")
        slow = SlowFiles(file)
        fds.append(file.fileno())
        await file.write(b"data")
        closing = asyncio.ensure_future(file.close())
        await asyncio.sleep(0)
        await until(lambda: slow.begun)
        closing.cancel()
        await asyncio.wait([closing])
        asyncio.get_running_loop().call_soon(slow.let)

    run(main())
    wait_until(lambda: not is_open(fds[0]))
    assert (tmp_path / "file").read_bytes() == b"data"


def test_error_of_the_last_write_is_told_by_close(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    async def main():
        file = await tpool.open(tmp_path / "file", "wb")
        fd = file.fileno()
        await file.write(b"data")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="No space"):
                await file.close()
        assert file.closed
        assert not is_open(fd)

    run(main())


@pytest.mark.parametrize("mode", ["rb", "r+b", "r+"])
@pytest.mark.parametrize("how", ["refcount", "cycle"])
def test_file_that_nobody_closes_is_written_and_closed(run, tmp_path, mode, how):
    """As by io, with its warning."""
    path = tmp_path / "file"
    path.write_bytes(b"data")

    async def main():
        file = await tpool.open(path, mode)
        fd = file.fileno()
        if file.writable():
            await file.write("DA" if mode == "r+" else b"DA")

        def forget():
            nonlocal file
            cycle = [file]
            if how == "cycle":
                cycle.append(cycle)
            del file, cycle
            gc.collect()

        with pytest.warns(ResourceWarning, match=r"unclosed file .*file.* mode"):
            forget()
        assert not is_open(fd)

    run(main())
    assert path.read_bytes() == (b"data" if mode == "rb" else b"DAta")


def test_warning_that_is_an_error_does_not_keep_the_file_open(tmp_path):
    code = (
        "import asyncio, os, sys, tpool\n"
        "async def main():\n"
        "    file = await tpool.open(sys.argv[1], 'wb')\n"
        "    await file.write(b'data')\n"
        "    fd = file.fileno()\n"
        "    del file\n"
        "    print(os.path.exists(f'/dev/fd/{fd}'))\n"
        "tpool.run(main())\n"
    )
    said = run_python("-W", "error", "-c", code, tmp_path / "file")
    assert "unclosed file" in said.stderr
    assert said.stdout == "False\n"
    assert (tmp_path / "file").read_bytes() == b"data"


def test_file_that_goes_in_the_middle_of_a_write_is_finished_behind_it(run, tmp_path):
    async def main():
        file = await tpool.open(tmp_path / "file", "wb", 4)
        slow, fd = SlowFiles(file), file.fileno()
        await cancel_in(slow, 1, partial(file.write, b"12345"))
        with pytest.warns(ResourceWarning, match="unclosed file"):
            del file
        assert is_open(fd)
        slow.let()
        await until(lambda: not is_open(fd))
        assert (tmp_path / "file").read_bytes() == b"12345"

    run(main())


def test_file_that_outlives_its_loop_is_written_and_closed(tmp_path):
    async def main():
        file = await tpool.open(tmp_path / "file", "wb")
        await file.write(b"data")
        return file

    file = tpool.run(main())
    fd = file.fileno()
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(file.flush())
    asyncio.run(file.close())
    assert file.closed
    assert not is_open(fd)
    assert (tmp_path / "file").read_bytes() == b"data"


@pytest.mark.parametrize("loop", ["asyncio", "tpool"])
def test_exit_of_the_interpreter_writes_what_is_buffered(tmp_path, loop):
    code = (
        "import asyncio, sys, tpool\n"
        "async def main():\n"
        "    global file\n"
        "    file = await tpool.open(sys.argv[1], 'w')\n"
        "    await file.write('data')\n"
        f"{loop}.run(main())\n"
    )
    said = run_python("-X", "dev", "-c", code, tmp_path / "file")
    assert said.stderr.count("ResourceWarning: unclosed file <tpool.Bin") == 1
    assert "ignored" not in said.stderr
    assert (tmp_path / "file").read_text() == "data"


@pytest.mark.parametrize("loop", ["asyncio", "tpool"])
def test_exit_of_the_interpreter_writes_what_a_cancelled_write_has_left(tmp_path, loop):
    """Its loop, which is not closed, would have heard how much that has written."""
    code = (
        "import asyncio, os, sys, threading, tpool\n"
        "go = threading.Event()\n"
        "class Short:\n"
        "    def __init__(self, files): self.pool = files._threads\n"
        "    def pwrite(self, fd, data, at):\n"
        "        part = bytes(data[:2])\n"
        "        return self.pool.submit(lambda: go.wait() and os.pwrite(fd, part, at))\n"
        "async def main():\n"
        "    global file\n"
        "    file = await tpool.open(sys.argv[1], 'wb', 4)\n"
        "    file._files = Short(file._files)\n"
        "    writing = asyncio.ensure_future(file.write(b'12345'))\n"
        "    while not file._files.pool.stats().running: await asyncio.sleep(0)\n"
        "    writing.cancel()\n"
        "    await asyncio.wait([writing])\n"
        f"loop = {loop}.new_event_loop()\n"
        "loop.run_until_complete(main())\n"
        "go.set()\n"
    )
    said = run_python("-W", "ignore", "-c", code, tmp_path / "file")
    assert said.stderr == ""
    assert (tmp_path / "file").read_bytes() == b"12345"


@pytest.mark.parametrize("how", ["close", "forget"])
def test_child_of_a_fork_leaves_what_is_buffered_to_its_parent(tmp_path, how):
    code = (
        "import asyncio, os, sys, tpool, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "async def main():\n"
        "    file = await tpool.open(sys.argv[1], 'ab')\n"
        "    await file.write(b'once')\n"
        "    return file\n"
        "loop = tpool.new_event_loop()\n"
        "file = loop.run_until_complete(main())\n"
        "if pid := os.fork():\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "    loop.run_until_complete(file.close())\n"
        "    loop.close()\n"
        "else:\n"
        f"    if '{how}' == 'close': asyncio.run(file.close())\n"
        "    del file\n"
    )
    said = run_python("-c", code, tmp_path / "file")
    assert (said.stdout, said.stderr) == ("", "")
    assert (tmp_path / "file").read_bytes() == b"once"


def test_close_that_is_cancelled_in_its_turn_closes_all_the_same(run, tmp_path):
    async def main():
        (tmp_path / "file").write_bytes(bytes(100))
        file = await tpool.open(tmp_path / "file", "rb")
        slow, fd = SlowFiles(file), file.fileno()
        reading = asyncio.ensure_future(file.read())
        await until(lambda: slow.begun)
        closing = asyncio.ensure_future(file.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        slow.let()
        assert len(await reading) == 100
        await until(lambda: not is_open(fd))

    run(main())


@pytest.mark.parametrize("loops", ["asyncio tpool", "asyncio asyncio", "tpool asyncio"])
def test_close_is_for_any_loop(tmp_path, loops):
    makes = {"asyncio": asyncio.new_event_loop, "tpool": tpool.new_event_loop}
    first, second = (makes[name]() for name in loops.split())

    async def opened():
        file = await tpool.open(tmp_path / "file", "wb")
        await file.write(b"data")
        return file

    async def close(file):
        await asyncio.wait_for(file.close(), 10)

    second.run_until_complete(close(first.run_until_complete(opened())))
    assert (tmp_path / "file").read_bytes() == b"data"
    first.close()
    second.close()


@pytest.mark.parametrize("loop", ["asyncio", "tpool"])
def test_write_that_a_thread_makes_when_the_loop_closes_is_made_once(tmp_path, loop):
    path, size = tmp_path / "file", 200_000_000

    async def main():
        file = await tpool.open(path, "ab")
        file._files = tpool.AioFiles(file._files.ctx, backend="threads")
        write = asyncio.ensure_future(file.write(bytes(size)))
        await until(lambda: path.stat().st_size)
        write.cancel()
        await asyncio.wait([write])
        return file

    file = {"asyncio": asyncio.run, "tpool": tpool.run}[loop](main())
    asyncio.run(file.close())
    assert path.stat().st_size == size


def test_child_of_a_fork_ends_in_silence_with_a_write_of_its_parent(tmp_path):
    code = (
        "import asyncio, os, sys, threading, tpool\n"
        "go = threading.Event()\n"
        "async def main():\n"
        "    file = await tpool.open(sys.argv[1], 'wb')\n"
        "    await file.write(b'once')\n"
        "    file._flying = file._files._threads.submit(go.wait)\n"
        "    return file\n"
        "loop = tpool.new_event_loop()\n"
        "file = loop.run_until_complete(main())\n"
        "if pid := os.fork():\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "    go.set()\n"
        "    loop.run_until_complete(file.close())\n"
        "    loop.close()\n"
    )
    said = run_python("-W", "ignore", "-c", code, tmp_path / "file")
    assert (said.stdout, said.stderr) == ("", "")
    assert (tmp_path / "file").read_bytes() == b"once"
