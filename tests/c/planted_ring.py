# SPDX-License-Identifier: MIT
"""Faults of the ring between processes, by the program that must see them."""

from __future__ import annotations

from planted import Mutant

MUTANTS = {
    "stress_shared_ring": (
        Mutant(
            "who moves rings for whoever it is",
            "shm/ring_end.c",
            "if (wake_at - old < position - old && !e->peers[n].gone) {",
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

# Of what ring_end.h asks for; those for "relacy soak" run with TPOOL_SOAK alone.
ORDER_MUTANTS = (
    Mutant(
        "P weakened",
        "shm/ring_end.c",
        "atomic_store_explicit(&mine->position, position, memory_order_seq_cst)",
        "atomic_store_explicit(&mine->position, position, memory_order_release)",
        ("relacy",),
    ),
    Mutant(
        "P does not publish",
        "shm/ring_end.c",
        "atomic_store_explicit(&mine->position, position, memory_order_seq_cst)",
        "atomic_store_explicit(&mine->position, position, memory_order_relaxed)",
        ("relacy soak",),
    ),
    Mutant(
        "L weakened",
        "shm/ring_end.c",
        "atomic_load_explicit(&p->wake_at, memory_order_seq_cst)",
        "atomic_load_explicit(&p->wake_at, memory_order_acquire)",
        ("relacy",),
    ),
    Mutant(
        "A weakened",
        "shm/ring_end.c",
        "want->position, memory_order_seq_cst);",
        "want->position, memory_order_release);",
        ("relacy",),
    ),
    Mutant(
        "K weakened",
        "shm/ring_end.c",
        "(&place_of(e, want->place)->position, memory_order_seq_cst)",
        "(&place_of(e, want->place)->position, memory_order_acquire)",
        ("relacy",),
    ),
    Mutant(
        "look at what is armed for does not acquire",
        "shm/ring_end.h",
        "atomic_load_explicit(&p->position, memory_order_acquire)",
        "atomic_load_explicit(&p->position, memory_order_relaxed)",
        ("relacy soak",),
    ),
    Mutant(
        "who comes weakened",
        "shm/ring_end.c",
        "&p->owner, &free, me, memory_order_seq_cst,",
        "&p->owner, &free, me, memory_order_release,",
        ("relacy soak",),
    ),
    Mutant(
        "its look for a doorbell weakened",
        "shm/ring_end.c",
        "atomic_load_explicit(&p->doorbell, memory_order_seq_cst)",
        "atomic_load_explicit(&p->doorbell, memory_order_acquire)",
        ("relacy soak",),
    ),
    Mutant(
        "the doorbell weakened",
        "shm/ring_end.c",
        "->doorbell, e->bell.number, memory_order_seq_cst)",
        "->doorbell, e->bell.number, memory_order_release)",
        ("relacy soak",),
    ),
    Mutant(
        "the look for who has come weakened",
        "shm/ring_end.c",
        "(&peer_place(e, n)->owner, memory_order_seq_cst)",
        "(&peer_place(e, n)->owner, memory_order_acquire)",
        ("relacy soak",),
    ),
    Mutant(
        "who closes does not say so before it rings",
        "shm/ring_end.c",
        "RING_CLOSED, memory_order_seq_cst); ring_all(e);",
        "RING_CLOSED, memory_order_seq_cst);",
        ("relacy soak",),
    ),
    Mutant(
        "who comes does not ring",
        "shm/ring_end.c",
        "memory_order_seq_cst); ring_all(e); return 0;",
        "memory_order_seq_cst); return 0;",
        ("relacy soak",),
    ),
    Mutant(
        "no look after A",
        "shm/ring_end.c",
        "return any_gone ||",
        "return any_gone && want->place &&",
        ("relacy soak",),
    ),
    Mutant(
        "drained after A",
        "shm/ring_end.c",
        "/* K: sequentially consistent. */",
        "doorbell_drain(&e->bell);",
        ("relacy soak",),
    ),
)
