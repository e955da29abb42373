# SPDX-License-Identifier: MIT
"""What it may cost to try another way, on the C file alone."""

from __future__ import annotations

import ctypes

import _tuner
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_loads import MS, US

START_NS, MAX_NS, DEBT_MAX_NS = 8 * MS, 2 * MS, 50 * MS


class Credit:
    """A credit, and the C functions that it is for."""

    def __init__(self, tuner, ns=0):
        self._tuner, self._ns = tuner, ctypes.c_int64(ns)

    @property
    def ns(self):
        return self._ns.value

    def earn(self, calls, ns, cpu_ns):
        self._tuner.trial_credit_earn(self._ns, _tuner.CallCosts(calls, ns, cpu_ns))

    def pay(self, costs, cost_ns, time_ns):
        """Return how much is paid for what calls have cost, (calls, ns, CPU ns)."""
        before_ns = self.ns
        costs = _tuner.CallCosts(*costs)
        self._tuner.trial_credit_pay(self._ns, costs, cost_ns, time_ns)
        return before_ns - self.ns

    def forgive(self, debt_ns):
        self._tuner.trial_credit_forgive(self._ns, debt_ns)


def test_a_hundredth_of_all_costs_is_earned_and_little_put_by(tuner):
    credit = Credit(tuner)
    credit.earn(100, 2 * MS, 3 * MS)
    assert credit.ns == 50 * US
    credit.earn(1, 10_000 * MS, 0)
    assert credit.ns == MAX_NS


def test_what_there_is_at_the_start_is_kept_until_it_is_paid_with(tuner):
    credit = Credit(tuner, START_NS)
    credit.earn(100, 5 * MS, 5 * MS)
    assert credit.ns == START_NS
    assert credit.pay((100, 5 * MS, 5 * MS), 40 * US, 20 * US) == 6 * MS
    credit.earn(100, 5 * MS, 5 * MS)
    assert credit.ns == MAX_NS


@pytest.mark.parametrize(
    ("costs", "paid_ns"),
    [
        ((10, 200 * US, 300 * US), 0),  # as known
        ((10, 200 * US, 400 * US), 100 * US),  # CPU time
        ((10, 300 * US, 200 * US), 250 * US),  # 5 calls late
        ((10, 400 * US, 100 * US), 500 * US),  # 10 calls late
        ((10, 900 * US, 100 * US), 1000 * US),  # no more than all
        ((10, 100 * US, 300 * US), -100 * US),  # better than known
        ((10, 200 * US, 10_000 * MS), 50 * MS),  # the machine stood still
    ],
)
def test_what_calls_cost_more_is_paid_or_what_others_would_have(tuner, costs, paid_ns):
    credit = Credit(tuner)
    assert credit.pay(costs, 50 * US, 20 * US) == pytest.approx(paid_ns, abs=1)


def test_what_is_owed_is_bounded(tuner):
    credit = Credit(tuner)
    for _ in range(10):
        credit.pay((10, 40 * MS, 0), 1 * US, 1 * US)
    assert credit.ns == -DEBT_MAX_NS


@given(st.integers(1, 10**9), *[st.integers(0, 10**13)] * 4)
def test_any_costs_are_paid(tuner, calls, ns, cpu_ns, cost_ns, time_ns):
    paid_ns = Credit(tuner).pay((calls, ns, cpu_ns), cost_ns % 10**9, time_ns)
    assert -MAX_NS <= paid_ns <= DEBT_MAX_NS


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**9))
def test_what_is_forgiven_is_debt(tuner, ns, debt_ns):
    credit = Credit(tuner, ns)
    credit.forgive(debt_ns)
    assert credit.ns == max(ns, -debt_ns)
