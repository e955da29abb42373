/* SPDX-License-Identifier: MIT
 *
 * Worker: what one thread of a pool runs.
 */
#ifndef TPOOL_POOL_WORKER_H
#define TPOOL_POOL_WORKER_H

#include "pool/pool.h"

/* GIL held.  A new Worker, not started. */
PyObject *worker_new(struct pool_core *pool);

/* GIL held.  False if its thread has begun to run; else it never will. */
bool worker_revoke(PyObject *self);

#endif
