# SPDX-License-Identifier: MIT
"""An fd closed behind our back that epoll cannot be told to forget: no spin."""

from __future__ import annotations

import sys

import pytest

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(sys.platform != "linux", reason="only epoll has them"),
]
KINDS = ("plain", "foreign", "loop", "working")


@pytest.mark.parametrize("removed", ["removed", "forgotten"])
@pytest.mark.parametrize("how", ["filled", "forbidden"])
@pytest.mark.parametrize("kind", KINDS)
def test_with_no_fd_left_it_is_reported_once_and_all_else_goes_on(
    isolated, kind, how, removed
):
    isolated("ghosts.py", f"{kind} {how} {removed}")


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_readable_no_more_is_forgotten_when_there_is_an_fd(isolated, kind):
    isolated("ghosts.py", f"{kind} vanish")


@pytest.mark.parametrize("where", ["callback", "signal"])
@pytest.mark.parametrize("case", ["raising", "fork"])
def test_it_is_forgotten_by_a_turn_that_raises_and_by_no_child(isolated, case, where):
    isolated("ghosts.py", f"plain {case} {where}")
