# SPDX-License-Identifier: MIT
"""Which way to wait suits an aim: arithmetic on what a sweep has found.

All cases of the sweep count together. A limit holds if it holds in each of them, so
what counts is a way's worst case; ways are compared by geometric means over the
cases, of their ratios to blocking, so that each case weighs the same.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from tpool.cli.bench.grid import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tpool.cli.bench.grid import Way
    from tpool.cli.bench.points import Point

__all__ = ["Advice", "Aim", "Score", "advise", "scores"]

_ALIKE = 1.05  # a twentieth: what is nearer than that differs by chance


@dataclass(frozen=True, slots=True)
class Aim:
    """What the user wants; with neither limit, what costs no more than blocking.

    Attributes:
        cpu_budget: CPU of the process for each call, at most so many times that
            of blocking, in every case; None: no limit.
        latency_goal_us: Latency p50 at most, us, in every case; None: no limit.
    """

    cpu_budget: float | None = None
    latency_goal_us: float | None = None

    @property
    def rule(self) -> str:
        """By which rule advise() chooses, for a human."""
        if self.latency_goal_us is None and self.cpu_budget is None:
            return (
                "best latency of those that cost no more CPU than blocking, on average"
            )
        limits = []
        if self.cpu_budget is not None:
            limits.append(f"CPU of {self.cpu_budget:.2f} times blocking at most")
        if self.latency_goal_us is not None:
            limits.append(f"latency p50 of {self.latency_goal_us:g} us at most")
        best = "best latency" if self.latency_goal_us is None else "least CPU"
        return f"{best} of those with a {' and a '.join(limits)}, in every case"


@dataclass(frozen=True, slots=True)
class Score:
    """What one way did in all cases together.

    Attributes:
        way: Which one.
        latency_ratio: Latency p50 to that of blocking, geometric mean.
        cpu_ratio: CPU to that of blocking, geometric mean.
        slowest: Where it had the highest p50.
        dearest: Where it had the highest ratio of CPU.
    """

    way: Way
    latency_ratio: float
    cpu_ratio: float
    slowest: Point
    dearest: Point

    def excess(self, aim: Aim) -> float:
        """Return how many times the worst case is above a limit; 1 is just met."""
        over = 0.0
        if aim.cpu_budget is not None:
            over = self.dearest.cpu_ratio / aim.cpu_budget
        if aim.latency_goal_us is not None:
            over = max(over, self.slowest.latency_p50_us / aim.latency_goal_us)
        return over


@dataclass(frozen=True, slots=True)
class Advice:
    """What to take.

    Attributes:
        score: The way, and what it did.
        met: Whether the limits hold; False: it is the one that comes nearest.
    """

    score: Score
    met: bool


def scores(points: Iterable[Point]) -> list[Score]:
    """Return what each way did in all cases together, in the order of the ways."""
    by_way: dict[Way, list[Point]] = {}
    for point in points:
        by_way.setdefault(point.way, []).append(point)
    return [_score(way, mine) for way, mine in by_way.items()]


def _score(way: Way, points: Sequence[Point]) -> Score:
    return Score(
        way=way,
        latency_ratio=statistics.geometric_mean(p.latency_ratio for p in points),
        cpu_ratio=statistics.geometric_mean(p.cpu_ratio for p in points),
        slowest=max(points, key=attrgetter("latency_p50_us")),
        dearest=max(points, key=attrgetter("cpu_ratio")),
    )


def _alike(made: list[Score], what: Callable[[Score], float]) -> list[Score]:
    """Return the best, and those that are as good but for chance."""
    least = min(map(what, made))
    return [score for score in made if what(score) <= least * _ALIKE]


def _plainest(made: list[Score]) -> Score:
    return min(made, key=lambda s: (s.way.poll_max_ns, MODES.index(s.way.mode)))


def advise(points: Iterable[Point], aim: Aim) -> Advice | None:
    """Choose a way to wait.

    With a latency goal it is the one that costs the least CPU, else the one with
    the best latency, of those that keep within the limits. Among those that differ
    by less than a twentieth the other of the two counts, then the shorter bound,
    then the mode that takes fewer words.

    Args:
        points: What was found; every way in the same cases.
        aim: The limits. Without any, ways that cost more CPU than blocking on
            average are left out.

    Returns:
        What to take, or what comes nearest; None if there are no points.
    """
    made = scores(points)
    if not made:
        return None
    if aim.cpu_budget is None and aim.latency_goal_us is None:
        fit = [s for s in made if s.cpu_ratio <= 1 or s.way.mode == "blocking"]
    else:
        fit = [score for score in made if score.excess(aim) <= 1]
    met = bool(fit)
    if not met:
        nearest = min(score.excess(aim) for score in made)
        fit = [score for score in made if score.excess(aim) == nearest]
    first, second = attrgetter("latency_ratio"), attrgetter("cpu_ratio")
    if aim.latency_goal_us is not None:
        first, second = second, first
    return Advice(_plainest(_alike(_alike(fit, first), second)), met)
