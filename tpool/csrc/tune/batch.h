/* SPDX-License-Identifier: MIT
 *
 * Batches: for how long a worker runs queued calls one after the other before it lets go
 * of the GIL, where calls are run one at a time, for they need it: to pass it to the
 * owner and back after each is what they would cost more.  Arithmetic only.
 */
#ifndef TPOOL_TUNE_BATCH_H
#define TPOOL_TUNE_BATCH_H

#include "base/clock.h"

/* The longest, but for a call that takes longer. */
#define BATCH_MAX_NS NS_PER_MS

/*
 * How long one that has run its first call will go on, if each of the queued calls takes so
 * long, and none is begun when left_ns are over.
 */
static inline int64_t batch_left_ns(uint64_t queued, int64_t call_ns,
                                    int64_t left_ns)
{
    int64_t most = left_ns / (call_ns + 1) + 1;

    return (queued < (uint64_t)most ? (int64_t)queued : most) * call_ns;
}

/* For how long others of so many queued calls are begun, each of which takes so long. */
int64_t batch_begin_ns(uint64_t queued, int64_t call_ns);

/* How long a batch is, where so many calls are queued, its first one included. */
int64_t batch_whole_ns(uint64_t calls, int64_t call_ns);

#endif
