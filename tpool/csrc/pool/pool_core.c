/* SPDX-License-Identifier: MIT
 *
 * See pool_core.h.
 */
#include "pool/pool_core.h"

/*
 * The lock is for the free-threaded build.  It is held for a few loads and stores, in
 * which no thread lets go of the interpreter: a fork finds it free.
 */
static void list(struct pool_core *pool)
{
    struct module_state *state = pool->state;

    pthread_mutex_lock(&state->pools_lock);
    pool->next = state->pools;
    pool->link = &state->pools;
    if (pool->next) {
        pool->next->link = &pool->next;
    }
    state->pools = pool;
    pthread_mutex_unlock(&state->pools_lock);
}

static void unlist(struct pool_core *pool)
{
    struct module_state *state = pool->state;

    pthread_mutex_lock(&state->pools_lock);
    *pool->link = pool->next;
    if (pool->next) {
        pool->next->link = pool->link;
    }
    pthread_mutex_unlock(&state->pools_lock);
}

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
    unlist(pool);
    request_queue_cleanup(&pool->queue);
    pthread_cond_destroy(&pool->room);
    pthread_mutex_destroy(&pool->room_lock);
    aio_core_unref(pool->core);
    Py_DECREF(pool->context_ref);
    Py_XDECREF(pool->spawn);
    Py_XDECREF(pool->name_prefix);
    free(pool);
}

struct pool_core *pool_core_new(AioContextObject *context, PyObject *spawn,
                                PyObject *name_prefix, int64_t idle_timeout_ns,
                                uint32_t max_pending, bool block_signals)
{
    PyObject *context_ref = PyWeakref_NewRef((PyObject *)context, NULL);
    struct pool_core *pool;
    pthread_condattr_t attr;
    int ret;

    if (!context_ref) {
        return NULL;
    }
    pool = aligned_alloc(CACHE_LINE, sizeof(*pool));
    if (!pool) {
        Py_DECREF(context_ref);
        PyErr_NoMemory();
        return NULL;
    }
    memset(pool, 0, sizeof(*pool));
    ret = request_queue_init(&pool->queue, &context->aio.core->cpus,
                             &(struct poll_params){0}, idle_timeout_ns);
    if (ret < 0) {
        Py_DECREF(context_ref);
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
    pool->core = aio_core_ref(context->aio.core);
    pool->state = context->state;
    pool->forks = atomic_load_explicit(&pool->state->forks,
                                       memory_order_relaxed);
    pool->context_ref = context_ref;
    pool->spawn = Py_XNewRef(spawn);
    pool->name_prefix = Py_XNewRef(name_prefix);
    pool->max_pending = max_pending;
    pool->block_signals = block_signals;
    if (pool_wraps(pool)) {
        request_queue_set_limits(&pool->queue, 0, 0);
    }
    list(pool);
    return pool;
}

PyObject *pool_core_context(struct pool_core *pool)
{
    PyObject *context;

#if PY_VERSION_HEX >= 0x030D0000
    PyWeakref_GetRef(pool->context_ref, &context);
#else
    context = PyWeakref_GetObject(pool->context_ref);
    context = context == Py_None ? NULL : Py_NewRef(context);
#endif
    return context;
}

void pool_fail_if_deserted(struct pool_core *pool)
{
    PyObject *exc = take_exception();
    struct work *w;

    while ((w = request_queue_cancel_deserted(&pool->queue))) {
        w->ops->fail(w);
    }
    put_exception(exc);
}

void pool_wake_owner(struct pool_core *pool)
{
    aio_core_enter(pool->core);
    notify_bare(&pool->core->notify);
    aio_core_leave(pool->core);
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
