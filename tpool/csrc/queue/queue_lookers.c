/* SPDX-License-Identifier: MIT
 *
 * See queue_lookers.h, and request_queue.h for the letters.
 */
#include "queue/queue_lookers.h"

/* Relaxed: for a busy wait, which looks again. */
static void set_backlog(struct request_queue *q)
{
    atomic_store_explicit(&q->backlog, q->head != NULL, memory_order_relaxed);
}

void queue_splice(struct request_queue *q)
{
    struct completion_node *link, *next;

    if (!completion_list_peek(&q->incoming)) {
        return;
    }
    for (link = completion_list_take(&q->incoming); link; link = next) {
        struct work *work = work_of(link);

        next = link->next;
        link->next = NULL;
        work->asked = q->asked;
        work->prev = q->tail;
        if (q->tail) {
            q->tail->link.next = link;
        } else {
            q->head = work;
        }
        q->tail = work;
    }
    set_backlog(q);
}

void queue_unlink(struct request_queue *q, struct work *work)
{
    struct work *next = work_of(work->link.next);

    if (work->prev) {
        work->prev->link.next = work->link.next;
    } else {
        q->head = next;
    }
    if (next) {
        next->prev = work->prev;
    } else {
        q->tail = work->prev;
    }
    work->queued = false;
    set_backlog(q);
    /* Relaxed: a figure, and a bound that a submitter checks for itself. */
    atomic_store_explicit(
        &q->taken, atomic_load_explicit(&q->taken, memory_order_relaxed) + 1,
        memory_order_relaxed);
}

void queue_count_looker(struct request_queue *q, int step)
{
    uint32_t lookers = atomic_load_explicit(&q->lookers, memory_order_relaxed);

    /* A, seq_cst: pairs with L in queue_somebody_looks(). */
    atomic_store_explicit(&q->lookers, lookers + (uint32_t)step,
                          memory_order_seq_cst);
}

void queue_start_looking(struct request_queue *q, struct queue_worker *w)
{
    uint32_t lookers = atomic_load_explicit(&q->lookers, memory_order_relaxed);

    if (w->looking) {
        return; /* it stood by */
    }
    w->looking = true;
    /* Relaxed: who misses it wakes one more than was needed. */
    atomic_store_explicit(&q->lookers, lookers + 1, memory_order_relaxed);
}

void queue_stop_looking(struct request_queue *q, struct queue_worker *w)
{
    w->looking = false;
    queue_count_looker(q, -1);
}

bool queue_look(struct request_queue *q)
{
    return q->head || completion_list_look(&q->incoming);
}

bool queue_somebody_looks(struct request_queue *q)
{
    /* L: pairs with A in queue_count_looker(). */
    return atomic_load_explicit(&q->lookers, memory_order_seq_cst) != 0;
}

void queue_unpark(struct request_queue *q, struct queue_worker *w)
{
    *(w->newer ? &w->newer->older : &q->newest) = w->older;
    if (w->older) {
        w->older->newer = w->newer;
    }
    w->parked = false;
}

void queue_ask(struct request_queue *q)
{
    queue_splice(q);
    q->asked++;
    q->threads++;
    queue_count_looker(q, 1);
}

enum queue_need queue_find_looker(struct request_queue *q,
                                  struct queue_worker **wake)
{
    *wake = q->newest;
    if (*wake) {
        queue_unpark(q, *wake);
        queue_start_looking(q, *wake);
        q->stats.wakeups++;
        cpu_pair_set_worker_comes(q->cpus, true);
        return QUEUE_WOKEN;
    }
    if (q->threads < q->max_threads) {
        queue_ask(q);
        cpu_pair_set_worker_comes(q->cpus, true);
        return QUEUE_SPAWN;
    }
    return QUEUE_SEEN;
}

void queue_wake_worker(struct queue_worker *w)
{
    if (w) {
        /* Relaxed: parker_wake() releases it. */
        atomic_store_explicit(&w->wake_ns, clock_now_ns(),
                              memory_order_relaxed);
        parker_wake(&w->parker);
    }
}

void queue_update_interrupt(struct request_queue *q)
{
    /* Relaxed: a poll phase that misses it ends by its bound. */
    atomic_store_explicit(
        &q->interrupt, q->shutdown || q->stale || q->threads > q->max_threads,
        memory_order_relaxed);
}
