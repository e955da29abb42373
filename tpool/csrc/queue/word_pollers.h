/* SPDX-License-Identifier: MIT
 *
 * Word pollers: those of an interpreter that look busily at a word (word_wait.h).  There
 * are fewer of them than CPUs: one is left for who is to set the word.
 */
#ifndef TPOOL_QUEUE_WORD_POLLERS_H
#define TPOOL_QUEUE_WORD_POLLERS_H

#include "base/clock.h"

/* Any thread, relaxed: a number, by which nothing is published, and hints. */
struct word_pollers {
    _Atomic uint32_t polling;  /* places that are taken */
    _Atomic uint32_t most;     /* that there are: usable CPUs less one */
    _Atomic int64_t looked_ns; /* when they were counted */
    _Atomic int64_t
        crowded_ns; /* until then others want the CPUs: nobody polls */
    /* The thread that has waited last, as one who polls does; and how long it took to
     * wake, 1: it was polling.  0: it has said so since. */
    _Atomic uintptr_t waiter;
    _Atomic int64_t waiter_lag_ns;
    atomic_bool asked; /* somebody has set a word, and asked for that */
};

/* Nobody polls: at the start, and in the child of a fork. */
void word_pollers_init(struct word_pollers *p);

/* Any thread.  Whether it may poll: then it has taken a place. */
bool word_pollers_take(struct word_pollers *p, int64_t now_ns);

/* Any thread, for who has taken it. */
void word_pollers_give(struct word_pollers *p);

/* Any thread that may poll, after a wait: how long it took to wake, 0: it has polled. */
void word_pollers_set_lag(struct word_pollers *p, int64_t lag_ns);

/* Any thread.  Whether anybody may ask for that: where no word is ever set, nobody does. */
static inline bool word_pollers_ask(const struct word_pollers *p)
{
    return atomic_load_explicit(&p->asked, memory_order_relaxed);
}

/*
 * Any thread that sets a word.  How long it took to wake, 1: it has polled, if its wait
 * was the last of all; once.  0: it is not known to wait for anything.
 */
int64_t word_pollers_take_lag(struct word_pollers *p);

#endif
