/* SPDX-License-Identifier: MIT
 *
 * The two halves of the request queue under its lock: the FIFO, and who looks
 * at it.  For request_queue.c (any thread), queue_poll.c and queue_worker.c (workers)
 * only.
 * "Lock held" unless a function says otherwise.
 */
#ifndef TPOOL_QUEUE_QUEUE_LOOKERS_H
#define TPOOL_QUEUE_QUEUE_LOOKERS_H

#include "queue/request_queue.h"

/* Moves what was pushed to the FIFO. */
void queue_splice(struct request_queue *q);

/* Takes work out of the FIFO. */
void queue_unlink(struct request_queue *q, struct work *work);

/* K: whether a request is queued. */
bool queue_look(struct request_queue *q);

/* One more, or (A) one less: a worker that starts, or could not be started. */
void queue_count_looker(struct request_queue *q, int step);

/* Nothing if w is one. */
void queue_start_looking(struct request_queue *q, struct queue_worker *w);

/* A; the caller looks (K) before it unlocks. */
void queue_stop_looking(struct request_queue *q, struct queue_worker *w);

/* L.  Any thread, also without the lock. */
bool queue_somebody_looks(struct request_queue *q);

/* Takes w off the stack of parked workers, wherever it stands. */
void queue_unpark(struct request_queue *q, struct queue_worker *w);

/* Counts one more worker, a looker: for what is queued now, and what comes later. */
void queue_ask(struct request_queue *q);

/* Nobody looks.  *wake is to be woken once the lock is dropped. */
enum queue_need queue_find_looker(struct request_queue *q,
                                  struct queue_worker **wake);

/* No lock held.  NULL: nobody. */
void queue_wake_worker(struct queue_worker *w);

/* Whether a poll phase must end: shutdown, threads, limits or params changed. */
void queue_update_interrupt(struct request_queue *q);

#endif
