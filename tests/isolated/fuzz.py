# SPDX-License-Identifier: MIT
"""usage: fuzz.py SEED CALLS LOG [THREADS]. Calls everything there is, with anything.

An exception or success is right, whatever is called with whatever; a crash, or a call
that does not come back, is not. What is drawn depends on the seed alone. The last
calls stand in the file LOG, a ring of lines, also after a crash.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import mmap
import os
import signal
import sys
import tempfile
import threading
import time
import warnings

from fuzz_calls import LINE, LINES, LONG_S, MAIN, Fuzz, end_what_hangs
from fuzz_tables import check_that_all_is_known
from fuzz_world import Context, Pool

from tpool import _core


def watch(fuzzes, stop):
    """Ends waits: calls that are to wait for ever do so until somebody comes.

    A wait whose callbacks call on and on may make steps, and last all the same.
    """
    seen, stuck = None, 0
    while not stop.wait(0.002):
        steps = [fuzz.steps for fuzz in fuzzes]
        stuck = stuck + 1 if steps == seen else 0
        seen = steps
        began = min(fuzz.began for fuzz in fuzzes)
        lasts = time.monotonic() - began > LONG_S
        if not stuck and not lasts:
            continue
        for fuzz in fuzzes:
            for gate in fuzz.gates:
                gate.set()
            fuzz.gates.clear()
            for ctx in list(fuzz.kinds["AioContext"]):
                with contextlib.suppress(BaseException):
                    ctx.notify()
            for owner in fuzz.kinds["AioSelector"] + fuzz.kinds["EventLoop"]:
                with contextlib.suppress(BaseException):
                    owner.ctx.notify()
        if stuck > 5 or lasts:
            for fuzz in fuzzes:
                for request in fuzz.kinds["Request"] + fuzz.kinds["Future"]:
                    with contextlib.suppress(BaseException):
                        cancel(request)
                for worker in list(fuzz.kinds["Worker"]):
                    with contextlib.suppress(BaseException):
                        worker.lost()
            signal.pthread_kill(MAIN.ident, signal.SIGUSR1)
        if lasts:
            end_calls(fuzzes)


def cancel(request):
    """Cancel it, unless what the signal has raised has left its lock to nobody."""
    lock = getattr(request, "_condition", None)  # of a standard Future
    if lock is not None:
        if not lock.acquire(timeout=0.1):
            return
        lock.release()
    request.cancel()


def end_calls(fuzzes):
    """What is waited for may be known to nobody but its pool, or to its future."""
    for fuzz in fuzzes:
        for future in list(fuzz.calls):
            cancel(future)
    for thing in gc.get_objects():
        if isinstance(thing, _core.ThreadPool):
            with contextlib.suppress(BaseException):
                _core.ThreadPool._close(thing, 0, True)


def main(seed, calls, path, threads):
    faulthandler.enable()
    os.chdir(tempfile.mkdtemp())  # a strange path is somebody's file
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda info: None
    threading.excepthook = lambda info: None
    check_that_all_is_known()
    size = LINE * LINES
    logs = []
    for number in range(threads):
        with open(f"{path}.{number}", "w+b") as file:
            file.truncate(size)
            logs.append(mmap.mmap(file.fileno(), size))
    fuzzes = [
        Fuzz(f"{seed}.{number}", log, main=number == 0)
        for number, log in enumerate(logs)
    ]
    first = fuzzes[0]
    for other in fuzzes[1:]:
        other.kinds = first.kinds  # the same objects
    Context.fuzz = Pool.fuzz = first
    signal.signal(signal.SIGUSR1, first.unblock)
    signal.signal(signal.SIGALRM, first.on_signal)
    gc.set_threshold(200, 5, 5)
    stop = threading.Event()
    helper = threading.Thread(target=watch, args=(fuzzes, stop), daemon=True)
    helper.start()
    others = [
        threading.Thread(target=fuzz.run, args=(calls // threads,), daemon=True)
        for fuzz in fuzzes[1:]
    ]
    for thread in others:
        thread.start()
    while first.steps < calls // threads:
        before = first.steps
        try:
            end_what_hangs()
            first.run(min(5000, calls // threads - first.steps))
        except BaseException as error:  # a signal between two calls
            if isinstance(error, AssertionError) or first.steps == before:
                raise
    end_of(first, fuzzes, others, stop, helper)


def end_of(first, fuzzes, others, stop, helper):
    """Let go of everything, and end the process.

    Not by the interpreter's own end: what was drawn has left strange things in the
    lists of threading, and an exit that one of them interrupts dies of SIGINT.
    """
    end_what_hangs()
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    for thread in others:
        while thread.is_alive():
            with contextlib.suppress(BaseException):
                thread.join(0.1)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    stop.set()
    helper.join()
    Context.fuzz = Pool.fuzz = None
    kinds = "Worker ThreadPool ThreadPoolExecutor EventLoop AioSelector"
    for kind in kinds.split():
        for thing in list(first.kinds[kind]):
            for name, args in (
                ("lost", ()), ("_close", (0, True)), ("close", ()),
            ):  # fmt: skip
                with contextlib.suppress(BaseException):
                    getattr(thing, name)(*args)
    for thing in gc.get_objects():
        if isinstance(thing, _core.ThreadPool):  # known to no registry, some of them
            _core.ThreadPool._close(thing, 0, True)
    steps = sum(fuzz.steps for fuzz in fuzzes)
    used = set().union(*(fuzz.used for fuzz in fuzzes))
    outcomes = first.outcomes
    for fuzz in fuzzes:
        fuzz.kinds = {kind: [] for kind in fuzz.kinds}
        fuzz.zombies.clear()
    gc.collect()
    print(steps, "calls", len(used), "entries", sorted(outcomes.items()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.argv.append(tempfile.mktemp())
    main(
        int(sys.argv[1]),
        int(sys.argv[2]),
        sys.argv[3],
        int(sys.argv[4]) if len(sys.argv) > 4 else 1,
    )
