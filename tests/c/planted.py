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
    # "unit": shown by the single-threaded part of stress_notify.
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
        "state | NOTIFY_BLOCKED, memory_order_seq_cst)",
        "state | NOTIFY_BLOCKED, memory_order_release)",
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
        "while (state & NOTIFY_BLOCKED) {",
        "while (state) {",
        ("unit",),
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
        "if (queue_look(q)) { queue_unpark",
        "if (false) { queue_unpark",
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
        "queue_stop_looking(q, w); if (queue_look(q)) {",
        "bool look = queue_look(q); queue_stop_looking(q, w); if (look) {",
        ("lockstep", "relacy"),
    ),
)

# Those of what one thread at a time does, by the program that must see them.
UNIT_MUTANTS = {
    "stress_queue_serial": (
        Mutant(
            "parked beside a looker after the shutdown",
            "queue/queue_worker.c",
            "q->head && !q->shutdown && somebody_stands_by(q)",
            "q->head && somebody_stands_by(q)",
            ("unit",),
        ),
    ),
    "stress_fd_table": (
        Mutant(
            "an event of who had the number before",
            "aio/fd_table.c",
            "h && h->gen == events[i].gen",
            "h",
            ("unit",),
        ),
        Mutant(
            "what was reported before the same events were asked for anew",
            "aio/fd_table.c",
            "h->served > poll || h->since > removals",
            "h->served > poll",
            ("unit",),
        ),
        Mutant(
            "what nobody has vouched for is taken for the same file",
            "aio/fd_table.c",
            "old && old->vouched && h->vouched",
            "old && h->vouched",
            ("unit",),
        ),
        Mutant(
            "a removal is not counted",
            "aio/fd_table.c",
            "t->removals++; old->removed = true;",
            "old->removed = true;",
            ("unit",),
        ),
        Mutant(
            "a number that is never asked whether it is open",
            "aio/fd_table.c",
            "check ? UNCHECKED_MAX : h->unchecked - 1",
            "UNCHECKED_MAX",
            ("unit",),
        ),
        Mutant(
            "a closed number is not asked before the first event",
            "aio/fd_table.c",
            "vouched ? UNCHECKED_MAX : 0",
            "UNCHECKED_MAX",
            ("unit",),
        ),
        Mutant(
            "a monitor of any kind takes the place",
            "aio/fd_table.c",
            "fdmon_init_as(&anew, m->ops)",
            "fdmon_init(&anew)",
            ("unit",),
        ),
        Mutant(
            "a monitor without the second of its own",
            "aio/fd_table.c",
            "i < m->n_own",
            "i < 1",
            ("unit",),
        ),
        Mutant(
            "a closed number keeps the others from a new monitor",
            "aio/fd_table.c",
            "ret == -EBADF || ret == -EPERM",
            "ret == -EPERM",
            ("unit",),
        ),
        Mutant(
            "a ghost that stays is not one that haunts",
            "aio/fd_table.c",
            "fdmon_haunt(m); t->lost(fd, ret);",
            "t->lost(fd, ret);",
            ("unit",),
        ),
        Mutant(
            "a ghost is seen in what was removed in the batch",
            "aio/fd_table.c",
            "t->removals == removals && !dropped",
            "!dropped",
            ("unit",),
        ),
        Mutant(
            "a lost handler is not said to be",
            "aio/fd_table.c",
            "fds_remove(t, m, fd); t->lost(fd, -EBADF);",
            "fds_remove(t, m, fd);",
            ("unit",),
        ),
        Mutant(
            "watched without a place in the table",
            "aio/fd_table.c",
            "{ fdmon_set(m, h->fd, 0, 0); } if (ret < 0)",
            "{ } if (ret < 0)",
            ("unit",),
        ),
        Mutant(
            "a handler that cannot be set is kept",
            "aio/fd_table.c",
            "if (ret < 0) { handler_unref(h); return ret; }",
            "if (ret < 0) { return ret; }",
            ("unit",),
        ),
        Mutant(
            "a registration of number 0",
            "aio/fd_table.c",
            "++t->gen ? t->gen : ++t->gen",
            "++t->gen",
            ("unit",),
        ),
        Mutant(
            "what io_poll has found is read too",
            "aio/fd_table.c",
            "h->served = poll; *progress = true; ret = h->ops->poll_ready",
            "*progress = true; ret = h->ops->poll_ready",
            ("unit",),
        ),
        Mutant(
            "emptied when it is too late",
            "aio/fd_table.c",
            "fds_abandon(t); for (int fd = 0; fd < size; fd++)",
            "for (int fd = 0; fd < size; fd++)",
            ("unit",),
        ),
    ),
    "stress_timer_heap": (
        Mutant(
            "equal times in any order",
            "aio/timer_heap.c",
            "(a->expire_ns == b->expire_ns && a->seq < b->seq)",
            "(a->expire_ns == b->expire_ns && a->seq > b->seq)",
            ("unit",),
        ),
        Mutant(
            "what takes a place does not rise",
            "aio/timer_heap.c",
            "sift_up(heap, index_of(last), last);",
            "",
            ("unit",),
        ),
        Mutant(
            "set again by its callback, for the same dispatch",
            "aio/timer_heap.c",
            "expire_ns <= heap->dispatch_ns",
            "expire_ns < 0",
            ("unit",),
        ),
        Mutant(
            "room is made when it is too late",
            "aio/timer_heap.c",
            "heap->used == heap->size && make_room",
            "heap->used > heap->size && make_room",
            ("unit",),
        ),
        Mutant(
            "a reference too much",
            "aio/timer_heap.c",
            "return is_new;",
            "return 1;",
            ("unit",),
        ),
    ),
    "stress_turn": (
        Mutant(
            "the block is not announced",
            "turn/turn.c",
            "notify_raise(notify, NOTIFY_STEP);",
            "",
            ("unit",),
        ),
        Mutant(
            "no look after the handlers of signals have run",
            "turn/wait.c",
            "still_nothing_due(c, w) && notify_may_block(&core->notify, &core->list)",
            "notify_may_block(&core->notify, &core->list)",
            ("unit",),
        ),
        Mutant(
            "a timer does not bound the wait",
            "turn/wait.c",
            "return soonest_timeout_ns(idle_ns(c), timers_timeout_ns(&c->timers));",
            "return idle_ns(c);",
            ("unit",),
        ),
        Mutant(
            "the newest of a batch first",
            "turn/dispatch.c",
            "*(*head ? &(*tail)->next : head) = node;",
            "node->next = *head; *head = node; if (node->next) { return; }",
            ("unit",),
        ),
        Mutant(
            "a foreign loop is not told of what came meanwhile",
            "turn/foreign.c",
            "hit > 0 || !notify_may_block(notify, &c->core->list)",
            "hit > 0",
            ("unit",),
        ),
        Mutant(
            "a word of a source is not looked at",
            "turn/poll_phase.c",
            "w->peeks.peeks[w->peeks.n++] = s->peek;",
            "",
            ("unit",),
        ),
        Mutant(
            "a word that was set while nobody was to be told is not looked at",
            "aio/source.c",
            "if (s->peek.word && aio_peek(&s->peek)) {",
            "if (false) {",
            ("unit",),
        ),
        Mutant(
            "the sources are not dispatched",
            "turn/turn.c",
            "s->ops->dispatch ? s->ops->dispatch(s, w, progress) : 0;",
            "0;",
            ("unit",),
        ),
        Mutant(
            "a handler is freed while it is called",
            "aio/fd_table.c",
            "h->refs++; ret = dispatch_one",
            "ret = dispatch_one",
            ("unit",),
        ),
        Mutant(
            "what is posted after a close stays",
            "aio/core.c",
            "atomic_store_explicit(&core->detached, true, memory_order_seq_cst);",
            "",
            ("unit",),
        ),
    ),
}


def seen_by(mutants: tuple[Mutant, ...], tool: str) -> list[Mutant]:
    """Those of the mutants that the tool must find."""
    return [mutant for mutant in mutants if tool in mutant.seen_by]
