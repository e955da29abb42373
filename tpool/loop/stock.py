# SPDX-License-Identifier: MIT
"""asyncio as CPython has made it: what a lean loop may stand for.

Libraries put functions of their own in the place of asyncio's: in a module, a class, a
loop, or in the code of a function. Where they have, the loop goes their way.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import sys
from operator import attrgetter
from types import FunctionType, MemberDescriptorType
from typing import Any

__all__ = ["KNOWN", "is_stock"]

_events: Any = asyncio.events
_Handle: Any = asyncio.Handle
_Loop: Any = asyncio.SelectorEventLoop

# By a name that each of their codes has, where that is CPython's: what a lean loop has
# by other names, and what it hides.
_OF_HANDLES = {"__init__": "copy_context", "_run": "call_exception_handler"}
_USED = {
    "_call_soon": "Handle",
    "_check_closed": "_closed",
    "create_future": "Future",
    "_process_events": "_add_callback",
    "get_debug": "_debug",
}
_HIDDEN = {"_run_once": "_process_events", "call_soon": "_call_soon"}
_SLOTS = (
    *("_callback", "_args", "_cancelled", "_loop", "_source_traceback"),
    *("_repr", "_context"),
)
_functions: list[Any] = [
    getattr(owner, name, None)
    for owner, names in ((_Handle, _OF_HANDLES), (_Loop, _USED), (_Loop, _HIDDEN))
    for name in names
]


def _is_cpython_s(function: object, has: str) -> bool:
    # What wraps it takes its name over, but has globals of its own; what rewrites
    # its code is not told from it, but calls what it called.
    return (
        type(function) is FunctionType
        and function.__globals__ is vars(sys.modules[function.__module__])
        and function.__module__.startswith("asyncio.")
        and has in function.__code__.co_names
    )


# Whether this asyncio is one of those that are known here.
KNOWN = (
    sys.implementation.name == "cpython"
    and (3, 11) <= sys.version_info < (3, 16)
    and all(
        map(
            _is_cpython_s,
            _functions,
            [*_OF_HANDLES.values(), *_USED.values(), *_HIDDEN.values()],
        )
    )
    and all(type(vars(_Handle).get(name)) is MemberDescriptorType for name in _SLOTS)
)

_parts_of = attrgetter("__new__", *_OF_HANDLES, *_SLOTS)
_used_by = attrgetter(*(f"{name}.__func__" for name in _USED))
_hidden_in = attrgetter(*(f"{name}.__func__" for name in _HIDDEN))


def _look() -> list[Any]:
    return [
        *(_events.Handle, _events.contextvars.copy_context, asyncio.TimerHandle._run),
        *_parts_of(_Handle),
        *map(attrgetter("__code__"), _functions),
    ]


_LOOKS = _look() if KNOWN else None
_OF_LOOPS = _functions[len(_OF_HANDLES) :]


def is_stock(loop: asyncio.AbstractEventLoop, lean: type) -> bool:
    """Whether nobody has replaced what a lean class of loops stands for.

    Args:
        loop: A loop of that class, or of one below it.
        lean: The class.

    Context: Where the loop begins to run: it takes 3 microseconds.
    """
    try:
        # Not by vars(loop), which makes each attribute of a loop slow.
        of_loop = [*_used_by(loop), *_hidden_in(super(lean, loop))]
        return _look() == _LOOKS and of_loop == _OF_LOOPS
    except AttributeError:  # one is gone, or no function
        return False
