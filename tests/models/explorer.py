# SPDX-License-Identifier: MIT
"""Explore every interleaving of a few threads under total store order (x86, SPARC).

Every thread has a FIFO store buffer: a plain store waits in it until some later
moment, its own loads see it before memory does, and nobody else's do. A sequentially
consistent store or read-modify-write empties the buffer first.

A model is threads made of labelled steps. A step is a function of a `Thread`: it makes
at most one access to shared memory that another thread can interleave with, and
returns the label of the next step, `DONE`, or `BLOCKED` for "not now".

What TSO cannot do is told by hand: a *load* that is not sequentially consistent may be
answered before an earlier store or read-modify-write, so such a mutant makes the load
first; a *read-modify-write* that is no fence is one that waits in the store buffer
(`Thread.later`), and is applied in one piece when it leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

BLOCKED = "(blocked)"
DONE = "(done)"

Step = Callable[["Thread"], str]
Program = Mapping[str, Step]
# What waits in a buffer: variable, operation, operand.
Pending = tuple[str, str, int]

_APPLY: dict[str, Callable[[int, int], int]] = {
    "=": lambda _, new: new,
    "+": lambda old, n: old + n,
    "|": lambda old, bits: old | bits,
}


class Violation(Exception):
    """The model broke an invariant, or is stuck where it must not be."""


class Thread:
    """One thread while it makes a step: its registers, buffer and shared memory."""

    __slots__ = ("_buffer", "_memory", "registers")

    def __init__(
        self, memory: dict[str, int], registers: dict[str, int], buffer: list[Pending]
    ) -> None:
        self._memory = memory
        self._buffer = buffer
        self.registers = registers

    def __getitem__(self, register: str) -> int:
        return self.registers[register]

    def __setitem__(self, register: str, value: int) -> None:
        self.registers[register] = value

    def load(self, name: str) -> int:
        """A load, of any order: TSO does not reorder loads."""
        value = self._memory[name]
        for pending, operation, operand in self._buffer:
            if pending == name:
                value = _APPLY[operation](value, operand)
        return value

    def later(self, name: str, operation: str, operand: int) -> None:
        """A plain store ("="), or a read-modify-write that is no fence."""
        self._buffer.append((name, operation, operand))

    def store(self, name: str, value: int) -> None:
        """A relaxed or release store."""
        self.later(name, "=", value)

    def rmw(self, name: str, operation: str, operand: int) -> int:
        """A sequentially consistent store or read-modify-write; the old value."""
        self.flush()
        old = self._memory[name]
        self._memory[name] = _APPLY[operation](old, operand)
        return old

    def flush(self) -> None:
        """Empty the buffer: a fence, a system call, the lock of a mutex."""
        for name, operation, operand in self._buffer:
            self._memory[name] = _APPLY[operation](self._memory[name], operand)
        self._buffer.clear()

    def ghost(self, name: str, value: int | None = None) -> int:
        """Look at, or note, what only the checks know of."""
        if value is not None:
            self._memory[name] = value
        return self._memory[name]

    def check(self, holds: object, what: str) -> None:
        """Fail the model where an invariant does not hold."""
        if not holds:
            raise Violation(what)


class View:
    """One state as the invariants see it."""

    __slots__ = ("buffers", "labels", "memory")

    def __init__(
        self,
        memory: dict[str, int],
        labels: tuple[str, ...],
        buffers: tuple[tuple[Pending, ...], ...],
    ) -> None:
        self.memory = memory
        self.labels = labels
        self.buffers = buffers


Check = Callable[[View], "str | None"]


def explore(
    programs: list[Program],
    memory: dict[str, int],
    registers: list[dict[str, int]],
    *,
    always: Check,
    at_end: Check,
) -> int:
    """Visit every reachable state, depth first.

    Args:
        programs: One for each thread; the first label is where it starts.
        memory: The shared variables, all of them.
        registers: Each thread's own variables, all of them.
        always: Names what is wrong with a state, or None.
        at_end: The same for a state in which nobody can go on.

    Returns:
        The number of states.

    Raises:
        Violation: With the last steps that led there.
    """
    names = tuple(memory)
    register_names = [tuple(r) for r in registers]
    start = (
        tuple(memory.values()),
        tuple(next(iter(p)) for p in programs),
        tuple(tuple(r.values()) for r in registers),
        tuple(() for _ in programs),
    )
    came_from: dict[object, tuple[object, str]] = {start: (None, "")}
    stack = [start]
    while stack:
        state = stack.pop()
        values, labels, files, buffers = state
        shared = dict(zip(names, values, strict=True))
        view = View(shared, labels, buffers)
        wrong = always(view)
        if wrong:
            raise Violation(wrong + _path(came_from, state))
        stuck = True
        for i, program in enumerate(programs):
            successors = []
            if buffers[i]:  # the oldest store reaches memory
                (name, operation, operand), *rest = buffers[i]
                memory = shared.copy()
                memory[name] = _APPLY[operation](memory[name], operand)
                successors.append((memory, labels[i], files[i], tuple(rest), "drain"))
            if labels[i] is not DONE:
                memory, buffer = shared.copy(), list(buffers[i])
                file = dict(zip(register_names[i], files[i], strict=True))
                thread = Thread(memory, file, buffer)
                try:
                    label = program[labels[i]](thread)
                except Violation as e:
                    raise Violation(f"{e}{_path(came_from, state)}") from None
                if label is not BLOCKED:
                    successors.append(
                        (memory, label, tuple(file.values()), tuple(buffer), labels[i])
                    )
            for memory, label, file_values, rest, step in successors:
                stuck = False
                successor = (
                    tuple(memory.values()),
                    (*labels[:i], label, *labels[i + 1 :]),
                    (*files[:i], file_values, *files[i + 1 :]),
                    (*buffers[:i], rest, *buffers[i + 1 :]),
                )
                if successor not in came_from:
                    came_from[successor] = (state, f"{i}:{step}")
                    stack.append(successor)
        if stuck:
            wrong = at_end(view)
            if wrong:
                raise Violation(wrong + _path(came_from, state))
    return len(came_from)


def _path(came_from: dict[object, tuple[object, str]], state: object) -> str:
    """The last steps before the state, thread number and label each."""
    steps: list[str] = []
    while state is not None:
        state, step = came_from[state]
        steps.append(step)
    return " after " + " ".join(reversed(steps[:60]))
