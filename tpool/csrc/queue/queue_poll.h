/* SPDX-License-Identifier: MIT
 *
 * The poll phase of a worker: one of those that wait looks busily for a while before
 * it parks, and what its waits have come to says for how long.  For queue_worker.c only.
 */
#ifndef TPOOL_QUEUE_QUEUE_POLL_H
#define TPOOL_QUEUE_QUEUE_POLL_H

#include "queue/queue_lookers.h"

/* Lock held; dropped while it polls.  False: no poll phase was begun. */
bool queue_poll(struct request_queue *q, struct queue_worker *w);

/* Lock held.  Its wait is over: work arrived. */
void queue_poll_learn(struct request_queue *q, struct queue_worker *w);

#endif
