/* SPDX-License-Identifier: MIT
 *
 * What a pool shares with its workers, and with those who submit to it.
 */
#ifndef TPOOL_POOL_POOL_CORE_H
#define TPOOL_POOL_POOL_CORE_H

#include "context/context.h"
#include "aio/call_trial.h"
#include "queue/request_queue.h"
#include "queue/word_wait.h"

/* Bound of every count of threads and of a hand-over: far above any need. */
#define THREADS_MAX INT32_MAX

/* Why nothing can be submitted any more: _close()'s why. */
enum pool_down {
    POOL_SHUTDOWN,
    POOL_EXIT,
    POOL_BROKEN, /* the initializer of a thread has failed */
    POOL_UP,
};

struct pool_core {
    struct request_queue queue;
    /* Submitters and the owner. */
    _Alignas(CACHE_LINE) _Atomic uint32_t refs;
    _Atomic uint64_t dispatched;    /* requests that the owner has received */
    _Atomic uint64_t taken_back;    /* queued, but submit() raised after all */
    _Atomic uint64_t unqueued;      /* requests of it that no worker makes, */
    _Atomic uint64_t unqueued_done; /* those that have ended, */
    _Atomic uint32_t making; /* and those that a thread of its context makes */
    _Atomic uint64_t cancelled, spawn_failures;
    /* Immutable after init. */
    _Alignas(CACHE_LINE) struct aio_core *core;
    struct module_state *state; /* alive while any of its types is */
    /* A weak reference to the AioContext; NULL: an executor's, which has none. */
    PyObject *context_ref;
    PyObject *spawn; /* spawn(worker) starts a thread on it; NULL: none does */
    PyObject *name_prefix; /* NULL: the same */
    /* Worker: hands over what an op run() has returned, with the GIL or without. */
    void (*deliver)(struct pool_core *pool, struct completion_node *node,
                    bool more);
    uint32_t max_pending;
    bool block;         /* who submits to a full pool, instead of raising */
    bool block_signals; /* in the workers */
    bool initializes;   /* what its workers do first takes any time */
    uint32_t forks;     /* of the module, when it was made */
    /* An executor's.  Any thread: the waits for its futures. */
    struct word_waits waits;
    /* Any thread that sets judging. */
    atomic_bool judging;
    struct call_trial trial;
    _Atomic uint8_t down; /* any thread: enum pool_down */
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

/* Whether it has no workers: its calls are other executors', see wrap.c. */
static inline bool pool_wraps(const struct pool_core *pool)
{
    return !pool->spawn;
}

/* How a pool is to be. */
struct pool_config {
    PyObject *spawn, *name_prefix; /* NULL, both: one that wraps */
    int64_t idle_timeout_ns;
    uint32_t max_pending;
    bool block, block_signals, initializes;
};

/*
 * GIL held.  Posts to context, or, where that is NULL, to nobody: what its calls return
 * is delivered by deliver().  NULL with an exception.
 */
struct pool_core *
pool_core_new(struct module_state *state, AioContextObject *context,
              const struct pool_config *config,
              void (*deliver)(struct pool_core *pool,
                              struct completion_node *node, bool more));
struct pool_core *pool_core_ref(struct pool_core *pool);

/* GIL held. */
void pool_core_unref(struct pool_core *pool);

/* GIL held, a context's.  A new reference to that, or NULL without an exception. */
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

/* Any thread; relaxed: who asks beside shutdown() may come before it, or after. */
static inline enum pool_down pool_down(struct pool_core *pool)
{
    return atomic_load_explicit(&pool->down, memory_order_relaxed);
}

/* Any thread, GIL held.  From now on it takes no more. */
void pool_set_down(struct pool_core *pool, enum pool_down why);

/* Any thread, GIL held.  An initializer has failed: so does all that is queued. */
void pool_break(struct pool_core *pool);

/* GIL held.  Sets an exception that says why it is down. */
void pool_raise_down(struct pool_core *pool);

/* Any thread, GIL held: 0, or -1 with an exception in the child of a fork. */
int pool_check_here(struct pool_core *pool);

#endif
