/* SPDX-License-Identifier: MIT
 *
 * Worker: what one thread of a pool runs, and how one is started.
 */
#ifndef TPOOL_POOL_WORKER_H
#define TPOOL_POOL_WORKER_H

#include "pool/pool_core.h"

/*
 * GIL held.  Starts the worker that the queue has counted.  Returns 0, or -1
 * with an exception and *left set to how many workers there are.
 */
SELDOM int pool_spawn(struct pool_core *pool, uint32_t *left);

/*
 * GIL held.  Whether this thread is starting a worker: what it submits meanwhile,
 * in a garbage collection or a trace hook, must not wait for that one.
 */
bool pool_is_spawning(struct pool_core *pool);

/*
 * GIL held.  The same where others can do the work: that no thread can be had is
 * counted, and no error.  -1: a signal handler raised.
 */
int pool_spawn_helper(struct pool_core *pool);

#endif
