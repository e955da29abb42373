/* SPDX-License-Identifier: MIT
 *
 * See fd_handlers.h.
 */
#include "context/fd_handlers.h"
#include "queue/work.h"

typedef struct {
    struct fd_handler base;
    PyObject *callbacks[HANDLER_CALLBACKS]; /* NULL: none */
    PyObject *keep;                         /* whatever owns the fd, or NULL */
} Handler;

static const struct fd_handler_ops handler_ops;

static Handler *handler_of(struct fd_handler *h)
{
    return container_of(h, Handler, base);
}

/* The handler of fd, if it is one of Python's: a source may have one in C. */
static Handler *find_handler(const struct fd_table *t, int fd)
{
    struct fd_handler *h = fds_find(t, fd);

    return h && h->ops == &handler_ops ? handler_of(h) : NULL;
}

/* Calls one callback, if there is one: 1 true, 0 false, AIO_RAISED. */
static int call(struct fd_handler *base, enum handler_callback which)
{
    PyObject *callback = handler_of(base)->callbacks[which], *result;
    int truth = -1;

    /* What began must end, also for a handler that was removed meanwhile. */
    if (!callback || (base->removed && which != IO_POLL_END)) {
        return 0;
    }
    Py_INCREF(callback);
    result = PyObject_CallNoArgs(callback);
    if (result) {
        truth = which == IO_POLL ? PyObject_IsTrue(result) : 0;
        Py_DECREF(result);
    }
    if (truth < 0) {
        truth = report_callback(callback);
    }
    Py_DECREF(callback);
    return truth < 0 ? AIO_RAISED : truth;
}

/* What is called when fd is readable: the best that there is, or none. */
static enum handler_callback
reader_of(PyObject *const callbacks[HANDLER_CALLBACKS])
{
    return callbacks[IO_READ]         ? IO_READ
           : callbacks[IO_POLL_READY] ? IO_POLL_READY
           : callbacks[IO_WRITE]      ? IO_READ
                                      : IO_POLL;
}

uint32_t handlers_events(PyObject *const callbacks[HANDLER_CALLBACKS])
{
    return (callbacks[reader_of(callbacks)] ? FDMON_READ : 0) |
           (callbacks[IO_WRITE] ? FDMON_WRITE : 0);
}

static int handler_read(struct fd_handler *h)
{
    int ret = call(h, reader_of(handler_of(h)->callbacks));

    return ret < 0 ? ret : 0; /* it may have been io_poll */
}

static int handler_write(struct fd_handler *h)
{
    return call(h, IO_WRITE);
}

static int handler_poll(struct fd_handler *h)
{
    return call(h, IO_POLL);
}

static int handler_poll_begin(struct fd_handler *h)
{
    return call(h, IO_POLL_BEGIN);
}

/* An exception that is set is kept, unless this one raises another. */
static int handler_poll_end(struct fd_handler *h)
{
    PyObject *exc = take_exception();
    int ret = call(h, IO_POLL_END);

    if (ret < 0) {
        Py_XDECREF(exc);
    } else {
        put_exception(exc);
    }
    return ret;
}

static int handler_poll_ready(struct fd_handler *h)
{
    return call(h, handler_of(h)->callbacks[IO_POLL_READY] ? IO_POLL_READY
                                                           : IO_READ);
}

static void handler_free(struct fd_handler *base)
{
    Handler *h = handler_of(base);

    for (int i = 0; i < HANDLER_CALLBACKS; i++) {
        Py_XDECREF(h->callbacks[i]);
    }
    Py_XDECREF(h->keep);
    PyMem_Free(h);
}

static const struct fd_handler_ops handler_ops = {
    .read = handler_read,
    .write = handler_write,
    .poll = handler_poll,
    .poll_begin = handler_poll_begin,
    .poll_end = handler_poll_end,
    .poll_ready = handler_poll_ready,
    .free = handler_free,
};

void handlers_lost(int fd, int err)
{
    PyObject *where = PyUnicode_FromFormat("the handler of fd %d", fd);

    raise_errno(err);
    PyErr_WriteUnraisable(where);
    Py_XDECREF(where);
}

int handlers_traverse(struct fd_table *t, visitproc visit, void *arg)
{
    for (int fd = 0; fd < t->size; fd++) {
        Handler *h = find_handler(t, fd);

        /* One that a dispatch holds too is not garbage: it is on a stack. */
        for (int i = 0; h && h->base.refs == 1 && i < HANDLER_CALLBACKS; i++) {
            Py_VISIT(h->callbacks[i]);
        }
        if (h && h->base.refs == 1) {
            Py_VISIT(h->keep);
        }
    }
    return 0;
}

int handlers_fd_of(const struct fd_table *t, const PyObject *keep)
{
    for (int fd = 0; fd < t->size; fd++) {
        Handler *h = find_handler(t, fd);

        if (h && h->keep == keep) {
            return fd;
        }
    }
    return -1;
}

static Handler *handler_new(int fd,
                            PyObject *const callbacks[HANDLER_CALLBACKS],
                            PyObject *keep)
{
    Handler *h = PyMem_Calloc(1, sizeof(*h));

    if (h) {
        h->base.ops = &handler_ops;
        h->base.fd = fd;
        h->base.events = handlers_events(callbacks);
        h->base.pollable = callbacks[IO_POLL] != NULL;
        h->base.polled_only = !callbacks[IO_READ] && !callbacks[IO_WRITE];
        for (int i = 0; i < HANDLER_CALLBACKS; i++) {
            h->callbacks[i] = Py_XNewRef(callbacks[i]);
        }
        h->keep = Py_XNewRef(keep);
    }
    return h;
}

int handlers_set(struct fd_table *t, struct fdmon *m, int fd,
                 PyObject *const callbacks[HANDLER_CALLBACKS], PyObject *keep,
                 bool vouched)
{
    Handler *old = find_handler(t, fd), *h;

    if (!handlers_events(callbacks)) {
        fds_remove(t, m, fd);
        return 0;
    }
    h = handler_new(fd, callbacks, keep);
    if (!h) {
        return -ENOMEM;
    }
    for (int i = IO_POLL_BEGIN; old && i <= IO_POLL_END; i++) {
        /* The same source with other callbacks: these stay. */
        h->callbacks[i] = Py_XNewRef(old->callbacks[i]);
    }
    return fds_set(t, m, &h->base, vouched);
}

int handlers_set_poll(struct fd_table *t, int fd, PyObject *begin,
                      PyObject *end)
{
    Handler *h = find_handler(t, fd);
    PyObject *old_begin, *old_end;

    if (!h) {
        return -ENOENT;
    }
    old_begin = h->callbacks[IO_POLL_BEGIN];
    old_end = h->callbacks[IO_POLL_END];
    h->callbacks[IO_POLL_BEGIN] = Py_XNewRef(begin);
    h->callbacks[IO_POLL_END] = Py_XNewRef(end);
    Py_XDECREF(old_begin);
    Py_XDECREF(old_end);
    return 0;
}
