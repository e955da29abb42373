/* SPDX-License-Identifier: MIT
 *
 * Wait tuning: how long the waits of one kind poll, and on which CPU, as those before have
 * taught it.  The partner of a wait is the thread that ends it.
 */
#ifndef TPOOL_QUEUE_WAIT_TUNING_H
#define TPOOL_QUEUE_WAIT_TUNING_H

#include "base/cpu.h"
#include "tune/poll_window.h"

/* One thread at a time, that which waits or has waited. */
struct wait_tuning {
    struct poll_params params; /* immutable after init */
    struct poll_window window;
    int64_t wake_ns;     /* what a wake-up costs, 0: none was seen */
    int64_t waited_ns;   /* how long the last wait was */
    int64_t lag_ns;      /* what its partner took to wake */
    uint32_t late;       /* waits that it took longer for than the window was */
    uint32_t unmeasured; /* long poll phases since the last was seen */
    struct cpu_parting parting;
};

/* poll_max_ns: bound of a poll phase; 0: there is none. */
void wait_tuning_init(struct wait_tuning *t, int64_t poll_max_ns);

/* Before a wait.  How long its poll phase may last, 0: there is none. */
int64_t wait_tuning_window_ns(struct wait_tuning *t);

/*
 * After a wait, awake.  shared: its partner was on the CPU that the caller is on, where a
 * wake-up is cheap, and polling in vain.  Where it would pay if they were on two, the
 * caller moves; not if the partner never polls (lag_ns 0): it has to be woken, and is better
 * off beside the caller.
 */
void wait_tuning_part(struct wait_tuning *t, bool shared, int64_t lag_ns);

/*
 * After a wait of wait_ns, less the own_lag_ns that the caller took to wake (0: it polled).
 * lag_ns: how long its partner took to wake for what made it end the wait.
 */
void wait_tuning_learn(struct wait_tuning *t, int64_t wait_ns,
                       int64_t own_lag_ns, int64_t lag_ns);

#endif
