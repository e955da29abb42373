# SPDX-License-Identifier: MIT
"""Which other way is tried, and for how long, on the C files alone."""

from __future__ import annotations

import _tuner
from trial_loads import MS, US, Load, constant

NO_OP = 400, 600  # ns, and CPU ns


def test_way_that_is_known_to_cost_less_is_tried_at_once(tuner):
    """Whatever is owed; polling has become a third dearer, which is no other load."""
    before, after, blocked = (20 * US, 30 * US), (20 * US, 46 * US), (20 * US, 34 * US)
    load = Load(tuner, constant(before, blocked), 8).run(300 * MS)
    assert load.trial.way == _tuner.WAY_POLL
    load.cost = constant(after, blocked)
    load.trial.credit_ns = -50 * MS
    load.run(100 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK


def test_moment_decides_nothing_however_many_calls_there_are_in_it(tuner):
    """In a tenth of a millisecond a thread that runs besides is a quarter of the costs."""

    def costs(way, _):
        on = load.trial.stage == _tuner.TRIAL_TRIES
        dear = on and load.trial.tried.ns < 100 * US
        part = 1 if not way & _tuner.WAY_BLOCK else 1.15 if dear else 0.85
        return tuple(int(part * ns) for ns in NO_OP)

    load = Load(tuner, costs)
    load.run(100 * MS)
    first = next(v for v in load.verdicts if v in (_tuner.TRIAL_LOST, _tuner.TRIAL_WON))
    assert first == _tuner.TRIAL_WON


def test_little_that_short_calls_cost_less_is_found(tuner):
    load = Load(tuner, constant(NO_OP, (360, 540)))
    load.run(100 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK
