# SPDX-License-Identifier: MIT
"""A Ring between processes: how they get it, and what they see of each other's end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import DEADLINE_S, ISOLATED, cases_of, run_code, run_python

import tpool

pytestmark = pytest.mark.timeout(120)
# Processes that are killed; TPOOL_SOAK=34 makes it a thousand.
KILLED = 30 * int(os.environ.get("TPOOL_SOAK", "1"))
ECHO = """if True:
    import sys, tpool
    name = sys.argv[1]
    ring = tpool.Ring.attach(int(name) if name.isdecimal() else name)
    back = tpool.Ring.attach(sys.argv[2])
    try:
        while True:
            back.send(ring.recv())
    except EOFError:
        back.close()
"""


@pytest.mark.parametrize("case", cases_of("ring_cases.py"))
def test_case(case):
    run_python(ISOLATED / "ring_cases.py", case, KILLED)


@pytest.fixture
def name():
    """Return a name for a ring, which is taken away by the test."""
    chosen = f"tpool-test-{os.getpid()}"
    yield chosen
    assert not [path for path in Path("/dev/shm").iterdir() if chosen in path.name]


@pytest.mark.parametrize("by", ["name", "fd"])
def test_a_program_attaches_by_a_name_and_by_an_inherited_fd(name, by):
    named = by == "name"
    with (
        tpool.Ring.create(f"{name}-2" if named else None, size=4096) as there,
        tpool.Ring.create(name) as back,
    ):
        known = f"{name}-2" if named else str(there.memory_fd)
        command = [sys.executable, "-c", ECHO, known, name]
        with subprocess.Popen(command, pass_fds=[there.memory_fd]) as program:
            for number in range(500):
                there.send(b"%d" % number)
                assert back.recv(DEADLINE_S) == b"%d" % number
            there.close()
            with pytest.raises(EOFError):
                back.recv(DEADLINE_S)
            assert program.wait(DEADLINE_S) == 0
        back.unlink()
        if named:
            there.unlink()


def test_a_name_is_taken_once_and_has_to_be_that_of_a_file(name):
    with tpool.Ring.create(name) as ring:
        assert repr(ring).startswith(f"<Ring '{name}' open")
        with pytest.raises(FileExistsError):
            tpool.Ring.create(name)
        ring.unlink()
        with pytest.raises(FileNotFoundError):
            ring.unlink()
        with pytest.raises(FileNotFoundError):
            tpool.Ring.attach(name)
        ring.send(b"x")  # who has it goes on
        assert ring.recv() == b"x"
    for wrong in ("", ".", "..", "a/b"):
        with pytest.raises(ValueError, match="name"):
            tpool.Ring.create(wrong)
        with pytest.raises(ValueError, match="name"):
            tpool.Ring.attach(wrong)


def test_what_is_no_ring_is_not_attached_and_leaves_nothing(tmp_path):
    with (tmp_path / "file").open("w+b") as file:
        with pytest.raises(ValueError, match="empty"):
            tpool.Ring.attach(file.fileno())
        file.write(b"x" * 4096)
        file.flush()
        with pytest.raises(ValueError, match="no Ring"):
            tpool.Ring.attach(file.fileno())


def test_memory_without_a_name_cannot_be_made_smaller():
    with tpool.Ring.create() as ring, pytest.raises(PermissionError):
        os.ftruncate(ring.memory_fd, 0)


def test_who_comes_late_sees_all_and_who_has_gone_is_told_of():
    with tpool.Ring.create(size=1024) as ring:
        for number in range(5):
            ring.send(b"%d" % number)
        code = f"""if True:
            import tpool
            ring = tpool.Ring.attach({ring.memory_fd})
            print(*(ring.recv().decode() for _ in range(5)))
        """
        with subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[ring.memory_fd],
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stdout.read() == "0 1 2 3 4\n"
        with pytest.raises(BrokenPipeError):  # it has closed it as it ended
            ring.send(b"")


def test_a_closed_ring_is_not_handed_over():
    ring = tpool.Ring.create()
    ring.close()
    assert ring.memory_fd == -1
    with pytest.raises(TypeError, match="closed"):
        ring.__reduce__()


def test_import_of_the_library_loads_no_multiprocessing():
    said = run_code("import sys, tpool; print('multiprocessing' in sys.modules)")
    assert said.stdout == "False\n"
