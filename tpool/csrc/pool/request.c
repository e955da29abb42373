/* SPDX-License-Identifier: MIT
 *
 * The way of a request: made by its submitter, run by a worker, dispatched by
 * the owner.
 */
#include "pool/callable.h"
#include "py/decimal.h"
#include "pool/pool_core.h"
#include "pool/request.h"
#include "py/post.h"

/*
 * The garbage collector need not know of a request that holds nothing which
 * could lead back to it, nor of one that is queued: the queue holds it.  Tracked
 * it would be gone through again and again while a million wait; and the list of
 * what is tracked is one more thing for owner and worker to pass to and fro.
 * So neither a request nor its context is, but for a reason.
 */
void request_track(RequestObject *r)
{
    bool vars = r->context && PyObject_Size(r->context) > 0;

    if (vars && !PyObject_GC_IsTracked(r->context)) {
        PyObject_GC_Track(r->context);
    }
    if ((vars || r->callback || (r->outcome && PyObject_IS_GC(r->outcome))) &&
        !PyObject_GC_IsTracked((PyObject *)r)) {
        PyObject_GC_Track(r);
    }
}

void request_drop_context(RequestObject *r)
{
    PyObject *context;

    /* Another thread may be in request_track(). */
    Py_BEGIN_CRITICAL_SECTION(r);
    context = r->context;
    r->context = NULL;
    Py_END_CRITICAL_SECTION();
    if (context && !PyObject_GC_IsTracked(context)) {
        PyObject_GC_Track(context); /* its dealloc expects that */
    }
    Py_XDECREF(context);
}

void request_drop_call(RequestObject *r)
{
    Py_CLEAR(r->fn);
    Py_CLEAR(r->kwnames);
    for (Py_ssize_t i = 0; i < Py_SIZE(r); i++) {
        Py_CLEAR(r->args[i]);
    }
}

void request_set_finished(RequestObject *r)
{
    Py_BEGIN_CRITICAL_SECTION(r);
    atomic_store_explicit(&r->base.work.state, WORK_FINISHED,
                          memory_order_relaxed);
    request_track(r);
    Py_END_CRITICAL_SECTION();
}

void request_set_raised(RequestObject *r)
{
    r->outcome = take_exception();
    r->base.work.raised = true;
}

/*
 * Worker.  Whether its future was cancelled while it was queued; -1: an exception.
 * The loop may be cancelling it: what is missed is harmless, see tests/tsan.supp.
 */
static int is_unwanted(RequestObject *r)
{
    PyObject *cancelled;
    int ret;

    if (!r->future) {
        return 0;
    }
    cancelled = PyObject_CallMethodNoArgs(r->future,
                                          r->pool->state->str_cancelled);
    ret = cancelled ? PyObject_IsTrue(cancelled) : -1;
    Py_XDECREF(cancelled);
    return ret;
}

/* Calls it in its context; it has none: in the thread's own. */
static void call(RequestObject *r)
{
    Py_ssize_t nkw = r->kwnames ? PyTuple_GET_SIZE(r->kwnames) : 0;
    size_t nargsf = (size_t)(Py_SIZE(r) - nkw) | PY_VECTORCALL_ARGUMENTS_OFFSET;

    if (r->context && PyContext_Enter(r->context) < 0) {
        request_set_raised(r);
        return;
    }
    r->outcome = PyObject_Vectorcall(r->fn, r->args, nargsf, r->kwnames);
    if (!r->outcome) {
        request_set_raised(r);
    }
    if (r->context && PyContext_Exit(r->context) < 0) {
        /* The call has left another. */
        PyErr_WriteUnraisable(r->fn);
    }
}

/* Calls, keeps the outcome and drops the call. */
static struct completion_node *request_run(struct work *w,
                                           struct call_times *times)
{
    RequestObject *r = request_of(w);
    int64_t begin_ns = clock_now_ns();
    int unwanted = is_unwanted(r);

    times->wait_ns = begin_ns - r->submit_ns;
    times->run_ns = -1;
    if (unwanted > 0) {
        request_drop_call(r);
        Py_BEGIN_CRITICAL_SECTION(r);
        request_set_cancelled(r);
        Py_END_CRITICAL_SECTION();
        return &w->link;
    }
    trace_emit_at(&r->pool->state->trace, TRACE_THREAD_POOL_START, r, 0,
                  begin_ns);
    if (unwanted < 0) {
        request_set_raised(r);
    } else {
        call(r);
    }
    times->run_ns = clock_now_ns() - begin_ns;
    r->run_ns = times->run_ns;
    r->took_ns = times->wait_ns + times->run_ns;
    request_drop_call(r);
    trace_emit_at(&r->pool->state->trace, TRACE_THREAD_POOL_COMPLETE, r, 0,
                  begin_ns + times->run_ns);
    request_set_finished(r);
    return &w->link;
}

void request_deliver(RequestObject *r)
{
    struct aio_core *core = aio_core_ref(r->pool->core);

    Py_INCREF(r);
    aio_core_enter(core);
    post_to_owner(core, &r->base.work.link);
    aio_core_leave(core);
    aio_core_drop_undelivered(core);
    aio_core_unref(core);
    /* After the post: this can run code that waits for it. */
    Py_BEGIN_CRITICAL_SECTION(r);
    request_drop_call(r);
    Py_END_CRITICAL_SECTION();
    Py_DECREF(r);
}

void request_set_cancelled(RequestObject *r)
{
    trace_emit(&r->pool->state->trace, TRACE_THREAD_POOL_CANCEL, r, 0);
    atomic_fetch_add_explicit(&r->pool->cancelled, 1, memory_order_relaxed);
    atomic_store_explicit(&r->base.work.cancelled, true, memory_order_relaxed);
    request_track(r);
}

/* For want of a thread: its outcome is a RuntimeError. */
static void request_fail(struct work *w)
{
    RequestObject *r = request_of(w);

    pool_raise_down(r->pool);
    request_set_raised(r);
    request_set_finished(r);
    request_deliver(r);
}

void request_cancel_queued(struct work *w)
{
    RequestObject *r = request_of(w);

    Py_BEGIN_CRITICAL_SECTION(r);
    request_set_cancelled(r);
    Py_END_CRITICAL_SECTION();
    request_deliver(r);
}

struct call_place *request_place(const struct work *w)
{
    return request_of(w)->place;
}

PyObject *request_take_callback(RequestObject *r)
{
    PyObject *callback;
    struct callback_list *list;

    Py_BEGIN_CRITICAL_SECTION(r);
    callback = r->callback;
    list = r->further;
    r->callback = NULL;
    if (!callback && list) {
        callback = list->callbacks[list->taken++];
        if (list->taken == list->used) {
            r->further = NULL;
            PyMem_Free(list);
        }
    }
    Py_END_CRITICAL_SECTION();
    return callback;
}

void request_set_done(RequestObject *r)
{
    Py_BEGIN_CRITICAL_SECTION(r);
    /* Release: pairs with request_state(), so that the outcome is seen. */
    atomic_store_explicit(&r->base.work.state, WORK_DONE, memory_order_release);
    Py_END_CRITICAL_SECTION();
}

int request_call_callback(RequestObject *r, PyObject *callback)
{
    PyObject *args[] = {(PyObject *)r, r->future};
    PyObject *result = PyObject_Vectorcall(callback, args, r->future ? 2 : 1,
                                           NULL);

    if (!result) {
        return report_callback(callback);
    }
    Py_DECREF(result);
    return 0;
}

int request_dispatch(struct work *w, bool *progress)
{
    RequestObject *r = request_of(w);
    PyObject *callback;
    int ret = 0;

    *progress = true;
    if (request_state(r) != WORK_DONE) { /* else: it comes back, see below */
        aio_core_end_own_call(r->pool->core);
        atomic_fetch_add_explicit(&r->pool->dispatched, 1,
                                  memory_order_relaxed);
        call_place_done(r->place, r->took_ns, r->run_ns);
        /* Here, not in the worker: dropping what another thread made is dear
         * without the GIL. */
        request_drop_context(r);
        trace_emit(&r->pool->state->trace, TRACE_THREAD_POOL_DISPATCH, r, 0);
    }
    request_set_done(r);
    while (ret == 0 && (callback = request_take_callback(r))) {
        ret = request_call_callback(r, callback);
        Py_DECREF(callback);
    }
    if (ret < 0 && (r->callback || r->further)) {
        /* The exception leaves poll(); the other callbacks run in the next. */
        Py_INCREF(r);
        aio_core_post(r->pool->core, &r->base.work.link);
    }
    Py_DECREF(r);
    return ret < 0 ? AIO_RAISED : 0;
}

/* Where no worker has taken it. */
static int request_cancel(RequestObject *r)
{
    bool cancelled, mine;

    Py_BEGIN_CRITICAL_SECTION(r);
    cancelled = request_is_cancelled(r);
    mine = !cancelled && !pool_is_forked(r->pool) &&
           request_queue_cancel(&r->pool->queue, &r->base.work);
    if (mine) {
        request_set_cancelled(r);
    }
    Py_END_CRITICAL_SECTION();
    if (mine) {
        pool_room(r->pool);
        request_deliver(r); /* with the queue's reference */
    }
    return cancelled || mine;
}

static const struct request_ops pool_ops = {
    .work = {.run = request_run,
             .fail = request_fail,
             .cancel = request_cancel_queued,
             .dispatch = request_dispatch,
             .drop = work_object_drop,
             .place = request_place,
             .at_close = true},
    .backend = "threads",
    .cancel = request_cancel,
};

/* In the first state, and without all else.  fn NULL: nothing is to be called. */
static RequestObject *alloc(struct pool_core *pool,
                            const struct request_ops *ops, PyObject *fn,
                            Py_ssize_t n)
{
    RequestObject *r = PyObject_GC_NewVar(RequestObject,
                                          pool->state->request_type, n);

    if (!r) {
        return NULL;
    }
    work_init(&r->base.work, &ops->work);
    r->pool = pool_core_ref(pool);
    r->place = NULL;
    r->submit_ns = 0;
    r->fn = Py_XNewRef(fn);
    r->kwnames = r->context = r->future = r->outcome = NULL;
    r->run_ns = 0;
    r->took_ns = -1;
    r->weakrefs = NULL;
    r->callback = NULL;
    r->further = NULL;
    r->scratch = NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        r->args[i] = NULL;
    }
    return r;
}

RequestObject *request_alloc(struct pool_core *pool,
                             const struct request_ops *ops, PyObject *fn,
                             uintptr_t key, Py_ssize_t n)
{
    RequestObject *r = alloc(pool, ops, fn, n);

    if (r) {
        r->place = call_table_place(&pool->core->calls, key);
        r->submit_ns = clock_now_ns();
    }
    return r;
}

RequestObject *request_new_done(struct pool_core *pool, PyObject *outcome)
{
    PyObject *exc = outcome ? NULL : take_exception();
    RequestObject *r = alloc(pool, &pool_ops, NULL, 0);

    if (!r) {
        Py_XDECREF(outcome);
        Py_XDECREF(exc);
        return NULL;
    }
    r->outcome = outcome ? outcome : exc;
    r->base.work.raised = !outcome;
    /* Relaxed: it goes to other threads as any object does. */
    atomic_init(&r->base.work.state, WORK_DONE);
    request_track(r);
    return r;
}

RequestObject *request_new(struct pool_core *pool, PyObject *future,
                           PyObject *fn, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    PyObject *context = NULL;
    RequestObject *r;

    if (!future) {
        context = PyContext_CopyCurrent();
        if (!context || decimal_unshare(pool->state, context) < 0) {
            Py_XDECREF(context);
            return NULL;
        }
    }
    r = request_alloc(pool, &pool_ops, fn, callable_key(pool->state, fn), n);
    if (!r) {
        Py_XDECREF(context);
        return NULL;
    }
    if (context) {
        PyObject_GC_UnTrack(context);
    }
    r->kwnames = Py_XNewRef(kwnames);
    r->context = context;
    r->future = Py_XNewRef(future);
    for (Py_ssize_t i = 0; i < n; i++) {
        r->args[i] = Py_NewRef(args[i]);
    }
    return r;
}
