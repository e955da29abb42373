# SPDX-License-Identifier: MIT
"""The recipes for other event loops, each where its library installs."""

from __future__ import annotations

import importlib.util
import runpy

import pytest
from conftest import ROOT, run_python

import tpool

pytestmark = pytest.mark.timeout(120)
EXAMPLES = ROOT / "examples"
# What each needs, and the arguments it is run with.
NEEDS = {
    "anyio_loop": ("anyio", ["asyncio"]),
    "gevent_loop": ("gevent", []),
    "glib_loop": ("gi", []),
    "qt_loop": ("PySide6", []),
    "scale": ("concurrent", ["threads"]),
    "tokenizer": ("multiprocessing", []),
    "trio_loop": ("trio", []),
    "write_ahead_log": ("asyncio", []),
}


def need(*libraries):
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")


def load(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def run(name, *arguments):
    said = run_python("-X", "dev", EXAMPLES / f"{name}.py", *arguments)
    assert said.stdout == "45\n", said.stderr


def test_every_example_is_run():
    assert sorted(path.stem for path in EXAMPLES.iterdir()) == sorted(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_example_prints_its_result(name):
    library, arguments = NEEDS[name]
    need(library)
    run(name, *arguments)


def test_anyio_example_runs_on_trio():
    need("anyio", "trio")
    run("anyio_loop", "trio")


def test_scale_example_runs_on_processes():
    run("scale", "processes")


def test_scale_example_runs_on_a_cluster():
    need("distributed")
    run("scale", "cluster")


def test_trio_gets_every_result_beside_its_own_timers():
    need("trio")
    import trio

    example, results = load("trio_loop"), []

    async def ask(pool, number):
        results.append(await example["to_thread"](pool, str, number))

    async def main():
        with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=4) as pool:
            async with trio.open_nursery() as server:
                server.start_soon(example["serve"], ctx)
                for _ in range(20):
                    async with trio.open_nursery() as nursery:
                        for number in range(50):
                            nursery.start_soon(ask, pool, number)
                        nursery.start_soon(trio.sleep, 0.001)
                with pytest.raises(KeyError):
                    await example["to_thread"](pool, {}.__getitem__, 1)
                server.cancel_scope.cancel()
            assert ctx.notify_me in (0, 1)

    trio.run(main)
    assert sorted(results) == sorted([str(number) for number in range(50)] * 20)


def test_trio_cancels_what_is_queued_and_leaves_what_runs(gate):
    need("trio")
    import trio
    import trio.testing

    example, ran = load("trio_loop"), []

    async def main():
        running = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def block():
            token.run_sync_soon(running.set)
            gate.wait()

        with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=1) as pool:
            async with trio.open_nursery() as server:
                server.start_soon(example["serve"], ctx)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(example["to_thread"], pool, block)
                    await running.wait()
                    nursery.start_soon(example["to_thread"], pool, ran.append, 1)
                    await trio.testing.wait_all_tasks_blocked()
                    nursery.cancel_scope.cancel()
                assert pool.stats().cancelled == 1
                gate.set()
                assert await example["to_thread"](pool, int) == 0
                server.cancel_scope.cancel()

    trio.run(main)
    assert ran == []


def test_trio_is_woken_by_a_timer_of_the_context():
    need("trio")
    import trio

    example = load("trio_loop")

    async def main():
        rung = trio.Event()
        with tpool.AioContext() as ctx:
            timer = ctx.new_timer(rung.set)
            timer.mod_ns(0)
            async with trio.open_nursery() as server:
                server.start_soon(example["serve"], ctx)
                with trio.fail_after(30):
                    await rung.wait()
                server.cancel_scope.cancel()

    trio.run(main)


def test_gevent_gets_every_result_while_other_greenlets_run():
    need("gevent")
    import gevent

    example, ticks = load("gevent_loop"), []

    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.001)

    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=4) as pool:
        background = [gevent.spawn(example["serve"], ctx), gevent.spawn(tick)]
        for _ in range(20):
            jobs = [
                gevent.spawn(example["in_thread"], pool, str, number)
                for number in range(50)
            ]
            gevent.joinall(jobs, raise_error=True)
            assert [job.value for job in jobs] == [str(n) for n in range(50)]
        with pytest.raises(ZeroDivisionError):
            example["in_thread"](pool, divmod, 1, 0)
        gevent.killall(background)
    gevent.get_hub().destroy(destroy_loop=True)
    assert ticks
