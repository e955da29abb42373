/* SPDX-License-Identifier: MIT
 *
 * Trial moment: epochs of a trial that say nothing of a way.  Arithmetic only.
 */
#ifndef TPOOL_TUNE_TRIAL_MOMENT_H
#define TPOOL_TUNE_TRIAL_MOMENT_H

#include "tune/poll_trial.h"

/* A trial begins, of which there was none yet. */
static inline void trial_moment_none(struct poll_trial *t, uint32_t in_flight)
{
    t->moment = false;
    t->thin = 0;
    t->full = in_flight;
}

/*
 * Whether others seem to have run meanwhile, of a host, by what calls are known to cost; or
 * most of those that were in flight have ended, and no others came.  But if it goes on like
 * that, it does say something.  What is not paid for is no more than that costs.
 */
bool trial_says_nothing(struct poll_trial *t, const struct call_costs *epoch,
                        int64_t known_ns);

#endif
