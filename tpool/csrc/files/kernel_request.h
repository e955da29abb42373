/* SPDX-License-Identifier: MIT
 *
 * A Request that the kernel makes: it is an entry of a queue of its context's until it has
 * ended, and then dispatched as the calls of workers are.
 */
#ifndef TPOOL_FILES_KERNEL_REQUEST_H
#define TPOOL_FILES_KERNEL_REQUEST_H

#include "files/file_op.h"
#include "pool/pool_core.h"
#include "pool/request.h"

/*
 * Owner.  One of pool for op, by a queue of c that is open, and takes it; it goes to the
 * kernel when the next turn begins.  elsewhere: see io_queue_add().  NULL with an exception,
 * PoolFull where max_pending of the pool wait already.
 */
PyObject *kernel_request_new(struct pool_core *pool, AioContextObject *c,
                             struct kernel_io *k, FileOpObject *op,
                             bool elsewhere);

#endif
