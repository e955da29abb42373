/* SPDX-License-Identifier: MIT
 *
 * See future_wait.h.
 */
#include "executor/future_wait.h"
#include "executor/future_trial.h"
#include "aio/handoff.h"

/*
 * GIL released meanwhile.  As word_wait().  The workers see that the lock of the
 * interpreter is free, or soon will be: a hint, whoever else waits or does not.
 * for_result: what comes after it is no part of the call; of an event loop it is.
 */
static int wait_for_word(struct pool_core *pool, struct word_wait *wait,
                         bool for_result)
{
    struct cpu_pair *cpus = &pool->core->cpus;
    int ret;

    Py_BEGIN_ALLOW_THREADS
    atomic_store_explicit(&cpus->owner_waits, OWNER_WAITS,
                          memory_order_relaxed);
    ret = word_wait(&pool->waits, wait);
    if (ret == 1) {
        future_trial_feed(pool, for_result);
    }
    cpu_publish(&cpus->owner);
#ifndef Py_GIL_DISABLED
    aio_handoff_from_worker(pool->core);
#endif
    atomic_store_explicit(&cpus->owner_waits, 0, memory_order_relaxed);
    Py_END_ALLOW_THREADS
    return ret;
}

/* After a wait that has not seen the end.  1: it has come, now or just before. */
static int leave(FutureObject *f, struct future_waiter *w)
{
    struct word_wait wait;

    if (future_delist(f, w)) {
        return 0;
    }
    word_wait_begin(&f->pool->waits, &wait, &w->word, -1, false);
    return wait_for_word(f->pool, &wait, true);
}

int future_wait(FutureObject *f, int64_t timeout_ns)
{
    struct pool_core *pool = f->pool;
    struct future_waiter w;
    struct word_wait wait;
    bool raised = false;
    int ret;

    if (future_fate(f) != FUTURE_OPEN) {
        return 1;
    }
    if (pool_check_here(pool) < 0) {
        return -1; /* nobody will end it */
    }
    if (!future_enlist(f, &w)) {
        return 1;
    }
    cpu_publish(&pool->core->cpus.owner);
    word_wait_begin(&pool->waits, &wait, &w.word, deadline_in_ns(timeout_ns),
                    _PyOS_IsMainThread());
    do {
        ret = wait_for_word(pool, &wait, true);
        /* A handler may have forked: nobody will end it in the child. */
        raised = PyErr_CheckSignals() < 0 ||
                 (ret == -EINTR && pool_check_here(pool) < 0);
    } while (ret == -EINTR && !raised);
    if (ret != 1) {
        PyObject *exc = take_exception();

        ret = leave(f, &w);
        put_exception(exc);
    }
    return raised ? -1 : ret == 1;
}

/* Whether the calling thread runs an event loop of asyncio. */
static bool in_event_loop(struct module_state *state)
{
    PyObject *asyncio = PyImport_GetModule(state->str_asyncio), *loop;
    bool found = false;

    if (asyncio) {
        loop = PyObject_CallMethodNoArgs(asyncio, state->str__get_running_loop);
        found = loop && loop != Py_None;
        Py_XDECREF(loop);
        Py_DECREF(asyncio);
    }
    PyErr_Clear(); /* it is just being imported */
    return found;
}

void future_let_end(FutureObject *f)
{
    struct pool_core *pool = f->pool;
    struct future_waiter w;
    struct word_wait wait;
    int ret = 0;

    if (!in_event_loop(pool->state)) {
        return;
    }
    cpu_publish(&pool->core->cpus.owner);
    if (cpu_pair_is_shared(&pool->core->cpus)) {
        word_waits_part(&pool->waits); /* the worker would not poll */
    }
    if (!aio_handoff_is_due(pool->core) || !future_enlist(f, &w)) {
        return;
    }
    if (word_wait_begin_poll(&pool->waits, &wait, &w.word, SHORT_CALL_NS)) {
        ret = wait_for_word(pool, &wait, false);
        /* Relaxed, a hint: of one that no thread has begun it says nothing. */
        if (ret == 1 ||
            atomic_load_explicit(&f->base.work.state, memory_order_relaxed) !=
                WORK_PENDING) {
            aio_handoff_learn(pool->core, ret == 1);
        }
    }
    if (ret != 1) {
        leave(f, &w);
    }
}
