# SPDX-License-Identifier: MIT
"""Cases of test_simple_queue.py that need a process of their own."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import cases
from hostile_fork import in_child

import tpool

warnings.simplefilter("ignore")  # of 3.12 and later: there are threads


def use(q, item):
    """Put and get, in two threads: each waits for the other."""
    back = tpool.SimpleQueue()
    thread = threading.Thread(target=lambda: back.put(q.get(timeout=9)))
    thread.start()
    q.put(item)
    assert back.get(timeout=9) == item
    thread.join()


def is_asleep(tid):
    stat = Path(f"/proc/self/task/{tid}/stat").read_text(encoding="ascii")
    return stat.rpartition(")")[2].split()[0] == "S"


def stays_asleep(tid):
    """Not only for the GIL, which this thread gives away in between."""
    for _ in range(20):
        time.sleep(0.0005)
        if not is_asleep(tid):
            return False
    return True


def interrupt_when_asleep(number, then=lambda: None):
    """Start a thread that sends the main thread a signal when it sleeps."""
    main = threading.get_native_id()

    def interrupt():
        cases.wait_until(lambda: stays_asleep(main))
        os.kill(os.getpid(), number)
        then()

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def ctrl_c_ends_a_get():
    """F6: it comes out of get() at once, and a later get() has the object."""
    q = tpool.SimpleQueue()
    for wait in ({}, {"timeout": 60}):
        try:
            thread = interrupt_when_asleep(signal.SIGINT)
            q.get(**wait)
        except KeyboardInterrupt:
            thread.join()
        else:
            raise AssertionError("nothing was put")
    q.put(1)
    assert q.get() == 1


def ctrl_c_ends_a_get_that_polls_for_ever():
    """F7: the bound of the poll phase is no bound for signals."""
    os.environ["TPOOL_POLL_MAX_NS"] = str(10**17)
    q = tpool.SimpleQueue()
    there = tpool.SimpleQueue()
    thread = threading.Thread(target=lambda: [q.put(there.get()) for _ in range(64)])
    thread.start()
    for i in range(64):  # learns to poll
        there.put(i)
        assert q.get() == i
    thread.join()
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        q.get(timeout=60)
    except KeyboardInterrupt:
        timer.join()
    else:
        raise AssertionError("nothing was put")


def child_of_a_fork_goes_on():
    """F10: with getters of the parent that wait, and are not there in the child."""
    q = tpool.SimpleQueue()
    threads = [threading.Thread(target=q.get) for _ in range(3)]
    for thread in threads:
        thread.start()
    full = tpool.SimpleQueue()
    full.put("before")

    def child():
        assert full.get_nowait() == "before"
        for number in range(100):
            use(full, number)
            use(q, number)

    for _ in range(5):
        assert in_child(child) == 0
    assert full.get() == "before"
    for _ in threads:
        q.put(None)
    for thread in threads:
        thread.join()


def handler_that_forks_in_a_get():
    """The child comes back to a wait that it shares with nobody."""
    q = tpool.SimpleQueue()
    children = []

    def on_signal(*_):
        if (pid := os.fork()) == 0:
            q.put("child")
        children.append(pid)

    signal.signal(signal.SIGUSR1, on_signal)
    thread = interrupt_when_asleep(
        signal.SIGUSR1, lambda: q.put(cases.wait_until(lambda: children and "parent"))
    )
    got = q.get(timeout=60)
    (pid,) = children
    if pid == 0:
        os._exit(in_child(use, q, 1) or got != "child")
    thread.join()
    assert got == "parent"
    assert os.waitpid(pid, 0)[1] == 0


def exit_with_getters():
    """Daemon threads that wait, asleep and polling, do not hold up the exit."""
    for _ in range(3):
        threading.Thread(target=tpool.SimpleQueue().get, daemon=True).start()
    q, back = tpool.SimpleQueue(), tpool.SimpleQueue()

    def answer():
        while True:
            back.put(q.get())

    threading.Thread(target=answer, daemon=True).start()
    for i in range(200):
        q.put(i)
        assert back.get() == i


def put_when_the_getters_have_ended_with_python():
    """Their stacks are gone before the last object puts something."""
    if sys.version_info >= (3, 14):
        cases.skip("threads that are there at the end stay, asleep")
    q, others = tpool.SimpleQueue(), len(os.listdir("/proc/self/task"))
    size = threading.stack_size(64 << 20)  # the system has it back at once
    for _ in range(4):
        thread = threading.Thread(target=q.get, args=(True, 3), daemon=True)
        thread.start()
        cases.wait_until(lambda tid=thread.native_id: stays_asleep(tid))
    threading.stack_size(size)

    class Last:
        def __del__(self, listdir=os.listdir, sleep=time.sleep, write=os.write):
            while len(listdir("/proc/self/task")) > others:
                sleep(0.01)
            try:
                q.get(timeout=0.001)
            except Exception as err:
                write(1, type(err).__name__.encode())
            for number in range(8):
                q.put(number)
            write(1, b" put")

    sys.last = Last()


def queues_in_queues_go():
    """However deep they are, as lists do: nothing overflows."""
    for kind in (tpool.SimpleQueue, type("Mine", (tpool.SimpleQueue,), {})):
        q = kind()
        for _ in range(200_000):
            outer = kind()
            outer.put(q)
            q = outer
        del q, outer


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
