/* SPDX-License-Identifier: MIT
 *
 * See file_request.h.
 */
#include "files/file_request.h"
#include "queue/request_queue.h"
#include "turn/foreign.h"

static FileOpObject *op_of(RequestObject *r)
{
    return (FileOpObject *)r->fn;
}

/* Any thread.  No thread makes it any more: somebody may wait for that. */
static void made(struct pool_core *pool)
{
    atomic_fetch_sub_explicit(&pool->making, 1, memory_order_release);
    pool_room(pool);
}

/* Thread of the context's, without the GIL. */
static struct completion_node *file_run(struct work *w,
                                        struct call_times *times)
{
    RequestObject *r = request_of(w);
    FileOpObject *op = op_of(r);
    int64_t begin_ns = clock_now_ns();

    trace_emit_at(&r->pool->state->trace, TRACE_THREAD_POOL_START, r, 0,
                  begin_ns);
    do {
        op->entry.ret = file_io_call(&op->io);
    } while (op->entry.ret == -EINTR); /* by a profiler */
    times->wait_ns = begin_ns - r->submit_ns;
    times->run_ns = clock_now_ns() - begin_ns;
    r->took_ns = times->wait_ns + times->run_ns;
    trace_emit_at(&r->pool->state->trace, TRACE_THREAD_POOL_COMPLETE, r, 0,
                  begin_ns + times->run_ns);
    made(r->pool);
    return &w->link;
}

/* Nobody who cancels it looks at its call meanwhile.  Its buffers are free, at once. */
static void drop_call(RequestObject *r)
{
    Py_BEGIN_CRITICAL_SECTION(r);
    if (r->fn) {
        file_op_let_go(op_of(r));
    }
    request_drop_call(r);
    Py_END_CRITICAL_SECTION();
}

/* Whoever made it has done with it. */
static void finish(RequestObject *r)
{
    r->outcome = file_op_result(op_of(r), op_of(r)->entry.ret);
    if (!r->outcome) {
        request_set_raised(r);
    }
    if (r->took_ns < 0) { /* nobody knows when the kernel was done */
        r->took_ns = clock_now_ns() - r->submit_ns;
    }
    drop_call(r);
    request_set_finished(r);
    atomic_fetch_add_explicit(&r->pool->unqueued_done, 1, memory_order_relaxed);
}

/* Owner.  So many more are the kernel's. */
static void count(struct aio_core *core, int n)
{
    uint32_t now = atomic_load_explicit(&core->kernel_calls,
                                        memory_order_relaxed);

    atomic_store_explicit(&core->kernel_calls, now + (uint32_t)n,
                          memory_order_relaxed);
}

static int file_dispatch(struct work *w, bool *progress)
{
    RequestObject *r = request_of(w);

    if (request_state(r) != WORK_DONE) { /* else a callback of it has raised */
        if (!w->ops->run) {
            count(r->pool->core, -1);
        }
        if (request_state(r) == WORK_RUNNING) {
            finish(r);
        } else { /* it is cancelled */
            drop_call(r);
        }
    }
    return request_dispatch(w, progress);
}

/*
 * The context is gone, and who made it has done with it.  What is done is done, for who
 * has kept it; nobody is told.
 */
static void file_drop(struct work *w)
{
    RequestObject *r = request_of(w);
    PyObject *exc = take_exception();

    if (request_state(r) == WORK_RUNNING &&
        op_of(r)->entry.ret != FILE_OP_NOT_DONE) {
        finish(r);
        request_set_done(r);
    } else {
        Py_BEGIN_CRITICAL_SECTION(r);
        if (!request_is_cancelled(r)) {
            request_set_cancelled(r);
        }
        Py_END_CRITICAL_SECTION();
        drop_call(r);
        atomic_store_explicit(&w->state, WORK_FINISHED, memory_order_relaxed);
    }
    work_object_drop(w);
    put_exception(exc);
}

/* Where no thread has begun it. */
static int thread_cancel(RequestObject *r)
{
    bool cancelled, mine;

    Py_BEGIN_CRITICAL_SECTION(r);
    cancelled = request_is_cancelled(r);
    mine = !cancelled && r->fn && !pool_is_forked(r->pool) &&
           io_threads_cancel(op_of(r)->threads, &r->base.work);
    if (mine) {
        request_set_cancelled(r);
    }
    Py_END_CRITICAL_SECTION();
    if (mine) {
        made(r->pool);
        request_deliver(r); /* with the queue's reference */
    }
    return cancelled || mine;
}

/* Where the kernel has not begun it; the owner alone may ask. */
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
        mine = r->fn && kernel_io_cancel(&op_of(r)->entry, &now);
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
            file_op_let_go(op_of(r));
        }
    }
    return mine;
}

/* clang-format off */
#define FILE_OPS(run_, cancel_, name) { \
    .work = {.run = (run_),            \
             .dispatch = file_dispatch, \
             .drop = file_drop,         \
             .place = request_place,    \
             .at_close = true},         \
    .backend = (name),                  \
    .cancel = (cancel_),                \
}
/* clang-format on */

static const struct request_ops uring_ops = FILE_OPS(NULL, kernel_cancel,
                                                     "io_uring");
static const struct request_ops aio_ops = FILE_OPS(NULL, kernel_cancel,
                                                   "linux-aio");
static const struct request_ops thread_ops = FILE_OPS(file_run, thread_cancel,
                                                      "threads");

/* Context acquired.  It is in flight from now on; with the reference of its queue. */
static void begin(AioContextObject *c, RequestObject *r)
{
    Py_INCREF(r);
    /* The context may be dropped, which then alone leads to them. */
    PyObject_GC_Track(r->fn);
    PyObject_GC_Track(r);
    trace_emit_at(&c->state->trace, TRACE_THREAD_POOL_SUBMIT, r, 0,
                  r->submit_ns);
    atomic_fetch_add_explicit(&r->pool->unqueued, 1, memory_order_relaxed);
    aio_core_add_calls(c->aio.core, 1, r->submit_ns);
    call_table_submitted(&c->aio.core->calls, r->place, 1, r->submit_ns);
}

/* The same.  It is not: nobody has taken it, and another request of its op may come. */
static void undo(AioContextObject *c, RequestObject *r)
{
    PyObject_GC_UnTrack(r->fn);
    call_place_forget(r->place);
    atomic_fetch_sub_explicit(&c->aio.core->in_flight, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&r->pool->unqueued, 1, memory_order_relaxed);
    Py_DECREF(r);
}

static void raise_full(struct pool_core *pool)
{
    PyErr_Format(pool->state->pool_full,
                 "the queue is full: max_pending=%lu requests wait",
                 (unsigned long)pool->max_pending);
}

/* Context acquired. */
static void give_to_kernel(AioContextObject *c, struct kernel_io *k,
                           RequestObject *r)
{
    struct kernel_io_entry *e = &op_of(r)->entry;

    begin(c, r);
    count(c->aio.core, 1);
    atomic_store_explicit(&r->base.work.state, WORK_RUNNING,
                          memory_order_relaxed);
    e->work = &r->base.work;
    kernel_io_add(k, e);
    /* That loop waits next, and turns nothing before. */
    if ((notify_me(&c->aio.core->notify) & NOTIFY_FOREIGN) &&
        !kernel_io_flush(k)) {
        aio_set_due(&c->aio, 0);
    }
}

/* The same.  NULL: there is no memory. */
static struct io_threads *threads_of(AioContextObject *c)
{
    if (!c->io_threads) {
        Py_BEGIN_CRITICAL_SECTION(c); /* others look for them */
        c->io_threads = io_threads_new(&c->aio);
        Py_END_CRITICAL_SECTION();
    }
    return c->io_threads;
}

/* The same.  Returns 0, or -errno: as io_threads_push(), -ENOMEM, -ESHUTDOWN. */
static int give_to_thread(AioContextObject *c, RequestObject *r)
{
    struct pool_core *pool = r->pool;
    struct io_threads *t = threads_of(c);
    FileOpObject *op = op_of(r);
    int ret;

    if (!t) {
        return -ENOMEM;
    }
    begin(c, r);
    op->threads = io_threads_ref(t);
    /* Seq_cst, both: who waits for them sees it, or this that all is over. */
    atomic_fetch_add_explicit(&pool->making, 1, memory_order_seq_cst);
    ret = atomic_load_explicit(&pool->down, memory_order_seq_cst) == POOL_UP
              ? io_threads_push(t, &r->base.work, pool->max_pending)
              : -ESHUTDOWN;
    if (ret < 0) {
        made(pool);
        io_threads_unref(t);
        op->threads = NULL;
        undo(c, r);
    }
    return ret;
}

/* Context acquired then.  NULL with an exception. */
static RequestObject *enter_with_new(struct pool_core *pool,
                                     AioContextObject *c,
                                     const struct request_ops *ops,
                                     FileOpObject *op)
{
    RequestObject *r = request_alloc(pool, ops, (PyObject *)op, file_op_key(op),
                                     0);

    /* After the allocation, which can run a garbage collection. */
    if (r && context_enter(c) < 0) {
        Py_CLEAR(r);
    }
    return r;
}

PyObject *file_request_by_kernel(struct pool_core *pool, AioContextObject *c,
                                 struct kernel_io *k, FileOpObject *op)
{
    RequestObject *r = enter_with_new(
        pool, c, k->queue.ops == &io_uring_ops ? &uring_ops : &aio_ops, op);

    if (!r) {
        return NULL;
    }
    if (pool_down(pool) !=
        POOL_UP) { /* by another thread: nothing comes after it */
        pool_raise_down(pool);
        Py_CLEAR(r);
    } else if (k->n_waiting >= pool->max_pending) {
        raise_full(pool);
        Py_CLEAR(r);
    } else {
        give_to_kernel(c, k, r);
    }
    owner_release(&c->owner);
    return (PyObject *)r;
}

PyObject *file_request_by_thread(struct pool_core *pool, AioContextObject *c,
                                 FileOpObject *op)
{
    RequestObject *r = enter_with_new(pool, c, &thread_ops, op);
    int ret;

    if (!r) {
        return NULL;
    }
    ret = give_to_thread(c, r);
    if (ret < 0) {
        Py_CLEAR(r);
    }
    if (ret == -EBUSY) {
        raise_full(pool);
    } else if (ret == -ENOMEM) {
        PyErr_NoMemory();
    } else if (ret == -ESHUTDOWN) {
        pool_raise_down(pool);
    }
    owner_release(&c->owner);
    return (PyObject *)r;
}
