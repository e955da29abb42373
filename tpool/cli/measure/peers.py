# SPDX-License-Identifier: MIT
"""The ways to threads and back that the main job compares."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import importlib
import queue
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tpool.aio_context import AioContext
from tpool.cli.interrupt import Interrupt
from tpool.cli.measure.tree import Item, read_file
from tpool.loop.event_loop import EventLoop, new_event_loop
from tpool.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "IN_FLIGHT",
    "LOOPS",
    "Call",
    "Done",
    "FuturesPeer",
    "LoopPeer",
    "Peer",
    "PoolPeer",
    "TpoolPeer",
    "Usage",
]

IN_FLIGHT = 64
"""Requests in flight at most, the same for every peer."""

LOOPS = ("asyncio", "uvloop", "tpool")
"""Event loops that LoopPeer knows."""

_Work = Callable[[Item, Interrupt], Any]
"""What the workers do with a file: `read_file`, or nothing."""

_KEEP_IDLE_S = 86_400.0  # no worker ends, and takes its CPU time along, in a run


class Call(Protocol):
    """The part of a future and of a request that is used here."""

    def result(self) -> Any:  # noqa: ANN401 -- checked by Tally.take
        """Return what the call returned."""

    def exception(self) -> BaseException | None:
        """Return what the call raised."""


class Done(NamedTuple):
    """One completion, as the owner saw it."""

    position: int
    submitted_ns: int
    seen_ns: int
    call: Call


class Usage(NamedTuple):
    """Nanoseconds since the peer was made, summed over its workers.

    `threads` 0: the pool does not tell what its workers do.
    """

    owner_polled: int = 0
    owner_blocked: int = 0
    workers_polled: int = 0
    workers_run: int = 0
    threads: int = 0

    @classmethod
    def of(cls, ctx: AioContext, pool: ThreadPool) -> Usage:
        """Return what a context and its pool have counted."""
        owner, workers = ctx.stats(), pool.stats()
        return cls(
            owner.polled_ns,
            owner.blocked_ns,
            workers.polled_ns,
            workers.run_ns,
            workers.threads,
        )

    def since(self, then: Usage) -> Usage:
        """Return the difference; the threads are those of now."""
        spent = Usage(*(now - before for now, before in zip(self, then, strict=True)))
        return spent._replace(threads=self.threads)


class Peer(Protocol):
    """A way to threads and back."""

    name: str

    def run(
        self,
        items: Sequence[Item],
        take: Callable[[Done], None],
        most: int = IN_FLIGHT,
        work: _Work | None = None,
    ) -> None:
        """Have all files read, and hand each completion to take.

        No more than `most` are on their way at any time.

        Raises:
            KeyboardInterrupt: As Interrupt says.
        """

    def usage(self) -> Usage | None:
        """Return the times so far; None where nobody counts them."""

    def close(self) -> None:
        """Cancel what is queued and wait for the rest."""


class PoolPeer(ABC):
    """A pool, fed by the owner's own loop.

    Args:
        interrupt: Lets a KeyboardInterrupt out of nothing but the owner's wait.
    """

    _pool: ThreadPool | concurrent.futures.ThreadPoolExecutor

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._work: _Work = read_file

    def submit(self, index: int, item: Item) -> None:
        """Hand over one file."""
        now = perf_counter_ns()
        call = self._pool.submit(self._work, item, self._interrupt)
        call.add_done_callback(functools.partial(self._finished, index, now))

    @abstractmethod
    def _finished(self, index: int, submitted_ns: int, call: Call) -> None:
        """Have next_done() know of it."""

    @abstractmethod
    def next_done(self) -> Done:
        """Wait for one completion."""

    def run(
        self,
        items: Sequence[Item],
        take: Callable[[Done], None],
        most: int = IN_FLIGHT,
        work: _Work | None = None,
    ) -> None:
        """See Peer."""
        self._work, in_flight = work or read_file, 0
        for index, item in enumerate(items):
            if in_flight == most:
                take(self._wait())
                in_flight -= 1
            self.submit(index, item)
            in_flight += 1
        for _ in range(in_flight):
            take(self._wait())

    def _wait(self) -> Done:
        self._interrupt.may_raise = True
        try:
            self._interrupt.check()
            return self.next_done()
        finally:
            self._interrupt.may_raise = False

    def close(self) -> None:
        """Cancel what is queued and wait for the rest."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class TpoolPeer(PoolPeer):
    """tpool: the callbacks run in the owner, while it polls."""

    _pool: ThreadPool

    def __init__(self, poll_max_ns: int, threads: int, interrupt: Interrupt) -> None:
        self.name = f"tpool, polling {'on' if poll_max_ns else 'off'}"
        super().__init__(interrupt)
        self._done: deque[Done] = deque()
        self._ctx = AioContext(poll_max_ns=poll_max_ns)
        self._pool = ThreadPool(
            self._ctx, max_threads=threads, idle_timeout=_KEEP_IDLE_S
        )

    def _finished(self, index: int, submitted_ns: int, call: Call) -> None:
        self._done.append(Done(index, submitted_ns, perf_counter_ns(), call))

    def next_done(self) -> Done:
        """Wait for one completion."""
        while not self._done:
            self._ctx.poll(True)
        return self._done.popleft()

    def usage(self) -> Usage:
        """Return the times so far."""
        return Usage.of(self._ctx, self._pool)

    def close(self) -> None:
        """Cancel what is queued and wait for the rest."""
        super().close()
        self._ctx.close()


class FuturesPeer(PoolPeer):
    """The stock executor: its callbacks hand the future to the owner by a queue.

    `wait` and `as_completed` would cost it far more than a `SimpleQueue` does.
    """

    name = "concurrent.futures"

    def __init__(self, threads: int, interrupt: Interrupt) -> None:
        super().__init__(interrupt)
        self._blocked_ns = 0
        self._done: queue.SimpleQueue[tuple[int, int, Call]] = queue.SimpleQueue()
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)

    def _finished(self, index: int, submitted_ns: int, call: Call) -> None:
        self._done.put((index, submitted_ns, call))  # worker

    def next_done(self) -> Done:
        """Wait for one completion."""
        entered = perf_counter_ns()
        index, submitted_ns, call = self._done.get()
        now = perf_counter_ns()
        self._blocked_ns += now - entered
        return Done(index, submitted_ns, now, call)

    def usage(self) -> Usage:
        """Return the times so far."""
        return Usage(owner_blocked=self._blocked_ns)


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "tpool":
        return new_event_loop
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    factory: Callable[[], asyncio.AbstractEventLoop]
    factory = importlib.import_module(name).new_event_loop
    return factory


class LoopPeer:
    """An event loop, whose tasks await run_in_executor(None, ...).

    Args:
        name: One of LOOPS.
        threads: Workers at most.
        interrupt: Looked at after each completion.

    Raises:
        ImportError: The loop is not installed.
    """

    def __init__(self, name: str, threads: int, interrupt: Interrupt) -> None:
        self.name = name
        self._interrupt = interrupt
        self._runner = asyncio.Runner(loop_factory=_loop_factory(name))
        loop = self._runner.get_loop()
        if isinstance(loop, EventLoop):
            loop.pool.set_threads(threads, threads)
        else:
            loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(threads))

    def run(
        self,
        items: Sequence[Item],
        take: Callable[[Done], None],
        most: int = IN_FLIGHT,
        work: _Work | None = None,
    ) -> None:
        """See Peer."""
        todo, call = enumerate(items), work or read_file

        async def hop() -> None:
            loop = asyncio.get_running_loop()
            for index, item in todo:
                now = perf_counter_ns()
                future = loop.run_in_executor(None, call, item, self._interrupt)
                with contextlib.suppress(Exception):  # take() looks at it
                    await future
                seen = perf_counter_ns()
                if self._interrupt.asked:
                    return  # raised once, below: not by every task
                take(Done(index, now, seen, future))

        async def main() -> None:
            await asyncio.gather(*(hop() for _ in range(most)))

        self._runner.run(main())
        self._interrupt.check()

    def usage(self) -> Usage | None:
        """Return the times so far; stock loops count none."""
        loop = self._runner.get_loop()
        if isinstance(loop, EventLoop):
            return Usage.of(loop.ctx, loop.pool)
        return None

    def close(self) -> None:
        """Cancel what is queued and wait for the rest."""
        self._runner.close()
