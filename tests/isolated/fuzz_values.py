# SPDX-License-Identifier: MIT
"""Strange values for the fuzzer: of every type, and objects that lie or re-enter.

Every value has a name, by which the log of the last calls shows it.
"""

from __future__ import annotations

import enum
import functools
import gc
import types
import weakref
from collections import deque
from unittest import mock

HOOKS = [
    "__eq__",
    "__hash__",
    "__bool__",
    "__index__",
    "__int__",
    "__float__",
    "__iter__",
    "__next__",
    "__len__",
    "__getitem__",
    "__str__",
    "__repr__",
    "__format__",
    "__call__",
    "__await__",
    "__enter__",
    "__exit__",
    "__lt__",
    "__contains__",
    "__fspath__",
    "fileno",
    "cancelled",
    "done",
    "set_result",
    "get_loop",
]


class Hostile(BaseException):
    """Raised by strange objects; no Exception."""


class Str(str):
    """A str with a mind of its own."""

    __slots__ = ()

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class Int(int):
    """An int whose __index__ and __eq__ lie."""

    def __index__(self):
        return -7

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1


class Tuple(tuple):
    """A tuple that says it is empty, and cannot be gone through."""

    __slots__ = ()

    def __len__(self):
        return 0

    def __iter__(self):
        raise Hostile


class Number(enum.IntEnum):
    """Named numbers."""

    ONE = 1
    HUGE = 2**62


def evil_class(fuzz, name, answers):
    """Make a class whose methods re-enter the library, and lie or raise."""

    def hook(method):
        def answer(self, *args, **kwargs):
            fuzz.reenter(f"{name}.{method}")
            value = fuzz.random.choice(answers)
            if isinstance(value, type) and issubclass(value, BaseException):
                raise value
            return value() if isinstance(value, types.FunctionType) else value

        return answer

    body = {method: hook(method) for method in HOOKS}
    return type(name, (), body)


class Bag:
    """Holds what the collector finds with it in a cycle."""

    def __init__(self, fuzz, things):
        self.fuzz, self.things, self.me = fuzz, things, self

    def __call__(self, *args):
        return self

    def __del__(self):
        # From here on what is cleared can be reached: see Fuzz.on_death().
        fuzz = self.fuzz
        holder = types.SimpleNamespace(things=self.things)
        self.holder = holder
        for thing in (holder, *self.things):
            try:
                fuzz.zombies.append(weakref.ref(thing, fuzz.on_death))
            except TypeError:
                for method in ("schedule", "mod_ns", "cancel", "lost"):
                    bound = getattr(thing, method, None)
                    if bound is not None:
                        self.things.append(bound)
                        fuzz.zombies.append(weakref.ref(bound, fuzz.on_death))
        del fuzz.zombies[:-40]


def plain_values():
    """Return (name, value) of what needs no fuzzer."""
    nan, inf = float("nan"), float("inf")
    values = [
        (repr(value), value)
        for value in (
            None, True, False, 0, 1, -1, 2, 7, 255, -(2**31), 2**31 - 1, 2**31,
            2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64,
            0.0, -0.0, 0.5, -1.5, 1e300, nan, inf, -inf, 1j, "", "x", "block", "raise",
            "\udc80", "a\0b", b"", b"x", (), (1,), ((),), ((1, 2), (3,)), frozenset(),
            ..., NotImplemented, int, object, type, len, BaseException,
        )
    ]  # fmt: skip
    values += [
        ("10**400", 10**400),
        ("'u'*300", "u" * 300),
        ("Str('block')", Str("block")),
        ("Str('poll')", Str("poll")),
        ("Int(5)", Int(5)),
        ("Tuple((1,2))", Tuple((1, 2))),
        ("Number.ONE", Number.ONE),
        ("Number.HUGE", Number.HUGE),
        ("mock.ANY", mock.ANY),
        ("partial(int)", functools.partial(int)),
        ("partial of partials", functools.partial(functools.partial(int, 1), base=2)),
        ("bound list.append", [].append),
        ("bound deque.clear", deque().clear),
        ("gc", gc),
        ("generator", (n for n in ())),
        ("iterator", iter([(1,), (2,)])),
        ("bytearray", bytearray(8)),
        ("memoryview", memoryview(b"ab")),
        ("range", range(3)),
        ("exception", KeyError("x")),
        ("object()", object()),
        ("[]", []),
        ("[()]", [()]),
        ("[(1,), 2]", [(1,), 2]),
        ("{}", {}),
        ("{'a': 1}", {"a": 1}),
        ("staticmethod", staticmethod(int)),
        ("GenericAlias", list[int]),
    ]
    return values
