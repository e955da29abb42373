/* SPDX-License-Identifier: MIT
 *
 * See ring_request.h.
 */
#include "files/ring_request.h"

static int ring_dispatch(struct work *w, bool *progress)
{
    RequestObject *r = request_of(w);
    FileOpObject *op;

    /* Else: it comes back, for a callback of it has raised; or it never flew. */
    if (request_state(r) == WORK_RUNNING) {
        op = (FileOpObject *)r->fn;
        r->outcome = file_op_result(op, op->entry.ret);
        if (!r->outcome) {
            request_set_raised(r);
        }
        r->took_ns = clock_now_ns() - r->submit_ns;
        request_drop_call(r);
        request_set_finished(r);
    }
    return request_dispatch(w, progress);
}

/* The context is gone, and the kernel has done with it. */
static void ring_drop(struct work *w)
{
    RequestObject *r = request_of(w);

    Py_BEGIN_CRITICAL_SECTION(r);
    request_set_cancelled(r);
    Py_END_CRITICAL_SECTION();
    atomic_store_explicit(&w->state, WORK_FINISHED, memory_order_relaxed);
    work_object_drop(w);
}

/* Where it waits for room in the ring; the owner alone knows that. */
static int ring_cancel(RequestObject *r)
{
    AioContextObject *c = NULL;
    bool mine = false;

    if (request_is_cancelled(r)) {
        return 1;
    }
    if (request_state(r) == WORK_RUNNING && !pool_is_forked(r->pool)) {
        c = (AioContextObject *)pool_core_context(r->pool);
    }
    if (c && owner_is_me(&c->owner)) {
        if (owner_acquire(&c->owner) < 0) {
            Py_DECREF(c);
            return -1;
        }
        mine = r->fn &&
               uring_source_cancel(&c->uring, &((FileOpObject *)r->fn)->entry);
        owner_release(&c->owner);
    }
    Py_XDECREF(c);
    if (mine) {
        atomic_store_explicit(&r->base.work.state, WORK_PENDING,
                              memory_order_relaxed);
        Py_BEGIN_CRITICAL_SECTION(r);
        request_set_cancelled(r);
        Py_END_CRITICAL_SECTION();
        request_deliver(r); /* with the ring's reference */
    }
    return mine;
}

static const struct request_ops ring_ops = {
    .work = {.dispatch = ring_dispatch,
             .drop = ring_drop,
             .place = request_place,
             .at_close = true},
    .cancel = ring_cancel,
};

/* Context acquired, open.  Takes over a reference to r. */
static void add(AioContextObject *c, RequestObject *r, FileOpObject *op)
{
    struct aio_core *core = c->aio.core;

    trace_emit_at(&c->state->trace, TRACE_THREAD_POOL_SUBMIT, r, 0,
                  r->submit_ns);
    atomic_fetch_add_explicit(&r->pool->unqueued, 1, memory_order_relaxed);
    aio_core_add_calls(core, 1, r->submit_ns);
    call_table_submitted(&core->calls, r->place, 1, r->submit_ns);
    atomic_store_explicit(&r->base.work.state, WORK_RUNNING,
                          memory_order_relaxed);
    atomic_store_explicit(&op->taken, true, memory_order_relaxed);
    /* The context may be dropped, which then alone leads to them. */
    PyObject_GC_Track(op);
    PyObject_GC_Track(r);
    op->entry.work = &r->base.work;
    uring_source_add(&c->uring, &op->entry);
    if (notify_me(&core->notify) & NOTIFY_FOREIGN) {
        /* That loop waits next, and turns nothing before. */
        uring_source_flush(&c->uring);
    }
}

PyObject *ring_request_new(struct pool_core *pool, AioContextObject *c,
                           FileOpObject *op, bool elsewhere)
{
    RequestObject *r = request_alloc(pool, &ring_ops, (PyObject *)op,
                                     file_op_key(op), 0);

    if (!r) {
        return NULL;
    }
    /* After the allocation, which can run a garbage collection. */
    if (context_enter(c) < 0) {
        Py_DECREF(r);
        return NULL;
    }
    op->entry.elsewhere = elsewhere;
    if (c->uring.n_waiting < pool->max_pending) {
        Py_INCREF(r);
        add(c, r, op);
    } else {
        PyErr_Format(c->state->pool_full,
                     "the ring is full: max_pending=%lu requests wait",
                     (unsigned long)pool->max_pending);
        Py_CLEAR(r);
    }
    owner_release(&c->owner);
    return (PyObject *)r;
}
