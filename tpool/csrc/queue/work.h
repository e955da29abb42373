/* SPDX-License-Identifier: MIT
 *
 * Work: what travels from thread to thread, and is run by one, or dispatched by
 * another.  Whoever carries it knows what it does by its ops alone.
 */
#ifndef TPOOL_QUEUE_WORK_H
#define TPOOL_QUEUE_WORK_H

#include "queue/completion_list.h"

/* Below every -errno: the language of the work has an exception set. */
#define AIO_RAISED (-4096)

struct call_place;
struct call_times;
struct work;

enum work_state {
    WORK_PENDING,
    WORK_RUNNING,  /* a worker has it */
    WORK_FINISHED, /* its outcome is set, on its way to the owner */
    WORK_DONE,     /* dispatched by the owner */
};

/* The language of the work is there: under Python its lock is held. */
struct work_ops {
    /*
     * Worker, which has set it RUNNING.  From here on nothing can fail.  Returns what
     * is to be delivered, by what the pool has for that; NULL: nothing.
     */
    struct completion_node *(*run)(struct work *w, struct call_times *times);
    /* Any thread, off the queue.  There is no thread for it: delivers that. */
    void (*fail)(struct work *w);
    /* The same: it was cancelled, and will not run. */
    void (*cancel)(struct work *w);
    /*
     * Owner, off every list.  Takes its reference, and sets *progress if there was
     * any.  Returns 0, or AIO_RAISED: an exception that must leave poll().
     */
    int (*dispatch)(struct work *w, bool *progress);
    /* The same, where nobody will dispatch it: only takes its reference. */
    void (*drop)(struct work *w);
    /* Owner.  Whether it waits for idle time.  NULL: it never does. */
    bool (*is_idle)(const struct work *w);
    /* Owner.  What a wait for it teaches something about.  NULL: nothing. */
    struct call_place *(*place)(const struct work *w);
    /* close() of the context dispatches it; others are dropped. */
    bool at_close;
    /* Only hands something to the event loop above, which runs it later. */
    bool is_post;
};

struct work {
    /* See completion_list.h.  There it carries a reference, as in a queue. */
    struct completion_node link;
    /* Immutable after init. */
    const struct work_ops *ops;
    /* Protected by the queue's lock. */
    struct work *prev;
    bool queued; /* neither taken nor cancelled; set before the push */
    /* Any thread; relaxed: what goes with a state is published by the list. */
    _Atomic uint8_t state;
    atomic_bool cancelled; /* it will not run */
    /* Set before FINISHED. */
    bool raised; /* its outcome is an exception */
    /* Protected by the queue's lock. */
    uint32_t asked; /* the queue's, when it moved to the FIFO */
};

static inline void work_init(struct work *w, const struct work_ops *ops)
{
    w->link.next = NULL;
    w->ops = ops;
    w->prev = NULL;
    w->queued = false;
    atomic_init(&w->state, WORK_PENDING);
    atomic_init(&w->cancelled, false);
    w->raised = false;
}

/* link: of some work; NULL gives NULL. */
static inline struct work *work_of(struct completion_node *link)
{
    return (struct work *)link; /* it is the first */
}

#endif
