# SPDX-License-Identifier: MIT
"""Code and tests stand in rooms, and each of their files has one concept."""

from __future__ import annotations

from collections import Counter

import pytest
from conftest import ROOT

TESTS = ROOT / "tests"
SUFFIXES = {".py", ".c", ".h", ".cpp"}
FILES = sorted(path for path in TESTS.rglob("*") if path.suffix in SUFFIXES)
CODE = sorted(path for path in (ROOT / "tpool").rglob("*") if path.suffix in SUFFIXES)
TEST_FILES = [path for path in FILES if path.match("test_*.py")]
MOST_LINES = 450
MOST_FILES = 16  # of tests, or of C, in a room


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*CODE, *FILES], ids=name)
def test_a_file_is_short_and_names_its_licence(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert "SPDX-License-Identifier: MIT" in lines[0]


def test_no_folder_of_c_is_full():
    rooms = Counter(path.parent for path in CODE if path.suffix == ".c")
    assert rooms
    assert max(rooms.values()) <= MOST_FILES, rooms


def test_each_test_file_stands_in_a_room_that_is_not_full():
    rooms = Counter(path.parent for path in TEST_FILES)
    assert rooms.pop(TESTS, 0) == 0
    assert rooms
    assert max(rooms.values()) <= MOST_FILES, rooms


def test_no_two_files_of_python_have_one_name():
    """They import each other by it, from whatever room."""
    names = Counter(path.name for path in FILES if path.suffix == ".py")
    assert names.most_common(1)[0][1] == 1, names.most_common(3)
