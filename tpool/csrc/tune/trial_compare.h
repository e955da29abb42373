/* SPDX-License-Identifier: MIT
 *
 * Trial compare: which of two ways is better that differ in a bit, by what calls cost by
 * each, and whether so few calls can tell.  Arithmetic only.
 */
#ifndef TPOOL_TUNE_TRIAL_COMPARE_H
#define TPOOL_TUNE_TRIAL_COMPARE_H

#include "tune/poll_trial.h"

/* What is no dearer than that costs about as much. */
#define TRIAL_ABOUT(known_ns) ((known_ns) + (known_ns) / 8)
/* The longest that one is tried: loads change. */
#define TRIAL_TRY_MAX_NS (50 * NS_PER_MS)

enum trial_answer {
    TRIAL_UNCLEAR,
    TRIAL_WORSE, /* or no better, for all that could be seen */
    TRIAL_BETTER,
};

/* So many halves of what is known, or as little, are something else. */
static inline bool trial_is_changed(int64_t now, int64_t known, int64_t halves)
{
    return (2 * now >= halves * known) !=
           (2 * known >= halves * now); /* both: 0 */
}

/* By what two ways are compared that differ in this bit. */
static inline int64_t trial_worth_ns(int bit, struct call_price price)
{
    return bit == BIT_FEW ? price.time_ns : call_price_worth_ns(price);
}

/* Whether one is better by more than that much; a few not if they cost clearly more. */
bool trial_is_better(int bit, struct call_price one, struct call_price other,
                     int64_t noise_ns);

/* What is tried, to what calls are known to cost by the way that was left for it. */
enum trial_answer trial_compare(int bit, struct call_price known,
                                const struct call_costs *tried);

#endif
