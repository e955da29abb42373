/* SPDX-License-Identifier: MIT
 *
 * Trial credit: what it may cost to try another way.  Earned at a hundredth of what calls
 * cost between trials, and paid with what they cost more meanwhile; below 0 nothing is tried
 * of which it is known what it costs, unless that is clearly less.
 */
#ifndef TPOOL_TUNE_TRIAL_CREDIT_H
#define TPOOL_TUNE_TRIAL_CREDIT_H

#include "tune/call_costs.h"

/* Where nothing is known yet: what is found then pays for long. */
#define TRIAL_CREDIT_START_NS (8 * NS_PER_MS)

void trial_credit_earn(int64_t *credit_ns, const struct call_costs *costs);

/*
 * For calls that would have cost so much each, so much of that time.  Late ones are paid for
 * with what others would have cost meanwhile, if not with more than they have cost all
 * together: who waits for them is not paid in CPU.
 */
void trial_credit_pay(int64_t *credit_ns, const struct call_costs *costs,
                      int64_t cost_ns, int64_t time_ns);

/* What is owed is no more than that. */
void trial_credit_forgive(int64_t *credit_ns, int64_t debt_ns);

#endif
