# SPDX-License-Identifier: MIT
"""The event index of a ring between processes: ``ring_end.h`` as a model, its mutants.

A writer comes, moves by one some times, and then stays, closes, or dies. A reader takes
what is there, and sleeps where there is nothing, until it has seen the end. The letters of
the steps are those of ``ring_end.h``.

Where nobody can go on the reader has taken everything, and knows of the end, if there is
one.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.explorer import BLOCKED, DONE, Program, Thread, View, explore


@dataclass(frozen=True)
class Scenario:
    """How often the writer moves, and what it does in the end."""

    name: str
    moves: int
    end: str = "stays"


SCENARIOS = (
    Scenario("moves", moves=3),
    Scenario("moves and closes", moves=2, end="closes"),
    Scenario("comes and dies", moves=0, end="dies"),
    Scenario("moves and dies", moves=2, end="dies"),
)

MUTANTS = (
    "P weakened",
    "L weakened",
    "A weakened",
    "K weakened",
    "K removed",
    "rings when it comes there",
    "drained after A",
    "who comes does not ring",
    "who comes looks for a doorbell first",
    "who closes does not ring",
    "no second look when it has closed",
)


def _writer(scenario: Scenario, mutant: str | None) -> Program:
    def ring(t: Thread) -> None:
        t.rmw("rung", "=", 1)  # a system call

    def begin(t: Thread) -> str:
        if mutant == "who comes looks for a doorbell first":
            t["bell"] = t.load("doorbell")
        return "owner"

    def owner(t: Thread) -> str:
        t.rmw("owner", "=", 1)
        return "look for the doorbell"

    def look_for_doorbell(t: Thread) -> str:
        if mutant != "who comes looks for a doorbell first":
            t["bell"] = t.load("doorbell")
        return "come"

    def come(t: Thread) -> str:
        if t["bell"] and mutant != "who comes does not ring":
            ring(t)
        return "next"

    def next_(t: Thread) -> str:
        if t["moved"] == scenario.moves:
            return "end"
        return "L early" if mutant == "L weakened" else "P"

    def look_early(t: Thread) -> str:  # L may be answered before P
        t["seen"] = t.load("wake_at")
        return "P"

    def move(t: Thread) -> str:
        t["moved"] += 1
        if mutant == "P weakened":
            t.store("position", t["moved"])
        else:
            t.rmw("position", "=", t["moved"])
        return "L"

    def look(t: Thread) -> str:
        wake_at = t["seen"] if mutant == "L weakened" else t.load("wake_at")
        wanted = t["moved"] - (mutant != "rings when it comes there")
        return "ring" if wake_at == wanted else "next"

    def ring_one(t: Thread) -> str:
        ring(t)
        return "next"

    def end(t: Thread) -> str:
        t.flush()  # before anybody knows that it has gone
        if scenario.end != "closes":
            t.ghost("dead", scenario.end == "dies")
            return DONE
        t.rmw("owner", "=", 2)
        return "closed"

    def closed(t: Thread) -> str:
        if mutant != "who closes does not ring" and t.load("doorbell"):
            ring(t)
        return DONE

    return {
        "begin": begin,
        "owner": owner,
        "look for the doorbell": look_for_doorbell,
        "come": come,
        "next": next_,
        "L early": look_early,
        "P": move,
        "L": look,
        "ring": ring_one,
        "end": end,
        "closed": closed,
    }


def _reader(mutant: str | None) -> Program:
    early = mutant == "K weakened"

    def begin(t: Thread) -> str:
        t.rmw("doorbell", "=", 1)
        return "look"

    def look(t: Thread) -> str:
        if t.load("position") > t["got"]:
            t["got"] += 1
            t.ghost("got", t["got"])
            return "look"
        return "look at the owner"

    def look_at_owner(t: Thread) -> str:
        if t.load("owner") == 2 or t["known dead"]:
            hasty = mutant == "no second look when it has closed"
            return "finish" if hasty else "look again"
        return "drain"

    def look_again(t: Thread) -> str:
        return "look" if t.load("position") > t["got"] else "finish"

    def finish(t: Thread) -> str:
        t.ghost("finished", 1)
        return DONE

    def drain(t: Thread) -> str:
        if mutant != "drained after A":
            t.rmw("rung", "=", 0)
        return "K early" if early else "A"

    def look_early(t: Thread) -> str:  # K may be answered before A
        t["seen"] = t.load("position")
        return "A"

    def arm(t: Thread) -> str:
        if mutant == "A weakened":
            t.store("wake_at", t["got"])
        else:
            t.rmw("wake_at", "=", t["got"])
        return "meet"

    def meet(t: Thread) -> str:
        owner = t.load("owner")
        t["met"] = owner == 1
        return "look" if owner == 2 else "K"

    def look_at_last(t: Thread) -> str:
        if mutant == "drained after A":
            t.rmw("rung", "=", 0)
        seen = t["seen"] if early else t.load("position")
        if seen > t["got"] and mutant != "K removed":
            return "look"
        return "sleep"

    def sleep(t: Thread) -> str:
        t.flush()  # a system call
        return "asleep"

    def asleep(t: Thread) -> str:
        if t["met"] and t.ghost("dead"):  # its pidfd
            t["known dead"] = 1
            return "look"
        return "look" if t.load("rung") else BLOCKED

    return {
        "begin": begin,
        "look": look,
        "look at the owner": look_at_owner,
        "look again": look_again,
        "finish": finish,
        "drain": drain,
        "K early": look_early,
        "A": arm,
        "meet": meet,
        "K": look_at_last,
        "sleep": sleep,
        "asleep": asleep,
    }


def _never(_: View) -> str | None:
    return None


def run(scenario: Scenario, mutant: str | None = None) -> int:
    """Explore one scenario.

    Args:
        scenario: What the writer does.
        mutant: One of `MUTANTS`, or None for the protocol as it is.

    Returns:
        The number of states.

    Raises:
        Violation: The reader sleeps for ever, or has missed a message.
    """

    def at_end(view: View) -> str | None:
        if view.memory["finished"] != (scenario.end != "stays"):
            return "the reader sleeps for ever"
        missed = view.memory["got"] != scenario.moves
        return "a message was missed" if missed else None

    names = ("position", "owner", "doorbell", "rung", "dead", "finished", "got")
    return explore(
        [_writer(scenario, mutant), _reader(mutant)],
        {**dict.fromkeys(names, 0), "wake_at": -1},
        [
            {"moved": 0, "bell": 0, "seen": 0},
            {"got": 0, "met": 0, "known dead": 0, "seen": 0},
        ],
        always=_never,
        at_end=at_end,
    )
