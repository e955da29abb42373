# SPDX-License-Identifier: MIT
"""Registry: which objects of a kind are alive."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Registry"]

_T = TypeVar("_T")


class Registry(Generic[_T]):
    """A set of weak references that goes by identity, and not by __eq__.

    Context: Any thread. Who iterates has what was there when it began.
    """

    def __init__(self) -> None:
        """Make an empty one."""
        self._by_id: weakref.WeakValueDictionary[int, _T]
        self._by_id = weakref.WeakValueDictionary()

    def add(self, thing: _T) -> None:
        """Know of an object from now on, as long as it is alive."""
        self._by_id[id(thing)] = thing

    def __iter__(self) -> Iterator[_T]:
        """Iterate over those that are alive."""
        for ref in self._by_id.valuerefs():  # a list, copied at one go
            if (thing := ref()) is not None:
                yield thing
