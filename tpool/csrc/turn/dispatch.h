/* SPDX-License-Identifier: MIT
 *
 * What has come by the completion list: kept in the context, in order of arrival,
 * and dispatched in bounded batches.  Owner, context acquired.
 */
#ifndef TPOOL_TURN_DISPATCH_H
#define TPOOL_TURN_DISPATCH_H

#include "aio/context.h"

/* Moves what has arrived by the list, or at a source, to the batch. */
void aio_take_arrived(struct aio_context *c);
void aio_reap(struct aio_context *c);

static inline void aio_absorb(struct aio_context *c)
{
    if (completion_list_peek(&c->core->list)) {
        aio_take_arrived(c);
    }
    if (c->reaps) {
        aio_reap(c);
    }
}

/* When idle work is due: -1, 10 ms or 0. */
int64_t aio_idle_timeout_ns(struct aio_context *c);

/* Who has work dispatched.  Posts are run by the event loop above, later. */
enum aio_dispatcher {
    AIO_TURN, /* somebody who polls, perhaps inside of a callback of that loop */
    AIO_SELECT, /* the loop, which then runs what it has ready */
    AIO_REST, /* the loop again, in the middle of that: it selects before the next */
};

/*
 * Dispatches a bounded batch of what has arrived.  What one thread has posted, and what
 * its calls return, stays in order: the loop stops where work follows a post that it has
 * not run, and so sets behind; it then dispatches nothing until AIO_REST.  Posts that it
 * runs after its next select only set it too: what comes meanwhile is behind them.
 * Returns 0 or AIO_RAISED.
 */
int aio_dispatch_work(struct aio_context *c, enum aio_dispatcher who,
                      bool *progress);

/*
 * Dispatches all that close() dispatches, and nothing else.  Returns 0, or AIO_RAISED,
 * which must leave close().
 */
int aio_drain(struct aio_context *c);

#endif
