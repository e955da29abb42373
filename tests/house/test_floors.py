# SPDX-License-Identifier: MIT
"""The C files stand on floors, and call only what is below: docs/architecture.md.

What calls what is what the linker sees, functions in tables included: each file is
compiled without optimization, and the symbols that it needs are looked up in those that
the others define.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ROOT

CSRC = ROOT / "tpool" / "csrc"
MAP = ROOT / "docs" / "architecture.md"
MOST_FILES = 16
# Pieces of one type: the address of the module is asked for by what the module has.
ALLOWED = {
    ("context/context_type", "module"),
    ("files/files", "module"),
    ("pool/pool", "module"),
    ("pool/simple_queue_type", "module"),
    ("executor/executor", "module"),
    ("ring/ring_type", "module"),
}


def block(language):
    """Return the lines of the fenced block of the map that is in this language."""
    text = MAP.read_text(encoding="utf-8")
    return re.search(rf"^```{language}\n(.*?)^```", text, re.M | re.S)[1].splitlines()


def floors():
    """Return the floor of each file, by the map; `room/*` is all of a room."""
    table = {}
    for line in block("floors"):
        number, *names = line.split()
        for name in names:
            found = [name]
            if name.endswith("/*"):
                found = [name_of(path) for path in CSRC.glob(f"{name}.c")]
            table |= dict.fromkeys(found, int(number))
    return table


def one_floor():
    """Return the rooms that stand on one floor as a whole, by the map."""
    names = " ".join(block("floors")).split()
    return {folder(name) for name in names if name.endswith("/*")}


def folders():
    """Return the folders, the ground floor first."""
    return [line.split()[0] for line in reversed(block("folders"))]


def folder(name):
    return name.rpartition("/")[0] or "module.c"


def name_of(path):
    return str(path.relative_to(CSRC).with_suffix(""))


def symbols(path, tmp):
    """Return what a file defines, and what it needs."""
    made = tmp / (name_of(path).replace("/", "_") + ".o")
    include = sysconfig.get_path("include")
    subprocess.run(
        [
            *("gcc", "-std=c11", "-O0", "-w", f"-I{CSRC}", f"-I{include}"),
            *("-c", path, "-o", made),
        ],
        check=True,
    )
    listed = subprocess.run(
        ["nm", "-P", "-g", made], check=True, capture_output=True, text=True
    ).stdout
    found = [line.split()[:2] for line in listed.splitlines()]
    return (
        {name for name, kind in found if kind != "U"},
        {name for name, kind in found if kind == "U"},
    )


@pytest.fixture(scope="module")
def needs(tmp_path_factory):
    """Return, for each file, the symbols that it needs."""
    return look(tmp_path_factory)[1]


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    """Return, for each file, those that it calls."""
    home, needed = look(tmp_path_factory)
    return {
        name: {home[s] for s in wanted if s in home} - {name}
        for name, wanted in needed.items()
    }


LOOKED = []


def look(tmp_path_factory):
    if not LOOKED:
        if not (shutil.which("gcc") and shutil.which("nm")):
            pytest.skip("no gcc, or no nm")
        tmp = tmp_path_factory.mktemp("floors")
        paths = sorted(CSRC.rglob("*.c"))
        with ThreadPoolExecutor(2) as pool:
            found = dict(
                zip(paths, pool.map(lambda p: symbols(p, tmp), paths), strict=True)
            )
        home = {s: name_of(p) for p, (own, _) in found.items() for s in own}
        LOOKED.append((home, {name_of(p): wants for p, (_, wants) in found.items()}))
    return LOOKED[0]


def goes_up(here, there, table, order):
    """Whether a call does not point down."""
    if (here, there) in ALLOWED:
        return False
    return table[there] >= table[here] or (
        order.index(folder(there)) > order.index(folder(here))
    )


def test_every_file_has_a_floor_and_every_folder_a_place(calls):
    assert set(floors()) == set(calls)
    assert {folder(name) for name in calls} <= set(folders())


def test_calls_point_down(calls):
    table, order = floors(), folders()
    up = {
        here: " ".join(sorted(t for t in there if goes_up(here, t, table, order)))
        for here, there in calls.items()
    }
    assert {here: there for here, there in up.items() if there} == {}


def test_no_file_is_higher_than_it_must_be(calls):
    table, order, rooms = floors(), folders(), one_floor()
    needed, is_on = {}, {}
    for here, there in calls.items():
        below = [
            table[t]
            for t in there
            if not goes_up(here, t, table, order) and (here, t) not in ALLOWED
        ]
        what = folder(here) if folder(here) in rooms else here
        needed[what] = max(needed.get(what, 0), 1 + max(below, default=-1))
        is_on[what] = table[here]
    assert is_on == needed


def test_nothing_below_py_knows_python(needs):
    order = folders()
    above = order.index("py")
    knows = {
        name
        for name, wanted in needs.items()
        if order.index(folder(name)) < above
        and any(re.match(r"_?Py[A-Z_]", symbol) for symbol in wanted)
    }
    assert knows == set()


def test_includes_say_their_folder_and_point_down():
    order, up = folders(), set()
    for path in sorted(CSRC.rglob("*.[ch]")):
        here = name_of(path)
        for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
            assert (CSRC / name).exists(), f"{here}: {name}"
            if order.index(folder(name)) > order.index(folder(here)):
                up.add(here)
    assert up == set()


def test_python_h_is_in_the_upper_folders_alone():
    order = folders()
    for path in CSRC.rglob("*.[ch]"):
        if "Python.h" in path.read_text(encoding="utf-8"):
            assert order.index(folder(name_of(path))) >= order.index("py"), path


def test_no_folder_is_crowded():
    for name in folders():
        if name != "module.c":
            assert len({p.stem for p in (CSRC / name).glob("*.[ch]")}) <= MOST_FILES
