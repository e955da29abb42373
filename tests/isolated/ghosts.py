# SPDX-License-Identifier: MIT
"""An fd that was closed while a duplicate lives, and no fd left to be rid of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import signal
import sys
import threading
import time

import cases

import tpool

LOOK_NS = 10_000_000  # FDMON_HAUNTED_NS
SPAN_NS = 100_000_000
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
errors = []
sys.unraisablehook = lambda info: errors.append(info.exc_value)


@contextlib.contextmanager
def no_fd_left(how):
    """All numbers are taken, or none is allowed."""
    fill = []
    if how == "filled":
        top = os.dup(0)
        os.close(top)
        resource.setrlimit(resource.RLIMIT_NOFILE, (top + 64, HARD))
        with contextlib.suppress(OSError):
            while True:
                fill.append(os.dup(0))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, HARD))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (HARD, HARD))
        for fd in fill:
            os.close(fd)


class Ghost:
    """A pipe whose registered end is closed, and that is readable all the same."""

    def __init__(self, ctx, removed, pipe):
        read, self.write = pipe
        ctx.set_fd_handler(read, int)
        self.copy = os.dup(read)
        os.close(read)
        if removed:
            ctx.set_fd_handler(read)

    def appear(self):
        os.write(self.write, b"x")

    def close(self):
        os.close(self.write)
        os.close(self.copy)


class Plain:
    """A context that is polled."""

    def __init__(self):
        self.ctx = tpool.AioContext()
        self.turn = self.ctx.poll
        self.close = self.ctx.close


class Foreign(Plain):
    """A context in a foreign loop, which counts how often it was woken."""

    def __init__(self):
        super().__init__()
        self.epoll = select.epoll()
        self.epoll.register(self.ctx.fileno(), select.EPOLLIN)
        self.turn = self.foreign_turn

    def foreign_turn(self):
        timeout_ns = self.ctx.prepare()
        self.epoll.poll(None if timeout_ns < 0 else timeout_ns / 1e9)
        self.ctx.check()
        self.ctx.dispatch()


class Loop:
    """An EventLoop."""

    def __init__(self):
        self.loop = tpool.new_event_loop()
        self.ctx = self.loop.ctx
        self.close = self.loop.close

    def turn(self):
        self.ctx.call_soon(self.loop.call_soon, self.loop.stop)
        self.loop.run_forever()


class Working(Loop):
    """An EventLoop that polls for a call in flight."""

    def __init__(self):
        super().__init__()
        self.ctx.set_poll_params(1_000_000)
        self.gate = threading.Event()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.future = self.loop.run_in_executor(None, self.gate.wait)

        self.close = self.settle

    def settle(self):
        self.gate.set()
        self.loop.run_until_complete(self.future)
        self.loop.close()


def turns_of(peer, span_ns):
    """Turn until a timer fires; return how many turns more than there may be."""
    fired = []
    timer = peer.ctx.new_timer(lambda: fired.append(1))
    begin_ns, turns = time.monotonic_ns(), peer.ctx.stats().turns
    timer.mod_ns(begin_ns + span_ns)
    if isinstance(peer, Loop):
        peer.loop.call_later(span_ns / 1e9, peer.loop.stop)
        peer.loop.run_forever()
    else:
        while not fired:
            peer.turn()
    assert fired or isinstance(peer, Loop)
    timer.cancel()
    allowed = (time.monotonic_ns() - begin_ns) // LOOK_NS
    return peer.ctx.stats().turns - turns, allowed


def haunt(peer, how, removed):
    read, write = os.pipe()
    heard = []
    peer.ctx.set_fd_handler(read, lambda: heard.append(os.read(read, 1)))
    pipes = [os.pipe() for _ in range(2)]
    ghosts = [Ghost(peer.ctx, removed, pipe) for pipe in pipes]
    if isinstance(peer, Working):
        peer.loop.run_until_complete(asyncio.sleep(0))
    with no_fd_left(how):
        for n, ghost in enumerate(ghosts, 1):
            ghost.appear()
            turns, allowed = turns_of(peer, SPAN_NS)
            # A turn of a foreign loop is two: check() and what follows.
            assert turns <= 2 * allowed + 20 * n, (turns, allowed)
            refused = [e.errno for e in errors]
            closed = 0 if removed else n
            assert sorted(refused) == sorted([9] * closed + [24]), refused
        # All else is as it was.
        os.write(write, b"y")
        while not heard:
            peer.turn()
        posted = []
        thread = threading.Timer(0.01, lambda: peer.ctx.call_soon(posted.append, 1))
        thread.start()
        while not posted:
            peer.turn()
        thread.join()
    # There is an fd again: it is mended, and has nothing to look at.
    peer.turn() if isinstance(peer, Loop) else peer.ctx.poll(False)
    turns, _ = turns_of(peer, SPAN_NS)
    assert turns <= 5, turns
    os.write(write, b"z")
    while len(heard) < 2:
        peer.turn()
    assert heard == [b"y", b"z"]
    peer.ctx.set_fd_handler(read)
    peer.close()
    for ghost in ghosts:
        ghost.close()
    os.close(read)
    os.close(write)


def vanish(peer):
    """It is not readable any more, before there is an fd again."""
    ghost = Ghost(peer.ctx, True, os.pipe())
    with no_fd_left("filled"):
        ghost.appear()
        turns_of(peer, SPAN_NS)
        os.read(ghost.copy, 1)
        turns_of(peer, SPAN_NS)
    turns_of(peer, LOOK_NS)
    turns, _ = turns_of(peer, SPAN_NS)
    assert turns <= 5, turns
    peer.close()
    ghost.close()


def epolls():
    """Return the epoll fds of this process."""
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if "eventpoll" in os.readlink(f"/proc/self/fd/{fd}"):
                found.append(fd)
    return found


def kill_when_blocked(ctx):
    """Send a signal whose handler runs in poll(), and nowhere else."""
    cases.wait_until(lambda: cases.is_blocked(ctx))
    os.kill(os.getpid(), signal.SIGUSR1)


def haunted(peer, where, handler):
    """Turn it until handler has run, in a callback or for a signal; then there are fds."""
    ran = []

    def free_fds(*_):
        resource.setrlimit(resource.RLIMIT_NOFILE, (HARD, HARD))
        ran.append(1)
        handler()

    ghost = Ghost(peer.ctx, True, os.pipe())
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, HARD))
    ghost.appear()
    turns_of(peer, SPAN_NS)
    if where == "signal":
        signal.signal(signal.SIGUSR1, free_fds)
        threading.Thread(target=kill_when_blocked, args=(peer.ctx,)).start()
    else:
        peer.ctx.call_soon(free_fds)
    with contextlib.suppress(RuntimeError, KeyboardInterrupt):
        while not ran:
            peer.ctx.poll()
    return ghost


def raising(peer, where):
    """A turn that raises mends it all the same, or the next one."""

    def interrupt():
        raise KeyboardInterrupt

    ghost = haunted(peer, where, interrupt)
    if where == "callback":
        peer.ctx.call_soon(interrupt)
        with contextlib.suppress(KeyboardInterrupt):
            peer.ctx.poll(False)
    assert peer.ctx.prepare() == -1  # no look each LOOK_NS
    peer.ctx.check()
    peer.close()
    ghost.close()


def fork(peer, where):
    """Somebody frees fds, and forks: the child makes no monitor for itself."""
    parent, status = os.getpid(), []

    def fork():
        child = os.fork()
        if child:
            status.append(os.waitpid(child, 0)[1])

    ghost = haunted(peer, where, fork)
    if os.getpid() != parent:
        os._exit(len(epolls()))
    assert status == [0]
    peer.close()
    ghost.close()


if __name__ == "__main__":
    kind, *rest = sys.argv[1].split()
    made = {"plain": Plain, "foreign": Foreign, "loop": Loop, "working": Working}[
        kind
    ]()
    if rest == ["vanish"]:
        cases.run(vanish, made)
    elif rest[0] in ("raising", "fork"):
        cases.run({"raising": raising, "fork": fork}[rest[0]], made, rest[1])
    else:
        cases.run(haunt, made, rest[0], rest[1] == "removed")
