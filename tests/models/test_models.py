# SPDX-License-Identifier: MIT
"""The wake-up protocols, proved three ways, each with faults that it must find.

The models explore every interleaving under total store order. relacy compiles the real
C files and knows weaker memory. The lock-step programs run them on this machine.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import c_build
import planted
import planted_ring
import pytest
from models import foreign_model, notify_model, park_model, ring_model
from models.explorer import DONE, Thread, Violation, explore

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


MODELS = (notify_model, foreign_model, park_model, ring_model)
# Operations of the real files that lose nothing, and within which a fault shows.
CLEAN_OPERATIONS = 10_000_000
MUTANT_OPERATIONS = 50_000
# Where the moment lies is up to the machine: so many attempts, a seed each.
MUTANT_ATTEMPTS = 20
LOCKSTEP = {
    "notify_lockstep": planted.NOTIFY_MUTANTS,
    "queue_lockstep": planted.QUEUE_MUTANTS,
}
RELACY = {
    "relacy_notify": planted.NOTIFY_MUTANTS,
    "relacy_queue": planted.QUEUE_MUTANTS,
    "relacy_ring": planted_ring.ORDER_MUTANTS,
}
# Each takes seconds to compile.
SEEN_BY_RELACY = (
    ("relacy", "relacy soak") if "TPOOL_SOAK" in os.environ else ("relacy",)
)


def _pairs(
    programs: dict[str, tuple[planted.Mutant, ...]], tool: str
) -> list[pytest.ParameterSet]:
    return [
        pytest.param(program, mutant, id=f"{program}-{mutant.name}")
        for program, mutants in programs.items()
        for mutant in planted.seen_by(mutants, tool)
    ]


def _store_buffering(*, fence: bool) -> int:
    """Each of two threads stores and then looks at the other's: may both miss?"""

    def program(mine: str, other: str) -> dict[str, object]:
        def store(t: Thread) -> str:
            if fence:
                t.rmw(mine, "=", 1)
            else:
                t.store(mine, 1)
            return "load"

        def load(t: Thread) -> str:
            t.ghost("seen", t.ghost("seen") + t.load(other))
            return DONE

        return {"store": store, "load": load}

    return explore(
        [program("x", "y"), program("y", "x")],
        {"x": 0, "y": 0, "seen": 0},
        [{}, {}],
        always=lambda _: None,
        at_end=lambda view: None if view.memory["seen"] else "both missed",
    )


def test_explorer_finds_store_buffering_without_fence() -> None:
    with pytest.raises(Violation, match="both missed"):
        _store_buffering(fence=False)


def test_explorer_finds_no_store_buffering_with_fence() -> None:
    assert _store_buffering(fence=True) > 4


@pytest.mark.parametrize(
    ("model", "scenario"),
    [
        pytest.param(m, s, id=f"{m.__name__}-{s.name}")
        for m in MODELS
        for s in m.SCENARIOS
    ],
)
def test_model_holds_in_every_state(model: ModuleType, scenario: object) -> None:
    assert model.run(scenario) > 100


@pytest.mark.parametrize(
    ("model", "mutant"),
    [
        pytest.param(m, name, id=f"{m.__name__}-{name}")
        for m in MODELS
        for name in m.MUTANTS
    ],
)
def test_model_finds_mutant(model: ModuleType, mutant: str) -> None:
    def run_all() -> None:
        for scenario in model.SCENARIOS:
            model.run(scenario, mutant)

    with pytest.raises(Violation):
        run_all()


@pytest.mark.parametrize("harness", RELACY)
def test_real_code_holds_under_relacy(harness: str, tmp_path: Path) -> None:
    done = c_build.run(c_build.build_relacy(tmp_path, harness, None))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("harness", "mutant"), [p for tool in SEEN_BY_RELACY for p in _pairs(RELACY, tool)]
)
def test_relacy_finds_mutant(
    harness: str, mutant: planted.Mutant, tmp_path: Path
) -> None:
    done = c_build.run(c_build.build_relacy(tmp_path, harness, mutant))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "in iteration" in done.stdout


@pytest.mark.timeout(c_build.TIMEOUT_S)
@pytest.mark.parametrize("program", LOCKSTEP)
def test_no_wake_up_is_lost_in_ten_million(program: str, tmp_path: Path) -> None:
    exe = c_build.build_c(tmp_path, program, "-O2", "-Werror")
    done = c_build.run(exe, CLEAN_OPERATIONS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{CLEAN_OPERATIONS} " in done.stdout


@pytest.mark.skipif(cpus() < 2, reason="one CPU: nothing happens at the same time")
@pytest.mark.parametrize(("program", "mutant"), _pairs(LOCKSTEP, "lockstep"))
def test_lockstep_finds_mutant_within_50_000_operations(
    program: str, mutant: planted.Mutant, tmp_path: Path
) -> None:
    csrc = c_build.mutated_csrc(tmp_path, mutant)
    exe = c_build.build_c(tmp_path, program, "-O2", csrc=csrc)
    for seed in range(MUTANT_ATTEMPTS):
        done = c_build.run(exe, MUTANT_OPERATIONS, seed)
        if done.returncode:
            assert " at " in done.stdout, done.stderr
            return
    pytest.fail(f"not found: {done.stdout}")
