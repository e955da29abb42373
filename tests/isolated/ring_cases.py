# SPDX-License-Identifier: MIT
"""A Ring between processes that fork and are killed: one case in each process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
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
