/* SPDX-License-Identifier: MIT
 *
 * The methods of AioContext that set fd handlers.
 */
#include "py/args.h"
#include "source/io_poll.h"
#include "context/context.h"
#include "context/fd_handlers.h"

/* -errno of fd, which is named.  NULL. */
static PyObject *raise_fd(int err, int fd)
{
    PyObject *name;

    if (err == -ENOMEM) {
        return PyErr_NoMemory();
    }
    name = PyUnicode_FromFormat("fd %d", fd);
    if (name) {
        errno = -err;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, name);
        Py_DECREF(name);
    }
    return NULL;
}

/*
 * Whether the fds are gone, in a daemon that begins, say.  Not asked in a turn,
 * whose wait has asked just now, nor for a selector, which makes no such call.
 */
static bool is_left_alone(AioContextObject *c)
{
    return !c->aio.poll_depth && fdmon_is_gone(&c->aio.fdmon);
}

/* Common end of the methods; see handlers_set(). */
static PyObject *set_handler(AioContextObject *c, int fd,
                             PyObject *const callbacks[HANDLER_CALLBACKS],
                             PyObject *keep, bool vouched)
{
    int ret;

    if (callbacks[IO_POLL_READY] && !callbacks[IO_POLL]) {
        PyErr_Format(PyExc_ValueError, "io_poll_ready needs io_poll: %R",
                     callbacks[IO_POLL_READY]);
        return NULL;
    }
    if (context_enter(c) < 0) {
        return NULL;
    }
    if (!vouched && is_left_alone(c)) {
        fds_forget(&c->aio.fds, fd);
        ret = handlers_events(callbacks) ? -EBADF : 0;
    } else {
        ret = handlers_set(&c->aio.fds, &c->aio.fdmon, fd, callbacks, keep,
                           vouched);
        if (c->aio.fds.pollable && !c->io_poll.ops) {
            io_poll_init(&c->io_poll);
            aio_source_add(&c->aio, &c->io_poll);
        }
    }
    context_changed(c);
    owner_release(&c->owner);
    if (ret < 0) {
        return raise_fd(ret, fd);
    }
    Py_RETURN_NONE;
}

/* callbacks: as parsed, checked in place; NULL for None. */
static int parse_callbacks(PyObject *callbacks[HANDLER_CALLBACKS])
{
    static const char *const names[] = {"io_read",       "io_write",
                                        "io_poll",       "io_poll_ready",
                                        "io_poll_begin", "io_poll_end"};

    for (int i = 0; i < HANDLER_CALLBACKS; i++) {
        if (arg_callable(callbacks[i], names[i], true, &callbacks[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *context_set_fd_handler_args(AioContextObject *c,
                                             PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd",      "io_read",       "io_write",
                            "io_poll", "io_poll_ready", NULL};
    PyObject *arg, *callbacks[HANDLER_CALLBACKS] = {NULL};
    int fd;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOOO:set_fd_handler",
                                     names, &arg, &callbacks[IO_READ],
                                     &callbacks[IO_WRITE], &callbacks[IO_POLL],
                                     &callbacks[IO_POLL_READY]) ||
        arg_fd(arg, &fd) < 0 || parse_callbacks(callbacks) < 0) {
        return NULL;
    }
    return set_handler(c, fd, callbacks, NULL, false);
}

WITH_OWN_KEYWORDS(context_set_fd_handler, AioContextObject)

PyObject *context_watch_fd(AioContextObject *c, PyObject *args)
{
    PyObject *callbacks[HANDLER_CALLBACKS] = {NULL}, *arg;
    int fd;

    if (!PyArg_ParseTuple(args, "OOO:_watch_fd", &arg, &callbacks[IO_READ],
                          &callbacks[IO_WRITE]) ||
        arg_fd(arg, &fd) < 0 || parse_callbacks(callbacks) < 0) {
        return NULL;
    }
    return set_handler(c, fd, callbacks, NULL, true);
}

/* The fd of an EventNotifier, closed or not, that is registered, or -1. */
static int registered_fd(AioContextObject *c, PyObject *notifier)
{
    int fd = -1;

    if (context_enter(c) == 0) {
        fd = handlers_fd_of(&c->aio.fds, notifier);
        owner_release(&c->owner);
    }
    return fd;
}

static PyObject *context_set_event_notifier_args(AioContextObject *c,
                                                 PyObject *args,
                                                 PyObject *kwargs)
{
    static char *names[] = {"notifier", "io_read", "io_poll", "io_poll_ready",
                            NULL};
    PyObject *notifier, *callbacks[HANDLER_CALLBACKS] = {NULL};
    int fd;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOO:set_event_notifier",
                                     names, &notifier, &callbacks[IO_READ],
                                     &callbacks[IO_POLL],
                                     &callbacks[IO_POLL_READY]) ||
        parse_callbacks(callbacks) < 0) {
        return NULL;
    }
    if (!PyObject_TypeCheck(notifier, c->state->notifier_type)) {
        PyErr_Format(PyExc_TypeError,
                     "notifier must be an EventNotifier, "
                     "not %R",
                     notifier);
        return NULL;
    }
    if (!callbacks[IO_READ] && !callbacks[IO_POLL]) {
        fd = registered_fd(c, notifier);
        if (fd >= 0 || PyErr_Occurred()) {
            return fd < 0 ? NULL : set_handler(c, fd, callbacks, NULL, false);
        }
    }
    return arg_fd(notifier, &fd) < 0
               ? NULL
               : set_handler(c, fd, callbacks, notifier, false);
}

WITH_OWN_KEYWORDS(context_set_event_notifier, AioContextObject)

static PyObject *context_set_fd_poll_args(AioContextObject *c, PyObject *args,
                                          PyObject *kwargs)
{
    static char *names[] = {"fd", "io_poll_begin", "io_poll_end", NULL};
    PyObject *arg, *callbacks[HANDLER_CALLBACKS] = {NULL};
    int fd, ret;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO:set_fd_poll", names,
                                     &arg, &callbacks[IO_POLL_BEGIN],
                                     &callbacks[IO_POLL_END]) ||
        arg_fd(arg, &fd) < 0 || parse_callbacks(callbacks) < 0 ||
        context_enter(c) < 0) {
        return NULL;
    }
    ret = handlers_set_poll(&c->aio.fds, fd, callbacks[IO_POLL_BEGIN],
                            callbacks[IO_POLL_END]);
    owner_release(&c->owner);
    if (ret < 0) {
        return raise_fd(ret, fd);
    }
    Py_RETURN_NONE;
}

WITH_OWN_KEYWORDS(context_set_fd_poll, AioContextObject)
