# SPDX-License-Identifier: MIT
"""The C floors under ThreadSanitizer, AddressSanitizer and UBSan, without Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import c_build
import planted
import planted_handoff
import planted_io
import planted_ring
import planted_turn
import planted_unit
import pytest
from conftest import needs_polling

if TYPE_CHECKING:
    from pathlib import Path

SANITIZERS = ("thread", "address,undefined")
# The halves that another system would get.
VARIANTS = {
    "stress_event_notifier": ("-DTPOOL_NO_EVENTFD",),
    "stress_notify": ("-DTPOOL_NO_EVENTFD", "-DTPOOL_NO_EPOLL"),
    "stress_aio_poll": ("-DTPOOL_NO_EVENTFD", "-DTPOOL_NO_EPOLL"),
    "stress_word_wait": ("-DTPOOL_NO_FUTEX",),
    "stress_io_queue": ("-DTPOOL_NO_URING", "-DTPOOL_NO_LINUX_AIO"),
}
BUILDS = [
    *((program, ()) for program in c_build.PROGRAMS),
    *VARIANTS.items(),
]
RUNS_MAX = 12
SOON = "-DSTRESS_DEADLINE_NS=4*NS_PER_SECOND"  # many times what a program takes
UNIT_MUTANTS = (
    planted_unit.MUTANTS
    | planted_handoff.MUTANTS
    | planted_io.MUTANTS
    | planted_ring.MUTANTS
    | planted_turn.MUTANTS
)
MUTANTS = (*planted.NOTIFY_MUTANTS, *planted.QUEUE_MUTANTS)


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(
    ("program", "flags"), BUILDS, ids=[" ".join((p, *f)) for p, f in BUILDS]
)
def test_program_is_clean_under_sanitizer(
    program: str, flags: tuple[str, ...], sanitizer: str, tmp_path: Path
) -> None:
    exe = c_build.build_c(
        tmp_path, program, "-O1", "-Werror", f"-fsanitize={sanitizer}", *flags
    )
    done = c_build.run(exe)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "mutant", planted.seen_by(MUTANTS, "tsan"), ids=lambda m: m.name
)
def test_data_race_is_reported_when_list_does_not_publish(
    mutant: planted.Mutant, tmp_path: Path
) -> None:
    exe = c_build.build_c(
        tmp_path,
        "stress_completion_list",
        "-O1",
        "-fsanitize=thread",
        csrc=c_build.mutated_csrc(tmp_path, mutant),
    )
    done = c_build.run(exe)
    assert done.returncode != 0
    assert "data race" in done.stderr


@pytest.mark.parametrize(
    "mutant", planted.seen_by(MUTANTS, "unit"), ids=lambda m: m.name
)
def test_needless_write_is_found_when_planted(
    mutant: planted.Mutant, tmp_path: Path
) -> None:
    csrc = c_build.mutated_csrc(tmp_path, mutant)
    exe = c_build.build_c(tmp_path, "stress_notify", "-O1", csrc=csrc)
    done = c_build.run(exe)
    assert done.returncode != 0
    assert "test_one_thread" in done.stderr or "test_nap" in done.stderr


@pytest.mark.parametrize(
    ("program", "mutant"),
    [
        pytest.param(name, m, marks=needs_polling if "polls" in m.seen_by else ())
        for name, mutants in UNIT_MUTANTS.items()
        for m in mutants
    ],
    ids=lambda what: getattr(what, "name", what),
)
def test_planted_fault_is_found(
    program: str, mutant: planted.Mutant, tmp_path: Path
) -> None:
    csrc = c_build.mutated_csrc(tmp_path, mutant)
    exe = c_build.build_c(
        tmp_path, program, "-O1", "-fsanitize=address", SOON, csrc=csrc
    )
    for _ in range(RUNS_MAX):  # what hangs on an order of threads may hide
        done = c_build.run(exe)
        if done.returncode != 0:
            break
    assert done.returncode != 0
    assert "Assertion" in done.stderr or "AddressSanitizer" in done.stderr
