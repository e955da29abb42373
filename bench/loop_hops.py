# SPDX-License-Identifier: MIT
"""How long does one hop to a thread and back take in each event loop?"""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import _harness as h
import _loops

import tpool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

WIDTH = 64
Hop = Any  # Callable[[], Awaitable[None]]; each library's own idea of it


def executor_hop() -> Awaitable[None]:
    """Hop as most libraries do."""
    return asyncio.get_running_loop().run_in_executor(None, h.noop)


def guest_hop() -> Awaitable[None]:
    """Hop by tpool on whatever loop runs."""
    return tpool.to_thread(h.noop)


def hops(call: Hop, n: int, width: int) -> Coroutine[Any, Any, h.Sample]:
    """Time a hop in the loop that runs."""
    if width == 1:
        return _loops.one_in_flight(call, n)
    return _loops.gathered(call, n, width)


def anyio_peer(runner: asyncio.Runner, n: int, width: int) -> h.Sample:
    """Anyio's own threads, on the stock loop."""
    import anyio.to_thread  # type: ignore[import-not-found, unused-ignore]

    call = partial(anyio.to_thread.run_sync, h.noop)
    return runner.run(hops(call, n, width))


def trio_peer(n: int, width: int) -> h.Sample:
    """Trio, which has a loop and threads of its own."""
    import trio  # type: ignore[import-not-found, unused-ignore]

    call = partial(trio.to_thread.run_sync, h.noop)
    if width == 1:
        return trio.run(_loops.one_in_flight, call, n)  # type: ignore[no-any-return, unused-ignore]
    return trio.run(_loops.gathered, call, n, width, _loops.trio_gather)  # type: ignore[no-any-return, unused-ignore]


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument("--n", type=int, default=1_000, help="a round; default: 1000")
    options = h.parse(made, {"n": 128})
    n = options.n
    table: list[h.Row] = []
    with _loops.runners() as runners:

        def peer(name: str, call: Hop, width: int) -> h.Sample:
            return runners[name].run(hops(call, n, width))

        for hop, call in (
            ("run_in_executor", executor_hop),
            ("tpool.to_thread", guest_hop),
        ):
            for width in (1, WIDTH):
                peers: h.Peers = {
                    name: partial(peer, name, call, width) for name in runners
                }
                if call is executor_hop:
                    if find_spec("anyio"):
                        stock = runners[_loops.STOCK]
                        peers["anyio"] = partial(anyio_peer, stock, n, width)
                    if find_spec("trio"):
                        peers["trio"] = partial(trio_peer, n, width)
                samples = h.alternate(peers, options.rounds)
                table += h.rows(f"{hop}, {width}", samples, _loops.STOCK)
    h.report("Hop of a no-op to a thread and back", __file__, options, table)


if __name__ == "__main__":
    main()
