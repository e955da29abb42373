/* SPDX-License-Identifier: MIT
 *
 * See batch.h.
 */
#include "tune/batch.h"

/* After its first call a worker begins others for so long, */
#define BATCH_MIN_NS 200000
/* or for a part of what is queued: the last waits for all of it anyway. */
#define BATCH_PART 2

int64_t batch_begin_ns(uint64_t queued, int64_t call_ns)
{
    int64_t most_ns = BATCH_PART * BATCH_MAX_NS;
    int64_t part_ns = batch_left_ns(queued, call_ns, most_ns) / BATCH_PART;

    if (part_ns > BATCH_MAX_NS) {
        part_ns = BATCH_MAX_NS;
    }
    part_ns -= call_ns; /* the last one ends so much later */
    return part_ns > BATCH_MIN_NS ? part_ns : BATCH_MIN_NS;
}

int64_t batch_whole_ns(uint64_t calls, int64_t call_ns)
{
    int64_t left_ns;

    assert(calls > 0);
    left_ns = batch_begin_ns(calls - 1, call_ns) - call_ns;

    return left_ns > 0 ? call_ns + batch_left_ns(calls - 1, call_ns, left_ns)
                       : call_ns;
}
