# SPDX-License-Identifier: MIT
"""What was asked for of files is done before their context, or their loop, is gone.

Or it would be later, when an fd may be another file's.
"""

from __future__ import annotations

import asyncio
import gc
import linecache
import os
import signal
import threading
import time
import weakref

import file_world
import pytest
from conftest import poll_until, run_python, wait_until
from file_world import BACKENDS, PAGE, head_of, make_files, page

import tpool

file, direct = file_world.file, file_world.direct

N, SIZE = 100, 50_000
PLACES = [n * SIZE for n in range(N)]


def ask(files, file):
    """Ask for writes, of which the threads that there may be cannot have begun all."""
    return [files.pwrite(file, bytes([n]) * SIZE, at) for n, at in enumerate(PLACES)]


def check(made, file):
    """Every one is done."""
    assert [request.result() for request in made] == [SIZE] * N
    assert [os.pread(file.fileno(), 1, at)[0] for at in PLACES] == list(range(N))
    assert os.fstat(file.fileno()).st_size == N * SIZE


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "dropped"])
def test_context_that_is_closed_has_done_what_was_asked_for(ctx, file, backend, kept):
    files = make_files(ctx, backend)
    made = ask(files, file)
    if not kept:
        del files
    ctx.close()
    check(made, file)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "dropped"])
def test_loop_that_is_closed_has_done_what_was_asked_for(file, backend, kept):
    loop = tpool.new_event_loop()
    files = make_files(loop.ctx, backend)

    async def main():
        return ask(files, file)

    made = loop.run_until_complete(main())
    if not kept:
        del files
    loop.close()
    check(made, file)


@pytest.mark.parametrize("backend", BACKENDS)
def test_context_that_is_collected_has_done_what_was_asked_for(file, backend):
    """In a cycle with its requests, and with nobody who has ever polled it."""
    ctx = tpool.AioContext()
    made = ask(make_files(ctx, backend), file)
    made[-1].add_done_callback(lambda request, keep=ctx: keep)
    gone = weakref.ref(ctx)
    del made, ctx
    until = time.monotonic() + 60
    while gone() and time.monotonic() < until:
        gc.collect()  # not before threads have done with it
    assert gone() is None
    assert [os.pread(file.fileno(), 1, at)[0] for at in PLACES] == list(range(N))


@pytest.mark.parametrize("backend", BACKENDS)
def test_direct_writes_of_a_context_that_is_collected_are_done(direct, backend):
    """Also those that wait until the kernel has room."""
    ctx = tpool.AioContext()
    files = make_files(ctx, backend, entries=2)
    for number in range(20):
        files.pwrite(direct, page(b"%5d" % number), number * PAGE)
    del files, ctx
    gc.collect()
    heads = [head_of(direct, number) for number in range(20)]
    assert heads == [b"%5d" % number for number in range(20)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_request_that_is_kept_knows_what_became_of_it(file, backend):
    ctx, buffer = tpool.AioContext(), bytearray(b"0123456789")
    request = make_files(ctx, backend).pwrite(file, buffer, 0)
    del ctx
    gc.collect()
    assert request.result() == 10
    buffer.clear()  # nobody holds it


@pytest.mark.parametrize("backend", BACKENDS)
def test_files_that_another_thread_closes_have_done_what_was_asked_for(
    ctx, file, background, backend
):
    files, data = make_files(ctx, backend), b"x" * (8 << 20)
    made = [files.pwrite(file, data, number * len(data)) for number in range(20)]
    background(files.close).finish()
    ends = [len(data) * (number + 1) - 1 for number in range(20)]
    assert [os.pread(file.fileno(), 1, end) for end in ends] == [b"x"] * 20
    assert not made[0].done()  # the owner hears of it later
    assert {request.result() for request in made} == {len(data)}


def test_callback_may_wait_for_who_closes_the_files(ctx, file, background):
    """Who waits for threads needs nothing that the owner holds in a callback."""
    files, ended = make_files(ctx, "threads"), []
    made = ask(files, file)
    ctx.call_soon(lambda: ended.append(background(files.close).finish()))
    poll_until(ctx, lambda: ended)
    check(made, file)


IN_A_CALLBACK = """
import os, sys, threading, tpool
fd, done = os.open(sys.argv[1], os.O_RDWR), threading.Event()

def stay():
    files.pwrite(fd, b"abc", 0)
    while os.pread(fd, 3, 0) != b"abc":
        pass
    done.set()
    threading.Event().wait()

def main():
    global files
    ctx = tpool.AioContext()
    files = tpool.AioFiles(ctx, backend="threads")
    ctx.call_soon(stay)
    ctx.poll()

threading.Thread(target=main, daemon=True).start()
done.wait()
"""


def test_exit_does_not_wait_for_a_callback_where_all_is_done(file):
    run_python("-c", IN_A_CALLBACK, file.name)


def test_counts_are_those_of_all_requests(ctx, file):
    with make_files(ctx, "threads") as files:
        ask(files, file)
    stats = files._threads.stats()
    assert (stats.submitted, stats.completed) == (N, N)


AT_EXIT = """
import atexit, os, sys, threading, tpool
fd, data, asked = os.open(sys.argv[1], os.O_RDWR), bytes(50_000_000), threading.Event()

def ask():
    files = tpool.AioFiles(tpool.AioContext(), backend=sys.argv[2])
    for number in range(10):
        files.pwrite(fd, data, number * len(data))
    return files

def main():
    files = ask()  # which goes at once, but not its context
    ctx = files.ctx
    del files
    asked.set()
    threading.Event().wait()

@atexit.register
def late():
    try:
        ask()
    except RuntimeError as error:
        print(error)

threading.Thread(target=main, daemon=True).start()
asked.wait()
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_exit_of_the_interpreter_has_done_what_was_asked_for(ctx, file, backend):
    """Of a context that nobody ends. After that nothing is asked for any more."""
    make_files(ctx, backend).close()
    said = run_python("-c", AT_EXIT, file.name, backend).stdout
    assert said == "cannot schedule new futures after interpreter shutdown\n"
    assert os.fstat(file.fileno()).st_size == 500_000_000


def test_others_run_while_the_collector_waits_for_a_write(file, background):
    data, beats, stop = bytes(8 << 20), [], threading.Event()

    def beat():
        while not stop.wait(0.001):
            beats.append(1)

    def collect():
        ctx = tpool.AioContext()
        files = make_files(ctx, "threads")
        for _ in range(100):
            files.pwrite(file, data, 0)
        before = len(beats)
        del files, ctx
        gc.collect()
        return len(beats) - before

    background(beat)
    wait_until(lambda: beats)
    try:  # again where all was written before the collector came
        assert any(collect() > 3 for _ in range(20))
    finally:
        stop.set()


@pytest.mark.parametrize("error", [LookupError, RuntimeError, KeyboardInterrupt])
def test_what_a_signal_handler_raises_leaves_a_loop_closed(file, error):
    loop = tpool.new_event_loop()
    ctx = loop.ctx
    files, data = make_files(ctx, "threads"), bytes(8 << 20)

    async def main():
        return [files.pwrite(file, data, 0) for _ in range(200)]

    def late(number, frame):
        if "AioContext.close" in linecache.getline(
            frame.f_code.co_filename, frame.f_lineno
        ):  # not before, where the loop is as open as any that is closed too soon
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise error

    made = loop.run_until_complete(main())
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        with pytest.raises(error):
            loop.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert ctx.closed
    assert {request.result() for request in made} == {len(data)}


def test_sync_that_nobody_awaits_is_done_before_its_loop_is_gone(file):
    async def main():
        files = make_files(asyncio.get_running_loop().ctx, "threads")
        return files.fsync(file)

    assert tpool.run(main()).done()


THREADLESS = """
import os, resource, tempfile, tpool
ctx = tpool.AioContext()
file = tempfile.TemporaryFile()
made = [tpool.AioFiles(ctx, backend=name) for name in ("threads", "linux-aio", None)]
files = dict((each.backend, each) for each in made)
limit = resource.getrlimit(resource.RLIMIT_AS)
with open("/proc/self/statm") as statm:
    pages = int(statm.read().split()[0])
room = pages * os.sysconf("SC_PAGESIZE") + (6 << 20)  # no stack of a thread
resource.setrlimit(resource.RLIMIT_AS, (room, limit[1]))
for name in "threads", "linux-aio":
    try:
        files[name].pwrite(file, b"abc", 0)
    except RuntimeError as error:
        print(error)
request = files["io_uring"].pwrite(file, b"xyz", 0)
print(request.backend, request.result(), os.pread(file.fileno(), 9, 0))
resource.setrlimit(resource.RLIMIT_AS, limit)
request = files["threads"].pwrite(file, b"abcd", 0)
print(request.backend, request.result(), os.pread(file.fileno(), 9, 0))
"""


def test_where_no_thread_can_be_had_the_kernel_writes(ctx):
    """It has threads of its own."""
    for backend in BACKENDS:
        make_files(ctx, backend).close()
    assert run_python("-c", THREADLESS).stdout.splitlines() == [
        "can't start new thread",
        "can't start new thread",
        "io_uring 3 b'xyz'",
        "threads 4 b'abcd'",
    ]
