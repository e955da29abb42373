/* SPDX-License-Identifier: MIT
 *
 * Histogram: how often something took how long, in buckets of which each is twice as
 * wide as the one before.  Arithmetic alone: whoever has it orders access.
 */
#ifndef TPOOL_QUEUE_HISTOGRAM_H
#define TPOOL_QUEUE_HISTOGRAM_H

#include "base/osdep.h"

/* Up to 1 us, 2 us, 4 us, ... 2^22 us (4.2 s), and all that takes longer. */
#define HISTOGRAM_BUCKETS 24

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
};

/* ns: 0 or more. */
static inline void histogram_add(struct histogram *h, int64_t ns)
{
    /* One too many, so that a whole microsecond is still in its bucket. */
    uint64_t us = ns > 0 ? (uint64_t)(ns - 1) / 1000 : 0;
    int bucket = us ? 64 - __builtin_clzll(us) : 0;

    h->counts[bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1]++;
}

#endif
