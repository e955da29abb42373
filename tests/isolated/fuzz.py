# SPDX-License-Identifier: MIT
"""usage: fuzz.py SEED CALLS LOG [THREADS]. Calls everything there is, with anything.

An exception or success is right, whatever is called with whatever; a crash, or a call
that does not come back, is not. What is drawn depends on the seed alone. The last
calls stand in the file LOG, a ring of lines, also after a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import inspect
import mmap
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import types
import warnings
import weakref

import fuzz_values

import tpool
import tpool.iothread
import tpool.loop.event_loop
import tpool.loop.futures
import tpool.loop.guest
import tpool.loop.hops
import tpool.loop.selector
import tpool.stats
import tpool.thread_pool
import tpool.trace.events
import tpool.trace.recording
import tpool.worker_thread
from tpool import _core

HANG_S = 60
LINE, LINES = 160, 128
DEPTH = 3  # calls inside each other
FORK_EVERY, FORK_CALLS = 20_000, 150


class Unblock(BaseException):
    """Ends a call of the main thread that waits for ever, as it may."""


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


# What a method takes: a letter for each argument; see Fuzz.valid().
# c callable, s seconds, n nanoseconds, f fd, b bool, i int, t number of threads,
# p pending(), which ends, N notifier, C context, a argument tuples, F future, v anything.
SIGNATURES = {
    "AioContext": {
        "poll": "b", "prepare": "", "check": "", "dispatch": "", "notify": "",
        "set_poll_params": "nii", "acquire": "", "release": "", "new_bh": "c",
        "call_soon": "cvv", "new_timer": "c", "set_fd_handler": "fcccc",
        "set_event_notifier": "Nccc", "set_fd_poll": "fcc", "fileno": "", "_stats": "",
        "_poll_for": "w", "_own": "", "_disown": "", "_interleave": "",
        "_after_fork": "",
        "_check_idle": "", "close": "", "stats": "", "_close_pools": "", "_post": "cv",
        "_watch_fd": "fcc", "_dispatch_rest": "", "_poll_while": "p",
        "_check_loops": "", "_leave_loops": "", "__enter__": "", "__exit__": "vvv",
    },
    "ThreadPool": {
        "submit": "cvv", "_submit_for": "Fccv", "submit_many": "ca",
        "set_threads": "tt", "_close": "ib",
        "_outstanding": "", "_stats": "", "stats": "", "map": "ca", "_results": "v",
        "shutdown": "bb", "_join": "", "__enter__": "", "__exit__": "vvv",
    },
    "Request": {
        "result": "s", "exception": "s", "done": "", "running": "", "cancelled": "",
        "cancel": "", "add_done_callback": "c", "__await__": "",
        "__class_getitem__": "v",
    },
    "BottomHalf": {"schedule": "", "schedule_idle": "", "cancel": "", "delete": ""},
    "Timer": {"mod_ns": "n", "mod_anticipate_ns": "n", "cancel": ""},
    "EventNotifier": {"set": "", "test_and_clear": "", "fileno": "", "close": ""},
    "Worker": {"run": "", "lost": ""},
    "AioSelector": {
        "register": "fiv", "unregister": "f", "modify": "fiv", "select": "s",
        "get_key": "f", "get_map": "", "close": "", "_watch": "v", "_open": "n",
        "_after_fork": "", "__enter__": "", "__exit__": "vvv", "_fileobj_lookup": "f",
        "belong_to": "v", "_key_from_fd": "i",
    },
    "EventLoop": {
        "run_in_executor": "Ecv", "_write_to_self": "", "close": "", "call_soon": "cv",
        "call_soon_threadsafe": "cv", "call_later": "sc", "add_reader": "fc",
        "remove_reader": "f", "set_default_executor": "P", "stop": "", "_new_pool": "",
        "run_until_complete": "O", "_run_once": "", "time": "", "is_closed": "",
        "create_future": "", "set_debug": "b",
    },
    "Workers": {
        "add": "W", "discard": "W", "cpu_ns": "", "join": "", "_after_fork": "",
        "__iter__": "",
    },
    "module": {
        "cpus_usable": "", "_trace_enable": "b", "_trace_enabled": "",
        "_trace_clear": "", "_trace_lost": "", "_trace_read": "",
        "_close_pools": "", "_count_calls": "",
    },
}  # fmt: skip
# Attributes that every object has.
COMMON = {
    "__repr__": "", "__str__": "", "__hash__": "", "__eq__": "v", "__ne__": "v",
    "__lt__": "v", "__dir__": "", "__format__": "v", "__sizeof__": "",
    "__reduce__": "", "__reduce_ex__": "i", "__getstate__": "", "__init__": "vv",
    "__setattr__": "vv", "__delattr__": "v", "__getattribute__": "v",
    "__init_subclass__": "", "__subclasshook__": "v", "__new__": "vv",
}  # fmt: skip
# What ends all there is is called now and then, or there would be nothing to call.
ENDS = {
    "close",
    "_close",
    "_close_pools",
    "shutdown",
    "__exit__",
    "_join",
    "lost",
    "stop",
}
# What may wait for ever, and how not: watch() gets the main thread alone out of it.
WAITS = {
    "poll": (False,), "result": (0,), "exception": (0,), "_poll_for": (0,),
    "select": (0,), "acquire": None, "_join": None, "join": None, "map": None,
    "shutdown": (False,), "__exit__": None, "close": None, "_poll_while": None,
    "run_until_complete": None, "_run_once": None, "_results": None, "run": None,
}  # fmt: skip
# Called by no fuzzer: each ends the process, its threads, or all pools, or it is what
# a thread runs until it is told to stop; the last takes a number for an fd, and
# closes it.
LEFT_OUT = {
    "_mark_interrupted", "_tell_by_the_exit_status", "_shutdown_at_exit", "join_all",
    "_stop_at_exit", "_stop_readers_at_exit", "_finish_at_exit", "_run", "_Recorder",
}  # fmt: skip
# The layer in Python: its functions, with what their parameters are by name.
MODULES = [
    tpool.aio_context, tpool.iothread, tpool.loop.event_loop, tpool.loop.futures,
    tpool.loop.guest, tpool.loop.hops, tpool.loop.selector, tpool.stats,
    tpool.thread_pool, tpool.trace.events, tpool.trace.recording, tpool.worker_thread,
]  # fmt: skip
LETTERS = {
    "fn": "c", "func": "c", "callback": "c", "how": "c", "ctx": "C", "loop": "L",
    "request": "R", "future": "F", "pool": "P", "timeout": "s", "worker": "W",
    "fileobj": "f", "pools": "A",
}  # fmt: skip


def functions():
    """Return the functions of the layer in Python, and the letters of each."""
    found = {}
    for module in MODULES:
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") != module.__name__ or name in LEFT_OUT:
                continue
            if isinstance(value, type) and issubclass(
                value, (str, dict, threading.Thread)
            ):
                continue
            if callable(value):
                found[f"{module.__name__}.{name}"] = value, letters_of(value)
    return found


def letters_of(function):
    """Return a letter for each parameter."""
    return "".join(
        LETTERS.get(name, "v") for name in inspect.signature(function).parameters
    )


def strange_mro():
    """Return classes that have left the type of the C module out of their mro()."""

    class Meta(type):
        def mro(cls):
            return [cls, object]

    with contextlib.suppress(TypeError):
        for base in (_core.AioContext, _core.ThreadPool):
            yield Meta("Strange", (base,), {})


class Fuzz:
    """All that is drawn, and the objects that there are."""

    def __init__(self, seed, log, *, main=True):
        self.random = random.Random(seed)
        self.log = log
        self.main = main
        self.steps = self.depth = 0
        self.next_fork = FORK_EVERY
        self.pid = os.getpid()
        self.kinds = {
            "AioContext": [], "ThreadPool": [], "Request": [], "BottomHalf": [],
            "Timer": [], "EventNotifier": [], "Worker": [], "AioSelector": [],
            "Workers": [], "EventLoop": [], "module": [_core],
        }  # fmt: skip
        self.functions = functions()
        self.makers = [
            self.new_context, self.new_pool, self.new_pool, self.new_notifier,
            self.new_selector, self.new_loop,
        ]  # fmt: skip
        if main:  # or another thread would be without fds, too
            self.makers.append(self.new_without_fds)
        self.looking = 0  # at what is found, perhaps in the middle of a start
        self.acquired = []  # contexts
        self.zombies = []
        self.coroutines = []  # closed in time: to_thread() makes them, too
        self.gates = []
        self.used = set()
        self.outcomes = {}
        self.sockets = socket.socketpair()
        self.make_values()
        self.make_world()

    # Values.

    def make_values(self):
        answers = [
            True, False, 0, 1, -1, 2**70, None, "x", (), [], 1.5, KeyError, Hostile,
            self.new_context, self.any_object, int, self,
        ]  # fmt: skip
        self.values = fuzz_values.plain_values()
        for number in range(4):
            name = f"Evil{number}"
            some = self.random.sample(answers, 6)
            self.values.append((name, fuzz_values.evil_class(self, name, some)()))
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
        gate = threading.Event()
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
        elif letter == "a":
            if r.random() < 0.3:
                return "tuples", self.tuples()
            value = [(n,) for n in range(r.randrange(4))]
        elif letter == "F":
            value = r.choice([None, self.one("Request"), self.strange()[1]])
            if r.random() < 0.5:
                value = asyncio.Future(loop=self.loop)
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

    # Objects.

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

    def new_loop(self):
        return self.keep("EventLoop", tpool.new_event_loop(), 2)

    def new_selector(self):
        return self.keep("AioSelector", tpool.loop.selector.AioSelector(0), 3)

    def bag(self):
        """A cycle of all sorts of things, for the collector."""
        things = [self.any_object() for _ in range(3)]
        bag = fuzz_values.Bag(self, things)
        ctx = self.one("AioContext")
        with contextlib.suppress(RuntimeError, AttributeError):
            things.append(ctx.new_bh(bag))
            things.append(ctx.new_timer(bag))
            # Of which the outcome is cleared: nothing but the request can be.
            things.append(self.one("ThreadPool").submit(lambda: (bag,)))
        # Each is cleared in its turn, and nothing clears a tuple.
        bag.others = [fuzz_values.Bag(self, things) for _ in range(3)]
        for other in (bag, *bag.others):
            other.held = tuple(things)
        return bag

    def on_death(self, ref):
        """Of something that the collector clears: look at what is with it."""
        for other in self.zombies[-6:]:
            thing = other()
            if thing is not None:
                self.touch(thing)

    def touch(self, thing):
        """Call something of a thing that may be half made, or half gone."""
        self.looking += 1
        try:
            self.use(thing)
        finally:
            self.looking -= 1

    def use(self, thing):
        if isinstance(thing, types.SimpleNamespace):
            thing = self.random.choice(thing.things or [None])
        if isinstance(thing, types.BuiltinMethodType):
            with contextlib.suppress(BaseException):
                thing()
            thing = thing.__self__
        for kind, methods in SIGNATURES.items():
            if isinstance(thing, getattr(_core, kind, ())):
                name = self.random.choice(list(methods))
                with contextlib.suppress(BaseException):
                    self.call(kind, thing, name, methods[name])
                with contextlib.suppress(BaseException):
                    self.look(kind, thing)

    def steal(self):
        """Find by the collector what is not meant to be found, and change it."""
        mine = tuple(
            getattr(_core, kind) for kind in SIGNATURES if hasattr(_core, kind)
        )
        found = gc.get_objects(generation=0)[-300:]
        owner = self.any_object()
        if not isinstance(owner, types.ModuleType):
            found += gc.get_referents(owner)
        for thing in found:
            if type(thing) is list and 0 < len(thing) < 100:
                if isinstance(thing[0], mine) and thing not in (*self.kinds.values(),):
                    thing.clear() if self.random.random() < 0.5 else thing.append(None)
            elif isinstance(thing, weakref.ref) and isinstance(thing(), mine):
                self.touch(thing())
            elif isinstance(thing, mine) and self.random.random() < 0.2:
                self.touch(thing)

    # Calls.

    def note(self, text):
        line = f"{self.steps:8} {'  ' * self.depth}{text}"
        at = (self.steps % LINES) * LINE
        data = line.encode("utf-8", "replace")[: LINE - 1].ljust(LINE - 1) + b"\n"
        self.log[at : at + LINE] = data

    def reenter(self, why):
        if self.depth < DEPTH and self.random.random() < 0.3:
            self.step()

    def call(self, kind, thing, name, letters):
        r = self.random
        arguments = [self.argument(letter) for letter in letters]
        while arguments and r.random() < 0.3:
            arguments.pop()
        if r.random() < 0.02:
            arguments.append(self.strange())
        kwargs = {}
        if r.random() < 0.03:
            word = r.choice(["timeout", "blocking", "hybrid", "fd", "max_ns", "\udc80"])
            kwargs[word] = self.strange()[1]
        said = ", ".join(label for label, _ in arguments)
        self.note(f"{kind}.{name}({said}{' **' + str(list(kwargs)) if kwargs else ''})")
        self.used.add((kind, name))
        values = [value for _, value in arguments]
        if name == "run" and kind == "Worker" and r.random() < 0.1:
            return threading.Thread(target=thing.run, daemon=True).start()
        ended = self.main and threading.current_thread() is MAIN  # by watch()
        if name in WAITS and (kind == "Worker" or self.looking or not ended):
            if WAITS[name] is None:
                return None
            values, kwargs = WAITS[name], {}
        if name == "_join":
            thing._close(0, True)  # 3.13t: no signal ends the wait for a thread
        result = getattr(thing, name)(*values, **kwargs)
        if name == "acquire":
            self.acquired.append(thing)
            if r.random() < 0.3:
                self.steal()  # from those who wait for it
            self.release()
        self.take_in(result)
        return result

    def release(self):
        """An exception of a signal handler may have come in between."""
        while self.acquired:
            with contextlib.suppress(Exception):  # by its type: look() sets attributes
                _core.AioContext.release(self.acquired[-1])
            self.acquired.pop()

    def take_in(self, result):
        if type(result) is list and result and type(result[0]) is _core.Request:
            result = self.random.choice(result)
        for kind in ("Request", "BottomHalf", "Timer"):
            if type(result) is getattr(_core, kind):
                self.keep(kind, result, 12)

    def look(self, kind, thing):
        """Read, set or delete an attribute."""
        names = [name for name in dir(thing) if name not in LEFT_OUT]
        name = self.random.choice(names)
        self.note(f"{kind} attribute {name}")
        self.used.add((kind, name))
        value = getattr(thing, name)
        dice = self.random.random()
        if dice < 0.002 and kind != "module":
            setattr(thing, name, self.strange()[1])
        elif dice < 0.004 and kind != "module":
            delattr(thing, name)
        elif dice < 0.1:
            repr(value)

    def step(self):
        """One call of something."""
        r = self.random
        self.steps += 1
        self.depth += 1
        try:
            dice = r.random()
            if dice < 0.02:
                make = r.choice(self.makers)
                self.note(make.__name__)
                make()
            elif dice < 0.03:
                self.note("drop")
                kind = r.choice(list(self.kinds))
                if kind != "module" and len(self.kinds[kind]) > 1:
                    self.kinds[kind].pop()
            elif dice < 0.035:
                self.note("steal")
                self.steal()
            elif dice < 0.037:
                self.note("collect")
                gc.collect(r.choice([0, 0, 0, 1, 1, 2]))
            elif dice < 0.04:
                self.note("strange mro")
                for cls in strange_mro():
                    with contextlib.suppress(TypeError):
                        cls(*[None] * r.randrange(10))
            elif dice < 0.045 and self.main:
                self.note("signal")
                signal.setitimer(signal.ITIMER_REAL, r.choice([1e-6, 1e-4]))
            else:
                self.step_method()
        except Unblock:
            raise
        except BaseException as error:
            name = type(error).__name__
            self.outcomes[name] = self.outcomes.get(name, 0) + 1
            del error
        finally:
            self.depth -= 1

    def step_method(self):
        r = self.random
        kind = r.choice(list(self.kinds))
        thing = self.one(kind)
        if thing is None:
            return
        dice = r.random()
        if dice < 0.02:
            self.step_function()
        elif dice < 0.1:
            self.look(kind, thing)
        elif dice < 0.15 and kind != "module":
            name = r.choice(list(COMMON))
            self.call(kind, thing, name, COMMON[name])
        else:
            name, letters = r.choice(list(SIGNATURES[kind].items()))
            if name in ENDS and r.random() < 0.9:
                return
            self.call(kind, thing, name, letters)

    def step_function(self):
        """Call a function of the layer in Python."""
        name = self.random.choice(list(self.functions))
        function, letters = self.functions[name]
        namespace = types.SimpleNamespace(**{name: function})
        result = self.call("tpool", namespace, name, letters)
        if isinstance(result, types.CoroutineType):
            self.coroutines.append(result)
        elif isinstance(result, tpool.IOThread):
            result.stop()
        elif isinstance(result, tpool.AioContext):
            self.keep("AioContext", result, 5)

    def end_coroutines(self):
        """Some run to their end, some do not."""
        while self.coroutines:
            coroutine = self.coroutines.pop()
            with contextlib.suppress(BaseException):
                coroutine.send(None)
            with contextlib.suppress(BaseException):
                coroutine.close()

    def on_signal(self, number, frame):
        if os.getpid() != self.pid:  # of a child that has just been forked
            return
        self.reenter("signal")
        if self.depth and self.random.random() < 0.1:
            raise Hostile

    def unblock(self, number, frame):
        if self.depth and os.getpid() == self.pid:  # not between two calls
            raise Unblock

    def run(self, calls):
        """Call, until so many have been made."""
        end = self.steps + calls
        while self.steps < end:
            self.depth = 0
            if self.acquired:
                self.release()
            if self.coroutines:
                self.end_coroutines()
            try:
                self.step()
            except Unblock:
                pass
            if self.main and self.steps > self.next_fork:
                self.next_fork += FORK_EVERY
                self.fork()

    def fork(self):
        """The child calls what it has inherited."""
        self.note("fork")
        faulthandler.cancel_dump_traceback_later()  # a child would wait for its thread
        child = os.fork()
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        if child == 0:
            status = 1
            try:
                self.main = False  # no signals: nobody is there to end a wait
                signal.signal(signal.SIGALRM, signal.SIG_IGN)
                self.in_child(FORK_CALLS)
                status = 0
            finally:
                os._exit(status)
        while True:
            try:
                _, status = os.waitpid(child, 0)
                break
            except BaseException:
                continue
        assert status == 0, f"the child of a fork ended with {status}"

    def in_child(self, calls):
        """Only what there is: a new context would wait for a helper."""
        inherited = [
            (kind, thing)
            for kind in ("AioContext", "ThreadPool", "Request", "BottomHalf", "Timer",
                         "Worker", "EventNotifier")
            for thing in self.kinds[kind]
        ]  # fmt: skip
        for _ in range(calls):
            self.steps += 1
            kind, thing = self.random.choice(inherited)
            name = self.random.choice(list(SIGNATURES[kind]))
            with contextlib.suppress(BaseException):
                self.call(kind, thing, name, SIGNATURES[kind][name])
        gc.collect()


Hostile = fuzz_values.Hostile
MAIN = threading.main_thread()


def watch(fuzzes, stop):
    """Ends waits: calls that are to wait for ever do so until somebody comes."""
    seen, stuck = None, 0
    while not stop.wait(0.002):
        steps = [fuzz.steps for fuzz in fuzzes]
        stuck = stuck + 1 if steps == seen else 0
        seen = steps
        if not stuck:
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
        if stuck > 5:
            for fuzz in fuzzes:
                for request in list(fuzz.kinds["Request"]):
                    with contextlib.suppress(BaseException):
                        request.cancel()
                for worker in list(fuzz.kinds["Worker"]):
                    with contextlib.suppress(BaseException):
                        worker.lost()
            signal.pthread_kill(MAIN.ident, signal.SIGUSR1)


def check_that_all_is_known():
    """Fail where the C module has an entry that no table of this file knows."""
    for kind in [name for name in SIGNATURES if hasattr(_core, name)]:
        members = vars(getattr(_core, kind))
        unknown = {
            name
            for name in members
            if callable(getattr(getattr(_core, kind), name))
            and name not in SIGNATURES[kind]
            and name not in COMMON
        }
        assert unknown <= {"__doc__"}, f"give SIGNATURES {unknown} of {kind}"
    functions = {
        name for name, value in vars(_core).items()
        if isinstance(value, types.BuiltinFunctionType)
    }  # fmt: skip
    unknown = functions.difference(SIGNATURES["module"], LEFT_OUT)
    assert not unknown, f"give SIGNATURES {unknown} of the module"


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
            faulthandler.dump_traceback_later(HANG_S, exit=True)
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
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    for thread in others:
        while thread.is_alive():
            with contextlib.suppress(BaseException):
                thread.join(0.1)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    stop.set()
    helper.join()
    Context.fuzz = Pool.fuzz = None
    for kind in ("Worker", "ThreadPool", "EventLoop", "AioSelector"):
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
