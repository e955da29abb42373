# SPDX-License-Identifier: MIT
"""LoopPool: what a call leaves in its thread is there for the next one, as in asyncio.

run_in_executor() calls in the thread's own context.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import decimal
import gc
import sys
import threading
import weakref

import pytest
from conftest import FACTORIES, have_one_thread, hop, run_code, task_state, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
local = threading.local()


def precision(digits=None):
    """Return the precision of this thread, after it is set."""
    if digits is not None:
        decimal.getcontext().prec = digits
    return decimal.getcontext().prec


KEPT = {
    "a context variable": (variable.set, lambda: variable.get("unset"), "left"),
    "decimal's precision": (precision, precision, 50),
    "a thread-local": (
        lambda value: setattr(local, "value", value),
        lambda: getattr(local, "value", None),
        "connection",
    ),
    "an event loop": (
        asyncio.set_event_loop,
        lambda: asyncio.get_event_loop_policy()._local._loop,
        None,
    ),
    "the thread's name": (
        lambda name: setattr(threading.current_thread(), "name", name),
        lambda: threading.current_thread().name,
        "mine",
    ),
}
if sys.version_info >= (3, 14):  # policies are deprecated
    del KEPT["an event loop"]
INHERITS = getattr(sys.flags, "thread_inherit_context", 0)
if INHERITS:  # the one of the parent: decimal changes that where it is
    del KEPT["decimal's precision"]


@pytest.mark.parametrize("what", KEPT)
def test_what_a_call_leaves_is_there_for_the_next(run, what):
    put, get, value = KEPT[what]

    async def main():
        have_one_thread(asyncio.get_running_loop())
        before = await hop(get)
        await hop(put, value)
        await asyncio.to_thread(int)  # one that brings its own context
        await hop(gc.collect)
        return before, await hop(get)

    before, after = run(main())
    assert after == value
    assert before != value or value is None


def test_what_a_call_leaves_is_not_in_the_caller(run):
    if INHERITS:
        pytest.skip("here decimal's context is the one of the thread's parent")

    async def main():
        have_one_thread(asyncio.get_running_loop())
        await hop(variable.set, "left")
        await hop(precision, 50)
        return variable.get("unset"), precision()

    assert run(main()) == ("unset", decimal.DefaultContext.prec)


def test_what_the_caller_has_is_not_in_the_call(run):
    if INHERITS:
        pytest.skip("here a thread starts with what its parent has")

    async def main():
        variable.set("caller's")
        decimal.getcontext().prec = 7
        return await hop(variable.get, "unset"), await hop(precision)

    assert run(main()) == ("unset", decimal.DefaultContext.prec)


def test_to_thread_brings_its_context_and_takes_it_along(run):
    async def main():
        have_one_thread(asyncio.get_running_loop())
        await hop(variable.set, "left")
        variable.set("caller's")

        def call():
            seen = variable.get("unset")
            variable.set("of the call")
            return seen

        return (
            await asyncio.to_thread(call),
            variable.get(),
            await hop(variable.get, "unset"),
        )

    assert run(main()) == ("caller's", "caller's", "left")


CONTEXTS = (
    "import asyncio, contextvars, sys, tpool\n"
    "factory = {'stock': asyncio.SelectorEventLoop, "
    "'tpool': tpool.new_event_loop}[sys.argv[1]]\n"
    "variable = contextvars.ContextVar('variable', default='unset')\n"
    "async def main():\n"
    "    loop = asyncio.get_running_loop()\n"
    "    variable.set('of who starts the thread')\n"
    "    print(await loop.run_in_executor(None, variable.get))\n"
    "    variable.set('later')\n"
    "    print(await loop.run_in_executor(None, variable.get))\n"
    "with asyncio.Runner(loop_factory=factory) as runner:\n"
    "    runner.run(main())\n"
)


@pytest.mark.parametrize("inherit", [0, 1])
def test_a_thread_starts_with_the_context_that_the_stock_loop_s_does(inherit):
    if not hasattr(sys.flags, "thread_inherit_context"):
        pytest.skip("this Python has no such choice")
    options = ("-X", f"thread_inherit_context={inherit}")
    said = [run_code(CONTEXTS, name, options=options).stdout for name in FACTORIES]
    assert said[0] == said[1]
    assert said[0].startswith("of who starts" if inherit else "unset")


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="a thread is in a context, which it must leave"
)
def test_a_call_that_leaves_a_context_entered_does_not_break_its_thread(run):
    """As an extension module can: it is the thread's from then on."""
    entered = contextvars.Context()
    entered.run(variable.set, "entered")

    def enter():
        assert ctypes.pythonapi.PyContext_Enter(ctypes.py_object(entered)) == 0

    def leave():
        assert ctypes.pythonapi.PyContext_Exit(ctypes.py_object(entered)) == 0

    async def main():
        have_one_thread(asyncio.get_running_loop())
        await hop(enter)
        found = [
            await hop(variable.get, "unset"),
            await asyncio.to_thread(variable.get, "unset"),
        ]
        await hop(leave)
        found.append(await hop(variable.get, "unset"))
        return found

    assert run(main()) == ["entered", "unset", "unset"]


@pytest.mark.skipif(sys.platform != "linux", reason="the state of a thread is Linux's")
@pytest.mark.parametrize("factory", FACTORIES)
def test_an_idle_thread_stays(factory, monkeypatch):
    """In the pool of to_thread() on another loop, too."""
    defaults = [0.0 if v == 10.0 else v for v in tpool.ThreadPool.__new__.__defaults__]
    monkeypatch.setattr(tpool.ThreadPool.__new__, "__defaults__", tuple(defaults))

    def sleeps_or_is_gone(native_id):
        try:
            return task_state(native_id) == "S"
        except FileNotFoundError:
            return True

    async def main():
        await tpool.to_thread(setattr, local, "value", "connection")
        for _ in range(20):
            native_id = await tpool.to_thread(threading.get_native_id)
            wait_until(lambda of=native_id: sleeps_or_is_gone(of))
        return await tpool.to_thread(getattr, local, "value", None)

    with asyncio.Runner(loop_factory=FACTORIES[factory]) as runner:
        assert runner.run(main()) == "connection"


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
@pytest.mark.parametrize("end", ["closed", "dropped"])
@pytest.mark.parametrize("factory", FACTORIES)
def test_its_threads_end_with_the_loop(factory, end):
    """The fixture nothing_left looks for them, here sooner."""
    before = threading.active_count()
    loop = FACTORIES[factory]()
    assert loop.run_until_complete(tpool.to_thread(int)) == 0
    assert threading.active_count() == before + 1
    if end == "closed":
        loop.close()
        wait_until(lambda: threading.active_count() == before)
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    wait_until(lambda: threading.active_count() == before)
