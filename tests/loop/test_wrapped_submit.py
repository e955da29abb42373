# SPDX-License-Identifier: MIT
"""What tracing libraries do to ThreadPoolExecutor.submit() works as on the stock loop.

The ways to wrap it are those of Sentry, OpenTelemetry (wrapt) and Datadog.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import sys
import threading
import types
import weakref
from contextlib import closing

import pytest
from conftest import DEADLINE_S, FACTORIES, raiser, run_code, wait_until

import tpool
from tpool.worker_thread import WorkerThread

pytestmark = pytest.mark.timeout(120)
Executor = concurrent.futures.ThreadPoolExecutor
plain = Executor.submit
span: contextvars.ContextVar[str | None] = contextvars.ContextVar("span", default=None)


async def hop(function, *args):
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


class Tracer:
    """Counts calls, and has each in a copy of its caller's context."""

    def __init__(self):
        self.executors = []

    def __call__(self, original, executor, fn, /, *args, **kwargs):
        self.executors.append(executor)
        run = contextvars.copy_context().run
        return original(executor, run, fn, *args, **kwargs)


class Proxy:
    """What is no function, and hands on all attributes, as wrapt has it."""

    def __init__(self, wrapped, tracer):
        self.__wrapped__, self._tracer = wrapped, tracer

    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)

    def __get__(self, instance, owner):
        if instance is None:
            return Proxy(self.__wrapped__, self._tracer)
        return functools.partial(self._tracer, self.__wrapped__, instance)


def by_function(tracer, monkeypatch):
    @functools.wraps(plain)
    def submit(self, fn, /, *args, **kwargs):
        return tracer(plain, self, fn, *args, **kwargs)

    monkeypatch.setattr(Executor, "submit", submit)


def by_proxy(tracer, monkeypatch):
    monkeypatch.setattr(Executor, "submit", Proxy(plain, tracer))


def by_code(tracer, monkeypatch):
    """The function is the same, and does something else."""
    original = types.FunctionType(plain.__code__, plain.__globals__, "submit")
    monkeypatch.setitem(plain.__globals__, "_tracer", (tracer, original))

    def submit(self, fn, /, *args, **kwargs):
        tracer, original = _tracer  # noqa: F821
        return tracer(original, self, fn, *args, **kwargs)

    monkeypatch.setattr(plain, "__code__", submit.__code__)


def by_class(tracer, monkeypatch):
    class ThreadPoolExecutor(Executor):
        def submit(self, fn, /, *args, **kwargs):
            return tracer(plain, self, fn, *args, **kwargs)

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", ThreadPoolExecutor)


WAYS = [by_function, by_proxy, by_code, by_class]


@pytest.fixture
def wrap(monkeypatch):
    """Return a function that wraps submit() until undo() of what it returns."""

    def wrap(way=by_function, tracer=None):
        tracer = tracer or Tracer()
        patch = pytest.MonkeyPatch()
        undone.append(patch)
        way(tracer, patch)
        tracer.undo = patch.undo
        return tracer

    undone = []
    yield wrap
    for patch in reversed(undone):
        patch.undo()


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
    "c.ThreadPoolExecutor.submit = submit\n"
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


def test_wrapped_before_the_import_and_unwrapped_later():
    assert run_code(BEFORE).stdout == "request\nTrue None\n"


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


def have_one_thread(loop):
    if isinstance(loop, tpool.EventLoop):
        loop.pool.set_threads(0, 1)
    else:
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))


def test_calls_begin_in_order_whether_wrapped_or_not(run, wrap, gate):
    order = []

    async def main():
        loop = asyncio.get_running_loop()
        have_one_thread(loop)
        calls = [loop.run_in_executor(None, gate.wait)]
        for number in range(20):
            tracer = wrap() if number % 3 else None
            calls.append(loop.run_in_executor(None, order.append, number))
            if tracer:
                tracer.undo()
        gate.set()
        await asyncio.gather(*calls)

    run(main())
    assert order == list(range(20))


def test_what_a_call_leaves_stays_in_its_thread(run, wrap):
    """As far as the wrapper does not take it along."""
    wrap(tracer=lambda original, *args: original(*args))

    async def main():
        have_one_thread(asyncio.get_running_loop())
        span.set("caller's")
        await hop(span.set, "left")
        return await hop(span.get), span.get()

    assert run(main()) == ("left", "caller's")


def test_what_a_call_posts_comes_before_its_result(run, wrap):
    if sys.version_info >= (3, 14):
        run = tpool.run  # the stock loop finds that it is done, and does not wait
    wrap()

    async def main():
        loop = asyncio.get_running_loop()
        posted, late = [], 0
        for number in range(300):
            await hop(loop.call_soon_threadsafe, posted.append, number)
            late += len(posted) != number + 1
        return late

    assert run(main()) == 0


def test_cancelled_while_queued_never_runs(run, wrap, gate):
    ran, futures = [], []

    def keep(original, executor, fn, /, *args, **kwargs):
        futures.append(original(executor, fn, *args, **kwargs))
        return futures[-1]

    wrap(tracer=keep)

    async def main():
        loop = asyncio.get_running_loop()
        have_one_thread(loop)
        first = loop.run_in_executor(None, gate.wait)
        second = loop.run_in_executor(None, ran.append, 1)
        second.cancel()
        await asyncio.sleep(0)
        assert futures[1].cancelled()
        gate.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second
        await hop(int)
        # It is told to those who wait for it in a thread.
        return concurrent.futures.wait(futures, DEADLINE_S)

    done, not_done = run(main())
    assert (len(done), len(not_done)) == (3, 0)
    assert ran == []


def test_cancelled_by_somebody_else_while_queued_is_cancelled_at_once(run, wrap, gate):
    futures = []

    def keep(original, executor, fn, /, *args, **kwargs):
        futures.append(original(executor, fn, *args, **kwargs))
        return futures[-1]

    wrap(tracer=keep)

    async def main():
        loop = asyncio.get_running_loop()
        have_one_thread(loop)
        first = loop.run_in_executor(None, gate.wait)
        second = loop.run_in_executor(None, int)
        thread = threading.Thread(target=futures[1].cancel)
        thread.start()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(second, DEADLINE_S)
        thread.join()
        assert not first.done()
        gate.set()
        await first

    run(main())


def test_cancelled_while_running_is_cancelled_at_once_and_runs_on(run, wrap, gate):
    wrap()
    ended = []

    async def main():
        started = threading.Event()

        def call():
            started.set()
            gate.wait()
            ended.append(1)

        task = asyncio.ensure_future(hop(call))
        await hop(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended
        gate.set()
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main())
    assert ended == [1]


def test_storm_of_cancellations_loses_nothing(run, wrap):
    wrap()

    async def main():
        results = 0
        for round_ in range(20):
            tasks = [asyncio.ensure_future(hop(int, i)) for i in range(40)]
            await asyncio.sleep(0)
            for task in tasks[round_ % 2 :: 2]:
                task.cancel()
            gathered = await asyncio.gather(*tasks, return_exceptions=True)
            results += len(gathered)
            assert all(
                value == i or isinstance(value, asyncio.CancelledError)
                for i, value in enumerate(gathered)
            )
        return results

    assert run(main()) == 800


def test_a_thread_that_cannot_be_started_is_said_at_once(run, wrap, monkeypatch):
    wrap()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="start new thread"):
                await hop(int)
        return await hop(str, 7)

    assert run(main()) == "7"


def test_calls_that_the_pool_gives_up_are_cancelled(wrap, gate):
    wrap()

    async def main():
        loop = asyncio.get_running_loop()
        have_one_thread(loop)
        first = loop.run_in_executor(None, gate.wait)
        second = loop.run_in_executor(None, int)
        wait_until(lambda: loop.pool.stats().running)
        loop.pool.shutdown(wait=False, cancel_futures=True)
        gate.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(second, DEADLINE_S)
        with pytest.raises(RuntimeError, match="after shutdown"):
            loop.run_in_executor(None, int)

    tpool.run(main())


def test_after_shutdown_of_the_default_executor_calls_are_refused(run, wrap):
    wrap()

    async def main():
        await hop(int)
        await asyncio.get_running_loop().shutdown_default_executor()
        with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
            await hop(int)

    run(main())


def test_an_error_of_the_future_s_callbacks_is_not_lost(wrap, unraisable):
    """Such as end a thread of the stock executor."""

    def trip(original, executor, fn, /, *args, **kwargs):
        future = original(executor, fn, *args, **kwargs)
        future.add_done_callback(lambda _: raiser(GeneratorExit("tripped")))
        return future

    async def main():
        have_one_thread(asyncio.get_running_loop())
        hold = threading.Event()
        first = asyncio.get_running_loop().run_in_executor(None, hold.wait)
        wrap(tracer=trip)
        second = asyncio.get_running_loop().run_in_executor(None, str, 7)
        hold.set()
        return await first, await asyncio.wait_for(second, DEADLINE_S)

    assert tpool.run(main()) == (True, "7")
    assert [str(error) for error in unraisable] == ["tripped"]


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="an object of another thread ends when that thread next runs",
)
def test_nothing_is_kept_of_a_call_that_is_done(wrap):
    """Not for the collector either."""
    wrap()

    class Result:
        pass

    def call(argument):
        return Result()

    async def main():
        await hop(int)
        argument = Result()
        gc.disable()
        try:
            result = await hop(call, argument)
            await asyncio.sleep(0)  # what has woken this has the result
            kept = [weakref.ref(argument), weakref.ref(result)]
            del argument, result
            wait_until(lambda: not any(ref() for ref in kept))
        finally:
            gc.enable()

    tpool.run(main())


@pytest.mark.parametrize("factory", FACTORIES)
def test_loop_closed_with_calls_in_flight_neither_hangs_nor_crashes(
    factory, wrap, gate
):
    wrap()
    ran = []
    with closing(FACTORIES[factory]()) as loop:

        async def main():
            have_one_thread(loop)
            loop.run_in_executor(None, gate.wait)
            loop.run_in_executor(None, ran.append, 1)

        loop.run_until_complete(main())
    gate.set()
    wait_until(lambda: ran)  # what was queued is run, as unwrapped


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
