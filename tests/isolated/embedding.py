# SPDX-License-Identifier: MIT
"""Cases of test_embedding.py: Python's main thread is what Python says."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time

import cases
from cases import is_blocked, skip, wait_until

import tpool


def interrupt(ready):
    """Send a SIGINT to the process when ready() says so."""

    def run():
        wait_until(ready)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def check_interrupted(poll_max_ns):
    with tpool.AioContext(poll_max_ns) as ctx, tpool.ThreadPool(ctx) as pool:
        for _ in range(3):
            pool.submit(int).result()
        gate = threading.Event()
        request = pool.submit(gate.wait)
        waits = threading.Event()
        polls = poll_max_ns > 1_000_000
        # In the poll phase, which is long and cannot be seen, or when it sleeps.
        ready = (
            (lambda: waits.is_set() and not time.sleep(0.05))
            if polls
            else lambda: is_blocked(ctx)
        )
        thread = interrupt(ready)
        try:
            waits.set()
            request.result()
        except KeyboardInterrupt:
            gate.set()
        else:
            raise AssertionError("not interrupted")
        thread.join()
        assert request.result() is True


def result():
    check_interrupted(0)
    check_interrupted(2**62)


def loop():
    made = tpool.new_event_loop()

    async def main():
        await asyncio.to_thread(int)
        thread = interrupt(lambda: is_blocked(made.ctx))
        try:
            await asyncio.Event().wait()
        finally:
            thread.join()

    try:
        with asyncio.Runner(loop_factory=lambda: made) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        return
    raise AssertionError("not interrupted")


def forked_in_a_thread():
    """The thread that forks is the child's main thread, wherever it came from."""
    statuses = []

    def fork():
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                result()
                status = 0
            finally:
                os._exit(status)
        statuses.append(os.waitpid(pid, 0)[1])

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    assert statuses == [0], statuses


def no_other():
    """A thread that handles no signal sets no wakeup fd, and still works."""
    seen = []

    def run():
        with tpool.AioContext() as ctx, tpool.ThreadPool(ctx) as pool:
            seen.append(pool.submit(int).result())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [0]
    assert signal.set_wakeup_fd(-1) == -1


if __name__ == "__main__":
    second, case = sys.argv[1].split()
    if (threading.get_native_id() == os.getpid()) is (second == "second"):
        skip("main() runs in the first thread")
    cases.run(globals()[case])
