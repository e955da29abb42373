/* SPDX-License-Identifier: MIT
 *
 * What a pool shares with its workers, and how it starts one.
 */
#include "pool/pools.h"
#include "pool/worker.h"

struct pool_core *pool_core_ref(struct pool_core *pool)
{
    /* Relaxed: the caller holds a reference. */
    atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    return pool;
}

void pool_core_unref(struct pool_core *pool)
{
    /* Acquire-release: what others did before their unref comes before this. */
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    pools_remove(pool);
    request_queue_cleanup(&pool->queue);
    pthread_cond_destroy(&pool->room);
    pthread_mutex_destroy(&pool->room_lock);
    py_core_unref(pool->core);
    Py_DECREF(pool->spawn);
    Py_DECREF(pool->name_prefix);
    free(pool);
}

struct pool_core *pool_core_new(AioContextObject *context, PyObject *spawn,
                                PyObject *name_prefix, int64_t idle_timeout_ns,
                                uint32_t max_pending, bool block_signals)
{
    struct pool_core *pool = aligned_alloc(
        CACHE_LINE, (sizeof(*pool) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    pthread_condattr_t attr;
    int ret;

    if (!pool) {
        PyErr_NoMemory();
        return NULL;
    }
    memset(pool, 0, sizeof(*pool));
    ret = request_queue_init(&pool->queue, &context->core->aio.cpus,
                             &(struct poll_params){0}, idle_timeout_ns);
    if (ret < 0) {
        free(pool);
        raise_errno(ret);
        return NULL;
    }
    pthread_mutex_init(&pool->room_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->room, &attr);
    pthread_condattr_destroy(&attr);
    atomic_init(&pool->refs, 1);
    pool->core = py_core_ref(context->core);
    pool->state = context->state;
    pool->forks = atomic_load_explicit(&pool->state->forks,
                                       memory_order_relaxed);
    pool->spawn = Py_NewRef(spawn);
    pool->name_prefix = Py_NewRef(name_prefix);
    pool->max_pending = max_pending;
    pool->block_signals = block_signals;
    pools_add(pool);
    return pool;
}

void pool_fail_if_deserted(struct pool_core *pool)
{
    PyObject *exc = PyErr_Occurred() ? take_exception() : NULL;
    struct work *w;

    while ((w = request_queue_cancel_deserted(&pool->queue))) {
        w->ops->fail(w);
    }
    if (exc) {
        put_exception(exc);
    }
}

/* A worker that the queue has counted will not come. */
static enum queue_need count_lost(struct pool_core *pool, uint32_t *left)
{
    atomic_fetch_add_explicit(&pool->spawn_failures, 1, memory_order_relaxed);
    return request_queue_spawn_failed(&pool->queue, left);
}

bool pool_is_spawning(struct pool_core *pool)
{
    /* Relaxed: only this thread stores its own number. */
    return atomic_load_explicit(&pool->spawner, memory_order_relaxed) ==
           PyThread_get_thread_ident();
}

/* Returns 0, or -1 with an exception and what the queue needs then. */
static int spawn_one(struct pool_core *pool, uint32_t *left,
                     enum queue_need *need)
{
    unsigned long me = PyThread_get_thread_ident();
    /* Relaxed: of several threads that spawn at once one is known, a hint. */
    bool nested = atomic_exchange_explicit(&pool->spawner, me,
                                           memory_order_relaxed) == me;
    PyObject *worker = worker_new(pool), *result = NULL;

    *left = 1;
    *need = QUEUE_SEEN;
    if (worker) {
        result = PyObject_CallOneArg(pool->spawn, worker);
    }
    if (!result && (!worker || worker_revoke(worker))) {
        *need = count_lost(pool, left);
    }
    if (!nested) {
        /* Another's number is left to it: what it forgets stays for ever. */
        atomic_compare_exchange_strong_explicit(
            &pool->spawner, &me, 0, memory_order_relaxed, memory_order_relaxed);
    }
    Py_XDECREF(worker);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* As often as more has come that relies on it: each failure is for some request. */
int pool_spawn(struct pool_core *pool, uint32_t *left)
{
    enum queue_need need;
    PyObject *fatal = NULL;
    int ret;

    while ((ret = spawn_one(pool, left, &need)) < 0 && need == QUEUE_SPAWN) {
        if (!fatal && exception_is_fatal()) {
            fatal = take_exception();
        }
        PyErr_Clear();
    }
    if (fatal) {
        PyErr_Clear();
        put_exception(fatal);
        return -1;
    }
    return ret;
}

void pool_worker_lost(struct pool_core *pool)
{
    PyObject *exc = PyErr_Occurred() ? take_exception() : NULL;
    uint32_t left;

    if (count_lost(pool, &left) != QUEUE_SPAWN) {
        pool_fail_if_deserted(pool);
    } else if (pool_spawn_helper(pool) < 0) {
        PyErr_WriteUnraisable(NULL);
    }
    if (exc) {
        put_exception(exc);
    }
}

int pool_spawn_helper(struct pool_core *pool)
{
    uint32_t left;

    if (pool_spawn(pool, &left) == 0) {
        return 0;
    }
    pool_fail_if_deserted(pool);
    if (exception_is_fatal()) {
        return -1;
    }
    PyErr_Clear(); /* counted; the workers there are do the work */
    return 0;
}

void pool_wake_owner(struct pool_core *pool)
{
    py_core_enter(pool->core);
    notify_bare(&pool->core->aio.notify);
    py_core_leave(pool->core);
}

void pool_room(struct pool_core *pool)
{
    /* Relaxed: a waiter looks again every ROOM_WAIT_NS. */
    if (!atomic_load_explicit(&pool->waiters, memory_order_relaxed)) {
        return;
    }
    pthread_mutex_lock(&pool->room_lock);
    pthread_cond_broadcast(&pool->room);
    pthread_mutex_unlock(&pool->room_lock);
    pool_wake_owner(pool);
}
