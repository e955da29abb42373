# SPDX-License-Identifier: MIT
"""Does a round trip cost more with many idle file descriptors in the context?

Pinned to one CPU: on two a wake-up takes three times as long, or not, as the kernel
places owner and worker, and that hides what the fds cost.
"""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack

import _harness as h

import tpool

NONE = "no fds"


def allow(fds: int) -> None:
    """Raise the limit of open files where it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = fds + 256
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def ready() -> None:
    """Be the handler of an fd that never gets ready."""
    raise AssertionError("an idle fd was reported ready")


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=1_000, help="a round; default: 1000")
    made.add_argument("--fds", type=int, default=1_024, help="default: 1024")
    options = h.parse(made, {"n": 100})
    allow(options.fds)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with ExitStack() as stack:
        peers: h.Peers = {}
        for name, fds in ((NONE, 0), (f"{options.fds:,} idle fds", options.fds)):
            ctx = stack.enter_context(tpool.AioContext(poll_max_ns=0))
            for _ in range(fds):
                fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                stack.callback(os.close, fd)
                ctx.set_fd_handler(fd, io_read=ready)
                stack.callback(ctx.set_fd_handler, fd)
            pool = stack.enter_context(tpool.ThreadPool(ctx))
            peers[name] = h.round_trips(pool, options.n)
        table = h.rows("polling off", h.alternate(peers, options.rounds), NONE)
    h.report(
        "Idle fds beside a round trip, polling off",
        __file__,
        options,
        table,
        fds=options.fds,
    )


if __name__ == "__main__":
    main()
