/* SPDX-License-Identifier: MIT
 *
 * Timer: calls back once the monotonic clock has passed a time; and the heap of
 * a context's timers.  Context acquired for all of it.
 */
#ifndef TPOOL_CONTEXT_TIMER_H
#define TPOOL_CONTEXT_TIMER_H

#include "base/clock.h"
#include "py/state.h"

typedef struct TimerObject TimerObject;

struct timer_heap {
    TimerObject **timers; /* the soonest first; each is a reference */
    Py_ssize_t used, size;
    uint64_t seq;        /* of the newest: equal times go off in order */
    int64_t dispatch_ns; /* of the dispatch that runs now, else 0 */
};

/* A new Timer.  context is an AioContext. */
PyObject *timer_new(struct module_state *state, PyObject *context,
                    PyObject *callback);

void timers_cleanup(struct timer_heap *heap);

/* Forgets all and drops nothing. */
void timers_abandon(struct timer_heap *heap);
int timers_traverse(struct timer_heap *heap, visitproc visit, void *arg);

/* Until the soonest goes off: 0 if it is due, -1 if there is none. */
int64_t timers_timeout_ns(const struct timer_heap *heap);

/* When the soonest goes off; -1 if there is none. */
int64_t timers_expire_ns(const struct timer_heap *heap);

/*
 * Owner.  Calls those that are due now.  Returns 0, or -1 with an exception
 * that must leave poll().
 */
int timers_dispatch(struct timer_heap *heap, bool *progress);

#endif
