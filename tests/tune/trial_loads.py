# SPDX-License-Identifier: MIT
"""Calls that cost what a test says, and the trials that are made of them."""

from __future__ import annotations

import _tuner

US, MS = 1000, 1_000_000


class Load:
    """Calls that cost what a function says: by way and time, (ns, CPU ns)."""

    def __init__(self, tuner, cost, in_flight=1, noise=lambda: 1, *, crowd=False):
        self._tuner, self.cost, self.in_flight = tuner, cost, in_flight
        self._noise = noise
        self.trial = _tuner.PollTrial()
        tuner.poll_trial_init(self.trial)
        self._crowd = crowd
        self.now_ns = self.calls = self.total_ns = 0
        self.verdicts = []

    def epoch(self):
        """Make the calls of one epoch."""
        ns, cpu_ns = self.cost(self.trial.way, self.now_ns)
        calls = max(self.trial.calls_min, -(-self.trial.ns_min // ns))
        self.now_ns += calls * ns
        self.calls += calls
        self.total_ns += calls * (ns + cpu_ns)
        seen = self._noise() * calls
        many = not self.trial.way & (_tuner.WAY_SERIAL | _tuner.WAY_FEW)
        costs = _tuner.CallCosts(
            *(calls, int(seen * ns), int(seen * cpu_ns)),
            *(self.in_flight, self._crowd and many),
        )
        self.verdicts.append(
            self._tuner.poll_trial_next(self.trial, costs, self.in_flight)
        )

    def run(self, ns):
        """Make calls for so long, and until no trial is on."""
        until_ns = self.now_ns + ns
        while self.now_ns < until_ns or self.trial.stage:
            self.epoch()
        return self

    @property
    def begun(self):
        return self.verdicts.count(_tuner.TRIAL_BEGUN)


def constant(*by_way):
    """Return what calls cost: polled for, not; the same two one at a time."""
    return lambda way, _: by_way[way % len(by_way)]
