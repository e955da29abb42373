/* SPDX-License-Identifier: MIT
 *
 * A Request for a future of concurrent.futures: a call that another executor makes.
 *
 * It waits in the queue of a pool that has no worker.  Who takes it out of there ends
 * it, by the queue's lock once: the future, which is done, in whatever thread that
 * calls back; cancel(), by way of the future; or the end of the context, which lets
 * go of a future that goes on.  The future has a reference to it until then, and it
 * to the future.
 */
#include "pool/pools.h"
#include "pool/request.h"

/* What the future says to a question without arguments: 1, 0, or -1. */
static int ask(PyObject *future, PyObject *method)
{
    PyObject *answer = PyObject_CallMethodNoArgs(future, method);
    int ret = answer ? PyObject_IsTrue(answer) : -1;

    Py_XDECREF(answer);
    return ret;
}

/*
 * Returns 0, or -1 with an exception.  By result() the future would raise its own here:
 * its traceback would have the frames of who has set it, and these have it.
 */
static int take_result(RequestObject *r, PyObject *future,
                       struct module_state *state)
{
    PyObject *exc = PyObject_CallMethodNoArgs(future, state->str_exception);

    if (!exc) {
        return -1;
    }
    if (PyExceptionInstance_Check(exc)) {
        r->outcome = exc;
        r->base.work.raised = true;
        return 0;
    }
    Py_DECREF(exc); /* None */
    r->outcome = PyObject_CallMethodNoArgs(future, state->str_result);
    return r->outcome ? 0 : -1;
}

static void take_outcome(RequestObject *r, PyObject *future)
{
    struct module_state *state = r->pool->state;
    int cancelled = ask(future, state->str_cancelled);

    if (cancelled > 0) {
        Py_BEGIN_CRITICAL_SECTION(r);
        request_set_cancelled(r);
        Py_END_CRITICAL_SECTION();
        return;
    }
    if (cancelled < 0 || take_result(r, future, state) < 0) {
        request_set_raised(r);
    }
    r->took_ns = clock_now_ns() - r->submit_ns;
    request_set_finished(r);
}

/* Any thread.  The future is done: so is the request, unless it has ended before. */
static void end(RequestObject *r, PyObject *future)
{
    if (!pool_is_forked(r->pool) &&
        request_queue_cancel(&r->pool->queue, &r->base.work)) {
        take_outcome(r, future);
        request_deliver(r); /* with the queue's reference */
    }
}

static PyObject *future_done(PyObject *self, PyObject *future)
{
    end((RequestObject *)self, future);
    Py_RETURN_NONE;
}

/* A new reference to the future of a request that has not ended, or NULL. */
static PyObject *future_of(RequestObject *r)
{
    PyObject *future;

    Py_BEGIN_CRITICAL_SECTION(r);
    future = Py_XNewRef(r->fn);
    Py_END_CRITICAL_SECTION();
    return future;
}

static int wrapped_cancel(RequestObject *r)
{
    struct module_state *state = r->pool->state;
    PyObject *future = pool_is_forked(r->pool) ? NULL : future_of(r);
    int ret = future ? ask(future, state->str_cancel) : 0;

    /* Another thread may have cancelled it, and not called back yet. */
    if (ret > 0 && (ret = ask(future, state->str_cancelled)) > 0) {
        end(r, future);
    }
    Py_XDECREF(future);
    return ret < 0 ? -1 : request_is_cancelled(r);
}

static int wrapped_running(RequestObject *r)
{
    PyObject *future = future_of(r);
    int ret = future ? ask(future, r->pool->state->str_running) : 0;

    Py_XDECREF(future);
    return ret;
}

/* Nobody runs it. */
static const struct request_ops wrapped_ops = {
    .work = {.cancel = request_cancel_queued,
             .dispatch = request_dispatch,
             .drop = work_object_drop,
             .place = request_place,
             .at_close = true},
    .cancel = wrapped_cancel,
    .running = wrapped_running,
};

/* In the queue, where nobody takes it from; it is one more call in flight. */
static void push(struct pool_core *pool, RequestObject *r)
{
    request_queue_reserve(&pool->queue, 1, QUEUE_UNBOUNDED);
    trace_emit_at(&pool->state->trace, TRACE_THREAD_POOL_SUBMIT, r, 0,
                  r->submit_ns);
    aio_core_add_calls(pool->core, 1, r->submit_ns);
    call_table_submitted(&pool->core->calls, r->place, 1, r->submit_ns);
    Py_INCREF(r); /* the queue's */
    r->base.work.queued = true;
    request_queue_push(&pool->queue, &r->base.work, &r->base.work);
}

/* Has the future end r.  Returns 0, or -1 with an exception: r is cancelled. */
static int begin(struct pool_core *pool, RequestObject *r, PyObject *future)
{
    static PyMethodDef def = {"future_done", future_done, METH_O, NULL};
    PyObject *callback = PyCFunction_New(&def, (PyObject *)r), *ret = NULL;

    if (!callback) {
        return -1;
    }
    push(pool, r);
    ret = PyObject_CallMethodOneArg(future, pool->state->str_add_done_callback,
                                    callback);
    Py_DECREF(callback);
    if (!ret && request_queue_cancel(&pool->queue, &r->base.work)) {
        request_cancel_queued(&r->base.work);
    }
    Py_XDECREF(ret);
    return ret ? 0 : -1;
}

PyDoc_STRVAR(wrap_future_doc,
             "_wrap_future($module, ctx, future, /)\n--\n\n"
             "AioContext.wrap_future(), of a concurrent.futures.Future.");

static PyObject *wrap_future(PyObject *module, PyObject *args)
{
    PyObject *future;
    AioContextObject *c;
    struct pool_core *pool;
    RequestObject *r;
    struct module_state *state = PyModule_GetState(module);

    if (!PyArg_ParseTuple(args, "O!O:_wrap_future", state->context_type, &c,
                          &future) ||
        context_check_open(c) < 0) {
        return NULL;
    }
    pool = pools_wrapping(c);
    if (!pool) {
        return NULL;
    }
    /* One kind for each class of futures: nothing tells what an executor calls. */
    r = request_alloc(pool, &wrapped_ops, future, (uintptr_t)Py_TYPE(future),
                      0);
    if (r && begin(pool, r, future) < 0) {
        Py_CLEAR(r);
    }
    pool_core_unref(pool);
    return (PyObject *)r;
}

int py_wrap_init(PyObject *module)
{
    static PyMethodDef functions[] = {
        METHOD("_wrap_future", wrap_future, METH_VARARGS, wrap_future_doc),
        {NULL},
    };

    return PyModule_AddFunctions(module, functions);
}
