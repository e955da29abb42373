# SPDX-License-Identifier: MIT
"""How the reference gets its docstrings: mkdocs.yml names it as griffe's extension."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Docstrings"]

# A paragraph of ours in which a colon is no heading; the lines after it are indented.
_PARAGRAPH = re.compile(r"^(Context|Source): (.*(?:\n +.*)*)", re.MULTILINE)
_DUNDER = re.compile(r"\b(__\w+__)\b")


def _markdown(text: str) -> str:
    text = _PARAGRAPH.sub(
        lambda match: f"\n*{match[1]}*: " + " ".join(match[2].split()), text
    )
    return _DUNDER.sub(r"`\1`", text)


def _things(thing: griffe.Object) -> Iterator[griffe.Object]:
    yield thing
    for member in list(thing.members.values()):
        if not isinstance(member, griffe.Alias):
            yield from _things(member)


class Docstrings(griffe.Extension):
    """Reads those of the types in C, whose signatures are in the stub."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:  # noqa: ANN401
        """Complete the package, once it is loaded."""
        for thing in _things(pkg):
            if thing.docstring is None and thing.path.startswith("tpool._core."):
                value: Any = importlib.import_module("tpool._core")
                for name in thing.path.split(".")[2:]:
                    value = getattr(value, name, None)
                if value is not None and (text := inspect.getdoc(value)):
                    thing.docstring = griffe.Docstring(
                        text, parent=thing, parser="google"
                    )
            if thing.docstring is not None:
                thing.docstring.value = _markdown(thing.docstring.value)
            if isinstance(thing, griffe.Class) and "__init__" not in thing.members:
                new = thing.members.get("__new__")
                if isinstance(new, griffe.Function):
                    init = griffe.Function(
                        "__init__", parameters=new.parameters, parent=thing
                    )
                    thing.members["__init__"] = init
