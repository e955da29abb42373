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
int64_t wait_due_ns(AioContextObject *c);

/* When something is due next that no fd tells of; -1: there is nothing. */
int64_t wait_due_at_ns(AioContextObject *c);

/* Owner, context acquired.  A wait of timeout_ns at most begins, -1: no bound. */
void wait_begin(AioContextObject *c, struct wait *w, int64_t timeout_ns);

/*
 * Owner, context acquired, nothing is due.  Waits until something comes, or for
 * timeout_ns.  Returns 0, or -1 with an exception.
 */
int wait_for_work(AioContextObject *c, struct wait *w, int64_t timeout_ns);

#endif
