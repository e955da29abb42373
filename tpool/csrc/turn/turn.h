/* SPDX-License-Identifier: MIT
 *
 * A turn of the context: what is due, poll phase, block, accept, dispatch.
 * notify.h has the order and its proof.
 */
#ifndef TPOOL_TURN_TURN_H
#define TPOOL_TURN_TURN_H

#include "turn/dispatch.h"

/*
 * Owner, context acquired and open.  One turn, waiting for timeout_ns at most (-1: for
 * ever, 0: not at all); who: AIO_TURN or AIO_SELECT.  Sets *progress if there was
 * any.  Returns 0, -errno or AIO_RAISED.  A callback may have closed the context: it
 * has forked, and this is the child.
 */
int aio_turn(struct aio_context *c, int64_t timeout_ns, enum aio_dispatcher who,
             bool *progress);

#endif
