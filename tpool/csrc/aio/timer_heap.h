/* SPDX-License-Identifier: MIT
 *
 * The timers of a context, the soonest first.  Context acquired for all of it, but
 * for timer_is_set().
 */
#ifndef TPOOL_AIO_TIMER_HEAP_H
#define TPOOL_AIO_TIMER_HEAP_H

#include "base/clock.h"

struct timer;

/* Both take the heap's reference, which is to a timer that is not set any more. */
struct timer_ops {
    int (*fire)(
        struct timer *t); /* its time has come; 0 or what dispatch returns */
    void (*drop)(struct timer *t); /* it never will */
};

#define TIMER_NOT_SET (-1)

struct timer {
    const struct timer_ops *ops; /* immutable */
    /* Context acquired. */
    int64_t expire_ns;
    uint64_t seq;
    _Atomic ptrdiff_t index; /* in the heap, or not; read by any thread */
};

struct timer_heap {
    struct timer **timers; /* the soonest first; each is a reference */
    ptrdiff_t used, size;
    uint64_t seq;        /* of the newest: equal times go off in order */
    int64_t dispatch_ns; /* of the dispatch that runs now, else 0 */
};

static inline void timer_init(struct timer *t, const struct timer_ops *ops)
{
    t->ops = ops;
    t->expire_ns = -1;
    t->seq = 0;
    atomic_init(&t->index, TIMER_NOT_SET);
}

/* Any thread.  Relaxed: it is written with the context acquired. */
static inline bool timer_is_set(const struct timer *t)
{
    return atomic_load_explicit(&((struct timer *)t)->index,
                                memory_order_relaxed) != TIMER_NOT_SET;
}

/*
 * It goes off at expire_ns, and at no other time; anticipate: only if that is sooner.
 * Returns 1 where it was not set, and now is: the heap has taken a reference of the
 * caller's; 0 where it was; -ENOMEM.
 */
int timers_mod(struct timer_heap *heap, struct timer *t, int64_t expire_ns,
               bool anticipate);

/* Whether it was set: the caller gets the heap's reference. */
bool timers_cancel(struct timer_heap *heap, struct timer *t);

void timers_cleanup(struct timer_heap *heap);

/* Forgets all and drops nothing. */
void timers_abandon(struct timer_heap *heap);

/* Until the soonest goes off: 0 if it is due, -1 if there is none. */
int64_t timers_timeout_ns(const struct timer_heap *heap);

/* When the soonest goes off; -1 if there is none. */
int64_t timers_expire_ns(const struct timer_heap *heap);

/* Owner.  Fires those that are due now, until one returns something else than 0. */
int timers_dispatch(struct timer_heap *heap, bool *progress);

#endif
