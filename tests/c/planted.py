# SPDX-License-Identifier: MIT
"""Faults to plant in the C files: each has to be found by those that look for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One planted fault: what is written instead of what, and who must see it."""

    name: str
    file: str
    old: str
    new: str
    # "lockstep": shown by the hardware, on x86 too, within 50,000 operations.
    # "relacy": shown by the weak-memory checker.
    # "tsan": shown by ThreadSanitizer in stress_completion_list.
    # "unit": shown by the single-threaded part of stress_notify, or by the program that
    # it is planted for.
    # "polls": only where somebody polls, which on one CPU nobody does.
    seen_by: tuple[str, ...]


# On x86 a read-modify-write is lock-prefixed whatever order it is given, and a seq_cst
# load is a plain one: none can show these weakened, they are for relacy and the models.
# A weakened seq_cst *store* shows.
_PUSH_WEAK = Mutant(
    "push weakened",
    "queue/completion_list.c",
    "newest, memory_order_seq_cst,",
    "newest, memory_order_acq_rel,",
    ("relacy",),
)
_LOOK_WEAK = Mutant(
    "look at the list weakened",
    "queue/completion_list.c",
    "(&list->head, memory_order_seq_cst) != NULL",
    "(&list->head, memory_order_acquire) != NULL",
    ("relacy",),
)

NOTIFY_MUTANTS = (
    _PUSH_WEAK,
    _LOOK_WEAK,
    Mutant(
        "push does not publish",
        "queue/completion_list.c",
        "newest, memory_order_seq_cst,",
        "newest, memory_order_relaxed,",
        ("relacy", "tsan"),
    ),
    Mutant(
        "take does not acquire",
        "queue/completion_list.c",
        "(&list->head, NULL, memory_order_acquire)",
        "(&list->head, NULL, memory_order_relaxed)",
        ("relacy", "tsan"),
    ),
    Mutant(
        "poster's load weakened",
        "aio/notify.c",
        "state = atomic_load_explicit(&n->state, memory_order_seq_cst)",
        "state = atomic_load_explicit(&n->state, memory_order_acquire)",
        ("relacy",),
    ),
    Mutant(
        "announcement weakened",
        "aio/notify.c",
        "state | how, memory_order_seq_cst)",
        "state | how, memory_order_release)",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "bare flag weakened",
        "aio/notify.c",
        "NOTIFIED_BARE, memory_order_seq_cst)",
        "NOTIFIED_BARE, memory_order_acq_rel)",
        ("relacy",),
    ),
    Mutant(
        "look at notified weakened",
        "aio/notify.c",
        "(&n->notified, memory_order_seq_cst)",
        "(&n->notified, memory_order_acquire)",
        ("relacy",),
    ),
    Mutant(
        "re-check removed",
        "aio/notify.c",
        "!completion_list_look(list) && "
        "!(atomic_load_explicit(&n->notified, memory_order_seq_cst) &",
        "list && !(0 &",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "re-check of the list removed",
        "aio/notify.c",
        "!completion_list_look(list) &&",
        "list &&",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "re-check of notified removed",
        "aio/notify.c",
        "!(atomic_load_explicit(&n->notified, memory_order_seq_cst) &",
        "!(0 &",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "written after notified",
        "aio/notify.c",
        "event_notifier_set(&n->notifier); /* W */"
        " /* N: release, so that who accepts the flag finds the fd readable. */"
        " atomic_fetch_or_explicit(&n->notified, NOTIFIED_WRITTEN,"
        " memory_order_release);",
        "atomic_fetch_or_explicit(&n->notified, NOTIFIED_WRITTEN,"
        " memory_order_release);"
        " event_notifier_set(&n->notifier);",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "write skipped because notified is set",
        "aio/notify.c",
        "event_notifier_set(&n->notifier); /* W */",
        "if (!atomic_load_explicit(&n->notified, memory_order_relaxed)) {"
        " event_notifier_set(&n->notifier); }",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "written in the poll phase",
        "aio/notify.c",
        "while ((state & NOTIFY_BLOCKED) &&",
        "while (state &&",
        ("unit",),
    ),
    Mutant(
        "who naps is woken early",
        "aio/notify.c",
        "post(n, NOTIFY_NAPS);",
        "post(n, 0);",
        ("unit",),
    ),
    Mutant(
        "who naps is not woken at all",
        "aio/notify.c",
        "post(n, 0);",
        "post(n, NOTIFY_NAPS);",
        ("unit", "lockstep"),
    ),
    Mutant(
        "a nap that is over is taken for one",
        "aio/notify.c",
        "state & ~(NOTIFY_BLOCKED | NOTIFY_NAPS), memory_order_relaxed)",
        "state & ~NOTIFY_BLOCKED, memory_order_relaxed)",
        ("unit", "lockstep", "relacy"),
    ),
    Mutant(
        "written by each poster",
        "aio/notify.c",
        "&n->state, &state, state & ~NOTIFY_BLOCKED,",
        "&n->state, &state, state,",
        ("unit",),
    ),
)

QUEUE_MUTANTS = (
    _PUSH_WEAK,
    _LOOK_WEAK,
    Mutant(
        "decrement of lookers weakened",
        "queue/queue_lookers.c",
        "lookers + (uint32_t)step, memory_order_seq_cst)",
        "lookers + (uint32_t)step, memory_order_release)",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "load of lookers weakened",
        "queue/queue_lookers.c",
        "(&q->lookers, memory_order_seq_cst)",
        "(&q->lookers, memory_order_acquire)",
        ("relacy",),
    ),
    Mutant(
        "look removed from park",
        "queue/queue_worker.c",
        "if (queue_look(q) && !somebody_stands_by(q)) {",
        "if (false) {",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "look removed from the begin of a call",
        "queue/queue_worker.c",
        "if (queue_look(q) && !queue_somebody_looks(q)) { need =",
        "if (false) { need =",
        ("lockstep", "relacy"),
    ),
    Mutant(
        "look before the decrement of lookers",
        "queue/queue_worker.c",
        "queue_stop_looking(q, w); if (queue_look(q) && !somebody",
        "bool look = queue_look(q); queue_stop_looking(q, w); if (look && !somebody",
        ("lockstep", "relacy"),
    ),
)


def seen_by(mutants: tuple[Mutant, ...], tool: str) -> list[Mutant]:
    """Those of the mutants that the tool must find."""
    return [mutant for mutant in mutants if tool in mutant.seen_by]
