/* SPDX-License-Identifier: MIT
 *
 * Poll tuner: how long the next poll phase of one event source may last.
 * Arithmetic only: no clock, no threads.
 *
 * Source: the self-tuning of QEMU's AioContext (2016), kept per event source.
 */
#ifndef TPOOL_TUNE_POLL_TUNER_H
#define TPOOL_TUNE_POLL_TUNER_H

#include "base/osdep.h"

#define POLL_MAX_NS_DEFAULT 32768
/* First window after none: long enough to catch a partner that is running. */
#define POLL_GROW_START_NS 4000

struct poll_params {
    int64_t max_ns; /* bound of the window; 0: polling off */
    int64_t grow;   /* factor; 0: 2 */
    int64_t shrink; /* divisor; 0: straight to 0 */
    bool hybrid;    /* naps before long regular calls, see call_plan.h */
};

/* Slopes that somebody has set are obeyed to the letter: nothing is learned. */
static inline bool poll_slopes_are_set(const struct poll_params *params)
{
    return params->grow || params->shrink;
}

enum poll_verdict {
    POLL_KEEP,
    POLL_GROW,
    POLL_SHRINK
};

/* What has been done to a window. */
static inline enum poll_verdict poll_verdict_of(int64_t before_ns,
                                                int64_t next_ns)
{
    return next_ns > before_ns   ? POLL_GROW
           : next_ns < before_ns ? POLL_SHRINK
                                 : POLL_KEEP;
}

/*
 * poll_ns: the window now.  block_ns: time from entry until work arrived,
 * polled and blocked.  Returns the next window and says what was done.
 */
int64_t poll_tuner_next_ns(const struct poll_params *params, int64_t poll_ns,
                           int64_t block_ns, enum poll_verdict *verdict);

/*
 * How long a poll phase may last, of a window that is not nothing: as long as it
 * costs to be woken, within the bound.  To block sooner would cost more than it
 * saves.
 */
int64_t poll_tuner_window_ns(const struct poll_params *params, int64_t poll_ns,
                             int64_t wake_ns);

/*
 * What a wait of wait_ns teaches, of which the partner spent lag_ns being woken:
 * had it polled too, the work would have come that much sooner.  No more than
 * wake_ns, what a wake-up costs the waiting side (0: unknown), is taken off: a
 * partner that is always asleep must not be polled for longer than that saves.
 */
int64_t poll_tuner_wait_ns(int64_t wait_ns, int64_t lag_ns, int64_t wake_ns);

/* The longest that a partner is polled for until it is awake. */
#define POLL_AWAKE_MAX_NS 1000000

/* How long that is, if it took lag_ns to wake the last time: twice, and most_ns at most. */
static inline int64_t poll_tuner_awake_ns(int64_t lag_ns, int64_t most_ns)
{
    return lag_ns < most_ns / 2 ? 2 * lag_ns : most_ns;
}

/* What a wake-up costs on this machine, a moving average; 0: none was seen. */
int64_t poll_tuner_wake_ns(int64_t wake_ns, int64_t lag_ns);

#endif
