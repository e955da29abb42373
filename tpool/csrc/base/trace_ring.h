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

enum trace_kind {
    TRACE_RUN_POLL_HANDLERS_BEGIN, /* id: context, arg: max_ns */
    TRACE_RUN_POLL_HANDLERS_END,   /* id: context, arg: progress */
    TRACE_POLL_GROW,               /* id: context, arg: new window, ns */
    TRACE_POLL_SHRINK,             /* id: context, arg: new window, ns */
    TRACE_THREAD_POOL_SUBMIT,      /* id: request, arg: 0 */
    TRACE_THREAD_POOL_START,
    TRACE_THREAD_POOL_COMPLETE,
    TRACE_THREAD_POOL_CANCEL,
    TRACE_THREAD_POOL_DISPATCH,
    TRACE_BLOCK,         /* id: context, arg: how long the owner blocked, ns */
    TRACE_WORKER_POLL,   /* id: pool, arg: how long the worker polled, ns */
    TRACE_WORKER_PARK,   /* id: pool, arg: how long it was parked, ns */
    TRACE_POLL_REFUSED,  /* id: context, arg: the window there was, ns */
    TRACE_POLL_SKIPPED,  /* id: context, arg: 0 */
    TRACE_POLL_HOPELESS, /* id: context, arg: 0 */
    TRACE_POLL_NAP,      /* id: context, arg: how long it is to last, ns */
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
