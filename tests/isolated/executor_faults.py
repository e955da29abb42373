# SPDX-License-Identifier: MIT
"""Cases of test_executor_faults.py that need a process of their own."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import signal
import sys
import threading
import warnings
import weakref
from pathlib import Path

import cases
from hostile_fork import in_child, refused
from spawn import no_more_threads
from spawn import refused as raised_by

warnings.simplefilter("ignore")  # of forks, in 3.12 and later: there are threads


def executor_of(workers, **options):
    import tpool

    return tpool.ThreadPoolExecutor(workers, **options)


def signal_handler_submits():
    """F8: submit, cancel and a look at a future in what interrupts the same."""
    with executor_of(2) as executor:
        futures, count = [], [0]

        def handler(*_):
            count[0] += 1
            futures.append(executor.submit(int))
            extra = executor.submit(int)
            extra.cancel()
            futures.append(extra)

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
        while count[0] < 300:
            future = executor.submit(int)
            future.cancel()
            assert future.cancelled() or future.result() == 0
            assert executor.submit(int).result() == 0
        signal.setitimer(signal.ITIMER_REAL, 0)
        for future in futures:
            assert future.cancelled() or future.result() == 0
        assert len(futures) >= 600


def signal_handler_shuts_down():
    """F8: shutdown in a handler that interrupts submit; then it is refused."""
    executor = executor_of(None)
    signal.signal(signal.SIGALRM, lambda *_: executor.shutdown())
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    said = None
    while said is None:
        try:
            executor.submit(int)
        except RuntimeError as error:
            said = str(error)
    assert said == "cannot schedule new futures after shutdown", said
    # A thread that submit() was starting when it was interrupted comes later.
    cases.wait_until(lambda: executor.stats().threads == 0)
    stats = executor.stats()
    assert stats.completed == stats.submitted


def signal_handler_shuts_down_within_the_start_of_a_thread():
    """F8: it does not wait for a thread that it keeps from starting."""
    executor = executor_of(1)
    signal.signal(signal.SIGALRM, lambda *_: executor.shutdown())
    start = threading.Thread.start

    def interrupted(thread):
        threading.Thread.start = start
        signal.raise_signal(signal.SIGALRM)
        return start(thread)

    threading.Thread.start = interrupted
    assert executor.submit(int).result(cases.DEADLINE_S) == 0
    cases.wait_until(lambda: executor.stats().threads == 0)


def ctrl_c_ends_a_wait():
    """F6: while the main thread polls, or sleeps; nothing is lost."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stat = Path(f"/proc/self/task/{threading.main_thread().native_id}/stat")

    def interrupt(wanted, waits):
        cases.wait_until(lambda: waits)  # not where a thread is started for this
        if stat.exists():
            cases.wait_until(lambda: stat.read_text().rpartition(")")[2][1] in wanted)
        os.kill(os.getpid(), signal.SIGINT)

    for poll_max_ns, wanted in ((0, "S"), (32_768, "RS")):
        with executor_of(2, poll_max_ns=poll_max_ns) as executor:
            gate = threading.Event()
            for _ in range(20):
                executor.submit(int).result()  # the window grows
            future = executor.submit(gate.wait)
            waits = []
            try:
                executor.submit(interrupt, wanted, waits)
                waits.append(True)
                future.result()
                raise AssertionError("it was not interrupted")
            except KeyboardInterrupt:
                pass
            gate.set()
            assert future.result() is True


def gc_submits():
    """F9: submit in __del__ and in a weakref callback, at any allocation."""
    with executor_of(3) as executor:
        futures = []

        class Cycle:
            def __init__(self):
                self.me = self

            def __del__(self):
                futures.append(executor.submit(int))

        watched = []
        gc.set_threshold(3)
        for _ in range(1000):
            ref = weakref.ref(Cycle(), lambda _: futures.append(executor.submit(int)))
            watched.append(ref)
            future = executor.submit(int)
            future.add_done_callback(lambda future: future)
            assert future.result() == 0
            watched[:-5] = []
        gc.set_threshold(0)
        gc.collect()
        for future in futures:
            assert future.result() == 0
        assert len(futures) > 1000


def child_of_the_submitter_is_refused():
    """F10: at once, also what nobody will run; it makes an executor of its own."""
    executor = executor_of(1)
    gate, started = threading.Event(), threading.Event()
    running = executor.submit(lambda: (started.set(), gate.wait()))
    queued = executor.submit(int)
    done = executor_of(1).submit(int, 3)
    assert done.result() == 3
    assert started.wait(30)

    def child():
        for call in (
            lambda: executor.submit(int),
            executor.stats,
            running.result,
            queued.exception,
        ):
            refused(call)
        executor.shutdown()
        assert running.cancel() is False
        assert queued.cancel() is True
        assert done.result() == 3
        assert "forked" in repr(executor)
        with executor_of(2) as own:
            assert list(own.map(int, range(5))) == list(range(5))
            assert len(concurrent.futures.wait([own.submit(int)], 30).done) == 1
        sys.exit(0)  # with what the parent has queued

    assert in_child(child) == 1  # SystemExit
    gate.set()
    assert queued.result() == 0
    executor.shutdown()


def child_ends_what_threads_of_its_parent_wait_for():
    """F10: they are not there, and where their stacks were are others' by now."""

    def deep(n):
        return n and deep(n - 1)

    def run_threads(target):
        threads = [threading.Thread(target=target) for _ in range(12)]
        for thread in threads:
            thread.start()
        return threads

    def child():
        for _ in range(2):
            for thread in run_threads(lambda: (deep(300), gate.wait(0.1))):
                thread.join()
        assert queued.cancel() is True
        running.set_result(1)

    with executor_of(1) as executor:
        gate = threading.Event()
        running, queued = executor.submit(gate.wait), executor.submit(int)
        waits = run_threads(queued.result) + run_threads(running.result)
        while not running.running():
            pass
        gate.wait(0.2)  # until they wait
        assert in_child(child) == 0
        gate.set()
        for thread in waits:
            thread.join()


def signal_handler_forks():
    """F10: the child of a handler that has interrupted result() is refused."""
    with executor_of(1) as executor:
        gate = threading.Event()
        future = executor.submit(gate.wait)
        pids = []

        def handler(*_):
            pids.append(os.fork())
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(0 if pids[0] else 10)
            if pids[0]:
                gate.set()

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            assert future.result() is True
        except RuntimeError as error:
            os._exit("forked" not in str(error))
        assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0


def child_of_a_worker_is_refused():
    """F11: it neither runs what its parent has queued nor waits for its threads."""
    with executor_of(2) as executor:
        status = executor.submit(in_child, lambda: refused(executor.submit, int))
        assert status.result() == 0


def forks_under_load():
    """F12: each child makes an executor of its own, whatever is just locked."""
    with executor_of(3) as executor:
        stop = threading.Event()

        def submit():
            while not stop.is_set():
                executor.submit(int).result()

        threads = [threading.Thread(target=submit) for _ in range(2)]
        for thread in threads:
            thread.start()

        def child():
            own = executor_of(2)
            assert own.submit(int, 5).result() == 5
            own.shutdown()

        try:
            for _ in range(20):
                assert in_child(child) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def system_out_of_threads():
    """F21: what is refused is not queued."""
    with executor_of(2) as executor:
        no_more_threads()
        for _ in range(3):
            said = raised_by(lambda: executor.submit(int), RuntimeError)
            assert "thread" in str(said), said
        stats = executor.stats()
        assert (stats.queued, stats.threads, stats.completed) == (0, 0, 0), stats
        assert stats.spawn_failures == 3, stats


def system_out_of_threads_but_one():
    """F20: what it takes it runs, by that one."""
    with executor_of(4) as executor:
        started, gate, ran = threading.Event(), threading.Event(), []
        first = executor.submit(lambda: (started.set(), gate.wait())[1])
        started.wait()
        no_more_threads()
        try:
            rest = [executor.submit(ran.append, i) for i in range(5)]
            assert executor.stats().spawn_failures > 0
            assert executor.stats().threads == 1
        finally:
            gate.set()
        assert first.result() is True
        for future in rest:
            future.result()
        assert ran == list(range(5))


if __name__ == "__main__":
    cases.run(globals()[sys.argv[1]])
