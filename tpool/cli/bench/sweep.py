# SPDX-License-Identifier: MIT
"""Measures each case of a sweep with each way to wait, side by side.

One thread owns everything here but the calls, which a worker runs. What is kept is
raw: a library that summarises it may switch the GIL on when it is imported.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING

from tpool.cli.interrupt import Interrupt
from tpool.cli.rounds import in_order
from tpool.meter import CpuMeter
from tpool.thread_pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tpool.cli.bench.grid import Case, Way

__all__ = ["FULL", "QUICK", "Effort", "Pass", "Side", "Sweep"]

_LEAST = 5  # calls of a pass, however long they take
_LEARN = 20  # calls before it: the tuner learns from the last 16 waits


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: Rounds, each with all cases and all ways.
        pass_ns: Length of a pass, nanoseconds: one way in one case in one round.
        warm_up_ns: What comes before it unmeasured, nanoseconds: the thread
            starts, and the polling time tunes itself.
        warm_up: Calls of that, at least.
        most: Calls of a pass, at most.
    """

    rounds: int
    pass_ns: int
    warm_up_ns: int
    warm_up: int
    most: int


FULL = Effort(
    rounds=5, pass_ns=100_000_000, warm_up_ns=25_000_000, warm_up=_LEARN, most=4_000
)
"""About a minute for the default cases."""

QUICK = Effort(
    rounds=1, pass_ns=35_000_000, warm_up_ns=10_000_000, warm_up=_LEARN, most=2_000
)
"""Some seconds: shows what comes out, not how much."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One way in one case in one round.

    Attributes:
        latencies_ns: Of each call, from submit until the owner had the result,
            without the time that the call itself took; nanoseconds.
        cpu_s: CPU seconds of the process, calls and gaps included.
    """

    latencies_ns: array[int]
    cpu_s: float


Side = dict["Way", Pass]
"""All ways side by side: one case in one round."""


@dataclass(slots=True)
class Sweep:
    """A run over cases and ways; what it knows may be read at any time.

    Attributes:
        cases: Kinds of calls.
        ways: Ways to wait for them; each round begins with another one.
        effort: How long to measure.
        progress: Called as progress(what, done, total) before each pass.
        interrupt: `interrupt.handler` is meant to be the handler of SIGINT: the
            KeyboardInterrupt comes out of run() once the pass's pool is shut
            down. It is not raised afterwards, unless SIGINT comes once more.
        found: What was measured of each case, complete rounds only.

    Context: Owner.
    """

    cases: Sequence[Case]
    ways: Sequence[Way]
    effort: Effort
    progress: Callable[[str, int, int], None] | None = None
    interrupt: Interrupt = field(default_factory=Interrupt)
    found: dict[Case, list[Side]] = field(default_factory=dict)

    def run(self) -> None:
        """Measure all rounds.

        Raises:
            KeyboardInterrupt: SIGINT came; what was found stays.
            OSError: The system gives no fd.
            RuntimeError: It starts no thread.
        """
        self.interrupt.may_raise = False
        passes = 0
        total = self.effort.rounds * len(self.cases) * len(self.ways)
        for turn in range(self.effort.rounds):
            for case in self.cases:
                side: Side = {}
                for way in in_order(self.ways, turn):
                    if self.progress is not None:
                        what = f"round {turn + 1} of {self.effort.rounds}, {case.name}"
                        self.progress(what, passes, total)
                    side[way] = self._one_pass(case, way)
                    passes += 1
                self.found.setdefault(case, []).append(side)

    def _one_pass(self, case: Case, way: Way) -> Pass:
        effort, interrupt = self.effort, self.interrupt
        latencies_ns = array("q")
        with way.context() as ctx, ThreadPool(ctx, max_threads=1) as pool:
            calls = partial(_calls, pool, case.call, case.gap)
            interrupt.may_raise = True
            try:
                interrupt.check()
                calls(array("q"), effort.warm_up_ns, effort.warm_up, effort.most)
                with CpuMeter(ctx) as meter:
                    calls(latencies_ns, effort.pass_ns, _LEAST, effort.most)
            finally:
                interrupt.may_raise = False
        return Pass(latencies_ns, meter.usage.process_s)


def _calls(
    pool: ThreadPool,
    call: Callable[[], int],
    gap: Callable[[], int],
    latencies_ns: array[int],
    for_ns: int,
    least: int,
    most: int,
) -> None:
    """Make calls one after the other, for some time; append their latencies."""
    clock, submit, append = perf_counter_ns, pool.submit, latencies_ns.append
    until = clock() + for_ns
    while True:
        gap()
        before = clock()
        took_ns = submit(call).result()
        after = clock()
        append(max(after - before - took_ns, 0))
        count = len(latencies_ns)
        if count >= most or (count >= least and after >= until):
            return
