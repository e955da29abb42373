# SPDX-License-Identifier: MIT
"""What is made of what calls cost, polled for and not, on the C files alone."""

from __future__ import annotations

import random

import _tuner
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from trial_loads import MS, US, Load, constant

pytestmark = pytest.mark.timeout(120)

# Of a call, in ns: the time, and CPU time on no more than eight CPUs.
COSTS = st.integers(1 * US, 300 * US).flatmap(
    lambda ns: st.tuples(st.just(ns), st.integers(0, 8 * ns))
)


def worth(costs):
    """Return what is compared: the time that passes counts twice."""
    ns, cpu_ns = costs
    return 2 * ns + cpu_ns


@settings(max_examples=300, deadline=None)
@given(COSTS, COSTS, st.sampled_from([1, 2, 8, 64]), st.integers(0, 2**32))
def test_calls_cost_little_more_than_by_the_better_way(
    tuner, polled, blocked, in_flight, seed
):
    rng = random.Random(seed)
    assume(sum(polled) < 16 * sum(blocked) and sum(blocked) < 16 * sum(polled))
    load = Load(
        tuner, constant(polled, blocked), in_flight, lambda: rng.uniform(0.9, 1.1)
    )
    load.run(200 * MS)  # what it takes to know
    began_ns, load.calls, load.total_ns = load.now_ns, 0, 0
    load.run(5000 * MS)
    best_ns = min(worth(polled), worth(blocked))
    trial_ns = (4 + 16 + 2 * in_flight) * max(worth(polled), worth(blocked))
    worth_ns = load.total_ns + load.now_ns - began_ns
    assert worth_ns <= 1.03 * best_ns * load.calls + trial_ns + 10 * MS


@settings(max_examples=300, deadline=None)
@given(COSTS, COSTS)
def test_way_that_costs_less_is_taken(tuner, polled, blocked):
    load = Load(tuner, constant(polled, blocked)).run(300 * MS)
    costs = worth(polled), worth(blocked)
    if max(costs) > 1.05 * min(costs):
        assert load.trial.way == costs.index(min(costs))


@pytest.mark.parametrize("in_flight", [1, 8, 64])
@pytest.mark.parametrize(
    ("before", "after", "within_ms"),
    [
        # What calls cost now has changed, and is looked into at once.
        (((1 * US, 2 * US), (45 * US, 35 * US)), ((20 * US, 40 * US), (4 * US, 4 * US)), 30),
        (((5 * MS, 1 * MS), (5 * MS, 0)), ((2 * US, 4 * US), (50 * US, 40 * US)), 30),
        (((30 * US, 60 * US), (36 * US, 40 * US)), ((30 * US, 60 * US), (56 * US, 66 * US)), 40),
        # The other way has.
        (((30 * US, 60 * US), (36 * US, 40 * US)), ((30 * US, 60 * US), (70 * US, 60 * US)), 80),
        (((9 * US, 9 * US), (45 * US, 35 * US)), ((9 * US, 9 * US), (5 * US, 5 * US)), 100),
    ],
)  # fmt: skip
def test_change_is_noticed_soon(tuner, before, after, within_ms, in_flight):
    better = min(range(2), key=lambda way: sum(after[way]))
    for change_ns in range(1000 * MS, 1200 * MS, 7 * MS):
        load = Load(
            tuner,
            lambda way, now: (before if now < change_ns else after)[way & 1],  # noqa: B023
            in_flight,
        ).run(change_ns)
        calls, now_ns = load.calls, load.now_ns
        # Taken, and kept.
        while load.trial.way & 1 != better or load.trial.stage:
            load.epoch()
        took_ns = load.now_ns - now_ns
        # With many in flight there are two things to be tried, with more calls each.
        assert (
            load.calls - calls <= 1000
            or took_ns <= (1 + (in_flight > 8)) * within_ms * MS
        )


FIGHT = ((60 * US, 60 * US), (55 * US, 50 * US), (30 * US, 40 * US), (32 * US, 34 * US))


# To go by one change at a time from the second to the best is to go by a worse one.
HIDDEN = (
    *((110 * US, 160 * US), (105 * US, 150 * US)),
    *((104 * US, 118 * US), (130 * US, 170 * US)),
)


@pytest.mark.parametrize("in_flight", [2, 8, 64])
@pytest.mark.parametrize(
    "order",
    [
        *(FIGHT, FIGHT[::-1], (*FIGHT[2:], *FIGHT[:2])),
        *(HIDDEN, (*HIDDEN[:2], *HIDDEN[:1:-1])),
    ],
)
def test_best_of_all_four_ways_is_found(tuner, order, in_flight):
    load = Load(tuner, constant(*order), in_flight).run(400 * MS)
    costs = [sum(cost) for cost in order]
    assert load.trial.way == costs.index(min(costs))


def test_one_at_a_time_and_polling_are_left_together(tuner):
    """Each alone is dearer than what they are together."""
    later = (
        (100 * US, 150 * US),
        (30 * US, 40 * US),
        (60 * US, 70 * US),
        (90 * US, 150 * US),
    )
    before = later[0], later[0], *later[2:]
    load = Load(
        tuner, lambda way, now: (before if now < 400 * MS else later)[way], 8
    ).run(400 * MS)
    assert load.trial.way == _tuner.WAY_SERIAL
    load.run(400 * MS)
    assert load.trial.way == _tuner.WAY_BLOCK


@pytest.mark.parametrize(
    ("cost", "in_flight"), [((30 * US, 40 * US), 1), ((30 * US, 20 * US), 64)]
)
def test_one_at_a_time_is_not_tried_for_one_nor_where_calls_sleep(
    tuner, cost, in_flight
):
    ways = set()

    def costs(way, _):
        ways.add(way)
        return cost

    Load(tuner, costs, in_flight).run(500 * MS)
    assert ways == {_tuner.WAY_POLL, _tuner.WAY_BLOCK}


def test_one_at_a_time_is_left_again_where_calls_sleep(tuner):
    sleepy = [(30 * US, 20 * US)] * 2 + [(60 * US, 20 * US)] * 2
    load = Load(
        tuner, lambda way, now: (FIGHT if now < 400 * MS else sleepy)[way], 8
    ).run(350 * MS)
    while load.trial.stage:
        load.epoch()
    assert load.now_ns < 400 * MS
    assert load.trial.way & _tuner.WAY_SERIAL
    load.run(300 * MS)
    assert not load.trial.way & _tuner.WAY_SERIAL


CROWD = ((30 * US, 40 * US), (31 * US, 41 * US))  # many at once
FEW = ((16 * US, 20 * US), (18 * US, 20 * US))
ONE = ((25 * US, 30 * US), (28 * US, 30 * US))


@pytest.mark.parametrize(
    ("order", "best"),
    [
        ((*CROWD, *ONE, *FEW, *ONE), _tuner.WAY_FEW),
        ((*CROWD, *FEW, *ONE, *FEW), _tuner.WAY_SERIAL),
        ((*FEW, *ONE, *CROWD, *ONE), _tuner.WAY_POLL),
        # Fewer that compute less: not where less gets through.
        (((16 * US, 40 * US),) * 4 + ((20 * US, 16 * US),) * 4, _tuner.WAY_POLL),
        # More gets through, and it takes more, if not clearly more in all.
        (((20 * US, 16 * US),) * 4 + ((16 * US, 28 * US),) * 4, _tuner.WAY_FEW),
        (((20 * US, 16 * US),) * 4 + ((16 * US, 40 * US),) * 4, _tuner.WAY_POLL),
    ],
)
def test_as_many_at_once_as_pays(tuner, order, best):
    load = Load(tuner, constant(*order), 64, crowd=True).run(400 * MS)
    way = load.trial.way & ~_tuner.WAY_BLOCK
    # Where it is one at a time it matters not what else would be.
    assert (way & _tuner.WAY_SERIAL or way) == best


@pytest.mark.parametrize("crowd", [True, False])
def test_what_others_do_is_tried_first_and_a_few_next(tuner, crowd):
    load = Load(tuner, constant(*CROWD, *ONE, *FEW, *ONE), 64, crowd=crowd)
    # What is counted to it must not be what was running before.
    tried = [(_tuner.WAY_BLOCK, 8, 30)] + [(_tuner.WAY_FEW, 64, 40)] * crowd
    for way, calls, within_ms in tried:
        while not load.trial.stage:
            load.epoch()
        assert load.trial.way == way
        assert load.trial.calls_min == calls
        assert load.now_ns < within_ms * MS
        while load.trial.stage:
            load.epoch()


@pytest.mark.parametrize("period_ms", [10, 14, 20, 30])
def test_nothing_is_left_out_where_the_load_changes_all_the_time(tuner, period_ms):
    tried = 0

    def costs(way, now):
        nonlocal tried
        tried |= way
        times = 1 + 2 * (now // (period_ms * MS) % 2)
        return 30 * US * times, 40 * US * times

    Load(tuner, costs, 64, crowd=True).run(1000 * MS)
    assert tried == _tuner.WAY_BLOCK | _tuner.WAY_SERIAL | _tuner.WAY_FEW


# A few get through more than many, and one at a time costs less than they.
BOTH = (
    *CROWD,
    *CROWD,
    (25 * US, 45 * US),
    (26 * US, 46 * US),
    *((26 * US, 28 * US),) * 2,
)


@pytest.mark.parametrize(
    ("fight", "way"),
    [
        ((*CROWD, *FEW, *ONE, *FEW), _tuner.WAY_SERIAL),
        ((*CROWD, *ONE, *FEW, *ONE), _tuner.WAY_FEW),
        (BOTH, _tuner.WAY_SERIAL | _tuner.WAY_FEW),
    ],
)
def test_many_at_once_are_taken_again_where_calls_sleep(tuner, fight, way):
    """A few, and one at a time, are as bad as each other then."""
    sleepy = ((32 * US, 20 * US),) * 2 + ((80 * US, 22 * US),) * 6
    load = Load(
        tuner,
        lambda taken, now: (fight if now < 400 * MS else sleepy)[taken],
        64,
        crowd=True,
    ).run(350 * MS)
    assert load.trial.way & way == way
    load.run(500 * MS)
    assert not load.trial.way & ~_tuner.WAY_BLOCK


@pytest.mark.parametrize(
    ("cost", "crowd"), [((30 * US, 40 * US), False), ((30 * US, 20 * US), True)]
)
def test_a_few_are_not_tried_where_no_more_run_nor_where_calls_sleep(
    tuner, cost, crowd
):
    ways = set()

    def costs(way, _):
        ways.add(way & _tuner.WAY_FEW)
        return cost

    Load(tuner, costs, 64, crowd=crowd).run(500 * MS)
    assert ways == {0}


def test_trial_that_is_dropped_is_not_begun_again_at_once(tuner):
    load = Load(tuner, constant((10 * US, 20 * US), (20 * US, 10 * US)))
    for _ in range(10):
        while not load.trial.stage:
            load.epoch()
        assert tuner.poll_trial_drop(load.trial)
        assert load.trial.way == _tuner.WAY_POLL
        assert not load.trial.stage
    assert load.now_ns > 400 * MS


@pytest.mark.parametrize("in_flight", [1, 8, 64])
def test_trial_is_gone_on_with_in_the_next_burst(tuner, in_flight):
    """No burst is long enough to know."""
    load = Load(tuner, constant((50 * US, 60 * US), (45 * US, 45 * US)), in_flight)
    while _tuner.TRIAL_WON not in load.verdicts:
        burst = load.calls + 200
        while load.calls < burst:
            load.epoch()
        assert not tuner.poll_trial_pause(load.trial, 2 * MS, in_flight)
        assert _tuner.TRIAL_LOST not in load.verdicts
        assert load.calls < 1000


def test_trial_of_calls_that_come_seldom_is_dropped(tuner):
    """No epoch of it is over between two pauses."""
    load = Load(tuner, constant((10 * US, 20 * US), (20 * US, 10 * US)))
    while not load.trial.stage:
        load.epoch()
    assert load.trial.way == _tuner.WAY_BLOCK
    assert not tuner.poll_trial_pause(load.trial, 2 * MS, 1)
    assert load.trial.way == _tuner.WAY_BLOCK
    assert tuner.poll_trial_pause(load.trial, 2 * MS, 1)
    assert load.trial.way == _tuner.WAY_POLL
    assert not load.trial.stage


def test_trials_are_ever_rarer_while_the_answer_stays_the_same(tuner):
    load = Load(tuner, constant((10 * US, 20 * US), (20 * US, 10 * US))).run(100 * MS)
    assert load.begun >= 3
    soon = load.begun
    load.run(1000 * MS)
    assert 10 <= load.begun - soon <= 16
    assert _tuner.TRIAL_WON not in load.verdicts


def test_first_epoch_says_no_more_than_those_that_follow(tuner):
    def costs(way, now_ns):
        times = 8 if way else 1.3 if now_ns < 10 * MS else 1
        return int(40 * US * times), int(60 * US * times)

    load = Load(tuner, costs).run(30 * MS)
    assert load.trial.cost_ns[_tuner.WAY_POLL] <= 108 * US


def test_hopeless_way_is_left_while_it_settles_and_rarely_tried(tuner):
    load = Load(tuner, constant((1 * US, 2 * US), (50 * US, 40 * US))).run(300 * MS)
    assert 3 <= load.begun <= 5
    more_ns = load.total_ns - load.calls * 3 * US
    assert more_ns <= load.begun * 5 * 90 * US  # or settling alone would take as much


def test_first_calls_after_a_pause_say_nothing_of_a_trial(tuner):
    load = Load(tuner, constant((30 * US, 60 * US), (31 * US, 61 * US)))
    while load.trial.stage != _tuner.TRIAL_TRIES or not load.trial.tried.calls:
        load.epoch()
    tried, credit_ns = load.trial.tried.calls, load.trial.credit_ns
    assert not tuner.poll_trial_pause(load.trial, 2 * MS, 1)
    wakes = _tuner.CallCosts(4, 4000 * US, 4000 * US, 1)
    assert tuner.poll_trial_next(load.trial, wakes, 1) == _tuner.TRIAL_NONE
    assert load.trial.stage == _tuner.TRIAL_TRIES
    assert (load.trial.tried.calls, load.trial.credit_ns) == (tried, credit_ns)
    load.epoch()
    assert load.trial.tried.calls > tried


def test_first_calls_after_a_pause_say_nothing_of_the_load(tuner):
    load = Load(tuner, constant((30 * US, 60 * US), (60 * US, 60 * US))).run(300 * MS)
    known_ns = load.trial.cost_ns[_tuner.WAY_POLL]
    for _ in range(9):
        assert not tuner.poll_trial_pause(load.trial, 2 * MS, 1)
        assert load.trial.calls_min < 32  # it is over soon
        wakes = _tuner.CallCosts(4, 150 * US, 300 * US, 1)
        assert tuner.poll_trial_next(load.trial, wakes, 1) == _tuner.TRIAL_NONE
    assert load.trial.cost_ns[_tuner.WAY_POLL] == known_ns
    assert load.trial.calls_min == 32
    assert load.trial.pauses == 9  # nothing was measured between them


def test_one_odd_epoch_is_no_change(tuner):
    load = Load(tuner, constant((10 * US, 20 * US), (40 * US, 20 * US))).run(300 * MS)
    known_ns = load.trial.cost_ns[_tuner.WAY_POLL]
    odd = _tuner.CallCosts(500, 50 * MS, 50 * MS, 1)
    assert tuner.poll_trial_next(load.trial, odd, 1) == _tuner.TRIAL_NONE
    assert load.trial.cost_ns[_tuner.WAY_POLL] == known_ns
    tuner.poll_trial_next(load.trial, odd, 1)
    assert load.trial.cost_ns[_tuner.WAY_POLL] == 200 * US


@pytest.mark.parametrize(("before", "after"), [(2, 8), (8, 2), (1, 2), (64, 8)])
def test_more_or_fewer_in_flight_is_another_load(tuner, before, after):
    """Though by the way that is taken a call costs what it did."""
    for change_ns in range(1000 * MS, 1200 * MS, 7 * MS):
        load = Load(tuner, constant((20 * US, 40 * US), (40 * US, 40 * US)), before)
        load.run(change_ns)
        assert load.trial.way == _tuner.WAY_POLL
        load.in_flight = after
        load.cost = constant((20 * US, 40 * US), (15 * US, 15 * US))
        load.run(30 * MS)
        assert load.trial.way & _tuner.WAY_BLOCK


@pytest.mark.parametrize("period_ms", [20, 40])
@pytest.mark.parametrize("blocked", [(100 * US, 80 * US), (1000 * US, 200 * US)])
def test_load_of_more_and_fewer_costs_little_more(tuner, blocked, period_ms):
    """What was spent on trying is not forgiven where calls cost the same."""
    load = Load(tuner, constant((20 * US, 40 * US), blocked), 16).run(200 * MS)
    load.calls = load.total_ns = 0
    for turn in range(5000 // period_ms):
        load.in_flight = 16 << turn % 2
        load.run(period_ms * MS)
    assert load.total_ns <= 1.03 * 60 * US * load.calls + 10 * MS


def test_one_that_is_more_for_a_moment_is_no_other_load(tuner):
    load = Load(tuner, constant((10 * US, 20 * US), (20 * US, 10 * US))).run(1000 * MS)
    begun = load.begun
    for _ in range(100):
        for load.in_flight in (2, 1, 1):
            load.epoch()
    assert load.begun - begun <= 24


def test_trial_of_long_calls_is_over_before_they_are_others(tuner):
    load = Load(tuner, constant((5 * MS, 1 * MS), (5 * MS, 1 * MS)))
    while not load.begun:
        load.epoch()
    began_ns = load.now_ns
    while load.trial.stage:
        load.epoch()
    assert load.now_ns - began_ns <= (4 + 16 + 4) * 5 * MS


def test_other_way_that_is_far_worse_is_left_after_few_calls(tuner):
    load = Load(tuner, constant((1 * US, 2 * US), (500 * US, 100 * US)))
    while load.trial.way == _tuner.WAY_POLL:
        load.epoch()
    calls = load.calls
    while load.trial.way == _tuner.WAY_BLOCK:
        load.epoch()
    assert load.calls - calls <= 20


def test_moment_in_which_the_machine_stood_still_is_no_debt_for_long(tuner):
    load = Load(tuner, constant((10 * US, 20 * US), (40 * US, 20 * US)))
    load.epoch()
    assert not load.trial.stage  # nothing is known yet
    load.epoch()
    assert load.trial.stage
    tuner.poll_trial_next(load.trial, _tuner.CallCosts(4, 10_000 * MS, 0, 1), 1)
    load.run(10 * MS)
    begun = load.begun
    load.run(3000 * MS)
    assert load.begun > begun


@given(
    st.lists(
        st.tuples(
            *(st.integers(1, 2**16), st.integers(0, 2**45), st.integers(0, 2**45)),
            *(st.integers(0, 2**32 - 1), st.booleans()),
        ),
        max_size=50,
    ),
    st.integers(0, 2**32 - 1),
)
def test_any_costs_are_borne(tuner, epochs, in_flight):
    trial = _tuner.PollTrial()
    tuner.poll_trial_init(trial)
    for epoch in epochs:
        verdict = tuner.poll_trial_next(trial, _tuner.CallCosts(*epoch), in_flight)
        assert 0 <= verdict <= _tuner.TRIAL_WON
        assert trial.way < 8
        assert 0 < trial.calls_min <= 128
        assert 0 < trial.ns_min <= 5 * MS
