/* SPDX-License-Identifier: MIT
 *
 * The methods of AioContext; those with many arguments, or for event loops, are
 * in files of their own.
 */
#include "py/args.h"
#include "context/bottom_half.h"
#include "context/timer.h"
#include "context/watch.h"
#include "context/context_doc.h"

static PyObject *poll(AioContextObject *c, int64_t timeout_ns)
{
    bool progress;

    return context_poll(c, timeout_ns, &progress) < 0
               ? NULL
               : PyBool_FromLong(progress);
}

static PyObject *context_poll_method(AioContextObject *c, PyObject *const *args,
                                     Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    int blocking = 1;

    if (nargs + nkw > 1 ||
        (nkw && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0),
                                                 "blocking") != 0)) {
        PyErr_SetString(PyExc_TypeError, "poll() takes one argument, blocking");
        return NULL;
    }
    if (nargs + nkw == 1) {
        blocking = PyObject_IsTrue(args[0]);
        if (blocking < 0) {
            return NULL;
        }
    }
    return poll(c, blocking ? -1 : 0);
}

static PyObject *context_dispatch_method(AioContextObject *c,
                                         PyObject *Py_UNUSED(ignored))
{
    return poll(c, 0);
}

static PyObject *context_set_poll_params_args(AioContextObject *c,
                                              PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"max_ns", "grow", "shrink", "hybrid", NULL};
    PyObject *given[3] = {NULL};
    struct poll_params params = {0};
    int hybrid = 1;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO$p:set_poll_params",
                                     names, &given[0], &given[1], &given[2],
                                     &hybrid) ||
        arg_poll_params(given, names, &params) < 0 || context_enter(c) < 0) {
        return NULL;
    }
    params.hybrid = hybrid;
    Py_BEGIN_CRITICAL_SECTION(c); /* for the attributes, which do not acquire */
    c->aio.params = params;
    Py_END_CRITICAL_SECTION();
    for (struct aio_source *s = c->aio.sources; s; s = s->next) {
        if (s->ops->forget) {
            s->ops->forget(s);
        }
    }
    if (c->io_threads) {
        request_queue_set_params(&c->io_threads->queue, &params);
    }
    context_changed(c);
    owner_release(&c->owner);
    c->state->posters.set_params(c->state, c->aio.core, &params);
    Py_RETURN_NONE;
}

static WITH_OWN_KEYWORDS(context_set_poll_params, AioContextObject)

    static PyObject *context_notify(AioContextObject *c,
                                    PyObject *Py_UNUSED(ignored))
{
    int ret;

    /* Not between the two: close() in another thread. */
    Py_BEGIN_CRITICAL_SECTION(c);
    ret = context_check_open(c);
    if (ret == 0) {
        context_post(c, NULL);
    }
    Py_END_CRITICAL_SECTION();
    return none_or_null(ret);
}

static PyObject *context_close_pools(AioContextObject *c,
                                     PyObject *Py_UNUSED(ignored))
{
    c->state->posters.close(c->state, c->aio.core);
    Py_RETURN_NONE;
}

static PyObject *context_acquire_method(AioContextObject *c,
                                        PyObject *Py_UNUSED(ignored))
{
    if (owner_acquire(&c->owner) < 0) {
        return NULL;
    }
    c->owner.hold.by_user++;
    Py_RETURN_NONE;
}

static PyObject *context_release_method(AioContextObject *c,
                                        PyObject *Py_UNUSED(ignored))
{
    /* What a method holds in this thread is not the caller's to release. */
    if (!owner_is_in(&c->owner) || !c->owner.hold.by_user) {
        PyErr_SetString(PyExc_RuntimeError,
                        "release() of an AioContext that this thread has not "
                        "acquired");
        return NULL;
    }
    c->owner.hold.by_user--;
    owner_release(&c->owner);
    Py_RETURN_NONE;
}

static PyObject *context_new_bh(AioContextObject *c, PyObject *arg)
{
    PyObject *callback;

    if (arg_callable(arg, "callback", false, &callback) < 0 ||
        context_check_open(c) < 0) {
        return NULL;
    }
    return bottom_half_new(c, callback, NULL);
}

static PyObject *context_call_soon(AioContextObject *c, PyObject *args)
{
    PyObject *callback, *rest, *bh;

    if (PyTuple_GET_SIZE(args) < 1) {
        PyErr_SetString(PyExc_TypeError, "call_soon() needs a callback");
        return NULL;
    }
    if (arg_callable(PyTuple_GET_ITEM(args, 0), "callback", false, &callback) <
            0 ||
        context_check_open(c) < 0) {
        return NULL;
    }
    rest = PyTuple_GetSlice(args, 1, PyTuple_GET_SIZE(args));
    if (!rest) {
        return NULL;
    }
    bh = bottom_half_new(c, callback, rest);
    Py_DECREF(rest);
    if (bh && bottom_half_schedule(bh) < 0) {
        Py_CLEAR(bh);
    }
    return bh;
}

static PyObject *context_new_timer(AioContextObject *c, PyObject *arg)
{
    PyObject *callback;

    if (arg_callable(arg, "callback", false, &callback) < 0 ||
        context_check_open(c) < 0) {
        return NULL;
    }
    return timer_new(c, callback);
}

static PyObject *context_fileno(AioContextObject *c,
                                PyObject *Py_UNUSED(ignored))
{
    int fd;

    if (context_enter(c) < 0) {
        return NULL;
    }
    fd = fdmon_fileno(&c->aio.fdmon);
    if (fd == -ENOSYS && !c->aio.fds.count) {
        fd = c->aio.core->notify.notifier.rfd; /* all there is to wait for */
    }
    owner_release(&c->owner);
    return fd < 0 ? raise_errno(fd) : PyLong_FromLong(fd);
}

PyMethodDef context_methods[] = {
    METHOD("poll", context_poll_method, METH_FASTCALL | METH_KEYWORDS,
           poll_doc),
    METHOD("prepare", context_prepare, METH_NOARGS, prepare_doc),
    METHOD("check", context_check, METH_NOARGS, check_doc),
    METHOD("dispatch", context_dispatch_method, METH_NOARGS, dispatch_doc),
    METHOD("set_poll_params", context_set_poll_params,
           METH_VARARGS | METH_KEYWORDS, set_poll_params_doc),
    METHOD("notify", context_notify, METH_NOARGS, notify_doc),
    METHOD("acquire", context_acquire_method, METH_NOARGS, acquire_doc),
    METHOD("release", context_release_method, METH_NOARGS, release_doc),
    METHOD("new_bh", context_new_bh, METH_O, new_bh_doc),
    METHOD("call_soon", context_call_soon, METH_VARARGS, call_soon_doc),
    METHOD("new_timer", context_new_timer, METH_O, new_timer_doc),
    METHOD("set_fd_handler", context_set_fd_handler,
           METH_VARARGS | METH_KEYWORDS, set_fd_handler_doc),
    METHOD("set_event_notifier", context_set_event_notifier,
           METH_VARARGS | METH_KEYWORDS, set_event_notifier_doc),
    METHOD("_watch_fd", context_watch_fd, METH_VARARGS, watch_fd_doc),
    METHOD("set_fd_poll", context_set_fd_poll, METH_VARARGS | METH_KEYWORDS,
           set_fd_poll_doc),
    METHOD("watch", context_watch, METH_VARARGS | METH_KEYWORDS, watch_doc),
    METHOD("fileno", context_fileno, METH_NOARGS, fileno_doc),
    METHOD("_stats", context_stats, METH_NOARGS, stats_doc),
    METHOD("_poll_for", context_poll_for, METH_O, poll_for_doc),
    METHOD("_dispatch_rest", context_dispatch_rest_method, METH_NOARGS,
           dispatch_rest_doc),
    METHOD("_post", context_post_method, METH_FASTCALL, post_doc),
    METHOD("_own", context_own, METH_NOARGS, own_doc),
    METHOD("_disown", context_disown, METH_NOARGS, disown_doc),
    METHOD("_interleave", context_interleave, METH_NOARGS, interleave_doc),
    METHOD("_after_fork", context_after_fork, METH_NOARGS, after_fork_doc),
    METHOD("_hand_over", context_hand_over, METH_NOARGS, hand_over_doc),
    METHOD("_settle", context_settle_method, METH_NOARGS, settle_doc),
    METHOD("_check_idle", context_check_idle, METH_NOARGS, check_idle_doc),
    METHOD("_close_pools", context_close_pools, METH_NOARGS, close_pools_doc),
    METHOD("close", context_close, METH_NOARGS, close_doc),
    {NULL},
};
