/* SPDX-License-Identifier: MIT
 *
 * See fd_handlers.h.
 */
#include "context/fd_handlers.h"

/*
 * Events of an fd between two looks whether it is open: a system call for each
 * would be one in ten of what an event costs.
 */
#define UNCHECKED_MAX 63

static void handler_unref(struct fd_handler *h)
{
    if (--h->refs == 0) {
        for (int i = 0; i < HANDLER_CALLBACKS; i++) {
            Py_XDECREF(h->callbacks[i]);
        }
        Py_XDECREF(h->keep);
        PyMem_Free(h);
    }
}

void handlers_cleanup(struct handler_table *t)
{
    struct fd_handler **by_fd = t->by_fd;
    int size = t->size;

    /* Emptied first: a decref can run Python code that comes back here. */
    memset(t, 0, sizeof(*t));
    for (int fd = 0; fd < size; fd++) {
        if (by_fd[fd]) {
            by_fd[fd]->removed = true;
            handler_unref(by_fd[fd]);
        }
    }
    PyMem_Free(by_fd);
}

void handlers_abandon(struct handler_table *t)
{
    t->by_fd = NULL;
    t->size = t->count = t->pollable = 0;
    counter_add(&t->blind, -counter_get(&t->blind));
    t->removals++;
}

int handlers_traverse(struct handler_table *t, visitproc visit, void *arg)
{
    for (int fd = 0; fd < t->size; fd++) {
        struct fd_handler *h = t->by_fd[fd];

        /* One that a dispatch holds too is not garbage: it is on a stack. */
        for (int i = 0; h && h->refs == 1 && i < HANDLER_CALLBACKS; i++) {
            Py_VISIT(h->callbacks[i]);
        }
        if (h && h->refs == 1) {
            Py_VISIT(h->keep);
        }
    }
    return 0;
}

struct fd_handler *handlers_find(const struct handler_table *t, int fd)
{
    return fd < t->size ? t->by_fd[fd] : NULL;
}

int handlers_fd_of(const struct handler_table *t, const PyObject *keep)
{
    for (int fd = 0; fd < t->size; fd++) {
        if (t->by_fd[fd] && t->by_fd[fd]->keep == keep) {
            return fd;
        }
    }
    return -1;
}

static int make_room(struct handler_table *t, int fd)
{
    int size = t->size ? t->size : 64;
    struct fd_handler **by_fd;

    while (size <= fd) {
        if (size > INT32_MAX / 2) {
            return -EBADF; /* no system has that many */
        }
        size *= 2;
    }
    if (size == t->size) {
        return 0;
    }
    by_fd = PyMem_Realloc(t->by_fd, (size_t)size * sizeof(*by_fd));
    if (!by_fd) {
        return -ENOMEM;
    }
    memset(by_fd + t->size, 0, (size_t)(size - t->size) * sizeof(*by_fd));
    t->by_fd = by_fd;
    t->size = size;
    return 0;
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

static uint32_t events_of(PyObject *const callbacks[HANDLER_CALLBACKS])
{
    return (callbacks[reader_of(callbacks)] ? FDMON_READ : 0) |
           (callbacks[IO_WRITE] ? FDMON_WRITE : 0);
}

static void count(struct handler_table *t, struct fd_handler *h, int step)
{
    t->count += step;
    if (h->callbacks[IO_POLL]) {
        t->pollable += step;
    } else {
        counter_add(&t->blind, (uint64_t)step);
    }
}

/* Puts h, or NULL, in the place of old, which may be NULL; drops that last: it can
 * run code that changes the table. */
static void replace(struct handler_table *t, int fd, struct fd_handler *old,
                    struct fd_handler *h)
{
    t->by_fd[fd] = h;
    if (h) {
        count(t, h, 1);
    }
    if (old) {
        count(t, old, -1);
        t->removals++;
        old->removed = true;
        handler_unref(old);
    }
}

void handlers_forget(struct handler_table *t, int fd)
{
    struct fd_handler *h = handlers_find(t, fd);

    if (h) {
        replace(t, fd, h, NULL);
    }
}

static int remove_fd(struct handler_table *t, struct fdmon *m, int fd)
{
    if (handlers_find(t, fd)) {
        /* Fails where the fd was closed first: then it is gone already, or
         * handlers_dispatch() finds out that a duplicate lives. */
        fdmon_set(m, fd, 0, 0);
        handlers_forget(t, fd);
    }
    return 0;
}

static struct fd_handler *
handler_new(int fd, PyObject *const callbacks[HANDLER_CALLBACKS],
            PyObject *keep)
{
    struct fd_handler *h = PyMem_Calloc(1, sizeof(*h));

    if (h) {
        h->refs = 1;
        h->fd = fd;
        for (int i = 0; i < HANDLER_CALLBACKS; i++) {
            h->callbacks[i] = Py_XNewRef(callbacks[i]);
        }
        h->keep = Py_XNewRef(keep);
    }
    return h;
}

/*
 * Has epoll report fd as h's.  The same events of the same file again: nothing to
 * tell it, but what it has reported already is the predecessor's.
 */
static int watch(struct handler_table *t, struct fdmon *m, struct fd_handler *h,
                 const struct fd_handler *old, bool vouched)
{
    uint32_t events = events_of(h->callbacks);
    int ret;

    if (old && vouched && events == events_of(old->callbacks)) {
        h->gen = old->gen;
        h->since = t->removals + 1;
        return 0;
    }
    h->gen = ++t->gen ? t->gen : ++t->gen;
    ret = old ? fdmon_set(m, h->fd, h->gen, events)
              : fdmon_add(m, h->fd, h->gen, events);
    if (ret == -EPERM && !h->callbacks[IO_READ] && !h->callbacks[IO_WRITE]) {
        ret = 0; /* a regular file, say: it is only polled */
    }
    return ret;
}

int handlers_set(struct handler_table *t, struct fdmon *m, int fd,
                 PyObject *const callbacks[HANDLER_CALLBACKS], PyObject *keep,
                 bool vouched)
{
    struct fd_handler *h, *old = handlers_find(t, fd);
    int ret;

    if (!events_of(callbacks)) {
        return remove_fd(t, m, fd);
    }
    h = handler_new(fd, callbacks, keep);
    if (!h) {
        return -ENOMEM;
    }
    h->unchecked = vouched ? UNCHECKED_MAX : 0;
    ret = watch(t, m, h, old, vouched);
    if (ret == 0 && (ret = make_room(t, fd)) < 0) {
        fdmon_set(m, fd, 0, 0);
    }
    if (ret < 0) {
        handler_unref(h);
        return ret;
    }
    if (old) {
        /* The same source with other callbacks: what was learned stays. */
        h->poll_ns = old->poll_ns;
        for (int i = IO_POLL_BEGIN; i <= IO_POLL_END; i++) {
            h->callbacks[i] = Py_XNewRef(old->callbacks[i]);
        }
    }
    replace(t, fd, old, h);
    return 0;
}

int handlers_set_poll(struct handler_table *t, int fd, PyObject *begin,
                      PyObject *end)
{
    struct fd_handler *h = handlers_find(t, fd);
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

struct fd_handler **handlers_pollable(struct handler_table *t)
{
    struct fd_handler **list = PyMem_Calloc((size_t)t->pollable + 1,
                                            sizeof(*list));
    int n = 0;

    for (int fd = 0; list && fd < t->size && n < t->pollable; fd++) {
        struct fd_handler *h = t->by_fd[fd];

        if (h && h->callbacks[IO_POLL]) {
            h->refs++;
            list[n++] = h;
        }
    }
    return list;
}

void handlers_unref_all(struct fd_handler **handlers)
{
    for (int i = 0; handlers[i]; i++) {
        handler_unref(handlers[i]);
    }
    PyMem_Free(handlers);
}

int handler_call(struct fd_handler *h, enum handler_callback which)
{
    PyObject *callback = h->callbacks[which], *result;
    int truth = -1;

    /* What began must end, also for a handler that was removed meanwhile. */
    if (!callback || (h->removed && which != IO_POLL_END)) {
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
    return truth;
}

static int report_errno(int err, int fd)
{
    PyObject *where = PyUnicode_FromFormat("the handler of fd %d", fd);

    raise_errno(err);
    PyErr_WriteUnraisable(where);
    Py_XDECREF(where);
    return 0;
}

static int register_all(struct handler_table *t, struct fdmon *m)
{
    int ret = fdmon_add_own(m, t->notifier);

    if (ret == 0) {
        ret = signal_guard_register(t->signals, m);
    }
    for (int fd = 0; ret == 0 && fd < t->size; fd++) {
        struct fd_handler *h = t->by_fd[fd];

        if (h) {
            ret = fdmon_add(m, fd, h->gen, events_of(h->callbacks));
            if (ret == -EBADF || ret == -EPERM) {
                /* Closed: its handler hears nothing; or it is only polled. */
                ret = 0;
            }
        }
    }
    return ret;
}

int handlers_begin_anew(struct handler_table *t, struct fdmon *m)
{
    struct fdmon anew;
    int ret = fdmon_init(&anew);

    if (ret < 0) {
        return ret;
    }
    ret = register_all(t, &anew);
    if (ret == 0) {
        ret = fdmon_replace(m, &anew);
    }
    if (ret < 0) {
        fdmon_cleanup(&anew);
    }
    return ret;
}

void handlers_drop_ghost(struct handler_table *t, struct fdmon *m, int fd)
{
    int ret = m->haunted ? 0 : handlers_begin_anew(t, m);

    if (ret < 0) {
        fdmon_haunt(m);
        report_errno(ret, fd);
    }
}

int handlers_call_all(struct fd_handler **handlers, int n,
                      enum handler_callback which, bool raised)
{
    PyObject *exc = raised ? take_exception() : NULL;
    int ret = 0;

    for (int i = 0; i < n; i++) {
        if (handler_call(handlers[i], which) < 0) {
            Py_XSETREF(exc, take_exception());
            ret = -1;
        }
    }
    if (exc) {
        put_exception(exc);
    }
    return ret;
}

int handlers_dispatch_polled(struct fd_handler **pollable, uint64_t poll,
                             bool *progress)
{
    int ret = 0;

    for (int i = 0; pollable[i]; i++) {
        struct fd_handler *h = pollable[i];

        if (h->polled == poll && ret >= 0 && h->served <= poll) {
            h->served = poll;
            *progress = true;
            ret = handler_call(h, h->callbacks[IO_POLL_READY] ? IO_POLL_READY
                                                              : IO_READ);
        }
    }
    return ret < 0 ? -1 : 0;
}

static int dispatch_one(struct handler_table *t, struct fdmon *m,
                        struct fd_handler *h, uint32_t events, uint64_t poll)
{
    bool check = h->unchecked == 0, read = h->served < poll;

    h->unchecked = check ? UNCHECKED_MAX : h->unchecked - 1;
    if ((events & FDMON_INVALID) ||
        (check && fdmon_check(m, h->fd, h->gen, events_of(h->callbacks)) < 0)) {
        /* Closed without being removed: it would be reported for ever. */
        int fd = h->fd;

        remove_fd(t, m, fd);
        return report_errno(EBADF, fd);
    }
    h->served = poll;
    if (read && (events & (FDMON_READ | FDMON_ERROR)) &&
        handler_call(h, reader_of(h->callbacks)) < 0) {
        return -1;
    }
    if (h->served == poll && (events & (FDMON_WRITE | FDMON_ERROR)) &&
        handler_call(h, IO_WRITE) < 0) {
        return -1;
    }
    return 0;
}

int handlers_dispatch(struct handler_table *t, struct fdmon *m,
                      const struct fdmon_event *events, int n, uint64_t poll,
                      uint64_t removals, bool *progress)
{
    bool dropped = false;
    int ret = 0;

    for (int i = 0; i < n && ret == 0; i++) {
        struct fd_handler *h = handlers_find(t, events[i].fd);

        if (events[i].gen == 0) {
            continue; /* ours: the notifier, or the signal guard */
        }
        if (h && h->gen == events[i].gen) {
            if (h->served > poll || h->since > removals) {
                continue; /* what it is about may have been dealt with */
            }
            *progress = true;
            h->refs++;
            ret = dispatch_one(t, m, h, events[i].events, poll);
            handler_unref(h);
        } else if (t->removals == removals && !dropped) {
            handlers_drop_ghost(t, m, events[i].fd); /* all that there are */
            dropped = true;
        }
    }
    return ret;
}
