/* SPDX-License-Identifier: MIT
 *
 * Worker thread: what the system knows of a thread that runs a worker.
 */
#ifndef TPOOL_POOL_WORKER_THREAD_H
#define TPOOL_POOL_WORKER_THREAD_H

#include "pool/pool_core.h"

/* That thread, GIL held.  The signals it gets, the CPUs it may use, and its name. */
void worker_thread_begin(struct pool_core *pool);

#endif
