# SPDX-License-Identifier: MIT
"""Round trips in interpreters with a GIL of their own."""

from __future__ import annotations

import os
import signal
import sys
import threading

import cases
from cases import skip

CODE = """
import tpool
with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=2) as pool:
    ran = []
    for i in range(300):
        assert pool.submit(int, i).result() == i
    ctx.call_soon(ran.append, 1)
    assert ctx.poll() and ran == [1]
    ctx.new_timer(lambda: ran.append(2)).mod_ns(0)
    assert ctx.poll() and ran == [1, 2]
with tpool.ThreadPoolExecutor(2) as executor:
    assert list(executor.map(int, range(300))) == list(range(300))
    assert executor.submit(int, 3).result() == 3
"""


def interpreters():
    try:
        import _interpreters as module
    except ImportError:
        try:
            import _xxsubinterpreters as module
        except ImportError:
            skip("no module for interpreters")
    return module


def run(module, code):
    if hasattr(module, "exec"):
        interpreter = module.create("isolated")
        failed = module.exec(interpreter, code)
        assert failed is None, failed
    else:
        interpreter = module.create(isolated=True)
        module.run_string(interpreter, code)
    module.destroy(interpreter)


def one_after_the_other():
    module = interpreters()
    for _ in range(3):
        run(module, CODE)
    exec(CODE, {})


def wakeup_fd_is_the_main_one_s():
    """What is polled in another interpreter of the main thread leaves it alone."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    run(
        interpreters(),
        "import time, tpool\n"
        "with tpool.AioContext() as ctx:\n"
        "    ctx.new_timer(int).mod_ns(time.monotonic_ns() + 1_000_000)\n"
        "    ctx.poll()\n",
    )
    assert signal.set_wakeup_fd(-1) == write
    os.close(read)
    os.close(write)


def at_the_same_time():
    module = interpreters()
    errors = []

    def live():
        try:
            for _ in range(3):
                run(module, CODE)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=live) for _ in range(3)]
    for thread in threads:
        thread.start()
    exec(CODE, {})
    for thread in threads:
        thread.join()
    assert not errors, errors


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
