/* SPDX-License-Identifier: MIT
 *
 * What has come by the completion list: kept in the context, in order of arrival,
 * and dispatched in bounded batches.  Owner, context acquired.
 */
#ifndef TPOOL_TURN_DISPATCH_H
#define TPOOL_TURN_DISPATCH_H

#include "aio/context.h"

/* Moves what has arrived to the batch. */
void aio_take_arrived(struct aio_context *c);

static inline void aio_absorb(struct aio_context *c)
{
    if (completion_list_peek(&c->core->list)) {
        aio_take_arrived(c);
    }
}

/* When idle work is due: -1, 10 ms or 0. */
int64_t aio_idle_timeout_ns(struct aio_context *c);

/*
 * Dispatches a bounded batch of what has arrived.  for_loop: sets behind, and stops,
 * where work follows what was posted to the loop: what one thread has posted, and what
 * its calls return, stays in order.  Returns 0 or AIO_RAISED.
 */
int aio_dispatch_work(struct aio_context *c, bool for_loop, bool *progress);

/*
 * Dispatches all that close() dispatches, and nothing else.  Returns 0, or AIO_RAISED,
 * which must leave close().
 */
int aio_drain(struct aio_context *c);

#endif
