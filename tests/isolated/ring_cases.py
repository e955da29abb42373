# SPDX-License-Identifier: MIT
"""A Ring between processes that fork and are killed: one case in each process."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import multiprocessing
import os
import random
import select
import signal
import socket
import stat
import struct
import sys
import time

import tpool

DEADLINE_S = 60.0
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 30


def child(run, *args):
    """Fork; the child runs that, and exits with 0 if nothing is raised."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        run(*args)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def wait_for(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def echo(there, back):
    with contextlib.suppress(EOFError):
        while True:
            back.send(there.recv())


def a_child_of_a_fork_is_the_other_side():
    there, back = tpool.Ring.create(), tpool.Ring.create()
    pid = child(echo, there, back)
    for number in range(2000):
        there.send(b"%d" % number)
        assert back.recv(DEADLINE_S) == b"%d" % number
    there.close()
    assert wait_for(pid) == 0
    try:
        back.recv(DEADLINE_S)
    except EOFError:  # os._exit() closes nothing: it is seen to be dead
        raise AssertionError("it was closed") from None
    except ConnectionResetError:
        pass


def the_parent_s_side_stays_the_parent_s():
    ring = tpool.Ring.create()
    ring.send(b"parent")

    def use():
        assert ring.recv() == b"parent"
        try:
            ring.send(b"child")
            raise AssertionError
        except OSError:  # there is a writer
            pass
        assert ring.recv() == b"more"

    pid = child(use)
    ring.send(b"more")
    assert wait_for(pid) == 0


def a_handler_that_forks_while_it_waits():
    ring, done = tpool.Ring.create(readers=2), []

    def handler(number, frame):
        done.append(os.fork())
        if done[0]:
            ring.send(b"x")

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    assert ring.recv(DEADLINE_S) == b"x"
    if not done[0]:
        os._exit(0)
    assert wait_for(done[0]) == 0


def a_dead_reader_wakes_the_writer_once_whoever_else_has_its_fds():
    with tpool.Ring.create(readers=2, size=64) as ring:
        reader = child(lambda: (ring.recv(), signal.pause()))
        for _ in range(2):
            ring.send(b"x" * ring.message_max, DEADLINE_S)
        with contextlib.suppress(TimeoutError):
            ring.send(b"x", 0.05)  # asleep: it watches the reader
        other = child(signal.pause)
        os.kill(reader, signal.SIGKILL)
        wait_for(reader)
        before = ring.sleeps
        with contextlib.suppress(TimeoutError):
            ring.send(b"x", 0.2)
        os.kill(other, signal.SIGKILL)
        wait_for(other)
        assert ring.sleeps - before < 10


def bell_of(memory, place):
    return struct.unpack_from("=I", memory, 64 + 128 * place + 80)[0]


def strangers_are_not_rung_by_numbers_of_the_gone():
    for ends in (tpool.Ring.close, lambda _: os._exit(0)):
        with tpool.Ring.create(readers=2, size=64) as ring:

            def read(ring=ring, ends=ends):
                ring.recv()  # now it has its doorbell
                ring.recv()
                ends(ring)

            with mmap.mmap(ring.memory_fd, 0) as memory:
                ring.send(b"x")
                reader, number = child(read), 0
                while not number:
                    number = bell_of(memory, 1)
                ring.send(b"x")
                wait_for(reader)
                for _ in range(2):
                    with contextlib.suppress(TimeoutError):
                        ring.send(b"x" * ring.message_max, 0.05)
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
                    stranger.bind(b"\0%05x" % (number & 0xFFFFF))
                    ring.close()
                    assert not select.select([stranger], [], [], 0)[0]


def sockets():
    found = set()
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # that of listdir() itself
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                found.add(fd)
    return found


def a_number_used_again_is_left_alone():
    """Its fds are closed behind its back, and a socket of the program's has theirs."""
    with tpool.Ring.create() as ring, tpool.Ring.create() as other:
        before = sockets()
        ring.send(b"x")
        (mine,) = sockets() - before
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        with ours, theirs:
            reader = child(
                lambda: (ring.recv(), other.send(b"x"), ring.recv(), signal.pause())
            )
            other.recv(DEADLINE_S)
            theirs.send(b"for us")
            os.dup2(ours.fileno(), mine)
            while ring.try_send(b"x" * 4096):
                pass
            with contextlib.suppress(OSError):
                ring.send(b"x" * 4096, 0.01)
            ring.close()
            assert not select.select([theirs], [], [], 0)[0]
            assert ours.recv(6) == b"for us"
        os.kill(reader, signal.SIGKILL)  # nobody can ring for it any more
        wait_for(reader)


def a_full_dev_shm_is_an_error():
    if os.getuid():
        return  # to mount one takes root
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) or libc.mount(b"", b"/", None, 1 << 18 | 1 << 14, None):
        return  # not allowed here
    assert libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=64k") == 0
    try:
        tpool.Ring.create("full", size=1 << 20)
        raise AssertionError
    except OSError as error:
        full = error.errno == errno.ENOSPC
    assert full
    assert os.listdir("/dev/shm") == []


def spawned(there, back):
    echo(there, back)
    back.close()


def multiprocessing_hands_it_over():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with tpool.Ring.create() as there, tpool.Ring.create() as back:
            process = context.Process(target=spawned, args=(there, back))
            process.start()
            there.send(b"x")
            assert back.recv(DEADLINE_S) == b"x"
            there.close()
            try:
                back.recv(DEADLINE_S)
                raise AssertionError
            except EOFError:
                pass
            process.join()
            assert process.exitcode == 0


def write_for_ever(ring, seed):
    rng = random.Random(seed)
    number = 0
    while True:
        body = bytes([number % 256]) * rng.randrange(300)
        ring.send(struct.pack("QI", number, len(body)) + body)
        number += 1
        if rng.random() < 0.01:
            time.sleep(rng.random() * 1e-3)


def read_one(ring, number):
    """Take a message, which must be whole, and that of this number."""
    message = ring.recv(DEADLINE_S)
    assert message[:12] == struct.pack("QI", number, len(message) - 12)
    assert message[12:] == bytes([number % 256]) * (len(message) - 12)


def a_killed_writer_is_seen_and_what_it_sent_is_whole():
    """F51."""
    rng = random.Random(53)
    for round_ in range(ROUNDS):
        with tpool.Ring.create(size=rng.choice([1024, 1 << 16])) as ring:
            pid = child(write_for_ever, ring, round_)
            read_one(ring, 0)
            number = 1
            end = time.monotonic() + rng.random() * 5e-3
            while time.monotonic() < end:
                read_one(ring, number)
                number += 1
            if round_ % 2:  # full, and asleep, or soon so
                time.sleep(rng.random() * 5e-3)
            os.kill(pid, signal.SIGKILL)
            try:
                while True:
                    read_one(ring, number)
                    number += 1
            except ConnectionResetError:
                pass
            assert wait_for(pid) == -signal.SIGKILL


def read_for_ever(ring, seed):
    rng = random.Random(seed)
    while True:
        ring.recv()
        if rng.random() < 0.01:
            time.sleep(rng.random() * 1e-3)


def a_killed_reader_is_seen():
    """F51."""
    rng = random.Random(54)
    for round_ in range(ROUNDS):
        with tpool.Ring.create(size=rng.choice([1024, 4096])) as ring:
            pid = child(read_for_ever, ring, round_)
            while ring.try_send(b"x"):  # more than fits in: it has come
                pass
            ring.send(b"x", DEADLINE_S)
            end = time.monotonic() + rng.random() * 5e-3
            while time.monotonic() < end:
                ring.send(b"x" * rng.randrange(300), DEADLINE_S)
            if round_ % 2:  # empty, and asleep, or soon so
                time.sleep(rng.random() * 5e-3)
            os.kill(pid, signal.SIGKILL)
            try:
                while True:
                    ring.send(b"x" * rng.randrange(300), DEADLINE_S)
            except ConnectionResetError:
                pass
            assert wait_for(pid) == -signal.SIGKILL


if __name__ == "__main__":
    globals()[sys.argv[1]]()
