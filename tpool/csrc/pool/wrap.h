/* SPDX-License-Identifier: MIT
 *
 * A Request for a future of concurrent.futures: a call that another executor makes.
 *
 * It waits in the queue of a pool that has no worker.  Who takes it out of there ends
 * it, by the queue's lock once: the future, which is done, in whatever thread that
 * calls back; cancel(), by way of the future; or the end of the context, which lets
 * go of a future that goes on.  The future has a reference to it until then, and it
 * to the future.
 */
#ifndef TPOOL_POOL_WRAP_H
#define TPOOL_POOL_WRAP_H

#include "pool/request.h"

extern const struct work_ops wrapped_ops;

static inline bool request_is_wrapped(const RequestObject *r)
{
    return r->base.work.ops == &wrapped_ops;
}

/* Any thread, GIL held; both ask the future.  1 or 0, -1 with an exception. */
int wrapped_cancel(RequestObject *r);
int wrapped_running(RequestObject *r);

#endif
