/* SPDX-License-Identifier: MIT
 *
 * The wait of one turn: a nap, a poll phase, a block.
 */
#ifndef TPOOL_TURN_WAIT_H
#define TPOOL_TURN_WAIT_H

#include "turn/poll_phase.h"

/*
 * Owner, context acquired.  0: something is to be done before any wait; else
 * how long until it is, -1: for ever.
 */
int64_t wait_due_ns(struct aio_context *c);

/* When something is due next that no fd tells of; -1: there is nothing. */
int64_t wait_due_at_ns(struct aio_context *c);

/*
 * Owner, context acquired.  A wait of timeout_ns at most begins, -1: no bound.
 * w->foreign and what the turn keeps in it is set.  Returns 0 or -errno.
 */
int wait_begin(struct aio_context *c, struct aio_wait *w, int64_t timeout_ns);

/*
 * Owner, context acquired, nothing is due.  Waits until something comes, or for
 * timeout_ns.  Returns 0, -errno or AIO_RAISED.
 */
int wait_for_work(struct aio_context *c, struct aio_wait *w,
                  int64_t timeout_ns);

/* Owner, context acquired.  The turn is over: its sources let go of the wait. */
void wait_finish(struct aio_context *c, struct aio_wait *w);

/* Whether the wait has reported the notifier. */
bool wait_notified(struct aio_context *c, const struct aio_wait *w);

/* Owner, context acquired.  Takes in what is reported of the context's own fds. */
void wait_accept(struct aio_context *c, const struct aio_wait *w);

#endif
