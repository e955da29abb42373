/* SPDX-License-Identifier: MIT
 *
 * What calls cost: the time that passes for them plus the CPU time of the process.  What
 * it costs to try, and what is another load, is told by that; which way is taken is not.
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

static inline int64_t call_costs_total_ns(const struct call_costs *costs)
{
    return costs->ns + costs->cpu_ns;
}

static inline int64_t call_costs_each_ns(const struct call_costs *costs)
{
    return call_costs_total_ns(costs) / costs->calls;
}

#endif
