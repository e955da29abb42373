# SPDX-License-Identifier: MIT
"""What others put in the place of a function of asyncio is what the loop runs."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
import types
from contextlib import closing

import pytest
from conftest import run_code
from turns import KINDS, turn

import tpool
from tpool import _core
from tpool.loop import lean_loop

Handle, Base = asyncio.Handle, asyncio.BaseEventLoop

in_c = pytest.mark.skipif(
    lean_loop._handle_run is None,
    reason="the handles of this Python's loop are asyncio's",
)


@pytest.fixture(params=KINDS)
def kind(request):
    """The class of the loop: each test says what is true of both."""
    return request.param


@pytest.fixture
def loop(kind):
    with closing(kind()) as loop:
        yield loop


def caller():
    """Return the name of the function that has called a handle's callback."""
    return sys._getframe(2).f_code.co_name


def calls_in(loop):
    """Return which function calls the callback of a handle, and of a timer."""
    seen = []

    def see():
        seen.append(caller())

    loop.call_soon(see)
    loop.call_later(0, see)
    turn(loop)
    turn(loop)
    return seen


@in_c
def test_handles_are_run_in_c():
    with closing(tpool.EventLoop()) as loop:
        assert calls_in(loop) == ["_run_once"] * 2
        assert type(loop.call_soon(int)) is Handle


@pytest.mark.parametrize("owner", [Handle, asyncio.TimerHandle])
def test_who_patches_run_of_a_handle_sees_each(loop, monkeypatch, owner):
    seen, run = [], Handle._run

    def patched(self):
        seen.append(type(self))
        return run(self)

    calls_in(loop)
    monkeypatch.setattr(owner, "_run", patched, raising=False)
    calls_in(loop)
    both = [Handle, asyncio.TimerHandle]
    assert seen == [kind for kind in both if issubclass(kind, owner)]
    monkeypatch.undo()
    seen.clear()
    calls_in(loop)
    assert not seen


def test_who_patches_run_in_the_midst_of_a_turn_sees_the_rest_of_it(loop, monkeypatch):
    seen, run = [], Handle._run
    patch = lambda: monkeypatch.setattr(  # noqa: E731
        Handle, "_run", lambda self: (seen.append(1), run(self))
    )
    loop.call_soon(int)
    loop.call_soon(patch)
    loop.call_soon(int)
    turn(loop)
    assert seen == [1]


def test_code_that_is_put_into_run_is_run(loop, monkeypatch):
    seen = []
    run = types.FunctionType(Handle._run.__code__, Handle._run.__globals__)
    monkeypatch.setattr(Handle, "_test_seen", seen, raising=False)
    monkeypatch.setattr(Handle, "_test_run", run, raising=False)

    def code(self):
        self._test_seen.append(self)
        self._test_run()

    calls_in(loop)
    monkeypatch.setattr(Handle._run, "__code__", code.__code__)
    calls_in(loop)
    assert len(seen) == 2


@pytest.mark.parametrize("name", ["_callback", "_context"])
def test_who_replaces_a_slot_of_handles_sees_each_access(loop, monkeypatch, name):
    seen, slot = [], vars(Handle)[name]

    class Slot:
        def __get__(self, handle, kind=None):
            if handle is None:
                return self
            seen.append("get")
            return slot.__get__(handle, kind)

        def __set__(self, handle, value):
            seen.append("set")
            slot.__set__(handle, value)

    monkeypatch.setattr(Handle, name, Slot())
    loop.call_soon(loop.call_soon, int)
    turn(loop)
    turn(loop)
    assert seen == ["set", "get", "set", "get"]


@pytest.mark.parametrize("where", ["asyncio", "class", "instance"])
def test_who_patches_get_debug_decides_on_tracebacks(kind, monkeypatch, where):
    class Loop(kind):
        pass

    with closing(Loop()) as loop:
        owner = {"asyncio": Base, "class": Loop, "instance": loop}[where]
        turn(loop)
        monkeypatch.setattr(owner, "get_debug", lambda *_: True, raising=False)
        assert handle_made_in(loop)._source_traceback
        monkeypatch.undo()


@pytest.mark.parametrize("name", ["_run_once", "call_soon", "_call_soon"])
@pytest.mark.parametrize("where", ["asyncio", "class", "instance", "mixin"])
def test_who_overrides_a_method_is_called(kind, monkeypatch, name, where):
    seen = []

    def patched(self, *args, **kwargs):
        seen.append(name)
        return inner(self, *args, **kwargs)

    class Mixin(Base):
        pass

    class Loop(kind, Mixin):
        pass

    owner = {"asyncio": Base, "class": Loop, "mixin": Mixin}.get(where)
    inner = getattr(kind if where in ("class", "instance") else Base, name)
    with closing(Loop()) as loop:
        calls_in(loop)
        if owner is None:
            monkeypatch.setattr(
                loop, name, lambda *args, **kwargs: patched(loop, *args, **kwargs)
            )
        else:
            monkeypatch.setattr(owner, name, patched, raising=False)
        calls_in(loop)
        assert name in seen
        monkeypatch.undo()


@pytest.mark.parametrize("where", ["asyncio", "class", "instance", "Future"])
def test_who_makes_the_futures_makes_those_of_calls(kind, monkeypatch, where):
    class Future(asyncio.Future):
        pass

    class Loop(kind):
        pass

    async def main(loop):
        future = loop.run_in_executor(None, int)
        assert await future == 0
        return type(future)

    with closing(Loop()) as loop:
        if where == "Future":
            monkeypatch.setattr(asyncio.futures, "Future", Future)
        else:
            owner = {"asyncio": Base, "class": Loop, "instance": loop}[where]
            monkeypatch.setattr(
                owner, "create_future", lambda *_: Future(loop=loop), raising=False
            )
        assert loop.run_until_complete(main(loop)) is Future
        monkeypatch.undo()


@pytest.mark.parametrize("on", ["class", "instance"])
def test_who_overrides_process_events_sees_each_turn(kind, on):
    seen = []

    class Loop(kind):
        pass

    with closing(Loop()) as loop:
        if on == "class":
            Loop._process_events = lambda self, events: seen.append(list(events))
        else:
            loop._process_events = lambda events: seen.append(list(events))
        turn(loop)
        turn(loop)
        assert seen == [[], []]


def test_who_overrides_time_decides_when_timers_are_due(kind):
    class Loop(kind):
        now = 0.0

        def time(self):
            return self.now

    log = []
    with closing(Loop()) as loop:
        loop.call_at(10, log.append, 1)
        turn(loop)
        assert not log
        loop.now = 10.0
        turn(loop)
        assert log == [1]
        loop.call_at(20, log.append, 2)
        loop.time = lambda: 20.0
        turn(loop)
        assert log == [1, 2]


@pytest.mark.parametrize("where", ["instance", "asyncio", "time"])
def test_who_patches_the_clock_decides_when_timers_are_due(loop, monkeypatch, where):
    log, now = [], loop.time()
    owner = {"instance": loop, "asyncio": Base, "time": time}[where]
    loop.call_at(now + 1000, log.append, 1)
    loop._ready.append(Handle(int, (), loop))
    turn(loop)
    assert not log
    name = "monotonic" if where == "time" else "time"
    monkeypatch.setattr(owner, name, lambda *_: now + 1000)
    turn(loop)
    monkeypatch.undo()
    assert log == [1]


def handle_made_in(loop):
    """Return a handle that the loop makes while it runs."""
    handles = []
    loop.call_soon(lambda: handles.append(loop.call_soon(int)))
    turn(loop)
    return handles[0]


def test_who_replaces_the_class_of_handles_gets_them(loop, monkeypatch):
    class Own(Handle):
        pass

    monkeypatch.setattr(asyncio.events, "Handle", Own)
    assert type(handle_made_in(loop)) is Own


def test_who_patches_init_of_a_handle_sees_each(loop, monkeypatch):
    seen, init = [], Handle.__init__

    def patched(self, *args):
        seen.append(self)
        init(self, *args)

    monkeypatch.setattr(Handle, "__init__", patched)
    handle = handle_made_in(loop)
    assert seen[1:] == [handle]


def test_who_patches_copy_context_makes_the_context_of_each(loop, monkeypatch):
    context = contextvars.Context()
    monkeypatch.setattr(contextvars, "copy_context", lambda: context)
    handle = Handle(lambda: handles.append(loop.call_soon(int)), (), loop)
    handles = [handle]
    loop._ready.append(handle)
    turn(loop)
    assert [handle._context is context for handle in handles] == [True] * 2


def test_what_the_method_of_another_kind_raises_leaves_the_loop(loop):
    class Own(Handle):
        def _run(self):
            raise ZeroDivisionError

    loop._ready.append(Own(int, (), loop))
    with pytest.raises(ZeroDivisionError):
        turn(loop)


def test_handles_of_other_kinds_are_run_by_their_method(loop):
    log = []

    class Own(Handle):
        def _run(self):
            log.append("own")
            super()._run()

    class Duck:
        _cancelled = False

        def _run(self):
            log.append("duck")

    gone = Own(log.append, ("gone",), loop)
    gone.cancel()
    loop._ready.extend([Own(log.append, (1,), loop), gone, Duck()])
    turn(loop)
    assert log == ["own", 1, "duck"]


PATCHED = """
import asyncio, functools
seen, run = [], asyncio.Handle._run
@functools.wraps(run)
def patched(self):
    seen.append(1)
    try:
        run(self)
    except Exception:
        self._loop.call_exception_handler({})
asyncio.Handle._run = patched
import tpool
tpool.run(asyncio.sleep(0))
assert seen
"""


def test_asyncio_that_was_patched_before_the_import_is_left_alone():
    run_code(PATCHED)


# What a loop is given that is not as asyncio makes it.


def test_class_may_have_attributes_of_the_loop_for_itself(kind):
    class Stubborn(kind):
        _stopping = False

    class Own(kind):
        @property
        def _ready(self):
            return self.queue

        @_ready.setter
        def _ready(self, queue):
            self.queue = queue

    log = []
    with closing(Stubborn()) as loop:
        loop.call_later(0.001, loop.stop)
        loop.run_forever()
    with closing(Own()) as loop:
        loop.call_soon(log.append, 1)
        turn(loop)
        assert log == [1]
        loop.queue = type(loop.queue)()
        loop.call_soon(lambda: loop.call_soon(log.append, 2))
        turn(loop)
        turn(loop)
        assert log == [1, 2]


@pytest.mark.parametrize("name", ["_ready", "_scheduled", "_debug"])
def test_attribute_that_is_lost_is_an_error(loop, name):
    value = getattr(loop, name)

    def lose():
        delattr(loop, name)

    loop.call_soon(lose)
    loop.call_soon(lose)
    with pytest.raises(AttributeError, match=name):
        loop.run_forever()
    setattr(loop, name, value)
    loop._ready.clear()
    turn(loop)


def test_timers_may_be_replaced_by_what_counts_them(loop):
    class Timers(list):
        def __len__(self):
            loop._scheduled = []
            return super().__len__()

    log = []
    loop._scheduled = Timers([asyncio.TimerHandle(0.0, int, (), loop)])
    loop.call_soon(log.append, 1)
    turn(loop)
    assert log == [1]


def test_handle_whose_slots_are_strange_is_run_as_by_asyncio(loop):
    log, seen = [], []

    def handle(name, value):
        handle = loop.call_soon(log.append, name)
        delattr(handle, name)
        if value is not None:
            setattr(handle, name, value)

    loop.set_exception_handler(lambda loop, context: seen.append(context["exception"]))
    handle("_args", [1])
    handle("_context", 7)
    handle("_callback", 7)
    turn(loop)
    assert log == [1]
    assert [type(exc) for exc in seen] == [AttributeError, TypeError]


@in_c
def test_what_c_stands_for_is_checked():
    good = [Handle, asyncio.TimerHandle, asyncio._get_running_loop, print]
    for at, bad in [(0, 1), (0, int), (0, asyncio.TimerHandle), (1, int)]:
        with pytest.raises((TypeError, AttributeError)):
            _core.LoopOps(*good[:at], bad, *good[at + 1 :])
    ops = _core.LoopOps(*good)
    with pytest.raises(TypeError, match="needs callback, args, loop and context"):
        ops.make_handle(int, (), None)
    assert ops.run_handle(7) is False


def test_what_no_request_is_goes_to_the_function_in_python():
    seen = []
    types = Handle, asyncio.TimerHandle
    ops = _core.LoopOps(
        *types, asyncio._get_running_loop, lambda *args: seen.append(args)
    )
    ops.settle(7, None)
    ops.settle(None)
    assert seen == [(7, None), (None,)]
