# SPDX-License-Identifier: MIT
"""What tracing libraries do to ThreadPoolExecutor.submit() works as on the stock loop.

The ways to wrap it are those of Sentry, OpenTelemetry (wrapt) and Datadog.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading

import pytest
from conftest import DEADLINE_S, hop, raiser, run_code
from wrapping import WAYS, Executor, by_class, plain, span, wrapping

import tpool
from tpool.worker_thread import WorkerThread

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def wrap():
    with wrapping() as wrap:
        yield wrap


def own_pool_at_work():
    """Whether a thread of tpool calls this."""
    return isinstance(threading.current_thread(), WorkerThread)


@pytest.mark.parametrize("way", WAYS)
def test_the_call_is_traced(run, wrap, way):
    tracer = wrap(way)

    async def main():
        span.set("request 1")
        seen = [await hop(span.get), await asyncio.to_thread(span.get)]
        span.set("request 2")
        return [*seen, await hop(span.get)]

    assert run(main()) == ["request 1", "request 1", "request 2"]
    assert len(tracer.executors) == 3
    assert len(set(tracer.executors)) == 1
    assert isinstance(tracer.executors[0], Executor)


def test_class_in_its_place_makes_the_calls(run, monkeypatch):
    """A program that puts tpool's there, say; it has threads of its own."""
    monkeypatch.setattr(
        concurrent.futures, "ThreadPoolExecutor", tpool.ThreadPoolExecutor
    )

    async def main():
        return [await hop(threading.get_ident), await asyncio.to_thread(int, "7")]

    thread, seven = run(main())
    assert thread != threading.get_ident()
    assert seven == 7


@pytest.mark.parametrize("way", WAYS)
def test_the_loop_s_own_pool_makes_the_call(wrap, way):
    wrap(way)

    async def main():
        return await hop(own_pool_at_work), asyncio.get_running_loop().pool.stats()

    ours, stats = tpool.run(main())
    assert ours
    assert (stats.submitted, stats.threads) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_wrapped_and_unwrapped_while_the_loop_runs(run, wrap, way):
    async def main():
        span.set("request")
        seen = [await hop(span.get)]
        for _ in range(2):
            tracer = wrap(way)
            seen.append(await hop(span.get))
            tracer.undo()
            seen.append(await hop(span.get))
        return seen

    if getattr(sys.flags, "thread_inherit_context", 0):
        pytest.skip("here a thread starts with what its parent has")
    if way is by_class:
        run = tpool.run  # the stock loop keeps the executor that it made first
    assert run(main()) == [None, "request", None, "request", None]


def test_where_nobody_wraps_no_executor_is_made():
    async def main():
        await hop(int)
        await asyncio.to_thread(int)
        return asyncio.get_running_loop().pool._executor

    assert tpool.run(main()) is None


@pytest.mark.parametrize("wrapped", [plain, Executor.shutdown, Executor.__init__])
def test_only_what_submit_is_counts(wrapped, wrap):
    from tpool.loop.executor import submit_is_wrapped

    assert not submit_is_wrapped()
    wrap(lambda _, patch: patch.setattr(Executor, "submit", wrapped))
    assert submit_is_wrapped() == (wrapped is not plain)


BEFORE = (
    "import asyncio, concurrent.futures as c, contextvars, sys\n"
    "plain = c.ThreadPoolExecutor.submit\n"
    "def submit(self, fn, /, *args):\n"
    "    return plain(self, contextvars.copy_context().run, fn, *args)\n"
    "{wrap}"
    "import tpool\n"
    "span = contextvars.ContextVar('span', default=None)\n"
    "async def main():\n"
    "    hop, loop = asyncio.to_thread, asyncio.get_running_loop()\n"
    "    span.set('request')\n"
    "    print(await loop.run_in_executor(None, span.get))\n"
    "    c.ThreadPoolExecutor.submit = plain\n"
    "    made = loop.pool._executor\n"
    "    loop.pool._executor = None\n"
    "    await loop.run_in_executor(None, int)\n"
    "    print(made is not None, loop.pool._executor)\n"
    "tpool.run(main())\n"
)


BY_FUNCTION = "c.ThreadPoolExecutor.submit = submit\n"
BY_OBJECT = (
    "from functools import partial\n"
    "class Wrapper:\n"
    "    def __get__(self, executor, kind=None):\n"
    "        return self if executor is None else partial(submit, executor)\n"
    "c.ThreadPoolExecutor.submit = Wrapper()\n"
)


@pytest.mark.parametrize("wrap", [BY_FUNCTION, BY_OBJECT])
def test_wrapped_before_the_import_and_unwrapped_later(wrap):
    assert run_code(BEFORE.format(wrap=wrap)).stdout == "request\nTrue None\n"


def test_the_wrapper_s_own_future_is_waited_for(run, wrap):
    def other_future(original, executor, fn, /, *args, **kwargs):
        outer = concurrent.futures.Future()
        inner = original(executor, fn, *args, **kwargs)
        inner.add_done_callback(lambda f: outer.set_result(("traced", f.result())))
        return outer

    wrap(tracer=other_future)
    assert run(hop(str, 7)) == ("traced", "7")


def test_what_the_wrapper_hangs_on_the_future_happens_before_the_result(run, wrap):
    done = []

    def end_span(original, executor, fn, /, *args, **kwargs):
        future = original(executor, fn, *args, **kwargs)
        future.span = "span"
        future.add_done_callback(lambda f: done.append((f.span, f.result())))
        return future

    async def main():
        result = await hop(str, 7)
        return result, list(done)

    wrap(tracer=end_span)
    assert run(main()) == ("7", [("span", "7")])


def test_a_wrapper_that_refuses_is_heard(run, wrap):
    def refuse(original, executor, fn, /, *args, **kwargs):
        raise LookupError(fn)

    wrap(tracer=refuse)
    with pytest.raises(LookupError):
        run(hop(int))


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ValueError("x"), ValueError),
        (StopIteration("x"), RuntimeError),
        (concurrent.futures.CancelledError(), asyncio.CancelledError),
        (TimeoutError("x"), TimeoutError),
        (SystemExit(3), SystemExit),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_exception_is_the_one_asyncio_gives(run, wrap, raised, seen):
    if isinstance(raised, StopIteration) and sys.version_info < (3, 13):
        run = tpool.run  # the stock loops of 3.11 and 3.12.1 hang on it
    wrap()

    async def main():
        try:
            await hop(raiser, raised)
        except BaseException as exc:
            return type(exc)

    assert run(main()) is seen


def test_thread_run_is_wrapped_too(run, monkeypatch):
    """OpenTelemetry's, with which a thread has the context of who started it."""
    original, ran = threading.Thread.run, []

    def traced(self):
        ran.append(self.name)
        original(self)

    monkeypatch.setattr(threading.Thread, "run", traced)
    name = run(hop(lambda: threading.current_thread().name))
    assert name in ran


def test_a_wrapper_of_thread_run_that_fails_leaves_no_call_waiting(
    monkeypatch, background
):
    """Its thread ends, and the pool is told so."""
    original, hooked = threading.Thread.run, []

    def refuse(self):
        if hooked:
            return original(self)
        hooked.append(self.name)
        raise RuntimeError("no context")

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(threading.Thread, "run", refuse)

    async def main():
        try:
            return await asyncio.wait_for(hop(str, 7), DEADLINE_S)
        except RuntimeError as error:
            return str(error)

    assert tpool.run(main()) in ("7", "no thread could be started for this request")
    assert len(hooked) == 1
