/* SPDX-License-Identifier: MIT
 *
 * See fd_table.h.
 */
#include "aio/fd_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Events of an fd between two looks whether it is open: a system call for each
 * would be one in ten of what an event costs.
 */
#define UNCHECKED_MAX 63

static void handler_unref(struct fd_handler *h)
{
    if (--h->refs == 0) {
        h->ops->free(h);
    }
}

void fds_cleanup(struct fd_table *t)
{
    struct fd_handler **by_fd = t->by_fd;
    int size = t->size;

    /* Emptied first: to free one can run code that comes back here. */
    fds_abandon(t);
    for (int fd = 0; fd < size; fd++) {
        if (by_fd[fd]) {
            by_fd[fd]->removed = true;
            handler_unref(by_fd[fd]);
        }
    }
    free(by_fd);
}

void fds_abandon(struct fd_table *t)
{
    t->by_fd = NULL;
    t->size = t->count = t->pollable = 0;
    counter_add(&t->blind, -counter_get(&t->blind));
    t->removals++;
}

struct fd_handler *fds_find(const struct fd_table *t, int fd)
{
    return fd < t->size ? t->by_fd[fd] : NULL;
}

static int make_room(struct fd_table *t, int fd)
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
    by_fd = realloc(t->by_fd, (size_t)size * sizeof(struct fd_handler *));
    if (!by_fd) {
        return -ENOMEM;
    }
    memset(by_fd + t->size, 0,
           (size_t)(size - t->size) * sizeof(struct fd_handler *));
    t->by_fd = by_fd;
    t->size = size;
    return 0;
}

static void count(struct fd_table *t, struct fd_handler *h, int step)
{
    t->count += step;
    if (h->pollable) {
        t->pollable += step;
    } else {
        counter_add(&t->blind, (uint64_t)step);
    }
}

/* Puts h, or NULL, in the place of old, which may be NULL; drops that last: it can
 * run code that changes the table. */
static void replace(struct fd_table *t, int fd, struct fd_handler *old,
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

void fds_forget(struct fd_table *t, int fd)
{
    struct fd_handler *h = fds_find(t, fd);

    if (h) {
        replace(t, fd, h, NULL);
    }
}

void fds_remove(struct fd_table *t, struct fdmon *m, int fd)
{
    if (fds_find(t, fd)) {
        /* Fails where the fd was closed first: then it is gone already, or
         * fds_dispatch() finds out that a duplicate lives. */
        fdmon_set(m, fd, 0, 0);
        fds_forget(t, fd);
    }
}

/*
 * Has epoll report fd as h's.  The same events of the same file again, as both have
 * promised: nothing to tell it, but what it has reported already is the predecessor's.
 */
static int watch(struct fd_table *t, struct fdmon *m, struct fd_handler *h,
                 const struct fd_handler *old)
{
    int ret;

    if (old && old->vouched && h->vouched && h->events == old->events) {
        h->gen = old->gen;
        h->since = t->removals + 1;
        return 0;
    }
    h->gen = ++t->gen ? t->gen : ++t->gen;
    ret = old ? fdmon_set(m, h->fd, h->gen, h->events)
              : fdmon_add(m, h->fd, h->gen, h->events);
    if (ret == -EPERM && h->polled_only) {
        ret = 0; /* a regular file, say */
    }
    return ret;
}

int fds_set(struct fd_table *t, struct fdmon *m, struct fd_handler *h,
            bool vouched)
{
    struct fd_handler *old = fds_find(t, h->fd);
    int ret;

    h->refs = 1;
    h->vouched = vouched;
    h->unchecked = vouched ? UNCHECKED_MAX : 0;
    ret = watch(t, m, h, old);
    if (ret == 0 && (ret = make_room(t, h->fd)) < 0) {
        fdmon_set(m, h->fd, 0, 0);
    }
    if (ret < 0) {
        handler_unref(h);
        return ret;
    }
    if (old) {
        h->poll_ns = old->poll_ns; /* the same source: what was learned stays */
    }
    replace(t, h->fd, old, h);
    return 0;
}

struct fd_handler **fds_pollable(struct fd_table *t)
{
    struct fd_handler **list = calloc((size_t)t->pollable + 1,
                                      sizeof(struct fd_handler *));
    int n = 0;

    for (int fd = 0; list && fd < t->size && n < t->pollable; fd++) {
        struct fd_handler *h = t->by_fd[fd];

        if (h && h->pollable) {
            h->refs++;
            list[n++] = h;
        }
    }
    return list;
}

void fds_unref_all(struct fd_handler **handlers)
{
    for (int i = 0; handlers[i]; i++) {
        handler_unref(handlers[i]);
    }
    free(handlers);
}

/* In anew, what is in the table, and what m has of the context's own. */
static int register_all(struct fd_table *t, const struct fdmon *m,
                        struct fdmon *anew)
{
    int ret = 0;

    for (int i = 0; ret == 0 && i < m->n_own; i++) {
        ret = fdmon_add_own(anew, m->own[i]);
    }
    for (int fd = 0; ret == 0 && fd < t->size; fd++) {
        struct fd_handler *h = t->by_fd[fd];

        if (h) {
            ret = fdmon_add(anew, fd, h->gen, h->events);
            if (ret == -EBADF || ret == -EPERM) {
                /* Closed: its handler hears nothing; or it is only polled. */
                ret = 0;
            }
        }
    }
    return ret;
}

int fds_begin_anew(struct fd_table *t, struct fdmon *m)
{
    struct fdmon anew;
    int ret = fdmon_init_as(&anew, m->ops); /* it takes the place of m */

    if (ret < 0) {
        return ret;
    }
    ret = register_all(t, m, &anew);
    if (ret == 0) {
        ret = fdmon_replace(m, &anew);
    }
    if (ret < 0) {
        fdmon_cleanup(&anew);
    }
    return ret;
}

void fds_drop_ghost(struct fd_table *t, struct fdmon *m, int fd)
{
    int ret = m->haunted ? 0 : fds_begin_anew(t, m);

    if (ret < 0) {
        fdmon_haunt(m);
        t->lost(fd, ret);
    }
}

int fds_dispatch_polled(struct fd_handler **pollable, uint64_t poll,
                        bool *progress)
{
    int ret = 0;

    for (int i = 0; pollable[i]; i++) {
        struct fd_handler *h = pollable[i];

        if (h->polled == poll && ret == 0 && h->served <= poll) {
            h->served = poll;
            *progress = true;
            ret = h->ops->poll_ready(h);
        }
    }
    return ret;
}

static int dispatch_one(struct fd_table *t, struct fdmon *m,
                        struct fd_handler *h, uint32_t events, uint64_t poll)
{
    bool check = h->unchecked == 0, read = h->served < poll;
    int ret = 0;

    h->unchecked = check ? UNCHECKED_MAX : h->unchecked - 1;
    if ((events & FDMON_INVALID) ||
        (check && fdmon_check(m, h->fd, h->gen, h->events) < 0)) {
        /* Closed without being removed: it would be reported for ever. */
        int fd = h->fd;

        fds_remove(t, m, fd);
        t->lost(fd, -EBADF);
        return 0;
    }
    h->served = poll;
    if (read && (events & (FDMON_READ | FDMON_ERROR))) {
        ret = h->ops->read(h);
    }
    if (ret == 0 && h->served == poll &&
        (events & (FDMON_WRITE | FDMON_ERROR))) {
        ret = h->ops->write(h);
    }
    return ret;
}

int fds_dispatch(struct fd_table *t, struct fdmon *m,
                 const struct fdmon_event *events, int n, uint64_t poll,
                 uint64_t removals, bool *progress)
{
    bool dropped = false;
    int ret = 0;

    for (int i = 0; i < n && ret == 0; i++) {
        struct fd_handler *h = fds_find(t, events[i].fd);

        if (events[i].gen == 0) {
            continue; /* ours: the notifier, or the pipe of signals */
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
            fds_drop_ghost(t, m, events[i].fd); /* all that there are */
            dropped = true;
        }
    }
    return ret;
}
