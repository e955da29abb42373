# SPDX-License-Identifier: MIT
"""How workers park: protocol Q of ``request_queue.h`` as a model, and its mutants.

Two submitters push one request each; two workers take, run and park. The letters of
the steps are those of ``request_queue.h``. What the lock protects is read and written
in memory at once: nobody else looks at it between the steps that lock and unlock.

Invariant Q: while a request is queued there is a looker, or every worker is in a call.
Where nobody can go on, that is: nothing is queued.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.explorer import BLOCKED, DONE, Program, Thread, View, explore

SUBMITTERS, WORKERS = 2, 2


@dataclass(frozen=True)
class Scenario:
    """What calls do, and how many workers there are."""

    name: str
    workers: int = WORKERS
    # The call of the first request ends when that of the second has been run.
    blocked: bool = False
    # A worker that is parked may give up, as long as another one is left.
    idle_timeout: bool = False
    # At the end of a call the next one is begun, without looking again.
    more: bool = False
    # One more was asked for, is counted as a looker, and does not start.
    failed_start: bool = False


SCENARIOS = (
    Scenario("one worker", workers=1),
    Scenario("a call waits for another", blocked=True),
    Scenario("two workers"),
    Scenario("two workers, calls in batches", more=True),
    Scenario("idle time-out", idle_timeout=True),
    Scenario("failed start", workers=1, failed_start=True),
)

MUTANTS = (
    "push weakened",
    "load of lookers weakened",
    "decrement of lookers weakened",
    "look at the list weakened",
    "look removed from park",
    "look removed from the begin of a call",
    "look before the decrement of lookers",
    "chosen worker not woken",
    "woken worker not counted",
    "timed out although it was chosen",
    "no look after a failed start",
)


def _count(t: Thread, step: int) -> None:
    """Lock held: a relaxed load and a relaxed store."""
    t.store("lookers", t.load("lookers") + step)


def _lock(t: Thread) -> bool:
    if t.load("lock"):
        return False
    t.rmw("lock", "=", 1)
    return True


def _find_looker(t: Thread, mutant: str | None) -> None:
    """Lock held, nobody looks: choose a parked worker, if there is one."""
    parked = t.ghost("parked")
    t["wake"] = parked & -parked
    t.ghost("parked", parked & ~t["wake"])
    if parked and mutant != "woken worker not counted":
        _count(t, 1)


def _wake(t: Thread, mutant: str | None) -> None:
    if t["wake"] and mutant != "chosen worker not woken":
        t.flush()  # a system call
        t.rmw("woken", "|", t["wake"])
    t["wake"] = 0


def _submitter(bit: int, mutant: str | None) -> Program:
    early = mutant == "load of lookers weakened"

    def begin(t: Thread) -> str:
        if early:  # L may be answered before P
            t["seen"] = t.load("lookers")
        return "P"

    def push(t: Thread) -> str:
        if mutant == "push weakened":
            t.later("incoming", "|", bit)
        else:
            t.rmw("incoming", "|", bit)
        return "L"

    def look(t: Thread) -> str:
        return DONE if (t["seen"] if early else t.load("lookers")) else "lock"

    def lock(t: Thread) -> str:
        return "find" if _lock(t) else BLOCKED

    def find(t: Thread) -> str:
        if not t.load("lookers"):
            _find_looker(t, mutant)
        return "unlock"

    def unlock(t: Thread) -> str:
        t.store("lock", 0)
        return "wake"

    def wake(t: Thread) -> str:
        _wake(t, mutant)
        return DONE

    return {
        "begin": begin,
        "P": push,
        "L": look,
        "lock": lock,
        "find": find,
        "unlock": unlock,
        "wake": wake,
    }


def _worker(me: int, scenario: Scenario, mutant: str | None) -> Program:
    bit = 1 << me
    early = mutant in (
        "look at the list weakened",
        "look before the decrement of lookers",
    )
    no_look = {
        "park": mutant == "look removed from park",
        "begin": mutant == "look removed from the begin of a call",
    }

    def get(t: Thread) -> str:
        return "take" if _lock(t) else BLOCKED

    def splice(t: Thread) -> None:
        """Lock held. From the incoming list to the FIFO."""
        if t.load("incoming"):
            t.ghost("fifo", t.ghost("fifo") | t.rmw("incoming", "=", 0))

    def take(t: Thread) -> str:
        splice(t)
        fifo = t.ghost("fifo")
        t["call"] = fifo & -fifo
        if not fifo:
            return "park early K"
        t.ghost("fifo", fifo & ~t["call"])
        return "got"

    def unlock_with_request(t: Thread) -> str:
        t.store("lock", 0)
        return "begin"

    def begin(t: Thread) -> str:
        return "begin early K" if _lock(t) else BLOCKED

    def early_look(t: Thread, what: str) -> str:  # K may be answered before A
        if early:
            t["seen"] = t.load("incoming")
        return f"{what} A"

    def stop_looking(t: Thread, what: str) -> str:
        if mutant == "decrement of lookers weakened":
            _count(t, -1)
        else:
            t.rmw("lookers", "=", t.load("lookers") - 1)
        if no_look[what]:
            return f"{what} unlock"
        return f"{what} K"

    def queued(t: Thread) -> int:
        return t.ghost("fifo") or (t["seen"] if early else t.load("incoming"))

    def begin_look(t: Thread) -> str:
        return "begin L" if queued(t) else "begin unlock"

    def begin_find(t: Thread) -> str:
        if not t.load("lookers"):
            _find_looker(t, mutant)
        return "begin unlock"

    def begin_unlock(t: Thread) -> str:
        t.store("lock", 0)
        return "call"

    def call(t: Thread) -> str:
        if t["wake"]:
            _wake(t, mutant)
            return "call"
        if scenario.blocked and t["call"] == 1 and not t.load("ran") & 2:
            return BLOCKED
        t.rmw("ran", "|", t["call"])
        return "end"

    def end(t: Thread) -> str:
        return "end locked" if _lock(t) else BLOCKED

    def end_locked(t: Thread) -> str:
        """Lock held. The next request, if it may go on at once; else look again."""
        splice(t)
        fifo = t.ghost("fifo")
        t["call"] = fifo & -fifo if scenario.more else 0
        t.ghost("fifo", fifo & ~t["call"])
        return "end unlock" if t["call"] else "look again"

    def look_again(t: Thread) -> str:
        _count(t, 1)
        return "end unlock"

    def end_unlock(t: Thread) -> str:
        t.store("lock", 0)
        return "call" if t["call"] else "get"

    def park_look(t: Thread) -> str:
        if queued(t):
            _count(t, 1)
            return "take"
        return "park unlock"

    def park_unlock(t: Thread) -> str:
        t.ghost("parked", t.ghost("parked") | bit)
        t.store("lock", 0)
        return "parked"

    def parked(t: Thread) -> str:
        if t.load("woken") & bit:
            t.rmw("woken", "=", t.load("woken") & ~bit)
            return "get"
        return "timed out" if scenario.idle_timeout and _lock(t) else BLOCKED

    def timed_out(t: Thread) -> str:
        """Lock held. Chosen meanwhile: the wake-up is on its way, wait for it."""
        chosen = not t.ghost("parked") & bit
        if chosen and mutant != "timed out although it was chosen":
            t.store("lock", 0)
            return "chosen"
        # The other one may not leave too: the pool has a minimum.
        if not chosen and t.ghost("left"):
            t.store("lock", 0)
            return "parked for good"
        t.ghost("parked", t.ghost("parked") & ~bit)
        t.ghost("left", 1)
        t.store("lock", 0)
        return DONE

    def wait(t: Thread) -> str:
        if not t.load("woken") & bit:
            return BLOCKED
        t.rmw("woken", "=", t.load("woken") & ~bit)
        return "get"

    return {
        "get": get,
        "take": take,
        "got": unlock_with_request,
        "begin": begin,
        "begin early K": lambda t: early_look(t, "begin"),
        "begin A": lambda t: stop_looking(t, "begin"),
        "begin K": begin_look,
        "begin L": begin_find,
        "begin unlock": begin_unlock,
        "call": call,
        "end": end,
        "end locked": end_locked,
        "look again": look_again,
        "end unlock": end_unlock,
        "park early K": lambda t: early_look(t, "park"),
        "park A": lambda t: stop_looking(t, "park"),
        "park K": park_look,
        "park unlock": park_unlock,
        "parked": parked,
        "timed out": timed_out,
        "chosen": wait,
        "parked for good": wait,
    }


def _failed_start(mutant: str | None) -> Program:
    """Who asked for a thread and did not get it: takes its looker back."""

    def lock(t: Thread) -> str:
        return "A" if _lock(t) else BLOCKED

    def stop_looking(t: Thread) -> str:
        t.rmw("lookers", "=", t.load("lookers") - 1)
        return "unlock" if mutant == "no look after a failed start" else "K"

    def look(t: Thread) -> str:
        if (t.ghost("fifo") or t.load("incoming")) and not t.load("lookers"):
            _find_looker(t, mutant)
        return "unlock"

    def unlock(t: Thread) -> str:
        t.store("lock", 0)
        return "wake"

    def wake(t: Thread) -> str:
        _wake(t, mutant)
        return DONE

    return {"lock": lock, "A": stop_looking, "K": look, "unlock": unlock, "wake": wake}


def _never(view: View) -> str | None:
    lookers = view.memory["lookers"]
    return None if lookers >= 0 else "fewer than no lookers"


def _queued(view: View) -> str | None:
    if view.memory["fifo"] or view.memory["incoming"]:
        return "Q: queued, and nobody looks: " + ", ".join(view.labels)
    if view.memory["ran"] != (1 << SUBMITTERS) - 1:
        return "not every request was run"
    return None


def run(scenario: Scenario, mutant: str | None = None) -> int:
    """Explore one scenario.

    Args:
        scenario: Who works, and how.
        mutant: One of `MUTANTS`, or None for the protocol as it is.

    Returns:
        The number of states.

    Raises:
        Violation: A request stays queued for ever; it says how it came to that.
    """
    names = ("incoming", "fifo", "lookers", "lock", "parked", "woken", "ran", "left")
    memory = dict.fromkeys(names, 0)
    memory["lookers"] = scenario.workers + scenario.failed_start
    programs = [_submitter(1 << i, mutant) for i in range(SUBMITTERS)]
    programs += [_worker(i, scenario, mutant) for i in range(scenario.workers)]
    programs += [_failed_start(mutant)] * scenario.failed_start
    return explore(
        programs,
        memory,
        [dict.fromkeys(("seen", "wake", "call"), 0) for _ in programs],
        always=_never,
        at_end=_queued,
    )
