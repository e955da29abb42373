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
    word_waits_cleanup(&pool->waits);
    pthread_cond_destroy(&pool->room);
    pthread_mutex_destroy(&pool->room_lock);
    aio_core_unref(pool->core);
    Py_XDECREF(pool->context_ref);
    Py_XDECREF(pool->spawn);
    Py_XDECREF(pool->name_prefix);
    free(pool);
}

/* The context's, or one of its own that nobody turns.  NULL with an exception. */
static struct aio_core *take_core(struct module_state *state,
                                  AioContextObject *context)
{
    struct aio_core *core;
    int ret;

    if (context) {
        return aio_core_ref(context->aio.core);
    }
    ret = aio_core_new(&core, &state->trace);
    if (ret < 0) {
        raise_errno(ret);
        return NULL;
    }
    aio_core_close(core);
    return core;
}

static void init_room(struct pool_core *pool)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&pool->room_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->room, &attr);
    pthread_condattr_destroy(&attr);
}

/* All of it but what can fail. */
static void init(struct pool_core *pool, struct module_state *state,
                 const struct pool_config *config)
{
    init_room(pool);
    word_waits_init(&pool->waits, &state->pollers, 0);
    pool->waits.blocks = &pool->core->cpus.blocks;
    atomic_init(&pool->judging, false);
    atomic_init(&pool->refs, 1);
    atomic_init(&pool->down, POOL_UP);
    pool->state = state;
    /* Relaxed: the caller's process. */
    pool->forks = atomic_load_explicit(&state->forks, memory_order_relaxed);
    pool->spawn = Py_XNewRef(config->spawn);
    pool->name_prefix = Py_XNewRef(config->name_prefix);
    pool->max_pending = config->max_pending;
    pool->block = config->block;
    pool->block_signals = config->block_signals;
    pool->initializes = config->initializes;
}

struct pool_core *
pool_core_new(struct module_state *state, AioContextObject *context,
              const struct pool_config *config,
              void (*deliver)(struct pool_core *pool,
                              struct completion_node *node, bool more))
{
    struct aio_core *core = take_core(state, context);
    PyObject *context_ref = NULL;
    struct pool_core *pool = NULL;
    int ret;

    if (!core) {
        return NULL;
    }
    if (context &&
        !(context_ref = PyWeakref_NewRef((PyObject *)context, NULL))) {
        goto fail;
    }
    pool = aligned_alloc(CACHE_LINE, sizeof(*pool));
    if (!pool) {
        PyErr_NoMemory();
        goto fail;
    }
    memset(pool, 0, sizeof(*pool));
    ret = request_queue_init(&pool->queue, &core->cpus,
                             &(struct poll_params){0}, config->idle_timeout_ns);
    if (ret < 0) {
        raise_errno(ret);
        goto fail;
    }
    pool->core = core;
    pool->context_ref = context_ref;
    pool->deliver = deliver;
    if (!context_ref) { /* or the owner of its context has one */
        call_trial_init(&pool->trial, core, pool);
    }
    init(pool, state, config);
    if (pool_wraps(pool)) {
        request_queue_set_limits(&pool->queue, 0, 0);
    }
    list(pool);
    return pool;
fail:
    free(pool);
    Py_XDECREF(context_ref);
    aio_core_unref(core);
    return NULL;
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

void pool_set_down(struct pool_core *pool, enum pool_down why)
{
    /* Who has shut it down hears of that, also when the interpreter exits. */
    if (why == POOL_BROKEN || pool_down(pool) == POOL_UP) {
        /* Seq_cst: who is about to ask sees it, or is seen; see files_wait(). */
        atomic_store_explicit(&pool->down, why, memory_order_seq_cst);
    }
}

void pool_break(struct pool_core *pool)
{
    struct work *w;

    pool_set_down(pool, POOL_BROKEN);
    while ((w = request_queue_cancel_oldest(&pool->queue, false))) {
        w->ops->fail(w);
    }
}

void pool_raise_down(struct pool_core *pool)
{
    static const char *const why[] = {
        [POOL_SHUTDOWN] = "cannot schedule new futures after shutdown",
        [POOL_EXIT] = "cannot schedule new futures after interpreter shutdown",
        [POOL_BROKEN] = "A thread initializer failed, the thread pool is not "
                        "usable anymore",
        [POOL_UP] = "no thread could be started for this request",
    };
    enum pool_down down = pool_down(pool);
    PyObject *module = NULL, *type = NULL;

    if (down == POOL_BROKEN) {
        module = PyImport_ImportModule("concurrent.futures.thread");
        type = module ? PyObject_GetAttrString(module, "BrokenThreadPool")
                      : NULL;
    }
    if (type || down != POOL_BROKEN) {
        PyErr_SetString(type ? type : PyExc_RuntimeError, why[down]);
    }
    Py_XDECREF(type);
    Py_XDECREF(module);
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

int pool_check_here(struct pool_core *pool)
{
    if (pool_is_forked(pool)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the pool belongs to the process that was "
                        "forked, not to its child");
        return -1;
    }
    return 0;
}
