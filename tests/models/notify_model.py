# SPDX-License-Identifier: MIT
"""The notify_me / notified handshake of ``notify.h`` as a model, and its mutants.

Thread 0 is the owner, which polls until it has everything; the others post a node or a
bare notification each. The letters of the steps are those of ``notify.h``.

Invariants, as in ``notify.h``:

- L, no lost wake-up: nobody is stuck before the owner has everything.
- B, no needless write: a poster claims the write only between A and U, once for each A.
- A: notify_me is raised from before the first look until the context is re-acquired.
- W: where no poster is at work, a readable notifier is announced by `notified`.
- N: a nested poll() in a callback delivers the rest of the batch, and every raise has
  its lowering.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.explorer import BLOCKED, DONE, Check, Program, Thread, View, explore

BARE, WRITTEN = 1, 2  # bits of `notified`
AWAY = 1 << 10  # BLOCKED of `state`, beside notify_me
NAPS = 1 << 11  # and NAPS
NOT_ME = AWAY | NAPS
STEP = 2
OWNER, OTHER = 1, 2  # who holds the context


@dataclass(frozen=True)
class Scenario:
    """Who posts, and what else may happen."""

    name: str
    # "node", "bare", "early": a node that does not end a nap, or "holder": one with the
    # context acquired meanwhile.
    posters: tuple[str, ...]
    # The block may end by itself.
    timers: bool = False
    # The callback of the first node polls until it has the others.
    nested: bool = False
    # The first block is a nap, which ends by itself.
    naps: bool = False


SCENARIOS = (
    Scenario("one node", ("node",)),
    Scenario("one bare", ("bare",)),
    Scenario("two nodes", ("node", "node")),
    Scenario("node and bare", ("node", "bare")),
    Scenario("timers", ("node", "bare"), timers=True),
    Scenario("the context is acquired meanwhile", ("holder", "node")),
    Scenario("nested", ("node", "node"), nested=True),
    Scenario("a nap", ("early", "bare"), naps=True),
    Scenario("a nap, and what ends it", ("early", "node"), naps=True),
)

MUTANTS = (
    "push weakened",
    "poster's load weakened",
    "announcement weakened",
    "look at the list weakened",
    "bare flag weakened",
    "look at notified weakened",
    "re-check removed",
    "re-check of the list removed",
    "re-check of notified removed",
    "lowered before the context is re-acquired",
    "context kept while blocked",
    "written after notified",
    "write skipped because notified is set",
    "written in the poll phase",
    "written by each poster",
    "not drained",
    "not lowered after a poll phase with progress",
    "announcement not withdrawn",
    "batch in a local variable",
    "a nap that is over is taken for one",
    "a nap that does not end",
)


def poster(kind: str, bit: int, mutant: str | None) -> Program:
    bare = kind == "bare"
    early = mutant == "poster's load weakened"

    def begin(t: Thread) -> str:
        if kind == "holder":
            if t.load("context"):
                return BLOCKED
            t.rmw("context", "=", OTHER)
        if early:  # L may be answered before P
            t["seen"] = t.load("state")
        return "P"

    def push(t: Thread) -> str:
        name, bits = ("notified", BARE) if bare else ("list", bit)
        if mutant == ("bare flag weakened" if bare else "push weakened"):
            t.later(name, "|", bits)
        else:
            t.rmw(name, "|", bits)
        return "L"

    def look(t: Thread) -> str:
        seen = t["seen"] if early else t.load("state")
        wanted = -1 if mutant == "written in the poll phase" else AWAY
        if kind == "early" and seen & NAPS:
            return "leave"
        return "C" if seen & wanted else "leave"

    def claim(t: Thread) -> str:
        # A failed exchange looks at what it found instead: one step for both.
        state = t.load("state")
        if not state & (-1 if mutant == "written in the poll phase" else AWAY):
            return "leave"
        if kind == "early" and state & NAPS:
            return "leave"
        if mutant != "written by each poster":
            t.rmw("state", "=", state & ~AWAY)
        t.check(state & AWAY, "B: claimed while the owner polls")
        t.check(state & ~NOT_ME, "B: claimed while notify_me is 0")
        t.check(not t.ghost("claimed"), "B: claimed twice for one block")
        t.ghost("claimed", 1)
        return "N" if mutant == "written after notified" else "W"

    def write(t: Thread) -> str:
        if mutant == "write skipped because notified is set" and t.load("notified"):
            return "N"
        t.rmw("fd", "=", 1)
        return "leave" if mutant == "written after notified" else "N"

    def announce(t: Thread) -> str:
        t.later("notified", "|", WRITTEN)
        return "W" if mutant == "written after notified" else "leave"

    def leave(t: Thread) -> str:
        t.flush()
        if kind == "holder":
            t.rmw("context", "=", 0)
        return DONE

    return {
        "begin": begin,
        "P": push,
        "L": look,
        "C": claim,
        "W": write,
        "N": announce,
        "leave": leave,
    }


def _owner(scenario: Scenario, mutant: str | None, everything: int) -> Program:
    early_list = mutant == "look at the list weakened"
    early_notified = mutant == "look at notified weakened"
    own = AWAY if mutant == "a nap that is over is taken for one" else NOT_ME

    def acquire(t: Thread) -> str:
        if t.load("context"):
            return BLOCKED
        t.rmw("context", "=", OWNER)
        return "raise"

    def raise_(t: Thread) -> str:
        t.check(t["raised"] == 0, "N: raised more often than lowered")
        t.store("state", t.load("state") + STEP)
        t["raised"] += 1
        return "phase"

    def phase(t: Thread) -> str:
        """One look; to do without is the same as to look too early."""
        t.check(not t.load("state") & AWAY, "B: announced in the poll phase")
        progress = t.load("list") or t.load("notified") & BARE
        if progress and mutant == "not lowered after a poll phase with progress":
            return "accept"
        return "lower" if progress else "early K"

    def early_look(t: Thread) -> str:  # K may be answered before A
        t["list"] = t.load("list") if early_list else 0
        t["notified"] = t.load("notified") if early_notified else 0
        return "A"

    def announce(t: Thread) -> str:
        t["naps"] = scenario.naps and not t["napped"]
        t["napped"] = 1
        state = t.load("state") | (NOT_ME if t["naps"] else AWAY)
        if mutant == "announcement weakened":
            t.store("state", state)
        else:
            t.rmw("state", "=", state)
        t.ghost("claimed", 0)
        if mutant == "re-check removed":
            return "release"
        return "K notified" if mutant == "re-check of the list removed" else "K list"

    def look_at_list(t: Thread) -> str:
        if t["list"] if early_list else t.load("list"):
            return "withdraw"
        if mutant == "re-check of notified removed":
            return "release"
        return "K notified"

    def look_at_notified(t: Thread) -> str:
        notified = t["notified"] if early_notified else t.load("notified")
        # Not for WRITTEN: its poster may be late, and the notifier drained already.
        return "withdraw" if notified & BARE else "release"

    def withdraw(t: Thread) -> str:
        if mutant != "announcement not withdrawn":
            t.store("state", t.load("state") & ~own)
        return "lower"

    def release(t: Thread) -> str:
        # The entry to epoll_wait() is no fence that the protocol may count on.
        if mutant != "context kept while blocked":
            t.later("context", "=", 0)
        return "blocked"

    def blocked(t: Thread) -> str:
        t["fired"] = t.load("fd")
        ends = t["naps"] and mutant != "a nap that does not end"
        return "U" if t["fired"] or ends or scenario.timers else BLOCKED

    def unblock(t: Thread) -> str:
        t.store("state", t.load("state") & ~own)
        if mutant == "lowered before the context is re-acquired":
            return "lower"
        return "re-acquire"

    def reacquire(t: Thread) -> str:
        if mutant != "context kept while blocked":
            if t.load("context"):
                return BLOCKED
            t.rmw("context", "=", OWNER)
        if mutant == "lowered before the context is re-acquired":
            return "accept"
        return "lower"

    def lower(t: Thread) -> str:
        held = t.load("context") == OWNER
        t.check(held, "A: lowered while the context is released")
        t.store("state", t.load("state") - STEP)
        t["raised"] -= 1
        return "accept"

    def accept(t: Thread) -> str:
        t["notified"] = t.rmw("notified", "=", 0) if t.load("notified") else 0
        if t["notified"] & BARE:
            t["got"] |= 1
        drain = t["fired"] or t["notified"] & WRITTEN
        t["fired"] = 0
        return "drain" if drain else "take"

    def drain(t: Thread) -> str:
        if mutant != "not drained":
            t.rmw("fd", "=", 0)
        return "take"

    def take(t: Thread) -> str:
        t["batch"] |= t.rmw("list", "=", 0)
        return "dispatch"

    def dispatch(t: Thread) -> str:
        if t["batch"]:
            first = t["batch"] & -t["batch"]
            t["got"] |= first
            # The rest is for this poll(), or for the one in the callback of first.
            t["batch"] &= ~first
            if scenario.nested and mutant == "batch in a local variable":
                t["batch"] = 0
            return "dispatch"
        if t["got"] == everything:
            return "end"
        if scenario.nested and t["got"]:
            return "raise"  # in the callback: the context is held
        t.later("context", "=", 0)
        return "acquire"

    def end(t: Thread) -> str:
        t.check(t["raised"] == 0, "N: raised more often than lowered")
        t.flush()
        t.rmw("context", "=", 0)
        return DONE

    return {
        "acquire": acquire,
        "raise": raise_,
        "phase": phase,
        "early K": early_look,
        "A": announce,
        "K list": look_at_list,
        "K notified": look_at_notified,
        "withdraw": withdraw,
        "release": release,
        "blocked": blocked,
        "U": unblock,
        "re-acquire": reacquire,
        "lower": lower,
        "accept": accept,
        "drain": drain,
        "take": take,
        "dispatch": dispatch,
        "end": end,
    }


def at_rest(view: View) -> bool:
    """Whether no poster is at work, nor is anything of theirs on its way."""
    return all(
        label not in ("W", "N", "leave") and not buffer
        for label, buffer in zip(view.labels[1:], view.buffers[1:], strict=True)
    )


def _wrong(view: View) -> str | None:
    memory, owner = view.memory, view.labels[0]
    announced = memory["notified"] & WRITTEN or owner == "drain"
    if at_rest(view) and memory["fd"] and not announced:
        return "W: readable, and nobody says so"
    asleep = owner in ("blocked", "U", "re-acquire")
    if memory["context"] == OTHER and asleep and not memory["state"] & ~NOT_ME:
        return "A: another thread has the context and sees notify_me 0"
    return None


def _unfinished(view: View) -> str | None:
    if all(label is DONE for label in view.labels):
        return None
    return "L: stuck in " + ", ".join(view.labels)


def bits_of(kinds: tuple[str, ...]) -> list[int]:
    """Bit 0 is the bare notification; each node has a bit of its own."""
    return [1 if kind == "bare" else 2 << i for i, kind in enumerate(kinds)]


def explore_with_posters(
    owner: Program,
    registers: dict[str, int],
    kinds: tuple[str, ...],
    always: Check,
    mutant: str | None = None,
) -> int:
    """Explore an owner, with registers of its own, and a poster of each kind."""
    posters = [
        poster(kind, bit, mutant)
        for kind, bit in zip(kinds, bits_of(kinds), strict=True)
    ]
    return explore(
        [owner, *posters],
        dict.fromkeys(("state", "notified", "list", "fd", "context", "claimed"), 0),
        [registers, *({"seen": 0} for _ in posters)],
        always=always,
        at_end=_unfinished,
    )


def run(scenario: Scenario, mutant: str | None = None) -> int:
    """Explore one scenario.

    Args:
        scenario: Who posts.
        mutant: One of `MUTANTS`, or None for the protocol as it is.

    Returns:
        The number of states.

    Raises:
        Violation: An invariant does not hold; it says which, and how it came to that.
    """
    kinds = scenario.posters
    registers = (
        "got",
        "batch",
        "raised",
        "list",
        "notified",
        "fired",
        "naps",
        "napped",
    )
    owner = _owner(scenario, mutant, sum(bits_of(kinds)))
    return explore_with_posters(
        owner, dict.fromkeys(registers, 0), kinds, _wrong, mutant
    )
