# SPDX-License-Identifier: MIT
"""The order in which `tpool bench` measures, and how long."""

from __future__ import annotations

import dataclasses
import signal
import threading

import pytest

from tpool.cli.bench import grid, sweep

TINY = sweep.Effort(rounds=2, pass_ns=0, warm_up_ns=0, warm_up=1, most=100)
CASES = [grid.Case(0), grid.Case(10_000), grid.Case(0, gap_ns=1_000, busy=True)]
WAYS = grid.ways([32_768])


def make(progress=None, **effort):
    return sweep.Sweep(CASES, WAYS, dataclasses.replace(TINY, **effort), progress)


def test_each_round_has_all_ways_of_all_cases():
    run = make()
    run.run()
    assert list(run.found) == CASES
    for sides in run.found.values():
        assert len(sides) == 2
        for side in sides:
            assert set(side) == set(WAYS)
            for one in side.values():
                assert len(one.latencies_ns) == 5  # the least
                assert min(one.latencies_ns) >= 0
                assert one.cpu_s > 0


def test_a_pass_ends_at_its_most_calls():
    run = make(rounds=1, pass_ns=10**15, warm_up_ns=10**15, warm_up=10**6, most=7)
    run.run()
    lengths = {
        len(one.latencies_ns)
        for sides in run.found.values()
        for side in sides
        for one in side.values()
    }
    assert lengths == {7}


def test_a_pass_is_warmed_up_unmeasured(monkeypatch):
    made = []

    def counted():
        made.append(1)
        return 0

    monkeypatch.setattr(grid, "_nothing", counted)
    effort = dataclasses.replace(TINY, rounds=1, warm_up=20)
    sweep.Sweep([grid.Case(50_000)], WAYS[:1], effort).run()  # its gap is nothing
    assert len(made) == 20 + 5


def test_each_round_begins_with_another_way_and_all_are_side_by_side():
    run = make()
    run.run()
    for sides in run.found.values():
        assert [list(side) for side in sides] == [WAYS, WAYS[::-1]]


def test_progress_tells_every_pass_before_it_begins():
    told = []
    run = make(lambda *told_now: told.append(told_now))
    run.run()
    total = 2 * len(CASES) * len(WAYS)
    assert [done for _, done, _ in told] == list(range(total))
    assert {total for *_, total in told} == {total}
    assert told[0][0] == "round 1 of 2, no-op"
    assert told[-1][0] == f"round 2 of 2, {CASES[-1].name}"


def test_the_latency_is_without_the_call_itself(monkeypatch):
    """The call says that it took an hour."""
    monkeypatch.setattr(grid, "_nothing", lambda: 3_600 * 10**9)
    run = sweep.Sweep([grid.Case(0)], WAYS[:1], TINY)
    run.run()
    assert set(run.found[grid.Case(0)][0][WAYS[0]].latencies_ns) == {0}


def test_blocking_never_polls(monkeypatch):
    stats = {}

    class Spy(sweep.CpuMeter):
        def stop(self):
            stats.setdefault(self._ctx.poll_max_ns, []).append(self._ctx.stats())
            return super().stop()

    monkeypatch.setattr(sweep, "CpuMeter", Spy)
    make().run()
    assert set(stats) == {0, 32_768}
    assert [one.polled_ns for one in stats[0]] == [0] * len(stats[0])


@pytest.mark.parametrize("at", range(len(CASES) * len(WAYS) + 2))
def test_an_interrupt_keeps_what_is_complete_and_leaves_no_thread(at):
    def progress(what, done, total):
        if done == at:
            raise KeyboardInterrupt

    run = make(progress)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    complete = sum(len(sides) for sides in run.found.values())
    assert complete == at // len(WAYS)
    for sides in run.found.values():
        assert all(set(side) == set(WAYS) for side in sides)
    assert threading.active_count() == 1


@pytest.fixture
def handler():
    """Return a function that makes the handler of a sweep that of SIGINT."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda run: signal.signal(signal.SIGINT, run.interrupt.handler)
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_while_a_pool_is_made_waits_until_it_is(monkeypatch, handler):
    made = []

    def interrupted(*arguments, **options):
        signal.raise_signal(signal.SIGINT)  # raises nothing here
        made.append(pool(*arguments, **options))
        return made[-1]

    pool = sweep.ThreadPool
    monkeypatch.setattr(sweep, "ThreadPool", interrupted)
    run = make()
    handler(run)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert len(made) == 1
    with pytest.raises(RuntimeError):
        made[0].submit(int)  # it was shut down


def test_an_interrupt_in_a_pass_is_raised_at_once(handler):
    """The pass would go on for a million seconds."""
    run = make(pass_ns=10**15, most=10**9)
    run.cases = [grid.Case(0, gap_ns=1_000_000)]
    run.progress = lambda what, done, total: timer.start()
    me = threading.get_ident()
    timer = threading.Timer(0.01, lambda: signal.pthread_kill(me, signal.SIGINT))
    handler(run)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    timer.join()
    assert run.found == {}
    assert threading.active_count() == 1
