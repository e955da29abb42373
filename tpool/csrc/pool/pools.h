/* SPDX-License-Identifier: MIT
 *
 * All pools of an interpreter, those that nobody refers to any more included: their
 * workers are still to be told of the end.  No weak reference would do, as those to a
 * pool in a reference cycle are gone before a __del__ of that cycle runs.
 */
#ifndef TPOOL_POOL_POOLS_H
#define TPOOL_POOL_POOLS_H

#include "pool/pool_core.h"

/*
 * Any thread, GIL held, not in the child of a fork.  Accepts no more requests, for
 * that reason; cancels those that are queued; has the workers leave when there are
 * none.
 */
void pool_close(struct pool_core *pool, enum pool_down why, bool cancel);

/*
 * Any thread, GIL held.  A new reference to the one without workers, whose calls others
 * make for that context; it is there while there are any.  NULL with an exception.
 */
struct pool_core *pools_wrapping(AioContextObject *c);

#endif
