# SPDX-License-Identifier: MIT
"""prepare(), check() and dispatch() of ``notify.h`` as a model, and its mutants.

Thread 0 is a foreign loop: it prepares, does something else, waits on the fd for as
long as it was told, checks and dispatches, until it has everything. What it does before
its first wait is the scenario's: turns of the context, and in them what callbacks may
do. The posters are those of ``notify_model``.

Time is a number: 0 is now, timers are due at 1 or 2. Who waits on the fd for longer
than until the timer, and finds nothing there, is stuck: it would be late.

Invariants:

- L, no lost wake-up: the loop is not stuck before it has everything, timers too.
- B and W, as in ``notify_model``.
- N: at the end nothing is raised, whatever was called or raised in between.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.explorer import BLOCKED, DONE, Program, Thread, View
from models.notify_model import (
    AWAY,
    BARE,
    WRITTEN,
    at_rest,
    bits_of,
    explore_with_posters,
)

FOREIGN = 1
FOREVER = 3  # later than every timer
TIMER = 1 << 8  # of what the loop has got


@dataclass(frozen=True)
class Scenario:
    """Who posts, and what the loop does before its first wait.

    "prepare" is what the loop goes by; "inner" a prepare() whose answer nobody knows;
    "failing" one that raises. "turn" and "end" enclose a turn, which "raise" leaves.
    "set 1" and "set 2" set the timer, "cancel" takes it back.
    """

    name: str
    posters: tuple[str, ...]
    first: tuple[str, ...] = ("prepare",)


SCENARIOS = (
    Scenario("a node", ("node",)),
    Scenario("a bare", ("bare",)),
    Scenario("two nodes", ("node", "node")),
    Scenario("a timer", ("node",), ("prepare", "set 1")),
    Scenario("a sooner timer", ("node",), ("set 2", "prepare", "set 1")),
    Scenario("a turn", ("node", "bare"), ("prepare", "turn", "end")),
    Scenario("a timer in a turn", ("bare",), ("prepare", "turn", "set 1", "end")),
    Scenario(
        "prepare in a turn", ("node",), ("prepare", "turn", "inner", "end", "set 1")
    ),
    Scenario(
        "prepare in two turns",
        ("bare",),
        ("prepare", "turn", "turn", "inner", "end", "end", "set 2"),
    ),
    Scenario(
        "what the inner one is told is sooner",
        ("node",),
        ("prepare", "turn", "set 1", "inner", "cancel", "end", "set 2"),
    ),
    Scenario(
        "what the outer one was told is sooner",
        ("node",),
        ("set 1", "prepare", "turn", "cancel", "prepare", "end", "set 2"),
    ),
    Scenario(
        "a pair in a turn",
        ("node",),
        ("prepare", "turn", "inner", "check", "end", "set 1"),
    ),
    Scenario("check in a turn", ("node",), ("prepare", "turn", "check", "end")),
    Scenario("a turn that raises", ("node",), ("prepare", "turn", "raise", "end")),
    Scenario(
        "a turn that prepares and raises",
        ("node",),
        ("turn", "prepare", "raise", "end", "set 1"),
    ),
    Scenario("prepare raises", ("node",), ("prepare", "failing", "set 1")),
    Scenario("prepare raises, alone", ("node",), ("failing", "prepare")),
)

MUTANTS = (
    "raised once more by the end of a turn",
    "what was told last is gone by",
    "not resumed after an exception",
    "not resumed where check() was called",
    "prepare() that raises forgets who waits",
    "prepare() that raises leaves it raised",
    "timer set in a turn not told",
    "timer set during the wait not told",
    "resumed without announcement",
    "resumed without a look",
    "withdrawn, and not written",
    "suspended without taking the announcement back",
    "check() ends no wait",
)

# Where suspend() and announce() go on.
_CONT = ("raise", "turn accept", "resumed", "check accept", "failed", "told", "entered")


def _owner(scenario: Scenario, mutant: str | None, everything: int) -> Program:
    first = (*scenario.first, "wait", "check", "dispatch")
    ops = (*first, "prepare", "wait", "check", "dispatch")

    def call(t: Thread, label: str, then: str) -> str:
        t["then"] = _CONT.index(then)
        return label

    def done(t: Thread) -> str:
        t["pc"] += 1
        if t["pc"] == len(ops):
            t["pc"] = len(first)
        return "op"

    def op(t: Thread) -> str:
        name = ops[t["pc"]]
        depth = t["depth"]
        if name in ("prepare", "inner", "failing"):
            t["before"], t["told before"] = t["waits"], t["told"]
            return call(t, "suspend", "raise")
        if name == "turn":
            t["depth"] += 1
            t[f"found {depth}"], t[f"told {depth}"] = t["waits"], t["told"]
            return call(t, "suspend", "turn accept")
        if name == "end":
            t["depth"] -= 1
            raised, t["raised"] = t["raised"], 0
            if raised and mutant == "not resumed after an exception":
                return done(t)
            return resume(t, t[f"found {depth - 1}"], t[f"told {depth - 1}"])
        if name == "raise":
            t["raised"] = 1
        elif name == "cancel":
            t["due"] = 0
        elif name.startswith("set"):
            t["due"] = int(name[4:])
            silent = mutant == "timer set during the wait not told"
            if t["waits"] == 1 and t["due"] < t["told"] and not silent:
                return "set P"
        else:
            return name
        return done(t)

    # foreign_suspend(): what FOREIGN of `state` is, the register `waits` is too.

    def suspend(t: Thread) -> str:
        if not t["waits"] & FOREIGN:
            return _CONT[t["then"]]
        if mutant != "suspended without taking the announcement back":
            t.store("state", t.load("state") & ~AWAY)
        return "suspend lower"

    def suspend_lower(t: Thread) -> str:
        t.store("state", t.load("state") - FOREIGN)
        t["waits"] -= 1
        return _CONT[t["then"]]

    # foreign_resume()

    def resume(t: Thread, found: int, told: int) -> str:
        if mutant == "not resumed where check() was called":
            found &= t["waits"]
        if not found and not t["waits"]:
            return done(t)
        last = mutant == "what was told last is gone by"
        if not t["waits"] or (found and told > t["told"] and not last):
            t["told"] = told
        if mutant == "raised once more by the end of a turn" and found:
            return "resumed"
        return call(t, "suspend", "resumed")

    def resumed(t: Thread) -> str:
        t.store("state", t.load("state") + FOREIGN)
        t["waits"] += 1
        if mutant == "resumed without announcement":
            return done(t)
        silent = mutant == "timer set in a turn not told"
        if t["due"] and t["due"] < t["told"] and not silent:
            return "write"
        return call(t, "A", "entered")

    def entered(t: Thread) -> str:
        if t["may block"] or mutant == "withdrawn, and not written":
            return done(t)
        return "write"

    # notify_may_block(), notify_write()

    def announce(t: Thread) -> str:
        t.rmw("state", "=", t.load("state") | AWAY)
        t.ghost("claimed", 0)
        t["may block"] = 1
        resumes = _CONT[t["then"]] == "entered"
        if resumes and mutant == "resumed without a look":
            return "entered"
        return "K list"

    def look_at_list(t: Thread) -> str:
        return "withdraw" if t.load("list") else "K notified"

    def look_at_notified(t: Thread) -> str:
        return "withdraw" if t.load("notified") & BARE else _CONT[t["then"]]

    def withdraw(t: Thread) -> str:
        t.store("state", t.load("state") & ~AWAY)
        t["may block"] = 0
        return _CONT[t["then"]]

    def write(t: Thread) -> str:
        t.rmw("fd", "=", 1)
        return "write N"

    def write_n(t: Thread) -> str:
        t.later("notified", "|", WRITTEN)
        return done(t)

    # prepare()

    def raise_(t: Thread) -> str:
        t.store("state", t.load("state") + FOREIGN)
        t["waits"] += 1
        if ops[t["pc"]] == "failing":
            if mutant == "prepare() that raises leaves it raised":
                return done(t)
            return call(t, "suspend", "failed")
        return call(t, "A", "told")

    def failed(t: Thread) -> str:
        if mutant == "prepare() that raises forgets who waits":
            return done(t)
        return resume(t, t["before"], t["told before"])

    def told(t: Thread) -> str:
        t["told"] = (t["due"] or FOREVER) if t["may block"] else 0
        if ops[t["pc"]] == "prepare":
            t["goes by"] = t["told"]
        return done(t)

    # context_set_due(): notify_bare() by the owner

    def bare(t: Thread) -> str:
        t.rmw("notified", "|", BARE)
        return "set L"

    def bare_claim(t: Thread) -> str:
        state = t.load("state")
        if not state & AWAY:
            return done(t)
        t.rmw("state", "=", state & ~AWAY)
        return "write"

    # The wait, check() and dispatch(), and a turn's own

    def wait(t: Thread) -> str:
        late = t["due"] and t["due"] < t["goes by"]
        if t.load("fd") or t["got"] & everything == everything:
            return done(t)
        if t["goes by"] == FOREVER or late:
            return BLOCKED
        t["now"] = t["goes by"]
        return done(t)

    def check(t: Thread) -> str:
        t["fired"] = t.load("fd")
        if mutant == "check() ends no wait":
            return "check accept"
        return call(t, "suspend", "check accept")

    def accept(t: Thread) -> str:
        notified = t.rmw("notified", "=", 0) if t.load("notified") else 0
        if notified & BARE:
            t["got"] |= 1
        drain = t["fired"] or notified & WRITTEN
        t["fired"] = 0
        return "drain" if drain else "accepted"

    def drain(t: Thread) -> str:
        t.rmw("fd", "=", 0)
        return "accepted"

    def accepted(t: Thread) -> str:
        return done(t) if ops[t["pc"]] == "check" else "dispatch"

    def dispatch(t: Thread) -> str:
        t["got"] |= t.rmw("list", "=", 0)
        if t["due"] and t["due"] <= t["now"]:
            t["got"] |= TIMER
            t["due"] = 0
        if ops[t["pc"]] == "turn":
            return done(t)
        if t["got"] & everything == everything:
            return "end"
        return done(t)

    def end(t: Thread) -> str:
        t.check(t.load("state") == 0, "N: raised more often than lowered")
        t.flush()
        return DONE

    return {
        "op": op,
        "suspend": suspend,
        "suspend lower": suspend_lower,
        "resumed": resumed,
        "entered": entered,
        "A": announce,
        "K list": look_at_list,
        "K notified": look_at_notified,
        "withdraw": withdraw,
        "write": write,
        "write N": write_n,
        "raise": raise_,
        "failed": failed,
        "told": told,
        "set P": bare,
        "set L": bare_claim,
        "wait": wait,
        "check": check,
        "turn accept": accept,
        "check accept": accept,
        "drain": drain,
        "accepted": accepted,
        "dispatch": dispatch,
        "end": end,
    }


def _wrong(view: View) -> str | None:
    owner, buffer = view.labels[0], view.buffers[0]
    if owner in ("drain", "write N") or buffer or not at_rest(view):
        return None
    if view.memory["fd"] and not view.memory["notified"] & WRITTEN:
        return "W: readable, and nobody says so"
    return None


def run(scenario: Scenario, mutant: str | None = None) -> int:
    """Explore one scenario.

    Args:
        scenario: Who posts, and what the loop does first.
        mutant: One of `MUTANTS`, or None for the protocol as it is.

    Returns:
        The number of states.

    Raises:
        Violation: An invariant does not hold; it says which, and how it came to that.
    """
    set_last = [op for op in scenario.first if op.startswith(("set", "cancel"))]
    timer = TIMER if set_last and set_last[-1] != "cancel" else 0
    names = """pc then depth raised waits told before fired got due now
        found/0 found/1 told/0 told/1 goes/by may/block told/before"""
    registers = {name.replace("/", " "): 0 for name in names.split()}
    everything = sum(bits_of(scenario.posters)) | timer
    owner = _owner(scenario, mutant, everything)
    return explore_with_posters(owner, registers, scenario.posters, _wrong)
