# SPDX-License-Identifier: MIT
"""What does it take to send a message to another process, and one back?

A process echoes what it is sent. In "one way" it takes n messages and then sends one, and
a row's time is the mean of a message. "spin" are two bytes in shared memory that Python
looks at all the time. The CPU time is that of both processes.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from time import clock_gettime_ns, perf_counter_ns
from typing import TYPE_CHECKING, Any

import _harness as h

import tpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STOCK = "multiprocessing.Pipe"
LENGTHS = {"64 bytes": 64, "16 KiB": 16384}
Side = tuple["Callable[[bytes], object]", "Callable[[], bytes]"]


def sides_of_ring() -> tuple[Side, Side]:
    there, back = tpool.Ring.create(), tpool.Ring.create()
    return (there.send, back.recv), (back.send, there.recv)


def sides_of_pipe() -> tuple[Side, Side]:
    left, right = multiprocessing.Pipe()
    return (left.send_bytes, left.recv_bytes), (right.send_bytes, right.recv_bytes)


def sides_of_queue(make: Callable[[], Any]) -> tuple[Side, Side]:
    there, back = make(), make()
    return (there.put, back.get), (back.put, there.get)


def sides_of_sockets() -> tuple[Side, Side]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    take = 1 << 20
    return (left.send, partial(left.recv, take)), (
        right.send,
        partial(right.recv, take),
    )


def sides_of_spin() -> tuple[Side, Side]:
    """One message at a time: a flag, a length, the bytes."""

    def one_way() -> tuple[Callable[[bytes], None], Callable[[], bytes]]:
        memory = mmap.mmap(-1, 1 << 16)

        def send(data: bytes) -> None:
            while memory[0]:
                pass
            memory[8 : 8 + len(data)] = data
            memory[1:5] = len(data).to_bytes(4, "little")
            memory[0] = 1

        def recv() -> bytes:
            while not memory[0]:
                pass
            data = memory[8 : 8 + int.from_bytes(memory[1:5], "little")]
            memory[0] = 0
            return data

        return send, recv

    there, back = one_way(), one_way()
    return (there[0], back[1]), (back[0], there[1])


KINDS: dict[str, Callable[[], tuple[Side, Side]]] = {
    "tpool.Ring": sides_of_ring,
    STOCK: sides_of_pipe,
    "multiprocessing.SimpleQueue": partial(
        sides_of_queue, multiprocessing.get_context("fork").SimpleQueue
    ),
    "multiprocessing.Queue": partial(
        sides_of_queue, multiprocessing.get_context("fork").Queue
    ),
    "socketpair": sides_of_sockets,
    "spin": sides_of_spin,
}


def answer(side: Side) -> None:
    """Echo; or take as many as a message of four bytes says, and send one."""
    send, recv = side
    while message := recv():
        if len(message) == 4:
            for _ in range(int.from_bytes(message, "little")):
                recv()
        send(message)


def cpu_ns(pid: int) -> int:
    """Return the CPU time of a process, by the clock that Linux has for it."""
    return clock_gettime_ns((~pid << 3) | 2)


class Peer:
    """A process that answers."""

    def __init__(self, side: Side, pid: int) -> None:
        self.send, self.recv = side
        self.pid = pid

    def with_cpu(self, measure: Callable[[], h.Sample]) -> h.Sample:
        """Count the CPU time of both."""
        before = cpu_ns(self.pid)
        sample = measure()
        other_us = (cpu_ns(self.pid) - before) / sample.n / 1e3
        return replace(sample, cpu_us_per_op=sample.cpu_us_per_op + other_us)

    def round_trips(self, message: bytes, n: int) -> h.Sample:
        def call() -> None:
            self.send(message)
            self.recv()

        return self.with_cpu(partial(h.one_in_flight, call, n))

    def one_way(self, message: bytes, n: int) -> h.Sample:
        def measure() -> h.Sample:
            cpu, started = cpu_ns(os.getpid()), perf_counter_ns()
            self.send(n.to_bytes(4, "little"))
            for _ in range(n):
                self.send(message)
            self.recv()
            wall = perf_counter_ns() - started
            return h.summarize((), n, wall, cpu_ns(os.getpid()) - cpu)

        return self.with_cpu(measure)


@contextmanager
def peer(make: Callable[[], tuple[Side, Side]]) -> Iterator[Peer]:
    mine, other = make()
    process = multiprocessing.get_context("fork").Process(target=answer, args=(other,))
    process.start()
    assert process.pid is not None
    try:
        yield Peer(mine, process.pid)
    finally:
        mine[0](b"")
        process.join()


def main() -> None:
    made = h.parser(__doc__)
    made.add_argument(
        "--n", type=int, default=5_000, help="round trips a round; default: 5000"
    )
    made.add_argument(
        "--messages",
        type=int,
        default=100_000,
        help="one way, a round; default: 100000",
    )
    options = h.parse(made, {"n": 200, "messages": 2_000})
    table = []
    with ExitStack() as stack:
        peers = {name: stack.enter_context(peer(make)) for name, make in KINDS.items()}
        for case, length in LENGTHS.items():
            calls = {
                name: partial(one.round_trips, b"m" * length, options.n)
                for name, one in peers.items()
            }
            table += h.rows(
                f"{case}, there and back", h.alternate(calls, options.rounds), STOCK
            )
        calls = {
            name: partial(one.one_way, b"m" * 64, options.messages)
            for name, one in peers.items()
        }
        table += h.rows("64 bytes, one way", h.alternate(calls, options.rounds), STOCK)
    h.report("Messages from process to process", __file__, options, table)


if __name__ == "__main__":
    main()
