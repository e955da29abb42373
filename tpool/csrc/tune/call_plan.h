/* SPDX-License-Identifier: MIT
 *
 * Call plan: what is known of the calls of one callable, and what the owner
 * does about it when it waits for one.  Arithmetic only: no clock, no threads.
 *
 * Source: how long calls take is learned as TCP learns its round trips (RFC
 * 6298); to sleep for most of a call and poll for its end is the hybrid polling
 * of Linux's block layer (2016).
 */
#ifndef TPOOL_TUNE_CALL_PLAN_H
#define TPOOL_TUNE_CALL_PLAN_H

#include "base/clock.h"
#include "tune/poll_window.h"
#include "tune/wait_plan.h"

/* The phase after a nap is not longer: who polls looks for signals as often. */
#define NAP_POLL_MAX_NS (1 * NS_PER_MS)

/* A moving average, and how far from it the values are. */
struct moving {
    int64_t mean_ns; /* 0: there was none */
    int64_t dev_ns;
};

void moving_add(struct moving *m, int64_t ns);

struct call_history {
    struct poll_window poll;
    struct moving took; /* from submit until the call has ended */
    struct moving ran;  /* of that, the call itself */
};

/* What it costs to sleep on this machine. */
struct sleep_costs {
    int64_t wake_ns;    /* to be woken; 0: unknown */
    struct moving late; /* by how much a sleep is too long */
};

void sleep_costs_init(struct sleep_costs *costs);

/*
 * A sleep is late_ns too long; over: it has ended.  If not, something else has ended
 * it: it might have become longer, and says nothing unless it is longer than most.
 */
void sleep_costs_late(struct sleep_costs *costs, int64_t late_ns, bool over);

void call_history_init(struct call_history *s, int64_t poll_ns);

/*
 * age_ns: how long ago the only call in flight was submitted; -1: there are
 * others too, and when the next one ends cannot be told.  Where sleeps are too late for
 * a nap, costs are taken to be a little less late from now on.
 */
struct wait_plan call_plan(struct call_history *s,
                           const struct poll_params *params,
                           struct sleep_costs *costs, int64_t age_ns);

/*
 * The same, where several are run one at a time, and the owner can do nothing before the
 * batch_ns that it will take are over: a nap, or WAIT_BLOCK where none fits.
 */
struct wait_plan call_plan_batch(const struct call_history *s,
                                 const struct poll_params *params,
                                 struct sleep_costs *costs, int64_t batch_ns);

#endif
