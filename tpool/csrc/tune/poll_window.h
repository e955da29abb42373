/* SPDX-License-Identifier: MIT
 *
 * Poll window: the window of one source of work.  QEMU's rule until there is a
 * history, and wherever its slopes are set; then what the history says.
 * Arithmetic only: no clock, no threads.
 */
#ifndef TPOOL_TUNE_POLL_WINDOW_H
#define TPOOL_TUNE_POLL_WINDOW_H

#include "tune/poll_history.h"
#include "tune/poll_tuner.h"

/* Work this many bounds long gains too little by what polling saves of it. */
#define POLL_PAYS_BOUNDS 32

/* Waits that are not polled until one is again: things change. */
#define POLL_RETRY 256

struct poll_window {
    int64_t poll_ns; /* the window now */
    struct poll_history history;
    int64_t wake_ns;  /* what a wake-up takes, as was known before the wait */
    uint32_t skipped; /* waits in a row for which the history was against it */
    bool retried;     /* the wait now is polled although it is */
};

/* poll_ns: the window to start with. */
void poll_window_init(struct poll_window *s, int64_t poll_ns);

/*
 * How long the poll phase of the next wait may last, 0: not at all.  wake_ns:
 * what a wake-up costs, 0: unknown.  Counts the waits that it is against.
 */
int64_t poll_window_next_ns(struct poll_window *s,
                            const struct poll_params *params, int64_t wake_ns);

/* After a wait, as poll_tuner_next_ns(); sets the window. */
enum poll_verdict poll_window_tune(struct poll_window *s,
                                   const struct poll_params *params,
                                   int64_t block_ns);

/* Long poll phases, over a fraction of the bound, until one wait is to be slept. */
#define UNMEASURED_MAX 128
#define LONG_FRACTION  4

/*
 * Before a poll phase, the last of which took last_ns.  Whether it is left out, to see what
 * a wake-up takes: that may have changed since the last.  *unmeasured: 0 after one; how
 * many long ones there were since.
 */
static inline bool poll_window_is_to_measure(const struct poll_params *params,
                                             int64_t last_ns,
                                             uint32_t *unmeasured)
{
    return !poll_slopes_are_set(params) &&
           last_ns > params->max_ns / LONG_FRACTION &&
           ++*unmeasured >= UNMEASURED_MAX;
}

#endif
