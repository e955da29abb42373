# SPDX-License-Identifier: MIT
"""Trace events, switched at run time; nothing measurable while they are off.

Events: run_poll_handlers_begin(ctx, max_ns), run_poll_handlers_end(ctx,
progress), poll_grow(ctx, ns), poll_shrink(ctx, ns), thread_pool_submit(req),
thread_pool_start(req), thread_pool_complete(req), thread_pool_cancel(req),
thread_pool_dispatch(req); and why the owner did not just poll: poll_refused(ctx, ns),
its window on a CPU that it shares with a worker; poll_skipped(ctx), the window is
nothing; poll_hopeless(ctx), the call takes longer; poll_nap(ctx, ns), how long it
means to sleep before it polls. What calls cost is measured, polled for and not:
poll_trial(ctx, ns), the other way is tried, ns is what a call costs by the way so far;
then poll_pays(ctx, ns) or poll_costs(ctx, ns), by whether calls are polled for from now
on, ns is what a call costs so: time and CPU time of the process, 0 if that is not
known. In the same way serial_trial(ctx, ns), serial_pays(ctx, ns) and
serial_costs(ctx, ns), by whether calls are run one after the other; and few_trial(ctx,
ns), few_pays(ctx, ns) and few_costs(ctx, ns), by whether a few are run at once, neither
many nor one after the other. trial_doubted(ctx, ns): what is tried seems better, at ns a
call, and is left once more, to see what it is better than. A trial may change whether
calls are polled for, or run one after the other, as well: that is told where it is kept. Of
what has a length, time_ns is when it began: block(ctx, ns), worker_poll(pool, ns),
worker_park(pool, ns).
"""

from __future__ import annotations

from tpool.trace.events import Event, disable, enable, enabled, lost, read
from tpool.trace.recording import Recording, record

__all__ = [
    "Event",
    "Recording",
    "disable",
    "enable",
    "enabled",
    "lost",
    "read",
    "record",
]
