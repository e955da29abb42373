/* SPDX-License-Identifier: MIT
 *
 * Trial turns: which other way is tried next, and when.  The longer the answer stays the
 * same the less often; at once what is known to cost clearly less than what is taken.
 */
#ifndef TPOOL_TUNE_TRIAL_TURNS_H
#define TPOOL_TUNE_TRIAL_TURNS_H

#include "tune/poll_trial.h"

/* Between two trials of the same, at most. */
#define TRIAL_INTERVAL_MAX_NS (64 * NS_PER_MS)

static inline struct call_price trial_price(const struct poll_trial *t,
                                            unsigned way)
{
    return (struct call_price){t->cost_ns[way], t->time_ns[way]};
}

/* The way that is compared with. */
static inline unsigned trial_other(const struct poll_trial *t)
{
    return t->way ^ t->flips;
}

/* It is as if nothing were known of this bit, of all; of all, each keeps its place. */
void trial_turns_soon(struct poll_trial *t, int bit);
void trial_turns_all_soon(struct poll_trial *t);

/* What was tried has lost. */
void trial_turns_later(struct poll_trial *t);

/* Time passes until each is due, and for what waits to be tried. */
void trial_turns_pass(struct poll_trial *t, const struct call_costs *epoch);

/* What is to be tried: .bit and .flips; false: nothing is due, or can be paid for. */
bool trial_turns_choose(struct poll_trial *t, const struct call_costs *epoch);

#endif
