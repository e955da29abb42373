# SPDX-License-Identifier: MIT
"""How long does one hop to a thread and back take in each event loop?"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import _harness as h
import _loops

import tpool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

WIDTH = 64


def executor_hop() -> Awaitable[None]:
    """Hop as most libraries do."""
    return asyncio.get_running_loop().run_in_executor(None, h.noop)


def guest_hop() -> Awaitable[None]:
    """Hop by tpool on whatever loop runs."""
    return tpool.to_thread(h.noop)


async def ours(n: int, hop: str, width: int) -> h.Sample:
    """Run one peer."""
    call = {"run_in_executor": executor_hop, "tpool.to_thread": guest_hop}[hop]
    if width == 1:
        return await _loops.one_in_flight(call, n)
    return await _loops.gathered(call, n, width)


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=5_000, help="a round; default: 5000")
    options = h.parse(made, {"n": 128})
    table: list[h.Row] = []
    with _loops.runners() as runners:

        def peer(name: str, hop: str, width: int) -> h.Sample:
            main: Coroutine[None, None, h.Sample] = ours(options.n, hop, width)
            return runners[name].run(main)

        for hop in ("run_in_executor", "tpool.to_thread"):
            for width in (1, WIDTH):
                peers: h.Peers = {
                    name: partial(peer, name, hop, width) for name in runners
                }
                samples = h.alternate(peers, options.rounds)
                table += h.rows(f"{hop}, {width}", samples, _loops.STOCK)
    h.report("Hop of a no-op to a thread and back", __file__, options, table)


if __name__ == "__main__":
    main()
