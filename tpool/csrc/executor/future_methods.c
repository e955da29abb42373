/* SPDX-License-Identifier: MIT
 *
 * The type that tpool's futures of concurrent.futures have in C; see future.h.
 */
#include "executor/future_doc.h"
#include "executor/future_tell.h"
#include "executor/future_wait.h"
#include "py/args.h"

#include <structmember.h>

/* Returns -1, with an exception of concurrent.futures: message NULL, or one reference. */
static int raise_base(const char *name, PyObject *message)
{
    PyObject *module = PyImport_ImportModule("concurrent.futures._base");
    PyObject *type = module ? PyObject_GetAttrString(module, name) : NULL;

    if (type && message) {
        PyErr_SetObject(type, message);
    } else if (type) {
        PyErr_SetNone(type);
    }
    Py_XDECREF(module);
    Py_XDECREF(type);
    Py_XDECREF(message);
    return -1;
}

static const char *state_name(FutureObject *f)
{
    switch (future_fate(f)) {
    case FUTURE_CANCELLED:
        return "CANCELLED_AND_NOTIFIED";
    case FUTURE_FINISHED:
        return "FINISHED";
    default: /* relaxed: a moment ago */
        return atomic_load_explicit(&f->base.work.state,
                                    memory_order_relaxed) == WORK_PENDING
                   ? "PENDING"
                   : "RUNNING";
    }
}

/* The one argument of a method, as concurrent.futures names it; NULL: raised. */
static PyObject *one_arg(const char *method, const char *name,
                         PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    PyObject *value = NULL;

    args_unpack(method, args, nargs, kwnames, &name, 1, 1, &value);
    return value;
}

/* Waits until it has ended, and raises where that is by no outcome.  0 or -1. */
static int get_outcome(FutureObject *f, const char *method,
                       PyObject *const *args, Py_ssize_t nargs,
                       PyObject *kwnames)
{
    static const char *const names[] = {"timeout"};
    PyObject *timeout = Py_None;
    int64_t timeout_ns = -1;
    int ret;

    if ((nargs || kwnames) &&
        (args_unpack(method, args, nargs, kwnames, names, 0, 1, &timeout) < 0 ||
         arg_timeout(timeout, "timeout", &timeout_ns) < 0)) {
        return -1;
    }
    ret = future_wait(f, timeout_ns);
    if (ret == 0) {
        PyErr_SetNone(PyExc_TimeoutError);
    }
    if (ret <= 0) {
        return -1;
    }
    return future_fate(f) == FUTURE_CANCELLED
               ? raise_base("CancelledError", NULL)
               : 0;
}

/* What somebody has set may be a class of exceptions, or anything. */
static PyObject *raise(PyObject *exception)
{
    if (PyExceptionInstance_Check(exception)) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    } else if (PyExceptionClass_Check(exception)) {
        PyErr_SetNone(exception);
    } else {
        PyErr_Format(PyExc_TypeError,
                     "exceptions must derive from BaseException, not %R",
                     exception);
    }
    return NULL;
}

static PyObject *future_result(FutureObject *f, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *kwnames)
{
    if (get_outcome(f, "result", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return f->exception ? raise(f->exception) : Py_NewRef(f->result);
}

static PyObject *future_exception(FutureObject *f, PyObject *const *args,
                                  Py_ssize_t nargs, PyObject *kwnames)
{
    if (get_outcome(f, "exception", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return Py_NewRef(f->exception ? f->exception : Py_None);
}

static PyObject *future_done(FutureObject *f, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(future_fate(f) != FUTURE_OPEN);
}

static PyObject *future_cancelled(FutureObject *f, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(future_fate(f) == FUTURE_CANCELLED);
}

static bool is_pending(FutureObject *f)
{
    return future_fate(f) == FUTURE_OPEN &&
           atomic_load_explicit(&f->base.work.state, memory_order_relaxed) ==
               WORK_PENDING;
}

static PyObject *future_running(FutureObject *f, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(future_fate(f) == FUTURE_OPEN && !is_pending(f));
}

/* Whether it was cancelled, now or before; -1: a callback has raised. */
static int cancel(FutureObject *f)
{
    struct pool_core *pool = f->pool;
    int ret = 0;

    if (!is_pending(f)) {
        return future_fate(f) == FUTURE_CANCELLED;
    }
    if (pool_is_forked(pool)) { /* its queue is the parent's */
        ret = future_settle(f, FUTURE_CANCELLED, NULL, NULL);
    } else if (request_queue_cancel(&pool->queue, &f->base.work)) {
        pool_room(pool);
        ret = future_cancel_taken(f);
    }
    return ret < 0 ? -1 : future_fate(f) == FUTURE_CANCELLED;
}

static PyObject *future_cancel(FutureObject *f, PyObject *Py_UNUSED(ignored))
{
    int ret = cancel(f);

    return ret < 0 ? NULL : PyBool_FromLong(ret);
}

/* Critical section.  A list that is made when it is asked for, or NULL. */
static PyObject *list_of(PyObject **list)
{
    if (!*list) {
        *list = PyList_New(0);
    }
    return Py_XNewRef(*list);
}

static PyObject *future_add_done_callback(FutureObject *f,
                                          PyObject *const *args,
                                          Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *list = NULL, *callback = one_arg("add_done_callback", "fn", args,
                                               nargs, kwnames);
    bool open;
    int ret = 0;

    if (!callback) {
        return NULL;
    }
    /* In one section: who ends it takes the list with the callback, or leaves none. */
    Py_BEGIN_CRITICAL_SECTION(f);
    open = future_fate(f) == FUTURE_OPEN;
    if (open) {
        list = list_of(&f->callbacks);
        ret = list ? PyList_Append(list, callback) : -1;
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(list);
    if (!open) {
        ret = future_call_back((PyObject *)f, callback);
    }
    return none_or_null(ret);
}

static PyObject *raise_state(FutureObject *f)
{
    raise_base("InvalidStateError",
               PyUnicode_FromFormat("%s: %R", state_name(f), f));
    return NULL;
}

/* What ends it, by somebody who is no worker. */
static PyObject *set(FutureObject *f, PyObject *result, PyObject *exception)
{
    int ret = future_settle(f, FUTURE_FINISHED, Py_XNewRef(result),
                            Py_XNewRef(exception));

    return ret == 0 ? raise_state(f) : none_or_null(ret < 0 ? -1 : 0);
}

static PyObject *future_set_result(FutureObject *f, PyObject *const *args,
                                   Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *result = one_arg("set_result", "result", args, nargs, kwnames);

    return result ? set(f, result, NULL) : NULL;
}

static PyObject *future_set_exception(FutureObject *f, PyObject *const *args,
                                      Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *exc = one_arg("set_exception", "exception", args, nargs, kwnames);

    return !exc             ? NULL
           : exc == Py_None ? set(f, Py_None, NULL)
                            : set(f, NULL, exc);
}

static PyObject *future_set_running(FutureObject *f,
                                    PyObject *Py_UNUSED(ignored))
{
    uint8_t pending = WORK_PENDING;

    if (future_fate(f) == FUTURE_CANCELLED) {
        Py_RETURN_FALSE;
    }
    if (future_fate(f) == FUTURE_OPEN &&
        atomic_compare_exchange_strong_explicit(
            &f->base.work.state, &pending, WORK_RUNNING, memory_order_relaxed,
            memory_order_relaxed)) {
        Py_RETURN_TRUE;
    }
    if (future_log((PyObject *)f, "critical", "%r is not pending") == 0) {
        PyErr_SetString(PyExc_RuntimeError, "Future in unexpected state");
    }
    return NULL;
}

static PyObject *future_snapshot(FutureObject *f, PyObject *Py_UNUSED(ignored))
{
    enum future_fate fate = future_fate(f);
    bool finished = fate == FUTURE_FINISHED;

    return Py_BuildValue("(NNOO)", PyBool_FromLong(fate != FUTURE_OPEN),
                         PyBool_FromLong(fate == FUTURE_CANCELLED),
                         finished && f->result ? f->result : Py_None,
                         finished && f->exception ? f->exception : Py_None);
}

static PyObject *future_get_state(FutureObject *f, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(state_name(f));
}

static PyObject *future_get_result(FutureObject *f, void *Py_UNUSED(closure))
{
    bool has = future_fate(f) == FUTURE_FINISHED && f->result;

    return Py_NewRef(has ? f->result : Py_None);
}

static PyObject *future_get_exception(FutureObject *f, void *Py_UNUSED(closure))
{
    bool has = future_fate(f) == FUTURE_FINISHED && f->exception;

    return Py_NewRef(has ? f->exception : Py_None);
}

static PyObject *future_get_waiters(FutureObject *f, void *Py_UNUSED(closure))
{
    PyObject *list;

    Py_BEGIN_CRITICAL_SECTION(f);
    list = list_of(&f->waiters);
    Py_END_CRITICAL_SECTION();
    return list;
}

static PyObject *future_get_callbacks(FutureObject *f, void *Py_UNUSED(closure))
{
    PyObject *list;

    Py_BEGIN_CRITICAL_SECTION(f);
    list = future_fate(f) == FUTURE_OPEN ? list_of(&f->callbacks)
                                         : PyList_New(0);
    Py_END_CRITICAL_SECTION();
    return list;
}

/* It stays: see future.h. */
static PyObject *future_get_condition(FutureObject *f, void *Py_UNUSED(closure))
{
    PyObject *condition, *made;

    Py_BEGIN_CRITICAL_SECTION(f);
    condition = Py_XNewRef(f->condition);
    Py_END_CRITICAL_SECTION();
    if (condition) {
        return condition;
    }
    made = PyObject_CallMethod((PyObject *)f, "_Condition", NULL);
    if (!made) {
        return NULL;
    }
    Py_BEGIN_CRITICAL_SECTION(f);
    if (!f->condition) {
        f->condition = Py_NewRef(made);
    }
    condition = Py_NewRef(f->condition);
    Py_END_CRITICAL_SECTION();
    Py_DECREF(made);
    return condition;
}

static PyObject *future_repr(FutureObject *f)
{
    const char *name = Py_TYPE(f)->tp_name;
    const char *dot = strrchr(name, '.');
    enum future_fate fate = future_fate(f); /* first: then what goes with it */
    PyObject *outcome = f->exception ? f->exception : f->result;

    name = dot ? dot + 1 : name;
    switch (fate) {
    case FUTURE_FINISHED:
        return PyUnicode_FromFormat("<%s at %p state=finished %s %s>", name, f,
                                    f->exception ? "raised" : "returned",
                                    Py_TYPE(outcome)->tp_name);
    case FUTURE_CANCELLED:
        return PyUnicode_FromFormat("<%s at %p state=cancelled>", name, f);
    default:
        return PyUnicode_FromFormat("<%s at %p state=%s>", name, f,
                                    is_pending(f) ? "pending" : "running");
    }
}

static PyObject *future_reduce(PyObject *Py_UNUSED(self),
                               PyObject *Py_UNUSED(ignored))
{
    PyErr_SetString(PyExc_TypeError,
                    "a Future cannot be pickled: it belongs to a running "
                    "executor");
    return NULL;
}

static int future_traverse(FutureObject *f, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(f));
    Py_VISIT(f->call);
    Py_VISIT(f->kwnames);
    Py_VISIT(f->result);
    Py_VISIT(f->exception);
    Py_VISIT(f->callbacks);
    Py_VISIT(f->waiters);
    Py_VISIT(f->condition);
    return 0;
}

static int future_clear(FutureObject *f)
{
    /* Who finds it by a weak reference finds it without an outcome. */
    atomic_store_explicit(&f->fate, FUTURE_CANCELLED, memory_order_release);
    future_drop_call(f);
    Py_CLEAR(f->result);
    Py_CLEAR(f->exception);
    Py_CLEAR(f->callbacks);
    Py_CLEAR(f->waiters);
    Py_CLEAR(f->condition);
    return 0;
}

static void future_dealloc(FutureObject *f)
{
    PyTypeObject *type = Py_TYPE(f);

    PyObject_GC_UnTrack(f);
    future_clear(f);
    pool_core_unref(f->pool);
    type->tp_free(f);
    Py_DECREF(type);
}

static PyMethodDef future_methods[] = {
    METHOD("result", future_result, METH_FASTCALL | METH_KEYWORDS, result_doc),
    METHOD("exception", future_exception, METH_FASTCALL | METH_KEYWORDS,
           exception_doc),
    METHOD("done", future_done, METH_NOARGS, done_doc),
    METHOD("running", future_running, METH_NOARGS, running_doc),
    METHOD("cancelled", future_cancelled, METH_NOARGS, cancelled_doc),
    METHOD("cancel", future_cancel, METH_NOARGS, cancel_doc),
    METHOD("add_done_callback", future_add_done_callback,
           METH_FASTCALL | METH_KEYWORDS, add_done_callback_doc),
    METHOD("set_result", future_set_result, METH_FASTCALL | METH_KEYWORDS,
           set_result_doc),
    METHOD("set_exception", future_set_exception, METH_FASTCALL | METH_KEYWORDS,
           set_exception_doc),
    METHOD("set_running_or_notify_cancel", future_set_running, METH_NOARGS,
           set_running_doc),
    METHOD("_get_snapshot", future_snapshot, METH_NOARGS, NULL),
    METHOD("__reduce__", future_reduce, METH_NOARGS, NULL),
    METHOD("__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL),
    {NULL},
};

/* What wait(), as_completed() and asyncio look at. */
static PyGetSetDef future_getset[] = {
    {"_state", (getter)future_get_state, NULL, NULL, NULL},
    {"_result", (getter)future_get_result, NULL, NULL, NULL},
    {"_exception", (getter)future_get_exception, NULL, NULL, NULL},
    {"_waiters", (getter)future_get_waiters, NULL, NULL, NULL},
    {"_done_callbacks", (getter)future_get_callbacks, NULL, NULL, NULL},
    {"_condition", (getter)future_get_condition, NULL, NULL, NULL},
    {NULL},
};

static PyType_Slot future_slots[] = {
    {Py_tp_doc, "The part of an executor's Future that is in C."},
    {Py_tp_repr, future_repr},
    {Py_tp_traverse, future_traverse},
    {Py_tp_clear, future_clear},
    {Py_tp_dealloc, future_dealloc},
    {Py_tp_methods, future_methods},
    {Py_tp_getset, future_getset},
    {0, NULL},
};

PyType_Spec future_spec = {
    .name = "tpool._core.Future",
    .basicsize = sizeof(FutureObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = future_slots,
};
