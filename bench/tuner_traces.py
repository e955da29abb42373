# SPDX-License-Identifier: MIT
"""Which self-tuning costs least, for which arrivals? A simulation.

Replays waits (the gap from when the owner begins to wait until work arrives) through
the C files of the tuner: blocking, fixed polling, QEMU's rule of 2016 and its present
one, ours, ours with naps before long regular calls, and that with both ways measured in
turn, which is the default. A wait that is polled for costs the time polled, one that is
blocked costs a wake-up, in latency and in CPU; each costs the same, unless sleeps shall
differ. Worlds are machines that no model knows: polling has a price of its own there (a
fight for the GIL, threads on the wrong CPUs), and they change. Nothing is timed, so the
figures are the same on every machine, and --rounds means nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import random
import statistics
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING, NamedTuple

import _harness as h
import _tuner
from _worlds import MACHINES, SYNTHETIC, US, WORLDS, Machine, in_ns, steady

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SEEN_NS = 300  # from the arrival until a busy owner has seen it
WORLD_NS = 300 * US  # that a world goes on for each wait of the other traces
QEMU = "QEMU's rule"
WORLD = "world"


class Cost(NamedTuple):
    """What one wait has cost."""

    latency_ns: int
    cpu_ns: int


class Policy:
    """Blocking; the others do better, or think so."""

    name = "blocking"

    def __init__(self, max_ns: int, machine: Machine) -> None:
        self.max_ns = max_ns
        self.machine = machine

    def wait(self, gap_ns: int) -> Cost:
        """Wait for work that arrives after gap_ns."""
        return self.polled(gap_ns, 0)

    def polled(self, gap_ns: int, window_ns: int) -> Cost:
        """Poll for window_ns, then block."""
        if gap_ns <= window_ns:
            tax_ns = self.machine.tax_ns
            return Cost(SEEN_NS + tax_ns, gap_ns + tax_ns)
        return Cost(self.machine.wake_ns, window_ns + self.machine.cpu_ns)


class Fixed(Policy):
    """Polls for the bound each time."""

    name = "fixed polling"

    def wait(self, gap_ns: int) -> Cost:
        """Poll."""
        return self.polled(gap_ns, self.max_ns)


class Qemu(Policy):
    """One window, by the last wait."""

    name = QEMU

    def __init__(self, max_ns: int, machine: Machine) -> None:
        super().__init__(max_ns, machine)
        self._params = _tuner.Params(max_ns, 0, 0, False)
        self._poll_ns = 0

    def wait(self, gap_ns: int) -> Cost:
        """Poll for the window, and tune it."""
        cost = self.polled(gap_ns, self._poll_ns)
        self._poll_ns = _tuner.load().poll_tuner_next_ns(
            self._params, self._poll_ns, gap_ns, ctypes.c_int()
        )
        return cost


class QemuNow(Policy):
    """The same by a moving average of waits; it shrinks below half the window only."""

    name = "QEMU's present rule"

    def __init__(self, max_ns: int, machine: Machine) -> None:
        super().__init__(max_ns, machine)
        self._poll_ns = self._mean_ns = 0

    def wait(self, gap_ns: int) -> Cost:
        """Poll for the window, and tune it."""
        cost = self.polled(gap_ns, self._poll_ns)
        self._mean_ns += (gap_ns >> 3) - (self._mean_ns >> 3)
        if self._mean_ns > self.max_ns or self._mean_ns < self._poll_ns // 2:
            self._poll_ns //= 2
        elif self._mean_ns > self._poll_ns:
            self._poll_ns = min(max(2 * self._poll_ns, 4 * US), self.max_ns)
        return cost


class SelfTuned(Policy):
    """What an AioContext plans for one call in flight."""

    name = "self-tuned"
    hybrid = False

    def __init__(self, max_ns: int, machine: Machine) -> None:
        super().__init__(max_ns, machine)
        self._c = _tuner.load()
        self._params = _tuner.Params(max_ns, 0, 0, self.hybrid)
        self._source, self._costs = _tuner.CallHistory(), _tuner.SleepCosts()
        self._c.call_history_init(self._source, 0)
        self._c.sleep_costs_init(self._costs)
        self._rng = random.Random(0)

    def wait(self, gap_ns: int) -> Cost:
        """Do what is planned, and learn from it."""
        plan = self._c.call_plan(self._source, self._params, self._costs, 0)
        if plan.choice == _tuner.NAP:
            cost = self._nap(gap_ns, plan)
        else:
            polls = plan.choice == _tuner.POLL
            cost = self.polled(gap_ns, plan.window_ns if polls else 0)
        if cost.latency_ns == self.machine.wake_ns:  # it was woken
            self._costs.wake_ns = self._c.poll_tuner_wake_ns(
                self._costs.wake_ns, cost.latency_ns
            )
        self._c.poll_window_tune(self._source.poll, self._params, gap_ns)
        self._c.moving_add(self._source.took, gap_ns)
        return cost

    def _nap(self, gap_ns: int, plan: _tuner.Plan) -> Cost:
        """Sleep, which is too long by a wake-up, then poll."""
        jitter_ns = self._rng.randrange(self.machine.jitter_ns + 1)
        late_ns = self.machine.wake_ns + jitter_ns
        awake_ns = plan.nap_ns + late_ns
        if gap_ns < awake_ns:
            if gap_ns > plan.nap_ns:
                woken_ns = min(gap_ns + self.machine.wake_ns, awake_ns)
                late_ns = woken_ns - plan.nap_ns
                self._c.sleep_costs_late(self._costs, late_ns, False)
            return self.polled(gap_ns, 0)
        self._c.sleep_costs_late(self._costs, late_ns, True)
        cost = self.polled(gap_ns - awake_ns, plan.window_ns)
        return Cost(cost.latency_ns, cost.cpu_ns + self.machine.cpu_ns)


class Hybrid(SelfTuned):
    """The same with naps before long regular calls."""

    name = "hybrid"
    hybrid = True


class Measured(Hybrid):
    """The same, and what calls cost is measured, polled for and not: the default."""

    name = "measured"

    def __init__(self, max_ns: int, machine: Machine) -> None:
        super().__init__(max_ns, machine)
        self._trial, self._epoch = _tuner.PollTrial(), _tuner.CallCosts()
        self._c.poll_trial_init(self._trial)

    def wait(self, gap_ns: int) -> Cost:
        """Go the way that is taken, and say what it has cost."""
        if self._trial.way == _tuner.WAY_POLL:
            cost = super().wait(gap_ns)
        else:
            cost = self.polled(gap_ns, 0)
        epoch, trial = self._epoch, self._trial
        epoch.calls += 1
        epoch.ns += gap_ns + cost.latency_ns
        epoch.cpu_ns += cost.cpu_ns
        if epoch.calls >= trial.calls_min and epoch.ns >= trial.ns_min:
            self._c.poll_trial_next(trial, epoch, 1)
            self._epoch = _tuner.CallCosts()
        return cost


POLICIES = (Policy, Fixed, Qemu, QemuNow, SelfTuned, Hybrid, Measured)


def hash_file(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def recorded(n: int) -> list[int]:
    """Return how long calls took that hash files, as an owner waited for them."""
    files = sorted(Path(h.__file__).parents[1].rglob("*.[cph]*"))
    files = [path for path in files if path.is_file()]
    waits = []
    with tpool.AioContext() as ctx, tpool.ThreadPool(ctx, max_threads=1) as pool:
        for number in range(n):
            begin = monotonic_ns()
            pool.submit(hash_file, files[number % len(files)]).result()
            waits.append(monotonic_ns() - begin)
    return waits


@dataclass(frozen=True, slots=True)
class Row:
    """One policy on one trace; ratios above 1: better than QEMU's rule of 2016.

    ratio_total: the same for time and CPU together, the gaps included, against the
    better of blocking and fixed polling.
    """

    case: str
    peer: str
    n: int
    p50_us: float
    p99_us: float
    mean_us: float
    cpu_us_per_op: float
    ratio_mean: float
    ratio_cpu: float
    ratio_total: float


def played(
    policy: Policy,
    gaps: Iterable[int],
    world: Callable[[int], Machine],
    until_ns: float,
) -> tuple[list[Cost], int]:
    """Return what the waits cost, until the time is over, and how long they took."""
    costs, now_ns = [], 0
    for gap_ns in gaps:
        policy.machine = world(now_ns)
        costs.append(policy.wait(gap_ns))
        now_ns += gap_ns + costs[-1].latency_ns
        if now_ns >= until_ns:
            break
    return costs, now_ns


def replay(
    trace: str,
    gaps: Callable[[], Iterable[int]],
    max_ns: int,
    world: Callable[[int], Machine],
    until_ns: float = math.inf,
) -> list[Row]:
    """Return a row for each policy."""
    found = {
        kind.name: played(kind(max_ns, world(0)), gaps(), world, until_ns)
        for kind in POLICIES
    }
    means = {
        name: tuple(map(statistics.fmean, zip(*costs, strict=True)))
        for name, (costs, _) in found.items()
    }
    totals = {
        name: took_ns / len(costs) + means[name][1]
        for name, (costs, took_ns) in found.items()
    }
    better = min(totals[Policy.name], totals[Fixed.name])
    rows = []
    for name, (costs, _) in found.items():
        ordered = sorted(cost.latency_ns for cost in costs)
        rows.append(
            Row(
                trace,
                name,
                len(costs),
                h.percentile(ordered, 50) / US,
                h.percentile(ordered, 99) / US,
                means[name][0] / US,
                means[name][1] / US,
                means[QEMU][0] / means[name][0],
                means[QEMU][1] / means[name][1],
                better / totals[name],
            )
        )
    return rows


def replay_world(name: str, max_ns: int, until_ns: float) -> list[Row]:
    """Return a row for each policy in a world that no model knows."""
    make, world = WORLDS[name]
    gaps = in_ns(name, make, int(until_ns / US))
    return replay(f"{WORLD}: {name}", gaps, max_ns, world, until_ns)


TOLERANCE = 0.02  # of what a random trace may hold by chance


def verdicts(table: list[Row]) -> list[str]:
    """Say for each policy of ours on which synthetic traces it is worse, or better."""
    lines = []
    for kind in (SelfTuned, Hybrid, Measured):
        for machine in MACHINES:
            slower, dearer, better = [], [], []
            for name in SYNTHETIC:
                case = f"{machine.name}: {name}"
                (row,) = (r for r in table if (r.case, r.peer) == (case, kind.name))
                if row.ratio_mean < 1 - TOLERANCE:
                    slower.append(name)
                if row.ratio_cpu < 1 - TOLERANCE:
                    dearer.append(name)
                if max(row.ratio_mean, row.ratio_cpu) > 1 + TOLERANCE:
                    better.append(name)
            lines.append(
                f"{kind.name}, {machine.name} ({machine.wake_ns // US} us a wake-up): "
                f"of {len(SYNTHETIC)} synthetic traces slower than {QEMU} on "
                f"{listed(slower)}, dearer on {listed(dearer)}, "
                f"better in one of them on {len(better)}"
            )
    for policy in (Qemu, QemuNow, Hybrid, Measured):
        rows = {
            r.case.removeprefix(f"{WORLD}: "): r.ratio_total
            for r in table
            if r.peer == policy.name and r.case.startswith(f"{WORLD}: ")
        }
        worst = min(rows, key=rows.__getitem__)
        lines.append(
            f"{policy.name}, worlds: time and CPU together at best "
            f"{max(rows.values()):.2f} and at worst {rows[worst]:.2f} times ({worst}) as "
            "good as the better of blocking and fixed polling"
        )
    return lines


def listed(names: list[str]) -> str:
    """Return how many, and where they are few which."""
    few = f" ({', '.join(names)})" if 0 < len(names) <= 3 else ""
    return f"{len(names)}{few}"


def waits_of(path: str) -> dict[str, list[int]]:
    """Read a trace from a file, for argparse."""
    waits = []
    try:
        for number, line in enumerate(Path(path).read_text().splitlines(), 1):
            if not line.strip().isdecimal() or int(line) >= 2**62:
                problem = f"{path}, line {number}: not nanoseconds: {line!r}"
                raise argparse.ArgumentTypeError(problem)
            waits.append(int(line))
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None
    if not waits:
        raise argparse.ArgumentTypeError(f"{path}: no waits in it")
    return {Path(path).name: waits}


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=10_000, help="waits; default: 10000")
    made.add_argument(
        "--poll-max-ns", type=int, default=32_768, help="default: %(default)s"
    )
    made.add_argument(
        "--trace",
        type=waits_of,
        metavar="FILE",
        help="waits of your own too: a number of nanoseconds in each line",
    )
    made.add_argument(
        "--jitter-ns",
        type=int,
        default=0,
        help="by how much sleeps before a call's end differ; default: 0",
    )
    options = h.parse(made, {"n": 300})
    if options.jitter_ns < 0:
        made.error(f"--jitter-ns must be 0 at least, not {options.jitter_ns}")
    waits = {"recorded: files hashed": recorded(options.n)} | (options.trace or {})
    traces: dict[str, Callable[[], Iterable[int]]] = {
        name: partial(iter, found) for name, found in waits.items()
    }
    for name, make in SYNTHETIC.items():
        traces[name] = in_ns(name, make, options.n)
    table = []
    for kind in MACHINES:
        world = steady(kind._replace(jitter_ns=options.jitter_ns))
        for name, gaps in traces.items():
            h.tell(case := f"{kind.name}: {name}")
            table += replay(case, gaps, options.poll_max_ns, world)
    for name in WORLDS:
        h.tell(f"{WORLD}: {name}")
        table += replay_world(name, options.poll_max_ns, options.n * WORLD_NS)
    h.report(
        "Simulated waits: latency and CPU by the rule of self-tuning",
        __file__,
        options,
        table,
        verdicts(table),
        poll_max_ns=options.poll_max_ns,
    )


if __name__ == "__main__":
    main()
