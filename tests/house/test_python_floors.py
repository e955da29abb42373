# SPDX-License-Identifier: MIT
"""Imports point down: in the order of the modules that docs/architecture.md has."""

from __future__ import annotations

import ast
import re

import pytest
from conftest import ROOT

PACKAGE = ROOT / "tpool"
PAGE = ROOT / "docs" / "architecture.md"


def modules_of(package):
    """Return the files of a package by the names of their modules."""
    found = {}
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.pyi")]):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        if parts[-1] == "__init__":
            del parts[-1]
        found[".".join(parts)] = path
    return found


def order_of(page, package):
    """Return the modules as a page has them, the lowest first."""
    block = re.search(r"^```modules\n(.*?)^```$", page, re.M | re.S)[1]
    names = block.split()
    return [name if name == package else f"{package}.{name}" for name in names]


def imports_of(name, path, modules):
    """Return what modules of the package a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: a relative import"
            found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    return found.intersection(modules) - {name}


def faults(package, page):
    """Return what is wrong with the imports of a package, a line each."""
    modules, order = modules_of(package), order_of(page, package.name)
    said = [f"{name} has no floor" for name in modules if name not in order]
    said += [f"{name} is no module" for name in order if name not in modules]
    said += [
        f"{name} stands there twice" for name in set(order) if order.count(name) > 1
    ]
    for name, path in modules.items():
        for other in sorted(imports_of(name, path, modules)):
            if {name, other} <= set(order) and order.index(other) > order.index(name):
                said.append(f"{name} imports {other}")
    return said


def test_imports_point_down():
    if not PAGE.exists():
        pytest.skip("no checkout")
    assert faults(PACKAGE, PAGE.read_text(encoding="utf-8")) == []


CLEAN = {
    "low.py": "",
    "room/__init__.py": "from house.room.inner import it",
    "room/inner.py": "import house.low as low",
    "__init__.py": "from house import low\nfrom house.room import it",
}
ORDER = "```modules\nlow room.inner\nroom\nhouse\n```\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"low.py": "import house.room.inner"}, ["house.low imports house.room.inner"]),
        ({"low.py": "from house.room import it"}, ["house.low imports house.room"]),
        (
            {"low.py": "def f():\n    from house.room import inner"},
            ["house.low imports house.room", "house.low imports house.room.inner"],
        ),
        (
            {"low.py": "if TYPE_CHECKING:\n    from house.room.inner import It"},
            ["house.low imports house.room.inner"],
        ),
        (
            {"room/inner.py": "from house.room import it"},
            ["house.room.inner imports house.room"],
        ),
        (
            {"room/inner.py": "from house import low"},
            ["house.room.inner imports house"],
        ),
        ({"low.pyi": "import house.room"}, ["house.low imports house.room"]),
        ({"new.py": ""}, ["house.new has no floor"]),
        ({"room/new.py": ""}, ["house.room.new has no floor"]),
        ({"low.py": None}, ["house.low is no module"]),
    ],
)
def test_each_fault_is_found(tmp_path, change, said):
    package = tmp_path / "house"
    for name, text in {**CLEAN, **change}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            (package / name).write_text(text)
    assert faults(package, ORDER) == said
