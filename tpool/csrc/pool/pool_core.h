/* SPDX-License-Identifier: MIT
 *
 * What a pool shares with its workers, and with those who submit to it.
 */
#ifndef TPOOL_POOL_POOL_CORE_H
#define TPOOL_POOL_POOL_CORE_H

#include "context/context.h"
#include "aio/core.h"
#include "queue/request_queue.h"

/* Bound of every count of threads and of a hand-over: far above any need. */
#define THREADS_MAX INT32_MAX

struct pool_core {
    struct request_queue queue;
    /* Submitters and the owner. */
    _Alignas(CACHE_LINE) _Atomic uint32_t refs;
    _Atomic uint64_t dispatched; /* requests that the owner has received */
    _Atomic uint64_t taken_back; /* queued, but submit() raised after all */
    _Atomic uint64_t cancelled, spawn_failures;
    /* Immutable after init. */
    _Alignas(CACHE_LINE) struct aio_core *core;
    struct module_state *state; /* alive while any of its types is */
    PyObject *context_ref;      /* a weak reference to the AioContext */
    PyObject *spawn; /* spawn(worker) starts a thread on it; NULL: none does */
    PyObject *name_prefix; /* NULL: the same */
    uint32_t max_pending;
    bool block_signals; /* in the workers */
    uint32_t forks;     /* of the module, when it was made */
    /* Any thread.  Why nothing can be submitted any more, or NULL. */
    _Atomic(const char *) down;
    /* Protected by the module's pools_lock. */
    struct pool_core *next, **link;
    /* Any thread. */
    _Atomic unsigned long spawner; /* thread that starts a worker now, or 0 */
    /* Any thread, rarely: submitters that wait for room. */
    _Atomic uint32_t waiters;
    pthread_mutex_t room_lock;
    pthread_cond_t room;
};

/*
 * Any thread.  Whether this is the child of a fork since it was made: its workers
 * are in the parent, and one of them may have held a lock.
 */
static inline bool pool_is_forked(struct pool_core *pool)
{
    return atomic_load_explicit(&pool->state->forks, memory_order_relaxed) !=
           pool->forks;
}

/* Whether it has no workers: its calls are other executors', see wrap.h. */
static inline bool pool_wraps(const struct pool_core *pool)
{
    return !pool->spawn;
}

/* GIL held.  spawn and name_prefix NULL: one that wraps.  NULL with an exception. */
struct pool_core *pool_core_new(AioContextObject *context, PyObject *spawn,
                                PyObject *name_prefix, int64_t idle_timeout_ns,
                                uint32_t max_pending, bool block_signals);
struct pool_core *pool_core_ref(struct pool_core *pool);

/* GIL held. */
void pool_core_unref(struct pool_core *pool);

/* GIL held.  A new reference to the AioContext, or NULL without an exception. */
PyObject *pool_core_context(struct pool_core *pool);

/*
 * GIL held, an exception set or none.  A thread did not start: if no other is
 * there, those who relied on it must not wait for ever.
 */
void pool_fail_if_deserted(struct pool_core *pool);

/* GIL held.  The owner may wait in poll() for something that has changed. */
void pool_wake_owner(struct pool_core *pool);

/* Any thread.  A request has left the queue: somebody may wait for its place. */
void pool_room(struct pool_core *pool);

/* Any thread, GIL held: 0, or -1 with an exception in the child of a fork. */
int pool_check_here(struct pool_core *pool);

#endif
