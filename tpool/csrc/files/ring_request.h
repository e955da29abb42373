/* SPDX-License-Identifier: MIT
 *
 * A Request that the kernel makes: it is an entry of its context's io_uring until it has
 * ended, and then dispatched as the calls of workers are.
 */
#ifndef TPOOL_FILES_RING_REQUEST_H
#define TPOOL_FILES_RING_REQUEST_H

#include "files/file_op.h"
#include "pool/pool_core.h"
#include "pool/request.h"

/*
 * Owner.  One of pool for op, of a context whose ring is open; it goes to the kernel when the
 * next turn begins.  elsewhere: see uring_add().  NULL with an exception, PoolFull where
 * max_pending of the pool wait already.
 */
PyObject *ring_request_new(struct pool_core *pool, AioContextObject *c,
                           FileOpObject *op, bool elsewhere);

#endif
