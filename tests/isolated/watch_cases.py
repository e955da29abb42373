# SPDX-License-Identifier: MIT
"""Cases of test_watch.py that need a process of their own."""

from __future__ import annotations

import mmap
import os
import sys

import tpool


def the_child_of_a_fork_watches_nothing():
    memory, seen = mmap.mmap(-1, mmap.PAGESIZE), []
    ctx = tpool.AioContext()
    watch = ctx.watch(memory, 0, lambda: seen.append(os.getpid()))
    pid = os.fork()
    if pid:
        memory[0] = 1
        ctx.poll(False)
        assert seen == [os.getpid()]
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        return
    watch.close()
    ctx.close()
    with tpool.AioContext() as mine:
        mine.watch(memory, 0, lambda: seen.append(2))
        memory[0] = 2
        mine.poll(False)
    os._exit(seen != [2])


if __name__ == "__main__":
    globals()[sys.argv[1]]()
