# SPDX-License-Identifier: MIT
"""The calls that the fuzzer makes: whatever is drawn, of whatever there is."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import math
import os
import signal
import threading
import time
import types
import weakref


def end_what_hangs():
    """Show where, and exit, if nobody calls this again in time."""
    faulthandler.dump_traceback_later(60, exit=True)


os.register_at_fork(after_in_child=end_what_hangs)  # before the hooks of tpool

# ruff: noqa: E402
from fuzz_tables import COMMON, ENDS, LEFT_OUT, SIGNATURES, WAITS, functions
from fuzz_values import Hostile
from fuzz_world import World

import tpool
from tpool import _core

LONG_S = 5  # many times what a step takes that does not wait
LINE, LINES = 160, 128
DEPTH = 3  # calls inside each other
FORK_EVERY, FORK_CALLS = 20_000, 150
MAIN = threading.main_thread()


class Unblock(KeyboardInterrupt):
    """Ends a call of the main thread that waits for ever, as it may."""


def strange_mro():
    """Return classes that have left the type of the C module out of their mro()."""

    class Meta(type):
        def mro(cls):
            return [cls, object]

    with contextlib.suppress(TypeError):
        for base in (_core.AioContext, _core.ThreadPool):
            yield Meta("Strange", (base,), {})


class Fuzz(World):
    """Calls, also inside of each other, and notes each in the log."""

    def __init__(self, seed, log, *, main=True):
        self.log = log
        self.main = main
        self.steps = self.depth = 0
        self.began = math.inf  # the step that is not within another,
        self.stepping = False  # and whether it is made
        self.next_fork = FORK_EVERY
        self.pid = os.getpid()
        self.functions = functions()
        self.looking = 0  # at what is found, perhaps in the middle of a start
        self.acquired = []  # contexts
        self.used = set()
        self.outcomes = {}
        super().__init__(seed, main=main)

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
        ended = self.main and threading.current_thread() is MAIN  # by watch(),
        ended = ended and os.getpid() == self.pid  # which no child of a fork has
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
        for kind in ("Request", "BottomHalf", "Timer", "Watch"):
            if type(result) is getattr(_core, kind):
                self.keep(kind, result, 12)
        if isinstance(result, _core.Future):
            self.keep("Future", result, 12)

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
        if not self.stepping:  # between two calls: nothing would end a wait
            return
        self.reenter("signal")
        if self.depth and self.random.random() < 0.1:
            raise Hostile

    def unblock(self, number, frame):
        if self.stepping and os.getpid() == self.pid:  # not between two calls
            raise Unblock

    def run(self, calls):
        """Call, until so many have been made."""
        end = self.steps + calls
        try:
            while self.steps < end:
                self.depth, self.began = 0, time.monotonic()
                self.top_step()
        finally:
            self.began = math.inf

    def top_step(self):
        """Make one that is not within another."""
        if self.acquired:
            self.release()
        if self.coroutines:
            self.end_coroutines()
        with contextlib.suppress(Unblock):
            try:
                self.stepping = True  # depth is of all threads that make its steps
                self.step()
            finally:
                self.stepping = False
        if self.main and self.steps > self.next_fork:
            self.next_fork += FORK_EVERY
            self.fork()

    def fork(self):
        """The child calls what it has inherited."""
        self.note("fork")
        for ctx in self.kinds["AioContext"]:  # handed over by the child's first hooks
            with contextlib.suppress(BaseException):
                _core.AioContext._post(ctx, self.reenter, "fork")
        faulthandler.cancel_dump_traceback_later()  # a child would wait for its thread
        child = os.fork()
        end_what_hangs()
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
                         "Worker", "EventNotifier", "ThreadPoolExecutor", "Future")
            for thing in self.kinds[kind]
        ]  # fmt: skip
        for _ in range(calls):
            self.steps += 1
            kind, thing = self.random.choice(inherited)
            name = self.random.choice(list(SIGNATURES[kind]))
            with contextlib.suppress(BaseException):
                self.call(kind, thing, name, SIGNATURES[kind][name])
        gc.collect()
