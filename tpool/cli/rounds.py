# SPDX-License-Identifier: MIT
"""In which order peers are measured, so that none gains by whom it comes behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["in_order"]

_T = TypeVar("_T")


def in_order(peers: Sequence[_T], turn: int) -> list[_T]:
    """Return the peers in the order of a round; in the first one it is their own.

    Every second round is in the opposite order of the one before. In twice as many rounds
    as there are peers everybody begins twice, and comes as often behind each of the
    others: threads stay for a while where they were put, and the same peer, measured
    twice in each round, differed by an eighth where it came always behind itself the one
    time, and behind a plain loop the other.

    Args:
        peers: Whoever is measured, at least one.
        turn: Number of the round, from 0.

    Source: E. J. Williams, Experimental designs balanced for the estimation of residual
        effects of treatments, 1949.
    """
    count = len(peers)
    # 0, 1, -1, 2, -2, ...: from one to the next it is each time another distance.
    steps = [(n + 1) // 2 * (-1) ** (n + 1) % count for n in range(count)]
    named = dict(zip(steps, peers, strict=True))
    order = [named[(turn // 2 + step) % count] for step in steps]
    return order[::-1] if turn % 2 else order
