/* SPDX-License-Identifier: MIT
 *
 * What calls cost: the time that passes for them plus the CPU time of the process.  What
 * it costs to try, and what is another load, is told by that; which way is taken, by worth.
 */
#ifndef TPOOL_TUNE_CALL_COSTS_H
#define TPOOL_TUNE_CALL_COSTS_H

#include "base/clock.h"

/* What some calls have cost together. */
struct call_costs {
    int64_t calls;
    int64_t ns;         /* while any was in flight */
    int64_t cpu_ns;     /* of the whole process */
    uint32_t in_flight; /* at most, as seen now and then */
    bool crowd;         /* more than a few have run at once */
};

static inline void call_costs_add(struct call_costs *sum,
                                  const struct call_costs *more)
{
    sum->calls += more->calls;
    sum->ns += more->ns;
    sum->cpu_ns += more->cpu_ns;
}

static inline int64_t call_costs_total_ns(const struct call_costs *costs)
{
    return costs->ns + costs->cpu_ns;
}

static inline int64_t call_costs_each_ns(const struct call_costs *costs)
{
    return call_costs_total_ns(costs) / costs->calls;
}

/* What one has cost, and the part of that which passes. */
struct call_price {
    int64_t cost_ns, time_ns;
};

static inline struct call_price call_costs_price(const struct call_costs *costs)
{
    return (struct call_price){call_costs_each_ns(costs),
                               costs->ns / costs->calls};
}

/* By what ways are compared: who waits is not paid in CPU time, so time counts twice. */
static inline int64_t call_price_worth_ns(struct call_price price)
{
    return price.cost_ns + price.time_ns;
}

#endif
