/* SPDX-License-Identifier: MIT
 *
 * See trial_credit.h.
 */
#include "tune/trial_credit.h"

/* This part of all costs. */
#define PART 100
/* What is put by. */
#define CREDIT_MAX_NS (2 * NS_PER_MS)
/* Who owes more has waited for a machine that stood still. */
#define OWED_MAX_NS (50 * NS_PER_MS)

static void add(int64_t *credit_ns, int64_t ns)
{
    int64_t max_ns = *credit_ns > CREDIT_MAX_NS ? *credit_ns : CREDIT_MAX_NS;

    *credit_ns += ns;
    if (*credit_ns > max_ns) {
        *credit_ns = max_ns;
    }
}

void trial_credit_earn(int64_t *credit_ns, const struct call_costs *costs)
{
    add(credit_ns, call_costs_total_ns(costs) / PART);
}

void trial_credit_pay(int64_t *credit_ns, const struct call_costs *costs,
                      int64_t cost_ns, int64_t time_ns)
{
    int64_t all_ns = call_costs_total_ns(costs);
    int64_t more_ns = all_ns - costs->calls * cost_ns;
    double late = time_ns ? (double)costs->ns / (double)time_ns : 0; /* calls */
    double late_ns = (late - (double)costs->calls) * (double)cost_ns;

    if (late_ns > (double)more_ns) { /* and no more than they have cost */
        more_ns = late_ns < (double)all_ns ? (int64_t)late_ns : all_ns;
    }
    add(credit_ns, -more_ns);
    trial_credit_forgive(credit_ns, OWED_MAX_NS);
}

void trial_credit_forgive(int64_t *credit_ns, int64_t debt_ns)
{
    if (*credit_ns < -debt_ns) {
        *credit_ns = -debt_ns;
    }
}
