/* SPDX-License-Identifier: MIT
 *
 * See request.h.
 */
#include "pool/request.h"
#include "py/args.h"
#include "context/context.h"
#include "pool/pool_core.h"
#include "pool/ready.h"
#include "pool/request_doc.h"

#include <structmember.h>

/* The context of a request that is not done, or NULL with an exception. */
static AioContextObject *live_context(RequestObject *r, const char *method)
{
    AioContextObject *c = (AioContextObject *)pool_core_context(r->pool);

    if (!c) {
        PyErr_Format(PyExc_RuntimeError,
                     "%s: the AioContext of this request is gone", method);
    } else if (context_check_open(c) < 0) {
        Py_CLEAR(c);
    }
    return c;
}

/* Owner: polls until the request is done.  Returns 0, or -1 with an exception. */
static int wait_done(RequestObject *r, const char *method, int64_t timeout_ns)
{
    int64_t deadline_ns = deadline_in_ns(timeout_ns);
    AioContextObject *c = live_context(r, method);
    const char *wrong = NULL;
    int ret = 0;

    if (!c) {
        return -1;
    }
    if (!owner_is_me(&c->owner)) {
        wrong = "%s waits only in the thread that polls the AioContext; "
                "elsewhere use add_done_callback()";
    } else if (context_is_run(c) && !request_is_done(r)) {
        wrong = "%s waits for ever in the event loop that would get the "
                "result: await the request";
    }
    if (wrong) {
        PyErr_Format(PyExc_RuntimeError, wrong, method);
        ret = -1;
    }
    while (ret == 0 && !request_is_done(r)) {
        int64_t left_ns = time_left_ns(deadline_ns);
        bool progress;

        ret = context_poll(c, left_ns, &progress);
        if (ret == 0 && left_ns == 0 && !request_is_done(r)) {
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
        (!request_is_done(r) && wait_done(r, method, timeout_ns) < 0)) {
        return -1;
    }
    return request_is_cancelled(r) ? raise_cancelled() : 0;
}

static PyObject *outcome(RequestObject *r)
{
    if (r->base.work.raised) {
        PyErr_SetObject((PyObject *)Py_TYPE(r->outcome), r->outcome);
        return NULL;
    }
    return Py_NewRef(r->outcome);
}

PyDoc_STRVAR(
    late_result_doc,
    "_late_result($self, /)\n--\n\n"
    "As result(), of a call that has ended when its context was closed.\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: It has not ended, or not begun.\n"
    "\n"
    "Context: Any thread.");

static PyObject *request_late_result(RequestObject *r,
                                     PyObject *Py_UNUSED(ignored))
{
    PyObject *result = NULL;
    bool ended;

    Py_BEGIN_CRITICAL_SECTION(r); /* see request_set_finished() */
    ended = r->outcome && !request_is_cancelled(r) &&
            (request_state(r) == WORK_FINISHED ||
             request_state(r) == WORK_DONE);
    if (ended) {
        result = outcome(r);
    }
    Py_END_CRITICAL_SECTION();
    if (!ended) {
        PyErr_Format(PyExc_RuntimeError, "%R has not ended", r);
    }
    return result;
}

static PyObject *request_result(RequestObject *r, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *kwnames)
{
    if (get_outcome(r, "result()", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return outcome(r);
}

static PyObject *request_exception(RequestObject *r, PyObject *const *args,
                                   Py_ssize_t nargs, PyObject *kwnames)
{
    if (get_outcome(r, "exception()", args, nargs, kwnames) < 0) {
        return NULL;
    }
    return Py_NewRef(r->base.work.raised ? r->outcome : Py_None);
}

static PyObject *request_done(RequestObject *r, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(request_is_done(r));
}

/* 1 or 0, -1 with an exception. */
static int is_running(RequestObject *r)
{
    enum work_state state = request_state(r);

    if (state == WORK_PENDING && request_ops(r)->running) {
        return request_ops(r)->running(r);
    }
    return state == WORK_RUNNING || state == WORK_FINISHED;
}

static PyObject *request_running(RequestObject *r, PyObject *Py_UNUSED(ignored))
{
    int running = is_running(r);

    return running < 0 ? NULL : PyBool_FromLong(running);
}

static PyObject *request_cancelled(RequestObject *r,
                                   PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(request_is_cancelled(r));
}

static PyObject *request_cancel(RequestObject *r, PyObject *Py_UNUSED(ignored))
{
    int cancelled = request_ops(r)->cancel(r);

    return cancelled < 0 ? NULL : PyBool_FromLong(cancelled);
}

/* Critical section; runs no code of others.  0, or -1 with an exception. */
static int append_callback(RequestObject *r, PyObject *callback)
{
    struct callback_list *list = r->further;

    if (!r->callback) {
        r->callback = Py_NewRef(callback);
        return 0;
    }
    if (!list || list->used == list->size) {
        size_t size = list ? 2 * list->size : 4;

        list = PyMem_Realloc(list,
                             sizeof(*list) + size * sizeof(list->callbacks[0]));
        if (!list) {
            PyErr_NoMemory();
            return -1;
        }
        if (!r->further) {
            list->taken = list->used = 0;
        }
        list->size = size;
        r->further = list;
    }
    list->callbacks[list->used++] = Py_NewRef(callback);
    return 0;
}

/* It is done: calls back at once in the owner, else in the owner's next turn. */
static int call_late(RequestObject *r, PyObject *callback)
{
    AioContextObject *c = (AioContextObject *)pool_core_context(r->pool);
    bool now = !c || owner_is_me(&c->owner);
    PyObject *bh = NULL;

    if (!now) {
        bh = PyObject_CallMethod((PyObject *)c, "call_soon", "OO", callback, r);
        if (!bh && c->aio.closed) {
            PyErr_Clear(); /* there is no next turn */
            now = true;
        }
    }
    Py_XDECREF(bh);
    Py_XDECREF(c);
    return now ? request_call_callback(r, callback) : bh ? 0 : -1;
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
    late = request_state(r) == WORK_DONE;
    if (!late) {
        ret = append_callback(r, callback);
        if (request_state(r) == WORK_FINISHED || request_is_cancelled(r)) {
            request_track(r);
        }
    }
    Py_END_CRITICAL_SECTION();
    if (ret == 0 && late) {
        ret = call_late(r, callback);
    }
    return none_or_null(ret);
}

static PyObject *request_repr(RequestObject *r)
{
    bool done = request_is_done(r);
    int running = is_running(r);

    if (running < 0) {
        return NULL;
    }
    if (!done || request_is_cancelled(r)) {
        return PyUnicode_FromFormat("<Request at %p %s>", r,
                                    done      ? "cancelled"
                                    : running ? "running"
                                              : "pending");
    }
    return PyUnicode_FromFormat("<Request at %p %s %s>", r,
                                r->base.work.raised ? "raised" : "returned",
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
    Py_VISIT(r->future);
    Py_VISIT(r->outcome);
    Py_VISIT(r->callback);
    for (size_t i = r->further ? r->further->taken : 0;
         r->further && i < r->further->used; i++) {
        Py_VISIT(r->further->callbacks[i]);
    }
    for (Py_ssize_t i = 0; i < Py_SIZE(r); i++) {
        Py_VISIT(r->args[i]);
    }
    return 0;
}

/* What is cleared can still be found, by a weak reference: it has been cancelled. */
static void clear(RequestObject *r)
{
    PyObject *callback;

    atomic_store_explicit(&r->base.work.cancelled, true, memory_order_relaxed);
    request_drop_call(r);
    request_drop_context(r);
    Py_CLEAR(r->future);
    Py_CLEAR(r->outcome);
    while ((callback = request_take_callback(r))) {
        Py_DECREF(callback);
    }
}

/* Its buffers may be the kernel's: it goes with its context, which is cleared too. */
static int request_clear(RequestObject *r)
{
    if (request_state(r) != WORK_RUNNING) {
        clear(r);
    }
    return 0;
}

static void request_dealloc(RequestObject *r)
{
    PyTypeObject *type = Py_TYPE(r);

    PyObject_GC_UnTrack(r);
    if (r->weakrefs) {
        PyObject_ClearWeakRefs((PyObject *)r);
    }
    /* A chain of requests, each the outcome of the next, is not recursed into. */
    Py_TRASHCAN_BEGIN(r, request_dealloc) clear(r);
    pool_core_unref(r->pool);
    PyObject_GC_Del(r);
    Py_DECREF(type);
    Py_TRASHCAN_END
}

/* In the asyncio loop that runs: what awaits needs it anyway. */
static PyObject *request_await(PyObject *self)
{
    RequestObject *r = (RequestObject *)self;
    AioContextObject *c = NULL;
    PyObject *module, *result = NULL;

    if (request_was_made_done(r)) {
        return ready_new(r);
    }
    if (!request_is_done(r)) {
        c = live_context(r, "await");
        if (!c) {
            return NULL;
        }
        if (!owner_is_me(&c->owner)) {
            Py_CLEAR(c); /* somebody else turns it */
        }
    }
    module = PyImport_ImportModule("tpool.loop.hops");
    if (module) {
        result = PyObject_CallMethod(module, "_await_request", "OOi", self,
                                     c ? (PyObject *)c : Py_None,
                                     c && context_is_run(c));
    }
    Py_XDECREF(c);
    Py_XDECREF(module);
    return result;
}

static PyMethodDef request_methods[] = {
    METHOD("result", request_result, METH_FASTCALL | METH_KEYWORDS, result_doc),
    METHOD("exception", request_exception, METH_FASTCALL | METH_KEYWORDS,
           exception_doc),
    METHOD("done", request_done, METH_NOARGS, done_doc),
    METHOD("running", request_running, METH_NOARGS, running_doc),
    METHOD("cancelled", request_cancelled, METH_NOARGS, cancelled_doc),
    METHOD("cancel", request_cancel, METH_NOARGS, cancel_doc),
    METHOD("add_done_callback", request_add_done_callback, METH_O,
           add_done_callback_doc),
    METHOD("_late_result", request_late_result, METH_NOARGS, late_result_doc),
    METHOD("__reduce__", request_reduce, METH_NOARGS, NULL),
    METHOD("__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, NULL),
    {NULL},
};

/* Any thread: nothing of it changes. */
static PyObject *request_get_backend(RequestObject *r, void *Py_UNUSED(closure))
{
    const char *name = request_was_made_done(r) ? "cache"
                                                : request_ops(r)->backend;

    return name ? PyUnicode_FromString(name) : Py_NewRef(Py_None);
}

static PyGetSetDef request_getset[] = {
    {"backend", (getter)request_get_backend, NULL,
     "Who makes the call: 'threads'; of AioFiles also 'io_uring' or 'linux-aio',\n"
     "or 'cache' where it was done at once. None: another executor.",
     NULL},
    {NULL},
};

static PyMemberDef request_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RequestObject, weakrefs),
     READONLY, NULL},
    {NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, (void *)request_doc}, {Py_tp_repr, request_repr},
    {Py_am_await, request_await},     {Py_tp_traverse, request_traverse},
    {Py_tp_clear, request_clear},     {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods}, {Py_tp_getset, request_getset},
    {Py_tp_members, request_members}, {0, NULL},
};

PyType_Spec request_spec = {
    .name = "tpool.Request",
    .basicsize = sizeof(RequestObject),
    .itemsize = sizeof(PyObject *),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = request_slots,
};
