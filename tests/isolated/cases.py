# SPDX-License-Identifier: MIT
"""What programs of this folder need to run a case: waits with a deadline, an end."""

from __future__ import annotations

import faulthandler
import sys
import time

import tpool

DEADLINE_S = 30
HANG_S = 50  # before the test that runs the program loses patience


def run(case, *args):
    """Call it; if it hangs, the process ends, and says where each thread is."""
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    case(*args)


def skip(reason):
    """End the process: the case cannot be tried here."""
    print(reason)
    sys.exit(77)


def needs_polling():
    """Skip the case where nobody polls."""
    if tpool._core.cpus_usable() == 1:
        skip("nobody polls where one CPU is usable")


def wait_until(condition, pause=lambda: time.sleep(0.0005)):
    """Return what condition() says once it is true."""
    end = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < end, "deadline"
        pause()
    return found


def spin_until(condition):
    """The same without a system call: a fork, or a signal, may come at any moment."""
    return wait_until(condition, pause=int)


def is_blocked(ctx):
    """Whether the owner of ctx sleeps; called by another thread."""
    ctx.acquire()  # the owner lets go of it only to sleep
    try:
        return ctx.notify_me >= 2
    finally:
        ctx.release()
