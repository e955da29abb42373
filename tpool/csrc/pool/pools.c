/* SPDX-License-Identifier: MIT
 *
 * See pools.h.
 */
#include "pool/pools.h"

/* List locked.  False: it is just going, and waits for the lock. */
static bool ref_if_alive(struct pool_core *pool)
{
    uint32_t refs = atomic_load_explicit(&pool->refs, memory_order_relaxed);

    while (refs && !atomic_compare_exchange_weak_explicit(
                       &pool->refs, &refs, refs + 1, memory_order_relaxed,
                       memory_order_relaxed)) {
    }
    return refs != 0;
}

/*
 * GIL held.  The pool after that one (NULL: the first) of those that post to core
 * (NULL: of all), as a new reference; or NULL.  Drops the reference to before.
 */
static struct pool_core *next_pool(struct module_state *state,
                                   struct aio_core *core,
                                   struct pool_core *before)
{
    struct pool_core *pool;

    pthread_mutex_lock(&state->pools_lock);
    pool = before ? before->next : state->pools;
    while (pool && (pool_is_forked(pool) || (core && pool->core != core) ||
                    !ref_if_alive(pool))) {
        pool = pool->next;
    }
    pthread_mutex_unlock(&state->pools_lock);
    if (before) {
        pool_core_unref(before);
    }
    return pool;
}

/*
 * An executor's threads start as those of concurrent.futures: with a call, unless they
 * have something else to do first.
 */
static bool has_thread_without_call(struct pool_core *pool)
{
    struct queue_stats stats;

    if (pool->context_ref || pool->initializes) {
        return false;
    }
    request_queue_get_stats(&pool->queue, &stats);
    return stats.idle > 0;
}

void pool_close(struct pool_core *pool, enum pool_down why, bool cancel)
{
    struct work *w;

    pool_set_down(pool, why);
    while (cancel && (w = request_queue_cancel_oldest(
                          &pool->queue, has_thread_without_call(pool)))) {
        w->ops->cancel(w);
    }
    request_queue_shutdown(&pool->queue);
}

static void close_those_of(struct module_state *state, struct aio_core *core)
{
    struct pool_core *pool = NULL;

    while ((pool = next_pool(state, core, pool))) {
        pool_close(pool, POOL_SHUTDOWN, true);
    }
}

static void gone(struct module_state *state, struct aio_core *core)
{
    struct pool_core *pool = NULL;

    while ((pool = next_pool(state, core, pool))) {
        if (pool_wraps(pool)) {
            pool_close(pool, POOL_SHUTDOWN, true);
        }
    }
}

struct pool_core *pools_wrapping(AioContextObject *c)
{
    struct pool_core *pool = NULL;

    do {
        pool = next_pool(c->state, c->aio.core, pool);
    } while (pool && !pool_wraps(pool));
    return pool ? pool
                : pool_core_new(
                      c->state, c,
                      &(struct pool_config){.idle_timeout_ns = -1,
                                            .max_pending = QUEUE_UNBOUNDED},
                      NULL);
}

static void set_params_of(struct module_state *state, struct aio_core *core,
                          const struct poll_params *params)
{
    struct pool_core *pool = NULL;

    while ((pool = next_pool(state, core, pool))) {
        request_queue_set_params(&pool->queue, params);
    }
}

PyDoc_STRVAR(
    close_pools_doc,
    "_close_pools($module, /)\n--\n\n"
    "The interpreter exits: have all pools accept no more requests, and\n"
    "their workers leave when they have run those that there are.");

static PyObject *close_pools(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct module_state *state = PyModule_GetState(module);
    struct pool_core *pool = NULL;

    while ((pool = next_pool(state, NULL, pool))) {
        pool_close(pool, POOL_EXIT, false);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(count_calls_doc,
             "_count_calls($module, /)\n--\n\n"
             "Calls that run, and requests that are queued, in all pools.");

static PyObject *count_calls(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct module_state *state = PyModule_GetState(module);
    struct pool_core *pool = NULL;
    unsigned long long running = 0, queued = 0;

    while ((pool = next_pool(state, NULL, pool))) {
        struct queue_stats stats;

        request_queue_get_stats(&pool->queue, &stats);
        running += stats.running;
        queued += stats.queued;
    }
    return Py_BuildValue("(KK)", running, queued);
}

int py_pools_init(PyObject *module)
{
    static PyMethodDef functions[] = {
        {"_close_pools", close_pools, METH_NOARGS, close_pools_doc},
        {"_count_calls", count_calls, METH_NOARGS, count_calls_doc},
        {NULL},
    };
    struct module_state *state = PyModule_GetState(module);

    pthread_mutex_init(&state->pools_lock, NULL);
    state->posters = (struct posters_ops){
        .close = close_those_of,
        .set_params = set_params_of,
        .gone = gone,
    };
    return PyModule_AddFunctions(module, functions);
}
