# SPDX-License-Identifier: MIT
"""Python in a thread that is not the process's first."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, run_code

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.platform != "linux", reason="the C library is glibc's"),
]
SOURCE = ROOT / "tests" / "c" / "python_in_second_thread.c"

WAITS = """
import os, signal, sys, threading, tpool

assert threading.get_native_id() != os.getpid()
kind, gate = sys.argv[1], threading.Event()
ctx = tpool.AioContext(0)

def blocked():
    ctx.acquire()  # the owner lets go of it only to sleep
    try:
        return ctx.notify_me >= 2
    finally:
        ctx.release()

def interrupt():
    while not blocked():
        pass
    os.kill(os.getpid(), signal.SIGINT)

with ctx, tpool.ThreadPool(ctx) as pool:
    request = pool.submit(gate.wait)
    threading.Thread(target=interrupt).start()
    try:
        request.result() if kind == "result" else ctx.poll()
    except KeyboardInterrupt:
        print("interrupted")
    gate.set()
"""


@pytest.fixture(scope="module")
def preload(tmp_path_factory):
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("no gcc")
    library = tmp_path_factory.mktemp("embedding") / "second_thread.so"
    command = [gcc, "-shared", "-fPIC", "-pthread", SOURCE, "-o", library, "-ldl"]
    subprocess.run(command, check=True)
    return {"LD_PRELOAD": str(library)}


@pytest.mark.parametrize("kind", ["result", "poll"])
def test_ctrl_c_ends_the_wait_of_pythons_main_thread(preload, kind):
    result = run_code(WAITS, kind, env=preload, timeout=30)
    assert result.stdout == "interrupted\n"


@pytest.mark.parametrize("case", ["result", "loop", "forked_in_a_thread", "no_other"])
@pytest.mark.parametrize("thread", ["first", "second"])
def test_signals_are_those_of_the_thread_that_python_says(
    isolated, request, thread, case
):
    env = request.getfixturevalue("preload") if thread == "second" else None
    isolated("embedding.py", f"{thread} {case}", env=env)
