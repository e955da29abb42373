# SPDX-License-Identifier: MIT
"""CpuMeter: of CPU time that was really burnt, however busy the machine is."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time

import pytest
from conftest import needs_polling, wait_until

import tpool

pytestmark = pytest.mark.timeout(120)
BURN_S = 0.05
# What other than the burning is counted: readings, starts of threads.
ERROR_S = 0.02
# By how much the clock of the process and those of its threads may differ.
DIFFERENT_S = 0.001


def burn(cpu_s=BURN_S):
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def test_owner_workers_and_rest_are_told_apart(ctx, pool):
    with tpool.CpuMeter(ctx) as meter:
        burn()
        pool.submit(burn, 2 * BURN_S).result()
        thread = threading.Thread(target=burn, args=(3 * BURN_S,))
        thread.start()
        thread.join()
    usage = meter.usage
    assert BURN_S <= usage.owner_s < BURN_S + ERROR_S
    assert 2 * BURN_S <= usage.workers_s < 2 * BURN_S + ERROR_S
    assert 3 * BURN_S - DIFFERENT_S <= usage.rest_s < 3 * BURN_S + ERROR_S
    assert usage.process_s == pytest.approx(
        usage.owner_s + usage.workers_s + usage.rest_s, abs=1e-6
    )


def test_sleeping_costs_nothing(cpu_meter):
    with cpu_meter() as meter:
        time.sleep(0.2)
    assert meter.usage.wall_s >= 0.2
    assert meter.usage.process_s < ERROR_S
    assert meter.usage.utilisation < 0.1


def test_without_a_context_the_owner_is_the_thread_that_starts(background):
    meter = tpool.CpuMeter()
    meter.start()
    background(burn).finish()
    burn(2 * BURN_S)
    usage = meter.stop()
    assert 2 * BURN_S <= usage.owner_s < 2 * BURN_S + ERROR_S
    assert BURN_S - DIFFERENT_S <= usage.rest_s < BURN_S + ERROR_S
    assert usage.workers_s == 0
    assert usage.owner is usage.workers is None


def test_workers_that_start_and_end_meanwhile_are_counted(ctx):
    with tpool.CpuMeter(ctx) as meter:
        for _ in range(4):
            with tpool.ThreadPool(ctx, max_threads=2) as pool:
                for _ in pool.map(burn, [BURN_S] * 2):
                    pass
    assert 8 * BURN_S <= meter.usage.workers_s < 8 * BURN_S + 4 * ERROR_S
    assert meter.usage.rest_s < ERROR_S


def test_an_owner_in_a_thread_of_its_own_is_found(background):
    with tpool.IOThread() as thread:
        done = threading.Event()
        with tpool.CpuMeter(thread.ctx) as meter:
            thread.ctx.call_soon(lambda: (burn(), done.set()))
            assert done.wait(60)
    assert BURN_S <= meter.usage.owner_s < BURN_S + ERROR_S


def test_an_owner_that_has_ended_costs_nothing_more(background):
    made = []

    def own():
        made.append(tpool.AioContext())
        made[0].poll(False)

    background(own).finish()
    with tpool.CpuMeter(made[0]) as meter:
        burn()
    assert meter.usage.owner_s == 0
    made[0].close()


def test_an_owner_that_ends_meanwhile_leaves_no_negative_time(background, gate):
    made, burnt = [], threading.Event()

    def own():
        made.append(tpool.AioContext())
        made[0].poll(False)
        burn()
        burnt.set()
        gate.wait()

    thread = background(own)
    assert burnt.wait(60)
    with tpool.CpuMeter(made[0]) as meter:
        gate.set()
        thread.finish()
        wait_until(lambda: not os.path.exists(f"/proc/self/task/{thread.native_id}"))
    assert meter.usage.owner_s == 0
    assert meter.usage.rest_s >= 0
    made[0].close()


def test_phases_say_what_owner_and_workers_did(ctx, single):
    single.submit(int).result()
    wait_until(lambda: single.stats().idle == 1)
    with tpool.CpuMeter(ctx) as meter:
        single.submit(time.sleep, 0.1).result()
        burn()
    usage = meter.usage
    for phases in (usage.owner, usage.workers):
        parts = dataclasses.astuple(phases)
        assert min(parts) >= 0
    assert sum(dataclasses.astuple(usage.owner)) == pytest.approx(usage.wall_s)
    assert usage.owner.blocked + usage.owner.polled_missed >= 0.05
    assert usage.owner.working >= BURN_S
    assert usage.workers.working >= 0.1


def test_a_worker_that_parks_all_the_time_is_blocked(ctx):
    with tpool.ThreadPool(ctx, max_threads=1, idle_timeout=None) as pool:
        ctx.set_poll_params(0)
        pool.submit(int).result()
        wait_until(lambda: pool.stats().parked_ns)
        with tpool.CpuMeter(ctx) as meter:
            time.sleep(0.1)
        assert meter.usage.workers.blocked >= 0.09
        assert meter.usage.workers.working == 0


@needs_polling
def test_polling_in_vain_is_told_from_polling_that_hit(ctx, single):
    ctx.set_poll_params(10**9)
    with tpool.CpuMeter(ctx) as meter:
        for _ in range(50):
            single.submit(time.sleep, 0.0002).result()
    hit, missed = meter.usage.owner.polled_hit, meter.usage.owner.polled_missed
    stats = ctx.stats()
    assert stats.polled_ns * 1e-9 == pytest.approx(hit + missed)
    assert stats.missed_ns * 1e-9 == pytest.approx(missed)
    assert (hit > 0) == (stats.polls_hit > 0)


def test_per_operation_divides_all_seconds_and_nothing_else(ctx):
    with tpool.CpuMeter(ctx) as meter:
        burn()
    usage, each = meter.usage, meter.usage.per_operation(10)
    assert each.process_s == pytest.approx(usage.process_s / 10)
    assert each.owner.working == pytest.approx(usage.owner.working / 10)
    assert each.cpus == usage.cpus
    assert each.utilisation == pytest.approx(usage.utilisation)


@pytest.mark.parametrize("operations", [0, -1])
def test_per_operation_refuses_less_than_one(ctx, operations):
    with tpool.CpuMeter(ctx) as meter:
        pass
    with pytest.raises(ValueError, match=f"operations must be positive.*{operations}"):
        meter.usage.per_operation(operations)


def test_machine_is_at_least_as_busy_as_the_process(cpu_meter):
    with cpu_meter() as meter:
        burn(0.2)
    assert meter.usage.machine_s >= 0.15  # psutil counts ticks
    assert 0 < meter.usage.machine_utilisation <= 1


def test_stop_without_start_is_refused(ctx):
    meter = tpool.CpuMeter(ctx)
    with pytest.raises(RuntimeError, match="not started"):
        meter.stop()
    meter.start()
    meter.stop()
    with pytest.raises(RuntimeError, match="not started"):
        meter.stop()


def test_context_of_a_wrong_kind_is_refused():
    with pytest.raises(TypeError, match="ctx must be an AioContext or None, not 7"):
        tpool.CpuMeter(7)


def test_context_that_is_closed_is_refused():
    ctx = tpool.AioContext()
    ctx.close()
    with pytest.raises(RuntimeError, match="closed"):
        tpool.CpuMeter(ctx).start()


def test_exception_inside_is_not_hidden_by_a_closed_context():
    ctx = tpool.AioContext()

    def fail():
        with tpool.CpuMeter(ctx):
            ctx.close()
            raise KeyError

    with pytest.raises(KeyError):
        fail()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_error_against_the_kernel_s_own_account(ctx, pool):
    """The scheduler's nanoseconds of the owner, before and after the meter's."""

    def account():
        with open("/proc/thread-self/schedstat", "rb") as file:
            return int(file.read().split()[0]) * 1e-9

    errors = []
    for _ in range(50):
        before = account()
        with tpool.CpuMeter(ctx) as meter:
            burn(0.001)
        errors.append(account() - before - meter.usage.owner_s)
    # What the meter leaves out is its own readings.
    assert all(error >= -1e-6 for error in errors)
    assert min(errors) < 0.001


def test_the_fixture_comes_with_the_package(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "def test_it(cpu_meter):\n"
        "    with cpu_meter() as meter:\n"
        "        sum(range(1000))\n"
        "    assert meter.usage.process_s < 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
