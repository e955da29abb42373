/* SPDX-License-Identifier: MIT
 *
 * See kernel_request.h.
 */
#include "files/kernel_request.h"
#include "turn/foreign.h"

static int kernel_dispatch(struct work *w, bool *progress)
{
    RequestObject *r = request_of(w);
    FileOpObject *op;

    /* Else it comes back, for a callback of it has raised; or it is cancelled. */
    if (request_state(r) == WORK_RUNNING) {
        op = (FileOpObject *)r->fn;
        r->outcome = file_op_result(op, op->entry.ret);
        if (!r->outcome) {
            request_set_raised(r);
        }
        r->took_ns = clock_now_ns() - r->submit_ns;
        request_drop_call(r);
        request_set_finished(r);
    } else {
        Py_BEGIN_CRITICAL_SECTION(r);
        request_drop_call(r);
        Py_END_CRITICAL_SECTION();
    }
    return request_dispatch(w, progress);
}

/* The context is gone, and the kernel has done with it. */
static void kernel_drop(struct work *w)
{
    RequestObject *r = request_of(w);

    Py_BEGIN_CRITICAL_SECTION(r);
    if (!request_is_cancelled(r)) {
        request_set_cancelled(r);
    }
    Py_END_CRITICAL_SECTION();
    atomic_store_explicit(&w->state, WORK_FINISHED, memory_order_relaxed);
    work_object_drop(w);
}

/* Where it has not begun; the owner alone may ask. */
static int kernel_cancel(RequestObject *r)
{
    AioContextObject *c = NULL;
    bool mine = false, now;

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
        mine = r->fn && kernel_io_cancel(&((FileOpObject *)r->fn)->entry, &now);
        owner_release(&c->owner);
    }
    Py_XDECREF(c);
    if (mine) {
        atomic_store_explicit(&r->base.work.state, WORK_PENDING,
                              memory_order_relaxed);
        Py_BEGIN_CRITICAL_SECTION(r);
        request_set_cancelled(r);
        Py_END_CRITICAL_SECTION();
        if (now) {
            request_deliver(r); /* with the queue's reference */
        } else {
            /* Who hears that it is cancelled may resize them, before it comes back. */
            file_op_let_go((FileOpObject *)r->fn);
        }
    }
    return mine;
}

/* clang-format off */
#define KERNEL_OPS(name) {               \
    .work = {.dispatch = kernel_dispatch, \
             .drop = kernel_drop,         \
             .place = request_place,      \
             .at_close = true},           \
    .backend = (name),                    \
    .cancel = kernel_cancel,              \
}
/* clang-format on */

static const struct request_ops uring_request_ops = KERNEL_OPS("io_uring");
static const struct request_ops aio_request_ops = KERNEL_OPS("linux-aio");

static const struct request_ops *ops_of(const struct kernel_io *k)
{
    return k->queue.ops == &io_uring_ops ? &uring_request_ops
                                         : &aio_request_ops;
}

/* Context acquired, open.  Takes over a reference to r. */
static void add(AioContextObject *c, struct kernel_io *k, RequestObject *r,
                FileOpObject *op)
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
    kernel_io_add(k, &op->entry);
    /* That loop waits next, and turns nothing before. */
    if ((notify_me(&core->notify) & NOTIFY_FOREIGN) && !kernel_io_flush(k)) {
        aio_set_due(&c->aio, 0);
    }
}

PyObject *kernel_request_new(struct pool_core *pool, AioContextObject *c,
                             struct kernel_io *k, FileOpObject *op,
                             bool elsewhere)
{
    RequestObject *r = request_alloc(pool, ops_of(k), (PyObject *)op,
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
    if (k->n_waiting < pool->max_pending) {
        Py_INCREF(r);
        add(c, k, r, op);
    } else {
        PyErr_Format(c->state->pool_full,
                     "the queue is full: max_pending=%lu requests wait",
                     (unsigned long)pool->max_pending);
        Py_CLEAR(r);
    }
    owner_release(&c->owner);
    return (PyObject *)r;
}
