/* SPDX-License-Identifier: MIT
 *
 * Poll history: how the last waits of one source were spread, and the window
 * that would have cost least over them.  Arithmetic only: no clock, no threads.
 *
 * QEMU's rule (poll_tuner.h) knows the last wait alone: where short waits and
 * long ones alternate it polls in vain for each long one, and sleeps through
 * each short one.  The cost of a window w is the time polled, min(wait, w), and
 * a wake-up for each wait that is longer.  A wake-up is taken to be worth the
 * bound of the window: so much its user would have spent to save one.  Where it
 * takes less than POLL_HISTORY_DEAR_NS it is worth less, in proportion.
 */
#ifndef TPOOL_TUNE_POLL_HISTORY_H
#define TPOOL_TUNE_POLL_HISTORY_H

#include "tune/poll_tuner.h"

/* Half the default bound: to be woken takes about as much CPU as time, and it is both. */
#define POLL_HISTORY_DEAR_NS (POLL_MAX_NS_DEFAULT / 2)

/* Windows that can be chosen: an 8th, a 4th and half of the bound, and all. */
#define POLL_HISTORY_WINDOWS 4
/* Waits until it has an opinion. */
#define POLL_HISTORY_MIN 8

struct poll_history {
    uint32_t waits; /* seen, up to what the average is over */
    /* Of waits, in 1/65536: up to each window, and longer than all. */
    int32_t share[POLL_HISTORY_WINDOWS + 1];
};

/* For how long it pays to poll to save a wake-up.  wake_ns as below. */
int64_t poll_history_worth_ns(int64_t max_ns, int64_t wake_ns);

void poll_history_add(struct poll_history *h, int64_t max_ns, int64_t wait_ns);

/*
 * The best window, 0: not to poll at all; -1: too little was seen.  wake_ns: what
 * a wake-up takes, 0: unknown, it is taken to be dear.
 */
int64_t poll_history_window_ns(const struct poll_history *h, int64_t max_ns,
                               int64_t wake_ns);

#endif
