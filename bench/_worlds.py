# SPDX-License-Identifier: MIT
"""Simulated loads for tuner_traces.py: gaps, and machines that take turns."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

US = 1_000


class Machine(NamedTuple):
    """What a wake-up costs, and by how much sleeps differ."""

    name: str
    wake_ns: int
    cpu_ns: int
    jitter_ns: int = 0
    tax_ns: int = 0  # what a wait that is polled for costs besides, in both


# The first as measured where this was written, between 20 and 50 us; see README.md.
MACHINES = (
    Machine("virtual machine", 45 * US, 35 * US),
    Machine("quiet virtual machine", 25 * US, 25 * US),
    Machine("bare metal", 5 * US, 5 * US),
)


def constant(us: float) -> Callable[[random.Random, int], Iterator[float]]:
    return lambda _, n: iter([us] * n)


def poisson(us: float) -> Callable[[random.Random, int], Iterator[float]]:
    return lambda rng, n: (rng.expovariate(1 / us) for _ in range(n))


def bursty(burst: int, pause: float) -> Callable[[random.Random, int], Iterator[float]]:
    def make(rng: random.Random, n: int) -> Iterator[float]:
        for i in range(n):
            within = i % burst
            yield rng.uniform(1, 8) if within else pause * rng.uniform(0.8, 1.2)

    return make


def bimodal(
    one: float, other: float, share: float
) -> Callable[[random.Random, int], Iterator[float]]:
    def make(rng: random.Random, n: int) -> Iterator[float]:
        for _ in range(n):
            yield (one if rng.random() < share else other) * rng.uniform(0.8, 1.2)

    return make


def drifting(
    low: float, high: float, period: int
) -> Callable[[random.Random, int], Iterator[float]]:
    def make(rng: random.Random, n: int) -> Iterator[float]:
        for i in range(n):
            phase = 0.5 - 0.5 * math.cos(2 * math.pi * i / period)
            yield low * (high / low) ** phase * rng.uniform(0.9, 1.1)

    return make


SYNTHETIC = {
    **{
        f"constant {us} us": constant(us)
        for us in (0.5, 5, 10, 20, 30, 45, 60, 100, 300, 500, 1000, 10_000)
    },
    **{
        f"Poisson {us} us": poisson(us)
        for us in (5, 10, 20, 30, 50, 100, 300, 1000, 3000)
    },
    **{
        f"bursts of {burst}, pause {pause} us": bursty(burst, pause)
        for burst, pause in ((10, 500), (50, 2000), (3, 100), (100, 10_000), (2, 40))
    },
    **{
        f"bimodal {one} us ({share:.0%}), {other} us": bimodal(one, other, share)
        for one, other, share in (
            (5, 500, 0.5),
            (5, 5000, 0.5),
            (5, 60, 0.5),
            (10, 100, 0.8),
            (10, 300, 0.2),
            (3, 10_000, 0.9),
        )
    },
    "drifting 1 us to 10 ms": drifting(1, 10_000, 5000),
    "drifting 10 to 100 us": drifting(10, 100, 2000),
}


def steady(machine: Machine) -> Callable[[int], Machine]:
    return lambda _: machine


def phases(*machines: Machine) -> Callable[[int], Machine]:
    """Return machines that take turns of a second."""
    return lambda now_ns: machines[now_ns // (1000 * 1000 * US) % len(machines)]


APART = Machine("apart", 45 * US, 35 * US)
TOGETHER = Machine("together", 2 * US, 2 * US, tax_ns=20 * US)
FIGHT = Machine("fight", 10 * US, 12 * US, tax_ns=40 * US)
# What the model of a wake-up does not know: gaps, and the machine at a time.
WORLDS = {
    "a fight for the GIL, 2 us": (constant(2), steady(FIGHT)),
    "a fight for the GIL, 30 us": (constant(30), steady(FIGHT)),
    "a fight for the GIL, bimodal": (bimodal(5, 60, 0.5), steady(FIGHT)),
    "threads together, 10 us": (constant(10), steady(TOGETHER)),
    "threads together, Poisson 20 us": (poisson(20), steady(TOGETHER)),
    "apart and together each second, 10 us": (constant(10), phases(APART, TOGETHER)),
    "apart and together each second, 25 us": (constant(25), phases(APART, TOGETHER)),
    "apart and a fight each second, Poisson 10 us": (
        poisson(10),
        phases(APART, FIGHT),
    ),
    "2 us, and 5 ms for half a second": (
        lambda _, n: (5000 if i % 100_100 >= 100_000 else 2 for i in range(n)),
        steady(APART),
    ),
}


def in_ns(
    name: str, make: Callable[[random.Random, int], Iterator[float]], n: int
) -> Callable[[], Iterator[int]]:
    """Return the gaps of a trace, the same each time."""
    return lambda: (max(round(us * US), 1) for us in make(random.Random(name), n))
