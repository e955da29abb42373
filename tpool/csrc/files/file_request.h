/* SPDX-License-Identifier: MIT
 *
 * A Request for a file, that the kernel makes, or a thread of its context's: until it has
 * ended it is in a queue of theirs, and then dispatched as the calls of workers are.
 */
#ifndef TPOOL_FILES_FILE_REQUEST_H
#define TPOOL_FILES_FILE_REQUEST_H

#include "files/file_op.h"
#include "pool/pool_core.h"
#include "pool/request.h"

/*
 * Owner.  One of pool for op, by a queue of c that is open, and takes it; the kernel has
 * it when the next turn has begun.  NULL with an exception, PoolFull where max_pending of
 * the pool wait already.
 */
PyObject *file_request_by_kernel(struct pool_core *pool, AioContextObject *c,
                                 struct kernel_io *k, FileOpObject *op);

/* The same, by a thread.  NULL without an exception: none is to be had. */
PyObject *file_request_by_thread(struct pool_core *pool, AioContextObject *c,
                                 FileOpObject *op);

#endif
