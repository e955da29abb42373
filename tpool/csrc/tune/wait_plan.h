/* SPDX-License-Identifier: MIT
 *
 * What the owner does about what it waits for: block, poll, or sleep and then poll.
 */
#ifndef TPOOL_TUNE_WAIT_PLAN_H
#define TPOOL_TUNE_WAIT_PLAN_H

#include "base/osdep.h"

/* The later of two is what becomes of both; a nap is for one that is alone. */
enum wait_choice {
    WAIT_QUIET,    /* nothing is expected */
    WAIT_BLOCK,    /* the window is nothing */
    WAIT_HOPELESS, /* block: it takes longer than the window */
    WAIT_NAP,      /* sleep for nap_ns, then poll for window_ns */
    WAIT_POLL,     /* poll for window_ns, then block */
};

struct wait_plan {
    enum wait_choice choice;
    int64_t window_ns, nap_ns; /* 0 where there is none */
    bool batch; /* nothing can be done before a nap is over, whatever comes */
};

/* A window that counts from when who is waited for is awake. */
static inline int64_t wait_plan_late_ns(int64_t window_ns, int64_t wake_ns)
{
    return window_ns < INT64_MAX - wake_ns ? window_ns + wake_ns : INT64_MAX;
}

/* It is waited for something else, too. */
static inline void wait_plan_add(struct wait_plan *all, struct wait_plan one)
{
    if (all->choice == WAIT_QUIET) {
        *all = one;
        return;
    }
    if (one.choice == WAIT_QUIET) {
        return;
    }
    if (all->choice == WAIT_NAP) {
        *all = (struct wait_plan){.choice = WAIT_HOPELESS};
    }
    if (one.choice == WAIT_NAP) {
        one = (struct wait_plan){.choice = WAIT_HOPELESS};
    }
    if (one.choice > all->choice) {
        all->choice = one.choice;
    }
    if (one.window_ns > all->window_ns) {
        all->window_ns = one.window_ns;
    }
}

#endif
