# SPDX-License-Identifier: MIT
"""Each benchmark runs, and prints and writes what it promises."""

from __future__ import annotations

import functools
import itertools
import json
import subprocess
import sys

import _harness
import _page
import pytest
import real_calls
import tuner_traces
from conftest import ROOT
from promised import PROMISED

from tpool.cli.rounds import in_order

BENCH = ROOT / "bench"
TIMEOUT_S = 300


def run(name, *options):
    return subprocess.run(
        [sys.executable, BENCH / f"{name}.py", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_every_benchmark_is_under_test():
    files = {path.stem for path in BENCH.glob("*.py") if path.stem[0] != "_"}
    assert files == set(PROMISED)


def test_all_are_warmed_up_and_then_measured_in_orders_of_which_none_gains():
    ran = []
    peers = {name: functools.partial(ran.append, name) for name in "abcde"}
    _harness.alternate(peers, 4)
    rounds = [in_order("abcde", turn) for turn in range(4)]
    assert ran == [*"abcde", *itertools.chain(*rounds)]


@pytest.mark.parametrize("name", PROMISED)
def test_a_quick_run_prints_a_table_and_writes_what_it_promises(name, tmp_path):
    columns, n, rows, more = PROMISED[name]
    result = run(name, "--quick", "--json", tmp_path / "out.json")
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text())
    common = {
        *("bench", "question", "command", "date", "environment"),
        *("quick", "rounds", "rows", "notes"),
    }
    assert set(found) == common | more
    assert (found["bench"], found["quick"], found["rounds"]) == (name, True, 1)
    assert found["command"] == f"python bench/{name}.py --quick"
    assert {"python", "gil", "cpus", "kernel"} <= set(found["environment"])
    optional = ("gevent threadpool", "uvloop", "anyio", "trio")
    kept = [row for row in found["rows"] if row["peer"] not in optional]
    assert [(row["case"], row["peer"]) for row in kept] == rows
    for row in found["rows"]:
        assert set(row) == columns
        assert row["n"] in n if n else row["n"] > 0
    assert found["question"] in result.stdout
    for _, peer in rows:
        assert peer in result.stdout
    section = "\n".join(_page.section(found))
    assert all(f"| {peer} |" in section for _, peer in rows)


def test_ratios_of_real_calls_are_of_one_round_and_two_alike_say_what_they_mean():
    rates = {
        "on": (400, 90, 60),
        "off": (100, 30, 20),
        "off again": (50, 33, 19),
        "stock": (200, 10, 12),
    }
    found = {
        name: [_harness.summarize((), per_s, 1_000_000_000, 0) for per_s in each]
        for name, each in rates.items()
    }
    row = real_calls.cell("a call", "pool, 1 in flight", 1, found)
    ratios = (row.ratio_off, row.ratio_stock, row.ratio_again)
    assert ratios == pytest.approx((3, 5, 0.95))


@pytest.mark.parametrize("name", PROMISED)
def test_no_round_at_all_is_refused(name):
    result = run(name, "--rounds", "0")
    assert result.returncode == 2
    assert "--rounds" in result.stderr


@pytest.mark.parametrize("kind", ["self-tuned", "hybrid"])
def test_self_tuning_is_no_worse_than_qemu_s_rule_where_a_wake_up_is_dear(kind):
    """On every synthetic trace, in latency and in CPU; and better on most.

    A nap is CPU time for waiting saved: where it is made, the two together.
    """
    machine, better = tuner_traces.MACHINES[0], 0
    for name, make in tuner_traces.SYNTHETIC.items():
        gaps = tuner_traces.in_ns(name, make, 3000)
        rows = tuner_traces.replay(name, gaps, 32_768, tuner_traces.steady(machine))
        peers = {row.peer: row for row in rows}
        row, rule = peers[kind], peers[tuner_traces.QEMU]
        saved_us = rule.mean_us - row.mean_us if kind == "hybrid" else 0
        assert row.ratio_mean > 1 - tuner_traces.TOLERANCE, name
        most_us = rule.cpu_us_per_op * (1 + tuner_traces.TOLERANCE) + max(saved_us, 0)
        assert row.cpu_us_per_op < most_us, name
        better += max(row.ratio_mean, row.ratio_cpu) > 1.02
    assert better > len(tuner_traces.SYNTHETIC) // 2


@pytest.mark.parametrize("name", tuner_traces.WORLDS)
def test_what_is_measured_is_hardly_worse_than_the_better_way(name):
    """Where no model knows what polling costs, in time and CPU together."""
    until_ns = 2e9 if "second" in name else 5e8
    rows = {row.peer: row for row in tuner_traces.replay_world(name, 32_768, until_ns)}
    assert rows["measured"].ratio_total > 0.97
    assert rows["measured"].ratio_total > rows["QEMU's rule"].ratio_total - 0.03


def test_own_trace_is_replayed_too(tmp_path):
    (tmp_path / "mine").write_text("5000\n" * 50)
    result = run("tuner_traces", "--quick", "--trace", tmp_path / "mine")
    assert (result.returncode, result.stderr) == (0, "")
    assert "virtual machine: mine" in result.stdout


@pytest.mark.parametrize("text", ["", "5\n-3\n", "5\nfast\n", None])
def test_own_trace_that_cannot_be_read_is_named(text, tmp_path):
    if text is not None:
        (tmp_path / "mine").write_text(text)
    result = run("tuner_traces", "--quick", "--trace", tmp_path / "mine")
    assert result.returncode == 2
    assert f"argument --trace: {tmp_path / 'mine'}" in result.stderr
