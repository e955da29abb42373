# SPDX-License-Identifier: MIT
"""Faults of how owner and workers pass the GIL, by the program that must see them."""

from __future__ import annotations

from planted import Mutant

MUTANTS = {
    "stress_aio_poll": (
        Mutant(
            "what was vain while nobody polled is vain for ever",
            "aio/call_trial.c",
            "aio_handoff_forget(core);",
            "",
            ("unit",),
        ),
        Mutant(
            "of two things that are tried at once one is not done",
            "aio/call_trial.c",
            "if (t->flips >> BIT_BLOCK & 1) {",
            "if (t->bit == BIT_BLOCK) {",
            ("unit",),
        ),
        Mutant(
            "a batch whose calls last is waited for again and again",
            "aio/handoff.c",
            "if (left_ns > -HANDOFF_NS) {",
            "end_ns = clock_now_ns();\n{",
            ("unit",),
        ),
        Mutant(
            "a batch that has ended is slept through",
            "aio/handoff.c",
            "memory_order_relaxed)) { return; }",
            "memory_order_relaxed)) {}",
            ("unit",),
        ),
        Mutant(
            "a long batch is waited for busily",
            "aio/handoff.c",
            "while ((left_ns = end_ns - clock_now_ns()) > 2 * NAP_LATE_NS) {",
            "left_ns = 0;\nwhile (false) {",
            ("unit",),
        ),
    ),
    "stress_call_table": (
        Mutant(
            "a long queue is handed over as often as a short one",
            "tune/batch.c",
            "return part_ns > BATCH_MIN_NS ? part_ns : BATCH_MIN_NS;",
            "return BATCH_MIN_NS;",
            ("unit",),
        ),
        Mutant(
            "a call that is long is taken for a batch",
            "tune/batch.c",
            "return left_ns > 0 ?",
            "return true ?",
            ("unit",),
        ),
        Mutant(
            "a batch that would last is slept through",
            "tune/call_plan.c",
            "batch_ns <= BATCH_MAX_NS",
            "true",
            ("unit",),
        ),
        Mutant(
            "calls that run beside each other are slept through as one",
            "aio/call_table.c",
            "if (serial && in_flight > 1) {",
            "if (in_flight > 1) {",
            ("unit",),
        ),
    ),
}
