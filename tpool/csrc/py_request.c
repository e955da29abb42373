/* SPDX-License-Identifier: MIT
 *
 * See py_request.h.
 */
#include "py_request.h"
#include "py_args.h"
#include "py_context.h"
#include "py_pool.h"
#include "py_request_doc.h"

static enum request_state state_get(RequestObject *r)
{
    return atomic_load_explicit(&r->state, memory_order_acquire);
}

static bool is_cancelled(RequestObject *r)
{
    return atomic_load_explicit(&r->cancelled, memory_order_relaxed);
}

static bool is_done(RequestObject *r)
{
    return state_get(r) == REQUEST_DONE || is_cancelled(r);
}

/*
 * The garbage collector need not know of a request that holds nothing which
 * could lead back to it, nor of one that is queued: the queue holds it.  Tracked
 * it would be gone through again and again while a million wait; and the list of
 * what is tracked is one more thing for owner and worker to pass to and fro.
 * So neither a request nor its context is, but for a reason.
 */
static void track_if_needed(RequestObject *r)
{
    if ((r->callbacks || (r->outcome && PyObject_IS_GC(r->outcome))) &&
        !PyObject_GC_IsTracked((PyObject *)r)) {
        PyObject_GC_Track(r);
    }
}

static void drop_context(RequestObject *r)
{
    if (r->context && !PyObject_GC_IsTracked(r->context)) {
        PyObject_GC_Track(r->context); /* its dealloc expects that */
    }
    Py_CLEAR(r->context);
}

RequestObject *request_new(struct pool_core *pool, PyObject *fn,
                           PyObject *const *args, Py_ssize_t nargs,
                           PyObject *kwnames)
{
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);
    PyObject *context = PyContext_CopyCurrent();
    RequestObject *r;

    if (!context) {
        return NULL;
    }
    r = PyObject_GC_NewVar(RequestObject, pool->state->request_type, n);
    if (!r) {
        Py_DECREF(context);
        return NULL;
    }
    PyObject_GC_UnTrack(context);
    r->work.node.link.next = NULL;
    r->work.node.prev = NULL;
    r->work.node.queued = true;
    atomic_init(&r->state, REQUEST_PENDING);
    atomic_init(&r->cancelled, false);
    r->raised = false;
    r->pool = pool_core_ref(pool);
    r->submit_ns = clock_now_ns();
    r->fn = Py_NewRef(fn);
    r->kwnames = Py_XNewRef(kwnames);
    r->context = context;
    r->outcome = NULL;
    r->callbacks = NULL;
    r->callbacks_run = 0;
    r->scratch = NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        r->args[i] = Py_NewRef(args[i]);
    }
    return r;
}

/* The call and its arguments: nobody needs them any more. */
static void drop_call(RequestObject *r)
{
    Py_CLEAR(r->fn);
    Py_CLEAR(r->kwnames);
    for (Py_ssize_t i = 0; i < Py_SIZE(r); i++) {
        Py_CLEAR(r->args[i]);
    }
}

void request_run(RequestObject *r, struct call_times *times)
{
    int64_t begin_ns = clock_now_ns();
    Py_ssize_t nkw = r->kwnames ? PyTuple_GET_SIZE(r->kwnames) : 0;
    size_t nargsf = (size_t)(Py_SIZE(r) - nkw) | PY_VECTORCALL_ARGUMENTS_OFFSET;

    trace_emit(&r->pool->state->trace, TRACE_THREAD_POOL_START, r, 0);
    if (PyContext_Enter(r->context) == 0) {
        r->outcome = PyObject_Vectorcall(r->fn, r->args, nargsf, r->kwnames);
        if (!r->outcome) {
            r->outcome = take_exception();
            r->raised = true;
        }
        if (PyContext_Exit(r->context) < 0) { /* the call has left another */
            PyErr_WriteUnraisable(r->fn);
        }
    } else {
        r->outcome = take_exception();
        r->raised = true;
    }
    times->wait_ns = begin_ns - r->submit_ns;
    times->run_ns = clock_now_ns() - begin_ns;
    drop_call(r);
    track_if_needed(r);
    trace_emit(&r->pool->state->trace, TRACE_THREAD_POOL_COMPLETE, r, 0);
    atomic_store_explicit(&r->state, REQUEST_FINISHED, memory_order_relaxed);
}

/* GIL held.  Hands r over, for whoever took it out of the queue. */
static void deliver(RequestObject *r)
{
    struct py_core *core = py_core_ref(r->pool->core);

    drop_call(r);
    track_if_needed(r);
    aio_core_post(&core->aio, &r->work.node.link);
    py_core_drop_undelivered(core);
    py_core_unref(core);
}

void request_deliver_cancelled(RequestObject *r)
{
    trace_emit(&r->pool->state->trace, TRACE_THREAD_POOL_CANCEL, r, 0);
    atomic_fetch_add_explicit(&r->pool->cancelled, 1, memory_order_relaxed);
    atomic_store_explicit(&r->cancelled, true, memory_order_relaxed);
    deliver(r);
}

void request_deliver_failed(RequestObject *r)
{
    PyErr_SetString(PyExc_RuntimeError,
                    "no thread could be started for this request");
    r->outcome = take_exception();
    r->raised = true;
    atomic_store_explicit(&r->state, REQUEST_FINISHED, memory_order_relaxed);
    deliver(r);
}

/* The oldest callback that has not run, or NULL. */
static PyObject *take_callback(RequestObject *r)
{
    PyObject *callback = NULL;

    Py_BEGIN_CRITICAL_SECTION(r);
    /* Release: pairs with state_get(), so that the outcome is seen. */
    atomic_store_explicit(&r->state, REQUEST_DONE, memory_order_release);
    if (r->callbacks && PyList_CheckExact(r->callbacks)) {
        /* Nothing is allocated, nor given back: this cannot fail. */
        callback = PyList_GET_ITEM(r->callbacks, r->callbacks_run);
        PyList_SET_ITEM(r->callbacks, r->callbacks_run, Py_NewRef(Py_None));
        if (++r->callbacks_run == PyList_GET_SIZE(r->callbacks)) {
            Py_CLEAR(r->callbacks);
        }
    } else {
        callback = r->callbacks;
        r->callbacks = NULL;
    }
    Py_END_CRITICAL_SECTION();
    return callback;
}

static int call_callback(RequestObject *r, PyObject *callback)
{
    PyObject *result = PyObject_CallOneArg(callback, (PyObject *)r);

    if (!result) {
        return report_callback(callback);
    }
    Py_DECREF(result);
    return 0;
}

int request_dispatch(PyObject *self)
{
    RequestObject *r = (RequestObject *)self;
    PyObject *callback;
    int ret = 0;

    if (state_get(r) != REQUEST_DONE) { /* else: it comes back, see below */
        atomic_fetch_sub_explicit(&r->pool->core->aio.in_flight, 1,
                                  memory_order_relaxed);
        atomic_fetch_add_explicit(&r->pool->dispatched, 1,
                                  memory_order_relaxed);
        /* Here, not in the worker: dropping what another thread made is dear
         * without the GIL. */
        drop_context(r);
    }
    while (ret == 0 && (callback = take_callback(r))) {
        ret = call_callback(r, callback);
        Py_DECREF(callback);
    }
    if (ret < 0 && r->callbacks) {
        /* The exception leaves poll(); the other callbacks run in the next. */
        Py_INCREF(r);
        aio_core_post(&r->pool->core->aio, &r->work.node.link);
    }
    return ret;
}

/* Owner: polls until the request is done.  Returns 0, or -1 with an exception. */
static int wait_done(RequestObject *r, const char *method, int64_t timeout_ns)
{
    int64_t deadline_ns = timeout_ns < 0
                              ? -1
                              : deadline_after_ns(clock_now_ns(), timeout_ns);
    AioContextObject *c = (AioContextObject *)py_core_context(r->pool->core);
    int ret = 0;

    if (!c) {
        PyErr_Format(PyExc_RuntimeError,
                     "%s: the AioContext of this request is gone", method);
        return -1;
    }
    if (!context_is_owner(c)) {
        PyErr_Format(PyExc_RuntimeError,
                     "%s waits only in the thread that polls the AioContext; "
                     "elsewhere use add_done_callback()",
                     method);
        ret = -1;
    }
    while (ret == 0 && !is_done(r)) {
        int64_t left_ns = timeout_ns < 0
                              ? -1
                              : remaining_ns(clock_now_ns(), deadline_ns);
        bool progress;

        ret = context_poll(c, left_ns, &progress);
        if (ret == 0 && left_ns == 0 && !is_done(r)) {
            PyErr_Format(PyExc_TimeoutError, "%s: %R is not done", method, r);
            ret = -1;
        }
    }
    Py_DECREF(c);
    return ret;
}

static int raise_cancelled(void)
{
    PyObject *module = PyImport_ImportModule("concurrent.futures");
    PyObject *type = module ? PyObject_GetAttrString(module, "CancelledError")
                            : NULL;

    if (type) {
        PyErr_SetNone(type);
    }
    Py_XDECREF(type);
    Py_XDECREF(module);
    return -1;
}

/* The one argument of result() and exception().  0, or -1 with an exception. */
static int parse_timeout(const char *method, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames,
                         int64_t *timeout_ns)
{
    Py_ssize_t n = nargs + (kwnames ? PyTuple_GET_SIZE(kwnames) : 0);

    *timeout_ns = -1;
    if (n > 1 ||
        (n > nargs && PyUnicode_CompareWithASCIIString(
                          PyTuple_GET_ITEM(kwnames, 0), "timeout") != 0)) {
        PyErr_Format(PyExc_TypeError, "%s takes one argument, timeout", method);
        return -1;
    }
    return n ? arg_seconds(args[0], "timeout", timeout_ns) : 0;
}

/* Waits, and raises if there is no outcome. */
static int get_outcome(RequestObject *r, const char *method,
                       PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    int64_t timeout_ns;

    if (parse_timeout(method, args, nargs, kwnames, &timeout_ns) < 0 ||
        (!is_done(r) && wait_done(r, method, timeout_ns) < 0)) {
        return -1;
    }
    return is_cancelled(r) ? raise_cancelled() : 0;
}

static PyObject *request_result(RequestObject *r, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *kwnames)
{
    if (get_outcome(r, "result()", args, nargs, kwnames) < 0) {
        return NULL;
    }
    if (r->raised) {
        PyErr_SetObject((PyObject *)Py_TYPE(r->outcome), r->outcome);
        return NULL;
    }
    return Py_NewRef(r->outcome);
}

static PyObject *request_exception(RequestObject *r, PyObject *const *args,
                                   Py_ssize_t nargs, PyObject *kwnames)
{
    if (get_outcome(r, "exception()", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return Py_NewRef(r->raised ? r->outcome : Py_None);
}

static PyObject *request_done(RequestObject *r, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_done(r));
}

static PyObject *request_running(RequestObject *r, PyObject *Py_UNUSED(ignored))
{
    enum request_state state = state_get(r);

    return PyBool_FromLong(state == REQUEST_RUNNING ||
                           state == REQUEST_FINISHED);
}

static PyObject *request_cancelled(RequestObject *r,
                                   PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_cancelled(r));
}

static PyObject *request_cancel(RequestObject *r, PyObject *Py_UNUSED(ignored))
{
    bool cancelled;

    Py_BEGIN_CRITICAL_SECTION(r);
    cancelled = is_cancelled(r);
    if (!cancelled && request_queue_cancel(&r->pool->queue, &r->work.node)) {
        cancelled = true;
        pool_room(r->pool);
        request_deliver_cancelled(r); /* with the queue's reference */
    }
    Py_END_CRITICAL_SECTION();
    return PyBool_FromLong(cancelled);
}

/* Critical section.  Returns 0, or -1 with an exception. */
static int append_callback(RequestObject *r, PyObject *callback)
{
    PyObject *list;

    if (!r->callbacks) {
        r->callbacks = Py_NewRef(callback);
        return 0;
    }
    if (PyList_CheckExact(r->callbacks)) {
        return PyList_Append(r->callbacks, callback);
    }
    list = PyList_New(2);
    if (!list) {
        return -1;
    }
    PyList_SET_ITEM(list, 0, r->callbacks);
    PyList_SET_ITEM(list, 1, Py_NewRef(callback));
    r->callbacks = list;
    return 0;
}

/* It is done: calls back at once in the owner, else in the owner's next turn. */
static int call_late(RequestObject *r, PyObject *callback)
{
    AioContextObject *c = (AioContextObject *)py_core_context(r->pool->core);
    PyObject *bh;

    if (!c || context_is_owner(c)) {
        Py_XDECREF(c);
        return call_callback(r, callback);
    }
    bh = PyObject_CallMethod((PyObject *)c, "call_soon", "OO", callback, r);
    Py_XDECREF(bh);
    Py_DECREF(c);
    return bh ? 0 : -1;
}

static PyObject *request_add_done_callback(RequestObject *r, PyObject *arg)
{
    PyObject *callback;
    bool late;
    int ret = 0;

    if (arg_callable(arg, "callback", false, &callback) < 0) {
        return NULL;
    }
    Py_BEGIN_CRITICAL_SECTION(r);
    late = state_get(r) == REQUEST_DONE;
    if (!late) {
        ret = append_callback(r, callback);
        if (state_get(r) == REQUEST_FINISHED || is_cancelled(r)) {
            track_if_needed(r);
        }
    }
    Py_END_CRITICAL_SECTION();
    if (late) {
        ret = call_late(r, callback);
    }
    if (ret < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static const char *state_name(RequestObject *r)
{
    if (is_cancelled(r)) {
        return "cancelled";
    }
    switch (state_get(r)) {
    case REQUEST_PENDING:
        return "pending";
    case REQUEST_RUNNING:
    case REQUEST_FINISHED:
        return "running";
    default:
        return r->raised ? "raised" : "returned";
    }
}

static PyObject *request_repr(RequestObject *r)
{
    if (!is_done(r) || is_cancelled(r)) {
        return PyUnicode_FromFormat("<Request at %p %s>", r, state_name(r));
    }
    return PyUnicode_FromFormat("<Request at %p %s %s>", r, state_name(r),
                                Py_TYPE(r->outcome)->tp_name);
}

static PyObject *request_reduce(PyObject *Py_UNUSED(self),
                                PyObject *Py_UNUSED(ignored))
{
    PyErr_SetString(PyExc_TypeError,
                    "a Request cannot be pickled: it belongs to a running "
                    "pool");
    return NULL;
}

static int request_traverse(RequestObject *r, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(r));
    Py_VISIT(r->fn);
    Py_VISIT(r->kwnames);
    Py_VISIT(r->context);
    Py_VISIT(r->outcome);
    Py_VISIT(r->callbacks);
    for (Py_ssize_t i = 0; i < Py_SIZE(r); i++) {
        Py_VISIT(r->args[i]);
    }
    return 0;
}

static int request_clear(RequestObject *r)
{
    drop_call(r);
    drop_context(r);
    Py_CLEAR(r->outcome);
    Py_CLEAR(r->callbacks);
    return 0;
}

static void request_dealloc(RequestObject *r)
{
    PyTypeObject *type = Py_TYPE(r);

    PyObject_GC_UnTrack(r);
    request_clear(r);
    pool_core_unref(r->pool);
    PyObject_GC_Del(r);
    Py_DECREF(type);
}

static PyMethodDef request_methods[] = {
    {"result", (PyCFunction)(void (*)(void))request_result,
     METH_FASTCALL | METH_KEYWORDS, result_doc},
    {"exception", (PyCFunction)(void (*)(void))request_exception,
     METH_FASTCALL | METH_KEYWORDS, exception_doc},
    {"done", (PyCFunction)request_done, METH_NOARGS, done_doc},
    {"running", (PyCFunction)request_running, METH_NOARGS, running_doc},
    {"cancelled", (PyCFunction)request_cancelled, METH_NOARGS, cancelled_doc},
    {"cancel", (PyCFunction)request_cancel, METH_NOARGS, cancel_doc},
    {"add_done_callback", (PyCFunction)request_add_done_callback, METH_O,
     add_done_callback_doc},
    {"__reduce__", request_reduce, METH_NOARGS, NULL},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL},
    {NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "One call handed to a ThreadPool; see ThreadPool.submit()."},
    {Py_tp_repr, request_repr},
    {Py_tp_traverse, request_traverse},
    {Py_tp_clear, request_clear},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "tpool.Request",
    .basicsize = sizeof(RequestObject),
    .itemsize = sizeof(PyObject *),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = request_slots,
};

int py_request_add_type(PyObject *module)
{
    struct module_state *state = PyModule_GetState(module);

    state->request_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &request_spec, NULL);
    return state->request_type ? PyModule_AddType(module, state->request_type)
                               : -1;
}
