/* SPDX-License-Identifier: MIT
 *
 * The Python callbacks of an fd.  Context acquired for all of it.
 */
#ifndef TPOOL_CONTEXT_FD_HANDLERS_H
#define TPOOL_CONTEXT_FD_HANDLERS_H

#include "aio/fd_table.h"
#include "py/state.h"

enum handler_callback {
    IO_READ,
    IO_WRITE,
    IO_POLL,
    IO_POLL_READY,
    IO_POLL_BEGIN,
    IO_POLL_END,
    HANDLER_CALLBACKS
};

/* The events that they ask for; 0: none of them is called for an fd. */
uint32_t handlers_events(PyObject *const callbacks[HANDLER_CALLBACKS]);

/* Says that nobody hears of fd any more: see fd_table.lost. */
void handlers_lost(int fd, int err);

int handlers_traverse(struct fd_table *t, visitproc visit, void *arg);

/* The fd that was registered with keep, or -1. */
int handlers_fd_of(const struct fd_table *t, const PyObject *keep);

/*
 * Registers, changes, or (all NULL) removes.  keep, whatever owns the fd, or NULL, is
 * given a reference.  vouched: see fds_set().  Returns 0 or -errno, the table as
 * before.
 */
int handlers_set(struct fd_table *t, struct fdmon *m, int fd,
                 PyObject *const callbacks[HANDLER_CALLBACKS], PyObject *keep,
                 bool vouched);

/* Sets io_poll_begin and io_poll_end of a registered fd; -ENOENT: it is not. */
int handlers_set_poll(struct fd_table *t, int fd, PyObject *begin,
                      PyObject *end);

#endif
