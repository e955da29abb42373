# SPDX-License-Identifier: MIT
"""Compile the C floors with the stress programs, as they are or mutated.

The programs of ``tests/c`` and the relacy harnesses of ``tests/models`` need no
Python: each is a ``main()`` that returns 0 and prints one line.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from planted import Mutant

TESTS = Path(__file__).parents[1]
CSRC = TESTS.parent / "tpool" / "csrc"
RELACY = Path("/usr/include/relacy/relacy.hpp")

# What each program links, from the ground floor up.
CPU = ("base/cpu", "base/cpu_time")
FDMON = ("aio/fdmon", "aio/fdmon_epoll", "aio/fdmon_poll", "base/event_notifier")
NOTIFY = ("aio/notify", "queue/completion_list", *FDMON)
TUNER = ("tune/poll_tuner", "tune/poll_history", "tune/poll_window")
CALLS = (*TUNER, "tune/call_plan", "tune/batch", "aio/call_table")
QUEUE = (
    *("queue/request_queue", "queue/queue_worker", "queue/queue_poll"),
    *("queue/queue_lookers", "queue/completion_list", "base/parker", "base/os_thread"),
    *CPU,
    *TUNER,
)
TRIALS = (
    *("aio/call_trial", "tune/poll_trial", "tune/trial_compare"),
    *("tune/trial_credit", "tune/trial_moment", "tune/trial_turns"),
)
SHARED_RING = (
    *("shm/ring_reader", "shm/ring_writer", "shm/ring_end", "shm/ring_memory"),
    *("shm/doorbell", "shm/fd_union", "shm/process"),
)
PROGRAMS = {
    "hostile_ring": SHARED_RING,
    "stress_aio_poll": (
        *("aio/core", "aio/handoff", *CPU, "base/trace_ring", *CALLS, *NOTIFY),
        *(*TRIALS, "base/os_thread"),
    ),
    "stress_call_table": CALLS,
    "stress_clock_cpu": CPU,
    "stress_completion_list": ("queue/completion_list",),
    "stress_event_notifier": ("base/event_notifier",),
    "fdmon_calls": FDMON,
    "stress_fdmon": FDMON,
    "stress_fd_table": ("aio/fd_table", *FDMON),
    "stress_notify": NOTIFY,
    "stress_parker": ("base/parker",),
    "stress_poll_tuner": TUNER,
    "stress_queue_serial": QUEUE,
    "stress_queue_standby": tuple(
        name for name in QUEUE if name != "queue/queue_worker"
    ),
    "stress_request_queue": QUEUE,
    "stress_ring": ("queue/ring",),
    "stress_shared_ring": SHARED_RING,
    "stress_shared_words": (
        *("source/shared_words", "aio/source", "base/trace_ring"),
        *TUNER,
    ),
    "stress_timer_heap": ("aio/timer_heap",),
    "stress_trace_ring": ("base/trace_ring",),
    "stress_io_queue": (
        *("base/uring", "base/linux_aio", "base/event_notifier", "base/file_io"),
    ),
    "stress_io_threads": (
        *("source/io_threads", "base/futex", "aio/core"),
        *("base/trace_ring", *QUEUE, "tune/call_plan", "tune/batch", "aio/call_table"),
        *("aio/notify", *FDMON),
    ),
    "stress_word_wait": (
        *("queue/word_wait", "queue/word_pollers", "queue/wait_tuning"),
        *("base/futex", *CPU),
        *TUNER,
    ),
    "stress_turn": (
        *("turn/turn", "turn/foreign", "turn/wait", "turn/poll_phase"),
        *("turn/dispatch", "source/bare_notify", "source/calls"),
        *("source/event_trial", "source/fd_polls", "source/fds"),
        *("aio/source", "aio/fd_table", "aio/timer_heap"),
        *TRIALS,
        *("aio/core", "aio/handoff", *CPU, "base/os_thread"),
        *("base/trace_ring", *CALLS, *NOTIFY),
    ),
    "notify_lockstep": NOTIFY,
    "queue_lockstep": QUEUE,
}

# What a program has to be linked with besides.
_FD_TABLE_REFUSED = ("malloc", "calloc", "realloc", "epoll_ctl", "epoll_create1")
FLAGS = {
    "stress_fd_table": tuple(f"-Wl,--wrap={name}" for name in _FD_TABLE_REFUSED),
    "stress_fdmon": ("-Wl,--wrap=epoll_create1",),
    "stress_io_threads": ("-Wl,--wrap=pthread_create",),
    "stress_ring": ("-Wl,--wrap=malloc", "-Wl,--wrap=realloc"),
    "stress_timer_heap": ("-Wl,--wrap=realloc",),
}

# A program that is killed says where: none takes a tenth of it on an idle machine.
TIMEOUT_S = 300


def mutated_csrc(tmp: Path, mutant: Mutant | None) -> Path:
    """A copy of the C sources with the fault planted; fails where it cannot be."""
    copy = tmp / "csrc"
    shutil.copytree(CSRC, copy)
    if mutant:
        path = copy / mutant.file
        # However the formatter breaks the lines.
        old = r"\s+".join(map(re.escape, mutant.old.split()))
        text, found = re.subn(old, lambda _: mutant.new, path.read_text())
        assert found == 1, f"{mutant.name}: {mutant.file} has changed"
        path.write_text(text)
    return copy


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _changed(csrc: Path) -> set[Path]:
    """The files of a copy of the C sources that are not as they were."""
    return {
        path.relative_to(csrc)
        for path in csrc.rglob("*.[ch]")
        if path.read_bytes() != (CSRC / path.relative_to(csrc)).read_bytes()
    }


@functools.cache
def _cache() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when the interpreter exits."""
    return tempfile.TemporaryDirectory(prefix="tpool-objects-")


def _compile_to(folder: Path, source: Path, flags: tuple[str, ...], csrc: Path) -> Path:
    obj = folder / f"{len(list(folder.iterdir()))}.o"
    warnings = ("-Wall", "-Wextra", *flags)
    command = ["gcc", "-std=c11", "-g", "-pthread", *warnings, f"-I{csrc}"]
    _compile([*command, f"-I{TESTS / 'c'}", "-c", str(source), "-o", str(obj)])
    return obj


@functools.cache
def _compiled(source: Path, flags: tuple[str, ...]) -> Path:
    """Compiled once for all programs, mutants and not."""
    return _compile_to(Path(_cache().name), source, flags, CSRC)


def build_c(tmp: Path, program: str, *flags: str, csrc: Path = CSRC) -> Path:
    """Compile one program of ``tests/c``; skips where there is no compiler."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    changed = set() if csrc == CSRC else _changed(csrc)
    everywhere = any(path.suffix == ".h" for path in changed)
    main = TESTS / "c" / f"{program}.c"
    # It may include a file to see what is static there.
    objects = [_compile_to(tmp, main, flags, csrc)]
    for name in PROGRAMS[program]:
        file = Path(f"{name}.c")
        if everywhere or file in changed:
            objects.append(_compile_to(tmp, csrc / file, flags, csrc))
        else:
            objects.append(_compiled(CSRC / file, flags))
    exe = tmp / program
    linked = ("gcc", "-pthread", *flags, *FLAGS.get(program, ()))
    _compile([*linked, *map(str, objects), "-o", str(exe)])
    return exe


def build_relacy(tmp: Path, harness: str, mutant: Mutant | None) -> Path:
    """Compile one relacy harness with the real sources, rewritten as C++."""
    gxx = shutil.which("g++")
    if not gxx:
        pytest.skip("no g++")
    if not RELACY.exists():
        pytest.skip(f"no {RELACY} (Debian: relacy-dev)")
    csrc = mutated_csrc(tmp, mutant)
    for path in csrc.rglob("*.[ch]"):
        # The one thing of C that no macro can map: `_Atomic T x` beside `_Atomic(T)`.
        text = re.sub(r"_Atomic\(([^()]*)\)", r"rl::atomic<\1>", path.read_text())
        path.write_text(re.sub(r"_Atomic (\w+)", r"rl::atomic<\1>", text))
    exe = tmp / harness
    models = TESTS / "models"
    flags = ("-std=gnu++17", "-O1", "-w", "-fpermissive", f"-I{csrc}", f"-I{models}")
    _compile([gxx, *flags, str(models / f"{harness}.cpp"), "-o", str(exe)])
    return exe


@functools.cache
def _unrandomized() -> tuple[str, ...]:
    """The command that switches address randomization off, where it works."""
    setarch = shutil.which("setarch")
    command = (setarch or "", "-R")
    works = setarch and not subprocess.run([*command, "true"], check=False).returncode
    return command if works else ()


def run(exe: Path, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a program; ThreadSanitizer cannot start where addresses are too random."""
    command = [str(exe), *map(str, args)]
    done = _run(command)
    if "unexpected memory mapping" in done.stderr:
        if not _unrandomized():
            pytest.skip("ThreadSanitizer: too random an address space, no setarch -R")
        done = _run([*_unrandomized(), *command])
    return done


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
