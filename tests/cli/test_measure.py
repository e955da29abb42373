# SPDX-License-Identifier: MIT
"""The measurement itself: its modes and rounds, and what it makes of them."""

from __future__ import annotations

import pytest
from measuring import (
    MODES,
    TREE_BYTES,
    TREE_FILES,
    document,
    make_tree,
    measurement,
    run,
)

from tpool.cli.measure import measure, peers
from tpool.cli.rounds import in_order


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree")


def test_json_counts_every_file_in_every_round_of_every_mode(tree):
    result = run("measure", "--json", "--rounds", 2, tree)
    assert (result.returncode, result.stderr) == (0, "")
    found = document(result)
    assert found["files"] == TREE_FILES
    assert found["bytes"] == TREE_BYTES
    assert found["digests_agree"] is True
    assert found["interrupted"] is False
    assert found["unreadable"] == found["changed"] == found["mismatched"] == []
    assert [mode["name"] for mode in found["modes"]] == MODES
    for mode in found["modes"]:
        assert mode["rounds"] == 2
        assert mode["files"] == 2 * TREE_FILES
        assert mode["files_per_s"] > 0
        assert 0 < mode["latency_p50_us"] <= mode["latency_p99_us"]
        for shares in filter(None, (mode["owner"], mode["workers"])):
            assert sum(shares.values()) == pytest.approx(1)
            assert min(shares.values()) >= 0


def test_polling_off_never_polls_neither_owner_nor_worker(tree):
    off = document(run("measure", "--json", tree))["modes"][0]
    assert off["owner"]["polled"] == 0
    assert off["workers"]["polled"] == 0


def test_polling_on_is_not_switched_off_by_the_environment(tree, monkeypatch):
    monkeypatch.setenv("TPOOL_POLL_MAX_NS", "0")
    given = []
    context = peers.AioContext

    def spy(**options):
        given.append(options)
        return context(**options)

    monkeypatch.setattr(peers, "AioContext", spy)
    measurement(tree).run()
    assert [options["poll_max_ns"] > 0 for options in given] == [False, True]


def test_each_round_begins_with_another_mode(tree):
    order = []

    def progress(what, done, total):
        if what.startswith("round") and what not in order:
            order.append(what)

    measurement(tree, progress, rounds=3).run()
    assert order == [
        f"round {number + 1} of 3, {name}"
        for number in range(3)
        for name in in_order(MODES, number)
    ]


def test_no_more_than_the_bound_is_in_flight(tree, monkeypatch):
    flying = []
    highest = dict.fromkeys(MODES, 0)

    def watch(kind):
        submit, next_done = kind.submit, kind.next_done

        def counted_submit(self, position, item):
            flying.append(position)
            highest[self.name] = max(highest[self.name], len(flying))
            submit(self, position, item)

        def counted_done(self):
            done = next_done(self)
            flying.remove(done.position)
            return done

        monkeypatch.setattr(kind, "submit", counted_submit)
        monkeypatch.setattr(kind, "next_done", counted_done)

    watch(measure.TpoolPeer)
    watch(measure.FuturesPeer)
    measurement(tree).run()
    assert highest == dict.fromkeys(MODES, 64)
    assert flying == []


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 10), (50, 20), (51, 30), (99, 40), (100, 40)]
)
def test_percentiles_are_of_nearest_rank(percent, expected):
    assert measure.percentile([10, 20, 30, 40], percent) == expected


def test_an_interrupted_pass_does_not_spoil_the_median():
    half = measure.Pass([5], wall_ns=10**9)
    whole = measure.Pass([1, 2], wall_ns=10**9, complete=True)
    assert measure._summary("x", [whole, half]).files_per_s == 2
    assert measure._summary("x", [half]).files_per_s == 1
    assert measure._summary("x", []).files_per_s is None
