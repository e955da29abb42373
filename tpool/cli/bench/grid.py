# SPDX-License-Identifier: MIT
"""What `tpool bench` sweeps: cases, and ways to wait for a completion."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from tpool.aio_context import AioContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "BOUNDS_NS",
    "MODES",
    "WORKS_NS",
    "Case",
    "Way",
    "cases",
    "length",
    "ways",
]

WORKS_NS = (0, 10_000, 100_000, 1_000_000)
"""How long the calls take by default, nanoseconds; 0 is a no-op."""

BOUNDS_NS = (8_192, 32_768, 131_072)
"""Values of poll_max_ns that are tried by default."""

# What they say to AioContext besides the bound. Fixed: to it in one step, never back.
_OPTIONS: dict[str, dict[str, Any]] = {
    "blocking": {},
    "hybrid": {},
    "self-tuned": {"poll_hybrid": False},
    "fixed": {"poll_grow": 1_000_000, "poll_shrink": 1, "poll_hybrid": False},
}

MODES = tuple(_OPTIONS)
"""Ways to wait, what needs the fewest words to ask for first."""

# Between two no-ops: the owner computes (True) or sleeps, for so many ns.
_GAPS = ((True, 20_000), (True, 100_000), (False, 100_000), (False, 1_000_000))


def length(ns: int) -> str:
    """Return a length of time with the unit that suits it."""
    if ns >= 1_000_000:
        return f"{ns / 1e6:g} ms"
    return f"{ns / 1e3:g} us" if ns >= 1_000 else f"{ns} ns"


def _compute(ns: int) -> int:
    """Keep a CPU, and the GIL where there is one; return how long it took."""
    begin = perf_counter_ns()
    until = begin + ns
    while (now := perf_counter_ns()) < until:
        pass
    return now - begin


def _sleep(ns: int) -> int:
    """Sleep, longer than asked; return how long it took."""
    begin = perf_counter_ns()
    time.sleep(ns * 1e-9)
    return perf_counter_ns() - begin


def _nothing() -> int:
    return 0


def _doing(ns: int, computes: bool) -> Callable[[], int]:
    """Return what computes or sleeps for so long."""
    return partial(_compute if computes else _sleep, ns) if ns else _nothing


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of call, and what the owner does between two of them.

    Attributes:
        work_ns: How long a call takes, nanoseconds; 0 is a no-op.
        computes: Whether the call computes; else it sleeps.
        gap_ns: How long the owner does something else after each call,
            nanoseconds; 0: it submits the next one at once.
        busy: Whether the owner computes in the gap; else it sleeps.
    """

    work_ns: int
    computes: bool = False
    gap_ns: int = 0
    busy: bool = False

    @property
    def name(self) -> str:
        """What tables and plots call it."""
        if self.work_ns:
            verb = "compute" if self.computes else "sleep"
            return f"{verb} {length(self.work_ns)}"
        if not self.gap_ns:
            return "no-op"
        return f"no-op, {'busy' if self.busy else 'idle'} {length(self.gap_ns)}"

    @property
    def call(self) -> Callable[[], int]:
        """The call; it returns how long it took, in nanoseconds."""
        return _doing(self.work_ns, self.computes)

    @property
    def gap(self) -> Callable[[], int]:
        """What the owner does between two calls."""
        return _doing(self.gap_ns, self.busy)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to wait for a completion.

    Attributes:
        mode: Which one, of MODES.
        poll_max_ns: Bound of the polling time, nanoseconds; 0 where nobody polls.
    """

    mode: str
    poll_max_ns: int

    def context(self) -> AioContext:
        """Return a new context that waits like this.

        Raises:
            OSError: The system gives no fd.

        Context: The thread that is to own it.
        """
        return AioContext(self.poll_max_ns, **_OPTIONS[self.mode])

    @property
    def source(self) -> str:
        """How to write context() in a program."""
        options = {"poll_max_ns": self.poll_max_ns} | _OPTIONS[self.mode]
        said = ", ".join(f"{name}={value}" for name, value in options.items())
        return f"tpool.AioContext({said})"


def cases(works_ns: Sequence[int]) -> list[Case]:
    """Return the cases for some lengths of calls.

    Args:
        works_ns: Lengths in nanoseconds; for 0 there are gaps as well.
    """
    made: list[Case] = []
    for work_ns in dict.fromkeys(works_ns):
        if work_ns:
            made += [Case(work_ns), Case(work_ns, computes=True)]
        else:
            made.append(Case(0))
            made += [Case(0, gap_ns=ns, busy=busy) for busy, ns in _GAPS]
    return made


def ways(bounds_ns: Sequence[int]) -> list[Way]:
    """Return blocking, and each other way with each bound, nanoseconds."""
    polling = [mode for mode in MODES if mode != "blocking"]
    bounds = dict.fromkeys(bounds_ns)
    return [Way("blocking", 0)] + [Way(m, ns) for m in polling for ns in bounds]
