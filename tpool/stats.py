# SPDX-License-Identifier: MIT
"""Snapshots of what contexts and pools have counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AioStats",
    "PoolStats",
]


@dataclass(frozen=True, slots=True)
class AioStats:
    """What an AioContext has counted since it was made.

    Attributes:
        turns: Calls of poll() and dispatch() that dispatched.
        dispatched: Completions and bottom halves dispatched.
        polls_hit: Poll phases in which work came.
        polls_missed: Poll phases that ended at their bound.
        polls_refused: Poll phases not begun: the worker was last seen on the
            owner's CPU, or only one CPU is usable.
        polls_skipped: Poll phases not begun: the window is nothing, they have not
            paid of late, or cost more than they save.
        polls_hopeless: Poll phases not begun: the call that was waited for takes
            longer.
        naps: Sleeps before the end of a regular call, or of calls that are run one after
            the other, then a poll phase.
        polled_ns: Nanoseconds spent in poll phases.
        missed_ns: The part of polled_ns in which no work came.
        blocked_ns: Nanoseconds spent blocked, the wake-up included.
        notifier_writes: Event notifier writes made to wake the owner.
        notifier_writes_saved: Deliveries that needed none.
        spurious_wakeups: Blocks that ended early with nothing to do.
        wake_ns: What it costs to be woken, nanoseconds, a moving average: from
            the notifier write until the owner runs again.
        trials: How often the other way was taken for some calls, or events, to see
            what they cost: polled for, or not; many at once, a few, or one
            after the other.
        trials_won: How often it cost less, and was kept.
        polled_call_ns: What a call costs when it is polled for, nanoseconds: the
            time that passes, and the CPU time of the process. 0: not known yet.
        blocked_call_ns: The same when nobody polls for it.
        fanned_call_ns: The same when many workers run calls at once.
        few_call_ns: The same when a few do, four more than there are CPUs.
        serial_call_ns: The same when they run one at a time.
        polled_event_ns: Of an event loop: what an event of an fd, or a post of another
            thread, costs, likewise, when it is polled for while no call is in flight.
        blocked_event_ns: The same when nobody polls for it.
        worked_ns: Nanoseconds since it was made in which it did not wait in poll(),
            the wait that it is in counted up to now: callbacks, and whatever else
            the owner does, a foreign loop's waits included.
    """

    turns: int
    dispatched: int
    polls_hit: int
    polls_missed: int
    polls_refused: int
    polls_skipped: int
    polls_hopeless: int
    naps: int
    polled_ns: int
    missed_ns: int
    blocked_ns: int
    notifier_writes: int
    notifier_writes_saved: int
    spurious_wakeups: int
    wake_ns: int
    trials: int
    trials_won: int
    polled_call_ns: int
    blocked_call_ns: int
    fanned_call_ns: int
    few_call_ns: int
    serial_call_ns: int
    polled_event_ns: int
    blocked_event_ns: int
    worked_ns: int


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a ThreadPool has now, and has counted since it was made.

    Attributes:
        threads: Workers, those being started included.
        idle: Workers that are not in a call.
        queued: Requests that wait for a worker.
        running: Workers in a call.
        submitted: Requests submitted.
        completed: Calls that have ended.
        cancelled: Requests cancelled before they started.
        wakeups: Parked workers woken.
        wakeups_saved: Requests that needed no wake-up.
        spawn_failures: Threads that the system refused to start.
        polls_hit: Workers' poll phases in which a request came.
        polls_missed: Workers' poll phases that ended at their bound.
        polls_refused: Poll phases not begun: the owner was last seen on the
            worker's CPU, or only one CPU is usable.
        polls_skipped: Poll phases not begun: the window is nothing, they have not
            paid of late, or cost more than they save; the worker's last call was
            long, and they cannot; or it parks now and then to see what a wake-up
            takes.
        polled_ns: Nanoseconds that workers spent polling.
        missed_ns: The part of polled_ns in which no request came.
        parked_ns: Nanoseconds that workers spent parked.
        wait_ns: Nanoseconds that all requests together waited for a worker.
        run_ns: Nanoseconds that all calls together took.
        poll_ns: Polling time of a worker now, nanoseconds.
        wake_ns: What it costs to wake a worker, nanoseconds, a moving average.
        wait_counts: How many of the completed have waited for how long: up to 1
            microsecond, longer and up to 2, to 4, and so on; last, all above 2**22.
        run_counts: The same of how long the calls took.
    """

    threads: int
    idle: int
    queued: int
    running: int
    submitted: int
    completed: int
    cancelled: int
    wakeups: int
    wakeups_saved: int
    spawn_failures: int
    polls_hit: int
    polls_missed: int
    polls_refused: int
    polls_skipped: int
    polled_ns: int
    missed_ns: int
    parked_ns: int
    wait_ns: int
    run_ns: int
    poll_ns: int
    wake_ns: int
    wait_counts: tuple[int, ...]
    run_counts: tuple[int, ...]
