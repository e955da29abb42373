# SPDX-License-Identifier: MIT
"""Faults of the ring between processes, by the program that must see them."""

from __future__ import annotations

from planted import Mutant

MUTANTS = {
    "stress_shared_ring": (
        Mutant(
            "who moves rings for whoever it is",
            "shm/ring_end.c",
            "if (wake_at - old < position - old) {",
            "if (wake_at != UINT64_MAX || old) {",
            ("unit",),
        ),
        Mutant(
            "no look after it is armed",
            "shm/ring_end.c",
            "return any_gone ||",
            "return any_gone && want->place &&",
            ("unit",),
        ),
        Mutant(
            "not drained before it is armed",
            "shm/ring_end.c",
            "doorbell_drain(&e->bell);",
            "",
            ("unit",),
        ),
        Mutant(
            "the writer waits for a byte more than it needs",
            "shm/ring_writer.c",
            "want->position = w->position + total - size - 1;",
            "want->position = w->position + total - size;",
            ("unit",),
        ),
        Mutant(
            "the writer waits for the fastest reader",
            "shm/ring_writer.c",
            "if (used >= most) {",
            "if (n == 0) {",
            ("unit",),
        ),
    ),
    "hostile_ring": (
        Mutant(
            "a message may go on behind the end of the data",
            "shm/ring_reader.c",
            "if (room > size - at || room > there - skipped) {",
            "if (room > there - skipped) {",
            ("unit",),
        ),
        Mutant(
            "a position may be anywhere",
            "shm/ring_reader.c",
            "if (there > size || there % 8) {",
            "if (false) {",
            ("unit",),
        ),
        Mutant(
            "what is skipped need not be there",
            "shm/ring_reader.c",
            "if (skipped >= there) {",
            "if (false) {",
            ("unit",),
        ),
        Mutant(
            "the writer believes that more was read than it has written",
            "shm/ring_writer.c",
            "if (used > size || used % 8) {",
            "if (false) {",
            ("unit",),
        ),
    ),
}
