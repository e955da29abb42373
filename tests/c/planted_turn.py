# SPDX-License-Identifier: MIT
"""Faults of what a context does in a turn, by the program that must see them."""

from __future__ import annotations

from planted import Mutant

MUTANTS = {
    "stress_turn": (
        Mutant(
            "calls after a pause are taken for calls before it",
            "aio/call_trial.c",
            "flight_ns - t->until_ns, 0)",
            "flight_ns - t->until_ns, in_flight(t->core))",
            ("unit",),
        ),
        Mutant(
            "a pause is no time",
            "aio/call_trial.c",
            "flight_ns - t->until_ns, 0)",
            "0, 0)",
            ("unit",),
        ),
        Mutant(
            "less work is told of than before",
            "aio/context.h",
            "return told_ns;",
            "return worked_ns;",
            ("unit",),
        ),
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
            "still_nothing_due(c, w) && (w->nap_ns",
            "(w->nap_ns",
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
            ("unit", "polls"),
        ),
        Mutant(
            "a word that was set while nobody was to be told is not looked at",
            "aio/source.c",
            "if (s->owes || (s->peek.word && aio_peek(&s->peek))) {",
            "if (false) {",
            ("unit",),
        ),
        Mutant(
            "what a source owes is slept on",
            "aio/source.c",
            "s->owes ||",
            "",
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
