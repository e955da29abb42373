/* SPDX-License-Identifier: MIT
 *
 * Trace: a fixed ring of events for each thread, switched at run time.
 *
 * Each ring has one writer, its thread; a reader copies whatever is whole and
 * counts what was overwritten before it came.
 */
#ifndef TPOOL_BASE_TRACE_RING_H
#define TPOOL_BASE_TRACE_RING_H

#include "base/clock.h"
#include <pthread.h>

/* Events a thread can keep until they are read; a power of two. */
#define TRACE_RING_EVENTS 65536

/* What there is, with the names that tpool.trace has, and what id and arg are. */
/* clang-format off */
#define TRACE_EVENTS(X) \
    X(RUN_POLL_HANDLERS_BEGIN, "run_poll_handlers_begin") /* context, max_ns */ \
    X(RUN_POLL_HANDLERS_END, "run_poll_handlers_end")     /* context, progress */ \
    X(POLL_GROW, "poll_grow")                 /* context, new window, ns */ \
    X(POLL_SHRINK, "poll_shrink")             /* context, new window, ns */ \
    X(THREAD_POOL_SUBMIT, "thread_pool_submit")     /* request, 0 */ \
    X(THREAD_POOL_START, "thread_pool_start")       /* request, 0 */ \
    X(THREAD_POOL_COMPLETE, "thread_pool_complete") /* request, 0 */ \
    X(THREAD_POOL_CANCEL, "thread_pool_cancel")     /* request, 0 */ \
    X(THREAD_POOL_DISPATCH, "thread_pool_dispatch") /* request, 0 */ \
    X(BLOCK, "block")                 /* context, how long the owner blocked, ns */ \
    X(WORKER_POLL, "worker_poll")     /* pool, how long the worker polled, ns */ \
    X(WORKER_PARK, "worker_park")     /* pool, how long it was parked, ns */ \
    X(POLL_REFUSED, "poll_refused")   /* context, the window there was, ns */ \
    X(POLL_SKIPPED, "poll_skipped")   /* context, 0 */ \
    X(POLL_HOPELESS, "poll_hopeless") /* context, 0 */ \
    X(POLL_NAP, "poll_nap")           /* context, how long it is to last, ns */ \
    X(POLL_TRIAL, "poll_trial")       /* context, what a call has cost so far, ns */ \
    X(POLL_PAYS, "poll_pays")         /* context, what a call costs now, ns */ \
    X(POLL_COSTS, "poll_costs")       /* the same, and nobody polls */ \
    X(SERIAL_TRIAL, "serial_trial")   /* as POLL_TRIAL: one at a time, or many */ \
    X(SERIAL_PAYS, "serial_pays")     /* context, what a call costs now, ns */ \
    X(SERIAL_COSTS, "serial_costs")   /* the same, and many workers run them */ \
    X(FEW_TRIAL, "few_trial")         /* as POLL_TRIAL: a few at a time, or many */ \
    X(FEW_PAYS, "few_pays")           /* context, what a call costs now, ns */ \
    X(FEW_COSTS, "few_costs")         /* the same, and not a few at a time */ \
    X(TRIAL_DOUBTED, "trial_doubted") /* context, what a call costs so, ns */
/* clang-format on */

enum trace_kind {
#define KIND(kind, name) TRACE_##kind,
    TRACE_EVENTS(KIND)
#undef KIND
    TRACE_KINDS
};

struct trace_event {
    int64_t time_ns;
    uint64_t thread; /* as in threading.get_ident() */
    enum trace_kind kind;
    uintptr_t id;
    int64_t arg;
};

struct trace_ring;

struct trace {
    /* Any thread.  Relaxed: an event more or less at the switch is no harm. */
    atomic_bool on;
    /* Immutable after init. */
    pthread_key_t key;
    /* Protected by lock. */
    pthread_mutex_t lock;
    struct trace_ring *rings;
    uint64_t lost;
};

/* Returns 0 or -errno. */
int trace_init(struct trace *trace);

/* No thread may be inside trace_emit() any more. */
void trace_cleanup(struct trace *trace);

/* In the child of a fork, its only thread: what others held is free again. */
void trace_after_fork(struct trace *trace);

/* Any thread.  The slow half of trace_emit_at(). */
void trace_record(struct trace *trace, enum trace_kind kind, const void *id,
                  int64_t arg, int64_t time_ns);

/* Any thread.  Costs a load and a branch while tracing is off. */
static inline bool trace_is_on(struct trace *trace)
{
    return __builtin_expect(
        atomic_load_explicit(&trace->on, memory_order_relaxed), 0);
}

/* Any thread.  Something that was, or began, at time_ns. */
static inline void trace_emit_at(struct trace *trace, enum trace_kind kind,
                                 const void *id, int64_t arg, int64_t time_ns)
{
    if (trace_is_on(trace)) {
        trace_record(trace, kind, id, arg, time_ns);
    }
}

/* Any thread.  Something that happens now. */
static inline void trace_emit(struct trace *trace, enum trace_kind kind,
                              const void *id, int64_t arg)
{
    if (trace_is_on(trace)) {
        trace_record(trace, kind, id, arg, clock_now_ns());
    }
}

/* Any thread.  Forgets what was recorded and the count of what was lost. */
void trace_clear(struct trace *trace);

/*
 * Any thread.  Takes the oldest unread event of any ring into *event, in the order
 * in which a thread recorded them; by time they are for the caller to sort.
 */
bool trace_read(struct trace *trace, struct trace_event *event);

/* Any thread.  Events overwritten unread since trace_clear(). */
uint64_t trace_lost(struct trace *trace);

#endif
