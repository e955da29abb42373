# SPDX-License-Identifier: MIT
"""Guest: an AioContext in an asyncio event loop that does not turn it by itself."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from tpool.aio_context import AioContext
from tpool.aio_files import AioFiles
from tpool.loop.loop_pool import LoopPool

if TYPE_CHECKING:
    import asyncio

    from tpool.thread_pool import ThreadPool

__all__ = ["Guest", "Lodger", "Visitor", "lodger_of", "pool_of", "visit"]

# In AioContext.notify_me: some loop waits for its fileno().
_FOREIGN = 1


class Guest:
    """A context that hangs in a loop which does not turn it by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ctx: AioContext) -> None:
        self._loop = weakref.ref(loop)
        self._turn_is_due = self._has_left = False
        self._timer: asyncio.TimerHandle | None = None
        self.ctx = ctx
        self._fd = ctx.fileno()
        loop.add_reader(self._fd, self._turn)

    def leave(self) -> None:
        """Have the loop forget it; a turn that is due already does nothing."""
        self._has_left = True
        self._cancel_timer()
        loop = self._loop()
        if loop is not None:
            loop.remove_reader(self._fd)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def turn_soon(self) -> None:
        """Have the loop turn the context before it waits the next time."""
        loop = self._loop()
        if not self._turn_is_due and loop is not None:
            loop.call_soon(self._turn)
            self._turn_is_due = True

    def _turn(self) -> None:
        """Dispatch what has come, and wait for more by the context's fd.

        prepare() polls, before control goes back to the loop.
        """
        self._turn_is_due = False
        if self._has_left or self.ctx.closed:
            return
        try:
            self.ctx.check()
            self.ctx.dispatch()
            if self.ctx.prepare() == 0:
                self.ctx.check()
                self.ctx.dispatch()
        finally:  # a callback may raise KeyboardInterrupt
            self.prepare()

    def prepare(self) -> None:
        """See to it that the context is turned when it has something to do."""
        self._cancel_timer()
        timeout_ns = self.ctx.prepare()
        loop = self._loop()
        if timeout_ns == 0:
            self.turn_soon()
        elif timeout_ns > 0 and loop is not None:
            self._timer = loop.call_later(timeout_ns / 1e9, self._turn)


class Lodger(Guest):
    """The context of to_thread() and open(): it stays as long as the loop."""

    _files: AioFiles | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        ctx = AioContext()
        self.pool = LoopPool(ctx, thread_name_prefix="asyncio")
        super().__init__(loop, ctx)
        self.prepare()

    @property
    def files(self) -> AioFiles:
        """What open() reads and writes by."""
        if self._files is None:
            self._files = AioFiles(self.ctx)
        return self._files

    def prepare(self) -> None:
        """Do so, for whatever thread runs the loop."""
        super().prepare()
        self.ctx._disown()  # the loop may run in another thread next time


class Visitor(Guest):
    """A user's context: it stays as long as requests of it are in flight."""

    def is_in(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it hangs in this loop."""
        return self._loop() is loop

    def is_over(self) -> bool:
        """Whether its loop will not run any more."""
        loop = self._loop()
        return loop is None or loop.is_closed()

    def prepare(self) -> None:
        """Do so, or have all loops forget the context."""
        if self.ctx._in_flight:
            super().prepare()
        else:
            self.ctx._leave_loops()


def visit(loop: asyncio.AbstractEventLoop, ctx: AioContext) -> None:
    """Have the loop turn a context of its thread, unless somebody sees to it.

    Raises:
        RuntimeError: Another thread is closing the context.
        OSError: There is no fd for it.
    """
    visitors = ctx._visitors
    if any(visitor.is_in(loop) for visitor in visitors):
        return
    if not visitors and ctx.notify_me & _FOREIGN:
        return
    if ctx._closing:
        raise RuntimeError("the AioContext is being closed")
    visitors[:] = [visitor for visitor in visitors if not visitor.is_over()]
    visitor = Visitor(loop, ctx)
    visitors.append(visitor)
    try:
        visitor.prepare()
    except BaseException:
        visitor.leave()
        visitors[:] = [other for other in visitors if other is not visitor]
        raise


# The loop's reader keeps a guest alive: from here it would keep its loop alive.
_guests: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Lodger]]
_guests = weakref.WeakKeyDictionary()


def lodger_of(loop: asyncio.AbstractEventLoop) -> Lodger:
    """Return the loop's own, to which something is about to be submitted."""
    ref = _guests.get(loop)
    guest = None if ref is None else ref()
    if guest is not None and guest.ctx.closed:  # in the child of a fork
        guest.leave()
        guest = None
    if guest is None:
        guest = Lodger(loop)
        _guests[loop] = weakref.ref(guest)
    guest.turn_soon()
    return guest


def pool_of(loop: asyncio.AbstractEventLoop) -> ThreadPool:
    """Return the loop's pool, to which something is about to be submitted."""
    return lodger_of(loop).pool
