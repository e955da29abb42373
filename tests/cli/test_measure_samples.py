# SPDX-License-Identifier: MIT
"""Some files, and no-ops, with 1, 2, 8 and 64 in flight, side by side."""

from __future__ import annotations

import pytest
from measuring import MODES, TREE_FILES, document, make_tree, measurement, run

from tpool.cli.measure import measure, peers, report, samples

WIDTHS = [("no-op", 1), ("files", 1), ("files", 2), ("files", 8), ("files", 64)]


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


def test_json_has_each_way_for_each_number_in_flight(tree):
    found = document(run("measure", "--json", "--rounds", 2, tree))
    taken = found["samples"]
    assert [(one["what"], one["in_flight"]) for one in taken] == WIDTHS
    for one in taken:
        assert [mode["name"] for mode in one["modes"]] == MODES
        for mode in one["modes"]:
            assert mode["rounds"] == 2
            assert mode["calls_per_s"] > 0
            assert mode["latency_p50_us"] > 0
            assert mode["cpu_us_per_call"] >= 0
    assert all(0 < one["calls"] <= TREE_FILES for one in taken[1:])
    assert found["digests_agree"] is True
    assert found["summary"].startswith("tpool, polling on, 1, 2, 8, 64 files in flight")


def test_table_and_summary_are_printed(tree):
    out = run("measure", "--rounds", 1, tree).stdout
    rows = [line.split("  ")[0] for line in out.splitlines()]
    start = rows.index("no-op")
    assert rows[start : start + 5] == [
        "no-op",
        "1 file",
        "2 files",
        "8 files",
        "64 files",
    ]
    assert "times the rate of tpool, polling off at" in " ".join(out.split())
    assert "times the rate of concurrent.futures at" in " ".join(out.split())


def test_no_more_than_so_many_are_in_flight(tree, monkeypatch):
    flying, most = [], []
    submit, next_done = measure.TpoolPeer.submit, measure.TpoolPeer.next_done
    run_peer = measure.TpoolPeer.run

    def counted_submit(self, position, item):
        flying.append(position)
        most[-1][1] = max(most[-1][1], len(flying))
        submit(self, position, item)

    def counted_done(self):
        done = next_done(self)
        flying.remove(done.position)
        return done

    def counted_run(self, items, take, *bound_and_work):
        most.append([bound_and_work[:1], 0])
        run_peer(self, items, take, *bound_and_work)

    monkeypatch.setattr(measure.TpoolPeer, "submit", counted_submit)
    monkeypatch.setattr(measure.TpoolPeer, "next_done", counted_done)
    monkeypatch.setattr(measure.TpoolPeer, "run", counted_run)
    measurement(tree).run()
    bounds = [bound[0] for bound, _ in most if bound]
    assert bounds == [1] * 4 + [2] * 2 + [8] * 2 + [64] * 2
    assert all(highest == bound[0] for bound, highest in most if bound)


class Recorder:
    """A way to threads that has all done at once."""

    name = "recorder"

    def __init__(self):
        self.runs = []

    def run(self, items, take, most, work):
        self.runs.append((list(items), most, work))
        for position, _ in enumerate(items):
            take(peers.Done(position, 1, 3, None))


def test_a_sample_of_many_files_is_spread_over_all_of_them():
    recorder, taken, told = Recorder(), [], []

    def take(done, latencies):
        taken.append(done.position)
        latencies.append(done.seen_ns - done.submitted_ns)

    made = samples.Samples()
    made.run([recorder], range(10_000), 1_000_000, take, told.append)
    (noops, _, nothing), *files = recorder.runs
    assert noops == [0] * len(noops)
    assert nothing(0, None) is None
    for items, most, work in files:
        assert work is None  # the default: to read it
        step = items[1]
        assert items == list(range(0, 10_000, step))
        assert 90 <= len(items) <= 150, most
        assert taken[: len(items)] == items  # the index is that of the file
        del taken[: len(items)]
    assert [mode.latency_p50_us for one in made.results() for mode in one.modes] == [
        0.002
    ] * 5
    assert told == [f"{what}, {width} in flight, recorder" for what, width in WIDTHS]


def mode(name, per_s, cpu):
    return samples.SampleMode(name, 1, per_s, 1.0, cpu)


def test_summary_says_what_polling_bought_and_what_it_cost():
    taken = [
        samples.Sample("no-op", 1, 9, [mode("tpool", 40, 1), mode("asyncio", 2, 9)]),
        samples.Sample("files", 1, 9, [mode("tpool", 3, 3), mode("asyncio", 2, 2)]),
        samples.Sample("files", 2, 9, [mode("tpool", 1, 1), mode("asyncio", 2, 4)]),
    ]
    assert report._in_words(taken) == (
        "tpool, 1, 2 files in flight: 1.50, 0.50 times the rate of asyncio at "
        "1.50, 0.25 times its CPU (a no-op: 20.0 times)"
    )


def test_one_way_alone_is_compared_with_none():
    alone = [samples.Sample("files", 1, 9, [mode("tpool", 3, 3)])]
    assert report._in_words(alone) is None
    assert report._in_words([]) is None
