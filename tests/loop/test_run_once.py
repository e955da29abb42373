# SPDX-License-Identifier: MIT
"""A turn of the loop does what one of asyncio's own does."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import gc
import logging
import selectors
import socket
import sys
import threading
import weakref
from contextlib import closing

import pytest
from turns import KINDS, turn, within

Handle = asyncio.Handle


@pytest.fixture(params=KINDS)
def kind(request):
    """The class of the loop: each test says what is true of both."""
    return request.param


@pytest.fixture
def loop(kind):
    with closing(kind()) as loop:
        yield loop


# What a handle does.


def test_a_handle_that_is_cancelled_while_it_is_ready_is_skipped(loop):
    log = []
    loop.call_soon(lambda: last.cancel())
    last = loop.call_soon(log.append, 1)
    turn(loop)
    assert not log
    assert not loop._ready


def test_what_a_callback_makes_ready_runs_in_the_next_turn(loop):
    log = []
    loop.call_soon(lambda: (log.append(1), loop.call_soon(log.append, 3)))
    loop.call_soon(log.append, 2)
    turn(loop)
    assert log == [1, 2]
    assert len(loop._ready) == 1
    turn(loop)
    assert log == [1, 2, 3]


def test_stop_ends_the_loop_after_the_turn(loop):
    log = []
    loop.call_soon(loop.stop)
    loop.call_soon(log.append, 1)
    loop.run_forever()
    assert log == [1]


def test_handle_has_its_callback_arguments_and_context(loop):
    variable = contextvars.ContextVar("variable", default=0)
    log = []

    def note(*args):
        log.append((args, variable.get()))
        variable.set(9)

    def begin():
        variable.set(1)
        context = contextvars.copy_context()
        variable.set(2)
        loop.call_soon(note)
        loop.call_soon(note, "a", context=None)
        handle = loop.call_soon(note, "b", "c", context=context)
        variable.set(3)
        return handle, context

    handle, context = within(loop, begin)
    assert (handle._callback, handle._args) == (note, ("b", "c"))
    assert handle._context is context
    assert handle._loop is loop
    assert not handle.cancelled()
    assert handle._source_traceback is handle._repr is None
    assert "note" in repr(handle)
    turn(loop)
    assert log == [((), 2), (("a",), 2), (("b", "c"), 1)]
    assert (variable.get(), context[variable]) == (0, 9)


def test_call_soon_says_what_is_wrong_as_asyncio_does(kind):
    loop = kind()

    def begin():
        for args, kwargs in [((), {}), ((int,), {"other": 1}), ((), {"context": None})]:
            with pytest.raises(TypeError, match="call_soon"):
                loop.call_soon(*args, **kwargs)
        return loop.call_soon(callback=int)

    assert type(within(loop, begin)) is Handle
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(int)


def test_context_that_is_entered_already_is_reported(loop, caplog):
    log = []
    context = contextvars.copy_context()

    def inside():
        loop.call_soon(log.append, "in it", context=context)
        loop.call_soon(log.append, "rest")
        turn(loop)

    context.run(inside)
    assert log == ["rest"]
    assert "cannot enter context" in caplog.text


def test_what_a_callback_raises_goes_to_the_handler_of_the_loop(loop):
    seen = []

    def handler(loop, context):
        seen.append((context, sys.exc_info()[1]))

    def fail(what):
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError(what)  # noqa: B904

    loop.set_exception_handler(handler)
    try:
        raise OSError("outer")
    except OSError:
        handle = loop.call_soon(fail, "what")
        loop.call_soon(seen.append, "rest")
        turn(loop)
        assert type(sys.exc_info()[1]) is OSError
    (context, current), rest = seen
    exc = context["exception"]
    assert rest == "rest"
    assert current is exc
    assert type(exc.__context__) is KeyError
    assert type(exc.__context__.__context__) is OSError
    assert set(context) == {"message", "exception", "handle"}
    assert context["handle"] is handle
    assert context["message"].startswith("Exception in callback ")
    assert "fail" in context["message"]
    assert exc.__traceback__.tb_next.tb_frame.f_code is fail.__code__


def test_message_is_that_of_asyncio():
    def fail(what):
        raise ValueError(what)

    messages = []
    for kind in KINDS:
        with closing(kind()) as loop:
            loop.set_exception_handler(lambda _, context: messages.append(context))
            loop.call_soon(fail, "a secret")
            loop.call_soon(int, "no number")
            turn(loop)
    first, second = messages[:2], messages[2:]
    for theirs, ours in zip(first, second, strict=True):
        assert theirs["message"] == ours["message"]


def test_callback_that_cancels_its_handle_and_raises_is_reported(loop):
    seen = []

    def fail():
        handle.cancel()
        raise ValueError

    loop.set_exception_handler(lambda loop, context: seen.append(context["handle"]))
    handle = loop.call_soon(fail)
    turn(loop)
    assert seen == [handle]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_leaves_the_loop_and_the_rest_is_ready(loop, error):
    log = []

    def fail():
        raise error

    loop.call_soon(fail)
    loop.call_soon(log.append, 1)
    with pytest.raises(error):
        turn(loop)
    assert not log
    assert len(loop._ready) == 1
    turn(loop)
    assert log == [1]


def test_other_exceptions_that_are_none_of_exception_are_reported(loop):
    seen = []

    def fail():
        raise GeneratorExit

    loop.set_exception_handler(lambda loop, context: seen.append(context["exception"]))
    loop.call_soon(fail)
    turn(loop)
    assert type(seen[0]) is GeneratorExit


def test_a_handler_that_raises_ends_no_turn(loop, caplog):
    log = []

    def handler(loop, context):
        raise ZeroDivisionError

    loop.set_exception_handler(handler)
    loop.call_soon(int, "no number")
    loop.call_soon(log.append, 1)
    turn(loop)
    assert log == [1]
    assert "Unhandled error in exception handler" in caplog.text


@pytest.mark.parametrize("error", [None, ValueError])
def test_nothing_is_kept_of_a_handle_that_has_run_or_raised(loop, error):
    class Thing:
        def __call__(self, other):
            if error is not None:
                raise error

    loop.set_exception_handler(lambda *_: None)
    things = [Thing(), Thing()]
    refs = [weakref.ref(thing) for thing in things]
    handle = weakref.ref(loop.call_soon(*things))
    del things
    turn(loop)
    if error is not None:
        gc.collect()
    assert [ref() for ref in [*refs, handle]] == [None] * 3


def test_an_exception_that_is_kept_keeps_no_other_handle(loop):
    kept = []
    loop.set_exception_handler(lambda loop, context: kept.append(context["exception"]))
    loop.call_soon(int, "no number")
    handle = weakref.ref(loop.call_soon(int))
    turn(loop)
    assert handle() is None
    assert type(kept[0]) is ValueError


def test_profilers_see_the_callbacks(loop):
    seen = []

    def callback():
        pass

    loop.call_soon(callback)
    sys.setprofile(lambda frame, event, arg: seen.append((event, frame.f_code)))
    try:
        turn(loop)
    finally:
        sys.setprofile(None)
    assert ("call", callback.__code__) in seen
    assert ("return", callback.__code__) in seen


def test_turn_inside_of_a_turn_runs_what_is_ready(loop):
    """As nested loops turn it; the outer one has the others' handles no more."""
    log = []

    def nested():
        loop._run_once()
        log.append("nested")

    loop.call_soon(nested)
    turn(loop)
    loop.call_soon(lambda: (loop.call_soon(log.append, 1), loop._run_once()))
    turn(loop)
    assert log == ["nested", 1]


def test_what_comes_from_outside_comes_between_two_callbacks(loop):
    """As signals do, and requests for the GIL: in C such a turn would not stop."""
    left, log = [], []
    interrupt = ctypes.pythonapi.PyThreadState_SetAsyncExc
    loop.set_exception_handler(lambda loop, context: left.append(len(loop._ready)))
    here, error = ctypes.c_ulong(threading.get_ident()), ctypes.py_object(KeyError)
    loop.call_soon(interrupt, here, error)
    for _ in range(5):
        loop.call_soon(log.append, 1)
    try:
        turn(loop)
    except KeyError:
        left.append(len(loop._ready))
    assert left in ([4], [5])
    turn(loop)
    assert log == [1] * 5


# Debug mode.


def test_debug_mode_logs_slow_callbacks(loop, caplog):
    with caplog.at_level(logging.WARNING, "asyncio"):
        loop.set_debug(True)
        loop.slow_callback_duration = 0
        loop.call_soon(int)
        turn(loop)
    assert "Executing <Handle int() " in caplog.text


@pytest.mark.parametrize("runs", [False, True])
def test_debug_mode_tells_where_a_handle_comes_from(loop, runs):
    def begin():
        loop.set_debug(True)
        with pytest.raises(TypeError, match="callable"):
            loop.call_soon(1)
        return loop.call_soon(int)

    handle = within(loop, begin) if runs else begin()
    assert handle._source_traceback[-1].name == "begin"
    assert loop.get_debug() is True


def test_debug_mode_begins_within_a_turn(loop, caplog):
    log = []

    def fail(what):
        loop.set_debug(True)
        raise ValueError

    loop.slow_callback_duration = 0
    loop.call_soon(fail, "told")
    loop.call_soon(int)
    loop.call_soon(lambda: log.append(loop._current_handle))
    with caplog.at_level(logging.WARNING, "asyncio"):
        turn(loop)
    assert [type(handle) for handle in log] == [Handle]
    assert loop._current_handle is None
    first, *slow = (record.message for record in caplog.records)
    assert "Exception in callback" in first
    assert "fail('told')" in first.splitlines()[0]
    assert len(slow) == 2
    assert all("Executing <Handle " in message for message in slow)


# A selector whose select() something has replaced, as looptime does.


def test_select_may_be_called_twice_in_a_turn(loop):
    log, select = [], loop._selector.select

    def twice(timeout):
        return select(0) + select(timeout)

    def call():
        log.append("called")
        loop.stop()

    loop._selector.select = twice
    loop.call_soon(loop.call_soon_threadsafe, call)
    late = loop.call_later(20, lambda: (log.append("late"), loop.stop()))
    loop.run_forever()
    late.cancel()
    assert log == ["called"]


def test_what_select_has_returned_stays_as_it_is(loop):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        selector = loop._selector
        selector.register(ours, selectors.EVENT_READ)
        nothing = selector.select(0)
        theirs.send(b"x")
        some = selector.select(0)
        ours.recv(1)
        assert selector.select(0) == nothing == []
        assert [key.fileobj for key, _ in some] == [ours]
        selector.unregister(ours)


@pytest.mark.parametrize("debug", [False, True])
def test_task_that_has_raised_goes_without_the_collector(run, debug):
    """The frames of its exception's traceback do not lead back to it."""

    async def fails():
        asyncio.get_running_loop().call_soon(int)  # debug mode looks at all frames
        raise KeyError

    async def main():
        asyncio.get_running_loop().set_debug(debug)
        gc.collect()
        gc.disable()
        try:
            task = asyncio.ensure_future(fails())
            ref = weakref.ref(task)
            await asyncio.wait([task])
            assert isinstance(task.exception(), KeyError)
            del task
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return ref()
        finally:
            gc.enable()

    assert run(main()) is None
