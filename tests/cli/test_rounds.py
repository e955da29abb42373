# SPDX-License-Identifier: MIT
"""Orders of rounds: who begins, and who comes behind whom."""

from __future__ import annotations

import collections
import itertools

import pytest

from tpool.cli.rounds import in_order


@pytest.mark.parametrize("peers", ["ab", "abc", "abcd", "abcde", "abcdef"])
def test_everybody_begins_as_often_and_comes_behind_each_other_as_often(peers):
    rounds = [in_order(peers, turn) for turn in range(2 * len(peers))]
    assert all(sorted(one) == list(peers) for one in rounds)
    assert collections.Counter(one[0] for one in rounds) == dict.fromkeys(peers, 2)
    pairs = collections.Counter(p for one in rounds for p in itertools.pairwise(one))
    assert pairs == dict.fromkeys(itertools.permutations(peers, 2), 2)


@pytest.mark.parametrize("peers", ["abc", "abcd", "abcde"])
def test_of_so_many_rounds_as_peers_or_fewer_none_begins_like_another(peers):
    first = [in_order(peers, turn)[0] for turn in range(len(peers))]
    assert len(set(first)) == len(first)


def test_the_first_round_is_in_their_own_order():
    assert in_order("abcdef", 0) == list("abcdef")
    assert in_order("abcdef", 1) == list("fedcba")


def test_one_is_measured_alone():
    assert [in_order("a", turn) for turn in range(3)] == [["a"]] * 3
