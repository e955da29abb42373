# SPDX-License-Identifier: MIT
"""The objects that the fuzzer has, and the arguments that it draws."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import mmap
import os
import random
import resource
import socket
import threading
import time

from fuzz_values import Bag, Hostile, evil_class, plain_values

import tpool
import tpool.loop.selector
import tpool.worker_thread
from tpool import _core

BACKENDS = [None, "io_uring", "linux-aio", "threads"]


class Gate:
    """As threading.Event, whose lock stays locked where a signal handler raises in it."""

    def __init__(self):
        self._open = False

    def set(self):
        self._open = True

    def wait(self, timeout_s):
        end = time.monotonic() + timeout_s
        while not self._open and time.monotonic() < end:
            time.sleep(0.0005)


class Context(tpool.AioContext):
    """Is looked at by its finalizer, whole or not."""

    fuzz = None

    def __del__(self):
        if self.fuzz is not None:
            self.fuzz.touch(self)


class Pool(tpool.ThreadPool):
    """The same."""

    fuzz = None

    def __del__(self):
        if self.fuzz is not None:
            self.fuzz.touch(self)


class CorePool(_core.ThreadPool):
    """A pool without the layer in Python."""


class World:
    """What there is to be called, and to call it with.

    A subclass calls: reenter(), steal(), touch() and on_death() are its.
    """

    def __init__(self, seed, *, main=True):
        self.random = random.Random(seed)
        self.kinds = {
            "AioContext": [], "ThreadPool": [], "Request": [], "BottomHalf": [],
            "Timer": [], "EventNotifier": [], "Worker": [], "AioSelector": [],
            "Workers": [], "EventLoop": [], "SimpleQueue": [], "module": [_core],
            "ThreadPoolExecutor": [], "Future": [], "Ring": [], "Watch": [], "AioFiles": [],
        }  # fmt: skip
        self.makers = [
            self.new_context, self.new_pool, self.new_pool, self.new_notifier,
            self.new_selector, self.new_loop, self.new_queue, self.new_executor,
            self.new_ring, self.new_files,
        ]  # fmt: skip
        if main:  # or another thread would be without fds, too
            self.makers.append(self.new_without_fds)
        self.zombies = []
        self.memories = []  # of rings
        self.coroutines = []  # closed in time: to_thread() makes them, too
        self.gates = []
        self.calls = []
        self.sockets = socket.socketpair()
        self.make_values()
        self.make_world()

    def make_values(self):
        answers = [
            True, False, 0, 1, -1, 2**70, None, "x", (), [], 1.5, KeyError, Hostile,
            self.new_context, self.any_object, int, self,
        ]  # fmt: skip
        self.values = plain_values()
        for number in range(4):
            name = f"Evil{number}"
            some = self.random.sample(answers, 6)
            self.values.append((name, evil_class(self, name, some)()))
        self.callables = [
            ("int", int), ("abs", abs), ("print-less", lambda *a, **k: None),
            ("re-enter", lambda *a: self.reenter("callback")),
            ("steal", lambda *a: self.steal()),
            ("raise", self.raising), ("true", lambda *a: True),
            ("collect", lambda *a: gc.collect(0)),
            ("sleepless", lambda *a: time.sleep(0)),
            ("wait", self.wait_for_gate),
            ("self", lambda *a: a and a[0]),
        ]  # fmt: skip

    def raising(self, *args):
        raise self.random.choice([KeyError, SystemExit, KeyboardInterrupt, Hostile])

    def wait_for_gate(self, *args):
        gate = Gate()
        self.gates.append(gate)
        gate.wait(0.02)

    def strange(self):
        return self.random.choice(self.values)

    def any_object(self):
        kind = self.random.choice(list(self.kinds))
        return self.random.choice(self.kinds[kind] or [None])

    def valid(self, letter):
        """A name and a value that is right for an argument."""
        r = self.random
        if letter == "c":
            if r.random() < 0.1:
                return "Bag", self.bag()
            return r.choice(self.callables)
        if letter == "b":
            value = r.random() < 0.05
        elif letter == "s":
            value = r.choice([0, 0.0, 1e-9, 1e-5, 1e-4, 0, 0.0, 1e-3])
        elif letter == "n":
            now = time.monotonic_ns()
            value = r.choice([0, 1, 1000, 32768, now, now + 10_000, 2**63 - 1])
        elif letter == "w":
            value = r.choice([0, 0, 0, 1, 1000, 100_000, 0, -2, 2**64])
        elif letter == "i":
            value = r.choice([0, 1, 2, 3, 5, -1, 99])
        elif letter == "t":
            value = r.choice([0, 1, 1, 2, 3])
        elif letter == "f":
            value = r.choice([*self.sockets, 0, 1, 2, self.sockets[0].fileno()])
            if r.random() < 0.3:
                value = self.one("EventNotifier")
        elif letter == "T":
            value = tuple(range(r.randrange(4)))
        elif letter == "a":
            if r.random() < 0.3:
                return "tuples", self.tuples()
            value = [(n,) for n in range(r.randrange(4))]
        elif letter == "F":
            value = r.choice([None, self.one("Request"), self.strange()[1]])
            if r.random() < 0.5:
                value = asyncio.Future(loop=self.loop)
        elif letter == "M":
            value = r.choice(self.memories or [None])
        elif letter == "K":
            value = self.a_call()
        elif letter == "p":
            left = iter(range(r.randrange(3)))
            return "a few times", lambda: next(left, None) is not None
        elif letter == "L":
            value = r.choice([self.loop, self.one("EventLoop")])
        elif letter == "R":
            value = self.one("Request")
        elif letter in "PE":
            value = None if letter == "E" else self.one("ThreadPool")
        elif letter == "A":
            value = list(self.kinds["ThreadPool"])
        elif letter == "O":
            value = asyncio.sleep(0)
            self.coroutines.append(value)
        elif letter == "W":
            value = self.one("Worker")
        elif letter == "N":
            value = self.one("EventNotifier")
        elif letter == "C":
            value = self.one("AioContext")
        else:
            value = self.any_object()
        return type(value).__name__ + f":{value!r:.12}" * isinstance(value, int), value

    def a_call(self):
        """A future of another executor; it, or an older one, ends meanwhile."""
        self.calls = [*self.calls[-7:], concurrent.futures.Future()]
        ends = self.random.choice(self.calls)
        if self.random.random() < 0.5 and not ends.cancel():
            return ends
        if not ends.done() and ends.set_running_or_notify_cancel():
            ends.set_result(self.strange()[1])
        return self.random.choice(self.calls)

    def tuples(self):
        for _ in range(self.random.randrange(4)):
            if self.random.random() < 0.3:
                self.reenter("tuples")
            if self.random.random() < 0.2:
                self.steal()
            yield (1,) if self.random.random() < 0.9 else self.strange()[1]

    def argument(self, letter):
        strange = {"p": 0.0}.get(letter, 0.35 if letter in "vcFaN" else 0.2)
        if self.random.random() < strange:
            name, value = self.strange()
            if letter == "t" and type(value) is int and 3 < value < 2**31:
                return "3", 3  # so many threads could be had, and be too many
            if letter == "b" and name in ("True", "1"):
                return "False", False
            return name, value
        return self.valid(letter)

    def make_world(self):
        self.loop = asyncio.SelectorEventLoop()
        self.keep("AioContext", tpool.AioContext())
        self.keep("ThreadPool", tpool.ThreadPool(self.one("AioContext")))
        self.keep("EventNotifier", tpool.EventNotifier())
        self.keep("AioSelector", tpool.loop.selector.AioSelector())
        self.keep("Workers", tpool.worker_thread.Workers())

    def keep(self, kind, thing, limit=8):
        """Take it in; an older one is dropped for it, as it is."""
        kept = self.kinds[kind]
        if len(kept) >= limit:
            kept[self.random.randrange(len(kept))] = thing
        else:
            kept.append(thing)
        return thing

    def one(self, kind):
        kept = self.kinds[kind]
        return self.random.choice(kept) if kept else None

    def new_context(self):
        cls = self.random.choice([tpool.AioContext, Context, _core.AioContext])
        args = [self.argument("i")[1] for _ in range(self.random.randrange(4))]
        return self.keep("AioContext", cls(*args), 5)

    def new_without_fds(self):
        """Make something that needs more fds than there are."""
        fd = os.dup(0)
        os.close(fd)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        make = self.random.choice(
            [self.new_context, self.new_notifier, self.new_selector, self.new_loop]
        )
        try:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (fd + self.random.randrange(6), hard)
            )
            make()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def new_pool(self):
        r = self.random
        ctx = self.argument("C")[1] if r.random() < 0.2 else self.one("AioContext")
        if r.random() < 0.2:
            spawn = r.choice(
                [self.spawn_thread, self.spawn_none, self.raising, self.spawn_lost]
            )
            return self.keep(
                "ThreadPool",
                CorePool(
                    ctx,
                    self.argument("t")[1],
                    self.argument("t")[1],
                    self.argument("s")[1],
                    "fuzz" if r.random() < 0.7 else self.strange()[1],
                    r.choice([None, 1, 5, self.strange()[1]]),
                    r.choice(["raise", self.strange()[1]]),
                    False,
                    spawn if r.random() < 0.9 else self.strange()[1],
                ),
                4,
            )
        kwargs = {}
        if r.random() < 0.5:
            kwargs["max_threads"] = self.argument("t")[1]
        if r.random() < 0.3:
            kwargs["min_threads"] = self.argument("t")[1]
        if r.random() < 0.3:
            kwargs["max_pending"] = self.argument("i")[1]
        if r.random() < 0.3:
            kwargs["on_full"] = r.choice(["raise", "block", self.strange()[1]])
        if r.random() < 0.3:
            kwargs["idle_timeout"] = self.argument("s")[1]
        if r.random() < 0.2:
            kwargs["thread_name_prefix"] = self.strange()[1]
        cls = r.choice([tpool.ThreadPool, Pool])
        return self.keep("ThreadPool", cls(ctx, **kwargs), 4)

    def new_executor(self):
        r = self.random
        some = {
            "max_workers": self.argument("t")[1],
            "max_pending": self.argument("i")[1],
            "idle_timeout": self.argument("s")[1],
            "poll_max_ns": r.choice([0, 1000, self.strange()[1]]),
            "initializer": self.argument("c")[1],
        }
        kwargs = {name: value for name, value in some.items() if r.random() < 0.3}
        made = tpool.ThreadPoolExecutor(**{"max_workers": 2} | kwargs)
        return self.keep("ThreadPoolExecutor", made, 3)

    def spawn_thread(self, worker):
        threading.Thread(target=worker.run, daemon=True).start()
        self.keep("Worker", worker)

    def spawn_none(self, worker):
        self.keep("Worker", worker)

    def spawn_lost(self, worker):
        worker.lost()
        self.reenter("spawn")

    def new_notifier(self):
        value = self.argument("b")[1]
        return self.keep("EventNotifier", tpool.EventNotifier(value))

    def new_queue(self):
        return self.keep("SimpleQueue", tpool.SimpleQueue())

    def new_ring(self):
        """Make one, or one more side of a memory that has one; or of anything."""
        r = self.random
        if r.random() < 0.3 or not self.memories:
            self.memories = [*self.memories[-3:], mmap.mmap(-1, 4096)]
            buffer, readers = self.memories[-1], r.choice([1, 2])
        else:
            buffer, readers = r.choice(self.memories), None
            if r.random() < 0.2:
                buffer = self.strange()[1]
            if r.random() < 0.1:
                readers = self.strange()[1]
        return self.keep("Ring", _core.Ring(buffer, readers), 4)

    def new_files(self):
        if self.random.random() < 0.2:
            pool = self.argument("P")[1]
            files = _core.AioFiles(pool, self.argument("i")[1], self.a_backend())
        else:
            options = {"max_pending": 3} if self.random.random() < 0.2 else {}
            ctx = self.argument("C")[1]
            files = tpool.AioFiles(ctx, backend=self.a_backend(), **options)
        return self.keep("AioFiles", files, 3)

    def a_backend(self):
        return self.random.choice([*BACKENDS, self.strange()[1]])

    def new_loop(self):
        return self.keep("EventLoop", tpool.new_event_loop(), 2)

    def new_selector(self):
        return self.keep("AioSelector", tpool.loop.selector.AioSelector(0), 3)

    def bag(self):
        """A cycle of all sorts of things, for the collector."""
        things = [self.any_object() for _ in range(3)]
        bag = Bag(self, things)
        ctx = self.one("AioContext")
        with contextlib.suppress(RuntimeError, AttributeError):
            things.append(ctx.new_bh(bag))
            things.append(ctx.new_timer(bag))
            # Of which the outcome is cleared: nothing but the request can be.
            things.append(self.one("ThreadPool").submit(lambda: (bag,)))
        # Each is cleared in its turn, and nothing clears a tuple.
        bag.others = [Bag(self, things) for _ in range(3)]
        for other in (bag, *bag.others):
            other.held = tuple(things)
        return bag
